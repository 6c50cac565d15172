"""Probes: what is observed of each component. One module per lesson, one function per sentence.

A probe asserts nothing. It calls a component on chosen inputs and returns what it saw, by name; the same
probe is run on the reference, on every known mistake and on the learner's answer.
"""

import functools
import importlib
import inspect
import pkgutil
import re
from dataclasses import dataclass, field, fields

import torch

from ..calling.local import Reply, Request
from ..calling.numbers import Numbers
from ..course import AuthorError


@dataclass
class Observations:
    """Named observations of one probe, in the order in which they should be told.

    values  name -> tensor or string
    given   name -> the inputs for which it was seen
    """

    values: dict = field(default_factory=dict)
    given: dict = field(default_factory=dict)
    fault: object = None  # the first exception that the component raised

    def note(self, name, value, given=""):
        """Remember one observation."""
        if name in self.values:
            raise AuthorError(f"observation {name!r} was noted twice", "give each call its own label=")
        self.values[name], self.given[name] = value, given

    def see(self, reply, *names, label=""):
        """Note what a reply shows: its kind, then shape, oddities and numbers of each output.

        names  what the outputs are called: ("scores",) for one tensor, ("output", "weights") for a pair
        label  tells this call from the others of the probe
        Returns the tensors by name, empty if the reply is not what the names promise.
        """
        start = f"{label}: " if label else ""
        self.note(start + "answer", kind(reply), reply.given)
        if reply.fault:
            self.fault = self.fault or reply.fault
            return {}
        outputs = reply.output if isinstance(reply.output, (tuple, list)) else (reply.output,)
        if len(outputs) != len(names) or not all(isinstance(output, torch.Tensor) for output in outputs):
            return {}
        seen = dict(zip(names, outputs, strict=True))
        for name, tensor in seen.items():
            self.note(f"{start}shape of {name}", str(list(tensor.shape)), reply.given)
        for name, tensor in seen.items():
            self.note(f"{start}NaN in {name}", "yes" if torch.isnan(tensor).any() else "no", reply.given)
        return seen

    def gradients(self, reply, label=""):
        """Note the gradient that arrives at each argument."""
        start = f"{label}: " if label else ""
        self.note(start + "answer", kind(reply), reply.given)
        self.fault = self.fault or reply.fault
        for name, gradient in reply.gradients.items():
            self.gradient(f"{start}gradient of {name}", gradient, reply.given)

    def gradient(self, name, gradient, given=""):
        """Note one gradient: where it holds a NaN, only that, as which numbers NaN spreads to is torch's choice."""
        seen = "none arrives" if gradient is None else gradient
        self.note(name, "holds NaN" if gradient is not None and torch.isnan(gradient).any() else seen, given)


def kind(reply: Reply):
    """Return in words what came back: "a tensor", "2 values", "raised RuntimeError: sizes # and # do not fit".

    Two answers that raise have the same observation only if they raise the same thing, up to numbers. A
    ValueError is what a contract may demand, and everyone words it in their own way.
    """
    if reply.fault and reply.fault.type == "ValueError":
        return "raised ValueError"
    if reply.fault:
        return f"raised {reply.fault.type}: {re.sub('[0-9]+', '#', reply.fault.message)[:120]}"
    if isinstance(reply.output, torch.Tensor):
        return "a tensor"
    if isinstance(reply.output, (tuple, list)):
        return f"{len(reply.output)} values"
    return reply.output


@dataclass(frozen=True)
class Probe:
    """One sentence about a component, and the function that observes whether it holds."""

    exercise: str
    name: str
    sentence: str
    observe: object
    chooses: bool = False

    def __call__(self, component, numbers):
        seen = Observations()
        self.observe(component, numbers, seen)
        return seen


HOW = {field.name for field in fields(Request)} - {"component", "arguments", "forbidden", "parts"}


@dataclass
class Component:
    """A component of a submission, called by keyword so that a probe reads well; it is passed by position."""

    submission: object
    name: str
    parts: tuple = ()
    forbidden: tuple = ()

    def __call__(self, *, watch_functions=False, **arguments):
        """Call the component and return its `Reply`.

        Keywords that are fields of `Request` (build, weights, training, gradients, device ...) say how; all others
        are the component's arguments, in its own order. `watch_functions` reports calls of forbidden functions.
        """
        how = {name: arguments.pop(name) for name in HOW if name in arguments}
        forbidden = self.forbidden if watch_functions else ()
        return self.submission.call(Request(self.name, arguments, forbidden=forbidden, parts=self.parts, **how))


_PROBES: dict[str, list[Probe]] = {}
_FORBIDDEN: dict[str, tuple] = {}


def probe(exercise, sentence, chooses=False):
    """Declare a function `observe(component, numbers, seen)` as a probe of an exercise.

    chooses  True: it observes what a right answer chooses by comparing numbers (the largest, the first few, what is
             drawn); fresh numbers are then drawn until no choice is nearly a tie
    """
    if not all(isinstance(text, str) and text.strip() for text in (exercise, sentence)):
        raise AuthorError("a probe needs the name of its exercise and a sentence",
                          'write @probe("exercise", "what holds")')

    def declare(observe):
        try:
            inspect.signature(observe).bind(None, None, None)
        except TypeError:
            raise AuthorError(f"probe {observe.__name__!r} takes {inspect.signature(observe)}",
                              f"write def {observe.__name__}(component, numbers, seen)", observe) from None
        if any(other.name == observe.__name__ for other in _PROBES.get(exercise, ())):
            raise AuthorError(f"{exercise} has a probe {observe.__name__!r} already", "choose another name", observe)
        _PROBES.setdefault(exercise, []).append(Probe(exercise, observe.__name__, sentence, observe, chooses))
        return observe

    return declare


def forbid(exercise, *functions):
    """Declare which torch functions an answer to the exercise may not call."""
    _FORBIDDEN[exercise] = functions


def forbidden(lesson, exercise):
    """Return which torch functions an answer to the exercise may not call."""
    load(lesson)
    return _FORBIDDEN.get(exercise, ())


@functools.cache
def load(lesson):
    """Import the probes of a lesson. Raises ModuleNotFoundError if it has none."""
    return importlib.import_module(f"{__name__}.{lesson}")


def lessons():
    """Return the names of the lessons that have probes."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def probes_of(lesson, exercise):
    """Return the probes of an exercise, in the order of the module."""
    load(lesson)
    return tuple(_PROBES.get(exercise, ()))


def declared(lesson):
    """Return {exercise: its probes} of all that the module of a lesson declares."""
    own = {exercise: tuple(one for one in known if one.observe.__module__ == f"{__name__}.{lesson}")
           for exercise, known in _PROBES.items()}
    return {exercise: known for exercise, known in own.items() if known}


def observe(lesson, exercise, submission, seed, parts=(), only=None, after=None, draws=None):
    """Run the probes of an exercise and return {probe name: Observations}.

    seed   which numbers: the same seed gives the same inputs everywhere
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
            seen[one.name] = one(component, Numbers(f"{seed} {exercise} {one.name}" + (f" {draw}" if draw else "")))
            if after:
                after(one.name)
    return seen
