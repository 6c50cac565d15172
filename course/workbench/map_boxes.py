"""Where everything stands on the map of the transformer: its lessons, boxes, arrows and words, in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 880, 844


@dataclass(frozen=True)
class Lesson:
    """What the map knows of a lesson: number, title, and its components in the order in which they are built.

    The capstone has no number.
    """

    number: int | None
    title: str
    parts: tuple[str, ...]


LESSONS = {
    name: Lesson(number, title, tuple(parts.split()))
    for number, name, title, parts in (
        (1, "encoder", "Encoder", "FeedForward EncoderLayer Encoder GatedFeedForward"),
        (2, "decoder", "Decoder", "causal_mask DecoderLayer Decoder sliding_window_mask"),
        (
            3,
            "encoder_only",
            "Encoder-only",
            "SequenceClassifier mask_tokens masked_language_model_loss sentence_embedding",
        ),
        (4, "decoder_only", "Decoder-only", "next_token_loss LanguageModel filter_logits generate generate_with_cache"),
        (5, "encoder_decoder", "Encoder-decoder", "shift_right EncoderDecoder greedy_decode beam_search"),
        (6, "self_attention", "Self-attention", "SelfAttention padding_mask RelativeSelfAttention"),
        (
            7,
            "scaled_dot_product_attention",
            "Scaled dot-product attention",
            "attention_scores attention_weights scaled_dot_product_attention streaming_attention",
        ),
        (
            8,
            "multi_head_attention",
            "Multi-head attention",
            "split_heads merge_heads MultiHeadAttention GroupedQueryAttention",
        ),
        (9, "layer_normalization", "Layer normalization", "layer_norm LayerNorm ResidualConnection RMSNorm"),
        (
            10,
            "positional_embeddings",
            "Positional embeddings",
            "sinusoidal_encoding LearnedPositionalEmbedding TransformerEmbedding rotary_embedding",
        ),
        (
            11,
            "visualizing_attention",
            "Visualizing attention",
            "collect_attention show_self_attention show_encoder_decoder previous_token_score attention_entropy "
            "attention_distance find_heads",
        ),
    )
}
# The parts of the capstone, each with its heading and the columns of its components
CAPSTONE_PARTS = (
    ("1. tokens", ("train_merges encode decode",)),
    ("2. training", ("initialise text_batch learning_rate", "clip_gradients adamw_step evaluate")),
    ("3. an empty cell", ("GPT",)),
    ("4. it talks", ("KeyValueCache chat_prompt stream_text",)),
    ("5. look inside", ("logit_lens induction_score patch_activation",)),
)
CAPSTONE = "capstone"
_CAPSTONE_NAMES = (name for _, columns in CAPSTONE_PARTS for column in columns for name in column.split())
ON_THE_MAP = LESSONS | {CAPSTONE: Lesson(None, "Capstone", tuple(_CAPSTONE_NAMES))}
# Component -> its lesson. A bug to find (..._bug_input) is no part of a transformer, and has no box.
PARTS = {part: name for name, lesson in ON_THE_MAP.items() for part in lesson.parts}


@dataclass(frozen=True)
class Box:
    """A box of the map.

    kind    "card" of a lesson, "layer" that is repeated, "part" with a component's name, or "place" where one is used
    text    what stands in it
    lesson  name of the lesson that it belongs to
    part    the component whose state it shows, or ""
    marks   names of the lessons that mark it
    side    what stands at the right end of the head of a card or layer
    head    how far below its upper edge the head of a card stands
    """

    kind: str
    text: str
    x: float
    y: float
    width: float
    height: float
    lesson: str = ""
    part: str = ""
    marks: tuple[str, ...] = ()
    side: str = ""
    head: float = 0


def _card(lesson: str, x: float, y: float, width: float, height: float, *also: str, **more: Any) -> Box:
    """Return the card of a lesson, marked by that lesson, by the last one, and by others that are made of it."""
    return Box(
        "card",
        LESSONS[lesson].title,
        x,
        y,
        width,
        height,
        lesson,
        marks=(lesson, "visualizing_attention", *also),
        **more,
    )


def _row(x: float, y: float, *parts: str, width: float = 0) -> list[Box]:
    """Return the boxes of components side by side, as wide as their names need, or so that they fill a width."""
    wide: list[float] = [round(25 + 6.63 * len(part)) for part in parts]
    left = width - 4 * (len(parts) - 1)
    if width and max(wide) <= left / len(parts):
        wide = [left / len(parts)] * len(parts)
    elif width:
        wide = [one + (left - sum(wide)) / len(parts) for one in wide]
    return [
        Box("part", part, x + sum(wide[:number]) + 4 * number, y, wide[number], 20, PARTS[part], part)
        for number, part in enumerate(parts)
    ]


def _column(x: float, y: float, width: float, *parts: str) -> list[Box]:
    """Return the boxes of components below each other."""
    return [Box("part", part, x, y + 24 * row, width, 20, PARTS[part], part) for row, part in enumerate(parts)]


def _place(text: str, part: str, x: float, y: float, width: float, *also: str) -> Box:
    """Return a box where a component of another card is used; it shows that component's state."""
    return Box("place", text, x, y, width, 20, PARTS[part], part, marks=(PARTS[part], *also))


def _stack(x: float, y: float, *places: tuple[str, str]) -> list[Box]:
    """Return the places of a layer, the last one at the bottom, with room for an arrow between them."""
    return [_place(text, part, x, y + 30 * row, 188) for row, (text, part) in enumerate(places)]


# (left edge, heading, width of a column, its columns of names) of each part of the capstone
_CAPSTONE_COLUMNS = [
    (x, heading, width, columns)
    for (heading, columns), x, width in zip(
        CAPSTONE_PARTS, (18, 166, 438, 570, 718), (126, 123, 110, 126, 144), strict=True
    )
]


def _capstone_part(x: float, width: float, columns: Sequence[str]) -> list[Box]:
    """Return the boxes of a part of the capstone, in columns side by side."""
    return [
        box
        for number, names in enumerate(columns)
        for box in _column(x + (width + 4) * number, 736, width, *names.split())
    ]


_NORM = ("add and normalize", "ResidualConnection")
_FORWARD = ("feed-forward", "FeedForward")
_EMBEDDING = ("token + position embedding", "TransformerEmbedding")
_LEFT, _MIDDLE, _RIGHT = 20, 266, 512  # where the columns begin

BOXES = [
    _card("encoder_only", _LEFT, 42, 220, 126),
    *_column(
        _LEFT + 8, 68, 204, "SequenceClassifier", "mask_tokens", "masked_language_model_loss", "sentence_embedding"
    ),
    _card("decoder_only", _MIDDLE, 18, 220, 150),
    *_column(
        _MIDDLE + 8, 44, 204, "LanguageModel", "next_token_loss", "filter_logits", "generate", "generate_with_cache"
    ),
    _card("encoder_decoder", 8, 186, 490, 486, head=430),
    _card("encoder", _LEFT, 264, 220, 264, "encoder_only", "encoder_decoder"),
    *_column(_LEFT + 8, 290, 204, "Encoder", "FeedForward", "GatedFeedForward"),
    Box("layer", "", _LEFT + 8, 364, 204, 156, side="N ×"),
    *_row(_LEFT + 16, 372, "EncoderLayer"),
    *_stack(_LEFT + 16, 402, _NORM, _FORWARD, _NORM, ("self-attention", "MultiHeadAttention")),
    _place(*_EMBEDDING, _LEFT, 552, 220, "encoder_only"),
    _card("decoder", _MIDDLE, 204, 220, 324, "decoder_only", "encoder_decoder"),
    *_column(_MIDDLE + 8, 230, 204, "Decoder", "causal_mask", "sliding_window_mask"),
    Box("layer", "", _MIDDLE + 8, 304, 204, 216, side="N ×"),
    *_row(_MIDDLE + 16, 312, "DecoderLayer"),
    *_stack(
        _MIDDLE + 16,
        342,
        _NORM,
        _FORWARD,
        _NORM,
        ("cross-attention", "MultiHeadAttention"),
        _NORM,
        ("masked self-attention", "MultiHeadAttention"),
    ),
    _place(*_EMBEDDING, _MIDDLE, 552, 220, "decoder_only"),
    *_row(_LEFT, 642, "EncoderDecoder", "shift_right", "greedy_decode", "beam_search", width=466),
    _card("multi_head_attention", _RIGHT, 18, 360, 334),
    *_row(_RIGHT + 10, 44, "MultiHeadAttention", "GroupedQueryAttention", width=340),
    *_row(_RIGHT + 131, 74, "merge_heads"),
    _card("self_attention", _RIGHT + 10, 106, 340, 202, side="one head, × heads"),
    *_row(_RIGHT + 20, 132, "SelfAttention", "RelativeSelfAttention", width=320),
    _card("scaled_dot_product_attention", _RIGHT + 20, 166, 320, 102),
    *_row(_RIGHT + 28, 192, "scaled_dot_product_attention", width=304),
    *_row(_RIGHT + 28, 216, "attention_scores", "attention_weights", width=304),
    *_row(_RIGHT + 28, 240, "streaming_attention", width=304),
    *(
        _place(text, "SelfAttention", _RIGHT + 20 + 70 * number, 280, 66)
        for number, text in enumerate(("query", "key", "value"))
    ),
    *_row(_RIGHT + 235, 280, "padding_mask"),
    *_row(_RIGHT + 131, 322, "split_heads"),
    _card("layer_normalization", _RIGHT, 364, 360, 80),
    *_row(_RIGHT + 10, 390, "ResidualConnection", "LayerNorm", width=340),
    *_row(_RIGHT + 10, 414, "layer_norm", "RMSNorm", width=340),
    _card("positional_embeddings", _RIGHT, 456, 360, 80),
    *_row(_RIGHT + 10, 482, "TransformerEmbedding", "sinusoidal_encoding", width=340),
    *_row(_RIGHT + 10, 506, "LearnedPositionalEmbedding", "rotary_embedding", width=340),
    _card("visualizing_attention", _RIGHT, 548, 360, 124),
    *_row(_RIGHT + 10, 572, "collect_attention", "show_self_attention", width=340),
    *_row(_RIGHT + 10, 596, "show_encoder_decoder", "previous_token_score", width=340),
    *_row(_RIGHT + 10, 620, "attention_entropy", "attention_distance", width=340),
    *_row(_RIGHT + 10, 644, "find_heads", width=340),
    # Below the model, whose tokens and training it is about
    Box(
        "card",
        "Capstone: from an empty file to a model that answers",
        8,
        688,
        864,
        124,
        CAPSTONE,
        marks=(CAPSTONE,),
    ),
    *(box for x, _, width, columns in _CAPSTONE_COLUMNS for box in _capstone_part(x, width, columns)),
]

_UP = [
    *((130, start, end) for start, end in ((596, 572), (552, 512), (492, 482), (462, 452), (432, 422), (264, 168))),
    *(
        (376, start, end)
        for start, end in (
            (596, 572),
            (552, 512),
            (492, 482),
            (462, 452),
            (432, 422),
            (402, 392),
            (372, 362),
            (204, 168),
        )
    ),
    *((x, 280, 268) for x in (565, 635, 705, 799)),
    (692, 322, 308),
    (692, 106, 94),
]
# Each arrow is the list of its corners.
ARROWS = [*([(x, start), (x, end)] for x, start, end in _UP), [(130, 246), (253, 246), (253, 442), (282, 442)]]
WORDS = [
    (130, 612, "source tokens"),
    (376, 612, "target tokens so far"),
    (190, 240, "keys, values"),
    *(
        (x + (width * len(columns) + 4 * (len(columns) - 1)) / 2, 728, heading)
        for x, heading, width, columns in _CAPSTONE_COLUMNS
    ),
]
