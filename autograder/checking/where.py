"""What learners see of the search for the line: their own lines, one of them marked. Never what to write there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ..display import BOX, marked_up, wrapped

if TYPE_CHECKING:
    from ..diagnosing.records import Record
    from ..locating.search import Located

AROUND = 4  # lines shown before and behind those that are marked
TITLE = "Looking for the line"


@dataclass
class Where:
    """Where the mistake of an answer is. It shows itself as the last line of a cell; `print` shows it as text.

    exercise  name of the exercise
    located   what the search found
    place     what is known of the place of a known mistake; "" of any other
    """

    exercise: str
    located: "Located"
    place: str = ""

    @property
    def lines(self) -> tuple[int, ...]:
        """Numbers of the lines in which the mistake is, in the cell or file that defines them; () if not certain."""
        return tuple(line for place in self.located.places for line in range(place.first, place.last + 1))

    def says(self) -> str:
        """Return the sentence on what was found."""
        if not self.located.places:
            return self.located.why
        count = len(self.located.places)
        if self.located.between:
            return "The mistake is in these lines, or between them: a small change there makes every probe pass."
        if count > 1:
            return "A small change of each of these lines, and of no others, makes every probe pass."
        lines = "these lines" if len(self.lines) > 1 else "this line"
        return f"A small change of {lines}, and of no other, makes every probe pass."

    def _shown(self) -> Iterator[tuple[str, int, str] | None]:
        """Yield (mark, number, text) of the lines to show, and None where some are left out."""
        for file, lines in self.located.lines.items():
            marked = {n for one in self.located.places if one.file == file for n in range(one.first, one.last + 1)}
            if not marked:
                continue
            before = 0
            for number, text in lines:
                if min(abs(number - one) for one in marked) > AROUND:
                    continue
                if before and number > before + 1:
                    yield None
                before = number
                yield "→" if number in marked else " ", number, text

    def html(self) -> str:
        """Return the lines and the sentence on them as HTML."""
        rows = []
        for shown in self._shown():
            if shown is None:
                rows.append("<span>   ...</span>")
                continue
            mark, number, text = shown
            line = escape(f"{mark} {number:>3}  {text}")
            style = ' style="background:rgba(255,193,7,.25);font-weight:bold"' if mark.strip() else ""
            rows.append(f"<span{style}>{line}</span>")
        style = "font-family:monospace;line-height:1.4;overflow-x:auto;white-space:pre"
        code = f'<pre style="{style}">{chr(10).join(rows)}</pre>' if rows else ""
        return f"{code}<p>{escape(self.says())}</p>"

    def text(self) -> list[str]:
        """Return the lines and the sentence on them as lines of text."""
        rows = ["    ..." if shown is None else f"{shown[0]} {shown[1]:>3}  {shown[2]}" for shown in self._shown()]
        return [*rows, wrapped("", self.says())]

    def _repr_html_(self) -> str:
        place = f"<p>{marked_up(self.place)}</p>" if self.place else ""
        head = f"<div><b>{escape(self.exercise)}: where to look</b></div>"
        return f'<div style="{BOX}">{head}{place}{self.html()}</div>'

    def __repr__(self) -> str:
        lines = [f"{self.exercise}: where to look"]
        if self.place:
            lines.append(wrapped("", self.place))
        return "\n".join([*lines, *self.text()])


def look(record: "Record", component: Callable[..., Any], place: str, seconds: float | None = None) -> Where:
    """Look for the line of a mistake, with a progress bar, and return what is found as `Where`.

    place    what is known of the place of a known mistake; "" of any other
    seconds  of a processor that the search may take; None: the usual ones
    """
    from ..locating.search import SECONDS, locate

    with shown_search() as told:
        return Where(record.exercise, locate(record, component, SECONDS if seconds is None else seconds, told), place)


@contextmanager
def shown_search() -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, of how many) that shows a bar, in a notebook or in a terminal."""
    from ..progress_bar import in_notebook, shown_in_notebook, shown_progress

    if in_notebook():
        with shown_in_notebook(TITLE) as tell:
            yield tell
        return
    from rich.console import Console

    with shown_progress(Console()) as draw:
        yield lambda done, every: draw(TITLE, done, every)
