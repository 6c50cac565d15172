"""What all tests share: a quiet machine, no trace in the user's progress, and the tables at the end of a run."""

import os
import tempfile

# Tiny tensors and two cores: more threads would only wait for each other. Kernels that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TRANSFORMER_TAXONOMY_STATE"] = tempfile.mkdtemp(prefix="progress-of-tests-")

import tables


def pytest_terminal_summary(terminalreporter):
    """Print what the tests measured."""
    for title, text in tables.written():
        terminalreporter.section(title)
        terminalreporter.write_line(text)
