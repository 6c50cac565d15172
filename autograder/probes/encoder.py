"""What is observed of the components of lesson 1. Sizes are distinct primes, so a swapped axis shows."""

from typing import Any

import torch

from workbench import parts
from workbench.broken.encoder import broken_encoder_layer

from ..calling.local import Reply
from ..calling.numbers import Numbers
from ..calling.stubs import Activation
from . import Component, Observations, kind, probe
from .bugs import far_apart, is_mask, is_sequence, loaded, mask_or_none, see_effect, see_fit
from .see import (
    dropout_stages,
    first,
    moved,
    nudged,
    see_all,
    see_gradients,
    see_parameters,
    see_stack,
    unchanged,
)
from .weights import FORMS, anew, doubled, feed_forward, hushed, layer, linear, stack

SIZES: dict[str, Any] = dict(embed_dim=10, num_heads=2, ff_dim=11)
BATCH, TIME = 3, 7


def positions(numbers: Numbers, build: dict[str, Any]) -> torch.Tensor:
    """Return x [batch, time, embed_dim], batch and time as `Numbers.axis` gives them."""
    return numbers.tensor(*numbers.axes(BATCH, TIME), build["embed_dim"])


# FeedForward

FEED_FORWARD: dict[str, Any] = dict(embed_dim=5, ff_dim=11)


@probe("FeedForward", "it has two linear layers, up_proj and down_proj")
def feed_forward_has_two_layers(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = feed_forward(numbers, "", **build)
    reply = component(x=positions(numbers, build), build=build, weights=weights)
    seen.answer(reply)
    see_parameters(seen, reply, weights)


@probe("FeedForward", "up, activation, down: in this order")
def feed_forward_computes(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = feed_forward(numbers, "", **build)
    for leading in (numbers.axes(BATCH, TIME), numbers.axes(TIME), ()):
        reply = component(x=numbers.tensor(*leading, build["embed_dim"]), build=build, weights=weights)
        see_all(seen, reply, "output", label=f"{len(leading) + 1} axes" if leading else "1 axis")


@probe("FeedForward", "each position is treated alone")
def feed_forward_treats_positions_alone(component: Component, numbers: Numbers, seen: Observations) -> None:
    # As many positions as features: whoever mixes positions meets no error here.
    build = anew(numbers, FEED_FORWARD)
    weights, x = feed_forward(numbers, "", **build), numbers.tensor(*numbers.axes(BATCH, 5, 5))
    before, after = (component(x=given, build=build, weights=weights) for given in (x, nudged(x, 3)))
    seen.note("positions that move if position 3 is changed", moved(before, after), before.given)
    see_all(seen, before, "output")


@probe("FeedForward", "the activation is the one that was asked for")
def feed_forward_takes_an_activation(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = feed_forward(numbers, "", **build)
    for name in ("gelu", "tanh"):
        reply = component(x=positions(numbers, build), build=build | dict(activation=Activation(name)), weights=weights)
        see_all(seen, reply, "output", label=name)


@probe("FeedForward", "dropout acts on the hidden numbers, in training only")
def feed_forward_drops_hidden_numbers(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, FEED_FORWARD)
    weights, x = feed_forward(numbers, "", **sizes), positions(numbers, sizes)
    build = sizes | dict(dropout=1.0)
    for label, training in (("evaluation", False), ("training, all dropped", True)):
        see_all(seen, component(x=x, build=build, weights=weights, training=training), "output", label=label)
    # tanh(3) = 0.995. Dropout doubles what it keeps: behind tanh this gives 1.99, in front of it tanh(6) = 1.
    one = {
        "up_proj.weight": torch.zeros(1, 1),
        "up_proj.bias": torch.full((1,), 3.0),
        "down_proj.weight": torch.ones(1, 1),
        "down_proj.bias": torch.zeros(1),
    }
    build = dict(embed_dim=1, ff_dim=1, dropout=0.5, activation=Activation("tanh"))
    output = first(component(x=torch.zeros(100, 1, 1), build=build, weights=one, training=True))
    if output is not None:
        seen.note("tanh(3), where dropout keeps it, becomes", output.abs().max(), "dropout 0.5, activation tanh")


@probe("FeedForward", "gradients reach the input and all parameters")
def feed_forward_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = doubled(feed_forward(numbers, "", **build))
    see_gradients(seen, component(x=positions(numbers, build).double(), build=build, weights=weights, gradients=True))


@probe("FeedForward", "the argument is not changed")
def feed_forward_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = feed_forward(numbers, "", **build)
    reply = component(x=positions(numbers, build), build=build, weights=weights)
    unchanged(seen, reply)


# GatedFeedForward


def gated(numbers: Numbers, embed_dim: int, ff_dim: int) -> dict[str, torch.Tensor]:
    """Return the weights of a gated feed-forward network."""
    return (
        linear(numbers, "gate_proj", embed_dim, ff_dim, bias=False)
        | linear(numbers, "up_proj", embed_dim, ff_dim, bias=False)
        | linear(numbers, "down_proj", ff_dim, embed_dim, bias=False)
    )


@probe("GatedFeedForward", "it has three linear layers without bias: gate_proj, up_proj and down_proj")
def gated_has_three_layers(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = gated(numbers, **build)
    reply = component(x=positions(numbers, build), build=build, weights=weights)
    seen.answer(reply)
    see_parameters(seen, reply, weights)


@probe("GatedFeedForward", "the activated gate multiplies the other branch")
def gated_computes(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = gated(numbers, **build)
    for leading in (numbers.axes(BATCH, TIME), numbers.axes(TIME), ()):
        reply = component(x=numbers.tensor(*leading, build["embed_dim"]), build=build, weights=weights)
        see_all(seen, reply, "output", label=f"{len(leading) + 1} axes" if leading else "1 axis")


@probe("GatedFeedForward", "the activation is the one that was asked for")
def gated_takes_an_activation(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = gated(numbers, **build)
    for name in ("gelu", "sigmoid"):
        reply = component(x=positions(numbers, build), build=build | dict(activation=Activation(name)), weights=weights)
        see_all(seen, reply, "output", label=name)


@probe("GatedFeedForward", "dropout acts on the hidden numbers, in training only")
def gated_drops_hidden_numbers(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, FEED_FORWARD)
    weights, x = gated(numbers, **sizes), positions(numbers, sizes)
    build = sizes | dict(dropout=1.0)
    for label, training in (("evaluation", False), ("training, all dropped", True)):
        see_all(seen, component(x=x, build=build, weights=weights, training=training), "output", label=label)
    # Where dropout acts on the hidden numbers, it halves or doubles what all features share; behind down_proj it
    # would take every feature alone.
    one = {name: torch.ones_like(tensor) for name, tensor in gated(numbers, 2, 1).items()}
    reply = component(
        x=torch.ones(300, 1, 2), build=dict(embed_dim=2, ff_dim=1, dropout=0.5), weights=one, training=True
    )
    output = first(reply)
    if output is not None and output.shape == (300, 1, 2):
        apart = (output[..., 0] != output[..., 1]).any()
        seen.note("features of one position are dropped", "each alone" if apart else "together", reply.given)


@probe("GatedFeedForward", "gradients reach the input and all parameters")
def gated_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = doubled(gated(numbers, **build))
    see_gradients(seen, component(x=positions(numbers, build).double(), build=build, weights=weights, gradients=True))


@probe("GatedFeedForward", "the argument is not changed")
def gated_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, FEED_FORWARD)
    weights = gated(numbers, **build)
    reply = component(x=positions(numbers, build), build=build, weights=weights)
    unchanged(seen, reply)


# EncoderLayer


@probe("EncoderLayer", "it has the parameters of the contract, each of its own")
def encoder_layer_has_its_parameters(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = layer(numbers, **sizes)
    reply = component(x=positions(numbers, sizes), build=sizes, weights=weights)
    seen.answer(reply)
    see_parameters(seen, reply, weights)


@probe("EncoderLayer", "if all sublayers return next to nothing, the residual path is left")
def encoder_layer_keeps_the_residual_path(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = hushed(layer(numbers, **sizes), "self_attention.out_proj", "feed_forward.down_proj")
    for label, norm_first in FORMS.items():
        reply = component(x=positions(numbers, sizes), build=sizes | dict(norm_first=norm_first), weights=weights)
        see_all(seen, reply, "x", "weights", label=label)


@probe("EncoderLayer", "post-norm: each sublayer's output is added to its input, and the sum is normalised")
def encoder_layer_in_post_norm_form(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights = layer(numbers, **build)
    see_all(seen, component(x=positions(numbers, build), build=build, weights=weights), "x", "weights")


@probe("EncoderLayer", "pre-norm: each sublayer gets the normalised input, and its output is added to the input itself")
def encoder_layer_in_pre_norm_form(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights, x = layer(numbers, **build), positions(numbers, build)
    see_all(seen, component(x=x, build=build | dict(norm_first=True), weights=weights), "x", "weights")


@probe("EncoderLayer", "without a mask every position sees every position")
def encoder_layer_sees_everything(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, x = layer(numbers, **sizes), positions(numbers, sizes)
    for position in (0, numbers.axis(TIME) - 1):
        before, after = (component(x=given, build=sizes, weights=weights) for given in (x, nudged(x, position)))
        seen.note(f"positions that move if position {position} is changed", moved(before, after), before.given)


@probe("EncoderLayer", "what the mask hides has no influence")
def encoder_layer_obeys_the_mask(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights = layer(numbers, **build)
    shapes = ((TIME, TIME), (BATCH, 1, TIME), (BATCH, TIME, TIME), (TIME, TIME))
    for (label, norm_first), shape in zip([*FORMS.items()] * 2, shapes, strict=True):
        mask, x = numbers.mask(*numbers.axes(*shape)), positions(numbers, build)
        reply = component(x=x, mask=mask, build=build | dict(norm_first=norm_first), weights=weights)
        see_all(seen, reply, "x", "weights", label=f"{label}, mask {list(mask.shape)}", mask=dict(weights=mask))


def padded_behind_five(numbers: Numbers) -> torch.Tensor:
    """Return a mask [batch, 1, time] that hides all positions behind the first five."""
    batch, time = numbers.axes(BATCH, TIME)
    return torch.arange(time).expand(batch, 1, time) < 5


def see_padding(seen: Observations, padded: Reply, short: Reply) -> None:
    """Note whether 5 tokens change where padding follows them, as in `padded`, from what they are in `short`."""
    one, other = first(padded), first(short)
    if one is not None and other is not None and one.dim() == 3:
        same = one[:, :5].shape == other.shape and torch.allclose(one[:, :5], other, atol=1e-4)
        seen.note("tokens change if padding follows", "no" if same else "yes", padded.given)


@probe("EncoderLayer", "padding changes nothing for the tokens in front of it")
def encoder_layer_ignores_padding(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, x = layer(numbers, **sizes), positions(numbers, sizes)
    tokens = padded_behind_five(numbers)
    padded = component(x=x, mask=tokens, build=sizes, weights=weights)
    see_padding(seen, padded, component(x=x[:, :5], build=sizes, weights=weights))
    see_all(seen, padded, "x", "weights", label="padded", mask=dict(weights=tokens))


@probe("EncoderLayer", "positions, sequences, heads and features may be equally many")
def encoder_layer_with_equal_sizes(component: Component, numbers: Numbers, seen: Observations) -> None:
    size = numbers.axis(4)
    sizes: dict[str, Any] = dict(embed_dim=size, num_heads=size, ff_dim=size)
    mask = numbers.mask(size, size, size)
    reply = component(x=numbers.tensor(size, size, size), mask=mask, build=sizes, weights=layer(numbers, **sizes))
    see_all(seen, reply, "x", "weights", mask=dict(weights=mask))


@probe("EncoderLayer", "the feed-forward network gets the activation")
def encoder_layer_passes_the_activation(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, build = layer(numbers, **sizes), sizes | dict(activation=Activation("gelu"))
    see_all(seen, component(x=positions(numbers, sizes), build=build, weights=weights), "x", "weights")


@probe("EncoderLayer", "dropout acts on the sublayers' outputs, in training only")
def encoder_layer_drops_outputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, x = layer(numbers, **sizes), positions(numbers, sizes)
    for label, norm_first in FORMS.items():
        build = sizes | dict(dropout=1.0, norm_first=norm_first)
        for when, training in (("evaluation", False), ("training, all dropped", True)):
            reply = component(x=x, build=build, weights=weights, training=training)
            see_all(seen, reply, "x", "weights", label=f"{label}, {when}")


@probe("EncoderLayer", "dropout acts inside the sublayers as well")
def encoder_layer_drops_inside(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = layer(numbers, embed_dim=2, ff_dim=1)
    dropout_stages(
        seen,
        component,
        weights,
        {
            "self-attention": ("self_attention.v_proj.bias", "self_attention.out_proj.weight"),
            "feed-forward": ("feed_forward.up_proj.bias", "feed_forward.down_proj.weight"),
        },
    )


@probe("EncoderLayer", "gradients reach the input and all parameters")
def encoder_layer_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, x = doubled(layer(numbers, **sizes)), positions(numbers, sizes).double()
    for label, norm_first in FORMS.items():
        reply = component(x=x, build=sizes | dict(norm_first=norm_first), weights=weights, gradients=True)
        see_gradients(seen, reply, label)


@probe("EncoderLayer", "the arguments are not changed")
def encoder_layer_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = layer(numbers, **sizes)
    for label, norm_first in FORMS.items():
        reply = component(
            x=positions(numbers, sizes),
            mask=numbers.mask(*numbers.axes(TIME, TIME)),
            build=sizes | dict(norm_first=norm_first),
            weights=weights,
        )
        unchanged(seen, reply, label)


# Encoder


@probe("Encoder", "it has as many layers as asked for, each with parameters of its own, and a final norm if pre-norm")
def encoder_has_its_parameters(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    for label, norm_first, num_layers in (("post-norm", False, 3), ("pre-norm", True, 2)):
        weights = stack(numbers, num_layers, norm_first, **sizes)
        reply = component(
            x=positions(numbers, sizes),
            weights=weights,
            build=sizes | dict(num_layers=num_layers, norm_first=norm_first),
        )
        seen.answer(reply, label)
        see_parameters(seen, reply, weights, label)


@probe("Encoder", "post-norm: each layer works on the output of the one before it")
def encoder_in_post_norm_form(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights, x = stack(numbers, 3, **build), positions(numbers, build)
    reply = component(x=x, build=build | dict(num_layers=3), weights=weights)
    see_stack(seen, reply, "x", "weights")


@probe("Encoder", "pre-norm: the final norm comes after the last layer")
def encoder_in_pre_norm_form(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights, x = stack(numbers, 2, True, **build), positions(numbers, build)
    build |= dict(num_layers=2, norm_first=True)
    see_stack(seen, component(x=x, build=build, weights=weights), "x", "weights")


@probe("Encoder", "a stack may have a single layer")
def encoder_of_one_layer(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES, *SIZES)
    weights, build = stack(numbers, 1, **sizes), sizes | dict(num_layers=1)
    see_stack(seen, component(x=positions(numbers, sizes), build=build, weights=weights), "x", "weights")


@probe("Encoder", "every layer obeys the mask")
def encoder_obeys_the_mask(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = stack(numbers, 2, **sizes)
    for shape in ((BATCH, 1, TIME), (TIME, TIME), (BATCH, TIME, TIME)):
        mask, x = numbers.mask(*numbers.axes(*shape)), positions(numbers, sizes)
        reply = component(x=x, mask=mask, build=sizes | dict(num_layers=2), weights=weights)
        see_stack(seen, reply, "x", "weights", label=f"mask {list(mask.shape)}", mask=dict(weights=mask))


@probe("Encoder", "padding changes nothing for the tokens in front of it")
def encoder_ignores_padding(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, x, build = stack(numbers, 2, **sizes), positions(numbers, sizes), sizes | dict(num_layers=2)
    tokens = padded_behind_five(numbers)
    padded = component(x=x, mask=tokens, build=build, weights=weights)
    see_padding(seen, padded, component(x=x[:, :5], build=build, weights=weights))
    seen.note("answer", kind(padded), padded.given)


@probe("Encoder", "the layers get the activation")
def encoder_passes_the_activation(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, build = stack(numbers, 2, **sizes), sizes | dict(num_layers=2, activation=Activation("gelu"))
    see_stack(seen, component(x=positions(numbers, sizes), build=build, weights=weights), "x", "weights")


@probe("Encoder", "the layers get the dropout, which acts in training only")
def encoder_passes_the_dropout(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, x = stack(numbers, 2, **sizes), positions(numbers, sizes)
    build = sizes | dict(num_layers=2, dropout=1.0)
    for label, training in (("evaluation", False), ("training, all dropped", True)):
        see_stack(seen, component(x=x, build=build, weights=weights, training=training), "x", "weights", label=label)


@probe("Encoder", "gradients reach the input and all parameters")
def encoder_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = doubled(stack(numbers, 2, True, **sizes))
    reply = component(
        x=positions(numbers, sizes).double(),
        build=sizes | dict(num_layers=2, norm_first=True),
        weights=weights,
        gradients=True,
    )
    see_gradients(seen, reply)


@probe("Encoder", "the arguments are not changed")
def encoder_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = stack(numbers, 2, **sizes)
    reply = component(
        x=positions(numbers, sizes),
        mask=numbers.mask(*numbers.axes(TIME, TIME)),
        build=sizes | dict(num_layers=2),
        weights=weights,
    )
    unchanged(seen, reply)


# encoder_bug_input: the learner supplies an input, the probe runs the broken layer and a right one on it

BUG_SIZES: dict[str, Any] = dict(embed_dim=8, num_heads=2, ff_dim=11)


@probe("encoder_bug_input", "x and mask fit together, and x holds finite numbers")
def bug_input_fits(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit)


@probe("encoder_bug_input", "the broken layer gives a wrong output for it")
def bug_input_shows_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = layer(numbers, **BUG_SIZES)
    see_effect(seen, "broken_encoder_layer on your input", component(), _misfit, lambda given: _effect(weights, *given))


def _misfit(given: Any) -> str:
    """Return what is wrong with an input for an encoder layer, or nothing."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        return "is not (x, mask)"
    x, mask = given
    if not is_sequence(x):
        return "x has to be [batch, time, 8], floating point and finite, with batch at most 16 and time at most 200"
    if not is_mask(mask, x.shape[0], x.shape[1], x.shape[1]):
        return "mask has to be None, or boolean and [time, time], [batch, 1, time] or [batch, time, time]"
    return ""


def _effect(weights: dict[str, torch.Tensor], x: torch.Tensor, mask: torch.Tensor | str | None) -> str:
    """Say whether the bug shows on an input, and if not, what kind of input it is."""
    right, mask = loaded(parts.EncoderLayer(**BUG_SIZES), weights), mask_or_none(mask)
    with torch.no_grad():
        if far_apart(right(x.double(), mask)[0], broken_encoder_layer(right, x.double(), mask)[0]):
            return "gives a wrong output"
    if mask is None or mask.all():
        return "is right: it is longer than a piece" if x.shape[1] > 32 else "is right: nothing is hidden"
    if mask[0].all():
        return "is right: what is hidden makes no difference"
    return "is right: one mask for all sequences" if mask.dim() == 2 else "is right: the first sequence is padded"
