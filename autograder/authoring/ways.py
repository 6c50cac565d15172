"""Make the right ways of an exercise: the steps of which its right answer is made, known by fingerprints."""

import collections
import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from .. import probes
from ..calling.local import Here, Reply, Request
from ..calling.noted import LEAVE
from ..course import AuthorError
from ..diagnosing import fingerprint, ways
from ..diagnosing.comparison import NUMBERS
from ..diagnosing.fingerprint import Fingerprint
from ..diagnosing.records import FOLDER, SEED, Record
from ..diagnosing.ways import Run, Step
from ..mistakes import Catalogue, Wrong
from .recorder import APART, close_enough

FEWEST = 2  # steps in a way; an answer of one step is right or wrong, and there is nothing between
MOST_STEPS = 30
MOST_SEEN = 150  # what the steps of one call give; a loop of many rounds is nothing to be told in a line
MOST_ROUNDS = 3  # of one step
MOST_CALLS = 4  # of one probe that are tried
LARGEST = 5_000  # numbers in a step
OUTPUT = "output"


@dataclass
class _Seen:
    """A tensor that a right step gave.

    name    of the step
    words   how the step's author says it, "" where that is left to its name
    tensor  a copy
    after   positions of the steps that it is made from
    uses    those of them that are used as they are
    output  True: the answer returns it
    """

    name: str
    words: str
    tensor: torch.Tensor
    after: frozenset[int]
    uses: frozenset[int]
    output: bool = False


class _TooMany(Exception):
    """Steps are gone through so often that they cannot be told one by one."""


class _Traced(TorchFunctionMode):
    """Follows which steps each tensor is made from, while a right answer is run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[_Seen] = []
        self.misnamed: dict[str, str] = {}  # what is wrong with the words of a step
        self._from: dict[int, frozenset[int]] = {}  # {id of a tensor: all steps that it is made from}
        self._uses: dict[int, frozenset[int]] = {}  # {id of a tensor: the last of them}
        self._alive: list[object] = []  # an id is another tensor's once this one is gone
        self._everything: frozenset[int] = frozenset()  # that was seen when numbers were last handed to Python

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        given = _tensors((args, kwargs))
        before = self._everything.union(*(self.steps_of(tensor) for tensor in given))
        used = self._everything.union(*(self._uses.get(id(tensor), frozenset()) for tensor in given))
        if getattr(function, "__name__", "") in LEAVE:
            self._everything = frozenset(range(len(self.seen)))
        changed = given[:1] if output is None else []
        for tensor in (*_tensors(output), *changed):
            self._alive.append(tensor)
            self._from[id(tensor)] = before | self.steps_of(tensor)
            self._uses[id(tensor)] = used | self._uses.get(id(tensor), frozenset())
        return output

    def steps_of(self, tensor: torch.Tensor) -> frozenset[int]:
        return self._from.get(id(tensor), frozenset())

    def see(self, name: str, words: str, output: object, beside: str = "") -> None:
        """Note what a step gave: a tensor, or several, whose words stand between semicolons.

        Of several the first is the one to be told if all are wrong, or the last of the step that is named `beside`.
        """
        leader = max((place for place, one in enumerate(self.seen) if one.name == beside), default=None)
        tensors = _tensors(output) if isinstance(output, (torch.Tensor, tuple, list)) else []
        parts = [part.strip() for part in words.split(";")]
        if len(parts) == 1:
            parts *= len(tensors)
        if len(parts) != len(tensors) and tensors:
            self.misnamed[name] = f"has {len(parts)} names ({words}) for the {len(tensors)} tensors that it gives"
            return
        for number, (own, tensor) in enumerate(zip(parts, tensors, strict=True), 1):
            if len(self.seen) >= MOST_SEEN:
                raise _TooMany
            title = name if len(tensors) == 1 else f"{name} {number}"
            if number > 1 and not beside and ";" not in words:
                leader = len(self.seen) - number + 1
            first = set() if leader is None else {leader}
            uses = self._uses.get(id(tensor), frozenset())
            self.seen.append(_Seen(title, own, tensor.detach().clone(), self.steps_of(tensor) | first, uses))
            self._alive.append(tensor)
            self._from[id(tensor)] = self.steps_of(tensor) | {len(self.seen) - 1}
            self._uses[id(tensor)] = frozenset({len(self.seen) - 1})


def _tensors(value: object) -> list[torch.Tensor]:
    return [one for one in tree_leaves(value) if isinstance(one, torch.Tensor)]


# The right answer, each step of which is seen


def traced(catalogue: Catalogue, exercise: str, request: Request) -> tuple[_Traced, Reply]:
    """Call the right answer that is made of steps, and return what was seen and what it replied."""
    trace = _Traced()
    component, steps = catalogue.components[exercise]
    if inspect.isclass(component):
        called: Callable[..., Any] = _class_of_steps(component, exercise, trace)
    else:
        called = functools.partial(
            component, SimpleNamespace(**{name: _watched(catalogue.steps[name], name, trace) for name in steps})
        )
    with trace:
        return trace, Here({exercise: called}).call(request)


def _watched(function: Callable[..., Any], name: str, trace: _Traced) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        output = function(*arguments, **named)
        trace.see(name, _own_words(function), output)
        return output

    return call


def _class_of_steps(component: type[Any], exercise: str, trace: _Traced) -> type[Any]:
    """Return a subclass whose methods and layers are seen."""

    def start(self: Any, *arguments: Any, **named: Any) -> None:
        component.__init__(self, *arguments, **named)
        for name, layer in _layers(self):
            layer.register_forward_hook(functools.partial(_see_layer, trace, name))

    methods: dict[str, Any] = {"__init__": start}
    for name, method in vars(component).items():
        plain = getattr(method, "__func__", method)
        if inspect.isfunction(plain) and name not in ("__init__", "forward"):
            watched = _watched(plain, name, trace)
            methods[name] = staticmethod(watched) if isinstance(method, staticmethod) else watched
    return type(exercise, (component,), methods)


def _layers(module: object) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the layers of a module by their names in the contract, those in a list one by one."""
    for name, layer in module.named_children() if isinstance(module, torch.nn.Module) else ():
        if isinstance(layer, (torch.nn.ModuleList, torch.nn.Sequential)):
            yield from ((f"{name}.{inner}", one) for inner, one in layer.named_children())
        else:
            yield name, layer


def _see_layer(trace: _Traced, name: str, module: object, given: object, output: Any) -> None:
    first = output[0] if isinstance(output, tuple) and output else output
    trace.see(name, name, first if isinstance(first, torch.Tensor) else ())
    for number, other in enumerate(output[1:] if isinstance(output, tuple) else (), 2):
        trace.see(f"{OUTPUT} {number} of {name}", "", other, beside=name)


def _own_words(function: Callable[..., Any]) -> str:
    """Return what a step is called by its author: its docstring, if that begins with a small letter."""
    text = (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")
    return text if text[:1].islower() else ""


# From what was seen to steps that can be told apart


def run(catalogue: Catalogue, exercise: str, probe: str, call: int, request: Request) -> Run | None:
    """Return the right way for one call; None if fewer than `FEWEST` of its steps can be told apart."""
    if sum(tensor.numel() for tensor in request.arguments.values() if isinstance(tensor, torch.Tensor)) > LARGEST:
        return None
    seen, steps, home = seen_steps(catalogue, exercise, request)
    places = [place for place, one in enumerate(seen) if one.output]
    ends = [(tuple(seen[place].tensor.shape), home[place]) for place in places if place in home]
    has_own = any(not seen[place].output for place in home)
    if not has_own or not FEWEST <= len(steps) <= MOST_STEPS or not places or len(ends) < len(places):
        return None
    return Run(probe, call, ways.fingerprint_of(request), tuple(steps), tuple(ends))


def seen_steps(catalogue: Catalogue, exercise: str, request: Request) -> tuple[list[_Seen], list[Step], dict[int, int]]:
    """Return (what was seen of a right answer, its steps, {place in what was seen: index of its step}).

    What it returns is the last that was seen, and missing if that is more than tensors.
    """
    trace, reply = traced(catalogue, exercise, request)
    for name, fact in trace.misnamed.items():
        raise AuthorError(
            f"step {name!r} of {exercise!r} {fact}",
            "name each of them in its docstring, with semicolons between, or all by one name",
            catalogue.steps.get(name, catalogue.components[exercise][0]),
        )
    outputs = [] if reply.fault else tree_leaves(reply.output)
    if not all(isinstance(output, torch.Tensor) for output in outputs):
        outputs = []
    everything, seen = frozenset(range(len(trace.seen))), [*trace.seen]
    unused = everything.difference(*(one.uses for one in seen))
    for number, tensor in enumerate(outputs, 1):
        name = OUTPUT if len(outputs) == 1 else f"{OUTPUT} {number}"
        seen.append(_Seen(name, "", tensor, everything, unused, output=True))
    steps, home = _told_apart(seen, _prints([*_given(request), *_constants(request)]))
    return seen, steps, home


def _given(request: Request) -> list[torch.Tensor]:
    return [*_tensors(list(request.arguments.values())), *request.weights.values()]


def _constants(request: Request) -> list[torch.Tensor]:
    """Return what is as good as given: the numbers of places, which everyone begins with."""
    sizes = {size for tensor in _given(request) for size in tensor.shape} | {
        value for value in {**request.arguments, **(request.build or {})}.values() if type(value) is int
    }
    return [torch.arange(size) for size in sizes if fingerprint.MANY <= size <= LARGEST]


def _prints(tensors: Sequence[torch.Tensor]) -> list[Fingerprint]:
    return [fingerprint.of(tensor) for tensor in tensors if 0 < tensor.numel() <= LARGEST and not tensor.is_complex()]


def _told_apart(seen: Sequence[_Seen], given: Sequence[Fingerprint]) -> tuple[list[Step], dict[int, int]]:
    """Return (steps that can be told apart, {position of what was seen: index of its step}).

    What has the fingerprint of something given is no step, and what has that of another step is the same one.
    """
    steps: list[Step] = []
    named: list[bool] = []  # whether a step has a name of its own
    home: dict[int, int] = {}
    rounds = collections.Counter[str]()
    for position, one in enumerate(seen):
        rounds[one.name] += 1
        if rounds[one.name] > MOST_ROUNDS:
            continue
        if not 0 < one.tensor.numel() <= LARGEST or one.tensor.is_complex() or not fingerprint.is_telling(one.tensor):
            continue
        known = fingerprint.of(one.tensor)
        if any(known.same_order(other, APART) for other in given):
            continue
        words = one.words or one.name.replace("_", " ")
        same = next((index for index, step in enumerate(steps) if step.of.same_order(known, APART)), None)
        if same is not None:
            home[position] = same
            if one.words and not named[same]:
                steps[same], named[same] = replace(steps[same], words=words), True
            continue
        others = [*given, *(step.of for step in steps)]
        moves = any(known.same_numbers(other, APART) for other in others)
        after, uses = (
            tuple(sorted({home[before] for before in places if before in home})) for places in (one.after, one.uses)
        )
        home[position] = len(steps)
        any_order = fingerprint.has_many_numbers(one.tensor) and not moves
        steps.append(Step(words, known, after, uses, any_order, moves, one.tensor.is_floating_point()))
        named.append(not one.name.startswith(OUTPUT))
    return _numbered(steps), home


def _numbered(steps: Sequence[Step]) -> list[Step]:
    """Return the steps, those with the same words numbered."""
    words = [step.words for step in steps]
    counts: dict[str, int] = {}
    found = []
    for step in steps:
        counts[step.words] = counts.get(step.words, 0) + 1
        is_one = words.count(step.words) == 1
        found.append(step if is_one else replace(step, words=f"{step.words} {counts[step.words]}"))
    return found


# All ways of an exercise


class _Asked(Here):
    """A right answer that remembers what it was asked."""

    def __init__(self, components: dict[str, Callable[..., Any]]) -> None:
        super().__init__(components)
        self.requests: list[Request] = []

    def call(self, request: Request) -> Reply:
        self.requests.append(request)
        return super().call(request)


def runs(record: Record, catalogue: Catalogue) -> list[Run]:
    """Return the right ways of an exercise, of each probe the one with most steps, the smallest first.

    Some mistakes are right there, and show in another call: where all scores are very low, or with a mask. Behind the
    others stands one way for each such call.
    """
    found, other = [], list[Run]()
    requests: dict[tuple[str, int], Request] = {}
    for name, _ in record.probes:
        submission = _Asked({record.exercise: catalogue.right(record.exercise)})
        probes.observe(record.lesson, record.exercise, submission, SEED, only={name}, draws=record.draws)
        calls = [
            (call, request)
            for call, request in enumerate(submission.requests)
            if request.device is None and not request.training and request.fit is None
        ]
        tried = [run(catalogue, record.exercise, name, *one) for one in calls[:MOST_CALLS]]
        if known := [one for one in tried if one is not None]:
            known.sort(key=lambda one: (-len({step.words for step in one.steps}), _size(one), one.call))
            found.append(known[0])
            other += known[1:]
            requests |= {(name, call): request for call, request in calls}
    for wrong in catalogue.singles(record.exercise):
        failing = shows_numbers(record, wrong)
        if not failing or any(_shows(wrong, one, requests) for one in found if one.probe in failing):
            continue
        found += [one for one in other if one.probe in failing and _shows(wrong, one, requests)][:1]
    return found


def shows_numbers(record: Record, wrong: Wrong) -> set[str]:
    """Return the probes in which a mistake gives other numbers, in one of the ways that are recorded of it."""
    return {
        probe
        for known in record.behaviours
        if known["mistakes"] == list(wrong.mistakes)
        for probe, aspects in known["differs"].items()
        if NUMBERS in aspects
    }


def _shows(wrong: Wrong, one: Run, requests: Mapping[tuple[str, int], Request]) -> bool:
    """Tell whether a wrong answer is wrong on the input of a way."""
    reply = Here({wrong.exercise: wrong.call}).call(replace(requests[one.probe, one.call], gradients=False))
    return not ways.is_right(one, reply)


def _size(one: Run) -> int:
    return sum(step.of.size for step in one.steps)


def write(lesson: str, exercise: str, found: Sequence[Run], folder: Path | str = FOLDER) -> bool:
    """Write the right ways of an exercise as JSON text, one a line; return whether anything changed.

    An exercise without telling steps has no file.
    """
    path = ways.path_of(lesson, exercise, folder)
    if not found:
        path.unlink(missing_ok=True)
        return False
    rows = ",\n".join(json.dumps(ways.plain(one), ensure_ascii=False, separators=(",", ":")) for one in found)
    text = f"[\n{rows}\n]\n"
    if path.is_file() and close_enough(json.loads(path.read_text(encoding="utf-8")), json.loads(text)):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True
