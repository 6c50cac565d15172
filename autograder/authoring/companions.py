"""What is made of a record and lies beside it: right ways, small inputs, and what learners practise with.

Each is a file of its own, so that it can be made anew from the records that there are, which is faster than recording.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..diagnosing import specimens as practised
from ..diagnosing.records import Record
from ..diagnosing.small import Small
from ..diagnosing.specimens import Material
from ..diagnosing.ways import Run
from . import faults, recorder, shrink, specimens, ways

PATTERNS = ("ways/*.json", "small/*.json", f"*{practised.SUFFIX}")  # of all files beside the records of a lesson


@dataclass(frozen=True)
class Companions:
    """What lies beside the record of an exercise.

    ways      right ways, each on one small input
    small     small inputs on which mistakes show, the smallest first
    material  wrong answers to practise with; None if there is none
    """

    ways: list[Run]
    small: list[Small]
    material: Material | None


def make(found: faults.Written, exercise: str, record: Record) -> Companions:
    """Return the `Companions` of a record. Raises LessonError with what an author has to mend."""
    with faults.told(found.lesson):
        right = recorder.right_answers(
            exercise, getattr(found.reference, exercise), found.catalogue, found.alternatives.of(exercise)
        )
        return Companions(
            ways.runs(record, found.catalogue),
            shrink.ladder(record, right, recorder.wrong_answers(exercise, found.catalogue)),
            specimens.material(found, exercise, record),
        )


def write(made: Companions, record: Record, folder: Path | str) -> bool:
    """Write what lies beside a record, and remove what no longer does; return whether anything changed."""
    changed = ways.write(record.lesson, record.exercise, made.ways, folder)
    changed |= shrink.write(record, made.small, folder)
    if made.material is not None:
        return practised.write(made.material, folder) | changed
    path = Path(folder) / record.lesson / f"{record.exercise}{practised.SUFFIX}"
    there = path.exists()
    path.unlink(missing_ok=True)
    return there or changed


def files(folder: Path) -> Iterator[Path]:
    """Yield the paths of all that lies beside the records in the folder of a lesson."""
    for pattern in PATTERNS:
        yield from folder.glob(pattern)
