"""Habits that all lessons share, recognised by what they do: whatever the numbers are that they do it to.

Each belongs to one aspect. It is found where every observation of that aspect which differs shows it. What it is called
and what is said of it stands in the mistakes of each lesson.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from .comparison import by_aspect, differing
from .explanation import Explanation

FLOAT = re.compile(r"(torch\.)?b?float\d+")


def _does_not_arrive(expected: object, seen: object) -> bool:
    return seen == "none arrives" and (isinstance(expected, torch.Tensor) or expected == "arrives")


def _is_another_float(expected: object, seen: object) -> bool:
    return all(isinstance(one, str) and FLOAT.match(one) for one in (expected, seen))


def _is_elsewhere(expected: object, seen: object) -> bool:
    return (expected, seen) in (("yes", "no"), ("the device of the tokens", "another device"))


def _is_changed(expected: object, seen: object) -> bool:
    return expected == "none" and isinstance(seen, str)


# aspect: (name of the mistake, whether one observation shows it)
HABITS: dict[str, tuple[str, Callable[[object, object], bool]]] = {
    "gradients": ("cut_from_autograd", _does_not_arrive),
    "dtype": ("fixed_dtype", _is_another_float),
    "device": ("fixed_device", _is_elsewhere),
    "arguments": ("arguments_changed_in_place", _is_changed),
}


def with_habits(
    meant: Explanation,
    expected: Mapping[str, Mapping[str, Any]],
    seen: Mapping[str, Mapping[str, Any]],
    names: Collection[str],
) -> Explanation:
    """Return an explanation with the habits that account for places which it leaves.

    expected  {probe: {observation: value}} of the reference
    seen      {probe: {observation: value}} of the answer
    names     of the mistakes that the exercise knows
    """
    found = {
        (probe, aspect): HABITS[aspect][0]
        for probe, aspect in meant.rest
        if aspect in HABITS and HABITS[aspect][0] in names and _shows(expected[probe], seen[probe], aspect)
    }
    order = [*meant.mistakes, *(name for name, _ in HABITS.values() if name in found.values())]
    return Explanation(tuple(dict.fromkeys(order)), meant.rest - found.keys())


def _shows(expected: Mapping[str, Any], seen: Mapping[str, Any], aspect: str) -> bool:
    right, other = by_aspect(expected, seen)[aspect]
    return all(HABITS[aspect][1](right.get(name), other.get(name)) for name in differing(right, other))
