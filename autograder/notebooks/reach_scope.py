"""Which uses of a name mean something of a function's or a cell's own, though a module is called the same elsewhere.

Whoever writes `parts = x.chunk(3)` means no module. What is told here has to be sure: a use that may mean a module
does.
"""

import ast
from collections.abc import Iterable, Iterator

from .reach_names import Names

Statements = Iterable[ast.stmt]
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def own_names(tree: ast.Module, names: Names) -> set[ast.expr]:
    """Return every use of a name in a cell by which the cell, or a function in it, means something of its own."""
    return local_names(tree, names) | _Cell(tree, names).uses


def local_names(tree: ast.AST, names: Names) -> set[ast.expr]:
    """Return every use of a name that a function around it has given to something of its own.

    Python gives a function a variable of its own for each name that it binds, throughout. A name that is imported
    there, or given a module, still means one.
    """
    uses: set[ast.expr] = set()
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        inside = list(_within(function))
        arguments = function.args
        bound = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
        bound |= {node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        body = [function.body] if isinstance(function, ast.Lambda) else function.body  # defaults are of the outside
        everywhere = [node for part in body for node in ast.walk(part)]
        bound -= {name for node in everywhere if isinstance(node, (ast.Global, ast.Nonlocal)) for name in node.names}
        for node in inside:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                bound -= {alias.asname or alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
                if names.module(node.value) is not None:
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    bound -= {target.id for target in targets if isinstance(target, ast.Name)}
        uses |= {node for node in everywhere if isinstance(node, ast.Name) and node.id in bound}
    return uses


def _within(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[ast.AST]:
    """Yield what a function holds, without what functions and classes in it hold."""
    waiting: list[ast.AST] = [function.body] if isinstance(function, ast.Lambda) else [*function.body]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


class _Cell:
    """Finds the uses of names that the statements of a cell have surely bound before, as they run one by one.

    What a function does with a name of the notebook it does later, when the name may mean something else: that is never
    told. Nor is a name told that the cell binds to a module anywhere, or that a function of any cell binds for all.

    uses  the uses
    """

    def __init__(self, tree: ast.Module, names: Names) -> None:
        self.uses: set[ast.expr] = set()
        self.unsure = names.shared | set(_bound_to_modules(tree, names))
        self._run(tree.body, set())

    def _run(self, block: Statements, bound: set[str]) -> set[str]:
        """Note what a block uses; return what is bound after it, given what is bound before it."""
        bound = set(bound)
        for statement in block:
            bound = self._statement(statement, bound) - self.unsure
        return bound

    def _statement(self, node: ast.stmt, bound: set[str]) -> set[str]:
        for part in _expressions(node):
            self._look(part, bound)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return bound | {node.name}
            case ast.ClassDef():
                self._run(node.body, bound)
                return bound | {node.name}
            case ast.Assign(targets=targets):
                return bound | _stored(targets)
            case ast.AnnAssign(target=target) if node.value is not None:
                return bound | _stored([target])
            case ast.Delete(targets=targets):
                return bound - {one.id for one in targets if isinstance(one, ast.Name)}
            case ast.If():
                return self._run(node.body, bound) & self._run(node.orelse, bound)
            case ast.For() | ast.AsyncFor():  # the body may never run
                self._run(node.body, bound | _stored([node.target]))
                self._run(node.orelse, bound)
            case ast.While():
                self._run(node.body, bound)
                self._run(node.orelse, bound)
            case ast.With() | ast.AsyncWith():  # what it enters may end the body early
                bound = bound | _stored([item.optional_vars for item in node.items if item.optional_vars is not None])
                self._run(node.body, bound)
            case ast.Try() | ast.TryStar():
                self._run(node.orelse, self._run(node.body, bound))
                for block in (*(handler.body for handler in node.handlers), node.finalbody):
                    self._run(block, bound)
            case ast.Match():
                for case in node.cases:
                    self._run(case.body, bound)
        return bound - _deleted(node)

    def _look(self, node: ast.AST, bound: set[str]) -> None:
        """Note the uses of bound names in an expression that is computed now."""
        if isinstance(node, ast.Name):
            if node.id in bound:
                self.uses.add(node)
        elif isinstance(node, COMPREHENSIONS):
            self._look(node.generators[0].iter, bound)
            # The elements of a generator are computed later: of these only its own names are known.
            inside = set() if isinstance(node, ast.GeneratorExp) else bound
            inside = inside | _stored([one.target for one in node.generators])
            for part in ast.iter_child_nodes(node):
                if not isinstance(part, ast.comprehension):
                    self._look(part, inside)
            for index, one in enumerate(node.generators):
                for part in (*one.ifs, *([one.iter] if index else [])):
                    self._look(part, inside)
        elif not isinstance(node, LATER):
            for part in ast.iter_child_nodes(node):
                self._look(part, bound)


def _expressions(node: ast.stmt) -> Iterator[ast.expr]:
    """Yield the expressions that a statement computes by itself when it runs, without those of the blocks in it."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from (*node.decorator_list, *node.args.defaults, *(one for one in node.args.kw_defaults if one))
        return
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            yield part
        elif isinstance(part, ast.keyword):
            yield part.value
        elif isinstance(part, ast.withitem):
            yield part.context_expr


def _stored(targets: Iterable[ast.AST]) -> set[str]:
    """Return the names that these targets bind."""
    every = (node for target in targets for node in ast.walk(target))
    return {node.id for node in every if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _deleted(node: ast.stmt) -> set[str]:
    """Return the names that a statement with blocks in it may unbind: by `del`, or at the end of an `except`."""
    every = list(ast.walk(node))
    names = {one.id for one in every if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Del)}
    return names | {one.name for one in every if isinstance(one, ast.ExceptHandler) and one.name}


def _bound_to_modules(tree: ast.AST, names: Names) -> Iterator[str]:
    """Yield each name that is imported, or given a module, anywhere in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            if names.module(node.value) is not None:
                yield from _stored(node.targets if isinstance(node, ast.Assign) else [node.target])
