"""What a lesson or a notebook defines, without its experiments.

Imports, functions, classes and UPPER_CASE constants are kept; whatever else stands at the top level of a cell
(calls, loops, prints, plots, magics) is dropped. So a notebook can be loaded without running it.
"""

import __future__

import ast
import hashlib
import json
import linecache
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeGuard

UNSOLVED = "not solved yet"  # what the message of a skeleton's NotImplementedError contains
UPPER_CASE = re.compile(r"_?[A-Z][A-Z0-9_]*")
# Cell magics whose body runs in the notebook itself, so that what it defines counts.
TRANSPARENT_MAGIC = re.compile(r"\s*%%(time|capture)\b")


Definition = (
    ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
)


class CellFault(NamedTuple):
    """A cell, or one of its definitions, that could not be loaded."""

    cell: int  # the position among the sources, from 0
    error: BaseException


class LoadedModule(ModuleType):
    """What `load` returns.

    __cells__   the line on which each code cell begins
    __faults__  each cell or definition of a notebook that failed
    """

    __file__: str
    __cells__: tuple[int, ...]
    __faults__: tuple[CellFault, ...]


class Definitions(NamedTuple):
    text: str  # all sources, one after the other: what the line numbers of `tree` refer to
    tree: ast.Module
    cells: tuple[int, ...]  # the first line of each source in `text`
    faults: tuple[CellFault, ...]  # CellFault for each source that is not Python


def targets(node: ast.Assign | ast.AnnAssign) -> list[str] | None:
    """Return the names that an assignment binds, or None if it binds anything but plain names."""
    found: list[str] = []
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        names = [part.id for part in parts if isinstance(part, ast.Name)]
        if len(names) < len(parts):
            return None
        found += names
    return found


def is_definition(node: ast.stmt) -> TypeGuard[Definition]:
    """Tell whether a top-level statement is an import, a function, a class or an UPPER_CASE constant."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        names = targets(node) or []
        return bool(names) and all(UPPER_CASE.fullmatch(name) for name in names)
    return False


def is_another_name(node: ast.stmt, known: set[str]) -> TypeGuard[ast.Assign]:
    """Tell whether a statement names a function without `def`: by a lambda, or as a second name of a known one."""
    if not isinstance(node, ast.Assign) or not targets(node):
        return False
    return isinstance(node.value, ast.Lambda) or (isinstance(node.value, ast.Name) and node.value.id in known)


def definitions(sources: Iterable[str]) -> Definitions:
    """Return the Definitions in a list of code cell sources; a source that is not Python is skipped and remembered."""
    lines: list[str] = []
    body: list[ast.stmt] = []
    cells: list[int] = []
    faults: list[CellFault] = []
    known: set[str] = set()
    for index, source in enumerate(sources):
        cells.append(len(lines) + 1)
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError) as error:  # ValueError: a null character
            faults.append(CellFault(index, error))
        else:
            ast.increment_lineno(tree, len(lines))
            for node in tree.body:
                if is_definition(node) or is_another_name(node, known):
                    body.append(node)
                    known |= bound(node)
        lines += source.split("\n")
    return Definitions("\n".join(lines), ast.Module(body=body, type_ignores=[]), tuple(cells), tuple(faults))


def bound(node: Definition) -> set[str]:
    """Return the names that a definition binds."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return set(targets(node) or ()) if isinstance(node, (ast.Assign, ast.AnnAssign)) else {node.name}


def notebook_sources(text: str) -> list[str]:
    """Return the sources of a notebook's code cells (nbformat JSON) as plain Python, magics and all."""
    import nbformat

    cells = [cell for cell in nbformat.from_dict(json.loads(text)).cells if cell.cell_type == "code"]
    return [plain_source(cell.source if isinstance(cell.source, str) else "".join(cell.source)) for cell in cells]


def plain_source(source: str) -> str:
    """Return the source of a cell as plain Python, magics and all."""
    from IPython.core.inputtransformer2 import TransformerManager

    source = TRANSPARENT_MAGIC.sub("# \\1", source, count=1) if TRANSPARENT_MAGIC.match(source) else source
    try:
        return TransformerManager().transform_cell(source).rstrip("\n")
    except SyntaxError:
        return source  # whoever parses it meets the same error


def load(path: Path | str, name: str | None = None) -> LoadedModule:
    """Return a module that holds the definitions of a lesson text or of a notebook; nothing else of it is run.

    path  of a `.py` or an `.ipynb` file
    name  of the module in `sys.modules`, where classes and pickles look for it; made from the path if not given

    The lines are registered in `linecache`, so that tracebacks and `inspect.getsource` show them. A lesson text
    raises what its code raises. Of a notebook one loads what can be loaded: `module.__faults__` lists each cell
    or definition that failed, `module.__cells__` holds the line on which each code cell begins.
    """
    path = Path(path).resolve()
    name = name or f"{path.stem}_{hashlib.sha1(str(path).encode()).hexdigest()[:8]}"
    notebook = path.suffix == ".ipynb"
    text = path.read_text(encoding="utf-8")
    kept = definitions(notebook_sources(text) if notebook else [text])
    if kept.faults and not notebook:
        compile(text, str(path), "exec", dont_inherit=True)  # raises the error with the file's name in it
    module = LoadedModule(name)
    module.__file__ = f"<{name}>" if notebook else str(path)
    module.__cells__ = kept.cells
    lines = [line + "\n" for line in kept.text.split("\n")]
    linecache.cache[module.__file__] = (len(kept.text), None, lines, module.__file__)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        module.__faults__ = kept.faults + tuple(execute(kept, module, forgiving=notebook))
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module


def execute(kept: Definitions, module: LoadedModule, forgiving: bool) -> Iterator[CellFault]:
    """Run the definitions in the module, one by one, and yield the faults of those that failed."""
    flags = 0
    for node in kept.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(getattr(__future__, alias.name, None), "compiler_flag", 0)
        try:
            statement = ast.Module(body=[node], type_ignores=[])
            code = compile(statement, module.__file__, "exec", flags, dont_inherit=True)
            exec(code, module.__dict__)
        except (Exception, SystemExit) as error:
            if not forgiving:
                raise
            yield CellFault(sum(first <= node.lineno for first in kept.cells) - 1, error)
