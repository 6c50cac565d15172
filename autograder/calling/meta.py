"""Calls on the meta device, which holds shapes and no numbers, without what torch does for them in Python.

Half of torch's operations work out the shape of a result on the meta device in Python. The first one loads a second's
worth of modules (sympy, torch._dynamo, torch.distributed), and each takes as long as ten on the CPU. Zeros on the CPU
give a result of the same shape, so its shape is taken from there.
"""

import functools
import math
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

MOST_NUMBERS = 10_000  # in all tensors of one operation: a shape of any size costs nothing, zeros do
# Whose result hangs on chance or on numbers, which are not there, or is a view.
NOT_BY_ZEROS = frozenset(
    (
        torch.Tag.data_dependent_output,
        torch.Tag.dynamic_output_shape,
        torch.Tag.inplace_view,
        torch.Tag.nondeterministic_seeded,
    )
)


class LightMode(TorchDispatchMode):
    """A mode that does not bring the compiler with it, which torch imports at a mode's first operation otherwise.

    Nothing is compiled in a call: see `force_eager` in `local`.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class OnMeta(LightMode):
    """Gives operations whose tensors are all on the meta device the result that they have there.

    All others are torch's own, and so is every exception: what fails on zeros is done once more as it stands.
    """

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not _goes_by_zeros(function) or not _all_small_on_meta(function, args, kwargs):
            return function(*args, **kwargs)
        try:
            output = function(*map(_zeros, args), **{name: _zeros(value) for name, value in kwargs.items()})
        except Exception:
            return function(*args, **kwargs)
        return args[0] if function._schema.is_mutable else _on_meta(output)


@functools.cache
def _goes_by_zeros(function: Any) -> bool:
    """Tell whether an operation asks Python for shapes on the meta device, and gives new tensors or its first one."""
    asks = torch._C.DispatchKey.Meta in function.py_kernels or function._opname.endswith("_like")
    if not asks or function.is_view or not NOT_BY_ZEROS.isdisjoint(function.tags):
        return False
    changed = [one.alias_info is not None and one.alias_info.is_write for one in function._schema.arguments]
    if any(changed):  # in place, and not into out=
        return changed[0] and not any(changed[1:]) and len(function._schema.returns) == 1
    return all(one.alias_info is None for one in (*function._schema.arguments, *function._schema.returns))


def _all_small_on_meta(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether what an operation takes, and makes, is on the meta device and small."""
    device = kwargs.get("device")
    if device is not None and torch.device(device).type != "meta":
        return False
    tensors, count, values = False, 0, [*args, *kwargs.values()]
    for value in values:
        if isinstance(value, (list, tuple)):
            values.extend(value)  # which is then looked at in turn
            if math.prod(abs(size) for size in value if type(size) is int and size) > MOST_NUMBERS:
                return False
        elif isinstance(value, torch.Tensor):
            if not value.is_meta or type(value) not in (torch.Tensor, torch.nn.Parameter):
                return False
            tensors, count = True, count + value.numel()
    if function._opname == "arange" and device is not None:
        start, end, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
        return bool(step) and abs(end - start) / abs(step) <= MOST_NUMBERS
    return tensors and count <= MOST_NUMBERS


def _zeros(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype).zero_()
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return type(value)(map(_zeros, value)) if type(value) in (list, tuple) else value


def _on_meta(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")
    return type(value)(map(_on_meta, value)) if type(value) in (list, tuple) else value
