"""An embedding with one thing wrong: lesson 10."""

import torch
from torch import nn


class BrokenEmbedding(nn.Module):
    """Tokens plus learned positions that begin at any place, with one bug.

    A model that writes a text gives it the new tokens only, and in `start` how many came before them.
    """

    def __init__(self, vocab_size: int, embed_dim: int, max_len: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.position = nn.Parameter(0.02 * torch.randn(max_len, embed_dim))

    def forward(self, tokens: torch.Tensor, start: int = 0) -> torch.Tensor:
        time, max_len = tokens.shape[1], len(self.position)
        if time > max_len:
            raise ValueError(f"{time} tokens are more than max_len {max_len}; shorten the sequence")
        rows = self.position[start : start + time]  # [time, embed_dim]
        embedded: torch.Tensor = self.token(tokens) + rows  # [batch, time, embed_dim]
        return embedded
