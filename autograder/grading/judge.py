"""The official verdict: probes with fresh numbers, against the live reference, on a component in another process.

A local check compares with recorded answers, whose numbers everyone can read. Here numbers are drawn anew and the
reference answers them at the same time, so that an answer earns its points by being right and by nothing else. The
name of a mistake still comes from the record: it earns nothing by itself, and where a mistake keeps a part of the
points, it must also be that mistake under the fresh numbers.
"""

import collections
import contextlib
import functools
import logging
import warnings
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import mistakes, probes
from ..calling.local import Here, Reply, Request
from ..calling.remote import EndedError, MissingError, Remote
from ..calling.watched import Watched, own
from ..calling.wire import MalformedError
from ..checking.check import result, unwritten
from ..checking.result import Result
from ..diagnosing import records, steady
from ..diagnosing.comparison import Aspects, Behaviour, agree, differences, may_be, values
from ..diagnosing.diagnosis import Diagnosis, Stopped, diagnose
from ..diagnosing.examine import SECONDS, drafted, not_run, observe, settle, strange
from ..diagnosing.explanation import explain
from ..diagnosing.habits import with_habits
from ..diagnosing.records import Record
from ..notebooks.definitions import load

log = logging.getLogger(__name__)
KEPT = 200  # visits that are kept: the fresh and the recorded one of about sixty exercises


class Reference:
    """What the instructor's side of a course knows of its lessons.

    solutions  folder of the lesson texts, with `mistakes` and `alternatives` in it
    """

    def __init__(self, solutions: Path | str) -> None:
        self.folder = Path(solutions)
        self._module = functools.cache(lambda lesson: load(self.folder / f"{lesson}.py"))
        self._catalogue = functools.cache(lambda lesson: mistakes.read(self.folder / "mistakes" / f"{lesson}.py"))
        self._visits: collections.OrderedDict[Hashable, Visit] = collections.OrderedDict()

    def component(self, record: Record) -> Any:
        """Return the right component of an exercise. Raises FileNotFoundError where its lesson's text is missing."""
        return getattr(self._module(record.lesson), record.exercise)

    def accepted(self, record: Record) -> list[Callable[..., Any]]:
        """Return other right components, which may differ from the reference under some probe."""
        path = self.folder / "alternatives" / f"{record.lesson}.py"
        return [component for _, component in mistakes.read_alternatives(path).of(record.exercise)]

    def mistaken(self, record: Record, names: Collection[str]) -> list[tuple[tuple[str, ...], Callable[..., Any]]]:
        """Return (mistakes, component) of every component that makes one or two of these mistakes, and no other one."""
        catalogue = self._catalogue(record.lesson)
        wrong = [*catalogue.singles(record.exercise), *(catalogue.pairs(record.exercise) if len(names) > 1 else ())]
        return [(one.mistakes, one.call) for one in wrong if set(one.mistakes) <= set(names)]

    def fresh(self, record: Record, seed: str | int) -> "Visit":
        """Return the `Visit` with these numbers, compared with what the reference shows for them.

        The reference is asked once, however many answers are judged with the same numbers. Numbers with a near tie are
        drawn again: which side it falls on depends on the processor, and costs nobody points.
        """
        return self._kept((record.exercise, seed), lambda: _fresh(record, self.component(record), seed))

    def recorded(self, record: Record) -> "Visit":
        """Return the `Visit` with the recorded numbers, which names mistakes."""
        return self._kept(
            (record.exercise, records.SEED, "recorded"), lambda: _recorded(record, self.component(record))
        )

    def _kept(self, key: Hashable, make: Callable[[], "Visit"]) -> "Visit":
        if key not in self._visits:
            self._visits[key] = make()
            if len(self._visits) > KEPT:
                self._visits.popitem(last=False)
        return self._visits[key]


@dataclass(frozen=True)
class Visit:
    """What a component is asked in one go, and what is expected of it.

    record    the `Record` with which it is compared
    seed      of the numbers
    requests  the calls that the probes made on the reference
    """

    record: Record
    seed: str | int
    requests: tuple[Request, ...]

    def pay(self, submission: Watched, seconds: float, parts: tuple[str, ...]) -> tuple[probes.Observed, Stopped]:
        """Run the probes on a submission, and return what `observe` returns.

        parts  components that are replaced by right ones
        """
        submission.expect(replace(request, parts=parts) for request in self.requests)
        return observe(self.record, submission, seconds, self.seed, parts)


def judge(
    record: Record,
    submission: Remote,
    reference: Reference,
    seed: str | int,
    seconds: float = SECONDS,
    doubt: str = "",
) -> Result:
    """Return the `Result` of an exercise.

    record      the `Record` of the exercise
    submission  a `Remote`
    reference   the `Reference`
    seed        which fresh numbers
    seconds     how long all calls together may compute
    doubt       why what the submission's process tells of itself may be forged; "" if it is believed
    """
    watched = Watched(submission, probes.forbidden(record.lesson, record.exercise), record.uses)
    found = _judge(record, watched, reference, seed, seconds)
    return own(record, replace(found, printed=submission.printed[:2000]), watched, doubt)


def _judge(record: Record, submission: Watched, reference: Reference, seed: str | int, seconds: float) -> Result:
    fresh = reference.fresh(record, seed)
    seen: list[probes.Observed] = []

    def probe(parts: tuple[str, ...]) -> tuple[Diagnosis, probes.Observed]:
        diagnosis, observed = _probe(record, fresh, submission, reference, seconds, parts)
        if not _ended_early(diagnosis):
            seen.append(observed)
        return diagnosis, observed

    try:
        diagnosis, observed, _, note = settle(record, probe, submission)
    except (EndedError, MissingError, MalformedError) as reason:
        if record.empty and isinstance(reason, MissingError):
            return unwritten(record)
        return result(record, Diagnosis(False, says=[_why(record, reason)], rows=not_run(record)), {})
    except Exception as error:
        # A probe failed on what came back, although it has just run on the reference.
        log.warning("%s: a probe failed on an answer", record.exercise, exc_info=True)
        return result(record, strange(record, error), {})
    differs: Mapping[str, Aspects] | None = None
    if not diagnosis.passed and not _ended_early(diagnosis):
        diagnosis, note, differs = _named(record, fresh, seen, diagnosis, note, submission, reference, seconds)
    if not diagnosis.conclusive:
        note = "Nothing is known about this answer: it has to be graded again, when the computer is less busy."
    return replace(result(record, diagnosis, observed, note=note), differs=differs)


def _fresh(record: Record, component: Callable[..., Any], seed: str | int) -> Visit:
    answers = [steady.Answer("the reference", component, right=True)]
    draws: dict[str, int] = {}
    right: dict[str, probes.Observations] = {}
    asked: dict[str, list[Request]] = {}
    with _quiet():
        for probe in probes.probes_of(record.lesson, record.exercise):
            ways = steady.CHEAP if probe.chooses else {}
            asked[probe.name] = []
            draws[probe.name], seen, _ = steady.draw(
                record.lesson, record.exercise, probe.name, seed, answers, ways, source=_noting(asked[probe.name])
            )
            right[probe.name] = seen[answers[0].name]
    fresh = replace(
        record,
        draws=draws,
        accepted=[],
        mistakes={},  # a name comes from the record, habits included
        behaviours=[],
        reference={
            probe: {name: records.plain(value) for name, value in seen.values.items()} for probe, seen in right.items()
        },
        given={probe: seen.given for probe, seen in right.items()},
    )
    return Visit(fresh, seed, tuple(request for name, _ in record.probes for request in asked[name]))


def _recorded(record: Record, component: Callable[..., Any]) -> Visit:
    asked: list[Request] = []
    with _quiet():
        observe(record, _noting(asked)({record.exercise: component}), SECONDS, records.SEED)
    return Visit(record, records.SEED, tuple(asked))


def _noting(asked: list[Request]) -> type[Here]:
    """Return a source of components that keeps the calls made of the last one that was made of it."""

    class Noting(Here):
        def __init__(self, components: Mapping[str, Callable[..., Any]]) -> None:
            super().__init__(components)
            asked.clear()

        def call(self, request: Request) -> Reply:
            asked.append(request)
            return super().call(request)

    return Noting


def _observed(record: Record, component: Callable[..., Any], seed: str | int) -> probes.Observed:
    with _quiet():
        return probes.observe(
            record.lesson, record.exercise, Here({record.exercise: component}), seed, draws=record.draws
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's warnings are of no interest to whoever grades
        yield


def _probe(
    record: Record,
    fresh: Visit,
    submission: Watched,
    reference: Reference,
    seconds: float,
    parts: tuple[str, ...],
) -> tuple[Diagnosis, probes.Observed]:
    try:
        observed, stopped = fresh.pay(submission, seconds, parts)
    except (EndedError, MalformedError) as reason:
        if not record.uses or parts:
            raise
        # Another exercise's component, which this one calls, may be what ended the process.
        return Diagnosis(False, says=[str(reason)], rows=not_run(record)), {}
    diagnosis = diagnose(fresh.record, observed, stopped)
    if not diagnosis.passed and not stopped and record.accepted:
        expected = fresh.record.expected()
        differs = differences(expected, values(observed))
        for component in reference.accepted(record):
            other = differences(expected, values(_observed(fresh.record, component, fresh.seed)))
            if agree(differs, other):
                return diagnose(replace(fresh.record, accepted=[other]), observed), observed
    return diagnosis, observed


def _ended_early(diagnosis: Diagnosis) -> bool:
    return any(state == "not run" for _, state in diagnosis.rows)


def _named(
    record: Record,
    fresh: Visit,
    seen: Collection[probes.Observed],
    diagnosis: Diagnosis,
    note: str,
    submission: Watched,
    reference: Reference,
    seconds: float,
) -> tuple[Diagnosis, str, Mapping[str, Aspects] | None]:
    """Return the diagnosis with the name of the mistake, if it is a known one, and the note on how it was judged.

    Of one that is not known also what it shows for the recorded numbers, by which answers that do the same are found.

    seen  what the answer showed for fresh numbers, alone and with right helpers
    """

    def recorded(parts: tuple[str, ...]) -> tuple[Diagnosis, probes.Observed]:
        observed, stopped = reference.recorded(record).pay(submission, seconds, parts)
        return diagnose(record, observed, stopped), observed

    try:
        known, observed, _, known_note = settle(record, recorded, submission)
        known = drafted(record, known, observed, recorded, submission)
    except Exception:  # as in `judge`; the name of a mistake earns nothing by itself
        return diagnosis, note, None
    if known.passed:
        told = replace(
            diagnosis,
            says=[
                *diagnosis.says,
                "It is right for the numbers that the check in the notebook uses, and wrong for others.",
            ],
        )
        return told, note, None
    if known.draft:
        return replace(diagnosis, says=known.says, draft=True), note, None
    if not known.mistakes:
        return diagnosis, note, differences(record.expected(), values(observed))
    if known.credit and not _is_mistake(fresh, known.mistakes, seen, reference):
        known = replace(known, credit=0.0)
    return replace(known, rows=diagnosis.rows), known_note, None


def _is_mistake(fresh: Visit, names: Collection[str], seen: Collection[probes.Observed], reference: Reference) -> bool:
    """Tell whether what an answer showed for fresh numbers is what these mistakes show, alone or together."""
    expected = fresh.record.expected()
    behaviours = [
        Behaviour.of(expected, _observed(fresh.record, component, fresh.seed)).named(made)
        for made, component in reference.mistaken(fresh.record, names)
    ]
    for observed in seen:
        shown = Behaviour.of(expected, observed)
        meant = explain(shown.differs, may_be(behaviours, observed), shown.unusable, shown.raised)
        found = with_habits(meant, expected, values(observed), shown.unusable)
        if not found.rest and set(found.mistakes) == set(names):
            return True
    return False


def _why(record: Record, reason: Exception) -> str:
    if isinstance(reason, MissingError):
        return (
            f"{record.exercise} is not defined: its cell did not finish, or defines another name. "
            "Look at the error below the cell."
        )
    if isinstance(reason, MalformedError):
        return f"The process that ran your code sent an invalid reply to a check: {reason}."
    return str(reason)
