"""Read the points of a class from nbgrader's gradebook, all at once: what was earned, what waits, who was late."""

import datetime
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sql
from nbgrader import api


@dataclass(frozen=True)
class Points:
    """The points of one cell in one submission.

    earned  None while they wait for a person
    most    how many there are
    asked   True: a person is asked to look, although there are points
    """

    earned: float | None
    most: float
    asked: bool = False


@dataclass
class Submitted:
    """One learner's submission of one lesson, as nbgrader has recorded it.

    when       in UTC; None where nothing tells
    late       by how much it came after the learner's own due date; zero if it did not
    extension  what the learner was given
    penalty    points taken for being late, as the course's policy says
    points     {cell: Points} of checks and written questions
    """

    when: datetime.datetime | None
    late: datetime.timedelta
    extension: datetime.timedelta
    penalty: float
    points: dict[str, Points] = field(default_factory=dict)

    @property
    def waiting(self) -> dict[str, float]:
        """{cell: points} of what a person has yet to grade."""
        return {name: one.most for name, one in self.points.items() if one.earned is None}

    @property
    def earned(self) -> float:
        """What is earned so far; the penalty for being late is taken off."""
        return max(0.0, sum(one.earned or 0.0 for one in self.points.values()) - self.penalty)


@dataclass(frozen=True)
class Student:
    """One row of nbgrader's roster; what it does not know is ""."""

    id: str
    first: str = ""
    last: str = ""
    email: str = ""
    lms_id: str = ""


@dataclass
class Grades:
    """The points of a class.

    students   {id: Student}, in the order of their ids
    cells      {assignment: {cell: (points, whether a person grades it)}}, as they stand in the notebook
    submitted  {assignment: {student: Submitted}}
    """

    students: dict[str, Student]
    cells: dict[str, dict[str, tuple[float, bool]]]
    submitted: dict[str, dict[str, Submitted]]

    def most(self, assignment: str) -> float:
        return sum(points for points, _ in self.cells[assignment].values())


def read(gradebook: Any, assignments: Collection[str] | None = None) -> Grades:
    """Return the `Grades` of some assignments, of all if None."""
    rows = gradebook.db.execute(
        sql.select(api.Student.id, api.Student.first_name, api.Student.last_name, api.Student.email, LMS_ID)
    )
    students = {one[0]: Student(*(value or "" for value in one)) for one in sorted(rows, key=lambda row: row[0])}
    cells = {name: cells for name, cells in _cells(gradebook) if assignments is None or name in assignments}
    submitted = {name: _submitted(gradebook, name) for name in cells}
    for name in cells:
        for student, cell, points in _points(gradebook, name):
            if student in submitted[name]:
                submitted[name][student].points[cell] = points
    return Grades(students, cells, submitted)


LMS_ID = api.Student.lms_user_id


def _cells(gradebook: Any) -> Iterator[tuple[str, dict[str, tuple[float, bool]]]]:
    for assignment in gradebook.assignments:
        found: dict[str, tuple[float, bool]] = {}
        for notebook in assignment.notebooks:
            # Source cells are in the order of the notebook; a check is code and locked, a question an answer as well.
            order = {cell.name: place for place, cell in enumerate(notebook.source_cells)}
            solutions = {cell.name for cell in notebook.solution_cells}
            graded = sorted([*notebook.grade_cells, *notebook.task_cells], key=lambda cell: order.get(cell.name, 0))
            found |= {
                cell.name: (cell.max_score, cell.name in solutions or cell in notebook.task_cells) for cell in graded
            }
        yield assignment.name, found


def _submitted(gradebook: Any, assignment: str) -> dict[str, Submitted]:
    whole, part = api.SubmittedAssignment, api.SubmittedNotebook
    rows = gradebook.db.execute(
        sql.select(
            whole.student_id,
            whole.timestamp,
            whole.extension,
            api.Assignment.duedate,
            sql.func.coalesce(sql.func.sum(part.late_submission_penalty), 0.0),
        )
        .join(api.Assignment, whole.assignment_id == api.Assignment.id)
        .join(part, part.assignment_id == whole.id, isouter=True)
        .where(api.Assignment.name == assignment)
        .group_by(whole.id, whole.student_id, whole.timestamp, whole.extension, api.Assignment.duedate)
    )
    found, none = {}, datetime.timedelta()
    for student, when, extension, due, penalty in rows:
        late = max(none, when - due - (extension or none)) if when and due else none
        found[student] = Submitted(when, late, extension or none, penalty)
    return found


def _points(gradebook: Any, assignment: str) -> Iterator[tuple[str, str, Points]]:
    grade, whole, part, cell = api.Grade, api.SubmittedAssignment, api.SubmittedNotebook, api.BaseCell.__table__
    checks, tasks = api.GradeCell.__table__, api.TaskCell.__table__
    rows = gradebook.db.execute(
        sql.select(
            whole.student_id,
            cell.c.name,
            grade.auto_score,
            grade.manual_score,
            grade.extra_credit,
            grade.needs_manual_grade,
            sql.func.coalesce(checks.c.max_score, tasks.c.max_score),
        )
        .join(part, grade.notebook_id == part.id)
        .join(whole, part.assignment_id == whole.id)
        .join(api.Assignment, whole.assignment_id == api.Assignment.id)
        .join(cell, grade.cell_id == cell.c.id)
        .join(checks, checks.c.id == cell.c.id, isouter=True)
        .join(tasks, tasks.c.id == cell.c.id, isouter=True)
        .where(api.Assignment.name == assignment)
    )
    for student, name, auto, manual, extra, asked, most in rows:
        earned = manual if manual is not None else auto
        yield student, name, Points(None if earned is None else earned + (extra or 0.0), most, bool(asked))
