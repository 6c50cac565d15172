"""Plain values: texts, bytes, whole numbers, floats, and lists, tuples and dicts of them.

Most exercises are about tensors. Where one is about other things, its probes ask for them by `plain=True`, and
`Reply.value` holds what came back, in Python's own types and nothing else.
"""

import math
import numbers
from collections.abc import Iterator
from typing import Any

import torch

MOST_ITEMS = 1_800  # values in one value, itself included
MOST_TEXT = 2_000  # characters or bytes of one text
MOST_DEEP = 6  # lists in lists
WHOLE = 2**63  # whole numbers beyond it are no ids and no counts

CONTAINERS = (list, tuple, dict)


class NotPlainError(TypeError):
    """Something that is no plain value, or too much of it; the text says what."""


def plain(value: Any) -> Any:
    """Return a value in Python's own types: a NumPy integer as an int, a list's subclass as a list.

    Raises NotPlainError for whatever else there is, such as a tensor with axes or an object.
    """
    left = [MOST_ITEMS]
    return _plain(value, left, 0)


def _plain(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > MOST_DEEP:
        raise NotPlainError(f"more than {MOST_ITEMS} values" if left[0] < 0 else "values that are nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, torch.Tensor) and not value.dim() and not value.is_complex() and not value.is_meta:
        value = value.item()
    if isinstance(value, numbers.Integral):
        whole = int(value)
        if not -WHOLE <= whole < WHOLE:
            raise NotPlainError("a whole number of more than 64 bits")
        return whole
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, (str, bytes)):
        if len(value) > MOST_TEXT:
            raise NotPlainError(f"a text of {len(value)} characters, too long to be looked at")
        return str(value) if isinstance(value, str) else bytes(value)
    if isinstance(value, (list, tuple)):
        kind = list if isinstance(value, list) else tuple
        return kind(_plain(one, left, depth + 1) for one in value)
    if isinstance(value, dict):
        return {_key(key, left, depth): _plain(one, left, depth + 1) for key, one in value.items()}
    raise NotPlainError(f"a {type(value).__name__}")


def _key(key: Any, left: list[int], depth: int) -> Any:
    found = _plain(key, left, depth + 1)
    try:
        hash(found)
    except TypeError:
        raise NotPlainError("a dict with a key that is a list") from None
    return found


def copied(value: Any) -> Any:
    """Return a value whose lists and dicts, at any depth, are others; tensors and stubs in them stay what they are."""
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    return type(value)(map(copied, value)) if type(value) in (list, tuple) else value


def alike(one: Any, other: Any) -> bool:
    """Tell whether two values are equal in type, order and number, at any depth; NaN equals itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(alike, one.items(), other.items()))
    if isinstance(one, float):
        return one == other or math.isnan(one) and math.isnan(other)
    return bool(one == other) if isinstance(one, (str, bytes, int, bool, type(None))) else one is other


def parts(value: Any) -> Iterator[Any]:
    """Yield a value and all that is in it."""
    yield value
    if isinstance(value, dict):
        for pair in value.items():
            yield from parts(pair[0])
            yield from parts(pair[1])
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from parts(one)


KINDS = {
    bool: "a bool",
    int: "a whole number",
    float: "a float",
    str: "a text",
    bytes: "bytes",
    list: "a list",
    tuple: "a list",  # whoever returns a tuple of ids has the ids
    dict: "a dict",
}


def kind(value: Any) -> str:
    """Return in words of what kind a plain value is: "a list", "a text"."""
    return "None" if value is None else KINDS[type(value)]


def written(value: Any) -> str:
    """Return a value as Python writes it, whole; a tuple counts as a list."""
    return repr(list(value) if isinstance(value, tuple) else value)


FEW, SHORT = 12, 120  # entries of a list or dict, and characters of a text, that are written out


def short(value: Any) -> str:
    """Return a value as Python writes it; of a long text or list the beginning, and how long it is."""
    if isinstance(value, (str, bytes)) and len(value) > SHORT:
        return f"{value[:SHORT]!r}... ({len(value)} {'characters' if isinstance(value, str) else 'bytes'})"
    if isinstance(value, dict):
        entries = [f"{short(key)}: {short(one)}" for key, one in list(value.items())[:FEW]]
        more = f", ... ({len(value)} entries)" if len(value) > FEW else ""
        return "{" + ", ".join(entries) + more + "}"
    if isinstance(value, (list, tuple)):
        entries = [short(one) for one in value[:FEW]]
        more = f", ... ({len(value)} entries)" if len(value) > FEW else ""
        inner = ", ".join(entries) + more
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    return repr(value)
