"""Habits that all lessons share, recognised by what they do: whatever the numbers are that they do it to.

Each belongs to one aspect. It is found where every observation of that aspect which differs shows it; beside a mistake
that changes the same aspect, where some do and the others are numbers. What is said of it holds in every exercise; a
lesson that declares a mistake of the same name says more where an answer shows just what that one does.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch

from .comparison import GRADIENTS, bare, by_aspect, differing, is_missing_part
from .explanation import Explanation, Place
from .observation import is_exception

MOVED = ("dtype", "device")  # what a module hands on to its parameters
OF_PARAMETER = re.compile(r"gradient of (weights\.|the table of )")
AUTOGRAD = "about autograd"  # ends what is seen of an exception by which torch forbids a change in place
THROUGH = "gradient through "  # an output: what it lacks changes the numbers that arrive through the others
FLOAT = re.compile(r"(torch\.)?b?float\d+")


def _does_not_arrive(expected: object, seen: object) -> bool:
    return seen == "none arrives" and (isinstance(expected, torch.Tensor) or expected == "arrives")


def _is_another_float(expected: object, seen: object) -> bool:
    if not isinstance(expected, str) or not isinstance(seen, str):
        return False
    pairs = list(zip(expected.split(", "), seen.split(", "), strict=False))
    return expected.count(",") == seen.count(",") and all(FLOAT.match(one) for pair in pairs for one in pair)


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

# {name of the mistake: what is said of it beside what is seen}
ABOUT: dict[str, dict[str, Any]] = {
    "cut_from_autograd": {
        "cause": "Autograd cannot follow it: it is not used, or it was cut off by detach, .data, item(), "
        "torch.no_grad, numpy, rounding, or a new torch.tensor made of it.",
        "place": "Look for one of these, and compute with the tensors as they come.",
    },
    "fixed_dtype": {
        "cause": "A dtype is fixed in the code, or a new tensor does not follow the input. Lower precision loses "
        "digits without a word; a higher one makes everything behind it slow.",
        "place": "Look for .float(), .double(), `dtype=...` and for new tensors; `dtype=x.dtype` and torch.zeros_like "
        "follow the input.",
    },
    "fixed_device": {
        "cause": "A new tensor is made on the default device, whatever the inputs are on.",
        "place": "Give it the input's `device=`, or use what follows its input, such as torch.zeros_like.",
    },
    "arguments_changed_in_place": {
        "cause": "An argument was changed in place: by `+=`, by an assignment to a part of it, or by a method that "
        "ends in an underscore. The caller still needs it, and autograd forbids it for a parameter. A slice is a view: "
        "changing it changes what it was cut from.",
        "place": "Use what returns a new tensor: `x = x + 1` for `x += 1`, masked_fill for masked_fill_; or clone it.",
    },
}


def general(names: Iterable[str]) -> set[str]:
    """Return names of mistakes, what a lesson calls a change of one of its arguments by the name of the habit."""
    changed, _ = HABITS["arguments"]
    return {changed if name.endswith("_changed_in_place") else name for name in names}


def with_habits(
    meant: Explanation,
    expected: Mapping[str, Mapping[str, Any]],
    seen: Mapping[str, Mapping[str, Any]],
    unusable: Collection[Place] = (),
) -> Explanation:
    """Return an explanation with the habits that account for places which it leaves.

    expected  {probe: {observation: value}} of the reference
    seen      {probe: {observation: value}} of the answer
    unusable  (probe, aspect) of what came to an exception or to another kind of answer, which shows no habit

    Where a parameter is missing, what takes its place stays behind when the module moves, and gets no gradient: that
    is no habit. Where arguments are changed in place, what asks for their gradients may end in an exception.
    """
    lacks = any(is_missing_part(name, value) for values in seen.values() for name, value in values.items())
    untrained = any(
        _is_untrained(name, value) and value != expected[probe].get(name)
        for probe, values in seen.items()
        for name, value in values.items()
    )
    aspects = set(HABITS).difference(MOVED if lacks else ())
    left = (meant.rest | meant.joint).difference(unusable)
    follows = {
        (probe, aspect)
        for probe, aspect in left
        if untrained and aspect == GRADIENTS and _is_of_parameters(expected[probe], seen[probe])
    }
    found = {
        (probe, aspect): HABITS[aspect][0]
        for probe, aspect in left - follows
        if aspect in aspects and _shows(expected[probe], seen[probe], aspect, (probe, aspect) in meant.changed)
    }
    changed, _ = HABITS["arguments"]
    if changed in found.values() or any(name.endswith("in_place") for name in meant.mistakes):
        forbidden = {probe for probe, values in seen.items() if _is_forbidden(expected[probe], values)}
        found |= {(probe, aspect): changed for probe, aspect in meant.rest & set(unusable) if probe in forbidden}
    order = [*meant.mistakes, *(name for name, _ in HABITS.values() if name in found.values())]
    symptoms = {
        name: _symptom(
            aspect,
            [(expected[one[0]], seen[one[0]]) for one in sorted(found) if found[one] == name and one not in unusable],
        )
        for aspect, (name, _) in HABITS.items()
        if name in found.values() and name not in meant.mistakes
    }
    accounted = found.keys() | (follows & meant.changed)
    return Explanation(
        tuple(dict.fromkeys(order)), meant.rest - accounted, meant.changed, meant.joint - accounted, symptoms
    )


def _symptom(aspect: str, probes: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> str:
    """Say what a habit did in the probes that show it: the sentence of the lesson may claim more."""
    shows: dict[str, tuple[str, str]] = {}
    for parts in probes:
        right, other = by_aspect(*parts)[aspect]
        for name in differing(right, other):
            if HABITS[aspect][1](right.get(name), other.get(name)):
                shows[bare(name)] = str(right.get(name)), str(other[name])
    if aspect == "gradients":
        reached = [name.removeprefix("gradient of ") for name in shows if not name.startswith(THROUGH)]
        cut = [name.removeprefix(THROUGH) for name in shows if name.startswith(THROUGH)]
        # Where nothing arrives, nothing goes through either.
        return f"No gradient reaches {_and(reached)}." if reached else f"No gradient goes through {_and(cut)}."
    if aspect == "arguments":
        return f"{_and(seen for _, seen in shows.values())} is different after the call."
    if aspect == "dtype":
        pairs = [zip(*(one.split(", ") for one in both), strict=False) for both in shows.values()]
        apart = dict.fromkeys(pair for both in pairs for pair in both if pair[0] != pair[1])
        return " ".join(f"{seen} comes out where {right} is expected." for right, seen in apart)
    return "What is made here is on another device than the inputs."


def _and(words: Iterable[str], most: int = 4) -> str:
    """Return "query, key and value": each word once, the first few of them."""
    known = list(dict.fromkeys(words))
    shown = known[:most] + ([f"{len(known) - most} more"] if len(known) > most else [])
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _is_forbidden(expected: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Tell whether a probe ended in exceptions, all of them of autograd."""
    raised = [value for name, value in seen.items() if is_exception(value) and value != expected.get(name)]
    return bool(raised) and all(value.endswith(AUTOGRAD) for value in raised)


def _is_untrained(name: str, seen: object) -> bool:
    """Tell whether an observation says that a tensor of the contract is no parameter, or is not there."""
    if not isinstance(seen, str):
        return False
    trained = bare(name).endswith("is trained") and seen == "no"
    return trained or seen.endswith("not learned") or is_missing_part(name, seen)


def _is_of_parameters(expected: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Tell whether parameters are all that gradients do not arrive at in a probe."""
    right, other = by_aspect(expected, seen)[GRADIENTS]
    cut = [name for name in differing(right, other) if _does_not_arrive(right.get(name), other.get(name))]
    return all(OF_PARAMETER.match(bare(name)) for name in cut)


def _shows(expected: Mapping[str, Any], seen: Mapping[str, Any], aspect: str, beside: bool) -> bool:
    """Tell whether a habit shows in an aspect of a probe.

    beside  True: a mistake that is named changes it as well, so that numbers which do arrive may be others
    """
    right, other = by_aspect(expected, seen)[aspect]
    names = differing(right, other)
    shows = [name for name in names if HABITS[aspect][1](right.get(name), other.get(name))]
    beside = beside or any(bare(name).startswith(THROUGH) for name in shows)
    rest = [name for name in names if name not in shows]
    return bool(shows) and all(
        beside and isinstance(right.get(name), torch.Tensor) and isinstance(other.get(name), torch.Tensor)
        for name in rest
    )
