"""What learners see: a result and a hint. Calm tables that read without colour, as HTML and as text."""

import itertools
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from ..display import BOX, NUMBERED, SUMMARY, html_table, marked_up, show, wrapped
from .way import html_way, text_way

if TYPE_CHECKING:
    from ..calling.local import Fault
    from ..diagnosing.comparison import Aspects
    from ..diagnosing.example import Example
    from ..diagnosing.ways import Way
    from .where import Where

MARKS = {"right": "✓", "differs": "✗", "not run": "·"}
MIME_TYPE = "application/vnd.transformer-taxonomy.result+json"
STEPS = ("What can be seen", "Why", "Where to look")
LOOKS = "looks for the line in your code."


class Points(float):
    """What a check's cell returns: nbgrader reads the number as text, and a notebook shows nothing below the result."""

    def _repr_html_(self) -> str:
        return ""


@dataclass
class Result:
    """The result of a check. It shows itself as the last line of a cell; `print` shows it as text.

    exercise  name of the exercise
    points    what it is worth
    earned    points earned
    passed    True: the answer is right
    mistakes  names of the known mistakes that it makes; empty if it is right or makes none of them
    says      sentences: symptom, cause, place of a known mistake, or the symptoms that can be seen
    rows      (sentence, "right" | "differs" | "not run") of each probe
    unsolved  True: the skeleton has not been filled in
    fault     the first exception in the learner's code, or None
    note      a remark on how it was judged
    printed   what the learner's code printed and warned meanwhile
    conclusive  False: the check was stopped before anything was known, and is no try
    example     the smallest input that shows what is wrong, an `Example`, or None
    flag        why a person should look at the answer, and what becomes of its points; "" if nobody need
    way         how far a wrong answer is right, step by step; None if nothing can be said of that
    look        looks for the line in the learner's code; None where there is nothing to look for
    line        where the mistake is, if somebody has looked for it already and it is certain
    differs     of a wrong answer without a name, {probe: {aspect: signature}} of what it shows; None elsewhere
    """

    exercise: str
    points: float
    earned: float
    passed: bool
    mistakes: tuple[str, ...] = ()
    says: list[str] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)
    unsolved: bool = False
    fault: "Fault | None" = None
    note: str = ""
    printed: str = ""
    opened: int = 1
    conclusive: bool = True
    flag: str = ""
    way: "Way | None" = None
    look: "Look | None" = field(default=None, repr=False, compare=False)
    example: "Example | None" = None
    line: "Where | None" = None
    differs: "Mapping[str, Aspects] | None" = field(default=None, repr=False)

    @property
    def mistake(self) -> str | None:
        """Name of the mistake, "one + other" for several at once, or None."""
        return " + ".join(self.mistakes) or None

    def more(self) -> "Result":
        """Open the next step of the diagnosis. Returns the result, which shows itself with it."""
        self.opened = min(self.opened + 1, len(STEPS))
        return self

    def where(self, seconds: float | None = None) -> "Where":
        """Look for the line of the mistake in the learner's code, and return a `Where`, which shows itself.

        seconds  of a processor that it may take, 20 if None. You may interrupt it
        Raises LookupError if there is nothing to look for: the answer is right, not solved, or not at hand.
        """
        if self.look is None:
            what = "is right" if self.passed else "is not solved yet" if self.unsolved else "is not at hand"
            raise LookupError(f"there is no line to look for: {self.exercise} {what}")
        return self.look.search(self.says[2] if self.mistakes else "", seconds)

    def grade(self) -> float:
        """Show the result and return the points earned, the number that nbgrader reads from a check's cell."""
        show(self)
        return Points(self.earned)

    def _head(self) -> str:
        verdict = "right" if self.passed else "not solved yet" if self.unsolved else "not right yet"
        return f"{self.exercise}: {verdict}, {self.earned:g} of {self.points:g} points"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Return the result as HTML, as text, and as data for whoever reads a graded notebook."""
        data: dict[str, Any] = {
            "exercise": self.exercise,
            "points": self.points,
            "earned": self.earned,
            "passed": self.passed,
            "unsolved": self.unsolved,
            "mistakes": list(self.mistakes),
            "says": self.says,
        }
        if self.flag:
            data["flag"] = self.flag
        if self.way:
            data["way"] = self.way.plain()
        if self.example:
            data["example"] = asdict(self.example)
        if self.line:
            data["lines"] = list(self.line.lines)
        if self.differs is not None:
            data["differs"] = self.differs
        return {"text/html": self._repr_html_(), "text/plain": repr(self), MIME_TYPE: data}

    def _repr_html_(self) -> str:
        mark = MARKS["right" if self.passed else "not run" if self.unsolved else "differs"]
        head = f"<div><b>{mark} {escape(self._head())}</b></div>"
        if self.unsolved:
            note = f"<p>{escape(self.note)}</p>" if self.note else ""
            return f'<div style="{BOX}">{head}{note}{_next_hint(self.exercise, as_html=True)}</div>'
        table = html_table((f"{MARKS[state]} {state}", sentence) for sentence, state in self.rows)
        if self.passed:
            table = f"<details>{SUMMARY}{len(self.rows)} probes</summary>{table}</details>"
        parts = [head, table, *html_way(self.way), *self._html_says(), _html_example(self.example)]
        for remark in filter(None, (self.note, self.flag)):
            parts.append(f"<p>{escape(remark)}</p>")
        if self.printed.strip():
            parts.append(
                f"<details>{SUMMARY}Your code printed</summary>"
                f"<pre>{escape(_first_lines(self.printed))}</pre></details>"
            )
        return f'<div style="{BOX}">{"".join(parts)}</div>'

    def _html_says(self) -> list[str]:
        ask = f"<p><code>{escape(self.look.call)}</code> {LOOKS}</p>" if self.look else ""
        if self.line:
            ask = self.line.html()
        if not self.mistakes:
            said = [f"<p>{marked_up(sentence)}</p>" for sentence in self.says]
            where = f"<details>{SUMMARY}{STEPS[2]}</summary>{ask}</details>" if self.line else ask
            return [*said, where]
        named = escape(" + ".join(name.replace("_", " ") for name in self.mistakes))
        symptom, place = map(_as_html, self.says[::2])
        cause = _as_html(self.says[1], f"<b>{named}.</b> ")
        # Nested, so that the place cannot be opened before the cause has been read.
        why, where = ("<details open>" if self.opened > step else "<details>" for step in (1, 2))
        return [
            f"{symptom}{why}{SUMMARY}{STEPS[1]}?</summary>{cause}"
            f"{where}{SUMMARY}{STEPS[2]}</summary>{place}{ask}</details></details>"
        ]

    def __repr__(self) -> str:
        if self.unsolved:
            return " ".join(filter(None, (f"{self._head()}.", self.note, _next_hint(self.exercise))))
        lines = [self._head()]
        if not self.passed:
            lines += [wrapped(f"  {state:<8} ", sentence) for sentence, state in self.rows]
            lines += text_way(self.way)
        if self.mistakes:
            lines += [
                wrapped(f"{step}: ", sentence)
                for step, sentence in list(zip(STEPS, self.says, strict=True))[: self.opened]
            ]
            if self.opened < len(STEPS):
                lines.append(f"(.more() opens the next step: {STEPS[self.opened].lower()})")
        else:
            lines += [wrapped("- ", sentence) for sentence in self.says]
        if self.line and (self.opened == len(STEPS) or not self.mistakes):
            lines += self.line.text()
        elif self.look and (self.opened == len(STEPS) or not self.mistakes):
            lines.append(f"(.where() {LOOKS[:-1]})")
        lines += _text_example(self.example)
        for remark in filter(None, (self.note, self.flag)):
            lines.append(wrapped("", remark))
        if self.printed.strip() and not self.passed:
            lines.append("Your code printed:\n" + textwrap.indent(_first_lines(self.printed), "  "))
        return "\n".join(lines)


@dataclass(frozen=True)
class Look:
    """How to look for the line of a mistake.

    call    what a learner writes to ask for it
    search  function of (what is known of the place, seconds)
    """

    call: str
    search: "Callable[[str, float | None], Where]"


@dataclass
class Hint:
    """The hints of an exercise that are open so far."""

    exercise: str
    opened: list[str]
    count: int

    def _rest(self) -> str:
        left = self.count - len(self.opened)
        return (
            f'{left} more: hint("{self.exercise}") in a new cell opens the next.' if left else "That was the last hint."
        )

    def _repr_markdown_(self) -> str:
        hints = "\n\n".join(f"**Hint {number} of {self.count}.** {text}" for number, text in enumerate(self.opened, 1))
        return f"{hints}\n\n*{self._rest()}*"

    def __repr__(self) -> str:
        hints = "\n".join(f"Hint {number} of {self.count}. {text}" for number, text in enumerate(self.opened, 1))
        return f"{hints}\n{self._rest()}"


def _next_hint(exercise: str, as_html: bool = False) -> str:
    call = f'hint("{exercise}")'
    return f" <code>{escape(call)}</code> opens a hint." if as_html else f"{call} opens a hint."


SMALLEST = "The smallest input that shows it"


def _html_example(example: "Example | None") -> str:
    if example is None:
        return ""
    table = html_table(example.rows())
    code = f'<pre style="font-family:monospace">{escape(example.code)}</pre>'
    return f"<details>{SUMMARY}{SMALLEST}</summary>{table}<p>As code, to paste into a cell:</p>{code}</details>"


def _text_example(example: "Example | None") -> list[str]:
    if example is None:
        return []
    rows = [wrapped(f"  {part:<8} ", f"{name}: {value}") for part, name, value in example.rows()]
    return [f"{SMALLEST} (result.example.code holds it as code):", *rows]


def _first_lines(text: str, most: int = 5) -> str:
    """Return the first lines of what was printed; every probe prints it again."""
    lines = text.strip().splitlines()
    return "\n".join(lines[:most] + ([f"... and {len(lines) - most} more lines"] if len(lines) > most else []))


def _as_html(text: str, begin: str = "") -> str:
    """Return what is said as HTML: a paragraph, and a list where several mistakes have a line each."""
    parts = [begin] if begin and text.startswith("1. ") else []
    for numbered, lines in itertools.groupby(text.split("\n"), lambda line: bool(NUMBERED.match(line))):
        if numbered:
            items = "".join(f"<li>{marked_up(NUMBERED.sub('', line))}</li>" for line in lines)
            parts.append(f'<ol style="margin: 0.4em 0; padding-left: 1.6em">{items}</ol>')
        else:
            parts += [f"<p>{'' if parts else begin}{marked_up(line)}</p>" for line in lines]
    return "".join(parts)
