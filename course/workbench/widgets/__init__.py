"""Things that a learner moves by hand, and that answer with the learner's own functions at once.

    from workbench import widgets
    widgets.query_by_hand(attention_scores, scaled_dot_product_attention).show()

Each is built on anywidget and needs no network in JupyterLab and Notebook. Where widgets do not run, in a page that was
exported, in the book or on a printed sheet, a still picture of the same thing takes their place.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .choosing import next_token
    from .panels import Bars, Lines, Table, dials
    from .query import query_by_hand

__all__ = ["Bars", "Lines", "Table", "dials", "next_token", "query_by_hand"]

HOMES = {
    "next_token": "choosing",
    "query_by_hand": "query",
    **dict.fromkeys(("Bars", "Lines", "Table", "dials"), "panels"),
}


def __getattr__(name: str) -> Any:
    """Load a widget when it is asked for: anywidget takes a while, and grading shows none."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{HOMES[name]}", __name__), name)
