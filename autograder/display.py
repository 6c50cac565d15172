"""How things are shown to people: pieces of HTML, and texts that anybody may have written."""

import os
import re
import textwrap
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

BOX = (
    "border:1px solid rgba(128,128,128,.45);border-left-width:4px;border-radius:4px;padding:.5em 1em;"
    "max-width:56em;line-height:1.45"
)
# nbgrader's feedback pages take the triangle away from a summary.
SUMMARY = '<summary style="display:list-item;cursor:pointer">'
# The classic notebook and nbgrader's pages stripe tables and push them to the right.
CELL = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0;background:transparent;border:0;white-space:normal"
NUMBERED = re.compile(r"\d\. ")  # begins one line of several about the same
TABLE = "border-collapse:collapse;margin:.4em 0;font-size:inherit"


def shown(text: str, most: int | None = 80, lines: bool = False) -> str:
    """Return a text that can be printed and read: what is not printable is written as its escape.

    most   characters; what is longer is cut; None for all of it
    lines  True: the ends of lines and tabs stay as they are
    """
    kept = "\n\t" if lines else ""
    text = "".join(c if c.isprintable() or c in kept else _escaped(c) for c in text)
    return text if most is None or len(text) <= most else text[:most] + "..."


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode()


def told(text: str) -> "Text":
    """Return a text that anybody may have written, for rich's tables and consoles: nothing in it is taken for markup,
    and no sequence in it reaches the terminal."""
    from rich.text import Text

    return Text(shown(text, None))


def html_table(rows: Iterable[Iterable[str]], heads: Iterable[str] = ()) -> str:
    """Return a calm table as HTML. All texts are escaped.

    rows   the texts of each row
    heads  what stands above the columns; no head if empty
    """
    first = "".join(f'<th style="{CELL}">{escape(text)}</th>' for text in heads)
    lines = [first] if first else []
    lines += ["".join(f'<td style="{CELL}">{escape(text)}</td>' for text in row) for row in rows]
    body = "".join(f'<tr style="background:transparent">{line}</tr>' for line in lines)
    return f'<table style="{TABLE}">{body}</table>'


def marked_up(sentence: str) -> str:
    """Escape a sentence, and set what stands between backquotes as code."""
    parts = escape(sentence).split("`")
    if len(parts) % 2 == 0:
        return escape(sentence)
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def wrapped(start: str, text: str) -> str:
    """Return a text in lines that fit the terminal, the first with a start, the others indented as far.

    Its own lines stay lines; the rest of one that begins with a number is indented behind that.
    """
    width = max(40, min(100, int(os.environ.get("COLUMNS", "100") or 100)))
    lines = []
    for number, line in enumerate(text.split("\n")):
        begin = " " * len(start) if number else start
        rest = " " * (len(start) + len(found[0])) if (found := NUMBERED.match(line)) else " " * len(start)
        lines.append(textwrap.fill(line, width, initial_indent=begin, subsequent_indent=rest))
    return "\n".join(lines)


def show(thing: object) -> None:
    """Show it where IPython displays rich output; print it elsewhere."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(thing)
        return
    if get_ipython() is None:
        print(thing)
    else:
        display(thing)
