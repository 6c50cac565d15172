"""On a computer that is busy with something else a right answer is right: locally, in pytest, assembled, officially."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alternatives import made
from busy import processors_busy
from graded import officially
from lessons import REPOSITORY, read
from sandboxes import need_bubblewrap

from autograder.processes import cores

LESSONS = ("scaled_dot_product_attention", "encoder_decoder")  # small ones, and the dearest
FIRST_CHECKS = """
import json, sys
from autograder import check  # the first check of a fresh process imports what it needs
from lessons import read, reference
found = {}
for lesson in sys.argv[1:]:
    for name in read(lesson).exercises:
        result = check(getattr(reference(lesson), name), name)
        found[name] = [result.passed, result.conclusive]
print(json.dumps(found))
"""
ASSEMBLED = """
import json
from autograder.assemble import assemble
print(json.dumps(assemble("solutions").choices))
"""


PASSING = REPOSITORY / "solutions" / "notebooks" / read(LESSONS[0]).folder / f"{LESSONS[0]}.ipynb"
COMMANDS = {
    "first checks": ["-c", FIRST_CHECKS, *LESSONS],
    "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(PASSING)],
    "assembled": ["-c", ASSEMBLED],
}


@pytest.fixture(scope="module")
def found():
    """Return {name: what each command said} of commands and an official grading that all run at the same time.

    There are more of them than processors, so each is what keeps the computer busy for the others.
    """
    need_bubblewrap()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "tests"), "OMP_NUM_THREADS": "1"}
    notebooks = {lesson: made(lesson, 0) for lesson in LESSONS}
    folders = {lesson: REPOSITORY / "course" / read(lesson).folder for lesson in LESSONS}
    with ThreadPoolExecutor() as threads, processors_busy(int(cores() > len(COMMANDS))):
        commands = {name: threads.submit(said, command, environment) for name, command in COMMANDS.items()}
        official = officially(notebooks, folders)
        return {name: command.result() for name, command in commands.items()} | {"official": official}


def said(command, environment):
    done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_first_checks_of_a_fresh_process_are_fair(found):
    expected = {name: [True, True] for lesson in LESSONS for name in read(lesson).exercises}
    assert json.loads(found["first checks"]) == expected


def test_pytest_is_fair(found):
    assert " passed" in found["pytest"]


def test_a_transformer_that_is_assembled_takes_every_part_that_is_right(found):
    choices = json.loads(found["assembled"])
    assert len(choices) > 30 and set(choices.values()) == {"learner"}


def test_official_grading_is_fair(found):
    full = {name: {part: [about.points, False] for part, about in read(name).exercises.items()} for name in LESSONS}
    assert found["official"] == full
