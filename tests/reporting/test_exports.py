"""Grades arrive: tables as other systems import them, in which nothing that waits for a person is a 0."""

import csv
import datetime

import pytest
from lessons import read
from made_history import DUE, made, submit
from nbgrader.api import Gradebook

from autograder.course import CourseError
from autograder.reporting import exports

SEVEN = read("scaled_dot_product_attention")
FIRST = next(iter(SEVEN.exercises))
CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Lesson 7 (90210),Current Score
    Points Possible,,,,,14,(read only)
"Lovelace, Ada",1021,S-1,ada,Morning,,
"""
BLACKBOARD = (
    '"Last Name"\t"First Name"\t"Username"\t"Student ID"\t"Lesson 7 [Total Pts: 14 Score] |123456"\n'
    '"Lovelace"\t"Ada"\t"alovelace"\t"ada"\t""\n'
)


@pytest.fixture(scope="module")
def gradebook(tmp_path_factory):
    students = {
        "ada": {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.org"},
        "ben": {"first_name": "=HYPERLINK(1)", "last_name": "@SUM(1)", "email": "+ben@example.org"},
        "carla": {},
    }
    url = made(tmp_path_factory.mktemp("grades") / "gradebook.db", [SEVEN.name], students)
    full = {name: one.points for name, one in SEVEN.exercises.items()}
    late = DUE + datetime.timedelta(days=2, hours=1)
    with Gradebook(url, "transformer_taxonomy") as found:
        submit(found, SEVEN, "ada", full, written=None)
        submit(found, SEVEN, "ben", full | {FIRST: 0.5}, written=2.0, when=late, extension=datetime.timedelta(days=1))
        yield found


def exported(plugin, gradebook, folder, **settings):
    path = folder / "out.csv"
    table = plugin(to=str(path), **settings)
    table.export(gradebook)
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_what_waits_for_a_person_is_empty_and_so_is_its_total(gradebook, tmp_path):
    head, ada, ben, carla = (dict(enumerate(row)) for row in exported(exports.Table, gradebook, tmp_path))
    column = {name: place for place, name in head.items()}
    name = SEVEN.folder
    points = sum(one.points for one in SEVEN.exercises.values())
    assert ada[column[name]] == "" and ada[column[f"{name} why"]] == "" and ada[column[f"{name} waiting"]] == "3"
    assert float(ada[column[f"{name} check_{FIRST}"]]) == SEVEN.exercises[FIRST].points
    assert float(ben[column[name]]) == points - SEVEN.exercises[FIRST].points + 0.5 + 2
    assert float(ben[column[f"{name} most"]]) == points + 3
    assert (ben[column[f"{name} late_days"]], ben[column[f"{name} extension_days"]]) == ("2", "1")
    assert set(list(carla.values())[1:]) == {"", f"{points + 3:g}"}


def test_missing_work_is_0_only_where_that_is_asked_for(gradebook, tmp_path):
    rows = exported(exports.Moodle, gradebook, tmp_path, missing_is_zero=True)
    assert [row[-1] for row in rows[1:]] == ["", rows[2][-1], "0"] and float(rows[2][-1])


def test_no_name_is_a_formula_in_any_table(gradebook, tmp_path):
    for plugin in (exports.Table, exports.Canvas, exports.Moodle, exports.Blackboard, exports.Gradescope):
        rows = exported(plugin, gradebook, tmp_path)
        assert any("HYPERLINK" in cell for row in rows for cell in row)
        assert not [cell for row in rows for cell in row if cell[:1] in "=+@-" and cell]


def test_canvas_gets_its_own_columns_ids_and_the_assignment_that_is_there(gradebook, tmp_path):
    (tmp_path / "canvas.csv").write_text(CANVAS, encoding="utf-8-sig")
    titles = {SEVEN.folder: "Lesson 7"}
    rows = exported(exports.Canvas, gradebook, tmp_path, roster=str(tmp_path / "canvas.csv"), titles=titles)
    assert rows[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Lesson 7 (90210)"]
    assert rows[1][0].strip() == "Points Possible" and float(rows[1][5]) == 14
    assert rows[2][:5] == ["Lovelace, Ada", "1021", "S-1", "ada", "Morning"]


def test_blackboard_gets_quoted_cells_usernames_and_the_id_of_the_column(gradebook, tmp_path):
    (tmp_path / "gc.xls").write_text(BLACKBOARD, encoding="utf-16")
    settings = {"roster": str(tmp_path / "gc.xls"), "titles": {SEVEN.folder: "Lesson 7"}}
    rows = exported(exports.Blackboard, gradebook, tmp_path, **settings)
    assert rows[0][2:] == ["Username", "Student ID", "Lesson 7 [Total Pts: 14 Score] |123456"]
    assert rows[1][:4] == ["Lovelace", "Ada", "alovelace", "ada"]
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith('"Last Name","First Name"')


def test_columns_by_exercise_stand_in_the_order_of_the_lesson_with_the_whole_behind_them(gradebook, tmp_path):
    head = exported(exports.Moodle, gradebook, tmp_path, by_exercise=True)[0]
    assert head[4:] == [f"{SEVEN.folder} {name}" for name in [*SEVEN.exercises, "why"]] + [SEVEN.folder]


def test_gradescope_s_columns_tell_when_and_how_late(gradebook, tmp_path):
    head, _, ben, _ = exported(exports.Gradescope, gradebook, tmp_path)
    assert head[:4] == ["First Name", "Last Name", "SID", "Email"]
    assert ben[head.index(f"{SEVEN.folder} - Lateness (H:M:S)")] == "25:00:00"


def test_a_roster_without_an_id_and_a_lesson_that_is_not_there_are_refused(gradebook, tmp_path):
    (tmp_path / "roster.csv").write_text("name\nAda\n")
    with pytest.raises(CourseError, match="no column with an id"):
        exported(exports.Canvas, gradebook, tmp_path, roster=str(tmp_path / "roster.csv"))
    with pytest.raises(CourseError, match="no such lesson; it has 07_"):
        exported(exports.Canvas, gradebook, tmp_path, assignment=["08_nothing"])
    assert not (tmp_path / "out.csv").exists()
