"""Closed boxes of lesson 2."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .encoder import FeedForward
from .multi_head_attention import MultiHeadAttention


def causal_mask(queries: int, keys: int | None = None) -> torch.Tensor:
    """Return bool [queries, keys], True where a key is not later than the query; the queries are the last ones.

    queries  how many queries
    keys     how many keys, at least as many as queries; None: as many as queries
    """
    keys = queries if keys is None else keys
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


def sliding_window_mask(queries: int, window: int, keys: int | None = None) -> torch.Tensor:
    """Return bool [queries, keys], True at the query itself and at the `window - 1` keys before it.

    queries  how many queries; they are the last ones
    window   how many keys a query sees at most, itself included
    keys     how many keys, at least as many as queries; None: as many as queries
    """
    causal = causal_mask(queries, keys)
    return causal.triu(causal.shape[1] - queries - window + 1)


class DecoderLayer(nn.Module):
    """Self-attention, attention to the memory, and a feed-forward network; see lesson 2.

    cross_attention  False: there is neither cross_attention nor norm2
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: Callable[[torch.Tensor], torch.Tensor] = F.relu,
        cross_attention: bool = True,
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        if cross_attention:
            self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1 = nn.LayerNorm(embed_dim)
        if cross_attention:
            self.norm2 = nn.LayerNorm(embed_dim)
        self.norm3 = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(
        self,
        x: torch.Tensor,
        memory: torch.Tensor | None = None,
        self_mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return (x, self_weights, cross_weights); cross_weights is None without a memory.

        x            [batch, queries, embed_dim]
        memory       [batch, keys, embed_dim], the encoder's output; None: no cross-attention. A layer that was made
                     without cross-attention takes none
        self_mask    True where a query may attend to a position of x; None: everywhere
        memory_mask  True where a query may attend to a position of the memory; None: everywhere
        """
        x, self_weights = self._sublayer(x, self.norm1, lambda x: self.self_attention(x, x, x, self_mask))
        cross_weights = None
        if memory is not None:
            x, cross_weights = self._sublayer(
                x, self.norm2, lambda x: self.cross_attention(x, memory, memory, memory_mask)
            )
        x, _ = self._sublayer(x, self.norm3, lambda x: (self.feed_forward(x), None))
        return x, self_weights, cross_weights

    def _sublayer(
        self, x: torch.Tensor, norm: nn.LayerNorm, sublayer: Callable[[torch.Tensor], tuple[torch.Tensor, Any]]
    ) -> tuple[torch.Tensor, Any]:
        change, weights = sublayer(norm(x) if self.norm_first else x)
        x = x + self.dropout(change)
        return (x if self.norm_first else norm(x)), weights


class Decoder(nn.Module):
    """A stack of decoder layers; see lesson 2."""

    def __init__(
        self,
        num_layers: int,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: Callable[[torch.Tensor], torch.Tensor] = F.relu,
        cross_attention: bool = True,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, activation, cross_attention)
            for _ in range(num_layers)
        )
        self.norm_first = norm_first
        if norm_first:
            self.final_norm = nn.LayerNorm(embed_dim)

    def forward(
        self,
        x: torch.Tensor,
        memory: torch.Tensor | None = None,
        self_mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor | None]]:
        """Return (x, [self weights of each layer], [cross weights of each layer]); see `DecoderLayer`."""
        self_weights, cross_weights = [], []
        for layer in self.layers:
            x, of_itself, of_the_memory = layer(x, memory, self_mask, memory_mask)
            self_weights.append(of_itself)
            cross_weights.append(of_the_memory)
        return (self.final_norm(x) if self.norm_first else x), self_weights, cross_weights
