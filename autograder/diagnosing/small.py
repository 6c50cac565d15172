"""Small inputs of an exercise with what is right for them: a wrong answer is shown the smallest that it gets wrong.

They are found once, by the side that has the solutions (`authoring.shrink`), and travel with the records, as
`recorded/LESSON/small/EXERCISE.json`. Only a wrong answer is called with them.
"""

import functools
import importlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from time import thread_time
from typing import Any

import torch

from ..calling.local import Reply, Request, Stub, number_for
from ..calling.numbers import Numbers
from ..calling.values import written
from ..calling.wire import DTYPES, NAMES
from . import patterns
from .observation import same
from .records import FOLDER

Shown = dict[str, Any]  # {what: tensor or words}, of one reply

SECONDS = 0.2  # of a processor, for all inputs that are tried
LOOKS = (
    "parameters",
    "output",
    "softmax",
    "use",
    "gradients",
    "arguments",
    "dtype",
    "device",
)  # the most telling first


@dataclass(frozen=True)
class Small:
    """One small input.

    request   the call
    look      what is looked at in the reply, one of `LOOKS`
    probes    names of the probes that ask for this
    aspect    of their observations to which it belongs
    expected  what is right there
    """

    request: Request
    look: str
    probes: tuple[str, ...]
    aspect: str
    expected: Shown


@dataclass(frozen=True)
class Found:
    """A small input that an answer gets wrong: the call, what is right, and what the answer gives."""

    request: Request
    look: str
    expected: Shown
    seen: Shown


def smallest(
    known: Iterable[Small],
    call: Callable[[Request], Reply],
    alone: Callable[[Request], Reply] | None = None,
) -> Found | None:
    """Return the smallest of the known inputs that an answer gets wrong beyond doubt, None if it is none of them.

    known  the most telling first, and of these from the smallest up, as `telling` gives them
    call   calls the answer as it stands
    alone  calls it with right helpers, if it has some: what comes only of a wrong helper is not shown
    """
    begun = thread_time()
    for one in known:
        if thread_time() - begun > SECONDS:
            return None
        reply = call(one.request)
        seen = look_at(one.look, reply)
        if is_clear(one.expected, seen) and (alone is None or _same(seen, look_at(one.look, alone(one.request)))):
            return Found(_complete(one.request, reply), one.look, one.expected, seen)
    return None


def is_clear(expected: Shown, seen: Shown) -> bool:
    """Tell whether two replies differ beyond doubt."""
    return expected.keys() != seen.keys() or any(_is_clear(expected[name], seen[name]) for name in expected)


def _is_clear(expected: object, seen: object) -> bool:
    if not isinstance(expected, torch.Tensor) or not isinstance(seen, torch.Tensor):
        return type(expected) is not type(seen) or expected != seen
    return expected.shape != seen.shape or patterns.far(expected.double(), seen.double())


def _same(one: Shown, other: Shown) -> bool:
    return one.keys() == other.keys() and all(same(value, other[name], 10) for name, value in one.items())


def _complete(request: Request, reply: Reply) -> Request:
    """Return the request with the numbers that further parameters of the answer were filled with."""
    if request.build is None or request.as_made:
        return request
    joined = {name: one for name in reply.trained if (one := number_for(name, request.weights)) is not None}
    return replace(request, weights=request.weights | joined | pattern_of(request, reply))


def pattern_of(request: Request, reply: Reply) -> dict[str, torch.Tensor]:
    """Return {name: what a call fills it with} of all trained parameters without a weight that fits."""
    return {
        name: Numbers(f"weights {name}").tensor(*reply.shapes[name], low=-1.0, high=1.0)
        for name in reply.trained
        if (given := number_for(name, request.weights)) is None or list(given.shape) != reply.shapes[name]
    }


# What is seen


def look_at(look: str, reply: Reply) -> Shown:
    """Return what a reply shows, by its names in the code that is shown: {"result[0]": tensor or words}."""
    if look == "parameters":
        fault = f"raised {reply.fault.type}" if reply.fault and not reply.shapes else ""
        shapes = {name: reply.shapes[name] for name in sorted(reply.trained)}
        return {"parameters": fault or "\n".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"}
    if look == "device":
        elsewhere = reply.fault is not None and "device" in reply.fault.message and "item()" not in reply.fault.message
        return {"made on the inputs' device": "no" if elsewhere else "yes"}
    if reply.fault:
        return {"result": f"raised {reply.fault.type}"}
    if look == "arguments":
        return {"changed in place": ", ".join(reply.changed) or "nothing"}
    if look == "gradients":
        return {
            f"{name}.grad": "None" if gradient is None else gradient.double()
            for name, gradient in reply.gradients.items()
        }
    if look == "use":
        return {
            f"{name}, {what}": value if isinstance(value, torch.Tensor) else str(value)
            for name, report in reply.reports.items()
            for what, value in report.items()
        }
    outputs = dict(_outputs("result", reply.output)) if reply.value is None else {"result": written(reply.value)}
    if look == "dtype":
        return {name: str(one.dtype) if isinstance(one, torch.Tensor) else one for name, one in outputs.items()}
    if look == "softmax":  # where what is right is right up to a constant
        outputs = {
            f"{name}.softmax(-1)": one.softmax(-1) if isinstance(one, torch.Tensor) and one.is_floating_point() else one
            for name, one in outputs.items()
        }
    return {name: one.double() if isinstance(one, torch.Tensor) else one for name, one in outputs.items()}


def _outputs(name: str, output: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(output, (tuple, list)):
        yield name, output
        return
    if not output:
        yield name, "empty"
    for index, one in enumerate(output):
        yield from _outputs(f"{name}[{index}]", one)


# Files


def path(lesson: str, exercise: str, folder: Path | str = FOLDER) -> Path:
    """Return where the small inputs of an exercise stand."""
    return Path(folder) / lesson / "small" / f"{exercise}.json"


def read(lesson: str, exercise: str, folder: Path | str = FOLDER) -> list[Small]:
    """Return the small inputs of an exercise, the smallest first; none where none are recorded."""
    place = path(lesson, exercise, folder)
    return [_unpacked(one) for one in json.loads(place.read_text(encoding="utf-8"))] if place.exists() else []


def telling(
    lesson: str, exercise: str, differs: Mapping[str, Collection[str]], folder: Path | str = FOLDER
) -> Iterator[Small]:
    """Yield the small inputs of an exercise that an answer may get wrong, the most telling first; see `smallest`.

    Each is made when it is asked for: of a hundred, the first few usually do.
    """
    known = _packed_in(path(lesson, exercise, folder))
    fit = [one for one in known if any(one["aspect"] in differs.get(probe, ()) for probe in one["probes"])]
    yield from map(_unpacked, sorted(fit, key=lambda one: LOOKS.index(one["look"])))


@functools.lru_cache(maxsize=1)
def _read_once(place: Path, written: int) -> Any:
    return json.loads(place.read_text(encoding="utf-8"))


def _packed_in(place: Path) -> Any:
    """Return what a file holds, parsed once for one wrong answer after the other; [] where there is none."""
    return _read_once(place, place.stat().st_mtime_ns) if place.exists() else []


def text(known: Collection[Small]) -> str:
    """Return small inputs as JSON text, one a line."""
    return "[\n" + ",\n".join(json.dumps(_packed(one), separators=(",", ":")) for one in known) + "\n]\n"


def _packed(one: Small) -> dict[str, Any]:
    usual = Request(one.request.component, {})
    how = {
        field.name: plain(getattr(one.request, field.name))
        for field in fields(Request)
        if field.name in ("component", "arguments") or getattr(one.request, field.name) != getattr(usual, field.name)
    }
    about = {"look": one.look, "aspect": one.aspect, "probes": list(one.probes)}
    return about | {"request": how, "expected": plain(one.expected)}


def _unpacked(about: Mapping[str, Any]) -> Small:
    how = {name: made(value) for name, value in about["request"].items()}
    return Small(Request(**how), about["look"], tuple(about["probes"]), about["aspect"], made(about["expected"]))


def plain(value: Any) -> Any:
    """Return an argument as JSON can hold it."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, torch.Tensor):
        numbers = value.tolist() if not value.is_floating_point() else _rounded(value.tolist())
        return {"tensor": numbers, "dtype": NAMES[value.dtype]} | (
            {} if value.numel() else {"shape": list(value.shape)}
        )
    if isinstance(value, Stub) and is_dataclass(value):
        made_of = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        return {"stub": f"{type(value).__module__}:{type(value).__name__}", "fields": made_of}
    if isinstance(value, dict):
        return {"dict": [[plain(name), plain(one)] for name, one in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"tuple" if isinstance(value, tuple) else "list": [plain(one) for one in value]}
    return value


def _rounded(numbers: Any) -> Any:
    if isinstance(numbers, list):
        return [_rounded(one) for one in numbers]
    short = float(f"{numbers:.7g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short


def made(value: Any) -> Any:
    """Return what `plain` was given."""
    if not isinstance(value, dict):
        return value
    if "bytes" in value:
        return bytes.fromhex(value["bytes"])
    if "tensor" in value:
        tensor = torch.tensor(value["tensor"], dtype=DTYPES[value["dtype"]])
        return tensor.reshape(value["shape"]) if "shape" in value else tensor
    if "stub" in value:
        module, _, name = value["stub"].partition(":")
        return getattr(importlib.import_module(module), name)(
            **{name: made(one) for name, one in value["fields"].items()}
        )
    if "dict" in value:
        return {made(name): made(one) for name, one in value["dict"]}
    kind = next(iter(value))
    return {"tuple": tuple, "list": list}[kind](made(one) for one in value[kind])
