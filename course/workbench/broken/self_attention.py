"""Self-attention with one thing wrong: lesson 6."""

import torch
import torch.nn.functional as F
from torch import nn

from workbench.parts import scaled_dot_product_attention


class BrokenSelfAttention(nn.Module):
    """One head of self-attention that spares itself the work on padding, with one bug.

    embed_dim, head_dim  as in SelfAttention; forward(x, mask=None) -> (output, weights), too
    """

    def __init__(self, embed_dim: int, head_dim: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        time = x.shape[1]
        asked = x
        if mask is not None:
            # Nobody attends to padding, so only as many keys are made as the longest sequence has tokens.
            longest = max(1, int(mask.sum(dim=-1).max()))
            asked, mask = x[:, :longest], mask[..., :longest]
        query, key, value = self.q_proj(x), self.k_proj(asked), self.v_proj(asked)
        output, weights = scaled_dot_product_attention(query, key, value, mask)
        # The keys that were left out get their columns back, with weights of 0.
        return output, F.pad(weights, (0, time - weights.shape[-1]))
