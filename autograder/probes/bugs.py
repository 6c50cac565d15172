"""Find-the-bug exercises: a learner returns an input, on which the probes run the broken code and a right one.

Two probes ask for the same in each: does what is returned fit, and does it show the bug. Each lesson tells what fits
in `_misfit`, and what an input shows in `_effect`.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeGuard, TypeVar

import torch

from ..calling.local import Reply
from . import Observations

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

Module = TypeVar("Module", bound=torch.nn.Module)


def see_fit(seen: Observations, reply: Reply, misfit: Callable[[Any], str], given: str = "") -> None:
    """Note whether what a learner returned can be used.

    misfit  function of what was returned: what is wrong with it in words, or ""
    """
    seen.answer(reply)
    seen.note("what you return", misfit(reply.output) or "fits", given)


def see_effect(
    seen: Observations,
    name: str,
    reply: Reply,
    misfit: Callable[[Any], str],
    effect: Callable[[Any], str],
    given: str = "",
) -> None:
    """Note under `name` whether what a learner returned shows the bug; what does not fit is not run.

    effect  function of what was returned: what the bug does to it, or what kind of input it is
    """
    seen.note(name, "is not run" if misfit(reply.output) else effect(reply.output), given)


# Does it fit


def is_dense(value: object) -> TypeGuard[torch.Tensor]:
    """Tell whether what a learner returned is a tensor that can be computed with: dense, and on the CPU."""
    return isinstance(value, torch.Tensor) and value.layout is torch.strided and value.device.type == "cpu"


def is_ordinary(value: object, dtypes: Collection[torch.dtype], longest: int = 100) -> bool:
    """Tell whether what a learner returned is such a tensor of one of these dtypes, not empty and not too large."""
    return is_dense(value) and value.dtype in dtypes and 0 < value.numel() and max(value.shape, default=1) <= longest


def is_sequence(x: object, embed_dim: int = 8, batch: int = 16, time: int = 200) -> bool:
    """Tell whether what a learner returned is [batch, time, embed_dim], floating point, finite and not too large."""
    return bool(
        is_dense(x)
        and x.is_floating_point()
        and x.dim() == 3
        and x.shape[2] == embed_dim
        and 1 <= x.shape[0] <= batch
        and 1 <= x.shape[1] <= time
        and torch.isfinite(x).all()
    )


def is_mask(mask: object, batch: int, queries: int, keys: int) -> bool:
    """Tell whether what a learner returned is a boolean mask of one of the shapes of the course, or was None."""
    if not isinstance(mask, torch.Tensor):
        return mask == "None"
    shapes = ((queries, keys), (batch, 1, keys), (batch, queries, keys))
    return is_dense(mask) and mask.dtype == torch.bool and tuple(mask.shape) in shapes


# Does it show the bug


def mask_or_none(mask: object) -> torch.Tensor | None:
    """Return a mask that a learner returned; a reply holds None as a word."""
    return mask if isinstance(mask, torch.Tensor) else None


def loaded(module: Module, weights: Mapping[str, torch.Tensor]) -> Module:
    """Return a module with these weights, in float64 and in evaluation mode."""
    module.double().eval().load_state_dict(weights)
    return module


def far_apart(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether two outputs differ by more than 0.01 somewhere."""
    return bool((torch.nan_to_num(one - other).abs() > 0.01).any())
