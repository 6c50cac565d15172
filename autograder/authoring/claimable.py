"""What the symptoms of an exercise's mistakes may claim: every claim that is true of all ways to make the mistake."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import probes
from ..diagnosing import claims
from ..diagnosing.comparison import differing, values
from ..diagnosing.records import SEED
from ..diagnosing.steady import Answer, observe
from . import faults, recorder

Seen = Mapping[str, Mapping[str, Any]]  # {probe: {observation: value}}


def shown(found: faults.Written, exercise: str) -> Iterator[str]:
    """Yield the name of an exercise, and a text for each mistake: its symptom, what it claims, what it may claim."""
    yield f"\n{exercise}\n"
    expected = _seen(found, exercise, Answer("the reference", getattr(found.reference, exercise)))
    ways: dict[str, list[Seen]] = {}
    for name, wrong in recorder.wrong_answers(exercise, found.catalogue).items():
        ways.setdefault(wrong.mistakes[0], []).append(_seen(found, exercise, Answer(name, wrong.call)))
    for name, seen in ways.items():
        mistake = found.catalogue.mistakes[name]
        untrue = [claim for one in seen for claim in claims.untrue(mistake.shows, expected, one)]
        lines = [f"{name}: {mistake.symptom}"]
        lines += [f"    {tuple(claim)} {'NOT TRUE' if claim in untrue else 'true'}" for claim in mistake.shows]
        lines += [f"  {line}" for line in _true_of_all(expected, seen)]
        yield "\n".join(lines)


def _seen(found: faults.Written, exercise: str, answer: Answer) -> Seen:
    return values(
        {
            one.name: observe(found.lesson.name, exercise, one.name, SEED, 0, answer)
            for one in probes.probes_of(found.lesson.name, exercise)
        }
    )


def _true_of_all(expected: Seen, ways: Sequence[Seen]) -> Iterator[str]:
    """Yield a line for each probe that all ways of a mistake fail, and one with those that all are right in."""

    def true(probe: str, relation: str, *pattern: str) -> bool:
        return not any(claims.untrue([(probe, relation, *pattern)], expected, one) for one in ways)

    def relations(probe: str, *pattern: str) -> list[str]:
        return [one for one in claims.RELATIONS if one != "differ" and true(probe, one, *pattern)]

    for probe in expected:
        if true(probe, "differ"):
            of_all = relations(probe)
            yield f"{probe}: {', '.join(['differ', *of_all])}"
            names = dict.fromkeys(name for one in ways for name in differing(expected[probe], one[probe]))
            for pattern in dict.fromkeys(map(_in_every_call, names)) if len(names) > 1 else ():
                if more := [one for one in relations(probe, pattern) if one not in of_all]:
                    yield f"    {pattern!r}: {', '.join(more)}"
    if right := [probe for probe in expected if true(probe, claims.RIGHT)]:
        yield f"right: {', '.join(right)}"


def _in_every_call(name: str) -> str:
    """Return the pattern that means what this observation is about, in whichever call of the probe."""
    label, colon, about = name.rpartition(": ")
    return f"*{colon}{claims.pattern(about)}" if label else claims.pattern(name)
