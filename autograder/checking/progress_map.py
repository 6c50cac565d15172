"""Show on the map of the transformer which exercises are solved."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.map_boxes import LESSONS, ON_THE_MAP, PARTS
from workbench.transformer_map import Map, transformer_map

from ..diagnosing import records
from ..display import BOX, html_table
from . import practice_cards, progress_file

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

MARKS = {"solved": "✓", "tried": "◐", "not yet": "·"}

# How the lessons stand in a terminal: the models on top of what they are made of. One in a row is as wide as two.
ROWS: list[tuple[str, ...]] = [
    ("encoder_only", "decoder_only"),
    ("encoder", "decoder"),
    ("positional_embeddings",),
    ("encoder_decoder",),
    ("multi_head_attention", "self_attention"),
    ("scaled_dot_product_attention", "layer_normalization"),
    ("visualizing_attention",),
]
ACROSS, GAP = 39, 2  # of one card, and between two: 80 columns together
ARROWS = (30, 30 + ACROSS + GAP)  # the columns in which data goes up from one row to the next


@dataclass(frozen=True)
class Exercise:
    """What a learner has done of one exercise: its lesson, its name, how far it is, and the points."""

    lesson: str
    name: str
    state: str
    earned: float
    points: float


def read(folder: Path | str = records.FOLDER, lesson: int | str | None = None) -> "Progress":
    """Return the `Progress` of whoever runs this in all exercises that are recorded, in the order of the course.

    lesson  a number or a name: only the exercises of this lesson; LookupError if there is none
    """
    found = []
    for path in sorted(Path(folder).glob("*/*.json")):
        record, done = json.loads(path.read_text(encoding="utf-8")), progress_file.state(path.stem)
        state = "solved" if done.get("passed") else "tried" if done.get("tries") else "not yet"
        earned = done.get("earned")
        found.append(
            Exercise(
                record["lesson"],
                record["exercise"],
                state,
                earned if isinstance(earned, (int, float)) else 0,
                record["points"],
            )
        )
    found.sort(key=_place)
    if lesson is None:
        return Progress(found, practice_cards.count_due(datetime.now(UTC)))
    name = next((name for name in LESSONS if LESSONS[name].number == lesson), lesson)
    chosen = [one for one in found if one.lesson == name]
    if not chosen:
        known = ", ".join(map(_title, dict.fromkeys(one.lesson for one in found)))
        raise LookupError(f"there is no lesson {lesson!r}; the lessons are {known}")
    return Progress(chosen, whole=False)


@dataclass
class Progress:
    """Every exercise and how far it is: as a map above a table in a notebook, as a map of words in a terminal."""

    exercises: list[Exercise]
    due: int = 0  # mistakes that were practised, and that come back by now
    whole: bool = True  # False: of one lesson, without the map

    def reset(self) -> None:
        """Forget what was done of these exercises: tries, points and opened hints. A copy of the file is kept.

        Raises OSError if the file cannot be written.
        """
        copy = progress_file.forget([one.name for one in self.exercises])
        if copy is None:
            print("There is nothing to forget.")
        else:
            print(f"Forgotten. How it was before is kept in {copy}.")

    @property
    def map(self) -> Map:
        """The map of the transformer, with what is solved and what was tried."""
        solved, tried = (
            [one.name for one in self.exercises if one.state == state and one.name in PARTS]
            for state in ("solved", "tried")
        )
        return transformer_map(solved=solved, tried=tried)

    def _total(self) -> str:
        earned, points = (sum(getattr(exercise, what) for exercise in self.exercises) for what in ("earned", "points"))
        return f"{round(earned, 2):g} of {points:g} points"

    def _due(self) -> str:
        return f"{self.due} mistake{'s are' if self.due > 1 else ' is'} due again: practice()" if self.due else ""

    def _repr_html_(self) -> str:
        due = f"<p>{escape(self._due())}</p>" if self.due else ""
        table = html_table(
            (f"{MARKS[one.state]} {one.state}", _title(one.lesson), one.name, f"{one.earned:g} of {one.points:g}")
            for one in self.exercises
        )
        return (
            f'{self.map.html if self.whole else ""}<div style="{BOX}"><b>{escape(self._total())}</b>{table}{due}</div>'
        )

    def __repr__(self) -> str:
        if not self.whole:
            return "\n".join([self._total(), *_card(self.exercises[0].lesson, self.exercises, wide=True)])
        lessons: dict[str, list[Exercise]] = {name: [] for row in ROWS for name in row}
        for exercise in self.exercises:
            lessons.setdefault(exercise.lesson, []).append(exercise)
        others = [(name,) for name in lessons if name not in LESSONS]  # the capstone, and those of an instructor's own
        rows = [_beside([_card(name, lessons[name], len(row) == 1) for name in row]) for row in ROWS + others]
        # The decoder asks the encoder for keys and values.
        rows[1][1] = "──▶".join((rows[1][1][: ACROSS - 1] + "├", rows[1][1][ACROSS + GAP + 1 :]))
        for upper, lower in ((0, 1), (1, 2)):
            for column in ARROWS:
                rows[upper][-1] = _put(rows[upper][-1], column, "▲")
                rows[lower][0] = _put(rows[lower][0], column, "┴")
        signs = "  ".join(f"{mark} {state}" for state, mark in MARKS.items())
        head = f"{self._total():<{2 * ACROSS + GAP - len(signs)}}{signs}"
        return "\n".join([head, *(line for row in rows for line in row), *([self._due()] if self.due else [])])


def _place(exercise: Exercise) -> tuple[int, str, int]:
    """Return what sorts exercises by lesson and, in a lesson, as they are built; those without a box come last."""
    lesson = ON_THE_MAP.get(exercise.lesson)
    if lesson is None:
        return len(LESSONS) + 2, exercise.lesson, 0
    return lesson.number or len(LESSONS) + 1, "", [*lesson.parts, exercise.name].index(exercise.name)


def _title(lesson: str) -> str:
    known = ON_THE_MAP.get(lesson)
    return lesson if known is None else f"{known.number or ''} {known.title}".strip()


def _card(lesson: str, exercises: Sequence[Exercise], wide: bool) -> list[str]:
    """Return the lines of a lesson's card, in one column of exercises or, if it is wide, in two."""
    width = 2 * ACROSS + GAP if wide else ACROSS
    title = f" {_title(lesson)} "
    cells = [_cell(exercise) for exercise in exercises]
    if wide:
        half = (len(cells) + 1) // 2
        right = cells[half:] + [" " * (ACROSS - 2)] * (2 * half - len(cells))
        cells = [one + " " * (GAP + 2) + other for one, other in zip(cells[:half], right, strict=True)]
    return [f"┌{title[: width - 2]:─<{width - 2}}┐", *(f"│{cell}│" for cell in cells), f"└{'─' * (width - 2)}┘"]


def _cell(exercise: Exercise) -> str:
    """Return sign, name and points of an exercise, in as many columns as are inside of a card."""
    points = f"{exercise.earned:g}/{exercise.points:g}"
    room = ACROSS - 6 - len(points)
    name = exercise.name if len(exercise.name) < room else exercise.name[: room - 2] + "…"
    return f" {MARKS[exercise.state]} {name:<{room}}{points} "


def _beside(cards: Sequence[list[str]]) -> list[str]:
    """Return the lines of cards that stand side by side and end at the same height."""
    high = max(map(len, cards))
    filled = [card[:-1] + [f"│{' ' * (len(card[0]) - 2)}│"] * (high - len(card)) + card[-1:] for card in cards]
    return [(" " * GAP).join(lines) for lines in zip(*filled, strict=True)]


def _put(line: str, column: int, sign: str) -> str:
    return line[:column] + sign + line[column + 1 :]


def arguments(parser: "ArgumentParser") -> None:
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the map to a file, as a picture for a README")


def run(args: "Namespace") -> int:
    shown = read()
    if args.svg is None:
        # a terminal without these lines shows question marks
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
        print(shown)
        return 0
    try:
        args.svg.write_text(shown.map.svg, encoding="utf-8", newline="\n")
    except OSError as error:
        print(f"{args.svg}: {error.strerror}; give a file that can be written", file=sys.stderr)
        return 1
    print(f"{args.svg}: {shown.map}")
    return 0
