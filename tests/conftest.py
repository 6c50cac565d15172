"""What all tests share: a quiet machine, no trace in the user's progress, and the tables at the end of a run."""

import os
import tempfile

# Tiny tensors and two cores: more threads would only wait for each other. Kernels that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TRANSFORMER_TAXONOMY_STATE"] = tempfile.mkdtemp(prefix="progress-of-tests-")

import parallel
import pytest
import tables


def pytest_collection_modifyitems(items):
    parallel.in_order(items)


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_make_scheduler(config, log):
    """Deal the tests out in our own order, unless another one is asked for with --dist."""
    return parallel.LongestFirst(config, log) if config.getvalue("dist") == "load" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    return parallel.workers(config.args)


def pytest_sessionfinish(session):
    """Hand what a parallel worker measured to the process that prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tables"] = tables.kept()


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_testnodedown(node, error):
    """Take what a parallel worker measured."""
    tables.add(getattr(node, "workeroutput", {}).get("tables", {}))


def pytest_terminal_summary(terminalreporter):
    """Print what the tests measured."""
    for title, text in tables.written():
        terminalreporter.section(title)
        terminalreporter.write_line(text)
