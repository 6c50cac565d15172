"""Closed boxes of lesson 5."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .decoder import Decoder, causal_mask
from .encoder import Encoder
from .positional_embeddings import TransformerEmbedding
from .self_attention import padding_mask


def shift_right(tokens: torch.Tensor, bos_id: int) -> torch.Tensor:
    """Return tokens [batch, time] with `bos_id` in front and without the last one; see lesson 5."""
    return F.pad(tokens[:, :-1], (1, 0), value=bos_id)


class EncoderDecoder(nn.Module):
    """The transformer of Vaswani et al. (2017): an encoder reads the source, a decoder writes; see lesson 5."""

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        encoder_layers: int,
        decoder_layers: int,
        max_len: int,
        pad_id: int,
        bos_id: int,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        self.pad_id, self.bos_id = pad_id, bos_id
        self.source_embedding = TransformerEmbedding(source_vocab_size, embed_dim, max_len, dropout=dropout)
        self.target_embedding = TransformerEmbedding(target_vocab_size, embed_dim, max_len, dropout=dropout)
        self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)
        self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)
        self.head = nn.Linear(embed_dim, target_vocab_size)

    def encode(self, source: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return (memory, [weights of each layer]) for source tokens [batch, keys]."""
        read: tuple[torch.Tensor, list[torch.Tensor]] = self.encoder(
            self.source_embedding(source), padding_mask(source, self.pad_id)
        )
        return read

    def decode(
        self, tokens: torch.Tensor, memory: torch.Tensor, source: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Return (logits, [self weights of each layer], [cross weights of each layer]).

        tokens  [batch, queries], what the decoder reads: the begin of sequence and what is written so far
        memory  [batch, keys, embed_dim], what `encode` made of the source
        source  [batch, keys], the source tokens, which say where the memory is padding
        """
        visible = causal_mask(tokens.shape[1]).to(tokens.device)
        x, self_weights, cross_weights = self.decoder(
            self.target_embedding(tokens), memory, visible, padding_mask(source, self.pad_id)
        )
        return self.head(x), self_weights, cross_weights

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return logits [batch, queries, target_vocab_size], each for the target token at its own place."""
        memory, _ = self.encode(source)
        return self.decode(shift_right(target, self.bos_id), memory, source)[0]


@torch.no_grad()
def greedy_decode(
    model: Any, source: torch.Tensor, bos_id: int, eos_id: int, pad_id: int, max_len: int
) -> torch.Tensor:
    """Return the tokens that follow `bos_id`, always the most probable one: [batch, time]; see lesson 5."""
    model.eval()
    memory, _ = model.encode(source)
    tokens, ended = source.new_full((len(source), 1), bos_id), source.new_zeros(len(source), dtype=torch.bool)
    while not ended.all() and tokens.shape[1] <= max_len:
        best = model.decode(tokens, memory, source)[0][:, -1].argmax(-1)
        tokens = torch.cat([tokens, torch.where(ended, pad_id, best)[:, None]], dim=1)
        ended = ended | (best == eos_id)
    return tokens[:, 1:]


@torch.no_grad()
def beam_search(
    model: Any,
    source: torch.Tensor,
    bos_id: int,
    eos_id: int,
    pad_id: int,
    max_len: int,
    num_beams: int,
    length_penalty: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (tokens [batch, time], scores [batch]): the best text that `num_beams` beams find; see lesson 5."""
    model.eval()
    memory, _ = model.encode(source)
    found = [
        _best_of_a_row(
            model, memory[row : row + 1], source[row : row + 1], bos_id, eos_id, max_len, num_beams, length_penalty
        )
        for row in range(len(source))
    ]
    tokens = nn.utils.rnn.pad_sequence([text for text, _ in found], batch_first=True, padding_value=pad_id)
    return tokens, torch.stack([score for _, score in found])


def _best_of_a_row(
    model: Any,
    memory: torch.Tensor,
    source: torch.Tensor,
    bos_id: int,
    eos_id: int,
    max_len: int,
    num_beams: int,
    length_penalty: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    tokens, totals = source.new_full((1, 1), bos_id), memory.new_zeros(1)
    finished: list[tuple[torch.Tensor, torch.Tensor]] = []
    for length in range(1, max_len + 1):
        beams = len(tokens)
        logits = model.decode(tokens, memory.expand(beams, -1, -1), source.expand(beams, -1))[0][:, -1]
        candidates = totals[:, None] + logits.log_softmax(-1)  # [beams, vocab_size]
        totals, order = candidates.flatten().topk(min(2 * num_beams, candidates.numel()))
        beam, token = order // candidates.shape[1], order % candidates.shape[1]
        tokens = torch.cat([tokens[beam], token[:, None]], dim=1)
        ends = (token == eos_id) | (length == max_len)
        finished += [
            (tokens[i, 1:], totals[i] / length**length_penalty) for i in ends[:num_beams].nonzero().flatten().tolist()
        ]
        tokens, totals = tokens[~ends][:num_beams], totals[~ends][:num_beams]
    return max(finished, key=lambda text_and_score: text_and_score[1].item())
