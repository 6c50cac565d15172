"""A submission, rebuilt on the released notebook.

Only the sources of answer cells and the learner's own cells come from the learner. Check cells, points, locks,
tags and the kernel are the released ones, so that deleting, copying or editing them changes nothing.
"""

import os
import re
from collections.abc import Sequence
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_solution

from .matching import Answer, Matched, grade_id
from .notebook import LearnerCell
from .own import Own, own_cells
from .pictures import said_of

# The notebook's metadata under this key tells the later steps what happened to the submission:
# "refused" and "stopped" are reasons, "comments" has a sentence for some of the answer cells.
NOTES = "autograder"
# A cell's id starts with this where the cell is the learner's own.
OWN = "learner-"


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
        released.cells, comments = _merged(matched)
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


def merge(
    released: Sequence[NotebookNode], learner: Sequence[LearnerCell]
) -> tuple[list[NotebookNode], dict[str, str]]:
    """Return the released cells with a learner's answers and own cells, and comments on the answers.

    An answer cell that is there more than once counts in its last copy, which is the definition that a run
    from top to bottom ends with; earlier copies stay as the learner's own cells. An answer that stands elsewhere
    is put into its cell. An own cell stands after the released cell that it followed, and so does an edited cell
    that is not an answer; where an answer that was moved up needs it, it is moved up with it.
    """
    return _merged(Matched(released, learner))


def _merged(matched: Matched) -> tuple[list[NotebookNode], dict[str, str]]:
    own = own_cells(matched)
    return _assemble(matched, own), _comments(matched)


def _assemble(matched: Matched, own: Own) -> list[NotebookNode]:
    cells: list[NotebookNode] = []
    number = 0
    for place, cell in enumerate([None, *matched.released], -1):
        for index in own.before[place]:
            number += 1
            cells.append(_own(matched.learner[index], f"{OWN}{number}"))
        if cell is not None:
            cells.append(cell)
            if place in matched.answers:
                _put(cell, matched.answers[place], matched.learner)
        for index in own.after[place]:
            number += 1
            cells.append(_own(matched.learner[index], f"{OWN}{number}"))
    return cells


def _own(cell: LearnerCell, name: str) -> NotebookNode:
    made: NotebookNode
    if cell.kind == "code":
        made = new_code_cell(cell.source, id=name)
        return made
    # A raw cell would be put into a page as it is.
    source = f"{cell.source}\n\n*{said_of(cell.left_out)}*" if cell.left_out else cell.source
    made = new_markdown_cell(source, id=name, **({"attachments": cell.attachments} if cell.attachments else {}))
    return made


def _put(cell: NotebookNode, answer: Answer, learner: Sequence[LearnerCell]) -> None:
    """Give a released answer cell the learner's text, and the pictures in it."""
    if cell.cell_type == "code":
        cell.source = answer.source
        return
    texts = [answer.source]
    found: dict[str, dict[str, str]] = {}
    for number, index in enumerate(answer.cells):
        one = learner[index]
        # What is written as a comment would be set as a headline.
        text = re.sub(r"^#+ ?", "", one.source, flags=re.MULTILINE) if one.kind == "code" else one.source
        for name, picture in one.attachments.items():
            new = f"{number}-{name}" if found.get(name, picture) != picture else name
            if new != name:  # JupyterLab calls every pasted picture image.png
                text = text.replace(f"attachment:{name}", f"attachment:{new}")
            found[new] = picture
        texts.append(text)
    own = answer.source == learner[answer.cells[0]].source or not answer.solved
    cell.source = answer.source if own else "\n\n".join(texts)
    if found:
        cell.attachments = found


def _comments(matched: Matched) -> dict[str, str]:
    comments: dict[str, str] = {}
    for place, name in matched.names.items():
        cell = matched.released[place]
        if is_solution(cell) and (said := _said(matched, place, cell)):
            comments[name] = said
    return comments


def _said(matched: Matched, place: int, cell: NotebookNode) -> str:
    """Return what is to be said about the answer of a released cell, "" for nothing."""
    answer = matched.answers.get(place)
    if answer is None:
        return "This answer cell was missing, so it counts as not solved."
    left_out = sum(matched.learner[index].left_out for index in answer.cells) if cell.cell_type != "code" else 0
    return " ".join(filter(None, [_where(matched, place, cell, answer), said_of(left_out) if left_out else ""]))


def _where(matched: Matched, place: int, cell: NotebookNode, answer: Answer) -> str:
    copies = len(matched.copies[place])
    if cell.cell_type == "code" and answer.solved and answer.cells[0] not in matched.copies[place]:
        return f"This answer was not in its own cell. It was found in cell {answer.cells[0] + 1} of the notebook."
    if copies > 1 and answer.cells[0] == matched.copies[place][-1]:
        return f"This answer cell appeared {copies} times. The last one counts; the others were run before it."
    if copies > 1:
        return f"This answer cell appeared {copies} times. The last one that is solved counts."
    return ""
