"""Where a learner's own cells stand in the rebuilt notebook."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from .matching import Matched, grade_id


@dataclass
class Own:
    """The indices of the learner's own cells, by the released cell that they stand before or after.

    before  index of an answer cell -> cells that were moved up to it
    after   index of a released cell, -1 for the top -> cells that follow it
    """

    before: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    after: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))


def own_cells(matched: Matched) -> Own:
    """Return the `Own` cells of a learner whose answers were found."""
    own, here = Own(), -1
    moved_up: list[tuple[int, int]] = []
    uses: dict[int, list[int]] = defaultdict(list)
    for to, answer in matched.answers.items():
        for index in answer.cells:
            uses[index].append(to)
    for index, place in enumerate(matched.places):
        used = uses.get(index, ())
        if used:
            moved_up += [(to, index) for to in used if to in matched.wanted and to <= here and to != place]
            if place is None and min(used) > here and _has_more(matched, index, used):
                own.after[here].append(index)
        elif place is None:
            if not _is_skeleton(matched, index):
                own.after[here].append(index)
        elif place in matched.answers:
            if _is_kept(matched, place, index):
                own.after[here].append(index)
                continue
        elif _is_edited(matched, place, index):
            own.after[place].append(index)
        here = here if place is None else place
    if moved_up:
        _move_needed(matched, own, sorted(moved_up))
    return own


def _has_more(matched: Matched, index: int, used: Sequence[int]) -> bool:
    """Tell whether a cell, of which an answer was moved down, binds something that others may need."""
    reading = matched.reading(index) if matched.released[used[0]].cell_type == "code" else None
    return reading is not None and bool(reading.defined.keys() - set(matched.wanted.values()))


def _is_skeleton(matched: Matched, index: int) -> bool:
    """Tell whether a cell is a released answer cell once more, as it was released."""
    source = matched.learner[index].source.strip()
    return any(source == matched.released[place].source.strip() for place in matched.answers)


def _is_kept(matched: Matched, place: int, index: int) -> bool:
    """Tell whether a copy of an answer cell that does not count is run and shown all the same."""
    if matched.learner[index].source.strip() in ("", matched.released[place].source.strip()):
        return False
    if place not in matched.wanted:
        return True
    reading = matched.reading(index)
    return reading is None or matched.wanted[place] not in reading.unsolved


def _is_edited(matched: Matched, place: int, index: int) -> bool:
    released = matched.released[place]
    return grade_id(released) is None and released.source.strip() != matched.learner[index].source.strip()


def _move_needed(matched: Matched, own: Own, moved: Sequence[tuple[int, int]]) -> None:
    """Move own cells up to the answers that need them and were moved up.

    moved  [(index of the answer cell, index of the learner's cell)]
    """
    where = {index: place for place, indices in own.after.items() for index in indices}
    binders: dict[str, list[int]] = defaultdict(list)
    for index in sorted(where):
        if matched.learner[index].kind == "code" and (reading := matched.reading(index)):
            for name in reading.bound:
                binders[name].append(index)
    for place, index in moved:
        waiting = _needed(matched, index)
        seen: set[str] = set()
        while waiting:
            name, at = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            there = [one for one in binders.get(name, ()) if where.get(one, -1) >= place]
            best = max((one for one in there if one < at), default=None) if there else None
            best = min(there, default=None) if best is None else best
            if best is not None:
                own.after[where.pop(best)].remove(best)
                own.before[place].append(best)
                waiting += _needed(matched, best)
        own.before[place].sort()


def _needed(matched: Matched, index: int) -> list[tuple[str, int]]:
    """Return (name, index of the cell) of each name that a cell needs from others."""
    reading = matched.reading(index)
    return [(name, index) for name in reading.needed] if reading else []
