"""The start page of a learner's folder: what is next, the map with what is solved, and the lessons on both routes."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ..checking.progress_map import Exercise, Progress, read
from .folder import PAGE, Folder, put

OURS = "start-"  # begins the id of each cell that is written anew; cells with other ids are the learner's
BOTTOM_UP = (7, 6, 8, 9, 10, 1, 2, 3, 4, 5, 11)  # the lessons, the centre of the transformer first


@dataclass(frozen=True)
class Lesson:
    """A notebook of the folder: its path, its lesson's name, number (None for none) and title, and its exercises."""

    path: str
    name: str
    number: int | None
    title: str
    exercises: Sequence[Exercise]

    @property
    def link(self) -> str:
        """Its title as a link in Markdown."""
        head = f"{self.number}. " if self.number is not None else ""
        return f"[{head}{self.title}]({quote(self.path)})"

    @property
    def next(self) -> Exercise | None:
        """The first exercise that is not solved, or None."""
        return next((one for one in self.exercises if one.state != "solved"), None)

    @property
    def state(self) -> str:
        """How many exercises are solved, in a few characters."""
        solved, most = sum(one.state == "solved" for one in self.exercises), len(self.exercises)
        if not most:
            return ""
        sign = "✓ " if solved == most else "◐ " if any(one.state != "not yet" for one in self.exercises) else ""
        return f"{sign}{solved} of {most}"


def write_page(folder: Folder) -> None:
    """Write the start page of a folder; cells that the learner has added to the one in place stay, at its end."""
    place = folder.path / PAGE
    progress = read()
    notebook = page(lessons(folder, progress), progress)
    before = place.read_bytes() if place.is_file() else b""
    if before:
        try:
            notebook.cells += _added(before)
        except ValueError:  # no notebook, so what it holds is not known
            folder.keep(PAGE, before)
    put(place, (nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n").encode())


def lessons(folder: Folder, progress: Progress) -> list[Lesson]:
    """Return the `Lesson` of each notebook of the course, those with a number first, in their order."""
    found = []
    for name in folder.names():
        about = json.loads((folder.course / name).read_bytes())["metadata"].get("transformer_taxonomy", {})
        lesson = about.get("lesson", name.rpartition("/")[2].removesuffix(".ipynb"))
        exercises = [one for one in progress.exercises if one.lesson == lesson]
        found.append(Lesson(name, lesson, about.get("number"), about.get("title", lesson), exercises))
    return sorted(found, key=lambda one: (one.number is None, one.number or 0))


def page(course: Sequence[Lesson], progress: Progress) -> NotebookNode:
    """Return the start page as a notebook."""
    drawn = progress.map
    shown = new_output("execute_result", {"text/html": drawn.html, "text/plain": repr(drawn)}, execution_count=1)
    cells = [
        new_markdown_cell("\n\n".join(["# Transformer Taxonomy", *_next(course, progress)]), id=f"{OURS}next"),
        new_code_cell(
            "from autograder import progress\n\nprogress().map  # run this cell to see the map as it is now",
            execution_count=1,
            outputs=[shown],
            id=f"{OURS}map",
        ),
        new_markdown_cell("\n".join(_routes(course)), id=f"{OURS}routes"),
        new_markdown_cell(ABOUT, id=f"{OURS}about"),
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    made: NotebookNode = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    return made


ABOUT = """\
## More

- `progress()` in any notebook lists every exercise. `practice()` shows answers with a mistake in them, to be found.
- `from autograder.assemble import assemble` and `assemble()` make one working transformer of the parts that you have
  solved.
- This folder is yours: the course itself is never changed by what you do here. After you have installed a newer version
  of the course, `python -m autograder learn --update` moves your answers into its notebooks, and keeps the old ones in
  `earlier/`.
- This page is written anew whenever you start with `python -m autograder learn`. Cells that you add stay."""


def _next(course: Sequence[Lesson], progress: Progress) -> Iterator[str]:
    """Yield the sentences on where a learner is and what comes next, on each route."""
    top, bottom = _ordered(course, top_down=True), _ordered(course, top_down=False)
    done = [one for one in progress.exercises if one.state == "solved"]
    if not any(one.state != "not yet" for one in progress.exercises):
        yield (
            "Welcome. There are two ways through the lessons. **Top-down** builds whole models first, from parts that "
            f"are still closed boxes; it begins with {top[0].link}. **Bottom-up** starts at the centre and builds "
            f"everything on it; it begins with {bottom[0].link}. Both work: no lesson needs the answers to another, "
            "and you may change from one to the other."
        )
        return
    points = sum(one.earned for one in progress.exercises), sum(one.points for one in progress.exercises)
    yield (
        f"You have solved **{len(done)} of {len(progress.exercises)} exercises** and earned {points[0]:g} of "
        f"{points[1]:g} points."
    )
    begun = [one for one in course if one.next and any(exercise.state != "not yet" for exercise in one.exercises)]
    if begun:
        yield f"**Begun:** {'; '.join(map(_with_exercise, begun))}."
    routes = [(name, _first(route)) for name, route in (("top-down", top), ("bottom-up", bottom))]
    after = [f"{name}, {_with_exercise(lesson)}" for name, lesson in routes if lesson is not None]
    if after:
        yield f"**Next:** {'; '.join(after)}."
    else:
        yield "Everything is solved. `practice()` brings back what you have found, after days and weeks."


def _first(route: Sequence[Lesson]) -> Lesson | None:
    """Return the first lesson of a route with an exercise that is not solved, or None."""
    return next((one for one in route if one.next), None)


def _with_exercise(lesson: Lesson) -> str:
    return f"{lesson.link} with `{lesson.next.name}`" if lesson.next else lesson.link


def _routes(course: Sequence[Lesson]) -> Iterator[str]:
    """Yield the lines of a table with both routes."""
    yield from ("## The lessons", "", "| Top-down | solved | Bottom-up | solved |", "|:---|:---|:---|:---|")
    for one, other in zip(_ordered(course, top_down=True), _ordered(course, top_down=False), strict=True):
        yield f"| {one.link} | {one.state} | {other.link} | {other.state} |"


def _ordered(course: Sequence[Lesson], top_down: bool) -> list[Lesson]:
    """Return the lessons in the order of a route; those that it does not name come last."""
    if top_down:
        return list(course)
    known = {number: place for place, number in enumerate(BOTTOM_UP)}
    return sorted(course, key=lambda one: known.get(one.number or 0, len(known)))


def _added(content: bytes) -> list[NotebookNode]:
    """Return the cells that a learner has added to a start page. Raises ValueError if it is no notebook."""
    try:
        found = nbformat.reads(content.decode("utf-8"), as_version=4).cells
    except Exception as error:  # nbformat raises many kinds
        raise ValueError("this is no notebook") from error
    return [cell for cell in found if not cell.get("id", OURS).startswith(OURS)]
