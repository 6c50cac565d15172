"""Small edits of a tree, as a person would make them who looks for a mistake: one place at a time, and never shown.

An edit either changes what stands there (an operand, a name, a constant, an order) or inserts something. None knows
any exercise. That an edit is possible says nothing; the probes say whether it repairs.
"""

import ast
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .kinds import TENSORS, Sight


class Place(NamedTuple):
    """The lines of one statement; of a loop, a condition or a definition those of its head."""

    file: str
    first: int
    last: int


@dataclass(frozen=True)
class Edit:
    """What stands in one field of a node is replaced.

    place    of the statement that is edited
    inserts  True: it adds something, and takes nothing away
    also     another place where the same would do the same
    """

    place: Place
    owner: ast.AST
    field: str
    index: int | None
    new: Any
    inserts: bool = False
    also: Place | None = None

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the edit in the tree for the time of a block."""
        before = getattr(self.owner, self.field)
        if self.index is None:
            setattr(self.owner, self.field, self.new)
        else:
            setattr(self.owner, self.field, [*before[: self.index], self.new, *before[self.index + 1 :]])
        try:
            yield
        finally:
            setattr(self.owner, self.field, before)


class Slot(NamedTuple):
    """Where an expression stands."""

    owner: ast.AST
    field: str
    position: int | None
    node: ast.expr


Function = ast.FunctionDef | ast.AsyncFunctionDef

FAMILIES = (
    ("tril", "triu"),
    ("sum", "mean", "amax", "prod", "max", "cumsum"),
    ("min", "max", "amin", "amax"),
    ("argmin", "argmax"),
    ("softmax", "log_softmax", "sigmoid"),
    ("std", "var"),
    ("sqrt", "rsqrt", "square", "exp", "reciprocal"),
    ("relu", "gelu", "silu", "sigmoid", "tanh"),
    ("sin", "cos"),
    ("ones", "zeros", "empty"),
    ("ones_like", "zeros_like"),
    ("any", "all"),
    ("logical_and", "logical_or"),
    ("eq", "ne"),
    ("lt", "le", "gt", "ge"),
    ("floor", "ceil", "round"),
    ("cat", "stack"),
    ("minimum", "maximum"),
    ("repeat", "repeat_interleave", "tile"),
    ("log", "log2", "log10", "log1p"),
    ("unsqueeze", "squeeze"),
    ("view", "reshape"),
    ("cumsum", "cumprod"),
    ("multinomial", "argmax"),
    ("add_", "add"),
    ("mul_", "mul"),
    ("div_", "div"),
    ("sub_", "sub"),
    ("masked_fill_", "masked_fill"),
    ("add", "mul", "sub", "div"),
    ("append", "extend"),
)

KEYWORDS = {
    "var": ("correction=0", "unbiased=False", "keepdim=True"),
    "std": ("correction=0", "unbiased=False", "keepdim=True"),
    "Linear": ("bias=False",),
    "sum": ("keepdim=True",),
    "mean": ("keepdim=True",),
    "amax": ("keepdim=True",),
    "argmax": ("keepdim=True",),
    "argmin": ("keepdim=True",),
    "any": ("keepdim=True",),
    "all": ("keepdim=True",),
    "triu": ("diagonal=1", "diagonal=-1"),
    "tril": ("diagonal=1", "diagonal=-1"),
    "gelu": ("approximate='tanh'",),
    "cross_entropy": ("ignore_index=-100", "reduction='sum'", "reduction='none'"),
    "sort": ("descending=True",),
    "argsort": ("descending=True",),
    "topk": ("dim=-1", "largest=False"),
    "cat": ("dim=1", "dim=-1"),
    "stack": ("dim=1", "dim=-1"),
    "full_like": ("dtype=torch.bool",),
    "ones_like": ("dtype=torch.bool",),
    "zeros_like": ("dtype=torch.bool",),
    "ones": ("dtype=torch.bool",),
    "zeros": ("dtype=torch.bool",),
}

OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub, ast.Mult, ast.Div),
    ast.Sub: (ast.Add, ast.Mult, ast.Div),
    ast.Mult: (ast.Div, ast.Add, ast.Sub, ast.MatMult, ast.Pow, ast.FloorDiv),
    ast.Div: (ast.Mult, ast.Sub, ast.Add, ast.FloorDiv, ast.Pow),
    ast.FloorDiv: (ast.Mult, ast.Mod, ast.Div),
    ast.Mod: (ast.FloorDiv, ast.Mult),
    ast.Pow: (ast.Mult, ast.Div),
    ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr, ast.BitXor),
    ast.BitOr: (ast.BitAnd, ast.BitXor),
    ast.BitXor: (ast.BitAnd, ast.BitOr),
}
COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)

# What may be put around a value of each kind.
AROUND = {
    "mask": ("~_", "_.tril()", "_.triu()", "_.float()"),
    "long": ("_ + 1", "_ - 1", "_.clone()"),
    "float": (
        "-_",
        "1 - _",
        "_ ** 0.5",
        "_ ** 2",
        "1 / _",
        "_.exp()",
        "_.log()",
        "_.clone()",
        "_.nan_to_num()",
    ),
    "number": ("_ + 1", "_ - 1", "_ ** 0.5", "_ ** -0.5", "1 / _", "-_", "_ * 2", "_ // 2", "_ + 2"),
    "other": ("_[-1]", "_[0]", "list(reversed(_))", "not _"),
}
# What turns or cuts a tensor, with how many dimensions it needs at least.
TURNED = (
    (2, "_.transpose(-2, -1)"),
    (2, "_.transpose(0, 1)"),
    (3, "_.transpose(1, 2)"),
    (1, "_.unsqueeze(-1)"),
    (1, "_.unsqueeze(-2)"),
    (2, "_.unsqueeze(1)"),
    (2, "_[:, :-1]"),
    (2, "_[:, 1:]"),
    (1, "_.softmax(-1)"),
    (1, "_.flip(-1)"),
    (1, "_.cumsum(-1)"),
)
BY_MASK = (
    "_.masked_fill(~name, float('-inf'))",
    "_.masked_fill(~name, 0.0)",
    "_.masked_fill(name, float('-inf'))",
    "_.masked_fill(name, 0.0)",
)
BY_SIZE = ("_ / size ** 0.5", "_ * size ** 0.5", "_ / size")


Look = Callable[[Slot], Sight]


def edits(tree: ast.stmt, file: str, look: Look) -> Iterator[Edit]:
    """Yield the edits of a definition: first those that change what stands there, then those that insert.

    look  returns what was seen of an expression while the answer ran
    """
    seen: set[tuple[int, str, int | None, str]] = set()
    for edit in itertools.chain(_changes(tree, file, look), _moves(tree, file)):
        known = id(edit.owner), edit.field, edit.index, _text(edit.new)
        if known not in seen:
            seen.add(known)
            yield edit
    yield from _insertions(tree, file, look)


def _text(new: Any) -> str:
    return str([id(one) for one in new]) if isinstance(new, list) else ast.dump(new)


def place_of(statement: ast.stmt, file: str) -> Place:
    """Return the lines of a statement, or of its head."""
    last = statement.end_lineno or statement.lineno
    if body := getattr(statement, "body", None):
        first_inside = min([body[0].lineno, *(one.lineno for one in getattr(body[0], "decorator_list", ()))])
        last = max(statement.lineno, first_inside - 1)
    return Place(file, statement.lineno, last)


def statements(tree: ast.stmt) -> Iterator[ast.stmt]:
    """Yield each statement of a tree."""
    yield tree
    for _, block in blocks(tree):
        for statement in block:
            yield from statements(statement)


def blocks(node: ast.AST) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Yield (field, statements) of the blocks inside of a statement."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block:
            yield name, block
    for handler in getattr(node, "handlers", ()):
        yield from blocks(handler)


def slots(statement: ast.stmt) -> Iterator[Slot]:
    """Yield where an expression stands in a statement, but for those of the statements inside of it."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        owner = waiting.pop(0)
        for name, value in ast.iter_fields(owner):
            if name in ("annotation", "returns", "decorator_list", "type_comment", "type_params", "bases"):
                continue
            if isinstance(owner, ast.JoinedStr | ast.Raise | ast.Assert):
                continue
            for index, one in enumerate(value) if isinstance(value, list) else ((None, value),):
                if isinstance(one, ast.expr):
                    yield Slot(owner, name, index, one)
                if isinstance(one, ast.AST) and not isinstance(one, ast.stmt | ast.expr_context | ast.ExceptHandler):
                    waiting.append(one)


def _is_documentation(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _changes(tree: ast.stmt, file: str, look: Look) -> Iterator[Edit]:
    """Yield edits that change an expression, or leave a part of it out."""
    for statement in statements(tree):
        if _is_documentation(statement):
            continue
        place = place_of(statement, file)
        for slot in slots(statement):
            for new in _instead(slot, look(slot)):
                yield _edit(place, slot, new)
        yield from _in_statement(statement, place)


def _edit(place: Place, slot: Slot, new: ast.AST, inserts: bool = False) -> Edit:
    return Edit(place, slot.owner, slot.field, slot.position, _located(new, slot.node), inserts)


def _located(new: Any, old: ast.AST) -> Any:
    """Give a new node the place of the old one, as far as it has none."""
    if not hasattr(new, "lineno"):
        ast.copy_location(new, old)
    return ast.fix_missing_locations(new)


def _instead(slot: Slot, sight: Sight) -> Iterator[ast.AST]:
    """Yield what may stand in place of an expression."""
    node = slot.node
    stored = not isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
    if isinstance(node, ast.Tuple | ast.List):
        yield from _reordered(node)
    if stored:
        return
    if isinstance(node, ast.Constant):
        yield from _other_constants(node, sight)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            yield from _other_constants(node.operand, sight)
            if isinstance(node.operand.value, int):
                yield from (ast.Constant(-node.operand.value + step) for step in (-1, 1))
    elif isinstance(node, ast.BinOp):
        yield node.left
        yield node.right
        yield ast.BinOp(node.right, node.op, node.left)
        for kind in OPERATORS.get(type(node.op), ()):
            yield ast.BinOp(node.left, kind(), node.right)
            if kind in (ast.Sub, ast.Div):
                yield ast.BinOp(node.right, kind(), node.left)
        yield from _regrouped(node)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in COMPARISONS:
            if not isinstance(node.ops[0], other):
                yield ast.Compare(node.left, [other()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield from node.values
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Subscript):
        yield node.value
        yield from _other_subscripts(node)
    elif isinstance(node, ast.Slice):
        yield from _other_slices(node)
    elif isinstance(node, ast.Attribute):
        yield from _other_attributes(node, slot)
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        own = ast.unparse(node)
        others = sight.sizes if sight.is_a("number") else sight.alike
        yield from (_filled(text) for text in others if text != own)


def _other_constants(node: ast.Constant, sight: Sight) -> Iterator[ast.expr]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif value is None:
        yield from (ast.Constant(other) for other in (0, 1, -1, True))
    elif isinstance(value, int | float):
        around: list[float] = [value + 1, value - 1, -value, 1 - value, -1 - value, 2 * value, 10 * value]
        if isinstance(value, int):
            around += [0, 1, 2, 3, -1, -2, -3, 4, 0.5, 0.0, float("inf"), float("-inf")]
            yield ast.Constant(None)
        else:
            around += [0.0, 1.0, 0.5, 2.0, -1.0, value / 2, value / 10, value**2, float("inf"), float("-inf")]
            around += [1 / value] if value else []
        for other in dict.fromkeys(around):
            if other != value:
                yield ast.Constant(other)
        for size in sight.sizes:
            yield from (_filled(f"{size}{power}") for power in ("", " ** 0.5", " ** -0.5", " ** -1"))
    elif value in ("sum", "mean", "none"):
        yield from (ast.Constant(other) for other in ("sum", "mean", "none") if other != value)


def _regrouped(node: ast.BinOp) -> Iterator[ast.expr]:
    """Yield the same operands with the brackets elsewhere."""
    if isinstance(node.left, ast.BinOp):
        yield ast.BinOp(node.left.left, node.left.op, ast.BinOp(node.left.right, node.op, node.right))
    if isinstance(node.right, ast.BinOp):
        yield ast.BinOp(ast.BinOp(node.left, node.op, node.right.left), node.right.op, node.right.right)
    # What is done to one operand may have been meant for the whole, and the other way round.
    for side in ("left", "right"):
        operand = getattr(node, side)
        if isinstance(operand, ast.Call) and len(operand.args) >= 1 and not isinstance(operand.args[0], ast.Starred):
            inner = ast.BinOp(node.left, node.op, node.right)
            setattr(inner, side, operand.args[0])
            yield ast.Call(operand.func, [inner, *operand.args[1:]], operand.keywords)
        if isinstance(operand, ast.Call) and isinstance(operand.func, ast.Attribute):
            inner = ast.BinOp(node.left, node.op, node.right)
            setattr(inner, side, operand.func.value)
            yield ast.Call(ast.Attribute(inner, operand.func.attr, ast.Load()), operand.args, operand.keywords)


def _other_calls(node: ast.Call) -> Iterator[ast.expr]:
    plain = [one for one in node.args if not isinstance(one, ast.Starred)]
    yield from plain
    yield from (one.value for one in node.keywords if one.arg)
    if isinstance(node.func, ast.Attribute) and not _is_library(node.func.value):
        yield node.func.value
    for index in range(len(node.args)):
        yield ast.Call(node.func, [*node.args[:index], *node.args[index + 1 :]], node.keywords)
    for index in range(len(node.keywords)):
        yield ast.Call(node.func, node.args, [*node.keywords[:index], *node.keywords[index + 1 :]])
    for one, other in itertools.combinations(range(len(node.args)), 2):
        swapped = list(node.args)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        yield ast.Call(node.func, swapped, node.keywords)
    for one, other in itertools.combinations(range(len(node.keywords)), 2):
        values = [keyword.value for keyword in node.keywords]
        values[one], values[other] = values[other], values[one]
        swapped_keywords = [ast.keyword(key.arg, value) for key, value in zip(node.keywords, values, strict=True)]
        yield ast.Call(node.func, node.args, swapped_keywords)
    called = _called(node)
    for text in KEYWORDS.get(called, ()):
        added = _keyword(text)
        if all(keyword.arg != added.arg for keyword in node.keywords):
            yield ast.Call(node.func, node.args, [*node.keywords, added])
    for family in FAMILIES:
        if called in family:
            for name in family:
                if name != called:
                    yield ast.Call(_renamed(node.func, name), node.args, node.keywords)
    if plain and isinstance(plain[0], ast.Call) and plain[0].args:  # f(g(x)) -> g(f(x))
        inner = ast.Call(node.func, [plain[0].args[0], *node.args[1:]], node.keywords)
        yield ast.Call(plain[0].func, [inner, *plain[0].args[1:]], plain[0].keywords)
    inner_call = node.func.value if isinstance(node.func, ast.Attribute) else None
    if isinstance(inner_call, ast.Call) and isinstance(inner_call.func, ast.Attribute):  # x.f().g() -> x.g().f()
        assert isinstance(node.func, ast.Attribute)
        first = ast.Call(ast.Attribute(inner_call.func.value, node.func.attr, ast.Load()), node.args, node.keywords)
        yield ast.Call(ast.Attribute(first, inner_call.func.attr, ast.Load()), inner_call.args, inner_call.keywords)
    if isinstance(node.func, ast.Attribute) and plain and not _is_library(node.func.value):  # a.f(b) -> b.f(a)
        turned = ast.Attribute(plain[0], node.func.attr, ast.Load())
        yield ast.Call(turned, [node.func.value, *node.args[1:]], node.keywords)


def _called(node: ast.Call) -> str:
    """Return the bare name of the function or method that is called; "" if it has none."""
    name: str = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return name


def _renamed(function: ast.expr, name: str) -> ast.expr:
    if isinstance(function, ast.Attribute):
        return ast.Attribute(function.value, name, ast.Load())
    return ast.Name(name, ast.Load())


def _is_library(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "F", "nn", "math", "np", "einops", "functional")


def _other_subscripts(node: ast.Subscript) -> Iterator[ast.expr]:
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for order in _orders(parts):
        yield ast.Subscript(node.value, ast.Tuple(order, ast.Load()), node.ctx)
    if len(parts) > 1:
        for index in range(len(parts)):
            rest = [*parts[:index], *parts[index + 1 :]]
            yield ast.Subscript(node.value, rest[0] if len(rest) == 1 else ast.Tuple(rest, ast.Load()), node.ctx)
    for index in range(len(parts) + 1):
        for added in (ast.Constant(None), ast.Slice(), ast.Constant(...)):
            more = ast.Tuple([*parts[:index], added, *parts[index:]], ast.Load())
            yield ast.Subscript(node.value, more, node.ctx)
    for index, part in enumerate(parts):
        others: list[ast.expr] = [] if isinstance(part, ast.Slice) else [ast.Slice(part, None), ast.Slice(None, part)]
        others += [ast.Slice(), ast.Constant(None)]
        for other in others:
            changed = [*parts[:index], other, *parts[index + 1 :]]
            inside = changed[0] if len(changed) == 1 else ast.Tuple(changed, ast.Load())
            yield ast.Subscript(node.value, inside, node.ctx)


def _other_slices(node: ast.Slice) -> Iterator[ast.expr]:
    yield ast.Slice(node.lower, None, node.step)
    yield ast.Slice(None, node.upper, node.step)
    yield ast.Slice(node.lower, node.upper, None)
    yield ast.Slice(node.upper, node.lower, node.step)
    for number in (1, -1):
        yield ast.Slice(ast.Constant(number), node.upper, node.step)
        yield ast.Slice(node.lower, ast.Constant(number), node.step)


def _other_attributes(node: ast.Attribute, slot: Slot) -> Iterator[ast.expr]:
    if isinstance(slot.owner, ast.Call) and slot.field == "func":
        return
    for family in FAMILIES:
        if node.attr in family:
            yield from (ast.Attribute(node.value, name, ast.Load()) for name in family if name != node.attr)
    if not _is_library(node.value) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
        yield node.value


def _orders(parts: Sequence[ast.expr]) -> Iterator[list[ast.expr]]:
    """Yield the parts in other orders: two exchanged, or one moved."""
    for one, other in itertools.combinations(range(len(parts)), 2):
        swapped = list(parts)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        yield swapped
    if len(parts) > 2:
        for start, end in itertools.permutations(range(len(parts)), 2):
            moved = list(parts)
            moved.insert(end, moved.pop(start))
            yield moved


def _reordered(node: ast.Tuple | ast.List) -> Iterator[ast.expr]:
    make: Callable[[list[ast.expr]], ast.expr] = functools.partial(type(node), ctx=node.ctx)
    yield from map(make, _orders(node.elts))
    if isinstance(node.ctx, ast.Load):
        for index in range(len(node.elts)):
            yield make([*node.elts[:index], *node.elts[index + 1 :]])
        yield from node.elts


def _in_statement(statement: ast.stmt, place: Place) -> Iterator[Edit]:
    """Yield edits of what kind of statement it is."""
    if isinstance(statement, ast.AugAssign):
        for kind in (ast.Add, ast.Sub, ast.Mult, ast.Div):
            if not isinstance(statement.op, kind):
                yield Edit(place, statement, "op", None, kind())
    if isinstance(statement, ast.If | ast.While):
        yield Edit(place, statement, "test", None, _located(ast.UnaryOp(ast.Not(), statement.test), statement.test))
    if isinstance(statement, ast.If):
        yield Edit(place, statement, "test", None, _located(ast.Constant(True), statement.test))
        yield Edit(place, statement, "test", None, _located(ast.Constant(False), statement.test))
    if isinstance(statement, ast.FunctionDef) and len(statement.args.args) > 1:
        for order in _parameter_orders(statement.args):
            yield Edit(place, statement.args, "args", None, order)


def _parameter_orders(arguments: ast.arguments) -> Iterator[list[ast.arg]]:
    for one, other in itertools.combinations(range(len(arguments.args)), 2):
        if arguments.args[one].arg != "self":
            swapped = list(arguments.args)
            swapped[one], swapped[other] = swapped[other], swapped[one]
            yield swapped


def _moves(tree: ast.stmt, file: str) -> Iterator[Edit]:
    """Yield edits that leave a statement out, or put it elsewhere in its block, or in or out of the block above it."""
    for owner in statements(tree):
        for name, block in blocks(owner):
            if not isinstance(owner, ast.Module | ast.ClassDef):
                yield from _in_block(owner, name, block, file)


def _in_block(owner: ast.AST, name: str, block: list[ast.stmt], file: str) -> Iterator[Edit]:
    for index, statement in enumerate(block):
        if _is_documentation(statement):
            continue
        place = place_of(statement, file)
        rest = [*block[:index], *block[index + 1 :]]
        yield Edit(place, owner, name, None, rest or [_located(ast.Pass(), statement)])
        for other in range(len(block)):
            if other == index or _is_documentation(block[other]):
                continue
            moved = list(rest)
            moved.insert(other, statement)
            first, last = sorted((place, place_of(block[other], file)), key=lambda one: one.first)
            span = place if abs(other - index) > 1 else Place(file, first.first, max(first.last, last.last))
            yield Edit(span, owner, name, None, moved)
        for part, inner in blocks(statement) if not isinstance(statement, Function | ast.ClassDef) else ():
            if len(inner) > 1:  # its last statement was meant to stand behind it
                last_one = inner[-1]
                shorter = _with(statement, part, inner[:-1])
                after = [*block[: index + 1], last_one, *block[index + 1 :]]
                after[index] = shorter
                yield Edit(place_of(last_one, file), owner, name, None, after)
            if index + 1 < len(block) and part == "body":  # what stands behind it was meant to stand in it
                following = block[index + 1]
                longer = _with(statement, part, [*inner, following])
                yield Edit(place_of(following, file), owner, name, None, [*block[:index], longer, *block[index + 2 :]])
        if isinstance(statement, ast.If | ast.For | ast.With):
            yield Edit(place, owner, name, None, [*block[:index], *statement.body, *block[index + 1 :]])


def _with(statement: ast.stmt, name: str, block: list[ast.stmt]) -> ast.stmt:
    """Return a copy of a statement with another block."""
    fields = {key: value for key, value in ast.iter_fields(statement)} | {name: block}
    return ast.copy_location(type(statement)(**fields), statement)


def _insertions(tree: ast.stmt, file: str, look: Look) -> Iterator[Edit]:
    """Yield edits that put something around an expression that was seen to run, as far as it fits its value."""
    handed = _handed_on(tree, file)
    uses = {id(use) for use, _ in handed.values()}
    for statement in statements(tree):
        if isinstance(statement, ast.Raise | ast.Assert):
            continue
        place = place_of(statement, file)
        for slot in slots(statement):
            if not isinstance(getattr(slot.node, "ctx", ast.Load()), ast.Load) or isinstance(slot.node, ast.Constant):
                continue
            sight = look(slot)
            _, used = handed.get(id(slot.node), (None, None))
            alone = () if id(slot.node) in uses else _around(sight)
            for text in alone:
                yield replace(_edit(place, slot, _filled(text, slot.node), inserts=True), also=used)
            for text in _with_others(sight, ast.unparse(slot.node), _is_whole(slot)):
                yield _edit(place, slot, _filled(text, slot.node), inserts=True)


def _handed_on(tree: ast.stmt, file: str) -> dict[int, tuple[ast.Name, Place]]:
    """Return {id of a value: (the name, where it stands)} of values that are given a name which is used just once.

    Whatever is done to such a value where it is made may as well be done where it is used.
    """
    found: dict[int, tuple[ast.Name, Place]] = {}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        inside = [statement for statement in statements(function) if statement is not function]
        places = {id(slot.node): place_of(statement, file) for statement in inside for slot in slots(statement)}
        for statement in inside:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                of_it = [node for node in names if node.id == statement.targets[0].id]
                loaded = [node for node in of_it if isinstance(node.ctx, ast.Load)]
                parameters = {one.arg for one in ast.walk(function) if isinstance(one, ast.arg)}
                once = len(of_it) == 2 and len(loaded) == 1 and loaded[0].id not in parameters
                if once and id(loaded[0]) in places:
                    found[id(statement.value)] = loaded[0], places[id(loaded[0])]
    return found


def _is_whole(slot: Slot) -> bool:
    """Tell whether an expression is all that a statement computes, or all of what it gives to a call or returns."""
    return isinstance(slot.owner, ast.Assign | ast.AnnAssign | ast.Return | ast.Call | ast.Tuple | ast.AugAssign)


def _around(sight: Sight) -> Iterator[str]:
    """Yield what may be put around a value, as text."""
    for seen in sorted({(one.name, len(one.shape)) for one in sight.kinds}):
        yield from AROUND.get(seen[0], ())
        if seen[0] in TENSORS:
            yield from (text for least, text in TURNED if seen[1] >= least)
    if sight.is_a("float"):
        for size in sight.sizes:
            if "." not in size.removeprefix("self."):  # a size that changes with the tensor is another one elsewhere
                yield from (text.replace("size", size) for text in BY_SIZE)


def _with_others(sight: Sight, own: str, whole: bool) -> Iterator[str]:
    """Yield what may be put around a value together with what is at hand beside it, as text.

    own    the expression itself
    whole  whether it is all that a statement or a call is about
    """
    if sight.is_a("float"):
        for size in sight.sizes:
            if "." in size.removeprefix("self."):
                yield from (text.replace("size", size) for text in BY_SIZE)
        for mask in sight.beside("mask"):
            yield from (text.replace("name", mask) for text in BY_MASK)
    if sight.is_a("mask"):
        for mask in sight.beside("mask"):
            if mask != own:
                yield from (f"_ & {mask}", f"_ | {mask}")
    if sight.is_a("number"):
        yield from (f"_ * {size}" for size in sight.sizes if size != own)
        yield from (f"_ // {size}" for size in sight.sizes if size != own)
    if whole and sight.is_a("float", "long"):
        for name in sight.beside("float", "long"):
            if name != own:
                yield from (f"_ + {name}", f"_ * {name}", f"_ - {name}")
        if sight.is_a("float"):
            yield from (f"{name}(_)" for name, seen in sight.names.items() if any(one.name == "module" for one in seen))


@functools.cache
def _template(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _filled(text: str, node: ast.expr | None = None) -> ast.expr:
    """Return an expression from its text, with a node in the place of `_`."""
    made = _copied(_template(text), node)
    assert isinstance(made, ast.expr)
    return made


def _copied(template: Any, node: ast.expr | None) -> Any:
    if isinstance(template, list):
        return [_copied(one, node) for one in template]
    if not isinstance(template, ast.AST):
        return template
    if node is not None and isinstance(template, ast.Name) and template.id == "_":
        return node
    return type(template)(**{name: _copied(value, node) for name, value in ast.iter_fields(template)})


@functools.cache
def _keyword_template(text: str) -> ast.keyword:
    call = ast.parse(f"f({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    return call.keywords[0]


def _keyword(text: str) -> ast.keyword:
    made: ast.keyword = _copied(_keyword_template(text), None)
    return made
