"""What learners move by hand: its answers, what it says of a function that fails, and its life in JupyterLab."""

import math

import browser
import nbformat
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from workbench import widgets

QUERY = """
import math
import torch
from workbench import widgets

def attention_scores(query, key):
    if query[0, 0] < -2:
        raise RuntimeError("this query is too far left")
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])

def scaled_dot_product_attention(query, key, value, mask=None):
    scores = attention_scores(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(-1).nan_to_num(0.0)
    return weights @ value, weights

widgets.query_by_hand(attention_scores, scaled_dot_product_attention).show()
"""
CHOOSING = """
def model(tokens):  # the next letter is likely, the one after it less so
    logits = torch.full((1, tokens.shape[1], 26), -3.0)
    logits[0, -1, (tokens[0, -1] + 1) % 26] = 2.0
    logits[0, -1, (tokens[0, -1] + 2) % 26] = 1.0
    time = tokens.shape[1]
    return logits, [torch.full((1, 2, time, time), 1 / time)] * 3

def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    logits = logits / temperature
    if top_k is not None:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[..., -1:], -math.inf)
    return logits

letters = widgets.next_token(
    model, filter_logits, lambda text: [ord(one) - 97 for one in text], lambda token: chr(97 + token), "abc", 5
)
"""


@pytest.fixture(scope="module")
def cells():
    names = {}
    exec(QUERY.rpartition("\n")[0].rpartition("\n")[0], names)
    exec(CHOOSING, names)
    return names


@pytest.fixture
def query(cells):
    return widgets.query_by_hand(cells["attention_scores"], cells["scaled_dot_product_attention"])


@pytest.fixture
def letters(cells):
    return widgets.next_token(
        cells["model"], cells["filter_logits"], lambda text: [ord(one) - 97 for one in text], chr, "abc", 5
    )


def move(widget, **changed):
    widget.asked = {**widget.asked, **changed}
    return widget.told


def test_the_formula_and_a_right_function_answer_the_same(query):
    for place in ([1.5, 1.5], [0.0, 0.0], [-1.0, 2.5]):
        formula, own = move(widgets.query_by_hand(), query=place), move(query, query=place)
        assert formula["weights"] == pytest.approx(own["weights"], abs=1e-6)
        assert formula["output"] == pytest.approx(own["output"], abs=1e-4)
    assert not widgets.query_by_hand().fixed["switches"] and query.fixed["switches"]


def test_a_hidden_key_and_no_division_are_the_mask_and_a_louder_query(query):
    told = move(query, query=[1.0, 0.0], hidden=[True, False, False])
    assert told["weights"][0] == 0.0 and sum(told["weights"]) == pytest.approx(1.0)
    assert move(query, divided=False)["scores"] == pytest.approx([2.0, 2.0, -1.0])
    assert move(query, hidden=[True] * 3)["sentence"].startswith("Every key is hidden: the weights are 0.000, 0.000")


def test_a_function_that_fails_leaves_the_picture_and_says_why(query):
    before = query.told
    assert move(query, query=[-2.5, 0.0]) == before | {"fault": "RuntimeError: this query is too far left"}
    assert move(query, query=[1.0, 0.0])["fault"] == ""


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (torch.ones(3, 3), "should be [1, 3] here, and is [3, 3]"),
        (torch.full((1, 3), math.nan), "is not finite here"),
        (None, "should be [1, 3] here, and is NoneType"),
    ],
)
def test_weights_that_cannot_be_drawn_are_told(cells, weights, said):
    with pytest.raises(ValueError, match="the weights of scaled_dot_product_attention") as told:
        widgets.query_by_hand(cells["attention_scores"], lambda query, key, value, mask: (value[:1], weights))
    assert said in str(told.value)


def test_an_unsolved_function_says_so_before_anything_is_shown():
    def unsolved(*arguments):
        raise NotImplementedError("attention_scores is not solved yet")

    with pytest.raises(NotImplementedError):
        widgets.query_by_hand(unsolved, unsolved)


def test_the_bars_are_what_the_learners_filter_leaves_of_what_the_model_says(letters):
    told = move(letters, top_k=1)
    assert (told["kept"], told["choices"][0]["share"]) == (1, 1.0)
    raw = torch.tensor([2.0, 1.0, *[-3.0] * 24]).softmax(-1)
    assert [choice["raw"] for choice in told["choices"][:2]] == pytest.approx(raw[:2].tolist())
    cold = move(letters, top_k=0, temperature=0.1)["choices"][0]["share"]
    assert cold > move(letters, temperature=3.0)["choices"][0]["share"]


def test_the_text_grows_by_a_click_or_by_a_draw_and_the_model_reads_its_last_tokens(letters):
    assert move(letters, ids=[0, 1, 2, 3])["ids"] == [0, 1, 2, 3]
    drawn = move(letters, top_k=1, draw=1)["ids"]
    assert drawn == [0, 1, 2, 3, 4]
    told = move(letters, ids=[*drawn, 5, 6], draw=0)
    assert told["attention"] == pytest.approx([0, 0, 0.2, 0.2, 0.2, 0.2, 0.2])


def test_a_text_without_tokens_is_refused():
    with pytest.raises(ValueError, match="the text '' has no tokens"):
        widgets.next_token(None, None, lambda text: [], chr, "", 5)


def test_dials_call_a_function_of_the_lesson_with_what_the_controls_say():
    def waves(speed, loud, shape, height):
        numbers = torch.tensor([0.0, 1.0, 0.0]) * height
        return f"{shape} {speed} {loud}", [
            widgets.Lines("wave", range(3), {"value": numbers * speed}, (-1.0, 1.0), at=1),
            widgets.Bars("bars", ["a", "b"], {"one": [1.0, 2.0], "two": [3.0, 4.0]}, (0.0, 4.0)),
            widgets.Table("table", torch.eye(2), ["r", "s"], ["t", "u"]),
        ]

    widget = widgets.dials(waves, speed=(0, 5, 2), loud=True, shape=["sine", "saw"], height=(0.0, 1.0, 0.5))
    assert widget.told["sentence"] == "sine 2 True"
    assert [control["step"] for control in widget.fixed["controls"] if control["kind"] == "slider"] == [1, 0.01]
    told = move(widget, speed=3, loud=False, shape=1)
    assert told["sentence"] == "saw 3 False"
    assert told["panels"][0]["series"] == {"value": [0.0, 1.5, 0.0]}
    assert told["panels"][2]["numbers"] == [[1.0, 0.0], [0.0, 1.0]]
    assert widget.picture().png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        (widgets.Bars("b", ["x", "y"], {"one": [1.0]}, (0.0, 1.0)), "'one' of 'b' should have 2 numbers, and has 1"),
        (widgets.Lines("l", [0, 1], {"one": [1.0, math.nan]}, (0.0, 1.0)), "'one' of 'l' has a number that is not"),
        (widgets.Table("t", torch.ones(1, 3), ["r"], ["c", "d"]), "row 'r' of 't' should have 2 numbers, and has 3"),
    ],
)
def test_a_panel_that_cannot_be_drawn_is_told(panel, said):
    with pytest.raises(ValueError) as told:
        widgets.dials(lambda: ("", [panel]))
    assert said in str(told.value)


@pytest.mark.parametrize("kind", ["query", "letters"])
def test_where_widgets_do_not_run_there_is_a_picture_and_a_sentence(request, kind):
    data, metadata = DisplayFormatter().format(request.getfixturevalue(kind))
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert data["image/png"].startswith(b"\x89PNG") and metadata["image/png"]["alt"] == data["text/plain"]


@browser.needed()
def test_in_jupyterlab_they_follow_the_hand_and_the_keys_and_are_still_there_after_saving(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in (QUERY, CHOOSING + "letters.show()")]
    )
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "a.ipynb")
    with browser.Browser() as chromium, browser.Jupyter(tmp_path, "lab", keep=True) as jupyter:
        page = chromium.page(width=900, height=1600)
        jupyter.run(page, "a.ipynb")
        query, letters = page.locator(".tt-query"), page.locator(".tt-choosing")
        said = query.locator(".tt-said")
        query.get_by_label("turn the query").focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        query.get_by_label("hide cat").check()
        query.locator(".tt-hidden .tt-number").nth(1).filter(has_text="0.000").wait_for()
        assert query.get_by_label("turn the query").input_value() == "48"
        plane = query.locator(".tt-plane")
        box = plane.bounding_box()
        page.mouse.move(box["x"] + 20, box["y"] + 150)
        page.mouse.down()
        page.mouse.up()
        said.filter(has_text="this query is too far left").wait_for()
        letters.get_by_role("button", name="go on with d").click()
        letters.get_by_label("The text so far: abcd").wait_for()
        letters.get_by_label("top-k").focus()
        page.keyboard.press("ArrowRight")
        letters.get_by_text("1 of 26 tokens can be drawn").wait_for()
        browser.screenshot(letters, "widget-next-token")
        browser.screenshot(query, "widget-query-by-hand")
        assert page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollWidth") <= 900
        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        page.wait_for_function("!document.querySelector('.jp-mod-dirty')")
        page.evaluate("""async () => {  // a new day: another kernel, which knows of no widget
            const { sessionContext } = window.jupyterapp.shell.currentWidget;
            await sessionContext.restartKernel();
        }""")
        again = chromium.page()
        page.close()
        jupyter.open(again, "a.ipynb")
        again.get_by_label("The text so far: abcd").wait_for()
        chromium.check()
    state = nbformat.read(tmp_path / "a.ipynb", 4).metadata.widgets["application/vnd.jupyter.widget-state+json"]
    asked = [model["state"]["asked"] for model in state["state"].values() if "asked" in model["state"]]
    assert {"top_k": 1, "ids": [0, 1, 2, 3]}.items() <= next(one for one in asked if "top_k" in one).items()
