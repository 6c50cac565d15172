"""Greedy decoding with one thing wrong, and a small model to try it on: lesson 5."""

from typing import Any

import torch
from torch import nn

PAD, BOS, EOS, VOCAB_SIZE = 0, 1, 2, 10


class Copier(nn.Module):
    """A translator without parameters, for tokens from 3 to 9: its translation of a text is the text itself.

    After the end it begins again, as a trained model may: nobody has taught it what comes after the end.
    encode(source) and decode(tokens, memory, source) are those of EncoderDecoder.
    """

    def encode(self, source: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return source, []

    def decode(
        self, tokens: torch.Tensor, memory: torch.Tensor, source: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        lengths = (source != PAD).sum(dim=1, keepdim=True)  # [batch, 1]
        texts = torch.cat([source, torch.full_like(lengths, PAD)], dim=1).scatter(1, lengths, EOS)
        places = torch.arange(tokens.shape[1], device=tokens.device) % (lengths + 1)  # [batch, queries]
        return nn.functional.one_hot(texts.gather(1, places).long(), VOCAB_SIZE).float(), [], []


@torch.no_grad()
def broken_greedy_decode(
    model: Any, source: torch.Tensor, bos_id: int, eos_id: int, pad_id: int, max_len: int
) -> torch.Tensor:
    """Return what the model writes for a source [batch, keys], as greedy_decode does, with one bug."""
    model.eval()
    memory, _ = model.encode(source)  # once: the source does not change while the target is written
    tokens = torch.full_like(source[:, :1], bos_id)  # [batch, 1]
    for _ in range(max_len):
        logits, _, _ = model.decode(tokens, memory, source)
        best = logits[:, -1].argmax(dim=-1)  # [batch]
        # A row that has ended goes on as padding, whatever the model says about it.
        best = best.masked_fill(tokens[:, -1] == eos_id, pad_id)
        tokens = torch.cat([tokens, best[:, None]], dim=1)
        if (tokens == eos_id).any(dim=1).all():
            break
    return tokens[:, 1:]
