"""What is observed of the components of lesson 11. Sizes are distinct primes where they can be.

The argument that the lesson calls `weights` is called `attention` here: for a probe, weights are those of a module.
"""

from typing import Any

import torch

from workbench.broken.visualizing_attention import broken_show_cross_attention

from ..calling.local import Reply
from ..calling.numbers import Numbers
from ..calling.stubs import Layers, Measure, Translator, View, Words
from . import Component, Observations, kind, probe
from .bugs import is_dense, see_effect, see_fit
from .see import see_all, see_output, unchanged
from .tokens import source_and_target
from .weights import anew, encoder_decoder

SIZES: dict[str, Any] = dict(
    source_vocab_size=11,
    target_vocab_size=13,
    embed_dim=6,
    num_heads=3,
    ff_dim=7,
    encoder_layers=1,
    decoder_layers=2,
    max_len=19,
    pad_id=3,
    bos_id=5,
)
NAMES = "encoder", "decoder", "cross"


def table(numbers: Numbers, *shape: int, causal: bool = False) -> torch.Tensor:
    """Return weights of this shape: positive, each row with sum 1; with `causal`, 0 for later keys."""
    weights = numbers.tensor(*shape, low=0.0, high=2.0).square() + 1 / 64
    weights = weights.tril() if causal else weights
    return weights / weights.sum(dim=-1, keepdim=True)


# collect_attention


def see_collected(seen: Observations, reply: Reply, label: str = "") -> None:
    """Note how many layers, which shapes and which row sums there are, then all numbers."""
    if isinstance(reply.output, tuple):
        for name, layers in zip(NAMES, reply.output, strict=False):
            sums = [layer.sum(-1) for layer in layers if isinstance(layer, torch.Tensor)]
            is_one = all(torch.allclose(total, torch.ones_like(total), atol=1e-3) for total in sums)
            seen.note(f"rows of {name} sum to 1", "yes" if is_one else "no", reply.given, label)
    see_all(seen, reply, *NAMES, label=label)


def collect(
    component: Component,
    numbers: Numbers,
    build: dict[str, Any],
    batch: int = 3,
    row: int | None = None,
    keys: int = 7,
    queries: int = 5,
    **how: Any,
) -> Reply:
    given = source_and_target(numbers, build, batch=batch, keys=keys, queries=queries)
    model = Translator(build, encoder_decoder(numbers, build))
    row_given: dict[str, Any] = {} if row is None else {"row": row}
    return component(model=model, **given, **row_given, **how)


@probe("collect_attention", "it returns all weights of one sentence, without dropout, one tensor per layer")
def weights_of_a_sentence_come_out(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES, "source_vocab_size", "target_vocab_size", "ff_dim", "max_len")
    see_collected(seen, collect(component, numbers, build, batch=1, keys=numbers.axis(7), queries=numbers.axis(5)))


@probe("collect_attention", "encoder and decoder may have any numbers of layers")
def depths_may_differ(component: Component, numbers: Numbers, seen: Observations) -> None:
    for depths in ((1, 3), (3, 1), (2, 2)):
        build = SIZES | dict(encoder_layers=depths[0], decoder_layers=depths[1])
        see_collected(seen, collect(component, numbers, build, batch=1), f"{depths[0]} and {depths[1]} layers")


@probe("collect_attention", "one sentence of a batch is taken")
def one_sentence_is_taken(component: Component, numbers: Numbers, seen: Observations) -> None:
    for row in (None, 0, 1, 2):
        label = "no row given" if row is None else f"row {row}"
        see_collected(seen, collect(component, numbers, SIZES, row=row), label)


@probe("collect_attention", "the given tokens are not changed")
def collecting_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, collect(component, numbers, SIZES))


# show_self_attention

WORDS = ["[CLS]", "the", "cat", "sat", ".", "[SEP]", "[PAD]"]


def see_shown(seen: Observations, reply: Reply, label: str = "") -> None:
    """Note what the view was given, whatever the component returns."""
    seen.note("answer", kind(reply) if reply.fault else "returns", reply.given, label)
    seen.fault = seen.fault or reply.fault
    for name, value in reply.reports.get("view", {}).items():
        seen.note(name, value, reply.given, label)


def stack_of(numbers: Numbers, layers: int, *shape: int, causal: bool = False) -> Layers:
    return Layers([table(numbers, *shape, causal=causal) for _ in range(layers)])


@probe("show_self_attention", "the view gets all layers and heads of one sentence, and a token for each position")
def self_attention_is_shown(component: Component, numbers: Numbers, seen: Observations) -> None:
    heads, time = numbers.axis(2), numbers.size(7, 3, 6)
    for layers in numbers.axes(1, 3):
        attention = stack_of(numbers, layers, 1, heads, time, time)
        see_shown(seen, component(view=View(), attention=attention, tokens=Words(WORDS[:time])), f"{layers} layers")


@probe("show_self_attention", "one sentence of a batch is shown")
def one_sentence_is_shown(component: Component, numbers: Numbers, seen: Observations) -> None:
    for row in (None, 0, 1, 2):
        row_given: dict[str, Any] = {} if row is None else {"row": row}
        reply = component(view=View(), attention=stack_of(numbers, 2, 3, 5, 7, 7), tokens=Words(WORDS), **row_given)
        see_shown(seen, reply, "no row given" if row is None else f"row {row}")


@probe("show_self_attention", "too few or too many tokens cause a ValueError that names both numbers")
def tokens_have_to_fit(component: Component, numbers: Numbers, seen: Observations) -> None:
    for count in (5, 6, 8, 9):
        words = [*WORDS, "[PAD]", "[PAD]"][:count]
        reply = component(view=View(), attention=stack_of(numbers, 2, 1, 2, 7, 7), tokens=Words(words))
        see_shown(seen, reply, f"{count} tokens for 7 positions")
        message = reply.fault.message if reply.fault else ""
        seen.note(
            f"{count} tokens: both numbers are in the message",
            "yes" if str(count) in message and "7" in message else "no",
            reply.given,
        )


@probe("show_self_attention", "the given weights and tokens are not changed")
def showing_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = component(view=View(), attention=stack_of(numbers, 2, 3, 5, 7, 7), tokens=Words(WORDS), row=1)
    for name in ("attention", "tokens"):
        seen.note(f"{name} changed in place", reply.reports[name]["changed"], reply.given)


# show_encoder_decoder

SOURCE = ["<cls>", "3", "may", "79", "<eos>"]
TARGET = ["7", "9", "-", "5", "-", "3", "<eos>"]


def show_all(
    component: Component,
    numbers: Numbers,
    encoder_layers: int,
    decoder_layers: int,
    source: list[str] = SOURCE,
    target: list[str] = TARGET,
    heads: int = 2,
    begin: str = "<bos>",
) -> Reply:
    keys, queries = len(source), len(target)
    return component(
        view=View(),
        encoder=stack_of(numbers, encoder_layers, 1, heads, keys, keys),
        decoder=stack_of(numbers, decoder_layers, 1, heads, queries, queries, causal=True),
        cross=stack_of(numbers, decoder_layers, 1, heads, queries, keys),
        source_tokens=Words(source),
        target_tokens=Words(target),
        bos_token=begin,
    )


@probe("show_encoder_decoder", "each kind is shown once, with the words that belong to its rows and columns")
def three_kinds_are_shown(component: Component, numbers: Numbers, seen: Observations) -> None:
    source, target = SOURCE[: numbers.size(5, 2, 4)], TARGET[-numbers.size(7, 3, 6) :]
    begin = ("<bos>", "<s>", "<begin>")[numbers.size(0, 1, 2)]
    see_shown(seen, show_all(component, numbers, 2, 2, source, target, numbers.axis(2), begin))


@probe("show_encoder_decoder", "all layers are shown, even if encoder and decoder have different numbers of layers")
def all_layers_are_shown(component: Component, numbers: Numbers, seen: Observations) -> None:
    for depths in ((1, 3), (3, 1), (2, 3)):
        see_shown(seen, show_all(component, numbers, *depths), f"{depths[0]} and {depths[1]} layers")


@probe("show_encoder_decoder", "the target may be as long as the source, or a single token")
def any_lengths_are_shown(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_shown(seen, show_all(component, numbers, 1, 1, target=TARGET[-5:]), "equal lengths")
    see_shown(seen, show_all(component, numbers, 1, 1, target=TARGET[-1:]), "a target of one token")


@probe("show_encoder_decoder", "the given weights and tokens are not changed")
def showing_all_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = show_all(component, numbers, 2, 2)
    for name in (*NAMES, "source_tokens", "target_tokens"):
        seen.note(f"{name} changed in place", reply.reports[name]["changed"], reply.given)


# The measures

MEASURES = "previous_token_score", "attention_entropy", "attention_distance"


def keys_of(component: Component) -> int:
    """Return how many keys 7 queries have: the entropy is asked of cross-attention, too, all else of self-attention."""
    return 5 if component.name == "attention_entropy" else 7


def see_numbers(seen: Observations, reply: Reply, label: str = "") -> None:
    """Note the number of each table of weights."""
    see_output(seen, reply, label, "number of each table")


@probe(MEASURES, "one table of weights gives one number")
def a_table_gives_a_number(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_numbers(seen, component(attention=table(numbers, *numbers.axes(7, keys_of(component)))))


@probe(MEASURES, "each head of each sentence gives its own number, with any leading axes")
def leading_axes_stay(component: Component, numbers: Numbers, seen: Observations) -> None:
    for leading in ((3,), (2, 3), (2, 1, 3)):
        weights = table(numbers, *numbers.axes(*leading, 7, keys_of(component)))
        see_numbers(seen, component(attention=weights), f"{len(leading) + 2} axes")


@probe(MEASURES, "keys with a weight of 0 do no harm")
def zeros_are_nothing_special(component: Component, numbers: Numbers, seen: Observations) -> None:
    keys = keys_of(component)
    see_numbers(seen, component(attention=table(numbers, 2, 3, keys, keys, causal=True)), "causal")
    if keys == 7:
        # With sharp rows a distance or a score is a whole number.
        see_numbers(seen, component(attention=torch.eye(7)[numbers.permutation(7)].expand(2, 7, 7)), "all on one key")
    else:
        sharp = torch.eye(5)[[*numbers.permutation(5), 0, 2]].clone()
        sharp[0, :] = 0.2
        see_numbers(seen, component(attention=sharp.expand(2, 7, 5)), "all on one key but for a row")


@probe(MEASURES, "there may be only two positions, or as many heads as positions")
def sizes_are_nothing_special(component: Component, numbers: Numbers, seen: Observations) -> None:
    for shape in ((3, 2, 2), (5, 5, 5), (5, 5, 5, 5)):
        see_numbers(seen, component(attention=table(numbers, *shape)), f"weights {list(shape)}")


@probe(MEASURES, "the given weights are not changed")
def measuring_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = numbers.axes(2, 3, 7, keys_of(component))
    unchanged(seen, component(attention=table(numbers, *sizes, causal=True)))


@probe(MEASURES, "dtype and device are those of the weights")
def measures_follow_the_weights(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = table(numbers, *numbers.axes(2, 3, 7, keys_of(component)))
    for dtype in (torch.float32, torch.float64):
        reply = component(attention=weights.to(dtype))
        found = reply.output.dtype if isinstance(reply.output, torch.Tensor) else kind(reply)
        seen.note(f"dtype for {dtype}", str(found), reply.given)
    reply = component(attention=weights, device="meta")
    seen.note("made on the weights' device", "no" if reply.fault else "yes", reply.given)


# find_heads


def see_heads(seen: Observations, reply: Reply, label: str) -> None:
    for name, value in seen.see(reply, "heads", label=label).items():
        seen.note(name, value, reply.given, label)
        seen.note("whole numbers", "no" if value.is_floating_point() else "yes", reply.given, label)


def ranked(numbers: Numbers, layers: int, batch: int, heads: int, queries: int = 5, keys: int = 7) -> Layers:
    """Return the weights of each layer: heads of clearly different sharpness, in a random order.

    The sharpness of a head differs between sentences, so that a batch is not one long sentence.
    """
    order = numbers.permutation(layers * heads)
    found = []
    for layer in range(layers):
        weights = torch.empty(batch, heads, queries, keys)
        for head in range(heads):
            sharp = 0.15 + 0.7 * order[layer * heads + head] / (layers * heads)
            for sentence in range(batch):
                favourite = torch.eye(keys)[[(numbers.permutation(keys)[0]) for _ in range(queries)]]
                # Far apart in one sentence, and together in the mean.
                here = sharp + 0.1 * (-1) ** sentence if batch % 2 == 0 else sharp
                weights[sentence, head] = here * favourite + (1 - here) / keys
        found.append(weights)
    return Layers(found)


@probe("find_heads", "the head with the largest measure is found, by layer and head")
def the_largest_is_found(component: Component, numbers: Numbers, seen: Observations) -> None:
    queries, keys = numbers.axes(5, 7)
    for usual in ((3, 1, 5), (2, 2, 3), (5, 1, 2), (1, 1, 7), (7, 1, 1)):
        layers, batch, heads = numbers.axes(*usual) if 2 not in usual else usual
        reply = component(attention=ranked(numbers, layers, batch, heads, queries, keys), measure=Measure())
        see_heads(seen, reply, f"{layers} layers, batch {batch}, {heads} heads")


@probe("find_heads", "several heads are sorted from the largest measure to the smallest")
def several_come_in_order(component: Component, numbers: Numbers, seen: Observations) -> None:
    for count in (1, 4, 15):
        reply = component(attention=ranked(numbers, 3, 1, 5), measure=Measure(), count=count)
        see_heads(seen, reply, f"count {count}")


@probe("find_heads", "a head is measured in each sentence, and the mean over the sentences counts")
def each_sentence_is_measured(component: Component, numbers: Numbers, seen: Observations) -> None:
    # Head 0 is sharp in each sentence, but at other keys: the mean of its tables is flat. Head 1 is sharp in
    # the first sentence only, head 2 fairly sharp in the second, head 3 is never sharp.
    layers = []
    for layer in range(3):
        sharpness = torch.tensor([[0.7, 0.95, 0.1, 0.3], [0.7, 0.2, 0.9, 0.3]]) - 0.03 * layer
        keys = torch.tensor([[0, 1, 2, 3], [4, 1, 2, 3]])
        favourite = torch.eye(7)[(keys + numbers.permutation(3)[0]) % 7].unsqueeze(2)
        here = sharpness[:, :, None, None]
        layers.append((here * favourite + (1 - here) / 7).expand(2, 4, 5, 7))
    reply = component(attention=Layers(layers), measure=Measure(), count=5)
    see_heads(seen, reply, "two sentences")


@probe("find_heads", "the given weights are not changed")
def finding_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = component(attention=ranked(numbers, 3, 1, 5), measure=Measure(), count=2)
    seen.note("weights changed in place", reply.reports["attention"]["changed"], reply.given)


# view_bug_input: the learner supplies a table of weights, the probe lets the broken function show it

LONGEST = 20


@probe("view_bug_input", "you return cross-attention of one sentence, of shape [1, heads, queries, keys]")
def bug_weights_fit(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit)


@probe("view_bug_input", "broken_show_cross_attention shows it wrongly")
def bug_weights_show_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_effect(seen, "broken_show_cross_attention on your weights", component(), _misfit, _effect)


def _misfit(weights: Any) -> str:
    """Return what is wrong with weights that a learner supplied, or nothing."""
    if not isinstance(weights, torch.Tensor):
        return "is not a tensor"
    if not weights.is_floating_point() or not is_dense(weights):
        return "the weights have to be floating point numbers"
    if weights.dim() != 4 or len(weights) != 1:
        return "the weights have to be [1, heads, queries, keys]"
    if not all(0 < size <= LONGEST for size in weights.shape):
        return f"no axis may be empty or longer than {LONGEST}"
    weights = weights.double()
    # NaN is neither above nor below anything.
    if not ((weights >= 0) & (weights <= 1.001)).all() or not ((weights.sum(-1) - 1).abs() < 0.01).all():
        return "weights are from 0 to 1, and each row sums to 1"
    return ""


def _effect(weights: torch.Tensor) -> str:
    """Say whether the bug shows on weights, and if not, what kind of weights they are."""
    weights = weights.double()
    queries, keys = weights.shape[-2:]
    shown: list[torch.Tensor] = []
    broken_show_cross_attention(
        lambda cross_attention, **words: shown.extend(cross_attention),
        [weights],
        [f"source {number}" for number in range(keys)],
        [f"target {number}" for number in range(queries)],
        "<bos>",
    )
    if shown[0].shape != weights.shape or (shown[0] - weights).abs().max() > 0.01:
        return "shows other weights"
    if queries != keys:
        return "is right: source and target have different lengths"
    if queries == 1:
        return "is right: there is one token on either side"
    return "is right: the table reads the same when rows and columns are exchanged"
