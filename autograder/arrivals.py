"""What learners hand in, read without believing any of it.

nbgrader opens a submission with `nbformat.read`, which raises on whatever is not a proper notebook, and
nbgrader then drops the submission. Here a reading always ends in an `Arrival`: the sources of the cells, or
the reason why there are none. Nothing in `submitted/` is written to.
"""

import glob
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from nbconvert.exporters import NotebookExporter
from nbformat.v4 import new_notebook
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets import Integer

# nbgrader gives its hooks neither configuration nor course; the tests hold this to nbgrader_config.py.
RELEASE_DIRECTORY = "course"


@dataclass(frozen=True)
class LearnerCell:
    """One cell that was handed in; only what may come from a learner."""

    kind: str                   # "code" or "markdown"
    source: str
    grade_id: str | None        # nbgrader's name for an answer or check, if the cell claims one
    cell_id: str | None


@dataclass(frozen=True)
class Arrival:
    """The cells that were handed in, or the reason why none can be read."""

    cells: list[LearnerCell] = field(default_factory=list)
    refused: str | None = None


class Unreadable(Exception):
    """The reason, in words for the learner, why a submission cannot be read."""


def read_arrival(path, max_bytes=10_000_000):
    """Return the `Arrival` at a path, whatever lies there.

    path       where the notebook should be; there may be nothing, or anything
    max_bytes  larger files are refused unread
    """
    try:
        return Arrival(_cells(_parse(_read(Path(path), max_bytes))))
    except Unreadable as problem:
        return Arrival(refused=str(problem))


def _read(path, max_bytes):
    if not os.path.lexists(path):
        others = sorted(p.name for p in path.parent.glob("*") if p.name != "timestamp.txt")
        found = f" In its place: {', '.join(others[:5])}." if others else ""
        raise Unreadable(f"No file with the name {path.name} was handed in.{found}")
    # A link could point to the solutions, and reading a pipe would wait for ever.
    if path.is_symlink() or not path.is_file():
        raise Unreadable(f"{path.name} is a link, a folder or a device; hand in the notebook file itself.")
    try:
        with open(path, "rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be opened: {error.strerror}.") from error
    if len(content) > max_bytes:
        raise Unreadable(f"{path.name} is larger than {max_bytes / 1e6:g} MB; clear its outputs and save it.")
    return content


def _parse(content):
    if not content.strip():
        raise Unreadable("The file is empty.")
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable("The file is not UTF-8 text, so it is not a notebook that Jupyter saved.") from error
    except RecursionError as error:
        raise Unreadable("The file is nested too deeply for a notebook.") from error
    except ValueError as error:
        raise Unreadable(f"The file is not a notebook: its JSON is broken ({error}).") from error


def _cells(document):
    if not isinstance(document, dict) or "nbformat" not in document:
        raise Unreadable("The file is JSON, but not a notebook.")
    if document["nbformat"] != 4:
        version = str(document["nbformat"])[:20]
        raise Unreadable(f"The notebook has format {version}, not 4; open it in JupyterLab and save it again.")
    if not isinstance(document.get("cells"), list):
        raise Unreadable("The notebook has no list of cells.")
    cells = [cell for cell in map(_cell, document["cells"]) if cell is not None]
    if not cells:
        raise Unreadable("The notebook has no cells.")
    return cells


def _cell(raw):
    """Return the cell, or None for one that nobody could have written in Jupyter."""
    if not isinstance(raw, dict) or raw.get("cell_type") not in ("code", "markdown"):
        return None
    source = raw.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    metadata = raw.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return LearnerCell(raw["cell_type"], _encodable(source), _text(grade_id), _text(raw.get("id")))


def _text(value):
    return value if isinstance(value, str) else None


def _encodable(text):
    # JSON may hold half a surrogate pair, which Python reads but cannot write as UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


class SubmissionExporter(NotebookExporter):
    """nbgrader's way from a submission's file to its steps, for every file.

    The first pass reads from `submitted/` and hands the steps an empty notebook, with what arrived in
    `resources["arrival"]`. The second pass reads what the first one wrote, which is a proper notebook.
    """

    max_bytes = Integer(10_000_000, help="Larger submissions are refused unread.").tag(config=True)

    def from_filename(self, filename, resources=None, **kw):
        folder, name = os.path.split(filename)
        if not self._is_submission(folder, resources["nbgrader"]):
            return super().from_filename(filename, resources, **kw)
        resources["metadata"] = {"name": os.path.splitext(name)[0], "path": folder}
        resources["arrival"] = read_arrival(filename, self.max_bytes)
        return self.from_notebook_node(new_notebook(), resources, **kw)

    def from_notebook_node(self, nb, resources=None, **kw):
        output, resources = super().from_notebook_node(nb, resources, **kw)
        return _encodable(output), resources

    def _is_submission(self, folder, names):
        course = CourseDirectory(parent=self)
        submitted = course.format_path(course.submitted_directory, names["student"], names["assignment"])
        return os.path.abspath(folder) == os.path.abspath(submitted)


def expect_released_notebooks(assignment, student, notebooks):
    """nbgrader's `Autograde.pre_convert_hook`: grade every released notebook, also one that was not handed in.

    nbgrader lists the notebooks of a submission by what lies in its folder, so a misnamed one would be no
    submission at all. The list is completed in place; `read_arrival` says what is missing.
    """
    if notebooks:
        folder = Path(notebooks[0]).parent
        notebooks[:] = sorted({*notebooks, *_expected(folder, RELEASE_DIRECTORY)})


def _expected(folder, release_directory):
    released = Path(release_directory, folder.name).glob("*.ipynb")
    return [str(folder / path.name) for path in released]


class AutogradeAll(Autograde):
    """nbgrader's autograde for every folder in `submitted/`, also for one that holds no notebook.

    nbgrader passes over such a folder with a warning, and no hook of it is asked. With this converter the
    learner gets a 0, its reason and a feedback page as for any other mishap.
    """

    def init_notebooks(self):
        course = self.coursedir
        released = os.path.join(course.root, course.release_directory)
        pattern = course.format_path(course.submitted_directory, course.student_id, course.assignment_id)
        folders = sorted(filter(os.path.isdir, glob.glob(pattern)))
        if not folders:
            raise NbGraderException(f"There is no submission {pattern}")
        self.notebooks = []
        self.assignments = {
            folder: glob.glob(os.path.join(glob.escape(folder), "*.ipynb")) or _expected(Path(folder), released)
            for folder in folders
        }
