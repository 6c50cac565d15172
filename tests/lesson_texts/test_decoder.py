"""Lesson 2 against PyTorch's own decoder: the same weights and inputs give the same numbers and gradients."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pytorch_layers import DTYPES, copy_layer, gradients_of_layer, largest, shaken
from torch import nn
from torch.nn.attention.bias import causal_lower_right
from witness import witnessed

from autograder import check, probes
from autograder.authoring import lesson
from autograder.calling.local import Here
from autograder.diagnosing.comparison import differences, values
from workbench import parts
from workbench.broken.decoder import broken_decoder_layer

reference = lesson.load(Path(__file__).parents[2] / "solutions" / "decoder.py")
BOTH = {"reference": reference, "box": parts}
SIZES = dict(embed_dim=15, num_heads=3, ff_dim=11)
BATCH, KEYS = 2, 7
KEPT = torch.arange(KEYS) < torch.tensor([[7], [5]])  # [batch, keys], the second source is padded

# Our names of a decoder layer's parts, and PyTorch's.
LAYER = {
    "self_attention.out_proj": "self_attn.out_proj",
    "cross_attention.out_proj": "multihead_attn.out_proj",
    "feed_forward.up_proj": "linear1",
    "feed_forward.down_proj": "linear2",
    "norm1": "norm1",
    "norm2": "norm2",
    "norm3": "norm3",
}
ATTENTIONS = (("self_attention", "self_attn"), ("cross_attention", "multihead_attn"))


def inputs(queries, dtype):
    """Return target, memory and a random pull on the output, twice: for ours and for PyTorch's."""
    target, memory = torch.randn(BATCH, queries, 15, dtype=dtype), torch.randn(BATCH, KEYS, 15, dtype=dtype)
    pairs = [(target.clone().requires_grad_(), memory.clone().requires_grad_()) for _ in range(2)]
    return *pairs, torch.randn(BATCH, queries, 15, dtype=dtype)


def masks(queries, masked):
    """Return keywords for ours and for PyTorch's, in which True means the opposite."""
    if not masked:
        return {}, {}
    causal = reference.causal_mask(queries)
    return (
        dict(self_mask=causal, memory_mask=KEPT.unsqueeze(1)),
        dict(tgt_mask=~causal, memory_key_padding_mask=~KEPT),
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("queries", "masked"), [(5, False), (5, True), (KEYS, True)])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("whose", BOTH)
def test_a_layer_computes_what_pytorchs_layer_computes(whose, norm_first, activation, queries, masked, dtype):
    theirs = shaken(
        nn.TransformerDecoderLayer(15, 3, 11, 0.0, activation, batch_first=True, norm_first=norm_first, dtype=dtype)
    )
    mine = BOTH[whose].DecoderLayer(**SIZES, norm_first=norm_first, activation=getattr(F, activation)).to(dtype)
    copy_layer(mine, theirs, LAYER, ATTENTIONS)
    own, other, pull = inputs(queries, dtype)
    our_masks, their_masks = masks(queries, masked)
    output, _, _ = mine(*own, **our_masks)
    expected = theirs(*other, **their_masks)
    (output * pull).sum().backward()
    (expected * pull).sum().backward()
    name = f"DecoderLayer ({whose}), nn.TransformerDecoderLayer"
    witnessed("decoder", f"{name}: forward", dtype, largest([(output, expected)]))
    gradients = [(one.grad, two.grad) for one, two in zip(own, other, strict=True)]
    gradients += gradients_of_layer(mine, theirs, LAYER, ATTENTIONS)
    witnessed("decoder", f"{name}: gradients", dtype, largest(gradients))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("queries", "masked"), [(5, False), (5, True), (KEYS, True)])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("whose", BOTH)
def test_a_stack_computes_what_pytorchs_stack_computes(whose, norm_first, activation, queries, masked, dtype):
    one = nn.TransformerDecoderLayer(15, 3, 11, 0.0, activation, batch_first=True, norm_first=norm_first, dtype=dtype)
    theirs = shaken(nn.TransformerDecoder(one, 3, nn.LayerNorm(15, dtype=dtype) if norm_first else None))
    mine = BOTH[whose].Decoder(3, **SIZES, norm_first=norm_first, activation=getattr(F, activation)).to(dtype)
    for layer, their_layer in zip(mine.layers, theirs.layers, strict=True):
        copy_layer(layer, their_layer, LAYER, ATTENTIONS)
    if norm_first:
        mine.final_norm.load_state_dict(theirs.norm.state_dict())
    own, other, pull = inputs(queries, dtype)
    our_masks, their_masks = masks(queries, masked)
    output, self_weights, cross_weights = mine(*own, **our_masks)
    expected = theirs(*other, **their_masks)
    (output * pull).sum().backward()
    (expected * pull).sum().backward()
    name = f"Decoder ({whose}), nn.TransformerDecoder"
    witnessed("decoder", f"{name}: forward", dtype, largest([(output, expected)]))
    gradients = [(one.grad, two.grad) for one, two in zip(own, other, strict=True)]
    for layer, their_layer in zip(mine.layers, theirs.layers, strict=True):
        gradients += gradients_of_layer(layer, their_layer, LAYER, ATTENTIONS)
    if norm_first:
        gradients += [(mine.final_norm.weight.grad, theirs.norm.weight.grad)]
    witnessed("decoder", f"{name}: gradients", dtype, largest(gradients))
    assert [list(one.shape) for one in self_weights] == [[BATCH, 3, queries, queries]] * 3
    assert [list(one.shape) for one in cross_weights] == [[BATCH, 3, queries, KEYS]] * 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cross_attention", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("whose", BOTH)
def test_a_decoder_without_a_memory_is_pytorchs_encoder_with_a_causal_mask(whose, norm_first, cross_attention, dtype):
    one = nn.TransformerEncoderLayer(15, 3, 11, 0.0, batch_first=True, norm_first=norm_first, dtype=dtype)
    norm = nn.LayerNorm(15, dtype=dtype) if norm_first else None
    theirs = shaken(nn.TransformerEncoder(one, 2, norm, enable_nested_tensor=False))
    mine = BOTH[whose].Decoder(2, **SIZES, norm_first=norm_first, cross_attention=cross_attention).to(dtype)
    counts = [sum(one.numel() for one in model.parameters()) for model in (mine, theirs)]
    assert (counts[0] == counts[1]) is not cross_attention  # without it, nothing is there that has no use
    names = {
        "self_attention.out_proj": "self_attn.out_proj",
        "feed_forward.up_proj": "linear1",
        "feed_forward.down_proj": "linear2",
        "norm1": "norm1",
        "norm3": "norm2",
    }
    for layer, their_layer in zip(mine.layers, theirs.layers, strict=True):
        copy_layer(layer, their_layer, names)
    if norm_first:
        mine.final_norm.load_state_dict(theirs.norm.state_dict())
    (own, _), (other, _), pull = inputs(5, dtype)
    mask = BOTH[whose].causal_mask(5)
    output, _, cross_weights = mine(own, self_mask=mask)
    expected = theirs(other, mask=~mask)
    (output * pull).sum().backward()
    (expected * pull).sum().backward()
    name = f"Decoder ({whose}) without memory, nn.TransformerEncoder"
    witnessed("decoder", f"{name}: forward", dtype, largest([(output, expected)]))
    witnessed("decoder", f"{name}: gradients", dtype, largest([(own.grad, other.grad)]))
    assert cross_weights == [None, None]


@pytest.mark.parametrize("whose", BOTH)
def test_the_causal_mask_is_the_one_that_pytorch_adds(whose):
    for queries, keys in ((5, 5), (3, 7), (1, 5)):
        bias = causal_lower_right(queries, keys)
        value = torch.eye(keys)[None, None]
        query, key = torch.zeros(1, 1, queries, 3), torch.zeros(1, 1, keys, 3)
        # With equal scores and one-hot values, the output shows which keys were seen.
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)[0, 0] > 0
        assert torch.equal(BOTH[whose].causal_mask(queries, keys), seen)


@pytest.mark.parametrize("exercise", ["causal_mask", "DecoderLayer", "Decoder", "sliding_window_mask"])
def test_the_closed_boxes_show_what_the_reference_shows(exercise):
    seen = [
        values(probes.observe("decoder", exercise, Here({exercise: getattr(module, exercise)}), "boxes"))
        for module in (reference, parts)
    ]
    assert seen[0] and not differences(*seen)


def effect(*given):
    """Return what the second probe of decoder_bug_input sees of an input."""
    seen = probes.observe("decoder", "decoder_bug_input", Here({"decoder_bug_input": lambda: given}), "seed")
    return values(seen)["bug_input_shows_the_bug"]["broken_decoder_layer on your input"]


@pytest.mark.parametrize("queries", [1, 5, 11])
def test_the_broken_layer_is_right_if_target_and_source_differ_in_length(queries):
    layer, (x, memory), *_ = parts.DecoderLayer(**SIZES).eval(), *inputs(queries, torch.float32)
    for given in (
        (None, None),
        (parts.causal_mask(queries), KEPT.unsqueeze(1)),
        (torch.ones(BATCH, 1, queries, dtype=torch.bool), torch.rand(BATCH, queries, KEYS) < 0.5),
    ):
        for broken, right in zip(broken_decoder_layer(layer, x, memory, *given), layer(x, memory, *given), strict=True):
            assert torch.allclose(broken, right, atol=1e-5)


def test_the_broken_layer_takes_nothing_from_a_source_as_long_as_the_target():
    layer, (x, memory), *_ = parts.DecoderLayer(**SIZES).eval(), *inputs(KEYS, torch.float32)
    broken = broken_decoder_layer(layer, x, memory)[0]
    assert torch.equal(broken, broken_decoder_layer(layer, x, memory + 1)[0])
    assert not torch.allclose(broken, layer(x, memory)[0], atol=1e-2)


@pytest.mark.parametrize(
    "given",
    [
        (),
        (torch.ones(2, 3, 8), torch.ones(2, 3, 8)),
        (torch.ones(2, 3, 7), torch.ones(2, 3, 7), None, None),
        (torch.ones(2, 3, 8), torch.ones(3, 3, 8), None, None),
        (torch.ones(2, 3, 8), None, None, None),
        (torch.ones(2, 211, 8), torch.ones(2, 211, 8), None, None),
        (torch.ones(1, 0, 8), torch.ones(1, 0, 8), None, None),
        (torch.ones(2, 3, 8), torch.full((2, 3, 8), float("inf")), None, None),
        ("x", "memory", None, None),
        (torch.ones(2, 3, 8), torch.ones(2, 5, 8), torch.ones(3, 5, dtype=torch.bool), None),
        (torch.ones(2, 3, 8), torch.ones(2, 5, 8), None, torch.ones(3, 3, dtype=torch.bool)),
        (torch.ones(2, 3, 8), torch.ones(2, 3, 8), None, torch.ones(3, 3)),
        (torch.ones(2, 3, 8, device="meta"), torch.ones(2, 3, 8), None, None),
    ],
    ids=range(13),
)
def test_an_input_that_does_not_fit_is_not_run(given):
    assert effect(*given) == "is not run"


def test_a_huge_input_does_no_harm():
    huge = torch.full((2, 3, 8), 1e300, dtype=torch.float64)
    assert effect(huge, huge[:, :2], None, None) == "is right: the lengths differ"


# Answers that were written before cross-attention was a choice


class DecoderLayer(nn.Module):
    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.self_attention = parts.MultiHeadAttention(embed_dim, num_heads, dropout)
        self.cross_attention = parts.MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = parts.FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(embed_dim) for _ in range(3))
        self.dropout, self.norm_first = nn.Dropout(dropout), norm_first

    forward, _sublayer = parts.DecoderLayer.forward, parts.DecoderLayer._sublayer


class Decoder(nn.Module):
    def __init__(self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        sizes = (embed_dim, num_heads, ff_dim, dropout, norm_first, activation)
        self.layers = nn.ModuleList(parts.DecoderLayer(*sizes) for _ in range(num_layers))
        self.final_norm, self.norm_first = nn.LayerNorm(embed_dim) if norm_first else None, norm_first

    forward = parts.Decoder.forward


@pytest.mark.parametrize("answer", [DecoderLayer, Decoder])
def test_an_answer_from_before_cross_attention_was_a_choice_keeps_half_of_its_points(answer):
    result = check(answer)
    assert result.mistake == "no_choice_of_cross_attention" and not result.passed
    assert result.earned == result.points / 2
    assert "takes no argument cross_attention" in result.says[0]


class WithoutResiduals(DecoderLayer):
    """A second mistake that has a name."""

    def _sublayer(self, x, norm, sublayer):
        change, weights = sublayer(norm(x) if self.norm_first else x)
        return (self.dropout(change) if self.norm_first else norm(self.dropout(change))), weights


class WithoutAnAnswerToNone(DecoderLayer):
    """A second mistake that shows as exceptions only, so that neither is named."""

    __init__ = DecoderLayer.__init__

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        return parts.DecoderLayer.forward(self, x, memory[:], self_mask, memory_mask)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (WithoutResiduals, ("takes no argument cross_attention", "the input that it was given is not added")),
        (WithoutAnAnswerToNone, ("the parameters of your `__init__` are", "Something else differs", "memory[:]")),
    ],
)
def test_an_answer_from_before_with_a_second_mistake_is_told_of_both(answer, words):
    result = check(answer, exercise="DecoderLayer")
    assert all(word in " ".join(result.says) for word in words), result.says
