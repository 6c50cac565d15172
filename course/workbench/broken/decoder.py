"""A decoder layer with one thing wrong: lesson 2."""

import torch
import torch.nn.functional as F

from workbench.parts import DecoderLayer, MultiHeadAttention, merge_heads, scaled_dot_product_attention, split_heads


def broken_decoder_layer(
    layer: DecoderLayer,
    x: torch.Tensor,
    memory: torch.Tensor,
    self_mask: torch.Tensor | None = None,
    memory_mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (x, self_weights, cross_weights) of a post-norm decoder layer in evaluation mode, with one bug.

    layer        a DecoderLayer in the post-norm form, whose parts do the work
    x            [batch, queries, embed_dim]
    memory       [batch, keys, embed_dim]
    self_mask    True where a query may attend to a position of x; None: everywhere
    memory_mask  True where a query may attend to a position of the memory; None: everywhere
    """

    def attend(
        attention: MultiHeadAttention, asking: torch.Tensor, asked: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        if asking.shape == asked.shape:
            # Self-attention: one large matrix product is faster than three small ones.
            weight = torch.cat([projection.weight for projection in projections])
            bias = torch.cat([projection.bias for projection in projections])
            query, key, value = F.linear(asking, weight, bias).chunk(3, dim=-1)
        else:
            query, key, value = (
                projection(given) for projection, given in zip(projections, (asking, asked, asked), strict=True)
            )
        query, key, value = (split_heads(one, attention.num_heads) for one in (query, key, value))
        mask = None if mask is None else mask.unsqueeze(-3)  # the same for all heads
        output, weights = scaled_dot_product_attention(query, key, value, mask)
        return attention.out_proj(merge_heads(output)), weights

    attended, self_weights = attend(layer.self_attention, x, x, self_mask)
    x = layer.norm1(x + attended)
    attended, cross_weights = attend(layer.cross_attention, x, memory, memory_mask)
    x = layer.norm2(x + attended)
    x = layer.norm3(x + layer.feed_forward(x))
    return x, self_weights, cross_weights
