"""Nothing is lost when a run of grading is killed, and a worker that dies is replaced."""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from six_learners import EXPECTED, Class, handed_in

from autograder.grading import classroom, grade, unit
from autograder.grading.log import logged
from autograder.grading.workers import GIVEN_UP, Local
from autograder.processes import pool


class Done:
    """Workers that know the results already, so that a run consists of what the coordinator does."""

    def __init__(self, found):
        self.found = found

    def results(self, todo):
        for work in todo:
            yield work, self.found[work.learner]


# Its processes do nothing with threads, and starting them in any other way would take longer than their runs.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_run_that_is_killed_20_times_loses_nothing_and_counts_nothing_twice(tmp_path):
    one = Class(tmp_path / "class")
    # A few learners are enough to be killed between.
    for learner in sorted(handed_in(one))[3:]:
        classroom.shutil.rmtree(one.folder / "submitted" / learner)
    submitted = one.submitted()
    given = grade.Grading(one.folder, "7")
    with Local(2) as workers:
        found = {
            work.learner: notebook
            for work, notebook in workers.results(given.unit(given.submission(learner)) for learner in given.learners())
        }

    def run(again):
        with logged(one.folder / "grading.log"), given.alone():
            grade.grade(given, Done(found), again=again)

    def whole(again):
        begun = time.monotonic()
        process = multiprocessing.get_context("fork").Process(target=run, args=(again,))
        process.start()
        return process, begun

    process, begun = whole(False)
    process.join()
    assert process.exitcode == 0
    seconds, right = time.monotonic() - begun, one.everything()
    numbers = random.Random(7)
    killed = 0
    for moment in range(100):
        # Every other time from nothing, and otherwise over what is graded already.
        if moment % 2 == 0:
            classroom.shutil.rmtree(one.folder / "autograded", ignore_errors=True)
        process, begun = whole(moment % 2 == 1)
        process.join(numbers.uniform(0, seconds))
        if process.is_alive():
            killed += 1
            process.kill()
            process.join()
        else:
            seconds = time.monotonic() - begun  # the machine is less busy than it was
        assert one.submitted() == submitted
        if killed == 20:
            break
    assert killed == 20
    process, _ = whole(False)
    process.join()
    assert process.exitcode == 0
    assert one.everything() == right


def test_the_whole_command_goes_on_after_a_kill_and_leaves_no_process(tmp_path):
    one = Class(tmp_path / "class")
    for seconds in (5, 9):
        process = one.start()
        time.sleep(seconds)
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert alive == []
    assert "were graded already" in one.grade()
    assert one.scores() == EXPECTED


def test_a_worker_whose_starter_has_ended_before_it_was_ready_ends_as_well():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = f"from autograder.processes import _ready; _ready({gone.pid}, {{}}); print('goes on')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")


def variable(name):
    return os.environ.get(name)


def test_a_worker_has_the_environment_of_the_moment_in_which_it_was_started(monkeypatch):
    for value in ("the first", "the second"):
        monkeypatch.setenv("OF_THIS_TEST", value)
        with pool(1) as one:
            assert one.submit(variable, "OF_THIS_TEST").result() == value


# Workers that die


def die_once(marker):
    """Kill this worker's process, the first time."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die(marker):
    os.kill(os.getpid(), signal.SIGKILL)


def fail_once(marker):
    """Fail for want of something, the first time."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        raise RuntimeError("sandbox: the kernel did not start")
    return "done"


def fail(marker):
    raise RuntimeError("sandbox: the kernel did not start")


def test_a_unit_that_fails_is_done_again_and_one_that_always_fails_says_why(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, Local(1) as workers:
        patch.setattr(unit, "run", fail_once)
        assert [found for _, found in workers.results([str(tmp_path / "a"), str(tmp_path / "b")])] == ["done", "done"]
        patch.setattr(unit, "run", fail)
        ((_, reason),) = workers.results([str(tmp_path / "c")])
        assert isinstance(reason, RuntimeError) and "the kernel did not start" in str(reason)


def test_a_worker_that_dies_is_replaced_and_its_unit_is_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(unit, "run", die_once)
    with Local(2) as workers:
        found = dict(workers.results(str(tmp_path / name) for name in ("a", "b", "c")))
    assert set(found.values()) == {"done"} and len(found) == 3


def test_a_unit_that_kills_every_worker_is_given_up_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(unit, "run", die)
    with Local(1) as workers:
        ((_, reason),) = workers.results([str(tmp_path / "a")])
    assert str(reason) == GIVEN_UP
