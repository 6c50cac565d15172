"""A small class goes the whole way: release, submit, autograde, feedback, export."""

import csv
import dataclasses
import io

import pytest
from lessons import REPOSITORY, catalogue, read
from nbgrader.api import Gradebook
from rich.console import Console

from autograder.grading import classroom, history, report
from autograder.reporting import feedback as feedback_pages

LESSON = read("scaled_dot_product_attention")
POINTS = sum(exercise.points for exercise in LESSON.exercises.values())
LEARNERS = [
    "right_as_in_the_solution",
    "right_in_style_1",
    "mistaken_04",
    "unsolved",
    "half_solved",
    "never_ends",
    "endless_answer",
    "ends_the_process",
    "raises_in_a_cell",
    "empty_notebook",
    "broken_json",
    "another_lesson",
]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    text = io.StringIO()
    one = classroom.Class(REPOSITORY, tmp_path_factory.mktemp("class") / "class", LESSON)
    with pytest.MonkeyPatch.context() as patch:  # two of them never come to an end, and need not take long to
        patch.setattr(classroom, "CONFIG", f"{classroom.CONFIG}c.Execute.timeout = 5\nc.RunAnswers.check_seconds = 2\n")
        graded = classroom.play(one, Console(file=text, width=160), LEARNERS)
    report.show(graded, Console(file=text, width=160))
    with open(one.folder / "grades.csv", encoding="utf-8") as file:
        grades = {
            row["student_id"]: float(row["score"]) for row in csv.DictReader(file) if row["assignment"] == LESSON.folder
        }
    return one, graded, grades, text.getvalue()


def feedback(one, learner):
    return (one.folder / "feedback" / learner / LESSON.folder / f"{LESSON.name}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("learner", "score"),
    [
        ("right_as_in_the_solution", POINTS),
        ("right_in_style_1", POINTS),
        ("unsolved", 0),
        ("half_solved", 2),
        ("never_ends", 0),
        ("endless_answer", 0),
        ("ends_the_process", 0),
        ("raises_in_a_cell", 0),
        ("empty_notebook", 0),
        ("broken_json", 0),
        ("another_lesson", 0),
    ],
)
def test_everyone_gets_the_points_they_earned(played, learner, score):
    _, graded, grades, _ = played
    assert grades[learner] == score == sum(check.earned for check in graded[learner])


def test_pages_are_made_anew_for_those_who_are_meant_and_show_the_way_of_who_handed_in_twice(played):
    one = played[0]
    folders = feedback_pages.graded(one.coursedir(assignment_id=LESSON.folder), ["half_solved", "unsolved"])
    for learner in ("half_solved", "unsolved"):
        (one.folder / "feedback" / learner / LESSON.folder / f"{LESSON.name}.html").unlink()
    with Gradebook(one.coursedir().db_url, "transformer_taxonomy") as book:
        (last,) = history.read(book, [LESSON.folder], ["half_solved"])
        history.keep(book, dataclasses.replace(last, digest="of other answers"))
    assert feedback_pages.make(str(one.folder), LESSON.folder, None, folders) == []
    assert "Your way through this lesson" in feedback(one, "half_solved")
    assert "Your way" not in feedback(one, "unsolved")


def test_everyone_gets_a_feedback_page(played):
    for learner in LEARNERS:
        assert "Score: " in feedback(played[0], learner)


@pytest.mark.parametrize(
    ("learner", "reason"),
    [
        ("never_ends", "CellTimeoutError"),
        ("endless_answer", "did not return"),
        ("ends_the_process", "the Python process ended"),
        ("raises_in_a_cell", "I gave up"),
        ("empty_notebook", "has no cells"),
        ("broken_json", "upload was cut off"),
        ("another_lesson", "This notebook belongs to lesson 01_encoder"),
        ("unsolved", "not solved yet"),
    ],
)
def test_the_feedback_page_tells_the_reason(played, learner, reason):
    assert reason in feedback(played[0], learner)


def test_a_mistake_is_named_in_the_table_and_explained_in_the_feedback(played):
    one, graded, grades, text = played
    named = [name for check in graded["mistaken_04"] for name in check.mistakes]
    assert named and set(named) <= set(catalogue(LESSON.name).mistakes)
    page = feedback(one, "mistaken_04")
    for name in named:
        assert name in text
        assert name.replace("_", " ") in page
    kept = sum(
        check.points * catalogue(LESSON.name).mistakes[check.mistakes[0]].credit if check.mistakes else check.earned
        for check in graded["mistaken_04"]
    )
    assert grades["mistaken_04"] == pytest.approx(kept)


def test_the_table_tells_what_the_class_misunderstands(played):
    assert "What the class misunderstands" in played[3]


def test_what_arrived_stays_byte_for_byte(played):
    one = played[0]
    place = one.folder / "submitted" / "broken_json" / LESSON.folder / f"{LESSON.name}.ipynb"
    assert place.read_bytes() == b'{"cells": [{"cell_type": "code", "source'


def test_the_whole_class_has_every_mistake_and_every_style():
    answers = classroom.answers_of(LESSON)
    for exercise in LESSON.exercises:
        wrong = {source[exercise] for name, source in answers.items() if name.startswith("mistaken")}
        assert len(wrong - {LESSON.exercises[exercise].source}) == len(
            {one.mistakes[0] for one in catalogue(LESSON.name).singles(exercise)}
        )


def test_a_folder_that_is_no_class_is_not_removed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(classroom.CourseError, match="exists and does not hold a simulated class"):
        classroom.Class(REPOSITORY, tmp_path, LESSON).prepare()
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
