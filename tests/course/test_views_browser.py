"""The views in a real browser with the network cut: JupyterLab, Notebook, exported HTML, a page from disk."""

import functools
import itertools
import json
import subprocess
import sys

import browser
import nbformat
import pytest
import tables
import torch

from workbench import views

pytestmark = browser.needed()

TABLE = "views in a browser"
VIEWS = {"head": views.head_view, "model": views.model_view, "neuron": views.neuron_view}
SETUP = """
import torch
from autograder.assemble import assemble
from workbench import views

def built(make, *sizes):
    torch.manual_seed(5)
    model = make(*sizes)
    for parameter in model.parameters():
        parameter.data *= 3.0
    return model

assembly = assemble(SOLUTIONS, check=False)
source, target = torch.tensor([[5, 8, 7, 4, 9, 6, 2]]), torch.tensor([[9, 6, 8, 4, 2]])
seen = {
    "encoder-only": views.collect(built(assembly.classifier, 23, 30, 3, 17, 2, 11, 5, 0), source,
                                  tokens="[CLS] the cat sat on mats .".split()),
    "decoder-only": views.collect(built(assembly.language_model, 23, 30, 5, 17, 3, 11), target),
    "encoder-decoder": views.collect(
        built(assembly.encoder_decoder, 23, 29, 30, 3, 17, 1, 2, 11, 0, 1), source, target,
        encoder_tokens="the cat sat on antidisestablishmentarianism mats .".split(),
        decoder_tokens="<bos> die Katze sass ▁auf".split()),
}
"""
# Kind of model -> kind of attention -> layers, heads, queries, keys.
SIZES = {
    "encoder-only": {"self": (2, 3, 7, 7)},
    "decoder-only": {"self": (3, 5, 5, 5)},
    "encoder-decoder": {"encoder": (1, 3, 7, 7), "decoder": (2, 3, 5, 5), "cross": (2, 3, 5, 7)},
}
SHOWN = [(view, model) for model in SIZES for view in VIEWS]


def lines(view, layers, heads, queries, keys):
    """Return how many lines BertViz draws."""
    return {
        "head": heads * queries * keys,
        "model": layers * heads * queries * keys,
        # Collapsed, and between the columns of the expanded one; a line from each word to its query.
        "neuron": 4 * queries * keys + queries,
    }[view]


@functools.cache
def seen():
    names = {}
    exec(SETUP.replace("SOLUTIONS", repr(str(browser.REPOSITORY / "solutions"))), names)
    return names["seen"]


@pytest.fixture(scope="module")
def light():
    with browser.Browser() as chromium:
        yield chromium
        chromium.check()


@pytest.fixture(scope="module")
def dark():
    with browser.Browser(dark=True) as chromium:
        yield chromium
        chromium.check()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a notebook that shows every view of every kind of model."""
    place = tmp_path_factory.mktemp("notebooks")
    cells = [
        SETUP.replace("SOLUTIONS", repr(str(browser.REPOSITORY / "solutions"))),
        *(f'views.{view}_view(seen["{model}"])' for view, model in SHOWN),
        'views.heat_map(seen["encoder-decoder"], kind="cross", layer=1)',
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, place / "views.ipynb")
    nbformat.write(notebook, place / "again.ipynb")
    return place


@pytest.fixture(scope="module")
def lab(folder, dark):
    """A page of JupyterLab, light on a dark desktop, in which the notebook was run."""
    with browser.Jupyter(folder, "lab") as jupyter:
        page = dark.page()
        jupyter.run(page, "views.ipynb")
        yield page


@pytest.fixture(scope="module")
def notebook_server(folder, light):
    with browser.Jupyter(folder, "notebook", dark=True) as jupyter:
        yield jupyter


@pytest.fixture(scope="module")
def exported(folder, lab):
    """Return {theme: the notebook that JupyterLab has run and saved, as HTML}."""
    files = {}
    for theme in ("light", "dark"):
        files[theme] = folder / f"{theme}.html"
        # nbconvert's own page would ask two other machines for MathJax and require.js, which nothing of ours uses.
        subprocess.run(
            [
                sys.executable,
                "-m",
                "nbconvert",
                "--to",
                "html",
                "--theme",
                theme,
                "--output",
                files[theme],
                "--HTMLExporter.mathjax_url=",
                "--HTMLExporter.require_js_url=",
                folder / "views.ipynb",
            ],
            check=True,
            capture_output=True,
        )
    return files


def frames(page):
    """Return {(view, model): the frame element} of a notebook in which all views are shown."""
    found = page.locator(".attention-view iframe")
    assert found.count() == len(SHOWN)
    return {shown: found.nth(number) for number, shown in enumerate(SHOWN)}


def compare(chromium, place, mode, elements, text=lambda view: view.html):
    """Count the lines of every kind of attention in every frame or page, and add rows to the table."""
    for (view, model), element in elements.items():
        inside = getattr(element, "content_frame", element)
        inside.locator("#vis svg").wait_for()
        inside.locator(f':root[data-mode="{mode}"]').wait_for(timeout=10_000, state="attached")
        drawn = {}
        for kind, sizes in SIZES[model].items():
            if len(SIZES[model]) > 1:
                inside.get_by_label("Attention", exact=True).select_option(label=kind)
            drawn[kind] = inside.locator("#vis line").count()
            assert drawn[kind] == lines(view, *sizes), (view, model, kind)
            if view != "model":
                layers = inside.get_by_label("Layer", exact=True).locator("option").all_inner_texts()
                assert layers == list(map(str, range(sizes[0])))
        if hasattr(element, "content_frame"):
            html, height = inside.locator(":root").evaluate("e => [e.outerHTML.length, e.scrollHeight - innerHeight]")
            assert height <= 0, f"{view} view of {model} is cut at the bottom by {height} pixels"
        made = VIEWS[view](seen()[model], html_action="return")
        tables.row(
            TABLE,
            view=view,
            model=model,
            place=place,
            lines=sum(drawn.values()),
            bytes=len(text(made).encode()),
            requests_elsewhere=len(chromium.outside()),
        )


# The four places


def test_jupyterlab_draws_every_view_and_follows_its_own_theme(lab, dark):
    compare(dark, "JupyterLab", "light", frames(lab))
    for (view, model), frame in frames(lab).items():
        frame.scroll_into_view_if_needed()
        browser.screenshot(frame, f"jupyterlab-light-{view}-{model}")
    dark.check()


def test_notebook_draws_every_view_and_follows_its_own_theme(notebook_server, light):
    page = light.page()
    notebook_server.run(page, "again.ipynb")
    compare(light, "Notebook", "dark", frames(page))
    for (view, model), frame in frames(page).items():
        frame.scroll_into_view_if_needed()
        browser.screenshot(frame, f"notebook-dark-{view}-{model}")
    light.check()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_exported_html_draws_every_view_in_its_theme(exported, light, dark, theme):
    chromium = {"light": dark, "dark": light}[theme]  # the desktop has the other theme
    page = chromium.page(height=1200)
    page.goto(exported[theme].as_uri())
    compare(chromium, f"exported {theme}", theme, frames(page))
    browser.screenshot(page, f"exported-{theme}")
    chromium.check()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_from_disk_draws_every_view_in_the_theme_of_the_desktop(tmp_path, light, dark, theme):
    chromium = {"light": light, "dark": dark}[theme]
    page = chromium.page()
    for view, model in SHOWN:
        made = VIEWS[view](seen()[model], html_action="return")
        page.goto(made.save(tmp_path / f"{view}-{model}.html").as_uri())
        compare(chromium, f"from disk {theme}", theme, {(view, model): page}, text=lambda view: view.page)
        browser.screenshot(page, f"disk-{theme}-{view}-{model}")
    page.close()
    chromium.check()


def test_an_untrusted_notebook_shows_a_sentence_and_the_still_picture(folder, notebook_server, lab, light):
    others = nbformat.read(folder / "views.ipynb", as_version=4)  # what JupyterLab has saved
    others.cells.append(nbformat.v4.new_markdown_cell("From somebody else."))
    nbformat.write(others, folder / "others.ipynb")
    page = light.page()
    notebook_server.open(page, "others.ipynb")
    first = page.locator(".attention-view").first
    first.wait_for()
    assert page.locator("iframe").count() == 0
    text = first.inner_text()
    assert "trust the notebook" in text and "2 layers x 3 heads" in text and "strongest: in layer" in text
    first.get_by_text("Still picture").click()
    picture = first.locator("img")
    assert picture.is_visible() and picture.evaluate("img => img.naturalWidth") > 200
    assert "2 layers x 3 heads" in picture.get_attribute("alt")
    # It is drawn at twice the size, so that it is sharp on screens with small pixels.
    assert picture.bounding_box()["width"] * 2 == pytest.approx(picture.evaluate("img => img.naturalWidth"), abs=2)
    browser.screenshot(first, "untrusted")
    light.check()


# What a reader does


@pytest.fixture(scope="module")
def reader(light):
    """The one page of a browser in which all views of a reader are opened: another process for each would be dear."""
    return light.page()


@pytest.fixture
def opened(tmp_path, light, reader):
    """Return a function that opens a page of one view from disk, in place of the one before it."""
    numbers = itertools.count()

    def opened(view, *given, width=1200, **named):
        reader.set_viewport_size({"width": width, "height": 900})
        reader.mouse.move(0, 0)  # it would point at something of the new page
        made = view(*given, html_action="return", **named)
        reader.goto(made.save(tmp_path / f"{next(numbers)}.html").as_uri())
        reader.locator("#vis svg").wait_for()
        return reader

    yield opened
    light.check()


def visible_lines(page):
    """Return how many lines can be seen: those that hovering has not hidden."""
    return page.locator("#attention line").evaluate_all(
        "lines => lines.filter((line) => getComputedStyle(line).visibility === 'visible').length"
    )


def told(page):
    return page.locator("#told").inner_text()


def opaque_lines(page, head):
    return page.locator(f'.headAttention[head-index="{head}"] line').evaluate_all(
        "lines => lines.filter((line) => +line.getAttribute('stroke-opacity') > 0).length"
    )


def test_the_pointer_shows_one_word_and_switches_heads(opened):
    page = opened(views.head_view, seen()["encoder-only"])
    assert visible_lines(page) == 3 * 7 * 7
    page.locator("#left > g:last-child > g").nth(2).hover()
    assert visible_lines(page) == 3 * 7
    assert told(page).startswith("“cat” (2) looks at")
    page.locator("#controls").hover()
    assert visible_lines(page) == 3 * 7 * 7
    squares = page.get_by_role("checkbox")
    squares.nth(1).click()
    assert [opaque_lines(page, head) > 0 for head in range(3)] == [True, False, True]
    assert [squares.nth(head).get_attribute("aria-checked") for head in range(3)] == ["true", "false", "true"]
    squares.nth(0).dblclick()
    assert [opaque_lines(page, head) > 0 for head in range(3)] == [True, False, False]


def test_the_numbers_on_the_page_are_the_weights(opened):
    page = opened(views.head_view, seen()["encoder-only"], layer=1, heads=[2])
    weights = seen()["encoder-only"]["self"].weights[1][2]
    drawn = page.locator('.headAttention[head-index="2"] line').evaluate_all(
        "lines => lines.map((line) => +line.getAttribute('stroke-opacity'))"
    )
    torch.testing.assert_close(torch.tensor(drawn).reshape(7, 7), weights, atol=5.1e-5, rtol=0)
    page.locator("#left > g:last-child > g").nth(3).hover()
    most = int(weights[3].argmax())
    word = "[CLS] the cat sat on mats .".split()[most]
    assert f"looks at “{word}” {float(weights[3, most]):.2f}" in told(page)


def test_the_keyboard_reaches_heads_and_words_and_switches_them(opened):
    page = opened(views.head_view, seen()["encoder-only"])
    squares = page.get_by_role("checkbox")
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "checkbox":
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert squares.nth(1).get_attribute("aria-checked") == "false" and opaque_lines(page, 1) == 0
    page.keyboard.press("Shift+Enter")
    assert [opaque_lines(page, head) > 0 for head in range(3)] == [False, True, False]
    page.locator('#left [tabindex="0"]').focus()
    page.keyboard.press("End")
    assert visible_lines(page) == 3 * 7
    assert told(page).startswith("“.” (6) looks at") and "(head 1)" not in told(page)
    page.keyboard.press("ArrowUp")
    assert told(page).startswith("“mats” (5) looks at")
    page.keyboard.press("Tab")
    assert "is looked at by" in told(page) or page.evaluate("document.activeElement.tagName") != "g"


def test_everything_that_can_be_reached_has_a_role_and_a_name(opened):
    for view, model in SHOWN:
        page = opened(VIEWS[view], seen()[model])
        if view == "model":
            page.get_by_role("button").first.click()
        nameless = page.locator("#vis [tabindex]").evaluate_all(
            "all => all.filter((one) => !one.getAttribute('role') || !one.getAttribute('aria-label')).length"
        )
        assert nameless == 0 and page.locator("#vis [tabindex]").count() > 4
        assert page.title().startswith(f"{view.capitalize()} view: ") and page.locator("main[aria-label]").count() == 1
        for select in page.locator("select").all():
            assert select.evaluate("one => one.labels.length") == 1


def test_a_small_picture_of_the_model_view_opens_by_click_and_by_key(opened):
    page = opened(views.model_view, seen()["encoder-decoder"])
    page.get_by_label("Attention", exact=True).select_option(label="cross")
    before = page.locator("#vis line").count()
    page.get_by_label("layer 1, head 2").click()
    assert page.locator("#vis line").count() == before + 5 * 7
    assert page.get_by_text("Layer 1, Head 2", exact=True).is_visible()
    page.get_by_label("query 3: sass").hover()
    assert told(page).startswith("“sass” (3) looks at")
    browser.screenshot(page, "model-detail")
    page.get_by_label("layer 1, head 2").press("Enter")
    assert page.locator("#vis line").count() == before
    page.get_by_label("layer 1, head 2").press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert page.get_by_text("Layer 0, Head 0", exact=True).is_visible()


def test_the_neuron_view_shows_the_products_of_the_model_s_own_queries_and_keys(opened):
    page = opened(views.neuron_view, seen()["encoder-decoder"], layer=1, head=2)
    page.get_by_label("Attention", exact=True).select_option(label="cross")
    assert page.get_by_label("Layer", exact=True).input_value() == "1"
    page.locator("#collapsed").get_by_label("query 1: die").focus()
    page.keyboard.press("Enter")
    kind = seen()["encoder-decoder"]["cross"]
    products = kind.queries[1][2] @ kind.keys[1][2].T / 10**0.5  # head_dim is 10
    shown = page.locator("#expanded .dotproduct").evaluate_all("all => all.map((one) => +one.dataset.value)")
    torch.testing.assert_close(torch.tensor(shown), products[1], atol=0.05, rtol=0.01)
    assert page.locator("#expanded").get_attribute("visibility") == "visible"
    browser.screenshot(page, "neuron-expanded")
    page.keyboard.press("ArrowDown")
    assert told(page).startswith("“Katze” (2) looks at")
    page.keyboard.press("Enter")
    assert page.locator("#expanded").get_attribute("visibility") == "hidden"


# What BertViz does wrong

LONG = "Donaudampfschifffahrtsgesellschaftskapitän"


def inside_the_picture(page):
    """Tell whether every word lies within the drawing."""
    return page.locator("#vis svg").evaluate("""(svg) => {
        const all = svg.getBoundingClientRect();
        return [...svg.querySelectorAll("text")].every((text) => {
            const own = text.getBoundingClientRect();
            return own.left >= all.left && own.top >= all.top && own.right <= all.right && own.bottom <= all.bottom;
        });
    }""")


@pytest.mark.parametrize("view", VIEWS)
def test_neither_long_words_nor_a_longer_left_side_are_cut(opened, view):
    kind = views.Kind(
        "cross",
        [torch.rand(2, 11, 3).softmax(-1)],
        [LONG] * 11,
        ["short", LONG, "."],
        [torch.randn(2, 11, 5)],
        [torch.randn(2, 3, 5)],
    )
    page = opened(VIEWS[view], views.Attention([kind]), width=1100)
    if view == "model":
        page.get_by_role("button").first.click()
    assert inside_the_picture(page)
    browser.screenshot(page, f"long-words-{view}")


def test_a_narrow_page_is_not_cut(opened):
    for view in VIEWS.values():
        page = opened(view, seen()["encoder-decoder"], width=420)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_more_than_ten_heads_differ_in_colour_or_dash(opened):
    weights = [torch.rand(1, 13, 3, 3).softmax(-1)]
    page = opened(views.head_view, weights, ["a", "b", "c"])
    looks = page.locator(".headAttention").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).strokeDasharray + one.querySelector('line')"
        ".getAttribute('stroke'))"
    )
    assert len(set(looks)) == 13
    assert page.locator("#vis .number").all_text_contents() == list(map(str, range(13)))
    browser.screenshot(page, "thirteen-heads")


def test_chosen_layers_and_heads_keep_their_numbers(opened):
    attention = seen()["decoder-only"]
    page = opened(views.head_view, attention, include_layers=[0, 2], include_heads=[1, 4], layer=2)
    assert page.get_by_label("Layer", exact=True).input_value() == "2"
    assert page.locator("#vis .number").all_text_contents() == ["1", "4"]
    page = opened(views.neuron_view, attention, include_layers=[0, 2], include_heads=[1, 4], layer=2, head=4)
    assert page.get_by_label("Layer", exact=True).locator("option").all_inner_texts() == ["0", "2"]
    assert page.get_by_label("Head", exact=True).locator("option:checked").inner_text() == "4"
    drawn = (
        page.locator("#collapsed .attn-line-group")
        .first.locator("line")
        .evaluate_all("lines => lines.map((line) => +line.getAttribute('stroke-opacity'))")
    )
    torch.testing.assert_close(
        torch.tensor(drawn, dtype=torch.float32), attention["self"].weights[2][4][0], atol=5.1e-5, rtol=0
    )


def test_words_are_shown_and_never_run(opened, light):
    words = ["</script><script>throw 1</script>", '"><img src=x onerror="throw 2">', "&lt;b&gt;", "Ġthe"]
    page = opened(views.head_view, [torch.rand(1, 2, 4, 4).softmax(-1)], words)
    shown = page.locator("#left text").all_text_contents()
    assert [text.strip() for text in shown] == [*words[:3], "the"]
    assert page.locator("img").count() == 0
    light.check()


def test_a_fixed_display_mode_goes_before_the_theme(opened):
    page = opened(views.model_view, seen()["encoder-only"], display_mode="dark")
    assert page.locator(":root").get_attribute("data-mode") == "dark"


def test_a_browser_that_refuses_other_machines_is_what_these_tests_have():
    with browser.Browser() as chromium:
        page = chromium.page()
        page.set_content('<img src="http://example.org/a.png"><script>setTimeout(() => { throw Error() })</script>')
        page.wait_for_timeout(500)
        assert chromium.outside() == ["http://example.org/a.png"] and chromium.faults
        with pytest.raises(AssertionError):
            chromium.check()


def test_what_was_measured_is_complete():
    """Nine views in six places; a table with a hole would hide a place where nothing was drawn."""
    rows = tables.kept().get(TABLE, [])
    if len(rows) != 9 * 6:
        pytest.skip(f"only {len(rows)} of {9 * 6} rows were measured, because a part of these tests was chosen")
    assert all(row["requests_elsewhere"] == 0 and row["lines"] > 0 for row in rows)
    assert json.dumps(rows)
