"""Layer normalisation with one thing wrong: lesson 9."""

import torch


def broken_layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    """Return x with each position normalised over its features, with one bug.

    x       [..., embed_dim]
    weight  [embed_dim]
    bias    [embed_dim]
    eps     number that is added to the variance, under the root
    """
    mean = x.mean(dim=-1, keepdim=True)  # [..., 1]
    # The variance is the mean of the squares minus the square of the mean, so x has to be read only once.
    variance = (x * x).mean(dim=-1, keepdim=True) - mean * mean  # [..., 1]
    # Rounding can leave a number just below 0, whose root would be NaN.
    variance = variance.clamp(min=0.0)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias
