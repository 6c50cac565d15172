"""An answer is observed under all probes of its exercise, and what is seen is settled into one diagnosis.

The local check, the judge, pytest and `assemble` all take this path.
"""

from collections.abc import Callable, Collection, Mapping

from .. import probes
from ..calling import limit
from ..calling.limit import TimeUp
from ..calling.local import Source
from ..calling.watched import Watched
from .diagnosis import Diagnosis, Stopped
from .records import Record

SECONDS = 10.0  # a right answer takes a hundredth of one


def settle(
    record: Record, probe: Callable[[tuple[str, ...]], tuple[Diagnosis, probes.Observed]], watched: Watched
) -> tuple[Diagnosis, probes.Observed, str]:
    """Return (diagnosis, observed, note) of an answer, judged with right helpers where its own are not right.

    probe    function of the names of components that are replaced by right ones: (diagnosis, observed)
    watched  the `Watched` submission that it asks
    """
    diagnosis, observed = probe(())
    note = ""
    if record.uses and not diagnosis.passed:
        alone, seen = probe(tuple(record.uses))
        if alone.passed:
            watched.keep_only(record.uses)  # what a wrong helper did does not count against this answer
            note = (
                f"Judged with right versions of {' and '.join(record.uses)}, which it calls; "
                "yours are not right yet, but cost no points here."
            )
        if alone.passed or not unsolved(seen) and (alone.mistakes or not diagnosis.mistakes):
            diagnosis, observed = alone, seen
    return diagnosis, observed, note


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
