"""What is observed of the components of lesson 8. Sizes are distinct primes, or all equal, where each tells more."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from workbench import parts
from workbench.broken.multi_head_attention import BrokenMultiHeadAttention

from ..calling.local import Reply
from ..calling.numbers import Numbers
from . import Component, Observations, forbid, kind, probe
from .bugs import FLOATS, is_mask, is_ordinary, loaded, mask_or_none, see_effect, see_fit
from .see import (
    EXTREMES,
    LIBRARY_ATTENTION,
    device_and_dtype,
    half_precision,
    library_calls,
    see_attention,
    see_each_projection,
    see_gradients_of_projections,
    see_output,
    unchanged,
)
from .weights import anew, attention

BOTH = ("MultiHeadAttention", "GroupedQueryAttention")  # the same is asked of both

forbid(BOTH, *LIBRARY_ATTENTION)


def refusal(seen: Observations, reply: Reply, sizes: Iterable[int], label: str) -> None:
    """Note whether sizes that do not fit are refused by a ValueError that names them."""
    seen.note("answer", kind(reply), reply.given, label)
    if reply.fault and reply.fault.type == "ValueError":
        named = {str(size) for size in sizes} <= set(re.findall(r"\d+", reply.fault.message))
        seen.note("the message names both sizes", "yes" if named else "no", reply.given, label)
    else:
        seen.fault = seen.fault or reply.fault


# split_heads


def positions(numbers: Numbers) -> dict[str, Any]:
    """Return x [batch, time, embed_dim] and the number of its heads as keyword arguments."""
    batch, time, num_heads, head_dim = numbers.axes(2, 5, 3, 7)
    return dict(x=numbers.tensor(batch, time, num_heads * head_dim), num_heads=num_heads)


@probe("split_heads", "each head gets its own part of the features of every position")
def split_shares_out_the_features(component: Component, numbers: Numbers, seen: Observations) -> None:
    batch, time, num_heads, head_dim = numbers.axes(2, 5, 3, 7)
    equal = (num_heads, num_heads, num_heads * num_heads)
    for shape in ((batch, time, num_heads * head_dim), equal):
        reply = component(x=numbers.tensor(*shape), num_heads=num_heads)
        label = f"{num_heads} heads of {list(shape)}"
        see_output(seen, reply, label, "split x")


@probe("split_heads", "one head takes all features, and as many heads as features take one each")
def split_into_one_and_into_all(component: Component, numbers: Numbers, seen: Observations) -> None:
    for num_heads in numbers.axes(1, 7):
        reply = component(x=numbers.tensor(*numbers.axes(2, 5, 7)), num_heads=num_heads)
        label = f"num_heads {num_heads}"
        see_output(seen, reply, label, "split x")


@probe("split_heads", "a number of heads that does not divide embed_dim causes a ValueError that names both")
def split_refuses_what_does_not_divide(component: Component, numbers: Numbers, seen: Observations) -> None:
    for embed_dim, num_heads in ((10, 3), (5, 7)):
        # As many positions as heads: then a reshape of all numbers at once would fit.
        reply = component(x=numbers.tensor(2, num_heads, embed_dim), num_heads=num_heads)
        refusal(seen, reply, (embed_dim, num_heads), f"{num_heads} heads of {embed_dim} features")


@probe("split_heads", "gradients reach x")
def split_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    seen.gradients(component(**positions(numbers), gradients=True))


@probe("split_heads", "x is not changed")
def split_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(**positions(numbers)))


@probe("split_heads", "dtype and device are those of x")
def split_follows_x(component: Component, numbers: Numbers, seen: Observations) -> None:
    device_and_dtype(seen, component, **positions(numbers))
    half_precision(seen, component, **positions(numbers))


# merge_heads


@probe("merge_heads", "the features of all heads stand side by side for every position")
def merge_joins_the_features(component: Component, numbers: Numbers, seen: Observations) -> None:
    for shape in (numbers.axes(2, 3, 5, 7), numbers.axes(3, 3, 3, 3)):
        reply = component(x=numbers.tensor(*shape))
        label = str(list(shape))
        see_output(seen, reply, label, "merged x")


@probe("merge_heads", "a single head, or a single position, works as well")
def merge_of_one(component: Component, numbers: Numbers, seen: Observations) -> None:
    for shape in (numbers.axes(2, 1, 5, 7), numbers.axes(2, 3, 1, 7)):
        reply = component(x=numbers.tensor(*shape))
        label = str(list(shape))
        see_output(seen, reply, label, "merged x")


@probe("merge_heads", "gradients reach x")
def merge_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    seen.gradients(component(x=numbers.tensor(*numbers.axes(2, 3, 5, 7)), gradients=True))


@probe("merge_heads", "x is not changed")
def merge_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(x=numbers.tensor(*numbers.axes(2, 3, 5, 7))))


@probe("merge_heads", "dtype and device are those of x")
def merge_follows_x(component: Component, numbers: Numbers, seen: Observations) -> None:
    device_and_dtype(seen, component, x=numbers.tensor(*numbers.axes(2, 3, 5, 7)))
    half_precision(seen, component, x=numbers.tensor(*numbers.axes(2, 3, 5, 7)))


# MultiHeadAttention and GroupedQueryAttention: the same is asked of both

SIZES = {
    "MultiHeadAttention": dict(embed_dim=14, num_heads=2),
    "GroupedQueryAttention": dict(embed_dim=30, num_heads=6, num_groups=2),
}
EQUAL = {
    "MultiHeadAttention": dict(embed_dim=9, num_heads=3),
    "GroupedQueryAttention": dict(embed_dim=16, num_heads=4, num_groups=2),
}


def module(numbers: Numbers, build: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return how to build a module, and its weights, as keyword arguments of a call."""
    embed_dim, num_heads = build["embed_dim"], build["num_heads"]
    shared = embed_dim // num_heads * build.get("num_groups", num_heads)
    return dict(build=build | more, weights=attention(numbers, "", embed_dim, shared))


def inputs(
    numbers: Numbers, build: Mapping[str, Any], batch: int = 5, queries: int = 3, keys: int = 7
) -> dict[str, Any]:
    """Return query, key and value as keyword arguments."""
    embed_dim = build["embed_dim"]
    return dict(
        query=numbers.tensor(batch, queries, embed_dim),
        key=numbers.tensor(batch, keys, embed_dim),
        value=numbers.tensor(batch, keys, embed_dim),
    )


def other_call(numbers: Numbers, name: str, *heads: str, **more: Any) -> dict[str, Any]:
    """Return how to build a module, its weights and its arguments, of other sizes, as `Numbers.axis` gives them.

    heads  "num_heads", if there are to be others, too
    """
    build = anew(numbers, SIZES[name], "embed_dim", *heads)
    return module(numbers, build, **more) | inputs(numbers, build, *numbers.axes(5, 3, 7))


def see_heads(seen: Observations, reply: Reply, mask: torch.Tensor | None = None, label: str = "") -> None:
    """Note weights [batch, heads, queries, keys] and output; the mask has no axis of heads."""
    see_attention(seen, reply, None if mask is None else mask.unsqueeze(-3), label)


@probe(BOTH, "the parameters have the names and shapes of the docstring")
def parameters_are_as_agreed(component: Component, numbers: Numbers, seen: Observations) -> None:
    call = other_call(numbers, component.name)
    see_each_projection(seen, component(**call), call["weights"])


@probe(BOTH, "every head has weights of its own, and the output is made of all heads")
def every_head_attends(component: Component, numbers: Numbers, seen: Observations) -> None:
    heads = ("num_heads",) if component.name == "MultiHeadAttention" else ()
    see_heads(seen, component(**other_call(numbers, component.name, *heads)))


@probe(BOTH, "a key that the mask hides has no influence in any head")
def hidden_keys_have_no_influence(component: Component, numbers: Numbers, seen: Observations) -> None:
    call = other_call(numbers, component.name)
    for shape in ((3, 7), (5, 1, 7), (5, 3, 7)):
        mask = numbers.mask(*numbers.axes(*shape))
        see_heads(seen, component(**call, mask=mask), mask, f"mask {list(mask.shape)}")


@probe(BOTH, "batch, heads, queries and keys may be equally many")
def equal_sizes_are_nothing_special(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = EQUAL[component.name]
    size = build["num_heads"]
    call = module(numbers, build) | inputs(numbers, build, size, size, size)
    see_heads(seen, component(**call), label="no mask")
    for shape in ((size, size), (size, 1, size), (size, size, size)):
        mask = numbers.mask(*shape)
        see_heads(seen, component(**call, mask=mask), mask, f"mask {list(shape)}")


@probe(BOTH, "a query that may attend to nothing gets weights of exactly 0, and no NaN in the gradients")
def empty_rows_get_zero_weights(component: Component, numbers: Numbers, seen: Observations) -> None:
    mask = numbers.mask(*numbers.axes(3, 7))
    mask[1] = False
    reply = component(**other_call(numbers, component.name), mask=mask, gradients=True)
    see_heads(seen, reply, mask)
    for name in ("query", "key", "value"):
        seen.gradient(f"gradient of {name}", reply.gradients.get(name), reply.given)
    seen.through(reply)


@probe(BOTH, "scores may be of any size, and those of hidden keys as well")
def scores_of_any_size_do_no_harm(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = SIZES[component.name]
    # Not as many keys as a head has features: whoever does not transpose the key would get huge scores that are all but
    # equal, and rounding would choose among them.
    given = module(numbers, build) | inputs(numbers, build, keys=4)
    # All queries are alike, and the first feature of the key is added to all that its projection gives.
    weights = given["weights"]
    weights["q_proj.weight"].zero_()
    weights["q_proj.bias"].fill_(1.0)
    weights["k_proj.weight"][:, 0] = 1.0
    for label, all_keys, hidden_keys in EXTREMES:
        # One key is hidden: among several huge scores rounding would choose where the mask is ignored.
        mask = (torch.arange(4) != numbers.permutation(4)[0])[None]
        given["key"][..., 0] = all_keys + ~mask[0] * hidden_keys
        see_heads(seen, component(**given, mask=mask), mask, label)


@probe("MultiHeadAttention", "a single head works, and so do heads of a single feature")
def one_head_and_single_features(component: Component, numbers: Numbers, seen: Observations) -> None:
    for embed_dim, num_heads in (numbers.axes(7, 1), numbers.axes(5, 5)):
        build = dict(embed_dim=embed_dim, num_heads=num_heads)
        reply = component(**module(numbers, build), **inputs(numbers, build, batch=2))
        see_heads(seen, reply, label=f"num_heads {num_heads}")


@probe("GroupedQueryAttention", "there may be one group, or as many groups as heads")
def one_group_and_as_many_as_heads(component: Component, numbers: Numbers, seen: Observations) -> None:
    for num_groups in numbers.axes(1, 3):
        build = anew(numbers, dict(embed_dim=15, num_heads=3), "embed_dim", "num_heads") | dict(num_groups=num_groups)
        reply = component(**module(numbers, build), **inputs(numbers, build, batch=2))
        see_heads(seen, reply, label=f"num_groups {num_groups}")


@probe(BOTH, "gradients reach the arguments and all parameters")
def gradients_reach_everything(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_gradients_of_projections(seen, component(**other_call(numbers, component.name), gradients=True))


@probe(BOTH, "dropout acts between the returned weights and the value, and in training only")
def dropout_acts_on_the_weights_in_training(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = SIZES[component.name]
    # Few rows: whoever divides by the sum of the scores does so by next to nothing in one of many.
    call = module(numbers, build, dropout=1.0) | inputs(numbers, build, batch=2)
    for training in (False, True):
        label = "all dropped, in training" if training else "all dropped, in evaluation"
        see_heads(seen, component(**call, training=training), label=label)
    # Every value is 1, so each head hands over the sum of what dropout left of its weights.
    call["build"] = build | {"dropout": 0.5}
    weights, embed_dim = call["weights"], build["embed_dim"]
    weights["v_proj.weight"].zero_()
    weights["v_proj.bias"].fill_(1.0)
    weights["out_proj.weight"].copy_(torch.eye(embed_dim))
    weights["out_proj.bias"].zero_()
    reply = component(**call, training=True)
    label = "half dropped, in training"
    found = seen.see(reply, "output", "weights", label=label)
    if found and found["output"].shape == (2, 3, embed_dim):
        heads = found["output"].unflatten(-1, (build["num_heads"], -1))
        together = (heads - heads[..., :1]).abs().max() < 1e-4
        seen.note("the features of a head are dropped one by one", "no" if together else "yes", reply.given, label)
        acts = (heads - 1).abs().max() > 1e-3
        seen.note("dropout changes the output", "yes" if acts else "no", reply.given, label)


@probe(BOTH, "sizes that do not divide cause a ValueError that names both")
def indivisible_sizes_are_refused(component: Component, numbers: Numbers, seen: Observations) -> None:
    if component.name == "MultiHeadAttention":
        cases = [((10, 3), dict(embed_dim=10, num_heads=3)), ((5, 7), dict(embed_dim=5, num_heads=7))]
    else:
        cases = [
            ((10, 4), dict(embed_dim=10, num_heads=4, num_groups=2)),
            ((6, 4), dict(embed_dim=30, num_heads=6, num_groups=4)),
        ]
    for sizes, build in cases:
        reply = component(build=build, **inputs(numbers, build, batch=2))
        refusal(seen, reply, sizes, " and ".join(map(str, sizes)))


@probe(BOTH, "the arguments are not changed")
def modules_change_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    mask = numbers.axes(5, 3, 7)
    unchanged(seen, component(**other_call(numbers, component.name), mask=numbers.mask(*mask)))


@probe(BOTH, "dtype and device are those of the inputs")
def modules_follow_the_inputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = other_call(numbers, component.name)
    device_and_dtype(seen, component, **given, mask=numbers.mask(*numbers.axes(3, 7)))
    half_precision(seen, component, **given, mask=numbers.mask(*numbers.axes(3, 7)))


@probe(BOTH, "it makes no library call that the exercise forbids")
def modules_call_no_library_attention(component: Component, numbers: Numbers, seen: Observations) -> None:
    library_calls(seen, component, **other_call(numbers, component.name), mask=numbers.mask(*numbers.axes(3, 7)))


# multi_head_bug_input: the learner supplies an input, the probe runs the broken module and a right one on it

BUG_SIZES: dict[str, Any] = dict(embed_dim=12, num_heads=3)


@probe("multi_head_bug_input", "query, key, value and mask fit together and hold numbers of ordinary size")
def bug_input_fits(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit)


@probe("multi_head_bug_input", "BrokenMultiHeadAttention gives a wrong output for it")
def bug_input_shows_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_effect(
        seen, "BrokenMultiHeadAttention on your input", component(), _misfit, lambda given: _effect(numbers, *given)
    )


def _misfit(given: Any) -> str:
    """Return what is wrong with an input for multi-head attention, or nothing."""
    if not isinstance(given, (tuple, list)) or len(given) != 4:
        return "is not (query, key, value, mask)"
    query, key, value, mask = given
    embed_dim = BUG_SIZES["embed_dim"]
    if not all(is_ordinary(x, FLOATS) and x.dim() == 3 and x.shape[-1] == embed_dim for x in (query, key, value)):
        return f"query, key and value have to be floating point, [batch, time, {embed_dim}], no size above 100"
    if not all(torch.isfinite(x).all() and x.abs().max() <= 1e4 for x in (query, key, value)):
        return "query, key and value have to hold finite numbers, none above 10000"
    batch, queries, keys = query.shape[0], query.shape[1], key.shape[1]
    if not batch == len(key) == len(value) or value.shape[1] != keys:
        return "query, key and value have to have the same batch, key and value to have as many keys"
    if not is_mask(mask, batch, queries, keys):
        return "mask has to be None or boolean: [queries, keys], [batch, 1, keys] or [batch, queries, keys]"
    return ""


def _effect(
    numbers: Numbers, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | str | None
) -> str:
    """Say whether the bug shows on an input, and if not, what kind of input it is."""
    mask = mask_or_none(mask)
    weights, outputs = attention(numbers, "", BUG_SIZES["embed_dim"]), []
    for build in (parts.MultiHeadAttention, BrokenMultiHeadAttention):
        with torch.no_grad():
            outputs.append(loaded(build(**BUG_SIZES), weights)(query.double(), key.double(), value.double(), mask)[0])
    right, wrong = outputs
    if (wrong - right).abs().max() > 0.01 * right.abs().max():
        return "gives a wrong output"
    if mask is None:
        return "is right: there is no mask"
    if len(query) == 1:
        return "is right: there is one sequence only"
    if mask.dim() == 2 or (mask == mask[:1]).all():
        return "is right: all sequences have the same mask"
    return "is right: it does not matter which keys are hidden"
