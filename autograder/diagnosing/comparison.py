"""What differs from the reference: which observations, and by which signature of each probe."""

from collections.abc import Mapping
from typing import Any

from .. import probes
from .observation import Signature, same, same_signature, signature


def differences(
    reference: Mapping[str, Mapping[str, Any]], seen: Mapping[str, Mapping[str, Any]]
) -> dict[str, Signature]:
    """Return {probe: signature} of every probe that shows anything else than for the reference.

    reference  {probe: {observation: tensor or string}}
    seen       {probe: {observation: tensor or string}}, of as many probes as were run
    """
    return {
        probe: signature(reference[probe], observations)
        for probe, observations in seen.items()
        if differing(reference[probe], observations)
    }


def differing(expected: Mapping[str, Any], seen: Mapping[str, Any], slack: float = 1.0) -> list[str]:
    """Return the names of one probe's observations that are not the same, at `slack` times the usual tolerance."""
    return [name for name in {**expected, **seen} if not same(expected.get(name), seen.get(name), slack)]


def agree(one: Mapping[str, Signature], other: Mapping[str, Signature], slack: float = 1.0) -> bool:
    """Return True if two sets of differences can come from the same answer, at `slack` times the usual tolerance."""
    return one.keys() == other.keys() and all(same_signature(one[name], other[name], slack) for name in one)


def values(observed: Mapping[str, probes.Observations]) -> dict[str, dict[str, Any]]:
    """Return {probe: {observation: value}} of what `probes.observe` returned."""
    return {probe: observations.values for probe, observations in observed.items()}
