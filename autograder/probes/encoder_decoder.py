"""What is observed of the components of lesson 5. Sizes are distinct primes, so a swapped axis shows."""

from collections.abc import Sequence
from typing import Any

import torch

from workbench import parts
from workbench.broken import encoder_decoder as broken

from ..calling.local import Reply
from ..calling.numbers import Numbers
from ..calling.stubs import TableTranslator
from . import Component, Observations, probe
from .bugs import INTEGERS, see_effect, see_fit
from .see import (
    dtype_of,
    moved,
    on_their_device,
    see_all,
    see_output,
    see_parameters,
    unchanged,
)
from .tokens import integers, source_and_target
from .weights import anew, doubled, encoder_decoder

# shift_right


@probe("shift_right", "the begin token comes first, each token moves one place, and the last one falls off")
def tokens_move_one_place(component: Component, numbers: Numbers, seen: Observations) -> None:
    for bos_id in (numbers.size(13, 11, 12), numbers.size(17, 18, 40)):
        reply = component(tokens=integers(numbers, *numbers.axes(3, 7), below=11), bos_id=bos_id)
        see_output(seen, reply, f"bos_id {bos_id}", "tokens")


@probe("shift_right", "a row may hold a single token, and there may be as many rows as tokens")
def any_shape_is_shifted(component: Component, numbers: Numbers, seen: Observations) -> None:
    for shape in (numbers.axes(5, 1), numbers.axes(1, 5), numbers.axes(5, 5)):
        reply = component(tokens=integers(numbers, *shape, below=11), bos_id=13)
        see_output(seen, reply, f"tokens {list(shape)}", "tokens")


@probe("shift_right", "the given tokens are not changed")
def shift_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    reply = component(tokens=integers(numbers, *numbers.axes(3, 7), below=11), bos_id=13)
    unchanged(seen, reply)


@probe("shift_right", "dtype and device are those of the tokens")
def shift_follows_the_tokens(component: Component, numbers: Numbers, seen: Observations) -> None:
    tokens = integers(numbers, *numbers.axes(3, 7), below=11)
    for dtype in (torch.int64, torch.int32):
        reply = component(tokens=tokens.to(dtype), bos_id=13)
        seen.note(f"answer for {dtype}", dtype_of(reply), reply.given)
    reply = component(tokens=tokens, bos_id=13, device="meta")
    on_their_device(seen, reply, name="made on the tokens' device")


# EncoderDecoder

PAD, BOS = 3, 5
SIZES: dict[str, Any] = dict(
    source_vocab_size=11,
    target_vocab_size=13,
    embed_dim=6,
    num_heads=2,
    ff_dim=7,
    encoder_layers=1,
    decoder_layers=2,
    max_len=19,
    pad_id=PAD,
    bos_id=BOS,
)


def see_logits(seen: Observations, reply: Reply, target: torch.Tensor | None = None, label: str = "") -> None:
    """Note logits [batch, queries, vocab_size], except where the target is padding: those places do not matter."""
    if target is not None and isinstance(reply.output, torch.Tensor) and reply.output.shape[:2] == target.shape:
        reply.output = reply.output.masked_fill((target == PAD)[:, :, None], 0.0)
    see_all(seen, reply, "logits", label=label)


WIDTHS = "source_vocab_size", "target_vocab_size", "embed_dim", "ff_dim", "max_len"


@probe("EncoderDecoder", "its parts are two embeddings, an encoder, a decoder and a head, by the names of the contract")
def parts_have_their_names(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES, *WIDTHS)
    weights = encoder_decoder(numbers, build)
    reply = component(build=build, weights=weights, **source_and_target(numbers, build))
    see_parameters(seen, reply, weights)
    for side in ("source_embedding", "target_embedding"):
        tables = [str(shape) for name, shape in reply.shapes.items() if name.startswith(f"{side}.position")]
        seen.note(f"positions of {side}", ", ".join(tables) or "none", reply.given)


@probe("EncoderDecoder", "encode embeds the source and hides its padding")
def encode_reads_the_source(component: Component, numbers: Numbers, seen: Observations) -> None:
    build, (batch, keys, queries) = anew(numbers, SIZES, *WIDTHS), numbers.axes(3, 7, 5)
    given = source_and_target(numbers, build, batch, keys, queries)
    reply = component(build=build, weights=encoder_decoder(numbers, build), method="encode", source=given["source"])
    see_all(seen, reply, "memory", "weights", mask={"weights": (given["source"] != PAD)[:, None, :]})


@probe("EncoderDecoder", "decode does not shift its tokens, and attends to no later token and no source padding")
def decode_reads_tokens_and_memory(component: Component, numbers: Numbers, seen: Observations) -> None:
    build, (batch, keys, queries) = anew(numbers, SIZES, *WIDTHS), numbers.axes(3, 7, 5)
    given = source_and_target(numbers, build, batch, keys, queries)
    tokens = integers(numbers, batch, queries, below=13, without=(PAD,))
    memory = numbers.tensor(batch, keys, build["embed_dim"], low=-1.0, high=1.0)
    reply = component(
        build=build,
        weights=encoder_decoder(numbers, build),
        method="decode",
        tokens=tokens,
        memory=memory,
        source=given["source"],
    )
    see_all(
        seen,
        reply,
        "logits",
        "self_weights",
        "cross_weights",
        mask={
            "self_weights": torch.ones(1, queries, queries, dtype=torch.bool).tril(),
            "cross_weights": (given["source"] != PAD)[:, None, :],
        },
    )


def moved_logits(before: Reply, after: Reply) -> str:
    """Say at which places logits [batch, queries, vocab_size] differ between two replies that are nothing else."""
    alone = all(isinstance(reply.output, torch.Tensor) for reply in (before, after))
    return moved(before, after, axes=3) if alone else "cannot be told"


@probe("EncoderDecoder", "the logits at each place predict the target's token there from those before it")
def logits_do_not_see_their_token(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = source_and_target(numbers, SIZES, padded=False)
    how: dict[str, Any] = dict(build=SIZES, weights=encoder_decoder(numbers, SIZES))
    before = component(**how, **given)
    other = given["target"].clone()
    other[:, 2] = (other[:, 2] + 1 + (other[:, 2] + 1 == PAD).long()) % 13
    after = component(**how, source=given["source"], target=other)
    seen.note("places whose logits move with token 2 of the target", moved_logits(before, after), before.given)
    see_logits(seen, before)


@probe("EncoderDecoder", "padding behind a source does not change the logits")
def padding_means_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    given = source_and_target(numbers, SIZES, padded=False)
    how: dict[str, Any] = dict(build=SIZES, weights=encoder_decoder(numbers, SIZES))
    alone = component(**how, **given)
    padded = torch.cat([given["source"], torch.full((3, 2), PAD)], dim=1)
    longer = component(**how, source=padded, target=given["target"])
    stay = moved_logits(alone, longer) == "none"
    seen.note("logits move with padding behind the source", "no" if stay else "yes", longer.given)
    see_logits(seen, longer)


@probe("EncoderDecoder", "the logits of a padded batch are those of the transformer")
def logits_of_a_padded_batch(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = anew(numbers, SIZES, *WIDTHS)
    batch, keys, queries = numbers.axes(3, 7, 5)
    given = source_and_target(numbers, build, batch, keys, queries)
    reply = component(build=build, weights=encoder_decoder(numbers, build), **given)
    see_logits(seen, reply, given["target"])


@probe("EncoderDecoder", "source and target may have the same length, and vocabularies of the same size")
def equal_sizes_are_nothing_special(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = SIZES | dict(source_vocab_size=13, encoder_layers=1, decoder_layers=1)
    given = source_and_target(numbers, build, batch=5, keys=5, queries=5)
    given["target"][:, -1] = 7  # here no place of the target is padding, so all are compared
    given["target"][given["target"] == PAD] = 8
    see_logits(seen, component(build=build, weights=encoder_decoder(numbers, build), **given))


@probe("EncoderDecoder", "encoder and decoder may have different depths")
def depths_may_differ(component: Component, numbers: Numbers, seen: Observations) -> None:
    for encoder_layers, decoder_layers in ((3, 1), (1, 3)):
        build = SIZES | dict(encoder_layers=encoder_layers, decoder_layers=decoder_layers)
        weights = encoder_decoder(numbers, build)
        reply = component(build=build, weights=weights, **source_and_target(numbers, build, padded=False))
        label = f"{encoder_layers} encoder layers, {decoder_layers} decoder layers"
        see_parameters(seen, reply, weights, label)
        see_logits(seen, reply, label=label)


@probe("EncoderDecoder", "norm_first makes both stacks pre-norm")
def norm_first_reaches_both_stacks(component: Component, numbers: Numbers, seen: Observations) -> None:
    heads = numbers.size(2, 4, 4)  # even, as embed_dim is, for sines and cosines come in pairs
    build = anew(numbers, SIZES, *WIDTHS) | dict(norm_first=True, num_heads=heads, embed_dim=heads * numbers.axis(3))
    weights = encoder_decoder(numbers, build)
    batch, keys, queries = numbers.axes(3, 7, 5)
    given = source_and_target(numbers, build, batch, keys, queries, padded=False)
    reply = component(build=build, weights=weights, **given)
    see_parameters(seen, reply, weights)
    see_logits(seen, reply)


@probe("EncoderDecoder", "other values of pad_id and bos_id are used")
def ids_are_respected(component: Component, numbers: Numbers, seen: Observations) -> None:
    for pad_id, bos_id in ((0, 1), (7, 0)):
        build = SIZES | dict(pad_id=pad_id, bos_id=bos_id, encoder_layers=1, decoder_layers=1)
        given = source_and_target(numbers, build)
        given["target"] = integers(numbers, 3, 5, below=13, without=(pad_id,))
        see_logits(
            seen,
            component(build=build, weights=encoder_decoder(numbers, build), **given),
            label=f"pad_id {pad_id}, bos_id {bos_id}",
        )


@probe("EncoderDecoder", "dropout acts on both sides in training, and nowhere in evaluation")
def dropout_acts_in_training(component: Component, numbers: Numbers, seen: Observations) -> None:
    # With probability 1 everything is dropped, with 0.5 in evaluation nothing: both leave nothing to chance.
    given = source_and_target(numbers, SIZES, padded=False)
    for dropout, training in ((1.0, True), (0.5, False)):
        build = SIZES | dict(dropout=dropout)
        label = f"dropout {dropout}, {'training' if training else 'evaluation'}"
        how: dict[str, Any] = dict(build=build, weights=encoder_decoder(numbers, build), training=training)
        see_logits(seen, component(**how, **given), label=label)
        if training:
            see_all(
                seen,
                component(**how, method="encode", source=given["source"]),
                "memory",
                "weights",
                label=f"encode, {label}",
            )


@probe("EncoderDecoder", "gradients reach every parameter")
def gradients_reach_all_parameters(component: Component, numbers: Numbers, seen: Observations) -> None:
    weights = doubled(encoder_decoder(numbers, SIZES))
    reply = component(build=SIZES, weights=weights, gradients=True, **source_and_target(numbers, SIZES, padded=False))
    seen.fault = seen.fault or reply.fault
    # A bias of the key adds the same to all scores of a query, so what arrives there is rounding and no more.
    names = [name for name in weights if not name.endswith("k_proj.bias")]
    arrives = {name: reply.gradients.get(f"weights.{name}") for name in names}
    seen.note(
        "parameters that no gradient reaches",
        ", ".join(name for name in names if arrives[name] is None) or "none",
        reply.given,
    )
    sizes = [torch.zeros(()) if gradient is None else gradient.norm().float() for gradient in arrives.values()]
    seen.note("length of the gradient of each parameter", torch.stack(sizes), reply.given)


@probe("EncoderDecoder", "source and target are not changed, and the model works on their device")
def model_follows_its_inputs(component: Component, numbers: Numbers, seen: Observations) -> None:
    build = SIZES | dict(decoder_layers=1)
    given = source_and_target(numbers, build)
    how: dict[str, Any] = dict(build=build, weights=encoder_decoder(numbers, build))
    reply = component(**how, **given)
    unchanged(seen, reply)
    on_their_device(seen, component(**how, **given, device="meta"), name="works on another device")


# Decoding, with a model that looks its logits up

VOCAB, SOURCE_VOCAB, ROWS = 11, 13, 101


def ids(numbers: Numbers) -> dict[str, Any]:
    """Return the special ids as keyword arguments: others in official grading, as axes are."""
    return dict(bos_id=numbers.axis(7), eos_id=numbers.axis(4), pad_id=numbers.axis(9))


def translator(
    numbers: Numbers, lengths: Sequence[int] | None = None, eos: float = 0.0, flat: float = 0.37
) -> TableTranslator:
    """Return a model whose logits differ in every row, so that no two tokens tie.

    lengths  how long its texts are, one per source token; None: the end of sequence is a token like others
    eos      what is added to the logit of the end of sequence
    flat     how far neighbours in a row are apart
    """
    special, vocab_size = ids(numbers), numbers.axis(VOCAB)
    rows = [numbers.permutation(vocab_size) for _ in range(ROWS)]
    table = torch.tensor(rows) * flat + numbers.tensor(ROWS, vocab_size, low=0.0, high=0.25)
    table[:, special["bos_id"]] -= 16.0
    table[:, special["pad_id"]] -= 16.0
    table[:, special["eos_id"]] += eos
    ends = None
    if lengths:
        ends = torch.tensor([lengths[token % len(lengths)] for token in range(SOURCE_VOCAB)])
    return TableTranslator(table, special["bos_id"], special["eos_id"], ends)


def sources(numbers: Numbers, batch: int, keys: int = 3) -> torch.Tensor:
    """Return [batch, keys] source tokens whose first tokens are 0, 1, 2 ...: each row has its own length of text."""
    source = integers(numbers, batch, keys, below=SOURCE_VOCAB)
    source[:, 0] = torch.arange(batch)
    return source


def see_tokens(seen: Observations, reply: Reply, label: str = "") -> None:
    """Note the tokens that were written."""
    see_output(seen, reply, label, "tokens")


@probe("greedy_decode", "each token is the most probable one after the text so far", chooses=True)
def greedy_takes_the_most_probable(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, lengths=[numbers.axis(5)])
    source = sources(numbers, 1, numbers.size(3, 4, 11))
    see_tokens(seen, component(model=model, source=source, **ids(numbers), max_len=numbers.axis(7)))


@probe("greedy_decode", "each row of a batch ends on its own, and padding follows its end", chooses=True)
def greedy_rows_end_by_themselves(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, lengths=numbers.axes(3, 6, 2, 5, 1))
    see_tokens(
        seen, component(model=model, source=sources(numbers, 5, numbers.size(3, 4, 11)), **ids(numbers), max_len=11)
    )


@probe("greedy_decode", "decoding stops after max_len tokens, whether or not the texts have ended", chooses=True)
def greedy_stops_at_max_len(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, lengths=[3, 9, 5])
    for max_len in (1, 5, 7):
        reply = component(model=model, source=sources(numbers, 3), **ids(numbers), max_len=max_len)
        see_tokens(seen, reply, f"max_len {max_len}")


@probe("greedy_decode", "other values of bos_id and pad_id are used", chooses=True)
def greedy_respects_ids(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, lengths=[3, 5])
    others = ids(numbers) | dict(bos_id=0, pad_id=1)
    see_tokens(seen, component(model=model, source=sources(numbers, 2), **others, max_len=7))


@probe("greedy_decode", "each source is encoded once", chooses=True)
def greedy_encodes_once(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, lengths=[3, 6, 2])
    reply = component(model=model, source=sources(numbers, 3), **ids(numbers), max_len=7)
    see_tokens(seen, reply)  # few steps are no merit where the tokens are wrong
    _encoded(seen, reply, 3)


def _encoded(seen: Observations, reply: Reply, batch: int, beams: int = 0) -> None:
    rows = reply.reports.get("model", {}).get("rows encoded", 0)
    words = {batch: "once", 0: "never", batch * beams: "once for every beam"} if beams else {batch: "once", 0: "never"}
    seen.note("each source is encoded", words.get(rows, "again and again"), reply.given)


@probe("greedy_decode", "the source is not changed", chooses=True)
def greedy_changes_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, lengths=[3, 6, 2])
    reply = component(model=model, source=sources(numbers, 3), **ids(numbers), max_len=7)
    unchanged(seen, reply)


# beam_search


def see_texts(seen: Observations, reply: Reply, label: str = "") -> None:
    """Note the scores and the tokens of the best texts."""
    found = seen.see(reply, "tokens", "scores", label=label)
    for name in reversed(found):
        seen.note(name, found[name], reply.given, label)


@probe("beam_search", "two beams find the text with the largest sum of log-probabilities", chooses=True)
def two_beams_find_the_best_text(component: Component, numbers: Numbers, seen: Observations) -> None:
    for batch in (1, 5):
        model = translator(numbers, eos=0.75)
        reply = component(
            model=model, source=sources(numbers, batch), **ids(numbers), max_len=7, num_beams=2, length_penalty=0.0
        )
        see_texts(seen, reply, f"a batch of {batch}")


@probe("beam_search", "sums are divided by the number of tokens to the power of length_penalty", chooses=True)
def length_penalty_is_an_exponent(component: Component, numbers: Numbers, seen: Observations) -> None:
    for length_penalty in (1.0, 0.5, 2.0):
        model = translator(numbers, eos=0.5)
        reply = component(
            model=model,
            source=sources(numbers, 7),
            **ids(numbers),
            max_len=7,
            num_beams=3,
            length_penalty=length_penalty,
        )
        see_texts(seen, reply, f"length_penalty {length_penalty:g}")


@probe("beam_search", "without a length_penalty, sums are divided by the number of tokens", chooses=True)
def default_compares_means(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, eos=0.5)
    see_texts(seen, component(model=model, source=sources(numbers, 5), **ids(numbers), max_len=5, num_beams=2))


@probe("beam_search", "texts that end make room for others, and padding follows their end", chooses=True)
def finished_texts_are_set_aside(component: Component, numbers: Numbers, seen: Observations) -> None:
    # The end is probable everywhere; with a large penalty only a text that never ends can win.
    model = translator(numbers, eos=2.5)
    for length_penalty in (0.0, 1.0, 3.0):
        reply = component(
            model=model,
            source=sources(numbers, 7),
            **ids(numbers),
            max_len=7,
            num_beams=4,
            length_penalty=length_penalty,
        )
        see_texts(seen, reply, f"length_penalty {length_penalty:g}")


@probe("beam_search", "each row of the batch is searched on its own, and ends on its own", chooses=True)
def rows_are_searches_of_their_own(component: Component, numbers: Numbers, seen: Observations) -> None:
    model, source = (
        translator(numbers, lengths=numbers.axes(3, 6, 2, 5, 1)),
        sources(numbers, 5, numbers.size(3, 4, 11)),
    )
    reply = component(model=model, source=source, **ids(numbers), max_len=11, num_beams=3, length_penalty=0.0)
    see_texts(seen, reply)


@probe("beam_search", "a text that reaches max_len counts as finished", chooses=True)
def texts_at_max_len_count(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, eos=-16.0)
    for max_len in (1, 5):
        reply = component(
            model=model, source=sources(numbers, 3), **ids(numbers), max_len=max_len, num_beams=3, length_penalty=1.0
        )
        see_texts(seen, reply, f"max_len {max_len}")


@probe("beam_search", "one beam without a length penalty is greedy decoding", chooses=True)
def one_beam_is_greedy(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, eos=0.75)
    reply = component(
        model=model, source=sources(numbers, 5), **ids(numbers), max_len=7, num_beams=1, length_penalty=0.0
    )
    see_texts(seen, reply)


@probe("beam_search", "each source is encoded once", chooses=True)
def beams_encode_once(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, eos=0.5)
    reply = component(
        model=model, source=sources(numbers, 3), **ids(numbers), max_len=5, num_beams=2, length_penalty=1.0
    )
    see_texts(seen, reply)
    _encoded(seen, reply, 3, beams=2)


@probe("beam_search", "the source is not changed", chooses=True)
def beams_change_nothing(component: Component, numbers: Numbers, seen: Observations) -> None:
    model = translator(numbers, eos=0.5)
    reply = component(
        model=model, source=sources(numbers, 3), **ids(numbers), max_len=5, num_beams=2, length_penalty=1.0
    )
    unchanged(seen, reply)


# translator_bug_input: the learner supplies a source, the probe lets a model that copies be decoded in both ways


@probe("translator_bug_input", "you return source tokens of shape [batch, keys]")
def bug_source_fits(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_fit(seen, component(), _misfit)


@probe("translator_bug_input", "broken_greedy_decode writes a wrong text for it")
def bug_source_shows_the_bug(component: Component, numbers: Numbers, seen: Observations) -> None:
    see_effect(seen, "broken_greedy_decode on your source", component(), _misfit, lambda given: _effect(given.long()))


def _misfit(source: Any) -> str:
    """Return what is wrong with source tokens, or nothing."""
    if not isinstance(source, torch.Tensor):
        return "is not a tensor"
    if source.dtype not in INTEGERS:
        return "the ids have to be integers"
    if source.dim() != 2:
        return "the tokens have to have two axes, batch and keys"
    if not 0 < source.shape[0] <= 100 or not 0 < source.shape[1] <= 20:
        return "there have to be 1 to 100 rows of 1 to 20 tokens"
    real = source != broken.PAD
    if source.min() < 0 or source.max() >= broken.VOCAB_SIZE or (real & (source <= broken.EOS)).any():
        return "the ids have to be from 3 to 9, or 0 for padding"
    if (real[:, 1:] & ~real[:, :-1]).any():
        return "padding has to stand at the end of a row"
    return ""


def _effect(source: torch.Tensor) -> str:
    """Say whether the bug shows on a source, and if not, what kind of source it is."""
    rules = dict(bos_id=broken.BOS, eos_id=broken.EOS, pad_id=broken.PAD, max_len=source.shape[1] + 1)
    right, wrong = (
        decode(broken.Copier(), source, **rules) for decode in (parts.greedy_decode, broken.broken_greedy_decode)
    )
    if not torch.equal(right, wrong):
        return "writes a wrong text"
    lengths = (source != broken.PAD).sum(dim=1)
    if len(source) == 1:
        return "is right: there is one row only"
    if (source == source[0]).all():
        return "is right: all rows are alike"
    if lengths.min() == lengths.max():
        return "is right: all rows end at the same step"
    return "is right: no row ends more than one step before the last"
