"""Find small inputs that show what is wrong, by shrinking those of the probes.

The sizes in a call of a probe are distinct, so that one size is one axis, whatever it stands in: axes of arguments,
arguments of the constructor. A size is cut everywhere at once, weights follow from what the reference then asks for,
and numbers become small integers, zeros where they may. What is left is kept if the reference answers it, all right
answers agree on it, rounding changes nothing in it, and the wrong answer still differs beyond doubt.
"""

import collections
import functools
import itertools
import json
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import probes
from ..calling import values as plain_values
from ..calling.local import Here, Reply, Request, Stub
from ..calling.stubs import RandomGenerator
from ..diagnosing.comparison import NUMBERS, Aspects, aspect, differences, values
from ..diagnosing.observation import is_exception, same, scale
from ..diagnosing.records import SEED, Record
from ..diagnosing.small import LOOKS, Shown, Small, is_clear, look_at, path, pattern_of, plain, text
from ..diagnosing.steady import Answer
from .recorder import close_enough

if TYPE_CHECKING:
    from ..mistakes import Wrong

SIZES = (1, 2, 3, 4, 6)  # to which others are cut
TRIED = 3  # calls of the probes from which it is tried to shrink an input for one mistake
ENOUGH = 6  # numbers: an input as small as this will do for any mistake that it shows
ALIKE = 1.25  # times the smallest one: so will this
PASSES = 3  # through all moves
LARGEST = 6000  # numbers in a call of a probe that is shrunk
MOST_ENTRIES = 40  # positions along an axis that are left out one by one
POLISHED = 16  # numbers of an argument that are made 0 or 1 one by one
FILLS = 4  # drawings of small integers that are tried
BROAD = 4  # wrong answers that one general input has to show
EACH = 2_500  # calls of an answer that are made for one input: then what is reached has to do
ALL = 30_000  # calls after which no mistake gets an input of its own any more
NEAR = 1e-4  # of the largest number: by so much all are moved to see whether a choice hangs on it
PARAMETERS = ("parameter", "state dict")

Move = Callable[[Request], Request | None]


@dataclass(frozen=True)
class Asked:
    """A call of a probe, and what it is looked at for."""

    request: Request
    look: str
    aspect: str
    probes: tuple[str, ...]


@dataclass
class Bench:
    """The answers of an exercise, each called with a request.

    right  the reference first
    wrong  {name of the mistake's form: (the answer, {probe: aspects} in which it differs)}
    calls  how many were made: unlike seconds they are as many on every machine
    """

    right: Sequence[Here]
    wrong: Mapping[str, tuple[Here, Mapping[str, Collection[str]]]]
    calls: collections.Counter[str] = field(default_factory=collections.Counter)


class _Counted(Here):
    """An answer whose calls are counted."""

    def __init__(self, name: str, component: Callable[..., Any], calls: collections.Counter[str]) -> None:
        super().__init__({name: component})
        self.calls = calls

    def call(self, request: Request) -> Reply:
        self.calls["made"] += 1
        return super().call(request)


def ladder(record: Record, right: Sequence[Answer], wrong: Mapping[str, "Wrong"]) -> list[Small]:
    """Return small inputs of an exercise, the smallest first, each for some of its mistakes.

    right  the right answers, the reference first
    wrong  {form of a mistake: its component}
    """
    expected, count = record.expected(), collections.Counter[str]()
    sources = {name: _Counted(record.exercise, one.call, count) for name, one in wrong.items()}

    def differs(source: Here) -> dict[str, Aspects]:
        seen = probes.observe(record.lesson, record.exercise, source, SEED, draws=record.draws)
        return differences(expected, values(seen))

    bench = Bench(
        [_Counted(record.exercise, answer.call, count) for answer in right],
        {name: (source, differs(source)) for name, source in sources.items()},
        count,
    )
    count.clear()
    asked = [_agreed(bench, one) for one in calls(record, right[0].call)]
    found: list[Small] = []
    for name in bench.wrong:
        # What is looked at first is what is shown, so the other looks are for what cannot be seen there.
        any(_shown_after(bench, name, [one for one in asked if one.look == look], found) for look in LOOKS)
    for one in _general(asked):
        showing = [name for name in bench.wrong if _may_show(bench, name, one) and _shows(bench, name, one)]
        if showing and (small := shrunk(bench, one, showing[:: max(1, len(showing) // BROAD)][:BROAD], polish=False)):
            found.append(small)
    return sorted(_merged(found), key=cost)


def write(record: Record, known: Collection[Small], folder: Path | str) -> bool:
    """Write the small inputs of an exercise; a file that says the same stays. Returns whether it was written."""
    place, new = path(record.lesson, record.exercise, folder), text(known)
    if place.exists() and close_enough(json.loads(place.read_text(encoding="utf-8")), json.loads(new)):
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(new, encoding="utf-8")
    return True


def _shown_after(bench: Bench, name: str, asked: Sequence[Asked], found: list[Small]) -> bool:
    """Return whether a mistake is shown by one of the inputs found, after adding its own if none is about as small.

    asked  the calls of one look
    """
    mine = [one for one in asked if _may_show(bench, name, one)]
    if not mine:
        return False
    alike = sorted((one for one in found if one.look == mine[0].look), key=cost)
    enough = max(ENOUGH, ALIKE * numbers_in(alike[0].request)) if alike else 0
    shown = [one for one in alike if _tells(bench, name, one)]
    if shown and numbers_in(shown[0].request) <= enough:
        return True
    if bench.calls["made"] > ALL:
        return bool(shown)
    for one in [one for one in mine if _shows(bench, name, one)][:TRIED]:
        if small := shrunk(bench, one, [name]):
            found.append(small)
            return True
    return bool(shown)


def _may_show(bench: Bench, name: str, one: Asked) -> bool:
    differs = bench.wrong[name][1]
    return any(one.aspect in differs.get(probe, ()) for probe in one.probes)


def _shows(bench: Bench, name: str, one: Asked) -> bool:
    right = bench.right[0].call(one.request)
    return is_clear(look_at(one.look, right), look_at(one.look, bench.wrong[name][0].call(one.request)))


def _tells(bench: Bench, name: str, small: Small) -> bool:
    differs = bench.wrong[name][1]
    return any(small.aspect in differs.get(probe, ()) for probe in small.probes) and is_clear(
        small.expected, look_at(small.look, bench.wrong[name][0].call(small.request))
    )


def _merged(found: Iterable[Small]) -> list[Small]:
    """Return the inputs without copies: the same one may stand for several probes."""
    merged: dict[str, Small] = {}
    for one in found:
        key = f"{one.look} {one.aspect} {_key(one.request)}"
        before = merged.get(key)
        together = tuple(dict.fromkeys((*(before.probes if before else ()), *one.probes)))
        merged[key] = replace(one, probes=together)
    return list(merged.values())


# What the probes ask


class _Spy(Here):
    """The reference, which remembers how it is called."""

    def __init__(self, name: str, component: Callable[..., Any]) -> None:
        super().__init__({name: component})
        self.requests: list[Request] = []

    def call(self, request: Request) -> Reply:
        self.requests.append(request)
        return super().call(request)


def calls(record: Record, reference: Callable[..., Any]) -> list[Asked]:
    """Return what the probes of an exercise ask, the smallest call first; none stands twice."""
    found: dict[str, Asked] = {}
    for name, _ in record.probes:
        spy = _Spy(record.exercise, reference)
        seen = probes.observe(record.lesson, record.exercise, spy, SEED, only={name}, draws=record.draws)[name]
        # What calls of the same object came first is not cut, and an input that is half cut fits nothing.
        for request in (one for one in spy.requests if numbers_in(one) <= LARGEST and not one.before):
            for look, of in _looks(request, list(seen.values)):
                request = replace(request, gradients=look == "gradients", watch_memory=False, forbidden=())
                key = f"{look} {of} {_key(request)}"
                before = found.get(key)
                asking = (*(before.probes if before else ()), name)
                found[key] = Asked(request, look, of, tuple(dict.fromkeys(asking)))
    return sorted(found.values(), key=lambda one: numbers_in(one.request))


def _key(request: Request) -> str:
    """Return a request in words that are the same only for the same request."""
    return json.dumps([plain(getattr(request, one.name)) for one in fields(Request)])


def _looks(request: Request, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (look, aspect) of what a probe looks at in the reply to a request."""
    aspects = {aspect(name) for name in names}
    if request.fit is not None:
        return  # who trains first shows nothing that could be followed by pencil
    if request.device:
        if "device" in aspects:
            yield "device", "device"
        return
    if request.gradients:
        if "gradients" in aspects:
            yield "gradients", "gradients"
    if "arguments" in aspects:
        yield "arguments", "arguments"
    if "dtype" in aspects:
        yield "dtype", "dtype"
    if NUMBERS in aspects:
        if request.build is not None and any(word in name for name in names for word in PARAMETERS):
            yield "parameters", NUMBERS
        if any(
            type(value).report is not Stub.report for value in request.arguments.values() if isinstance(value, Stub)
        ):
            yield "use", NUMBERS
        yield "output", NUMBERS


def _agreed(bench: Bench, one: Asked) -> Asked:
    """Return a call with another look where right answers agree in their softmax alone, as logits may."""
    replies = [right.call(one.request) for right in bench.right] if one.look == "output" else []
    shown = {look: [look_at(look, reply) for reply in replies] for look in ("output", "softmax")}
    if not replies or all(_agrees(shown["output"][0], other) for other in shown["output"]):
        return one
    alike = all(_agrees(shown["softmax"][0], other) for other in shown["softmax"])
    return replace(one, look="softmax") if alike else one


def _general(asked: Sequence[Asked]) -> list[Asked]:
    """Return a call of each probe, the smallest in which numbers are compared."""
    first: dict[tuple[str, ...], Asked] = {}
    for one in asked:
        if one.look in ("output", "softmax"):
            first.setdefault(one.probes, one)
    return list(first.values())


# Shrinking


def shrunk(bench: Bench, asked: Asked, names: Sequence[str], polish: bool = True) -> Small | None:
    """Return the smallest input of this kind on which all these wrong answers differ; None if the call cannot be used.

    polish  True: numbers become 0 and 1 where that still shows it
    """
    reference, look = bench.right[0], asked.look

    def tell(request: Request) -> Shown | None:
        """Return what is right there, None if the input will not do."""
        expected = look_at(look, reference.call(request))
        if not _is_worth(expected, first):
            return None
        if not all(is_clear(expected, look_at(look, bench.wrong[name][0].call(request))) for name in names):
            return None
        return expected if _is_firm(bench, request, look, expected) else None

    end, keeps = bench.calls["made"] + EACH, _rules(asked.request)
    first = look_at(look, reference.call(asked.request))
    request = _fitted(reference, asked.request)
    if request is None or tell(request) is None:
        return None
    for moves in (_cuts, _plain_numbers, _polished) if polish else (_cuts, _plain_numbers):
        for _ in range(PASSES):
            before = request
            for move in list(moves(request)):
                if bench.calls["made"] > end:
                    break
                other = _simplified(reference, request, move)
                if other is not None and keeps(other) and tell(other) is not None:
                    request = other
            if request is before:
                break
    request = _without_idle_entries(bench, request, look)
    expected = tell(request)
    assert expected is not None, "each step was looked at"
    return Small(request, look, asked.probes, asked.aspect, expected)


def _simplified(reference: Here, request: Request, move: Move) -> Request | None:
    """Return the request after a move, None if it is not simpler, or nothing that the reference can be called with."""
    other = move(request)
    if other is None or _arguments_cost(other) > _arguments_cost(request) or not _can_be_made(other):
        return None
    if other.build is not None and other.build == request.build and other.weights.keys() == request.weights.keys():
        return other if _cost(other) < _cost(request) else None
    fitted = _fitted(reference, other)
    return fitted if fitted is not None and _cost(fitted) < _cost(request) else None


def _without_idle_entries(bench: Bench, request: Request, look: str) -> Request:
    """Return the request without the entries of its dicts that no answer misses, neither a right one nor a wrong one.

    Whoever looks for one that is gone would raise, and that is not what is wrong with the answer.
    """
    answers = [*bench.right, *(source for source, _ in bench.wrong.values())]

    def shown(request: Request) -> list[Shown]:
        return [look_at(look, answer.call(request)) for answer in answers]

    tables = {name: value for name, value in request.arguments.items() if request.plain and isinstance(value, dict)}
    before = shown(request) if tables else []
    for name, table in tables.items():
        for key in table:
            left = {other: value for other, value in request.arguments[name].items() if other != key}
            fewer = replace(request, arguments=request.arguments | {name: left})
            pairs = zip(before, shown(fewer), strict=True) if left else ()
            if left and all(_misses_nothing(before[0], *pair) for pair in pairs):
                request = fewer
    return request


def _misses_nothing(expected: Shown, before: Shown, after: Shown) -> bool:
    """Tell whether an answer gives the same as before, or something that is wrong as before, and raises nothing."""
    raised = any(map(is_exception, after.values()))
    return after == before or not raised and expected not in (before, after)


def _rules(request: Request) -> Callable[[Request], bool]:
    """Return whether another request obeys what a call of the probes does: the contract may demand it.

    Nothing becomes empty, no size becomes 0, and ids that are below a number, such as that of a vocabulary, stay so.
    """

    def below(other: Request) -> set[tuple[str, str]]:
        sizes = {name: value for name, value in _named_integers(other)}
        ids = {
            name: int(value.max())
            for name, value in other.arguments.items()
            if isinstance(value, torch.Tensor) and value.dtype == torch.int64 and value.numel()
        }
        return {(name, size) for name, most in ids.items() for size, value in sizes.items() if most < value}

    def zeros(other: Request) -> set[str]:
        return {name for name, value in _named_integers(other) if value == 0 and not name.endswith("_id")}

    obeyed, empty, none = below(request), any(not one.numel() for one in _tensors(request)), zeros(request)

    def keeps(other: Request) -> bool:
        there = {*other.arguments, *(other.build or {})}
        return (
            {pair for pair in obeyed if there.issuperset(pair)} <= below(other)
            and (empty or all(one.numel() for one in _tensors(other)))
            and zeros(other) <= none
        )

    return keeps


def _named_integers(request: Request) -> Iterator[tuple[str, int]]:
    for name, value in {**(request.build or {}), **request.arguments}.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield name, value


def _can_be_made(request: Request) -> bool:
    """Tell whether the models among the arguments exist in these sizes."""
    try:
        for value in request.arguments.values():
            if isinstance(value, Stub):
                value.make()
    except (ValueError, RuntimeError):
        return False
    return True


def _is_worth(expected: Shown, first: Shown) -> bool:
    """Tell whether the reference gives the same kind of thing as for the call of the probe."""
    words = [{name: one for name, one in shown.items() if isinstance(one, str)} for shown in (expected, first)]
    if any(map(is_exception, words[0].values())) or not expected:
        return words[0] == words[1] and bool(expected)
    tensors = [value for value in expected.values() if isinstance(value, torch.Tensor)]
    return not any(torch.isnan(one).any() or not one.numel() for one in tensors)


def _is_firm(bench: Bench, request: Request, look: str, expected: Shown) -> bool:
    """Tell whether all right answers agree, and neither chance nor rounding has a part in it."""
    reference = bench.right[0]
    exact = look in ("device", "dtype", "parameters")
    others = itertools.chain(
        () if exact else (reference.call(_jittered(request, seed)) for seed in (1, 2)),
        (reference.call(_other_seed(request, seed)) for seed in (1, 2)),
        (right.call(request) for right in bench.right[1:]),
    )
    return all(_agrees(expected, look_at(look, reply)) for reply in others)


def _agrees(expected: Shown, seen: Shown) -> bool:
    return expected.keys() == seen.keys() and all(same(value, seen[name], 50) for name, value in expected.items())


def _other_seed(request: Request, seed: int) -> Request:
    def other(value: Any) -> Any:
        return replace(value, seed=value.seed + seed) if isinstance(value, RandomGenerator) else value

    return replace(
        request, seed=request.seed + seed, arguments={name: other(one) for name, one in request.arguments.items()}
    )


def _jittered(request: Request, seed: int) -> Request:
    """Return the request with every float moved a little, each by an amount of its own, so that ties are broken."""
    drawn = torch.Generator().manual_seed(seed)

    def move(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point():
            return tensor
        by = torch.rand(tensor.shape, generator=drawn, dtype=torch.float64) * 2 - 1
        return (tensor.double() + NEAR * scale(tensor) * by).to(tensor.dtype)

    moved = {name: _mapped(value, move) for name, value in request.arguments.items()}
    return replace(request, arguments=moved, weights={name: move(one) for name, one in request.weights.items()})


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return an argument with each tensor and each number in it changed."""
    if isinstance(value, Stub) and is_dataclass(value):
        made = {one.name: _mapped(getattr(value, one.name), change) for one in fields(value)}
        return replace(value, **made)
    if isinstance(value, dict):
        return {name: _mapped(one, change) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(one, change) for one in value)
    return change(value) if isinstance(value, torch.Tensor) else value


def _fitted(reference: Here, request: Request) -> Request | None:
    """Return the request with the weights that the reference asks for; None if they cannot be made of those it has."""
    if request.build is None:
        return request
    reply = reference.call(request)
    if not reply.shapes:
        return request if reply.fault else replace(request, weights={})
    weights = {}
    for name, tensor in request.weights.items():
        shape = reply.shapes.get(name)
        if shape is None:
            continue
        if len(shape) != tensor.dim() or any(size > has for size, has in zip(shape, tensor.shape, strict=True)):
            return None
        weights[name] = tensor[tuple(slice(size) for size in shape)].clone()
    request = replace(request, weights=weights)
    return request if request.as_made else replace(request, weights=weights | pattern_of(request, reply))


# How simple


def cost(small: Small) -> tuple[float, ...]:
    """Return how much there is to read in an input; the less, the smaller."""
    return _cost(small.request)


def _cost(request: Request) -> tuple[float, ...]:
    tensors = list(_tensors(request))
    numbers = torch.cat([one.double().flatten() for one in tensors]) if tensors else torch.zeros(0)
    numbers = torch.nan_to_num(numbers)
    sizes = list(_integers(request))
    options = len(request.arguments) + len(request.build or {})
    odd = int((numbers != numbers.round()).sum())
    return (
        len(numbers) + len(sizes) + _letters(request),
        odd,
        sum(map(abs, sizes)) + options,
        int((numbers != 0).sum()),
        float(numbers.abs().sum()),
    )


def _arguments_cost(request: Request) -> tuple[float, ...]:
    """Return how much there is to read in the arguments alone."""
    return _cost(replace(request, weights={}))


def numbers_in(request: Request) -> int:
    """Return how many numbers an input holds, weights included; of plain values, how many letters and entries."""
    return sum(one.numel() for one in _tensors(request)) + _letters(request)


def _letters(request: Request) -> int:
    """Return how much there is to read in the texts, lists and dicts of a call that is about such."""
    held = plain_values.parts(list(request.arguments.values())) if request.plain else ()
    return sum(len(one) for one in held if isinstance(one, (str, bytes, *plain_values.CONTAINERS)))


def _tensors(request: Request) -> Iterator[torch.Tensor]:
    found: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    for value in (*request.arguments.values(), *(request.build or {}).values()):
        _mapped(value, note)
    yield from found
    yield from request.weights.values()


def _integers(request: Request) -> Iterator[int]:
    for value in (*request.arguments.values(), *(request.build or {}).values()):
        if isinstance(value, int) and not isinstance(value, bool):
            yield value


# Moves


def _cuts(request: Request) -> Iterator[Move]:
    """Yield moves to fewer arguments, to smaller sizes, and to one position of an axis less."""
    sizes = {size for tensor in _argument_tensors(request) for size in tensor.shape} | set(_integers(request))
    sizes = {size for size in sizes if size > 1}
    smaller = [(size, to) for size in sorted(sizes, reverse=True) for to in SIZES if to < size]
    for size, to in smaller:
        yield functools.partial(_cut, size=size, to=to)
    # What stands in several places is one size of the contract: only where it stands alone may it be cut alone.
    places = collections.Counter(
        [*(size for one in _argument_tensors(request) for size in one.shape), *_integers(request)]
    )
    for name, value in {**(request.build or {}), **request.arguments}.items():
        if isinstance(value, int) and not isinstance(value, bool):
            for to in (to for to in (0, 1, 2, 3) if to < abs(value) and places[value] == 1):
                yield functools.partial(_with, name=name, value=to)
        if isinstance(value, torch.Tensor):
            for axis, size in enumerate(value.shape):
                for to in (to for to in (1, 2, 3) if to < size and places[size] == 1):
                    yield functools.partial(_narrowed, name=name, axis=axis, to=to)
    if request.plain:
        yield from _shorter_values(request)
    for name in (*reversed(request.arguments), *(request.build or {})):
        yield functools.partial(_dropped, name=name)
        yield functools.partial(_with, name=name, value=None)
    for size in sorted(sizes, reverse=True):
        for place in range(size) if size <= MOST_ENTRIES else ():
            yield functools.partial(_without, size=size, place=place)
    for place in range(max(SIZES)):
        for size in SIZES[1:]:
            yield functools.partial(_without, size=size, place=place)


def _shorter_values(request: Request) -> Iterator[Move]:
    """Yield moves to a part of a text or of a list, the largest cuts first; nothing becomes empty."""
    for name, value in request.arguments.items():
        if isinstance(value, (str, list)):
            lengths = [len(value) // 2**halved for halved in range(1, 12)]
            for length in (one for one in [*lengths, 1] if 0 < one < len(value)):
                for begin in range(0, len(value), length):
                    yield functools.partial(_sliced, name=name, begin=begin, end=begin + length)


def _sliced(request: Request, name: str, begin: int, end: int) -> Request | None:
    """Return the request without a part of a text or a list."""
    value = request.arguments[name]
    left = value[:begin] + value[end:]
    return _with(request, name, left) if left and len(left) < len(value) else None


def _narrowed(request: Request, name: str, axis: int, to: int) -> Request | None:
    value = request.arguments.get(name)
    if not isinstance(value, torch.Tensor) or axis >= value.dim() or value.shape[axis] <= to:
        return None
    return _with(request, name, value.narrow(axis, 0, to).clone())


def _dropped(request: Request, name: str) -> Request:
    """Return the request without an argument."""
    arguments = {key: one for key, one in request.arguments.items() if key != name}
    build = {key: one for key, one in (request.build or {}).items() if key != name}
    return replace(request, arguments=arguments, build=None if request.build is None else build)


def _argument_tensors(request: Request) -> Iterator[torch.Tensor]:
    yield from _tensors(replace(request, weights={}))


def _with(request: Request, name: str, value: Any) -> Request | None:
    """Return the request with another value of one argument, of the call or of the constructor."""
    if name not in request.arguments and name not in (request.build or {}):
        return None
    if name in request.arguments:
        return replace(request, arguments=request.arguments | {name: value})
    return replace(request, build=(request.build or {}) | {name: value})


def _everywhere(request: Request, change: Callable[[Any], Any], integer: Callable[[int], int]) -> Request:
    def one(value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return integer(value)
        if isinstance(value, Stub) and is_dataclass(value):
            made = {part.name: one(getattr(value, part.name)) for part in fields(value) if part.name != "seed"}
            return replace(value, **made)
        if isinstance(value, dict):
            return {name: one(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(map(one, value))
        return change(value) if isinstance(value, torch.Tensor) else value

    return replace(
        request,
        arguments={name: one(value) for name, value in request.arguments.items()},
        build=None if request.build is None else {name: one(value) for name, value in request.build.items()},
    )


def _cut(request: Request, size: int, to: int) -> Request:
    """Return the request with every axis and every integer of this size cut to another one."""

    def shorter(tensor: torch.Tensor) -> torch.Tensor:
        for axis, length in enumerate(tensor.shape):
            if length == size:
                tensor = tensor.narrow(axis, 0, to)
        # Ids of a vocabulary that becomes smaller.
        if not tensor.is_floating_point() and tensor.dtype != torch.bool and tensor.numel():
            if to <= int(tensor.max()) < size:
                tensor = tensor % to
        return tensor.clone()

    cut = _everywhere(request, shorter, lambda value: to if value == size else value)
    return replace(cut, arguments={name: _fewer_words(value, size, to) for name, value in cut.arguments.items()})


def _fewer_words(value: Any, size: int, to: int) -> Any:
    """Return a stub that holds a list of so many words, or layers, with fewer of them."""
    if not isinstance(value, Stub) or not is_dataclass(value):
        return value
    made = {one.name: getattr(value, one.name) for one in fields(value)}
    return replace(
        value, **{name: one[:to] if isinstance(one, list) and len(one) == size else one for name, one in made.items()}
    )


def _without(request: Request, size: int, place: int) -> Request | None:
    """Return the request without one position of every axis of this size."""
    if place >= size:
        return None
    kept = [index for index in range(size) if index != place]

    def shorter(tensor: torch.Tensor) -> torch.Tensor:
        for axis, length in enumerate(tensor.shape):
            if length == size:
                tensor = tensor.index_select(axis, torch.tensor(kept))
        return tensor.clone()

    return _everywhere(request, shorter, lambda value: size - 1 if value == size else value)


def _plain_numbers(request: Request) -> Iterator[Move]:
    """Yield moves to small integers instead of the numbers, or at least to fewer decimals."""
    for parts in (("arguments", "weights"), ("weights",), ("arguments",)):
        for seed in range(FILLS):
            yield functools.partial(_filled, seed=seed, parts=parts)
    for digits in (0, 1, 2):
        yield functools.partial(_rounded, digits=digits)


def _filled(request: Request, seed: int, parts: Collection[str]) -> Request:
    drawn = random.Random(seed)

    def fill(tensor: torch.Tensor, choices: Sequence[int]) -> torch.Tensor:
        if not tensor.is_floating_point() or float(torch.nan_to_num(tensor).abs().max() if tensor.numel() else 0) > 100:
            return tensor
        numbers = [choices[int(drawn.random() * len(choices))] for _ in range(tensor.numel())]
        return torch.tensor(numbers, dtype=tensor.dtype).reshape(tensor.shape)

    arguments = {
        name: _mapped(value, functools.partial(fill, choices=(0, 1, 2, 3, -1)))
        for name, value in request.arguments.items()
    }
    weights = {
        name: fill(one, (1, 2) if "norm" in name and name.endswith("weight") else (0, 1, -1, 2))
        for name, one in request.weights.items()
    }
    return replace(
        request,
        arguments=arguments if "arguments" in parts else request.arguments,
        weights=weights if "weights" in parts else request.weights,
    )


def _rounded(request: Request, digits: int) -> Request:
    def short(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.round(decimals=digits) if tensor.is_floating_point() else tensor

    return replace(
        request,
        arguments={name: _mapped(value, short) for name, value in request.arguments.items()},
        weights={name: short(one) for name, one in request.weights.items()},
    )


def _polished(request: Request) -> Iterator[Move]:
    """Yield moves to a parameter, or a number of an argument, that is as plain as can be."""
    for name, weight in request.weights.items():
        yield functools.partial(_weighted, name=name, weight=torch.zeros_like(weight))
        if weight.dim() == 2:
            yield functools.partial(_weighted, name=name, weight=torch.eye(*weight.shape, dtype=weight.dtype))
        yield functools.partial(_weighted, name=name, weight=torch.ones_like(weight))
    for name, value in request.arguments.items():
        if isinstance(value, torch.Tensor) and value.numel() <= POLISHED:
            for place in range(value.numel()):
                for number in (True,) if value.dtype == torch.bool else (0, 1, 2):
                    yield functools.partial(_numbered, name=name, place=place, number=number)


def _weighted(request: Request, name: str, weight: torch.Tensor) -> Request | None:
    if torch.equal(request.weights[name], weight):
        return None
    return replace(request, weights=request.weights | {name: weight})


def _numbered(request: Request, name: str, place: int, number: int) -> Request | None:
    """Return the request with another number at one place of an argument."""
    numbers = request.arguments[name].flatten().clone()
    numbers[place] = number
    return _with(request, name, numbers.reshape(request.arguments[name].shape))
