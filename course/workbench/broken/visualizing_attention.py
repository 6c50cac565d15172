"""A picture of cross-attention with one thing wrong: lesson 11."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def broken_show_cross_attention(
    view: Callable[..., object],
    cross: "list[torch.Tensor]",
    source_tokens: list[str],
    target_tokens: list[str],
    bos_token: str,
) -> None:
    """Show the cross-attention of one sentence: call view(...) as BertViz wants it, with one bug.

    view           a function with the arguments of bertviz.head_view and bertviz.model_view
    cross          a list of [1, heads, queries, keys], one per layer of the decoder
    source_tokens  a list of keys strings
    target_tokens  a list of queries strings, without the begin of sequence
    bos_token      the string for the begin of sequence
    """
    decoder_tokens = [bos_token, *target_tokens[:-1]]
    # Some models return their weights as [.., keys, queries], and BertViz wants a row for each query.
    layers = [weights.mT if weights.shape[-2] == len(source_tokens) else weights for weights in cross]
    view(cross_attention=layers, encoder_tokens=source_tokens, decoder_tokens=decoder_tokens)
