"""The front door for learners: `check`, `hint` and `progress`."""

import contextlib
import functools
import io
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from .. import probes
from ..calling import facts
from ..calling.watched import Own, Watched, closed_boxes, own
from ..diagnosing import records, ways
from ..diagnosing.diagnosis import Diagnosis, diagnose
from ..diagnosing.examine import SECONDS, drafted, observe, settle, strange, unsolved
from ..diagnosing.example import smallest_example
from ..notebooks.needed import doubt
from ..notebooks.session import cells_run, earlier_definition
from ..processes import one_thread
from . import progress_file, progress_map
from .result import Hint, Look, Result
from .where import look

MOST_WRAPPED = 20  # wrappers around a component


def check(component: Any, exercise: str | None = None, *, seconds: float = SECONDS) -> Result:
    """Check a component and return a `Result`, which shows itself.

    component  the function or class that answers an exercise; where learners write all of it, its name as a string
               will do, which can be asked for before there is anything of that name
    exercise   name of the exercise, if it is neither the component's own name nor the one that the notebook gives it
    seconds    how long all calls together may compute before they are stopped
    Raises LookupError if there is no such exercise, TypeError if the component cannot be called.
    """
    names = _seen_by_the_caller()
    if isinstance(component, str) and exercise is None and _is_empty(component):
        if component not in names:
            return unwritten(_record(component))
        exercise, component = component, names[component]
    name = exercise or _name_of(component, names)
    if not callable(component):
        raise TypeError(
            f"check needs the component itself, such as check({name or 'attention_scores'}); "
            f"it got a {type(component).__name__}"
        )
    record = _record(name)
    found = examine(record, {record.exercise: component}, seconds, cells=cells_run())
    found.note = " ".join(filter(None, (found.note, earlier_definition(record.exercise, facts.written(component)))))
    progress_file.remember(record, found)
    if not found.passed and not found.unsolved and found.conclusive:
        own = getattr(component, "__name__", "...")
        call = f"check({record.exercise})" if exercise is None else f'check({own}, exercise="{exercise}")'
        found.look = Look(f"{call}.where()", functools.partial(look, record, component))
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
    submission = Own(components, closed_boxes(record.uses))
    watched = Watched(submission, probes.forbidden(record.lesson, record.exercise), record.uses)

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
            diagnosis, observed, parts, note = settle(record, probe, watched)
            diagnosis = drafted(record, diagnosis, observed, probe, watched)
        except Exception as error:
            diagnosis, observed, parts, note = strange(record, error), {}, (), ""
        # A first draft is told one sentence and nothing else; of other numbers nothing is recorded that could be shown.
        shows = diagnosis.conclusive and not (diagnosis.passed or diagnosis.draft or unsolved(observed))
        if shows := shows and seed == records.SEED:
            with _unheard():
                example = smallest_example(record, diagnosis, observed, watched.submission)
                way = ways.of_answer(record, submission, components[record.exercise], diagnosis.failing(record), parts)
    if not diagnosis.conclusive:
        note = "This does not count as a try: run the check again."
    said = dict.fromkeys(f"{warning.category.__name__}: {warning.message}\n" for warning in warned)
    found = result(record, diagnosis, observed, "".join(said) + printed.getvalue(), note)
    if shows:
        found.example, found.way = example, way
    return own(record, found, watched, doubt(cells, record.exercise) if found.earned and cells else "")


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Drop what an answer prints and warns of in calls that no probe makes."""
    unheard = io.StringIO()
    with contextlib.redirect_stdout(unheard), contextlib.redirect_stderr(unheard), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def unwritten(record: records.Record) -> Result:
    """Return the `Result` of an exercise that learners write in an empty cell, and have not written."""
    note = (
        f"Nothing is called {record.exercise} yet. Write it in the empty cell, run that cell, and then run this check "
        "once more."
    )
    return Result(record.exercise, record.points, 0.0, passed=False, unsolved=True, note=note)


def result(
    record: records.Record, diagnosis: Diagnosis, observed: probes.Observed, printed: str = "", note: str = ""
) -> Result:
    """Return the `Result` that a diagnosis amounts to."""
    fault = next((seen.fault for seen in observed.values() if seen.fault), None)
    if diagnosis.conclusive and not diagnosis.draft:
        note = " ".join(filter(None, [note, *(remark for seen in observed.values() for remark in seen.remarks)]))
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
    """Return the exercise that a component answers: its own name, or the one that the notebook calls it by.

    names  that the caller of `check` sees

    What wraps another component (`functools.partial`, a decorator, `torch.compile`) and has no such name answers the
    exercise of what it wraps, and an object that of its class.
    """
    known = records.exercises()
    found = component
    for _ in range(MOST_WRAPPED):
        own = _own_name(found)
        given = [name for name in known if name in names and names[name] is found]
        if own in known and (own in given or not given):
            return own
        if given:
            return given[0]
        inner = facts.inside(found)
        if inner is None:
            break
        found = inner
    kind = type(component).__name__
    return kind if kind in known else _own_name(component)


def _own_name(component: Any) -> str | None:
    # What TorchScript compiles has the name of the function as `name`, and as `__name__` that of a class of PyTorch's.
    own = getattr(component, "name" if isinstance(component, torch.jit.ScriptFunction) else "__name__", None)
    return own if isinstance(own, str) else None


def _seen_by_the_caller() -> dict[str, Any]:
    """Return the names that are seen where a function of this module was called."""
    frame = sys._getframe(2)
    return {**frame.f_globals, **frame.f_locals}


def _is_empty(name: str) -> bool:
    """Tell whether learners write all of the exercise of this name; False where there is none."""
    try:
        return records.read(name).empty
    except LookupError:
        return False


def _record(name: Any) -> records.Record:
    try:
        return records.read(name)
    except LookupError:
        raise LookupError(_no_such_exercise(name)) from None


def _no_such_exercise(name: object) -> str:
    import difflib

    if name is None or name == "<lambda>":
        return (
            "nothing tells which exercise this answers. Give it the name of one, as in attention_scores = ..., or name "
            'it: check(component, exercise="name")'
        )
    known = list(records.exercises())
    near = difflib.get_close_matches(str(name), known, 1)
    meant = f"did you mean {near[0]!r}?" if near else f"the exercises are {', '.join(known)}"
    return f'there is no exercise {name!r}; {meant} Or name it: check(component, exercise="name")'


def hint(exercise: Any) -> Hint:
    """Open the next hint of an exercise, and show those opened before it.

    A cell of a notebook that is run again shows what it has shown, and opens no other.
    Raises LookupError if there is no such exercise.
    """
    name = exercise if isinstance(exercise, str) else _name_of(exercise, _seen_by_the_caller())
    record = _record(name)
    name, cell = record.exercise, _running_cell()
    opened = progress_file.hints_opened(name, cell) if cell else 0
    if not opened:
        opened = min(progress_file.hints_opened(name) + 1, len(record.hints))
        progress_file.open_hints(name, opened, cell)
    return Hint(name, record.hints[:opened], len(record.hints))


def _running_cell() -> str | None:
    """Return the id of the notebook's cell that is being run, as JupyterLab and Notebook tell it; None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    asked = kernel.get_parent("shell") if kernel is not None else {}
    cell = asked.get("metadata", {}).get("cellId") if isinstance(asked, dict) else None
    return cell if isinstance(cell, str) else None


def progress(lesson: int | str | None = None) -> progress_map.Progress:
    """Show the map of the transformer and every exercise: solved, tried or not yet tried, with the points earned.

    lesson  a number or a name: only the exercises of this lesson; None: all

    `progress(7).reset()` forgets what is shown, after a copy was made.
    Raises LookupError if there is no such lesson.
    """
    return progress_map.read(lesson=lesson)
