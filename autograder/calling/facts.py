"""Facts of one call that tell a first draft from an answer: of what kind the output is, which lines are the learner's.

They are taken where the component lives, and are plain data: names, numbers of lines, text.
"""

import ast
import builtins
import contextlib
import difflib
import functools
import inspect
import io
import linecache
import sys
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType
from typing import Any

import torch

from ..notebooks.definitions import UNSOLVED
from .limit import is_learners

Line = tuple[str, int, str]  # (where, line number, source text)
MOST_PRINTED = 200  # characters
NEAR = 0.7  # how much alike two names are of which one may be meant by the other, from 0 to 1


@dataclass
class Fault:
    """An exception in a component: its type, its message, and the learner's own lines that led to it.

    near  a name that is there, for one that is not: "self.scale" for `scale`, "query" for `qurey`; "" if there is none
    """

    type: str
    message: str
    lines: list[Line] = field(default_factory=list)
    unsolved: bool = False
    near: str = ""


@dataclass
class Facts:
    """What is noted of a call beside what it gave.

    component   "class", "module class" or "function"; for whatever else can be called, the name of its class
    output      name of the output's class; "" after an exception
    printed     how what the call printed begins, if it returned None
    last        the last line of what was called, if it returned None and no `if` or loop decides about it
    made        where the call of a module made a parameter, and the constructor did not
    parameters  {function or method: its parameters} of the component, after an exception
    """

    component: str = ""
    output: str = ""
    printed: str = ""
    last: Line | None = None
    made: Line | None = None
    parameters: dict[str, list[str]] = field(default_factory=dict)


def of_component(component: Any) -> str:
    """Return what a component is: "class", "module class", "function", or the name of its class."""
    if inspect.isclass(component):
        return "module class" if issubclass(component, torch.nn.Module) else "class"
    return "function" if inspect.isroutine(component) else type(component).__name__


def about(facts: Facts, output: Any, called: Any, printed: str) -> None:
    """Note what a call returned, and where it returned None, which line ends it.

    called   the function that was called
    printed  what it printed
    """
    facts.output = type(output).__name__
    if output is None:
        facts.printed, facts.last = printed[:MOST_PRINTED], last_line(called)
    if inspect.iscoroutine(output):
        output.close()  # or Python warns that it was never awaited


def printed_so_far() -> int:
    """Return how many characters have been printed, where they are caught."""
    return sys.stdout.tell() if isinstance(sys.stdout, io.StringIO) else 0


def printed_since(before: int) -> str:
    """Return what was printed since then, where it is caught."""
    return sys.stdout.getvalue()[before:] if isinstance(sys.stdout, io.StringIO) else ""


def written(component: Any) -> Any:
    """Return the function, or the class, that somebody wrote, below all that was put around it.

    It is found through `functools.wraps`, `functools.partial`, methods, instances and what PyTorch compiled.
    """
    for _ in range(20):
        if inspect.isclass(component) or isinstance(component, FunctionType) and not hasattr(component, "__wrapped__"):
            return component
        inner = inside(component)
        if inner is None:
            return component
        component = inner
    return component


def inside(component: Any) -> Any:
    """Return what a component wraps or calls; None if nothing is known of that."""
    if isinstance(component, functools.partial):
        return component.func
    for name in ("__wrapped__", "__func__", "_orig_mod"):
        with contextlib.suppress(Exception):  # whatever it is, it may answer in its own way
            if callable(inner := getattr(component, name, None)):
                return inner
    called = inspect.getattr_static(type(component), "__call__", None)
    return called if isinstance(called, FunctionType) else None


def names_around(component: Any) -> dict[str, Any]:
    """Return the names that the code of a component sees as those of its module."""
    found = written(component)
    functions = [one for one in vars(found).values() if isinstance(one, FunctionType)] if inspect.isclass(found) else []
    seen = getattr(written(functions[0]) if functions else found, "__globals__", None)
    if isinstance(seen, dict):
        return seen
    module = sys.modules.get(str(getattr(found, "__module__", None)), sys.modules["__main__"])
    return vars(module)


def parameters(component: Any) -> dict[str, list[str]]:
    """Return {name: names of the parameters} of a function, or of the methods that a class defines."""
    found = written(component)
    if isinstance(found, FunctionType):
        return {found.__name__: _parameters(found)}
    methods = vars(found) if inspect.isclass(found) else {}
    return {name: _parameters(method) for name, method in methods.items() if isinstance(method, FunctionType)}


def _parameters(function: FunctionType) -> list[str]:
    code = function.__code__
    names = list(code.co_varnames)
    count = code.co_argcount + code.co_kwonlyargcount
    if code.co_flags & inspect.CO_VARARGS:
        names[count] = f"*{names[count]}"
        count += 1
    if code.co_flags & inspect.CO_VARKEYWORDS:
        names[count] = f"**{names[count]}"
        count += 1
    return names[:count]


def last_line(function: Any) -> Line | None:
    """Return the statement that ends a function; None where an `if` or a loop decides, or where there is no source."""
    code = getattr(written(function), "__code__", None)
    body = _body(code) if isinstance(code, CodeType) else []
    while body and isinstance(body[-1], (ast.With, ast.AsyncWith)):
        body = body[-1].body
    simple = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return)
    if not body or not isinstance(body[-1], simple) or _is_docstring(body[-1]):
        return None
    assert isinstance(code, CodeType)
    text = linecache.getline(code.co_filename, body[-1].lineno).strip()
    return code.co_name, body[-1].lineno, text


def _body(code: CodeType) -> list[ast.stmt]:
    """Return the statements of a function, with the numbers of their lines in its file; [] where that is unknown."""
    try:
        lines, _ = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, IndentationError, ValueError, RecursionError):
        return []
    if len(tree.body) != 1 or not isinstance(tree.body[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        return []
    ast.increment_lineno(tree, code.co_firstlineno - 1)
    return tree.body[0].body


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@contextlib.contextmanager
def parameters_noted(facts: Facts) -> Iterator[None]:
    """Note the first line of the learner's that makes a parameter in this block."""

    def note(module: torch.nn.Module, name: str, parameter: object) -> None:
        if facts.made is None and parameter is not None:
            frames = ((frame, number) for frame, number in traceback.walk_stack(sys._getframe(1)))
            facts.made = next((_line(frame, number) for frame, number in frames if is_own(frame)), None)

    hook = torch.nn.modules.module.register_module_parameter_registration_hook(note)
    try:
        yield
    finally:
        hook.remove()


def is_own(frame: FrameType) -> bool:
    """Tell whether a frame runs the learner's own code: not ours, not torch's, and not that of a closed box."""
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package != "workbench" and is_learners(frame.f_code.co_filename)


def _line(frame: FrameType, number: int) -> Line:
    text = linecache.getline(frame.f_code.co_filename, number, frame.f_globals).strip()
    return frame.f_code.co_name, number, text


def fault(error: BaseException) -> Fault:
    """Return the `Fault` of an exception, with the learner's own lines and none of ours, torch's or a closed box's."""
    trace = [(frame, number) for frame, number in traceback.walk_tb(error.__traceback__) if is_own(frame)]
    message = str(error)
    unsolved = isinstance(error, NotImplementedError) and (not message or UNSOLVED in message)
    if unsolved and trace and _is_written(trace[-1][0].f_code):
        unsolved = False
    near = _near(error.name, [frame for frame, _ in trace[::-1]]) if isinstance(error, NameError) and error.name else ""
    return Fault(type(error).__name__, message, [_line(*place) for place in trace[-4:]], unsolved, near)


def _is_written(code: CodeType) -> bool:
    """Tell whether there is more in a function than a skeleton has: a docstring, names handed on, and the exception."""
    return any(not _is_of_a_skeleton(node) for node in _body(code))


def _is_of_a_skeleton(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):  # self.num_heads = num_heads
        named = (ast.Attribute, ast.Name, ast.Tuple, ast.Load, ast.Store)
        return all(isinstance(part, named) for part in ast.walk(node) if part is not node)
    return isinstance(node, (ast.Raise, ast.Pass)) or _is_docstring(node) or ast.unparse(node) == "super().__init__()"


def _near(name: str, frames: Sequence[FrameType]) -> str:
    """Return a name that a learner may have meant who wrote one that is not defined.

    frames  in which the exception was raised, the innermost first; a comprehension has one of its own
    """
    for frame in frames:
        own = frame.f_locals.get("self")
        if isinstance(own, torch.nn.Module):
            held = vars(own)
            kinds = ("_parameters", "_modules", "_buffers")
            places = (held, type(own).__dict__, *(held.get(kind) or {} for kind in kinds))
            if any(name in place for place in places):
                return f"self.{name}"
    seen = [names for frame in frames for names in (frame.f_locals, frame.f_globals)]
    for names in (*seen, vars(builtins)):
        if found := difflib.get_close_matches(name, [one for one in names if one[0] != "_"], 1, NEAR):
            return found[0]
    return ""
