"""An answer is observed under all probes of its exercise, and what is seen is settled into one diagnosis.

The local check, the judge, pytest and `assemble` all take this path.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .. import probes
from ..calling import limit
from ..calling.limit import TimeUp
from ..calling.local import Source
from ..calling.watched import Watched
from . import drafts
from .comparison import NUMBERS
from .diagnosis import Diagnosis, Stopped, symptoms
from .habits import HABITS
from .records import Record

SECONDS = 10.0  # a right answer takes a hundredth of one


class Settled(NamedTuple):
    """What an answer comes to, and what it showed.

    parts  the helpers that were replaced by right ones when it was observed
    note   on how it was judged
    """

    diagnosis: Diagnosis
    observed: probes.Observed
    parts: tuple[str, ...]
    note: str


def settle(
    record: Record, probe: Callable[[tuple[str, ...]], tuple[Diagnosis, probes.Observed]], watched: Watched
) -> Settled:
    """Return what an answer comes to, judged with right helpers where its own are not right.

    probe    function of the names of components that are replaced by right ones: (diagnosis, observed)
    watched  the `Watched` submission that it asks
    """
    diagnosis, observed = probe(())
    parts: tuple[str, ...] = ()
    note = ""
    # Who calls no helper shows with right ones what they showed already; who was only interrupted is asked again.
    if record.uses and not diagnosis.passed and (watched.calls_helpers or not diagnosis.conclusive):
        alone, seen = probe(tuple(record.uses))
        if alone.passed:
            note = _note(record, probe, observed)
            watched.keep_only(record.uses)  # what a wrong helper did does not count against this answer
        if alone.passed or not unsolved(seen) and (alone.mistakes or not diagnosis.mistakes):
            diagnosis, observed, parts = alone, seen, tuple(record.uses)
    return Settled(diagnosis, observed, parts, note)


def drafted(
    record: Record,
    diagnosis: Diagnosis,
    observed: probes.Observed,
    probe: Callable[[tuple[str, ...]], tuple[Diagnosis, probes.Observed]],
    watched: Watched,
) -> Diagnosis:
    """Return the diagnosis; of a first draft, in which no mistake was recognised, the one that says only what it lacks.

    The parameters are those, and the results, of `settle`. A habit that explains a part of what differs follows from
    the draft: what returns nothing passes no gradient.
    """
    known = diagnosis.explained or not all(_is_habit(record, name) for name in diagnosis.mistakes)
    if diagnosis.passed or diagnosis.mistakes and known or any(state == "not run" for _, state in diagnosis.rows):
        return diagnosis
    helped = tuple(record.uses)
    parts = helped if any(request.parts == helped for request, _ in watched.calls) else ()

    def again(change: Callable[[Any], Any]) -> tuple[Diagnosis, probes.Observed]:
        with watched.answering(change):
            try:
                return probe(parts)
            except Exception:  # a probe that cannot be run on this
                return Diagnosis(False), {}

    calls = [(request, reply) for request, reply in watched.calls if request.parts == parts]
    sentence = drafts.told(record, observed, calls, again)
    if not sentence:
        return diagnosis
    beside = symptoms(record, drafts.elsewhere(sentence, observed), record.expected())
    more = [f"Something else differs as well. {' '.join(beside)}"] if beside else []
    return replace(diagnosis, mistakes=(), credit=0.0, says=[sentence, *more], draft=True)


def _is_habit(record: Record, mistake: str) -> bool:
    """Tell whether a mistake is known by other things than the numbers: by gradients, dtype, device."""
    places = [known["differs"].values() for known in record.behaviours if known["mistakes"] == [mistake]]
    return not any(NUMBERS in aspects for differs in places for aspects in differs) or mistake in {
        name for name, _ in HABITS.values()
    }


def _note(
    record: Record, probe: Callable[[tuple[str, ...]], tuple[Diagnosis, probes.Observed]], observed: probes.Observed
) -> str:
    """Say which helpers of an answer, which is right with right ones, are not right, or are not there at all.

    observed  what the answer showed with all of its own helpers; {} if that was not to be seen
    """
    together = (
        f"Judged with {_right_versions(record.uses)}, which it calls; with yours it did not pass, which costs no "
        "points here."
    )
    if not observed:
        return together
    seen = {record.uses[0]: observed} if len(record.uses) == 1 else {}
    for name in record.uses if len(record.uses) > 1 else ():
        try:
            diagnosis, alone = probe(tuple(other for other in record.uses if other != name))
        except Exception:  # it ends the process, or answers with what is no reply
            alone = {}
        else:
            if diagnosis.passed or not diagnosis.conclusive:
                continue
        seen[name] = alone
    missing = [name for name, shown in seen.items() if _is_undefined(name, shown)]
    wrong = [name for name in seen if name not in missing]
    parts = [] if seen else [together]
    if wrong:
        yours = "yours are not right yet, but cost" if len(wrong) > 1 else "yours is not right yet, but costs"
        parts.append(f"Judged with {_right_versions(wrong)}, which it calls; {yours} no points here.")
    if missing:
        parts.append(f"Judged with {_right_versions(missing)}, which it calls and which nothing has defined here.")
    return " ".join(parts)


def _right_versions(names: Sequence[str]) -> str:
    return f"right versions of {' and '.join(names)}" if len(names) > 1 else f"a right version of {names[0]}"


def _is_undefined(name: str, observed: Mapping[str, probes.Observations]) -> bool:
    """Tell whether an answer failed because nothing has this name."""
    return any(
        seen.fault is not None and seen.fault.type == "NameError" and f"'{name}'" in seen.fault.message
        for seen in observed.values()
    )


def observe(
    record: Record, submission: Source, seconds: float, seed: str | int, parts: Collection[str] = ()
) -> tuple[probes.Observed, Stopped]:
    """Run the probes of an exercise within the time allowed; return (observed, why not all were run)."""
    observed: probes.Observed = {}
    stopped = Stopped("")
    run = [name for name, _ in record.probes]
    try:
        with submission.limit(seconds):
            for name in run:
                observed |= probes.observe(
                    record.lesson, record.exercise, submission, seed, parts, only={name}, draws=record.draws
                )
                if unsolved(observed):
                    break
    except TimeUp as reason:
        sentence = dict(record.probes)[run[len(observed)]]
        stopped = Stopped(f"{_why(seconds, reason)} The probe was: {sentence}.", conclusive=reason.burned)
    if unsolved(observed):
        stopped = Stopped(f"{record.exercise} is not solved yet.")
    return observed, stopped


def _why(seconds: float, reason: TimeUp) -> str:
    if reason.burned:
        return (
            f"Your code computed for {seconds:g} seconds, did not return, and was stopped. Look for a loop that never "
            "ends."
        )
    return (
        f"The check was stopped after {limit.PATIENCE * seconds:g} seconds by the clock, before your code had computed "
        f"for {seconds:g}: the computer was busy with something else, or your code waits for something (input, a "
        "sleep, a lock)."
    )


def strange(record: Record, error: Exception) -> Diagnosis:
    """Return the `Diagnosis` of an answer on which a probe failed that runs on the reference."""
    says = f"Your code returned something that cannot be compared with numbers ({type(error).__name__})."
    return Diagnosis(False, says=[says], rows=not_run(record))


def not_run(record: Record) -> list[tuple[str, str]]:
    """Return the rows of probes that did not run."""
    return [(sentence, "not run") for _, sentence in record.probes]


def unsolved(observed: Mapping[str, probes.Observations]) -> bool:
    return any(seen.fault is not None and seen.fault.unsolved for seen in observed.values())
