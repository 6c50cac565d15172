"""Which known mistakes an answer makes: each is recognised by what it shows alone, however many there are.

What an answer shows is a set of places, each an aspect of a probe, with a signature. A mistake accounts for a place if
it shows the same signature there alone. A set of mistakes explains an answer if each place is accounted for by one of
them, and each place of theirs shows something in the answer; where two of them change the same place, the answer may
show what either does. Of several such sets the smallest is meant.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .comparison import GRADIENTS, NUMBERS, Aspects
from .observation import Signature, same_signature

Place = tuple[str, str]  # (probe, aspect)
MOST = 4  # mistakes, or recorded pairs of them, in one explanation
CERTAIN = 2  # places with numbers, of a mistake that is named beside what is not explained


@dataclass(frozen=True)
class Explanation:
    """What the differences of an answer come from.

    mistakes  names of the mistakes that it makes, in the order in which they were recorded
    rest      (probe, aspect) of what they do not explain
    changed   (probe, aspect) of what some of them change alone
    joint     (probe, aspect) of gradients that two of them change alone, of which nothing can be said: what both make
              of a gradient is not the sum of what each does
    symptoms  {name: what is seen of a habit that was found beside the others}
    """

    mistakes: tuple[str, ...] = ()
    rest: frozenset[Place] = frozenset()
    changed: frozenset[Place] = field(default=frozenset(), compare=False)
    joint: frozenset[Place] = field(default=frozenset(), compare=False)
    symptoms: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class _Candidate:
    """A recorded behaviour that may be part of the explanation: its mistakes and all its places.

    explains  those that it accounts for
    alike     those where the answer shows the same, whether that tells anything or not
    """

    mistakes: frozenset[str]
    places: frozenset[Place]
    explains: frozenset[Place]
    alike: frozenset[Place]

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there, or all of its numbers in several probes: a habit changes the gradients of any."""
        numbers = [place for place in self.places if place[1] == NUMBERS]
        return self.explains == self.places or len(numbers) >= CERTAIN and self.explains.issuperset(numbers)


def explain(
    differs: Mapping[str, Aspects],
    behaviours: Sequence[Mapping[str, Any]],
    unusable: frozenset[Place] = frozenset(),
    raised: frozenset[Place] = frozenset(),
    untrue: Collection[str] = (),
) -> Explanation:
    """Return the `Explanation` of an answer's differences.

    unusable    (probe, aspect) of what came to an exception or to another kind of answer
    raised      (probe, aspect) of what came to an exception
    untrue      names of mistakes whose symptom is not true of the answer
    differs     {probe: {aspect: signature}} of the answer
    behaviours  {"mistakes": names, "differs": {probe: {aspect: signature}}} of known answers; without names it is one
                of which nothing can be said
    """
    shown = _places(differs)
    unusable &= shown.keys()
    named = [known for known in behaviours if known["mistakes"]]
    every = [_candidate(known, shown, unusable, raised) for known in named]
    candidates = [one for one in every if one.explains and _shows_all(one, every, raised)]
    names = _shared(_smallest(frozenset(shown), candidates), untrue, raised)
    if not names:
        numbers = frozenset(place for place in shown if place[1] == NUMBERS)
        all_numbers = _shared(_smallest(numbers, candidates), untrue, raised) if numbers else frozenset()
        of_numbers = frozenset[Place]().union(*(one.explains for one in candidates if one.mistakes <= all_numbers))
        certain = [one for one in candidates if _is_certain(one, shown, raised) and not one.explains <= of_numbers]
        # Where two mistakes cancel, they show a part of what one of them shows alone.
        most = [one for one in certain if not any(one.explains < other.explains for other in certain)]
        there = [one for one in every if one.places <= shown.keys()]
        names = all_numbers.union(*(_unambiguous(one, there) for one in most))
    names = _with_evidence(names, named, untrue)
    used = [one for one in candidates if one.mistakes <= names]
    rest = frozenset(shown).difference(*(one.explains for one in used))
    makers = {place: [one.mistakes for one in used if place in one.places] for place in rest}
    joint = frozenset(place for place in rest if place[1] == GRADIENTS and len(set(makers[place])) > 1)
    order = dict.fromkeys(name for known in behaviours for name in known["mistakes"])
    return Explanation(
        tuple(name for name in order if name in names),
        rest - joint,
        changed=frozenset(place for place in rest if makers[place]),
        joint=joint,
    )


def _places(differs: Mapping[str, Aspects]) -> dict[Place, Signature]:
    return {(probe, name): found for probe, aspects in differs.items() for name, found in aspects.items()}


def _candidate(
    known: Mapping[str, Any], shown: Mapping[Place, Signature], unusable: frozenset[Place], raised: frozenset[Place]
) -> _Candidate:
    """Return a known behaviour with the places that it accounts for: none where one of its own shows nothing.

    An answer that fails where its gradients or its dtype are asked for has no habit if it fails elsewhere, too. And
    where all that it has in common with a behaviour are exceptions, many others raise there as well: only one that
    shows nothing else, and is worded alike, is the same.
    """
    places = _places(known["differs"])
    alike = frozenset(
        place for place, found in places.items() if place in shown and same_signature(found, shown[place])
    )
    explains = alike if places.keys() <= shown.keys() else frozenset[Place]()
    if not unusable <= explains:
        explains -= {place for place in unusable if place[1] != NUMBERS}
    if explains <= raised and "raises" not in known and any(part == NUMBERS for _, part in explains):
        explains = frozenset()
    return _Candidate(frozenset(known["mistakes"]), frozenset(places), explains, alike)


def _shows_all(one: _Candidate, every: Sequence[_Candidate], raised: frozenset[Place]) -> bool:
    """Tell whether both mistakes of a recorded pair are to be seen.

    Each has to show something beside the other one: more than exceptions, or what it shows alone. Whatever raises hides
    what comes behind it, which may as well be another mistake than that of the record.
    """
    alone = [other for other in every if other.mistakes < one.mistakes]
    for first in alone:
        beside = one.explains - first.explains
        own = frozenset[Place]().union(*(other.alike for other in alone if other.mistakes != first.mistakes))
        if not beside - raised and not beside & own:
            return False
    return True


def _unambiguous(one: _Candidate, others: Iterable[_Candidate]) -> frozenset[str]:
    """Return the mistakes of a candidate that all share which show as much as it here, or more.

    Any of those may be made as well, and be changed by another mistake where it shows otherwise. Of a recorded pair
    that holds for what each of the two shows beside the other one.
    """
    others = list(others)
    shared = one.mistakes.intersection(*(other.mistakes for other in others if one.explains <= other.alike))
    if len(one.mistakes) == 1:
        return shared
    alone = {name: [other.alike for other in others if other.mistakes == {name}] for name in one.mistakes}
    shares = {
        name: one.explains.difference(*(alike for other in one.mistakes - {name} for alike in alone[other]))
        for name in one.mistakes
    }
    return frozenset(
        name
        for name in shared
        if not any(shares[name] <= other.alike and name not in other.mistakes for other in others if shares[name])
    )


def _with_evidence(
    names: frozenset[str], named: Iterable[Mapping[str, Any]], untrue: Collection[str]
) -> frozenset[str]:
    """Return the mistakes without those that another one accounts for: it shows all that they show, and more.

    Numbers decide: whoever does not register a parameter gets those of one who leaves it out. Of what shows in no
    numbers all of it has to be there, and its symptom has to be untrue of the answer.
    """
    if len(names) < 2:
        return names
    alone: dict[str, list[dict[Place, Signature]]] = {name: [] for name in names}
    for known in named:
        if len(known["mistakes"]) == 1 and known["mistakes"][0] in names:
            alone[known["mistakes"][0]].append(_places(known["differs"]))

    def accounts(larger: Mapping[Place, Signature], smaller: Mapping[Place, Signature], name: str) -> bool:
        numbers = {place for place in smaller if place[1] == NUMBERS}
        if not numbers and name not in untrue:
            return False
        kept = numbers or smaller.keys()
        there = {place for place in larger if not numbers or place[1] == NUMBERS}
        return kept < there and all(same_signature(smaller[place], larger[place]) for place in kept)

    return frozenset(
        name
        for name in names
        if not any(
            accounts(larger, smaller, name)
            for other in names - {name}
            for larger in alone[other]
            for smaller in alone[name]
        )
    )


def _smallest(shown: frozenset[Place], candidates: Sequence[_Candidate]) -> list[tuple[_Candidate, ...]]:
    """Return every smallest set of candidates that accounts for all places."""
    for most in range(1, MOST + 1):
        if found := list(_covers(shown, candidates, most)):
            return found
    return []


def _covers(left: frozenset[Place], candidates: Sequence[_Candidate], most: int) -> Iterable[tuple[_Candidate, ...]]:
    """Yield each set of at most so many candidates that accounts for these places."""
    if not left:
        yield ()
    elif most:
        # Whatever explains all explains the place that the fewest can: so few sets have to be tried.
        able = {place: [one for one in candidates if place in one.explains] for place in left}
        for one in min(able.values(), key=len):
            for others in _covers(left - one.explains, candidates, most - 1):
                yield one, *others


def _shared(
    found: Sequence[tuple[_Candidate, ...]], untrue: Collection[str], raised: frozenset[Place]
) -> frozenset[str]:
    """Return the names that stand in all of several explanations; none if all of those are patchworks."""
    if not any(_is_believed(used, untrue, raised) for used in found):
        return frozenset()
    return frozenset.intersection(*(frozenset[str]().union(*(one.mistakes for one in used)) for used in found))


def _is_believed(used: Sequence[_Candidate], untrue: Collection[str], raised: frozenset[Place]) -> bool:
    """Tell whether a set of candidates is more than a patchwork.

    What two mistakes show together was recorded because it does not follow from what each of them shows, so a part of
    it tells little: it counts where the symptoms of both are true, and something else is there as a whole. Nor does a
    part of what a mistake shows alone tell anything that adds nothing but exceptions: whatever raises hides the rest.
    And a part of a pair that adds a gradient and no number, while numbers of the pair are others here, is no evidence:
    a gradient that does not arrive looks alike whatever cut it off.
    """
    for index, one in enumerate(used):
        others = frozenset[Place]().union(*(other.explains for other in (*used[:index], *used[index + 1 :])))
        added, numbers = one.explains - others, {place for place in one.places if place[1] == NUMBERS}
        if one.explains != one.places and added <= raised:
            return False
        if len(one.mistakes) > 1 and added.isdisjoint(numbers) and not numbers <= one.explains:
            return False
    parts = [one for one in used if len(one.mistakes) > 1 and not one.is_whole]
    return not parts or (any(one.is_whole for one in used) and all(one.mistakes.isdisjoint(untrue) for one in parts))


def _is_certain(one: _Candidate, shown: Collection[Place], raised: frozenset[Place]) -> bool:
    """Tell whether a mistake is made although something is left that it does not explain.

    All that it shows alone is there: a habit, or numbers in several places, which two mistakes do not share by chance.
    What is known by a gradient alone is not, where the numbers of that probe are others: they have gradients of their
    own.
    """
    if any(
        part == GRADIENTS and (probe, NUMBERS) in shown and (probe, NUMBERS) not in one.places
        for probe, part in one.places
    ):
        return False
    if one.explains <= raised:
        return False
    numbers = [place for place in one.places if place[1] == NUMBERS]
    return one.explains == one.places and (not numbers or len(numbers) >= CERTAIN)
