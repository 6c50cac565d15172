"""An exercise that learners write in an empty cell: what is released, and what is said before anything is written."""

import nbformat
import pytest
from test_build import CONFIG

from autograder import check
from autograder.authoring import build, lesson, release
from autograder.checking import check as checking
from autograder.diagnosing import records

TEXT = '''\
# %% [markdown] lesson=7 title="Small numbers"
r"""
# 7. Small numbers
"""

# %%
import math

# %% exercise="half" empty=true
# Write half here, all of it.
### BEGIN SOLUTION
def smaller(number, times):
    return number / times


def half(number):
    """Return half of the number."""
    return smaller(number, times=2.0 + math.sin(0))
### END SOLUTION

# %% [markdown] hint="half"
r"""one"""

# %% [markdown] hint="half"
r"""two"""

# %% [markdown] hint="half"
r"""three"""

# %% check="half" points=2
'''
OURS = """\
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.LockCells",
    "autograder.authoring.clear.ClearAnswers",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
]
"""


@pytest.fixture
def course(tmp_path):
    """A course with one lesson, whose notebook is in place without having been run."""
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "small.py").write_text(TEXT)
    (tmp_path / "nbgrader_config.py").write_text(CONFIG + OURS)
    found = small(tmp_path)
    build.write(build.notebook_path(found), build.as_bytes(build.solved(found)))
    return tmp_path


def small(root):
    return lesson.read(root / "solutions" / "small.py")


def cells(path):
    return {cell.id: cell.source for cell in nbformat.read(path, as_version=4).cells}


def refused(tmp_path, old, new):
    assert TEXT.count(old) == 1, old
    (tmp_path / "small.py").write_text(TEXT.replace(old, new))
    with pytest.raises(lesson.LessonError) as caught:
        lesson.read(tmp_path / "small.py")
    return [fault.fact for fault in caught.value.faults]


def test_the_cell_is_released_with_comments_alone(course):
    assert release.release(small(course), course, register=False)
    released = cells(course / "course" / "07_small" / "small.ipynb")
    assert released["exercise-half"] == "# Write half here, all of it.\n# YOUR CODE HERE"
    assert released["check-half"] == 'check("half").grade()'  # there is nothing of that name when it runs first


def test_nbgraders_own_stub_would_end_the_notebook_and_is_refused(course):
    (course / "nbgrader_config.py").write_text(CONFIG)
    with pytest.raises(lesson.LessonError, match="half is released with more in its cell than comments"):
        release.release(small(course), course, register=False)


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        ("empty=true", "empty=false", "empty=False has no meaning"),
        ("# Write half here, all of it.", "FACTOR = 2", "without its solution the cell of half is not empty"),
        ('    """Return half of the number."""\n', "", "half has no docstring"),
        ("### BEGIN SOLUTION", "  ### BEGIN SOLUTION", "without its solution the cell of half is not empty"),
    ],
)
def test_a_cell_that_would_not_be_empty_is_refused(tmp_path, old, new, fact):
    assert any(fact in told for told in refused(tmp_path, old, new))


def test_other_exercises_keep_their_stub_and_the_check_of_their_component(tmp_path):
    (tmp_path / "small.py").write_text(
        TEXT.replace(" empty=true", "")
        .replace("### BEGIN SOLUTION\n", "", 1)
        .replace(
            '    """Return half of the number."""\n', '    """Return half of the number."""\n    ### BEGIN SOLUTION\n'
        )
        .replace("math.sin(0))\n###", "math.sin(0))\n    ###")
    )
    found = lesson.read(tmp_path / "small.py")
    assert not found.exercises["half"].empty
    assert {node.id: node.source for _, node in build.expanded(found)}["check-half"] == "check(half).grade()"


# What is said of it


def test_before_anything_is_written_the_check_says_so_kindly():
    result = check("GPT")
    assert result.unsolved and result.earned == 0 and not result.passed
    assert "not solved yet" in repr(result) and "Nothing is called GPT yet" in repr(result)
    assert "Nothing is called GPT yet" in result._repr_html_() and 'hint("GPT")' in repr(result)


def test_what_has_the_name_is_checked_by_it():
    GPT = lambda: None  # noqa: E731, F841  (found by its name)
    result = check("GPT")
    assert not result.unsolved and not result.passed


def test_the_name_of_an_exercise_with_a_skeleton_is_no_component():
    with pytest.raises(TypeError, match="check needs the component itself"):
        check("attention_scores")


def test_only_records_of_empty_cells_say_so():
    empty = {name for name in records.exercises() if records.read(name).empty}
    assert empty == {"GPT"}


def test_the_result_of_what_is_not_written_is_no_try(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFORMER_TAXONOMY_STATE", str(tmp_path))
    check("GPT")
    assert not list(tmp_path.rglob("*"))
    assert checking.unwritten(records.read("GPT")).mistake is None
