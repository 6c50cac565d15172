"""Specimens: wrong answers to practise with, and how one of them is told from a right answer by a call.

They are recorded beside the answers that checks compare with, one packed file for each exercise. A learner's copy of
the course needs neither solutions nor mistakes to read them. Packed, they are small, and nobody reads a solution by
accident; it is no lock.
"""

import base64
import builtins
import copy
import json
import linecache
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .. import probes
from ..calling.limit import TimeUp
from ..calling.local import Fault, Here, Reply, Request
from ..calling.watched import closed_boxes
from .observation import same
from .records import FOLDER, SEED

SUFFIX = ".practice"
RESULT, GRADIENT = "the result", "the gradient of"  # in what two answers may differ
SECONDS = 5.0  # that a call may compute; none of the probes' takes a hundredth of it


@dataclass(frozen=True)
class Specimen:
    """A wrong answer.

    mistake  name of the mistake that it makes, and no other one
    imports  the lines that run before it
    code     its source, as a learner would have written it
    lines    the numbers, from 1, of the lines of it that are wrong, or between which something is missing
    repairs  [first line, last line, right lines in their place]; the last is one less than the first where they are
             put in between
    """

    mistake: str
    imports: str
    code: str
    lines: tuple[int, ...]
    repairs: tuple[tuple[int, int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Material:
    """What there is to practise with of one exercise.

    contract  the docstring of the exercise
    imports   the lines that run before the right answer
    right     the source of a right answer
    uses      components of the same lesson that answers call
    """

    lesson: str
    exercise: str
    contract: str
    imports: str
    right: str
    uses: tuple[str, ...]
    specimens: tuple[Specimen, ...]


def read(exercise: str, folder: Path | str = FOLDER) -> Material:
    """Return the `Material` of an exercise. Raises LookupError if there is none to practise with."""
    paths = sorted(Path(folder).glob(f"*/{exercise}{SUFFIX}"))
    if not paths:
        raise LookupError(exercise)
    packed = paths[0].read_text(encoding="ascii")
    return _from_plain(json.loads(zlib.decompress(base64.b85decode(packed.replace("\n", "")))))


def exercises(folder: Path | str = FOLDER) -> dict[str, str]:
    """Return {exercise: lesson} of all that there is material of."""
    return {path.stem: path.parent.name for path in sorted(Path(folder).glob(f"*/*{SUFFIX}"))}


def write(material: Material, folder: Path | str = FOLDER) -> bool:
    """Write the material of an exercise; return whether it has changed."""
    path = Path(folder) / material.lesson / f"{material.exercise}{SUFFIX}"
    if path.exists() and read(material.exercise, folder) == material:
        return False
    text = base64.b85encode(zlib.compress(json.dumps(asdict(material)).encode(), 9)).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(re.findall(".{1,120}", text)) + "\n", encoding="ascii", newline="\n")
    return True


def _from_plain(plain: dict[str, Any]) -> Material:
    specimens = tuple(
        Specimen(
            one["mistake"],
            one["imports"],
            one["code"],
            tuple(one["lines"]),
            tuple((first, last, tuple(lines)) for first, last, lines in one["repairs"]),
        )
        for one in plain["specimens"]
    )
    return Material(**plain | {"uses": tuple(plain["uses"]), "specimens": specimens})


def component(exercise: str, imports: str, code: str, uses: Iterable[str] = (), name: str = "practice") -> Any:
    """Run the source of an answer and return the function or class that it defines.

    uses  components that are there under their names: right ones
    name  of the file that tracebacks name
    """
    names: dict[str, Any] = {"__name__": "practice", "__builtins__": builtins} | closed_boxes(uses)
    exec(compile(imports, "<imports>", "exec", dont_inherit=True), names)
    names |= closed_boxes(uses)
    file = f"<{name}>"
    linecache.cache[file] = (len(code), None, [line + "\n" for line in code.split("\n")], file)
    exec(compile(code, file, "exec", dont_inherit=True), names)
    return names[exercise]


# Calls


def calls(lesson: str, exercise: str, right: Callable[..., Any]) -> list[Request]:
    """Return the calls that the probes of an exercise make, as far as somebody could make them by hand."""
    asked = _Asked({exercise: right})
    probes.observe(lesson, exercise, asked, SEED)
    return [
        replace(request, forbidden=(), watch_memory=False, gradients=False, parts=())
        for request in asked.requests
        if not (request.method or request.device or request.as_made or request.fit)
    ]


class _Asked(Here):
    """Components that remember what they were asked."""

    def __init__(self, components: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(components)
        self.requests: list[Request] = []

    def call(self, request: Request) -> Reply:
        self.requests.append(request)
        # Nothing is observed here, and to compute on the meta device torch imports its compiler: seconds.
        return super().call(replace(request, device=None))


def answered(answer: Callable[..., Any], request: Request, seconds: float = SECONDS) -> Reply:
    """Return the `Reply` of an answer to a call; one that computes for too long has a fault of the type TimeUp."""
    here = Here({request.component: answer})
    arguments = {name: _own(value) for name, value in request.arguments.items()}
    try:
        with here.limit(seconds):
            return here.call(replace(request, arguments=arguments))
    except TimeUp:
        return Reply(given="", fault=Fault("TimeUp", f"it did not return within {seconds:g} seconds"))


def _own(value: Any) -> Any:
    """Return a copy of an argument, so that what one answer does to it does not reach another one."""
    if isinstance(value, torch.Generator):
        return torch.Generator(value.device).set_state(value.get_state())
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever a learner gives as a model may refuse to be copied
        return value


def refused(reply: Reply, contract: str) -> bool:
    """Tell whether an answer refused its arguments as the contract says it should."""
    return reply.fault is not None and bool(re.search(rf"\b{reply.fault.type}\b", contract))


def exposes(right: Callable[..., Any], wrong: Callable[..., Any], request: Request, contract: str) -> bool:
    """Tell whether a call that the contract allows, or wants refused, tells a wrong answer from a right one."""
    found, reply, _ = told_apart(right, wrong, request)
    return bool(found) and (reply.fault is None or refused(reply, contract))


def told_apart(one: Callable[..., Any], other: Callable[..., Any], request: Request) -> tuple[str, Reply, Reply]:
    """Return (in what two answers differ when they are called like this, "" if in nothing, and their replies).

    Numbers count as different only if they are in double precision as well: what is left of a difference by rounding
    exposes nothing.
    """
    found, *replies = _told_apart(one, other, request)
    if found in ("", RESULT) and all(_is_finite(reply.output) for reply in replies) or found.startswith(GRADIENT):
        double = replace(request, arguments={name: _double(value) for name, value in request.arguments.items()})
        if found and not _told_apart(one, other, double)[0]:
            found = ""
    return found, replies[0], replies[1]


def _told_apart(one: Callable[..., Any], other: Callable[..., Any], request: Request) -> tuple[str, Reply, Reply]:
    replies = answered(one, request), answered(other, request)
    found = difference(*replies)
    if found or any(reply.fault for reply in replies):
        return found, *replies
    again = answered(one, replace(request, gradients=True)), answered(other, replace(request, gradients=True))
    return difference(*again), *again


def _is_finite(output: Any) -> bool:
    if isinstance(output, tuple):
        return all(map(_is_finite, output))
    return not isinstance(output, torch.Tensor) or bool(torch.isfinite(output).all())


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def difference(one: Reply, other: Reply) -> str:
    """Return in what two replies differ, "" if in nothing that a contract asks for."""
    return next(_differences(one, other), "")


def _differences(one: Reply, other: Reply) -> Iterator[str]:
    if one.fault or other.fault:
        if probes.kind(one) != probes.kind(other):
            yield RESULT
        return
    if one.shapes != other.shapes:
        yield "the parameters"
    pairs = list(_pairs(one.output, other.output))
    if not all(same(*pair) for pair in pairs) or repr(one.value) != repr(other.value):  # plain values, as of a text
        yield RESULT
    if any(isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and a.dtype != b.dtype for a, b in pairs):
        yield "the dtype of the result"
    if set(one.changed) != set(other.changed):
        yield "the arguments, one of which was changed in place"
    for name, report in one.reports.items():
        if any(not same(report.get(what), other.reports[name].get(what)) for what in {**report, **other.reports[name]}):
            yield f"the way in which {name} was used"
    unit = max(
        (each.abs().max().item() for each in one.gradients.values() if each is not None and each.numel()), default=0
    )
    for name in {**one.gradients, **other.gradients}:
        if not _same_gradient(one.gradients.get(name), other.gradients.get(name), unit):
            yield f"{GRADIENT} {name.removeprefix('weights.')}"


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the values of two outputs side by side; of two whose forms differ, the outputs themselves."""
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        for pair in zip(one, other, strict=True):
            yield from _pairs(*pair)
    else:
        mine, theirs = (f"{len(each)} values" if isinstance(each, tuple) else each for each in (one, other))
        yield mine, theirs


def _same_gradient(one: torch.Tensor | None, other: torch.Tensor | None, unit: float) -> bool:
    """Compare two gradients; `unit` is the largest number in any, by which those that should be 0 are measured."""
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and torch.allclose(
        one.double(), other.double(), rtol=1e-3, atol=1e-4 * unit, equal_nan=True
    )
