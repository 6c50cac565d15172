"""What learners see: a result and a hint. Calm tables that read without colour, as HTML and as text."""

import os
import textwrap
from dataclasses import asdict, dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from ..display import BOX, SUMMARY, html_table, show

if TYPE_CHECKING:
    from ..calling.local import Fault
    from ..diagnosing.example import Example

MARKS = {"right": "✓", "differs": "✗", "not run": "·"}
MIME_TYPE = "application/vnd.transformer-taxonomy.result+json"
STEPS = ("What can be seen", "Why", "Where to look")


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
    example: "Example | None" = None

    @property
    def mistake(self) -> str | None:
        """Name of the mistake, "one + other" for several at once, or None."""
        return " + ".join(self.mistakes) or None

    def more(self) -> "Result":
        """Open the next step of the diagnosis. Returns the result, which shows itself with it."""
        self.opened = min(self.opened + 1, len(STEPS))
        return self

    def grade(self) -> float:
        """Show the result and return the points earned, the number that nbgrader reads from a check's cell."""
        show(self)
        return float(self.earned)

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
        if self.example:
            data["example"] = asdict(self.example)
        return {"text/html": self._repr_html_(), "text/plain": repr(self), MIME_TYPE: data}

    def _repr_html_(self) -> str:
        mark = MARKS["right" if self.passed else "not run" if self.unsolved else "differs"]
        head = f"<div><b>{mark} {escape(self._head())}</b></div>"
        if self.unsolved:
            return f'<div style="{BOX}">{head}{_next_hint(self.exercise, as_html=True)}</div>'
        table = html_table((f"{MARKS[state]} {state}", sentence) for sentence, state in self.rows)
        if self.passed:
            table = f"<details>{SUMMARY}{len(self.rows)} probes</summary>{table}</details>"
        parts = [head, table, *self._html_says(), _html_example(self.example)]
        for remark in filter(None, (self.note, self.flag)):
            parts.append(f"<p>{escape(remark)}</p>")
        if self.printed.strip():
            parts.append(
                f"<details>{SUMMARY}Your code printed</summary>"
                f"<pre>{escape(_first_lines(self.printed))}</pre></details>"
            )
        return f'<div style="{BOX}">{"".join(parts)}</div>'

    def _html_says(self) -> list[str]:
        if not self.mistakes:
            return [f"<p>{_marked_up(sentence)}</p>" for sentence in self.says]
        symptom, cause, place = map(_marked_up, self.says)
        named = escape(" + ".join(name.replace("_", " ") for name in self.mistakes))
        # Nested, so that the place cannot be opened before the cause has been read.
        why, where = ("<details open>" if self.opened > step else "<details>" for step in (1, 2))
        return [
            f"<p>{symptom}</p>{why}{SUMMARY}{STEPS[1]}?</summary><p><b>{named}.</b> {cause}</p>"
            f"{where}{SUMMARY}{STEPS[2]}</summary><p>{place}</p></details></details>"
        ]

    def __repr__(self) -> str:
        if self.unsolved:
            return f"{self._head()}. {_next_hint(self.exercise)}"
        lines = [self._head()]
        if not self.passed:
            lines += [_wrapped(f"  {state:<8} ", sentence) for sentence, state in self.rows]
        if self.mistakes:
            lines += [
                _wrapped(f"{step}: ", sentence)
                for step, sentence in list(zip(STEPS, self.says, strict=True))[: self.opened]
            ]
            if self.opened < len(STEPS):
                lines.append(f"(.more() opens the next step: {STEPS[self.opened].lower()})")
        else:
            lines += [_wrapped("- ", sentence) for sentence in self.says]
        lines += _text_example(self.example)
        for remark in filter(None, (self.note, self.flag)):
            lines.append(_wrapped("", remark))
        if self.printed.strip() and not self.passed:
            lines.append("Your code printed:\n" + textwrap.indent(_first_lines(self.printed), "  "))
        return "\n".join(lines)


@dataclass
class Hint:
    """The hints of an exercise that are open so far."""

    exercise: str
    opened: list[str]
    count: int

    def _rest(self) -> str:
        left = self.count - len(self.opened)
        return f'{left} more: hint("{self.exercise}") opens the next.' if left else "That was the last hint."

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
    code = f"<pre>{escape(example.code)}</pre>"
    return f"<details>{SUMMARY}{SMALLEST}</summary>{table}<p>As code, to paste into a cell:</p>{code}</details>"


def _text_example(example: "Example | None") -> list[str]:
    if example is None:
        return []
    rows = [_wrapped(f"  {part:<8} ", f"{name}: {value}") for part, name, value in example.rows()]
    return [f"{SMALLEST} (result.example.code holds it as code):", *rows]


def _first_lines(text: str, most: int = 5) -> str:
    """Return the first lines of what was printed; every probe prints it again."""
    lines = text.strip().splitlines()
    return "\n".join(lines[:most] + ([f"... and {len(lines) - most} more lines"] if len(lines) > most else []))


def _marked_up(sentence: str) -> str:
    """Escape a sentence, and set what stands between backquotes as code."""
    parts = escape(sentence).split("`")
    if len(parts) % 2 == 0:
        return escape(sentence)
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _wrapped(start: str, text: str) -> str:
    width = max(40, min(100, int(os.environ.get("COLUMNS", "100") or 100)))
    return textwrap.fill(text, width, initial_indent=start, subsequent_indent=" " * len(start))
