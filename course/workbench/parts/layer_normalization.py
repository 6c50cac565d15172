"""Closed boxes of lesson 9."""

import torch
from torch import nn


def layer_norm(x, weight, bias, eps=1e-5):
    """Return x normalised over its last axis, then scaled and shifted; see lesson 9.

    x       [..., embed_dim]
    weight  [embed_dim]
    bias    [embed_dim]
    """
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return torch.addcmul(bias, (x - mean) * torch.rsqrt(variance + eps), weight)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation over the last axis, with `weight` and `bias`."""

    def __init__(self, embed_dim, eps=1e-5):
        super().__init__(embed_dim, eps=eps)


class ResidualConnection(nn.Module):
    """A sublayer with its residual connection and its `norm`.

    norm_first  True: x + sublayer(norm(x)); False: norm(x + sublayer(x))
    """

    def __init__(self, embed_dim, norm_first):
        super().__init__()
        self.norm = nn.LayerNorm(embed_dim)
        self.norm_first = norm_first

    def forward(self, x, sublayer):
        inside, outside = (self.norm, nn.Identity()) if self.norm_first else (nn.Identity(), self.norm)
        return outside(torch.add(x, sublayer(inside(x))))


class RMSNorm(nn.RMSNorm):
    """Normalisation by the root of the mean square over the last axis, with `weight`."""

    def __init__(self, embed_dim, eps=1e-5):
        super().__init__(embed_dim, eps=eps)
