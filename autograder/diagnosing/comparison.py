"""What differs from the reference: which observations, and by which signature of each aspect of each probe.

An answer may do several things at once that are not right: compute other numbers, and cut what it returns from
autograd. Observations of different aspects are therefore compared by themselves, so that neither deviation hides what
the other one is known by.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .. import probes
from .observation import Signature, is_exception, same, same_signature, signature

Aspects = dict[str, Signature]  # {aspect: signature}, of what differs in one probe

NUMBERS = "numbers"  # the aspect of all that belongs to no other one: what the exercise is about
GRADIENTS = "gradients"
ASPECTS = {
    GRADIENTS: re.compile(r"\bgradients?\b|\blogits count$"),  # where a gradient arrives
    "dtype": re.compile(r"\bdtype\b|\bfor (torch\.)?(float|int)\d+$"),
    "device": re.compile(r"\bdevice\b|is made on$"),
    "arguments": re.compile(r"changed in place$"),
    "library calls": re.compile(r"^library calls"),
}
MOST_WORDS = 120  # characters of an exception's message that count
ANSWER = "answer"  # what kind of thing came back belongs to whatever else the probe asks for


def aspect(name: str) -> str:
    """Return the aspect of an observation, by its name: "gradients" for "mask: gradient of x"."""
    about = bare(name)
    return next((aspect for aspect, pattern in ASPECTS.items() if pattern.search(about)), NUMBERS)


def by_aspect(expected: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return {aspect: (expected, seen)} of the observations of one probe, each {observation: value}."""
    names = [name for name in {**expected, **seen} if bare(name) != ANSWER]
    aspects = {name: aspect(name) for name in names}
    asked = {aspects[name] for name in names if name in expected}
    home = asked.pop() if len(asked) == 1 else NUMBERS
    cut: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for name in {**expected, **seen}:
        for values, part in zip((expected, seen), cut.setdefault(aspects.get(name, home), ({}, {})), strict=True):
            if name in values:
                part[name] = values[name]
    return cut


def differences(
    reference: Mapping[str, Mapping[str, Any]], seen: Mapping[str, Mapping[str, Any]]
) -> dict[str, Aspects]:
    """Return {probe: {aspect: signature}} of all that shows anything else than for the reference.

    reference  {probe: {observation: tensor or string}}
    seen       {probe: {observation: tensor or string}}, of as many probes as were run
    """
    found = {}
    for probe, observations in seen.items():
        cut = by_aspect(reference[probe], observations)
        differs = {name: signature(*parts) for name, parts in cut.items() if differing(*parts)}
        if differs:
            found[probe] = differs
    return found


def differing_aspects(
    reference: Mapping[str, Mapping[str, Any]], seen: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[str]]:
    """Return {probe: its aspects} in which anything else shows than for the reference; see `differences`."""
    return {
        probe: [name for name, parts in by_aspect(reference[probe], observations).items() if differing(*parts)]
        for probe, observations in seen.items()
    }


def unusable(
    reference: Mapping[str, Mapping[str, Any]], seen: Mapping[str, Mapping[str, Any]], exceptions: bool = False
) -> frozenset[tuple[str, str]]:
    """Return (probe, aspect) of all for which something came back that the reference does not give.

    That is an exception, or another kind of answer: nothing else is known of what was asked there.

    exceptions  True: of exceptions only
    """

    def fails(name: str, right: object, other: object) -> bool:
        return other != right and (is_exception(other) or not exceptions and bare(name) == ANSWER)

    return frozenset(
        (probe, part)
        for probe, seen_there in seen.items()
        if any(
            fails(name, reference[probe].get(name), value)
            for name, value in seen_there.items()
            if not isinstance(value, torch.Tensor)
        )
        for part in by_aspect(reference[probe], seen_there)
    )


def raises(
    differs: Mapping[str, Aspects], failed: frozenset[tuple[str, str]], observed: Mapping[str, probes.Observations]
) -> str:
    """Return in short how an answer is worded that shows nothing but exceptions, "" if it shows anything else.

    failed  (probe, aspect) of what is unusable
    Beside numbers it does not matter how an exception is worded; alone, many mistakes raise in the same places. One
    that raises only where another dtype is asked for, or another device, is known by that.
    """
    places = [(probe, part) for probe, aspects in differs.items() for part in aspects]
    only = failed.issuperset(places) and any(part == NUMBERS for _, part in places)
    return wording(observed, differs) if only and any(observed[probe].fault for probe in differs) else ""


@dataclass(frozen=True)
class Behaviour:
    """What a wrong answer shows.

    differs   {probe: {aspect: signature}}
    unusable  (probe, aspect) of what came to an exception or to another kind of answer
    raised    (probe, aspect) of what came to an exception
    raises    how its exceptions are worded, if it shows nothing else
    observed  all of it
    """

    differs: dict[str, Aspects]
    unusable: frozenset[tuple[str, str]]
    raised: frozenset[tuple[str, str]]
    raises: str
    observed: Mapping[str, probes.Observations]

    @classmethod
    def of(cls, reference: Mapping[str, Mapping[str, Any]], observed: Mapping[str, probes.Observations]) -> "Behaviour":
        seen = values(observed)
        differs, failed = differences(reference, seen), unusable(reference, seen)
        raised = unusable(reference, seen, exceptions=True)
        return cls(differs, failed, raised, raises(differs, failed, observed), observed)

    def looks_like(self, other: Mapping[str, Any], slack: float = 1.0) -> bool:
        """Tell whether a behaviour of a record may be the same."""
        return self.raises == other.get("raises", "") and agree(self.differs, other["differs"], slack)

    def named(self, mistakes: Iterable[str]) -> dict[str, Any]:
        """Return it as a record holds it, with the names of its mistakes."""
        about: dict[str, Any] = {"mistakes": list(mistakes), "differs": self.differs}
        return about | ({"raises": self.raises} if self.raises else {})


def wording(observed: Mapping[str, probes.Observations], where: Iterable[str]) -> str:
    """Return a short text that two answers share if they raise the same in some probes, up to numbers."""
    faults = [observed[probe].fault for probe in where if probe in observed]
    said = {f"{one.type}: {re.sub('[0-9]+', '#', one.message)[:MOST_WORDS]}" for one in faults if one}
    return hashlib.sha256("\n".join(sorted(said)).encode()).hexdigest()[:12]


def may_be(
    behaviours: Iterable[Mapping[str, Any]], observed: Mapping[str, probes.Observations]
) -> list[Mapping[str, Any]]:
    """Return the behaviours without those that show nothing but exceptions, and others than an answer does there."""
    return [
        known for known in behaviours if "raises" not in known or known["raises"] == wording(observed, known["differs"])
    ]


def bare(name: str) -> str:
    """Return the name of an observation without the label of its call."""
    return name.rpartition(": ")[2]


def is_missing_part(name: str, seen: object) -> bool:
    """Tell whether an observation says that a parameter of the contract is not there."""
    about = bare(name).endswith("in the state dict") or bare(name).startswith("shape of ")
    return about and isinstance(seen, str) and seen.startswith("missing")


def differing(expected: Mapping[str, Any], seen: Mapping[str, Any], slack: float = 1.0) -> list[str]:
    """Return the names of one probe's observations that are not the same, at `slack` times the usual tolerance."""
    return [name for name in {**expected, **seen} if not same(expected.get(name), seen.get(name), slack)]


def agree(one: Mapping[str, Aspects], other: Mapping[str, Aspects], slack: float = 1.0) -> bool:
    """Return True if two sets of differences can come from the same answer, at `slack` times the usual tolerance."""
    return one.keys() == other.keys() and all(
        one[probe].keys() == other[probe].keys()
        and all(same_signature(one[probe][name], other[probe][name], slack) for name in one[probe])
        for probe in one
    )


def values(observed: Mapping[str, probes.Observations]) -> dict[str, dict[str, Any]]:
    """Return {probe: {observation: value}} of what `probes.observe` returned."""
    return {probe: observations.values for probe, observations in observed.items()}
