"""Closed boxes of lesson 7."""

import torch


def attention_scores(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return scores [..., queries, keys]; see lesson 7.

    query  [..., queries, head_dim]
    key    [..., keys, head_dim]
    """
    # baddbmm computes a whole batch and scales it in one call; it wants exactly three axes.
    leading, (queries, head_dim), keys = query.shape[:-2], query.shape[-2:], key.shape[-2]
    query, key = query.reshape(-1, queries, head_dim), key.reshape(-1, keys, head_dim)
    nothing = query.new_zeros(1, 1, 1)
    return torch.baddbmm(nothing, query, key.mT, beta=0, alpha=head_dim**-0.5).reshape(*leading, queries, keys)


def attention_weights(scores: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return weights [..., queries, keys] whose rows sum to 1, or to 0 where a query may attend to nothing.

    scores  [..., queries, keys]
    mask    boolean, broadcasts to the scores, True where a query may attend; None: everywhere
    """
    if mask is None:
        return torch.nn.functional.softmax(scores, dim=-1)
    weights = torch.masked.softmax(scores, dim=-1, mask=mask.expand_as(scores))
    return torch.nan_to_num(weights) * mask


def scaled_dot_product_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (output [..., queries, value_dim], weights [..., queries, keys]); see lesson 7.

    query  [..., queries, head_dim]
    key    [..., keys, head_dim]
    value  [..., keys, value_dim]
    mask   boolean, broadcasts to the weights, True where a query may attend; None: everywhere
    """
    weights = attention_weights(attention_scores(query, key), mask)
    return torch.matmul(weights, value), weights
