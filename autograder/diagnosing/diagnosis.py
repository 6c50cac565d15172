"""From observations to a diagnosis: right, a named mistake, or the symptoms that can be seen."""

import collections
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..calling.local import Fault
from ..calling.watched import HABIT_KEEPS
from ..probes import Observations
from . import claims, comparison, patterns
from .comparison import ANSWER, NUMBERS, Behaviour, agree, aspect, by_aspect, may_be, values
from .explanation import Explanation, explain
from .habits import ABOUT, with_habits
from .observation import is_exception, same
from .records import Record

SHAPE = re.compile(r"\[[\d, ]*\]")
LONG, BEFORE, AFTER = 240, 40, 80  # characters: from when on a text is cut, and what is shown around a difference
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
    shown = Behaviour.of(expected, observed)
    differs = shown.differs
    rows = [(sentence, _state(name, seen, differs)) for name, sentence in record.probes]
    if stopped:
        return Diagnosis(False, says=[stopped.why], rows=rows, conclusive=stopped.conclusive)
    if not differs or any(agree(differs, accepted) for accepted in record.accepted):
        return Diagnosis(True, credit=1.0, rows=[(sentence, "right") for sentence, _ in rows])
    behaviours = may_be(record.behaviours, observed)
    found = next(
        (known for known in behaviours if len(known["mistakes"]) < 2 and agree(differs, known["differs"])), None
    )
    if found:
        meant = Explanation(tuple(found["mistakes"]))
    else:
        untrue = {
            name for name, about in record.mistakes.items() if claims.untrue(about.get("shows", ()), expected, seen)
        }
        meant = explain(differs, behaviours, shown.unusable, shown.raised, untrue)
        if record.mistakes:  # fresh numbers give no names
            meant = with_habits(meant, expected, seen, shown.unusable)
    if not meant.mistakes:
        return Diagnosis(False, says=symptoms(record, observed, expected), rows=rows)
    about = [_about(record, name, name in meant.symptoms) for name in meant.mistakes]
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
    if len(about) > 1:
        says[0] = f"{COUNTS.get(len(about), len(about))} mistakes at once.\n{says[0]}"
    if meant.rest and any(sentence != HIDDEN for sentence in seems):
        more = symptoms(record, observed, _part(expected, meant.rest))
        says[0] = f"{says[0]}{' ' if len(about) == 1 else NEW_LINE}Something else differs as well. {' '.join(more)}"
    credit = 0.0 if meant.rest else math.prod(mistake["credit"] for mistake in about)
    return Diagnosis(False, meant.mistakes, credit, says, rows, explained=not meant.rest)


def _about(record: Record, name: str, habit: bool) -> dict[str, Any]:
    """Return what is said of a mistake, and its credit.

    habit  True: it was found by what the habit does. What the lesson says of its own may not hold of this answer
    """
    known = record.mistakes.get(name, {})
    return ABOUT[name] | {"credit": known.get("credit", HABIT_KEEPS)} if habit else known


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


@dataclass(frozen=True)
class Difference:
    """What a probe shows otherwise than expected: the first such observation, and how to tell it.

    failed_by  how many of the known mistakes of the exercise differ in this probe
    """

    probe: str
    sentence: str
    name: str
    expected: object
    seen: object
    fault: Fault | None
    given: str
    failed_by: int
    more: tuple[str, ...] = ()

    @property
    def bare(self) -> str:
        """The observation without the label of its call."""
        return comparison.bare(self.name)

    @property
    def is_raised(self) -> bool:
        return _is_raised(self.seen, self.fault)

    @property
    def is_missing_part(self) -> bool:
        """Whether a parameter of the contract is missing, or has another shape: then nothing could be loaded."""
        if self.bare in ("missing parameters", "parameters of another shape"):
            return True
        return comparison.is_missing_part(self.name, self.seen)

    @property
    def unusable(self) -> str:
        """What came back instead of an answer of the right kind or shape, "" if something did that can be compared."""
        kind = self.bare == ANSWER or self.bare.startswith(("shape of ", "form of "))
        return f"{self.bare}: {_kind(self.seen)}" if kind and not self.is_raised and self.seen is not None else ""

    def tell(self) -> str:
        """Return the sentences on it: what was expected, for which input, and what is seen."""
        name = self.bare if self.name.rpartition(": ")[0] in self.given else self.name
        line = describe(name, self.expected, self.seen, self.fault)
        if self.given and self.given != "nothing":  # an answer without arguments, as in find the bug
            line = f"{line} The input was {self.given}." if self.is_raised else f"For {self.given}: {line}"
        return " ".join((f"Expected: {self.sentence}. {line}", *self.more))


def _kind(seen: object) -> str:
    """Return a shape in words without its sizes, anything else as it is."""
    return re.sub(r"\d+", "#", seen) if isinstance(seen, str) else ""


def symptoms(
    record: Record,
    observed: Mapping[str, Observations],
    expected: Mapping[str, Mapping[str, Any]],
    most: int = 3,
) -> list[str]:
    """Say what can be seen where the answer differs, the most telling first, and claim no cause.

    Of each probe that is the first observation. The fewer known mistakes fail a probe, the more it tells. The same
    exception under most probes is one symptom, and the first to tell; elsewhere it comes last. What only follows from
    a part that is missing, or from an output that is none, is not told.
    """
    found = _that_tell(_differences(record, observed, expected))
    texts = [difference.tell() for difference in found[:most]]
    if found and found[0].is_raised:
        texts[0] = texts[0].partition(". ")[2].replace("your code", "Your code", 1)
    rest = len(found) - most
    return texts + ([f"{rest} more of these probes differ."] if rest > 0 else [])


def _differences(
    record: Record, observed: Mapping[str, Observations], expected: Mapping[str, Mapping[str, Any]]
) -> list[Difference]:
    """Return the first difference of each probe, in the order of the probes."""
    found = []
    for probe, sentence in record.probes:
        seen = observed[probe].values if probe in observed else {}
        first = next((name for name, value in expected[probe].items() if not same(value, seen.get(name))), None)
        if probe not in observed or first is None:
            continue
        mistakes = {name for known in record.behaviours if probe in known["differs"] for name in known["mistakes"]}
        given, fault = record.given[probe].get(first, ""), observed[probe].fault
        more = () if _is_raised(seen.get(first), fault) else tuple(patterns.of_probe(expected[probe], seen, first))
        value = expected[probe][first]
        found.append(Difference(probe, sentence, first, value, seen.get(first), fault, given, len(mistakes), more))
    return found


def _that_tell(found: list[Difference]) -> list[Difference]:
    """Return what is to be told, the most telling first."""
    if missing := [one for one in found if one.is_missing_part]:
        return [*missing[:1], *(one for one in found if not one.is_missing_part and not _follows(one))]
    raised = [one for one in found if one.is_raised]
    kinds = collections.Counter(one.unusable for one in found if one.unusable)
    others = [one for one in found if not one.is_raised]
    if kinds and (len(found) == 1 or 2 <= max(kinds.values()) >= len(found) / 2):
        first = next(one for one in found if kinds[one.unusable] == max(kinds.values()))
        return [first, *(one for one in others if not one.unusable and not _follows(one))]
    told: list[Difference] = []
    for one in sorted(others, key=lambda one: one.failed_by):
        if not one.unusable or one.unusable not in {other.unusable for other in told}:
            told.append(one)
    everywhere = len(raised) * 2 > len(found)
    return [*raised[:1], *told] if everywhere else [*told, *raised[:1]]


def _follows(one: Difference) -> bool:
    """Tell whether a difference follows by itself where parts are missing, or where an output is none."""
    return one.is_raised or bool(one.unusable) or aspect(one.name) in (NUMBERS, "gradients", "dtype")


def _is_raised(seen: object, fault: Fault | None) -> bool:
    return fault is not None and (seen is None or is_exception(seen))


def describe(name: str, expected: object, seen: object, fault: Fault | None = None) -> str:
    """Return one sentence that tells an observation from what was expected."""
    if fault is not None and _is_raised(seen, fault):
        where = "".join(f" In {function}, line {number}: `{text}`." for function, number, text in fault.lines[-1:])
        message = (fault.message if len(fault.message) <= 300 else fault.message[:300] + " ...").rstrip(".")
        return f"your code raised {fault.type}: {message}.{where}"
    if seen is None:
        return f"{name} is missing."
    if isinstance(expected, torch.Tensor) and isinstance(seen, torch.Tensor):
        return patterns.tell(name, expected, seen)
    if isinstance(expected, torch.Tensor):
        return f"{name}: {seen}."
    if isinstance(seen, torch.Tensor):
        return f"{name} should be: {expected}."
    if isinstance(expected, str) and isinstance(seen, str) and max(len(expected), len(seen)) > LONG:
        expected, seen = _where_they_part(expected, seen)
    shapes = [SHAPE.fullmatch(str(one)) for one in (expected, seen) if "shape" in name]
    sizes = [[int(size) for size in re.findall(r"\d+", shape[0])] for shape in shapes if shape]
    return f"{name}: {seen}; expected: {expected}{patterns.shapes_in_words(*sizes) if len(sizes) == 2 else ''}."


def _where_they_part(one: str, other: str) -> tuple[str, str]:
    """Return two long texts from shortly before the place where they begin to differ."""
    shared = min(len(one), len(other))
    part = next((place for place in range(shared) if one[place] != other[place]), shared)
    begin = max(0, part - BEFORE)
    end = part + AFTER
    first, second = (
        ("... " if begin else "") + text[begin:end] + (" ..." if end < len(text) else "") for text in (one, other)
    )
    return first, second
