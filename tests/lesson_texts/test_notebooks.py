"""The notebooks of the course: built from the texts, run from top to bottom, strict on what they show."""

import os
import subprocess
import sys

import nbformat
import pytest
from lessons import LESSONS, REPOSITORY, read
from nbclient import NotebookClient
from processors import OTHER, PLAYED

from autograder.authoring import build, release
from autograder.checking.result import MIME_TYPE
from autograder.diagnosing import records

SOLVED = {name: build.notebook_path(read(name)).resolve() for name in LESSONS}
# To run all notebooks on every processor would take long. Each runs on one: those in whose outputs rounding adds up
# most, and that do not train longest, on a played one.
ELSEWHERE = {"capstone": "with AVX2", "encoder_decoder": "with AVX2", "layer_normalization": OTHER}
HERE = [name for name in LESSONS if name not in ELSEWHERE]
SKELETONS = {name: REPOSITORY / "course" / read(name).folder / f"{name}.ipynb" for name in LESSONS}


def without_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return build.as_bytes(notebook)


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_solved_notebook_is_that_of_the_present_text(lesson):
    kept = nbformat.read(SOLVED[lesson], 4)
    assert without_outputs(kept) == without_outputs(build.solved(read(lesson))), f"run: make build LESSONS={lesson}"


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_released_notebook_is_byte_for_byte_that_of_the_solved_one(lesson):
    before = SKELETONS[lesson].read_bytes()
    assert not release.release(read(lesson), REPOSITORY, register=False), f"run: make build LESSONS={lesson}"
    assert SKELETONS[lesson].read_bytes() == before


def shows_what_it_stored(lesson, **processor):
    """nbval runs every cell and compares every output: of a trained model in meaning, pictures by presence."""
    # A worker of pytest sets a width of its own, by which the text of a long result would be broken elsewhere.
    without_width = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            SOLVED[lesson].parent,
            SOLVED[lesson],
        ],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=SOLVED[lesson].parent,
        env=without_width | processor | {"TQDM_DISABLE": "1"},
    )  # a progress bar comes only on a slow machine
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("lesson", HERE)
def test_the_solved_notebook_shows_what_it_stored(lesson):
    shows_what_it_stored(lesson)


@pytest.mark.parametrize("lesson", ELSEWHERE)
def test_the_solved_notebook_shows_on_another_processor_what_it_stored(lesson):
    shows_what_it_stored(lesson, **PLAYED[ELSEWHERE[lesson]])


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_skeleton_runs_from_top_to_bottom_and_only_unsolved_exercises_say_so(lesson, tmp_path):
    notebook = nbformat.read(SKELETONS[lesson], 4)
    client = NotebookClient(notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": tmp_path}})
    # An error in any cell is raised here. A progress bar comes only on a slow machine.
    client.execute(env=os.environ | {"TQDM_DISABLE": "1"})
    results = [
        output.data[MIME_TYPE]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if MIME_TYPE in output.get("data", {})
    ]
    assert [result["exercise"] for result in results] == list(read(lesson).exercises)
    assert all(result["unsolved"] and result["earned"] == 0 for result in results)
    errors = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert errors == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_each_check_is_worth_what_was_recorded(lesson):
    checks = {
        cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.points
        for cell in nbformat.read(SKELETONS[lesson], 4).cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
    }
    assert checks == {f"check_{name}": records.read(name).points for name in read(lesson).exercises}
