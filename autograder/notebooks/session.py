"""What the notebook that is running here has run so far."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable

from .demos import names_of
from .magics import cells_of

MOST_COMPARED = 100  # later sources that one is compared with; one that may be older still is kept


def cells_run() -> list[str]:
    """Return the cells that this session has run, in their order, each in its last version; [] outside of a notebook.

    IPython keeps every source that was run. A cell that was run again replaces the one whose names it gives.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return without_older(shell.user_ns.get("In", ())) if shell else []


def without_older(sources: list[str]) -> list[str]:
    """Leave out each source whose names are all given anew by one later source that does not itself use them."""
    names = [_names(statement for tree in cell.trees for statement in tree.body) for cell in cells_of(sources)]
    kept: list[str] = []
    anew: dict[str, list[set[str]]] = defaultdict(list)  # name -> what later sources give that give it, the next last
    for source, (used, given) in zip(reversed(sources), reversed(names), strict=True):
        # All names have to be in one later source, so those are enough that give the rarest of them.
        later = min((anew.get(name, []) for name in given), key=len, default=[])
        if not any(given <= one for one in later[-MOST_COMPARED:]):
            kept.append(source)
        fresh = given - used
        for name in fresh:
            anew[name].append(fresh)
    return kept[::-1]


def _names(statements: Iterable[ast.stmt]) -> tuple[set[str], set[str]]:
    """Return (names of the session that a cell looks up, names that it gives to it)."""
    used: set[str] = set()
    given: set[str] = set()
    for statement in statements:
        looked_up, defined = names_of(ast.Module([statement], []))
        # A function that calls itself does not use what stood under its name before.
        used |= looked_up - (defined if isinstance(statement, (ast.FunctionDef, ast.ClassDef)) else given)
        given |= defined
    return used, given
