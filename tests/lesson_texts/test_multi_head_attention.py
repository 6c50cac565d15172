"""Lesson 8 against PyTorch's own multi-head attention: the same weights give the same numbers and gradients."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from witness import witnessed

from autograder import probes
from autograder.authoring import lesson
from autograder.calling.local import Here
from autograder.diagnosing.comparison import differences, values
from workbench import parts
from workbench.broken.multi_head_attention import BrokenMultiHeadAttention

LESSON = "multi_head_attention"
reference = lesson.load(Path(__file__).parents[2] / "solutions" / f"{LESSON}.py")
BATCH, QUERIES, KEYS, HEADS, EMBED_DIM = 5, 3, 11, 2, 14
PROJECTIONS = ("q_proj", "k_proj", "v_proj")
both = pytest.mark.parametrize("ours", [reference, parts], ids=["lesson", "parts"])
in_both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
MASKS = [None, (QUERIES, KEYS), (BATCH, 1, KEYS), (BATCH, QUERIES, KEYS)]


def inputs(dtype, embed_dim=EMBED_DIM):
    torch.manual_seed(8)
    return [torch.randn(BATCH, time, embed_dim, dtype=dtype) for time in (QUERIES, KEYS, KEYS)]


def mask_of(shape):
    """Return a mask in which every query may attend to the first key at least, as PyTorch's module needs it."""
    if shape is None:
        return None
    mask = torch.rand(shape) < 0.6
    mask[..., 0] = True
    return mask


def pytorchs_module(mine):
    """Return nn.MultiheadAttention with the same weights."""
    theirs = nn.MultiheadAttention(EMBED_DIM, HEADS, batch_first=True, dtype=mine.q_proj.weight.dtype)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([mine.get_parameter(f"{name}.weight") for name in PROJECTIONS]))
        theirs.in_proj_bias.copy_(torch.cat([mine.get_parameter(f"{name}.bias") for name in PROJECTIONS]))
    theirs.out_proj.load_state_dict(mine.out_proj.state_dict())
    return theirs


def ignored(mask):
    """Return PyTorch's mask: one per head, True where ours is False."""
    return None if mask is None else ~mask.expand(BATCH, QUERIES, KEYS).repeat_interleave(HEADS, dim=0)


def pulled(function, given):
    """Return outputs of a function of tensors, and the gradients of the tensors for a fixed sum of the outputs."""
    given = [tensor.clone().requires_grad_() for tensor in given]
    outputs = function(*given)
    pulls = torch.Generator().manual_seed(1)
    total = sum((output * torch.randn(output.shape, dtype=output.dtype, generator=pulls)).sum() for output in outputs)
    total.backward()
    return list(outputs), [tensor.grad for tensor in given]


def largest(ours, theirs):
    return max((one - other).abs().max().item() for one, other in zip(ours, theirs, strict=True))


def whose(module):
    return "box" if module is parts else "reference"


@both
@in_both_dtypes
def test_the_module_computes_what_nn_multihead_attention_computes(ours, dtype):
    apart = [differences_from_pytorchs_module(ours, dtype, shape) for shape in MASKS]
    forward, backward = map(max, zip(*apart, strict=True))
    what = f"MultiHeadAttention ({whose(ours)}), nn.MultiheadAttention"
    witnessed(LESSON, f"{what}: forward", dtype, forward)
    witnessed(LESSON, f"{what}: gradients", dtype, backward)


def differences_from_pytorchs_module(ours, dtype, shape):
    given, mask = inputs(dtype), mask_of(shape)
    mine = ours.MultiHeadAttention(EMBED_DIM, HEADS).to(dtype)
    theirs = pytorchs_module(mine)
    outputs, gradients = pulled(lambda *three: mine(*three, mask), given)
    expected, wanted = pulled(lambda *three: theirs(*three, attn_mask=ignored(mask), average_attn_weights=False), given)
    for kind in ("weight", "bias"):
        gradients += [mine.get_parameter(f"{name}.{kind}").grad for name in PROJECTIONS]
        wanted += theirs.get_parameter(f"in_proj_{kind}").grad.chunk(3)
        gradients.append(mine.get_parameter(f"out_proj.{kind}").grad)
        wanted.append(theirs.get_parameter(f"out_proj.{kind}").grad)
    return largest(outputs, expected), largest(gradients, wanted)


@both
@in_both_dtypes
def test_groups_compute_what_pytorchs_function_computes_for_them(ours, dtype):
    apart = [
        differences_from_pytorchs_function(ours, dtype, num_groups, shape)
        for num_groups in (1, 2, 6)
        for shape in MASKS
    ]
    forward, backward = map(max, zip(*apart, strict=True))
    what = f"GroupedQueryAttention ({whose(ours)}), F.scaled_dot_product_attention"
    witnessed(LESSON, f"{what}: forward", dtype, forward)
    witnessed(LESSON, f"{what}: gradients", dtype, backward)


def differences_from_pytorchs_function(ours, dtype, num_groups, shape):
    given, mask = inputs(dtype, embed_dim=30), mask_of(shape)
    mine = ours.GroupedQueryAttention(30, 6, num_groups).to(dtype)

    def theirs(query, key, value):
        layers = zip((mine.q_proj, mine.k_proj, mine.v_proj), (query, key, value), strict=True)
        split = [layer(x).unflatten(-1, (-1, 5)).transpose(1, 2) for layer, x in layers]
        heads_mask = None if mask is None else mask.unsqueeze(-3)
        output = F.scaled_dot_product_attention(*split, attn_mask=heads_mask, enable_gqa=True)
        return (mine.out_proj(output.transpose(1, 2).flatten(2)),)

    outputs, gradients = pulled(lambda *three: mine(*three, mask)[:1], given)
    gradients += [parameter.grad.clone() for parameter in mine.parameters()]
    mine.zero_grad()
    expected, wanted = pulled(theirs, given)
    wanted += [parameter.grad for parameter in mine.parameters()]
    return largest(outputs, expected), largest(gradients, wanted)


@both
def test_as_many_groups_as_heads_are_multi_head_attention(ours):
    given, mask = inputs(torch.float64), mask_of((QUERIES, KEYS))
    heads = ours.MultiHeadAttention(EMBED_DIM, HEADS).double()
    groups = ours.GroupedQueryAttention(EMBED_DIM, HEADS, HEADS).double()
    groups.load_state_dict(heads.state_dict())
    assert largest(heads(*given, mask), groups(*given, mask)) < 1e-10


@both
def test_a_query_that_may_attend_to_nothing_gets_the_bias_of_the_output_projection(ours):
    mask = torch.ones(QUERIES, KEYS, dtype=torch.bool)
    mask[1] = False
    mine = ours.MultiHeadAttention(EMBED_DIM, HEADS)
    outputs, gradients = pulled(lambda *three: mine(*three, mask), inputs(torch.float32))
    assert (outputs[1][:, :, 1] == 0).all()
    assert torch.equal(outputs[0][:, 1], mine.out_proj.bias.expand(BATCH, -1))
    assert not any(torch.isnan(gradient).any() for gradient in gradients)


@both
def test_merging_undoes_splitting(ours):
    x = torch.randn(2, 3, 35)
    heads = ours.split_heads(x, 5)
    assert heads.shape == (2, 5, 3, 7)
    assert torch.equal(heads[:, 2], x[..., 14:21])
    assert torch.equal(ours.merge_heads(heads), x)


@both
def test_sizes_that_do_not_divide_are_refused_with_both_numbers(ours):
    x = torch.randn(2, 3, 10)
    for refused in (
        lambda: ours.split_heads(x, 3),
        lambda: ours.MultiHeadAttention(10, 3)(x, x, x),
        lambda: ours.GroupedQueryAttention(10, 3, 3)(x, x, x),
    ):
        with pytest.raises(ValueError, match=r"10.*\b3\b"):
            refused()
    with pytest.raises(ValueError, match=r"6.*\b4\b"):
        ours.GroupedQueryAttention(30, 6, 4)


@pytest.mark.parametrize("exercise", ["split_heads", "merge_heads", "MultiHeadAttention", "GroupedQueryAttention"])
def test_the_closed_boxes_show_what_the_reference_shows(exercise):
    seen = [
        values(probes.observe(LESSON, exercise, Here({exercise: getattr(module, exercise)}), "boxes"))
        for module in (reference, parts)
    ]
    assert seen[0] and not differences(*seen)


# Find the bug


def broken_differs(batch, mask):
    """Tell whether the broken module gives another output than the right one with the same weights."""
    mine, broken = reference.MultiHeadAttention(EMBED_DIM, HEADS), BrokenMultiHeadAttention(EMBED_DIM, HEADS)
    broken.load_state_dict(mine.state_dict())
    query, key, value = (x[:batch] for x in inputs(torch.float32))
    return not torch.allclose(mine(query, key, value, mask)[0], broken(query, key, value, mask)[0], atol=1e-5)


def test_the_broken_module_is_right_where_all_sequences_have_the_same_mask():
    same = mask_of((1, QUERIES, KEYS)).expand(BATCH, -1, -1)
    assert not any(broken_differs(BATCH, mask) for mask in (None, mask_of((QUERIES, KEYS)), same))
    assert not broken_differs(1, mask_of((1, 1, KEYS)))


def test_the_broken_module_is_wrong_where_the_masks_of_sequences_differ():
    inputs(torch.float32)  # seeds
    assert broken_differs(BATCH, mask_of((BATCH, 1, KEYS)))


def shown(given):
    """Return what the probes of the bug see of an input."""
    seen = probes.observe(LESSON, "multi_head_bug_input", Here({"multi_head_bug_input": lambda: given}), "bug")
    return [value for one in seen.values() for value in one.values.values()]


X = torch.zeros(2, 3, 12)


@pytest.mark.parametrize(
    "given",
    [
        None,
        X,
        (X, X, X),
        ("x", X, X, None),
        (X, X, X, "mask"),
        (X, X, X, 0.5),
        (X.long(), X, X, None),
        (torch.zeros(0, 3, 12), X, X, None),
        (torch.zeros(2, 101, 12), X, X, None),
        (X.to("meta"), X, X, None),
        (X.to_sparse(), X, X, None),
        (X + torch.nan, X, X, None),
        (X + 1e5, X, X, None),
        (X[0], X[0], X[0], None),
        (X, X, X, torch.ones(3, 2, dtype=torch.bool)),
        (X, X, X, torch.ones(3, 3)),
        (X, X, X[:1], None),
    ],
    ids=str,
)
def test_an_input_that_does_not_fit_is_not_run(given):
    assert shown(given)[-1] == "is not run"


def test_an_input_that_fits_is_run():
    assert shown((X, X, X, None))[-1] == "is right: there is no mask"
