"""On a computer that is busy with something else a right answer is right: locally, in pytest, assembled, officially."""

import json
import subprocess
import sys

import pytest
from alternatives import made
from busy import processors_busy
from graded import officially
from lessons import REPOSITORY, read
from sandboxes import need_bubblewrap

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


@pytest.fixture(scope="module", autouse=True)
def busy():
    with processors_busy(1):
        yield


def said(*command):
    done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_first_checks_of_a_fresh_process_are_fair(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests"))
    found = json.loads(said("-c", FIRST_CHECKS, *LESSONS))
    assert found == {name: [True, True] for lesson in LESSONS for name in read(lesson).exercises}


def test_pytest_is_fair():
    notebook = REPOSITORY / "solutions" / "notebooks" / read(LESSONS[0]).folder / f"{LESSONS[0]}.ipynb"
    assert " passed" in said("-m", "pytest", "-q", "-p", "no:cacheprovider", str(notebook))


def test_a_transformer_that_is_assembled_takes_every_part_that_is_right():
    choices = json.loads(said("-c", ASSEMBLED))
    assert len(choices) > 30 and set(choices.values()) == {"learner"}


def test_official_grading_is_fair():
    need_bubblewrap()
    notebooks = {lesson: made(lesson, 0) for lesson in LESSONS}
    folders = {lesson: REPOSITORY / "course" / read(lesson).folder for lesson in LESSONS}
    full = {name: {part: [about.points, False] for part, about in read(name).exercises.items()} for name in LESSONS}
    assert officially(notebooks, folders) == full
