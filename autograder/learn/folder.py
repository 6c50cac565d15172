"""A learner's own folder of lessons: made from the course's notebooks, and brought up to date with their answers in it.

What the course gave is known by digests in `.transformer-taxonomy/given.json`, and kept as it was given beside it, so
that it is known without asking which notebook a learner has changed and which the course has. Each file is written
beside its place and then put there at once.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from ..course import PACKAGE, CourseError, notebooks, released
from ..intake.content import UnreadableError
from ..intake.folder import Limits
from ..intake.matching import Matched, grade_id, is_solution
from ..intake.merging import merged
from ..intake.notebook import LearnerCell, cells_in

PAGE = "start.ipynb"  # the start page
KEPT = ".transformer-taxonomy"  # what this module knows of a folder
EARLIER = "earlier"  # a learner's notebooks as they were before an update
NEW = "from the new course"  # ends the name of a notebook that could not be merged with the learner's


class Folder:
    """A learner's folder of lessons.

    path    where it is; it need not exist
    course  the folder of the course's notebooks
    """

    def __init__(self, path: Path, course: Path | None = None) -> None:
        self.path, self.course = path, course or released()
        self.kept = path / KEPT
        self.given: dict[str, str] = _given(self.kept / "given.json")

    def names(self) -> list[str]:
        """Return the course's notebooks, as paths in its folder with strokes, in the order of the lessons."""
        found = [path.relative_to(self.course).as_posix() for path in notebooks(self.course)]
        if not found:
            raise CourseError(f"{self.course}: the course has no notebooks here; install it once more")
        return found

    def is_changed(self, name: str) -> bool:
        """Tell whether a notebook of this folder is another one than the course gave."""
        path = self.path / name
        return path.is_file() and digest(path.read_bytes()) != self.given.get(name)

    def fill(self) -> Iterator[str]:
        """Put notebooks of the course where there are none, and yield what is to be said; nothing is overwritten."""
        names, made = self.names(), not self.kept.is_dir()
        missing = [name for name in names if not (self.path / name).is_file()]
        for name in missing:
            self._give(name)
        newer = [name for name in names if name not in missing and self._is_newer(name)]
        self._note()
        if made:
            yield f"{self.path}: a folder of your own, with {len(missing)} notebooks to work in."
        elif missing:
            yield f"New in {self.path}: {', '.join(missing)}."
        if newer:
            one = len(newer) == 1
            yield (
                f"The course has {'another version' if one else 'other versions'} of {', '.join(newer)}. To move your "
                f"answers into {'it' if one else 'them'}: python -m autograder learn --update"
            )

    def update(self) -> Iterator[str]:
        """Bring every notebook up to date, with the learner's answers in it, and yield what is to be said of it.

        A notebook that the learner has changed is first kept as it is, in `earlier/`. One that cannot be read stays,
        and the new one is put beside it.
        """
        names = self.names()
        done = 0
        for name in names:
            path = self.path / name
            if not path.is_file():
                self._give(name)
                yield f"{name}: new."
            elif self._is_newer(name):
                if self.is_changed(name):
                    yield from self._move(name)
                else:
                    self._give(name)
                    yield f"{name}: replaced by the new version; there was nothing of yours in it."
            else:
                continue
            done += 1
            self._note()
        for name in sorted(self.given.keys() - set(names)):
            if (self.path / name).is_file():
                yield f"{name}: no longer in the course; your notebook stays where it is."
        if not done:
            yield f"{self.path}: everything is up to date."

    def _is_newer(self, name: str) -> bool:
        """Tell whether the course has another version of a notebook than it gave, which is not in its place either."""
        new = digest((self.course / name).read_bytes())
        return self.given.get(name) != new and digest((self.path / name).read_bytes()) != new

    def _give(self, name: str) -> None:
        content = (self.course / name).read_bytes()
        put(self.path / name, content)
        self._remember(name, content)

    def _remember(self, name: str, content: bytes) -> None:
        put(self.kept / "given" / name, content)
        self.given[name] = digest(content)

    def _note(self) -> None:
        """Write down what the course has given; what lies in its place as the course has it counts as given."""
        for name in self.names():
            path = self.path / name
            if name not in self.given and path.is_file() and digest(path.read_bytes()) == digest(self._new(name)):
                self._remember(name, self._new(name))
        about = {"course": _version(), "notebooks": self.given}
        put(self.kept / "given.json", json.dumps(about, indent=1, sort_keys=True).encode() + b"\n")

    def _new(self, name: str) -> bytes:
        return (self.course / name).read_bytes()

    def keep(self, name: str, content: bytes) -> str:
        """Keep what a file of the folder holds, and return where: a path in the folder."""
        place = _free(self.path / EARLIER / date.today().isoformat() / name)
        put(place, content)
        return place.relative_to(self.path).as_posix()

    def _move(self, name: str) -> Iterator[str]:
        """Put the new version of a notebook, with the learner's answers, in the place of theirs."""
        mine, new = (self.path / name).read_bytes(), self._new(name)
        old = self.kept / "given" / name
        try:
            content, notes = moved(mine, new, old.read_bytes() if old.is_file() else None)
        except UnreadableError:
            beside = self.path / name
            beside = beside.with_name(f"{beside.stem} {NEW}.ipynb")
            put(beside, new)
            self._remember(name, new)
            yield f"{name}: it cannot be read as a notebook, and stays. The new version is beside it: {beside.name}."
            return
        kept = self.keep(name, mine)
        put(self.path / name, content)
        self._remember(name, new)
        yield f"{name}: your answers are in the new version; run it to see its outputs. The old one is {kept}."
        yield from (f"  {note}" for note in notes)


def moved(mine: bytes, new: bytes, old: bytes | None) -> tuple[bytes, list[str]]:
    """Return the new version of a notebook with a learner's answers and own cells, and what is to be said of them.

    mine  the learner's notebook, as it was saved
    new   the course's notebook now
    old   the course's notebook as it was given; None where it is not known: then a text of the course that has changed
          is kept as if the learner had written it
    Raises `UnreadableError` if the learner's is no notebook.
    """
    # The learner's own file, and no one else's: what it holds may be as large as they like.
    cells = cells_in(mine, Limits(cells=10**6, source=10**9, sources=10**9))
    notebook: NotebookNode = nbformat.reads(new.decode("utf-8"), as_version=4)
    before: Sequence[NotebookNode] = nbformat.reads(old.decode("utf-8"), as_version=4).cells if old else ()
    matched = Matched(notebook.cells, _without_given(cells, before, notebook.cells))
    notes = list(_notes(matched, before))
    notebook.cells, _ = merged(matched)
    return (nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n").encode(), notes


def _without_given(
    cells: Sequence[LearnerCell], before: Sequence[NotebookNode], now: Sequence[NotebookNode]
) -> list[LearnerCell]:
    """Return a learner's cells, with those that are as the course gave them brought up to date.

    They stay where the new version has them, for they tell where the learner's own cells stand, and go where it does
    not: nobody wrote them here.
    """
    given = {(cell.cell_type, cell.source.strip()): cell for cell in before}
    by_name = {name: cell for cell in now if (name := grade_id(cell))}
    by_id = {cell.id: cell for cell in now}
    by_text = {(cell.cell_type, cell.source.strip()): cell for cell in now}
    kept: list[LearnerCell] = []
    for cell in cells:
        text = cell.kind, cell.source.strip()
        if (old := given.get(text)) is None:
            kept.append(cell)
        elif new := by_name.get(grade_id(old) or "") or by_id.get(cell.cell_id or old.id) or by_text.get(text):
            kept.append(replace(cell, source=new.source))
    return kept


def _notes(matched: Matched, before: Sequence[NotebookNode]) -> Iterator[str]:
    """Yield a sentence for each exercise with an answer whose own cell has changed in the course."""
    old = {grade_id(cell): cell.source for cell in before}
    for place, answer in sorted(matched.answers.items()):
        cell = matched.released[place]
        name = grade_id(cell)
        if answer.solved and is_solution(cell) and old.get(name, cell.source) != cell.source:
            yield f"{name}: the exercise has changed, and your answer is the one from before; check it once more."


def nearest_folder(start: Path) -> Path | None:
    """Return the learner's folder in which a place is, or None."""
    start = start.resolve()
    return next((place for place in (start, *start.parents) if (place / KEPT / "given.json").is_file()), None)


def digest(content: bytes) -> str:
    """Return the SHA-256 digest of a text, with whatever ends of lines it was written."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def put(path: Path, content: bytes) -> None:
    """Put the whole content into a file at once, or leave it as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _free(path: Path) -> Path:
    """Return the path, or one with a number behind its name that is not taken."""
    number, free = 2, path
    while free.exists():
        free = path.with_name(f"{path.stem} {number}{path.suffix}")
        number += 1
    return free


def _given(path: Path) -> dict[str, str]:
    """Return {notebook: digest} of what the course gave; nothing where that is not known."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["notebooks"]
        return {name: value for name, value in found.items() if isinstance(value, str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:  # a folder of modules, without what pip writes beside them
        return ""
