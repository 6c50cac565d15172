"""Small pieces of HTML that several rooms show, and the showing itself."""

from collections.abc import Iterable
from html import escape

BOX = (
    "border:1px solid rgba(128,128,128,.45);border-left-width:4px;border-radius:4px;padding:.5em 1em;"
    "max-width:56em;line-height:1.45"
)
# nbgrader's feedback pages take the triangle away from a summary.
SUMMARY = '<summary style="display:list-item;cursor:pointer">'
# The classic notebook and nbgrader's pages stripe tables and push them to the right.
CELL = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0;background:transparent;border:0;white-space:normal"
TABLE = "border-collapse:collapse;margin:.4em 0;font-size:inherit"


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
