"""What a grade depends on besides the submission: a change in any of it makes grading grade again."""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import autograder
import workbench

from .. import mistakes

# Rooms that take no part in a verdict: they make lessons before it, and pages and tables after it.
APART = ("authoring", "feedback", "reporting")
# Another release of these may compute other numbers, or run and record a notebook in another way.
PACKAGES = ("torch", "numpy", "ipykernel", "nbclient", "nbformat", "nbgrader")


def digest(
    lesson: str,
    released: Path,
    solutions: Path,
    settings: Mapping[str, object],
    machine: Path | None = None,
    boxes: Path | None = None,
) -> str:
    """Return a digest of everything that judges the submissions of a lesson.

    lesson     its name
    released   the notebook as learners got it
    solutions  folder of the lesson texts, with `mistakes` and `alternatives` in it
    settings   the configuration of the steps that run, judge and score; what is not set is a default in the machine
    machine    folder of the package `autograder`; None for the one in use
    boxes      folder of the package `workbench`, whose closed boxes answers call; None for the one in use
    """
    machine, boxes = machine or Path(autograder.__file__).parent, boxes or Path(workbench.__file__).parent
    beside = [solutions / kind / f"{lesson}.py" for kind in ("mistakes", "alternatives")]
    own = [solutions / f"{lesson}.py", *beside, *mistakes.files(beside[0])]
    found = hashlib.sha256()
    for name, path in [("released", released), *((path.relative_to(solutions).as_posix(), path) for path in own)]:
        _add(found, name, path.read_bytes() if path.is_file() else b"none")
    for folder, paths in ((machine, judges(lesson, machine)), (boxes, sorted(boxes.rglob("*.py")))):
        for path in paths:
            _add(found, f"{folder.name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    _add(found, "versions and settings", json.dumps([versions, settings], sort_keys=True, default=str).encode())
    return found.hexdigest()


def judges(lesson: str, machine: Path) -> Iterator[Path]:
    """Yield the files of the machine on which a verdict about a lesson can depend, in a fixed order."""
    # Not asked of the probes themselves: they import torch, and whoever gives work to others does without it.
    others = {folder.name for folder in (machine / "recorded").glob("*")} - {lesson}
    for path in sorted(machine.rglob("*.py")):
        room = path.relative_to(machine).parts[0]
        if room not in APART and (room != "probes" or path.stem not in others):
            yield path
    yield from sorted((machine / "recorded" / lesson).glob("*.json"))


def _add(found: "hashlib._Hash", name: str, content: bytes) -> None:
    # The length keeps the end of one file apart from the beginning of the next.
    found.update(f"{name}\0{len(content)}\0".encode())
    found.update(content)
