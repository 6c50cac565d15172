"""What learners hand in, on its way through nbgrader's autograde.

nbgrader opens a submission with `nbformat.read`, which raises on whatever is not a proper notebook, copies
every other file of it along, and follows links. Here a reading always ends in an `Arrival`: the sources of the
cells, or the reason why there are none. Nothing in `submitted/` is written to, and nothing of it is copied.
"""

import fnmatch
import glob
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from nbgrader.converters import Autograde
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets import Integer

from ..display import shown
from ..scarcity import Interruption, Patience, ScarcityError, told
from .choose import choose
from .content import UnreadableError
from .earlier import handed_in_before
from .folder import Limits, RefusedError, examine
from .learner import folders
from .matching import count
from .notebook import LearnerCell, encodable, read_cells
from .timestamp import NAME as TIME
from .timestamp import CheckedCourse, write_time

UNFINISHED = ".unfinished"  # the folder in `autograded/` of what is being graded


@dataclass(frozen=True)
class Arrival:
    """The cells that were handed in, or the reason why none can be read.

    taken  which file they are from, where that is not plain
    """

    cells: list[LearnerCell] = field(default_factory=list)
    refused: str | None = None
    taken: str | None = None


def read_arrival(
    path: str, limits: Limits | None = None, root: str | None = None, released: Sequence[NotebookNode] = ()
) -> Arrival:
    """Return the `Arrival` at a path, whatever lies there.

    path      where the notebook should be; there may be nothing, or anything
    limits    `Limits` of a submission
    root      the folder of all submissions; if it is given, the whole submission is examined, and the notebook is
              looked for in it, whatever its name
    released  the cells of the released notebook, by which the learner's is known
    """
    limits = limits or Limits()
    try:
        if root is None:
            return Arrival(read_cells(path, limits))
        folder, name = os.path.split(path)
        files = examine(folder, root, limits)
        cells, taken = choose(folder, name, files, limits, lambda cells: count(released, cells))
        return Arrival(cells, taken=taken)
    except (UnreadableError, RefusedError) as problem:
        return Arrival(refused=str(problem))


class SubmissionExporter(NotebookExporter):
    """nbgrader's way from a submission's file to its steps, for every file.

    The first pass reads from `submitted/` and hands the steps an empty notebook, with what arrived in
    `resources["arrival"]`. The second pass reads what the first one wrote, which is a proper notebook.
    """

    max_bytes = Integer(Limits.notebook_bytes, help="The most bytes that a notebook may have.").tag(config=True)
    max_cells = Integer(Limits.cells, help="The most cells that a notebook may have.").tag(config=True)
    max_source = Integer(Limits.source, help="The most characters that one cell may have.").tag(config=True)
    max_sources = Integer(Limits.sources, help="The most characters that all cells may have together.").tag(config=True)
    max_files = Integer(Limits.files, help="The most files that a submission may hold.").tag(config=True)
    max_file_bytes = Integer(Limits.file_bytes, help="The most bytes that one file may have.").tag(config=True)
    max_folder_bytes = Integer(Limits.folder_bytes, help="The most bytes of all files together.").tag(config=True)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if isinstance(self.parent, Autograde):
            AutogradeAll.take_over(self.parent)

    def limits(self) -> Limits:
        return Limits(
            self.max_bytes,
            self.max_cells,
            self.max_source,
            self.max_sources,
            self.max_files,
            self.max_file_bytes,
            self.max_folder_bytes,
        )

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> tuple[Any, dict[str, Any]]:
        arrival = self.arrival(filename, resources["nbgrader"])
        if arrival is None:
            return super().from_filename(filename, resources, **kw)
        folder, name = os.path.split(filename)
        resources["metadata"] = {"name": os.path.splitext(name)[0], "path": folder}
        resources["arrival"] = arrival
        return self.from_notebook_node(new_notebook(), resources, **kw)

    def arrival(self, filename: str, names: Mapping[str, str]) -> Arrival | None:
        """Return the `Arrival` of a learner's file, or None for a file that is not one.

        names  "student" and "assignment" of it, as nbgrader has them in resources["nbgrader"]
        """
        root = self._submissions(os.path.dirname(filename), names)
        if root is None:
            return None
        return read_arrival(filename, self.limits(), root, self._released(os.path.basename(filename), names))

    def from_notebook_node(self, nb: NotebookNode, resources: Any = None, **kw: Any) -> tuple[Any, dict[str, Any]]:
        output, resources = super().from_notebook_node(nb, resources, **kw)
        return encodable(output), resources

    def _released(self, name: str, names: Mapping[str, str]) -> Sequence[NotebookNode]:
        """Return the cells of the released notebook, or none where there is no such notebook."""
        course = CourseDirectory(parent=self)
        path = os.path.join(course.format_path(course.release_directory, ".", names["assignment"]), name)
        cells: Sequence[NotebookNode] = nbformat.read(path, as_version=4).cells if os.path.isfile(path) else ()
        return cells

    def _submissions(self, folder: str, names: Mapping[str, str]) -> str | None:
        """Return the folder of all submissions if this is one of them, else None."""
        course = CourseDirectory(parent=self)
        step = course.submitted_directory
        submission = course.format_path(step, names["student"], names["assignment"])
        if os.path.abspath(folder) != os.path.abspath(submission):
            return None
        # Up to a learner's name the folders are the instructor's own, and may be links.
        fixed = course.directory_structure.split("{student_id}")[0].split("{assignment_id}")[0]
        place: str = os.path.join(course.root, fixed.format(nbgrader_step=step))
        return place


def _expected(folder: Path, release_directory: str, notebook: str = "*") -> list[str]:
    released = sorted(path.name for path in Path(release_directory, folder.name).glob("*.ipynb"))
    return [str(folder / name) for name in released if fnmatch.fnmatchcase(name, f"{notebook}.ipynb")]


class _CopiesNothing(BaseConverter):
    """Stands where nbgrader copies what lies beside a notebook, and leaves all but the time where it is."""

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        write_time(self._format_source(assignment_id, student_id), self._format_dest(assignment_id, student_id))


class AutogradeAll(Autograde, _CopiesNothing):
    """nbgrader's autograde of the released notebooks for every folder in `submitted/`, whatever it is or holds.

    nbgrader passes over a folder without a notebook, ends the whole run at a broken time, and copies files. With
    this converter the learner gets a 0, its reason and a feedback page as for any other mishap.

    nbgrader also removes what was graded before it begins anew, writes in its place, and removes that when anything
    fails. Here it does all this to a copy, which takes the place of what was there when it is whole. What is scarce,
    the gradebook above all, is waited for.
    """

    patience: Patience | None = None  # a `Patience`, where not the configuration's
    unfinished: str | None = None  # the folder that stands for `autograded/` until a submission is graded

    @classmethod
    def take_over(cls, converter: Any) -> None:
        """Make nbgrader's own converter this one, just before it looks at the first submission.

        Its command and the formgrader name their class themselves, and ask only for an exporter.
        """
        if type(converter) is Autograde:
            converter.__class__ = cls
            converter.init_notebooks()
        converter.earlier = {}
        converter.coursedir = CheckedCourse.like(converter.coursedir)

    def init_notebooks(self) -> None:
        course = self.coursedir
        released = os.path.join(course.root, course.release_directory)
        self.notebooks: list[str] = []
        self.assignments = {
            folder: _expected(Path(folder), released, course.notebook_id)
            or glob.glob(os.path.join(glob.escape(folder), "*.ipynb"))
            for folder in self.folders()
        }

    def folders(self) -> list[str]:
        """Return the folders that are to be graded. Raises `NbGraderException` where there is none."""
        course = self.coursedir
        found, refused = folders(course, course.submitted_directory)
        for folder, why in refused.items():
            self.log.error("Not graded: %s: %s", shown(folder, None), why)
        if not found:
            asked = course.format_path(course.submitted_directory, course.student_id, course.assignment_id)
            raise NbGraderException(f"There is no submission {shown(asked, None)}")
        return found

    def convert_notebooks(self) -> None:
        """Grade one submission after another, each as soon as there is what it needs."""
        every, failed = self.assignments, None
        patience, convert = self.patience or Patience(parent=self), super().convert_notebooks
        for folder in sorted(every):
            self.assignments = {folder: every[folder]}
            try:
                patience.until_free(convert, self.coursedir.db_url)
            except ScarcityError as lack:
                self.log.error("%s", lack)
                raise
            except NbGraderException as error:
                if error.__context__:
                    raise  # nbgrader ends the run for what is about all of them, such as an old gradebook
                failed = error  # it has been said, and the others are still to be graded
        self.assignments = every
        if failed:
            raise failed

    # One submission

    @property
    def _input_directory(self) -> str:
        folder: str = super()._input_directory if self._sanitizing else self._output_directory
        return folder

    @property
    def _output_directory(self) -> str:
        folder: str = self.unfinished or super()._output_directory
        return folder

    def init_destination(self, assignment_id: str, student_id: str) -> bool:
        self.unfinished, self.current = None, (assignment_id, student_id)
        before = self._format_dest(*self.current)
        self.earlier = handed_in_before(before)
        self.unfinished = os.path.join(self._output_directory, UNFINISHED)
        with self._scarce():
            self._drop()
            if os.path.isdir(before):
                shutil.copytree(before, self._format_dest(*self.current), symlinks=True)
            wanted: bool = super().init_destination(assignment_id, student_id)
        if not wanted:
            self._drop()
        return wanted

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        with self._scarce():
            super().init_assignment(assignment_id, student_id)

    def init_single_notebook_resources(self, notebook_filename: str) -> dict[str, Any]:
        resources: dict[str, Any] = super().init_single_notebook_resources(notebook_filename)
        resources["earlier"] = self.earlier.get(resources["unique_key"])
        return resources

    def convert_single_notebook(self, notebook_filename: str) -> None:
        with self._scarce():
            super().convert_single_notebook(notebook_filename)

    def set_permissions(self, assignment_id: str, student_id: str) -> None:
        """Put the submission, which is whole now, into its place."""
        with self._scarce():
            place = self.coursedir.format_path(self.coursedir.autograded_directory, student_id, assignment_id)
            _put_in_place(self._format_dest(*self.current), place)
            self._drop()
            self.unfinished = None
            super().set_permissions(assignment_id, student_id)

    @contextmanager
    def _scarce(self) -> Iterator[None]:
        """Let what is scarce interrupt the run, and leave nothing half-written of this submission."""
        try:
            with told(self.coursedir.db_url, self.coursedir.root):
                yield
        except Interruption:
            self._drop()
            raise

    def _drop(self) -> None:
        """Remove the copy of a submission, and the folders above it that are empty then."""
        if self.unfinished:
            folder = self._format_dest(*self.current)
            shutil.rmtree(folder, ignore_errors=True)
            for above in (os.path.dirname(folder), os.path.join(self.coursedir.root, self.unfinished)):
                with suppress(OSError):
                    os.rmdir(above)


def _put_in_place(new: str, old: str) -> None:
    """Let the files of a folder take the place of those of another, each at once.

    The notebooks come late, because they say of what they are the grade. The time comes last: by it nbgrader knows
    what it need not grade again.
    """
    files = [path for path in Path(new).rglob("*") if path.is_file()]
    files.sort(key=lambda path: (path.name == TIME, path.suffix == ".ipynb"))
    for path in files:
        # What a notebook says of itself is believed after a power cut, too.
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    kept = {path.relative_to(new) for path in files}
    for path in [path for path in Path(old).rglob("*") if not path.is_dir()]:
        if path.relative_to(old) not in kept:
            path.unlink()
    for path in files:
        target = Path(old, path.relative_to(new))
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
