"""The course of this repository, for tests: its lessons, references, mistakes and alternatives."""

import contextlib
import functools
from pathlib import Path
from unittest import mock

from autograder import course, mistakes
from autograder.authoring import faults, lesson
from autograder.checking import check
from autograder.notebooks.definitions import load

REPOSITORY = Path(__file__).parent.parent
TEXTS = course.texts(REPOSITORY)
LESSONS = sorted(TEXTS)


@functools.cache
def read(name):
    """Return a lesson of the course."""
    return lesson.read(TEXTS[name])


@functools.cache
def reference(name):
    """Return the module that holds a lesson's reference solutions."""
    return load(TEXTS[name])


@functools.cache
def catalogue(name):
    """Return the mistakes of a lesson."""
    return mistakes.read(faults.beside(read(name), "mistakes"))


@functools.cache
def alternatives(name):
    """Return the accepted alternatives of a lesson."""
    return mistakes.read_alternatives(faults.beside(read(name), "alternatives"))


@contextlib.contextmanager
def names_only():
    """Let checks in this block name mistakes and not look for what is shown beside, a small input and the way.

    That takes a quarter of a wrong answer's check. The tests of every mistake, of small inputs and of ways look for it.
    """
    nothing = mock.Mock(return_value=None)
    with mock.patch.object(check, "smallest_example", nothing), mock.patch.object(check.ways, "of_answer", nothing):
        yield


def __getattr__(name):
    """Make `EXERCISES`, [(lesson, exercise)], where it is asked for: to read all texts takes a second."""
    if name != "EXERCISES":
        raise AttributeError(name)
    return [(name, exercise) for name in LESSONS for exercise in read(name).exercises]
