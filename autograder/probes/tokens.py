"""Tokens for the models of many lessons: tensors of whole numbers."""

import torch


def token_ids(numbers, *shape, high, low=0):
    """Return random token ids of this shape from `low` on, all below `high`."""
    return numbers.tensor(*shape, low=low, high=high).long()


def integers(numbers, *shape, below, without=()):
    """Return integers of this shape under a bound, some of which may be left out."""
    choices = [number for number in range(below) if number not in without]
    return torch.tensor(choices)[(numbers.tensor(*shape, low=0.0, high=1.0) * len(choices)).long()]


def source_and_target(numbers, build, batch=3, keys=7, queries=5, padded=True):
    """Return source [batch, keys] and target [batch, queries] as keyword arguments of an EncoderDecoder.

    build   arguments of its constructor, for the sizes of the vocabularies and pad_id
    padded  True: the second row of each ends in one padding token, the third in two
    """
    source = integers(numbers, batch, keys, below=build["source_vocab_size"], without=(build["pad_id"],))
    target = integers(numbers, batch, queries, below=build["target_vocab_size"], without=(build["pad_id"],))
    for row in range(1, batch) if padded else ():
        source[row, keys - row :], target[row, queries - row :] = build["pad_id"], build["pad_id"]
    return dict(source=source, target=target)
