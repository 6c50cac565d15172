"""The smallest input that shows what is wrong, as a table to follow by pencil, and as code to paste."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch

from .. import probes
from ..calling import values
from ..calling.limit import TimeUp
from ..calling.local import Reply, Request, Source, Stub
from ..calling.stubs import Activation, Gradients, Layers, Words
from . import comparison, small
from .diagnosis import Diagnosis
from .records import Record
from .small import Found, Shown

SECONDS = 1.0  # of a processor, for all inputs that are tried

MOST_NUMBERS = 24  # of a tensor that is written out in a table
MOST_WEIGHTS = 24  # numbers of all weights together, that are
MOST_PLAIN = 4  # weights that are all 0 and have a line each in the code; more have one together


@dataclass(frozen=True)
class Example:
    """A small input that shows what is wrong.

    given, got, expected  {name: value in words}, the numbers written out
    code                  what makes this input and calls the answer, to be pasted into a cell
    """

    given: dict[str, str]
    got: dict[str, str]
    expected: dict[str, str]
    code: str

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield (part, name, value) of a table: what is given, what the answer gives, and what is expected."""
        for part, shown in (("given", self.given), ("got", self.got), ("expected", self.expected)):
            yield from ((part, name, value) for name, value in shown.items())


def smallest_example(
    record: Record, diagnosis: Diagnosis, observed: probes.Observed, submission: Source
) -> Example | None:
    """Return the smallest known input that a wrong answer gets wrong; None if there is none, or nothing to be shown.

    observed    what the answer showed
    submission  what answers the calls; nobody watches them
    """
    if diagnosis.passed or not observed or any(state == "not run" for _, state in diagnosis.rows):
        return None
    return smallest_of(record, comparison.differing_aspects(record.expected(), comparison.values(observed)), submission)


def smallest_of(record: Record, differs: Mapping[str, Collection[str]], submission: Source) -> Example | None:
    """Return the smallest known input that a wrong answer gets wrong, as `smallest_example` does.

    differs  {probe: its aspects} in which the answer shows anything else than the reference
    """
    known = small.telling(record.lesson, record.exercise, differs)

    def alone(request: Request) -> Reply:
        return submission.call(replace(request, parts=tuple(record.uses)))

    try:
        with submission.limit(SECONDS):
            found = small.smallest(known, submission.call, alone if record.uses else None)
    except (Exception, TimeUp):  # what it does with an input that no probe has tried, nobody knows
        return None
    return example(found) if found else None


def example(found: Found) -> Example:
    """Return how a small input is shown."""
    expected, seen = found.expected, found.seen
    if expected.keys() == seen.keys():
        # Of several outputs, those that are right say nothing.
        wrong = [name for name in expected if not _is_same(expected[name], seen[name])]
        expected, seen = ({name: shown[name] for name in wrong} for shown in (expected, seen))
    if found.look == "parameters":
        expected, seen = _apart(expected, seen), _apart(seen, expected)
    pairs = {name: (expected.get(name), seen.get(name)) for name in {**expected, **seen}}
    written = {name: _written_apart(*pair) for name, pair in pairs.items()}
    return Example(
        _given(found.request),
        {name: written[name][1] for name in seen},
        {name: written[name][0] for name in expected},
        code(found),
    )


def _apart(one: Shown, other: Shown) -> Shown:
    """Return of lists of parameters, a line each, what does not stand in the other one."""
    lines = {
        name: [line for line in text.split("\n") if line not in other[name].split("\n")] for name, text in one.items()
    }
    return {name: ", ".join(left) or "none of these" for name, left in lines.items()}


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)
    return type(one) is type(other) and one == other


# The table


def _given(request: Request) -> dict[str, str]:
    # Of plain values each blank and each quotation mark counts.
    told = values.short if request.plain else _in_words
    given = {name: told(value) for name, value in {**(request.build or {}), **request.arguments}.items()}
    given |= {name: _in_words(value) for name, value in _weights(request.weights).items()}
    return given | ({"mode": "training"} if request.training else {})


def _weights(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return the weights that are written out in a table; those that are all 0 stand together."""
    told = {name: one for name, one in weights.items() if one.any()}
    if sum(one.numel() for one in told.values()) > MOST_WEIGHTS:
        return {"weights": "see the code"}
    rest = [name for name in weights if name not in told]
    return told | ({"all other weights" if told else "all weights": "0"} if rest else {})


def _in_words(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return numbers(value)
    if isinstance(value, Activation):
        return value.name
    if isinstance(value, Words):
        return str(value.words)
    if isinstance(value, Layers):
        return ", ".join(map(numbers, value.tensors))
    if isinstance(value, Gradients):
        return ", ".join("None" if one is None else numbers(one) for one in value.tensors)
    if isinstance(value, Stub) and is_dataclass(value):
        parts = (f"{field.name} {_in_words(getattr(value, field.name))}" for field in fields(value))
        return f"{type(value).__name__}({', '.join(parts)})" if fields(value) else type(value).__name__
    if isinstance(value, dict):
        few = sum(one.numel() for one in value.values() if isinstance(one, torch.Tensor)) <= MOST_NUMBERS
        return ", ".join(f"{name} {_in_words(one)}" for name, one in value.items()) if few else "see the code"
    return str(value)


def _written_apart(one: object, other: object) -> tuple[str, str]:
    """Return two values in words, numbers with as many digits as it takes until the two differ."""
    for digits in (4, 6, 8, 10):
        written = _in_words_with(one, digits), _in_words_with(other, digits)
        if written[0] != written[1]:
            return written
    return _in_words_with(one, 4), _in_words_with(other, 4)


def _in_words_with(value: object, digits: int) -> str:
    return numbers(value, digits) if isinstance(value, torch.Tensor) else str(value)


def numbers(tensor: torch.Tensor, digits: int = 4) -> str:
    """Return the numbers of a tensor as nested lists, "[[1, 0.5]]"; of a large one its shape."""
    if tensor.numel() > MOST_NUMBERS:
        return f"{tensor.numel()} numbers, {list(tensor.shape)}"
    return _nested(tensor, digits)


def _nested(tensor: torch.Tensor, digits: int) -> str:
    if tensor.dim():
        return f"[{', '.join(_nested(one, digits) for one in tensor)}]"
    value = tensor.item()
    return str(value) if isinstance(value, (bool, int)) else f"{value or 0.0:.{digits}g}"  # -0.0 is 0


# The code


def code(found: Found) -> str:
    """Return a cell that makes the input, calls the answer and shows what is looked at."""
    request, look = found.request, found.look
    lines = [] if request.plain and not any(_tensors((request.build, request.arguments))) else ["import torch"]
    stubs = sorted({type(one).__name__ for one in _stubs((request.build or {}, request.arguments))} - {"Activation"})
    if stubs:
        lines.append(f"from autograder.calling.stubs import {', '.join(stubs)}")
    lines += [""] if lines else []
    lines += _defined(request, found)
    called = request.component
    if request.build is not None:
        if request.as_made:
            lines.append(f"torch.manual_seed({request.seed})")
        lines.append(f"module = {called}({', '.join(f'{k}={literal(v)}' for k, v in request.build.items())})")
        if look == "parameters":
            return "\n".join([*lines, "{name: list(one.shape) for name, one in module.named_parameters()}"])
        lines += _loading(request)
        called = f"module.{request.method}" if request.method else "module"
    if request.seed:
        lines.append(f"torch.manual_seed({request.seed})")
    lines.append(f"result = {called}({', '.join(request.arguments)})")
    return "\n".join([*lines, *_looking(look, found.expected, request)])


def _defined(request: Request, found: Found) -> Iterator[str]:
    for name, value in request.arguments.items():
        text = literal(value)
        if isinstance(value, torch.Tensor) and request.device:
            text = f"{text[:-1]}, device={request.device!r})"
        if isinstance(value, torch.Tensor) and found.look == "gradients" and value.is_floating_point():
            text = f"{text[:-1]}, requires_grad=True)"
        yield f"{name} = {text}"


def _loading(request: Request) -> Iterator[str]:
    """Yield the lines that set the weights of a module, and its mode."""
    plain = [name for name, value in request.weights.items() if not value.any()]
    if len(plain) > MOST_PLAIN and not request.as_made:
        yield "state = {name: torch.zeros_like(one) for name, one in module.named_parameters(remove_duplicate=False)}"
        yield "state |= {"
    elif request.weights:
        plain = []
        yield "state = {"
    if request.weights:
        yield from (f"    {name!r}: {literal(value)}," for name, value in request.weights.items() if name not in plain)
        yield "}"
        yield "module.load_state_dict(state, strict=False)"
    if any(value.dtype == torch.float64 for value in request.weights.values()):
        yield "module.double()"
    if request.device:
        yield f"module.to({request.device!r})"
    if not request.training:
        yield "module.eval()"


def _looking(look: str, expected: Shown, request: Request) -> Iterator[str]:
    if look == "gradients":
        yield "def tensors(value):"
        yield "    if isinstance(value, torch.Tensor):"
        yield "        return [value]"
        yield "    return [one for part in value for one in tensors(part)]"
        yield "for one in tensors(result):"
        yield "    if one.requires_grad:"
        yield "        share = (torch.arange(one.numel()) * 37 % 64 - 31) / 32  # no two numbers count the same"
        yield "        (one * share.reshape(one.shape)).sum().backward(retain_graph=True)"
        inputs = [name.removesuffix(".grad") for name in expected]
        yield ", ".join(
            f"module.get_parameter({name.removeprefix('weights.')!r}).grad"
            if name.startswith("weights.")
            else f"{name}.grad"
            for name in inputs
        )
    elif look == "dtype":
        yield "[one.dtype for one in (result if isinstance(result, (tuple, list)) else [result])]"
    elif look == "arguments":
        held = (torch.Tensor, *values.CONTAINERS)
        yield ", ".join(name for name, value in request.arguments.items() if isinstance(value, held))
    elif look == "softmax":
        yield ", ".join(expected)
    elif look == "use":
        yield from (
            f"{type(value).__name__}.report({literal(value).removesuffix('.make()')}, {name})"
            for name, value in request.arguments.items()
            if isinstance(value, Stub) and type(value).report is not Stub.report
        )
    else:
        yield "result"


def _tensors(value: Any) -> Iterator[bool]:
    """Yield True for each tensor, and each stub, of which it takes torch to make it."""
    yield from (isinstance(one, (torch.Tensor, Stub)) for one in values.parts(value))


def _stubs(value: Any) -> Iterator[Stub]:
    if isinstance(value, Stub):
        yield value
    elif isinstance(value, dict):
        yield from (stub for one in value.values() for stub in _stubs(one))
    elif isinstance(value, (list, tuple)):
        yield from (stub for one in value for stub in _stubs(one))


def literal(value: Any) -> str:
    """Return an argument as an expression."""
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    if isinstance(value, Activation):
        return f"torch.nn.functional.{value.name}"
    if isinstance(value, Stub) and is_dataclass(value):
        parts = ", ".join(f"{field.name}={literal(getattr(value, field.name))}" for field in fields(value))
        return f"{type(value).__name__}({parts}).make()"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(literal, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    return repr(value)


def _tensor(value: torch.Tensor) -> str:
    size = ", ".join(map(str, value.shape))
    dtype = {torch.float32: "", torch.int64: "", torch.bool: ""}.get(value.dtype, f", dtype={value.dtype}")
    if value.dtype == torch.float32 and value.numel() > 1:
        if not value.any():
            return f"torch.zeros({size})"
        if (value == 1).all():
            return f"torch.ones({size})"
        if value.dim() == 2 and torch.equal(value, torch.eye(*value.shape)):
            return f"torch.eye({size})"
    if not value.numel():
        return f"torch.empty({size}, dtype={value.dtype})"
    return f"torch.tensor({_listed(value)}{dtype})"


def _listed(value: torch.Tensor) -> str:
    """Return the numbers as nested lists in code."""
    if value.dim():
        return f"[{', '.join(map(_listed, value))}]"
    number = value.item()
    if isinstance(number, (bool, int)):
        return str(number)
    if number != number or abs(number) == float("inf"):
        return f'float("{number}")'
    short = float(f"{number:.7g}")
    return f"{short:.0f}." if short.is_integer() and abs(short) < 1e6 else repr(short)
