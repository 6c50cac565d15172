"""Whatever a learner is called: everybody gets a score or a reason, and nobody touches another's work.

All hand in a file that is no notebook, so that nothing has to be run.
"""

import csv
import io
import os

import pytest
from lessons import REPOSITORY, read
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from rich.console import Console

from autograder.grading import classroom, grade, report, tables, unit
from autograder.grading.log import logged
from autograder.grading.submissions import Grading

LESSON = read("scaled_dot_product_attention")
BEARABLE = ["A01", "[A]*", "?01", " blank ", "-x", "[red]", "[link=x]", "{student_id}%s", "a,b", "=1+1", "x" * 128, "*"]
UNBEARABLE = {
    "new\nline": "control characters",
    "\x1b[2Jclear": "control characters",
    "\x9b31mred": "control characters",
    "bytes\udcff": "not UTF-8",
    "y" * 129: "more than the 128 characters",
}


class Here:
    """Workers that do all in this process."""

    def results(self, todo):
        for work in todo:
            yield work, unit.run(work)


class Class(classroom.Class):
    def __init__(self, folder):
        super().__init__(REPOSITORY, folder, LESSON)
        self.prepare()
        for other in (self.folder / "solutions" / "notebooks").iterdir():
            if other.name != LESSON.folder:
                classroom.shutil.rmtree(other)
        with logged(self.folder / "release.log"):
            self.release()

    def files(self, step):
        """Return {file: (what is in it, when it was written)} of a step's folder."""
        found = [path for path in (self.folder / step).rglob("*") if path.is_file()]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in found}

    def changed_by(self, step, action):
        """Return whose files of a step an action changes."""
        before = self.files(step)
        action()
        after = self.files(step)
        changed = [path for path in {*before, *after} if before.get(path) != after.get(path)]
        return {path.relative_to(self.folder / step).parts[0] for path in changed}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    one = Class(tmp_path_factory.mktemp("names") / "class")
    for name in [*BEARABLE, *UNBEARABLE]:
        one.submit(name, b"")
    grading = Grading(one.folder, LESSON.name)
    with logged(one.folder / "grading.log"):
        outcome = grade.grade(grading, Here())
        GenerateFeedback(coursedir=one.coursedir(assignment_id=LESSON.folder), config=one.settings()).start()
    one.export()
    return one, grading, outcome


def test_everybody_gets_a_score_or_a_reason(played):
    _, _, outcome = played
    assert sorted(outcome.checks) == sorted(BEARABLE)
    assert sorted(outcome.failed) == sorted(UNBEARABLE)
    for name, why in UNBEARABLE.items():
        assert why in outcome.failed[name] and "rename the folder" in outcome.failed[name]
    assert all(check.diagnosis.endswith("The file is empty.") for checks in outcome.checks.values() for check in checks)


def test_everybody_who_has_a_score_has_a_page_of_feedback_that_says_the_name(played):
    one, _, _ = played
    for name in BEARABLE:
        page = one.folder / "feedback" / name / LESSON.folder / f"{LESSON.name}.html"
        assert "The file is empty." in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["[A]*", "*"])
def test_who_is_called_like_a_pattern_is_graded_alone(played, name):
    one, grading, _ = played
    with logged(one.folder / "grading.log"):
        assert one.changed_by("autograded", lambda: grade.grade(grading, Here(), again=True, only=[name])) == {name}


@pytest.mark.parametrize("name", ["[A]*", "?01"])
def test_nbgrader_grades_and_answers_who_is_called_like_a_pattern_alone(played, name):
    one, _, _ = played
    for step, command in (("autograded", Autograde), ("feedback", GenerateFeedback)):
        converter = command(
            coursedir=one.coursedir(assignment_id=LESSON.folder, student_id=name), config=one.settings()
        )
        converter.force = True
        with logged(one.folder / "grading.log"):
            assert one.changed_by(step, converter.start) <= {name}


def test_a_pattern_that_is_nobodys_name_is_one(played):
    one, _, _ = played
    course = one.coursedir(assignment_id=LESSON.folder, student_id="A0*")
    converter = Autograde(coursedir=course, config=one.settings())
    converter.force = True
    with logged(one.folder / "grading.log"):
        assert one.changed_by("autograded", converter.start) == {"A01"}


def test_nbgrader_grades_the_class_and_says_who_cannot_be_graded(played):
    one, _, _ = played
    converter = Autograde(coursedir=one.coursedir(assignment_id=LESSON.folder), config=one.settings())
    converter.force = True
    with logged(one.folder / "autograde.log"):
        assert one.changed_by("autograded", converter.start) == set(BEARABLE)
    said = (one.folder / "autograde.log").read_text(encoding="utf-8")
    assert all(f"{why}; rename the folder" in said or why in said for why in UNBEARABLE.values())
    assert "Traceback" not in said


def test_nothing_that_a_name_holds_reaches_the_terminal_or_the_log(played):
    one, _, outcome = played
    text = io.StringIO()
    console = Console(file=text, width=400, force_terminal=True, color_system=None)
    report.show(outcome.checks, console)
    assert all(name in text.getvalue() for name in ("[red]", "[link=x]", "[A]*"))
    for said in (text.getvalue(), (one.folder / "grading.log").read_text(encoding="utf-8")):
        assert not {"\x1b", "\x9b", "\x07"} & set(said)


def test_the_whole_command_ends_with_the_reasons_and_no_traceback(played, capfd):
    one, _, _ = played
    from autograder import __main__

    assert __main__.main(["grade", LESSON.name, "--root", str(one.folder), "--without-sandbox", "--workers", "1"]) == 1
    said = "".join(capfd.readouterr())
    assert said.count("NOT GRADED") == len(UNBEARABLE) and "Traceback" not in said
    assert not {"\x1b", "\x9b", "\udcff"} & set(said)
    assert __main__.main(["grade", LESSON.name, "--root", str(one.folder), "--only", "\x1b[2J"]) == 1
    assert "\x1b" not in "".join(capfd.readouterr())


# Marks, names and reasons of any kind in the table of a class


def test_marks_in_exercises_diagnoses_and_flags_are_shown_as_they_are():
    odd = "[/red] [bold]x \x1b]8;;http://x\x07 \x9b2J"
    checks = [report.Graded(odd, 1.0, 2.0, odd, (odd,), odd), report.Graded("other", 1.0, 2.0, "right")]
    text = io.StringIO()
    report.show({odd: checks}, Console(file=text, width=400))
    assert text.getvalue().count("[/red] [bold]x \\x1b]8;;http://x\\x07 \\x9b2J") == 8


# The table of grades


def test_no_name_is_a_formula_a_column_or_a_line_and_numbers_are_numbers(played):
    one, _, _ = played
    with open(one.folder / "grades.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {"'" + name if name[0] in "=@-" else name for name in BEARABLE}
    assert {row["student_id"] for row in rows} == names and len(rows) == len(names)
    assert all(None not in row and float(row["score"]) == 0 < float(row["max_score"]) for row in rows)


def test_a_text_is_neither_a_formula_nor_the_end_of_a_cell_or_a_line(tmp_path):
    formulas = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1", "＝1"]
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as gradebook:
        gradebook.add_assignment("lesson")
        for number, text in enumerate([*formulas, "\t=1", "\r=1", "\n=1"]):
            gradebook.add_student(f"learner{number}", last_name=text, first_name='a "b", c', email="-5")
        exporter = tables.GradesExport()
        exporter.to = str(tmp_path / "grades.csv")
        exporter.export(gradebook)
    with open(tmp_path / "grades.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["last_name"] for row in rows} == {*("'" + text for text in formulas), "\\t=1", "\\r=1", "\\n=1"}
    assert {(row["first_name"], row["email"], row["score"]) for row in rows} == {('a "b", c', "-5", "0.0")}


def test_a_table_that_cannot_be_written_leaves_the_earlier_one(tmp_path):
    class Broken:
        assignments = property(lambda self: 1 / 0)

    exporter = tables.GradesExport()
    exporter.to = str(tmp_path / "grades.csv")
    (tmp_path / "grades.csv").write_text("earlier")
    with pytest.raises(ZeroDivisionError):
        exporter.export(Broken())
    assert (tmp_path / "grades.csv").read_text() == "earlier" and os.listdir(tmp_path) == ["grades.csv"]


def test_a_pattern_that_fits_nobody_is_said(played):
    one, _, _ = played
    course = one.coursedir(assignment_id=LESSON.folder, student_id="nobody*")
    with logged(one.folder / "grading.log"), pytest.raises(NbGraderException):
        GenerateFeedback(coursedir=course, config=one.settings()).start()
