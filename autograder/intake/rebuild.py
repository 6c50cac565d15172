"""A submission, rebuilt on the released notebook.

Only the sources of answer cells and the learner's own cells come from the learner. Check cells, points, locks,
tags and the kernel are the released ones, so that deleting, copying or editing them changes nothing.
"""

import os
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor

from .matching import Matched, grade_id
from .merging import OWN as OWN
from .merging import merge as merge
from .merging import merged

# The notebook's metadata under this key tells the later steps what happened to the submission:
# "refused" and "stopped" are reasons, "comments" has a sentence for some of the answer cells.
NOTES = "autograder"


class Rebuild(NbGraderPreprocessor):
    """First step of autograde: the released notebook with the answers of `resources["arrival"]`."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        names, arrival = resources["nbgrader"], resources["arrival"]
        released = self._released(names["assignment"], names["notebook"])
        matched = Matched(released.cells, arrival.cells)
        refused = arrival.refused or self._other_lesson(matched, names["assignment"])
        if refused:
            self.log.warning("%s, %s: %s", names["student"], names["assignment"], refused)
            released.metadata[NOTES] = {"refused": refused, "comments": {}}
            if arrival.taken:
                released.metadata[NOTES]["refused"] = f"{arrival.taken} {refused}"
            return released, resources
        released.cells, comments = merged(matched)
        if arrival.taken:
            self.log.warning("%s, %s: %s", names["student"], names["assignment"], arrival.taken)
        for name, comment in comments.items():
            self.log.warning("%s, answer %s: %s", names["student"], name, comment)
        released.metadata[NOTES] = {"comments": comments} | ({"taken": arrival.taken} if arrival.taken else {})
        return released, resources

    def _path(self, assignment: str) -> str:
        course = CourseDirectory(parent=self)
        path: str = course.format_path(course.release_directory, ".", assignment)
        return path

    def _released(self, assignment: str, notebook: str) -> NotebookNode:
        path = os.path.join(self._path(assignment), notebook + ".ipynb")
        if not os.path.isfile(path):
            raise NbGraderException(
                f"There is no released notebook {path}; run `nbgrader generate_assignment {assignment}` first"
            )
        released: NotebookNode = nbformat.read(path, as_version=4)
        return released

    def _other_lesson(self, matched: Matched, assignment: str) -> str | None:
        """Return why these cells cannot be graded as this lesson, or None where they hold one of its answers."""
        claimed = {cell.grade_id for cell in matched.learner}
        if matched.claimed & matched.answers.keys():
            return None
        for lesson in self._lessons():
            if lesson != assignment and claimed & self._grade_ids(lesson):
                return f"This notebook belongs to lesson {lesson}, not to {assignment}."
        return None if matched.answers else f"This notebook has none of the answer cells of lesson {assignment}."

    def _lessons(self) -> list[str]:
        folder = os.path.normpath(self._path(""))
        return sorted(os.listdir(folder))

    def _grade_ids(self, lesson: str) -> set[str]:
        folder = self._path(lesson)
        files = os.listdir(folder) if os.path.isdir(folder) else []
        notebooks = [nbformat.read(os.path.join(folder, f), 4) for f in files if f.endswith(".ipynb")]
        return {name for notebook in notebooks for cell in notebook.cells if (name := grade_id(cell)) is not None}
