"""Multi-head attention with one thing wrong: lesson 8."""

import math

import torch
from torch import nn

from workbench.parts import attention_weights


class BrokenMultiHeadAttention(nn.Module):
    """Attention by several heads, with one bug; arguments and parameters are those of MultiHeadAttention."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        batch, queries, embed_dim = query.shape
        # torch.bmm multiplies many pairs of matrices at once, but knows a single leading axis.
        query = self.flatten_heads(self.q_proj(query))  # [batch * heads, queries, head_dim]
        key = self.flatten_heads(self.k_proj(key))  # [batch * heads, keys, head_dim]
        value = self.flatten_heads(self.v_proj(value))  # [batch * heads, keys, head_dim]
        scores = torch.bmm(query, key.transpose(1, 2)) / math.sqrt(self.head_dim)
        if mask is not None:
            mask = mask.expand(batch, queries, key.shape[1])
            mask = mask.repeat(self.num_heads, 1, 1)  # [batch * heads, queries, keys]
        weights = attention_weights(scores, mask)  # [batch * heads, queries, keys]
        output = torch.bmm(weights, value)  # [batch * heads, queries, head_dim]
        output = output.reshape(batch, self.num_heads, queries, self.head_dim).transpose(1, 2)
        output = output.reshape(batch, queries, embed_dim)
        return self.out_proj(output), weights.reshape(batch, self.num_heads, queries, -1)

    def flatten_heads(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, _ = x.shape
        x = x.reshape(batch, time, self.num_heads, self.head_dim).transpose(1, 2)
        return x.reshape(batch * self.num_heads, time, self.head_dim)
