"""A lesson is a text: py:percent cells, each with a role. This module reads one and refuses what it does not know.

| cell | what it is |
|---|---|
| `# %% [markdown] lesson=7 title="..."` | the head of the text, its first cell; a lesson may have no number |
| `# %% [markdown]` | prose |
| `# %%` | imports, definitions and constants: all that runs on import |
| `# %% demo` | runs in the notebook only: one `if __name__ == "__main__":` block |
| `# %% demo trained` | a demo of a trained model, or of anything else in which rounding adds up: see `meaning` |
| `# %% demo trained="writes .*"` | one in which the parts of this regular expression may be anything |
| `# %% exercise="name" uses="other"` | a component, with its solution between the two markers |
| `# %% [markdown] hint="name"` | one of three or more hints, right after the exercise |
| `# %% check="name" points=2` | the check of the exercise; no body |
| `# %% [markdown] predict="name"` | a question with choices, each with its explanation |
| `# %% [markdown] question="name" points=3` | a written question, with its sample answer between the markers |
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from autograder.authoring.draft import BEGIN, CHOICE, END, Rough, draft
from autograder.authoring.rules import RULES
from autograder.course import CourseError
from autograder.notebooks.definitions import definitions, load

__all__ = ["Cell", "Choice", "Exercise", "Fault", "Lesson", "LessonError", "Question", "definitions", "load", "read"]


class Fault(NamedTuple):
    """One thing that is wrong with a lesson: place, fact, remedy."""

    path: str
    line: int
    fact: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.fact}; {self.remedy}"


class LessonError(CourseError):
    """A lesson that cannot be used, with every fault found in it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.path, fault.line)))
        super().__init__("\n".join(map(str, self.faults)))


class Choice(NamedTuple):
    text: str
    explanation: str
    right: bool


@dataclass(frozen=True)
class Cell:
    role: str  # lesson, prose, code, demo, exercise, hint, check, predict or question; setup: one that the builder adds
    source: str  # the code, or the markdown without its quotes
    line: int  # of the `# %%` line
    first_line: int  # of the source
    name: str = ""  # what exercise=, hint=, check=, predict= or question= says
    points: float | None = None
    uses: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    trained: str | None = None  # of a demo that shows a trained model: a regular expression, or ""
    empty: bool = False  # of an exercise, and its check: learners find nothing but comments, and write it all


@dataclass(frozen=True)
class Exercise:
    name: str
    points: float
    uses: tuple[str, ...]  # components of the same lesson that this one calls
    hints: tuple[str, ...]
    source: str  # with the solution
    solution: tuple[tuple[int, str], ...]  # (line, text) of each line of the solution
    line: int
    empty: bool = False  # learners find a cell with nothing but comments


@dataclass(frozen=True)
class Question:
    name: str
    points: float
    source: str  # with the sample answer
    solution: tuple[tuple[int, str], ...]  # (line, text) of each line of the sample answer
    line: int


@dataclass(frozen=True)
class Lesson:
    name: str  # the file's stem
    number: int | None  # None: one that is not in the order of the course
    title: str
    path: Path
    cells: tuple[Cell, ...]
    exercises: dict[str, Exercise] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The name of the lesson's folder, and of its nbgrader assignment."""
        return self.name if self.number is None else f"{self.number:02d}_{self.name}"


def read(path: Path | str) -> Lesson:
    """Return the Lesson in a text, or raise a LessonError that lists every fault with file, line and remedy."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        fault = Fault(str(path), line, "this is not UTF-8 text", "save the file as UTF-8")
        raise LessonError([fault]) from None
    rough = draft(text)
    found = [fault for rule in RULES for fault in rule(rough)]
    if found:
        raise LessonError(Fault(str(path), line, fact, remedy) for line, fact, remedy in dict.fromkeys(found))
    return compose(path, rough.head, tuple(map(cell, rough.cells)))


def cell(rough: Rough) -> Cell:
    """Return the Cell for one cell of the draft."""
    points = rough.options.get("points")
    return Cell(
        role=rough.role,
        source=rough.source,
        line=rough.line,
        first_line=rough.first_line,
        name=rough.name,
        points=int(points) if points is not None and points == int(points) else points,
        uses=tuple(rough.options.get("uses", "").split()),
        choices=tuple(choices(rough.source)) if rough.role == "predict" else (),
        trained=rough.options.get("trained"),
        empty=rough.options.get("empty", False),
    )


def compose(path: Path, head: dict[str, Any], cells: tuple[Cell, ...]) -> Lesson:
    """Return the Lesson of these cells."""
    by_role: dict[str, list[Cell]] = {}
    for one in cells:
        by_role.setdefault(one.role, []).append(one)
    points = {one.name: cast(float, one.points) for one in by_role.get("check", [])}
    hints = by_role.get("hint", [])
    exercises = {
        one.name: Exercise(
            name=one.name,
            points=points[one.name],
            uses=one.uses,
            hints=tuple(hint.source for hint in hints if hint.name == one.name),
            source=one.source,
            solution=solution(one.source, one.first_line),
            line=one.line,
            empty=one.empty,
        )
        for one in by_role.get("exercise", [])
    }
    questions = {
        one.name: Question(
            one.name, cast(float, one.points), one.source, solution(one.source, one.first_line), one.line
        )
        for one in by_role.get("question", [])
    }
    cells = tuple(replace(one, empty=exercises[one.name].empty) if one.role == "check" else one for one in cells)
    return Lesson(path.stem, head.get("lesson"), head["title"], path, cells, exercises, questions)


def solution(source: str, first_line: int = 1) -> tuple[tuple[int, str], ...]:
    """Return (line, text) for each line between the solution markers."""
    inside = False
    found: list[tuple[int, str]] = []
    for number, text in enumerate(source.split("\n"), first_line):
        if text.strip() in (BEGIN, END):
            inside = text.strip() == BEGIN
        elif inside:
            found.append((number, text))
    return tuple(found)


def choices(source: str) -> Iterator[Choice]:
    """Yield the choices of a predict item."""
    for text in source.split("\n"):
        if match := CHOICE.fullmatch(text.rstrip()):
            yield Choice(match[2], match[3], match[1] == "x")
