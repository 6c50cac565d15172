"""pytest on a lesson's folder grades its notebook: one item per probe, the diagnosis as the failure message."""

import subprocess
import sys

import nbformat
import pytest
from lessons import LESSONS, REPOSITORY, read

from autograder.diagnosing import records
from autograder.notebooks import meaning

NAME = "scaled_dot_product_attention"
FOLDER = read(NAME).folder
SOLVED = REPOSITORY / "solutions" / "notebooks" / FOLDER
SKELETON = REPOSITORY / "course" / FOLDER
PROBES = [(exercise, probe) for exercise in read(NAME).exercises for probe, _ in records.read(exercise).probes]


def run_pytest(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rN", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=REPOSITORY,
    )
    return done.stdout


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """A learner's notebook: one exercise right, one with a mistake, one that raises, the others unsolved."""
    notebook = nbformat.read(SKELETON / f"{NAME}.ipynb", 4)
    answers = {
        "attention_scores": "def attention_scores(query, key):\n    return query @ key.mT / query.shape[-1] ** 0.5",
        "attention_weights": "def attention_weights(scores, mask=None):\n    return torch.softmax(scores, -1)",
        "attention_bug_input": "def attention_bug_input():\n    return nothing_of_this_name",
    }
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(name, cell.source)
    path = tmp_path_factory.mktemp("learner") / "mine.ipynb"
    nbformat.write(notebook, path)
    return run_pytest(path)


def test_a_solved_lesson_passes_with_one_item_per_probe():
    assert f"{len(PROBES)} passed" in run_pytest(SOLVED)


def test_a_warning_costs_nothing_where_warnings_are_errors(tmp_path):
    notebook = nbformat.read(SOLVED / f"{NAME}.ipynb", 4)
    answer = next(
        cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "attention_scores"
    )
    answer.source += "\nPATTERN = '\\d'\n"  # Python warns of the backslash
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    assert "1 passed" in run_pytest("-W", "error", "-k", records.read("attention_scores").probes[0][0], tmp_path)


def test_one_failing_probe_does_not_fail_the_others(wrong):
    right = len(records.read("attention_scores").probes)
    passed = int(wrong.rpartition(" passed")[0].rpartition(" ")[2])
    assert right < passed < len(PROBES)


def test_the_failure_message_is_the_diagnosis(wrong):
    assert "What can be seen: Hidden keys keep their weight: the mask changes nothing." in wrong
    assert "streaming_attention: not solved yet, 0 of 2 points." in wrong


def test_a_failure_shows_the_learners_line_and_no_traceback_of_ours(wrong):
    words = " ".join(wrong.split())
    assert "`return nothing_of_this_name`. The name `nothing_of_this_name` is not defined." in words
    assert "local.py" not in wrong and "pytest_plugin.py" not in wrong


def test_items_are_named_by_exercise_and_probe():
    listed = run_pytest("--collect-only", "-q", SKELETON)
    for exercise, probe in PROBES:
        assert f"{NAME}.ipynb::{exercise}::{probe}" in listed


def test_nbval_runs_the_cells_and_has_no_items_of_ours_beside_them():
    listed = run_pytest("--collect-only", "-q", "--nbval", SOLVED)
    assert listed.count("::Cell ") == listed.count(f"{NAME}.ipynb::") > 10


@pytest.mark.parametrize(
    ("option", "seen"),
    [("--nbval", "1 failed, 2 passed"), ("--nbval-lax", "3 passed"), ("-pno:transformer_taxonomy", "3 passed")],
)
def test_nbval_compares_what_a_trained_model_shows_in_meaning(option, seen, tmp_path):
    """With our plugin; without it nbval leaves such cells alone."""
    stored = {
        "loss = 0.251; print('loss', loss)": "loss 0.25",
        "print('loss', 1.03 * loss)": "loss 0.251",
        "print(loss)": "0.251",
    }
    cells = [
        nbformat.v4.new_code_cell(
            source,
            metadata=meaning.metadata("" if "'" in source else None),
            execution_count=1,
            outputs=[nbformat.v4.new_output("stream", text=text + "\n")],
        )
        for source, text in stored.items()
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "trained.ipynb")
    said = run_pytest(tmp_path, *({option} if option == "--nbval-lax" else {"--nbval", option}))
    assert seen in said
    assert ("stdout: now 'loss 0.25853', but stored 'loss 0.251'" in said) == ("failed" in seen)


def test_other_notebooks_and_broken_files_are_left_alone(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1/0")]), tmp_path / "other.ipynb")
    (tmp_path / "broken.ipynb").write_text('{"metadata": {"transformer_taxonomy": ')
    (tmp_path / "odd.ipynb").write_text('{"metadata": {"transformer_taxonomy": {"lesson": 7}}}')
    assert "no tests ran" in run_pytest(tmp_path)


def test_every_lesson_is_collected():
    listed = run_pytest("--collect-only", "-q", REPOSITORY / "course")
    for name in LESSONS:
        assert f"{name}.ipynb::" in listed
