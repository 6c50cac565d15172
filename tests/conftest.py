"""What all tests share: a quiet machine, no trace in the user's progress, and the tables at the end of a run."""

import os
import tempfile
from fnmatch import fnmatch

# Tiny tensors and two cores: more threads would only wait for each other. Kernels that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TRANSFORMER_TAXONOMY_STATE"] = tempfile.mkdtemp(prefix="progress-of-tests-")

import parallel
import pytest
import tables

# The learner's side: what a learner uses has to work on every system, so these run on Linux, macOS and Windows with
# `python -m pytest --learner`. All other tests are about authoring and grading, which need Linux: a sandbox, signals,
# nbgrader's folders, a database server. Names of modules, without their folders; `figures_*` is a pattern.
LEARNER = (
    "check",
    "own_work",
    "pytest_plugin",  # checks, and what they say
    "mistakes",  # recorded answers hold on this processor
    "assemble",
    "package",  # the wheel, without what Windows lacks
    "folder",
    "learn",  # a folder of the learner's own
    "transformer_map",
    "views",
    "pretrained",
    "smollm2",
    "figures_*",  # what notebooks show
    "data",
    "training",
    "training_tasks",  # what models are trained on
    "encoder",
    "decoder",
    "encoder_only",
    "decoder_only",
    "encoder_decoder",
    "self_attention",
    "multi_head_attention",
    "layer_normalization",
    "positional_embeddings",
    "visualizing_attention",  # numbers against PyTorch on this machine
)


@pytest.fixture
def patient(monkeypatch):
    """The clock sets no limit, so that what code computes decides, however busy the computer is."""
    from autograder.calling import limit

    monkeypatch.setattr(limit, "PATIENCE", 10_000.0)


def pytest_addoption(parser):
    parser.addoption("--learner", action="store_true", help="run the tests of what learners use, on any system")


def pytest_ignore_collect(collection_path, config):
    """Leave out what is not on the learner's side, before it is imported: it may import what this system lacks."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if is_test and config.getoption("--learner") and not is_learners(collection_path):
        return True
    return None


def is_learners(path):
    """Return whether a test module is on the learner's side."""
    return any(fnmatch(path.stem, f"test_{name}") for name in LEARNER)


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
