"""What is observed of the components of lesson 3. Sizes are distinct primes, so a swapped axis shows."""

import torch

from workbench import classification, parts
from workbench.broken.encoder_only import broken_classify

from ..calling.stubs import Activation, RandomGenerator
from . import kind, probe


def token_ids(numbers, *shape, low, high):
    """Return random token ids, `high` excluded."""
    return numbers.tensor(*shape, low=low, high=high).floor().long()


def listed(names):
    """Return names as a line, "none" if there are none."""
    return ", ".join(map(str, sorted(names))) or "none"


def unchanged(seen, reply):
    """Note whether the call left its arguments as they were."""
    seen.note("arguments changed in place", ", ".join(reply.changed) or "none", reply.given)


def on_their_device(seen, reply):
    """Note whether an answer for arguments on the meta device was made there."""
    fixed = reply.fault and "device" in reply.fault.message and "item()" not in reply.fault.message
    seen.note("made on the inputs' device", "no" if fixed else "yes", reply.given)


# SequenceClassifier

SIZES = dict(vocab_size=17, embed_dim=12, num_heads=3, ff_dim=13, num_layers=2, max_len=7, num_classes=5, pad_id=2)
CLS = 16


def model_weights(numbers, build):
    """Return numbers for all parameters of the contract."""
    weights = {}
    for name, tensor in parts.SequenceClassifier(**build).state_dict().items():
        low, high = (0.5, 1.5) if "norm" in name and name.endswith("weight") else (-0.5, 0.5)
        weights[name] = numbers.tensor(*tensor.shape, low=low, high=high)
    return weights


def texts(numbers, *lengths, time=7, pad_id=2):
    """Return texts [batch, time] of these lengths, [CLS] first, the rest padding; no other token is padding."""
    tokens = token_ids(numbers, len(lengths), time, low=3, high=16)
    tokens[:, 0] = CLS
    for row, length in enumerate(lengths):
        tokens[row, length:] = pad_id
    return tokens


def see_model(seen, reply, tokens, label="", pad_id=2):
    """Note what a model returned: logits, the weights of each layer, and how much of them lies on padding."""
    start = f"{label}: " if label else ""
    seen.note(f"{start}answer", kind(reply), reply.given)
    seen.fault = seen.fault or reply.fault
    output = reply.output if isinstance(reply.output, (tuple, list)) else (reply.output,)
    for name, value in zip(("logits", "weights"), output, strict=False):
        seen.note(f"{start}form of {name}", form(value), reply.given)
    if not reply.fault and isinstance(output[0], torch.Tensor):
        seen.note(f"{start}logits", output[0], reply.given)
    if len(output) == 2 and isinstance(output[1], (tuple, list)):
        for index, weights in enumerate(output[1]):
            padding = (tokens == pad_id)[:, None, None, :]
            if isinstance(weights, torch.Tensor) and weights.dim() == 4 and weights.shape[-1] == tokens.shape[1]:
                seen.note(f"{start}largest weight on padding, layer {index}",
                          weights.masked_fill(~padding, 0.0).max(), reply.given)
            seen.note(f"{start}weights of layer {index}", weights, reply.given)


def form(value):
    """Return the shape of a tensor, or of the tensors in a list, in words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor {list(value.shape)}" + (", with NaN" if torch.isnan(value).any() else "")
    if isinstance(value, (tuple, list)):
        return f"a list of {len(value)}: " + ", ".join(map(form, value))
    return str(value)


def logits_of(reply):
    """Return the logits of a reply, or None."""
    output = reply.output[0] if isinstance(reply.output, (tuple, list)) and reply.output else reply.output
    return output if isinstance(output, torch.Tensor) else None


def differ(one, other):
    """Say whether the logits of two replies differ: "yes", "no", "cannot be told"."""
    one, other = logits_of(one), logits_of(other)
    if one is None or other is None or one.shape != other.shape:
        return "cannot be told"
    return "yes" if not torch.allclose(one, other, atol=1e-4) else "no"


@probe("SequenceClassifier", "embedding, norm, encoder, pooler and head have the parameters of the contract")
def classifier_has_its_parameters(component, numbers, seen):
    weights = model_weights(numbers, SIZES)
    reply = component(tokens=texts(numbers, 7, 7, 7), build=SIZES, weights=weights)
    seen.note("answer", kind(reply), reply.given)
    seen.fault = reply.fault
    seen.note("missing parameters", listed(name for name in weights if name not in reply.shapes), reply.given)
    other = [f"{name} {shape}" for name, shape in reply.shapes.items()
             if name in weights and shape != list(weights[name].shape)]
    seen.note("parameters of another shape", listed(other), reply.given)
    seen.note("superfluous parameters", listed(name for name in reply.trained if name not in weights), reply.given)


@probe("SequenceClassifier", "the head reads the first token alone")
def classifier_reads_the_first_token(component, numbers, seen):
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


@probe("SequenceClassifier", "through attention every token has a say")
def classifier_sees_all_tokens(component, numbers, seen):
    weights, tokens = model_weights(numbers, SIZES), texts(numbers, 7, 7)
    other = tokens.clone()
    other[:, 6] = 3 + (tokens[:, 6] - 3 + 5) % 13
    before, after = (component(tokens=given, build=SIZES, weights=weights) for given in (tokens, other))
    seen.note("logits change with the last token", differ(before, after), before.given)


@probe("SequenceClassifier", "tokens go through embedding, norm, encoder, pooler and head")
def classifier_computes(component, numbers, seen):
    tokens = texts(numbers, 7, 7, 7)
    see_model(seen, component(tokens=tokens, build=SIZES, weights=model_weights(numbers, SIZES)), tokens)


@probe("SequenceClassifier", "no token attends to padding")
def classifier_hides_padding(component, numbers, seen):
    weights, tokens = model_weights(numbers, SIZES), texts(numbers, 7, 4, 2)
    padded = component(tokens=tokens, build=SIZES, weights=weights)
    see_model(seen, padded, tokens)
    short = component(tokens=tokens[1:2, :4], build=SIZES, weights=weights)
    alone = logits_of(short)
    if logits_of(padded) is not None and alone is not None and len(logits_of(padded)) == 3:
        same = torch.allclose(logits_of(padded)[1:2], alone, atol=1e-4) if alone.dim() == 2 else False
        seen.note("logits of a text change if padding follows", "no" if same else "yes", padded.given)


@probe("SequenceClassifier", "padding is whatever pad_id says")
def classifier_takes_a_pad_id(component, numbers, seen):
    for pad_id in (0, 15):
        build = SIZES | dict(pad_id=pad_id)
        tokens = texts(numbers, 7, 3, pad_id=pad_id).clamp(max=14 if pad_id == 15 else 16)
        tokens[1, 3:] = pad_id
        tokens[0, 4] = 0 if pad_id == 15 else 2  # a token that is padding elsewhere
        reply = component(tokens=tokens, build=build, weights=model_weights(numbers, build))
        see_model(seen, reply, tokens, f"pad_id {pad_id}", pad_id)


@probe("SequenceClassifier", "as many texts as tokens, heads and classes is nothing special")
def classifier_with_equal_sizes(component, numbers, seen):
    build = SIZES | dict(embed_dim=4, num_heads=4, ff_dim=4, num_classes=4, max_len=4, num_layers=1)
    tokens = texts(numbers, 4, 3, 2, 4, time=4)
    see_model(seen, component(tokens=tokens, build=build, weights=model_weights(numbers, build)), tokens)


@probe("SequenceClassifier", "the activation is GELU, or the one that was asked for")
def classifier_passes_the_activation(component, numbers, seen):
    tokens, weights = texts(numbers, 5, 5, time=5), model_weights(numbers, SIZES)
    for name in ("its own", "tanh"):
        build = SIZES if name == "its own" else SIZES | dict(activation=Activation(name))
        see_model(seen, component(tokens=tokens, build=build, weights=weights), tokens, f"activation {name}")


@probe("SequenceClassifier", "dropout acts in training only, on the embedding and in the encoder")
def classifier_drops_in_training(component, numbers, seen):
    tokens, weights, build = texts(numbers, 5, 4, time=5), model_weights(numbers, SIZES), SIZES | dict(dropout=1.0)
    for when, training in (("evaluation", False), ("training, all dropped", True)):
        reply = component(tokens=tokens, build=build, weights=weights, training=training)
        see_model(seen, reply, tokens, when)


@probe("SequenceClassifier", "one layer or three, one head or four, two classes, a text of one token")
def classifier_comes_in_sizes(component, numbers, seen):
    for layers, heads, time in ((1, 4, 1), (3, 1, 7)):
        build, tokens = SIZES | dict(num_layers=layers, num_heads=heads, num_classes=2), texts(numbers, 7, 7, time=time)
        reply = component(tokens=tokens, build=build, weights=model_weights(numbers, build))
        see_model(seen, reply, tokens, f"{layers} layers, {heads} heads, {time} tokens")


@probe("SequenceClassifier", "a sequence longer than max_len is refused")
def classifier_refuses_long_sequences(component, numbers, seen):
    weights = model_weights(numbers, SIZES)
    reply = component(tokens=texts(numbers, 8, 8, time=8), build=SIZES, weights=weights)
    seen.note("answer", kind(reply), reply.given)


# mask_tokens. Draws are not the same on every machine, so what is noted are shares, rounded, of very many tokens.

VOCAB, MASK, SPECIAL = 41, 7, (0, 3, 5, 7)  # padding, [CLS], [SEP], [MASK]


def long_texts(numbers, batch=120, time=500):
    """Return texts in which only even ids from 8 on occur, between [CLS] and [SEP], with padding behind some."""
    places = torch.arange(batch * time).reshape(batch, time)
    first = numbers.permutation(17)[0]
    tokens = 8 + 2 * ((places * 7 + first) % 17)
    tokens[:, 0], tokens[:, -1] = 3, 5
    tokens[::3, -100], tokens[::3, -99:] = 5, 0
    return tokens


GENERATOR = RandomGenerator(3)


def how(special_ids=SPECIAL, probability=0.15, generator=GENERATOR):
    """Return the arguments of mask_tokens after the tokens, in order."""
    return dict(mask_id=MASK, vocab_size=VOCAB, special_ids=list(special_ids), probability=probability,
                generator=generator)


def see_masked(seen, reply, tokens, label, many=True):
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
        "the same for all texts, or for all places of a text": alike(chosen[:, 1:-100]),
    }
    if told["the same for all texts, or for all places of a text"] == "no":
        told |= {
            "share of ordinary tokens with a label": f"{round(share(chosen, ordinary) * 20) / 20:.2f}",
            "of tokens with a label, share of [MASK]": tenths(inputs == MASK, chosen & ordinary),
            "of tokens with a label, share that stays": tenths(inputs == tokens, chosen & ordinary),
        }
        if many:
            told["random tokens that never come"] = seldom(inputs[(inputs != tokens) & (inputs != MASK)])
    for name, value in told.items():
        seen.note(f"{label}: {name}", value, reply.given)


def alike(chosen):
    """Say whether some are chosen and others not, by whole rows or by whole columns."""
    rows, columns = (chosen == chosen[:1]).all(), (chosen == chosen[:, :1]).all()
    return "no" if rows and columns or not (rows or columns) else "for all texts" if rows else "for all places"


def share(which, among):
    """Return how many of some are also others, as a share; 0 of none."""
    return ((which & among).sum() / among.sum().clamp(min=1)).item()


def tenths(which, among):
    """Return a share in whole tenths, in words."""
    return f"{round(share(which, among) * 10)} tenths"


def seldom(replacements):
    """Say which ordinary tokens are never drawn as a replacement."""
    missing = set(range(VOCAB)) - set(SPECIAL) - set(replacements.unique().tolist())
    return listed(missing) if len(missing) <= 2 else "many" if len(replacements) else "all"


@probe("mask_tokens", "15 of 100 ordinary tokens get a label: 8 of 10 become [MASK], 1 a random token, 1 stays")
def masking_chooses_tokens(component, numbers, seen):
    tokens = long_texts(numbers)
    see_masked(seen, component(tokens=tokens, **how()), tokens, "probability 0.15", many=False)


@probe("mask_tokens", "the probability is the one that was asked for")
def masking_takes_a_probability(component, numbers, seen):
    tokens = long_texts(numbers)
    for probability in (0.5, 1.0):
        reply = component(tokens=tokens, **how(probability=probability))
        see_masked(seen, reply, tokens, f"probability {probability}")


@probe("mask_tokens", "only what special_ids names is special")
def masking_takes_special_ids(component, numbers, seen):
    tokens = long_texts(numbers)
    for special in ((3,), (0, 5)):
        reply = component(tokens=tokens, **how(special, 0.5))
        see_masked(seen, reply, tokens, f"special_ids {list(special)}")


@probe("mask_tokens", "all draws come from the generator")
def masking_uses_the_generator(component, numbers, seen):
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


def equal(one, other, index):
    """Say whether two replies have the same tensor at an index."""
    pair = [reply.output[index] for reply in (one, other)
            if isinstance(reply.output, tuple) and len(reply.output) > index]
    if len(pair) < 2 or not all(isinstance(value, torch.Tensor) for value in pair):
        return "cannot be told"
    return "yes" if torch.equal(*pair) else "no"


@probe("mask_tokens", "the argument stays as it was")
def masking_changes_nothing(component, numbers, seen):
    unchanged(seen, component(tokens=long_texts(numbers, 7, 211), **how()))


@probe("mask_tokens", "it works where the tokens are")
def masking_follows_the_tokens(component, numbers, seen):
    on_their_device(seen, component(tokens=long_texts(numbers, 7, 211), **how(generator=None), device="meta"))


# masked_language_model_loss

def see_loss(seen, reply, label=""):
    """Note a loss, after the places whose logits have a part in it."""
    start = f"{label}: " if label else ""
    found = seen.see(reply, "loss", label=label)
    gradient = reply.gradients.get("logits")
    if reply.gradients:
        counts = "no gradient arrives" if gradient is None else gradient.abs().sum(-1).gt(0).float()
        seen.note(f"{start}places whose logits count", counts, reply.given)
    for value in found.values():
        seen.note(f"{start}loss", value, reply.given)
    if gradient is not None:
        seen.note(f"{start}gradient of logits", gradient, reply.given)


def some_labels(numbers, batch, time, vocab_size):
    """Return labels of which each row has another number, and -100 elsewhere."""
    labels = token_ids(numbers, batch, time, low=0, high=vocab_size)
    for row in range(batch):
        labels[row, numbers.permutation(time)[1 + row:]] = -100
    return labels


@probe("masked_language_model_loss", "the mean over all places with a label, and no others")
def guesses_cost_where_they_were_asked(component, numbers, seen):
    see_loss(seen, component(logits=numbers.tensor(3, 7, 11), labels=some_labels(numbers, 3, 7, 11), gradients=True))


@probe("masked_language_model_loss", "as many places as tokens in the vocabulary is nothing special")
def guesses_with_equal_sizes(component, numbers, seen):
    for vocab_size in (6, 7):
        see_loss(seen, component(logits=numbers.tensor(3, 7, vocab_size), labels=some_labels(numbers, 3, 7, vocab_size),
                                 gradients=True), f"7 places, vocabulary of {vocab_size}")


@probe("masked_language_model_loss", "sure and right costs nothing")
def guesses_of_a_sure_model(component, numbers, seen):
    labels = some_labels(numbers, 2, 5, 7)
    logits = 40.0 * torch.nn.functional.one_hot(labels.clamp(min=0), 7)
    see_loss(seen, component(logits=logits, labels=labels))


@probe("masked_language_model_loss", "token 0 is a label like any other, and all places may have one")
def guesses_of_token_0(component, numbers, seen):
    labels = some_labels(numbers, 3, 7, 11)
    labels[:, 2:4] = 0
    see_loss(seen, component(logits=numbers.tensor(3, 7, 11), labels=labels, gradients=True), "token 0")
    labels = token_ids(numbers, 3, 7, low=0, high=11)
    see_loss(seen, component(logits=numbers.tensor(3, 7, 11), labels=labels, gradients=True), "labels everywhere")


@probe("masked_language_model_loss", "the arguments stay as they were")
def guesses_change_nothing(component, numbers, seen):
    unchanged(seen, component(logits=numbers.tensor(3, 7, 11), labels=some_labels(numbers, 3, 7, 11)))


@probe("masked_language_model_loss", "it works where the inputs are")
def guesses_follow_the_inputs(component, numbers, seen):
    on_their_device(seen, component(logits=numbers.tensor(3, 7, 11), labels=some_labels(numbers, 3, 7, 11),
                                    device="meta"))


# sentence_embedding

def kept(*lengths, time=7):
    """Return a mask [batch, time], True at the first places of each row."""
    return torch.arange(time) < torch.tensor(lengths)[:, None]


def see_vectors(seen, reply, label):
    """Note the lengths of the vectors, and the vectors."""
    for value in seen.see(reply, "vectors", label=label).values():
        seen.note(f"{label}: length of each vector", value.norm(dim=-1), reply.given)
        seen.note(f"{label}: vectors", value, reply.given)


@probe("sentence_embedding", "the mean of all states, scaled to length 1")
def vectors_are_means(component, numbers, seen):
    see_vectors(seen, component(states=numbers.tensor(3, 7, 5), mask=kept(7, 7, 7)), "no padding")


@probe("sentence_embedding", "padding is no part of the mean")
def vectors_leave_padding_out(component, numbers, seen):
    see_vectors(seen, component(states=numbers.tensor(3, 7, 5), mask=kept(7, 4, 1)), "padding behind")
    see_vectors(seen, component(states=numbers.tensor(3, 7, 5), mask=numbers.mask(3, 7)), "padding anywhere")


@probe("sentence_embedding", "as many texts as tokens and features is nothing special")
def vectors_with_equal_sizes(component, numbers, seen):
    see_vectors(seen, component(states=numbers.tensor(5, 5, 5), mask=kept(5, 4, 3, 2, 1, time=5)), "5 of each")


@probe("sentence_embedding", "gradients reach the states that count")
def vectors_pass_gradients(component, numbers, seen):
    seen.gradients(component(states=numbers.tensor(3, 7, 5), mask=kept(7, 4, 1), gradients=True))


@probe("sentence_embedding", "the arguments stay as they were")
def vectors_change_nothing(component, numbers, seen):
    unchanged(seen, component(states=numbers.tensor(3, 7, 5), mask=kept(7, 4, 1)))


@probe("sentence_embedding", "it works where the states are")
def vectors_follow_the_states(component, numbers, seen):
    on_their_device(seen, component(states=numbers.tensor(3, 7, 5), mask=kept(7, 4, 1), device="meta"))


# classifier_bug_input: the learner supplies texts, the probe classifies them all at once and with the broken component

BUG_SIZES = dict(vocab_size=classification.REVIEWS.vocab_size, embed_dim=12, num_heads=3, ff_dim=13, num_layers=2,
                 max_len=48, num_classes=5, pad_id=0)


@probe("classifier_bug_input", "the tokens are texts: [CLS] first, then known tokens, padding at the end only")
def bug_input_fits(component, numbers, seen):
    reply = component()
    seen.note("answer", kind(reply), reply.given)
    seen.fault = reply.fault
    seen.note("what you return", misfit(reply.output) or "fits", reply.given)


@probe("classifier_bug_input", "the broken classification gives a text the logits of another one")
def bug_input_shows_the_bug(component, numbers, seen):
    reply = component()
    effect = "is not run" if misfit(reply.output) else effect_of_the_bug(reply.output.long(), numbers)
    seen.note("broken_classify on your input", effect, reply.given)


def misfit(tokens):
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


def effect_of_the_bug(tokens, numbers):
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
