"""Make the solved notebook of a lesson from its text: nbgrader's source, executed, the same bytes every time."""

import argparse
import functools
import hashlib
import html
import itertools
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder import course
from autograder.authoring import setup_cell
from autograder.authoring.draft import CHOICE, dedented_demo
from autograder.authoring.lesson import Cell, Choice, Fault, Lesson, LessonError, read
from autograder.notebooks import meaning

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# What a kernel reports holds its exact version, which would change the notebook from machine to machine.
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}
CELL_SECONDS = 300
LONG = 18  # lines; a demo of more is folded
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")


def nbgrader_metadata(name: str, **settings: Any) -> dict[str, Any]:
    """Return the metadata by which nbgrader knows a cell."""
    common = {"schema_version": 3, "grade_id": name, "grade": False, "solution": False, "locked": False, "task": False}
    return {"nbgrader": common | settings}


def text_cell(cell: Cell) -> NotebookNode:
    made: NotebookNode = new_markdown_cell(cell.source)
    return made


def code_cell(cell: Cell) -> NotebookNode:
    made: NotebookNode = new_code_cell(cell.source)
    return made


def demo_cell(cell: Cell) -> NotebookNode:
    """Return the cell of a demo, folded if it is long: it is run for what it shows, and three dots open it."""
    source = dedented_demo(cell.source) or ""  # a rule has refused what cannot be moved
    metadata = meaning.metadata(cell.trained)
    if source.count("\n") >= LONG:
        metadata["tags"] = [*metadata.get("tags", []), "hide-input"]  # for the book
        metadata["jupyter"] = {"source_hidden": True}  # for JupyterLab and Notebook
    made: NotebookNode = new_code_cell(source, metadata=metadata)
    return made


def exercise_cell(cell: Cell) -> NotebookNode:
    made: NotebookNode = new_code_cell(cell.source, metadata=nbgrader_metadata(cell.name, solution=True))
    return made


def check_cell(cell: Cell) -> NotebookNode:
    settings = nbgrader_metadata(f"check_{cell.name}", grade=True, locked=True, points=cell.points)
    asked = f'"{cell.name}"' if cell.empty else cell.name  # a name that nothing defines yet cannot be written
    made: NotebookNode = new_code_cell(f"check({asked}).grade()", metadata=settings)
    return made


def question_cell(cell: Cell) -> NotebookNode:
    settings = nbgrader_metadata(cell.name, grade=True, solution=True, points=cell.points)
    made: NotebookNode = new_markdown_cell(cell.source, metadata=settings)
    return made


def predict_cell(cell: Cell) -> NotebookNode:
    """Return a question whose choices open to show their explanations, with nothing but markdown and HTML."""
    asked = itertools.takewhile(lambda line: not CHOICE.fullmatch(line.rstrip()), cell.source.split("\n"))
    made: NotebookNode = new_markdown_cell("\n\n".join(["\n".join(asked).rstrip(), *map(details, cell.choices)]))
    return made


def details(choice: Choice) -> str:
    # The blank lines let JupyterLab, GitHub and nbconvert read markdown and formulas inside.
    sign = "✓" if choice.right else "✗"
    return f"<details>\n<summary>{inline(choice.text)}</summary>\n\n{sign} {choice.explanation}\n\n</details>"


def inline(text: str) -> str:
    """Return markdown as HTML for a place where markdown is not read; formulas stay as they are."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False})
    parts = re.split(r"(\$[^$]+\$)", text)
    return "".join(
        html.escape(part, quote=False) if index % 2 else reader.renderInline(part) for index, part in enumerate(parts)
    )


EXPANSIONS: dict[str, Callable[[Cell], NotebookNode] | None] = {
    "lesson": text_cell,
    "prose": text_cell,
    "code": code_cell,
    "demo": demo_cell,
    "exercise": exercise_cell,
    "check": check_cell,
    "question": question_cell,
    "predict": predict_cell,
    "hint": None,  # hints open one at a time, by hint(...)
}


def expanded(lesson: Lesson) -> list[tuple[Cell, NotebookNode]]:
    """Return (cell of the text, cell of the notebook) for each cell that is in the notebook."""
    pairs = [(cell, make(cell)) for cell in lesson.cells if (make := EXPANSIONS[cell.role])]
    seen: set[str] = set()
    for cell, node in pairs:
        label = cell.name[:40] or hashlib.sha1(node.source.encode()).hexdigest()[:10]
        count = 1
        while (name := f"{cell.role}-{label}" + (f"-{count}" if count > 1 else "")) in seen:
            count += 1
        seen.add(name)
        node.id = name
    return with_setup(lesson, pairs)


def with_setup(lesson: Lesson, pairs: list[tuple[Cell, NotebookNode]]) -> list[tuple[Cell, NotebookNode]]:
    """Put the cell that says how to install the course behind the head of a notebook, and links into the head."""
    root = lesson.path.resolve().parent.parent
    (head, title), *others = pairs
    if opened := setup_cell.links(root, lesson.folder, lesson.name):
        title.source += f"\n\n{opened}"
    cell = Cell("setup", setup_cell.setup_source(root), head.line, head.first_line)
    made = new_code_cell(cell.source, id="setup", metadata={"jupyter": {"source_hidden": True}})
    return [(head, title), (cell, made), *others]


def solved(lesson: Lesson) -> NotebookNode:
    """Return the lesson's notebook with its solutions, not yet executed."""
    about = {"lesson": lesson.name, "number": lesson.number, "title": lesson.title}
    metadata = {"kernelspec": KERNELSPEC, "language_info": LANGUAGE, "transformer_taxonomy": about}
    notebook: NotebookNode = new_notebook(cells=[node for _, node in expanded(lesson)], metadata=metadata)
    nbformat.validate(notebook)
    return notebook


def notebook_path(lesson: Lesson) -> Path:
    """Return the place of the lesson's solved notebook, in nbgrader's source folder below its text."""
    return lesson.path.parent / "notebooks" / lesson.folder / f"{lesson.name}.ipynb"


def build(lesson: Lesson, again: bool = False) -> bool:
    """Execute the lesson's solved notebook and write it; return whether the file changed.

    again  whether it is written, too, where the notebook in place says the same: `meaning` does not see what a picture
           of a trained model draws
    """
    path = notebook_path(lesson)
    made = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        notebook = execute(lesson, path.parent)
    except BaseException:
        if made:
            path.parent.rmdir()
        raise
    if not again and path.is_file() and meaning.same_notebook(nbformat.read(path, nbformat.NO_CONVERT), notebook):
        return False  # another processor made other digits
    return write(path, as_bytes(notebook))


def execute(lesson: Lesson, folder: Path) -> NotebookNode:
    """Return the lesson's solved notebook with its outputs, executed in `folder`, or raise a LessonError."""
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = solved(lesson)
    begun: list[int] = []
    warm_fonts(notebook)
    with tempfile.TemporaryDirectory() as scratch:
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(**kernel(scratch)),
            timeout=CELL_SECONDS,
            record_timing=False,
            coalesce_streams=True,
            store_widget_state=False,
            resources={"metadata": {"path": str(folder)}},
            on_cell_start=lambda cell, cell_index: begun.append(cell_index),
        )
        try:
            client.execute(env=environment(scratch), cleanup_kc=True)
        except (CellExecutionError, CellTimeoutError, DeadKernelError, CellControlSignal, RuntimeError) as error:
            raise LessonError([failure(lesson, begun[-1] if begun else 0, notebook, error)]) from error
    notebook.metadata["language_info"] = LANGUAGE
    without_widgets(notebook)
    if faults := [
        fault for pair in zip(expanded(lesson), notebook.cells, strict=True) for fault in unfit(lesson, *pair)
    ]:
        raise LessonError(faults)
    return notebook


def without_widgets(notebook: NotebookNode) -> None:
    """Leave the still picture of each widget in place of the widget, which only the kernel that made it can move."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(meaning.WIDGET, None)


def kernel(scratch: str) -> dict[str, Any]:
    """Return the settings of a kernel of this environment, whatever kernels the user has installed."""
    from jupyter_client.kernelspec import KernelSpecManager

    settings: dict[str, Any] = {"kernel_name": "python3", "kernel_spec_manager": KernelSpecManager(kernel_dirs=[])}
    if os.name == "posix":  # sockets in the scratch folder: ipykernel warns of open ports
        settings |= {"transport": "ipc", "connection_file": str(Path(scratch) / "kernel.json")}
    return settings


def environment(scratch: str) -> dict[str, str]:
    """Return the kernel's environment: nothing of the builder's own progress, profile, plotting backend or width."""
    keep = {key: value for key, value in os.environ.items() if key not in ("MPLBACKEND", "COLUMNS")}
    return keep | {
        "TRANSFORMER_TAXONOMY_STATE": str(Path(scratch) / "state"),
        "IPYTHONDIR": str(Path(scratch) / "ipython"),
        "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",  # a progress bar is for who waits; it would be stored
        "OMP_NUM_THREADS": "1",  # how many threads there are changes the last digits
        "PATH": course.with_programs(),
    }


def warm_fonts(notebook: NotebookNode) -> None:
    """Let matplotlib collect its fonts before the notebook runs: the first time it says so, on stderr."""
    if any("matplotlib" in cell.source for cell in notebook.cells if cell.cell_type == "code"):
        import matplotlib.font_manager  # noqa: F401


def failure(lesson: Lesson, index: int, notebook: NotebookNode, error: Exception) -> Fault:
    """Return the Fault of a cell that could not be executed, at the line of the lesson text."""
    cell, node = expanded(lesson)[index]
    outputs = [output for output in notebook.cells[index].get("outputs", []) if output.output_type == "error"]
    if not outputs:
        return Fault(
            str(lesson.path), cell.line, f"this cell did not finish: {str(error).splitlines()[0]}", "correct it"
        )
    last = outputs[-1]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(last.traceback))
    inside = re.findall(r"Cell In\[\d+\], line (\d+)", plain)  # the first is this cell, later ones what it called
    offset = int(inside[0]) - 1 + (cell.role == "demo") if inside else 0
    line = cell.line if cell.role == "check" else cell.first_line + offset
    for name in lesson.exercises if last.ename == "LookupError" else ():
        if last.evalue.startswith(f"there is no exercise {name!r}"):
            record = f"run python -m autograder record {lesson.name}"
            return Fault(str(lesson.path), line, f"exercise {name!r} is not recorded", record)
    return Fault(
        str(lesson.path),
        line,
        f"{last.ename}: {last.evalue.splitlines()[0] if last.evalue else 'no message'}",
        f"correct the {cell.role} cell of line {cell.line}",
    )


def unfit(lesson: Lesson, pair: tuple[Cell, NotebookNode], node: NotebookNode) -> Iterator[Fault]:
    """Yield the faults of an executed cell: what would not be the same elsewhere, and points that were not earned."""
    from nbgrader.utils import determine_grade, is_grade

    cell = pair[0]
    note = lambda fact, remedy: Fault(str(lesson.path), cell.line, f"this cell {fact}", remedy)  # noqa: E731
    text = [part for output in node.get("outputs", []) for part in strings(output)]
    if any(output.get("name") == "stderr" for output in node.get("outputs", [])):
        yield note("writes to stderr", "prevent the warning, or print what learners should read")
    if any(ADDRESS.search(part) for part in text):
        yield note("shows a memory address, which differs every time", "print something else")
    for place in (str(lesson.path.resolve().parent.parent), sys.prefix):
        if any(place in part for part in text):
            yield note(f"shows the path {place} of this machine", "print something else")
    if node.cell_type == "code" and is_grade(node):
        try:
            earned, most = determine_grade(node)
        except ValueError:  # more than the cell's points, which nbgrader does not take
            earned, most = "more than the maximum", cell.points
        if earned != most:
            record = f"if the probes have changed, run python -m autograder record {lesson.name}"
            yield note(f"gives the solution {earned} of {most} points", f"correct the solution or the check; {record}")


def strings(value: object) -> Iterator[str]:
    """Yield every text in a piece of a notebook."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for part in pair for text in strings(part))
    elif isinstance(value, list):
        yield from (text for part in value for text in strings(part))


def as_bytes(notebook: NotebookNode) -> bytes:
    text: str = nbformat.writes(notebook, version=nbformat.NO_CONVERT)
    return (text + "\n").encode()


def write(path: Path, content: bytes) -> bool:
    """Put the whole content into the file at once, or leave it as it is; return whether it changed."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, so that nothing half-written can be published with it.
    scratch = path.parent.parent / f".{path.name}.{os.getpid()}"
    try:
        scratch.write_bytes(content)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    return True


def arguments(parser: argparse.ArgumentParser) -> None:
    choice(parser)
    parser.add_argument(
        "--again",
        action="store_true",
        help="also rewrite notebooks whose outputs mean the same as before, with new pictures",
    )


def choice(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose lessons."""
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="number, name or path of a lesson (all lessons)")
    parser.add_argument("--root", help="folder of the course (the nearest one, here or above, with nbgrader_config.py)")


def run(args: argparse.Namespace) -> int:
    return each(args, functools.partial(build, again=args.again), "built")


def each(args: argparse.Namespace, do: Callable[[Lesson], bool], done: str) -> int:
    """Do something with each chosen lesson, once all of them can be read; return the exit code."""
    root = course.find_root(args.root)
    lessons = read_all(course.select(root, args.lessons))
    failed = 0
    for lesson in lessons:
        print(f"{lesson.folder} ...", end=" ", flush=True)
        start = time.perf_counter()
        try:
            changed = do(lesson)
        except (LessonError, course.CourseError) as error:
            failed += 1
            print("refused", flush=True)
            print(error, file=sys.stderr)
        else:
            print(f"{done}{'' if changed else ', unchanged'} ({time.perf_counter() - start:.1f} s)")
    return 1 if failed else 0


def read_all(paths: Iterable[Path]) -> list[Lesson]:
    """Return the lessons of these texts, or raise one LessonError with the faults of all."""
    lessons: list[Lesson] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            lessons.append(read(path))
        except LessonError as error:
            faults += error.faults
    for index, lesson in enumerate(lessons):
        if lesson.number in [other.number for other in lessons[:index] if other.number is not None]:
            line = lesson.cells[0].line
            faults.append(
                Fault(str(lesson.path), line, f"another lesson is number {lesson.number}, too", "renumber one")
            )
    if faults:
        raise LessonError(faults)
    return lessons
