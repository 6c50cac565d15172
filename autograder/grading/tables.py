"""What leaves the gradebook for people: feedback pages of those who are meant, and a table of grades.

Names in both are those that learners chose.
"""

import csv
import glob
import os
import re
import tempfile
from collections.abc import Iterator
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbgrader.api import MissingEntry
from nbgrader.converters import GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.plugins import CsvExportPlugin

from ..display import shown
from ..intake.learner import folders

COLUMNS = (
    "assignment duedate timestamp student_id last_name first_name email raw_score late_submission_penalty score "
    "max_score"
).split()
# What a spreadsheet takes for the beginning of a formula, also in the wide letters of East Asian keyboards.
FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


class FeedbackExporter(HTMLExporter):
    """nbconvert's, which tells nbgrader's converter whose feedback is asked for.

    nbgrader takes a name for a pattern, and makes its exporter when it has chosen and before it writes.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if isinstance(self.parent, GenerateFeedback):
            _choose(self.parent)


def _choose(converter: Any) -> None:
    course = converter.coursedir
    found, refused = folders(course, course.autograded_directory)
    for folder, why in refused.items():
        converter.log.error("No feedback: %s: %s", shown(folder, None), why)
    pattern = f"{course.notebook_id}.ipynb"
    chosen = {folder: sorted(glob.glob(os.path.join(glob.escape(folder), pattern))) for folder in found}
    converter.assignments = {folder: notebooks for folder, notebooks in chosen.items() if notebooks}
    if not converter.assignments:
        raise NbGraderException(f"Nothing of {shown(course.student_id, None)} is graded; run nbgrader autograde first")


class GradesExport(CsvExportPlugin):
    """nbgrader's table of all grades, in which every name is a name: no column, no line and no formula."""

    def export(self, gradebook: Any) -> None:
        path = self.to or "grades.csv"
        self.log.info("Exporting grades to %s", path)
        folder, name = os.path.split(os.path.abspath(path))
        # An earlier table stays until this one is whole.
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as beside:
            new = os.path.join(beside, name)
            with open(new, "w", encoding="utf-8", newline="") as file:
                table = csv.writer(file, lineterminator="\n")
                table.writerow(COLUMNS)
                table.writerows(map(cell, row) for row in self._rows(gradebook))
            os.replace(new, path)

    def _rows(self, gradebook: Any) -> Iterator[list[Any]]:
        chosen, students = set(map(str, self.assignment)), set(map(str, self.student))
        for assignment in gradebook.assignments:
            if chosen and assignment.name not in chosen:
                continue
            for student in gradebook.students:
                if not students or student.id in students:
                    yield _row(gradebook, assignment, student)


def _row(gradebook: Any, assignment: Any, student: Any) -> list[Any]:
    try:
        submission = gradebook.find_submission(assignment.name, student.id)
        time, raw, penalty = submission.timestamp, submission.score, submission.late_submission_penalty
    except MissingEntry:
        time, raw, penalty = None, 0.0, 0.0
    names = student.id, student.last_name, student.first_name, student.email
    score = max(0.0, raw - (penalty or 0.0))
    return [assignment.name, assignment.duedate, time, *names, raw, penalty, score, assignment.max_score]


def cell(value: Any) -> Any:
    """Return what stands in a cell: a text that would be a formula begins with an apostrophe, which makes it a text."""
    if not isinstance(value, str):
        return value
    text = shown(value, None)
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text
