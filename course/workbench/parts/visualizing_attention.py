"""Closed boxes of lesson 11."""

import math

import torch

from .encoder_decoder import shift_right


@torch.no_grad()
def collect_attention(model, source, target, row=0):
    """Return the weights of one sentence: (encoder, decoder, cross), each a list of [1, heads, queries, keys].

    model   an EncoderDecoder (lesson 5)
    source  [batch, keys]  source tokens
    target  [batch, queries]  target tokens, without the begin of sequence
    row     which sentence of the batch
    """
    memory, encoder = model.eval().encode(source)
    _, decoder, cross = model.decode(shift_right(target, model.bos_id), memory, source)
    return tuple([weights.narrow(0, row, 1) for weights in kind] for kind in (encoder, decoder, cross))


def show_self_attention(view, weights, tokens, row=0):
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


def show_encoder_decoder(view, encoder, decoder, cross, source_tokens, target_tokens, bos_token):
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


def previous_token_score(weights):
    """Return the mean weight [...] on the key right before the query, for weights [..., time, time]; see lesson 11."""
    return torch.linalg.diagonal(weights, offset=-1).mean(-1)


def attention_entropy(weights):
    """Return the mean entropy [...] of the queries in bits, for weights [..., queries, keys]; see lesson 11."""
    return torch.special.entr(weights).sum(-1).mean(-1) / math.log(2)


def attention_distance(weights):
    """Return the mean distance [...] from query to key, for weights [..., time, time]; see lesson 11."""
    position = torch.arange(weights.shape[-1], device=weights.device, dtype=weights.dtype)
    distance = (position[:, None] - position).abs()
    return torch.einsum("...qk,qk->...", weights, distance) / weights.shape[-1]


def find_heads(weights, measure, count=1):
    """Return (layer, head) of the heads with the largest measure, the largest first: [count, 2]; see lesson 11.

    weights  a list of [batch, heads, queries, keys], one per layer
    measure  called with weights [..., queries, keys], returns [...]
    count    how many heads
    """
    values = torch.stack([measure(layer).mean(0) for layer in weights])
    order = values.flatten().argsort(descending=True)[:count]
    return torch.stack([order // values.shape[1], order % values.shape[1]], dim=1)
