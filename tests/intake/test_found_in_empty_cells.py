"""A submission of an exercise that learners write in an empty cell, put onto the released notebook."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader_course import graded

from autograder.intake.matching import Matched
from autograder.intake.notebook import LearnerCell
from autograder.intake.rebuild import merge

EMPTY = "# Write class Half here, all of it.\n# YOUR CODE HERE"
HELPER = "def smaller(number, times):\n    return number / times"
CLASS = "class Half:\n    def __call__(self, number):\n        return smaller(number, 2)"


def released():
    return [
        new_markdown_cell("contract", id="prose"),
        graded(new_code_cell(EMPTY), "Half"),
        graded(new_code_cell('check("Half").grade()'), "check_Half", 2, solution=False),
    ]


def answer(source):
    return LearnerCell("code", source, "Half", "Half-cell")


def own(source):
    return LearnerCell("code", source, None, None)


def is_solved(learner):
    (found,) = Matched(released(), learner).answers.values()
    return found.solved


@pytest.mark.parametrize("source", [EMPTY, "", EMPTY + "\n"])
def test_what_nobody_has_touched_is_not_solved(source):
    assert not is_solved([answer(source)])


@pytest.mark.parametrize(
    "learner",
    [
        [answer(f"{EMPTY}\n{HELPER}\n\n{CLASS}")],
        [own(HELPER), answer(CLASS)],
        [answer(EMPTY), own(f"{HELPER}\n\n{CLASS}")],
        [own(HELPER), own(CLASS), answer(EMPTY)],
    ],
    ids=["in the cell", "helper above", "below the empty cell", "above the empty cell"],
)
def test_the_class_is_found_wherever_it_was_written_and_so_are_its_helpers(learner):
    assert is_solved(learner)
    cells, _ = merge(released(), learner)
    names: dict = {}
    for cell in cells:
        if cell.cell_type == "code" and "check" not in cell.source:
            exec(cell.source, names)
    assert names["Half"]()(6) == 3
    assert [cell.source for cell in cells].count(EMPTY) <= 1
    assert CLASS in next(cell for cell in cells if cell.id == "Half-cell").source
