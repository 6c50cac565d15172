"""What is observed of the components of lesson 3. Sizes are distinct primes, so a swapped axis shows."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from workbench import classification, parts
from workbench.broken.encoder_only import broken_classify

from ..calling.local import Reply
from ..calling.numbers import Numbers
from ..calling.stubs import Activation, RandomGenerator
from . import Component, Observations, kind, probe
from .bugs import see_effect, see_fit
from .see import (
    dtype_of,
    first,
    listed,
    on_their_device,
    see_loss,
    see_model,
    see_names,
    unchanged,
)
from .tokens import token_ids
from .weights import anew, of_model

# SequenceClassifier

CLS, PAD = 16, 2
SIZES: dict[str, Any] = dict(
    vocab_size=17, embed_dim=12, num_heads=3, ff_dim=13, num_layers=2, max_len=7, num_classes=5, pad_id=PAD
)
DRAWN = "vocab_size", "embed_dim", "ff_dim", "max_len", "num_classes"  # the sizes that official grading draws


def model_weights(numbers: Numbers, build: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return numbers for all parameters of the contract."""
    return of_model(numbers, parts.SequenceClassifier(**build))


def texts(numbers: Numbers, *lengths: int, time: int = 7, pad_id: int = PAD) -> torch.Tensor:
    """Return texts [batch, time] of these lengths, [CLS] first, the rest padding; no other token is padding."""
    tokens = token_ids(numbers, len(lengths), time, low=3, high=16)
    tokens[:, 0] = CLS
    for row, length in enumerate(lengths):
        tokens[row, length:] = pad_id
    return tokens


def differ(one: Reply, other: Reply) -> str:
    """Say whether the logits of two replies differ: "yes", "no", "cannot be told"."""
    ours, theirs = first(one), first(other)
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return "cannot be told"
    return "yes" if not torch.allclose(ours, theirs, atol=1e-4) else "no"


@probe("SequenceClassifier", "embedding, norm, encoder, pooler and head have the parameters of the contract")
def classifier_has_its_parameters(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = model_weights(numbers, SIZES)
    reply = component(tokens=texts(numbers, 7, 7, 7), build=SIZES, weights=weights)
    seen.answer(reply)
    see_names(seen, reply, weights)


@probe("SequenceClassifier", "the head reads only the first token")
def classifier_reads_the_first_token(component: Component, numbers: Numbers, seen: Observations) -> None:
    # With silent attention no position learns anything of another one.
    weights, tokens = model_weights(numbers, SIZES), texts(numbers, 5, 3, 5, time=5)
    weights |= {name: torch.zeros_like(tensor) for name, tensor in weights.items() if "out_proj" in name}
    before = component(tokens=tokens, build=SIZES, weights=weights)
    moving = []
    for position in range(5):
        other = tokens.clone()
        other[:, position] = torch.tensor([3, 4, 5]) + 7 * (tokens[:, position] < 8)
        if differ(before, component(tokens=other, build=SIZES, weights=weights)) != "no":
            moving.append(position)
    seen.note("answer", kind(before), before.given)
    seen.note("places that the logits are read from", listed(moving), before.given)


@probe("SequenceClassifier", "through attention every token has an influence on the logits")
def classifier_sees_all_tokens(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights, tokens = model_weights(numbers, SIZES), texts(numbers, 7, 7)
    other = tokens.clone()
    other[:, 6] = 3 + (tokens[:, 6] - 3 + 5) % 13
    before, after = (component(tokens=given, build=SIZES, weights=weights) for given in (tokens, other))
    seen.note("logits change with the last token", differ(before, after), before.given)


@probe("SequenceClassifier", "tokens go through embedding, norm, encoder, pooler and head")
def classifier_computes(component: Component, numbers: Numbers, seen: Observations) -> None:
    batch, time = numbers.axes(3, 7)
    tokens = texts(numbers, *[time] * batch, time=time)
    build = anew(numbers, SIZES, *DRAWN)
    see_model(seen, component(tokens=tokens, build=build, weights=model_weights(numbers, build)), padding=tokens == PAD)


@probe("SequenceClassifier", "no token attends to padding")
def classifier_hides_padding(component: Component, numbers: Numbers, seen: Observations) -> None:
    build, time = anew(numbers, SIZES, *DRAWN), numbers.axis(7)
    weights, tokens = model_weights(numbers, build), texts(numbers, time, 4, 2, time=time)
    padded = component(tokens=tokens, build=build, weights=weights)
    see_model(seen, padded, padding=tokens == PAD)
    short = component(tokens=tokens[1:2, :4], build=build, weights=weights)
    together, alone = first(padded), first(short)
    if together is not None and alone is not None and len(together) == 3:
        same = torch.allclose(together[1:2], alone, atol=1e-4) if alone.dim() == 2 else False
        seen.note("logits of a text change if padding follows", "no" if same else "yes", padded.given)


@probe("SequenceClassifier", "padding is the token that pad_id names")
def classifier_takes_a_pad_id(component: Component, numbers: Numbers, seen: Observations) -> None:
    for pad_id in (0, 15):
        build = SIZES | dict(pad_id=pad_id)
        tokens = texts(numbers, 7, 3, pad_id=pad_id).clamp(max=14 if pad_id == 15 else 16)
        tokens[1, 3:] = pad_id
        tokens[0, 4] = 0 if pad_id == 15 else 2  # a token that is padding elsewhere
        reply = component(tokens=tokens, build=build, weights=model_weights(numbers, build))
        see_model(seen, reply, f"pad_id {pad_id}", padding=tokens == pad_id)


@probe("SequenceClassifier", "texts, tokens, heads and classes may be equally many")
def classifier_with_equal_sizes(component: Component, numbers: Numbers, seen: Observations) -> None:
    size = numbers.axis(4)
    equal = dict.fromkeys(("embed_dim", "num_heads", "ff_dim", "num_classes", "max_len"), size)
    build = SIZES | equal | dict(num_layers=1)
    tokens = texts(numbers, size, 3, 2, *[size] * (size - 3), time=size)
    see_model(seen, component(tokens=tokens, build=build, weights=model_weights(numbers, build)), padding=tokens == PAD)


@probe("SequenceClassifier", "the activation is GELU, or the one that was asked for")
def classifier_passes_the_activation(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, weights = texts(numbers, 5, 5, time=5), model_weights(numbers, SIZES)
    for name in ("its own", "tanh"):
        build = SIZES if name == "its own" else SIZES | dict(activation=Activation(name))
        reply = component(tokens=tokens, build=build, weights=weights)
        see_model(seen, reply, f"activation {name}", padding=tokens == PAD)


@probe("SequenceClassifier", "dropout acts in training only, on the embedding and in the encoder")
def classifier_drops_in_training(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, weights, build = texts(numbers, 5, 4, time=5), model_weights(numbers, SIZES), SIZES | dict(dropout=1.0)
    for when, training in (("evaluation", False), ("training, all dropped", True)):
        reply = component(tokens=tokens, build=build, weights=weights, training=training)
        see_model(seen, reply, when, padding=tokens == PAD)


@probe("SequenceClassifier", "one layer or three, one head or four, two classes, a text of one token")
def classifier_comes_in_sizes(component: Component, numbers: Numbers, seen: Observations) -> None:
    for layers, heads, time in ((1, 4, 1), (3, 1, 7)):
        build, tokens = SIZES | dict(num_layers=layers, num_heads=heads, num_classes=2), texts(numbers, 7, 7, time=time)
        reply = component(tokens=tokens, build=build, weights=model_weights(numbers, build))
        see_model(seen, reply, f"{layers} layers, {heads} heads, {time} tokens", padding=tokens == PAD)


@probe("SequenceClassifier", "a sequence longer than max_len is refused")
def classifier_refuses_long_sequences(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = model_weights(numbers, SIZES)
    reply = component(tokens=texts(numbers, 8, 8, time=8), build=SIZES, weights=weights)
    seen.note("answer", kind(reply), reply.given)


# mask_tokens. Draws are not the same on every machine, so what is noted are shares, rounded, of very many tokens.

VOCAB, MASK, SPECIAL = 41, 7, (0, 3, 5, 7)  # padding, [CLS], [SEP], [MASK]


def long_texts(numbers: Numbers, batch: int = 120, time: int = 500) -> torch.Tensor:
    """Return texts in which only even ids from 8 on occur, between [CLS] and [SEP], with padding behind some."""
    places = torch.arange(batch * time).reshape(batch, time)
    first = numbers.permutation(17)[0]
    tokens = 8 + 2 * ((places * 7 + first) % 17)
    tokens[:, 0], tokens[:, -1] = 3, 5
    tokens[::3, -100], tokens[::3, -99:] = 5, 0
    return tokens


GENERATOR = RandomGenerator(3)


def how(
    special_ids: Iterable[int] = SPECIAL,
    probability: float = 0.15,
    generator: RandomGenerator | None = GENERATOR,
    mask_id: int = MASK,
    vocab_size: int = VOCAB,
) -> dict[str, Any]:
    """Return the arguments of mask_tokens after the tokens, in order."""
    return dict(
        mask_id=mask_id,
        vocab_size=vocab_size,
        special_ids=list(special_ids),
        probability=probability,
        generator=generator,
    )


def see_masked(
    seen: Observations, reply: Reply, tokens: torch.Tensor, label: str, many: bool = True, mask_id: int = MASK
) -> None:
    """Note which tokens have a label, and what became of them; which random tokens come only where there are many."""
    found = seen.see(reply, "inputs", "labels", label=label)
    if not found or any(value.shape != tokens.shape for value in found.values()):
        return
    inputs, labels = found["inputs"].long(), found["labels"].long()
    ordinary = ~torch.isin(tokens, torch.tensor(SPECIAL))
    chosen = labels != -100
    told = {
        "special tokens with a label": listed(tokens[chosen & ~ordinary].unique().tolist()),
        "special tokens that are changed": listed(tokens[(inputs != tokens) & ~ordinary].unique().tolist()),
        "labels that are not the token itself": "some" if (labels != tokens)[chosen].any() else "none",
        "tokens without a label that are changed": "some" if (inputs != tokens)[~chosen].any() else "none",
        "tokens without a label that become [MASK]": hidden_unasked(inputs, tokens, ~chosen, mask_id),
        "the same for all texts, or for all places of a text": alike(chosen[:, 1:-100]),
    }
    if told["the same for all texts, or for all places of a text"] == "no":
        told |= {
            "share of ordinary tokens with a label": f"{round(share(chosen, ordinary) * 20) / 20:.2f}",
            "of tokens with a label, share of [MASK]": tenths(inputs == mask_id, chosen & ordinary),
            "of tokens with a label, share that stays": tenths(inputs == tokens, chosen & ordinary),
        }
        if many:
            told |= seldom(inputs[(inputs != tokens) & (inputs != mask_id)])
    for name, value in told.items():
        seen.note(name, value, reply.given, label)


def hidden_unasked(inputs: torch.Tensor, tokens: torch.Tensor, unasked: torch.Tensor, mask_id: int) -> str:
    """Say whether tokens without a label become [MASK]: few do where random tokens stand, of which it is one."""
    return "most" if share((inputs == mask_id) & (tokens != mask_id), unasked) > 0.3 else "few or none"


def alike(chosen: torch.Tensor) -> str:
    """Say whether some are chosen and others not, by whole rows or by whole columns."""
    rows, columns = (chosen == chosen[:1]).all(), (chosen == chosen[:, :1]).all()
    return "no" if rows and columns or not (rows or columns) else "for all texts" if rows else "for all places"


def share(which: torch.Tensor, among: torch.Tensor) -> float:
    """Return how many of some are also others, as a share; 0 of none."""
    return ((which & among).sum() / among.sum().clamp(min=1)).item()


def tenths(which: torch.Tensor, among: torch.Tensor) -> str:
    """Return a share in whole tenths, in words."""
    return f"{round(share(which, among) * 10)} tenths"


def seldom(replacements: torch.Tensor) -> dict[str, str]:
    """Say which tokens are never drawn as a replacement, ordinary ones and special ones; [MASK] cannot be told."""
    never = set(range(VOCAB)) - {MASK} - set(replacements.unique().tolist())
    ordinary = never - set(SPECIAL)
    return {
        "random tokens that never come": listed(ordinary)
        if len(ordinary) <= 2
        else "many"
        if len(replacements)
        else "all",
        "special tokens that never come as random ones": listed(sorted(never & set(SPECIAL))),
    }


@probe("mask_tokens", "15 of 100 ordinary tokens get a label: 8 of 10 become [MASK], 1 a random token, 1 stays")
def masking_chooses_tokens(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = long_texts(numbers, numbers.size(120, 110, 130), numbers.size(500, 480, 520))
    # The id of [MASK] is another special one in official grading, which no text holds either.
    mask_id, vocab_size = numbers.size(MASK, 1, 2), numbers.size(VOCAB, 43, 97)
    special = [mask_id if token == MASK else token for token in SPECIAL]
    reply = component(tokens=tokens, **how(special, mask_id=mask_id, vocab_size=vocab_size))
    see_masked(seen, reply, tokens, "probability 0.15", many=False, mask_id=mask_id)


@probe("mask_tokens", "the probability is the one that was asked for")
def masking_takes_a_probability(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = long_texts(numbers)
    for probability in (0.5, 1.0):
        reply = component(tokens=tokens, **how(probability=probability))
        see_masked(seen, reply, tokens, f"probability {probability}")


# Of 200 000 tokens each share below is within 0.005 of the right one, but for less than once in 10^12 draws.
LARGE_VOCAB = 100_003  # so large that a random token is hardly ever [MASK], or the token that stood there


@probe("mask_tokens", "of 100 chosen tokens 80 become [MASK], 10 become any token of the vocabulary, and 10 stay")
def masking_keeps_the_shares(component: Component, numbers: Numbers, seen: Observations) -> None:
    places = torch.arange(200_000).reshape(400, 500)
    tokens = 8 + (places * 7 + numbers.permutation(17)[0]) % (LARGE_VOCAB - 8)
    reply = component(tokens=tokens, **how(probability=1.0) | dict(vocab_size=LARGE_VOCAB))
    found = seen.see(reply, "inputs", "labels")
    if not found or any(value.shape != tokens.shape for value in found.values()):
        return
    inputs, chosen = found["inputs"].long(), found["labels"] != -100
    random = chosen & (inputs != MASK) & (inputs != tokens)
    for name, value in {
        "of tokens with a label, share that becomes a random token": f"{share(random, chosen):.2f}",
        "of tokens with a label, share that stays": f"{share(inputs == tokens, chosen):.2f}",
        "random tokens from each fourth of the vocabulary": fourths(inputs[random]),
    }.items():
        seen.note(name, value, reply.given)


def fourths(drawn: torch.Tensor) -> str:
    """Return the share of tokens from each fourth of the vocabulary, in twentieths."""
    if not len(drawn):
        return "none"
    counts = torch.bincount((drawn * 4 // LARGE_VOCAB).clamp(0, 4), minlength=5)
    return ", ".join(f"{round(number / len(drawn) * 20) / 20:.2f}" for number in counts.tolist())


def draws_of(component: Component, numbers: Numbers, probability: float) -> tuple[torch.Tensor, list[Reply]]:
    """Return 20 texts of 100 ordinary tokens each, and what comes of them in 8 draws."""
    tokens = torch.full((20, 102), 8 + 2 * numbers.permutation(17)[0])
    tokens[:, 0], tokens[:, -1] = 3, 5
    draws = [RandomGenerator(seed) for seed in range(1, 9)]
    many: dict[str, Any] = dict(vocab_size=LARGE_VOCAB)
    return tokens, [component(tokens=tokens, **how(probability=probability, generator=draw) | many) for draw in draws]


def see_chance(seen: Observations, name: str, counts: torch.Tensor, probability: float, given: str) -> None:
    """Note whether numbers [draws, texts], of 100 tokens each, vary as they do by chance.

    160 numbers of 100 tokens vary by less than 0.4, or by more than 2.5 times the variance of chance, once in 10^10
    draws; that their sums of 2000 tokens are the same in all 8 draws is as rare.
    """
    ratio = (counts.double() - 100 * probability).square().mean() / (100 * probability * (1 - probability))
    words = "too little" if ratio < 0.4 else "too much" if ratio > 2.5 else "as chance has it"
    seen.note(f"{name} varies from text to text", words, given)
    alike = (counts.sum(dim=1) == counts[0].sum()).all()
    seen.note(f"{name} in all texts together is always the same", "yes" if alike else "no", given)


@probe("mask_tokens", "how many tokens of a text are chosen is left to chance")
def masking_leaves_the_number_to_chance(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, replies = draws_of(component, numbers, 0.5)
    seen.note("answer", kind(replies[0]), replies[0].given)
    labels = [second for reply in replies if (second := first(reply, 1)) is not None and second.shape == tokens.shape]
    if len(labels) == len(replies):
        counts = (torch.stack(labels) != -100).sum(dim=-1)
        see_chance(seen, "the number of labels", counts, 0.5, replies[0].given)


@probe("mask_tokens", "how many of the chosen tokens become [MASK] is left to chance")
def masking_leaves_the_shares_to_chance(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens, replies = draws_of(component, numbers, 1.0)
    seen.note("answer", kind(replies[0]), replies[0].given)
    inputs = [one for reply in replies if (one := first(reply)) is not None and one.shape == tokens.shape]
    if len(inputs) == len(replies):
        counts = (torch.stack(inputs) == MASK).sum(dim=-1)
        see_chance(seen, "the number of [MASK]", counts, 0.8, replies[0].given)


@probe("mask_tokens", "only the tokens in special_ids are special")
def masking_takes_special_ids(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = long_texts(numbers, 40)
    for special in ((3,), (0, 5)):
        reply = component(tokens=tokens, **how(special, 0.5))
        see_masked(seen, reply, tokens, f"special_ids {list(special)}")


@probe("mask_tokens", "all draws come from the generator")
def masking_uses_the_generator(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = long_texts(numbers, 23, 211)
    one, two = (component(tokens=tokens, **how(probability=0.5), seed=seed) for seed in (1, 2))
    other = component(tokens=tokens, **how(probability=0.5, generator=RandomGenerator(4)), seed=1)
    alone = component(tokens=tokens, **how(probability=0.5, generator=None), seed=1)
    seen.note("answer", kind(one), one.given)
    seen.note("of the generator", one.reports["generator"]["use"], one.given)
    for index, name in enumerate(("inputs", "labels")):
        for label, reply in (("the same generator", two), ("another generator", other)):
            seen.note(f"{label} gives the same {name}", equal(one, reply, index), one.given)
    seen.note("without a generator: answer", kind(alone), alone.given)


def equal(one: Reply, other: Reply, index: int) -> str:
    """Say whether two replies have the same tensor at an index."""
    pair = [
        reply.output[index] for reply in (one, other) if isinstance(reply.output, tuple) and len(reply.output) > index
    ]
    if len(pair) < 2 or not all(isinstance(value, torch.Tensor) for value in pair):
        return "cannot be told"
    return "yes" if torch.equal(*pair) else "no"


@probe("mask_tokens", "the argument is not changed")
def masking_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(tokens=long_texts(numbers, 7, 211), **how()))


@probe("mask_tokens", "it works on the device of the tokens")
def masking_follows_the_tokens(component: Component, numbers: Numbers, seen: Observations) -> None:
    on_their_device(seen, component(tokens=long_texts(numbers, 7, 211), **how(generator=None), device="meta"))


# masked_language_model_loss

see_guesses = functools.partial(see_loss, where="places")


def some_labels(numbers: Numbers, batch: int, time: int, vocab_size: int) -> torch.Tensor:
    """Return labels of which each row has another number, and -100 elsewhere."""
    labels = token_ids(numbers, batch, time, high=vocab_size)
    for row in range(batch):
        labels[row, numbers.permutation(time)[1 + row :]] = -100
    return labels


@probe("masked_language_model_loss", "the loss is the mean over the places with a label, and no others")
def guesses_cost_where_they_were_asked(component: Component, numbers: Numbers, seen: Observations) -> None:
    sizes = numbers.axes(3, 7, 11)
    see_guesses(seen, component(logits=numbers.tensor(*sizes), labels=some_labels(numbers, *sizes), gradients=True))


@probe("masked_language_model_loss", "there may be as many places as tokens in the vocabulary")
def guesses_with_equal_sizes(component: Component, numbers: Numbers, seen: Observations) -> None:
    for vocab_size in (6, 7):
        reply = component(
            logits=numbers.tensor(3, 7, vocab_size), labels=some_labels(numbers, 3, 7, vocab_size), gradients=True
        )
        see_guesses(seen, reply, f"7 places, vocabulary of {vocab_size}")


@probe("masked_language_model_loss", "a prediction that is certain and right has a loss of 0")
def guesses_of_a_sure_model(component: Component, numbers: Numbers, seen: Observations) -> None:
    labels = some_labels(numbers, 2, 5, 7)
    logits = 40.0 * torch.nn.functional.one_hot(labels.clamp(min=0), 7)
    see_guesses(seen, component(logits=logits, labels=labels))


@probe("masked_language_model_loss", "token 0 is a label like any other, and all places may have one")
def guesses_of_token_0(component: Component, numbers: Numbers, seen: Observations) -> None:
    labels = some_labels(numbers, 3, 7, 11)
    labels[:, 2:4] = 0
    reply = component(logits=numbers.tensor(3, 7, 11), labels=labels, gradients=True)
    see_guesses(seen, reply, "token 0")
    labels = token_ids(numbers, 3, 7, high=11)
    reply = component(logits=numbers.tensor(3, 7, 11), labels=labels, gradients=True)
    see_guesses(seen, reply, "labels everywhere")


@probe("masked_language_model_loss", "the arguments are not changed")
def guesses_change_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(
        seen,
        component(logits=numbers.tensor(*numbers.axes(3, 7, 11)), labels=some_labels(numbers, *numbers.axes(3, 7, 11))),
    )


@probe("masked_language_model_loss", "it works on the device of the inputs")
def guesses_follow_the_inputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    on_their_device(
        seen,
        component(
            logits=numbers.tensor(*numbers.axes(3, 7, 11)),
            labels=some_labels(numbers, *numbers.axes(3, 7, 11)),
            device="meta",
        ),
    )


# sentence_embedding


def kept(*lengths: int, time: int = 7) -> torch.Tensor:
    """Return a mask [batch, time], True at the first places of each row."""
    return torch.arange(time) < torch.tensor(lengths)[:, None]


def padded(numbers: Numbers) -> dict[str, Any]:
    """Return states [3, time, embed_dim] and their mask as keyword arguments, time and embed_dim as drawn."""
    time, embed_dim = numbers.axes(7, 5)
    return dict(states=numbers.tensor(3, time, embed_dim), mask=kept(time, 4, 1, time=time))


def see_vectors(seen: Observations, reply: Reply, label: str) -> None:
    """Note the lengths of the vectors, and the vectors."""
    for value in seen.see(reply, "vectors", label=label).values():
        seen.note("length of each vector", value.norm(dim=-1), reply.given, label)
        seen.note("vectors", value, reply.given, label)


@probe("sentence_embedding", "the vector is the mean of all states, scaled to length 1")
def vectors_are_means(component: Component, numbers: Numbers, seen: Observations) -> None:
    batch, time, embed_dim = numbers.axes(3, 7, 5)
    states = numbers.tensor(batch, time, embed_dim)
    see_vectors(seen, component(states=states, mask=kept(*[time] * batch, time=time)), "no padding")


@probe("sentence_embedding", "padding does not count in the mean")
def vectors_leave_padding_out(component: Component, numbers: Numbers, seen: Observations) -> None:
    batch, time, embed_dim = numbers.axes(3, 7, 5)
    see_vectors(seen, component(**padded(numbers)), "padding behind")
    states, mask = numbers.tensor(batch, time, embed_dim), numbers.mask(batch, time)
    see_vectors(seen, component(states=states, mask=mask), "padding anywhere")


@probe("sentence_embedding", "texts, tokens and features may be equally many")
def vectors_with_equal_sizes(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_vectors(seen, component(states=numbers.tensor(5, 5, 5), mask=kept(5, 4, 3, 2, 1, time=5)), "5 of each")


@probe("sentence_embedding", "gradients reach the states that count")
def vectors_pass_gradients(component: Component, numbers: Numbers, seen: Observations) -> None:
    seen.gradients(component(**padded(numbers), gradients=True))


@probe("sentence_embedding", "the arguments are not changed")
def vectors_change_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    unchanged(seen, component(**padded(numbers)))


@probe("sentence_embedding", "the vectors have the dtype of the states")
def vectors_have_the_dtype_of_the_states(component: Component, numbers: Numbers, seen: Observations) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        given = padded(numbers)
        reply = component(states=given["states"].to(dtype), mask=given["mask"])
        seen.note(f"dtype for {str(dtype).removeprefix('torch.')}", dtype_of(reply), reply.given)


@probe("sentence_embedding", "it works on the device of the states")
def vectors_follow_the_states(component: Component, numbers: Numbers, seen: Observations) -> None:
    on_their_device(seen, component(**padded(numbers), device="meta"))


# classifier_bug_input: the learner supplies texts, the probe classifies them all at once and with the broken component

BUG_SIZES: dict[str, Any] = dict(
    vocab_size=classification.REVIEWS.vocab_size,
    embed_dim=12,
    num_heads=3,
    ff_dim=13,
    num_layers=2,
    max_len=48,
    num_classes=5,
    pad_id=0,
)


@probe("classifier_bug_input", "each row is a text: [CLS] first, then known tokens, padding at the end only")
def bug_input_fits(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit, given="nothing")


@probe("classifier_bug_input", "the broken classification gives a text the logits of another one")
def bug_input_shows_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_effect(
        seen,
        "broken_classify on your input",
        component(),
        _misfit,
        lambda given: _effect(given.long(), numbers),
        given="nothing",
    )


def _misfit(tokens: Any) -> str:
    """Return what is wrong with tokens for a classifier, or nothing."""
    if not isinstance(tokens, torch.Tensor) or tokens.dim() != 2:
        return "is not a tensor with two axes, [batch, time]"
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        return "has to hold whole numbers"
    batch, time = tokens.shape
    if not (1 <= batch <= 64 and 1 <= time <= 48):
        return "has to hold 1 to 64 texts of 1 to 48 tokens"
    if tokens.min() < 0 or tokens.max() >= BUG_SIZES["vocab_size"]:
        return f"has to hold ids from 0 to {BUG_SIZES['vocab_size'] - 1}"
    if (tokens[:, 0] != 1).any():
        return "has to begin with [CLS], which is 1, in each row"
    padding = tokens == 0
    if (padding[:, :-1] & ~padding[:, 1:]).any():
        return "has padding, which is 0, in front of another token"
    return ""


def _effect(tokens: torch.Tensor, numbers: Numbers) -> str:
    """Say whether the bug shows on texts, and if not, what kind of texts they are."""
    model = parts.SequenceClassifier(**BUG_SIZES).eval()
    model.load_state_dict(model_weights(numbers, BUG_SIZES))
    with torch.no_grad():
        right, wrong = model(tokens)[0], broken_classify(model, tokens, pad_id=0)
    if not torch.allclose(right, wrong, atol=1e-3):
        return "gives wrong logits"
    lengths = (tokens != 0).sum(1)
    if len(tokens) == 1:
        return "is right: there is one text only"
    if (lengths == lengths[0]).all():
        return "is right: all texts have the same length"
    if (lengths[:-1] >= lengths[1:]).all():
        return "is right: the longest texts come first already"
    return "is right: sorting lets texts change places in pairs only"
