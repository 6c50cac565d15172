"""Which of a lesson's demonstrations official grading may leave out.

Demonstrations and experiments show something to the learner; some of them train a model for a minute. Nobody looks at
them while a class is graded, and no answer needs them, unless a learner's code uses a name that they define.
"""

import ast
import dis
import warnings
from collections.abc import Sequence
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

from .magics import Cell, cells_of

# Instructions of Python, of several versions.
LOOKS_UP = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
GIVES = {"STORE_NAME", "DELETE_NAME"}
GLOBALS = {"STORE_GLOBAL", "DELETE_GLOBAL"}


def unneeded(cells: "Sequence[NotebookNode]") -> set[int]:
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


def is_demo(cell: "NotebookNode") -> bool:
    """Tell whether a cell is a demonstration, as it was released."""
    return bool(cell.cell_type == "code" and cell.get("id", "").startswith("demo-"))


def _names(cell: Cell) -> tuple[set[str], set[str]]:
    """Return (names of the notebook that a cell looks up, names that it gives to the notebook)."""
    found = [names_of(tree) for tree in cell.trees]
    return set().union(*(used for used, _ in found)), set().union(*(given for _, given in found))


def names_of(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return (names of the notebook that code looks up, names that it gives to the notebook).

    They are read off what Python makes of the code, each instruction once. `symtable` would tell the same, and looks
    through all functions for each of them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `x is 1` is the learner's
            code = compile(tree, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), set()  # Python refuses to run it
    used, given = _looked_up_and_given(code)
    waiting = [code]
    while waiting:
        inner = [const for const in waiting.pop().co_consts if isinstance(const, CodeType)]
        waiting += inner
        for one in inner:
            looked_up, own = _looked_up_and_given(one)
            used |= looked_up - own  # a class looks for a name in itself first
            given |= _names_after(one, GLOBALS)
    return used, given


def _looked_up_and_given(code: CodeType) -> tuple[set[str], set[str]]:
    """Return (names that a block of code looks up beyond functions, names that it binds in its own name space)."""
    return _names_after(code, LOOKS_UP), _names_after(code, GIVES)


def _names_after(code: CodeType, instructions: set[str]) -> set[str]:
    """Return the names that stand in these instructions of a block of code."""
    # `dis` also writes out each constant, and refuses a very long number.
    bare = code.replace(co_consts=(None,) * len(code.co_consts))
    found = {step.argval for step in dis.get_instructions(bare) if step.opname in instructions}
    # `__doc__` and `__module__` Python itself looks up and gives, and others in each version.
    return {name for name in found if not (name.startswith("__") and name.endswith("__"))}
