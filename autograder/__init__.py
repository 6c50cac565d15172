"""The autograder of Transformer Taxonomy: checks that say which mistake was made.

>>> from autograder import check, hint, practice, progress
"""

from typing import Any

__all__ = ["check", "hint", "practice", "progress"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import; the names are here at once, and torch comes with the first use.
    if name == "practice":
        from .checking import practice

        return practice.practice
    if name in __all__:
        from .checking import check

        return getattr(check, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
