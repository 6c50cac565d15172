"""Practise with mistakes: an answer with a mistake in it, an input that exposes it, and the line where it is."""

import contextlib
import inspect
import io
import keyword
import re
import sys
import tokenize
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html import escape
from typing import Any

import torch

from ..calling.local import Reply, Request, Stub
from ..diagnosing import records, specimens
from ..display import BOX, SUMMARY, marked_up, wrapped
from ..processes import one_thread
from . import practice_cards
from .practice_words import LONGEST, called, shown_replies, typed

LINE_TRIES = 3  # then the line is shown
RECENT = 12  # tasks of this session that do not come again at once

# JupyterLab would wrap long lines, and what is left of them would begin where no line does.
UNWRAPPED = "overflow-x:auto;white-space:pre"
PRE = f"background:rgba(128,128,128,.1);padding:.6em .8em;border-radius:4px;{UNWRAPPED}"

_shown: list[str] = []  # keys of cards that this session has shown, the last one at the end


def practice(exercise: str | None = None, *, all: bool = False) -> "Task | Nothing":
    """Return a task, which shows itself: an answer with one mistake in it.

    exercise  name of the one to practise; None: any that you have solved
    all       True: also exercises that you have not solved, as an instructor may want
    Raises LookupError if there is nothing to practise of an exercise of this name.
    """
    known = specimens.exercises()
    if exercise is not None and exercise not in known:
        raise LookupError(f"there is nothing to practise of {exercise!r}; choose from {', '.join(known)}")
    allowed = list(known) if all else practice_cards.solved()
    names = [name for name in allowed if exercise in (None, name)]
    choice = practice_cards.choose(names, now(), _shown[-RECENT:])
    if choice is None:
        return Nothing(exercise)
    _shown.append(choice.key)
    return Task(choice, own=sys._getframe(1).f_globals.get(choice.exercise))


def now() -> datetime:
    """Return the time by which mistakes are scheduled."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Nothing:
    """What `practice()` returns to whoever has solved nothing yet."""

    exercise: str | None = None

    def __repr__(self) -> str:
        what = f"{self.exercise} is not solved" if self.exercise else "nothing is solved"
        return (
            f"There is nothing to practise with: {what} yet. A task shows a nearly right answer, so it comes only from "
            "exercises whose check has passed. Solve one, and call practice() again."
        )

    def _repr_html_(self) -> str:
        return f'<div style="{BOX}">{escape(repr(self))}</div>'


@dataclass(frozen=True)
class Told:
    """What a task answers: a sentence, what the two answers gave, and at the end the explanation."""

    head: str
    says: list[str] = field(default_factory=list)
    replies: list[tuple[str, str]] = field(default_factory=list)  # (whose, what it gave)
    after: str = ""
    good: bool | None = None

    def __repr__(self) -> str:
        lines = [wrapped("", self.head)]
        width = max((len(whose) for whose, _ in self.replies), default=0)
        for whose, gave in self.replies:
            first, *more = gave.split("\n")
            lines += [f"  {whose:<{width}}  {first}", *(f"  {'':<{width}}  {line}" for line in more)]
        lines += [line if line.startswith("  ") else wrapped("", line) for one in self.says for line in one.split("\n")]
        return "\n".join([*lines, *([wrapped("", self.after)] if self.after else [])])

    def _repr_html_(self) -> str:
        mark = {True: "✓ ", False: "✗ ", None: ""}[self.good]
        cell = 'style="text-align:left;vertical-align:top;padding:.1em .8em .1em 0;border:0;background:transparent"'
        rows = "".join(
            f'<tr style="background:transparent"><td {cell}>{escape(whose)}</td>'
            f'<td {cell}><pre style="margin:0;background:transparent">{escape(gave)}</pre></td></tr>'
            for whose, gave in self.replies
        )
        table = (
            f'<table style="border-collapse:collapse;font-size:inherit;margin:.3em 0">{rows}</table>' if rows else ""
        )
        says = "".join(
            f'<pre style="background:transparent;margin:.4em 0;{UNWRAPPED}">{escape(one)}</pre>'
            if one.startswith("  ")
            else f'<p style="margin:.4em 0">{marked_up(one)}</p>'
            for one in self.says
        )
        after = f'<p style="margin:.4em 0;opacity:.75">{marked_up(_as_code(self.after))}</p>' if self.after else ""
        return f'<div style="{BOX}"><b>{mark}{marked_up(self.head)}</b>{table}{says}{after}</div>'


class Task:
    """An answer with one mistake in it. It shows itself; `expose`, `line` and `give_up` are what to do with it.

    It is done once an input has exposed the mistake and its line is known; how that went decides when the mistake comes
    back.
    """

    def __init__(self, choice: practice_cards.Choice, own: Any = None) -> None:
        self._choice = choice
        self._material = specimens.read(choice.exercise)
        self._specimen = self._material.specimens[choice.number]
        self._about = records.read(choice.exercise).mistakes.get(choice.mistake, {})
        material, one = self._material, self._specimen
        self._right: Any = specimens.component(
            choice.exercise, material.imports, material.right, material.uses, "right"
        )
        self._wrong = specimens.component(choice.exercise, one.imports, one.code, material.uses)
        self._own = own if callable(own) and not isinstance(own, Stub) else None
        self._asked: list[Request] = []
        self.misses = 0
        self.wrong_lines = 0
        self.exposed = False
        self.line_known = False
        self.helped = False
        self.done = False

    @property
    def exercise(self) -> str:
        """Name of the exercise that the answer is for."""
        return self._choice.exercise

    @property
    def code(self) -> str:
        """The answer with a mistake in it."""
        return self._specimen.code

    @property
    def contract(self) -> str:
        """What the exercise asks for, in full."""
        return self._material.contract

    @property
    def takes_numbers(self) -> bool:
        """True: a whole number alone can be an input."""
        return isinstance(next(iter(self._usual().arguments.values()), None), int)

    # What a learner does

    def expose(self, *arguments: Any, training: bool = False, **named: Any) -> Told:
        """Call the answer and a right one with an input, and tell whether it exposes the mistake.

        Arguments are those of the exercise, by position or by name. Of a class they are those of `forward`; arguments
        of the constructor are given by name. `training=True` calls a class in training mode.
        """
        try:
            request = self._request(arguments, named, training)
        except TypeError as error:
            return Told(f"This is no call of {self.exercise}: {error}.", [f"It is called like this: `.{self.how()}`."])
        with _quiet():
            found, right, wrong = specimens.told_apart(self._right, self._wrong, request)
            whose = self._whose(right, request)
        shown = shown_replies(right, wrong, found)
        if right.fault and not specimens.refused(right, self.contract):
            return Told(
                "This input is outside of the contract, so it exposes nothing. It costs nothing, either.",
                replies=[(whose, shown[0])],
            )
        replies = list(zip((whose, "this answer"), shown, strict=True))
        if found.startswith(specimens.GRADIENT) and self._shows_in_results():
            return Told(
                "The results are the same; only gradients differ, as they would for nearly any input. Find an input "
                "for which the results differ.",
                replies=replies,
                good=False,
            )
        if not found:
            self.misses += not self.exposed
            return Told("Both give the same: this input does not expose the mistake.", replies=replies, good=False)
        self.exposed = True
        what = "" if found == specimens.RESULT else f" What differs is {found}."
        return self._after(Told(f"Exposed.{what}", replies=replies, good=True))

    def line(self, number: int) -> Told:
        """Say in which line the mistake is. Where a line is missing, both lines around the gap are right."""
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(self._lines):
            return Told(f"The answer has the lines 1 to {len(self._lines)}: name one of them.")
        lines = self._specimen.lines
        if number in lines:
            self.line_known = True
            also = [str(one) for one in lines if one != number]
            more = f" It is also seen in {_and('line', also)}." if also else ""
            return self._after(Told(f"Yes, line {number}.{more}", good=True))
        if self.line_known:
            return Told(f"Not line {number}: it is {_and('line', list(map(str, lines)))}.")
        self.misses += 1
        self.wrong_lines += 1
        if self.wrong_lines >= LINE_TRIES:
            self.line_known = self.helped = True
            return self._after(Told(f"Not line {number}. It is {_and('line', list(map(str, lines)))}.", good=False))
        left = LINE_TRIES - self.wrong_lines
        near = min(abs(number - one) for one in lines)
        hint = "Close: it is a line next to it." if near == 1 else "It is near." if near <= 3 else self._where()
        tries = "one more try" if left == 1 else f"{left} more tries"
        return Told(f"Not line {number}. {hint} You have {tries}.", good=False)

    def give_up(self) -> Told:
        """Show the line, the explanation, and an input that exposes the mistake."""
        if self.done:
            return self._solution(Told("This task is done."), "")
        self.helped = True
        lines = _and("line", list(map(str, self._specimen.lines)))
        says = []
        if not self.exposed and (call := self._exposing()):
            says = [f"An input that exposes it: `.expose({call})`."]
        return self._finish("again", Told(f"It is {lines}.", says))

    # How it is judged

    @property
    def _lines(self) -> list[str]:
        return self.code.split("\n")

    def _where(self) -> str:
        first, total = self._specimen.lines[0], len(self._lines)
        if inspect.isclass(self._right):
            heads = [line.split("(")[0].strip() for line in self._lines[:first] if line.lstrip().startswith("def ")]
            if heads:
                return f"Look at {heads[-1].removeprefix('def ')}."
        return "Look further down." if first > total // 2 else "Look further up."

    def _usual(self) -> Request:
        """Return the first call that the probes make: what is asked of a class's constructor, and ready-made models."""
        return self._calls()[0]

    def _calls(self) -> list[Request]:
        if not self._asked:
            with _quiet():
                self._asked = specimens.calls(self._material.lesson, self.exercise, self._right)
        return self._asked

    def _shows_in_results(self) -> bool:
        """Tell whether some call shows the mistake in more than gradients."""
        with _quiet():
            found = (specimens.told_apart(self._right, self._wrong, one)[0] for one in self._calls())
            return any(one and not one.startswith(specimens.GRADIENT) for one in found)

    def _parameters(self) -> dict[str, inspect.Parameter]:
        call: Any = getattr(self._right, "forward", self._right)
        found = dict(inspect.signature(call).parameters)
        if inspect.isclass(self._right):
            found.pop(next(iter(found)))
        return found

    def _request(self, arguments: tuple[Any, ...], named: dict[str, Any], training: bool) -> Request:
        """Return the call that a learner asks for. Raises TypeError if the exercise cannot be called like this."""
        parameters, usual = self._parameters(), self._usual()
        build = None
        if inspect.isclass(self._right):
            makes = set(inspect.signature(self._right).parameters)
            build = dict(usual.build or {}) | {
                name: named.pop(name) for name in list(named) if name in makes - parameters.keys()
            }
        ready = {name: value for name, value in usual.arguments.items() if isinstance(value, Stub)}
        if len(arguments) > len(parameters):
            raise TypeError(f"it takes {len(parameters)} arguments, not {len(arguments)}")
        given = dict(zip(parameters, arguments, strict=False))
        for name, value in named.items():
            if name not in parameters:
                raise TypeError(f"it has no argument {name!r}")
            if name in given:
                raise TypeError(f"{name} is given twice")
            given[name] = value
        found = {}
        for name, parameter in parameters.items():
            if name in given:
                found[name] = given[name]
            elif name in ready:
                found[name] = ready[name]
            elif parameter.default is not parameter.empty:
                found[name] = parameter.default
            else:
                raise TypeError(f"{name} is missing")
        return Request(self.exercise, found, build=build, training=training, plain=usual.plain, number=usual.number)

    def _whose(self, right: Reply, request: Request) -> str:
        """Return whose the right answer is: the learner's, if it is there and gives the same."""
        if self._own is None:
            return "a right answer"
        own = specimens.answered(self._own, replace(request, gradients=bool(right.gradients)))
        if specimens.difference(right, own):
            return "a right answer"
        return f"your {self.exercise}"

    def _exposing(self) -> str:
        """Return a call that exposes the mistake, as it would be written; "" if none can be written in a line."""
        with _quiet():
            calls = [one for one in self._calls() if specimens.exposes(self._right, self._wrong, one, self.contract)]
            texts = {called(one, self._usual()) for one in calls} - {""}
            return min(
                (text for text in texts if len(text) <= LONGEST and self._does_expose(text)), key=len, default=""
            )

    def _does_expose(self, text: str) -> bool:
        """Tell whether a call exposes the mistake as it is written, with the numbers that it draws itself."""
        arguments, named = typed(text)
        try:
            request = self._request(arguments, named, bool(named.pop("training", False)))
        except TypeError:
            return False
        return specimens.exposes(self._right, self._wrong, request, self.contract)

    def _after(self, told: Told) -> Told:
        if self.done:
            return told
        if self.exposed and self.line_known:
            rating = "hard" if self.helped else "easy" if not self.misses else "good"
            return self._finish(rating, told)
        todo = (
            "Now find the line: .line(4), for example."
            if self.exposed
            else f"Now expose it: .{self.how()}, for example, with numbers of your own."
        )
        return replace(told, after=todo)

    def _finish(self, rating: str, told: Told) -> Told:
        self.done = True
        due = practice_cards.rate(self._choice, rating, now())
        days = max(1, round((due - now()).total_seconds() / 86400))
        return self._solution(
            told, f"It comes back in {days} day{'s' if days > 1 else ''}. practice() shows the next one."
        )

    def _solution(self, told: Told, after: str) -> Told:
        name = self._choice.mistake.replace("_", " ")
        name = name[:1].upper() + name[1:]
        about = [
            f"{name}. {self._about.get('symptom', '')}",
            self._about.get("cause", ""),
            self._about.get("place", ""),
        ]
        return replace(told, says=[*told.says, *filter(None, about), self._repaired()], after=after)

    def _repaired(self) -> str:
        """Return the lines that are wrong, and the right ones under them."""
        rows = []
        for first, last, right in self._specimen.repairs:
            rows += [f"  {number:>3} - {self._lines[number - 1]}" for number in range(first, last + 1)]
            rows += [f"      + {line}" for line in right]
        return "\n".join(rows)

    # How it shows itself

    def how(self) -> str:
        """Return how an input is given, for example `expose(torch.ones(2, 3))`."""
        return f"expose({called(self._usual(), self._usual(), plain=True)})"

    def _head(self) -> str:
        return f"{self.exercise}: an answer with a mistake in it"

    def _todo(self) -> list[str]:
        return [
            f"Find an input for which it gives something else than a right answer; this is its form: .{self.how()}",
            "Find the line: .line(2), for example. .give_up() shows it.",
        ]

    def text(self) -> str:
        """Return exercise, contract and answer as text, without what to do."""
        width = len(str(len(self._lines)))
        numbered = [f"  {number:>{width}}  {line}".rstrip() for number, line in enumerate(self._lines, 1)]
        return "\n".join([self._head(), wrapped("", self.contract.split("\n")[0]), "", *numbered, ""])

    def __repr__(self) -> str:
        todo = [wrapped(f"{number}. ", text) for number, text in enumerate(self._todo(), 1)]
        return "\n".join([self.text(), *todo])

    def _repr_html_(self) -> str:
        width = len(str(len(self._lines)))
        code = "\n".join(
            f'<span style="opacity:.5;user-select:none">{number:>{width}}</span>  {text}'
            for number, text in enumerate(_bold(self.code).split("\n"), 1)
        )
        first, *rest = self.contract.split("\n", 1)
        more = (
            f'<details>{SUMMARY}{marked_up(first)}</summary><pre style="background:transparent">'
            f"{escape(rest[0].strip())}</pre></details>"
            if rest
            else f"<p>{marked_up(first)}</p>"
        )
        todo = "".join(f"<li>{marked_up(_as_code(text))}</li>" for text in self._todo())
        return (
            f'<div style="{BOX}"><b>{escape(self._head())}</b>{more}'
            f'<pre style="{PRE}">{code}</pre>'
            f'<ol style="margin:.3em 0;padding-left:1.5em">{todo}</ol></div>'
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let answers print and warn unseen, on one thread as in a check."""
    threads = torch.get_num_threads()
    one_thread()
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(action="ignore"),
        ):
            yield
    finally:
        torch.set_num_threads(threads)


def _and(what: str, numbers: Collection[str]) -> str:
    """Return `line 3` or `lines 3, 4 and 5`."""
    *most, last = numbers
    return f"{what}s {', '.join(most)} and {last}" if most else f"{what} {last}"


def _as_code(text: str) -> str:
    """Set the calls in a sentence as code."""
    return re.sub(r"\.((?:expose|line|give_up)\(.*?\))(?=$|, for| shows)", r"`.\1`", text)


def _bold(code: str) -> str:
    """Return code as HTML, with Python's own words in bold, which reads on light and on dark."""
    parts: list[list[str]] = [list(line) for line in code.split("\n")]
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if (
            token.type == tokenize.NAME
            and keyword.iskeyword(token.string)
            and token.string not in ("None", "True", "False")
        ):
            row, (start, end) = token.start[0] - 1, (token.start[1], token.end[1])
            parts[row][start:end] = ["<b>" + token.string + "</b>"] + [""] * (end - start - 1)
    return "\n".join("".join(one if one.startswith("<b>") else escape(one) for one in line) for line in parts)
