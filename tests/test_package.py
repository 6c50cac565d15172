"""What pip installs is enough to learn with: lessons, checks, practice, without the repository and on any system."""

import sys
import tomllib
import zipfile
from pathlib import Path

import packed
import pytest

REPOSITORY = packed.REPOSITORY
sys.path.insert(0, str(REPOSITORY / ".ci"))
import check_release  # noqa: E402

# A learner's first hour in a terminal, as one program.
LEARNING = """
import os, pathlib, sys
import torch
import autograder, workbench
for module in (autograder, workbench):
    assert pathlib.Path(module.__file__).is_relative_to(sys.argv_place), module.__file__
from autograder import check, hint, practice, progress
from autograder.__main__ import main
from autograder.assemble import assemble

def attention_scores(query, key):
    return query @ key.transpose(-2, -1)

def causal_mask(length):
    while True:
        pass

wrong = check(attention_scores)
assert not wrong.passed and wrong.mistake, wrong
assert "line" in str(wrong.where(seconds=3))
stopped = check(causal_mask, seconds=0.2)
assert not stopped.passed and "stopped" in str(stopped), stopped

def attention_scores(query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5

assert check(attention_scores).passed
hint("attention_scores")
assert practice("attention_scores").give_up()
assert main(["learn", "my lessons", "--no-lab"]) == 0
mine = pathlib.Path("my lessons")
notebooks = sorted(mine.glob("*/*.ipynb"))
assert len(notebooks) >= 12
path = mine / "07_scaled_dot_product_attention" / "scaled_dot_product_attention.ipynb"
text = path.read_text(encoding="utf-8")
stub = 'raise NotImplementedError(\\\\"this exercise is not solved yet\\\\")'
assert stub in text
path.write_bytes(text.replace(stub, "return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5", 1)
                 .replace("\\n", "\\r\\n").encode())
os.chdir(mine)  # where the start page runs
(row,) = [line for line in str(assemble()).splitlines() if "attention_scores" in line]
assert "learner" in row, row
assert main(["learn", "--no-lab"]) == 0
assert main(["progress"]) == 0
assert main(["grade", "7"]) == 1
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return packed.wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def place(wheel, tmp_path_factory):
    """The wheel unpacked, in a place with a blank."""
    return packed.unpacked(wheel, tmp_path_factory.mktemp("some where") / "site packages")


def test_the_wheel_holds_every_file_of_its_packages_all_lessons_and_no_solution(wheel):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (wheel.parent / "transformer_taxonomy.tar.gz").touch()
    version, setuptools = project["project"]["version"], project["tool"]["setuptools"]
    assert list(check_release.wrong_files(wheel.parent / "source", wheel.parent, version, setuptools)) == []
    names = set(zipfile.ZipFile(wheel).namelist())
    lessons = {f"autograder/lessons/{path.parent.name}/{path.name}" for path in REPOSITORY.glob("course/*/*.ipynb")}
    assert len(lessons) >= 12 and lessons <= names
    allowed = ("autograder/", "workbench/", "transformer_taxonomy-")
    assert [name for name in names if not name.startswith(allowed) or "solutions" in Path(name).parts] == []


def test_learning_needs_the_wheel_what_learners_install_and_nothing_that_windows_lacks(place, tmp_path):
    code = f"import sys\nsys.argv_place = {str(place)!r}\n"
    code += (
        packed.without(("teach", "cluster", "book", "test"))
        + "import IPython, nbformat, platformdirs, rich.console, torch\n"
        + packed.WINDOWS
        + LEARNING
    )
    done = packed.run(
        code, place, tmp_path, PYTHONIOENCODING="cp1252:strict", TRANSFORMER_TAXONOMY_STATE=str(tmp_path / "state")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a folder of your own, with" in done.stdout
    assert "pip install --no-deps bertviz==" in done.stdout, "which is not among what learners install"
    assert "[teach]" in done.stderr, "the command of instructors says what to install"
