"""Fingerprints of tensors: a few sums by which the numbers of a step are found again, and which tell none of them.

A step may be computed in another layout: folded, transposed, batch by batch. So there are two kinds of sums: of the
numbers in their order, which do not mind axes that are folded, and of the sorted numbers, which do not mind any order.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .observation import RELATIVE

SUMS = 3
MANY = 6  # as many different numbers, and the same ones in another order are no chance
WHOLE = 0.02  # times the usual tolerance: whole numbers are not rounded, and a few others among many change little
DIGITS = 1e-6  # of a sum, by which what is kept of it may be off
FEW = 2  # so few numbers agree by chance unless they are held to be the same more strictly
MOST_AXES = 5


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a tensor.

    size     how many numbers
    odd      how many of them are NaN, infinity, minus infinity
    ordered  weighted sums of the others in their order
    sorted   weighted sums of the others, sorted
    norm     the root of the sum of their squares, in which differences are measured
    """

    size: int
    odd: tuple[int, ...]
    ordered: tuple[float, ...]
    sorted: tuple[float, ...]
    norm: float

    def plain(self) -> list[Any]:
        """Return it as JSON can hold it."""
        return [self.size, list(self.odd), _short(self.ordered), _short(self.sorted), *_short([self.norm])]

    @classmethod
    def read(cls, kept: Sequence[Any]) -> "Fingerprint":
        """Return the fingerprint that `plain` gave."""
        return cls(kept[0], tuple(kept[1]), tuple(kept[2]), tuple(kept[3]), kept[4])

    def same_numbers(self, other: "Fingerprint", slack: float = 1.0) -> bool:
        """Tell whether two tensors hold the same numbers in any order, at `slack` times the usual tolerance."""
        return self._alike(other) and self._near(self.sorted, other.sorted, other, slack)

    def same_order(self, other: "Fingerprint", slack: float = 1.0) -> bool:
        """Tell whether two tensors hold the same numbers in the same order, whatever their shapes."""
        return self._alike(other) and self._near(self.ordered, other.ordered, other, slack)

    def _alike(self, other: "Fingerprint") -> bool:
        return self.size == other.size and self.odd == other.odd

    def _near(self, one: Sequence[float], two: Sequence[float], other: "Fingerprint", slack: float) -> bool:
        room = slack * RELATIVE * max(self.norm, other.norm, 1e-6) * (0.1 if self.size <= FEW else 1.0)
        return abs(self.norm - other.norm) <= room and all(
            abs(a - b) <= max(room, DIGITS * abs(a)) for a, b in zip(one, two, strict=True)
        )


def of(tensor: torch.Tensor) -> Fingerprint:
    """Return the fingerprint of a tensor."""
    return of_all(flat(tensor)[None])[0]


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """Return the numbers of a tensor, in double precision and in their order."""
    return tensor.detach().double().flatten()


def of_all(rows: torch.Tensor) -> list[Fingerprint]:
    """Return the fingerprints of tensors of one size: rows [tensors, numbers]."""
    odd = torch.stack([rows.isnan().sum(1), (rows == math.inf).sum(1), (rows == -math.inf).sum(1)], dim=1)
    rows = torch.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
    weights = _weights(rows.shape[1])
    columns = (odd, rows @ weights, rows.sort(dim=1).values @ weights, rows.norm(dim=1))
    size = rows.shape[1]
    return [
        Fingerprint(size, tuple(counts), tuple(ordered), tuple(in_order), norm)
        for counts, ordered, in_order, norm in zip(*(column.tolist() for column in columns), strict=True)
    ]


def is_telling(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor has a fingerprint that hardly anything else has: no constant, and no small count."""
    numbers = flat(tensor)
    if len(numbers) >= MANY:
        return len(numbers.unique()) > 1
    eighths = numbers[numbers.isfinite()] * 8
    return bool(((eighths - eighths.round()).abs() > 1e-2).any())


def has_many_numbers(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor is known by its numbers alone, in whichever order they stand."""
    numbers = flat(tensor)
    return len(numbers[numbers.isfinite()].unique()) >= MANY


def is_transposed(tensor: torch.Tensor, wanted: Fingerprint, slack: float = 1.0) -> bool:
    """Tell whether a tensor has the order that is wanted once its axes are exchanged, as `same_order` tells it."""
    tensor = tensor.detach().squeeze()
    if tensor.dim() > MOST_AXES:
        return False
    orders = itertools.permutations(range(tensor.dim()))
    rows = torch.stack([flat(tensor.permute(order)) for order in orders])
    return any(wanted.same_order(one, slack) for one in of_all(rows))


def _short(numbers: Sequence[float]) -> list[float]:
    return [float(f"{number:.7g}") for number in numbers]


def _weights(count: int) -> torch.Tensor:
    """Return weights [count, SUMS] between 1/2 and 3/2 or their negatives, the same on every computer."""
    places = torch.arange(1, count + 1, dtype=torch.float64)[:, None]
    sizes = (places * torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64).sqrt()).frac()
    signs = (places * torch.tensor([7.0, 11.0, 13.0], dtype=torch.float64).sqrt()).frac()
    return (0.5 + sizes) * torch.where(signs < 0.5, -1.0, 1.0)
