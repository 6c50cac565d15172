"""Every tensor that each line of a learner's code makes in one call, noted while it runs.

What an operation of torch gives is seen by a `TorchFunctionMode`, inside an expression as well, and nothing else of
Python is touched: neither the limit on time nor a learner's own tracer notices it.
"""

import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from .limit import is_learners

MOST_NOTES = 20_000
MOST_VALUES = 2  # so many different plain numbers one place may take from Python before they are no constants
# What hands numbers over to Python, whose arithmetic nobody sees here.
LEAVE = {"numpy", "__array__", "tolist", "item", "__float__", "apply_", "map_"}
MAKE = {"tensor", "as_tensor", "asarray", "FloatTensor", "DoubleTensor"}


@dataclass(frozen=True)
class Note:
    """One tensor that a learner's line made.

    line    its number in the cell, or file
    within  the name of the function that it stands in, if that is another cell or file than the component's; else ""
    site    what tells the place in the code: tensors of one place are the rounds of a loop
    tensor  a copy
    time    how many were noted before it
    """

    line: int
    within: str
    site: tuple[object, ...]
    tensor: torch.Tensor
    time: int


class Noted(TorchFunctionMode):
    """Notes the tensors that a learner's code makes inside of this context.

    notes       of tensors with one of the sizes asked for, in the order in which they were made
    incomplete  True: some numbers were computed where they cannot be seen, as by Python's own arithmetic

    component  what is called: its own lines come before those of what it calls
    sizes      how many numbers a tensor has that is noted
    """

    def __init__(self, component: Callable[..., Any], sizes: Collection[int]) -> None:
        super().__init__()
        self.notes: list[Note] = []
        self.incomplete = False
        self._file, self._sizes = _file_of(component), frozenset(sizes)
        self._values: dict[tuple[object, ...], set[object]] = {}
        self._entered: FrameType | None = None

    def __enter__(self) -> "Noted":
        self._entered = sys._getframe(1)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered = None
        super().__exit__(*error)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        try:
            self._look(function, args, kwargs or {}, output)
        except Exception:  # a tensor of a kind that has no numbers to copy
            self.incomplete = True
        return output

    def _look(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        name = getattr(function, "__name__", "")
        made = list(_made(name, args, kwargs, output, self._sizes))
        leaves = name in LEAVE or name in MAKE or name == "__setitem__"
        if not made and not leaves:
            return
        place = self._place()
        if place is None:
            return
        line, within, site = place
        if leaves and self._is_from_python(name, args, (*site, name)):
            self.incomplete = True
        for number, tensor in made:
            if len(self.notes) >= MOST_NOTES:
                self.incomplete = True
                return
            copy = tensor.detach().as_subclass(torch.Tensor).clone()
            self.notes.append(Note(line, within, (*site, name, number), copy, len(self.notes)))

    def _is_from_python(self, name: str, args: tuple[Any, ...], site: tuple[object, ...]) -> bool:
        """Tell whether an operation hands numbers to Python, or takes more than constants from it."""
        if name in LEAVE:
            given = args[0] if args else None
            return isinstance(given, torch.Tensor) and given.is_floating_point()
        value = args[2] if name == "__setitem__" and len(args) > 2 else args[0] if args and name in MAKE else None
        seen = self._values.setdefault(site, set())
        seen.update(one for one in tree_leaves(value) if isinstance(one, (int, float)))
        return len(seen) > MOST_VALUES

    def _place(self) -> tuple[int, str, tuple[object, ...]] | None:
        """Return (line, function of another file or "", place) of the learner's code that runs; None if none does."""
        frame: FrameType | None = sys._getframe(3)
        inner: FrameType | None = None
        while frame is not None and frame is not self._entered:
            code = frame.f_code
            if code.co_filename == self._file:
                inner = inner or frame
                return frame.f_lineno, "", (inner.f_code, inner.f_lasti, frame.f_lasti)
            if inner is None and is_learners(code.co_filename) and not _is_boxes(code.co_filename):
                inner = frame
            frame = frame.f_back
        if inner is None:
            return None
        return inner.f_lineno, inner.f_code.co_name, (inner.f_code, inner.f_lasti)


def _made(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, sizes: Collection[int]
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (number, tensor) of all tensors that an operation made or changed, if they have one of these sizes."""
    given = kwargs.get("out", args[0] if args and _is_in_place(name) else None)
    changed = given._base if isinstance(given, torch.Tensor) and given._base is not None else given
    outputs = output if isinstance(output, (tuple, list)) else (output,)
    for number, tensor in enumerate((*outputs, given, changed)):
        if not isinstance(tensor, torch.Tensor) or tensor.numel() not in sizes:
            continue
        if tensor.device.type == "cpu" and not tensor.is_complex():
            yield number, tensor


def _is_in_place(name: str) -> bool:
    return name == "__setitem__" or name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))


def _file_of(component: Callable[..., Any]) -> str:
    """Return the name of the file, or cell, in which a component is written; "" if that is not known."""
    written = inspect.unwrap(component)
    if inspect.isclass(written):
        methods = [value for value in vars(written).values() if inspect.isfunction(value)]
        code: CodeType | None = methods[0].__code__ if methods else None
    else:
        code = getattr(written, "__code__", None)
    return code.co_filename if code else ""


def _is_boxes(file: str) -> bool:
    boxes = sys.modules.get("workbench")
    return boxes is not None and boxes.__file__ is not None and file.startswith(str(Path(boxes.__file__).parent))
