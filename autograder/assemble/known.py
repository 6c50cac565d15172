"""Which parts a transformer is assembled from, and which lesson each of them is of."""

import sys

from workbench import parts as boxes

BOX = "box"
GIVEN = "given"
# From the inside out: no lesson needs a part of a later one.
LESSONS = (
    "scaled_dot_product_attention",
    "self_attention",
    "multi_head_attention",
    "layer_normalization",
    "positional_embeddings",
    "encoder",
    "decoder",
    "encoder_only",
    "decoder_only",
    "encoder_decoder",
)
# Part -> lesson, in the same order.
PARTS = {
    name: lesson
    for lesson in LESSONS
    for name in vars(sys.modules[f"{boxes.__name__}.{lesson}"])
    if name in boxes.__all__ and getattr(boxes, name).__module__ == f"{boxes.__name__}.{lesson}"
}


class AssemblyError(ValueError):
    """What cannot be assembled: place, fact, remedy."""


def short(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}{': ' if text else ''}{text}"
