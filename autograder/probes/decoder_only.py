"""What is observed of the components of lesson 4. Sizes are distinct primes, so a swapped axis shows."""

from collections.abc import Mapping
from typing import Any

import torch

from workbench import parts
from workbench.broken.decoder_only import broken_repetition_penalty

from ..calling.local import Reply
from ..calling.numbers import Numbers
from ..calling.stubs import Activation, Gpt, RandomGenerator, TextModel
from . import Component, Observations, kind, probe
from .bugs import see_effect, see_fit
from .see import (
    moved,
    on_their_device,
    see_loss,
    see_model,
    see_names,
    unchanged,
)
from .tokens import token_ids
from .weights import anew, doubled, of_model

# next_token_loss


@probe("next_token_loss", "each position predicts the token that follows, and the loss is the mean")
def loss_looks_one_token_ahead(component: Component, numbers: Numbers, seen: Observations) -> None:
    batch, time, vocab_size = numbers.axes(3, 7, 11)
    logits, tokens = numbers.tensor(batch, time, vocab_size), token_ids(numbers, batch, time, high=vocab_size)
    see_loss(seen, component(logits=logits, tokens=tokens, gradients=True))


@probe("next_token_loss", "there may be as many positions, or targets, as tokens in the vocabulary")
def loss_with_equal_sizes(component: Component, numbers: Numbers, seen: Observations) -> None:
    for vocab_size in (6, 7):
        reply = component(
            logits=numbers.tensor(3, 7, vocab_size), tokens=token_ids(numbers, 3, 7, high=vocab_size), gradients=True
        )
        see_loss(seen, reply, f"7 positions, vocabulary of {vocab_size}")


@probe("next_token_loss", "a prediction that is certain and right has a loss of 0")
def loss_of_a_sure_model(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = token_ids(numbers, 2, 5, high=7)
    following = torch.cat([tokens[:, 1:], tokens[:, :1]], dim=1)
    see_loss(seen, component(logits=40.0 * torch.nn.functional.one_hot(following, 7), tokens=tokens))


@probe("next_token_loss", "a target that is padding does not count")
def loss_leaves_padding_out(component: Component, numbers: Numbers, seen: Observations) -> None:
    for pad_id in (5, 0):
        # Sequences of other lengths, and one that is padded in front: there a target follows a padding.
        tokens = 1 + token_ids(numbers, 4, 7, high=4)
        for row, padding in enumerate((slice(2, None), slice(5, None), slice(0, 3), slice(7, None))):
            tokens[row, padding] = pad_id
        reply = component(logits=numbers.tensor(4, 7, 11), tokens=tokens, pad_id=pad_id, gradients=True)
        see_loss(seen, reply, f"pad_id {pad_id}")


@probe("next_token_loss", "without a pad_id every token counts, including token 0")
def loss_without_padding_counts_all(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = token_ids(numbers, 3, 7, high=11)
    tokens[:, 2::2] = 0
    see_loss(seen, component(logits=numbers.tensor(3, 7, 11), tokens=tokens, gradients=True))


@probe("next_token_loss", "the arguments are not changed")
def loss_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(
        seen,
        component(
            logits=numbers.tensor(*numbers.axes(3, 7, 11)),
            tokens=token_ids(numbers, *numbers.axes(3, 7), high=3),
            pad_id=2,
        ),
    )


@probe("next_token_loss", "it works on the device of the inputs")
def loss_follows_the_inputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    on_their_device(
        seen,
        component(
            logits=numbers.tensor(*numbers.axes(3, 7, 11)),
            tokens=token_ids(numbers, *numbers.axes(3, 7), high=11),
            pad_id=2,
            device="meta",
        ),
    )


# LanguageModel

SIZES: dict[str, Any] = dict(vocab_size=11, embed_dim=12, num_heads=3, ff_dim=13, num_layers=2, max_len=7)


def model_weights(numbers: Numbers, build: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return numbers for all parameters of the contract; the tied table stands under both of its names."""
    weights = of_model(numbers, parts.LanguageModel(**build))
    # Far apart, so that another place or another token makes a difference that can be seen.
    weights["embedding.position.weight"] *= 2
    weights["head.weight"] = weights["embedding.token.weight"] = weights["embedding.token.weight"] * 2
    return weights


@probe("LanguageModel", "embedding, decoder and head have the parameters of the contract")
def model_has_its_parameters(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights = model_weights(numbers, build)
    reply = component(tokens=token_ids(numbers, *numbers.axes(3, 5), high=11), build=build, weights=weights)
    seen.answer(reply)
    # Others use the head by its name, generate_with_cache for example: it is there although the table is another's.
    see_names(seen, reply, weights)


@probe("LanguageModel", "tokens go through embedding, decoder and head")
def model_computes(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES)
    weights = model_weights(numbers, build)
    tokens = token_ids(numbers, *numbers.axes(3, 5), high=build["vocab_size"])
    see_model(seen, component(tokens=tokens, build=build, weights=weights))


@probe("LanguageModel", "no position sees a later one")
def model_does_not_see_the_future(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights, tokens = model_weights(numbers, SIZES), token_ids(numbers, 2, 7, high=11)
    other = tokens.clone()
    other[:, 4] = (other[:, 4] + 5) % 11
    before, after = (component(tokens=given, build=SIZES, weights=weights) for given in (tokens, other))
    seen.note("positions whose logits change if token 4 is another", moved(before, after, axes=3), before.given)


@probe("LanguageModel", "the head and the token embedding are one parameter")
def model_is_tied(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = doubled(model_weights(numbers, SIZES))
    reply = component(tokens=token_ids(numbers, 3, 5, high=11), build=SIZES, weights=weights, gradients=True)
    seen.note("answer", kind(reply), reply.given)
    # One parameter goes by either name; of two, each gets its own part of the gradient.
    names = [f"weights.{name}" for name in ("embedding.token.weight", "head.weight")]
    tables = [reply.gradients[name] for name in names if name in reply.gradients]
    seen.note("tables", str(len(tables)), reply.given)
    seen.gradient("gradient of the token table", tables[0] if tables else None, reply.given)


@probe("LanguageModel", "the activation is GPT-2's, or the one that was asked for")
def model_passes_the_activation(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, weights = token_ids(numbers, 2, 5, high=11), model_weights(numbers, SIZES)
    # Hidden numbers near 2 to 3, where the activations differ most.
    for index in range(2):
        weights[f"decoder.layers.{index}.feed_forward.up_proj.weight"] *= 4
    for name in ("its own", "tanh", "silu"):
        build = SIZES if name == "its own" else SIZES | dict(activation=Activation(name))
        see_model(seen, component(tokens=tokens, build=build, weights=weights), f"activation {name}")


@probe("LanguageModel", "dropout acts in training only, on the embedding and in the decoder")
def model_drops_in_training(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, weights = token_ids(numbers, 2, 5, high=11), model_weights(numbers, SIZES)
    build = SIZES | dict(dropout=1.0)
    for when, training in (("evaluation", False), ("training, all dropped", True)):
        see_model(seen, component(tokens=tokens, build=build, weights=weights, training=training), when)


@probe("LanguageModel", "one layer or three, one head or four, up to max_len tokens")
def model_comes_in_sizes(component: Component, numbers: Numbers, seen: Observations) -> None:
    for layers, heads, time in ((1, 4, 1), (3, 1, 7)):
        build = SIZES | dict(num_layers=layers, num_heads=heads)
        reply = component(
            tokens=token_ids(numbers, 2, time, high=11), build=build, weights=model_weights(numbers, build)
        )
        see_model(seen, reply, f"{layers} layers, {heads} heads, {time} tokens")


@probe("LanguageModel", "a sequence longer than max_len is refused")
def model_refuses_long_sequences(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = model_weights(numbers, SIZES)
    reply = component(tokens=token_ids(numbers, 2, 8, high=11), build=SIZES, weights=weights)
    seen.note("answer", kind(reply), reply.given)


@probe("LanguageModel", "it works on the device that it was moved to")
def model_follows_its_device(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = component(tokens=token_ids(numbers, 2, 5, high=11), build=SIZES, device="meta")
    on_their_device(seen, reply)


# filter_logits

# Their sums are 0.37, 0.60, 0.76, 0.87, 0.94, 0.98: no limit below lies near one of them, before or after top-k.
SHARES = (0.37, 0.23, 0.16, 0.11, 0.07, 0.04, 0.02)


def rows_of_logits(numbers: Numbers, *leading: int, tokens: int = 7) -> torch.Tensor:
    """Return logits [*leading, tokens] of the probabilities above, in an order and with a constant of each row's own.

    tokens  how many: those beyond 7 have next to no share, each half as much as the one before
    """
    rows = torch.Size(leading).numel()
    shares = torch.tensor([*SHARES, *(0.001 / 2**place for place in range(tokens - len(SHARES)))])
    logits = [shares[numbers.permutation(tokens)].log() + constant for constant in numbers.tensor(rows).tolist()]
    return torch.stack(logits).reshape(*leading, tokens)


def see_filtered(seen: Observations, reply: Reply, label: str) -> None:
    """Note which logits are removed, and the probabilities of what stays."""
    for value in seen.see(reply, "logits", label=label).values():
        seen.note("removed", (value == -torch.inf).float(), reply.given, label)
        seen.note("probabilities", value.double().softmax(-1), reply.given, label)


def settings(temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> dict[str, Any]:
    """Return the arguments of filter_logits after the logits, in order."""
    return dict(temperature=temperature, top_k=top_k, top_p=top_p)


@probe("filter_logits", "settings that filter nothing leave the logits unchanged")
def filter_keeps_all(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_filtered(seen, component(logits=rows_of_logits(numbers, 3), **settings()), "defaults")
    # Eight equal probabilities add up to 1 exactly; of others, rounding decides whether their sum is beyond 1.
    equal = numbers.tensor(3, 1).expand(3, 8)
    see_filtered(seen, component(logits=equal, **settings(top_p=1.0)), "top_p 1.0")


@probe("filter_logits", "logits are divided by the temperature")
def filter_has_a_temperature(component: Component, numbers: Numbers, seen: Observations) -> None:
    for temperature in (0.5, 3.0):
        logits = rows_of_logits(numbers, numbers.axis(3), tokens=numbers.axis(7))
        reply = component(logits=logits, **settings(temperature))
        see_filtered(seen, reply, f"temperature {temperature}")


@probe("filter_logits", "top_k keeps the k largest of each row")
def filter_keeps_the_top_k(component: Component, numbers: Numbers, seen: Observations) -> None:
    for top_k in (1, 3, 6):
        logits = rows_of_logits(numbers, numbers.axis(3), tokens=numbers.axis(7))
        see_filtered(seen, component(logits=logits, **settings(top_k=top_k)), f"top_k {top_k}")


@probe("filter_logits", "a top_k as large as the vocabulary, or larger, keeps all")
def filter_with_a_large_top_k(component: Component, numbers: Numbers, seen: Observations) -> None:
    for top_k in (7, 12):
        see_filtered(seen, component(logits=rows_of_logits(numbers, 3), **settings(top_k=top_k)), f"top_k {top_k}")


@probe("filter_logits", "logits equal to the k-th largest are kept")
def filter_keeps_equals(component: Component, numbers: Numbers, seen: Observations) -> None:
    logits = torch.stack([torch.tensor([3.0, 2.0, 2.0, 2.0, 1.0, 0.0, -1.0])[numbers.permutation(7)] for _ in range(3)])
    for top_k in (2, 3):
        see_filtered(seen, component(logits=logits, **settings(top_k=top_k)), f"top_k {top_k}")


@probe("filter_logits", "top_p keeps the likeliest tokens, including the one that reaches the limit")
def filter_keeps_the_top_p(component: Component, numbers: Numbers, seen: Observations) -> None:
    for top_p in (0.2, 0.5, 0.7, 0.9, 0.97):
        see_filtered(seen, component(logits=rows_of_logits(numbers, 3), **settings(top_p=top_p)), f"top_p {top_p}")


@probe("filter_logits", "each row is filtered by its own probabilities")
def filter_treats_each_row(component: Component, numbers: Numbers, seen: Observations) -> None:
    # Of a row that is sure one token stays, of one that is not, several; the unsure row comes first, then the sure one.
    sure = torch.tensor((0.9, 0.05, 0.03, 0.01, 0.006, 0.003, 0.001)).log()
    for label, kinds in (("an unsure row first", (False, True, False)), ("a sure row first", (True, False, True))):
        rows = [sure[numbers.permutation(7)] if one else rows_of_logits(numbers, 1)[0] for one in kinds]
        see_filtered(seen, component(logits=torch.stack(rows), **settings(top_p=0.7)), label)


@probe("filter_logits", "one token stays in each row, however small top_p is")
def filter_leaves_one_token(component: Component, numbers: Numbers, seen: Observations) -> None:
    # 1 - top_p is 1 in every precision, and so is the probability of the likeliest token: no sum hangs on rounding.
    sure = torch.tensor([70.0, 9.0, 5.0, 0.0, -3.0, -6.0, -9.0])
    rows = torch.stack([sure[numbers.permutation(7)] for _ in range(3)])
    see_filtered(seen, component(logits=rows, **settings(top_p=1e-20)), "top_p 1e-20")


@probe("filter_logits", "temperature, then top-k, then top-p on what is left")
def filter_in_order(component: Component, numbers: Numbers, seen: Observations) -> None:
    for given in (settings(2.0, None, 0.7), settings(0.4, None, 0.9), settings(1.0, 3, 0.7), settings(2.0, 4, 0.68)):
        reply = component(logits=rows_of_logits(numbers, 3), **given)
        see_filtered(seen, reply, ", ".join(f"{name} {value}" for name, value in given.items() if value is not None))


@probe("filter_logits", "rows may be spread widely, and may have any leading axes")
def filter_takes_leading_axes(component: Component, numbers: Numbers, seen: Observations) -> None:
    # In float32 the first probability is 1, and none is 0.
    spread = torch.tensor([70.0, 9.0, 5.0, 0.0, -3.0, -6.0, -9.0])
    wide = torch.stack([spread[numbers.permutation(7)] for _ in range(2)])
    see_filtered(seen, component(logits=wide, **settings(top_p=1.0)), "spread widely, top_p 1.0")
    for leading in ((), numbers.axes(2, 5)):
        reply = component(logits=rows_of_logits(numbers, *leading), **settings(0.8, 5, 0.8))
        see_filtered(seen, reply, f"{len(leading) + 1} axes")


@probe("filter_logits", "a temperature of 0 or less is refused")
def filter_refuses_cold(component: Component, numbers: Numbers, seen: Observations) -> None:
    for temperature in (0.0, -0.5):
        reply = component(logits=rows_of_logits(numbers, 3), **settings(temperature))
        seen.note(f"temperature {temperature}: answer", kind(reply), reply.given)
        if reply.fault:
            named = str(temperature) in reply.fault.message or f"{temperature:g}" in reply.fault.message
            seen.note(f"temperature {temperature}: message names it", "yes" if named else "no", reply.given)


@probe("filter_logits", "the argument is not changed")
def filter_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    for name, given in (("temperature", settings(0.5)), ("top_k", settings(top_k=2)), ("top_p", settings(top_p=0.5))):
        reply = component(logits=rows_of_logits(numbers, 3), **given)
        unchanged(seen, reply, name)


# generate

VOCAB, FEATURES, MAX_LEN = 11, 5, 7  # tokens that texts are made of, and usual sizes of the model


def text_model(numbers: Numbers) -> TextModel:
    """Return a model whose answer depends on every token that it has read, and on its place.

    It is so sure of each answer that whoever draws where nothing should be drawn gets the likeliest token, too: a
    mistake then looks the same on every machine.
    """
    vocab_size, features, max_len = numbers.axes(VOCAB, FEATURES, MAX_LEN)
    head = numbers.tensor(features, vocab_size) + torch.arange(vocab_size) / 8192  # so that no two logits are equal
    return TextModel(numbers.tensor(vocab_size, features), numbers.tensor(max_len, features), 1024 * head)


def how(
    sample: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: RandomGenerator | None = None,
) -> dict[str, Any]:
    """Return the arguments of generate after max_new_tokens, in order."""
    return dict(sample=sample, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)


def see_text(seen: Observations, reply: Reply, tokens: torch.Tensor, label: str = "") -> None:
    """Note the shape of a text, whether it begins with what was given, and the text."""
    for value in seen.see(reply, "text", label=label).values():
        begins = value.dim() == 2 and torch.equal(value[:, : tokens.shape[1]].long(), tokens)
        seen.note("text begins with the given tokens", "yes" if begins else "no", reply.given, label)
        seen.note("text", value, reply.given, label)


@probe("generate", "greedy: each new token is the likeliest one after the text so far", chooses=True)
def text_is_greedy(component: Component, numbers: Numbers, seen: Observations) -> None:
    for batch, time, new in (numbers.axes(3, 2, 4), (1, 1, numbers.axis(5)), numbers.axes(5, 3, 1)):
        tokens = token_ids(numbers, batch, time, high=VOCAB)
        reply = component(model=text_model(numbers), tokens=tokens, max_new_tokens=new, **how())
        see_text(seen, reply, tokens, f"{batch} x {time} tokens, {new} more")


@probe("generate", "the model gets the last max_len tokens of a longer text", chooses=True)
def text_outgrows_the_context(component: Component, numbers: Numbers, seen: Observations) -> None:
    max_len = numbers.axis(MAX_LEN)
    for time, new in ((max_len - 2, 6), (max_len, 3), (max_len + 3, 3)):
        tokens = token_ids(numbers, 3, time, high=VOCAB)
        reply = component(model=text_model(numbers), tokens=tokens, max_new_tokens=new, **how())
        see_text(seen, reply, tokens, f"{time} tokens, {new} more, max_len {max_len}")


@probe("generate", "the model is in evaluation mode, and no gradients are recorded", chooses=True)
def text_without_dropout_and_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = component(model=text_model(numbers), tokens=token_ids(numbers, 2, 3, high=VOCAB), max_new_tokens=3, **how())
    use = reply.reports["model"]
    seen.note("modes in which the model was called", use["modes"], reply.given)
    seen.note("gradients recorded", use["gradients"], reply.given)


# Six tokens with these probabilities, whatever was read. Many texts are drawn at once, and what is noted is which
# tokens come at all: that is the same on every machine, while the draws themselves are not.
CHANCES = (0.34, 0.24, 0.18, 0.11, 0.08, 0.05)
TEXTS, STEPS = 128, 15


def drawing_model(numbers: Numbers) -> tuple[TextModel, list[int]]:
    """Return a model with the probabilities above for every next token, and the order of the tokens by them."""
    order = numbers.permutation(len(CHANCES))
    head = torch.empty(1, len(CHANCES))
    head[0, order] = torch.tensor(CHANCES).log()
    first_only = torch.zeros(MAX_LEN, 1)
    first_only[0] = 1.0
    return TextModel(torch.ones(len(CHANCES), 1), first_only, head), order


DRAWS: dict[str, dict[str, Any]] = {
    "plain": dict(),
    "temperature 0.002": dict(temperature=0.002),
    "temperature 1000": dict(temperature=1000.0),
    "temperature 0.1, top_k 2": dict(temperature=0.1, top_k=2),
    "top_k 1": dict(top_k=1),
    "top_k 2": dict(top_k=2),
    "top_p 0.7": dict(top_p=0.7),
    "temperature 1000, top_k 3, top_p 0.5": dict(temperature=1000.0, top_k=3, top_p=0.5),
}


@probe("generate", "drawn tokens are those that the filters leave", chooses=True)
def text_is_drawn_from_what_is_left(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = torch.zeros(TEXTS, 2, dtype=torch.long)
    for label, given in DRAWS.items():
        model, order = drawing_model(numbers)
        reply = component(model=model, tokens=tokens, max_new_tokens=STEPS, **how(True, **given), seed=5)
        for value in seen.see(reply, "text", label=label).values():
            see_draws(seen, value, order, label, reply.given)


def see_draws(seen: Observations, text: torch.Tensor, order: list[int], label: str, given: str) -> None:
    """Note which tokens come in a text behind the first two, by their places in the order of probability."""
    new = text[:, 2:] if text.dim() == 2 else text.new_zeros(0, 0)
    alike = bool((new == new[:1]).all())
    places = sorted({order.index(token) for token in new.flatten().tolist() if token in order})
    told = ", ".join(map(str, places)) if places == [0] or not alike else "several, the same in all texts"
    seen.note("all texts are alike", "yes" if alike else "no", given, label)
    seen.note("tokens that come, 0 the likeliest", told, given, label)


@probe("generate", "greedy text is never drawn", chooses=True)
def greedy_text_is_not_drawn(component: Component, numbers: Numbers, seen: Observations) -> None:
    model, order = drawing_model(numbers)
    tokens = torch.zeros(TEXTS, 2, dtype=torch.long)
    reply = component(model=model, tokens=tokens, max_new_tokens=STEPS, **how(), seed=5)
    for value in seen.see(reply, "text", label="plain").values():
        see_draws(seen, value, order, "plain", reply.given)


@probe("generate", "greedy text does not ask for temperature, top_k and top_p", chooses=True)
def greedy_text_needs_no_temperature(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = token_ids(numbers, 3, 2, high=VOCAB)
    options = how(temperature=0.0, top_k=1, top_p=0.5)
    reply = component(model=text_model(numbers), tokens=tokens, max_new_tokens=4, **options)
    see_text(seen, reply, tokens, "temperature 0")


@probe("generate", "the draws are those of torch.multinomial with the given generator", chooses=True)
def text_is_drawn_with_the_generator(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = torch.zeros(7, 2, dtype=torch.long)
    model, _ = drawing_model(numbers)
    ways: dict[str, dict[str, Any]] = {"plain": {}, "filtered": dict(temperature=1.5, top_k=5, top_p=0.9)}
    for label, given in ways.items():
        options = how(True, **given, generator=RandomGenerator(11))
        replies = [component(model=model, tokens=tokens, max_new_tokens=9, **options, seed=seed) for seed in (1, 2)]
        reply = replies[0]
        seen.note("answer", kind(reply), reply.given, label)
        one, two = (reply.output for reply in replies)
        if not isinstance(one, torch.Tensor) or not isinstance(two, torch.Tensor):
            continue
        alike = "yes" if torch.equal(one, two) else "no"
        seen.note("the same generator gives the same text", alike, reply.given, label)
        seen.note("of the generator", reply.reports["generator"]["use"], reply.given, label)
        right = parts.generate(model.make(), tokens, 9, **options | dict(generator=RandomGenerator(11).make()))
        drawn = "yes" if torch.equal(one, right) else "no"
        seen.note("text is that of torch.multinomial", drawn, reply.given, label)


@probe("generate", "the argument is not changed", chooses=True)
def text_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(
        seen,
        component(model=text_model(numbers), tokens=token_ids(numbers, 2, 9, high=VOCAB), max_new_tokens=3, **how()),
    )


# generate_with_cache

GPT: dict[str, Any] = dict(vocab_size=31, embed_dim=10, num_heads=2, ff_dim=13, num_layers=2, max_len=13)


def gpt(numbers: Numbers, build: dict[str, Any] | None = None) -> Gpt:
    """Return a small GPT-2 whose text changes with every token, every place and every layer."""
    build = build or anew(numbers, GPT)
    weights = model_weights(numbers, build)
    for name in weights:
        if name.endswith(("out_proj.weight", "down_proj.weight", "q_proj.weight", "k_proj.weight")):
            weights[name] *= 3
    return Gpt(build, weights)


@probe("generate_with_cache", "the text is the one that the model writes without a cache", chooses=True)
def cached_text_is_the_same(component: Component, numbers: Numbers, seen: Observations) -> None:
    sevens, layers = numbers.axis(7), numbers.size(2, 3, 3)
    build = anew(numbers, GPT, "vocab_size", "embed_dim", "num_heads", "ff_dim", "max_len") | dict(num_layers=layers)
    for batch, time, new in ((sevens, 3, 10), (numbers.axis(2), 1, numbers.size(9, 6, 12)), (5, 9, 1)):
        tokens = token_ids(numbers, batch, time, high=31)
        reply = component(model=gpt(numbers, build), tokens=tokens, max_new_tokens=new, **how())
        see_text(seen, reply, tokens, f"{batch} x {time} tokens, {new} more")


@probe("generate_with_cache", "no token passes through a layer twice", chooses=True)
def cached_keys_are_kept(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = token_ids(numbers, 2, 4, high=31)
    reply = component(model=gpt(numbers), tokens=tokens, max_new_tokens=8, **how())
    see_text(seen, reply, tokens)  # few steps are no merit where the text is wrong
    use = reply.reports["model"]
    seen.note("tokens that pass through a layer", "each once" if use["positions"] <= 12 else "some again", reply.given)


@probe("generate_with_cache", "once the context slides, everything is computed anew", chooses=True)
def cached_text_outgrows_the_context(component: Component, numbers: Numbers, seen: Observations) -> None:
    max_len = numbers.axis(13)
    for time, new in ((max_len - 3, 8), (max_len, 3), (max_len + 4, 3)):
        tokens = token_ids(numbers, 7, time, high=31)
        reply = component(model=gpt(numbers), tokens=tokens, max_new_tokens=new, **how())
        see_text(seen, reply, tokens, f"{time} tokens, {new} more, max_len {max_len}")


@probe("generate_with_cache", "drawn text is the same as that of generate", chooses=True)
def cached_text_is_drawn(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, model = token_ids(numbers, 7, 3, high=31), gpt(numbers)
    ways: dict[str, dict[str, Any]] = {"plain": {}, "filtered": dict(temperature=1.5, top_k=20, top_p=0.95)}
    for label, given in ways.items():
        options = how(True, **given, generator=RandomGenerator(11))
        reply = component(model=model, tokens=tokens, max_new_tokens=7, **options)
        seen.note("answer", kind(reply), reply.given, label)
        right = parts.generate(model.make(), tokens, 7, **options | dict(generator=RandomGenerator(11).make()))
        if isinstance(reply.output, torch.Tensor):
            same = "yes" if torch.equal(reply.output, right) else "no"
            seen.note("text is that of generate", same, reply.given, label)


@probe("generate_with_cache", "greedy text does not ask for temperature, top_k and top_p", chooses=True)
def cached_greedy_text_needs_no_temperature(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = token_ids(numbers, 3, 2, high=31)
    options = how(temperature=0.0, top_k=1, top_p=0.5)
    reply = component(model=gpt(numbers), tokens=tokens, max_new_tokens=4, **options)
    see_text(seen, reply, tokens, "temperature 0")


@probe("generate_with_cache", "the argument is not changed", chooses=True)
def cached_text_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(model=gpt(numbers), tokens=token_ids(numbers, 2, 5, high=31), max_new_tokens=3, **how()))


# language_model_bug_input: the learner supplies logits and a text, and the broken penalty acts on them


@probe("language_model_bug_input", "logits are finite numbers, and tokens are ids of their vocabulary")
def bug_input_fits(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit, given="nothing")


@probe("language_model_bug_input", "a token that was written before gets a larger logit")
def bug_input_shows_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_effect(
        seen,
        "broken_repetition_penalty on your input",
        component(),
        _misfit,
        lambda given: _effect(*given),
        given="nothing",
    )


def _misfit(given: Any) -> str:
    """Return what is wrong with an input for a repetition penalty, or nothing."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        return "is not (logits, tokens)"
    logits, tokens = given
    if not all(
        isinstance(tensor, torch.Tensor) and tensor.dim() == 2 and 0 < tensor.numel() <= 100_000 for tensor in given
    ):
        return "logits and tokens have to be tensors with two axes, at most 100000 numbers in each"
    if len(logits) != len(tokens):
        return "logits and tokens have to have the same batch"
    if not logits.is_floating_point() or not torch.isfinite(logits).all():
        return "logits have to be finite floating point numbers"
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        return "tokens have to be whole numbers"
    if tokens.min() < 0 or tokens.max() >= logits.shape[1]:
        return "tokens have to be at least 0 and below vocab_size, the number of logits in a row"
    return ""


def _effect(logits: torch.Tensor, tokens: torch.Tensor) -> str:
    """Say whether a written token gains by the broken penalty, and if not, what kind of input it is."""
    logits, tokens = logits.double(), tokens.long()
    gain = broken_repetition_penalty(logits, tokens) - logits
    written = logits.gather(1, tokens)
    if gain.gather(1, tokens).max() > 0.001:
        return "makes a written token more likely"
    if written.abs().max() < 0.01:
        return "is right: the logits of the written tokens are 0, or nearly"
    if logits.min() < 0:
        return "is right: only tokens that were not written have negative logits"
    return "is right: no logit is negative"
