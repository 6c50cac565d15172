"""Which of a learner's cells is which cell of the released notebook, and where each answer is.

Editors drop ids and metadata, and people write below, above, into new cells, or several answers into one. A cell is
known by nbgrader's metadata or its id, else by its text; an answer that is not in its cell is known by the name that
it defines, and a written one by standing beside its question.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..notebooks import answers
from ..notebooks.magics import MOST_READ, read_for_magics
from .notebook import LearnerCell

if TYPE_CHECKING:
    from nbformat import NotebookNode

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*([\w+-]*)")
PYTHON = ("", "python", "py", "python3", "ipython", "ipython3", "code")
STUB = "YOUR ANSWER HERE"  # ClearSolutions.text_stub
SHORTEST = 40  # characters of a question by which it is known
KINDS = {"code": 2, "raw": 1, "markdown": 0}  # what an answer is sooner looked for in


@dataclass
class Answer:
    """Where the answer to an exercise or a question is.

    cells   the indices of the learner's cells that it is in: one, or those beside a question
    source  its text
    solved  whether it is more than what was released
    """

    cells: list[int]
    source: str
    solved: bool


class Matched:
    """The released cells, a learner's cells, and what belongs to what.

    places   for each of the learner's cells the index of the released cell that it is, or None
    answers  {index of a released answer cell: `Answer`}
    """

    def __init__(self, released: Sequence["NotebookNode"], learner: Sequence[LearnerCell]) -> None:
        self.released, self.learner = released, learner
        self.names = {place: name for place, cell in enumerate(released) if (name := grade_id(cell))}
        self.places = self._by_name_or_id()
        self._by_source()
        self._by_question()
        self.copies: dict[int, list[int]] = defaultdict(list)
        for index, place in enumerate(self.places):
            if place is not None:
                self.copies[place].append(index)
        self.claimed = set(self.copies)  # without those that are found only by a name
        self._read: dict[int, answers.Reading | None] = {}
        self._left = MOST_READ
        self.wanted = {
            place: name
            for place, name in self.names.items()
            if is_solution(released[place]) and released[place].cell_type == "code"
        }
        self.answers: dict[int, Answer] = {}
        for place, name in self.wanted.items():
            self._find(place, name)
        self._settle()
        self._split()
        for place in self.names:
            if is_solution(released[place]) and place not in self.wanted:
                self._find_written(place)

    # Cells that are released ones

    def _by_name_or_id(self) -> list[int | None]:
        by_name: dict[str | None, int] = {name: place for place, name in self.names.items()}
        by_id: dict[str | None, int] = {cell.id: place for place, cell in enumerate(self.released) if "id" in cell}
        found: list[int | None] = []
        for cell in self.learner:
            place = by_name.get(cell.grade_id)
            if place is None and cell.cell_id in by_id:
                place = by_id[cell.cell_id]
                # An answer may have been turned into text, and a question into code.
                if self.released[place].cell_type != cell.kind and not is_solution(self.released[place]):
                    place = None
            found.append(place)
        return found

    def _by_source(self) -> None:
        taken = set(self.places) - {None}
        free: dict[tuple[str, str], deque[int]] = defaultdict(deque)
        for place, cell in enumerate(self.released):
            if place not in taken:
                free[cell.cell_type, cell.source.strip()].append(place)
        for index, mine in enumerate(self.learner):
            if self.places[index] is not None or mine.grade_id is not None:
                continue  # one that has a name of its own is a cell of another lesson
            if same := free.get((mine.kind, mine.source.strip())):
                self.places[index] = same.popleft()

    def _by_question(self) -> None:
        taken = set(self.places)
        for place in self.names:
            cell = self.released[place]
            begins = _normal(cell.source)[: 2 * SHORTEST]
            if place in taken or not is_solution(cell) or cell.cell_type == "code" or len(begins) < SHORTEST:
                continue
            for index, mine in enumerate(self.learner):
                if self.places[index] is None and begins in _normal(mine.source):
                    self.places[index] = place

    # Answers in code

    def code(self, index: int) -> str:
        """Return a cell's text as code: that of a text cell without the fences around it."""
        cell = self.learner[index]
        return cell.source if cell.kind == "code" else unfenced(cell.source)

    def reading(self, index: int) -> answers.Reading | None:
        """Return what the cell defines, or None for what is no Python."""
        if index not in self._read:
            code = self.code(index)
            cost = read_for_magics(code)
            self._left -= cost
            # What is not read is taken for no Python: it stays where it is, and counts as what its cell is.
            self._read[index] = answers.read(code) if not cost or self._left >= 0 else None
        return self._read[index]

    def _solves(self, index: int, name: str) -> bool:
        cell = self.learner[index]
        if name not in cell.source:
            return False
        reading = self.reading(index)
        return reading is not None and reading.solves(name)

    def _find(self, place: int, name: str) -> None:
        copies = self.copies[place]
        good = [index for index in copies if self._solves(index, name)]
        if not good:
            good = [i for i in range(len(self.learner)) if self._is_changed(i) and self._solves(i, name)]
            good.sort(key=lambda index: KINDS[self.learner[index].kind])  # the last one of them is the best
        if good or copies:
            index = (good or copies)[-1]
            source = self.code(index)
            solved = bool(good) or source.strip() not in ("", self.released[place].source.strip())
            if solved and not good:  # broken, or left half done
                reading = self.reading(index)
                solved = reading is None or name not in reading.unsolved
            self.answers[place] = Answer([index], source, solved)

    def _is_changed(self, index: int) -> bool:
        place = self.places[index]
        return place is None or self.learner[index].source.strip() != self.released[place].source.strip()

    def _settle(self) -> None:
        """Take a cell for the answer cell itself if it has the answer and stands where that stood."""
        uses: dict[int, list[int]] = defaultdict(list)
        for to, answer in self.answers.items():
            uses[answer.cells[0]].append(to)
        here, following = -1, _following(self.places)
        for index, place in enumerate(self.places):
            used = uses.get(index)
            if place is None and used and here < min(used) and max(used) < following[index]:
                place = self.places[index] = max(used)
                self.copies[place].append(index)
            here = here if place is None else place

    def _split(self) -> None:
        """Give each answer its own part of a cell that several of them are in."""
        shared: dict[int, list[int]] = defaultdict(list)
        for place, answer in self.answers.items():
            shared[answer.cells[0]].append(place)
        for index, places in shared.items():
            parts = _parts(self.code(index), self.reading(index), [self.wanted[place] for place in sorted(places)])
            for place, part in zip(sorted(places), parts or (), strict=False):
                self.answers[place].source = part

    # Answers in words

    def _find_written(self, place: int) -> None:
        released, copies = self.released[place].source, self.copies[place]
        changed = [
            i for i in copies if _normal(self.learner[i].source) not in ("", _normal(released), _asked(released))
        ]
        if changed:
            index = changed[-1]
            self.answers[place] = Answer([index], self.learner[index].source, True)
        elif beside := self._beside(place) or self._named(place):
            self.answers[place] = Answer(beside, _without_stub(released), True)
        elif copies:
            self.answers[place] = Answer([copies[-1]], released, False)

    def _beside(self, place: int) -> list[int]:
        """Return the indices of the learner's own texts below the question, or else those above it."""
        here = self.copies[place][-1] if self.copies[place] else None
        if here is None:
            before = [i for i, other in enumerate(self.places) if other is not None and other < place]
            return self._texts(range(before[-1] + 1, len(self.learner))) if before else []
        return self._texts(range(here + 1, len(self.learner))) or self._texts(range(here - 1, -1, -1))[::-1]

    def _texts(self, indices: Iterable[int]) -> list[int]:
        found: list[int] = []
        for index in indices:
            if self.places[index] is not None:
                break
            if self._is_text(index):
                found.append(index)
        return found

    def _named(self, place: int) -> list[int]:
        name = self.names[place]
        if "_" not in name:
            return []  # a word that any text may have
        return [
            index
            for index, cell in enumerate(self.learner)
            if self.places[index] is None and name in cell.source and self._is_text(index)
        ]

    def _is_text(self, index: int) -> bool:
        cell = self.learner[index]
        if not cell.source.strip() or any(index in answer.cells for answer in self.answers.values()):
            return False
        if cell.kind != "code":
            return True
        if len(cell.source) > 20_000 or cell.source.lstrip()[:1] in ("%", "!"):
            return False
        reading = self.reading(index)
        return not reading.runs if reading is not None else _reads_as_words(cell.source)


def count(released: Sequence["NotebookNode"], learner: Sequence[LearnerCell]) -> tuple[int, int]:
    """Return (how many graded cells of the lesson these cells have, how many answers)."""
    matched = Matched(released, learner)
    return len(matched.claimed & matched.names.keys()), sum(answer.solved for answer in matched.answers.values())


def grade_id(cell: "NotebookNode") -> str | None:
    name: str | None = cell.metadata.get("nbgrader", {}).get("grade_id")
    return name


def is_solution(cell: "NotebookNode") -> bool:
    """Tell whether a released cell is one that learners write in; as in nbgrader, which learners need not install."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution", False))


def unfenced(text: str) -> str:
    """Return the code in a text: what stands between fences, or all of it where there are none."""
    found: list[str] = []
    fence: str | None = None
    kept = False
    for line in text.split("\n"):
        mark = FENCE.match(line)
        if fence is None and mark:
            fence, kept = mark[1], mark[2].lower() in PYTHON
        elif fence is not None and mark and mark[1].startswith(fence) and not mark[2]:
            fence = None
        elif fence is not None and kept:
            found.append(line)
    return "\n".join(found) if found else text


def _following(places: Sequence[int | None]) -> list[float]:
    """Return, for each cell, the index of the released cell that comes next after it."""
    found: list[float] = []
    following = float("inf")
    for place in reversed(places):
        found.append(following)
        following = following if place is None else place
    return found[::-1]


def _parts(source: str, reading: answers.Reading | None, names: Sequence[str]) -> list[str] | None:
    """Return the source cut into one part for each name, in their order; None where that cannot be done."""
    if len(names) < 2 or reading is None or not reading.plain:
        return None
    lines, here = source.split("\n"), 0
    ends: list[int] = []
    parts: list[str] = []
    for name in names:
        ends.append(reading.defined[name][-1][1])
    starts = [reading.defined[name][0][0] for name in names]
    if any(start <= end for start, end in zip(starts[1:], ends, strict=False)):
        return None  # in another order than the lesson's, or entangled
    for end in [*ends[:-1], len(lines)]:
        while end < len(lines) and re.match(r"[ \t]+#", lines[end]):
            end += 1  # a comment that belongs to what stands above it
        parts.append("\n".join(lines[here:end]).strip("\n"))
        here = end
    return parts


def _normal(text: str) -> str:
    return " ".join(text.split())


def _asked(released: str) -> str:
    return _normal(_without_stub(released))


def _without_stub(released: str) -> str:
    return released.rstrip().removesuffix(STUB).rstrip()


def _reads_as_words(source: str) -> bool:
    """Tell whether text that is no Python is language: more words than signs."""
    words = re.findall(r"[^\W\d_]{2,}", source)
    signs = re.findall(r"[=(){}\[\]_:]", source)
    return len(words) >= 3 and len(words) > 2 * len(signs)
