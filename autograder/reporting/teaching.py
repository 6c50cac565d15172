"""Find the line of a lesson that teaches what a mistake misses: the sentence that shares its rarest words with it."""

import collections
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..authoring.lesson import Cell, Lesson

WORD = re.compile(r"[^\W\d_]{3,}")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`$*])")
ENDINGS = ("ing", "ed", "es", "s", "ly")
NEAR = 1.6  # times as much counts a sentence between the exercise before and this one
ROLES = ("prose", "exercise", "hint")
LEAST = 0.3  # less in common is no relation
LONGEST = 320  # characters of a sentence that is quoted


@dataclass(frozen=True)
class Line:
    """A sentence of a lesson.

    lesson   name of the lesson
    heading  of the section in which it stands, "" if there is none
    text     the sentence, in Markdown; "" where none is told and the section alone is meant
    line     its line in the lesson's text
    """

    lesson: str
    heading: str
    text: str
    line: int


class Teaching:
    """The sentences of a lesson, to be searched."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.sentences = list(_sentences(lesson))
        counts = collections.Counter(word for _, _, words in self.sentences for word in words)
        self._rare = {word: math.log(1 + len(self.sentences) / count) for word, count in counts.items()}

    def line(self, exercise: str, sentences: Iterable[str]) -> tuple[float, Line | None]:
        """Return the `Line` that is most about some sentences on an exercise, and how much; None if none is."""
        wanted = set(words(" ".join(sentences)))
        best: Line | None = None
        most = LEAST
        for line, about, have in self.sentences:
            shared = sum(self._rare[word] for word in wanted & have)
            whole = math.sqrt(sum(map(self._weight, have)) * sum(map(self._weight, wanted))) or 1.0
            value = shared / whole * (NEAR if about == exercise else 1.0)
            if value > most:
                best, most = line, value
        return (most, best) if best else (0.0, None)

    def section(self, exercise: str) -> Line:
        """Return where the exercise stands, without a sentence."""
        line, heading = self.lesson.exercises[exercise].line, ""
        for cell in self.lesson.cells:
            if cell.line < line and cell.role == "prose":
                heading = next((text for text in reversed(cell.source.split("\n")) if text.startswith("#")), heading)
        return Line(self.lesson.name, heading.lstrip("# "), "", line)

    def _weight(self, word: str) -> float:
        return self._rare.get(word, math.log(1 + len(self.sentences)))


def _sentences(lesson: Lesson) -> Iterator[tuple[Line, str, frozenset[str]]]:
    """Yield (line, the exercise that it leads to, its words) of a lesson."""
    heading = ""
    for place, cell in enumerate(lesson.cells):
        if cell.role not in ROLES:
            continue
        about = next((other.name for other in lesson.cells[place:] if other.role == "exercise"), "")
        for number, text in _paragraphs(cell):
            if text.startswith("#"):
                heading = text.lstrip("# ")
                continue
            for sentence in SENTENCE.split(text):
                if 30 <= len(sentence) <= LONGEST:
                    yield Line(lesson.name, heading, sentence, number), about, frozenset(words(sentence))


def _paragraphs(cell: Cell) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each paragraph of prose, and of the contract of an exercise."""
    source = cell.source
    if cell.role == "exercise":
        source = source.split('"""')[1] if source.count('"""') >= 2 else ""
    first = cell.first_line + (cell.source[: cell.source.find(source)].count("\n") if source else 0)
    waiting: list[str] = []
    begun = first
    for number, line in enumerate([*source.split("\n"), ""], first):
        if waiting and line.startswith(("- ", "* ")):  # each point of a list is one of its own
            yield begun, " ".join(waiting)
            waiting = []
        if line.strip() and not line.startswith(("$$", "```", "|", "    ")):
            begun = begun if waiting else number
            waiting.append(line.strip().removeprefix("- "))
        elif waiting:
            yield begun, " ".join(waiting)
            waiting = []


def words(text: str) -> Iterator[str]:
    """Yield the words of a text, without their endings."""
    for word in WORD.findall(text.lower()):
        end = next((end for end in ENDINGS if word.endswith(end) and len(word) - len(end) >= 3), "")
        yield word.removesuffix(end) if end else word
