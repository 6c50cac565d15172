"""A gradebook with the history of a class in it, made without grading anything, for the tests of what is reported."""

import datetime
import functools
import os
import random

from lessons import read
from nbgrader import api
from nbgrader.api import Gradebook

from autograder.course import with_programs
from autograder.diagnosing import records
from autograder.grading import history
from autograder.grading.history import HandIn

# nbgrader starts a program to ask for this, for each new gradebook; it is the same for all of them.
api.get_alembic_version = functools.cache(api.get_alembic_version)

DUE = datetime.datetime(2026, 11, 8)
QUESTION = "why"


def made(path, lessons, students):
    """Return the address of a new gradebook with lessons of the course, each with one written question of 3 points.

    students  {id: {what nbgrader's roster holds}}
    """
    url = f"sqlite:///{path}"
    os.environ["PATH"] = with_programs()  # nbgrader starts `alembic` by its bare name
    with Gradebook(url, "transformer_taxonomy") as gradebook:
        for student, about in students.items():
            gradebook.add_student(student, **about)
        for lesson in map(read, lessons):
            gradebook.add_assignment(lesson.folder, duedate=DUE)
            gradebook.add_notebook(lesson.name, lesson.folder)
            for place in lesson.exercises:
                points = lesson.exercises[place].points
                where = lesson.name, lesson.folder
                gradebook.add_solution_cell(place, *where)
                gradebook.add_grade_cell(f"check_{place}", *where, max_score=points, cell_type="code")
            gradebook.add_solution_cell(QUESTION, *where)
            gradebook.add_grade_cell(QUESTION, *where, max_score=3, cell_type="markdown")
            for name in [*(f"check_{place}" for place in lesson.exercises), QUESTION]:
                gradebook.add_source_cell(name, *where, cell_type="code", source="")
    return url


def submit(gradebook, lesson, student, earned, written=None, when=DUE, extension=None):
    """Add nbgrader's own record of a submission.

    earned   {exercise: points}
    written  a person's points for the question; None while it waits
    """
    gradebook.add_submission(lesson.folder, student, timestamp=when, extension=extension)
    for name, points in earned.items():
        grade = gradebook.find_grade(f"check_{name}", lesson.name, lesson.folder, student)
        grade.auto_score, grade.needs_manual_grade = points, False
    grade = gradebook.find_grade(QUESTION, lesson.name, lesson.folder, student)
    grade.auto_score, grade.manual_score, grade.needs_manual_grade = None, written, written is None
    gradebook.db.commit()


def hand_in(lesson, student, checks, answers=None, number=1, when=DUE, refused=""):
    """Return a `HandIn`.

    checks   {exercise: "right" | "unsolved" | a name of a mistake | the whole of what is said}
    answers  {exercise: source}
    """
    about = {name: _said(lesson.exercises[name], said) for name, said in checks.items()}
    return HandIn(
        student, lesson.folder, lesson.name, number, f"{student}{number}", when, when, refused, about, answers or {}
    )


def _said(exercise, said):
    if isinstance(said, dict):
        return {"points": exercise.points, "earned": 0.0, "passed": False, "unsolved": False, "mistakes": [], **said}
    right, unsolved = said == "right", said == "unsolved"
    earned = exercise.points if right else 0.0
    mistakes = [] if right or unsolved else [said]
    return {
        "points": exercise.points,
        "earned": earned,
        "passed": right,
        "unsolved": unsolved,
        "mistakes": mistakes,
        "says": [],
    }


def large(path, lessons, count, rounds=2, seed=1):
    """Return the address of a gradebook with a class of so many, in which mistakes have realistic shares."""
    names = [f"learner{number}" for number in range(count)]
    url = made(path, lessons, {name: {} for name in names})
    chance = random.Random(seed)
    with Gradebook(url, "transformer_taxonomy") as gradebook:
        history.TABLE.create(gradebook.engine, checkfirst=True)
        rows = []
        for lesson in map(read, lessons):
            known = {name: list(records.read(name).mistakes) for name in lesson.exercises}
            for name in names:
                gradebook.db.add(
                    api.SubmittedAssignment(assignment=gradebook.find_assignment(lesson.folder), student_id=name)
                )
                for number in range(1, rounds + 1):
                    checks, answers = {}, {}
                    for exercise, mistakes in known.items():
                        place = min(int(chance.expovariate(0.5)), len(mistakes) - 1)
                        checks[exercise] = mistakes[place] if chance.random() < 0.4 / number else "right"
                        if chance.random() < 0.05:
                            group = {"numbers": ["0123456789ab", *[float(chance.randint(1, 9))] * 4]}
                            checks[exercise] = {"differs": {"a_probe": group}, "says": ["It differs."]}
                        remark = "".join(chance.choice("abcdefghijklmnop ") for _ in range(60))
                        answers[exercise] = f"{lesson.exercises[exercise].source}\n# {remark}\n"
                    rows.append(history.row(hand_in(lesson, name, checks, answers, number)))
        gradebook.db.execute(history.TABLE.insert(), rows)
        gradebook.db.commit()
    return url
