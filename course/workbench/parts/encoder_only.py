"""Closed boxes of lesson 3."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .encoder import Encoder
from .positional_embeddings import TransformerEmbedding
from .self_attention import padding_mask


class SequenceClassifier(nn.Module):
    """An encoder that classifies a text by its first token (BERT); see lesson 3."""

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        num_layers: int,
        max_len: int,
        num_classes: int,
        pad_id: int,
        dropout: float = 0.0,
        activation: Callable[[torch.Tensor], torch.Tensor] = F.gelu,
    ) -> None:
        super().__init__()
        self.pad_id = pad_id
        self.embedding = TransformerEmbedding(vocab_size, embed_dim, max_len, "learned", dropout)
        self.norm = nn.LayerNorm(embed_dim)
        self.encoder = Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout, False, activation)
        self.pooler = nn.Linear(embed_dim, embed_dim)
        self.head = nn.Linear(embed_dim, num_classes)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return (logits [batch, num_classes], [weights of each layer]) for tokens [batch, time]."""
        states, weights = self.encoder(self.norm(self.embedding(tokens)), padding_mask(tokens, self.pad_id))
        return self.head(self.pooler(states.select(1, 0)).tanh()), weights


def mask_tokens(
    tokens: torch.Tensor,
    mask_id: int,
    vocab_size: int,
    special_ids: Sequence[int],
    probability: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (inputs, labels), both [batch, time], for guessing hidden tokens; see lesson 3.

    tokens       [batch, time]
    mask_id      the id of [MASK]
    vocab_size   how many tokens there are
    special_ids  ids that are never chosen
    probability  with which each other token is chosen
    generator    torch.Generator; None: the global one
    """
    ordinary = torch.ones(vocab_size, device=tokens.device).index_fill(
        0, torch.tensor(special_ids, dtype=torch.long, device=tokens.device), 0.0
    )
    chosen = torch.bernoulli(probability * F.embedding(tokens, ordinary[:, None]).squeeze(-1), generator=generator) > 0
    fate = torch.empty(tokens.shape, device=tokens.device).uniform_(0, 10, generator=generator)
    drawn = torch.empty_like(tokens).random_(0, vocab_size, generator=generator)
    hidden = torch.where(fate < 8, mask_id, torch.where(fate < 9, drawn, tokens))
    return torch.where(chosen, hidden, tokens), torch.where(chosen, tokens, -100)


def masked_language_model_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of all places with a label other than -100; see lesson 3.

    logits  [batch, time, vocab_size]
    labels  [batch, time]
    """
    return F.cross_entropy(logits.movedim(-1, 1), labels)


def sentence_embedding(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean state of each text, scaled to length 1: [batch, embed_dim]; see lesson 3.

    states  [batch, time, embed_dim]
    mask    [batch, time], True where a token is no padding
    """
    # The length of the sum drops out when it is scaled, so nothing has to be divided by the number of tokens.
    return F.normalize(torch.einsum("bte,bt->be", states, mask.to(states.dtype)), dim=-1)
