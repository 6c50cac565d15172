"""Inputs for probes: numbers that are the same on every platform."""

import itertools
import math
import random
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

T = TypeVar("T")

# The same numbers are asked for again and again, for one answer after the other, and drawing them takes longer than
# most calls do: so what was made of them is kept, by the place in the stream where they begin.
KEPT = 10_000
FURTHER = 0.2  # how often a size that is prime is not the next prime that is free, but the one after it
_kept: dict[tuple[object, ...], tuple[Any, int]] = {}


def _is_prime(size: int) -> bool:
    return size > 1 and all(size % divisor for divisor in range(2, math.isqrt(size) + 1))


class Numbers:
    """A stream of tensors that depends on nothing but its seed.

    usual  True: sizes are the usual ones, of the numbers that are recorded and that everyone may know

    Values lie on a grid of 1/64, so every float format from bfloat16 upwards holds them exactly, and an
    input that is shifted by 30 000 is still exact in float32. Only `random.Random.random` is used: the
    Python documentation promises the same sequence for it in every version.
    """

    def __init__(self, seed: str | int, usual: bool = True) -> None:
        self._seed = f"transformer taxonomy {seed}"
        self._random, self._made = random.Random(self._seed), 0
        self._given = 0  # of the numbers of the stream; what was given as a kept tensor is made when others follow
        self._usual = usual
        self._sizes: list[int] = [0, 1]  # what each usual size of an axis is here
        self._growth = random.Random(f"{self._seed}, sizes")

    def _next(self) -> float:
        """Return the next number of the stream, from 0 to below 1."""
        while self._made < self._given:
            self._random.random()
            self._made += 1
        self._made += 1
        self._given += 1
        return self._random.random()

    def size(self, usual: int, least: int, most: int) -> int:
        """Return a size: the usual one, or in official grading one from `least` to `most`.

        A component that takes nothing but sizes gives the same for the same ones. If official grading always asked
        for the usual ones, a list of what it expects would be an answer.
        """
        return usual if self._usual else least + int(self._next() * (most - least + 1))

    def axis(self, usual: int) -> int:
        """Return the size of an axis: the usual one, or in official grading a larger one.

        Sizes that differ still differ, in the same order, and equal ones stay equal; a prime stays a prime, and 0 and 1
        stay what they are. So what the usual sizes were chosen for holds for the others, too: two that differ have no
        divisor in common, and heads times features of a head are as many as no other axis that is prime.
        """
        while len(self._sizes) <= usual:
            self._sizes.append(len(self._sizes) if self._usual else self._larger(len(self._sizes)))
        return self._sizes[usual]

    def _larger(self, usual: int) -> int:
        """Return what the next usual size is here: no less than one more, and more than all before it."""
        size = max(self._sizes[-1], usual) + 1
        if _is_prime(usual):
            for _ in range(1 + (self._growth.random() < FURTHER)):
                size = next(other for other in itertools.count(size) if _is_prime(other)) + 1
            size -= 1
        return size

    def axes(self, *usual: int) -> tuple[int, ...]:
        """Return the sizes of several axes, each as `axis` does."""
        return tuple(map(self.axis, usual))

    def tensor(
        self, *shape: int, low: float = -2.0, high: float = 2.0, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Return a tensor of this shape, uniform on the grid between `low` and `high`."""

        def made() -> torch.Tensor:
            steps = int((high - low) * 64)
            values = [low + int(self._next() * steps) / 64 for _ in range(torch.Size(shape).numel())]
            return torch.tensor(values, dtype=dtype).reshape(shape)

        return self._once(made, shape, low, high, dtype).clone()

    def mask(self, *shape: int) -> torch.Tensor:
        """Return a boolean mask in which every row holds both a True (may attend) and a False."""

        def made() -> torch.Tensor:
            keys = shape[-1]
            mask = torch.ones(torch.Size(shape[:-1]).numel(), keys, dtype=torch.bool)
            for row in mask:
                order = self.permutation(keys)
                row[order[: 1 + int(self._next() * (keys - 1))]] = False
            return mask.reshape(shape)

        return self._once(made, "mask", shape).clone()

    def permutation(self, count: int) -> list[int]:
        """Return the integers below `count` in a random order, as a list."""

        def made() -> list[int]:
            order = list(range(count))
            for last in range(count - 1, 0, -1):
                other = int(self._next() * (last + 1))
                order[last], order[other] = order[other], order[last]
            return order

        return list(self._once(made, "permutation", count))

    def _once(self, made: Callable[[], T], *what: object) -> T:
        """Return what a function makes of the next numbers of the stream, which is made once and must not change."""
        key = self._seed, self._given, *what
        if key in _kept:
            kept, taken = _kept[key]
            self._given += taken
        else:
            begun = self._given
            kept = made()
            if len(_kept) >= KEPT:
                _kept.clear()
            _kept[key] = kept, self._given - begun
        return cast(T, kept)
