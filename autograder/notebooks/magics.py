"""The code of a notebook's cell as IPython would run it, with the bodies of its magics and what cannot be analysed.

Whoever looks for something in a learner's code has to see all code that runs. A cell that is not Python does not run,
so there is nothing to see in it; one that may run in another way than is seen here is told as odd.
"""

import ast
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

MOST_MAGICS = 40  # lines of a cell
# IPython reads a whole cell once more for each magic: characters that are read for all cells together.
MOST_READ = 1_000_000
MAGIC_LINE = re.compile(r"^[ \t]*[%!?,;/]|=[ \t]*[%!]|\?[ \t]*$", re.MULTILINE)
PROMPT = re.compile(r"^[ \t]*(>>>|\.\.\.|In \[)|^%%", re.MULTILINE)
BODY_IS_CODE = {"time", "timeit", "capture"}
HARMLESS = {
    "matplotlib": {"", "inline", "--list"},
    "autoreload": {"", "0", "1", "2", "3"},
    "load_ext": {"autoreload"},
    "config": {
        "InlineBackend.figure_format = 'retina'",
        "InlineBackend.figure_format = 'svg'",
        'InlineBackend.figure_format = "retina"',
        'InlineBackend.figure_format = "svg"',
    },
    "precision": {"", "2", "3", "4", "5", "6"},
    "pinfo": None,
    "pinfo2": None,
    "who": {""},
    "whos": {""},
}
OPTIONS = re.compile(r"^(-[nr][ ]?\d+\s+|-[oqcp]\s+|--[\w-]+\s+)*")


@dataclass(frozen=True)
class Cell:
    """What a cell runs.

    trees  syntax trees: of the cell, and of each body of a magic that is code
    odd    (line, text) of what runs something that cannot be seen here
    """

    trees: tuple[ast.Module, ...] = ()
    odd: tuple[tuple[int, str], ...] = ()
    magics: frozenset[ast.Call] = field(default=frozenset(), repr=False)  # the nodes of calls that were looked into


def cells_of(sources: Iterable[str]) -> list[Cell]:
    """Return the `Cell` of each source; an empty one for what is not Python, and so does not run. Raises nothing."""
    cells, read = [], 0
    for source in sources:
        cost = read_for_magics(source)
        read += cost
        too_much = cost and read > MOST_READ
        cells.append(Cell(odd=((1, "too many magic commands"),)) if too_much else _cell(source))
    return cells


def read_for_magics(source: str) -> int:
    """Return how many characters IPython may read because of the magics in a source."""
    return len(source) * len(MAGIC_LINE.findall(source))


@functools.lru_cache(maxsize=512)
def _cell(source: str) -> Cell:
    trees: list[ast.Module] = []
    odd: list[tuple[int, str]] = []
    magics: set[ast.Call] = set()
    _read(source, 0, trees, odd, magics)
    return Cell(tuple(trees), tuple(odd), frozenset(magics))


def _read(source: str, before: int, trees: list[ast.Module], odd: list[tuple[int, str]], magics: set[ast.Call]) -> None:
    """Add what a source runs.

    before  lines of the cell that stand before it
    """
    if len(MAGIC_LINE.findall(source)) > MOST_MAGICS:
        odd.append((before + 1, f"more than {MOST_MAGICS} magic commands in one cell"))
        return
    try:
        tree = _python(source) or ast.parse(_transformed(source))
    except (RecursionError, MemoryError):
        # The kernel may have been told to bear more.
        odd.append((before + 1, "code that is nested too deeply to be read"))
        return
    except Exception:
        line = source.strip()
        if _is_magic_without_sign(line):
            odd.append((before + 1, line[:80]))
        return
    trees.append(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (call := _magic(node)):
            magics.add(node)
            _look_into(*call, before + node.lineno, trees, odd, magics)


def _python(source: str) -> ast.Module | None:
    """Return the tree of a source that is Python as it stands, which is much faster than to ask IPython."""
    if PROMPT.search(source) or source[:1].isspace():
        return None
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def _transformed(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(source)


def _magic(node: ast.Call) -> tuple[str, str, str | None] | None:
    """Return (name, line, body or None) of a magic's call, None if the call is something else."""
    function = node.func
    if not (
        isinstance(function, ast.Attribute)
        and function.attr in ("run_line_magic", "run_cell_magic")
        and isinstance(function.value, ast.Call)
        and isinstance(function.value.func, ast.Name)
        and function.value.func.id == "get_ipython"
        and not node.keywords
    ):
        return None
    texts = [
        argument.value
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]
    count = 2 if function.attr == "run_line_magic" else 3
    if len(texts) != count or len(node.args) != count:
        return None
    return texts[0], texts[1].strip(), texts[2] if count == 3 else None


def _look_into(
    name: str,
    line: str,
    body: str | None,
    place: int,
    trees: list[ast.Module],
    odd: list[tuple[int, str]],
    magics: set[ast.Call],
) -> None:
    said = f"%{'%' if body is not None else ''}{name} {line}".strip()[:80]
    if name in BODY_IS_CODE:
        code = body if body is not None else OPTIONS.sub("", line)
        extra = OPTIONS.sub("", line) if body is not None and name == "timeit" else ""
        # In braces and after a dollar sign IPython runs code before the magic sees the line.
        if set(line) & set("{}$") or body is None and name == "capture":
            odd.append((place, said))
        for text in (extra, code):
            if text:
                seen = len(trees), len(odd)
                _read(text, place, trees, odd, magics)
                if (len(trees), len(odd)) == seen:
                    odd.append((place, said))
    elif body is not None or (allowed := HARMLESS.get(name, ())) is not None and line not in allowed:
        odd.append((place, said))


@functools.cache
def _names() -> set[str]:
    from importlib import import_module
    from pkgutil import iter_modules

    from IPython.core import magics

    found = {"ls", "ll", "cat", "cp", "mv", "rm", "ln", "mkdir", "rmdir", "man", "less", "more", "edit", "connect_info"}
    for module in iter_modules(magics.__path__, f"{magics.__name__}."):
        for one in vars(import_module(module.name)).values():
            kinds = getattr(one, "magics", None)
            for names in kinds.values() if isinstance(one, type) and isinstance(kinds, dict) else ():
                found |= set(names)
    return found


def _is_magic_without_sign(line: str) -> bool:
    """Tell whether IPython takes a cell of one line for a magic: `run file.py`."""
    first, space, _ = line.partition(" ")
    return "\n" not in line and bool(space) and first in _names()
