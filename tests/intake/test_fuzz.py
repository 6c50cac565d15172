"""Notebooks that no editor wrote: each of them ends in a score or in a reason, and none of them in an exception."""

import copy
import json
import random

import nbformat
import pytest
from attacked import Host, notebook
from lessons import REPOSITORY, read
from nbformat.v4 import new_notebook

from autograder.grading import report
from autograder.grading.cells import is_check
from autograder.intake.arrivals import read_arrival
from autograder.intake.rebuild import Rebuild

LESSON = read("scaled_dot_product_attention")
COUNT, RUN_EACH = 600, 40
ODD = [
    None,
    True,
    -1,
    10**400,
    1e308,
    float("nan"),
    "",
    "\x00",
    "\ud800",
    "ｅｘｅｃ",
    [],
    {},
    [[]],
    {"a": [1]},
    "x" * 5000,
]
WORDS = [
    "cells",
    "source",
    "metadata",
    "nbgrader",
    "grade_id",
    "cell_type",
    "id",
    "outputs",
    "attention_scores",
    "check_attention_scores",
    "code",
    "markdown",
    "raw",
    "nbformat",
    "%%bash\nls",
    "!ls",
    "raise SystemExit",
]


def submissions():
    """Return a right and a wrong submission as JSON trees."""
    right = {name: exercise.source for name, exercise in LESSON.exercises.items()}
    return [
        json.loads(nbformat.writes(notebook({**right, **answers}, "mine = 1")))
        for answers in ({}, {"attention_scores": "def attention_scores(query, key):\n    return key\n"})
    ]


def places(tree, path=()):
    """Return the path of every value in a JSON tree."""
    found = [path]
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in inside:
        found += places(value, (*path, name))
    return found


def at(tree, path):
    for name in path:
        tree = tree[name]
    return tree


def mutated(tree, numbers):
    """Return bytes of a notebook in which a few things are not as they should be."""
    tree = copy.deepcopy(tree)
    for _ in range(numbers.choice([1, 1, 2, 5, 20])):
        path = numbers.choice(places(tree)[1:] or [()])
        if not path:
            break
        holder, name = at(tree, path[:-1]), path[-1]
        kind = numbers.randrange(7)
        if kind == 0:
            holder[name] = numbers.choice(ODD)
        elif kind == 1:
            del holder[name]
        elif kind == 2:
            holder[name] = copy.deepcopy(at(tree, numbers.choice(places(tree))))
        elif kind == 3 and isinstance(holder, list):
            numbers.shuffle(holder)
        elif kind == 4 and isinstance(holder, list):
            holder.insert(name, copy.deepcopy(numbers.choice(holder)))
        elif kind == 5 and isinstance(holder[name], str):
            cut = numbers.randrange(len(holder[name]) + 1)
            holder[name] = holder[name][:cut] + numbers.choice(WORDS) + holder[name][cut:][:: numbers.choice([1, 2])]
        elif isinstance(holder, dict):
            holder[numbers.choice(WORDS)] = holder.pop(name)
    content = bytearray(json.dumps(tree).encode("utf-8", "surrogatepass"))
    if numbers.random() < 0.3:
        for _ in range(numbers.choice([1, 3, 30])):
            content[numbers.randrange(len(content))] = numbers.randrange(256)
    if numbers.random() < 0.1:
        del content[numbers.randrange(len(content)) :]
    return bytes(content)


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    """What became of each: (bytes, rebuilt notebook)."""
    folder = tmp_path_factory.mktemp("fuzz")
    step = Rebuild()
    step.config.CourseDirectory.root = str(REPOSITORY)
    step.config.CourseDirectory.release_directory = "course"
    found, trees = [], submissions()
    for number in range(COUNT):
        content = mutated(trees[number % 2], random.Random(f"fuzz {number}"))
        path = folder / f"{LESSON.name}.ipynb"
        path.write_bytes(content)
        names = {"student": "ada", "assignment": LESSON.folder, "notebook": LESSON.name}
        made, _ = step.preprocess(new_notebook(), {"nbgrader": names, "arrival": read_arrival(str(path))})
        assert path.read_bytes() == content
        found.append((content, made))
    return found


def test_every_notebook_is_refused_with_a_reason_or_rebuilt_as_a_proper_one(rebuilt):
    refused = 0
    released = nbformat.read(REPOSITORY / "course" / LESSON.folder / f"{LESSON.name}.ipynb", 4)
    checks = [cell.source for cell in released.cells if is_check(cell)]
    for content, made in rebuilt:
        notes = made.metadata["autograder"]
        nbformat.validate(made)
        assert [cell.source for cell in made.cells if is_check(cell)] == checks, content[:200]
        if "refused" in notes:
            refused += 1
            assert len(notes["refused"]) > 10
    assert 50 < refused < COUNT - 50


def test_those_that_can_be_run_end_in_a_score(rebuilt, tmp_path):
    host = Host(tmp_path)
    most = sum(exercise.points for exercise in LESSON.exercises.values())
    wanted = [made for _, made in rebuilt if "refused" not in made.metadata["autograder"]][::RUN_EACH]
    try:
        for made in wanted:
            for step in host.steps:
                made, _ = step.preprocess(made, {"metadata": {"path": str(host.data)}})
            nbformat.validate(made)
            path = tmp_path / "graded.ipynb"
            path.write_text(nbformat.writes(made, version=nbformat.NO_CONVERT))
            checks = report.read(path)
            assert len(checks) == len(LESSON.exercises)
            assert 0 <= sum(check.earned for check in checks) <= most
            assert all(check.diagnosis for check in checks)
    finally:
        host.server.close()
    assert len(wanted) > 5
