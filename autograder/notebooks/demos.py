"""Which of a lesson's demonstrations official grading may leave out.

Demonstrations and experiments show something to the learner; some of them train a model for a minute. Nobody looks at
them while a class is graded, and no answer needs them, unless a learner's code uses a name that they define.
"""

import ast
import symtable
from collections.abc import Sequence

from nbformat import NotebookNode

from .magics import Cell, cells_of


def unneeded(cells: Sequence[NotebookNode]) -> set[int]:
    """Return the indexes of the released demonstrations that nothing of the learner's needs.

    cells  of a rebuilt notebook; a demonstration is known by its id, and whatever is none may need one
    """
    demos = {index for index, cell in enumerate(cells) if is_demo(cell)}
    places = [index for index, cell in enumerate(cells) if cell.cell_type == "code"]
    code = cells_of([cells[index].source for index in places])
    if any(cell.odd for cell in code):
        return set()  # what cannot be read may need anything
    names = dict(zip(places, map(_names, code), strict=True))
    wanted = set().union(*(used for index, (used, _) in names.items() if index not in demos))
    needed: set[int] = set()
    while found := {index for index in demos - needed if names[index][1] & wanted}:
        needed |= found
        wanted |= set().union(*(names[index][0] for index in found))
    return demos - needed


def is_demo(cell: NotebookNode) -> bool:
    """Tell whether a cell is a demonstration, as it was released."""
    return bool(cell.cell_type == "code" and cell.get("id", "").startswith("demo-"))


def _names(cell: Cell) -> tuple[set[str], set[str]]:
    """Return (names of the notebook that a cell looks up, names that it gives to the notebook)."""
    found = [names_of(tree) for tree in cell.trees]
    return set().union(*(used for used, _ in found)), set().union(*(given for _, given in found))


def names_of(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return (names of the notebook that code looks up, names that it gives to the notebook)."""
    used: set[str] = set()
    given: set[str] = set()
    try:
        module = symtable.symtable(ast.unparse(tree), "cell", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return used, given  # Python refuses to run it
    given |= {symbol.get_name() for symbol in module.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    waiting = [module]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        used |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (symbol.is_global() or table is module)
        }
        given |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_declared_global()}
    return used, given
