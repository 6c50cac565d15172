"""What a learner's source reaches for: library calls that an exercise forbids, and ways around the checks.

A submission runs in a process of its own, and scores by the numbers that come back from it. A few observations are
no such numbers: which library functions an answer called, how much memory it held, how it used what it was given,
which parameters it has. Those the process reports of itself, and code that reaches into the interpreter could forge
the report. No exercise needs such code, so where a notebook holds it, such reports are not believed.

What is told here costs nobody a point for numbers that are right. So it may be strict: it tells what is known to be
harmless from everything else, and not what is known to be harmful.
"""

import ast
import builtins
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .magics import cells_of
from .reach_lists import (
    CALLS,
    COUNTERS,
    FILES,
    FRAMES,
    GIVE_TENSORS,
    HARMLESS,
    HOOKS,
    INDIRECT,
    NOT_SHOWN,
    ONLY,
    ORDINARY,
    SELF_REPORTS,
    TORCH,
    UTILS,
)
from .reach_names import MAZE, Names, constant, is_call, is_self, root, text
from .reach_scope import own_names


@dataclass(frozen=True)
class Reach:
    """A place where source reaches for something: the line, and what it says there."""

    line: int
    what: str


def into_the_interpreter(sources: Iterable[str]) -> list[tuple[int, Reach]]:
    """Return [(index of the source, Reach)] of everything that could change what the process reports of itself."""
    found: list[tuple[int, Reach]] = []
    cells, names = cells_of(sources), Names()
    for cell in cells:  # first what names mean: they hold in all cells
        for tree in cell.trees:
            names.learn(tree)
    for index, cell in enumerate(cells):
        found += [(index, Reach(*odd)) for odd in cell.odd]
        for tree in cell.trees:
            try:
                found += [(index, reach) for reach in _Watch(names, cell.magics).of(tree)]
            except RecursionError:
                found.append((index, Reach(1, "code that is nested too deeply to be read")))
    return found


def named(sources: Iterable[str], forbidden: Collection[str]) -> list[tuple[int, Reach]]:
    """Return [(index of the source, Reach)] of every place that names one of the forbidden library functions.

    forbidden  names such as "scaled_dot_product_attention". A function that the sources define themselves may
               have any name: what counts is one that is taken out of a library.
    """
    found: list[tuple[int, Reach]] = []
    for index, cell in enumerate(cells_of(sources)):
        for node in (node for tree in cell.trees for node in ast.walk(tree)):
            if isinstance(node, ast.Attribute) and node.attr in forbidden and not is_self(node.value):
                found.append((index, Reach(node.lineno, text(node))))
            elif isinstance(node, ast.ImportFrom):
                found += [
                    (index, Reach(node.lineno, f"{node.module}.{alias.name}"))
                    for alias in node.names
                    if alias.name in forbidden and (node.module or "").split(".")[0] == "torch"
                ]
            elif is_call(node, "getattr") and len(node.args) > 1 and constant(node.args[1]) in forbidden:
                found.append((index, Reach(node.lineno, text(node))))
    return found


class _Watch(ast.NodeVisitor):
    """Collects what reaches into the interpreter in one cell."""

    def __init__(self, names: Names, magics: Collection[ast.Call]) -> None:
        self.names, self.magics = names, magics
        self.found: list[Reach] = []
        self.called: set[ast.expr] = set()
        self.owned: set[ast.expr] = set()  # names of modules where they stand for something in them, or are only shown
        self.own: set[ast.expr] = set()  # names that a function or a cell has for something of its own
        self.trusted = False  # whether `self` is surely an object of the learner's own class
        self.in_class = False

    def of(self, tree: ast.Module) -> list[Reach]:
        self.own = own_names(tree, self.names)
        self.visit(tree)
        return self.found

    def note(self, node: ast.expr | ast.stmt | ast.pattern, what: str | None = None) -> None:
        self.found.append(Reach(node.lineno, what or text(node)))

    # Imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._module(node, alias.name, None)
            if alias.asname is None and alias.name.split(".")[0] in ("autograder", "IPython"):
                self.note(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self.note(node)
        self._module(node, node.module or "", {alias.name for alias in node.names})

    def _module(self, node: ast.Import | ast.ImportFrom, module: str, names: set[str] | None) -> None:
        if module == "autograder.assemble" and names == {"assemble"}:
            return  # lesson 11 puts the learner's own parts together with it
        first, *rest = module.split(".")
        inner = {*rest, *(names or ())}
        # Of a whole module each attribute is looked at where it is used.
        taken = rest[:1] or names
        foreign = first in ONLY and taken is not None and not {*taken} <= ONLY[first]
        if first in ("autograder", "IPython") and taken is None:
            foreign = True
        of_torch = first == "torch" and (
            inner & TORCH or "utils" in inner and not inner & UTILS or any(name.startswith("_") for name in inner)
        )
        hidden = any(name.startswith("_") and name != "__version__" for name in inner)
        star = "*" in inner and first not in ("math", "torch", "workbench")
        if first not in HARMLESS or foreign or of_torch or hidden or star or inner & (INDIRECT | FRAMES | HOOKS):
            self.note(node)

    # Names and attributes

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in CALLS or node.id.startswith("__") and node.id not in ORDINARY:
            self.note(node)
        elif (
            node.id in self.names.modules
            and isinstance(node.ctx, ast.Load)
            and not (node in self.owned or node in self.own)
        ):
            self.note(node, f"the module {node.id}, passed on as a value")
        elif is_self(node) and isinstance(node.ctx, ast.Store):
            self.note(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.owned.add(node.value)
        if self._is_reach(node.attr, node) or self._is_unbound(node):
            self.note(node)
        self.generic_visit(node)

    def _is_unbound(self, node: ast.Attribute) -> bool:
        """Tell whether this is a method that is taken from a class, and could be given any object as its self."""
        return (
            isinstance(node.value, ast.Name)
            and node.attr in self.names.methods.get(node.value.id, ())
            and node not in self.called
        )

    def _is_reach(self, name: str, node: ast.Attribute) -> bool:
        hidden = name.startswith("__") and name.endswith("__") and name not in ORDINARY
        if hidden and is_call(node.value, "super"):
            return False
        if hidden or name in FRAMES | INDIRECT | HOOKS | {"_C", "_VF", "ctypes"}:
            return True
        if name in COUNTERS or name.startswith("stub_"):
            return True
        if name == "modules" and node not in self.called:
            return True  # of sys; that of an nn.Module is called
        return self._is_of_module(name, self._module_of(node.value))

    def _module_of(self, node: ast.expr) -> str | None:
        return None if root(node) in self.own else self.names.module(node)

    def _is_of_module(self, name: str, module: str | None) -> bool:
        """Tell whether a module's attribute of this name leads out of what notebooks need."""
        if module is None:
            return False
        if module == MAZE:
            return True
        first, *rest = module.split(".")
        if not rest and first in ONLY and name not in ONLY[first]:
            return True
        if first == "torch" and name in TORCH or rest[-1:] == ["utils"] and first == "torch" and name not in UTILS:
            return True
        return name in NOT_SHOWN or name in ("sys", "os", "builtins") or name.startswith("_") and name not in ORDINARY

    # Calls

    def visit_Call(self, node: ast.Call) -> None:
        if node in self.magics:
            return
        if is_call(node, "getattr") or is_call(node, "hasattr"):
            self._getattr(node)
        elif is_call(node, "open") or isinstance(node.func, ast.Name) and node.func.id in ("Path", "PurePath"):
            self._file(node)
        elif is_call(node, "type") and len(node.args) != 1:
            self.note(node)
        elif is_call(node, "setattr") and node.args and is_self(node.args[0]) and self.trusted:
            for argument in node.args:
                self.visit(argument)
            return
        elif isinstance(node.func, ast.Attribute) and node.func.attr in ("open", "Path", "load", "loadtxt", "save"):
            self._open(node, node.func)
        if any(keyword.arg in ("assigned", "allow_pickle", "metaclass") for keyword in node.keywords):
            self.note(node)
        if isinstance(node.func, ast.Attribute) and (
            node.func.attr == "modules" and not node.args or node.args and is_self(node.args[0]) and self.trusted
        ):
            self.called.add(node.func)
        if isinstance(node.func, ast.Name) and node.func.id in ("print", "dir", "help", "type", "getattr", "hasattr"):
            self.owned.update(node.args)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "reload":
            self.owned.update(node.args)
        self.generic_visit(node)

    def _getattr(self, node: ast.Call) -> None:
        names = self.names.constants(node.args[1]) if len(node.args) > 1 else None
        if names is None or any(
            self._is_reach(name, ast.Attribute(node.args[0], name)) for name in names if name != "modules"
        ):
            self.note(node)

    def _open(self, node: ast.Call, function: ast.Attribute) -> None:
        module = self.names.module(function.value) or ""
        if function.attr == "Path" or module.split(".")[0] in ("numpy", "io", "os", "pathlib"):
            self._file(node)

    def _file(self, node: ast.Call) -> None:
        """Note a file that is not surely one of data: the memory of a process is a file, too."""
        paths = self.names.constants(node.args[0]) if node.args else {"."}
        if paths is None or any({*path.split("/")} & FILES or path.endswith(".py") for path in paths):
            self.note(node)

    # What puts something where others look for theirs

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._target(target, node.value)
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self.owned.add(node.value)  # another name for a module is known as one
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._target(node.target, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._target(node.target, node.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._target(node.target)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._target(node.target)
        self.generic_visit(node)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            if item.optional_vars is not None:
                self._target(item.optional_vars)
        self.generic_visit(node)

    visit_AsyncFor, visit_AsyncWith = visit_For, visit_With

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._target(target)
        self.generic_visit(node)

    def _target(self, target: ast.expr, value: ast.expr | None = None) -> None:
        """Note what puts something callable, or anything unclear, into somebody else's object: `torch.equal = ...`."""
        if isinstance(target, (ast.Tuple, ast.List)):
            for part in target.elts:
                self._target(part)
        elif isinstance(target, ast.Starred):
            self._target(target.value)
        elif isinstance(target, ast.Attribute) and not (is_self(root(target)) and self.trusted):
            first = root(target)
            of_others = isinstance(first, ast.Name) and (
                first.id in self.names.modules or first.id in ONLY["autograder"] or hasattr(builtins, first.id)
            )
            if of_others or not self._is_plain(value):
                self.note(target)

    def _is_plain(self, value: ast.expr | None) -> bool:
        """Tell whether a value is surely nothing that takes the place of a function: a number, a tensor, a layer."""
        if isinstance(value, ast.Call):
            first = root(value)
            if isinstance(value.func, ast.Attribute) and value.func.attr in GIVE_TENSORS:
                return True
            return isinstance(first, ast.Name) and (
                self.names.modules.get(first.id, "").split(".")[0] == "torch"
                or first.id in ("int", "float", "bool", "str", "len", "list", "dict")
            )
        if isinstance(value, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Constant)):
            return True
        if isinstance(value, (ast.List, ast.Tuple, ast.Dict, ast.ListComp)):
            return True
        return isinstance(value, ast.Attribute) and value.attr in ("data", "grad", "T", "mT", "weight", "bias")

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        for name in node.kwd_attrs:
            if name.startswith(("__", "stub_")) or name in FRAMES | COUNTERS:
                self.note(node)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in [*node.bases, *(keyword.value for keyword in node.keywords)]:
            if text(base).rpartition(".")[2] in ("Tensor", "Parameter", "type") or text(base).endswith("Mode"):
                self.note(base)
        for part in node.body:
            if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)) and part.name in SELF_REPORTS:
                self.note(part, f"def {part.name}")
            for name in _bound_in_class(part) if isinstance(part, (ast.Assign, ast.AnnAssign)) else ():
                if name in SELF_REPORTS:
                    self.note(part)
        before, self.in_class = self.in_class, True
        self.generic_visit(node)
        self.in_class = before

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name.startswith("__") and node.name.endswith("__") and node.name not in ORDINARY - {"__class__"}:
            self.note(node, f"def {node.name}")
        before = self.trusted, self.in_class
        if any(argument.arg in ("self", "cls") for argument in ast.walk(node.args) if isinstance(argument, ast.arg)):
            self.trusted = self.in_class
        self.in_class = False
        self.generic_visit(node)
        self.trusted, self.in_class = before

    visit_AsyncFunctionDef = visit_FunctionDef


def _bound_in_class(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]
