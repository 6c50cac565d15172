"""Tokens for the models of many lessons: tensors of whole numbers."""

from collections.abc import Collection, Mapping
from typing import Any

import torch

from ..calling.numbers import Numbers


def token_ids(numbers: Numbers, *shape: int, high: int, low: int = 0) -> torch.Tensor:
    """Return random token ids of this shape from `low` on, all below `high`."""
    return numbers.tensor(*shape, low=low, high=high).long()


def integers(numbers: Numbers, *shape: int, below: int, without: Collection[int] = ()) -> torch.Tensor:
    """Return integers of this shape under a bound, some of which may be left out."""
    choices = [number for number in range(below) if number not in without]
    return torch.tensor(choices)[(numbers.tensor(*shape, low=0.0, high=1.0) * len(choices)).long()]


def source_and_target(
    numbers: Numbers, build: Mapping[str, Any], batch: int = 3, keys: int = 7, queries: int = 5, padded: bool = True
) -> dict[str, Any]:
    """Return source [batch, keys] and target [batch, queries] as keyword arguments of an EncoderDecoder.

    build   arguments of its constructor, for the sizes of the vocabularies and pad_id
    padded  True: the second row of each ends in one padding token, the third in two
    """
    source = integers(numbers, batch, keys, below=build["source_vocab_size"], without=(build["pad_id"],))
    target = integers(numbers, batch, queries, below=build["target_vocab_size"], without=(build["pad_id"],))
    for row in range(1, batch) if padded else ():
        source[row, keys - row :], target[row, queries - row :] = build["pad_id"], build["pad_id"]
    return dict(source=source, target=target)
