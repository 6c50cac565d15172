"""What is observed of the components of lesson 7. Sizes are distinct primes, so a swapped axis shows."""

from typing import Any

import torch

from workbench import parts
from workbench.broken.scaled_dot_product_attention import broken_attention

from ..calling.numbers import Numbers
from . import Component, Observations, forbid, probe
from .bugs import mask_or_none, see_effect, see_fit
from .see import (
    LIBRARY_ATTENTION,
    broadcasts,
    device_and_dtype,
    half_precision,
    library_calls,
    see_attention,
    see_output,
    see_weights,
    unchanged,
)

forbid(("attention_weights", "scaled_dot_product_attention", "streaming_attention"), *LIBRARY_ATTENTION)


# attention_scores


@probe("attention_scores", "a score is the dot product of a query and a key, divided by the root of head_dim")
def scores_are_scaled_dot_products(component: Component, numbers: Numbers, seen: Observations) -> None:
    query, key = numbers.axes(2, 3, 7), numbers.axes(2, 5, 7)
    see_output(seen, component(query=numbers.tensor(*query), key=numbers.tensor(*key)), name="scores")


@probe("attention_scores", "any leading axes and any sizes are accepted")
def scores_take_leading_axes(component: Component, numbers: Numbers, seen: Observations) -> None:
    for leading in ((), (2, 5), (3, 2, 1)):
        query, key = numbers.axes(*leading, 3, 11), numbers.axes(*leading, 7, 11)
        reply = component(query=numbers.tensor(*query), key=numbers.tensor(*key))
        label = f"{len(leading) + 2} axes"
        see_output(seen, reply, label, "scores")


@probe("attention_scores", "gradients reach the query and the key")
def scores_pass_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    seen.gradients(
        component(
            query=numbers.tensor(*numbers.axes(2, 3, 7)), key=numbers.tensor(*numbers.axes(2, 5, 7)), gradients=True
        )
    )


@probe("attention_scores", "the arguments are not changed")
def scores_change_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(query=numbers.tensor(*numbers.axes(2, 3, 7)), key=numbers.tensor(*numbers.axes(2, 5, 7))))


@probe("attention_scores", "dtype and device are those of the inputs")
def scores_follow_the_inputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    device_and_dtype(
        seen, component, query=numbers.tensor(*numbers.axes(2, 3, 7)), key=numbers.tensor(*numbers.axes(2, 5, 7))
    )
    half_precision(
        seen, component, query=numbers.tensor(*numbers.axes(2, 3, 7)), key=numbers.tensor(*numbers.axes(2, 5, 7))
    )


# attention_weights


@probe("attention_weights", "without a mask, each row of weights is a softmax over the keys")
def weights_are_a_softmax_over_keys(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = component(scores=numbers.tensor(*numbers.axes(2, 3, 5)))
    for value in seen.see(reply, "weights").values():
        see_weights(seen, value, None, reply.given)


@probe("attention_weights", "a key that the mask hides gets no weight, and the others share it")
def hidden_keys_get_no_weight(component: Component, numbers: Numbers, seen: Observations) -> None:
    for shape in ((3, 5), (2, 1, 5), (2, 3, 5)):
        mask = numbers.mask(*numbers.axes(*shape))
        reply = component(scores=numbers.tensor(*numbers.axes(2, 3, 5)), mask=mask)
        label = f"mask {list(mask.shape)}"
        for value in seen.see(reply, "weights", label=label).values():
            see_weights(seen, value, mask, reply.given, label)


@probe("attention_weights", "a query that may attend to nothing gets weights of exactly 0, and no NaN in the gradient")
def empty_rows_get_zero_weights(component: Component, numbers: Numbers, seen: Observations) -> None:
    mask = numbers.mask(*numbers.axes(3, 5))
    mask[1] = False
    reply = component(scores=numbers.tensor(*numbers.axes(2, 3, 5)), mask=mask, gradients=True)
    for value in seen.see(reply, "weights").values():
        see_weights(seen, value, mask, reply.given)
    if reply.gradients:
        gradient = reply.gradients["scores"]
        seen.gradient("gradient of scores", gradient, reply.given)


@probe("attention_weights", "large scores do not overflow")
def large_scores_do_not_overflow(component: Component, numbers: Numbers, seen: Observations) -> None:
    # No two scores of a row are equal, or the logarithm of two equal exponentials would round away in float32.
    everywhere = torch.ones(2, 3, 5, dtype=torch.bool)
    for size in (1e3, 1e5):
        reply = component(scores=(ranks(numbers, everywhere) - 2.0 + numbers.tensor(2, 3, 1)) * size)
        label = f"scores near {size:g}"
        for value in seen.see(reply, "weights", label=label).values():
            see_weights(seen, value, None, reply.given, label)


@probe("attention_weights", "a hidden key gets no weight, however low the scores of the others")
def low_scores_do_not_leak(component: Component, numbers: Numbers, seen: Observations) -> None:
    # All scores of a row are low, the hidden ones lowest, and neighbours lie far apart: a finite fill shows,
    # and neither rounding in float32 nor renormalising after the softmax spoils a right answer.
    for shift, step in ((-200.0, 16.0), (-3e4, 16.0), (-4e9, 1024.0)):
        mask = numbers.mask(3, 5)
        reply = component(scores=ranks(numbers, mask.expand(2, 3, 5)) * step + shift, mask=mask)
        label = f"scores near {shift:g}"
        for value in seen.see(reply, "weights", label=label).values():
            see_weights(seen, value, mask, reply.given, label)


def ranks(numbers: Numbers, mask: torch.Tensor) -> torch.Tensor:
    """Return the ranks 0, 1, 2 ... of the keys of each row, in random order, every hidden key below the others."""
    rows = []
    for row in mask.reshape(-1, mask.shape[-1]).tolist():
        order = sorted(numbers.permutation(len(row)), key=row.__getitem__)
        rows.append([order.index(key) for key in range(len(row))])
    return torch.tensor(rows, dtype=torch.float32).reshape(mask.shape)


@probe("attention_weights", "a hidden key gets no weight, however large its score")
def largest_score_may_be_hidden(component: Component, numbers: Numbers, seen: Observations) -> None:
    for size in (1e3, 1e5):
        # Multiples of 1/64 next to a whole number: float32 holds their differences exactly, in whatever order.
        mask = numbers.mask(*numbers.axes(3, 5))
        scores = numbers.tensor(*numbers.axes(2, 3, 5)) + size * ~mask
        reply = component(scores=scores, mask=mask)
        label = f"hidden scores near {size:g}"
        for value in seen.see(reply, "weights", label=label).values():
            see_weights(seen, value, mask, reply.given, label)


@probe("attention_weights", "any leading axes and any sizes are accepted")
def weights_take_leading_axes(component: Component, numbers: Numbers, seen: Observations) -> None:
    for leading in ((), (2, 5), (3, 2, 1)):
        mask = numbers.mask(*numbers.axes(3, 7))
        reply = component(scores=numbers.tensor(*numbers.axes(*leading, 3, 7)), mask=mask)
        label = f"{len(leading) + 2} axes"
        for value in seen.see(reply, "weights", label=label).values():
            see_weights(seen, value, mask, reply.given, label)


@probe("attention_weights", "gradients reach the scores")
def weights_pass_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    seen.gradients(component(scores=numbers.tensor(*numbers.axes(2, 3, 5)), gradients=True), label="no mask")
    seen.gradients(
        component(
            scores=numbers.tensor(*numbers.axes(2, 3, 5)), mask=numbers.mask(*numbers.axes(3, 5)), gradients=True
        ),
        label="mask",
    )


@probe("attention_weights", "the arguments are not changed")
def weights_change_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(scores=numbers.tensor(*numbers.axes(2, 3, 5)), mask=numbers.mask(*numbers.axes(2, 3, 5))))


@probe("attention_weights", "dtype and device are those of the inputs")
def weights_follow_the_inputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    device_and_dtype(
        seen, component, scores=numbers.tensor(*numbers.axes(2, 3, 5)), mask=numbers.mask(*numbers.axes(3, 5))
    )
    half_precision(
        seen, component, scores=numbers.tensor(*numbers.axes(2, 3, 5)), mask=numbers.mask(*numbers.axes(3, 5))
    )


@probe("attention_weights", "it makes no library call that the exercise forbids")
def weights_call_no_library_attention(component: Component, numbers: Numbers, seen: Observations) -> None:
    library_calls(
        seen, component, scores=numbers.tensor(*numbers.axes(2, 3, 5)), mask=numbers.mask(*numbers.axes(3, 5))
    )


# scaled_dot_product_attention


def inputs(
    numbers: Numbers, *leading: int, queries: int = 3, keys: int = 5, head_dim: int = 7, value_dim: int = 11
) -> dict[str, Any]:
    """Return query, key and value as keyword arguments."""
    return dict(
        query=numbers.tensor(*leading, queries, head_dim),
        key=numbers.tensor(*leading, keys, head_dim),
        value=numbers.tensor(*leading, keys, value_dim),
    )


def other_inputs(
    numbers: Numbers, *leading: int, queries: int = 3, keys: int = 5, head_dim: int = 7, value_dim: int = 11
) -> dict[str, Any]:
    """Return query, key and value of other sizes, as `Numbers.axis` gives them."""
    queries, keys, head_dim, value_dim = numbers.axes(queries, keys, head_dim, value_dim)
    return inputs(numbers, *numbers.axes(*leading), queries=queries, keys=keys, head_dim=head_dim, value_dim=value_dim)


@probe("scaled_dot_product_attention", "each output is the mean of the values, weighted by softmax of the scores")
def output_is_a_weighted_mean_of_values(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_attention(seen, component(**other_inputs(numbers, 2)))


@probe("scaled_dot_product_attention", "a key that the mask hides has no influence")
def hidden_keys_have_no_influence(component: Component, numbers: Numbers, seen: Observations) -> None:
    for shape in ((3, 5), (2, 1, 5), (2, 3, 5)):
        mask = numbers.mask(*numbers.axes(*shape))
        see_attention(seen, component(**other_inputs(numbers, 2), mask=mask), mask, f"mask {list(mask.shape)}")


@probe(
    "scaled_dot_product_attention",
    "a query that may attend to nothing gets an output of 0, and no NaN in the gradients",
)
def empty_rows_give_zero_output(component: Component, numbers: Numbers, seen: Observations) -> None:
    mask = numbers.mask(*numbers.axes(3, 5))
    mask[1] = False
    reply = component(**other_inputs(numbers, 2), mask=mask, gradients=True)
    see_attention(seen, reply, mask)
    for name, gradient in reply.gradients.items():
        seen.gradient(f"gradient of {name}", gradient, reply.given)
    seen.through(reply)


@probe("scaled_dot_product_attention", "there may be as many queries as keys")
def square_inputs_are_nothing_special(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_attention(seen, component(**other_inputs(numbers, 5, queries=5, keys=5, head_dim=5, value_dim=5)))


@probe("scaled_dot_product_attention", "large scores do not overflow, and hidden keys leak nothing")
def extreme_scores_are_safe(component: Component, numbers: Numbers, seen: Observations) -> None:
    for shift, step in ((1e5, 256.0), (-200.0, 16.0), (-3e4, 256.0), (-4e9, 8192.0)):
        mask = numbers.mask(1, 5)
        given = inputs(numbers, 2) | far_apart(numbers, mask[0].expand(2, 5), shift, step)
        see_attention(seen, component(**given, mask=mask), mask, f"scores near {shift:g}")
    # One maximum for all rows is no help to the rows whose scores are smaller.
    mask = numbers.mask(1, 5)
    given = inputs(numbers, 2) | far_apart(numbers, mask[0].expand(2, 5), 1e5, 1024.0)
    given["query"][..., 0] = torch.tensor([1.0, 0.5, 0.25])
    see_attention(seen, component(**given, mask=mask), mask, "rows far apart")


def far_apart(
    numbers: Numbers, mask: torch.Tensor, shift: float, step: float, queries: int = 3, head_dim: int = 7
) -> dict[str, torch.Tensor]:
    """Return query and key whose scores lie about `shift`, far from each other, the hidden keys lowest.

    Only the first feature counts. One key takes all the weight, so rounding of large scores does not matter.
    """
    query, key = torch.zeros(2, queries, head_dim), torch.zeros(2, mask.shape[-1], head_dim)
    query[..., 0] = 1.0
    key[..., 0] = ranks(numbers, mask) * step + shift * head_dim**0.5
    return dict(query=query, key=key)


@probe("scaled_dot_product_attention", "a hidden key has no influence, however large its score")
def largest_score_may_be_hidden_here(component: Component, numbers: Numbers, seen: Observations) -> None:
    for size in (1e3, 1e5):
        mask, given = numbers.mask(1, numbers.axis(5)), other_inputs(numbers, 2)
        given["query"][..., 0], given["key"][..., 0] = 1.0, (~mask[0]) * size
        see_attention(seen, component(**given, mask=mask), mask, f"hidden keys {size:g} long")


@probe("scaled_dot_product_attention", "any leading axes and any sizes are accepted")
def attention_takes_leading_axes(component: Component, numbers: Numbers, seen: Observations) -> None:
    for leading in ((), (2, 5), (3, 2, 1)):
        mask = numbers.mask(*numbers.axes(3, 7))
        reply = component(**other_inputs(numbers, *leading, keys=7, head_dim=11, value_dim=5), mask=mask)
        see_attention(seen, reply, mask, f"{len(leading) + 2} axes")


@probe("scaled_dot_product_attention", "gradients reach query, key and value")
def attention_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    seen.gradients(component(**other_inputs(numbers, 2), gradients=True), label="no mask")
    seen.gradients(
        component(**other_inputs(numbers, 2), mask=numbers.mask(*numbers.axes(3, 5)), gradients=True), label="mask"
    )


@probe("scaled_dot_product_attention", "the arguments are not changed")
def attention_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(**other_inputs(numbers, 2), mask=numbers.mask(*numbers.axes(2, 3, 5))))


@probe("scaled_dot_product_attention", "dtype and device are those of the inputs")
def attention_follows_the_inputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    device_and_dtype(seen, component, **other_inputs(numbers, 2), mask=numbers.mask(*numbers.axes(3, 5)))
    half_precision(seen, component, **other_inputs(numbers, 2), mask=numbers.mask(*numbers.axes(3, 5)))


@probe("scaled_dot_product_attention", "it makes no library call that the exercise forbids")
def attention_calls_no_library_attention(component: Component, numbers: Numbers, seen: Observations) -> None:
    library_calls(seen, component, **other_inputs(numbers, 2), mask=numbers.mask(*numbers.axes(3, 5)))


# streaming_attention


@probe("streaming_attention", "blocks of any size give what full attention gives")
def streaming_equals_full_attention(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = other_inputs(numbers, 2, keys=13)
    for block_size in numbers.axes(1, 5, 13, 17):
        reply = component(**given, block_size=block_size)
        label = f"block_size {block_size}"
        see_output(seen, reply, label)


@probe("streaming_attention", "the whole score matrix is never held in memory")
def streaming_never_holds_all_scores(component: Component, numbers: Numbers, seen: Observations) -> None:
    # Copies of key and value hold 4 x 499 numbers, one block of scores 11 x 7, the score matrix 11 x 499.
    # Seven rows of scores are too many already: blocks run over the keys, not over the queries.
    queries, keys, block_size = 11, 499, 7
    given = inputs(numbers, queries=queries, keys=keys, head_dim=2, value_dim=2)
    reply = component(**given, block_size=block_size, watch_memory=True)
    see_output(seen, reply)  # little memory is no merit where the numbers are wrong
    whole = reply.held is not None and reply.held >= block_size * keys
    seen.note("rows of scores over all keys are held at once", "yes" if whole else "no", reply.given)


@probe("streaming_attention", "large scores do not overflow, whichever block they are in")
def streaming_is_stable(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = inputs(numbers, 2, keys=13)
    for shift in (0.0, 1e5):
        given |= far_apart(numbers, torch.ones(2, 13, dtype=torch.bool), shift, 512.0)
        reply = component(**given, block_size=5)
        label = f"scores from {shift:g}"
        see_output(seen, reply, label)


@probe("streaming_attention", "scores far below zero are treated like others")
def streaming_starts_below_every_score(component: Component, numbers: Numbers, seen: Observations) -> None:
    # Every score lies near -150, where a running maximum that starts at 0 makes every exp vanish in float32.
    given = inputs(numbers, 2, keys=13)
    given["query"][..., 0], given["key"][..., 0] = -32.0, 12.5
    reply = component(**given, block_size=5)
    see_output(seen, reply)


@probe("streaming_attention", "any leading axes and any sizes are accepted")
def streaming_takes_leading_axes(component: Component, numbers: Numbers, seen: Observations) -> None:
    for leading in ((), (2, 5), (3, 2, 1)):
        given = other_inputs(numbers, *leading, keys=7, head_dim=11, value_dim=5)
        reply = component(**given, block_size=numbers.axis(3))
        label = f"{len(leading) + 2} axes"
        see_output(seen, reply, label)


@probe("streaming_attention", "the arguments are not changed")
def streaming_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(**other_inputs(numbers, 2, keys=13), block_size=numbers.axis(5)))


@probe("streaming_attention", "dtype and device are those of the inputs")
def streaming_follows_the_inputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    device_and_dtype(seen, component, **other_inputs(numbers, 2, keys=13), block_size=numbers.axis(5))
    half_precision(seen, component, **other_inputs(numbers, 2, keys=13), block_size=numbers.axis(5))


@probe("streaming_attention", "it makes no library call that the exercise forbids")
def streaming_calls_no_library_attention(component: Component, numbers: Numbers, seen: Observations) -> None:
    library_calls(seen, component, **other_inputs(numbers, 2, keys=13), block_size=numbers.axis(5))


# attention_bug_input: the learner supplies an input, the probe runs the broken component and a right one on it


@probe("attention_bug_input", "query, key, value and mask fit together and hold finite numbers")
def bug_input_fits(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit)


@probe("attention_bug_input", "the broken attention gives a wrong output for it")
def bug_input_shows_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_effect(seen, "broken_attention on your input", component(), _misfit, lambda given: _effect(*given))


def _misfit(given: Any) -> str:
    """Return what is wrong with an input for attention, or nothing."""
    if not isinstance(given, (tuple, list)) or len(given) != 4:
        return "is not (query, key, value, mask)"
    query, key, value, mask = given
    if not all(
        isinstance(tensor, torch.Tensor)
        and tensor.is_floating_point()
        and tensor.dim() >= 2
        and 0 < tensor.numel() <= 100_000
        for tensor in (query, key, value)
    ):
        return "query, key and value have to be floating point tensors, two axes or more, at most 100000 numbers"
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        return "query and key have to end in the same head_dim, key and value to have as many keys"
    if not query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        return "query, key and value have to have the same leading axes"
    scores = query.new_zeros(*query.shape[:-1], key.shape[-2])
    if isinstance(mask, torch.Tensor) and (mask.dtype != torch.bool or not broadcasts(mask, scores)):
        return "mask has to be boolean and to broadcast to [..., queries, keys]"
    if not isinstance(mask, torch.Tensor) and mask != "None":
        return "mask has to be a boolean tensor or None"
    if not all(torch.isfinite(tensor).all() for tensor in (query, key, value)):
        return "query, key and value have to hold finite numbers"
    return ""


def _effect(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | str | None) -> str:
    """Say whether the bug shows on an input, and if not, what kind of input it is."""
    mask = mask_or_none(mask)
    scores = parts.attention_scores(query.double(), key.double())
    visible = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    right = parts.attention_weights(scores, visible) @ value.double()
    wrong = broken_attention(query, key, value, mask)[0].double()
    some = visible.any(-1)
    apart = torch.nan_to_num(wrong - right, nan=float("inf")).abs()[some]
    if apart.numel() and apart.max() > 0.01 * value.abs().max():
        return "gives a wrong output"
    largest = scores.masked_fill(~visible, float("-inf")).amax(-1)[some]
    if not some.all():
        return "is right: a query without a visible key gets 0"
    if largest.numel() == 1:
        return "is right: there is one query only"
    if largest.min() > 80:
        return "is right: all queries have large scores"
    return "is right: the scores are as usual"
