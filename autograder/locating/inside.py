"""The search for the line in a learner's kernel, and what is believed of what the kernel says about it.

The search runs the learner's code, so it runs where that runs. Nothing there is believed: what comes back is lines of
text for this learner's own feedback, and no points depend on it.
"""

import contextlib
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..calling.inside import on_message
from ..calling.limit import PATIENCE
from ..diagnosing import records
from .edits import Place
from .search import MOST_TOGETHER, Located, locate

if TYPE_CHECKING:
    from ..calling.remote import Channel

LOOK, LOOKED = KINDS = "judge_look", "judge_looked"
MOST_LINES, MOST_COLUMNS = 1_000, 500  # of an answer that is shown
SLACK = 10.0  # seconds in which a search is ready, reads its records, and ends after its time


def install() -> None:
    """Let the kernel of this process look for the line of a mistake, in what its notebook has defined."""
    on_message(LOOK, LOOKED, lambda names, content, buffers: (found(names, content), []), {})


def found(names: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a search finds, as JSON: {"files": [[[number, text]]], "places": [[file, first, last]], "between"}.

    names    of the notebook
    content  {"exercise", "search": how many seconds it may compute}
    """
    record = records.read(content["exercise"])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        located = locate(record, names[record.exercise], content["search"], lambda done, every: None)
    files = [file for file in located.lines if any(place.file == file for place in located.places)]
    return {
        "files": [located.lines[file] for file in files],
        "places": [[files.index(place.file), place.first, place.last] for place in located.places],
        "between": located.between,
    }


def ask(channel: "Channel", exercise: str, seconds: float) -> Located | None:
    """Let a kernel look for the line of a mistake; None if it is not certain, or what came back is not to be read.

    seconds  of a processor that the search may take
    Raises `EndedError` if the kernel does not answer in time.
    """
    channel.install("locating")
    enough = seconds + SLACK
    content = {"exercise": exercise, "search": seconds, "seconds": enough, "wall": PATIENCE * enough}
    told, _ = channel.ask(content, kinds=KINDS)
    try:
        return _read(told)
    except (KeyError, TypeError, ValueError):
        return None


def _read(told: Any) -> Located | None:
    """Return what a kernel says, None if it found nothing. Raises KeyError, TypeError or ValueError for nonsense."""
    if not told["places"] or len(told["places"]) > MOST_TOGETHER:
        return None
    lines: dict[str, list[tuple[int, str]]] = {}
    for index, file in enumerate(told["files"][:MOST_TOGETHER]):
        numbered = [(number, text[:MOST_COLUMNS]) for number, text in file[:MOST_LINES]]
        if not all(type(number) is int and isinstance(text, str) for number, text in numbered):
            raise TypeError
        lines[str(index)] = sorted(numbered)
    places = tuple(Place(str(file), first, last) for file, first, last in told["places"])
    for place in places:
        known = {number for number, _ in lines[place.file]}
        if type(place.first) is not int or type(place.last) is not int or not {place.first, place.last} <= known:
            raise ValueError
    return Located(places, between=told["between"] is True, lines=lines)
