"""Probes: what is observed of each component. One module per lesson, one function per sentence.

A probe asserts nothing. It calls a component on chosen inputs and returns what it saw, by name; the same
probe is run on the reference, on every known mistake and on the learner's answer. What many lessons need stands in
`bugs`, `see`, `tokens` and `weights`; no lesson imports from another one.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import ModuleType
from typing import Any, TypeVar

import torch

from ..calling import SEED
from ..calling.local import Fault, Reply, Request, Source
from ..calling.numbers import Numbers
from ..course import AuthorError


@dataclass
class Observations:
    """Named observations of one probe, in the order in which they should be told.

    values   name -> tensor or string
    given    name -> the inputs for which it was seen
    remarks  sentences that whoever reads the result is told, right or wrong; they are compared with nothing
    """

    values: dict[str, Any] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    fault: Fault | None = None  # the first exception that the component raised

    def note(self, name: str, value: object, given: str = "", label: str = "") -> None:
        """Remember one observation; `label` tells this call of the component from the others of the probe."""
        name = f"{label}: {name}" if label else name
        if name in self.values:
            raise AuthorError(f"observation {name!r} was noted twice", "give each call its own label=")
        self.values[name], self.given[name] = value, given

    def answer(self, reply: Reply, label: str = "") -> None:
        """Note what kind of answer a reply is, and keep its exception if it is the first."""
        self.note("answer", kind(reply), reply.given, label)
        self.fault = self.fault or reply.fault

    def see(self, reply: Reply, *names: str, label: str = "") -> dict[str, torch.Tensor]:
        """Note what a reply shows: its kind, then shape and NaN of each output; return {name: tensor}.

        names  what the outputs are called: ("scores",) for one tensor, ("output", "weights") for a pair
        Returns {} if the reply is not what the names promise.
        """
        self.answer(reply, label)
        if reply.fault:
            return {}
        outputs = reply.output if isinstance(reply.output, (tuple, list)) else (reply.output,)
        if len(outputs) != len(names) or not all(isinstance(output, torch.Tensor) for output in outputs):
            return {}
        seen = dict(zip(names, outputs, strict=True))
        for name, tensor in seen.items():
            self.note(f"shape of {name}", str(list(tensor.shape)), reply.given, label)
        for name, tensor in seen.items():
            self.note(f"NaN in {name}", "yes" if torch.isnan(tensor).any() else "no", reply.given, label)
        return seen

    def gradients(self, reply: Reply, label: str = "") -> None:
        """Note the gradient that arrives at each argument and, of several outputs, through which one goes."""
        self.answer(reply, label)
        for name, gradient in reply.gradients.items():
            self.gradient(f"gradient of {name}", gradient, reply.given, label)
        self.through(reply, label)

    def through(self, reply: Reply, label: str = "") -> None:
        """Note of each of several outputs whether a gradient goes through it."""
        outputs = reply.output if isinstance(reply.output, (tuple, list)) else ()
        for number in range(1, len(outputs) + 1) if len(outputs) > 1 else ():
            seen = "none arrives" if number in reply.cut else "arrives"
            self.note(f"gradient through output {number}", seen, reply.given, label)

    def gradient(self, name: str, gradient: torch.Tensor | None, given: str = "", label: str = "") -> None:
        """Note one gradient: where it holds a NaN, only that, as which numbers NaN spreads to is torch's choice."""
        seen = "none arrives" if gradient is None else gradient
        self.note(name, "holds NaN" if gradient is not None and torch.isnan(gradient).any() else seen, given, label)


Observed = dict[str, Observations]  # by the name of the probe


# What an exception of torch is about: each of its functions words it in another way. The first that is found counts.
ABOUT = {
    "devices": re.compile(r"device"),
    "dtypes": re.compile(r"dtype|scalar type|data type|not implemented for|cast to|floating point|bool tensor"),
    "memory layout": re.compile(r"view size is not compatible|contiguous"),
    "autograd": re.compile(r"in-?place|requires? grad|gradient|backward"),
    "dimensions": re.compile(r"number of (dimensions|subscripts)|dimension out of range|\d-?d\b|<= \d dimensions"),
    "indices": re.compile(r"out of (data )?(range|bounds)"),
    "sizes": re.compile(r"sizes?|shapes?|dim(ension)?s?\b|must match|broadcast|numel|elements"),
}


def kind(reply: Reply) -> str:
    """Return in words what came back: "a tensor", "2 values", "raised RuntimeError about sizes".

    Two answers that raise have the same observation if they raise the same type of exception, about the same: everyone
    words it in their own way, torch's functions as well.
    """
    if reply.fault:
        return raised(reply.fault)
    if isinstance(reply.output, torch.Tensor):
        return "a tensor"
    if isinstance(reply.output, (tuple, list)):
        return f"{len(reply.output)} values"
    text: str = reply.output
    return text


def raised(fault: Fault) -> str:
    """Return of what type an exception is and, where torch raised it, what it is about."""
    words = fault.message.lower() if fault.type in ("RuntimeError", "IndexError") else ""
    about = next((what for what, pattern in ABOUT.items() if pattern.search(words)), "")
    return f"raised {fault.type}" + (f" about {about}" if about else "")


@dataclass(frozen=True)
class Probe:
    """One sentence about a component, and the function that observes whether it holds."""

    exercise: str
    name: str
    sentence: str
    observe: Callable[..., None]
    chooses: bool = False

    def __call__(self, component: "Component", numbers: Numbers) -> Observations:
        seen = Observations()
        self.observe(component, numbers, seen)
        return seen


HOW = {field.name for field in fields(Request)} - {"component", "arguments", "forbidden", "parts", "helpers"}


@dataclass
class Component:
    """A component of a submission, called by keyword so that a probe reads well; it is passed by position."""

    submission: Source
    name: str
    parts: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    def __call__(self, *, watch_functions: bool = False, **arguments: Any) -> Reply:
        """Call the component and return its `Reply`.

        Keywords that are fields of `Request` (build, weights, training, gradients, device ...) say how; all others
        are the component's arguments, in its own order. `watch_functions` reports calls of forbidden functions.
        """
        how = {name: arguments.pop(name) for name in HOW if name in arguments}
        forbidden = self.forbidden if watch_functions else ()
        return self.submission.call(Request(self.name, arguments, forbidden=forbidden, parts=self.parts, **how))


_PROBES: dict[str, list[Probe]] = {}
_FORBIDDEN: dict[str, tuple[str, ...]] = {}

Observe = TypeVar("Observe", bound=Callable[..., None])


def probe(exercise: str | Sequence[str], sentence: str, chooses: bool = False) -> Callable[[Observe], Observe]:
    """Declare a function `observe(component, numbers, seen)` as a probe.

    exercise  the exercise that it is a probe of, or several of which the same is asked
    chooses   True: it observes what a right answer chooses by comparing numbers (the largest, the first few, what is
              drawn); fresh numbers are then drawn until no choice is nearly a tie
    """
    names = _names(exercise)
    if not all(isinstance(text, str) and text.strip() for text in (*names, sentence)):
        raise AuthorError(
            "a probe needs the name of its exercise and a sentence", 'write @probe("exercise", "what holds")'
        )

    def declare(observe: Observe) -> Observe:
        try:
            inspect.signature(observe).bind(None, None, None)
        except TypeError:
            raise AuthorError(
                f"probe {observe.__name__!r} takes {inspect.signature(observe)}",
                f"write def {observe.__name__}(component, numbers, seen)",
                observe,
            ) from None
        for name in names:
            known = _PROBES.setdefault(name, [])
            if any(other.name == observe.__name__ for other in known):
                raise AuthorError(f"{name} has a probe {observe.__name__!r} already", "choose another name", observe)
            known.append(Probe(name, observe.__name__, sentence, observe, chooses))
        return observe

    return declare


def forbid(exercise: str | Sequence[str], *functions: str) -> None:
    """Declare which torch functions an answer to the exercise, or to several, may not call.

    `*see.TORCH_ALONE` forbids the code of all libraries but torch.
    """
    _FORBIDDEN.update(dict.fromkeys(_names(exercise), functions))


def _names(exercise: str | Sequence[str]) -> Sequence[str]:
    return (exercise,) if isinstance(exercise, str) else exercise


def forbidden(lesson: str, exercise: str) -> tuple[str, ...]:
    """Return which torch functions an answer to the exercise may not call, and which libraries may do nothing of it."""
    load(lesson)
    return _FORBIDDEN.get(exercise, ())


@functools.cache
def load(lesson: str) -> ModuleType:
    """Import the probes of a lesson. Raises ModuleNotFoundError if it has none."""
    return importlib.import_module(f"{__name__}.{lesson}")


def probes_of(lesson: str, exercise: str) -> tuple[Probe, ...]:
    """Return the probes of an exercise, in the order of the module."""
    load(lesson)
    return tuple(_PROBES.get(exercise, ()))


def declared(lesson: str) -> dict[str, tuple[Probe, ...]]:
    """Return {exercise: its probes} of all that the module of a lesson declares."""
    own = {
        exercise: tuple(one for one in known if one.observe.__module__ == f"{__name__}.{lesson}")
        for exercise, known in _PROBES.items()
    }
    return {exercise: known for exercise, known in own.items() if known}


def observe(
    lesson: str,
    exercise: str,
    submission: Source,
    seed: str | int,
    parts: Iterable[str] = (),
    only: Collection[str] | None = None,
    after: Callable[[str], object] | None = None,
    draws: Mapping[str, int] | None = None,
) -> Observed:
    """Run the probes of an exercise and return {probe name: Observations}.

    seed   which numbers: the same seed gives the same inputs everywhere, and `SEED` the usual sizes
    parts  components that are replaced by right ones while the exercise is probed
    only   names of the probes to run; all if None
    after  called with the name of each probe that has ended
    draws  {probe: which draw of the seed it takes}, where that is not the first
    """
    component = Component(submission, exercise, tuple(parts), _FORBIDDEN.get(exercise, ()))
    seen = {}
    for one in probes_of(lesson, exercise):
        if only is None or one.name in only:
            draw = (draws or {}).get(one.name, 0)
            numbers = f"{seed} {exercise} {one.name}" + (f" {draw}" if draw else "")
            seen[one.name] = one(component, Numbers(numbers, usual=seed == SEED))
            if after:
                after(one.name)
    return seen
