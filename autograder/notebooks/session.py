"""What the notebook that is running here has run so far."""

import ast
import linecache
import re
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


def earlier_definition(name: str, component: object) -> str:
    """Say that a later cell would have defined a component and failed, so that an earlier definition holds; or "".

    name       of the component in the notebook
    component  the function or class that was written there

    IPython keeps the source of each cell that was run, and which of them failed. Where it tells nothing of that, as
    outside of a notebook, nothing is said.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    failed = getattr(getattr(shell, "history_manager", None), "exceptions", None)
    source = _cell_of(component)
    if shell is None or not failed or not source:
        return ""
    cells = list(shell.user_ns.get("In", ()))
    made = max((number for number, cell in enumerate(cells) if cell.strip() == source), default=0)
    later = [number for number in range(made + 1, len(cells)) if made and _would_define(name, cells[number])]
    if not later or later[-1] not in failed:
        return ""
    error = failed[later[-1]]
    kind = error.get("ename") if isinstance(error, dict) else None
    why = f" ({kind})" if kind else ""
    return (
        f"The last cell that defines {name}, number {later[-1]}, failed{why}, so this is about the definition "
        f"before it, of cell {made}."
    )


def _cell_of(component: object) -> str:
    """Return the source of the cell in which a function or class was written, as it ran; "" if that is unknown."""
    members = vars(component).values() if isinstance(component, type) else ()
    codes = [getattr(one, "__code__", None) for one in (component, *members)]
    path = next((code.co_filename for code in codes if code is not None), "")
    return "".join(linecache.getlines(path)).strip() if path else ""


def _would_define(name: str, source: str) -> bool:
    """Tell whether a cell gives this name to the notebook; of one that is no Python, whether it looks like that."""
    trees = [tree for cell in cells_of([source]) for tree in cell.trees]
    if trees:
        return name in _names(statement for tree in trees for statement in tree.body)[1]
    return bool(re.search(rf"^\s*(?:def|class)\s+{name}\b|^{name}\s*=[^=]", source, re.MULTILINE))


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
