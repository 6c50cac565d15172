"""How the way is shown: one line of ticks, each with the line of code that makes the numbers of a step."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..diagnosing.ways import Mark, Way

TICKS = {"made": "✓", "nowhere": "✗"}
OTHERWISE = "↔"
ABOUT = {
    "transposed": ", transposed",
    "reordered": ", its numbers in another order",
    "reshaped": ", in another shape",
    "not returned": ", but something else is returned for it",
}
HEAD = "Step by step:"
UNSEEN = "What is computed outside of tensors cannot be followed."
MOST = 6  # steps in the line; what was right long before is counted


def _parts(way: "Way") -> list[tuple[str, str, str]]:
    """Return (tick, step, what is said of it) of each step that is shown."""
    first = next((place for place, mark in enumerate(way.marks) if mark.state != "made"), len(way.marks))
    last = len(way.marks) if way.incomplete else _last(way.marks)
    left_out = max(0, min(first, last - MOST))
    shown = [(TICKS.get(mark.state, OTHERWISE), mark.step, _where(mark)) for mark in way.marks[left_out:last]]
    if left_out > 1:
        return [("✓", f"{left_out} steps", "before"), *shown]
    return shown if not left_out else [(TICKS["made"], way.marks[0].step, _where(way.marks[0])), *shown]


def _last(marks: Sequence["Mark"]) -> int:
    """Return how many steps are worth a place: what comes behind the last one that is not right says nothing."""
    return 1 + max((place for place, mark in enumerate(marks) if mark.state != "made"), default=len(marks) - 1)


def _where(mark: "Mark") -> str:
    if mark.line is None:
        return "made nowhere"
    within = f" of {mark.within}" if mark.within else ""
    return f"line {mark.line}{within}{ABOUT.get(mark.state, '')}"


def html_way(way: "Way | None") -> list[str]:
    """Return the way as HTML, in a list of one paragraph; [] if there is none."""
    if way is None:
        return []
    steps = " ".join(
        f'<span style="white-space:nowrap;margin-right:1em">{tick} <b>{escape(step)}</b>: {escape(where)}</span>'
        for tick, step, where in _parts(way)
    )
    unseen = f" {UNSEEN}" if way.incomplete else ""
    return [f'<p title="{escape(way.given)}">{HEAD} {steps}{unseen}</p>']


def text_way(way: "Way | None") -> list[str]:
    """Return the way as text, in a list of one line; [] if there is none."""
    if way is None:
        return []
    steps = "  ".join(f"{tick} {step}: {where}" for tick, step, where in _parts(way))
    return [f"{HEAD}  {steps}" + (f"  {UNSEEN}" if way.incomplete else "")]
