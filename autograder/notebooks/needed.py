"""What of a notebook an answer needs: the statements that define it, and what these use, and nothing else."""

import ast
import functools
import importlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from . import reach
from .demos import names_of
from .magics import cells_of

SELF_REPORT = (
    "only its own process can report which functions it calls, how much memory it holds and whether it leaves its "
    "arguments unchanged"
)


OUR_PACKAGES = {"torch", "numpy", "einops", "workbench"}  # installed with the course
UNKNOWN = "?"


class Needed(NamedTuple):
    """What an answer needs.

    code    the statements, in their order
    places  (cell, first line, last line) of each; cells are counted from 0, lines from 1
    """

    code: str
    places: list[tuple[int, int, int]]


class _Statement(NamedTuple):
    cell: int
    node: ast.stmt
    used: set[str]  # names that it looks up
    given: set[str]  # names that it gives to the notebook
    changed: set[str]  # names of things that it may change in place
    star: str  # the module of which it imports everything, `UNKNOWN` where nobody knows what that is; "" if it does not


def needed(sources: Sequence[str], names: Iterable[str]) -> Needed:
    """Return what defines these names as the notebook does, without whatever the answers do not use.

    sources  the notebook's code cells, in their order
    names    of the answers

    What a cell merely does (a print, a plot, `gc.collect()`, `!ls`) gives no name, and is left out. What changes a
    thing in place (`TABLE["a"] = 1`, `Model.forward = faster`) is kept where the notebook itself made that thing.
    """
    statements = _statements(tuple(sources))
    made = set().union(*(one.given for one in statements if not isinstance(one.node, (ast.Import, ast.ImportFrom))))
    makers = defaultdict(list)  # name -> places of the statements that make it what it is
    for place, one in enumerate(statements):
        for name in one.given | one.changed & made:
            makers[name].append(place)
    kept: set[int] = set()
    # Each statement and each name is taken up once, so that a chain of them takes time by its length.
    waiting = [place for place, one in enumerate(statements) if one.star == UNKNOWN]
    for name in names:
        waiting += makers.pop(name, ())
    while waiting:
        place = waiting.pop()
        if place not in kept:
            kept.add(place)
            for name in statements[place].used:
                waiting += makers.pop(name, ())
    chosen = [statements[place] for place in sorted(kept)]
    wanted = {*names}.union(*(one.used for one in chosen))
    return Needed(
        "\n".join(_written(_of_a_star(one, wanted) if one.star else one.node) for one in chosen),
        [(one.cell, _first_line(one.node), one.node.end_lineno or one.node.lineno) for one in chosen],
    )


def _written(node: ast.stmt) -> str:
    """Return a statement as source; nothing where Python cannot write it, so that a person looks at what is without."""
    try:
        return ast.unparse(node)
    except (RecursionError, ValueError):  # ValueError: a number that Python reads and does not write
        return ""


def doubt(sources: Sequence[str], name: str) -> str:
    """Return why what a process tells of itself about an answer cannot be believed; "" if it can.

    sources  the notebook's code cells, in their order
    name     of the answer

    That is so where what the answer itself needs reaches into the interpreter; what other cells do does not matter.
    """
    answer = needed(sources, [name])
    alone = reach.into_the_interpreter([answer.code])
    if not alone:
        return ""
    for index, found in reach.into_the_interpreter(sources):
        if any(cell == index and first <= found.line <= last for cell, first, last in answer.places):
            return f"{SELF_REPORT}, and its own code reaches into that process {_place(sources[index], found)}"
    return f"{SELF_REPORT}, and its own code reaches into that process: `{alone[0][1].what}`"


def doubt_elsewhere(sources: Sequence[str], why: str) -> str:
    """Return the same for an answer that could not be judged without the notebook's other cells.

    why  what became of it when that was tried
    """
    index, found = reach.into_the_interpreter(sources)[0]
    return f"{SELF_REPORT}, a cell of the notebook reaches into that process {_place(sources[index], found)}, and {why}"


def _place(source: str, found: reach.Reach) -> str:
    start = next(line.strip() for line in source.splitlines() if line.strip())
    return f"in line {found.line} of the cell that begins with `{start[:60]}`: `{found.what}`"


@functools.lru_cache(maxsize=1)
def _statements(sources: tuple[str, ...]) -> list[_Statement]:
    """Return the statements of a notebook, which is asked for each answer."""
    return [
        _statement(index, node)
        for index, cell in enumerate(cells_of(sources))
        for tree in cell.trees
        for node in tree.body
    ]


def _statement(index: int, node: ast.stmt) -> _Statement:
    used, given = names_of(ast.Module([node], []))
    star = ""
    if isinstance(node, ast.ImportFrom) and any(name.name == "*" for name in node.names):
        names = _public(node.module) if node.module and not node.level else None
        star = UNKNOWN if names is None else node.module or UNKNOWN
        given |= names or set()
    return _Statement(index, node, used, given, set(_changed(node)), star)


def _of_a_star(statement: _Statement, wanted: set[str]) -> ast.stmt:
    """Return the import of just the names that are needed, where it is known which a star gives."""
    if statement.star == UNKNOWN:
        return statement.node
    names = sorted(statement.given & wanted)
    return ast.ImportFrom(statement.star, [ast.alias(name) for name in names], 0)


@functools.cache
def _public(module: str) -> set[str] | None:
    """Return what a star imports from a module; None for one that nobody should import to find that out."""
    first = module.split(".")[0]
    if first not in reach.HARMLESS or not (first in sys.stdlib_module_names or first in OUR_PACKAGES):
        return None
    try:
        found = importlib.import_module(module)
    except ImportError:
        return set()
    return set(getattr(found, "__all__", [name for name in vars(found) if not name.startswith("_")]))


def _changed(node: ast.stmt) -> Iterator[str]:
    """Yield the names whose things a statement of the notebook's own level changes, as far as it shows."""
    if isinstance(node, (ast.Assign, ast.Delete)):
        places: Sequence[ast.expr] = node.targets
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        places = [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        places = [node.value.func]
    else:
        places = []
    for place in places:
        inside = place
        while isinstance(inside, (ast.Attribute, ast.Subscript, ast.Call)):
            inside = inside.func if isinstance(inside, ast.Call) else inside.value
        if inside is not place and isinstance(inside, ast.Name):
            yield inside.id


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min(node.lineno, *(one.lineno for one in decorators)) if decorators else node.lineno
