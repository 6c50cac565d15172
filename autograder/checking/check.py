"""The front door for learners: `check`, `hint` and `progress`."""

import contextlib
import io
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .. import probes
from ..calling.watched import Own, Watched, closed_boxes, own
from ..diagnosing import records
from ..diagnosing.diagnosis import Diagnosis, diagnose
from ..diagnosing.examine import SECONDS, observe, settle, strange, unsolved
from ..diagnosing.example import smallest_example
from ..notebooks.needed import doubt
from ..notebooks.session import cells_run
from ..processes import one_thread
from . import progress_file, progress_map
from .result import Hint, Result


def check(component: Any, exercise: str | None = None, *, seconds: float = SECONDS) -> Result:
    """Check a component and return a `Result`, which shows itself.

    component  the function or class that answers an exercise
    exercise   name of the exercise, if it is neither the component's own name nor the one that the notebook gives it
    seconds    how long all calls together may compute before they are stopped
    Raises LookupError if there is no such exercise, TypeError if the component cannot be called.
    """
    name = exercise or _name_of(component, sys._getframe(1).f_globals)
    if not callable(component):
        raise TypeError(
            f"check needs the component itself, such as check({name or 'attention_scores'}); "
            f"it got a {type(component).__name__}"
        )
    record = _record(name)
    found = examine(record, {record.exercise: component}, seconds, cells=cells_run())
    progress_file.remember(record, found)
    return found


def examine(
    record: records.Record,
    components: Mapping[str, Any],
    seconds: float = SECONDS,
    seed: str | int = records.SEED,
    cells: Sequence[str] = (),
) -> Result:
    """Probe the component that a record is about, within the time allowed, and return the `Result`.

    cells  sources of the notebook that it comes from, from which official grading decides whether a person looks

    If it is wrong and calls other components of its lesson, it is probed once more with right ones in their
    places: another exercise's mistake costs nothing here.
    """
    printed, threads = io.StringIO(), torch.get_num_threads()
    one_thread()
    try:
        return _examine(record, components, seconds, seed, printed, cells)
    finally:
        torch.set_num_threads(threads)


def _examine(
    record: records.Record,
    components: Mapping[str, Any],
    seconds: float,
    seed: str | int,
    printed: io.StringIO,
    cells: Sequence[str],
) -> Result:
    watched = Watched(Own(components, closed_boxes(record.uses)), probes.forbidden(record.lesson, record.exercise))

    def probe(parts: tuple[str, ...]) -> tuple[Diagnosis, probes.Observed]:
        observed, stopped = observe(record, watched, seconds, seed, parts)
        return diagnose(record, observed, stopped), observed

    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("default")
        try:
            diagnosis, observed, note = settle(record, probe, watched)
        except Exception as error:
            diagnosis, observed, note = strange(record, error), {}, ""
        example = smallest_example(record, diagnosis, observed, watched.submission)
    if not diagnosis.conclusive:
        note = "This does not count as a try: run the check again."
    said = dict.fromkeys(f"{warning.category.__name__}: {warning.message}\n" for warning in warned)
    found = result(record, diagnosis, observed, "".join(said) + printed.getvalue(), note)
    found.example = example
    return own(record, found, watched, doubt(cells, record.exercise) if found.earned and cells else "")


def result(
    record: records.Record, diagnosis: Diagnosis, observed: probes.Observed, printed: str = "", note: str = ""
) -> Result:
    """Return the `Result` that a diagnosis amounts to."""
    fault = next((seen.fault for seen in observed.values() if seen.fault), None)
    return Result(
        exercise=record.exercise,
        points=record.points,
        earned=round(record.points * diagnosis.credit, 2),
        passed=diagnosis.passed,
        mistakes=diagnosis.mistakes,
        says=diagnosis.says,
        rows=diagnosis.rows,
        unsolved=unsolved(observed),
        fault=fault,
        note=note,
        printed=printed[:2000],
        conclusive=diagnosis.conclusive,
    )


def _name_of(component: Any, names: Mapping[str, Any]) -> str | None:
    """Return the exercise that a component answers: its own name, or the one that the notebook calls it by."""
    own: str | None = getattr(component, "__name__", None)
    known = records.exercises()
    if own in known:
        return own
    return next((name for name in known if name in names and names[name] is component), own)


def _record(name: Any) -> records.Record:
    try:
        return records.read(name)
    except LookupError:
        raise LookupError(_no_such_exercise(name)) from None


def _no_such_exercise(name: object) -> str:
    import difflib

    known = list(records.exercises())
    near = difflib.get_close_matches(str(name), known, 1)
    meant = f"did you mean {near[0]!r}?" if near else f"the exercises are {', '.join(known)}"
    return f'there is no exercise {name!r}; {meant} Or name it: check(component, exercise="name")'


def hint(exercise: Any) -> Hint:
    """Open the next hint of an exercise, and show those opened before it.

    Raises LookupError if there is no such exercise.
    """
    name = exercise if isinstance(exercise, str) else getattr(exercise, "__name__", exercise)
    record = _record(name)
    opened = min(progress_file.hints_opened(name) + 1, len(record.hints))
    progress_file.open_hints(name, opened)
    return Hint(name, record.hints[:opened], len(record.hints))


def progress() -> progress_map.Progress:
    """Show the map of the transformer and every exercise: solved, tried or not yet tried, with the points earned."""
    return progress_map.read()
