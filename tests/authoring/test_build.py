"""A lesson text becomes nbgrader's source and its release: the same bytes every time, and no answer in the release."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from processors import OTHER, environment
from test_lesson import SMALL, text  # noqa: F401  (text is a fixture)

from autograder import __main__ as command
from autograder.authoring import build, draft, lesson, release
from autograder.course import CourseError, find_root, select

CONFIG = """\
c = get_config()
c.CourseDirectory.source_directory = "solutions/notebooks"
c.CourseDirectory.release_directory = "course"
c.ClearSolutions.code_stub = {"python": '# YOUR CODE HERE\\nraise NotImplementedError("not solved yet")'}
"""
# What is not the same in every process and for every user.
OUTPUTS = SMALL.replace(
    "        print(double(number))",
    """\
        print(double(number))
    import os
    print("state:", os.environ["TRANSFORMER_TAXONOMY_STATE"] == "/of/the/builder")
    print(hash("x"))""",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A course whose one lesson is built and released; not to be changed."""
    root = make_course(tmp_path_factory.mktemp("course"))
    found = lesson.read(root / "solutions" / "small.py")
    assert build.build(found) and release.release(found, root)
    return root


@pytest.fixture
def course(built, tmp_path, monkeypatch):
    """A copy of that course, and the current folder."""
    shutil.copytree(built, tmp_path / "course")
    monkeypatch.chdir(tmp_path / "course")
    return tmp_path / "course"


def make_course(root, content=SMALL):
    (root / "solutions").mkdir()
    (root / "solutions" / "small.py").write_text(content)
    (root / "nbgrader_config.py").write_text(CONFIG)
    return root


def small(root):
    return lesson.read(root / "solutions" / "small.py")


def changed(root, old, new):
    """Change the lesson text, and put the notebook that belongs to it in place without running it."""
    path = root / "solutions" / "small.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    found = small(root)
    build.write(build.notebook_path(found), build.as_bytes(build.solved(found)))
    return found


def files(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def cells(path):
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}


SOLVED = Path("solutions/notebooks/07_small/small.ipynb")
RELEASED = Path("course/07_small/small.ipynb")


def test_the_solved_notebook_is_valid_and_holds_what_nbgrader_needs(built):
    notebook = nbformat.read(built / SOLVED, as_version=4)
    nbformat.validate(notebook)
    found = {cell.id: cell.metadata.get("nbgrader", {}) for cell in notebook.cells}
    exercise, check, question = found["exercise-double"], found["check-double"], found["question-why"]
    assert (exercise.grade_id, exercise.solution, exercise.grade, exercise.locked) == ("double", True, False, False)
    assert (check.grade_id, check.grade, check.locked, check.points) == ("check_double", True, True, 2)
    assert (question.grade_id, question.grade, question.solution, question.points) == ("why", True, True, 3)
    assert found["check-triple"].points == 1.5
    assert all(
        not settings for name, settings in found.items() if name.split("-")[0] in ("demo", "code", "predict", "lesson")
    )
    assert notebook.metadata.transformer_taxonomy == {"lesson": "small", "number": 7, "title": "Small numbers"}
    assert "version" not in notebook.metadata.language_info
    assert cells(built / SOLVED)["check-double"].source == "check(double).grade()"


def test_a_demo_runs_at_the_left_margin_and_its_output_is_stored(built):
    (demo,) = [cell for name, cell in cells(built / SOLVED).items() if name.startswith("demo")]
    assert demo.source == "# numbers, doubled\nfor number in range(3):\n    print(double(number))"
    assert demo.outputs == [{"name": "stdout", "output_type": "stream", "text": "0\n2\n4\n"}]
    assert demo.metadata == {}  # no execution times


def test_hints_are_in_no_notebook(built):
    for path in (SOLVED, RELEASED):
        content = (built / path).read_text()
        assert "Take it two times." not in content and "hint" not in content


def test_the_choices_of_a_predict_item_open_to_their_explanations(built):
    source = cells(built / RELEASED)["predict-guess"].source
    assert source.startswith(
        "What is twice 3?\n\n<details>\n<summary><code>five</code> $x &lt; y$</summary>\n\n✗ that is *one*"
    )
    assert source.endswith("<summary>six</summary>\n\n✓ 3 + 3\n\n</details>")


def test_the_skeleton_keeps_names_and_docstrings_and_has_stubs_for_solutions(built):
    found = cells(built / RELEASED)
    assert found["exercise-double"].source == (
        'def double(number):\n    """Return twice the number."""\n'
        '    # YOUR CODE HERE\n    raise NotImplementedError("not solved yet")'
    )
    assert found["question-why"].source == "Why twice?\n\nYOUR ANSWER HERE"
    assert all(not cell.get("outputs") for cell in found.values())
    assert list(found) == list(cells(built / SOLVED))


def test_the_release_is_in_the_gradebook_as_nbgrader_keeps_it(built):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{built / 'gradebook.db'}") as gradebook:
        notebook = gradebook.find_notebook("small", "07_small")
        assert {cell.name: cell.max_score for cell in notebook.grade_cells} == {
            "check_double": 2,
            "check_triple": 1.5,
            "why": 3,
        }


def test_building_and_releasing_again_changes_no_byte_and_touches_no_file(course):
    before = files(course)
    times = {path: (course / path).stat().st_mtime_ns for path in (SOLVED, RELEASED)}
    assert not build.build(small(course))
    assert not release.release(small(course), course)
    after = files(course)
    assert {path for path in before | after if before.get(path) != after.get(path)} <= {Path("gradebook.db")}
    assert times == {path: (course / path).stat().st_mtime_ns for path in (SOLVED, RELEASED)}


def test_a_build_elsewhere_gives_the_same_bytes(built, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    other = make_course(tmp_path)
    build.build(small(other))
    release.release(small(other), other, register=False)
    for path in (SOLVED, RELEASED):
        assert (other / path).read_bytes() == (built / path).read_bytes()
    assert not (other / "gradebook.db").exists()


# A model that is really trained, and a picture of it; the variable PLAYED moves its weights by what a processor
# rounds otherwise.
TRAINED = SMALL.replace(
    "# %% demo",
    """\
# %% demo trained
if __name__ == "__main__":
    import os

    import torch

    from workbench import figures, training

    torch.manual_seed(7)
    model = torch.nn.Sequential(torch.nn.Linear(3, 17), torch.nn.Tanh(), torch.nn.Linear(17, 1))
    with torch.no_grad():
        model[0].weight *= 1 + 1e-4 * float(os.environ.get("PLAYED", 0))
    inputs = torch.randn(64, 3)
    losses = training.train(model, [(inputs,)] * 50, lambda model, x: (model(x)[:, 0] - x.prod(-1)).square().mean(),
                            50, learning_rate=0.1).losses
    print(f"the loss falls from {losses[0]:.9f} to {losses[-1]:.9f}")
    panel = figures.Panel("Training", "loss", {"model": losses})
    figures.lines(list(range(50)), xlabel="step", panels=[panel]).told("The loss falls.").show()

# %% demo""",
)


def test_a_build_on_another_processor_leaves_every_byte_as_it_is(tmp_path):
    root = make_course(tmp_path, TRAINED)

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "autograder", *words, "--root", str(root)],
            capture_output=True,
            text=True,
            check=True,
            env=environment(OTHER) | {"PLAYED": "1"},
        ).stdout

    build.build(small(root))
    release.release(small(root), root, register=False)
    before = files(root)
    assert "built, unchanged" in run("build") and "released, unchanged" in run("release")
    after = files(root)
    assert {path for path in before | after if before.get(path) != after.get(path)} == {Path("gradebook.db")}
    # Had no number been another one there, this would prove nothing.
    assert "unchanged" not in run("build", "--again") and (root / SOLVED).read_bytes() != before[SOLVED]


def test_a_build_writes_an_output_that_changed_though_no_cell_did(course):
    stored = (course / SOLVED).read_text()
    assert stored.count('"0\\n"') == 1
    (course / SOLVED).write_text(stored.replace('"0\\n"', '"0.01\\n"'))
    assert build.build(small(course)) and (course / SOLVED).read_text() == stored


def test_the_progress_of_whoever_builds_stays_untouched_and_hashes_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFORMER_TAXONOMY_STATE", "/of/the/builder")
    root = make_course(tmp_path, OUTPUTS)
    build.build(small(root))
    first = (root / SOLVED).read_bytes()
    build.build(small(root))
    assert (root / SOLVED).read_bytes() == first
    (demo,) = [cell for name, cell in cells(root / SOLVED).items() if name.startswith("demo")]
    assert "state: False\n" in demo.outputs[0].text


# what runs -> words of the fault; the line blamed is the one with `here`
FAILING = {
    "an error": ("    1 / 0  # here", "ZeroDivisionError: division by zero; correct the demo cell of line"),
    "a deeper error": ("    # twice\n    double(object())  # here", "TypeError: unsupported operand"),
    "a kernel that ends": ("    import os  # here\n    os._exit(3)", "this cell did not finish"),
    "an exercise without a record": (
        "    from autograder import check\n    check(double)  # here",
        "exercise 'double' is not recorded; run python -m autograder record small",
    ),
    "a warning": ("    import warnings  # here\n    warnings.warn('careful')", "writes to stderr"),
    "an address": ("    print(object())  # here", "shows a memory address"),
    "a path": ("    import sys  # here\n    print(sys.prefix)", "of this machine"),
}


@pytest.mark.parametrize("case", ["an error", "a deeper error", "a kernel that ends", "an exercise without a record"])
def test_a_cell_that_fails_is_blamed_with_its_line_and_leaves_nothing_behind(case, tmp_path):
    body, words = FAILING[case]
    content = SMALL.replace("        print(double(number))", "        print(double(number))\n" + body)
    root = make_course(tmp_path, content)
    before = files(root)
    with pytest.raises(lesson.LessonError) as caught:
        build.build(small(root))
    (fault,) = caught.value.faults
    assert words in str(fault)
    lines = content.split("\n")
    assert "here" in lines[fault.line - 1] or (case == "a kernel that ends" and lines[fault.line - 1] == "# %% demo")
    assert files(root) == before and not (root / SOLVED.parent).exists()


def test_outputs_that_would_differ_elsewhere_are_refused(course):
    cases = [FAILING[case] for case in ("a warning", "an address", "a path")]
    body = "\n".join(body for body, _ in cases)
    content = SMALL.replace("        print(double(number))", "        print(double(number))\n" + body)
    (course / "solutions" / "small.py").write_text(content)
    before = (course / SOLVED).read_bytes()
    with pytest.raises(lesson.LessonError) as caught:
        build.build(small(course))
    assert all(any(words in str(fault) for fault in caught.value.faults) for _, words in cases)
    assert (course / SOLVED).read_bytes() == before


@pytest.mark.parametrize(("most", "earned"), [("1.25", "more than the maximum"), ("3", "1.5")])
def test_a_solution_that_does_not_earn_its_points_is_refused(most, earned, tmp_path):
    root = make_course(tmp_path, SMALL.replace("points=1.5", f"points={most}"))
    with pytest.raises(lesson.LessonError, match=f"gives the solution {earned} of {most}.* points"):
        build.build(small(root))


def test_a_demo_keeps_its_meaning_when_it_moves_to_the_left(text):  # noqa: F811
    body = '    value = (\n        "a"\n    )\n    if value:\n        # inner\n        print(f"{value}!")'
    found = lesson.read(text(SMALL.replace("    for number in range(3):\n        print(double(number))", body)))
    (demo,) = [cell for cell in found.cells if cell.role == "demo"]
    assert draft.dedented_demo(demo.source).endswith('if value:\n    # inner\n    print(f"{value}!")')


def test_cells_of_the_same_text_have_different_ids(text):  # noqa: F811
    prose = '\n# %% [markdown]\nr"""Again."""\n'
    notebook = build.solved(lesson.read(text(SMALL + prose + prose)))
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids) and ids[-1] == ids[-2] + "-2"


# how an answer could get into a release: (old text, new text)
LEAKS = {
    "a line in a demo": ("    # numbers, doubled", "    number = 3\n    print([ number*FACTOR +  math.floor( 0.5) ])"),
    "a comment": ("    # numbers, doubled", "    # doubling is adding to itself"),
    "a line in prose": ("It's about", "It's `return  double(number)+number` and about"),
    "a sample answer": ("- [x] six :: 3 + 3", "- [x] six :: Because two is the only  even prime."),
    "an answer in its question": ("Why twice?", "Why twice? Because two is the only even prime."),
    "an answer in a docstring": (
        "Three times a number.",
        "Return double(number) + number: return double(number) + number",
    ),
}


@pytest.mark.parametrize("case", LEAKS)
def test_a_release_that_tells_an_answer_is_refused_and_the_old_one_stays(case, course):
    found = changed(course, *LEAKS[case])
    before = files(course)
    with pytest.raises(lesson.LessonError) as caught:
        release.release(found, course)
    assert any("would be released in the cell of line" in fault.fact for fault in caught.value.faults)
    lines = (course / "solutions" / "small.py").read_text().split("\n")
    for fault in caught.value.faults:
        assert fault.fact.split("`")[1] in lines[fault.line - 1]
    assert files(course) == before


def test_a_release_is_refused_for_each_file_beside_the_notebook(course):
    (course / "solutions" / "notebooks" / "07_small" / "answers.py").write_text("answer = 1\n")
    before = files(course)
    with pytest.raises(lesson.LessonError, match="solutions/notebooks/07_small/answers.py would be published"):
        release.release(small(course), course)
    assert files(course) == before


def test_an_answer_in_another_file_of_the_release_folder_is_found(course):
    other = {"cells": [{"source": ["def f(number):\n", '    return number * FACTOR + math.floor(0.5)  # "so"\n']}]}
    (course / "course" / "07_small" / "old.ipynb").write_text(json.dumps(other))
    with pytest.raises(lesson.LessonError, match=r"would be released in course/07_small/old.ipynb"):
        release.release(small(course), course)


def test_a_release_without_stubs_is_refused(course):
    with (course / "nbgrader_config.py").open("a") as config:
        config.write('c.ClearSolutions.begin_solution_delimeter = "BEGIN ANSWER"\n')
        config.write("c.GenerateAssignment.preprocessors = ['nbgrader.preprocessors.ClearOutput']\n")
    before = files(course)
    with pytest.raises(lesson.LessonError) as caught:
        release.release(small(course), course)
    facts = "\n".join(fault.fact for fault in caught.value.faults)
    assert "double is released without its stub" in facts and "why is released without its stub" in facts
    assert "the marker `### BEGIN SOLUTION` would be released" in facts
    assert files(course) == before


def test_what_nbgrader_refuses_leaves_the_old_release(course):
    with (course / "nbgrader_config.py").open("a") as config:
        config.write('c.ClearSolutions.end_solution_delimeter = "THE END"\n')
    before = files(course)
    with pytest.raises(CourseError, match="07_small: nbgrader refused the release"):
        release.release(small(course), course)
    assert files(course) == before


def test_only_a_notebook_that_is_built_from_the_text_is_released(course):
    path = course / "solutions" / "small.py"
    path.write_text(path.read_text().replace("Why twice?", "Why two times?"))
    with pytest.raises(lesson.LessonError, match="is not built from this text; run python -m autograder build small"):
        release.release(small(course), course)
    (course / SOLVED).unlink()
    with pytest.raises(lesson.LessonError, match="the lesson is not built"):
        release.release(small(course), course)


@pytest.mark.parametrize(
    "line",
    ["return output, weights", "head_dim = query.shape[-1]", "if mask is not None:", "for index in range(len(query)):"]
    + ["import torch.nn.functional as F", "def forward(self, query, key):", "elif mask is None:", "short = a @ b"],
)
def test_a_line_that_only_moves_names_about_is_no_answer(line):
    assert not release.code_tells(line)


@pytest.mark.parametrize(
    "line",
    ["return query @ key.mT", "weights = softmax(scores)", "# the largest score becomes 0", "if scores.max() > 80:"]
    + ["total = total * correction +", 'raise ValueError("an odd size")', "elif size % 2 == 1:"],
)
def test_a_line_that_computes_or_explains_is_an_answer(line):
    assert release.code_tells(line)


def run(*words):
    return command.main(list(words))


def test_the_command_builds_nothing_if_any_lesson_has_a_fault(course, capsys):
    (course / "solutions" / "other.py").write_text(
        SMALL.replace("lesson=7", "lesson=0").replace("points=1.5", "points=x")
    )
    shutil.rmtree(course / SOLVED.parent)
    before = files(course)
    assert run("build") == 1
    said = capsys.readouterr()
    assert (
        "solutions/other.py:1: lesson=0 is not a lesson number" in said.err and "points=x is not a number" in said.err
    )
    assert "Traceback" not in said.err and said.out == ""
    assert files(course) == before


def test_two_lessons_of_one_number_are_refused(course, capsys):
    (course / "solutions" / "twin.py").write_text(SMALL)
    assert run("release") == 1
    assert "solutions/twin.py:1: another lesson is number 7, too; renumber one" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["7", "07", "small", "solutions/small.py", "solutions/notebooks/07_small", "07_small"])
def test_a_lesson_is_chosen_by_number_name_or_path(word, course):
    assert select(course, [word, "small"]) == [Path("solutions/small.py")]


@pytest.mark.parametrize("word", ["smal", "8", "elsewhere/small.py"])
def test_an_unknown_lesson_is_an_error_that_names_what_there_is(word, course, capsys):
    assert run("build", word) == 1
    said = capsys.readouterr().err
    assert f"there is no lesson {word if word == '8' else '`' + word + '`'}" in said and (
        "small" in said or "7" in said
    )


def test_the_course_is_found_from_inside_or_by_its_root(course, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(course / "course")
    assert find_root() == course
    monkeypatch.chdir(tmp_path)
    assert run("release") == 1 and "no nbgrader_config.py here or above" in capsys.readouterr().err
    assert run("release", "--root", str(course)) == 0
    assert capsys.readouterr().out.startswith("07_small ... released, unchanged")


def test_the_command_fails_without_a_traceback_and_goes_on_with_the_next_lesson(course, capsys):
    (course / "solutions" / "zero.py").write_text(SMALL.replace("lesson=7", "lesson=8"))
    path = course / "solutions" / "small.py"
    path.write_text(path.read_text().replace("Why twice?", "Why two times?"))
    zero = build.as_bytes(build.solved(lesson.read("solutions/zero.py")))
    build.write(course / "solutions/notebooks/08_zero/zero.ipynb", zero)
    assert run("release") == 1
    said = capsys.readouterr()
    assert "is not built from this text" in said.err and "Traceback" not in said.err
    assert "07_small ... refused" in said.out and "08_zero ... released" in said.out


def test_the_module_is_a_command():
    done = subprocess.run([sys.executable, "-m", "autograder", "--help"], capture_output=True, text=True, check=True)
    assert "build" in done.stdout and "release" in done.stdout and done.stderr == ""


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "07_small" / "small.ipynb"
    assert build.write(path, b"old") and not build.write(path, b"old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(build.os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        build.write(path, b"new")
    assert files(tmp_path) == {Path("07_small/small.ipynb"): b"old"}
