"""Closed boxes of lesson 9."""

from collections.abc import Callable

import torch
from torch import nn


def layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    """Return x normalised over its last axis, then scaled and shifted; see lesson 9.

    x       [..., embed_dim]
    weight  [embed_dim]
    bias    [embed_dim]
    """
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return torch.addcmul(bias, (x - mean) * torch.rsqrt(variance + eps), weight)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation over the last axis, with `weight` and `bias`."""

    def __init__(self, embed_dim: int, eps: float = 1e-5) -> None:
        super().__init__(embed_dim, eps=eps)


class ResidualConnection(nn.Module):
    """A sublayer with its residual connection and its `norm`.

    norm_first  True: x + sublayer(norm(x)); False: norm(x + sublayer(x))
    """

    def __init__(self, embed_dim: int, norm_first: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dim)
        self.norm_first = norm_first

    def forward(self, x: torch.Tensor, sublayer: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        inside, outside = (self.norm, nn.Identity()) if self.norm_first else (nn.Identity(), self.norm)
        output: torch.Tensor = outside(torch.add(x, sublayer(inside(x))))
        return output


class RMSNorm(nn.RMSNorm):
    """Normalisation by the root of the mean square over the last axis, with `weight`."""

    def __init__(self, embed_dim: int, eps: float = 1e-5) -> None:
        super().__init__(embed_dim, eps=eps)
