"""Which modules and constant texts a notebook's code uses, as far as can be seen without running it."""

import ast
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import TypeGuard

MOST_SHOWN = 100  # parts of an expression that is shown: about as many as there are letters
MOST_TEXTS = 50  # texts that a name may stand for; what more of them mean cannot be read off
LONGEST_CHAIN = 30  # names with dots between them
MAZE = "more names than any module has"


def text(node: ast.AST) -> str:
    """Return how a node begins as source. A long one is not written out, for there may be one in another in another."""
    try:
        if not _is_long(node):
            return ast.unparse(node)[:80]
        if isinstance(node, ast.Call) and not _is_long(node.func):
            return f"{ast.unparse(node.func)[:70]}(...)"
    except RecursionError:
        return "code that is nested too deeply to be read"
    except ValueError:  # a number that Python reads and does not write
        return "a very long number"
    if isinstance(node, ast.Attribute):
        return f"... .{node.attr}"[:80]
    return "a long expression"


def _is_long(node: ast.AST) -> bool:
    """Tell whether a node has more than `MOST_SHOWN` parts, without looking at more than these."""
    waiting, seen = [iter([node])], 0
    while waiting:
        part = next(waiting[-1], None)
        if part is None:
            waiting.pop()
            continue
        seen += 1 + (
            len(part.value) // 100 if isinstance(part, ast.Constant) and isinstance(part.value, (str, bytes)) else 0
        )
        if seen > MOST_SHOWN:
            return True
        waiting.append(ast.iter_child_nodes(part))
    return False


def is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def is_call(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def constant(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def root(node: ast.expr) -> ast.expr:
    """Return what a chain of attributes, subscripts and calls begins with."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


def is_module(name: str) -> bool:
    """Tell whether a dotted name, such as torch.nn or torch.threading, leads to a module."""
    first, *rest = name.split(".")
    found = sys.modules.get(first)
    for part in rest:
        found = getattr(found, part, None)
    return isinstance(found, ModuleType)


class Names:
    """What the names of a notebook mean, as far as that can be read off: modules, and constant texts."""

    def __init__(self) -> None:
        # Released cells import these.
        self.modules = {
            "torch": "torch",
            "nn": "torch.nn",
            "F": "torch.nn.functional",
            "math": "math",
            "figures": "workbench.figures",
        }
        self.shared: set[str] = set()  # what a function of some cell may bind for all cells
        self.texts: dict[str, list[ast.expr]] = {}
        self.known: dict[tuple[str, int], set[str] | None] = {}  # what `constants` found
        self.methods: dict[str, set[str]] = {}  # of the notebook's own classes

    def learn(self, tree: ast.AST) -> None:
        """Note what a cell binds."""
        self.known.clear()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.name if alias.asname else alias.name.split(".")[0]
                    self.modules[alias.asname or name] = name
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if alias.name in ("functional", "nn", "linalg", "path", "pyplot", "figures", "parts", "data"):
                        self.modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            elif isinstance(node, ast.ClassDef):
                self.methods.setdefault(node.name, set()).update(
                    part.name for part in node.body if isinstance(part, ast.FunctionDef) and not part.decorator_list
                )
            elif isinstance(node, (ast.Assign, ast.For, ast.comprehension, ast.NamedExpr)):
                self._assign(node)
            elif isinstance(node, ast.Global):
                self.shared.update(node.names)

    def _assign(self, node: ast.Assign | ast.For | ast.comprehension | ast.NamedExpr) -> None:
        value = node.value if isinstance(node, (ast.Assign, ast.NamedExpr)) else node.iter
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if not isinstance(target, ast.Name):
                continue
            module = self.module(value) if isinstance(node, ast.Assign) else None
            if module and (isinstance(value, ast.Name) or is_module(module)):
                self.modules[target.id] = module
            self.texts.setdefault(target.id, []).append(value)

    def module(self, node: ast.expr) -> str | None:
        """Return the dotted name of the module that an expression is or is part of, None if it is none.

        Of a chain that no honest code has it is `MAZE`.
        """
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            if len(parts) == LONGEST_CHAIN:
                return MAZE
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.modules:
            return ".".join([self.modules[node.id], *reversed(parts)])
        return None

    def constants(self, node: ast.expr, depth: int = 0) -> set[str] | None:
        """Return every text that an expression may be, None if that cannot be read off."""
        if isinstance(node, ast.Constant):
            return {node.value} if isinstance(node.value, str) else None
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            return _joined(self.constants(item, depth) for item in node.elts)
        if isinstance(node, ast.IfExp):
            return _joined(self.constants(part, depth) for part in (node.body, node.orelse))
        if isinstance(node, ast.Name) and depth < 3 and node.id in self.texts:
            key = node.id, depth
            if key not in self.known:
                self.known[key] = _joined(self.constants(value, depth + 1) for value in self.texts[node.id])
            return self.known[key]
        return None


def _joined(found: Iterable[set[str] | None]) -> set[str] | None:
    """Return all texts in one set, None if some of them could not be read off or there are too many."""
    joined: set[str] = set()
    for texts in found:
        if texts is None:
            return None
        joined |= texts
        if len(joined) > MOST_TEXTS:
            return None
    return joined
