"""Tables of grades as other systems import them, each a plugin of `nbgrader export --exporter=...`.

A table is wide: a row for each learner, a column for each lesson, and with `by_exercise` one for each exercise. What a
person has yet to grade is empty, and so is the total of a lesson in which anything waits: an empty cell says nothing,
and a 0 would be one. Where a learner handed nothing in, the cells are empty as well, or 0 with `missing_is_zero`.
"""

import csv
import datetime
import io
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nbgrader.plugins import ExportPlugin
from traitlets import Bool, Dict, Unicode

from ..course import CourseError
from ..grading.tables import cell as text_cell
from . import grades
from .grades import Grades, Student, Submitted

Row = list[Any]
Person = dict[str, str]  # of a roster: {column: value}
IDS = (
    "id", "student_id", "username", "email",  # nbgrader's own, and what people call them
    "SIS Login ID", "SIS User ID", "ID",  # Canvas
    "ID number", "Email address",  # Moodle
    "Username", "Student ID",  # Blackboard
    "SID", "Email",  # Gradescope
)  # fmt: skip


class Table(ExportPlugin):
    """What the tables have in common; by itself, a table with everything for whoever reads it in a spreadsheet."""

    roster = Unicode(
        "", help="CSV file with the learners' ids in the other system, such as its own export of the gradebook"
    ).tag(config=True)
    by_exercise = Bool(False, help="A column for each exercise and question, too.").tag(config=True)
    missing_is_zero = Bool(False, help="0 where nothing was handed in, and not an empty cell.").tag(config=True)
    titles = Dict(help="{name of a lesson here: its title there}, where they are not the same.").tag(config=True)
    file = "grades_wide.csv"
    quoted = False
    heads: Sequence[str] = ()  # of the roster

    def export(self, gradebook: Any) -> None:
        chosen = [str(name) for name in self.assignment] or None
        found = grades.read(gradebook, chosen)
        if chosen and (unknown := sorted(set(chosen) - set(found.cells))):
            raise CourseError(f"{unknown[0]}: the gradebook has no such lesson; it has {', '.join(_names(gradebook))}")
        found.cells = {name: cells for name, cells in found.cells.items() if found.submitted[name]}
        people = self.people(found)
        path = Path(self.to or self.file)
        waits = sum(bool(one.waiting) for all_of in found.submitted.values() for one in all_of.values())
        write(path, self.rows(found, people), self.quoted)
        self.log.info("Exported the grades of %d learners to %s", len(people), path)
        if waits:
            self.log.warning("%d submissions have questions that nobody has graded yet; their totals are empty", waits)

    def people(self, found: Grades) -> list[tuple[Student, Person]]:
        """Return the learners, each with their row of the roster, which is empty without one."""
        students = {str(name) for name in self.student}
        known = [one for one in found.students.values() if not students or one.id in students]
        rows = read_roster(Path(self.roster)) if self.roster else []
        self.heads = list(rows[0]) if rows else []
        return [(one, _row_of(one, rows)) for one in known]

    def rows(self, found: Grades, people: Sequence[tuple[Student, Person]]) -> Iterator[Row]:
        head = ["id", "last_name", "first_name", "email"]
        for assignment, cells in found.cells.items():
            parts = ["", *(f" {name}" for name in cells)]
            head += [f"{assignment}{part}" for part in parts]
            head += [f"{assignment} {what}" for what in ("most", "waiting", "late_days", "extension_days", "penalty")]
        yield head
        for one, _ in people:
            row: Row = [one.id, one.last, one.first, one.email]
            for assignment, cells in found.cells.items():
                handed_in = found.submitted[assignment].get(one.id)
                row += [self.total(handed_in), *(self.points(handed_in, name) for name in cells)]
                row += [found.most(assignment), *_conditions(handed_in)]
            yield row

    def columns(self, found: Grades) -> list[tuple[str, str, float]]:
        """Return (assignment, cell, most) of each column of points; the cell is "" in that of a whole lesson."""
        columns = []
        for assignment, cells in found.cells.items():
            columns += [(assignment, name, most) for name, (most, _) in cells.items()] if self.by_exercise else []
            columns.append((assignment, "", found.most(assignment)))
        return columns

    def title(self, assignment: str, name: str) -> str:
        there = self.titles.get(assignment, assignment)
        return f"{there} {name.removeprefix('check_')}" if name else there

    def values(self, found: Grades, one: Student) -> Row:
        """Return a learner's points in the order of `columns`."""
        row: Row = []
        for assignment, name, _ in self.columns(found):
            handed_in = found.submitted[assignment].get(one.id)
            row.append(self.points(handed_in, name) if name else self.total(handed_in))
        return row

    def points(self, handed_in: Submitted | None, name: str) -> float | str:
        if handed_in is None:
            return 0.0 if self.missing_is_zero else ""
        known = handed_in.points.get(name)
        return "" if known is None or known.earned is None else round(known.earned, 2)

    def total(self, handed_in: Submitted | None) -> float | str:
        if handed_in is None:
            return 0.0 if self.missing_is_zero else ""
        return "" if handed_in.waiting else round(handed_in.earned, 2)


class Canvas(Table):
    """The file of *Grades > Import* in Canvas.

    Canvas finds a learner by ID, SIS User ID or SIS Login ID, and needs Student and Section as its own export has them:
    give that export as the roster. The second row holds the points possible. A column whose title is that of an
    assignment, with its id in parentheses if the export has it, goes there; another one becomes a new assignment.
    """

    file = "canvas.csv"

    def rows(self, found: Grades, people: Sequence[tuple[Student, Person]]) -> Iterator[Row]:
        titles = [self.title(assignment, name) for assignment, name, _ in self.columns(found)]
        yield [
            "Student",
            "ID",
            "SIS User ID",
            "SIS Login ID",
            "Section",
            *(_as_there(title, self.heads) for title in titles),
        ]
        yield ["    Points Possible", "", "", "", "", *(most for _, _, most in self.columns(found))]
        for one, row in people:
            name = row.get("Student") or ", ".join(filter(None, (one.last, one.first))) or one.id
            ids = [
                row.get("ID", one.lms_id),
                row.get("SIS User ID", ""),
                row.get("SIS Login ID", "" if row else one.id),
            ]
            yield [name, *ids, row.get("Section", ""), *self.values(found, one)]


class Moodle(Table):
    """The file of *Grades > Import > CSV file* in Moodle: *Map from* `Email address`, *Map to* `Email address`.

    Each column of points is mapped to a grade item, or to a new one, in Moodle's preview.
    """

    file = "moodle.csv"

    def rows(self, found: Grades, people: Sequence[tuple[Student, Person]]) -> Iterator[Row]:
        titles = [self.title(assignment, name) for assignment, name, _ in self.columns(found)]
        yield ["First name", "Last name", "ID number", "Email address", *titles]
        for one, row in people:
            names = [row.get("First name", one.first), row.get("Last name", row.get("Surname", one.last))]
            ids = [row.get("ID number", one.lms_id), row.get("Email address", one.email)]
            yield [*names, *ids, *self.values(found, one)]


class Blackboard(Table):
    """The file of *Work Offline > Upload* (Original) or *Upload Gradebook* (Ultra) in Blackboard, separated by commas.

    Blackboard finds a learner by Username, and a column by the id behind the bar in its head, as in
    `Lesson 7 [Total Pts: 14 Score] |123456`: give Blackboard's own download of the gradebook as the roster, and heads
    that begin alike are taken from it. A column without an id becomes a new one. Every cell is quoted.
    """

    file = "blackboard.csv"
    quoted = True

    def rows(self, found: Grades, people: Sequence[tuple[Student, Person]]) -> Iterator[Row]:
        heads = []
        for assignment, name, most in self.columns(found):
            there = _as_there(self.title(assignment, name), self.heads)
            heads.append(there if there in self.heads else f"{there} [Total Pts: {most:g} Score]")
        yield ["Last Name", "First Name", "Username", "Student ID", *heads]
        for one, row in people:
            names = [row.get("Last Name", one.last), row.get("First Name", one.first)]
            ids = [row.get("Username", one.id), row.get("Student ID", one.lms_id)]
            yield [*names, *ids, *self.values(found, one)]


class Gradescope(Table):
    """A table with the columns of Gradescope's own roster and grade files: names, SID, Email, and the points.

    Gradescope's guides know an import of rosters, and none of scores: this is to be joined by SID or Email.
    """

    file = "gradescope.csv"

    def rows(self, found: Grades, people: Sequence[tuple[Student, Person]]) -> Iterator[Row]:
        heads = []
        for assignment, name, _ in self.columns(found):
            heads += [self.title(assignment, name), f"{self.title(assignment, name)} - Max Points"]
            heads += [] if name else [f"{assignment} - Submission Time", f"{assignment} - Lateness (H:M:S)"]
        yield ["First Name", "Last Name", "SID", "Email", *heads]
        for one, row in people:
            names = [row.get("First Name", one.first), row.get("Last Name", one.last)]
            cells: Row = [*names, row.get("SID", one.id), row.get("Email", one.email)]
            for (assignment, name, most), value in zip(self.columns(found), self.values(found, one), strict=True):
                cells += [value, most]
                handed_in = found.submitted[assignment].get(one.id)
                cells += [] if name else [_time(handed_in), _lateness(handed_in)]
            yield cells


def _as_there(title: str, known: Iterable[str]) -> str:
    """Return the head that another system has for a column: the title, and what it adds behind it in brackets."""
    return next((head for head in known if head == title or head.startswith((f"{title} (", f"{title} ["))), title)


def _names(gradebook: Any) -> list[str]:
    return sorted(one.name for one in gradebook.assignments)


def _conditions(handed_in: Submitted | None) -> Row:
    if handed_in is None:
        return ["", "", "", ""]
    waiting = sum(handed_in.waiting.values())
    return [waiting, _days(handed_in.late), _days(handed_in.extension), round(handed_in.penalty, 2)]


def _days(span: datetime.timedelta) -> int:
    """Return how many days a time is, each that has begun counted as a whole."""
    return math.ceil(span / datetime.timedelta(days=1))


def _time(handed_in: Submitted | None) -> str:
    return f"{handed_in.when:%Y-%m-%d %H:%M:%S} +0000" if handed_in and handed_in.when else ""


def _lateness(handed_in: Submitted | None) -> str:
    if handed_in is None or handed_in.when is None:
        return ""
    seconds = int(handed_in.late.total_seconds())
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def read_roster(path: Path) -> list[Person]:
    """Return the rows of a roster: a CSV file, or one with tabs as Blackboard writes it.

    Raises CourseError if it cannot be read or has no column with an id.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CourseError(
            f"{path}: the roster cannot be read ({error.strerror}); give the path of a CSV file"
        ) from error
    text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    first = text.split("\n", 1)[0]
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t" if first.count("\t") > first.count(",") else ","))
    if not any(name in IDS for name in (rows[0] if rows else {})):
        raise CourseError(f"{path}: the roster has no column with an id; it needs one of {', '.join(IDS)}")
    return [{str(name).strip(): (value or "") for name, value in row.items() if isinstance(value, str)} for row in rows]


def _row_of(one: Student, rows: Sequence[Person]) -> Person:
    """Return the row of a roster that is this learner's; {} if there is none, or more than one."""
    mine = {value.casefold() for value in (one.id, one.email, one.lms_id) if value}
    found = [row for row in rows if any(row.get(name, "").casefold() in mine for name in IDS)]
    return dict(found[0]) if len(found) == 1 else {}


def _written(value: Any) -> Any:
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole else text_cell(value)


def write(path: Path, rows: Iterable[Sequence[Any]], quoted: bool = False) -> None:
    """Write a CSV file in which no text is a formula; an earlier one stays until this one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as beside:
        new = Path(beside) / path.name
        with open(new, "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
            table.writerows(map(_written, row) for row in rows)
        os.replace(new, path)
