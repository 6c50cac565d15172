"""Make the record of an exercise: what its right and wrong answers show, so that each can be told apart."""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .. import probes
from ..course import AuthorError
from ..diagnosing import claims
from ..diagnosing.comparison import Behaviour, agree, differences, may_be, values
from ..diagnosing.explanation import explain
from ..diagnosing.records import FOLDER, SEED, Record, plain
from ..diagnosing.steady import Answer, Jump, draw, observe
from .habitual import ALWAYS_DOUBLE, HABITS, with_habit

if TYPE_CHECKING:
    from ..mistakes import Catalogue, Wrong

# What an answer raises only if its author forgot something: people make mistakes that run.
FORGOTTEN = ("ImportError", "ModuleNotFoundError", "NameError", "UnboundLocalError")
APART = 3.0  # how many times the tolerance two mistakes have to be apart: neither may become the other by rounding


class LessonLike(Protocol):
    """What is asked of a lesson that was read."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path: ...


class ExerciseLike(Protocol):
    """What is asked of an exercise of a lesson."""

    @property
    def name(self) -> str: ...

    @property
    def points(self) -> float: ...

    @property
    def uses(self) -> Iterable[str]: ...

    @property
    def hints(self) -> Iterable[str]: ...

    @property
    def empty(self) -> bool: ...


def record(
    lesson: LessonLike,
    exercise: ExerciseLike,
    reference: Callable[..., Any],
    catalogue: "Catalogue",
    accepted: Iterable[tuple[str, Callable[..., Any]]] = (),
    seed: str | int = SEED,
    pairs: bool = True,
    draws: Mapping[str, int] | None = None,
) -> Record:
    """Return the `Record` of one exercise.

    lesson     the `Lesson` that was read
    exercise   one of its `Exercise`s
    reference  the component that is right
    catalogue  the lesson's mistakes
    accepted   [(name, component)]: other right answers
    draws      {probe: which draw of numbers it takes}, as an earlier record found them; None: numbers are drawn until
               nothing depends on rounding, for which every answer is observed in several ways
    Raises AuthorError if a mistake cannot be told from a right answer or from another mistake, or if what is observed
    depends on how a processor rounds.
    """
    asked = probes.probes_of(lesson.name, exercise.name)
    if not asked:
        raise AuthorError(f"{lesson.path}: exercise {exercise.name!r} has no probe", "write one in autograder/probes")
    right = right_answers(exercise.name, reference, catalogue, accepted)
    singles = wrong_answers(exercise.name, catalogue)
    doubles = {" + ".join(wrong.mistakes): wrong for wrong in (catalogue.pairs(exercise.name) if pairs else ())}
    answers = [
        *right,
        *(Answer(name, wrong.call) for name, wrong in singles.items()),
        *(Answer(name, wrong.call, firm=False) for name, wrong in doubles.items()),
    ]
    seen, draws, unsteady = _observed(lesson, exercise, asked, seed, answers, draws)
    first = seen[right[0].name]
    expected = values(first)
    found = Record(
        lesson.name,
        exercise.name,
        exercise.points,
        list(exercise.uses),
        list(exercise.hints),
        [[probe.name, probe.sentence] for probe in asked],
        draws,
        {probe: {name: plain(value) for name, value in seen.items()} for probe, seen in expected.items()},
        {probe: seen.given for probe, seen in first.items()},
        [],
        {},
        [],
        exercise.empty,
    )
    differs = {answer.name: differences(expected, values(seen[answer.name])) for answer in right}
    shown = {name: Behaviour.of(expected, seen[name]) for name in (*singles, *doubles)}
    steps = catalogue.components[exercise.name][0]
    _refuse_raising(f"{exercise.name!r} made of the right steps in mistakes/", steps, seen[right[1].name], first)
    for answer in right[2:]:
        _refuse_raising(f"{exercise.name}: {answer.name}", answer.call, seen[answer.name], first)
    for name, wrong in singles.items():
        about = next(iter(wrong.replaced.values()))
        _refuse_raising(f"{exercise.name}: mistake {name!r}", about, seen[name], first, FORGOTTEN)
    if differs[right[1].name]:
        raise AuthorError(
            f"{exercise.name!r} made of the right steps in mistakes/ differs from the reference",
            "correct the steps",
            steps,
        )
    for answer in right[2:]:
        if differs[answer.name] and not any(agree(differs[answer.name], known) for known in found.accepted):
            found.accepted.append(differs[answer.name])
    for name, wrong in singles.items() if seed == SEED else ():  # what is claimed may tell the sizes of these numbers
        if shown[name].differs:
            _refuse_untrue(found.exercise, name, wrong, catalogue, expected, values(seen[name]))
    _add_mistakes(found, catalogue, singles, shown)
    steady = {name: wrong for name, wrong in doubles.items() if name not in unsteady}

    def alike(name: str) -> list[tuple[str, ...]]:
        rivals = _rivals(found, steady[name], list(singles.values()), catalogue, seen[name])
        return [one.mistakes for one in rivals if _shows_the_same(found, one, expected, shown[name], seed)]

    _add_pairs(found, steady, shown, alike)
    return found


def _rivals(
    found: Record, wrong: "Wrong", singles: Sequence["Wrong"], catalogue: "Catalogue", seen: probes.Observed
) -> Iterator["Wrong"]:
    """Yield pairs that may show what a pair does in which one mistake covers what the other one shows alone.

    seen  what the pair showed
    What is covered is known by nothing of its own, so whatever else stands in the same steps may be meant instead.
    """
    expected, exercise = found.expected(), found.exercise
    firsts = {name: next(one for one in singles if one.mistakes[0] == name).replaced for name in wrong.mistakes}
    for covered, stays in itertools.permutations(wrong.mistakes):
        if not claims.untrue(found.mistakes[covered].get("shows", ()), expected, values(seen)):
            continue
        for one in singles:
            name, steps = one.mistakes[0], one.replaced.keys()
            if name not in wrong.mistakes and steps & firsts[covered].keys() and not steps & {exercise, *firsts[stays]}:
                yield catalogue.combined(exercise, (name, stays), firsts[stays] | one.replaced)


def _shows_the_same(found: Record, wrong: "Wrong", expected: claims.Values, shown: Behaviour, seed: str | int) -> bool:
    """Tell whether a pair shows what another one does in every probe; the first that is different decides."""
    answer = Answer(" + ".join(wrong.mistakes), wrong.call)
    for probe, _ in found.probes:
        observed = {probe: observe(found.lesson, found.exercise, probe, seed, found.draws.get(probe, 0), answer)}
        differs = differences(expected, values(observed))
        there = {probe: shown.differs[probe]} if probe in shown.differs else {}
        if not agree(differs, there, APART):
            return False
    return True


def notices_a_habit(found: Record, probe: str, right: Callable[..., Any], seed: str | int = SEED) -> bool:
    """Tell whether a probe sees something else where a right answer has one of the habits that all lessons share."""
    for habit in (*HABITS.values(), ALWAYS_DOUBLE):
        answer = Answer("a habit", with_habit(right, habit))
        seen = observe(found.lesson, found.exercise, probe, seed, found.draws.get(probe, 0), answer)
        if differences(found.expected(), values({probe: seen})):
            return True
    return False


def right_answers(
    exercise: str,
    reference: Callable[..., Any],
    catalogue: "Catalogue",
    accepted: Iterable[tuple[str, Callable[..., Any]]] = (),
) -> list[Answer]:
    """Return the right answers to an exercise: the reference, the right steps, and the accepted alternatives."""
    return [
        Answer("the reference", reference, right=True),
        Answer("the right steps in mistakes/", catalogue.right(exercise), right=True),
        *(Answer(f"the alternative {name}", component, right=True) for name, component in accepted),
    ]


def wrong_answers(exercise: str, catalogue: "Catalogue") -> dict[str, "Wrong"]:
    """Return {name: every way to make one mistake in an exercise}; a name tells the mistake and how it is written."""
    return {f"{wrong.mistakes[0]} ({_written(wrong)})": wrong for wrong in catalogue.singles(exercise)}


def _observed(
    lesson: LessonLike,
    exercise: ExerciseLike,
    asked: Iterable[probes.Probe],
    seed: str | int,
    answers: Sequence[Answer],
    known: Mapping[str, int] | None,
) -> tuple[dict[str, probes.Observed], dict[str, int], set[str]]:
    """Return ({answer: {probe: Observations}}, {probe: draw, where that is not the first}, names of unsteady pairs).

    known  {probe: draw} that is taken as it is; None if it is to be found
    """
    seen: dict[str, probes.Observed] = {answer.name: {} for answer in answers}
    draws: dict[str, int] = {}
    unsteady: set[str] = set()
    jumps: dict[str, Jump]
    for probe in asked:
        if known is None:
            number, observed, jumps = draw(lesson.name, exercise.name, probe.name, seed, answers)
        else:
            number, jumps = known.get(probe.name, 0), {}
            observed = {
                answer.name: observe(lesson.name, exercise.name, probe.name, seed, number, answer) for answer in answers
            }
        if firm := [jumps[answer.name] for answer in answers if answer.firm and answer.name in jumps]:
            raise AuthorError(f"exercise {exercise.name!r}, {firm[0].fact}", firm[0].remedy, probe.observe)
        unsteady |= jumps.keys()
        draws |= {probe.name: number} if number else {}
        for name, observations in observed.items():
            seen[name][probe.name] = observations
    return seen, draws, unsteady


def _refuse_raising(
    answer: str,
    about: object,
    seen: probes.Observed,
    reference: probes.Observed,
    types: Iterable[str] | None = None,
) -> None:
    """Raise AuthorError if an answer raises where the reference does not; `types` are those that count, None: all."""
    for probe, observed in seen.items():
        fault = observed.fault
        if fault and not reference[probe].fault and (types is None or fault.type in types):
            line = "".join(f", in line {line}: `{text}`" for _, line, text in fault.lines[-1:])
            raise AuthorError(f"{answer} raises {fault.type}: {fault.message}{line}", "correct it", about)


def _refuse_untrue(
    exercise: str, written: str, wrong: "Wrong", catalogue: "Catalogue", expected: claims.Values, seen: claims.Values
) -> None:
    """Raise AuthorError if the symptom of a mistake is not true of one way to make it."""
    mistake = catalogue.mistakes[wrong.mistakes[0]]
    if false := claims.untrue(mistake.shows, expected, seen):
        claim = ", ".join(map(repr, false[0]))
        raise AuthorError(
            f"{exercise}: mistake {written!r} does not show ({claim}), so its symptom is not true of it: "
            f"{mistake.symptom!r}",
            "word the symptom so that it is true of every way, correct the claim, or declare another mistake",
            next(iter(wrong.replaced.values())),
        )


def _add_mistakes(
    found: Record,
    catalogue: "Catalogue",
    singles: Mapping[str, "Wrong"],
    shown: Mapping[str, Behaviour],
) -> None:
    for written, wrong in singles.items():
        seen, name = shown[written], wrong.mistakes[0]
        if not seen.differs:
            raise AuthorError(
                f"{found.exercise}: mistake {written!r} shows nothing under the probes",
                "add a probe that tells it from a right answer, or exclude the exercise with only=",
                next(iter(wrong.replaced.values())),
            )
        for known in found.behaviours:
            if known["mistakes"] != [name] and seen.looks_like(known, APART):
                other = known["mistakes"][0]
                raise AuthorError(
                    f"{found.exercise}: mistakes {written!r} and {other!r} look the same to all probes",
                    "add a probe that tells them apart, or merge them into one mistake",
                    next(iter(wrong.replaced.values())),
                )
        about = catalogue.mistakes[name]
        found.mistakes[name] = {key: getattr(about, key) for key in ("symptom", "cause", "place", "credit")}
        if claimed := [list(claim) for claim in about.shows if claim[0] in found.reference]:
            found.mistakes[name]["shows"] = claimed
        if not any(map(seen.looks_like, found.behaviours)):
            found.behaviours.append(seen.named([name]))


def _add_pairs(
    found: Record,
    doubles: Mapping[str, "Wrong"],
    shown: Mapping[str, Behaviour],
    same: Callable[[str], list[tuple[str, ...]]],
) -> None:
    """Add pairs of mistakes whose names do not follow from what each shows alone.

    same  function of a pair's name: the names of other pairs, of any way to make their mistakes, that look the same

    A pair of which one hides the other is named as the one that shows. Pairs that look the same get no name, unless it
    is one that all of them have.
    """
    singles = list(found.behaviours)
    groups: list[tuple[Behaviour, list[tuple[str, ...]]]] = []
    for name, wrong in doubles.items():
        seen = shown[name]
        if not seen.differs or any(seen.looks_like(known, APART) for known in singles):
            continue
        alike = next((pairs for other, pairs in groups if seen.looks_like(other.named(()), APART)), None)
        if alike is None:
            groups.append((seen, [wrong.mistakes, *same(name)]))
        else:
            alike.append(wrong.mistakes)
    left = groups
    for known in (
        singles,
        found.behaviours,
    ):  # beside pairs that are recorded others may be taken for what they are not
        rest = []
        for seen, pairs in left:
            meant = explain(seen.differs, may_be(known, seen.observed), seen.unusable, seen.raised)
            made = pairs[0] if len(pairs) == 1 else ()
            in_all = set(pairs[0]).intersection(*pairs)
            if made and set(meant.mistakes) != set(made) and not _is_known(seen, made, known):
                made = ()
            if set(meant.mistakes) != set(made) if made else not set(meant.mistakes) <= in_all:
                found.behaviours.append(seen.named(made))
            else:
                rest.append((seen, pairs))
        left = rest


def _is_known(seen: Behaviour, made: Sequence[str], known: Sequence[dict[str, Any]]) -> bool:
    """Tell whether a pair is named once it is recorded: it is not where an exception hides one of the two."""
    meant = explain(seen.differs, may_be([*known, seen.named(made)], seen.observed), seen.unusable, seen.raised)
    return set(meant.mistakes) == set(made)


def _written(wrong: "Wrong") -> str:
    return ", ".join(f"{step}: {function.__qualname__}" for step, function in wrong.replaced.items())


def write(found: Record, folder: Path | str = FOLDER) -> bool:
    """Write a record as JSON text, one behaviour a line, so that a change shows as a short diff.

    A file that says the same up to the last digits stays as it is. Returns whether it was written.
    """
    path = Path(folder) / found.lesson / f"{found.exercise}.json"
    about = asdict(found)
    if not about["empty"]:
        del about["empty"]
    behaviours = about.pop("behaviours")
    dump = json.dumps
    lines = [f"  {dump(key)}: {dump(value, ensure_ascii=False)}," for key, value in about.items()]
    rows = ",\n".join(f"    {dump(behaviour, separators=(',', ':'))}" for behaviour in behaviours)
    text = "{\n" + "\n".join(lines) + '\n  "behaviours": [\n' + rows + "\n  ]\n}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and close_enough(json.loads(path.read_text(encoding="utf-8")), json.loads(text)):
        return False
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return True


def close_enough(one: object, other: object) -> bool:
    """Return True if two records say the same, up to the last digits of their numbers.

    Another processor may add in another order; what a record means does not change by that.
    """
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(close_enough(one[key], other[key]) for key in one)
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(close_enough, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-4)
    return one == other
