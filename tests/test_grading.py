"""A class is graded side by side, here or on a cluster, and nothing is lost when a run is killed."""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time

import postgres
import psutil
import pytest
from lessons import REPOSITORY, read
from nbgrader.api import Gradebook
from sandboxes import need_bubblewrap

from autograder.grading import classroom, grade, unit
from autograder.grading.workers import GIVEN_UP, Local

LESSON = read("scaled_dot_product_attention")
HALF = "def attention_scores(query, key):\n    query /= query.shape[-1] ** 0.5\n    return query @ key.mT\n"
# One call of compiled code, which nothing but the end of its process can stop.
NEVER_ENDS = "def attention_scores(query, key):\n    return sum(range(10**15))\n"
EXPECTED = {"anna": 11, "ben": 10, "carla": 0, "dirk": 9, "emma": 0, "finn": 0}


def handed_in(one):
    """Return {learner: bytes}: right, partly right, unsolved, one that never ends, and two unreadable."""
    right = {name: exercise.source for name, exercise in LESSON.exercises.items()}
    filled = {learner: classroom._filled(one.released(), answers) for learner, answers in {
        "anna": right, "ben": right | {"attention_scores": HALF}, "carla": {},
        "dirk": right | {"attention_scores": NEVER_ENDS}}.items()}
    return filled | {"emma": b'{"cells": [', "finn": b""}


class Class(classroom.Class):
    """A class of lesson 7, released, with six submissions."""

    def __init__(self, folder, settings=""):
        super().__init__(REPOSITORY, folder, LESSON)
        need_bubblewrap()
        self.prepare()
        with open(self.folder / "nbgrader_config.py", "a") as file:
            file.write(f"c.RunAnswers.check_seconds = 8\n{settings}")
        for other in (self.folder / "solutions" / "notebooks").iterdir():
            if other.name != LESSON.folder:
                classroom.shutil.rmtree(other)
        with classroom.logged(self.folder / "release.log"):
            self.release()
        for learner, content in handed_in(self).items():
            self.submit(learner, content)

    def again(self, learner, content):
        """Let a learner hand in something else."""
        classroom.shutil.rmtree(self.folder / "submitted" / learner)
        self.submit(learner, content)

    def start(self, *options):
        return subprocess.Popen(
            [sys.executable, "-m", "autograder", "grade", "7", "--root", str(self.folder), *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY, start_new_session=True,
            env=os.environ | {"COLUMNS": "200"})

    def grade(self, *options):
        """Run the command and return what it printed."""
        process = self.start(*options)
        said, _ = process.communicate(timeout=400)
        assert process.returncode == 0, said
        return said

    def scores(self, url=None):
        """Return {learner: points that were given by the machine}."""
        with Gradebook(url or self.coursedir().db_url, "transformer_taxonomy") as gradebook:
            submissions = gradebook.assignment_submissions(LESSON.folder)
            return {one.student.id: sum(grade.auto_score or 0 for part in one.notebooks for grade in part.grades)
                    for one in submissions}

    def everything(self):
        """Return all that a run leaves behind and that could be lost: scores, comments, graded notebooks."""
        with Gradebook(self.coursedir().db_url, "transformer_taxonomy") as gradebook:
            rows = [(one.student.id, grade.name, grade.auto_score, grade.needs_manual_grade)
                    for one in gradebook.assignment_submissions(LESSON.folder) for notebook in one.notebooks
                    for grade in notebook.grades]
            comments = [(one.student.id, comment.name, comment.auto_comment)
                        for one in gradebook.assignment_submissions(LESSON.folder) for notebook in one.notebooks
                        for comment in notebook.comments]
        notebooks = {path.relative_to(self.folder): path.read_text()
                     for path in (self.folder / "autograded").rglob("*.ipynb")}
        return sorted(rows), sorted(comments), notebooks

    def submitted(self):
        return {path: path.read_bytes() for path in (self.folder / "submitted").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return Class(tmp_path_factory.mktemp("class") / "class")


@pytest.fixture(scope="module")
def first(one):
    """What the first run printed."""
    return one.grade()


def test_every_submission_earns_what_it_is_worth(one, first):
    assert one.scores() == EXPECTED
    assert "6 graded in" in first and "0 were graded already" in first


def test_the_run_says_what_isolates_it_and_shows_the_class(first):
    assert "holds: own namespaces, no capabilities, no network" in first
    assert "6 of 6" in first
    for learner, points in EXPECTED.items():
        assert f"{learner}" in first and f"{points} of 11" in first
    assert "arguments_changed_in_place" in first


def test_a_second_run_grades_only_what_changed(one, first):
    before = one.everything()
    said = one.grade()
    assert "0 graded in" in said and "6 were graded already" in said
    assert one.everything() == before
    one.again("finn", handed_in(one)["ben"])
    said = one.grade()
    assert "1 graded in" in said and "5 were graded already" in said
    assert one.scores() == EXPECTED | {"finn": 10}
    one.again("finn", b"")
    assert "1 graded in" in one.grade("--only", "finn")
    assert one.scores() == EXPECTED
    assert "2 graded in" in one.grade("--again", "--only", "carla", "emma")


def test_a_learner_who_handed_in_nothing_is_named(one, first):
    process = one.start("--only", "nobody")
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "nobody: no submission in submitted" in said and "anna" in said


def test_two_runs_at_once_do_not_disturb_each_other(one, first):
    with grade.Grading(one.folder, "7").alone():
        process = one.start()
        said, _ = process.communicate(timeout=100)
    assert process.returncode == 1 and "another run is grading this class" in said


def test_a_lesson_that_was_not_released_is_refused(one, first):
    process = one.start("--db", f"sqlite:///{one.folder / 'other.db'}")
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 1 and "is not released" in said and "autograder release 7" in said


def test_without_a_sandbox_it_says_so_loudly(one, first):
    said = one.grade("--without-sandbox", "--again", "--only", "anna")
    assert "WITHOUT A SANDBOX" in said and "with your rights" in said
    assert one.scores() == EXPECTED


def test_workers_get_no_address_of_a_gradebook_and_no_other_submission(one, first):
    given = grade.Grading(one.folder, "7")
    work = given.unit(given.submission("anna"))
    assert "gradebook" not in work.settings and "sqlite" not in f"{work}"
    assert "CourseDirectory" not in json.loads(work.settings)
    assert str(one.folder / "submitted") not in f"{work}"


# Killed at any moment

class Done:
    """Workers that know the results already, so that a run consists of what the coordinator does."""

    def __init__(self, found):
        self.found = found

    def results(self, todo):
        for work in todo:
            yield work, self.found[work.learner]


def test_a_run_that_is_killed_50_times_loses_nothing_and_counts_nothing_twice(tmp_path):
    one = Class(tmp_path / "class")
    for number in range(12):
        one.submit(f"more{number:02d}", handed_in(one)[("anna", "ben", "carla")[number % 3]])
    submitted = one.submitted()
    given = grade.Grading(one.folder, "7")
    with Local(2) as pool:
        found = {work.learner: notebook for work, notebook in
                 pool.results(given.unit(given.submission(learner)) for learner in given.learners())}

    def run(again):
        with classroom.logged(one.folder / "grading.log"), given.alone():
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
    for moment in range(200):
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
        if killed == 50:
            break
    assert killed == 50
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
    code = f"from autograder.grading.workers import _ready; _ready({gone.pid}); print('goes on')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")


# Workers that die

def die_once(marker):
    """Kill this worker's process, the first time."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die(marker):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_replaced_and_its_unit_is_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(unit, "run", die_once)
    with Local(2) as pool:
        found = dict(pool.results(str(tmp_path / name) for name in ("a", "b", "c")))
    assert set(found.values()) == {"done"} and len(found) == 3


def test_a_unit_that_kills_every_worker_is_given_up_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(unit, "run", die)
    with Local(1) as pool:
        (_, reason), = pool.results([str(tmp_path / "a")])
    assert str(reason) == GIVEN_UP


def test_a_submission_that_was_given_up_scores_0_with_the_reason(one, first):
    given = grade.Grading(one.folder, "7")
    submission = given.submission("anna")
    checks = given.record(submission, grade.GivenUp(GIVEN_UP))
    assert [check.earned for check in checks] == [0] * 5
    assert GIVEN_UP.rstrip(".") in checks[0].diagnosis
    one.grade("--again", "--only", "anna")
    assert one.scores() == EXPECTED


# Beyond one machine

def test_a_cluster_grades_into_postgresql_and_replaces_a_worker_that_dies(tmp_path):
    with postgres.server() as url:
        one = Class(tmp_path / "class", settings=f"c.CourseDirectory.db_url = {url!r}\n")
        process = one.start("--cluster", "local", "--workers", "2")
        killed = threading.Thread(target=kill_one_worker, args=(process.pid,))
        killed.start()
        said, _ = process.communicate(timeout=400)
        killed.join()
        assert process.returncode == 0, said
        assert one.scores(url) == EXPECTED
        assert not (one.folder / "gradebook.db").exists()
        assert "0 graded in" in one.grade("--cluster", "local")


def kill_one_worker(coordinator):
    """Kill a Dask worker as soon as one has a kernel of a submission."""
    for _ in range(600):
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(coordinator).children():
                if any("bwrap" in one.name() for one in child.children(recursive=True)):
                    child.kill()
                    return
        time.sleep(0.1)


def test_the_table_of_a_class_is_that_of_its_graded_notebooks(one, first):
    given = grade.Grading(one.folder, "7")
    assert sum(check.earned for check in given.read("dirk")) == 9
    assert given.read("emma")[0].diagnosis.startswith("this check did not run: ")
