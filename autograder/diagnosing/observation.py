"""Observations: what a probe saw, whether two of them are the same, and a short signature to keep of one.

An observation is a tensor or a string. Values are compared, never types: a right answer may compute in
another order or precision, so numbers are equal when they agree to about four digits.
"""

import functools
import hashlib
import math
import random
from collections.abc import Mapping
from typing import Any

import torch

RELATIVE, ABSOLUTE = 1e-4, 1e-5
LEAST_UNIT = 1e-2

Signature = list[Any]  # [text, number, number, number, number], as JSON holds it


def same(expected: object, seen: object, slack: float = 1.0) -> bool:
    """Return True if two observations are equal: same shape, NaN and infinities in the same places, close numbers.

    slack  how many times the usual tolerance numbers may be apart
    """
    if not isinstance(expected, torch.Tensor) or not isinstance(seen, torch.Tensor):
        return type(expected) is type(seen) and expected == seen
    if expected.shape != seen.shape:
        return False
    expected, seen = expected.double(), seen.double()
    # In the smallest unit first, which nearly always decides it: to look for the right one takes as long again.
    return any(
        torch.allclose(seen, expected, rtol=RELATIVE * slack, atol=ABSOLUTE * slack * unit(), equal_nan=True)
        for unit in (lambda: LEAST_UNIT, functools.partial(scale, expected))
    )


def is_exception(value: object) -> bool:
    """Tell whether an observation is an exception, "raised RuntimeError about sizes"."""
    return isinstance(value, str) and value.startswith("raised ")


def signature(expected: Mapping[str, Any], seen: Mapping[str, Any]) -> Signature:
    """Return a few plain numbers that two answers share if a probe shows the same of both: [text, sum, sum, sum, size].

    expected  {observation: value} of the reference; it sets the unit of each observation
    seen      {observation: value} of the answer

    The text stands for names, shapes, strings, and where NaN and infinities stand; three weighted sums stand for all
    numbers, and a difference in any number moves them. A whole mistake takes some hundred bytes, and reveals no
    answers.
    """
    words, numbers = [], []
    for name, value in seen.items():
        if not isinstance(value, torch.Tensor):
            words.append(f"{name}={value}")
            continue
        flat = value.double().flatten()
        odd = "[0, 0, 0]"  # how many NaN and infinities there are, and where
        if not torch.isfinite(flat).all():
            odd = _odd(flat)
            flat = torch.nan_to_num(flat, nan=0.0, posinf=0.0, neginf=0.0)
        words.append(f"{name}={list(value.shape)}{odd}")
        numbers.append(flat / scale(expected.get(name)))
    flat = torch.cat(numbers) if numbers else torch.zeros(0, dtype=torch.float64)
    sums = [*(_weights(len(flat)) @ flat).tolist(), flat.norm().item()]
    text = hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]
    return [text, *(float(f"{number:.6g}") for number in sums)]


def _odd(flat: torch.Tensor) -> str:
    """Return how many places of a tensor hold NaN, infinity and minus infinity, and which, as a text."""
    kinds = torch.stack([flat.isnan(), flat == math.inf, flat == -math.inf])
    return f"{kinds.sum(1).tolist()} {kinds.nonzero().tolist()}"


def same_signature(one: Signature, other: Signature, slack: float = 1.0) -> bool:
    """Return True if two signatures can belong to the same observations, at `slack` times the usual tolerance."""
    scale = max(one[-1], other[-1], 1e-2)
    return one[0] == other[0] and all(
        abs(a - b) <= RELATIVE * slack * scale for a, b in zip(one[1:], other[1:], strict=True)
    )


def scale(expected: object) -> float:
    """Return the unit in which an observation is measured: the largest finite number of the reference's."""
    if not isinstance(expected, torch.Tensor):
        return 1.0
    sizes = expected.double().abs().flatten()
    largest = sizes.max().item() if sizes.numel() else 0.0
    if not math.isfinite(largest):
        sizes = sizes[torch.isfinite(sizes)]
        largest = sizes.max().item() if sizes.numel() else 0.0
    return max(largest, LEAST_UNIT)


def _weights(count: int) -> torch.Tensor:
    return _drawn(count) if count < 10_000 else _drawn.__wrapped__(count)


@functools.lru_cache(maxsize=1024)
def _drawn(count: int) -> torch.Tensor:
    numbers = random.Random("signature")
    return torch.tensor(
        [[(0.5 + numbers.random()) * (-1) ** int(numbers.random() * 2) for _ in range(count)] for _ in range(3)],
        dtype=torch.float64,
    ).reshape(3, count)
