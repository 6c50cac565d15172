"""What is observed of the components of lesson 9. Few features, so that a small error in the variance is large."""

import re
from typing import Any

import torch

from workbench.broken.layer_normalization import broken_layer_norm

from ..calling.local import Reply
from ..calling.numbers import Numbers
from ..calling.stubs import Sublayer
from . import Component, Observations, forbid, kind, probe
from .bugs import is_ordinary, see_effect, see_fit
from .see import (
    device_and_dtype,
    dtype_of,
    half_precision,
    library_calls,
    see_each_parameter,
    see_output,
    settled,
    unchanged,
    with_weights,
)
from .weights import FORMS

NORMS = ("layer_norm", "LayerNorm", "RMSNorm")

forbid(
    NORMS,
    "layer_norm",
    "native_layer_norm",
    "rms_norm",
    "_fused_rms_norm",
    "group_norm",
    "native_group_norm",
    "instance_norm",
    "batch_norm",
)


# The three norms


def norm(
    component: Component,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float | None = None,
    **how: Any,
) -> Reply:
    """Call one of the three norms; without `eps` it takes its default."""
    options: dict[str, Any] = {} if eps is None else {"eps": eps}
    if component.name == "layer_norm":
        return component(x=x, weight=weight, bias=bias, **options, **how)
    weights = {"weight": weight} if component.name == "RMSNorm" else {"weight": weight, "bias": bias}
    build = {"embed_dim": x.shape[-1]} | options
    return with_weights(lambda loaded: component(x=x, build=build, weights=loaded, **how), weights, part)


BIAS = re.compile(r"bias|beta|shift|offset|(^|[_.])b([_0-9]|$)")


def part(name: str, prefix: str = "") -> str:
    """Return which parameter of a norm another name stands for: whatever is not called like a bias is the weight."""
    return prefix + ("bias" if BIAS.search(name) else "weight")


def affine(numbers: Numbers, embed_dim: int) -> torch.Tensor:
    """Return a weight and a bias, no number of which is near 0."""
    signs = numbers.tensor(2, embed_dim).sign() + 0.25
    return signs * numbers.tensor(2, embed_dim, low=0.5, high=1.5)


@probe("LayerNorm", "the parameters are `weight` and `bias`, one number per feature each")
@probe("RMSNorm", "the only parameter is `weight`, one number per feature")
def parameters_have_their_names(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = norm(component, numbers.tensor(*numbers.axes(2, 3, 5)), *affine(numbers, numbers.axis(5)))
    shapes = dict(weight=numbers.axes(5), bias=numbers.axes(5))
    see_each_parameter(seen, reply, {"weight": shapes["weight"]} if component.name == "RMSNorm" else shapes)


@probe("layer_norm", "the features of each position get mean 0 and variance 1")
@probe("LayerNorm", "with weight 1 and bias 0, the features of each position get mean 0 and variance 1")
@probe("RMSNorm", "with weight 1, the features of each position get a mean square of 1")
def positions_are_normalised(component: Component, numbers: Numbers, seen: Observations) -> None:
    *leading, embed_dim = numbers.axes(2, 3, 5)
    reply = norm(component, numbers.tensor(*leading, embed_dim), torch.ones(embed_dim), torch.zeros(embed_dim))
    output = seen.see(reply, "output").get("output")
    if output is not None and output.dim():
        if component.name == "RMSNorm":
            seen.note("mean square of the features of each position", output.square().mean(-1), reply.given)
        else:
            seen.note("mean of the features of each position", settled(output.mean(-1)), reply.given)
            seen.note("variance of the features of each position", output.var(-1, correction=0), reply.given)
        seen.note("output", output, reply.given)


@probe("LayerNorm", "the weight starts at 1 and the bias at 0")
@probe("RMSNorm", "the weight starts at 1")
def a_new_norm_only_normalises(component: Component, numbers: Numbers, seen: Observations) -> None:
    *leading, embed_dim = numbers.axes(2, 3, 5)
    x = numbers.tensor(*leading, embed_dim)
    see_output(seen, component(x=x, build={"embed_dim": embed_dim}, as_made=True))


@probe(("layer_norm", "LayerNorm"), "each feature is multiplied by its weight, then its bias is added")
@probe("RMSNorm", "each feature is multiplied by its weight")
def features_are_scaled_and_shifted(component: Component, numbers: Numbers, seen: Observations) -> None:
    *leading, embed_dim = numbers.axes(2, 3, 5)
    see_output(seen, norm(component, numbers.tensor(*leading, embed_dim), *affine(numbers, embed_dim)))


@probe(("layer_norm", "LayerNorm"), "eps is added to the variance, under the root")
@probe("RMSNorm", "eps is added to the mean square, under the root")
def eps_stands_under_the_root(component: Component, numbers: Numbers, seen: Observations) -> None:
    x, (weight, bias) = numbers.tensor(*numbers.axes(2, 3, 5)) / 4, affine(numbers, numbers.axis(5))
    for eps in (0.5, 0.125):
        see_output(seen, norm(component, x, weight, bias, eps=eps), label=f"eps {eps}")


@probe(NORMS, "the default of eps is 1e-5")
def eps_has_its_default(component: Component, numbers: Numbers, seen: Observations) -> None:
    # Features this close to each other have a variance of about 1e-5 themselves.
    see_output(seen, norm(component, numbers.tensor(*numbers.axes(2, 3, 5)) / 256, *affine(numbers, numbers.axis(5))))


@probe(("layer_norm", "LayerNorm"), "features that are all equal give the bias, and no NaN")
@probe("RMSNorm", "a position of zeros gives zeros, and no NaN")
def equal_features_give_no_nan(component: Component, numbers: Numbers, seen: Observations) -> None:
    x = numbers.tensor(2, 3, 4)
    x[0, 1], x[1, 2] = 0.0, (0.0 if component.name == "RMSNorm" else 1.5)
    see_output(seen, norm(component, x, *affine(numbers, 4)))


@probe(NORMS, "each position is normalised on its own, whatever the leading axes")
def leading_axes_are_welcome(component: Component, numbers: Numbers, seen: Observations) -> None:
    for shape in (numbers.axes(*usual) for usual in ((7,), (2, 7), (3, 2, 5, 7), (5, 5, 5))):
        reply = norm(component, numbers.tensor(*shape), *affine(numbers, shape[-1]))
        see_output(seen, reply, label=f"x {list(shape)}")


@probe(("layer_norm", "LayerNorm"), "features with a large mean are normalised like others")
def large_means_do_no_harm(component: Component, numbers: Numbers, seen: Observations) -> None:
    # Four features have a mean that float32 holds exactly here; the mean of their squares would lose every digit.
    x = numbers.tensor(2, 3, 4)
    x[..., 0], x[..., 1] = -2.0, 2.0
    reply = norm(component, x + 8192, torch.ones(4), torch.zeros(4))
    seen.answer(reply)
    if isinstance(reply.output, torch.Tensor) and reply.output.shape == x.shape:
        # Only whether it is off: how far it is off would depend on the processor.
        far = torch.nan_to_num(reply.output.double() - standard(x), nan=9.0).abs() > 0.05
        seen.note("output is off by more than 0.05", "yes" if far.any() else "no", reply.given)


def standard(x: torch.Tensor) -> torch.Tensor:
    """Return x normalised over its last axis, in float64."""
    return torch.nn.functional.layer_norm(x.double(), x.shape[-1:])


@probe(("layer_norm", "LayerNorm"), "gradients reach x, weight and bias, and flow through mean and variance")
@probe("RMSNorm", "gradients reach x and weight, and flow through the mean square")
def gradients_reach_everything(component: Component, numbers: Numbers, seen: Observations) -> None:
    seen.gradients(
        norm(component, numbers.tensor(*numbers.axes(2, 3, 5)), *affine(numbers, numbers.axis(5)), gradients=True)
    )


@probe("layer_norm", "the arguments are not changed")
@probe(("LayerNorm", "RMSNorm"), "x is not changed")
def norms_change_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, norm(component, numbers.tensor(*numbers.axes(2, 3, 5)), *affine(numbers, numbers.axis(5))))


@probe("layer_norm", "dtype and device are those of the inputs")
@probe(("LayerNorm", "RMSNorm"), "dtype and device are those of x")
def norms_follow_the_inputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    weight, bias = affine(numbers, numbers.axis(5))
    device_and_dtype(
        seen,
        lambda x, weight, bias, **how: norm(component, x, weight, bias, **how),
        dtype_of,
        x=numbers.tensor(*numbers.axes(2, 3, 5)),
        weight=weight,
        bias=bias,
    )


@probe(NORMS, "float16 and bfloat16 come back as they came")
def norms_keep_half_precision(component: Component, numbers: Numbers, seen: Observations) -> None:
    weight, bias = affine(numbers, numbers.axis(5))
    half_precision(
        seen,
        lambda **given: norm(component, **given),
        dtype_of,
        x=numbers.tensor(*numbers.axes(2, 3, 5)),
        weight=weight,
        bias=bias,
    )


@probe("LayerNorm", "training and evaluation give the same: nothing is remembered of other inputs")
def norm_is_the_same_in_training(component: Component, numbers: Numbers, seen: Observations) -> None:
    x, (weight, bias) = numbers.tensor(*numbers.axes(2, 3, 5)), affine(numbers, numbers.axis(5))
    training, evaluation = (norm(component, x, weight, bias, training=mode) for mode in (True, False))
    seen.note("answer in training", kind(training), training.given)
    seen.note("training differs from evaluation", _differs(training, evaluation), training.given)


@probe(NORMS, "it makes no library call that the exercise forbids")
def norms_call_no_library_norm(component: Component, numbers: Numbers, seen: Observations) -> None:
    weight, bias = affine(numbers, numbers.axis(5))
    library_calls(
        seen,
        lambda **given: norm(component, **given),
        x=numbers.tensor(*numbers.axes(2, 3, 5)),
        weight=weight,
        bias=bias,
    )


# ResidualConnection


def residual(
    component: Component,
    numbers: Numbers,
    norm_first: bool,
    matrix: torch.Tensor | None = None,
    **how: Any,
) -> Reply:
    """Call a residual connection around a linear sublayer, or around one with this matrix."""
    *leading, embed_dim = numbers.axes(2, 3, 5)
    weight, bias = affine(numbers, embed_dim)
    matrix = numbers.tensor(embed_dim, embed_dim, low=-1.0, high=1.0) if matrix is None else matrix
    return around(component, numbers.tensor(*leading, embed_dim), Sublayer(matrix), norm_first, weight, bias, **how)


def around(
    component: Component,
    x: torch.Tensor,
    sublayer: Sublayer,
    norm_first: bool,
    weight: torch.Tensor,
    bias: torch.Tensor,
    **how: Any,
) -> Reply:
    """Call a residual connection around a sublayer, with these numbers in its norm."""
    build = {"embed_dim": x.shape[-1], "norm_first": norm_first}
    return with_weights(
        lambda loaded: component(x=x, sublayer=sublayer, build=build, weights=loaded, **how),
        {"norm.weight": weight, "norm.bias": bias},
        lambda name: part(name, "norm."),
    )


@probe("ResidualConnection", "the parameters are `norm.weight` and `norm.bias`, one number per feature each")
def residual_has_one_norm(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = residual(component, numbers, norm_first=True)
    see_each_parameter(seen, reply, {"norm.weight": numbers.axes(5), "norm.bias": numbers.axes(5)})


@probe("ResidualConnection", "the sublayer is called once, and sees x in post-norm and the normalised x in pre-norm")
def residual_calls_the_sublayer_once(component: Component, numbers: Numbers, seen: Observations) -> None:
    for form, norm_first in FORMS.items():
        reply = residual(component, numbers, norm_first)
        calls = reply.reports.get("sublayer", {})
        seen.note("calls of the sublayer", calls.get("calls"), reply.given, form)
        seen.note("what the sublayer is given", calls.get("input"), reply.given, form)


@probe("ResidualConnection", "around a sublayer that returns 0, post-norm is the norm of x and pre-norm is x itself")
def residual_lets_the_input_pass(component: Component, numbers: Numbers, seen: Observations) -> None:
    for form, norm_first in FORMS.items():
        see_output(seen, residual(component, numbers, norm_first, matrix=torch.zeros(numbers.axes(5, 5))), label=form)


@probe("ResidualConnection", "post-norm is norm(x + sublayer(x)), pre-norm is x + sublayer(norm(x))")
def residual_has_two_forms(component: Component, numbers: Numbers, seen: Observations) -> None:
    for form, norm_first in FORMS.items():
        see_output(seen, residual(component, numbers, norm_first), label=form)


@probe("ResidualConnection", "the norm has the default eps of LayerNorm, and normalises each position on its own")
def residual_normalises_as_layer_norm_does(component: Component, numbers: Numbers, seen: Observations) -> None:
    # As many positions as features, and numbers so small that eps counts.
    for form, norm_first in FORMS.items():
        weight, bias = affine(numbers, numbers.axis(5))
        x, sublayer = (
            numbers.tensor(*numbers.axes(5, 5, 5)) / 256,
            Sublayer(numbers.tensor(*numbers.axes(5, 5), low=-0.5, high=0.5)),
        )
        see_output(seen, around(component, x, sublayer, norm_first, weight, bias), label=form)


@probe("ResidualConnection", "the norm starts as a LayerNorm does: its weight at 1 and its bias at 0")
def residual_starts_with_a_plain_norm(component: Component, numbers: Numbers, seen: Observations) -> None:
    for form, norm_first in FORMS.items():
        reply = component(
            x=numbers.tensor(*numbers.axes(2, 3, 5)),
            sublayer=Sublayer(numbers.tensor(*numbers.axes(5, 5), low=-1.0, high=1.0)),
            build={"embed_dim": numbers.axis(5), "norm_first": norm_first},
            as_made=True,
        )
        see_output(seen, reply, label=form)


@probe("ResidualConnection", "training and evaluation give the same: there is no dropout here")
def residual_has_no_dropout(component: Component, numbers: Numbers, seen: Observations) -> None:
    for form, norm_first in FORMS.items():
        x, matrix = numbers.tensor(*numbers.axes(2, 3, 5)), numbers.tensor(*numbers.axes(5, 5), low=-1.0, high=1.0)
        training, evaluation = (
            component(
                x=x,
                sublayer=Sublayer(matrix),
                build={"embed_dim": numbers.axis(5), "norm_first": norm_first},
                training=mode,
            )
            for mode in (True, False)
        )
        seen.note("answer in training", kind(training), training.given, form)
        seen.fault = seen.fault or training.fault
        seen.note("training differs from evaluation", _differs(training, evaluation), training.given, form)


@probe("ResidualConnection", "gradients reach x on both paths, and the norm's parameters")
def residual_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    for form, norm_first in FORMS.items():
        seen.gradients(residual(component, numbers, norm_first, gradients=True), label=form)


@probe("ResidualConnection", "x is not changed")
def residual_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    for form, norm_first in FORMS.items():
        reply = residual(component, numbers, norm_first)
        unchanged(seen, reply, form)


def _differs(one: Reply, other: Reply) -> str:
    both = isinstance(one.output, torch.Tensor) and isinstance(other.output, torch.Tensor)
    same = both and one.output.shape == other.output.shape and torch.allclose(one.output, other.output, equal_nan=True)
    return "yes" if both and not same else "no"


# norm_bug_input: the learner supplies an input, the probe runs the broken function and a right one on it


@probe("norm_bug_input", "x is a float32 tensor of moderate sizes and numbers")
def bug_input_fits(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit)


@probe("norm_bug_input", "broken_layer_norm gives a wrong output for it")
def bug_input_shows_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_effect(seen, "broken_layer_norm on your input", component(), _misfit, _effect)


def _misfit(x: Any) -> str:
    """Return what is wrong with an input for a norm, or nothing."""
    if not is_ordinary(x, (torch.float32,)) or x.dim() == 0 or x.numel() > 100_000:
        return "x has to be a float32 tensor, every size from 1 to 100, at most 100000 numbers"
    if not torch.isfinite(x).all() or x.abs().max() > 1e6:
        return "x has to hold finite numbers, none beyond 1000000"
    return ""


def _effect(x: torch.Tensor) -> str:
    """Say whether the bug shows on an input, and if not, what kind of input it is."""
    wrong = broken_layer_norm(x, torch.ones(x.shape[-1]), torch.zeros(x.shape[-1]))
    if (wrong.double() - standard(x)).abs().max() > 0.1:
        return "gives a wrong output"
    spread, mean = (measure.abs() for measure in torch.std_mean(x.double(), dim=-1, correction=0))
    if spread.max() == 0:
        return "is right: all features of a position are equal"
    if x.abs().max() <= 0.1:
        return "is right: all numbers are close to 0"
    if x.abs().max() <= 100:
        return "is right: the numbers are of ordinary size"
    if (mean <= 10 * spread).all():
        return "is right: the numbers are large, and so are their differences"
    return "is right: the mean is not large enough, compared with the differences"
