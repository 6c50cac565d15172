"""Which other components of its lesson a component may call: found in its code, which is not run.

A wrong answer is observed once more with right helpers in place of its own. Where its code can call none of them, that
would show the same again.
"""

import functools
import gc
import sys
from collections.abc import Collection, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch

from .limit import is_learners

MOST = 5_000  # objects that are looked through; beyond them nothing is known
# Whoever uses one of these may call what is nowhere named.
ANYTHING = frozenset(
    "__builtins__ __dict__ __globals__ __import__ __main__ builtins compile ctypes eval exec f_globals gc get_ipython "
    "globals import_module importlib inspect locals sys vars".split()
)
LIBRARIES = frozenset({"autograder", "builtins", "torch", "workbench", *sys.stdlib_module_names} - {"__main__"})
LEAVES = (type(None), bool, int, float, complex, str, bytes, torch.Tensor, torch.dtype, torch.device, CodeType)


class LookedThrough:
    """Remembers of the component that was asked about last what its code may call, for all calls of a check."""

    def __init__(self) -> None:
        self._last: tuple[Any, Collection[str]] | None = None
        self._found: tuple[str, ...] = ()

    def may_call(self, component: Any, names: Collection[str]) -> tuple[str, ...]:
        """Return what the function `may_call` returns."""
        if not names:
            return ()
        if self._last is None or self._last[0] is not component or self._last[1] != names:
            self._last, self._found = (component, names), may_call(component, names)
        return self._found


def may_call(component: Any, names: Collection[str]) -> tuple[str, ...]:
    """Return which of these names the code of a component may look up in its module, all of them where that is unknown.

    Looked through are its functions, what they name, and whatever hangs on that: closures, defaults, wrapped functions,
    attributes, base classes. Code of libraries and of closed boxes knows nothing of a learner's names.
    """
    mentioned: set[str] = set()
    waiting, seen = [component], set[int]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, LEAVES) or id(one) in seen:
            continue
        seen.add(id(one))
        if len(seen) > MOST or isinstance(one, ModuleType) and one.__name__ == "__main__":
            return tuple(names)
        if isinstance(one, FunctionType):
            waiting += _of_function(one, mentioned)
            if not ANYTHING.isdisjoint(mentioned):
                return tuple(names)
        elif isinstance(one, type):
            waiting += [held for kind in one.__mro__ if not _is_of_library(kind) for held in vars(kind).values()]
        elif isinstance(one, ModuleType):
            waiting += [] if _is_library(one.__name__) else vars(one).values()
        else:
            waiting += gc.get_referents(one)
    return tuple(name for name in names if name in mentioned)


def _of_function(function: FunctionType, mentioned: set[str]) -> Iterator[Any]:
    """Yield what a function may call or hand on, and put all names of its own code with those `mentioned`."""
    yield from (function.__closure__, function.__defaults__, function.__kwdefaults__, function.__dict__)
    name = str(function.__globals__.get("__name__"))
    if _is_library(name) and vars(sys.modules[name]) is function.__globals__:
        return
    found = _names(function.__code__)
    mentioned |= found
    yield from (function.__globals__[name] for name in found if name in function.__globals__)


@functools.lru_cache(maxsize=4096)
def _names(code: CodeType) -> frozenset[str]:
    """Return all names, and all texts, that stand in some code and in the functions within it."""
    texts = (one for one in code.co_consts if isinstance(one, str))
    inner: Iterable[str] = (name for one in code.co_consts if isinstance(one, CodeType) for name in _names(one))
    return frozenset((*code.co_names, *texts, *inner))


def _is_of_library(kind: type) -> bool:
    """Tell whether a class is one of a library; one that was made by `exec` may only say so."""
    return _is_library(kind.__module__) and getattr(sys.modules[kind.__module__], kind.__name__, None) is kind


@functools.lru_cache(maxsize=4096)
def _is_library(module: object) -> bool:
    """Tell whether a module of this name is one of Python's, torch's or another package's, or holds closed boxes."""
    name = module if isinstance(module, str) else ""
    if name not in sys.modules:
        return False
    if name.partition(".")[0] in LIBRARIES:
        return True
    file = getattr(sys.modules[name], "__file__", None)
    return isinstance(file, str) and not is_learners(file)
