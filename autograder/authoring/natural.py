"""Write a wrong answer as a learner would have written it: one function or class, without the steps of a catalogue.

In `solutions/mistakes/` a component is put together from small steps, so that a mistake can replace one of them. Nobody
writes an answer like that. Here each call of a step is replaced by what the step does, with the names of the step's
parameters as the names of variables in between. What cannot be written in place stays a helper function or a method.
"""

import ast
import copy
import inspect
import io
import re
import tokenize
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, cast

from ..mistakes import Catalogue, Replaced, helpers_of, imports_of, source_of

WIDTH = 96  # columns of a line
HELD = "steps_of_the_catalogue"  # what holds the steps here, whatever it is called in the catalogue
MOST_ROUNDS = 400  # calls that are replaced in one function; none of ours has a tenth of it

Simple = (ast.Name, ast.Constant, ast.Attribute)
Scopes = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Unfit(Exception):
    """A call that cannot be written in place."""


@dataclass(frozen=True)
class Inner:
    """A function whose calls are written in place: its syntax, and whether the first argument is left out."""

    function: ast.FunctionDef
    bound: bool


@dataclass(frozen=True)
class Written:
    """An answer as a learner would have written it.

    imports  the lines that have to run before it, which a notebook of the lesson has at its top
    code     the function or class, with its helpers above it
    """

    imports: str
    code: str


@dataclass(frozen=True)
class Style:
    """How an answer is written.

    public    names of methods that the class of an exercise has to have, beside `__init__` and `forward`
    opened    steps: components of the lesson that use one of them are written in place, and not called
    merge     False: a value that is returned as it is keeps the line in which it gets its name
    branches  True: `if` and `else` on lines of their own, and not within an expression
    """

    public: tuple[str, ...] = ()
    opened: frozenset[str] = frozenset()
    merge: bool = True
    branches: bool = False


def written(catalogue: Catalogue, exercise: str, replaced: Replaced, style: Style) -> Written:
    """Return an answer to an exercise, as a learner would have written it: the right one if nothing is replaced.

    catalogue  the lesson's steps and mistakes
    replaced   {step or exercise: what takes its place}
    Raises Unfit if it cannot be written like that.
    """
    if exercise in replaced:
        whole = replaced[exercise]
        body = ast.parse(source_of(whole, exercise)).body
        return Written(
            "\n".join(imports_of(whole)), _text([*_needed(helpers_of(whole), _names_of_all(whole), catalogue), *body])
        )
    component = catalogue.components[exercise][0]
    modules = {component.__module__: component} | {each.__module__: each for each in replaced.values()}
    imports = "\n".join(dict.fromkeys(line for each in modules.values() for line in imports_of(each)))
    make = _class if inspect.isclass(component) else _function
    return Written(imports, make(catalogue, exercise, replaced, style))


# A function that is made of steps


def _function(catalogue: Catalogue, exercise: str, replaced: Replaced, style: Style) -> str:
    chosen = catalogue.steps | replaced
    inner = {f"{HELD}.{name}": Inner(_syntax(function), False) for name, function in chosen.items()}
    touched = {
        name
        for name in catalogue.components
        if name != exercise and _uses(catalogue, name, replaced.keys() | style.opened)
    }
    inner |= {name: Inner(_held(catalogue.components[name][0]), True) for name in touched}
    plain = set(catalogue.components) - touched - {exercise}
    tree = _in_place(_held(catalogue.components[exercise][0]), inner)
    tree.args.args = tree.args.args[1:]
    made: list[ast.stmt] = [tree]
    left = _left(tree, inner)
    while left:
        left.remove(name := max(left))
        if name in {each.name for each in made if isinstance(each, ast.FunctionDef)}:
            continue
        helper = _in_place(copy.deepcopy(inner[f"{HELD}.{name}"].function), inner)
        made.insert(0, helper)
        left |= _left(helper, inner)
    module = _Bare(plain).visit(ast.Module(made, []))
    _clean(module, style)
    texts = [text for function in chosen.values() for text in helpers_of(function) if function in replaced.values()]
    used = _read([module]) - _stored([module])
    return _text([*_needed(texts, used, catalogue), *module.body])


def _held(component: Callable[..., Any]) -> ast.FunctionDef:
    """Return the syntax of a component in which `HELD` holds the steps: an answer may have an argument of that name."""
    tree = _syntax(component)
    own = tree.args.args[0].arg
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == own:
            node.id = HELD
    tree.args.args[0].arg = HELD
    return tree


def _needed(texts: Iterable[str], used: Collection[str], catalogue: Catalogue) -> list[ast.stmt]:
    """Return the helpers among some texts that are used; other components of the lesson are there already."""
    helpers = [ast.parse(text).body[0] for text in dict.fromkeys(texts)]
    return [one for one in helpers if (name := cast(Any, one).name) in used and name not in catalogue.components]


def _uses(catalogue: Catalogue, name: str, replaced: Set[str]) -> bool:
    """Tell whether a component of the lesson uses a step that is replaced, itself or in one that it calls."""
    function, steps = catalogue.components[name]
    if inspect.isclass(function):
        return False
    others = [other for other in catalogue.components if other != name and other in function.__code__.co_names]
    return bool(replaced & set(steps)) or any(_uses(catalogue, other, replaced) for other in others)


def _left(tree: ast.AST, inner: Mapping[str, Inner]) -> set[str]:
    """Return the names of steps that a function still refers to."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _dotted(node) in inner and _dotted(node).startswith(f"{HELD}.")
    }


class _Bare(ast.NodeTransformer):
    """Let steps that stay functions be called by their own names, and other components without the steps."""

    def __init__(self, components: Collection[str]) -> None:
        self.components = components

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return ast.Name(node.attr, node.ctx) if isinstance(node.value, ast.Name) and node.value.id == HELD else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Name) and first.id == HELD:
            node.args = node.args[1:]
        return node


# A class whose steps are its methods


def _class(catalogue: Catalogue, exercise: str, replaced: Replaced, style: Style) -> str:
    component = catalogue.components[exercise][0]
    original = {name: value for name, value in vars(component).items() if inspect.isfunction(value)}
    methods = {name: _syntax(function, name) for name, function in (original | replaced).items()}
    stay = {"__init__", "forward", *style.public}
    inner = {f"self.{name}": Inner(method, True) for name, method in methods.items() if name not in stay}
    base = {name: _syntax(function, name) for name, function in original.items()}
    inner |= {f"{exercise}.{name}": Inner(method, True) for name, method in base.items()}
    made: dict[str, ast.FunctionDef] = {}
    left = {name for name in methods if name in stay}
    while left:
        left.remove(name := max(left))
        made[name] = _in_place(copy.deepcopy(methods[name]), {k: v for k, v in inner.items() if k != f"self.{name}"})
        nodes = [node for node in ast.walk(made[name]) if isinstance(node, ast.Attribute)]
        found = {node.attr for node in nodes if _dotted(node) == f"self.{node.attr}" and node.attr in methods}
        left |= found - made.keys()
    text = ast.parse(source_of(component, exercise)).body[0]
    assert isinstance(text, ast.ClassDef), "a class was declared"
    text.body = [made[name] for name in methods if name in made]
    for method in made.values():
        _short_init(method)
    _clean(text, style)
    used = _read([text]) - _stored([text])
    texts = [each for function in (original | replaced).values() for each in helpers_of(function)]
    return _text([*_needed(texts, used, catalogue), text])


def _short_init(method: ast.FunctionDef) -> None:
    """Write `super().__init__()` for `nn.Module.__init__(self)`."""
    for statement in method.body:
        if isinstance(statement, ast.Expr) and ast.unparse(statement) == "nn.Module.__init__(self)":
            statement.value = cast(ast.Expr, ast.parse("super().__init__()").body[0]).value


# Calls are replaced by what they do


def _in_place(tree: ast.FunctionDef, inner: Mapping[str, Inner]) -> ast.FunctionDef:
    """Return a function in which every call of an inner function that can be is replaced by what that does."""
    _spread_out(tree)
    tree.body = _Inliner(inner).block(tree.body, set())
    _spread_out(tree)
    return tree


def _spread_out(tree: ast.FunctionDef) -> None:
    """Write `f(a, b)` for `pair = (a, b)` and `f(*pair)`."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    tuples = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Tuple):
            name, stored = node.targets[0].id, [one.id for one in names if _is_stored(one)]
            if _is_simple(node.value) and stored.count(name) == 1 and not _names(node.value) & set(stored):
                tuples[name] = node.value
    starred = [node.value.id for node in ast.walk(tree) if isinstance(node, ast.Starred) and _dotted(node.value)]  # type: ignore[attr-defined]
    reads = [one.id for one in names if not _is_stored(one)]
    tuples = {name: value for name, value in tuples.items() if 0 < reads.count(name) == starred.count(name)}
    _Renamed(tuples, kept=True).visit(tree)
    for owner in ast.walk(tree):
        for field in ("body", "orelse"):
            if isinstance(block := getattr(owner, field, None), list):
                kept = [one for one in block if not (isinstance(one, ast.Assign) and _dotted(one.targets[0]) in tuples)]
                setattr(owner, field, kept)
    _Flat().visit(tree)


class _Inliner:
    def __init__(self, inner: Mapping[str, Inner]) -> None:
        self.inner = inner
        self.rounds = 0
        self.unfit: set[int] = set()  # calls that stay

    def block(self, statements: Sequence[ast.stmt], after: set[str]) -> list[ast.stmt]:
        """Return statements without calls of inner functions; `after` are the names that are read behind them."""
        made: list[ast.stmt] = []
        for index, statement in enumerate(statements):
            made += self.statement(statement, _read(statements[index + 1 :]) | after)
        return made

    def statement(self, statement: ast.stmt, after: set[str]) -> list[ast.stmt]:
        while True:
            call, free = self._next(statement)
            if call is None:
                break
            self.rounds += 1
            if self.rounds > MOST_ROUNDS:
                raise Unfit
            try:
                made = self._replace(statement, call, free, after)
            except Unfit:
                branches = _as_branches(statement) if not free else None
                if branches is None:
                    self.unfit.add(id(call))
                    continue
                made = [branches]
            if len(made) == 1 and made[0] is statement:
                continue
            return self.block(made, after)
        inside = after | _read([statement]) if isinstance(statement, (ast.For, ast.While)) else after
        for name in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(statement, name, None), list) and not isinstance(statement, ast.FunctionDef):
                setattr(statement, name, self.block(block, inside))
        return [statement]

    def _next(self, statement: ast.stmt) -> tuple[ast.Call | None, bool]:
        """Return the outermost call of an inner function in a statement, and whether it always happens, and once."""
        found = [
            (node, free)
            for part in _expressions(statement)
            for node, free in _walk(part, not isinstance(statement, ast.While))
            if isinstance(node, ast.Call) and id(node) not in self.unfit and _dotted(node.func) in self.inner
        ]
        return next((each for each in found if self._is_trivial(each[0])), found[0] if found else (None, True))

    def _is_trivial(self, call: ast.Call) -> bool:
        """Tell whether a call only hands on what it is given, so that nothing of it is left in its place."""
        value = _only_value(self.inner[_dotted(call.func)].function.body)
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        return value is not None and _is_simple(value) and all(map(_is_simple, given))

    def _replace(self, statement: ast.stmt, call: ast.Call, free: bool, after: set[str]) -> list[ast.stmt]:
        """Return what takes the place of a statement when one call in it is written in place."""
        inner = self.inner[_dotted(call.func)]
        body = copy.deepcopy(inner.function.body)
        value = _only_value(body)
        whole = getattr(statement, "value", None) is call
        if value is None and not whole:
            if not free:
                raise Unfit
            name = _fresh(_name_of_result(inner.function), _names(statement) | after)
            _put(statement, call, ast.Name(name, ast.Load()))
            return [_assign(ast.Name(name, ast.Store()), call), statement]
        before, given = self._bind(inner, body, statement, call, free, after)
        made = [_Renamed(given).visit(one) for one in body]
        if value is not None:
            only = _only_value(made)
            assert only is not None, "it has one before the names are changed"
            _put(statement, call, only)
            return [*before, statement]
        if isinstance(statement, ast.Return):
            return [*before, *made]
        if isinstance(statement, ast.Assign):
            return [*before, *_assigned(made, statement.targets)]
        if isinstance(statement, ast.Expr):
            if isinstance(made[-1], ast.Return):
                made = made[:-1]
            if any(isinstance(node, ast.Return) for one in made for node in ast.walk(one)):
                raise Unfit
            return [*before, *(made or [ast.Pass()])]
        raise Unfit

    def _bind(
        self,
        inner: Inner,
        body: list[ast.stmt],
        statement: ast.stmt,
        call: ast.Call,
        free: bool,
        after: set[str],
    ) -> tuple[list[ast.stmt], dict[str, ast.expr]]:
        """Return (assignments that come first, {name in the inner function: what it is here})."""
        given, spread = _arguments(inner, call)
        inside = {name for one in body for node in ast.walk(one) for name in _stored_in_comprehension(node)}
        own = _stored(body) - inside
        targets = _stored([statement]) if isinstance(statement, ast.Assign) else set()
        needed = (after - targets) | _read([statement], but=call)
        before: list[ast.stmt] = []
        found: dict[str, ast.expr] = {}
        if spread is not None:
            names, value = spread
            others = {name for other in given.values() for name in _names(other)}
            if not free or set(names) & (needed | others):
                raise Unfit
            unpacked = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
            before.append(_assign(unpacked, value))
            found |= {name: ast.Name(name, ast.Load()) for name in names}
        for name, value in given.items():
            uses = _uses_of(name, body)
            others = {read for other, each in given.items() if other != name for read in _names(each)}
            if _is_simple(value) and name not in own:
                found[name] = value
            elif not uses and name not in own:
                continue
            elif free and name not in needed | others:
                before.append(_assign(ast.Name(name, ast.Store()), value))
                found[name] = ast.Name(name, ast.Load())
            elif len(uses) == 1 and uses[0] and name not in own:
                found[name] = value
            elif free:
                fresh = _fresh(name, needed | others | _names(statement) | own)
                before.append(_assign(ast.Name(fresh, ast.Store()), value))
                found[name] = ast.Name(fresh, ast.Load())
            else:
                raise Unfit
        taken = needed | {read for value in found.values() for read in _names(value)}
        for name in inside & {read for value in found.values() for read in _names(value)} - given.keys():
            found[name] = ast.Name(_fresh(name, taken | own | _names(statement)), ast.Load())
        for name in own - given.keys():
            if name in taken:
                found[name] = ast.Name(_fresh(name, taken | own | _names(statement)), ast.Load())
        return before, found


def _arguments(inner: Inner, call: ast.Call) -> tuple[dict[str, ast.expr], tuple[list[str], ast.expr] | None]:
    """Return ({parameter: argument}, (the last parameters, what is spread over them) or None)."""
    arguments = inner.function.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs or arguments.kwonlyargs:
        raise Unfit
    names = [one.arg for one in arguments.args]
    given = list(call.args)
    if inner.bound:
        names = names[1:]
        if not (isinstance(call.func, ast.Attribute) and _dotted(call.func).startswith("self.")):
            given = given[1:]
    found = dict(zip(names[::-1], arguments.defaults[::-1], strict=False))
    spread = None
    if given and isinstance(given[-1], ast.Starred):
        spread = (names[len(given) - 1 :], given[-1].value)
        given = given[:-1]
    if any(isinstance(one, ast.Starred) for one in given) or len(given) > len(names):
        raise Unfit
    found |= dict(zip(names, given, strict=False))
    for keyword in call.keywords:
        if keyword.arg not in names:
            raise Unfit
        found[keyword.arg] = keyword.value
    if spread is not None:
        found = {name: value for name, value in found.items() if name not in spread[0]}
    if set(names) - found.keys() - set(spread[0] if spread else ()):
        raise Unfit
    return {name: found[name] for name in names if name in found}, spread


def _assigned(statements: list[ast.stmt], targets: list[ast.expr]) -> list[ast.stmt]:
    """Return statements that assign what they would have returned."""
    made: list[ast.stmt] = []
    for index, statement in enumerate(statements):
        if isinstance(statement, ast.Return):
            return [*made, ast.Assign(copy.deepcopy(targets), statement.value or ast.Constant(None), lineno=0)]
        if not any(isinstance(node, ast.Return) for node in ast.walk(statement)):
            made.append(statement)
        elif isinstance(statement, ast.If) and _leaves(statement.body):
            rest = [*statement.orelse, *statements[index + 1 :]]
            branch = ast.If(statement.test, _assigned(statement.body, targets), _assigned(rest, targets))
            return [*made, branch]
        else:
            raise Unfit
    if made and isinstance(made[-1], ast.Raise):
        return made
    return [*made, ast.Assign(copy.deepcopy(targets), ast.Constant(None), lineno=0)]


def _leaves(block: list[ast.stmt]) -> bool:
    return bool(block) and isinstance(block[-1], (ast.Return, ast.Raise))


def _as_branches(statement: ast.stmt) -> ast.stmt | None:
    """Return `x = a if test else b` as an if statement, None if it is nothing of the kind."""
    if isinstance(statement, (ast.Assign, ast.Return)) and isinstance(statement.value, ast.IfExp):
        chosen = statement.value
        one, other = copy.deepcopy(statement), copy.deepcopy(statement)
        one.value, other.value = chosen.body, chosen.orelse
        return ast.If(chosen.test, [one], [other])
    return None


class _Renamed(ast.NodeTransformer):
    """Put what names stand for in their places."""

    def __init__(self, given: Mapping[str, ast.expr], kept: bool = False) -> None:
        self.given, self.kept = given, kept

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self.given or (self.kept and _is_stored(node)):
            return node
        value = copy.deepcopy(self.given[node.id])
        return ast.Name(value.id, node.ctx) if isinstance(value, ast.Name) else value


# What is left over is tidied up


def _clean(tree: ast.AST, style: Style) -> None:
    if style.branches:
        _Branches().visit(tree)
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        for _ in range(20):
            before = ast.dump(function)
            _Flat().visit(function)
            for owner in ast.walk(function):
                for name in ("body", "orelse"):
                    if isinstance(block := getattr(owner, name, None), list) and block:
                        setattr(owner, name, _tidied(block, function, style.merge, name == "body"))
            if ast.dump(function) == before:
                break
        last = function.body[-1]
        if isinstance(last, ast.Return) and last.value is None and len(function.body) > 1:
            function.body.pop()


class _Branches(ast.NodeTransformer):
    """Write `if` and `else` on lines of their own."""

    def visit_Return(self, node: ast.Return) -> ast.AST:
        return _as_branches(node) or node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        return _as_branches(node) or node


class _Flat(ast.NodeTransformer):
    """Write `f(a, b)` for `f(*(a, b))`, and `(a, b)` for `(x for x in (a, b))`."""

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        self.generic_visit(node)
        loop = node.generators[0]
        same = isinstance(node.elt, ast.Name) and ast.unparse(node.elt) == ast.unparse(loop.target)
        return loop.iter if same and not loop.ifs and not node.generators[1:] else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.args = [
            part
            for one in node.args
            for part in (one.value.elts if isinstance(one, ast.Starred) and isinstance(one.value, ast.Tuple) else [one])
        ]
        return node


def _tidied(block: list[ast.stmt], function: ast.FunctionDef, merge: bool, needed: bool) -> list[ast.stmt]:
    """Return a block without assignments that change nothing; `needed`: it may not be empty."""
    made: list[ast.stmt] = []
    for statement in block:
        if isinstance(statement, ast.Assign):
            _drop_same(statement)
            if not statement.targets:
                continue
        if isinstance(statement, ast.Pass) and len(block) > 1:
            continue
        if isinstance(statement, ast.If) and not statement.orelse and isinstance(statement.body[0], ast.Pass):
            continue
        if made and (both := _together(made[-1], statement, function, merge)):
            made[-1] = both
            continue
        made.append(statement)
    return made or ([ast.Pass()] if needed else [])


def _drop_same(statement: ast.Assign) -> None:
    """Take out of an assignment what it gives to itself."""
    target, value = statement.targets[0], statement.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        pairs = [
            pair
            for pair in zip(target.elts, value.elts, strict=True)
            if not isinstance(pair[0], ast.Name) or ast.unparse(pair[0]) != ast.unparse(pair[1])
        ]
        if len(pairs) == 1:
            statement.targets, statement.value = [pairs[0][0]], pairs[0][1]
        elif not pairs:
            statement.targets = []
        else:
            target.elts, value.elts = map(list, zip(*pairs, strict=True))
    elif isinstance(target, ast.Name) and isinstance(value, ast.Name) and target.id == value.id:
        statement.targets = []


def _together(one: ast.stmt, other: ast.stmt, function: ast.FunctionDef, merge: bool) -> ast.stmt | None:
    """Return `return f(x)` for `y = f(x)` with `return y` behind it; None if they do not belong together."""
    if not (isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(other, (ast.Return, ast.Assign))):
        return None
    names = _stored([one])
    if isinstance(one.targets[0], ast.Name) and isinstance(one.value, ast.Name) and isinstance(other, ast.Assign):
        name = one.targets[0].id  # y = x; y = f(y)
        if name in _stored([other]) and name in _names(other.value) and one.value.id not in names:
            made: ast.Assign | ast.Return = copy.copy(other)
            made.value = _Renamed({name: one.value}).visit(copy.deepcopy(other.value))
            return made
    if other.value is None or ast.unparse(one.targets[0]).strip("()") != ast.unparse(other.value).strip("()"):
        return None
    if not names or any(not isinstance(node, (ast.Name, ast.Tuple, ast.Store)) for node in ast.walk(one.targets[0])):
        return None
    again = isinstance(other, ast.Assign) and names <= _stored([other])
    unpacks = isinstance(other, ast.Assign) and isinstance(other.targets[0], ast.Tuple)
    reads = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id in names]
    once = sum(isinstance(node.ctx, ast.Load) for node in reads) == len(names)
    if isinstance(other, ast.Return) and not merge:
        return None
    if not (isinstance(other, ast.Return) or again or unpacks and once or once):
        return None
    merged = copy.copy(other)
    merged.value = one.value
    return merged


# Questions about syntax


def _syntax(function: Callable[..., Any], name: str = "") -> ast.FunctionDef:
    """Return the syntax of a function, without its decorators and docstring."""
    node = ast.parse(source_of(function, name or function.__name__)).body[0]
    assert isinstance(node, ast.FunctionDef), "a step is a function"
    node.decorator_list = [one for one in node.decorator_list if ast.unparse(one) != "staticmethod"]
    return node


def _dotted(node: ast.AST) -> str:
    """Return `self.cut` or `cut` of what is called, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def _expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    """Yield the expressions of a statement itself, not those of the blocks in it."""
    for _, value in ast.iter_fields(statement):
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.expr):
                yield one
            elif isinstance(one, ast.withitem):
                yield one.context_expr


def _walk(node: ast.AST, free: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yield (node, whether it is always evaluated, and once) of an expression, the outer ones first."""
    yield node, free
    for name, value in ast.iter_fields(node):
        for index, one in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(one, ast.AST):
                branch = isinstance(node, ast.IfExp) and name != "test" or isinstance(node, ast.BoolOp) and index > 0
                yield from _walk(one, free and not branch and not isinstance(node, Scopes))


def _only_value(body: Sequence[ast.stmt]) -> ast.expr | None:
    """Return the expression that a body amounts to, None if it is more than one."""
    if len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is not None:
        return body[0].value
    return None


def _uses_of(name: str, body: Iterable[ast.stmt]) -> list[bool]:
    """Return for each place that reads a name whether it is always evaluated, and once."""
    found = []
    for statement in body:
        loop = isinstance(statement, (ast.For, ast.While))
        found += [free for node, free in _walk(statement, not loop) if isinstance(node, ast.Name) and node.id == name]
    return found


def _is_simple(value: ast.expr) -> bool:
    if isinstance(value, ast.Tuple):
        return all(map(_is_simple, value.elts))
    return isinstance(value, Simple) and (not isinstance(value, ast.Attribute) or _is_simple(value.value))


def _is_stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _stored(statements: Iterable[ast.AST]) -> set[str]:
    nodes = [node for one in statements for node in ast.walk(one)]
    return {node.id for node in nodes if isinstance(node, ast.Name) and _is_stored(node)}


def _stored_in_comprehension(node: ast.AST) -> set[str]:
    """Return the variables of a comprehension, which are its own."""
    return _names(node.target) if isinstance(node, ast.comprehension) else set()


def _read(statements: Iterable[ast.AST], but: ast.AST | None = None) -> set[str]:
    """Return the names that are read in statements, but for those in one part of them."""
    skipped = {id(node) for node in ast.walk(but)} if but is not None else set()
    nodes = [node for one in statements for node in ast.walk(one) if id(node) not in skipped]
    return {node.id for node in nodes if isinstance(node, ast.Name) and not _is_stored(node)}


def _names_of_all(function: Callable[..., Any]) -> set[str]:
    """Return the names in a function or class and in its helpers."""
    texts = [*helpers_of(function), source_of(function, "answer")]
    return {name for text in texts for name in _names(ast.parse(text))}


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _fresh(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"new_{name}"
    return name


def _name_of_result(function: ast.FunctionDef) -> str:
    last = function.body[-1]
    named = isinstance(last, ast.Return) and isinstance(last.value, ast.Name)
    return cast(Any, last).value.id if named else function.name


def _assign(target: ast.expr, value: ast.expr) -> ast.Assign:
    return ast.Assign([target], value, lineno=0)


def _put(statement: ast.stmt, call: ast.Call, value: ast.expr) -> None:
    """Put an expression in the place of a call."""
    for owner in ast.walk(statement):
        for name, old in ast.iter_fields(owner):
            if old is call:
                setattr(owner, name, value)
                return
            if isinstance(old, list) and any(one is call for one in old):
                setattr(owner, name, [value if one is call else one for one in old])
                return


# How it looks


def of_source(source: str) -> str:
    """Return a function or class as it would be written here, without its docstring and comments."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return _text(tree.body)


def _text(statements: Iterable[ast.stmt]) -> str:
    """Return statements as text: no brackets round what is assigned or returned, no line too long to be read."""
    parts = []
    for statement in statements:
        text = ast.unparse(ast.fix_missing_locations(statement))
        for node in ast.walk(statement):
            if isinstance(node, (ast.Assign, ast.Return)) and isinstance(node.value, ast.Tuple) and node.value.elts[1:]:
                value = ast.unparse(node.value)
                for before in ("= ", "return "):
                    text = f"{text}\n".replace(f"{before}{value}\n", f"{before}{value[1:-1]}\n").rstrip("\n")
        text = re.sub(r"(class .*:)\n\n", r"\1\n", text)
        quoted = re.sub(r"'([^'\"\\\n]*)'", r'"\1"', text)
        text = quoted if _same_code(quoted, text) else text
        parts.append("\n".join(part for line in text.split("\n") for part in _broken(line)))
    return "\n\n\n".join(parts)


def _same_code(one: str, other: str) -> bool:
    try:
        return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    except SyntaxError:
        return False


def _broken(line: str) -> list[str]:
    """Return a line, as several if it is too long: what stands in its last brackets goes on lines of its own."""
    indent, bare = line[: len(line) - len(line.lstrip())], line.strip()
    if len(line) <= WIDTH:
        return [line]
    pairs = [pair for pair in _brackets(bare) if pair[2] == 0 and pair[1] - pair[0] > 1]
    if not pairs:
        return [line]
    fitting = [pair for pair in pairs if len(indent) + pair[0] < WIDTH]
    start, end, _ = (fitting or pairs)[-1]
    inner = f"{indent}    {bare[start + 1 : end]}"
    return [f"{indent}{bare[: start + 1]}", *_parts(inner), f"{indent}{bare[end:]}"]


def _parts(line: str) -> list[str]:
    """Return what stood in brackets: on one line if it fits, else one part a line."""
    indent, bare = line[: len(line) - len(line.lstrip())], line.strip()
    if len(line) <= WIDTH:
        return [line]
    depth0 = [token for token, depth in _tokens(bare) if depth == 0]
    commas = [token.end[1] for token in depth0 if token.string == ","]
    loops = [token.start[1] for token in depth0 if token.string in ("for", "if") and token.start[1]]
    comprehends = any(token.string == "for" for token in depth0)
    if cuts := loops if comprehends else commas:
        pieces = [bare[i:j].strip() for i, j in zip([0, *cuts], [*cuts, len(bare)], strict=True)]
        if not comprehends and not pieces[-1].startswith("*"):
            pieces[-1] += ","
        return [part for piece in pieces if piece not in ("", ",") for part in _broken(indent + piece)]
    return _broken(line)


def _tokens(text: str) -> list[tuple[tokenize.TokenInfo, int]]:
    """Return [(token, how many brackets are open in front of it)] of a piece of a line."""
    found, depth = [], 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text + "\n").readline):
            if token.type == tokenize.OP and token.string in ")]}":
                depth -= 1
            found.append((token, depth))
            if token.type == tokenize.OP and token.string in "([{":
                depth += 1
    except (tokenize.TokenError, IndentationError):
        pass
    return [(token, depth) for token, depth in found if token.start[0] == 1 and token.string.strip()]


def _brackets(text: str) -> list[tuple[int, int, int]]:
    """Return (start, end, depth) of each pair of brackets in a line, in the order of their starts."""
    opened: list[tuple[int, int]] = []
    found = []
    for token, depth in _tokens(text):
        if token.type == tokenize.OP and token.string in "([{":
            opened.append((token.start[1], depth))
        elif token.type == tokenize.OP and token.string in ")]}" and opened:
            start, at = opened.pop()
            found.append((start, token.start[1], at))
    return sorted(found)
