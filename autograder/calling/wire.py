"""Requests and replies as JSON and buffers, so that a component may live in an untrusted process.

Tensors travel as their bytes beside their shape and dtype; nothing is pickled in either direction. What comes
back is believed in nothing: every size, type and name is checked before a tensor is made of it.
"""

import importlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from . import values
from .facts import Facts, Fault, Line
from .local import MOST_ITEMS, MOST_NUMBERS, Reply, Request, Stub, describe

Buffer = bytes | memoryview  # the numbers of one tensor

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
    )
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}

MOST_BYTES = 64 << 20  # of all tensors of one reply
MOST_AXES = 16
MOST_TEXT = 2_000  # characters of one text
MOST_LINES = 4  # of a fault


class MalformedError(ValueError):
    """A reply that no honest process sends; the text says what is wrong with it."""


# Requests: what the judge sends


def pack(request: Request) -> tuple[dict[str, Any], list[bytes]]:
    """Return (JSON, [buffer]) of a `Request`.

    Raises TypeError for an argument that is neither plain data, nor a tensor, nor a `Stub`.
    """
    buffers: list[bytes] = []
    about = {field.name: _packed(getattr(request, field.name), buffers) for field in fields(Request)}
    return about, buffers


def unpack(about: dict[str, Any], buffers: Sequence[Buffer]) -> Request:
    """Return the `Request` that was packed."""
    return Request(**{name: _unpacked(value, buffers) for name, value in about.items()})


def _packed(value: Any, buffers: list[bytes]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value if not isinstance(value, float) else {"float": value.hex()}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, torch.Tensor):
        return _packed_tensor(value, buffers)
    if isinstance(value, (list, tuple)):
        return {"tuple" if isinstance(value, tuple) else "list": [_packed(item, buffers) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_packed(name, buffers), _packed(item, buffers)] for name, item in value.items()]}
    if isinstance(value, Stub) and is_dataclass(value):
        made_of = {field.name: _packed(getattr(value, field.name), buffers) for field in fields(value)}
        return {"stub": f"{type(value).__module__}:{type(value).__name__}", "fields": made_of}
    raise TypeError(f"a {type(value).__name__} cannot be sent to another process; describe it by a Stub")


def _unpacked(value: Any, buffers: Sequence[Buffer]) -> Any:
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float.fromhex(value["float"])
    if "bytes" in value:
        return bytes.fromhex(value["bytes"])
    if "tensor" in value:
        return _tensor(value, buffers)
    if "dict" in value:
        return {_unpacked(name, buffers): _unpacked(item, buffers) for name, item in value["dict"]}
    if "stub" in value:
        module, _, name = value["stub"].partition(":")
        return getattr(importlib.import_module(module), name)(
            **{name: _unpacked(item, buffers) for name, item in value["fields"].items()}
        )
    kind = next(iter(value))
    return {"tuple": tuple, "list": list}[kind](_unpacked(item, buffers) for item in value[kind])


# Tensors: the same in both directions


def _packed_tensor(tensor: torch.Tensor, buffers: list[bytes]) -> dict[str, Any] | str:
    """Return the description of a tensor, and put its bytes, if it has any, behind the others."""
    if tensor.layout != torch.strided or tensor.dtype not in NAMES:
        return f"a tensor of layout {tensor.layout} and dtype {tensor.dtype}"
    about = {"tensor": None, "dtype": NAMES[tensor.dtype], "shape": list(tensor.shape)}
    if tensor.is_meta:
        return about | {"meta": True}
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    buffers.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return about | {"tensor": len(buffers) - 1}


def _tensor(about: dict[str, Any], buffers: Sequence[Buffer]) -> torch.Tensor:
    """Return a tensor that owns its numbers. Raises MalformedError where description and bytes do not agree."""
    dtype, shape = DTYPES.get(_text(about.get("dtype"))), about.get("shape")
    if dtype is None or not isinstance(shape, list) or len(shape) > MOST_AXES:
        raise MalformedError("a tensor without a valid dtype and shape")
    count, empty = 1, False
    for size in shape:
        if type(size) is not int or not 0 <= size <= MOST_BYTES:
            raise MalformedError("a tensor with an impossible size")
        # An axis of size 0 makes no other size possible that PyTorch cannot count with.
        count, empty = count * (size or 1), empty or not size
        if count > MOST_BYTES:
            raise MalformedError("a tensor with an impossible size")
    count = 0 if empty else count
    if about.get("meta") is True:
        return torch.empty(shape, dtype=dtype, device="meta")
    place = about.get("tensor")
    if type(place) is not int or not 0 <= place < len(buffers):
        raise MalformedError("a tensor without data")
    content = memoryview(buffers[place]).cast("B")
    if count * dtype.itemsize != content.nbytes:
        raise MalformedError("a tensor whose shape and data do not agree")
    if not count:
        return torch.empty(shape, dtype=dtype)
    raw = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    if dtype is torch.bool and int(raw.max()) > 1:
        raise MalformedError("a Boolean that is neither 0 nor 1")
    return raw.view(dtype).reshape(shape)


# Replies: what comes back

OWN = ("given", "value")  # fields of a reply that are not packed like the others


def _packed_value(value: Any) -> Any:
    """Return a plain value as JSON can hold it: a text that is no Unicode, with half a surrogate pair, as well."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return {"surrogates": value.encode("utf-8", "surrogatepass").hex()}
    if isinstance(value, (list, tuple)):
        return {"tuple" if isinstance(value, tuple) else "list": [_packed_value(one) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[_packed_value(key), _packed_value(one)] for key, one in value.items()]}
    return _packed(value, [])


def pack_reply(reply: Reply) -> tuple[dict[str, Any], list[bytes]]:
    """Return (JSON, [buffer]) of a `Reply`."""
    buffers: list[bytes] = []

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return _packed_tensor(value, buffers)
        if isinstance(value, dict):
            return {str(name): plain(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, Fault):
            return {
                "type": value.type,
                "message": value.message[:MOST_TEXT],
                "lines": plain(value.lines),
                "unsolved": value.unsolved,
                "near": value.near,
            }
        if isinstance(value, Facts):
            return {field.name: plain(getattr(value, field.name)) for field in fields(Facts)}
        return value

    about = {field.name: plain(getattr(reply, field.name)) for field in fields(Reply) if field.name not in OWN}
    return about | {"value": _packed_value(reply.value)}, buffers


def unpack_reply(about: object, buffers: Sequence[Buffer], request: Request) -> Reply:
    """Return the `Reply` to a request, made of nothing but what could have been a reply to it.

    Raises MalformedError if it could not.
    """
    if sum(memoryview(buffer).nbytes for buffer in buffers) > MOST_BYTES:
        raise MalformedError(f"tensors of more than {MOST_BYTES >> 20} MB")
    if not isinstance(about, dict):
        raise MalformedError("a reply that is not a dictionary")
    read = _Reader(buffers)
    names = {name for name, value in request.arguments.items() if isinstance(value, (torch.Tensor, *values.CONTAINERS))}
    return Reply(
        given=describe((request.build or {}) | request.arguments),
        output=read.output(about.get("output")),
        value=read.value(about.get("value")) if request.plain else None,
        fault=read.fault(about.get("fault")),
        changed=tuple(name for name in read.texts(about.get("changed")) if name in names),
        gradients={
            name: None if value is None else read.tensor(value) for name, value in read.table(about.get("gradients"))
        },
        cut=tuple(read.sizes(about.get("cut"))),
        used=tuple(name for name in read.texts(about.get("used")) if name in request.forbidden),
        helpers=None
        if about.get("helpers") is None
        else tuple(name for name in read.texts(about["helpers"]) if name in request.helpers),
        shapes={name: read.sizes(value) for name, value in read.table(about.get("shapes"))},
        trained=read.texts(about.get("trained")),
        shared=tuple(read.texts(group) for group in read.items(about.get("shared"))),
        reports={
            name: {key: read.report(item) for key, item in read.table(value)}
            for name, value in read.table(about.get("reports"))
            if isinstance(request.arguments.get(name), Stub)
        },
        held=None if about.get("held") is None else read.number(about.get("held")),
        facts=read.facts(about.get("facts")),
    )


class _Reader:
    """Reads the values of one reply, and counts them."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.buffers, self.left, self.numbers = buffers, MOST_ITEMS, 0

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise MalformedError(f"a reply of more than {MOST_ITEMS} values")

    def output(self, value: object, depth: int = 0) -> Any:
        self.count()
        if isinstance(value, list):
            if depth >= 4:
                raise MalformedError("lists that are nested too deeply")
            return tuple(self.output(item, depth + 1) for item in value)
        return self.tensor(value) if isinstance(value, dict) else None if value is None else _text(value)

    def value(self, value: object, depth: int = 0) -> Any:
        """Return a plain value, in Python's own types."""
        self.count()
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return self.number(value)
        if isinstance(value, str):
            return _text(value)
        if not isinstance(value, dict) or len(value) != 1 or depth > values.MOST_DEEP:
            raise MalformedError("an invalid value")
        ((kind, held),) = value.items()
        if kind in ("list", "tuple") and isinstance(held, list):
            items = (self.value(one, depth + 1) for one in held)
            return list(items) if kind == "list" else tuple(items)
        if kind == "dict" and isinstance(held, list):
            return dict(self.entry(one, depth + 1) for one in held)
        if not isinstance(held, str) or len(held) > 8 * MOST_TEXT:
            raise MalformedError("an invalid value")
        try:
            if kind == "float":
                return float.fromhex(held)
            content = bytes.fromhex(held)
            return content if kind == "bytes" else content.decode("utf-8", "surrogatepass")
        except (ValueError, OverflowError):
            raise MalformedError("an invalid value") from None

    def entry(self, pair: object, depth: int) -> tuple[Any, Any]:
        """Return (key, value) of a dict."""
        if not isinstance(pair, list) or len(pair) != 2:
            raise MalformedError("an invalid entry of a dict")
        key, value = (self.value(one, depth) for one in pair)
        if any(isinstance(one, (list, dict)) for one in values.parts(key)):
            raise MalformedError("an invalid key of a dict")
        return key, value

    def report(self, value: object) -> Any:
        return self.number(value) if type(value) is int else self.output(value)

    def tensor(self, value: object) -> Any:
        self.count()
        if isinstance(value, str):  # a tensor of a kind that cannot travel
            return _text(value)
        if not isinstance(value, dict):
            raise MalformedError("an invalid tensor")
        tensor = _tensor(value, self.buffers)
        self.numbers += tensor.numel()
        if self.numbers > MOST_NUMBERS:
            raise MalformedError(f"more than {MOST_NUMBERS} numbers")
        return tensor

    def fault(self, value: object) -> Fault | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise MalformedError("an invalid error report")
        lines = [self.line(line) for line in self.items(value.get("lines"))[-MOST_LINES:]]
        unsolved, near = value.get("unsolved") is True, _text(value.get("near", ""))
        return Fault(_text(value.get("type")), _text(value.get("message")), lines, unsolved, near)

    def facts(self, value: object) -> Facts:
        if value is None:
            return Facts()
        if not isinstance(value, dict):
            raise MalformedError("invalid facts of a call")
        component, output, printed = (_text(value.get(name, "")) for name in ("component", "output", "printed"))
        last, made = (None if (line := value.get(name)) is None else self.line(line) for name in ("last", "made"))
        parameters = {name: list(self.texts(item)) for name, item in self.table(value.get("parameters"))}
        return Facts(component, output, printed, last, made, parameters)

    def line(self, value: object) -> Line:
        if not (isinstance(value, list) and len(value) == 3 and type(value[1]) is int):
            raise MalformedError("an invalid line of a program")
        return _text(value[0]), self.number(value[1]), _text(value[2])

    def texts(self, value: object) -> tuple[str, ...]:
        return tuple(_text(item) for item in self.items(value))

    def sizes(self, value: object) -> list[int]:
        return [self.number(item) for item in self.items(value)]

    def number(self, value: object) -> int:
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise MalformedError("an invalid number")
        return value

    def items(self, value: object) -> list[Any]:
        if not isinstance(value, (list, type(None))):
            raise MalformedError("an invalid list")
        for _ in value or ():
            self.count()
        return value or []

    def table(self, value: object) -> list[tuple[str, Any]]:
        if not isinstance(value, (dict, type(None))):
            raise MalformedError("an invalid dictionary")
        for _ in value or ():
            self.count()
        return [(_text(name), item) for name, item in (value or {}).items()]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedError("an invalid string")
    return value[:MOST_TEXT].encode("utf-8", "replace").decode("utf-8")
