"""A repetition penalty with one thing wrong: lesson 4."""

import torch


def broken_repetition_penalty(logits: torch.Tensor, tokens: torch.Tensor, penalty: float = 1.2) -> torch.Tensor:
    """Return logits [batch, vocab_size] in which tokens that are in the text already are less likely, with one bug.

    logits   [batch, vocab_size]  what the model says about the next token
    tokens   [batch, time]  what has been written so far
    penalty  at least 1; 1 changes nothing
    """
    # A token counts once, however often it has been written.
    written = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, tokens, True)  # [batch, vocab_size]
    return torch.where(written, logits / penalty, logits)
