"""Which of the files that were handed in is the lesson's notebook.

Browsers, editors and people rename notebooks, copy them, and put them into folders and archives. The content decides:
of several notebooks the newest that has answers is taken, and it is said which.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..display import shown
from . import content
from .archive import examine_archive, is_archive, notebooks_in
from .content import UnreadableError
from .folder import Limits, RefusedError
from .notebook import LearnerCell, cells_in

ENDINGS = (".ipynb", ".ipynb.txt", ".ipynb.json")
MOST_LOOKED_AT = 12  # notebooks of a submission, and
MOST_BYTES = 100_000_000  # of all of them together
SAME_TIME = 10  # seconds; files that were unpacked or copied together are this near each other
LISTED = 5

File = tuple[str, os.stat_result]  # (path in the folder, lstat)
Count = Callable[[list[LearnerCell]], tuple[int, int]]  # returns (claims, found) of cells


@dataclass
class Candidate:
    """A notebook that was handed in.

    name    where it lies in the submission
    time    when it was changed, in seconds
    cells   its `LearnerCell`s
    claims  how many cells of the lesson are in it, told by id, by nbgrader's metadata or by their text
    found   how many answers are in it, told by anything
    why     the reason why it cannot be read, if it cannot
    """

    name: str
    time: float
    cells: list[LearnerCell] = field(default_factory=list)
    claims: int = 0
    found: int = 0
    why: str | None = None


def is_notebook(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def is_hidden(name: str) -> bool:
    """True for what programs put beside the files of a person: checkpoints, and what macOS adds to archives."""
    return any(part.startswith(".") or part in ("__MACOSX", "__pycache__") for part in name.split(os.sep))


def choose(
    folder: str, expected: str, files: Sequence[File], limits: Limits, count: Count
) -> tuple[list[LearnerCell], str | None]:
    """Return (cells of the chosen notebook, what is to be said about the choice or None).

    folder    the submission
    expected  the file name that the lesson's notebook has
    files     [(path in the folder, lstat)] of all regular files in it
    count     function of cells that returns (claims, found) of them
    Raises `UnreadableError` with the reason why there is none.
    """
    candidates: list[Candidate] = []
    for tier in _tiers(expected, files):
        candidates += _read(folder, tier, limits, count)
        good = [one for one in candidates if one.found]
        if good:
            break
    readable = [one for one in candidates if one.cells]
    if not readable:
        raise UnreadableError(_why_none(folder, expected, files, candidates))
    # Another lesson's notebook may define one of the names, too.
    mine = [one for one in good if one.claims] or good
    chosen = _newest(mine, expected) if mine else _likeliest(readable, expected)
    return chosen.cells, _said(chosen, mine, readable, expected)


def _tiers(expected: str, files: Sequence[File]) -> list[list[File]]:
    """Return the files that may be the notebook, those first that are looked at first."""
    files = sorted(files, key=lambda file: (file[0] != expected, -file[1].st_mtime, file[0]))
    files = [file for file in files if file[0] != "timestamp.txt"]
    tiers: tuple[list[File], list[File]] = [], []
    for file in files:
        plain = (is_notebook(file[0]) or is_archive(file[0])) and not is_hidden(file[0])
        tiers[0 if plain else 1].append(file)
    return [tier[:MOST_LOOKED_AT] for tier in tiers]


def _read(folder: str, files: Sequence[File], limits: Limits, count: Count) -> list[Candidate]:
    found: list[Candidate] = []
    left = MOST_BYTES
    for name, about in files:
        path = os.path.join(folder, name)
        if left < 0 or not is_notebook(name) and not is_archive(name) and not _is_json(path):
            continue
        try:
            for inner, raw in _contents(path, name, limits):
                left -= len(raw)
                found.append(_candidate(inner, about.st_mtime, raw, limits, count))
        except (UnreadableError, RefusedError) as problem:
            found.append(Candidate(name, about.st_mtime, why=str(problem)))
    return found


def _is_json(path: str) -> bool:
    try:
        start = content.read(path, 64, all_of_it=False)
    except UnreadableError:
        return False
    return start.lstrip(content.BLANK).startswith(b"{")


def _contents(path: str, name: str, limits: Limits) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of each notebook that a file is or, as an archive, holds."""
    most = len(content.ZIP) if is_archive(name) else limits.notebook_bytes
    raw = content.read(path, most, all_of_it=not is_archive(name))
    if not is_archive(name) and not raw.startswith(content.ZIP):
        yield name, raw
        return
    try:
        examine_archive(path, limits)
        inside = [(inner, raw) for inner, raw in notebooks_in(path, limits, _wanted)]
    except RefusedError as problem:
        raise RefusedError(f"{shown(os.path.basename(path))} was not unpacked: {problem}") from problem
    if not inside:
        raise RefusedError(f"{shown(os.path.basename(path))} holds no notebook; hand in the notebook itself.")
    for inner, raw in inside[:MOST_LOOKED_AT]:
        yield os.path.join(name, inner), raw


def _wanted(name: str) -> bool:
    return is_notebook(name) and not is_hidden(name.replace("/", os.sep))


def _candidate(name: str, time: float, raw: bytes, limits: Limits, count: Count) -> Candidate:
    try:
        cells = cells_in(raw, limits)
    except UnreadableError as problem:
        return Candidate(name, time, why=str(problem))
    return Candidate(name, time, cells, *count(cells))


def _newest(good: Sequence[Candidate], expected: str) -> Candidate:
    """Return the newest; of those that are as new, for their times may be those of unpacking, the fullest."""
    newest = max(one.time for one in good)
    return max(
        (one for one in good if one.time >= newest - SAME_TIME),
        key=lambda one: (one.found, one.name == expected, [-ord(letter) for letter in one.name]),
    )


def _likeliest(readable: Sequence[Candidate], expected: str) -> Candidate:
    return max(readable, key=lambda one: (one.claims > 0, one.name == expected, one.claims, one.time))


def _said(chosen: Candidate, good: Sequence[Candidate], readable: Sequence[Candidate], expected: str) -> str | None:
    if len(good) > 1 or (chosen.name != expected and len(readable) > 1):
        others = [shown(one.name) for one in readable if one is not chosen]
        more = "" if len(others) <= LISTED else f" and {len(others) - LISTED} more"
        which = "the newest that has answers" if len(good) > 1 else "the one that has answers" if good else "likeliest"
        return (
            f"{shown(chosen.name)} was graded: of the {len(readable)} notebooks that were handed in it is {which}. "
            f"Not graded: {', '.join(others[:LISTED])}{more}."
        )
    if chosen.name != expected:
        return f"{shown(chosen.name)} was graded: no other notebook was handed in."
    return None


def _why_none(folder: str, expected: str, files: Sequence[File], candidates: Sequence[Candidate]) -> str | None:
    """Return why nothing that was handed in can be read as the notebook."""
    by_name = {one.name: one for one in candidates}
    if expected in by_name:
        return by_name[expected].why
    reason = f"No file named {expected} was handed in."
    others = sorted(name for name, _ in files if name != "timestamp.txt")
    if not others:
        return reason
    reason += f" Handed in instead: {', '.join(map(shown, others[:LISTED]))}."
    if candidates:
        return f"{reason} {_about(candidates[0])}"
    first = next((name for name in others if not is_hidden(name)), others[0])
    return f"{reason} {_what_it_is(os.path.join(folder, first))}"


def _about(candidate: Candidate) -> str:
    why = candidate.why or ""
    return (
        why
        if why.startswith(shown(os.path.basename(candidate.name)))
        else (re.sub(r"^The file\b", shown(candidate.name), why))
    )


def _what_it_is(path: str) -> str:
    """Return what a file is that no notebook's name has."""
    try:
        cells_in(content.read(path, content.LOOKED_AT, all_of_it=False), Limits())
    except UnreadableError as problem:
        return re.sub(r"^The file\b", shown(os.path.basename(path)), str(problem))
    return ""
