"""There is one list of lessons: the texts. Whatever else names lessons names those of the course's own, in their order.

A lesson of an instructor's own has a later number or none, and stands on no map; it is needed in no list.
"""

import importlib
import pkgutil
import re

import pytest
from lessons import REPOSITORY, TEXTS, read

from autograder import assemble, course
from autograder.authoring.draft import draft
from autograder.checking import progress_map
from autograder.learn import start
from workbench import broken, map_boxes, parts

ON_THE_MAP = list(map_boxes.LESSONS)
NUMBERS = [lesson.number for lesson in map_boxes.LESSONS.values()]


def modules(package):
    return {module.name for module in pkgutil.iter_modules(package.__path__)}


def test_the_lessons_of_the_map_are_texts_with_its_numbers_which_are_the_first_ones():
    assert {name: read(name).number for name in ON_THE_MAP} == dict(zip(ON_THE_MAP, NUMBERS, strict=True))
    assert sorted(NUMBERS) == list(range(1, len(NUMBERS) + 1))
    others = [read(name).number for name in TEXTS if name not in ON_THE_MAP]
    assert all(number is None or number > len(NUMBERS) for number in others)


BESIDE = {"tokens"}  # boxes of the capstone, which is no lesson of the map and has no bug to find


def test_each_lesson_of_the_map_has_boxes_and_a_bug_of_its_own_name():
    assert modules(parts) - BESIDE == modules(broken) == set(ON_THE_MAP)


def test_the_map_of_words_has_a_card_for_each():
    assert sorted(name for row in progress_map.ROWS for name in row) == sorted(ON_THE_MAP)


def test_what_is_assembled_are_the_lessons_with_parts_of_a_model_and_no_lesson_needs_a_later_one():
    assert {*assemble.LESSONS} == {*ON_THE_MAP} - {"visualizing_attention"}  # which looks into models
    for place, lesson in enumerate(assemble.LESSONS):
        names = vars(importlib.import_module(f"{parts.__name__}.{lesson}")).values()
        needed = {
            assemble.PARTS[name.__name__]
            for name in names
            if getattr(name, "__name__", None) in assemble.PARTS and getattr(parts, name.__name__) is name
        }
        assert needed <= {*assemble.LESSONS[: place + 1]}, lesson


def test_bottom_up_in_the_readme_is_the_order_in_which_parts_are_put_together():
    rows = re.findall(r"^\| (\d+) \|.*\| (\d+)\w\w \|$", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.M)
    order = [int(number) for number, _ in sorted(rows, key=lambda row: int(row[1]))]
    assert order == [map_boxes.LESSONS[name].number for name in (*assemble.LESSONS, "visualizing_attention")]
    assert order == list(start.BOTTOM_UP), "the learner's start page shows the same"


@pytest.mark.parametrize("name", TEXTS)
def test_the_number_that_commands_take_is_the_one_in_the_text(name):
    number = read(name).number
    assert draft(TEXTS[name].read_text(encoding="utf-8")).head.get("lesson") == number
    if number is not None:
        assert course.select(REPOSITORY, [str(number)]) == [TEXTS[name]]


def test_the_notebooks_of_a_folder_are_those_of_lessons_with_and_without_a_number(tmp_path):
    for folder, file in (
        ("12_late", "late"),
        ("03_early", "early"),
        ("free", "free"),
        ("free", "draft"),
        ("1_odd", "odd"),
        ("workbench", "tool"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{file}.ipynb").write_text("{}")
    assert [path.stem for path in course.notebooks(tmp_path)] == ["early", "late", "free"]
