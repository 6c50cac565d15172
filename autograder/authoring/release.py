"""Make the learner's notebook of a lesson with nbgrader's generate_assignment; refuse one that holds an answer."""

import argparse
import ast
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder import course
from autograder.authoring.assign import generate, load_config, release_folder
from autograder.authoring.build import as_bytes, each, expanded, notebook_path, solved, strings, write
from autograder.authoring.build import choice as arguments  # noqa: F401  (__main__ asks every command for `arguments`)
from autograder.authoring.clear import CODE_HERE
from autograder.authoring.draft import BEGIN
from autograder.authoring.lesson import Exercise, Fault, Lesson, LessonError, Question
from autograder.authoring.rules import looks_like_marker

LEAST = 12  # shorter lines, such as `return x` or `else:`, say nothing

# A line of code made of these alone only moves names about.
SAYS_NOTHING = (
    *(ast.Module, ast.Expr, ast.Return, ast.Assign, ast.Pass, ast.If, ast.For, ast.Load, ast.Store),
    *(ast.Name, ast.Attribute, ast.Tuple, ast.List, ast.Constant, ast.Compare, ast.Is, ast.IsNot),
    *(ast.Subscript, ast.UnaryOp, ast.USub),  # head_dim = query.shape[-1]
    *(ast.Import, ast.ImportFrom, ast.alias, ast.FunctionDef, ast.ClassDef, ast.arguments, ast.arg),
)
COUNTING = ("range", "len", "enumerate", "zip")


def release(
    lesson: Lesson, root: Path | str, register: bool = True, say: Callable[[str], object] = lambda notice: None
) -> bool:
    """Write the lesson's skeleton into the release folder; return whether the file changed.

    register  whether the instructor's gradebook is told of the assignment, as `nbgrader generate_assignment` does
    say       is called with what the instructor should know, if submissions were graded with other points

    A LessonError leaves the earlier release, and the gradebook, as they were.
    """
    config = load_config(root)
    current(lesson)
    with tempfile.TemporaryDirectory() as scratch:
        first = _generated(lesson, config, Path(scratch) / "first", register=False)
        notebook = nbformat.reads(first.decode(), as_version=nbformat.NO_CONVERT)
        target = Path(root) / release_folder(config) / lesson.folder / f"{lesson.name}.ipynb"
        if faults := [
            *alone(lesson),
            *unsolved(lesson, notebook, config),
            *leaks(lesson, notebook, target.parent),
        ]:
            raise LessonError(faults)
        if register and _generated(lesson, config, Path(scratch) / "second", register=True, say=say) != first:
            raise course.CourseError(f"{lesson.folder}: nbgrader made two different releases; see its configuration")
    return write(target, first)


def _generated(lesson: Lesson, config: Any, folder: Path, register: bool, **how: Any) -> bytes:
    """Return the bytes of the released notebook, made in a scratch folder."""
    return (generate(lesson.folder, config, folder, register, **how) / f"{lesson.name}.ipynb").read_bytes()


def current(lesson: Lesson) -> None:
    """Refuse a solved notebook that is not the one of the lesson text."""
    path = notebook_path(lesson)
    line = lesson.cells[0].line
    build = f"run python -m autograder build {lesson.name}"
    if not path.is_file():
        raise LessonError([Fault(str(lesson.path), line, "the lesson is not built", build)])
    found = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    for cell in found.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if as_bytes(found) != as_bytes(solved(lesson)):
        raise LessonError(
            [Fault(str(lesson.path), line, f"{course.from_here(path)} is not built from this text", build)]
        )


def alone(lesson: Lesson) -> Iterator[Fault]:
    """Yield a fault for each file beside the notebook: nbgrader publishes what lies there."""
    from nbgrader.utils import find_all_files

    path = notebook_path(lesson)
    for name in find_all_files(str(path.parent), [".ipynb_checkpoints", "__pycache__"]):
        if Path(name) != path:
            fact = f"{course.from_here(name)} would be published with the lesson"
            yield Fault(str(lesson.path), lesson.cells[0].line, fact, "move it out of the folder")


def unsolved(lesson: Lesson, notebook: NotebookNode, config: Any) -> Iterator[Fault]:
    """Yield a fault for each exercise and question that is released without its stub."""
    from nbgrader.preprocessors import ClearSolutions

    clear = ClearSolutions(config=config)
    released = {cell.id: cell.source for cell in notebook.cells}
    for cell, node in expanded(lesson):
        if cell.role in ("exercise", "question"):
            stub = clear.code_stub["python"] if cell.role == "exercise" else clear.text_stub
            text = squeezed(released.get(node.id, ""))
            if cell.empty:
                if CODE_HERE not in released[node.id] or ast.parse(released[node.id]).body:
                    fact = f"{cell.name} is released with more in its cell than comments"
                    yield Fault(str(lesson.path), cell.line, fact, "see GenerateAssignment in nbgrader_config.py")
                continue
            if text.count(squeezed(stub)) != cell.source.count(BEGIN):
                fact = f"{cell.name} is released without its stub"
                yield Fault(str(lesson.path), cell.line, fact, "see ClearSolutions in nbgrader_config.py")


def leaks(lesson: Lesson, notebook: NotebookNode, folder: Path) -> Iterator[Fault]:
    """Yield a fault for each line of a solution that is in the release, or in another file of its folder."""
    lines = {node.id: cell.line for cell, node in expanded(lesson)}
    # Pairs, for two cells of a notebook may be of one line: the builder adds one to the head.
    places = [
        (f"the cell of line {lines.get(cell.id, '?')}", squeezed("\n".join(strings(cell)))) for cell in notebook.cells
    ]
    places.append(("the notebook's metadata", squeezed("\n".join(strings(notebook.metadata)))))
    target = folder / f"{lesson.name}.ipynb"
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != target:
            places.append((str(course.from_here(path)), squeezed(file_text(path))))
    for line, name, text in secrets(lesson):
        for place, content in places:
            if squeezed(text) in content:
                fact = f"`{text}`, from the solution of {name}, would be released in {place}"
                yield Fault(str(lesson.path), line, fact, "remove it there, or write one of the two in another way")
    for cell in notebook.cells:
        for text in cell.source.split("\n"):
            if looks_like_marker(text):
                fact = f"the marker `{text.strip()}` would be released"
                yield Fault(str(lesson.path), lines.get(cell.id, 1), fact, "remove it")


def secrets(lesson: Lesson) -> Iterator[tuple[int, str, str]]:
    """Yield (line, name, text) for all that a release must not hold."""
    kinds: tuple[tuple[Mapping[str, Exercise | Question], Callable[[str], bool]], ...] = (
        (lesson.exercises, code_tells),
        (lesson.questions, text_tells),
    )
    for owners, tells in kinds:
        for owner in owners.values():
            for line, text in owner.solution:
                code = text.strip().split("  # ")[0]
                for part in dict.fromkeys([text.strip(), code, code.removeprefix("return ")]):
                    if tells(part):
                        yield line, owner.name, part


def text_tells(text: str) -> bool:
    return len(squeezed(text)) >= LEAST


def code_tells(text: str) -> bool:
    """Tell whether a line of code says something: it is long enough, and does more than move names about."""
    if not text_tells(text):
        return False
    code = text.strip().replace("elif ", "if ", 1) if text.strip().startswith("elif ") else text.strip()
    for complete in (code, code + " pass"):
        try:
            parts = list(ast.walk(ast.parse(complete)))
        except SyntaxError:
            continue
        return len(parts) == 1 or not all(isinstance(part, SAYS_NOTHING) or counts(part) for part in parts)
    return True


def counts(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in COUNTING


def squeezed(text: str) -> str:
    """Return the text without any blanks, so that no other layout hides a line."""
    return "".join(text.split())


def file_text(path: Path) -> str:
    """Return all text of a file; of a notebook, as it reads and not as JSON writes it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".ipynb":
        try:
            return text + "\n".join(strings(json.loads(text)))
        except json.JSONDecodeError:
            return text
    return text


def run(args: argparse.Namespace) -> int:
    root = course.find_root(args.root)

    def say(notice: str) -> None:
        print(f"\n{notice}", file=sys.stderr)

    return each(args, lambda lesson: release(lesson, root, say=say), "released")
