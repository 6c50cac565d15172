"""The autograder of Transformer Taxonomy: checks that say which mistake was made.

>>> from autograder import check, hint, progress
"""

from typing import Any

__all__ = ["check", "hint", "progress"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import; the names are here at once, and torch comes with the first use.
    if name in __all__:
        from .checking import check

        return getattr(check, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
