"""A learner's attempts in a class's download: unpacked one by one, the newest first, and read as grading will."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..display import shown
from .archive import Packed, is_archive
from .arrivals import read_arrival
from .choose import is_notebook
from .folder import Limits, RefusedError
from .matching import count

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclass(frozen=True)
class Named:
    """What a path in a download says.

    learner  what the platform calls the learner
    who      the learner's name there, "" where it is not in the path
    attempt  what a newer attempt has more of
    label    what people call the attempt
    name     the file as the learner named it; None for what the platform itself wrote
    time     when it was handed in, "" where the path does not say
    """

    learner: str
    who: str
    attempt: tuple[Any, ...]
    label: str
    name: str | None
    time: str = ""


@dataclass
class Attempt:
    """One attempt of a learner, as far as it was looked at.

    files  [(`Named`, `Packed`)]
    paths  those that were unpacked, and are within the limits: {path in the attempt: `Named`}
    found  how many of the lesson's answers are in it
    why    why grading cannot read it, or None
    """

    files: list[tuple[Named, Packed]]
    folder: str = ""
    paths: dict[str, Named] = field(default_factory=dict)
    found: int = 0
    why: str | None = None

    @property
    def label(self) -> str:
        return shown(self.files[0][0].label)

    def unpack(self, folder: str, limits: Limits, original: Callable[[str], str]) -> list[tuple[Packed, str]]:
        """Write those files that may be the notebook into a new folder, and return [(`Packed`, why it is not there)].

        limits    of one learner
        original  function that returns the name that a learner gave a file, from the one in the download
        """
        self.folder, left = folder, limits.folder_bytes
        left_out: list[tuple[Packed, str]] = []
        first: dict[str, Packed] = {}
        os.makedirs(folder)
        for number, (called, named, file) in enumerate(self._wanted()):
            if number >= limits.files:
                left_out.append((file, f"There are more than {limits.files} files in the attempt; so the rest is not."))
                break
            name = original(called)
            if name in first and _same(first[name], file):
                continue  # a download that was made twice
            try:
                if file.size > left:
                    raise RefusedError(f"With it the attempt has more than {limits.folder_bytes / 1e6:g} MB.")
                file.write(folder, name, limits)
            except RefusedError as problem:
                left_out.append((file, str(problem)))
                continue
            left -= file.size
            first[name] = file
            self.paths[name.replace("/", os.sep)] = named
        if left_out:
            self.why = f"{shown(left_out[0][0].parts[-1])}: {left_out[0][1]}"
        return left_out

    def _wanted(self) -> list[tuple[str, Named, Packed]]:
        """Return the files that may be the notebook; where there is none, the rest, and grading says what it is."""
        files = [
            (named.name, named, file)
            for named, file in self.files
            if named.name is not None and os.path.basename(named.name) != "timestamp.txt"
        ]
        files = [one for one in files if may_be_one(one[0])] or files
        return sorted(files, key=lambda one: (not is_notebook(one[0]), one[0]))

    def read(self, released: Mapping[str, Sequence["NotebookNode"]], limits: Limits) -> None:
        """Note how many answers are in it, or why it cannot be read.

        released  {file name: cells} of the lesson's notebooks
        """
        if not self.paths:
            self.why = self.why or "There is no file in it."
            return
        refused: str | None = None
        for name, cells in released.items():
            arrival = read_arrival(os.path.join(self.folder, name), limits, os.path.dirname(self.folder), cells)
            refused = refused or arrival.refused
            self.found += count(cells, arrival.cells)[1]
        self.why = (self.why or refused) if refused and not self.found else None


def best(looked_at: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt to collect, of those that were looked at, the newest first; None where nothing is unpacked.

    The newest that has answers; else the newest that can be read; else the newest, and grading says what it is.
    """
    for good in (lambda one: one.found, lambda one: one.why is None, lambda one: one.paths):
        if taken := next(filter(good, looked_at), None):
            return taken
    return None


def may_be_one(name: str) -> bool:
    return is_notebook(name) or is_archive(name)


def _same(one: Packed, other: Packed) -> bool:
    """Tell whether two files are one that was downloaded twice."""
    if one.size != other.size or one.why or other.why:
        return False
    try:
        with one.opened() as first, other.opened() as second:
            left = one.size
            while left and (part := first.read(min(left, 1 << 20))):
                if part != second.read(len(part)):
                    return False
                left -= len(part)
    except Exception:  # a broken zip raises all kinds, and what is wrong is said where the file is written
        return False
    return True
