"""From observations to a diagnosis: right, a named mistake, or the symptoms that can be seen."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..calling.local import Fault
from ..probes import Observations
from . import claims
from .comparison import agree, by_aspect, differences, unusable, values
from .explanation import Explanation, explain
from .habits import with_habits
from .observation import same
from .records import Record

COUNTS = {2: "Two", 3: "Three", 4: "Four"}
NEW_LINE = "\n"  # several mistakes have a line each
HIDDEN = "It shows otherwise here than it does alone."  # of a mistake whose symptom another one covers


@dataclass(frozen=True)
class Stopped:
    """Why not all probes were run.

    why         a sentence; "" if they were
    conclusive  False: it says nothing about the answer, as on a computer that was busy
    """

    why: str
    conclusive: bool = True

    def __bool__(self) -> bool:
        return bool(self.why)


@dataclass
class Diagnosis:
    """What the observations of an answer mean.

    passed    True: the answer is right
    mistakes  names of the mistakes that it makes, as far as they are known
    credit    share of the points, from 0 to 1
    says      sentences, from symptom to cause to place
    rows      (sentence, "right" | "differs" | "not run") of each probe
    conclusive  False: nothing is known about the answer, as the check was stopped on a busy computer
    explained  False: something differs that its mistakes do not explain
    draft     True: it is a first draft, and `says` holds the one sentence that matters
    """

    passed: bool
    mistakes: tuple[str, ...] = ()
    credit: float = 0.0
    says: list[str] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)
    conclusive: bool = True
    explained: bool = True
    draft: bool = False

    def failing(self, record: Record) -> list[str]:
        """Return the names of the probes that it fails."""
        states = zip(record.probes, self.rows, strict=True)
        return [name for (name, _), (_, state) in states if state == "differs"]


def diagnose(record: Record, observed: Mapping[str, Observations], stopped: Stopped = Stopped("")) -> Diagnosis:
    """Compare {probe: Observations} with a record and return the `Diagnosis`.

    stopped  why not all probes were run
    """
    seen = values(observed)
    expected = record.expected()
    differs = differences(expected, seen)
    rows = [(sentence, _state(name, seen, differs)) for name, sentence in record.probes]
    if stopped:
        return Diagnosis(False, says=[stopped.why], rows=rows, conclusive=stopped.conclusive)
    if not differs or any(agree(differs, accepted) for accepted in record.accepted):
        return Diagnosis(True, credit=1.0, rows=[(sentence, "right") for sentence, _ in rows])
    found = next((known for known in record.behaviours if agree(differs, known["differs"])), None)
    if found:
        meant = Explanation(tuple(found["mistakes"]))
    else:
        failed = unusable(expected, seen)
        meant = with_habits(explain(differs, record.behaviours, failed), expected, seen, record.mistakes, failed)
    if not meant.mistakes:
        return Diagnosis(False, says=symptoms(record, observed, expected), rows=rows)
    about = [record.mistakes[name] for name in meant.mistakes]
    seems = [
        meant.symptoms.get(name)
        or (HIDDEN if claims.untrue(mistake.get("shows", ()), expected, seen) else mistake["symptom"])
        for name, mistake in zip(meant.mistakes, about, strict=True)
    ]
    says = [
        said[0] if len(about) == 1 else "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(said, 1))
        for said in (seems, [mistake["cause"] for mistake in about], [mistake["place"] for mistake in about])
    ]
    if all(sentence == HIDDEN for sentence in seems):
        says[0] = " ".join(symptoms(record, observed, expected))
    elif len(about) > 1:
        says[0] = f"{COUNTS.get(len(about), len(about))} mistakes at once.\n{says[0]}"
    if meant.rest and any(sentence != HIDDEN for sentence in seems):
        more = symptoms(record, observed, _part(expected, meant.rest))
        says[0] = f"{says[0]}{' ' if len(about) == 1 else NEW_LINE}Something else differs as well. {' '.join(more)}"
    credit = 0.0 if meant.rest else math.prod(mistake["credit"] for mistake in about)
    return Diagnosis(False, meant.mistakes, credit, says, rows, explained=not meant.rest)


def _part(expected: Mapping[str, Mapping[str, Any]], places: Collection[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Return what is expected in some places, each an aspect of a probe."""
    return {
        probe: {
            name: value
            for part, (values, _) in by_aspect(observations, {}).items()
            if (probe, part) in places
            for name, value in values.items()
        }
        for probe, observations in expected.items()
    }


def _state(probe: str, seen: Collection[str], differs: Collection[str]) -> str:
    if probe not in seen:
        return "not run"
    return "differs" if probe in differs else "right"


def symptoms(
    record: Record,
    observed: Mapping[str, Observations],
    expected: Mapping[str, Mapping[str, Any]],
    most: int = 3,
) -> list[str]:
    """Say what can be seen where the answer differs, the first observation of each probe, and claim no cause."""
    found = []
    for probe, sentence in record.probes:
        for name, value in expected[probe].items() if probe in observed else ():
            seen = observed[probe].values.get(name)
            if not same(value, seen):
                given = record.given[probe].get(name, "")
                label, _, bare = name.rpartition(": ")
                line = describe(bare if label in given else name, value, seen, observed[probe].fault)
                if given and given != "nothing":  # an answer without arguments, as in find the bug
                    line = f"{line} The input was {given}." if " raised " in line else f"For {given}: {line}"
                found.append(f"Expected: {sentence}. {line}")
                break
    raised = [text for text in found if " raised " in text]
    if raised:  # the same exception under every probe is one symptom, and the first to tell
        found = [raised[0].partition(". ")[2].replace("your code", "Your code", 1)] + [
            text for text in found if " raised " not in text
        ]
    rest = len(found) - most
    return found[:most] + ([f"{rest} more of these probes differ."] if rest > 0 else [])


def describe(name: str, expected: object, seen: object, fault: Fault | None = None) -> str:
    """Return one sentence that tells an observation from what was expected."""
    if seen is None and fault or isinstance(seen, str) and seen.startswith("raised") and fault:
        where = "".join(f" In {function}, line {number}: `{text}`." for function, number, text in fault.lines[-1:])
        message = (fault.message if len(fault.message) <= 300 else fault.message[:300] + " ...").rstrip(".")
        return f"your code raised {fault.type}: {message}.{where}"
    if seen is None:
        return f"{name} is missing."
    if isinstance(expected, torch.Tensor) and isinstance(seen, torch.Tensor):
        return _describe_tensors(name, expected, seen.double())
    if isinstance(expected, torch.Tensor):
        return f"{name}: {seen}."
    if isinstance(seen, torch.Tensor):
        return f"{name} should be: {expected}."
    return f"{name}: {seen}; expected: {expected}."


def _describe_tensors(name: str, expected: torch.Tensor, seen: torch.Tensor) -> str:
    if expected.shape != seen.shape:
        return f"{name} has shape {list(seen.shape)}, expected {list(expected.shape)}."
    wrong = ~torch.isclose(seen, expected, rtol=1e-3, atol=1e-4, equal_nan=True)
    if not wrong.any():
        wrong = seen != expected
    if not expected.dim():
        return f"{name} is {_number(seen)}, expected {_number(expected)}."
    place = wrong.nonzero()[0].tolist()
    where = ", ".join(map(str, place))
    count = f"{int(wrong.sum())} of {expected.numel()} numbers differ" if expected.numel() > 1 else "it differs"
    return f"{name}[{where}] is {_number(seen[tuple(place)])}, expected {_number(expected[tuple(place)])} ({count})."


def _number(value: torch.Tensor) -> str:
    return f"{value.item():.4g}"
