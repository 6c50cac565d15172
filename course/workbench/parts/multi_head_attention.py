"""Closed boxes of lesson 8."""

import torch
from torch import nn

from .scaled_dot_product_attention import attention_scores, attention_weights


def split_heads(x: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Return [batch, heads, time, head_dim], head after head from the features of x; see lesson 8.

    x          [batch, time, embed_dim]
    num_heads  how many heads share embed_dim
    Raises ValueError if num_heads does not divide embed_dim.
    """
    _refuse(x.shape[-1], num_heads)
    heads: torch.Tensor = x.unflatten(-1, (num_heads, -1)).transpose(1, 2)
    return heads


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    """Return [batch, time, heads * head_dim], the heads side by side; see lesson 8.

    x  [batch, heads, time, head_dim]
    """
    return x.transpose(1, 2).flatten(2)


class GroupedQueryAttention(nn.Module):
    """Attention whose heads share keys and values in groups (Ainslie et al. 2023); see lesson 8.

    embed_dim   features of each position
    num_heads   how many heads the query has
    num_groups  how many heads key and value have; each serves num_heads / num_groups neighbouring heads
    dropout     probability with which a weight is dropped before the values are mixed
    Raises ValueError if num_heads does not divide embed_dim, or num_groups not num_heads.
    """

    def __init__(self, embed_dim: int, num_heads: int, num_groups: int, dropout: float = 0.0) -> None:
        super().__init__()
        _refuse(embed_dim, num_heads)
        if num_heads % num_groups:
            raise ValueError(
                f"num_heads {num_heads} does not split into {num_groups} groups; "
                f"choose a num_groups that divides {num_heads}"
            )
        self.num_heads, self.num_groups = num_heads, num_groups
        head_dim = embed_dim // num_heads
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, num_groups * head_dim)
        self.v_proj = nn.Linear(embed_dim, num_groups * head_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (output [batch, queries, embed_dim], weights [batch, heads, queries, keys]).

        query  [batch, queries, embed_dim]
        key    [batch, keys, embed_dim]
        value  [batch, keys, embed_dim]
        mask   boolean, broadcasts to [batch, queries, keys], True where a query may attend; None: everywhere
        """
        query = split_heads(self.q_proj(query), self.num_heads)
        key, value = self._for_all_heads(self.k_proj(key)), self._for_all_heads(self.v_proj(value))
        weights = attention_weights(attention_scores(query, key), None if mask is None else mask.unsqueeze(-3))
        return self.out_proj(merge_heads(torch.matmul(self.dropout(weights), value))), weights

    def _for_all_heads(self, x: torch.Tensor) -> torch.Tensor:
        x = split_heads(x, self.num_groups)
        if self.num_groups == self.num_heads:
            return x
        return torch.repeat_interleave(x, self.num_heads // self.num_groups, dim=1)


class MultiHeadAttention(GroupedQueryAttention):
    """Attention by several heads, each on its own part of the features (Vaswani et al. 2017); see lesson 8.

    embed_dim  features of each position
    num_heads  how many heads share them
    dropout    probability with which a weight is dropped before the values are mixed
    Raises ValueError if num_heads does not divide embed_dim.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__(embed_dim, num_heads, num_heads, dropout)


def _refuse(embed_dim: int, num_heads: int) -> None:
    if embed_dim % num_heads:
        raise ValueError(
            f"embed_dim {embed_dim} does not split into {num_heads} heads; choose a multiple of {num_heads}"
        )
