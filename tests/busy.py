"""A computer that is busy with something else."""

import contextlib
import subprocess
import sys

from autograder.processes import cores


@contextlib.contextmanager
def processors_busy(each):
    """Give every processor so many processes that never rest, while the block runs."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(each * cores())]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()
