"""Closed boxes of lesson 1."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from .multi_head_attention import MultiHeadAttention


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, for each position alone; see lesson 1."""

    def __init__(
        self,
        embed_dim: int,
        ff_dim: int,
        dropout: float = 0.0,
        activation: Callable[[torch.Tensor], torch.Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.up_proj = nn.Linear(embed_dim, ff_dim)
        self.down_proj = nn.Linear(ff_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [..., embed_dim] for x [..., embed_dim]."""
        output: torch.Tensor = self.down_proj(self.dropout(self.activation(self.up_proj(x))))
        return output


class GatedFeedForward(nn.Module):
    """A feed-forward network with a gate and without biases (Shazeer 2020); see lesson 1."""

    def __init__(
        self,
        embed_dim: int,
        ff_dim: int,
        dropout: float = 0.0,
        activation: Callable[[torch.Tensor], torch.Tensor] = F.silu,
    ) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(embed_dim, ff_dim, bias=False)
        self.up_proj = nn.Linear(embed_dim, ff_dim, bias=False)
        self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [..., embed_dim] for x [..., embed_dim]."""
        output: torch.Tensor = self.down_proj(self.dropout(self.activation(self.gate_proj(x)) * self.up_proj(x)))
        return output


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each with its residual and its norm; see lesson 1."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: Callable[[torch.Tensor], torch.Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (x, weights).

        x     [batch, time, embed_dim]
        mask  True where a query may attend: [time, time], [batch, 1, time] or [batch, time, time]; None: everywhere
        """
        given = self.norm1(x) if self.norm_first else x
        attended, weights = self.self_attention(given, given, given, mask)
        x = x + self.dropout(attended)
        if self.norm_first:
            return x + self.dropout(self.feed_forward(self.norm2(x))), weights
        x = self.norm1(x)
        return self.norm2(x + self.dropout(self.feed_forward(x))), weights


class Encoder(nn.Module):
    """A stack of encoder layers; see lesson 1."""

    def __init__(
        self,
        num_layers: int,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: Callable[[torch.Tensor], torch.Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, activation) for _ in range(num_layers)
        )
        self.norm_first = norm_first
        if norm_first:
            self.final_norm = nn.LayerNorm(embed_dim)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return (x, [weights of each layer]); the arguments are those of `EncoderLayer`."""
        weights = []
        for layer in self.layers:
            x, of_this_layer = layer(x, mask)
            weights.append(of_this_layer)
        return (self.final_norm(x) if self.norm_first else x), weights
