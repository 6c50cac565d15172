"""A learner's folder is filled from the course, and a newer course moves the answers without losing anything."""

import json
import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.authoring.build import nbgrader_metadata
from autograder.course import CourseError, released
from autograder.learn import folder as folders
from autograder.learn.folder import Folder, nearest_folder

NAME = "07_taxes/taxes.ipynb"
OTHER = "11_tolls/tolls.ipynb"
SKELETON = 'def tax(price):\n    """{}"""\n    raise NotImplementedError("this exercise is not solved yet")'
ANSWER = 'def tax(price):\n    """The old words."""\n    return 0.19 * price'


def notebook(words="The old words.", prose="Taxes are old.", more=()):
    cells = [
        new_markdown_cell(prose, id=f"prose-{abs(hash(prose))}"),
        new_code_cell(SKELETON.format(words), id="exercise-tax", metadata=nbgrader_metadata("tax", solution=True)),
        new_code_cell("check(tax).grade()", id="check-tax", metadata=nbgrader_metadata("check_tax", grade=True)),
        new_markdown_cell("The end.", id="prose-end"),
        *more,
    ]
    return new_notebook(cells=cells)


def write(path, made):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(made) + "\n", encoding="utf-8")


@pytest.fixture
def course(tmp_path):
    """A course with two notebooks."""
    write(tmp_path / "course" / NAME, notebook())
    write(tmp_path / "course" / OTHER, notebook())
    return tmp_path / "course"


@pytest.fixture
def mine(tmp_path, course):
    """A learner's folder, in a place with a blank and a backslash, filled from the course."""
    made = Folder(tmp_path / "my lessons\\2", course)
    assert len(list(made.fill())) == 1
    return made


def again(mine):
    """Return the folder as the next program finds it."""
    return Folder(mine.path, mine.course)


def edit(mine, change, name=NAME):
    """Change the cells of a notebook, and return its bytes."""
    made = nbformat.read(mine.path / name, 4)
    change(made.cells)
    write(mine.path / name, made)
    return (mine.path / name).read_bytes()


def solve(cells):
    cells[1].source = ANSWER
    cells.insert(3, new_code_cell("tax(11)", id="tried"))


def sources(path):
    return [cell.source for cell in nbformat.read(path, 4).cells]


def test_a_folder_holds_what_the_course_gives_and_is_found_from_inside(mine):
    for name in (NAME, OTHER):
        assert (mine.path / name).read_bytes() == (mine.course / name).read_bytes()
    assert nearest_folder(mine.path / "07_taxes") == mine.path and nearest_folder(mine.course) is None


def test_the_course_itself_is_given(tmp_path):
    real = Folder(tmp_path / "mine")
    before = {path: path.stat().st_mtime_ns for path in released().rglob("*.ipynb")}
    list(real.fill())
    assert len(real.names()) >= 11 and all((real.path / name).is_file() for name in real.names())
    assert {path: path.stat().st_mtime_ns for path in released().rglob("*.ipynb")} == before


def test_filling_again_overwrites_nothing_and_brings_back_what_is_missing(mine):
    kept = edit(mine, solve)
    (mine.path / OTHER).unlink()
    said = list(again(mine).fill())
    assert said == [f"New in {mine.path}: {OTHER}."]
    assert (mine.path / NAME).read_bytes() == kept and (mine.path / OTHER).is_file()


def test_a_newer_course_is_told_and_changes_nothing_unasked(mine):
    kept = edit(mine, solve)
    write(mine.course / NAME, notebook(prose="Taxes are new."))
    (said,) = again(mine).fill()
    assert NAME in said and OTHER not in said and "learn --update" in said
    assert (mine.path / NAME).read_bytes() == kept


def test_answers_move_into_the_new_version_and_the_old_one_is_kept(mine):
    old = edit(mine, solve)
    extra = new_markdown_cell("More taxes.", id="prose-more")
    write(mine.course / NAME, notebook(prose="Taxes are new.", more=[extra]))
    said = list(again(mine).update())
    # The changed text is the course's own, the cell of the learner stands where it stood.
    assert sources(mine.path / NAME) == [
        "Taxes are new.", ANSWER, "check(tax).grade()", "tax(11)", "The end.", "More taxes."
    ]  # fmt: skip
    (earlier,) = (mine.path / folders.EARLIER).rglob("*.ipynb")
    assert earlier.read_bytes() == old and earlier.relative_to(mine.path).as_posix() in said[0] and len(said) == 1
    assert list(again(mine).update()) == [f"{mine.path}: everything is up to date."]


def test_an_answer_to_an_exercise_that_has_changed_is_kept_and_told(mine):
    edit(mine, solve)
    write(mine.course / NAME, notebook(words="The new words."))
    said = list(again(mine).update())
    assert ANSWER in sources(mine.path / NAME) and said[1].startswith("  tax: the exercise has changed")


def test_what_was_run_and_not_solved_gets_the_new_words(mine):
    edit(mine, lambda cells: cells.append(new_code_cell("1 + 1")))
    write(mine.course / NAME, notebook(words="The new words."))
    said = list(again(mine).update())
    found = sources(mine.path / NAME)
    assert SKELETON.format("The new words.") in found and "The old words." not in str(found) and "1 + 1" in found
    assert len(said) == 1


def test_an_answer_to_an_exercise_that_is_gone_stays_as_a_cell_of_the_learners(mine):
    edit(mine, solve)
    write(mine.course / NAME, new_notebook(cells=[new_markdown_cell("No taxes.", id="prose-none")]))
    list(again(mine).update())
    assert set(sources(mine.path / NAME)) == {"No taxes.", ANSWER, "tax(11)"}


def test_a_notebook_that_nobody_changed_is_replaced_though_windows_ends_its_lines(mine):
    path = mine.path / NAME
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    write(mine.course / NAME, notebook(prose="Taxes are new."))
    (said,) = again(mine).update()
    assert "replaced" in said and path.read_bytes() == (mine.course / NAME).read_bytes()
    assert not (mine.path / folders.EARLIER).exists()


def test_a_notebook_that_was_there_before_keeps_its_answers(tmp_path, course):
    """One that came by mail, for example; what it was made from is not known."""
    made = notebook()
    made.cells[1].source = ANSWER
    write(tmp_path / "mine" / NAME, made)
    mine = Folder(tmp_path / "mine", course)
    assert "learn --update" in list(mine.fill())[-1]
    list(again(mine).update())
    assert sources(mine.path / NAME) == [cell.source for cell in made.cells]


def test_what_is_no_notebook_stays_and_the_new_version_stands_beside_it(mine):
    (mine.path / NAME).write_text('{"cells": [')
    write(mine.course / NAME, notebook(prose="Taxes are new."))
    (said,) = again(mine).update()
    beside = mine.path / "07_taxes" / f"taxes {folders.NEW}.ipynb"
    assert (mine.path / NAME).read_text() == '{"cells": [' and beside.name in said
    assert beside.read_bytes() == (mine.course / NAME).read_bytes()
    assert list(again(mine).update()) == [f"{mine.path}: everything is up to date."]


def test_an_update_that_is_cut_off_loses_nothing_and_is_finished_by_the_next(mine, monkeypatch):
    olds = [edit(mine, solve, name) for name in (NAME, OTHER)]
    for name in (NAME, OTHER):
        write(mine.course / name, notebook(prose="Taxes are new."))
    replaced, left = os.replace, [3]

    def cut_off(*paths):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        replaced(*paths)

    monkeypatch.setattr(os, "replace", cut_off)
    with pytest.raises(OSError, match="No space"):
        list(again(mine).update())
    monkeypatch.undo()
    list(again(mine).update())
    for name, old in zip((NAME, OTHER), olds, strict=True):
        assert sources(mine.path / name) == ["Taxes are new.", ANSWER, "check(tax).grade()", "tax(11)", "The end."]
        kept = (mine.path / folders.EARLIER).rglob(f"{name.split('/')[1][:-6]}*.ipynb")
        assert old in [path.read_bytes() for path in kept]
    assert not [path for path in mine.path.rglob(".*.ipynb.*")]


def test_what_is_known_of_a_folder_may_be_damaged(mine):
    edit(mine, solve)
    (mine.kept / "given.json").write_text("[")
    assert ANSWER in sources(mine.path / NAME) and any("--update" in line for line in again(mine).fill())
    list(again(mine).update())
    assert ANSWER in sources(mine.path / NAME)
    assert set(json.loads((mine.kept / "given.json").read_text())["notebooks"]) == {NAME, OTHER}


def test_a_course_without_notebooks_is_refused(tmp_path):
    (tmp_path / "course").mkdir()
    with pytest.raises(CourseError, match="install it once more"):
        list(Folder(tmp_path / "mine", tmp_path / "course").fill())
    assert not (tmp_path / "mine").exists()
