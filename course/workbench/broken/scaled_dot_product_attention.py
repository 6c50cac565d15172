"""Attention with one thing wrong: lesson 7."""

import math

import torch


def broken_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (output, weights) of scaled dot-product attention, with one bug.

    query  [..., queries, head_dim]
    key    [..., keys, head_dim]
    value  [..., keys, value_dim]
    mask   boolean, broadcasts to [..., queries, keys], True where a query may attend; None: everywhere
    """
    scale = 1.0 / math.sqrt(query.shape[-1])
    scores = (query * scale) @ key.transpose(-2, -1)  # [..., queries, keys]
    # exp overflows float32 near 88, so the largest score becomes 0.
    exponentials = torch.exp(scores - scores.max())
    if mask is not None:
        exponentials = exponentials.masked_fill(~mask, 0.0)
    total = exponentials.sum(dim=-1, keepdim=True)  # [..., queries, 1]
    # A query that may attend to nothing has a total of 0, and 0 / 0 is NaN: divide by 1 there.
    weights = exponentials / total.masked_fill(total == 0.0, 1.0)
    output = weights @ value
    return output, weights
