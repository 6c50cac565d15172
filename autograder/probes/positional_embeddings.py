"""What is observed of the components of lesson 10. Positions stay small, where every way to compute an angle agrees."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from workbench import parts
from workbench.broken.positional_embeddings import BrokenEmbedding

from ..calling.local import Reply
from ..calling.numbers import Numbers
from . import Component, Observations, kind, probe
from .bugs import INTEGERS, is_ordinary, see_effect, see_fit
from .see import (
    device_and_dtype,
    dtype_of,
    half_precision,
    listed,
    on_their_device,
    see_each_parameter,
    see_output,
    settled,
    unchanged,
    with_weights,
)
from .tokens import token_ids


def see_refusal(seen: Observations, reply: Reply, *sizes: int, label: str) -> None:
    """Note whether a call was refused with a ValueError that names the sizes."""
    seen.note("answer", kind(reply), reply.given, label)
    named = re.findall(r"\d+", reply.fault.message) if reply.fault else []
    missing = [str(size) for size in sizes if str(size) not in named]
    seen.note("sizes that the message leaves out", ", ".join(missing) or "none", reply.given, label)
    if reply.fault and reply.fault.type != "ValueError":
        seen.fault = seen.fault or reply.fault


# sinusoidal_encoding


@probe("sinusoidal_encoding", "even columns are sines and odd columns cosines, slower from pair to pair")
def waves_fill_the_table(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = (
        (numbers.size(5, 4, 30), 2 * numbers.size(2, 2, 5)),
        (numbers.size(7, 5, 30), 2 * numbers.size(3, 6, 10)),
    )
    for max_len, embed_dim in sizes:
        see_output(seen, component(max_len=max_len, embed_dim=embed_dim), label=f"{max_len} x {embed_dim}")


@probe("sinusoidal_encoding", "two features are one pair, whose frequency is 1")
def one_pair_is_enough(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_output(seen, component(max_len=numbers.size(3, 3, 30), embed_dim=2))


@probe("sinusoidal_encoding", "position 0 comes first: its sines are 0 and its cosines are 1")
def waves_begin_at_position_zero(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_output(seen, component(max_len=1, embed_dim=2 * numbers.size(7, 3, 20)))


@probe("sinusoidal_encoding", "there may be as many positions as features")
def square_tables_are_nothing_special(component: Component, numbers: Numbers, seen: Observations) -> None:
    size = 2 * numbers.size(3, 2, 12)
    see_output(seen, component(max_len=size, embed_dim=size))


@probe("sinusoidal_encoding", "the dot product of two rows depends on their distance only")
def waves_know_distances(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = component(max_len=numbers.size(11, 5, 30), embed_dim=2 * numbers.size(5, 3, 12))
    table = seen.see(reply, "table").get("table")
    if table is not None and table.dim() == 2:
        table = table.double()
        for distance in (0, 2):
            products = (table[: len(table) - distance] * table[distance:]).sum(-1)
            seen.note(f"dot products at distance {distance}", products, reply.given)


@probe("sinusoidal_encoding", "an odd embed_dim causes a ValueError that names it")
def odd_width_of_waves_is_refused(component: Component, numbers: Numbers, seen: Observations) -> None:
    for embed_dim in (2 * numbers.size(3, 1, 5) + 1, 2 * numbers.size(6, 6, 20) + 1):
        see_refusal(seen, component(max_len=5, embed_dim=embed_dim), embed_dim, label=f"embed_dim {embed_dim}")


@probe("sinusoidal_encoding", "the table is float32")
def waves_have_the_default_dtype(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = component(max_len=5, embed_dim=4)
    dtype = str(reply.output.dtype) if isinstance(reply.output, torch.Tensor) else kind(reply)
    seen.note("dtype of the table", dtype, reply.given)


# LearnedPositionalEmbedding


def learned(
    component: Component,
    numbers: Numbers,
    batch: int = 2,
    time: int = 5,
    embed_dim: int = 3,
    max_len: int = 7,
    **how: Any,
) -> Reply:
    """Call a learned positional embedding, with sizes as `Numbers.axis` gives them for these."""
    batch, time, embed_dim, max_len = numbers.axes(batch, time, embed_dim, max_len)
    return added(component, numbers.tensor(batch, time, embed_dim), numbers.tensor(max_len, embed_dim), **how)


def added(component: Component, x: torch.Tensor, weight: torch.Tensor, **how: Any) -> Reply:
    """Call a learned positional embedding with these numbers in its table, whatever that is called."""
    build = dict(zip(("max_len", "embed_dim"), weight.shape, strict=True))
    return with_weights(
        lambda weights: component(x=x, build=build, weights=weights, **how), {"weight": weight}, lambda _: "weight"
    )


@probe("LearnedPositionalEmbedding", "its only parameter is `weight`, one row per position")
def learned_table_is_a_parameter(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_each_parameter(seen, learned(component, numbers), {"weight": numbers.axes(7, 3)})


@probe("LearnedPositionalEmbedding", "the rows start at numbers of their own")
def learned_rows_start_at_random(component: Component, numbers: Numbers, seen: Observations) -> None:
    max_len, embed_dim = numbers.axes(7, 3)
    build = {"max_len": max_len, "embed_dim": embed_dim}
    reply = component(x=torch.zeros(1, max_len, embed_dim), build=build, as_made=True)
    for output in seen.see(reply, "output").values():
        several = len(output.unique()) > output.numel() / 2
        seen.note("the rows start", "at numbers of their own" if several else "alike", reply.given)


@probe("LearnedPositionalEmbedding", "each position of each sequence gets its own row added")
def learned_rows_are_added(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_output(seen, learned(component, numbers))


@probe("LearnedPositionalEmbedding", "any batch and any length up to max_len are accepted")
def learned_rows_fit_every_length(component: Component, numbers: Numbers, seen: Observations) -> None:
    for batch, time in ((1, 5), (5, 2), (3, 7), (11, 1)):
        reply = learned(component, numbers, batch, time)
        see_output(seen, reply, label=f"batch {numbers.axis(batch)}, time {numbers.axis(time)}")
    see_output(seen, learned(component, numbers, 5, 5, 5, 5), label="all sizes equal")


@probe("LearnedPositionalEmbedding", "a sequence longer than max_len causes a ValueError that names both lengths")
def learned_table_has_an_end(component: Component, numbers: Numbers, seen: Observations) -> None:
    max_len = numbers.axis(7)
    for usual in (8, 14):
        reply, time = learned(component, numbers, time=usual), numbers.axis(usual)
        see_refusal(seen, reply, time, max_len, label=f"time {time}, max_len {max_len}")


@probe("LearnedPositionalEmbedding", "gradients reach x and the rows that were used")
def learned_rows_get_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    seen.gradients(learned(component, numbers, gradients=True))


@probe("LearnedPositionalEmbedding", "x is not changed")
def learned_rows_change_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, learned(component, numbers))


@probe("LearnedPositionalEmbedding", "dtype and device are those of x")
def learned_rows_follow_x(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = dict(x=numbers.tensor(*numbers.axes(2, 5, 3)), weight=numbers.tensor(*numbers.axes(7, 3)))
    device_and_dtype(seen, lambda **how: added(component, **how), dtype_of, **given)
    half_precision(seen, lambda **how: added(component, **how), dtype_of, **given)


# TransformerEmbedding

KINDS = ("sinusoidal", "learned")


def sizes(numbers: Numbers) -> tuple[int, int, int]:
    """Return vocab_size, embed_dim and max_len, as `Numbers.axis` gives them."""
    vocab_size, half, max_len = numbers.axes(13, 3, 7)
    return vocab_size, 2 * half, max_len


def some_tokens(numbers: Numbers, batch: int = 2, time: int = 5) -> torch.Tensor:
    """Return tokens, none of which is 0: what a model makes of its padding is its own business."""
    return token_ids(numbers, *numbers.axes(batch, time), low=1, high=sizes(numbers)[0])


def token_table(numbers: Numbers) -> torch.Tensor:
    """Return one row for each token."""
    vocab_size, embed_dim, _ = sizes(numbers)
    return numbers.tensor(vocab_size, embed_dim)


def embedding(
    component: Component,
    numbers: Numbers,
    tokens: torch.Tensor,
    table: torch.Tensor,
    positions: str | None,
    rows: torch.Tensor | None = None,
    dropout: float | None = None,
    **how: Any,
) -> Reply:
    """Call a transformer embedding with this token table and, if it is learned, with these rows of positions.

    The name of the position's entry is only known to begin with "position", so the first call asks for it.
    """
    build: dict[str, Any] = dict(zip(("vocab_size", "embed_dim", "max_len"), sizes(numbers), strict=True))
    build |= {name: value for name, value in (("positions", positions), ("dropout", dropout)) if value is not None}

    def call(weights: Mapping[str, torch.Tensor], **how: Any) -> Reply:
        if rows is not None and (name := rows_entry(component(tokens=tokens, build=build, weights=weights), numbers)):
            weights = {**weights, name: rows}
        return component(tokens=tokens, build=build, weights=weights, **how)

    return with_weights(lambda weights: call(weights, **how), {"token.weight": table}, lambda _: "token.weight")


def position_entry(reply: Reply, numbers: Numbers) -> str | None:
    """Return the name of the state-dict entry that holds the positions, or None."""
    return next((name for name in _of_shape(reply, numbers) if name.startswith("position")), None)


def rows_entry(reply: Reply, numbers: Numbers) -> str | None:
    """Return the same, or the name of the only entry that could hold the positions, whatever it is called."""
    others = _of_shape(reply, numbers)
    return position_entry(reply, numbers) or (others[0] if len(others) == 1 else None)


def _of_shape(reply: Reply, numbers: Numbers) -> list[str]:
    """Return the names of all state-dict entries of [max_len, embed_dim]."""
    _, embed_dim, max_len = sizes(numbers)
    return [name for name, shape in reply.shapes.items() if shape == [max_len, embed_dim]]


def _elsewhere(reply: Reply, numbers: Numbers) -> str:
    _, embed_dim, max_len = sizes(numbers)
    other = any(
        torch.Size(shape).numel() == max_len * embed_dim and name != "token.weight"
        for name, shape in reply.shapes.items()
    )
    return "under another name, or of another shape" if other else "missing"


def given(numbers: Numbers, positions: str, batch: int = 2, time: int = 5) -> dict[str, Any]:
    """Return tokens, a token table, the kind of positions and, if it is learned, their rows, as keyword arguments."""
    tokens, table = some_tokens(numbers, batch, time), token_table(numbers)
    _, embed_dim, max_len = sizes(numbers)
    rows = numbers.tensor(max_len, embed_dim)
    return dict(tokens=tokens, table=table, positions=positions, rows=rows if positions == "learned" else None)


def see_sum(
    seen: Observations, reply: Reply, tokens: torch.Tensor, table: torch.Tensor, label: str, **_: object
) -> None:
    """Note what was added to the tokens' rows, and the whole output."""
    output = seen.see(reply, "output", label=label).get("output")
    rows = table[tokens]
    if output is not None and output.shape == rows.shape:
        seen.note("what is added to the tokens' rows", settled(output.to(rows) - rows), reply.given, label)
    if output is not None:
        seen.note("output", output, reply.given, label)


@probe("TransformerEmbedding", "the state dict holds `token.weight` and one table `position...`, trained if learned")
def embedding_has_two_tables(component: Component, numbers: Numbers, seen: Observations) -> None:
    for positions in KINDS:
        reply = embedding(component, numbers, some_tokens(numbers), token_table(numbers), positions)
        shape, name = reply.shapes.get("token.weight"), position_entry(reply, numbers)
        others = [one for one in reply.trained if one not in ("token.weight", name)]
        for what, value in {
            "answer": kind(reply),
            "token.weight in the state dict": "missing" if shape is None else str(shape),
            "token.weight is trained": "yes" if "token.weight" in reply.trained else "no",
            "entry position... of [max_len, embed_dim] in the state dict": "found"
            if name
            else _elsewhere(reply, numbers),
            "entry position... is trained": "yes" if name in reply.trained else "no",
            "other trained parameters": listed(str(reply.shapes[one]) for one in others),
        }.items():
            seen.note(what, value, reply.given, positions)
        seen.fault = seen.fault or reply.fault


@probe("TransformerEmbedding", "the output is the tokens' rows plus the positions' rows")
def embedding_is_a_sum(component: Component, numbers: Numbers, seen: Observations) -> None:
    for positions in KINDS:
        some = given(numbers, positions)
        see_sum(seen, embedding(component, numbers, **some), label=positions, **some)


@probe("TransformerEmbedding", "positions are sinusoidal by default")
def embedding_has_its_defaults(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, table = some_tokens(numbers), token_table(numbers)
    reply = embedding(component, numbers, tokens, table, None, training=True)
    see_sum(seen, reply, tokens, table, label="training mode")


@probe("TransformerEmbedding", "any batch and any length up to max_len are accepted")
def embedding_fits_every_length(component: Component, numbers: Numbers, seen: Observations) -> None:
    for positions in KINDS:
        for batch, time in ((1, 5), (5, 5), (3, 7), (11, 1)):
            some = given(numbers, positions, batch, time)
            label = f"{positions}, batch {numbers.axis(batch)}, time {numbers.axis(time)}"
            see_output(seen, embedding(component, numbers, **some), label=label)


@probe("TransformerEmbedding", "a sequence longer than max_len causes a ValueError that names both lengths")
def embedding_has_an_end(component: Component, numbers: Numbers, seen: Observations) -> None:
    for positions in KINDS:
        for usual in (8, 14):
            reply = embedding(component, numbers, some_tokens(numbers, 2, usual), token_table(numbers), positions)
            time, max_len = numbers.axes(usual, 7)
            see_refusal(seen, reply, time, max_len, label=f"{positions}, time {time}, max_len {max_len}")


@probe("TransformerEmbedding", "dropout acts on the whole sum, in training and not in evaluation")
def embedding_drops_the_sum(component: Component, numbers: Numbers, seen: Observations) -> None:
    for positions in KINDS:
        some = given(numbers, positions)
        for dropout, training in ((1.0, True), (0.5, False), (0.0, True)):
            reply = embedding(component, numbers, dropout=dropout, training=training, **some)
            see_output(seen, reply, f"{positions}, {'training' if training else 'evaluation'} with dropout {dropout}")


@probe("TransformerEmbedding", "with a dropout of 0.5, what is kept in training counts twice, and the rest is 0")
def embedding_makes_up_for_what_is_dropped(component: Component, numbers: Numbers, seen: Observations) -> None:
    for positions in KINDS:
        some = given(numbers, positions, 5)
        training, evaluation = (
            embedding(component, numbers, dropout=0.5, training=mode, **some) for mode in (True, False)
        )
        seen.note("answer", kind(training), training.given, positions)
        becomes = becoming(training.output, evaluation.output)
        seen.note("each number becomes, in training", becomes, training.given, positions)


def becoming(training: Any, evaluation: Any) -> str:
    """Return what dropout has made of the numbers of a tensor."""
    tensors = (training, evaluation)
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors) or training.shape != evaluation.shape:
        return "cannot be told"
    far = evaluation.abs() > 0.1
    factors = training[far] / evaluation[far]
    for words, factor in (("0 or twice as large", 2.0), ("0, or stays as it is", 1.0)):
        if all(((factors - one).abs() < 0.01).any() for one in (0.0, factor)) and (
            torch.minimum(factors.abs(), (factors - factor).abs()).max() < 0.01
        ):
            return words
    return "something else"


@probe("TransformerEmbedding", "the row of every token is trained, that of token 0 as well")
def embedding_trains_every_row(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, table = some_tokens(numbers), token_table(numbers)
    tokens[0, 1], tokens[1, 3] = 0, 0
    reply = embedding(component, numbers, tokens, table, "sinusoidal", gradients=True)
    seen.note("answer", kind(reply), reply.given)
    gradient = reply.gradients.get("weights.token.weight")
    row = None if gradient is None or not gradient.dim() else gradient[0]
    seen.gradient("gradient of the row of token 0", row, reply.given)


@probe("TransformerEmbedding", "gradients reach the token table, and the position table if it is learned")
def embedding_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    for positions in KINDS:
        some = given(numbers, positions)
        reply = embedding(component, numbers, gradients=True, **some)
        seen.note("answer", kind(reply), reply.given, positions)
        for label, name in (("tokens", "token.weight"), ("positions", rows_entry(reply, numbers))):
            seen.gradient(
                f"gradient of the table of {label}", reply.gradients.get(f"weights.{name}"), reply.given, positions
            )


@probe("TransformerEmbedding", "the tokens are not changed")
def embedding_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    for positions in KINDS:
        reply = embedding(component, numbers, some_tokens(numbers), token_table(numbers), positions)
        unchanged(seen, reply, positions)


@probe("TransformerEmbedding", "dtype is that of the parameters, device that of tokens and parameters")
def embedding_follows_its_parameters(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, table = some_tokens(numbers), token_table(numbers)
    for positions in KINDS:
        reply = embedding(component, numbers, tokens, table.double(), positions)
        dtype = str(reply.output.dtype) if isinstance(reply.output, torch.Tensor) else kind(reply)
        seen.note("answer for float64", dtype, reply.given, positions)
        for half in (torch.float16, torch.bfloat16):
            name = str(half).removeprefix("torch.")
            seen.note(
                f"dtype for {name}",
                dtype_of(embedding(component, numbers, tokens, table.to(half), positions)),
                "",
                positions,
            )
        on_their_device(seen, embedding(component, numbers, tokens, table, positions, device="meta"), positions)


# rotary_embedding


def see_turned(seen: Observations, reply: Reply, x: torch.Tensor, label: str) -> None:
    """Note which lengths a rotation has kept, then all numbers."""
    output = seen.see(reply, "output", label=label).get("output")
    if output is not None and output.shape == x.shape:
        seen.note("length of each vector", output.norm(dim=-1), reply.given, label)
        pairs = output.unflatten(-1, (-1, 2)).norm(dim=-1)
        seen.note("length of each pair of neighbouring features", pairs, reply.given, label)
    if output is not None:
        seen.note("output", output, reply.given, label)


@probe("rotary_embedding", "each pair of neighbouring features turns by its position's angle")
def rotary_turns_neighbouring_features(component: Component, numbers: Numbers, seen: Observations) -> None:
    x = numbers.tensor(*numbers.axes(2, 3, 7), 2 * numbers.axis(5))
    see_turned(seen, component(x=x), x, "no positions given")


@probe("rotary_embedding", "the score of a query and a key depends on their distance only")
def rotary_scores_know_distances(component: Component, numbers: Numbers, seen: Observations) -> None:
    query, key = numbers.tensor(1, 6).expand(5, 6), numbers.tensor(1, 6).expand(5, 6)
    at = torch.arange(5)
    for distance in (0, 3):
        replies = component(x=query, positions=at), component(x=key, positions=at + distance)
        outputs = [reply.output for reply in replies]
        if all(isinstance(output, torch.Tensor) and output.shape == query.shape for output in outputs):
            scores = (outputs[0].double() * outputs[1].double()).sum(-1)
            seen.note(f"scores at distance {distance}", scores, replies[0].given)
        else:
            seen.note(f"scores at distance {distance}", ", ".join(map(kind, replies)), replies[0].given)


@probe("rotary_embedding", "positions may begin anywhere and may differ from sequence to sequence")
def rotary_takes_positions(component: Component, numbers: Numbers, seen: Observations) -> None:
    batch, heads, time, half = numbers.axes(2, 3, 5, 3)
    x = numbers.tensor(batch, heads, time, 2 * half)
    order = torch.tensor(numbers.permutation(numbers.axis(13))[:time])
    see_turned(seen, component(x=x, positions=order), x, f"positions [{time}]")
    each = torch.tensor([numbers.permutation(numbers.axis(11))[:time] for _ in range(batch)]).unsqueeze(1)
    see_turned(seen, component(x=x, positions=each), x, f"positions [{batch}, 1, {time}]")
    x = numbers.tensor(batch, 1, 2 * half)
    see_turned(seen, component(x=x, positions=torch.tensor([9])), x, "one position")


@probe("rotary_embedding", "the frequencies are powers of base")
def rotary_uses_its_base(component: Component, numbers: Numbers, seen: Observations) -> None:
    batch, time, half = numbers.axes(2, 7, 5)
    x = numbers.tensor(batch, time, 2 * half)
    see_turned(seen, component(x=x, positions=torch.arange(time), base=100.0), x, "base 100")


@probe("rotary_embedding", "any leading axes and any sizes are accepted")
def rotary_takes_leading_axes(component: Component, numbers: Numbers, seen: Observations) -> None:
    equal = [2 * numbers.axis(2)] * 4
    usual = ((5, 3), (3, 7, 1), (2, 3, 1, 5, 2))
    for shape in (*([*numbers.axes(*leading), 2 * numbers.axis(half)] for *leading, half in usual), equal):
        x = numbers.tensor(*shape)
        see_turned(seen, component(x=x), x, f"x {list(shape)}")


@probe("rotary_embedding", "an odd head_dim causes a ValueError that names it")
def odd_head_dim_is_refused(component: Component, numbers: Numbers, seen: Observations) -> None:
    for head_dim in numbers.axes(7, 13):
        see_refusal(
            seen, component(x=numbers.tensor(*numbers.axes(2, 5), head_dim)), head_dim, label=f"head_dim {head_dim}"
        )


@probe("rotary_embedding", "gradients reach x")
def rotary_passes_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    seen.gradients(component(x=numbers.tensor(*numbers.axes(2, 3, 5), 2 * numbers.axis(3)), gradients=True))


@probe("rotary_embedding", "the arguments are not changed")
def rotary_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(
        seen,
        component(
            x=numbers.tensor(*numbers.axes(2, 3, 5), 2 * numbers.axis(3)), positions=torch.arange(numbers.axis(5))
        ),
    )


@probe("rotary_embedding", "dtype and device are those of x")
def rotary_follows_x(component: Component, numbers: Numbers, seen: Observations) -> None:
    device_and_dtype(seen, component, dtype_of, x=numbers.tensor(*numbers.axes(2, 3, 5), 2 * numbers.axis(3)))


@probe("rotary_embedding", "float16 and bfloat16 come back as they came")
def rotary_keeps_half_precision(component: Component, numbers: Numbers, seen: Observations) -> None:
    half_precision(seen, component, dtype_of, x=numbers.tensor(*numbers.axes(2, 3, 5), 2 * numbers.axis(3)))


# position_bug_input: the learner supplies a sequence in two pieces, the probe runs a broken and a right embedding on it

BUG_SIZES: dict[str, Any] = dict(vocab_size=13, embed_dim=6, max_len=8)


@probe("position_bug_input", "before and new are tokens of the same batch")
def bug_input_fits(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit)


@probe("position_bug_input", "BrokenEmbedding gives a wrong output for it")
def bug_input_shows_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_effect(seen, "BrokenEmbedding on your input", component(), _misfit, lambda given: _effect(numbers, *given))


def _misfit(given: Any) -> str:
    """Return what is wrong with a sequence in two pieces, or nothing."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        return "is not (before, new)"
    if not all(is_ordinary(tokens, INTEGERS) and tokens.dim() == 2 for tokens in given):
        return "before and new have to be integers, [batch, time], every size from 1 to 100"
    if not all(0 <= tokens.min() and tokens.max() < BUG_SIZES["vocab_size"] for tokens in given):
        return "tokens are from 0 to 12"
    return "" if len(given[0]) == len(given[1]) else "before and new have to have the same batch"


def _effect(numbers: Numbers, before: torch.Tensor, new: torch.Tensor) -> str:
    """Say whether the bug shows on an input, and if not, what kind of input it is."""
    right = parts.TransformerEmbedding(**BUG_SIZES, positions="learned").eval()
    broken = BrokenEmbedding(**BUG_SIZES)
    sizes = {name: table.shape for name, table in right.state_dict().items()}
    tables = {name: numbers.tensor(*shape) for name, shape in sizes.items()}
    right.load_state_dict(tables)
    broken.load_state_dict(
        {"token.weight" if name == "token.weight" else "position": table for name, table in tables.items()}
    )
    whole, start = torch.cat((before.long(), new.long()), dim=1), before.shape[1]
    try:
        output = broken(new.long(), start=start)
    except ValueError:
        return "is refused: more new tokens than max_len"
    except RuntimeError:
        return "is refused: PyTorch cannot add the rows that are left"
    if whole.shape[1] > BUG_SIZES["max_len"] or not torch.equal(output, right(whole)[:, start:]):
        return "gives a wrong output"
    if whole.shape[1] == BUG_SIZES["max_len"]:
        return "is right: the last token gets the last row"
    return "is right: there is a row for each token, and more"
