"""Points are lost for what was seen, never for what was suspected: a suspicion puts an answer before a person."""

import json

import nbformat
import pytest
from attacked import LESSON, Host
from nbgrader_course import LESSON as TINY
from nbgrader_course import SCORES, Course, cell_of

from autograder.calling import limit
from autograder.grading import checks, report
from autograder.intake.rebuild import NOTES
from autograder.notebooks.needed import needed

RIGHT = {name: LESSON.exercises[name].source for name in LESSON.exercises}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    one = Host(tmp_path_factory.mktemp("host"))
    yield one
    one.server.close()


def graded(host, answers, code=None):
    """Return (points of each exercise, {check: why it is flagged})."""
    points, text = host.run(answers, code)
    return points, json.loads(text)["metadata"][NOTES].get("flags", {})


# Ordinary lines, each in a cell of its own above the answers. None of them was ever meant for the grader.
ORDINARY = [
    "!ls",
    "%cd ..",
    "%pip install einops",
    "import gc\ngc.collect()",
    "import glob\nprint(glob.glob('*'))",
    "import threading",
    "import sys\nsys.path.append('..')",
    "import importlib\nimportlib.reload(importlib.import_module('math'))",
    "import inspect\nprint(inspect.getsource(inspect))",
    "torch.backends.cudnn.deterministic = True",
    "class A:\n    def __init__(self, **named):\n        for name, value in named.items():\n            "
    "setattr(self, name, value)",
    "print(globals().keys())",
    "x = eval('1 + 1')",
    "try:\n    from google.colab import drive\n    drive.mount('/content/drive')\nexcept ImportError:\n    pass",
]


def test_ordinary_lines_cost_no_point_and_raise_no_flag(host):
    plain, _ = graded(host, RIGHT)
    points, flags = graded(host, RIGHT, "\n".join(line for line in ORDINARY if line[0] not in "!%"))
    assert points == plain and flags == {}


@pytest.mark.parametrize("line", [line for line in ORDINARY if line[0] in "!%"])
def test_an_ordinary_magic_costs_no_point_and_raises_no_flag(host, line):
    points, flags = graded(host, RIGHT, line)
    assert sum(points.values()) == sum(LESSON.exercises[name].points for name in points) and flags == {}


def test_a_right_answer_that_itself_reaches_keeps_its_points_and_waits_for_a_person(host):
    reaching = RIGHT["attention_weights"].replace("def attention_weights", "def right") + (
        "\n\nimport gc\n\ndef attention_weights(scores, mask=None):\n    gc.collect()\n    return right(scores, mask)\n"
    )
    points, flags = graded(host, RIGHT | {"attention_weights": reaching})
    assert points["attention_weights"] == LESSON.exercises["attention_weights"].points
    assert "gc" in flags["check_attention_weights"] and "Its points stand" in flags["check_attention_weights"]


def test_what_was_seen_costs_what_it_costs_wherever_else_the_notebook_reaches(host):
    forbidden = "def attention_weights(scores, mask=None):\n    return torch.softmax(scores, dim=-1)\n"
    points, flags = graded(host, RIGHT | {"attention_weights": forbidden}, "import gc")
    assert points["attention_weights"] < LESSON.exercises["attention_weights"].points
    assert "check_attention_weights" not in flags


def test_an_answer_that_is_only_right_beside_a_reaching_cell_is_flagged(host):
    """Alone it is another answer: what made it right is what a person has to see."""
    elsewhere = "import builtins, gc\nbuiltins.scores_of = lambda query, key: query @ key.mT / query.shape[-1] ** 0.5"
    borrowed = "def attention_scores(query, key):\n    return scores_of(query, key)\n"
    points, flags = graded(host, RIGHT | {"attention_scores": borrowed}, elsewhere)
    assert points["attention_scores"] == 0 or "check_attention_scores" in flags


def test_an_answer_that_could_not_be_judged_waits_for_a_person_and_for_the_next_run(host, monkeypatch):
    monkeypatch.setattr(limit, "PATIENCE", 0.7)  # the clock is up before what the code may compute
    waits = "import time\n\ndef attention_scores(query, key):\n    time.sleep(60)\n"
    points, text = host.run({"attention_scores": waits})
    notes = json.loads(text)["metadata"][NOTES]
    assert points["attention_scores"] == 0 and notes["unknown"]
    assert notes["flags"] == {"check_attention_scores": checks.UNKNOWN}


# What an answer needs


def test_what_an_answer_needs_is_its_definition_and_what_that_uses():
    cells = [
        "import torch\nimport gc\nimport math as m",
        "gc.collect()\nprint('hello')",
        "ROOT = m.sqrt(2)\nOTHER = gc",
        "def helper(x):\n    return x * ROOT",
        "!ls\ndef answer(x):\n    return helper(x)",
        "answer(1)",
    ]
    code = needed(cells, ["answer"]).code
    assert code.splitlines()[:2] == ["import math as m", "ROOT = m.sqrt(2)"]
    assert "def helper" in code and "def answer" in code
    assert not any(word in code for word in ("gc", "print", "torch", "ls"))


def test_a_name_that_is_given_twice_is_kept_twice_in_its_order():
    assert needed(["def f():\n    return 1", "def f():\n    return 2"], ["f"]).code.count("def f") == 2


def test_of_a_star_only_the_names_that_are_used_are_needed():
    uses = "def f(x):\n    return softmax(x, -1)"
    assert needed(["from torch import *", uses], ["f"]).code.startswith("from torch import softmax\n")
    assert needed(["from typing import *\nimport torch", uses], ["f"]).code == uses


def test_of_a_star_of_a_strange_module_nobody_knows_what_it_gives():
    assert "from mine import *" in needed(["from mine import *", "def f(x):\n    return softmax(x, -1)"], ["f"]).code


# Before a person


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = Course(tmp_path_factory.mktemp("course")).release()
    answer = SCORES.replace("    return", "    gc.collect()\n    return")
    course.submit("ada", course.answers(scores=f"import gc\n\n\n{answer}"))
    course.submit("bob", course.answers())
    for learner in ("ada", "bob"):
        assert course.api().autograde(TINY, learner)["success"]
    return course


def waits(course, learner):
    with course.gradebook() as book:
        found = book.find_submission(TINY, learner).notebooks[0].grades
        return {grade.name: (grade.score, grade.needs_manual_grade) for grade in found}


def test_the_formgrader_asks_for_a_person_and_says_why(course):
    assert waits(course, "bob")["check_attention_scores"] == (2, False)
    assert waits(course, "ada")["check_attention_scores"] == (2, True)
    assert "a person looks at this answer" in course.comment("ada", "attention_scores")


def test_a_person_who_gave_points_has_looked(course):
    with course.gradebook() as book:
        grade = book.find_grade("check_attention_scores", "attention", TINY, "ada")
        grade.manual_score, grade.needs_manual_grade = 2, False
        book.db.commit()
    assert course.api().autograde(TINY, "ada", force=True)["success"]
    assert waits(course, "ada")["check_attention_scores"] == (2, False)


def test_the_table_of_the_class_names_them(course, capsys):
    from rich.console import Console

    path = course.root / "autograded" / "ada" / TINY / "attention.ipynb"
    report.show({"ada": report.read(path)}, Console(width=140))
    said = capsys.readouterr().out
    assert "To be looked at by a person" in said and "attention_scores" in said
    assert cell_of(nbformat.read(path, 4), "attention_scores")
