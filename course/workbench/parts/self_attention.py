"""Closed boxes of lesson 6."""

import torch
from torch import nn

from .scaled_dot_product_attention import attention_scores, attention_weights, scaled_dot_product_attention


class SelfAttention(nn.Module):
    """One head of attention in which every position asks all positions of its own sequence; see lesson 6.

    embed_dim  features of each position
    head_dim   features of queries, keys and values
    """

    def __init__(self, embed_dim: int, head_dim: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (output [batch, queries, head_dim], weights [batch, queries, keys]).

        x     [batch, time, embed_dim]
        mask  boolean, broadcasts to the weights, True where a query may attend; None: everywhere
        """
        return scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)


def padding_mask(tokens: torch.Tensor, pad_id: int) -> torch.Tensor:
    """Return a boolean mask [batch, 1, keys] that is True where a key is no padding; see lesson 6.

    tokens  [batch, keys]  token ids
    pad_id  the id that stands for padding
    """
    return torch.ne(tokens, pad_id).unsqueeze(1)


class RelativeSelfAttention(SelfAttention):
    """Self-attention that adds one learned number per distance to the scores; see lesson 6.

    embed_dim     features of each position
    head_dim      features of queries, keys and values
    max_distance  positions further apart than this share the number of this distance
    """

    def __init__(self, embed_dim: int, head_dim: int, max_distance: int) -> None:
        super().__init__(embed_dim, head_dim)
        self.distance_bias = nn.Parameter(torch.zeros(2 * max_distance + 1))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (output [batch, queries, head_dim], weights [batch, queries, keys]).

        x     [batch, time, embed_dim]
        mask  boolean, broadcasts to the weights, True where a query may attend; None: everywhere
        """
        reach, time = len(self.distance_bias) // 2, x.shape[1]
        # One row of biases for all distances there are; query i reads the part that begins at distance -i.
        distances = torch.arange(1 - time, time, device=x.device).clamp(-reach, reach) + reach
        bias = self.distance_bias[distances].unfold(0, time, 1).flip(0)
        weights = attention_weights(attention_scores(self.q_proj(x), self.k_proj(x)) + bias, mask)
        return torch.matmul(weights, self.v_proj(x)), weights
