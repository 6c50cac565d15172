"""Closed boxes of lesson 10."""

import torch
from torch import nn


def sinusoidal_encoding(max_len: int, embed_dim: int) -> torch.Tensor:
    """Return the table [max_len, embed_dim] of sines (even columns) and cosines (odd columns); see lesson 10."""
    if embed_dim % 2:
        raise ValueError(f"embed_dim {embed_dim} is odd, but sines and cosines come in pairs; choose an even number")
    waves = _waves(torch.arange(max_len), embed_dim, 10000.0)  # cosine + i sine
    return torch.view_as_real(waves).flip(-1).flatten(-2).to(torch.get_default_dtype())


class LearnedPositionalEmbedding(nn.Module):
    """Add a learned vector per position; `weight` is [max_len, embed_dim]."""

    def __init__(self, max_len: int, embed_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_len, embed_dim))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(_fits(x.shape[1], self.weight), device=x.device)
        return torch.add(x, nn.functional.embedding(positions, self.weight))


class TransformerEmbedding(nn.Module):
    """Token embedding plus position embedding, then dropout.

    positions  "sinusoidal": a fixed table `position`; "learned": a parameter `position.weight`
    """

    position: LearnedPositionalEmbedding | torch.Tensor

    def __init__(
        self, vocab_size: int, embed_dim: int, max_len: int, positions: str = "sinusoidal", dropout: float = 0.0
    ) -> None:
        super().__init__()
        if positions not in ("sinusoidal", "learned"):
            raise ValueError(f'positions is {positions!r}; choose "sinusoidal" or "learned"')
        self.token = nn.Embedding(vocab_size, embed_dim)
        if positions == "learned":
            self.position = LearnedPositionalEmbedding(max_len, embed_dim)
        else:
            self.register_buffer("position", sinusoidal_encoding(max_len, embed_dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.token(tokens)
        if isinstance(self.position, nn.Module):
            x = self.position(x)
        else:
            x = x + self.position.narrow(0, 0, _fits(tokens.shape[1], self.position))
        embedded: torch.Tensor = self.dropout(x)
        return embedded


def rotary_embedding(x: torch.Tensor, positions: torch.Tensor | None = None, base: float = 10000.0) -> torch.Tensor:
    """Return x with each pair of neighbouring features turned by an angle that grows with the position.

    x          [..., time, head_dim]
    positions  [..., time], broadcasts to the leading axes of x; None: 0, 1, 2 ...
    """
    head_dim = x.shape[-1]
    if head_dim % 2:
        raise ValueError(f"head_dim {head_dim} is odd, but features turn in pairs; choose an even number")
    if positions is None:
        positions = torch.arange(x.shape[-2], device=x.device)
    turns = _waves(positions.to(x.device), head_dim, base)
    # There are no complex numbers of bfloat16, and hardly any of float16.
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns.to(pairs.dtype)).flatten(-2).to(x.dtype)


def _waves(positions: torch.Tensor, width: int, base: float) -> torch.Tensor:
    """Return exp(i angle), one per position and pair of features, as complex numbers [..., time, width / 2]."""
    pair = torch.arange(width // 2, device=positions.device, dtype=torch.float64)
    angles = positions.double().unsqueeze(-1) * base ** (-2 * pair / width)
    return torch.polar(torch.ones_like(angles), angles)


def _fits(time: int, table: torch.Tensor) -> int:
    """Return `time`. Raises ValueError if the table has fewer positions."""
    if time > len(table):
        raise ValueError(
            f"a sequence of {time} tokens is longer than max_len {len(table)}; "
            "shorten it, or build with a larger max_len"
        )
    return time
