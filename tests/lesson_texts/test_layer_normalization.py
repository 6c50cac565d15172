"""Lesson 9 against PyTorch's own norms and layers: the same weights and inputs give the same numbers and gradients."""

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
from workbench.broken.layer_normalization import broken_layer_norm

LESSON = "layer_normalization"
reference = lesson.load(Path(__file__).parents[2] / "solutions" / f"{LESSON}.py")
DTYPES = [torch.float32, torch.float64]
both = pytest.mark.parametrize("ours", [reference, parts], ids=["lesson", "parts"])
in_both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
with_several_eps = pytest.mark.parametrize("eps", [1e-5, 0.5])


def numbers(*shape, dtype, seed=1):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def compare(what, dtype, ours, theirs):
    """Witness the outputs and the gradients of two functions of the same tensors.

    ours, theirs  (function, tensors): the function takes the first tensor, the others are its parameters
    """
    results = []
    for function, tensors in (ours, theirs):
        output = function(tensors[0])
        results.append(
            (output, torch.autograd.grad((output * numbers(*output.shape, dtype=dtype, seed=2)).sum(), tensors))
        )
    (our_output, our_gradients), (their_output, their_gradients) = results
    witnessed(LESSON, what, dtype, (our_output - their_output).abs().max().item())
    largest = max((one - other).abs().max() for one, other in zip(our_gradients, their_gradients, strict=True)).item()
    witnessed(LESSON, f"{what}: gradients", dtype, largest)


def leaves(*tensors):
    return [tensor.clone().requires_grad_() for tensor in tensors]


@in_both_dtypes
@with_several_eps
def test_the_function_computes_what_pytorchs_function_computes(dtype, eps):
    given = numbers(2, 3, 5, dtype=dtype), numbers(5, dtype=dtype), numbers(5, dtype=dtype, seed=3)
    mine, theirs = leaves(*given), leaves(*given)
    compare(
        f"layer_norm, F.layer_norm, eps {eps:g}",
        dtype,
        (lambda x: reference.layer_norm(x, *mine[1:], eps), mine),
        (lambda x: F.layer_norm(x, (5,), *theirs[1:], eps), theirs),
    )


@in_both_dtypes
@with_several_eps
def test_the_module_computes_what_nn_layer_norm_computes(dtype, eps):
    mine, theirs = (norm(7, eps=eps).to(dtype) for norm in (reference.LayerNorm, nn.LayerNorm))
    compare_modules(f"LayerNorm, nn.LayerNorm, eps {eps:g}", dtype, mine, theirs)


@in_both_dtypes
@with_several_eps
def test_rms_norm_computes_what_nn_rms_norm_computes(dtype, eps):
    mine, theirs = (norm(7, eps=eps).to(dtype) for norm in (reference.RMSNorm, nn.RMSNorm))
    compare_modules(f"RMSNorm, nn.RMSNorm, eps {eps:g}", dtype, mine, theirs)


def compare_modules(what, dtype, mine, theirs):
    state = {
        name: numbers(*tensor.shape, dtype=dtype, seed=seed)
        for seed, (name, tensor) in enumerate(theirs.state_dict().items())
    }
    for module in (mine, theirs):
        module.load_state_dict(state)
    x = numbers(2, 3, 7, dtype=dtype)
    compare(what, dtype, (mine, [*leaves(x), *mine.parameters()]), (theirs, [*leaves(x), *theirs.parameters()]))


@in_both_dtypes
@pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
def test_a_residual_connection_is_half_of_pytorchs_encoder_layer(dtype, norm_first):
    torch.manual_seed(1)
    # Without its attention and the norm of it, what is left of the layer is one residual connection.
    layer = nn.TransformerEncoderLayer(5, 1, 11, 0.0, batch_first=True, norm_first=norm_first, dtype=dtype)
    layer.norm1 = nn.Identity()
    nn.init.zeros_(layer.self_attn.out_proj.weight)
    mine = reference.ResidualConnection(5, norm_first=norm_first).to(dtype)
    state = {"weight": numbers(5, dtype=dtype), "bias": numbers(5, dtype=dtype, seed=3)}
    mine.norm.load_state_dict(state)
    layer.norm2.load_state_dict(state)

    def feed_forward(x):
        return layer.linear2(F.relu(layer.linear1(x)))

    x = numbers(2, 3, 5, dtype=dtype)
    compare(
        f"ResidualConnection, nn.TransformerEncoderLayer, {'pre' if norm_first else 'post'}-norm",
        dtype,
        (lambda x: mine(x, feed_forward), [*leaves(x), mine.norm.weight, mine.norm.bias]),
        (layer, [*leaves(x), layer.norm2.weight, layer.norm2.bias]),
    )


@both
def test_new_norms_start_at_weight_one_and_bias_zero(ours):
    for norm in (ours.LayerNorm(5), ours.RMSNorm(5), ours.ResidualConnection(5, norm_first=True).norm):
        assert torch.equal(norm.weight, torch.ones(5))
        assert not hasattr(norm, "bias") or torch.equal(norm.bias, torch.zeros(5))


def test_a_position_that_is_shifted_and_stretched_is_normalised_to_the_same():
    x, weight, bias = numbers(2, 3, 5, dtype=torch.float64), torch.ones(5), torch.zeros(5)
    normed, again = (reference.layer_norm(one, weight, bias, eps=0.0) for one in (x, 10 * x + 100))
    assert torch.allclose(normed, again, atol=1e-12)


def test_a_pre_norm_stack_around_silent_sublayers_is_the_identity():
    x = numbers(2, 3, 5, dtype=torch.float32)
    y = x
    for _ in range(7):
        y = reference.ResidualConnection(5, norm_first=True)(y, torch.zeros_like)
    assert torch.equal(x, y)


@pytest.mark.parametrize("name", ["layer_norm", "LayerNorm", "ResidualConnection", "RMSNorm"])
def test_the_closed_box_shows_what_the_reference_shows(name):
    right, box = (
        values(probes.observe(LESSON, name, Here({name: getattr(module, name)}), "box"))
        for module in (reference, parts)
    )
    # The box is PyTorch's own norm, which the lesson forbids.
    assert set(differences(right, box)) <= {"norms_call_no_library_norm"}


# Find the bug


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_the_broken_norm_is_right_where_the_mean_is_small(size):
    x, weight, bias = (numbers(*shape, dtype=torch.float32) for shape in ((2, 3, 5), (5,), (5,)))
    assert torch.allclose(
        broken_layer_norm(size * x, weight, bias), F.layer_norm(size * x, (5,), weight, bias), atol=1e-4
    )


def test_the_broken_norm_is_wrong_where_the_mean_is_large_and_right_again_in_float64():
    x = numbers(2, 3, 5, dtype=torch.float64) + 10_000
    given = x.float()
    weight, bias = torch.ones(5), torch.zeros(5)
    assert (broken_layer_norm(given, weight, bias) - F.layer_norm(given.double(), (5,))).abs().max() > 1
    assert torch.allclose(broken_layer_norm(x, weight.double(), bias.double()), F.layer_norm(x, (5,)), atol=1e-4)


def shown(given):
    """Return what the probes of the bug see of an input."""
    seen = probes.observe(LESSON, "norm_bug_input", Here({"norm_bug_input": lambda: given}), "bug")
    return [value for one in seen.values() for value in one.values.values()]


@pytest.mark.parametrize(
    "given",
    [
        None,
        "x",
        3.0,
        torch.tensor(3.0),
        torch.ones(0),
        torch.ones(101),
        torch.ones(50, 50, 50),
        torch.ones(3).half(),
        torch.ones(3, device="meta"),
        torch.ones(3).to_sparse(),
        torch.ones(3) * torch.nan,
        torch.ones(3) * 2e6,
        (torch.ones(3),),
        torch.ones(3, dtype=torch.complex64),
    ],
    ids=str,
)
def test_an_input_that_does_not_fit_is_not_run(given):
    assert shown(given)[-1] == "is not run"


def test_an_input_that_fits_is_run():
    assert shown(torch.ones(3))[-1] == "is right: all features of a position are equal"
