"""What of a notebook an answer needs: the statements that define it, and what these use, and nothing else."""

import ast
import functools
from collections.abc import Iterable, Sequence

from .demos import names_of
from .magics import cells_of


def needed(sources: Sequence[str], names: Iterable[str]) -> str:
    """Return code that defines these names as the notebook does, without whatever its answers do not use.

    sources  the notebook's code cells, in their order
    names    of the answers

    What a cell merely does (a print, a plot, `gc.collect()`, `!ls`) gives no name, and is left out. So is what changes
    a thing in place after it was made: an answer that needs this is not the same here.
    """
    statements = _statements(tuple(sources))
    wanted, kept = set(names), set()
    while found := {
        place
        for place, (statement, _, given) in enumerate(statements)
        if place not in kept and (given & wanted or _gives_anything(statement))
    }:
        kept |= found
        wanted |= set().union(*(statements[place][1] for place in found))
    return "\n".join(ast.unparse(statements[place][0]) for place in sorted(kept))


@functools.lru_cache(maxsize=1)
def _statements(sources: tuple[str, ...]) -> list[tuple[ast.stmt, set[str], set[str]]]:
    """Return (statement, names that it looks up, names that it gives) of a notebook, which is asked for each answer."""
    return [
        (statement, *names_of(ast.Module([statement], [])))
        for cell in cells_of(sources)
        for tree in cell.trees
        for statement in tree.body
    ]


def _gives_anything(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and any(name.name == "*" for name in statement.names)
