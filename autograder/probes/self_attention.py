"""What is observed of the components of lesson 6. Sizes are distinct primes, or all equal, where each tells more."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from workbench import parts
from workbench.broken.self_attention import BrokenSelfAttention

from ..calling.local import Reply
from ..calling.numbers import Numbers
from . import Component, Observations, forbid, probe
from .bugs import INTEGERS, loaded, see_effect, see_fit
from .see import (
    EXTREMES,
    LIBRARY_ATTENTION,
    device_and_dtype,
    first,
    half_precision,
    library_calls,
    made_elsewhere,
    see_attention,
    see_each_projection,
    see_gradients_of_projections,
    unchanged,
)
from .weights import anew, linear

BOTH = ("SelfAttention", "RelativeSelfAttention")  # much the same is asked of both

forbid(BOTH, *LIBRARY_ATTENTION)

SIZES = {
    "SelfAttention": dict(embed_dim=11, head_dim=7),
    "RelativeSelfAttention": dict(embed_dim=11, head_dim=7, max_distance=2),
}
EQUAL = {
    "SelfAttention": dict(embed_dim=5, head_dim=5),
    "RelativeSelfAttention": dict(embed_dim=5, head_dim=5, max_distance=5),
}


def call(numbers: Numbers, build: Mapping[str, Any], batch: int = 3, time: int = 5) -> dict[str, Any]:
    """Return how to build a module, its weights, and its input, as keyword arguments of a call."""
    embed_dim, head_dim = build["embed_dim"], build["head_dim"]
    weights: dict[str, torch.Tensor] = {}
    for name in ("q_proj", "k_proj", "v_proj"):
        weights |= linear(numbers, name, embed_dim, head_dim)
    if "max_distance" in build:
        weights["distance_bias"] = 4 * numbers.tensor(2 * build["max_distance"] + 1, low=-0.5, high=0.5)
    return dict(build=build, weights=weights, x=numbers.tensor(batch, time, embed_dim))


def other_call(numbers: Numbers, name: str) -> dict[str, Any]:
    """Return a call with other sizes, as `Numbers.axis` gives them."""
    build = anew(numbers, SIZES[name], *SIZES[name])
    return call(numbers, build, batch=numbers.axis(3), time=numbers.axis(5))


def agree(one: torch.Tensor | None, other: torch.Tensor | None) -> str:
    """Say whether two outputs are the same."""
    if one is None or other is None or one.shape != other.shape:
        return "there is none to compare"
    return "yes" if torch.allclose(one, other, rtol=1e-3, atol=1e-4) else "no"


@probe(BOTH, "the parameters have the names and shapes of the docstring")
def parameters_are_as_agreed(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = other_call(numbers, component.name)
    see_each_projection(seen, component(**given), given["weights"])


@probe("SelfAttention", "no sequence of the batch sees another one")
def sequences_do_not_meet(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = other_call(numbers, "SelfAttention")
    before = component(**given)
    given["x"] = given["x"].clone()
    given["x"][1] = numbers.tensor(*numbers.axes(5, 11))
    outputs = [first(reply) for reply in (before, component(**given))]
    batch = len(given["x"])
    outputs = [None if output is None or len(output) != batch else output[:3:2] for output in outputs]
    seen.fault = before.fault
    seen.note("the outputs of sequences 0 and 2 stay when sequence 1 is another one", agree(*outputs), before.given)


@probe("SelfAttention", "when positions change places, the outputs change places with them")
def order_is_unknown(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = call(numbers, SIZES["SelfAttention"])
    before = component(**given)
    order = [3, 0, 4, 1, 2]
    given["x"] = given["x"][:, order]
    outputs = list(map(first, (before, component(**given))))
    if outputs[0] is not None and outputs[0].dim() > 1 and outputs[0].shape[1] == 5:
        outputs[0] = outputs[0][:, order]
    seen.fault = before.fault
    seen.note("the outputs change places with the positions", agree(*outputs), before.given)


@probe(BOTH, "each output is the mean of the projected values, weighted by softmax of the scores")
def positions_attend_to_positions(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_attention(seen, component(**other_call(numbers, component.name)))


@probe(BOTH, "a key that the mask hides has no influence")
def hidden_keys_have_no_influence(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = other_call(numbers, component.name)
    for shape in ((5, 5), (3, 1, 5), (3, 5, 5)):
        mask = numbers.mask(*numbers.axes(*shape))
        see_attention(seen, component(**given, mask=mask), mask, f"mask {list(mask.shape)}")


@probe(BOTH, "a query that may attend to nothing gets weights and output of exactly 0, and no NaN in the gradients")
def empty_rows_get_zero_weights(component: Component, numbers: Numbers, seen: Observations) -> None:
    mask = numbers.mask(*numbers.axes(5, 5))
    mask[1] = False
    reply = component(**other_call(numbers, component.name), mask=mask, gradients=True)
    see_attention(seen, reply, mask)
    seen.gradient("gradient of x", reply.gradients.get("x"), reply.given)
    seen.through(reply)


@probe(BOTH, "scores may be of any size, and those of hidden keys as well")
def scores_of_any_size_do_no_harm(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = call(numbers, SIZES[component.name])
    # All queries are alike, and the first feature of x is added to each feature of the key: it sets the score.
    weights = given["weights"]
    weights["q_proj.weight"].zero_()
    weights["q_proj.bias"].fill_(1.0)
    weights["k_proj.weight"][:, 0] = 1.0
    for label, all_keys, hidden_keys in EXTREMES:
        mask = numbers.mask(1, 5)
        given["x"][..., 0] = all_keys + ~mask[0] * hidden_keys
        see_attention(seen, component(**given, mask=mask), mask, label)


@probe(BOTH, "all sizes may be equal")
def equal_sizes_are_nothing_special(component: Component, numbers: Numbers, seen: Observations) -> None:
    size, equal = numbers.axis(5), EQUAL[component.name]
    given = call(numbers, anew(numbers, equal, *equal), batch=size, time=size)
    see_attention(seen, component(**given), label="no mask")
    for shape in ((size, size), (size, 1, size)):
        mask = numbers.mask(*shape)
        see_attention(seen, component(**given, mask=mask), mask, f"mask {list(shape)}")


@probe(BOTH, "a sequence may have any length")
def any_length_is_welcome(component: Component, numbers: Numbers, seen: Observations) -> None:
    build, (batch, *times) = anew(numbers, SIZES[component.name], "embed_dim"), numbers.axes(2, 1, 2, 17)
    given = call(numbers, build, batch=batch, time=times[-1])
    for time in times:
        reply = component(**given | {"x": given["x"][:, :time]})
        see_attention(seen, reply, label=f"{time} position{'s' * (time > 1)}")


@probe(BOTH, "gradients reach x and all parameters")
def gradients_reach_everything(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_gradients_of_projections(seen, component(**other_call(numbers, component.name), gradients=True))


@probe(BOTH, "the arguments are not changed")
def modules_change_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(**other_call(numbers, component.name), mask=numbers.mask(*numbers.axes(3, 5, 5))))


@probe(BOTH, "dtype and device are those of x")
def modules_follow_x(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = other_call(numbers, component.name)
    device_and_dtype(seen, component, **given, mask=numbers.mask(*numbers.axes(5, 5)))
    half_precision(seen, component, **given, mask=numbers.mask(*numbers.axes(5, 5)))


@probe(BOTH, "it makes no library call that the exercise forbids")
def modules_call_no_library_attention(component: Component, numbers: Numbers, seen: Observations) -> None:
    library_calls(seen, component, **other_call(numbers, component.name), mask=numbers.mask(*numbers.axes(5, 5)))


# RelativeSelfAttention


@probe("RelativeSelfAttention", "if all queries are 0, the distance alone decides the weights")
def distance_alone(component: Component, numbers: Numbers, seen: Observations) -> None:
    for max_distance in (1, 3):
        build = dict(embed_dim=3, head_dim=2, max_distance=max_distance)
        given = call(numbers, build, batch=2, time=7)
        for name in ("q_proj.weight", "q_proj.bias"):
            given["weights"][name].zero_()
        see_attention(seen, component(**given), label=f"max_distance {max_distance}")


@probe("RelativeSelfAttention", "at first the distance counts nothing: distance_bias begins with zeros")
def bias_begins_with_zeros(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = other_call(numbers, "RelativeSelfAttention")
    del given["weights"]["distance_bias"]
    see_attention(seen, component(**given, as_made=True))


@probe("RelativeSelfAttention", "sequences may be shorter than max_distance")
def short_sequences(component: Component, numbers: Numbers, seen: Observations) -> None:
    for max_distance in (5, 11):
        build = dict(embed_dim=3, head_dim=2, max_distance=max_distance)
        see_attention(seen, component(**call(numbers, build)), label=f"max_distance {max_distance}")


# padding_mask


def token_ids(numbers: Numbers, lengths: Sequence[int], pad_id: int, first: int = 0, time: int = 7) -> torch.Tensor:
    """Return [len(lengths), time] ids below 11: real ones from place `first` on, padding before and after.

    lengths  how many real tokens each sequence has, at most ten
    """
    tokens = torch.full((len(lengths), time), pad_id)
    others = [token for token in range(11) if token != pad_id]
    for row, length in zip(tokens, lengths, strict=True):
        order = numbers.permutation(len(others))
        row[first : first + length] = torch.tensor([others[place] for place in order[:length]], dtype=torch.long)
    return tokens


def see_mask(seen: Observations, reply: Reply, label: str) -> None:
    """Note a mask: its dtype, and where it is True."""
    found = seen.see(reply, "mask", label=label)
    if found:
        seen.note("dtype of the mask", str(found["mask"].dtype).removeprefix("torch."), reply.given, label)
        seen.note("mask, True as 1", found["mask"].double(), reply.given, label)


@probe("padding_mask", "the mask is True for every key that is not padding, the same for all queries")
def padding_is_hidden(component: Component, numbers: Numbers, seen: Observations) -> None:
    time = numbers.size(7, 8, 13)
    for pad_id in (0, 4, 10):
        reply = component(tokens=token_ids(numbers, (5, 2, min(time, 10)), pad_id, time=time), pad_id=pad_id)
        see_mask(seen, reply, f"pad_id {pad_id}")


@probe("padding_mask", "padding may stand in front of the tokens, or between them")
def padding_stands_anywhere(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = token_ids(numbers, (4, 2, 3), 4, first=3)
    see_mask(seen, component(tokens=tokens, pad_id=4), "padding in front")
    tokens = token_ids(numbers, (7, 6, 5), 4)
    tokens[:, 2] = 4
    see_mask(seen, component(tokens=tokens, pad_id=4), "padding in the middle")


@probe("padding_mask", "a sequence may be all padding, or have none")
def all_padding_or_none(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_mask(seen, component(tokens=token_ids(numbers, (0, 7), 3), pad_id=3), "one of each")
    see_mask(seen, component(tokens=token_ids(numbers, (7, 7), 3), pad_id=3), "no padding")


@probe("padding_mask", "there may be as many sequences as keys, or a single sequence")
def other_batches(component: Component, numbers: Numbers, seen: Observations) -> None:
    for lengths in ((7, 6, 5, 4, 3, 2, 1), (5,)):
        reply = component(tokens=token_ids(numbers, lengths, 2), pad_id=2)
        see_mask(seen, reply, f"batch {len(lengths)}")


@probe("padding_mask", "the tokens are not changed, and the mask is made on their device")
def mask_follows_the_tokens(component: Component, numbers: Numbers, seen: Observations) -> None:
    given: dict[str, Any] = dict(tokens=token_ids(numbers, (5, 2, 7), 4), pad_id=4)
    unchanged(seen, component(**given))
    reply = component(**given, device="meta")
    elsewhere = not reply.output.is_meta if isinstance(reply.output, torch.Tensor) else made_elsewhere(reply)
    seen.note("the mask is made on", "another device" if elsewhere else "the device of the tokens", reply.given)


# self_attention_bug_input: the learner supplies tokens, the probe runs the broken module and a right one on them

IDS = 10  # token ids from 0, which is padding, to 9


@probe("self_attention_bug_input", "you return token ids of shape [batch, time]")
def bug_tokens_fit(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit)


@probe("self_attention_bug_input", "the broken self-attention gives a wrong output for a real token")
def bug_tokens_show_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_effect(seen, "BrokenSelfAttention on your tokens", component(), _misfit, lambda given: _effect(given.long()))


def _misfit(tokens: Any) -> str:
    """Return what is wrong with token ids, or nothing."""
    if not isinstance(tokens, torch.Tensor):
        return "is not a tensor"
    if tokens.dtype not in INTEGERS:
        return "the ids have to be integers"
    if tokens.dim() != 2:
        return "the tokens have to have two axes, batch and time"
    if not 0 < tokens.shape[0] <= 100 or not 0 < tokens.shape[1] <= 100:
        return "there have to be 1 to 100 sequences of 1 to 100 tokens"
    if tokens.min() < 0 or tokens.max() >= IDS:
        return f"the ids have to be from 0 to {IDS - 1}"
    return ""


def _effect(tokens: torch.Tensor) -> str:
    """Say whether the bug shows on tokens, and if not, what kind of tokens they are.

    Every visible key gets the same weight, and the value of a token is a one-hot vector: an output is the share
    of each id among what is seen. Other projections show the bug for the same tokens.
    """
    x = F.one_hot(tokens, IDS).double()
    zeros, ones = torch.zeros(IDS, IDS), torch.eye(IDS)
    state = {f"{name}.weight": ones if name == "v_proj" else zeros for name in ("q_proj", "k_proj", "v_proj")}
    state |= {name.replace("weight", "bias"): torch.zeros(IDS) for name in state}
    outputs = []
    for build in (parts.SelfAttention, BrokenSelfAttention):
        with torch.no_grad():
            outputs.append(loaded(build(IDS, IDS), state)(x, parts.padding_mask(tokens, 0))[0])
    real = tokens != 0
    if (outputs[0] - outputs[1]).abs()[real].gt(0.001).any():
        return "gives a wrong output"
    return f"is right: {_harmless(real)}"


def _harmless(real: torch.Tensor) -> str:
    """Say why the keys that are left out do no harm.

    real  boolean [batch, time]: True where a token is no padding
    """
    lengths = real.sum(dim=1)
    ends = (real * torch.arange(1, real.shape[1] + 1)).amax(dim=1)  # the place after the last real token
    if not real.any():
        return "there is no real token whose output could be wrong"
    if real.all():
        return "nothing is padding"
    if (ends == lengths).all():
        return "all padding stands at the end"
    if lengths.max() == real.shape[1]:
        return "one sequence has no padding"
    if ends.max() <= lengths.max():
        return "no real token stands where keys are left out"
    return "the tokens left out are like those that stay"
