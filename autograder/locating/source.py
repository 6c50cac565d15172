"""The source of an answer, as trees that can be edited and run again, beside the session that it comes from."""

import __future__

import ast
import inspect
import linecache
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, MappingProxyType
from typing import Any

from ..calling.limit import is_learners

FUTURES = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)

Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class NoSource(LookupError):
    """The code of an answer cannot be looked at or run again; the message is a sentence that says why."""


@dataclass
class Unit:
    """A statement that defines the answer or a helper of it.

    name  that it defines
    file  in which it stands; each cell of a notebook is one
    node  its tree, with the line numbers of the file
    flags of the compiler, for what the file imports from the future
    """

    name: str
    file: str
    node: Defined
    flags: int


class Code:
    """What an answer is made of: its own definition, and those of the learner's helpers that it uses.

    units  helpers before what uses them; the last one is the answer
    """

    def __init__(self, units: list[Unit], names: Mapping[str, Any]) -> None:
        self.units, self._names = units, names

    def build(self, more: Mapping[str, Any] = MappingProxyType({})) -> Callable[..., Any]:
        """Run the definitions as their trees are now and return the answer.

        They run in a copy of the learner's names. Raises what the definitions raise.

        more  further names that they may use
        """
        names = {**self._names, **more}
        for unit in self.units:
            tree = ast.Module(body=[unit.node], type_ignores=[])
            exec(compile(tree, unit.file, "exec", unit.flags, dont_inherit=True), names)
        built: Callable[..., Any] = names[self.units[-1].name]
        return built

    def lines(self) -> dict[str, list[tuple[int, str]]]:
        """Return {file: (number, text) of the lines that define the answer and its helpers}."""
        found: dict[str, dict[int, str]] = {}
        for unit in self.units:
            first = min([unit.node.lineno, *(one.lineno for one in getattr(unit.node, "decorator_list", ()))])
            last = unit.node.end_lineno or first
            texts = linecache.getlines(unit.file)[first - 1 : last]
            found.setdefault(unit.file, {}).update(enumerate((text.rstrip("\n") for text in texts), first))
        return {file: sorted(lines.items()) for file, lines in found.items()}


def code_of(component: Callable[..., Any], others: Collection[str]) -> Code:
    """Return the `Code` of an answer.

    others  names of other exercises: whoever looks for a mistake in this one leaves them alone
    Raises NoSource, as for what was made by `functools.partial` or inside of another function.
    """
    written = _written(component)
    if written is None:
        raise NoSource("Its code cannot be looked at: it is neither a plain function nor a class of your own.")
    code, names = written
    units: dict[str, Unit] = {}
    _collect(component, code, names, others, units)
    return Code(list(units.values()), names)


def _collect(
    component: Any, code: CodeType, names: dict[str, Any], others: Collection[str], units: dict[str, Unit]
) -> None:
    """Add the unit of a function or class to the others, its helpers before it."""
    unit = _unit(component, code)
    used = {node.id: None for node in ast.walk(unit.node) if isinstance(node, ast.Name)}
    for name in used:
        if name == unit.name or name in units or name in others:
            continue
        helper = names.get(name)
        written = _written(helper) if callable(helper) else None
        if written and written[1] is names and is_learners(written[0].co_filename):
            try:
                _collect(helper, written[0], names, {*others, unit.name}, units)
            except NoSource:
                continue  # it is called as it is
    units[unit.name] = unit


def _written(component: Any) -> tuple[CodeType, dict[str, Any]] | None:
    """Return the code of a function, or of a class's first method, and the names that it looks things up in."""
    if inspect.isclass(component):
        plain = (inspect.unwrap(getattr(each, "__func__", each)) for each in vars(component).values() if callable(each))
        functions: Iterator[Any] = (each for each in plain if inspect.isfunction(each))
        function = next((each for each in functions if each.__qualname__.startswith(f"{component.__name__}.")), None)
    else:
        function = inspect.unwrap(component)
    if not inspect.isfunction(function):
        return None
    return function.__code__, function.__globals__


def _unit(component: Any, code: CodeType) -> Unit:
    if set(code.co_freevars) - {"__class__"}:
        raise NoSource("Its code cannot be run again by itself: it was made inside of another function.")
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError):
        tree = ast.Module([], [])
    for node in tree.body:
        name = _name(node)
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        if name and isinstance(node, Defined) and first <= code.co_firstlineno <= (node.end_lineno or first):
            if name == component.__name__ or isinstance(node, ast.Assign | ast.AnnAssign):
                return Unit(name, code.co_filename, node, code.co_flags & FUTURES)
    raise NoSource("The source of its code is not at hand.")


def _name(node: ast.stmt) -> str | None:
    """Return the one name that a statement defines, or None."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names[0] if len(names) == len(targets) == 1 else None
