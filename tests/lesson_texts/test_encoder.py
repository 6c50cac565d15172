"""Lesson 1 against PyTorch's own encoder: the same weights and inputs give the same numbers and gradients."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pytorch_layers import DTYPES, copy_layer, gradients_of_layer, largest, shaken
from torch import nn
from witness import witnessed

from autograder import probes
from autograder.authoring import lesson
from autograder.calling.local import Here
from autograder.diagnosing.comparison import differences, values
from workbench import parts
from workbench.broken.encoder import broken_encoder_layer

reference = lesson.load(Path(__file__).parents[2] / "solutions" / "encoder.py")
SIZES = dict(embed_dim=15, num_heads=3, ff_dim=11)
BATCH, TIME = 2, 7
KEPT = torch.arange(TIME) < torch.tensor([[7], [5]])  # [batch, time], the second sequence is padded


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("activation", [F.relu, F.gelu])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("ours", [reference, parts])
def test_a_layer_computes_what_pytorchs_layer_computes(ours, norm_first, activation, padded, dtype):
    theirs = shaken(
        nn.TransformerEncoderLayer(15, 3, 11, 0.0, activation, batch_first=True, norm_first=norm_first, dtype=dtype)
    )
    mine = ours.EncoderLayer(**SIZES, norm_first=norm_first, activation=activation).to(dtype)
    copy_layer(mine, theirs)
    x = torch.randn(BATCH, TIME, 15, dtype=dtype)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    output, weights = mine(inputs[0], KEPT.unsqueeze(1) if padded else None)
    expected = theirs(inputs[1], src_key_padding_mask=~KEPT if padded else None)
    _, heads = theirs.self_attn(
        *[theirs.norm1(x) if norm_first else x] * 3,
        average_attn_weights=False,
        key_padding_mask=~KEPT if padded else None,
    )
    pull = torch.randn_like(x)
    (output * pull).sum().backward()
    (expected * pull).sum().backward()
    name = f"EncoderLayer ({whose(ours)}), nn.TransformerEncoderLayer"
    witnessed("encoder", f"{name}: forward", dtype, largest([(output, expected), (weights, heads)]))
    gradients = [(inputs[0].grad, inputs[1].grad), *gradients_of_layer(mine, theirs)]
    witnessed("encoder", f"{name}: gradients", dtype, largest(gradients))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("ours", [reference, parts])
def test_a_stack_computes_what_pytorchs_stack_computes(ours, norm_first, activation, padded, dtype):
    one = nn.TransformerEncoderLayer(15, 3, 11, 0.0, activation, batch_first=True, norm_first=norm_first, dtype=dtype)
    norm = nn.LayerNorm(15, dtype=dtype) if norm_first else None
    theirs = shaken(nn.TransformerEncoder(one, 3, norm, enable_nested_tensor=False))
    mine = ours.Encoder(3, **SIZES, norm_first=norm_first, activation=getattr(F, activation)).to(dtype)
    for layer, their_layer in zip(mine.layers, theirs.layers, strict=True):
        copy_layer(layer, their_layer)
    if norm_first:
        mine.final_norm.load_state_dict(theirs.norm.state_dict())
    x = torch.randn(BATCH, TIME, 15, dtype=dtype)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    output, weights = mine(inputs[0], KEPT.unsqueeze(1) if padded else None)
    expected = theirs(inputs[1], src_key_padding_mask=~KEPT if padded else None)
    pull = torch.randn_like(x)
    (output * pull).sum().backward()
    (expected * pull).sum().backward()
    name = f"Encoder ({whose(ours)}), nn.TransformerEncoder"
    witnessed("encoder", f"{name}: forward", dtype, largest([(output, expected)]))
    gradients = [(inputs[0].grad, inputs[1].grad)]
    for layer, their_layer in zip(mine.layers, theirs.layers, strict=True):
        gradients += gradients_of_layer(layer, their_layer)
    if norm_first:
        gradients += [(mine.final_norm.weight.grad, theirs.norm.weight.grad)]
    witnessed("encoder", f"{name}: gradients", dtype, largest(gradients))
    assert [list(one.shape) for one in weights] == [[BATCH, 3, TIME, TIME]] * 3


def whose(module):
    return "box" if module is parts else "reference"


@pytest.mark.parametrize("exercise", ["FeedForward", "EncoderLayer", "Encoder", "GatedFeedForward"])
def test_the_closed_boxes_show_what_the_reference_shows(exercise):
    seen = [
        values(probes.observe("encoder", exercise, Here({exercise: getattr(module, exercise)}), "boxes"))
        for module in (reference, parts)
    ]
    assert seen[0] and not differences(*seen)


def test_a_gate_with_swish_is_the_swiglu_of_llama():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    config = llama.LlamaConfig(hidden_size=10, intermediate_size=11, num_attention_heads=1)
    for dtype in DTYPES:
        theirs = shaken(llama.LlamaMLP(config)).to(dtype)
        mine = reference.GatedFeedForward(10, 11).to(dtype)
        mine.load_state_dict(theirs.state_dict())
        x = torch.randn(BATCH, TIME, 10, dtype=dtype)
        (mine(x) ** 2).sum().backward()
        (theirs(x) ** 2).sum().backward()
        witnessed("encoder", "GatedFeedForward, LlamaMLP: forward", dtype, largest([(mine(x), theirs(x))]))
        pairs = [(own.grad, theirs.get_parameter(name).grad) for name, own in mine.named_parameters()]
        witnessed("encoder", "GatedFeedForward, LlamaMLP: gradients", dtype, largest(pairs))


def effect(*given):
    """Return what the second probe of encoder_bug_input sees of an input."""
    seen = probes.observe("encoder", "encoder_bug_input", Here({"encoder_bug_input": lambda: given}), "seed")
    return values(seen)["bug_input_shows_the_bug"]["broken_encoder_layer on your input"]


def test_the_broken_layer_is_right_unless_the_first_mask_is_full_and_another_is_not():
    x, layer = torch.randn(3, 67, 15), parts.EncoderLayer(**SIZES).eval()
    full, padded = torch.ones(3, 1, 67, dtype=torch.bool), torch.ones(3, 1, 67, dtype=torch.bool)
    padded[:, :, 41:] = False
    for mask in (None, full, padded, padded[0], torch.ones(67, 67, dtype=torch.bool).tril()):
        for broken, right in zip(broken_encoder_layer(layer, x, mask), layer(x, mask), strict=True):
            assert torch.allclose(broken, right, atol=1e-5)
    first_full = torch.cat([full[:1], padded[1:]])
    assert not torch.allclose(broken_encoder_layer(layer, x, first_full)[0], layer(x, first_full)[0], atol=1e-2)


@pytest.mark.parametrize(
    "given",
    [
        (),
        (torch.ones(2, 3, 8),),
        (torch.ones(2, 3, 7), None),
        (torch.ones(17, 3, 8), None),
        (torch.ones(2, 211, 8), None),
        (torch.ones(0, 3, 8), None),
        (torch.full((2, 3, 8), float("nan")), None),
        (torch.ones(2, 3, 8).long(), None),
        (torch.ones(2, 3, 8, device="meta"), None),
        (torch.ones(2, 3, 8).to_sparse(), None),
        (torch.ones(2, 3, 8), torch.ones(2, 1, 3)),
        (torch.ones(2, 3, 8), torch.ones(3, dtype=torch.bool)),
        (torch.ones(2, 3, 8), "mask"),
        ("x", None),
        (None, None),
        (torch.ones(2, 3, 8), None, None),
    ],
    ids=range(16),
)
def test_an_input_that_does_not_fit_is_not_run(given):
    assert effect(*given) == "is not run"


def test_a_large_input_or_one_that_hides_everything_does_no_harm():
    everywhere_hidden = torch.zeros(2, 1, 3, dtype=torch.bool)
    assert effect(torch.full((2, 3, 8), 1e300, dtype=torch.float64), None) == "is right: nothing is hidden"
    assert effect(torch.randn(2, 3, 8), everywhere_hidden) == "is right: the first sequence is padded"
