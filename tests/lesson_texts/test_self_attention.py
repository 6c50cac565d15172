"""Lesson 6 against PyTorch's own attention: the same weights give the same numbers and gradients."""

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
from autograder.probes import self_attention as self_attention_probes
from workbench import parts
from workbench.broken.self_attention import BrokenSelfAttention

LESSON = "self_attention"
reference = lesson.load(Path(__file__).parents[2] / "solutions" / f"{LESSON}.py")
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
            lambda x, mask=mask: theirs(module.q_proj(x), module.k_proj(x), module.v_proj(x), mask), x, module
        )
        forward = max(forward, (output - expected).abs().max().item())
        apart = [(one - other).abs().max().item() for one, other in zip(gradients, wanted, strict=True)]
        backward = max([backward, *apart])
    witnessed(LESSON, f"{what}: forward", dtype, forward)
    witnessed(LESSON, f"{what}: gradients", dtype, backward)


@both
@in_both_dtypes
def test_a_head_computes_what_pytorchs_attention_computes(ours, dtype):
    torch.manual_seed(6)
    compare(
        f"SelfAttention ({whose(ours)}), F.scaled_dot_product_attention",
        dtype,
        ours.SelfAttention(EMBED_DIM, HEAD_DIM).to(dtype),
        lambda query, key, value, mask: F.scaled_dot_product_attention(query, key, value, attn_mask=mask),
    )


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
    witnessed(
        LESSON,
        f"SelfAttention and padding_mask ({whose(ours)}), nn.MultiheadAttention: weights",
        dtype,
        (weights - expected).abs().max().item(),
    )


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
    seen = [
        values(probes.observe(LESSON, exercise, Here({exercise: getattr(module, exercise)}), "boxes"))
        for module in (reference, parts)
    ]
    assert seen[0] and not differences(*seen)


# The module in which the bug is to be found

USUAL_TOKENS = {
    "nothing is padding": [[4, 1, 7, 3], [2, 9, 5, 6]],
    "all padding stands at the end": [[4, 1, 0, 0], [2, 0, 0, 0]],
    "one sequence has no padding": [[0, 0, 4, 1], [2, 9, 5, 6]],
    "no real token stands where keys are left out": [[0, 4, 1, 0], [2, 9, 5, 0]],
    "the tokens left out are like those that stay": [[0, 4, 4], [0, 4, 4]],
    "there is no real token whose output could be wrong": [[0, 0], [0, 0]],
}


def outputs_at_real_tokens(tokens):
    """Return what the right and the broken module give at the real tokens, with the same parameters."""
    right, broken = reference.SelfAttention(EMBED_DIM, HEAD_DIM), BrokenSelfAttention(EMBED_DIM, HEAD_DIM)
    broken.load_state_dict(right.state_dict())
    x, mask = torch.randn(10, EMBED_DIM)[tokens], reference.padding_mask(tokens, 0)
    return [module(x, mask)[0][tokens != 0] for module in (right, broken)]


@pytest.mark.parametrize("reason", USUAL_TOKENS)
def test_the_bug_stays_hidden_on_usual_tokens_and_the_probe_knows_why(reason):
    tokens = torch.tensor(USUAL_TOKENS[reason])
    torch.testing.assert_close(*outputs_at_real_tokens(tokens))
    assert self_attention_probes._effect(tokens) == f"is right: {reason}"


@pytest.mark.parametrize("tokens", [[[0, 0, 1, 2], [0, 3, 4, 5]], [[4, 0, 0, 9], [1, 2, 0, 0]], [[0, 7, 2]]])
def test_the_bug_shows_where_real_tokens_stand_behind_the_longest_length(tokens):
    right, broken = outputs_at_real_tokens(torch.tensor(tokens))
    assert not torch.allclose(right, broken, atol=1e-3)
    assert self_attention_probes._effect(torch.tensor(tokens)) == "gives a wrong output"


def test_the_broken_module_is_right_under_any_mask_that_hides_no_whole_key():
    right, broken = reference.SelfAttention(EMBED_DIM, HEAD_DIM), BrokenSelfAttention(EMBED_DIM, HEAD_DIM)
    broken.load_state_dict(right.state_dict())
    x = torch.randn(BATCH, TIME, EMBED_DIM)
    for mask in (None, torch.ones(TIME, TIME, dtype=torch.bool).tril()):
        for one, other in zip(right(x, mask), broken(x, mask), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "tokens",
        5,
        torch.zeros(3),
        torch.zeros(2, 3),
        torch.zeros(2, 0).long(),
        torch.zeros(2, 101).long(),
        torch.full((2, 3), 10),
        torch.full((2, 3), -1),
        torch.zeros(2, 3).bool(),
        [torch.zeros(2, 3).long()],
    ],
    ids=lambda answer: str(getattr(answer, "shape", answer))[:20],
)
def test_what_cannot_be_token_ids_is_told_and_never_run(answer):
    assert self_attention_probes._misfit(answer)
