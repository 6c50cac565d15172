"""The score of one check cell, and a submission's cells on the released ones, without a kernel."""

import os

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader import api
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade
from nbgrader_course import LESSON, NOTEBOOK, Course, graded

from autograder.grading.scores import SaveFlags, SaveReasons, Score, read_score
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


@pytest.mark.parametrize("why", ["refused", "stopped"])
def test_a_check_that_did_not_run_is_told_why_under_it_and_the_others_are_left_alone(why):
    answer = graded(new_code_cell("x = 2", outputs=[result("3")]), "x")
    ran, did_not = check_cell(TABLE, result("1.5")), check_cell(TABLE, ran=False)
    did_not.id = "another"
    kept = [[*cell.outputs] for cell in (answer, ran)]
    made = new_notebook(cells=[answer, ran, did_not], metadata={NOTES: {why: "it is a test."}})
    assert Score().preprocess(made, {}) == (made, {})
    assert [answer.outputs, ran.outputs] == kept
    assert [output.output_type for output in did_not.outputs] == ["stream", "execute_result"]
    assert did_not.outputs[0].text == "0 of 2 points: this check did not run: it is a test.\n"
    assert determine_grade(did_not) == (0, 2)


def test_a_check_that_did_not_run_for_no_known_reason_says_so_much():
    made = new_notebook(cells=[check_cell()], metadata={NOTES: {}})
    Score().preprocess(made, {})
    assert made.cells[0].outputs[0].text == "0 of 2 points: this check did not run.\n"


# What a person reads in the gradebook


class Book:
    """A gradebook with one submission to an assignment: answers and checks x, y and z, of which z has no answer."""

    def __init__(self, path):
        self.url = f"sqlite:///{path}"
        self.names = {"db_url": self.url, "notebook": NOTEBOOK, "assignment": LESSON, "student": "ada"}
        with self.open() as book:
            book.add_student("ada")
            book.add_assignment(LESSON)
            book.add_notebook(NOTEBOOK, LESSON)
            for name in "xyz":
                book.add_grade_cell(f"check_{name}", NOTEBOOK, LESSON, max_score=2, cell_type="code")
                book.add_solution_cell(name, NOTEBOOK, LESSON)
            for grade in book.add_submission(LESSON, "ada").notebooks[0].grades:
                grade.needs_manual_grade = False  # as nbgrader leaves it after a check with a score
            book.db.commit()

    def open(self):
        return Gradebook(self.url)

    def comments(self):
        with self.open() as book:
            return {name: book.find_comment(name, NOTEBOOK, LESSON, "ada").auto_comment for name in "xyz"}

    def waits(self):
        with self.open() as book:
            found = {name: book.find_grade(f"check_{name}", NOTEBOOK, LESSON, "ada") for name in "xyz"}
            return [name for name, grade in found.items() if grade.needs_manual_grade]

    def save(self, step, notes):
        """Run a step on the submission's notebook, in which the check of z stands above all answers."""
        cells = [new_markdown_cell("prose"), graded(new_code_cell("check(z)"), "check_z", 2, solution=False)]
        for name in "xy":
            cells.append(graded(new_code_cell(f"{name} = 2"), name))
            cells.append(graded(new_code_cell(f"check({name})"), f"check_{name}", 2, solution=False))
        made, resources = new_notebook(cells=cells, metadata={NOTES: notes}), {"nbgrader": self.names}
        assert step.preprocess(made, resources) == (made, resources)


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "get_alembic_version", lambda: "none")  # nbgrader would start a program to ask for it
    return Book(tmp_path / "gradebook.db")


WHY = 'it calls "gc" & <b>waits</b>.'
ESCAPED = 'it calls "gc" &amp; &lt;b&gt;waits&lt;/b&gt;.'


def test_a_flag_asks_for_a_person_and_is_added_to_the_comment_on_its_answer(book):
    book.save(SaveReasons(), {"comments": {"x": WHY}})
    assert book.comments() == {"x": ESCAPED, "y": None, "z": None} and book.waits() == []
    book.save(SaveFlags(), {"flags": {"check_x": WHY, "check_z": WHY}})
    assert book.comments() == {"x": f"{ESCAPED}\n\n{ESCAPED}", "y": None, "z": None}
    assert book.waits() == ["x", "z"]


def test_a_flag_is_a_comment_of_its_own_where_there_is_none(book):
    book.save(SaveFlags(), {"flags": {"check_y": WHY}})
    assert book.comments() == {"x": None, "y": ESCAPED, "z": None} and book.waits() == ["y"]


def test_a_flag_asks_nobody_who_gave_points_already(book):
    with book.open() as one:
        one.find_grade("check_x", NOTEBOOK, LESSON, "ada").manual_score = 0
        one.db.commit()
    book.save(SaveFlags(), {"flags": {"check_x": WHY, "check_y": WHY}})
    assert book.waits() == ["y"] and book.comments()["x"] == ESCAPED


def test_without_flags_nobody_is_asked(book):
    book.save(SaveFlags(), {})
    assert book.waits() == [] and set(book.comments().values()) == {None}


def test_why_a_submission_was_refused_is_told_at_each_of_its_answers(book):
    book.save(SaveReasons(), {"refused": WHY, "comments": {}})
    assert book.comments() == {"x": ESCAPED, "y": ESCAPED, "z": None}


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
