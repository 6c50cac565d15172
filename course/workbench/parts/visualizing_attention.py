"""Closed boxes of lesson 11."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .encoder_decoder import shift_right


@torch.no_grad()
def collect_attention(
    model: Any, source: torch.Tensor, target: torch.Tensor, row: int = 0
) -> tuple[list[torch.Tensor], ...]:
    """Return the weights of one sentence: (encoder, decoder, cross), each a list of [1, heads, queries, keys].

    model   an EncoderDecoder (lesson 5)
    source  [batch, keys]  source tokens
    target  [batch, queries]  target tokens, without the begin of sequence
    row     which sentence of the batch
    """
    memory, encoder = model.eval().encode(source)
    _, decoder, cross = model.decode(shift_right(target, model.bos_id), memory, source)
    return tuple([weights.narrow(0, row, 1) for weights in kind] for kind in (encoder, decoder, cross))


def show_self_attention(
    view: Callable[..., object], weights: Sequence[torch.Tensor], tokens: Sequence[str], row: int = 0
) -> None:
    """Call `view` with the attention and the tokens of one sentence; see lesson 11.

    view     head_view or model_view of BertViz, or what is called like them
    weights  a list of [batch, heads, time, time], one per layer
    tokens   the words at the positions
    row      which sentence of the batch
    Raises ValueError if there are more or fewer tokens than positions.
    """
    time = weights[0].shape[-1]
    if len(tokens) != time:
        raise ValueError(f"{len(tokens)} tokens do not name {time} positions; give one per position, special ones too")
    view(attention=[layer.narrow(0, row, 1) for layer in weights], tokens=list(tokens))


def show_encoder_decoder(
    view: Callable[..., object],
    encoder: list[torch.Tensor],
    decoder: list[torch.Tensor],
    cross: list[torch.Tensor],
    source_tokens: list[str],
    target_tokens: list[str],
    bos_token: str,
) -> None:
    """Call `view` with encoder, decoder and cross attention, a view for each kind; see lesson 11.

    view                    head_view or model_view of BertViz, or what is called like them
    encoder, decoder, cross  lists of [1, heads, queries, keys], one per layer
    source_tokens           the words that the encoder read
    target_tokens           the words of the target, without the begin of sequence
    bos_token               the word for the begin of sequence
    """
    read = [bos_token, *target_tokens][: len(target_tokens)]
    view(encoder_attention=encoder, encoder_tokens=source_tokens)
    view(decoder_attention=decoder, decoder_tokens=read)
    view(cross_attention=cross, encoder_tokens=source_tokens, decoder_tokens=read)


def previous_token_score(weights: torch.Tensor) -> torch.Tensor:
    """Return the mean weight [...] on the key right before the query, for weights [..., time, time]; see lesson 11."""
    score: torch.Tensor = torch.linalg.diagonal(weights, offset=-1).mean(-1)
    return score


def attention_entropy(weights: torch.Tensor) -> torch.Tensor:
    """Return the mean entropy [...] of the queries in bits, for weights [..., queries, keys]; see lesson 11."""
    entropy: torch.Tensor = torch.special.entr(weights).sum(-1).mean(-1) / math.log(2)
    return entropy


def attention_distance(weights: torch.Tensor) -> torch.Tensor:
    """Return the mean distance [...] from query to key, for weights [..., time, time]; see lesson 11."""
    position = torch.arange(weights.shape[-1], device=weights.device, dtype=weights.dtype)
    distance = (position[:, None] - position).abs()
    mean: torch.Tensor = torch.einsum("...qk,qk->...", weights, distance) / weights.shape[-1]
    return mean


def find_heads(
    weights: Sequence[torch.Tensor], measure: Callable[[torch.Tensor], torch.Tensor], count: int = 1
) -> torch.Tensor:
    """Return (layer, head) of the heads with the largest measure, the largest first: [count, 2]; see lesson 11.

    weights  a list of [batch, heads, queries, keys], one per layer
    measure  called with weights [..., queries, keys], returns [...]
    count    how many heads
    """
    values = torch.stack([measure(layer).mean(0) for layer in weights])
    order = values.flatten().argsort(descending=True)[:count]
    return torch.stack([order // values.shape[1], order % values.shape[1]], dim=1)
