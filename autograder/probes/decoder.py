"""What is observed of the components of lesson 2. Sizes are distinct primes, so a swapped axis shows."""

from typing import Any

import torch

from workbench import parts
from workbench.broken.decoder import broken_decoder_layer

from ..calling.local import Reply
from ..calling.numbers import Numbers
from ..calling.stubs import Activation
from . import Component, Observations, probe
from .bugs import far_apart, is_mask, is_sequence, loaded, mask_or_none, see_effect, see_fit
from .see import (
    dropout_stages,
    moved,
    nudged,
    see_all,
    see_gradients,
    see_parameters,
    see_stack,
    unchanged,
)
from .weights import DECODER, DECODER_ONLY, FORMS, anew, doubled, hushed, layer
from .weights import stack as stack_of

SIZES: dict[str, Any] = dict(embed_dim=10, num_heads=2, ff_dim=11)
BATCH, QUERIES, KEYS = 3, 5, 7
NAMES = ("x", "self_weights", "cross_weights")


# causal_mask


def see_mask(seen: Observations, reply: Reply, label: str) -> None:
    """Note what a mask of [queries, keys] is, from its type to its entries."""
    seen.answer(reply, label)
    mask = reply.output
    if isinstance(mask, torch.Tensor):
        seen.note("dtype", str(mask.dtype).removeprefix("torch."), reply.given, label)
        seen.note("shape", str(list(mask.shape)), reply.given, label)
        seen.note("mask", mask.double(), reply.given, label)


@probe("causal_mask", "a query sees itself and what came before it, and nothing later")
def causal_mask_hides_the_future(component: Component, numbers: Numbers, seen: Observations) -> None:
    for queries in (numbers.size(5, 4, 40), numbers.size(2, 2, 3)):
        see_mask(seen, component(queries=queries), f"{queries} queries")


@probe("causal_mask", "with more keys than queries, the queries are the last ones")
def causal_mask_takes_the_last_queries(component: Component, numbers: Numbers, seen: Observations) -> None:
    more, square = numbers.size(3, 3, 20), numbers.size(5, 3, 40)
    for queries, keys in ((more, more + numbers.size(4, 1, 20)), (2, numbers.size(5, 3, 40)), (square, square)):
        see_mask(seen, component(queries=queries, keys=keys), f"{queries} queries, {keys} keys")


@probe("causal_mask", "a single query sees all keys")
def causal_mask_of_one_query(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_mask(seen, component(queries=1), "1 query")
    keys = numbers.size(5, 2, 40)
    see_mask(seen, component(queries=1, keys=keys), f"1 query, {keys} keys")


# sliding_window_mask


@probe("sliding_window_mask", "a query sees itself and the keys just before it, as many as the window holds")
def window_holds_as_many_keys_as_it_says(component: Component, numbers: Numbers, seen: Observations) -> None:
    queries, wide = numbers.size(7, 6, 40), numbers.size(3, 3, 5)
    for window in (wide, 2):
        see_mask(seen, component(queries=queries, window=window), f"{queries} queries, window {window}")


@probe("sliding_window_mask", "with more keys than queries, the queries are the last ones")
def window_takes_the_last_queries(component: Component, numbers: Numbers, seen: Observations) -> None:
    some = numbers.size(3, 3, 20)
    for queries, window, keys in (
        (some, 2, some + numbers.size(4, 2, 20)),
        (2, numbers.size(5, 4, 6), numbers.size(11, 9, 40)),
    ):
        see_mask(
            seen,
            component(queries=queries, window=window, keys=keys),
            f"{queries} queries, {keys} keys, window {window}",
        )


@probe("sliding_window_mask", "with a window of 1 a query sees only itself, with a wide one everything up to itself")
def window_may_be_narrow_or_wide(component: Component, numbers: Numbers, seen: Observations) -> None:
    queries = numbers.size(5, 4, 40)
    for window in (1, queries, queries + numbers.size(6, 1, 20)):
        see_mask(seen, component(queries=queries, window=window), f"{queries} queries, window {window}")


# DecoderLayer


def target(numbers: Numbers, sizes: dict[str, Any], queries: int = QUERIES) -> torch.Tensor:
    """Return x [batch, queries, embed_dim], batch and queries as `Numbers.axis` gives them."""
    return numbers.tensor(*numbers.axes(BATCH, queries), sizes["embed_dim"])


def source(numbers: Numbers, sizes: dict[str, Any], keys: int = KEYS) -> torch.Tensor:
    """Return a memory [batch, keys, embed_dim], batch and keys as `Numbers.axis` gives them."""
    return numbers.tensor(*numbers.axes(BATCH, keys), sizes["embed_dim"])


def causal(numbers: Numbers, queries: int = QUERIES) -> torch.Tensor:
    """Return a causal mask [queries, queries], queries as `Numbers.axis` gives them."""
    return torch.ones(numbers.axes(queries, queries), dtype=torch.bool).tril()


@probe("DecoderLayer", "it has the parameters of the contract, each of its own")
def decoder_layer_has_its_parameters(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = layer(numbers, **DECODER, **sizes)
    # As many keys as queries: an exchanged key or value shall not fail here, where the parameters are asked for.
    reply = component(x=target(numbers, sizes), memory=source(numbers, sizes, QUERIES), build=sizes, weights=weights)
    seen.answer(reply)
    see_parameters(seen, reply, weights)


@probe("DecoderLayer", "if all sublayers return next to nothing, the residual path is left")
def decoder_layer_keeps_the_residual_path(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    last = ("self_attention.out_proj", "cross_attention.out_proj", "feed_forward.down_proj")
    weights = hushed(layer(numbers, **DECODER, **sizes), *last)
    for label, norm_first in FORMS.items():
        reply = component(
            x=target(numbers, sizes),
            memory=source(numbers, sizes),
            build=sizes | dict(norm_first=norm_first),
            weights=weights,
        )
        see_all(seen, reply, *NAMES, label=label)


@probe("DecoderLayer", "post-norm: self-attention, cross-attention, feed-forward, each added and normalised")
def decoder_layer_in_post_norm_form(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights, (x, memory) = layer(numbers, **DECODER, **build), (target(numbers, build), source(numbers, build))
    see_all(seen, component(x=x, memory=memory, build=build, weights=weights), *NAMES)


@probe("DecoderLayer", "pre-norm: each sublayer gets its input normalised, but the memory unchanged")
def decoder_layer_in_pre_norm_form(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights, (x, memory) = layer(numbers, **DECODER, **build), (target(numbers, build), source(numbers, build))
    see_all(seen, component(x=x, memory=memory, build=build | dict(norm_first=True), weights=weights), *NAMES)


@probe("DecoderLayer", "the target may be as long as the source")
def decoder_layer_with_equal_lengths(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = layer(numbers, **DECODER, **sizes)
    for label, norm_first in FORMS.items():
        memory_mask = numbers.mask(*numbers.axes(BATCH, 1, KEYS))
        reply = component(
            x=target(numbers, sizes, KEYS),
            memory=source(numbers, sizes),
            self_mask=causal(numbers, KEYS),
            memory_mask=memory_mask,
            build=sizes | dict(norm_first=norm_first),
            weights=weights,
        )
        see_all(
            seen, reply, *NAMES, label=label, mask=dict(self_weights=causal(numbers, KEYS), cross_weights=memory_mask)
        )


@probe("DecoderLayer", "what self_mask hides has no influence, so the past does not depend on the future")
def decoder_layer_obeys_the_self_mask(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, memory, x = layer(numbers, **DECODER, **sizes), source(numbers, sizes), target(numbers, sizes)
    before, after = (
        component(x=given, memory=memory, self_mask=causal(numbers), build=sizes, weights=weights)
        for given in (x, nudged(x, 3))
    )
    seen.note("positions that move if position 3 of x is changed", moved(before, after), before.given)
    for mask in (
        causal(numbers),
        numbers.mask(*numbers.axes(BATCH, 1, QUERIES)),
        numbers.mask(*numbers.axes(BATCH, QUERIES, QUERIES)),
    ):
        reply = component(x=x, memory=memory, self_mask=mask, build=sizes, weights=weights)
        see_all(seen, reply, *NAMES, label=f"self_mask {list(mask.shape)}", mask=dict(self_weights=mask))


@probe("DecoderLayer", "what memory_mask hides has no influence, such as padding of the source")
def decoder_layer_obeys_the_memory_mask(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, memory, x = layer(numbers, **DECODER, **sizes), source(numbers, sizes), target(numbers, sizes)
    batch, keys = numbers.axes(BATCH, KEYS)
    tokens = torch.arange(keys).expand(batch, 1, keys) < 5
    before, after = (
        component(x=x, memory=given, self_mask=None, memory_mask=tokens, build=sizes, weights=weights)
        for given in (memory, nudged(memory, keys - 1))
    )
    seen.note("positions that move if padding of the memory is changed", moved(before, after), before.given)
    for mask in (tokens, numbers.mask(*numbers.axes(QUERIES, KEYS)), numbers.mask(*numbers.axes(BATCH, QUERIES, KEYS))):
        reply = component(x=x, memory=memory, self_mask=causal(numbers), memory_mask=mask, build=sizes, weights=weights)
        see_all(
            seen,
            reply,
            *NAMES,
            label=f"memory_mask {list(mask.shape)}",
            mask=dict(self_weights=causal(numbers), cross_weights=mask),
        )


@probe("DecoderLayer", "without masks every position sees every position, and the whole memory")
def decoder_layer_adds_no_mask(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, memory, x = layer(numbers, **DECODER, **sizes), source(numbers, sizes), target(numbers, sizes)
    before, other_x, other_memory = (
        component(x=one, memory=two, build=sizes, weights=weights)
        for one, two in ((x, memory), (nudged(x, -1), memory), (x, nudged(memory, -1)))
    )
    seen.note("positions that move if the last position of x is changed", moved(before, other_x), before.given)
    seen.note(
        "positions that move if the last position of the memory is changed", moved(before, other_memory), before.given
    )


@probe("DecoderLayer", "without a memory, cross-attention is skipped with its residual and its norm")
def decoder_layer_without_memory(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = layer(numbers, **DECODER, **sizes)
    for label, norm_first in FORMS.items():
        build = sizes | dict(norm_first=norm_first)
        see_all(seen, component(x=target(numbers, sizes), build=build, weights=weights), *NAMES, label=label)
        reply = component(
            x=target(numbers, sizes), memory=None, self_mask=causal(numbers), build=build, weights=weights
        )
        see_all(seen, reply, *NAMES, label=f"{label}, causal", mask=dict(self_weights=causal(numbers)))


@probe(
    "DecoderLayer", "made without cross-attention, it has neither cross_attention nor norm2, and the rest is the same"
)
def decoder_layer_without_cross_attention(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = layer(numbers, **DECODER_ONLY, **sizes)
    for label, norm_first in FORMS.items():
        build = sizes | dict(norm_first=norm_first, cross_attention=False)
        reply = component(
            x=target(numbers, sizes), memory=None, self_mask=causal(numbers), build=build, weights=weights
        )
        seen.answer(reply, label)
        see_parameters(seen, reply, weights, label)
        see_all(seen, reply, *NAMES, label=f"{label}, numbers", mask=dict(self_weights=causal(numbers)))


@probe("DecoderLayer", "the feed-forward network gets the activation")
def decoder_layer_passes_the_activation(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, build = layer(numbers, **DECODER, **sizes), sizes | dict(activation=Activation("gelu"))
    see_all(
        seen, component(x=target(numbers, sizes), memory=source(numbers, sizes), build=build, weights=weights), *NAMES
    )


@probe("DecoderLayer", "dropout acts on the sublayers' outputs, in training only")
def decoder_layer_drops_outputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, x, memory = layer(numbers, **DECODER, **sizes), target(numbers, sizes), source(numbers, sizes)
    for label, norm_first in FORMS.items():
        build = sizes | dict(dropout=1.0, norm_first=norm_first)
        for when, training in (("evaluation", False), ("training, all dropped", True)):
            reply = component(x=x, memory=memory, build=build, weights=weights, training=training)
            see_all(seen, reply, *NAMES, label=f"{label}, {when}")


@probe("DecoderLayer", "dropout acts inside the sublayers as well")
def decoder_layer_drops_inside(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = layer(numbers, **DECODER, embed_dim=2, ff_dim=1)
    dropout_stages(
        seen,
        component,
        weights,
        {
            "self-attention": ("self_attention.v_proj.bias", "self_attention.out_proj.weight"),
            "cross-attention": ("cross_attention.v_proj.bias", "cross_attention.out_proj.weight"),
            "feed-forward": ("feed_forward.up_proj.bias", "feed_forward.down_proj.weight"),
        },
        memory=torch.zeros(300, 1, 2),
    )


@probe("DecoderLayer", "gradients reach the target, the memory and all parameters")
def decoder_layer_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, x, memory = doubled(layer(numbers, **DECODER, **sizes)), target(numbers, sizes), source(numbers, sizes)
    for label, norm_first in FORMS.items():
        reply = component(
            x=x.double(),
            memory=memory.double(),
            build=sizes | dict(norm_first=norm_first),
            weights=weights,
            gradients=True,
        )
        see_gradients(seen, reply, label)


@probe("DecoderLayer", "the arguments are not changed")
def decoder_layer_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = layer(numbers, **DECODER, **sizes)
    for label, norm_first in FORMS.items():
        reply = component(
            x=target(numbers, sizes),
            memory=source(numbers, sizes),
            self_mask=causal(numbers),
            memory_mask=numbers.mask(*numbers.axes(QUERIES, KEYS)),
            build=sizes | dict(norm_first=norm_first),
            weights=weights,
        )
        unchanged(seen, reply, label)


# Decoder


def stack(
    numbers: Numbers, num_layers: int, norm_first: bool = False, *, sizes: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """Return the weights of a stack of decoder layers."""
    return stack_of(numbers, num_layers, norm_first, **DECODER, **sizes)


@probe("Decoder", "it has as many layers as asked for, each with parameters of its own, and a final norm if pre-norm")
def decoder_has_its_parameters(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    for label, norm_first, num_layers in (("post-norm", False, 3), ("pre-norm", True, 2)):
        weights = stack(numbers, num_layers, norm_first, sizes=sizes)
        reply = component(
            x=target(numbers, sizes),
            memory=source(numbers, sizes),
            weights=weights,
            build=sizes | dict(num_layers=num_layers, norm_first=norm_first),
        )
        seen.answer(reply, label)
        see_parameters(seen, reply, weights, label)


@probe("Decoder", "post-norm: each layer works on the output of the one before it, and on the memory")
def decoder_in_post_norm_form(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights, (x, memory) = stack(numbers, 3, sizes=build), (target(numbers, build), source(numbers, build))
    reply = component(x=x, memory=memory, build=build | dict(num_layers=3), weights=weights)
    see_stack(seen, reply, *NAMES)


@probe("Decoder", "pre-norm: the final norm comes after the last layer")
def decoder_in_pre_norm_form(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights, (x, memory) = stack(numbers, 2, True, sizes=build), (target(numbers, build), source(numbers, build))
    build |= dict(num_layers=2, norm_first=True)
    see_stack(seen, component(x=x, memory=memory, build=build, weights=weights), *NAMES)


@probe("Decoder", "a stack may have a single layer")
def decoder_of_one_layer(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES, *SIZES)
    weights, build = stack(numbers, 1, sizes=sizes), sizes | dict(num_layers=1)
    see_stack(
        seen, component(x=target(numbers, sizes), memory=source(numbers, sizes), build=build, weights=weights), *NAMES
    )


@probe("Decoder", "every layer obeys both masks")
def decoder_obeys_the_masks(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, build = stack(numbers, 2, sizes=sizes), sizes | dict(num_layers=2)
    # The first target is as long as the source, so masks that are exchanged fit.
    for length, memory_mask in (
        (KEYS, numbers.mask(*numbers.axes(BATCH, KEYS, KEYS))),
        (QUERIES, numbers.mask(*numbers.axes(BATCH, 1, KEYS))),
    ):
        mask = causal(numbers, length)
        reply = component(
            x=target(numbers, sizes, length),
            memory=source(numbers, sizes),
            self_mask=mask,
            memory_mask=memory_mask,
            build=build,
            weights=weights,
        )
        see_stack(
            seen,
            reply,
            *NAMES,
            label=f"memory_mask {list(memory_mask.shape)}",
            mask=dict(self_weights=mask, cross_weights=memory_mask),
        )


@probe("Decoder", "with a causal mask the past does not depend on the future, without one it may")
def decoder_adds_no_mask(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, build = stack(numbers, 2, sizes=sizes), sizes | dict(num_layers=2)
    x, memory = target(numbers, sizes), source(numbers, sizes)
    for label, mask in (("causal mask", causal(numbers)), ("no mask", None)):
        before, after = (
            component(x=given, memory=memory, self_mask=mask, build=build, weights=weights)
            for given in (x, nudged(x, 3))
        )
        seen.note("positions that move if position 3 of x is changed", moved(before, after), before.given, label)


@probe("Decoder", "without a memory it is a stack of masked self-attention, with None for each layer's cross weights")
def decoder_without_memory(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    for label, norm_first in FORMS.items():
        weights, build = stack(numbers, 2, norm_first, sizes=sizes), sizes | dict(num_layers=2, norm_first=norm_first)
        reply = component(
            x=target(numbers, sizes), memory=None, self_mask=causal(numbers), build=build, weights=weights
        )
        see_stack(seen, reply, *NAMES, label=label, mask=dict(self_weights=causal(numbers)))


@probe("Decoder", "made without cross-attention, no layer has it")
def decoder_without_cross_attention(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    for label, norm_first in FORMS.items():
        weights = stack_of(numbers, 2, norm_first, **DECODER_ONLY, **sizes)
        build = sizes | dict(num_layers=2, norm_first=norm_first, cross_attention=False)
        reply = component(
            x=target(numbers, sizes), memory=None, self_mask=causal(numbers), build=build, weights=weights
        )
        seen.answer(reply, label)
        see_parameters(seen, reply, weights, label)
        see_stack(seen, reply, *NAMES, label=f"{label}, numbers", mask=dict(self_weights=causal(numbers)))


@probe("Decoder", "the layers get the activation")
def decoder_passes_the_activation(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, build = stack(numbers, 2, sizes=sizes), sizes | dict(num_layers=2, activation=Activation("gelu"))
    see_stack(
        seen, component(x=target(numbers, sizes), memory=source(numbers, sizes), build=build, weights=weights), *NAMES
    )


@probe("Decoder", "the layers get the dropout, which acts in training only")
def decoder_passes_the_dropout(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights, x, memory = stack(numbers, 2, sizes=sizes), target(numbers, sizes), source(numbers, sizes)
    build = sizes | dict(num_layers=2, dropout=1.0)
    for label, training in (("evaluation", False), ("training, all dropped", True)):
        reply = component(x=x, memory=memory, build=build, weights=weights, training=training)
        see_stack(seen, reply, *NAMES, label=label)


@probe("Decoder", "gradients reach the target, the memory and all parameters")
def decoder_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = doubled(stack(numbers, 2, True, sizes=sizes))
    reply = component(
        x=target(numbers, sizes).double(),
        memory=source(numbers, sizes).double(),
        build=sizes | dict(num_layers=2, norm_first=True),
        weights=weights,
        gradients=True,
    )
    see_gradients(seen, reply)


@probe("Decoder", "the arguments are not changed")
def decoder_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = anew(numbers, SIZES)
    weights = stack(numbers, 2, sizes=sizes)
    reply = component(
        x=target(numbers, sizes),
        memory=source(numbers, sizes),
        self_mask=causal(numbers),
        memory_mask=numbers.mask(*numbers.axes(QUERIES, KEYS)),
        build=sizes | dict(num_layers=2),
        weights=weights,
    )
    unchanged(seen, reply)


# decoder_bug_input: the learner supplies an input, the probe runs the broken layer and a right one on it

BUG_SIZES: dict[str, Any] = dict(embed_dim=8, num_heads=2, ff_dim=11)


@probe("decoder_bug_input", "x, memory and both masks fit together, and x and memory hold finite numbers")
def bug_input_fits(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit)


@probe("decoder_bug_input", "the broken layer gives a wrong output for it")
def bug_input_shows_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = layer(numbers, **DECODER, **BUG_SIZES)
    see_effect(seen, "broken_decoder_layer on your input", component(), _misfit, lambda given: _effect(weights, *given))


def _misfit(given: Any) -> str:
    """Return what is wrong with an input for a decoder layer, or nothing."""
    if not isinstance(given, (tuple, list)) or len(given) != 4:
        return "is not (x, memory, self_mask, memory_mask)"
    x, memory, self_mask, memory_mask = given
    if not (is_sequence(x) and is_sequence(memory)):
        return (
            "x and memory have to be [batch, queries, 8] and [batch, keys, 8], floating point and finite, with "
            "batch at most 16, queries and keys at most 200"
        )
    if x.shape[0] != memory.shape[0]:
        return "x and memory have to have the same batch"
    if not is_mask(self_mask, x.shape[0], x.shape[1], x.shape[1]):
        return (
            "self_mask has to be None, or boolean: [queries, queries], [batch, 1, queries] or [batch, queries, queries]"
        )
    if not is_mask(memory_mask, x.shape[0], x.shape[1], memory.shape[1]):
        return "memory_mask has to be None, or boolean: [queries, keys], [batch, 1, keys] or [batch, queries, keys]"
    return ""


def _effect(
    weights: dict[str, torch.Tensor],
    x: torch.Tensor,
    memory: torch.Tensor,
    self_mask: torch.Tensor | str,
    memory_mask: torch.Tensor | str,
) -> str:
    """Say whether the bug shows on an input, and if not, what kind of input it is."""
    right, masks = (
        loaded(parts.DecoderLayer(**BUG_SIZES), weights),
        (mask_or_none(self_mask), mask_or_none(memory_mask)),
    )
    with torch.no_grad():
        given = (x.double(), memory.double(), *masks)
        if far_apart(right(*given)[0], broken_decoder_layer(right, *given)[0]):
            return "gives a wrong output"
    if x.shape == memory.shape:
        return "is right: nothing of the memory can be seen"
    if any(mask is not None for mask in masks):
        return "is right: it obeys its masks"
    return "is right: there is one query" if x.shape[1] == 1 else "is right: the lengths differ"
