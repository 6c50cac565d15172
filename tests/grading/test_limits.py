"""One submission takes so much time, and the others are graded meanwhile and after it."""

import math
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from traitlets.config import Config

from autograder.grading import run, unit, workers
from autograder.grading.workers import TOO_LONG, GivenUpError, Local
from autograder.intake.rebuild import NOTES
from autograder.sandbox.manager import IsolatedKernelManager


def hang_or_not(work):
    """Hang in compiled code that lets no other thread run, or return at once."""
    if work == "hangs":
        sum(range(10**15))
    return "done"


def test_a_worker_that_hangs_is_ended_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(unit, "run", hang_or_not)
    with Local(1) as pool:
        list(pool.results(["warm"]))  # how long a process takes to start depends on the computer
        pool.seconds = 3
        found = list(pool.results(["hangs"]))
        pool.seconds = math.inf
        found += list(pool.results(["a", "b"]))
    ((_, reason), *others) = found
    assert isinstance(reason, GivenUpError) and str(reason) == TOO_LONG.format(seconds=3)
    assert others == [("a", "done"), ("b", "done")]


def test_a_worker_of_a_cluster_ends_itself_though_it_lets_no_thread_run():
    code = "from autograder.processes import ended_after\nwith ended_after(0.5):\n    sum(range(10**15))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "most recent call first" in ended.stderr


def test_a_block_that_is_left_in_time_ends_nothing_and_the_earliest_end_counts():
    code = """
import time
from autograder.processes import ended_after
with ended_after(0.2):
    pass
time.sleep(0.4)
with ended_after(60):
    with ended_after(float("inf")):
        print("goes on", flush=True)
    with ended_after(0.2):
        time.sleep(60)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "goes on\n")


def test_the_command_line_tells_all_workers_the_limit():
    with workers.chosen(None, 1, seconds=7) as pool:
        assert pool.seconds == 7


# The cells of a submission, with a clock that the test sets


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(run, "monotonic", lambda: self.now)


class Submission(run.RunAnswers):
    """A submission whose cells take as many seconds as they say, in a kernel that is none.

    ran    what ran in it, with what it was allowed
    costs  seconds that a replayed cell takes
    """

    def __init__(self, clock, **settings):
        super().__init__(budget=100, grace=10, **settings)
        self.clock, self.channel, self.processes, self.counted = clock, None, 1, 0
        self.skipped, self.ran, self.said = set(), [], []
        self.nb = new_notebook(metadata={NOTES: {}})
        self.deadline = clock.now + self.budget
        self.timeout_func = lambda cell: max(1, min(60, int(self.deadline - clock.now)))

    def execute_cell(self, cell, index, store_history=True):
        self.said.append(cell.source)
        self.clock.now += float(cell.source)

    def start_new_kernel(self):
        pass

    create_kernel_manager = start_new_kernel_client = _cleanup_kernel = start_new_kernel


def test_cells_after_the_time_are_left_out_with_the_reason(monkeypatch):
    clock = Clock(monkeypatch)
    one = Submission(clock)
    for index, seconds in enumerate(["50", "55", "3", "4", "5"]):
        one._run(new_code_cell(seconds), {}, index)
    assert one.said == ["50", "55", "3", "4"]  # within the budget and the grace after it
    assert one.nb.metadata[NOTES]["stopped"] == "the cells before took more than 110 seconds"


def test_the_time_of_a_cell_is_what_it_computes_and_waiting_counts(monkeypatch):
    one = Submission(Clock(monkeypatch))
    one.allowed, one.begun, one.deadline = 10, (0.0, 3.0), 1_000.0

    def goes_on(now, computed, active=None):
        one.active = (now if active is None else active), computed
        return one._is_given_time((now, 3.0 + computed))

    assert goes_on(9, 9) and not goes_on(10, 10)  # on a computer that is all its own
    assert goes_on(30, 5) and not goes_on(60, 9)  # on one that is busy, six times as long
    assert not goes_on(15, 4, active=4)  # it sleeps
    one.deadline = 25.0
    assert goes_on(24, 5) and not goes_on(26, 5)


def test_a_cell_computes_on_and_one_that_waits_is_stopped(monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 1_000)
    monkeypatch.setattr(run, "IDLE", 5.0)
    # It gets half of the processor, as on a busy computer.
    code = """
import time
end = time.process_time() + 1.5
while time.process_time() < end:
    sum(range(10**6))
    time.sleep(0.03)
'it went on'
"""
    found = new_notebook(metadata={NOTES: {}}, cells=[new_code_cell(code), new_code_cell("time.sleep(600)")])
    settings = Config({"RunAnswers": {"timeout": 2}, "IsolatedKernelManager": {"without_sandbox": True}})
    done, _ = run.RunAnswers(config=settings, kernel_manager_class=IsolatedKernelManager).preprocess(found, {})
    assert done.cells[0].outputs[0].data["text/plain"] == "'it went on'"
    assert done.cells[1].outputs[-1].ename in ("KeyboardInterrupt", "CellTimeoutError")


def test_cells_that_are_run_again_in_a_new_process_stay_within_the_time_of_the_submission(monkeypatch):
    clock, allowed = Clock(monkeypatch), []

    def run_unseen(client, source, timeout):
        allowed.append(timeout)
        clock.now += timeout

    monkeypatch.setattr(run, "_run_unseen", run_unseen)
    one = Submission(clock)
    one.kc, one.ran = None, ["slow"] * 1_000
    one.restart(ValueError())
    assert allowed[0] == 100 and sum(allowed) <= 111 + 1  # it ended in its time before, on a computer less busy
    assert one.nb.metadata[NOTES]["stopped"] == (
        "an earlier cell stopped its process (running it failed (ValueError)), and to run the cells before it again "
        "took more than 110 seconds in all"
    )
    assert nbformat.validate(one.nb) is None


@pytest.mark.parametrize(("longest", "seconds"), [(0, 300), (7, 7)])
def test_the_limit_by_the_clock_is_three_budgets_or_what_is_asked_for(longest, seconds):
    from autograder.grading.submissions import Grading

    grading = object.__new__(Grading)
    grading.config = Config({"RunAnswers": {"budget": 100, "longest": longest}})
    assert grading.longest == seconds
