"""A lesson that changed after submissions arrived: nothing is lost, and one message says how to go on."""

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell
from nbgrader_course import LESSON, NOTEBOOK, Course, cell_of, graded, lesson, solved

from autograder.authoring.assign import change, generate, load_config
from autograder.course import CourseError


@pytest.fixture(scope="module")
def graded_course(tmp_path_factory):
    """A course in which one submission is graded."""
    course = Course(tmp_path_factory.mktemp("course")).release()
    course.submit("ada", course.answers())
    assert course.api().autograde(LESSON, "ada")["success"]
    return course


@pytest.fixture
def course(graded_course):
    yield graded_course
    graded_course.write(lesson(), graded_course.source, LESSON, NOTEBOOK)
    graded_course.release(force=True)


def with_a_question(course):
    changed = lesson()
    changed.cells.append(graded(new_markdown_cell("And why else?\n\n" + solved("As well.\n")), "why_else", 2))
    course.write(changed, course.source, LESSON, NOTEBOOK)


def with_other_points(course):
    changed = lesson()
    cell_of(changed, "check_merge_heads").metadata.nbgrader["points"] = 5
    course.write(changed, course.source, LESSON, NOTEBOOK)


def state(course):
    """What must not be lost: the release, and what the gradebook has of the class."""
    with course.gradebook() as book:
        one = book.find_submission(LESSON, "ada")
        grades = {grade.name: grade.score for notebook in one.notebooks for grade in notebook.grades}
    folder = course.root / "course" / LESSON
    return {path.name: path.read_bytes() for path in folder.iterdir()}, grades


def by_command(course):
    return course.nbgrader("generate_assignment", LESSON, "--force", check=False)


def by_formgrader(course):
    done = course.api().generate_assignment(LESSON, force=True)
    assert not done["success"]
    return done["log"]


def by_release(course):
    with pytest.raises(CourseError) as caught:
        generate(LESSON, load_config(course.root), course.root / "scratch", register=True)
    return str(caught.value)


@pytest.mark.parametrize("way", [by_command, by_formgrader, by_release])
def test_an_added_question_is_refused_with_a_way_on_and_nothing_is_lost(course, way):
    before = state(course)
    with_a_question(course)
    said = way(course)
    assert state(course) == before
    assert f"{LESSON}: this class has handed in 1 submission" in said and "why_else was added" in said
    assert "undo the change" in said and f"nbgrader db assignment remove {LESSON} --force" in said
    assert "Traceback" not in said


def test_every_way_on_that_the_message_names_works(course):
    before = state(course)
    with_a_question(course)
    aside = course.root / "gradebook.db"
    aside.rename(course.root / "of_the_old_class.db")
    assert by_command(course) and cell_of(course.released(), "why_else")
    (course.root / "gradebook.db").unlink()
    (course.root / "of_the_old_class.db").rename(aside)
    assert state(course)[1] == before[1]


@pytest.mark.parametrize("way", ["command", "api"])
def test_a_release_that_fails_for_any_other_reason_stays_as_it_was(course, way):
    before = state(course)
    broken = lesson()
    cell_of(broken, "attention_scores").source = "### BEGIN SOLUTION\nx = 1\n"
    course.write(broken, course.source, LESSON, NOTEBOOK)
    said = by_command(course) if way == "command" else by_formgrader(course)
    assert state(course) == before and "nbgrader refused the release" in said


def test_other_points_are_taken_and_said_and_grades_stay(course):
    grades = state(course)[1]
    with_other_points(course)
    said = by_command(course)
    assert "points have changed since this class handed in 1 submission (check_merge_heads had 2 and has 5)" in said
    assert state(course)[1] == grades
    assert cell_of(course.released(), "check_merge_heads").metadata.nbgrader["points"] == 5


def test_a_change_that_touches_no_graded_cell_is_released_without_a_word(course):
    changed = lesson()
    changed.cells[0].source += " Told in other words."
    course.write(changed, course.source, LESSON, NOTEBOOK)
    said = by_command(course)
    assert "in other words" in course.released().cells[0].source and "submission" not in said
    assert change(LESSON, load_config(course.root)).cells == ()


def test_before_anybody_has_handed_in_everything_may_change(tmp_path):
    course = Course(tmp_path).release()
    with_a_question(course)
    said = []
    generate(LESSON, load_config(course.root), tmp_path / "scratch", register=True, say=said.append)
    assert change(LESSON, load_config(course.root)) is None and said == []
    course.nbgrader("generate_assignment", LESSON, "--force")
    assert cell_of(course.released(), "why_else")
    assert nbformat.read(course.root / "course" / LESSON / f"{NOTEBOOK}.ipynb", 4)


def test_a_release_that_is_there_is_passed_over_without_force(course):
    before = state(course)
    with_a_question(course)
    assert "Skipping existing assignment" in course.nbgrader("generate_assignment", LESSON)
    assert state(course) == before
