"""What the notebook that is running here has run so far."""

import ast
import sys
from collections.abc import Iterable

from .demos import names_of
from .magics import cells_of


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
    return [
        source
        for place, (source, (_, given)) in enumerate(zip(sources, names, strict=True))
        if not any(given and given <= later and not given & used for used, later in names[place + 1 :])
    ]


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
