"""The first code cell of every notebook: nothing where the course is installed, the right words where it is not."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograder.authoring.build import solved
from autograder.authoring.lesson import read
from autograder.authoring.setup_cell import address, links, setup_source
from autograder.course import CourseError, released
from autograder.intake.folder import Limits
from autograder.intake.merging import merge
from autograder.intake.notebook import cells_in

REPOSITORY = Path(__file__).parents[2]
LESSON = "scaled_dot_product_attention"
FOLDER = f"07_{LESSON}"
ADDRESS = "https://github.com/ada/a-course"


@pytest.fixture
def root(tmp_path):
    """A course that says where it is."""
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "a"\n[project.urls]\nRepository = "{ADDRESS}"\n')
    return tmp_path


def run(source, tmp_path, **variables):
    """Run the cell with a Python that has nothing installed; return what it printed and how it ended."""
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nexec({source!r})\nprint('it went on')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], env=variables, capture_output=True, text=True)
    return done.stdout, done.stderr


def test_it_is_the_first_code_cell_of_every_notebook():
    paths = [*released().glob("*/*.ipynb"), *REPOSITORY.glob("solutions/notebooks/*/*.ipynb")]
    assert len(paths) >= 24
    for path in paths:
        first = next(
            cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
        )
        assert "".join(first["source"]) == setup_source(REPOSITORY), f"build and release {path.parent.name} again"
        assert first["id"] == "setup" and "nbgrader" not in first["metadata"] and first["outputs"] == []


def test_where_the_course_is_installed_it_does_nothing_and_prints_nothing():
    done = subprocess.run([sys.executable, "-c", setup_source(REPOSITORY)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_nothing_is_installed_it_ends_with_the_command(tmp_path, root):
    said = run(setup_source(root), tmp_path)
    assert "it went on" not in said[0] and f'%pip install "transformer-taxonomy @ git+{ADDRESS}"' in said[1]
    assert '%pip install "transformer-taxonomy"' in run(setup_source(tmp_path / "none"), tmp_path)[1]


@pytest.mark.parametrize("name", ["autograder", "workbench"])
def test_packages_of_others_with_the_same_name_are_noticed(tmp_path, name):
    for module in ("autograder", "workbench"):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text("check = None" if module != name else "__version__ = '3.7.7'")
    (tmp_path / "workbench" / "parts.py").write_text("")
    if name == "workbench":
        (tmp_path / "workbench" / "parts.py").unlink()
    assert (
        "%pip uninstall --yes autograder workbench transformer-taxonomy" in run(setup_source(REPOSITORY), tmp_path)[1]
    )


@pytest.mark.parametrize("variable", ["COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"])
def test_on_a_hosted_machine_the_command_leaves_what_is_there(tmp_path, root, variable):
    said, error = run(setup_source(root), tmp_path, **{variable: "1"})
    assert f'%pip install --no-deps bertviz fsrs mpld3 "transformer-taxonomy @ git+{ADDRESS}"' in error and not said


def test_the_head_links_to_where_the_notebook_can_be_opened(root, tmp_path):
    said = links(root, FOLDER, LESSON)
    path = f"course/{FOLDER}/{LESSON}.ipynb"
    assert f"[Colab](https://colab.research.google.com/github/ada/a-course/blob/main/{path})" in said
    assert f"[Kaggle](https://kaggle.com/kernels/welcome?src={ADDRESS}/blob/main/{path})" in said
    assert f"[Binder](https://mybinder.org/v2/gh/ada/a-course/main?labpath={path})" in said
    (root / "solutions").mkdir()
    text = (REPOSITORY / "solutions" / f"{LESSON}.py").read_text(encoding="utf-8")
    (root / "solutions" / f"{LESSON}.py").write_text(text, encoding="utf-8")
    title, setup = solved(read(root / "solutions" / f"{LESSON}.py")).cells[:2]
    assert title.source.endswith(said) and title.source.startswith("# 7.") and ADDRESS in setup.source


def test_without_an_address_or_on_another_host_there_are_no_links(tmp_path, root):
    assert links(REPOSITORY, FOLDER, LESSON) == "" or address(REPOSITORY)
    for told in ('name = "a"', '[project.urls]\nRepository = "https://codeberg.org/ada/a-course"'):
        (root / "pyproject.toml").write_text(f"[project]\n{told}\n")
        assert links(root, FOLDER, LESSON) == ""


def test_an_address_that_pip_would_misread_is_refused(root):
    (root / "pyproject.toml").write_text('[project.urls]\nRepository = "https://a.org/b\' ; rm -r c"\n')
    with pytest.raises(CourseError, match="write an address"):
        address(root)


@pytest.mark.parametrize("change", ["deleted", "edited", "as it was"])
def test_what_a_learner_makes_of_it_changes_no_answer_and_no_check(change):
    place = released() / FOLDER / f"{LESSON}.ipynb"
    mine = nbformat.read(place, 4)
    answer = next(cell for cell in mine.cells if cell.id.startswith("exercise-"))
    answer.source = "def attention_scores(query, key):\n    return query"
    if change == "deleted":
        del mine.cells[1]
    elif change == "edited":
        mine.cells[1].source = "%pip install transformer-taxonomy"
    else:
        mine.cells[1].outputs = [nbformat.v4.new_output("stream", text="Collecting")]
    before = nbformat.read(place, 4).cells
    rebuilt, _ = merge(nbformat.read(place, 4).cells, cells_in(nbformat.writes(mine).encode(), Limits()))
    theirs = [cell for cell in rebuilt if not cell.id.startswith("learner-")]
    assert [cell.source for cell in theirs if cell.id != answer.id] == [c.source for c in before if c.id != answer.id]
    assert next(cell.source for cell in theirs if cell.id == answer.id) == answer.source
    assert len(rebuilt) - len(theirs) == (change == "edited")
