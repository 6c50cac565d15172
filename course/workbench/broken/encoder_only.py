"""Classification of many texts with one thing wrong: lesson 3."""

import torch


def broken_classify(model: torch.nn.Module, tokens: torch.Tensor, pad_id: int, batch_size: int = 8) -> torch.Tensor:
    """Return the logits [batch, num_classes] of many texts, with one bug.

    Texts of about the same length go through the model together, so that little work is spent on padding.

    model       returns (logits [batch, num_classes], weights) for tokens [batch, time]
    tokens      [batch, time]  [CLS] first, the end of a text filled with pad_id
    pad_id      the id that stands for padding
    batch_size  how many texts the model gets at once
    """
    lengths = (tokens != pad_id).sum(dim=1)
    # The longest texts come first: if they need too much memory, this shows at once and not after an hour.
    order = lengths.argsort(descending=True, stable=True)
    logits = []
    for rows in order.split(batch_size):
        longest = lengths[rows[0]]
        logits.append(model(tokens[rows, :longest])[0])  # without the columns that are padding only
    # Back to the order in which the texts were given.
    return torch.cat(logits)[order]
