"""A submission, rebuilt on the released notebook.

Only the sources of answer cells and the learner's own cells come from the learner. Check cells, points, locks,
tags and the kernel are the released ones, so that deleting, copying or editing them changes nothing.
"""

import os
from collections import Counter, defaultdict

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_solution

# The notebook's metadata under this key tells the later steps what happened to the submission:
# "refused" and "stopped" are reasons, "comments" has a sentence for some of the answer cells.
NOTES = "autograder"
# A cell's id starts with this where the cell is the learner's own.
OWN = "learner-"


class Rebuild(NbGraderPreprocessor):
    """First step of autograde: the released notebook with the answers of `resources["arrival"]`."""

    def preprocess(self, nb, resources):
        names, arrival = resources["nbgrader"], resources["arrival"]
        released = self._released(names["assignment"], names["notebook"])
        refused = arrival.refused or self._other_lesson(released, arrival.cells, names["assignment"])
        if refused:
            self.log.warning("%s, %s: %s", names["student"], names["assignment"], refused)
            released.metadata[NOTES] = {"refused": refused, "comments": {}}
            return released, resources
        cells, comments = merge(released.cells, arrival.cells)
        for name, comment in comments.items():
            self.log.warning("%s, answer %s: %s", names["student"], name, comment)
        released.cells = cells
        released.metadata[NOTES] = {"comments": comments}
        return released, resources

    def _path(self, assignment):
        course = CourseDirectory(parent=self)
        return course.format_path(course.release_directory, ".", assignment)

    def _released(self, assignment, notebook):
        path = os.path.join(self._path(assignment), notebook + ".ipynb")
        if not os.path.isfile(path):
            raise NbGraderException(
                f"There is no released notebook {path}; run `nbgrader generate_assignment {assignment}` first"
            )
        return nbformat.read(path, as_version=4)

    def _other_lesson(self, released, cells, assignment):
        """Return why these cells cannot be graded as this lesson, or None where they hold one of its answers."""
        own = Places(released.cells)
        if any(own.answer(cell) is not None for cell in cells):
            return None
        claimed = {cell.grade_id for cell in cells}
        for lesson in self._lessons():
            if lesson != assignment and claimed & self._grade_ids(lesson):
                return f"This notebook belongs to lesson {lesson}, not to {assignment}."
        return f"This notebook has none of the answer cells of lesson {assignment}."

    def _lessons(self):
        folder = os.path.normpath(self._path(""))
        return sorted(os.listdir(folder))

    def _grade_ids(self, lesson):
        folder = self._path(lesson)
        files = os.listdir(folder) if os.path.isdir(folder) else []
        notebooks = [nbformat.read(os.path.join(folder, f), 4) for f in files if f.endswith(".ipynb")]
        return {_grade_id(cell) for notebook in notebooks for cell in notebook.cells} - {None}


class Places:
    """Finds a learner's cell in the released notebook."""

    def __init__(self, released):
        self.released = released
        self.by_name = {_grade_id(cell): place for place, cell in enumerate(released) if _grade_id(cell)}
        self.by_id = {cell.id: place for place, cell in enumerate(released) if "id" in cell}
        self.by_source = {}
        for place, cell in enumerate(released):
            self.by_source.setdefault((cell.cell_type, cell.source.strip()), place)

    def find(self, cell):
        """Return the index of the released cell that this one is, or None for a cell of the learner's own."""
        if cell.grade_id in self.by_name:
            return self.by_name[cell.grade_id]
        if cell.cell_id is None:
            # Notebooks of format 4.4 and older have no ids.
            return self.by_source.get((cell.kind, cell.source.strip()))
        place = self.by_id.get(cell.cell_id)
        return place if place is not None and self.released[place].cell_type == cell.kind else None

    def answer(self, cell):
        """Return the index of the answer cell that this one is, or None."""
        place = self.find(cell)
        return place if place is not None and is_solution(self.released[place]) else None


def merge(released, learner):
    """Return the released cells with a learner's answers and own cells, and comments on the answers.

    An answer cell that is there more than once counts in its last copy, which is the definition that a run
    from top to bottom ends with; earlier copies stay as the learner's own cells. An own cell stands after
    the released cell that it followed, and so does an edited cell that is not an answer.
    """
    places = Places(released)
    copies = Counter(place for cell in learner if (place := places.answer(cell)) is not None)
    remaining, sources, own, here = Counter(copies), {}, defaultdict(list), -1
    for cell in learner:
        place = places.find(cell)
        if place in remaining:
            remaining[place] -= 1
            if remaining[place]:
                own[here].append(cell)
                continue
            sources[place] = cell.source
        elif place is None or _is_edited_prose(released[place], cell):
            own[here if place is None else place].append(cell)
        here = here if place is None else place
    return _assemble(released, sources, own), _comments(released, copies)


def _is_edited_prose(released, cell):
    return _grade_id(released) is None and released.source.strip() != cell.source.strip()


def _assemble(released, sources, own):
    cells, number = [], 0
    for place in range(-1, len(released)):
        if place >= 0:
            cells.append(released[place])
            cells[-1].source = sources.get(place, released[place].source)
        for cell in own[place]:
            number += 1
            new = new_code_cell if cell.kind == "code" else new_markdown_cell
            cells.append(new(cell.source, id=f"{OWN}{number}"))
    return cells


def _comments(released, copies):
    comments = {}
    for place, cell in enumerate(released):
        if is_solution(cell) and copies[place] == 0:
            comments[_grade_id(cell)] = "This answer cell was missing, so it counts as not solved."
        elif copies[place] > 1:
            comments[_grade_id(cell)] = (
                f"This answer cell appeared {copies[place]} times. The last one counts; the others were run before it."
            )
    return comments


def _grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")
