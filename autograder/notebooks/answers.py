"""What the source of one cell defines at its top level, whether that is solved, and what it needs from other cells.

Nothing is run. A cell that is no Python defines nothing.
"""

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .definitions import UNSOLVED, plain_source
from .magics import MAGIC_LINE, MOST_MAGICS, PROMPT

BLOCKS = (ast.If, ast.Try, ast.With, ast.For, ast.While)
NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass
class Reading:
    """What a cell has at its top level.

    defined   name -> (first line, last line) of each statement that defines it: a function, a class, an assignment
    imported  names that it imports
    unsolved  names of those functions and classes that still end in the skeleton's error
    needed    names that it uses and does not bind anywhere
    runs      whether anything in it does more than to say a text
    plain     whether the source is Python as it stands, so that the lines are those of the source
    """

    defined: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    unsolved: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)
    runs: bool = False
    plain: bool = True

    def solves(self, name: str) -> bool:
        return name in self.defined and name not in self.unsolved

    @property
    def bound(self) -> set[str]:
        return self.imported | self.defined.keys()


@functools.lru_cache(maxsize=512)  # a notebook is looked at when it is chosen, and when it is rebuilt
def read(source: str) -> Reading | None:
    """Return the `Reading` of a cell, or None if it is no Python, magics and all. Raises nothing."""
    tree, plain = _parsed(source)
    if tree is None:
        return None
    found = Reading(plain=plain, runs=any(map(_runs, tree.body)))
    for node in _top(tree.body):
        _learn(found, node)
    used: set[str] = set()
    stored = set(found.bound)
    for part in ast.walk(tree):
        if isinstance(part, ast.Name):
            (used if isinstance(part.ctx, ast.Load) else stored).add(part.id)
        elif isinstance(part, ast.arg):
            stored.add(part.arg)
        elif isinstance(part, NESTED):
            stored.add(part.name)
        elif isinstance(part, ast.alias):
            stored.add((part.asname or part.name).split(".")[0])
    found.needed = used - stored
    return found


def binds(source: str, name: str) -> bool:
    """Tell whether a cell gives a name a meaning: defines, assigns or imports it."""
    return name in source and (reading := read(source)) is not None and name in reading.bound


def _parsed(source: str) -> tuple[ast.Module | None, bool]:
    """Return (tree or None, whether the source is Python without IPython's help)."""
    try:
        return ast.parse(source), True
    except (SyntaxError, ValueError):
        pass
    except (RecursionError, MemoryError):
        return None, True
    magics = len(MAGIC_LINE.findall(source))
    # IPython takes off what indents a whole cell, and reads it once more for each magic.
    if magics > MOST_MAGICS or not (magics or PROMPT.search(source) or source[:1].isspace()):
        return None, False
    try:
        return ast.parse(plain_source(source)), False
    except Exception:  # IPython's own parser raises others than Python's
        return None, False


def _top(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run in the cell itself, those in blocks included."""
    waiting = list(body)[::-1]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, BLOCKS):
            inner = [*node.body, *getattr(node, "orelse", ()), *getattr(node, "finalbody", ())]
            for handler in getattr(node, "handlers", ()):
                inner += handler.body
            waiting += inner[::-1]


def _learn(found: Reading, node: ast.stmt) -> None:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        found.imported |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        return
    names: list[str] = []
    first = node.lineno
    if isinstance(node, NESTED):
        names = [node.name]
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        if _is_unsolved(node):
            found.unsolved.add(node.name)
        else:
            found.unsolved.discard(node.name)
    elif isinstance(node, ast.Assign) or (isinstance(node, ast.AnnAssign) and node.value is not None):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    for name in names:
        found.defined.setdefault(name, []).append((first, node.end_lineno or node.lineno))


def _is_unsolved(node: ast.stmt) -> bool:
    """Tell whether the skeleton's error is still reached in a function or class."""
    waiting: list[list[ast.stmt]] = [getattr(node, "body", [])]
    while waiting:
        for statement in waiting.pop():
            if isinstance(statement, ast.Raise) and _is_skeleton(statement.exc):
                return True
            for name in ("body", "orelse", "finalbody"):
                waiting.append(getattr(statement, name, []))
            if isinstance(statement, (ast.Return, ast.Raise)) or _always_returns(statement):
                break  # many leave the error below their own code
    return False


def _always_returns(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.If):
        return False
    return all(part and isinstance(part[-1], (ast.Return, ast.Raise)) for part in (statement.body, statement.orelse))


def _is_skeleton(error: ast.expr | None) -> bool:
    return (
        isinstance(error, ast.Call)
        and isinstance(error.func, ast.Name)
        and error.func.id == "NotImplementedError"
        and any(isinstance(part, ast.Constant) and UNSOLVED in str(part.value)[:200] for part in error.args)
    )


def _runs(node: ast.stmt) -> bool:
    """Tell whether a statement does anything; a text and a name that stands alone do not."""
    return not (isinstance(node, ast.Expr) and isinstance(node.value, (ast.Constant, ast.Name)))
