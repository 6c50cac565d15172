"""The report of a class as files: a page in which nothing of a learner is alive, JSON, and tables."""

import ast
import csv
import dataclasses
import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from lessons import REPOSITORY, read
from made_history import hand_in, made, submit
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory

from autograder import mistakes
from autograder.authoring import faults
from autograder.authoring.draft import TODO
from autograder.course import CourseError
from autograder.grading import history
from autograder.reporting import naming, report

SEVEN = read("scaled_dot_product_attention")
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e"
FORM = f"""import torch


def attention_scores(query, key):
    assert query is not None, "{EVIL}"  # by Evelyn
    return query + torch.ones(1)
"""
DIFFERS = {"product": {"numbers": ["0123456789ab", 7.0, 2.0, 3.0, 5.0]}}
EXAMPLE = {"given": {"query": "[[1]]"}, "expected": {"result": "[[1]]"}, "got": {"result": "[[2]]"}, "code": ""}


def nameless():
    return {"differs": DIFFERS, "says": [f"It differs {EVIL}."], "example": EXAMPLE, "flag": f"looks odd {EVIL}"}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    students = {name: {"first_name": name.title(), "last_name": "=1+1"} for name in ("evelyn", "ben", "carla", "dirk")}
    url = made(root / "gradebook.db", [SEVEN.name], students | {EVIL: {}})
    with Gradebook(url, "transformer_taxonomy") as gradebook:
        for name, written in (("evelyn", None), ("ben", 2.0), ("carla", None), (EVIL, None)):
            submit(gradebook, SEVEN, name, {"attention_scores": 0.0}, written)
        gradebook.find_grade("check_attention_scores", SEVEN.name, SEVEN.folder, "evelyn").needs_manual_grade = True
        gradebook.db.commit()
        for one in (
            hand_in(SEVEN, "evelyn", {"attention_scores": nameless()}, {"attention_scores": FORM}),
            hand_in(SEVEN, EVIL, {"attention_scores": nameless()}, {"attention_scores": FORM + "\n"}),
            hand_in(SEVEN, "ben", {"attention_scores": "no_scale"}),
            hand_in(SEVEN, "ben", {"attention_scores": "right"}, number=2),
            hand_in(SEVEN, "carla", {}, refused=f"cut off {EVIL}"),
        ):
            history.keep(gradebook, one)
    (root / "submitted" / "dirk" / SEVEN.folder).mkdir(parents=True)
    found = CourseDirectory(root=str(root))
    found.db_url, found.course_id = url, "transformer_taxonomy"
    return found


def test_a_page_runs_nothing_loads_nothing_and_escapes_what_learners_wrote(course, tmp_path):
    made = report.write(report.gather(course, [SEVEN]), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert {path.name for path in made} == {
        "report.html",
        "report.json",
        "exercises.csv",
        "learners.csv",
        "mistakes.csv",
    }
    page = re.sub(r"</?span[^>]*>", "", page)  # what pygments puts around the parts of a string
    assert page.count("&lt;script&gt;") >= 5  # in a name, an answer, a sentence, a flag, a reason
    assert not re.search(r"<(script|img|iframe|link|object)|<[^>]*onerror|\u202e|(src|href)=\"(?!#)", page)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_report_tells_what_waits_for_a_person(course):
    by_hand = report.gather(course, [SEVEN]).by_hand
    assert by_hand.written == {SEVEN.name: {"why": (3.0, [EVIL, "carla", "evelyn"])}}
    assert by_hand.left == [("dirk", SEVEN.name)]


def test_tables_and_json_hold_the_same_and_no_formula(course, tmp_path):
    report.write(report.gather(course, [SEVEN]), tmp_path)
    with open(tmp_path / "learners.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [row["state"] for row in rows] == [row["state"] for row in kept["table"]]
    assert {row["learner"]: row["tries"] for row in rows}["ben"] == "1"  # no answers were kept of him
    assert kept["changes"][0] | {"lesson": ""} == {
        "lesson": "",
        "mistake": "no_scale",
        "first": 1,
        "gone": ["ben"],
        "stays": [],
        "came": [],
    }


def test_an_anonymous_report_has_no_name_of_anybody_anywhere(course, tmp_path):
    report.write(report.gather(course, [SEVEN], anonymous=True), tmp_path)
    for path in tmp_path.iterdir():
        text = path.read_text(encoding="utf-8").lower()
        assert not [name for name in ("evelyn", "carla", "dirk") if name in text], path.name
        assert path.suffix != ".html" or "learner 3" in text


def test_grading_the_same_answers_again_keeps_one_row_and_another_answer_adds_one(course):
    with Gradebook(course.db_url, "transformer_taxonomy") as gradebook:
        one = hand_in(SEVEN, "dirk", {"attention_scores": "no_scale"}, number=1)
        history.keep(gradebook, one)
        history.keep(gradebook, hand_in(SEVEN, "dirk", {"attention_scores": "mask_inverted"}, number=1))
        history.keep(gradebook, hand_in(SEVEN, "dirk", {"attention_scores": "right"}, number=2))
        history.keep(gradebook, one)  # what was handed in at first comes back
        kept = list(history.read(gradebook, [SEVEN.folder], ["dirk"]))
        assert [(each.number, *each.checks["attention_scores"]["mistakes"]) for each in kept] == [
            (1, "mask_inverted"),
            (2,),
            (3, "no_scale"),
        ]
        way = history.way(kept)["rows"][0]["steps"]
        assert [step["state"] for step in way] == ["wrong", "solved", "wrong"]
        gradebook.db.execute(history.TABLE.delete().where(history.TABLE.c.student == "dirk"))
        gradebook.db.commit()


def test_a_draft_of_a_mistake_has_the_class_s_own_form_and_waits_for_its_sentences(course):
    group = next(one for one in report.gather(course, [SEVEN]).nameless if not one.draft)
    assert len(group.learners) == 2
    text = naming.declaration(group, "ones_added", "import math\n")
    function = ast.parse(text).body[-1]
    assert function.name == "ones_added" and ast.unparse(function.body[0]) == "import torch" and "Evelyn" not in text
    assert text.count(f'="{TODO}: ') == 3 and '"attention_scores",' in text
    for name, why in (("no_scale", "already"), ("1st", "no name of a function"), ("class", "no name of a function")):
        with pytest.raises(CourseError, match=why):
            naming.add(SEVEN, group, name)


def test_a_draft_is_declared_in_the_lesson_s_mistakes_and_recording_refuses_it_until_it_is_told(course, tmp_path):
    group = next(one for one in report.gather(course, [SEVEN]).nameless if not one.draft)
    own = dataclasses.replace(SEVEN, path=tmp_path / SEVEN.path.name)
    path = tmp_path / "mistakes" / SEVEN.path.name
    path.parent.mkdir()
    shutil.copy(SEVEN.path.parent / "mistakes" / SEVEN.path.name, path)
    place, line = naming.add(own, group, "ones_added")
    assert place == path and path.read_text(encoding="utf-8").split("\n")[line - 1].startswith(
        "# 2 learners wrote this"
    )
    known = mistakes.read(path)
    (wrong,) = [one for one in known.singles("attention_scores") if one.mistakes == ("ones_added",)]
    assert wrong.call(torch.zeros(2, 3), None).eq(1).all()
    facts = [fault.fact for fault in faults.told_in_full(SimpleNamespace(catalogue=known))]
    assert facts == [f"the {what} of mistake 'ones_added' is not written yet" for what in ("symptom", "cause", "place")]
    assert [one.name for one in path.parent.iterdir() if one.suffix == ".py"] == [path.name]


def test_a_class_without_a_grade_is_told_what_to_do(tmp_path):
    course = CourseDirectory(root=str(tmp_path))
    course.db_url = made(tmp_path / "gradebook.db", [SEVEN.name], {"ada": {}})
    with pytest.raises(CourseError, match="run `python -m autograder grade"):
        report.gather(course, [SEVEN])


def test_words_that_name_lessons_may_be_all_of_which_there_is_something():
    known = {SEVEN.folder, "99_of_another_course"}
    assert [one.name for one in report.lessons_of(REPOSITORY, ["all"], known)] == [SEVEN.name]
    assert [one.number for one in report.lessons_of(REPOSITORY, ["9", "7"], known)] == [7, 9]
