"""An encoder layer with one thing wrong: lesson 1."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from workbench.parts import EncoderLayer


def broken_encoder_layer(
    layer: "EncoderLayer", x: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (x, weights) of a post-norm encoder layer in evaluation mode, with one bug.

    layer  an EncoderLayer in the post-norm form, whose parts do the work
    x      [batch, time, embed_dim]
    mask   boolean [time, time], [batch, 1, time] or [batch, time, time], True where a query may attend
           to a key; None: everywhere
    """
    # A mask that hides nothing changes nothing, and attention without a mask is faster.
    if mask is not None and mask[0].all():
        mask = None
    attended, weights = layer.self_attention(x, x, x, mask)
    x = layer.norm1(x + attended)
    # 32 positions at a time: the hidden numbers of a long sequence need not be held all at once.
    pieces = [layer.feed_forward(piece) for piece in x.split(32, dim=1)]
    x = layer.norm2(x + torch.cat(pieces, dim=1))
    return x, weights
