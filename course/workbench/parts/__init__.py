"""Closed boxes: right components on PyTorch's own modules, with the contract of the lessons.

Lessons import from here what they need and do not build themselves. A check puts these boxes in the places of
a learner's other components, so that one mistake costs the points of one exercise only.
"""

from .decoder import Decoder, DecoderLayer, causal_mask, sliding_window_mask
from .decoder_only import LanguageModel, filter_logits, generate, generate_with_cache, next_token_loss
from .encoder import Encoder, EncoderLayer, FeedForward, GatedFeedForward
from .encoder_decoder import EncoderDecoder, beam_search, greedy_decode, shift_right
from .encoder_only import SequenceClassifier, mask_tokens, masked_language_model_loss, sentence_embedding
from .layer_normalization import LayerNorm, ResidualConnection, RMSNorm, layer_norm
from .multi_head_attention import GroupedQueryAttention, MultiHeadAttention, merge_heads, split_heads
from .positional_embeddings import (
    LearnedPositionalEmbedding,
    TransformerEmbedding,
    rotary_embedding,
    sinusoidal_encoding,
)
from .scaled_dot_product_attention import attention_scores, attention_weights, scaled_dot_product_attention
from .self_attention import RelativeSelfAttention, SelfAttention, padding_mask
from .tokens import decode, encode, train_merges
from .visualizing_attention import (
    attention_distance,
    attention_entropy,
    collect_attention,
    find_heads,
    previous_token_score,
    show_encoder_decoder,
    show_self_attention,
)

__all__ = [
    "FeedForward",
    "GatedFeedForward",
    "EncoderLayer",
    "Encoder",
    "causal_mask",
    "sliding_window_mask",
    "DecoderLayer",
    "Decoder",
    "SequenceClassifier",
    "mask_tokens",
    "masked_language_model_loss",
    "sentence_embedding",
    "next_token_loss",
    "LanguageModel",
    "filter_logits",
    "generate",
    "generate_with_cache",
    "shift_right",
    "EncoderDecoder",
    "greedy_decode",
    "beam_search",
    "SelfAttention",
    "padding_mask",
    "RelativeSelfAttention",
    "attention_scores",
    "attention_weights",
    "scaled_dot_product_attention",
    "split_heads",
    "merge_heads",
    "MultiHeadAttention",
    "GroupedQueryAttention",
    "LayerNorm",
    "ResidualConnection",
    "RMSNorm",
    "layer_norm",
    "LearnedPositionalEmbedding",
    "TransformerEmbedding",
    "rotary_embedding",
    "sinusoidal_encoding",
    "collect_attention",
    "show_self_attention",
    "show_encoder_decoder",
    "previous_token_score",
    "attention_entropy",
    "attention_distance",
    "find_heads",
    "train_merges",
    "encode",
    "decode",
]
