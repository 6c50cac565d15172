"""What a learner has done so far, in one small JSON file that outlives the kernel.

It lies in the user's state folder (`TRANSFORMER_TAXONOMY_STATE` names another). It is a convenience: where it
cannot be read or written, checks and hints work without it.
"""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

if TYPE_CHECKING:
    from ..diagnosing.records import Record
    from .result import Result

ENVIRONMENT = "TRANSFORMER_TAXONOMY_STATE"
PRACTICE = "practice/cards"  # no name of an exercise has a stroke in it
MOST_MADE = 50  # mistakes of one exercise that are remembered
_unwritten: dict[Path, dict[str, Any]] = {}  # path -> what could not be written there, for as long as this kernel lives


def path() -> Path:
    """Return where the file lies."""
    folder = os.environ.get(ENVIRONMENT) or platformdirs.user_state_dir("transformer-taxonomy")
    return Path(folder) / "progress.json"


def _read() -> dict[str, Any]:
    try:
        known = json.loads(path().read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        return dict(_unwritten.get(path(), {}))


def _write(exercise: str, **what: Any) -> None:
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        return  # whoever grades a class has not solved its exercises
    known = _read()
    entry = known.get(exercise)
    known[exercise] = (entry if isinstance(entry, dict) else {}) | what
    try:
        _replace(known)
    except OSError:
        _unwritten[path()] = known


def _replace(known: dict[str, Any]) -> None:
    path().parent.mkdir(parents=True, exist_ok=True)
    beside = path().with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(beside, path())


def state(exercise: str) -> dict[str, Any]:
    """Return {"tries", "earned", "passed", "mistake", "made", "hints"} of an exercise, as far as known."""
    entry = _read().get(exercise)
    return entry if isinstance(entry, dict) else {}


def remember(record: "Record", result: "Result") -> None:
    """Keep the last result of an exercise. An unsolved one does not count as a try, nor one that says nothing."""
    if not result.unsolved and result.conclusive:
        _write(
            record.exercise,
            tries=state(record.exercise).get("tries", 0) + 1,
            earned=result.earned,
            passed=result.passed,
            mistake=result.mistake,
            made=[*(name for name in made(record.exercise) if name not in result.mistakes), *result.mistakes][
                -MOST_MADE:
            ],
        )


def made(exercise: str) -> list[str]:
    """Return the names of the mistakes that were made in an exercise, the last one at the end."""
    known = state(exercise)
    kept = known.get("made")
    last = known.get("mistake")  # all that files knew before they kept the others
    names = [name for name in kept if isinstance(name, str)] if isinstance(kept, list) else []
    return names or (last.split(" + ") if isinstance(last, str) else [])


def practice() -> dict[str, dict[str, Any]]:
    """Return {mistake: what is kept of practising it}; what is no such thing is left out."""
    return {name: kept for name, kept in state(PRACTICE).items() if isinstance(kept, dict)}


def keep_practice(name: str, kept: dict[str, Any]) -> None:
    """Keep what is known of practising a mistake."""
    _write(PRACTICE, **{name: kept})


def hints_opened(exercise: str, cell: str | None = None) -> int:
    """Return how many hints of an exercise have been opened, in all or by this cell of a notebook; 0 for none."""
    known = state(exercise)
    by_cell = known.get("hint_cells")
    opened = known.get("hints", 0) if cell is None else by_cell.get(cell, 0) if isinstance(by_cell, dict) else 0
    return opened if isinstance(opened, int) and opened >= 0 else 0


def open_hints(exercise: str, count: int, cell: str | None = None) -> None:
    """Remember how many hints of an exercise are open, and that this cell of a notebook opened the last one."""
    by_cell = state(exercise).get("hint_cells")
    cells = (by_cell if isinstance(by_cell, dict) else {}) | ({cell: count} if cell else {})
    _write(exercise, hints=count, hint_cells=dict(list(cells.items())[-MOST_MADE:]))


def forget(exercises: Collection[str]) -> Path | None:
    """Forget these exercises, and return the copy of the file as it was; None if there was nothing to forget.

    Raises OSError if the file cannot be written; then nothing is forgotten.
    """
    known = _read()
    kept = {name: entry for name, entry in known.items() if name not in exercises}
    if len(kept) == len(known):
        return None
    number = 1
    while (copy := path().with_name(f"progress-{number}.json")).exists():
        number += 1
    path().parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
    _replace(kept)
    _unwritten.pop(path(), None)
    return copy
