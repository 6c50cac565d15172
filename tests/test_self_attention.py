"""Lesson 6 against PyTorch's own attention: the same weights give the same numbers and gradients."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from witness import witnessed

from autograder import lesson, probes
from autograder.recording import differences, values
from autograder.submission import Here
from workbench import parts

LESSON = "self_attention"
reference = lesson.load(Path(__file__).parent.parent / "solutions" / f"{LESSON}.py")
BATCH, TIME, EMBED_DIM, HEAD_DIM = 3, 5, 11, 7
MASKS = [None, (TIME, TIME), (BATCH, 1, TIME), (BATCH, TIME, TIME)]
both = pytest.mark.parametrize("ours", [reference, parts], ids=["lesson", "parts"])
in_both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def whose(module):
    return "box" if module is parts else "reference"


def mask_of(shape):
    """Return a mask in which some queries may attend to nothing."""
    return None if shape is None else (torch.rand(shape) < 0.6).index_fill(-2, torch.tensor(0), False)


def pulled(function, x, module):
    """Return the output of a function of x, and the gradients of x and of the module's parameters."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    output = function(x)
    pull = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(1))
    (output * pull).sum().backward()
    return output, [x.grad, *(parameter.grad.clone() for parameter in module.parameters())]


def compare(what, dtype, module, theirs):
    """Witness the largest differences of a module's output and gradients under every mask.

    theirs  called with the queries, keys, values and the mask: their output
    """
    forward = backward = 0.0
    for shape in MASKS:
        x, mask = torch.randn(BATCH, TIME, EMBED_DIM, dtype=dtype), mask_of(shape)
        output, gradients = pulled(lambda x, mask=mask: module(x, mask)[0], x, module)
        expected, wanted = pulled(
            lambda x, mask=mask: theirs(module.q_proj(x), module.k_proj(x), module.v_proj(x), mask), x, module)
        forward = max(forward, (output - expected).abs().max().item())
        apart = [(one - other).abs().max().item() for one, other in zip(gradients, wanted, strict=True)]
        backward = max([backward, *apart])
    witnessed(LESSON, f"{what}: forward", dtype, forward)
    witnessed(LESSON, f"{what}: gradients", dtype, backward)


@both
@in_both_dtypes
def test_a_head_computes_what_pytorchs_attention_computes(ours, dtype):
    torch.manual_seed(6)
    compare(f"SelfAttention ({whose(ours)}), F.scaled_dot_product_attention", dtype,
            ours.SelfAttention(EMBED_DIM, HEAD_DIM).to(dtype),
            lambda query, key, value, mask: F.scaled_dot_product_attention(query, key, value, attn_mask=mask))


@both
@in_both_dtypes
def test_the_weights_are_those_of_one_head_of_nn_multihead_attention(ours, dtype):
    torch.manual_seed(6)
    mine = ours.SelfAttention(EMBED_DIM, EMBED_DIM).to(dtype)
    theirs = nn.MultiheadAttention(EMBED_DIM, 1, batch_first=True, dtype=dtype)
    layers = mine.q_proj, mine.k_proj, mine.v_proj
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
    tokens = torch.tensor([[4, 2, 0, 0, 0], [0, 3, 1, 8, 0], [5, 6, 7, 8, 9]])
    x = torch.randn(BATCH, TIME, EMBED_DIM, dtype=dtype)
    _, weights = mine(x, ours.padding_mask(tokens, 0))
    _, expected = theirs(x, x, x, key_padding_mask=tokens == 0)
    witnessed(LESSON, f"SelfAttention and padding_mask ({whose(ours)}), nn.MultiheadAttention: weights", dtype,
              (weights - expected).abs().max().item())


@both
@in_both_dtypes
@pytest.mark.parametrize("max_distance", [1, 2, 13])
def test_distances_are_a_float_mask_of_pytorchs_attention(ours, dtype, max_distance):
    torch.manual_seed(6)
    mine = ours.RelativeSelfAttention(EMBED_DIM, HEAD_DIM, max_distance).to(dtype)
    nn.init.normal_(mine.distance_bias)

    def theirs(query, key, value, mask):
        rows = [[min(max(j - i, -max_distance), max_distance) + max_distance for j in range(TIME)] for i in range(TIME)]
        bias = mine.distance_bias[torch.tensor(rows)]
        bias = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)

    compare(f"RelativeSelfAttention ({whose(ours)}), F.scaled_dot_product_attention", dtype, mine, theirs)


@both
def test_self_attention_alone_knows_no_order_and_with_distances_it_does(ours):
    torch.manual_seed(6)
    x, order = torch.randn(1, TIME, EMBED_DIM), [2, 0, 1, 4, 3]
    plain, relative = ours.SelfAttention(EMBED_DIM, HEAD_DIM), ours.RelativeSelfAttention(EMBED_DIM, HEAD_DIM, 2)
    nn.init.normal_(relative.distance_bias)
    with torch.no_grad():
        assert torch.allclose(plain(x[:, order])[0], plain(x)[0][:, order], atol=1e-5)
        assert not torch.allclose(relative(x[:, order])[0], relative(x)[0][:, order], atol=1e-2)


@both
def test_a_mask_hides_the_keys_that_are_padding_wherever_they_stand(ours):
    mask = ours.padding_mask(torch.tensor([[3, 5, 3, 0], [1, 2, 5, 4]]), 3)
    assert mask.tolist() == [[[False, True, False, True]], [[True, True, True, True]]]


@both
def test_padding_changes_nothing_for_the_tokens_before_it(ours):
    torch.manual_seed(6)
    head = ours.SelfAttention(EMBED_DIM, HEAD_DIM).double()
    x = torch.randn(1, TIME, EMBED_DIM, dtype=torch.float64)
    tokens = torch.tensor([[7, 8, 9, 0, 0]])
    padded, _ = head(x, ours.padding_mask(tokens, 0))
    short, _ = head(x[:, :3])
    assert (padded[:, :3] - short).abs().max() < 1e-12


@pytest.mark.parametrize("exercise", ["SelfAttention", "padding_mask", "RelativeSelfAttention"])
def test_the_closed_boxes_show_what_the_reference_shows(exercise):
    seen = [values(probes.observe(LESSON, exercise, Here({exercise: getattr(module, exercise)}), "boxes"))
            for module in (reference, parts)]
    assert seen[0] and not differences(*seen)
