"""A language model whose numbers were chosen so that one head does something that can be found."""

from typing import cast

import torch

from .parts import DecoderLayer, LanguageModel, LearnedPositionalEmbedding

LAYERS, HEADS, HEAD_DIM, MAX_LEN = 3, 4, 16, 16
LAYER, HEAD = 1, 2


def previous_token_model() -> LanguageModel:
    """Return a LanguageModel (lesson 4) of 3 layers with 4 heads, in which one head looks at the token before.

    Its vocabulary has 32 tokens, and it reads 16 at most. Nothing is trained: the head was built by hand, and the
    numbers of all others are random, the same in every call.
    """
    random = torch.Generator().manual_seed(11)
    embed_dim = HEADS * HEAD_DIM
    model = LanguageModel(32, embed_dim, HEADS, 2 * embed_dim, LAYERS, MAX_LEN).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                # Layers change little, so that positions can still be read in the last one.
                parameter.normal_(std=0.02 if "out_proj" in name or "down_proj" in name else 0.2, generator=random)
            elif name.endswith("bias"):
                parameter.zero_()
        # The last features say nothing but the position, one feature for each.
        model.embedding.token.weight[:, -MAX_LEN:] = 0.0
        table = cast(LearnedPositionalEmbedding, model.embedding.position)
        table.weight.zero_()[:, -MAX_LEN:] = torch.eye(MAX_LEN)
        attention = cast(DecoderLayer, model.decoder.layers[LAYER]).self_attention
        own = slice(HEAD * HEAD_DIM, (HEAD + 1) * HEAD_DIM)
        for projection, positions in (
            (attention.q_proj, torch.eye(MAX_LEN).roll(-1, 0)),
            (attention.k_proj, torch.eye(MAX_LEN)),
        ):
            projection.weight[own] = 0.0
            projection.bias[own] = 0.0
            projection.weight[own, -MAX_LEN:] = 1.5 * positions
    return model
