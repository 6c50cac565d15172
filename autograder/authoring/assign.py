"""nbgrader's generate_assignment, which is tried in another folder before it replaces a release.

By itself it removes the earlier release first. When it then refuses, because a cell was added to an assignment that
has submissions, the learners' notebook is gone. nbgrader makes an exporter before it removes anything, and ours tries
the whole command at that moment; so `nbgrader generate_assignment --force` and the formgrader are safe as well.
"""

import copy
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbgrader.utils import is_grade, is_locked, is_solution, is_task

from .. import course

REFUSED = """{folder}: this class has handed in {submissions}, and the graded cells have changed since ({change}).
nbgrader cannot add or remove graded cells after that, so nothing was changed: neither release, gradebook nor grades.
To go on, choose one of these:
- undo the change until this class has finished;
- keep the grades and start a new class: move the gradebook and the folders submitted, autograded and feedback of this \
class elsewhere, and release again;
- discard the grades of this lesson: `nbgrader db assignment remove {folder} --force`, and release again."""
OTHER_POINTS = """{folder}: points have changed since this class handed in {submissions} ({change}). The new maximum \
applies at once. Points already given stay until a submission is graded again; the next `python -m autograder grade \
{folder}` grades all of them again, as it does after any change to a lesson. To keep the old points for this class, \
undo the change and release again."""


def load_config(root: Path | str) -> Any:
    """Return the course's nbgrader configuration."""
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader(course.CONFIG, path=str(root)).load_config()
    config.CourseDirectory.root = str(Path(root).resolve())
    return config


def course_directory(config: Any) -> Any:
    from nbgrader.coursedir import CourseDirectory

    return CourseDirectory(config=config)


def release_folder(config: Any) -> str:
    folder: str = course_directory(config).release_directory
    return folder


def generate(
    folder: str, config: Any, target: Path, register: bool, say: Callable[[str], object] = lambda notice: None
) -> Path:
    """Run nbgrader's generate_assignment into another folder and return where the assignment lies in it.

    folder    name of the assignment
    target    takes the place of the release folder
    register  whether the gradebook is told
    say       is called with what the instructor should know, if points changed since submissions came in

    Raises CourseError, with nothing changed, if nbgrader refuses.
    """
    from nbgrader.converters import GenerateAssignment
    from nbgrader.utils import capture_log

    config = copy.deepcopy(config)
    config.CourseDirectory.assignment_id = folder
    config.CourseDirectory.release_directory = str(target)
    config.GenerateAssignment.exporter_class = "nbconvert.exporters.NotebookExporter"
    if not register:
        config.GenerateAssignment.no_database = True
        config.SaveCells.enabled = False
    if register and (changed := change(folder, config)):
        if changed.cells:
            raise course.CourseError(changed.told(REFUSED))
        if changed.points:
            say(changed.told(OTHER_POINTS))
    with programs_on_path():
        app = GenerateAssignment(coursedir=course_directory(config), config=config, force=True)
        with _unheard(app.log):
            result = capture_log(app)
    if not result["success"] or not any((target / folder).glob("*.ipynb")):
        said = [line for line in result.get("log", "").splitlines() if line.strip()]
        raise course.CourseError(f"{folder}: nbgrader refused the release: " + " ".join(said[-3:]))
    return target / folder


@contextmanager
def _unheard(log: Any) -> Iterator[None]:
    """Take the handlers from a logger for a while: a trial is no news, and what it refuses is told in one sentence."""
    handlers, log.handlers, propagate, log.propagate = log.handlers, [], log.propagate, False
    try:
        yield
    finally:
        log.handlers, log.propagate = handlers, propagate


@contextmanager
def programs_on_path() -> Iterator[None]:
    """nbgrader calls `alembic` by name when it makes a gradebook."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = course.with_programs()
    try:
        yield
    finally:
        os.environ["PATH"] = before


# A lesson that changed after submissions arrived


@dataclass(frozen=True)
class Change:
    """What differs between the source notebooks of an assignment and what the gradebook graded.

    folder       name of the assignment
    submissions  how many submissions the gradebook has
    cells        the cells that were added and removed, in words
    points       the checks and questions whose points changed, in words
    """

    folder: str
    submissions: int
    cells: tuple[str, ...]
    points: tuple[str, ...]

    def told(self, sentence: str) -> str:
        many = f"{self.submissions} submission{'s' * (self.submissions != 1)}"
        return sentence.format(folder=self.folder, submissions=many, change="; ".join(self.cells or self.points))


def change(folder: str, config: Any) -> Change | None:
    """Return the `Change` of an assignment since it was registered; None if nothing was handed in."""
    from nbgrader.api import Gradebook, MissingEntry

    place = course_directory(config)
    if place.db_url.startswith("sqlite:///") and not Path(place.db_url.removeprefix("sqlite:///")).is_file():
        return None
    now: dict[tuple[str, str], float | None] = {}
    for path in sorted(Path(place.format_path(place.source_directory, ".", folder)).glob("*.ipynb")):
        now |= {(path.stem, name): points for name, points in graded_cells(path).items()}
    before: dict[tuple[str, str], float | None] = {}
    with programs_on_path(), suppress(MissingEntry), Gradebook(place.db_url, place.course_id) as gradebook:
        assignment = gradebook.find_assignment(folder)
        if not assignment.submissions:
            return None
        for notebook in assignment.notebooks:
            for cell in (*notebook.source_cells, *notebook.solution_cells):
                before.setdefault((notebook.name, cell.name), None)
            for cell in (*notebook.grade_cells, *notebook.task_cells):
                before[notebook.name, cell.name] = cell.max_score
        submissions = len(assignment.submissions)
        cells = [f"{name} was added" for _, name in now.keys() - before.keys()]
        cells += [f"{name} was removed" for _, name in before.keys() - now.keys()]
        points = [
            f"{name} had {before[notebook, name]:g} and has {now[notebook, name]:g}"
            for notebook, name in before.keys() & now.keys()
            if None not in (before[notebook, name], now[notebook, name])
            and before[notebook, name] != now[notebook, name]
        ]
        return Change(folder, submissions, tuple(sorted(cells)), tuple(sorted(points)))
    return None


def graded_cells(path: Path) -> dict[str, float | None]:
    """Return {name: points, or None where it earns none} of the cells of a notebook that the gradebook knows."""
    known = {}
    for cell in nbformat.read(path, as_version=4).cells:
        earns = is_grade(cell) or is_task(cell)
        if earns or is_solution(cell) or is_locked(cell):
            about = cell.metadata.nbgrader
            known[about["grade_id"]] = float(about["points"]) if earns else None
    return known


class TriedFirst(NotebookExporter):
    """An exporter that nbgrader's generate_assignment makes before it removes the earlier release.

    Made, it runs the command in a scratch folder, and refuses as that does, while nothing is removed yet.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from nbgrader.converters import GenerateAssignment
        from nbgrader.converters.base import NbGraderException

        super().__init__(*args, **kwargs)
        converter = self.parent
        if not isinstance(converter, GenerateAssignment):
            return
        config = copy.deepcopy(converter.config)
        config.CourseDirectory.root = converter.coursedir.root
        config.CourseDirectory.db_url = converter.coursedir.db_url
        for source, folder in ((path, os.path.basename(path)) for path in converter.assignments):
            released = converter.coursedir.format_path(converter.coursedir.release_directory, ".", folder)
            if (
                not converter.force
                and os.path.exists(released)
                and not converter.coursedir.get_existing_timestamp(source)
            ):
                continue  # nbgrader will pass over it, too
            try:
                with tempfile.TemporaryDirectory() as scratch:
                    generate(folder, config, Path(scratch), not converter.no_database, converter.log.warning)
            except course.CourseError as reason:
                converter.log.error(str(reason))
                raise NbGraderException(str(reason)) from reason
