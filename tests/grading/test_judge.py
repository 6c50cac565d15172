"""The score of one check cell, and a submission's cells on the released ones, without a kernel."""

import os

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbgrader.utils import determine_grade
from nbgrader_course import LESSON, Course, graded

from autograder.grading.scores import Score, read_score
from autograder.intake.arrivals import LearnerCell, read_arrival
from autograder.intake.rebuild import NOTES, merge


def result(text):
    return new_output("execute_result", {"text/plain": text}, execution_count=1)


TABLE = new_output("display_data", {"text/html": "<table></table>", "text/plain": "table"})


def check_cell(*outputs, ran=True):
    return graded(
        new_code_cell("check(x).grade()", outputs=list(outputs), execution_count=1 if ran else None),
        "check_x",
        2,
        solution=False,
    )


@pytest.mark.parametrize(
    ("outputs", "score", "reason"),
    [
        ([TABLE, result("2.0")], 2, None),
        ([TABLE, result("1.5")], 1.5, None),
        ([TABLE, result("0.0")], 0, None),
        ([result("nan")], 0, "did not run"),
        ([result("-1.0")], 0, "did not run"),
        ([result("2.5")], 0, "did not run"),
        ([result("2.0"), result("2.0")], 0, "did not run"),
        ([TABLE], 0, "did not run"),
        ([], 0, "did not run"),
    ],
)
def test_a_check_earns_the_one_number_that_the_judge_left(outputs, score, reason):
    earned, why = read_score(check_cell(*outputs), 2.0)
    assert earned == score
    assert why is None if reason is None else reason in why


def test_a_check_that_did_not_run_says_what_kept_it():
    assert "the kernel died" in read_score(check_cell(ran=False), 2.0, "the kernel died")[1]


@pytest.mark.parametrize(
    ("outputs", "score"),
    [
        ([TABLE, result("1.5")], 1.5),
        ([result("5")], 0),
        ([], 0),
        ([TABLE], 0),
    ],
)
def test_nbgrader_reads_the_same_score_from_the_cell(outputs, score):
    cell = check_cell(*outputs)
    scoring = Score()
    scoring.why_not_run = None
    scoring.preprocess_cell(cell, {}, 0)
    assert determine_grade(cell) == (score, 2)


def test_without_execution_nobody_gets_points(tmp_path):
    course = Course(tmp_path, "c.Execute.enabled = False").release()
    course.submit("right", course.answers())
    assert course.api().autograde(LESSON, "right")["success"]
    assert set(course.scores("right").values()) == {0}
    assert NOTES in course.autograded("right").metadata


RELEASED = [
    new_markdown_cell("prose", id="prose"),
    graded(new_code_cell("stub"), "f"),
    graded(new_code_cell("check(f).grade()"), "check-f", 1, solution=False),
    new_code_cell("demo", id="demo"),
]


def code(source, grade_id=None, cell_id=None):
    return LearnerCell("code", source, grade_id, cell_id)


@pytest.mark.parametrize(
    ("learner", "expected"),
    [
        ([], ["prose", "stub", "check(f).grade()", "demo"]),
        ([code("answer", "f")], ["prose", "answer", "check(f).grade()", "demo"]),
        ([code("answer", None, "f-cell")], ["prose", "answer", "check(f).grade()", "demo"]),
        ([code("own"), code("answer", "f")], ["own", "prose", "answer", "check(f).grade()", "demo"]),
        ([code("answer", "f"), code("own", cell_id="x")], ["prose", "answer", "own", "check(f).grade()", "demo"]),
        ([code("2.0", "check-f"), code("own", "gone")], ["prose", "stub", "check(f).grade()", "own", "demo"]),
        ([code("first", "f"), code("last", "f")], ["first", "prose", "last", "check(f).grade()", "demo"]),
        ([code("demo", None, "demo")], ["prose", "stub", "check(f).grade()", "demo"]),
        ([code("demo")], ["prose", "stub", "check(f).grade()", "demo"]),
        ([code("my demo", None, "demo")], ["prose", "stub", "check(f).grade()", "demo", "my demo"]),
        ([code("code", None, "prose")], ["code", "prose", "stub", "check(f).grade()", "demo"]),
    ],
)
def test_a_learners_cells_come_between_the_released_ones(learner, expected):
    released = [cell.copy() for cell in RELEASED]
    assert [cell.source for cell in merge(released, learner)[0]] == expected


def test_what_is_not_a_file_is_not_opened(tmp_path):
    (tmp_path / "folder.ipynb").mkdir()
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "pipe", "link"):
        assert "is a link, a folder or a device" in read_arrival(tmp_path / f"{name}.ipynb").refused


def test_half_a_surrogate_pair_can_be_written_again(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text('{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = \'\\ud800\'"}]}')
    assert read_arrival(path).cells[0].source == "x = '?'"
