"""Views of attention: what is collected, what is packed into a page, what is drawn as a picture, what is refused."""

import base64
import gzip
import hashlib
import html
import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import lessons
import numpy as np
import pytest
import tables
import torch
from IPython.core.formatters import DisplayFormatter
from matplotlib.axes import Axes
from PIL import Image
from torch import nn

import workbench.views.bertviz as scripts
from autograder.assemble import assemble
from workbench import parts, views
from workbench.figures import Picture
from workbench.parts import (
    EncoderDecoder,
    GroupedQueryAttention,
    LanguageModel,
    MultiHeadAttention,
    SelfAttention,
    SequenceClassifier,
)
from workbench.views import palette
from workbench.views.pack import Pack, rounded, unpack

SOURCE, TARGET = torch.tensor([[5, 8, 7, 4, 9, 6, 2], [5, 4, 2, 0, 0, 0, 0]]), torch.tensor([[9, 6, 8, 4, 2]] * 2)
VIEWS = [views.head_view, views.model_view, views.neuron_view]


def loud(model):
    """Return a model whose weights differ much from equal ones."""
    torch.manual_seed(5)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.6)
    return model.eval()


@pytest.fixture(scope="module", params=["boxes", "lessons"])
def whose(request):
    """The closed boxes, or the parts that the lessons build."""
    return None if request.param == "boxes" else assemble(lessons.REPOSITORY / "solutions", check=False)


def translator(whose=None, encoder=1, decoder=2):
    build = whose.encoder_decoder if whose else EncoderDecoder
    return loud(build(23, 29, 30, 3, 17, encoder, decoder, 11, 0, 1))


# What is collected


def test_the_weights_are_those_that_the_model_returns(whose):
    model = translator(whose)
    with torch.no_grad():
        memory, encoder = model.encode(SOURCE)
        read = torch.cat([torch.ones(2, 1, dtype=torch.long), TARGET[:, :-1]], dim=1)
        _, decoder, cross = model.decode(read, memory, SOURCE)
    seen = views.collect(model, SOURCE, TARGET, row=1)
    assert [kind.name for kind in seen.kinds] == ["encoder", "decoder", "cross"]
    for name, layers in (("encoder", encoder), ("decoder", decoder), ("cross", cross)):
        torch.testing.assert_close(torch.stack(seen[name].weights), torch.stack(layers)[:, 1])


@pytest.mark.parametrize("name", ["encoder", "decoder", "cross"])
def test_the_weights_are_the_softmax_of_the_queries_and_keys(whose, name):
    kind = views.collect(translator(whose), SOURCE, TARGET, row=1)[name]
    for weights, queries, keys in zip(kind.weights, kind.queries, kind.keys, strict=True):
        assert queries.shape == (3, weights.shape[1], 10) and keys.shape == (3, weights.shape[2], 10)
        scores = queries @ keys.mT / 10**0.5
        torch.testing.assert_close(scores.masked_fill(weights == 0, -torch.inf).softmax(-1), weights)


def test_a_model_with_one_stack_has_self_attention(whose):
    classifier = loud((whose.classifier if whose else SequenceClassifier)(23, 30, 3, 17, 2, 11, 5, 0))
    language = loud((whose.language_model if whose else LanguageModel)(23, 30, 5, 17, 3, 11))
    for model, size in ((classifier, (2, 3, 7, 7)), (language, (3, 5, 7, 7))):
        seen = views.collect(model, SOURCE)
        assert [kind.name for kind in seen.kinds] == ["self"] and seen["self"].size == size
        with torch.no_grad():
            torch.testing.assert_close(torch.stack(seen["self"].weights), torch.stack(model(SOURCE)[1])[:, 0])


def test_rows_are_named_after_what_the_decoder_reads():
    seen = views.collect(translator(), SOURCE, TARGET)
    assert seen["cross"].rows == seen["decoder"].rows == ["1", "9", "6", "8", "4"]
    assert seen["cross"].columns == seen["encoder"].columns == ["5", "8", "7", "4", "9", "6", "2"]
    named = views.collect(translator(), SOURCE, TARGET, encoder_tokens="abcdefg", decoder_tokens="vwxyz")["cross"]
    assert named.rows == list("vwxyz") and named.columns == list("abcdefg")


def test_collecting_leaves_the_model_as_it_was():
    model = translator().train()
    views.collect(model, SOURCE, TARGET)
    assert model.training and all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    with pytest.raises(TypeError):
        views.collect(model, SOURCE)
    assert model.training and not any(module._forward_hooks for module in model.modules())


def test_dropout_does_not_act_while_it_is_collected():
    model = LanguageModel(23, 30, 5, 17, 3, 11, dropout=0.9)
    first, again = (views.collect(model, SOURCE)["self"].weights for _ in range(2))
    torch.testing.assert_close(torch.stack(first), torch.stack(again), rtol=0, atol=0)


def test_layers_that_are_one_module_are_shown_once_for_each_call():
    model = loud(SequenceClassifier(23, 30, 3, 17, 2, 11, 5, 0))
    model.encoder.layers = nn.ModuleList([model.encoder.layers[0]] * 3)
    kind = views.collect(model, SOURCE)["self"]
    assert kind.size[0] == 3 and not torch.equal(kind.weights[0], kind.weights[1])


def test_a_projection_that_serves_twice_gives_queries_first_and_keys_last():
    attention = loud(MultiHeadAttention(6, 2))
    attention.k_proj = attention.q_proj
    x, memory = torch.randn(1, 5, 6), torch.randn(1, 5, 6)
    kind = views.collect(attention, x, memory, memory)["self"]
    for vectors, given in ((kind.queries[0], x), (kind.keys[0], memory)):
        torch.testing.assert_close(vectors, attention.q_proj(given)[0].unflatten(-1, (2, 3)).transpose(0, 1))


def test_heads_in_groups_each_get_the_keys_of_their_group():
    attention = loud(GroupedQueryAttention(30, 6, 2))
    x = torch.randn(1, 7, 30, generator=torch.Generator().manual_seed(3))
    kind = views.collect(attention, x, x, x)["self"]
    assert kind.keys[0].shape == (6, 7, 5)
    torch.testing.assert_close((kind.queries[0] @ kind.keys[0].mT / 5**0.5).softmax(-1), kind.weights[0])


def test_one_head_is_collected_as_one_head():
    head = loud(SelfAttention(11, 5))
    kind = views.collect(head, torch.randn(2, 7, 11), row=1)["self"]
    assert kind.size == (1, 1, 7, 7) and kind.queries[0].shape == (1, 7, 5)


class Other(MultiHeadAttention):
    """Does something else than the softmax of queries times keys."""

    def forward(self, query, key, value, mask=None):
        output, weights = super().forward(query, key, value, mask)
        return output, weights.flip(-1)


class Silent(MultiHeadAttention):
    """Computes its queries without calling q_proj."""

    def forward(self, query, key, value, mask=None):
        return query, torch.eye(query.shape[1]).expand(1, self.num_heads, -1, -1)


def test_weights_that_do_not_come_from_queries_and_keys_are_told():
    x = torch.randn(1, 5, 6)
    told = views.neuron_view(views.collect(loud(Other(6, 2)), x, x, x), html_action="return").sentence
    assert "are not the softmax of these queries and keys: they differ by up to" in told
    for name in ("encoder", "decoder", "cross"):
        seen = views.Attention([views.collect(translator(), SOURCE, TARGET, row=1)[name]])
        assert "are not the softmax" not in views.neuron_view(seen, html_action="return").sentence


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: views.collect(nn.Linear(3, 3), torch.ones(1, 3)), "Linear called no attention module.*give the model"),
        (
            lambda: views.collect(translator(), SOURCE, TARGET, row=2),
            "row is 2, but the batch has 2 texts; count from 0",
        ),
        (
            lambda: views.collect(translator(), SOURCE, TARGET, encoder_tokens=["a"]),
            "1 tokens for the 7 queries",
        ),
        (
            lambda: views.collect(LanguageModel(23, 30, 5, 17, 3, 11), SOURCE)["cross"],
            "no 'cross' attention; choose from",
        ),
        (
            lambda: views.neuron_view(views.collect(Silent(6, 2), *[torch.ones(1, 5, 6)] * 3)),
            "q_proj or k_proj.*head_view",
        ),
    ],
)
def test_what_cannot_be_collected_says_why(make, message):
    with pytest.raises(views.ViewError, match=message):
        make()


def test_attention_without_one_matrix_per_head_is_refused():
    class Averaged(MultiHeadAttention):
        def forward(self, *given):
            output, weights = super().forward(*given)
            return output, weights.flatten()

    with pytest.raises(views.ViewError, match=r"returned \[50\] for its weights, where \[batch, heads"):
        views.collect(Averaged(6, 2), *[torch.ones(1, 5, 6)] * 3)


# BertViz's arguments


def weights(layers, heads, queries, keys, seed=3):
    random = torch.Generator().manual_seed(seed)
    return [(2 * torch.randn(1, heads, queries, keys, generator=random)).softmax(-1) for _ in range(layers)]


def unpacked(view):
    """Return what the page of a view holds: (data, {kind: weights [layers, heads, queries, keys]})."""
    packed = re.search(r'<script id="packed" type="text/plain">([^<]*)</script>', view.page)[1]
    text, stored = unpack(packed)

    def numbers(about):
        count = int(np.prod(about["shape"]))
        planes = np.frombuffer(stored, "u1")[about["at"] : about["at"] + 2 * count].reshape(2, count)
        return torch.tensor(planes.T.copy().view("<i2").reshape(about["shape"]) / about["scale"], dtype=torch.float32)

    data = text["data"]
    return data, {kind["name"]: numbers(kind["weights"]) for kind in data["kinds"]}


@pytest.mark.parametrize("view", VIEWS[:2])
def test_three_kinds_of_different_depth_and_any_four_digits_are_in_one_page(view):
    given = {"encoder": weights(1, 3, 7, 7), "decoder": weights(2, 3, 5, 5), "cross": weights(2, 3, 5, 7)}
    made = view(
        encoder_attention=given["encoder"],
        decoder_attention=given["decoder"],
        cross_attention=given["cross"],
        encoder_tokens=list("abcdefg"),
        decoder_tokens=list("vwxyz"),
        html_action="return",
    )
    data, packed = unpacked(made)
    assert [(kind["name"], kind["layers"], kind["left_text"], kind["right_text"]) for kind in data["kinds"]] == [
        ("encoder", [0], list("abcdefg"), list("abcdefg")),
        ("decoder", [0, 1], list("vwxyz"), list("vwxyz")),
        ("cross", [0, 1], list("vwxyz"), list("abcdefg")),
    ]
    for name, layers in given.items():
        torch.testing.assert_close(packed[name], torch.cat(layers), atol=5.1e-5, rtol=0)


def test_two_sentences_are_shown_by_themselves_and_between_them():
    given = weights(2, 3, 5, 5)
    data, packed = unpacked(views.head_view(given, list("abcde"), sentence_b_start=2, html_action="return"))
    assert [kind["name"] for kind in data["kinds"]] == [
        "all",
        "sentence A to A",
        "sentence B to B",
        "sentence A to B",
        "sentence B to A",
    ]
    for name, table in (
        ("A to A", torch.cat(given)[:, :, :2, :2]),
        ("B to B", torch.cat(given)[:, :, 2:, 2:]),
        ("A to B", torch.cat(given)[:, :, :2, 2:]),
        ("B to A", torch.cat(given)[:, :, 2:, :2]),
    ):
        torch.testing.assert_close(packed[f"sentence {name}"], table, atol=5.1e-5, rtol=0)
    assert data["kinds"][3]["left_text"] == ["a", "b"] and data["kinds"][3]["right_text"] == ["c", "d", "e"]


def test_marks_of_tokenizers_are_not_shown_unless_asked_for():
    words = ["Ġthe", "▁cat", "sat</w>", " ", "\n"]
    data, _ = unpacked(views.head_view(weights(1, 2, 5, 5), words, html_action="return"))
    assert data["kinds"][0]["left_text"] == [" the", " cat", "sat", "␣", "⏎"]
    data, _ = unpacked(views.head_view(weights(1, 2, 5, 5), words, prettify_tokens=False, html_action="return"))
    assert data["kinds"][0]["left_text"] == words


def test_chosen_layers_hold_for_the_kinds_that_have_them():
    data, packed = unpacked(
        views.head_view(
            encoder_attention=weights(1, 3, 7, 7),
            decoder_attention=weights(3, 3, 5, 5),
            encoder_tokens=list("abcdefg"),
            decoder_tokens=list("vwxyz"),
            include_layers=[0, 2],
            include_heads=[2],
            html_action="return",
        )
    )
    assert [(kind["layers"], kind["heads"]) for kind in data["kinds"]] == [([0], [2]), ([0, 2], [2])]
    torch.testing.assert_close(packed["decoder"][1, 0], weights(3, 3, 5, 5)[2][0, 2], atol=5.1e-5, rtol=0)


A, B = weights(2, 3, 5, 5), list("abcde")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(), "give `attention`, or one or more of.*neither is given"),
        (dict(attention=A, tokens=B, encoder_attention=A, encoder_tokens=B), "both are given"),
        (dict(attention=A), "self attention has no words; give `tokens`"),
        (dict(cross_attention=A, encoder_tokens=B), "cross attention has no words; give `decoder_tokens`"),
        (dict(cross_attention=A, decoder_tokens=B), "cross attention has no words; give `encoder_tokens`"),
        (
            dict(attention=A, tokens=B[:3]),
            "3 tokens for the 5 queries of the self attention; give one for each",
        ),
        (
            dict(attention=[torch.ones(2, 3, 5, 5)], tokens=B),
            r"layer 0 .* \[2, 3, 5, 5\].*choose one text, as in weights",
        ),
        (dict(attention=[torch.ones(5, 5)], tokens=B), r"is \[5, 5\], where \[1, heads.*one matrix per head"),
        (
            dict(attention=[A[0], A[1][:, :2]], tokens=B),
            r"layer 1 .* \[2, 5, 5\], layer 0 is \[3, 5, 5\]; give layers of",
        ),
        (dict(attention=[], tokens=B), "has no layers; give one tensor per layer"),
        (
            dict(attention=A, tokens=B, include_layers=[2]),
            r"include_layers is \[2\], but no attention has such a layer",
        ),
        (
            dict(attention=A, tokens=B, include_heads=[3]),
            "no head of the self attention with the number 3; choose from 0, 1",
        ),
        (dict(attention=A, tokens=B, sentence_b_start=5), "sentence_b_start is 5.*choose a number between 1 and 4"),
        (dict(attention=A, tokens=B, layer=2), "layer 2 is not shown; choose one of 0, 1"),
        (dict(attention=A, tokens=B, heads=[3]), "head 3 is not shown; choose one of 0, 1, 2"),
        (dict(attention=A, tokens=B, display_mode="black"), "display_mode is 'black'; choose \"light\""),
        (dict(attention=A, tokens=B, html_action="show"), 'html_action is \'show\'; choose "view" or "return"'),
    ],
)
def test_an_error_names_the_place_the_fact_and_the_remedy(given, message):
    with pytest.raises(views.ViewError, match=message):
        views.head_view(**given)


@pytest.mark.parametrize(
    ("view", "layers", "heads", "time", "fits"),
    [
        (views.head_view, 12, 3, 131, (11, None)),
        (views.head_view, 2, 12, 131, (None, 3)),
        (views.model_view, 7, 3, 101, (4, None)),
        (views.model_view, 2, 12, 131, (1, 8)),
    ],
)
def test_what_is_too_large_is_refused_with_what_would_fit(view, layers, heads, time, fits):
    given, words = [torch.zeros(1, heads, time, time)] * layers, ["a"] * time
    with pytest.raises(views.ViewError, match=rf"{layers} layers x {heads} heads.*a shorter text.*heat_map") as seen:
        view(given, words)
    deep, wide = (re.search(f"([0-9]+) {what}s? with include", str(seen.value)) for what in ("layer", "head"))
    assert (deep and int(deep[1]), wide and int(wide[1])) == fits
    view(
        given,
        words,
        include_layers=deep and range(int(deep[1])),
        include_heads=wide and range(int(wide[1])),
        html_action="return",
    )


def test_one_table_that_is_too_large_is_left_to_the_heat_map():
    given, words = [torch.zeros(1, 1, 401, 401)], ["a"] * 401
    with pytest.raises(views.ViewError, match="drawn: choose a shorter text, or look at one head with heat_map"):
        views.model_view(given, words)
    assert views.heat_map(given, words, html_action="return").png
    with pytest.raises(views.ViewError, match="1 tables with up to 521 positions; up to 64 and 512"):
        views.heat_map([torch.zeros(1, 1, 521, 521)], ["a"] * 521)


def test_the_neuron_view_refuses_what_a_browser_would_draw_too_slowly():
    kind = views.Kind(
        "self",
        [torch.zeros(2, 101, 101)],
        ["a"] * 101,
        ["a"] * 101,
        [torch.zeros(2, 101, 64)],
        [torch.zeros(2, 101, 64)],
    )
    with pytest.raises(views.ViewError, match="neuron_view.*10,201 lines at once.*drawn: choose a shorter text"):
        views.neuron_view(views.Attention([kind]))
    with pytest.raises(views.ViewError, match="needs queries and keys.*give what collect"):
        views.neuron_view(A, B)


# What a page is made of


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_the_same_in_every_run(view):
    seen = views.collect(translator(), SOURCE, TARGET)
    first, again = (view(seen, html_action="return") for _ in range(2))
    assert first.html == again.html and first.png == again.png and repr(first) == repr(again)
    code = (
        "from test_views import *; "
        f"print(hashlib.sha256(views.{view.__name__}(views.collect(translator(), SOURCE, TARGET), "
        "html_action='return').html.encode()).hexdigest())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(lessons.REPOSITORY / "tests")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert told == hashlib.sha256(first.html.encode()).hexdigest()


def test_a_page_is_small():
    words = [f"token{number}" for number in range(32)]
    for title, scale in (("random", 1), ("peaked", 3)):
        random = torch.Generator().manual_seed(0)
        for causal in (False, True):
            mask = torch.ones(32, 32, dtype=torch.bool).tril() if causal else torch.ones(32, 32, dtype=torch.bool)
            given = [
                (scale * torch.randn(1, 8, 32, 32, generator=random)).masked_fill(~mask, -torch.inf).softmax(-1)
                for _ in range(6)
            ]
            made = views.model_view(given, words, html_action="return")
            tables.row(
                "a page of 6 layers x 8 heads x 32 tokens",
                weights=f"{title}{', causal' if causal else ''}",
                page=len(made.page),
                numbers_alone=_packed_alone(given),
                still_picture=len(made.png),
            )
            assert len(made.page) < 210_000 and _packed_alone(given) < 85_000 and len(made.png) < 55_000


def _packed_alone(given):
    pack = Pack()
    pack.add(torch.cat(given))
    return len(pack.pack({}))


def test_nothing_of_a_page_is_there_twice_and_nothing_is_fetched():
    made = views.head_view(A, ["unmistakable", *B[1:]], html_action="return")
    assert made.html.count(html.escape(made.page)) == 1
    whole = gzip.decompress(base64.b64decode(re.search(r'text/plain">([^<]*)<', made.page)[1])).decode("latin1")
    assert whole.count("unmistakable") == 2 and "unmistakable" not in made.page  # a row and a column
    around = re.sub('srcdoc="[^"]*"', "", made.html)
    for text in (around, made.page):
        addresses = re.findall("(?:src|href|action|url)[=(]['\"]?([^ >]*)", text)
        assert all(address.startswith("data:image/png") for address in addresses)
    assert 'sandbox="allow-scripts"' in made.html
    assert "Apache License 2.0" in made.page and "BSD 3-Clause" in made.page


def test_numbers_keep_four_digits_and_never_overflow():
    numbers, scale = rounded(torch.tensor([0.12344, 0.99996, -0.5, 0.0]))
    assert numbers.tolist() == [1234, 10000, -5000, 0] and scale == 10_000
    numbers, scale = rounded(torch.tensor([123.456, -0.04, torch.nan, torch.inf]))
    assert numbers.tolist() == [12346, -4, 0, 0] and scale == 100


def test_the_scripts_are_bertviz_s_own_but_for_the_changes_that_are_listed():
    for view, changes in scripts.CHANGES.items():
        _, script = scripts.scripts(view)
        for old, new in changes:
            assert script.count(new) == 1 and old not in script
            script = script.replace(new, old)
        assert script == scripts._read("bertviz", f"{view}_view.js", "")


def test_another_version_of_bertviz_is_refused(monkeypatch):
    monkeypatch.setattr(scripts, "_read", lambda *place: "const params = OTHER;")
    with pytest.raises(views.ViewError, match="head_view.js has 0 lines 'const params.*install the version.*bertviz=="):
        scripts.scripts("head")
    monkeypatch.undo()
    with pytest.raises(views.ViewError, match="no_such_package has no a.js here; install it: pip install it"):
        scripts._read("no_such_package", "a.js", "pip install it")


def test_bertviz_itself_is_not_imported():
    code = (
        "import sys; from workbench import views; import torch; "
        "views.head_view([torch.ones(1, 2, 3, 3)], list('abc'), html_action='return'); "
        "print([name for name in sys.modules if name.split('.')[0] in ('bertviz', 'mpld3', 'transformers')])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"
    )


# Around the page


@pytest.fixture
def shown(monkeypatch):
    """The list of what a notebook would have been given to show."""
    given = []
    monkeypatch.setattr("IPython.display.display", given.append)
    return given


def test_a_view_has_a_page_a_picture_and_a_sentence(shown):
    made = views.head_view(A, B, html_action="return")
    assert shown == [] and views.head_view(A, B) is None
    bundle, about = DisplayFormatter().format(shown[0])
    assert set(bundle) == {"text/html", "image/png", "text/plain"} and bundle["text/html"] == made.html
    assert bundle["text/plain"] == about["image/png"]["alt"] == made.sentence
    assert re.search(
        "Self attention, 2 layers x 3 heads, 5 queries x 5 keys; strongest: in layer [01], head [012], "
        "“[a-e]” .* gives “[a-e]” .* 0.[0-9]{2}",
        made.sentence,
    )
    inside = re.search(r"<iframe[^>]*>([^<]*)</iframe>", made.html)[1]
    assert "2 layers x 3 heads" in inside and "trust the notebook" in inside
    assert base64.b64encode(made.png).decode() in made.html


def test_the_sentence_tells_the_strongest_weight_between_different_words():
    table = torch.eye(3) * 0.7 + 0.1
    table[2] = torch.tensor([0.04, 0.55, 0.41])
    given = [torch.full((1, 2, 3, 3), 1 / 3), torch.stack([torch.full((3, 3), 1 / 3), table])[None]]
    assert (
        "in layer 1, head 1, “c” (2) gives “b” (1) 0.55."
        in views.head_view(given, list("abc"), html_action="return").sentence
    )


def test_a_saved_page_is_the_page(tmp_path):
    made = views.head_view(A, B, html_action="return")
    assert made.save(tmp_path / "view.html").read_text(encoding="utf-8") == made.page


@pytest.mark.parametrize("view", [*VIEWS, views.heat_map])
def test_a_still_picture_shows_any_words_without_a_warning(view):
    words = ["$\\frac$", "漢字", "", "\\frac", "<b>", "🙂", "x" * 61]
    seen = views.collect(loud(LanguageModel(23, 30, 5, 17, 2, 11)), SOURCE, tokens=words)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = view(seen, html_action="return")
    image = Image.open(io.BytesIO(made.png))
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)  # white paper
    assert min(image.size) > 150 and len(image.convert("RGB").getcolors(10**6)) > 4


@pytest.mark.parametrize("view", VIEWS)
def test_a_still_picture_shows_the_weights(view):
    kinds = [
        views.Kind(
            "self", [table.repeat(2, 1, 1)], list("abc"), list("abc"), [torch.ones(2, 3, 5)], [torch.ones(2, 3, 5)]
        )
        for table in (torch.eye(3)[None], torch.eye(3).flip(0)[None])
    ]
    first, other = (view(views.Attention([kind]), html_action="return").png for kind in kinds)
    assert first != other


def test_numbers_that_are_not_finite_are_told():
    given = [torch.full((1, 2, 3, 3), torch.nan)]
    for view in (views.head_view, views.model_view):
        assert "18 weights are not finite and are drawn as 0" in view(given, list("abc"), html_action="return").sentence
    assert "9 weights are not finite" in views.heat_map(given, list("abc"), html_action="return").sentence


# Colours

BLINDNESS = {
    "none": np.eye(3),
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # in linear light, for complete blindness of one kind of cone (Machado, Oliveira and Fernandes 2009)


def linear(colour):
    value = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(light):
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    ratio = to_xyz @ np.clip(light, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", palette.COLOURS)
@pytest.mark.parametrize("blindness", BLINDNESS)
def test_eight_colours_differ_for_everybody(theme, blindness):
    seen = [lab(np.array(BLINDNESS[blindness]) @ linear(colour)) for colour in palette.COLOURS[theme]]
    closest = min(np.linalg.norm(one - other) for place, one in enumerate(seen) for other in seen[:place])
    assert len(seen) == 8 and closest > 30  # 2.3 is a difference that can just be noticed


@pytest.mark.parametrize("theme", palette.COLOURS)
def test_every_colour_stands_out_from_its_paper(theme):
    for colour in palette.COLOURS[theme]:
        dark, bright = sorted(0.05 + linear(one) @ [0.2126, 0.7152, 0.0722] for one in (colour, palette.PAPER[theme]))
        assert bright / dark >= 3  # what WCAG 2.2 asks of graphics (1.4.11)


# Beyond BertViz


def test_a_heat_map_writes_the_numbers(monkeypatch):
    words = dict(decoder_tokens=list("vwxyz"), encoder_tokens=list("abcdefg"))
    made = views.heat_map(cross_attention=weights(2, 3, 5, 7), **words, layer=1, head=2, html_action="return")
    table = weights(2, 3, 5, 7)[1][0, 2]
    assert isinstance(made, Picture) and made.sentence.startswith("cross, layer 1, head 2, each query's largest")
    for word, row in zip("vwxyz", table, strict=True):
        assert f"“{word}” to “{'abcdefg'[int(row.argmax())]}” {float(row.max()):.2f}" in made.sentence
    written, write = [], Axes.text
    monkeypatch.setattr(
        Axes,
        "text",
        lambda self, x, y, text, **named: (written.append((x, y, text)), write(self, x, y, text, **named))[1],
    )
    views.heat_map(cross_attention=[table[None, None]], **words, html_action="return")
    assert {(x, y): text for x, y, text in written} == {
        (key, query): f"{float(table[query, key]):.2f}".replace("0.", ".", 1) for query in range(5) for key in range(7)
    }


def test_a_heat_map_of_too_much_is_refused():
    with pytest.raises(views.ViewError, match="65 tables.*choose a layer or a head, or a shorter text"):
        views.heat_map(weights(5, 13, 2, 2), list("ab"))


def test_before_training_after_it_and_with_a_mistake_put_in(whose):
    assembly = whose or assemble(lessons.REPOSITORY / "solutions", {"EncoderDecoder": "box"}, check=False)
    sizes = (23, 29, 30, 3, 17, 1, 2, 11, 0, 1)
    before, after = (assembly.encoder_decoder(*sizes) for _ in range(2))
    loud(after)
    mistake = next(iter(lessons.catalogue("scaled_dot_product_attention").singles("attention_weights")))
    broken = assembly.switch("attention_weights", mistake.call).encoder_decoder(*sizes)
    broken.load_state_dict(after.state_dict())
    models = {"before training": before, "after training": after, "with a mistake": broken}
    made = views.before_and_after(models, SOURCE, TARGET, layer=1, head=2, html_action="return")
    parts_of = made.sentence.split("\n")
    assert [line.partition(",")[0] for line in parts_of] == list(models)
    assert all("cross, layer 1, head 2" in line for line in parts_of)
    assert len({line.partition(": ")[2] for line in parts_of}) == 3
    whole = views.collect(after, SOURCE, TARGET)["cross"].weights[1][2]
    assert f"“1” to “{SOURCE[0, int(whole[0].argmax())]}” {float(whole[0].max()):.2f}" in parts_of[1]
    image = Image.open(io.BytesIO(made.png))
    assert image.width > 2 * image.height


def test_a_model_that_fails_has_its_error_in_the_place_of_its_picture():
    class Failing(EncoderDecoder):
        def encode(self, source):
            raise IndexError("index 7 is out of range")

    failing = Failing(23, 29, 30, 3, 17, 1, 2, 11, 0, 1)
    made = views.before_and_after({"right": translator(), "wrong": failing}, SOURCE, TARGET, html_action="return")
    assert "wrong, cross, layer 0, head 0: IndexError: index 7 is out of range." in made.sentence
    with pytest.raises(views.ViewError, match="none of the models can be shown: wrong: IndexError: index 7"):
        views.before_and_after({"wrong": failing}, SOURCE, TARGET)
    with pytest.raises(views.ViewError, match="give {title: model}"):
        views.before_and_after({}, SOURCE, TARGET)


# Lesson 11


@pytest.mark.parametrize("view", [views.head_view, views.model_view, views.heat_map])
@pytest.mark.parametrize("component", ["box", "lesson"])
def test_lesson_11_shows_with_these_views(shown, view, component):
    lesson = parts if component == "box" else lessons.reference("visualizing_attention")
    model = translator()
    collected = lesson.collect_attention(model, SOURCE, TARGET)
    lesson.show_encoder_decoder(
        view,
        *collected,
        [str(token) for token in SOURCE[0].tolist()],
        [str(token) for token in TARGET[0].tolist()],
        "<bos>",
    )
    told = " ".join(map(repr, shown)).lower()
    assert all(kind in told for kind in ("encoder", "decoder", "cross"))
    if view is not views.heat_map:
        kinds = {kind["name"]: kind for made in shown for kind in unpacked(made)[0]["kinds"]}
        assert kinds["decoder"]["left_text"] == kinds["cross"]["left_text"] == ["<bos>", "9", "6", "8", "4"]
    shown.clear()
    lesson.show_self_attention(view, weights(2, 3, 5, 5), list("abcde"))
    assert len(shown) == 1 and shown[0].png
