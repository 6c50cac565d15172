"""The book of the solved lessons, and the site without answers: built without a warning, read in a real browser."""

import ast
import base64
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import browser
import nbformat
import pytest
import tables
import torch
from bs4 import BeautifulSoup

from autograder import mistakes
from autograder.feedback.formulas import mathml
from workbench import map_boxes, views

in_a_browser = browser.needed()

REPOSITORY = Path(__file__).parent.parent
NOTEBOOKS = REPOSITORY / "solutions/notebooks"
LESSONS = sorted(path.parent.name for path in NOTEBOOKS.glob("*/*.ipynb"))
CAPSTONE = "11_visualizing_attention"
HEADS, QUERIES = 3, 5
# Python reads this at its start; whoever asks for another machine gets an error.
NO_NETWORK = """
import socket

def refuse(*arguments, **keywords):
    raise OSError(f"the book must not ask for {arguments}")

socket.getaddrinfo = socket.create_connection = refuse
"""


def notebook_of(lesson):
    """Return the path of the solved notebook in a lesson's folder; it is called like the text."""
    (path,) = (NOTEBOOKS / lesson).glob("*.ipynb")
    return path


def build(notebooks, output, tmp_path, *options):
    """Build a book of the notebooks in a folder, without a network; return the finished process."""
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    command = [
        sys.executable,
        REPOSITORY / "docs/book/build.py",
        "--notebooks",
        notebooks,
        "--output",
        output,
        *options,
    ]
    settings = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    return subprocess.run(command, env=settings, capture_output=True, text=True, cwd=tmp_path, timeout=600)


@pytest.fixture(scope="module")
def view():
    """A view of known size, as a notebook stores it."""
    weights = torch.rand(1, HEADS, QUERIES, QUERIES, generator=torch.Generator().manual_seed(7))
    weights = weights / weights.sum(-1, keepdim=True)
    made = views.head_view([weights], "the cat sat on mats".split(), html_action="return")
    data = {"text/html": made.html, "text/plain": repr(made), "image/png": base64.b64encode(made.png).decode()}
    return nbformat.v4.new_output("display_data", data)


@pytest.fixture(scope="module")
def book(tmp_path_factory, view):
    """The folder of a book of all lessons; the last one ends with a view of known size."""
    folder = tmp_path_factory.mktemp("book")
    for lesson in LESSONS:
        path = notebook_of(lesson)
        notebook = nbformat.read(path, as_version=4)
        if lesson == CAPSTONE:
            notebook.cells.append(nbformat.v4.new_code_cell("head_view(weights, words)", outputs=[view], id="last"))
        (folder / "notebooks" / lesson).mkdir(parents=True)
        nbformat.write(notebook, folder / "notebooks" / lesson / path.name)
    done = build(folder / "notebooks", folder / "html", folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site that may be published."""
    folder = tmp_path_factory.mktemp("site")
    done = build(REPOSITORY / "course", folder / "html", folder, "--site")
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


@pytest.fixture(scope="module")
def pages(book):
    """Return {path: the parsed page} of all pages of the book."""
    return parsed(book)


@pytest.fixture(scope="module")
def site_pages(site):
    """Return {path: the parsed page} of all pages of the site."""
    return parsed(site)


def parsed(folder):
    return {
        path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in sorted(folder.rglob("*.html"))
    }


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


def prose(page):
    """Return the text of a page without code, and what cells have printed."""
    article = BeautifulSoup(str(page.article), "html.parser")
    for code in article(["pre", "code", "script", "style", "iframe"]):
        code.decompose()
    return article.get_text(" ")


# What is in it


def test_all_lessons_of_the_map_are_there_and_every_page_leads_to_each_lesson(book, pages):
    assert {f"{one.number:02d}_{name}" for name, one in map_boxes.LESSONS.items()} <= set(LESSONS)
    for path, page in pages.items():
        links = {
            (path.parent / link["href"]).resolve()
            for link in page.select(".sidebar-tree a[href]")
            if not link["href"].startswith("#")
        } | {path}
        assert {book / "lessons" / f"{lesson}.html" for lesson in LESSONS} <= links, path.name


def test_every_link_leads_to_a_page_and_a_place_that_are_there(pages, site_pages):
    assert broken_links(pages) == broken_links(site_pages) == []


def broken_links(pages):
    broken, places = [], {path: {tag["id"] for tag in page.select("[id]")} for path, page in pages.items()}
    for path, page in pages.items():
        for link in page.select("a[href]"):
            where = urlsplit(link["href"])
            if where.scheme in ("http", "https"):
                continue
            target = (path.parent / unquote(where.path)).resolve() if where.path else path
            # A bare "#" is the top of the page.
            found = target.exists() and (not where.fragment or unquote(where.fragment) in places[target])
            broken += [] if found else [f"{path.name}: {link['href']}"]
    return broken


def test_the_pages_of_docs_stand_in_the_book_and_on_the_site(book, site, pages, site_pages):
    docs = sorted((REPOSITORY / "docs").glob("*.md"))
    assert docs
    for folder, read in ((book, pages), (site, site_pages)):
        links = {link["href"] for link in read[folder / "index.html"].select(".sidebar-tree a[href]")}
        for path in docs:
            heading = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
            assert read[folder / f"{path.stem}.html"].h1.get_text().rstrip("#¶") == heading
            assert f"{path.stem}.html" in links
        for entry in ("autograder/", "tests/"):
            assert entry in read[folder / "tree.html"].article.get_text()


def test_both_routes_name_every_lesson_once(book, pages):
    tables = pages[book / "index.html"].select("article table")
    titles = [[link.get_text() for link in table.select("a")] for table in tables]
    assert all(len(links) == len(LESSONS) == len(set(links)) for links in titles)
    on_the_map = [f"{one.number}." for one in map_boxes.LESSONS.values()]
    orders = [[int(title.split(".")[0]) for title in links if title.split(" ")[0] in on_the_map] for links in titles]
    assert orders == [list(range(1, 12)), [7, 6, 8, 9, 10, 1, 2, 3, 4, 5, 11]]


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_shows_its_code_and_outputs_as_stored_without_what_only_nbgrader_reads(book, pages, lesson):
    page = pages[book / "lessons" / f"{lesson}.html"]
    stored = nbformat.read(next((NOTEBOOKS / lesson).glob("*.ipynb")), as_version=4)
    codes = [
        "\n".join(line for line in cell.source.splitlines() if "### " not in line).rstrip("\n")
        for cell in stored.cells
        if cell.cell_type == "code"
    ]
    shown = [block.get_text().rstrip("\n") for block in page.select("div.cell_input pre")]
    assert shown[: len(codes)] == codes
    assert "SOLUTION" not in page.article.get_text()
    results = [block.get_text() for block in page.select("div.cell_output") if "points" in block.get_text()]
    checks = [cell for cell in stored.cells if cell.get("outputs") and cell.metadata.get("nbgrader", {}).get("grade")]
    assert len(results) >= len(checks) > 0
    assert not [text for text in results if re.search(r"^\s*\d\.\d\s*$", text, re.MULTILINE)]
    answers = sum(cell.source.count("### BEGIN SOLUTION") for cell in stored.cells if cell.cell_type == "markdown")
    summaries = [summary.get_text() for summary in page.select("summary")]
    assert summaries.count("Sample answer and rubric") == answers


@pytest.mark.parametrize("lesson", LESSONS)
def test_formulas_are_rendered_and_no_dollar_is_left(book, pages, lesson):
    page = pages[book / "lessons" / f"{lesson}.html"]
    stored = nbformat.read(next((NOTEBOOKS / lesson).glob("*.ipynb")), as_version=4)
    texts = [
        re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.DOTALL)
        for cell in stored.cells
        if cell.cell_type == "markdown"
    ]
    formulas = sum(text.replace("$$", "$").count("$") // 2 for text in texts)
    assert len(page.select("article math")) == formulas
    assert "$" not in prose(page)


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_picture_says_what_it_shows(book, pages, lesson):
    images = pages[book / "lessons" / f"{lesson}.html"].select("article div.cell_output > img, article a > img")
    notebook = nbformat.read(notebook_of(lesson), as_version=4)
    data = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    pictures = [each for each in data if "image/png" in each and "text/html" not in each]
    sentences = [" ".join(each["text/plain"].split()) for each in pictures]
    assert len(images) == len(sentences)
    for image, sentence in zip(images, sentences, strict=True):
        assert sentence in image["alt"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_mistake_of_a_lesson_is_told_with_its_three_sentences(book, pages, lesson):
    catalogue = mistakes.read(REPOSITORY / "solutions/mistakes" / f"{notebook_of(lesson).stem}.py")
    page = pages[book / "mistakes" / f"{lesson}.html"]
    plain = str.maketrans("“”‘’", "\"\"''", "`")
    told = " ".join(page.article.get_text(" ").translate(plain).split())
    assert len(page.select("article h3")) == len(catalogue.mistakes)
    told = re.sub(r"\W+", "", told)
    for mistake in catalogue.mistakes.values():
        for sentence in (mistake.name.replace("_", " ").capitalize(), mistake.symptom, mistake.cause, mistake.place):
            assert re.sub(r"\W+", "", sentence) in told, (mistake.name, sentence)


# What the site does not tell


def answers(lesson):
    """Return the texts of a solved notebook that its released notebook does not have, by where they come from."""
    solved = notebook_of(lesson)
    released = {cell.id: cell.source for cell in nbformat.read(REPOSITORY / "course" / lesson / solved.name, 4).cells}
    found = {}
    for cell in nbformat.read(solved, 4).cells:
        for block in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, re.DOTALL):
            found[f"{lesson}, {cell.cell_type} {cell.id}"] = block
        assert cell.id not in released or "SOLUTION" not in released[cell.id]
    return found


def lines(text):
    """Return what a text says, line by line, without what a page sets otherwise: formulas, marks, numbers of lists."""
    parts = re.split(r"\n(?:\d+\. )?|\$[^$\n]*\$", text)
    return {plain for part in parts if len(plain := re.sub(r"\W+", "", part)) >= 16}


@pytest.fixture(scope="module")
def given():
    """All that learners have before them: the source of every released notebook."""
    paths = sorted((REPOSITORY / "course").glob("*/*.ipynb"))
    return re.sub(r"\W+", "", "\n".join(cell.source for path in paths for cell in nbformat.read(path, 4).cells))


@pytest.fixture(scope="module")
def told(site):
    """All that the files of the site tell: its pages, and what its search knows."""
    texts = []
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            texts.append(BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").get_text())
        elif path.suffix in (".js", ".txt", ".inv", ".json", ".ipynb", ".md", ".py"):
            texts.append(path.read_text(encoding="utf-8", errors="replace"))
    return re.sub(r"\W+", "", "\n".join(texts))


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_site_holds_no_solution_sample_answer_or_rubric(lesson, told, given):
    """A line of an answer may stand there only where learners have it before them: in the notebook that they get."""
    found = answers(lesson)
    asked = [
        cell
        for cell in nbformat.read(notebook_of(lesson), 4).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    ]
    assert {where.split(", ")[1].split()[0] for where in found} == {cell.cell_type for cell in asked}
    secret = [(where, line) for where, block in found.items() for line in lines(block) if line not in given]
    least = 10 if notebook_of(lesson).stem in map_boxes.LESSONS else 0  # a lesson of an instructor's own may be short
    assert len(secret) > least, "this test has next to nothing to look for"
    assert [(where, line) for where, line in secret if line in told] == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_site_holds_no_right_answer_in_another_style(lesson, told, given):
    path = REPOSITORY / "solutions/alternatives" / f"{notebook_of(lesson).stem}.py"
    if not path.exists() and path.stem not in map_boxes.LESSONS:
        return  # a lesson of an instructor's own may have none
    source = path.read_text(encoding="utf-8")
    bodies = [
        statement
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        for statement in node.body
    ]
    secret = {
        line for statement in bodies for line in lines(ast.get_source_segment(source, statement)) if line not in given
    }
    assert secret and [line for line in secret if line in told] == []


def test_an_answer_on_the_site_would_be_found(tmp_path):
    """A site that is built from the solved notebooks holds answers, and the search above finds them."""
    lesson = LESSONS[6]
    shutil.copytree(NOTEBOOKS / lesson, tmp_path / "notebooks" / lesson)
    done = build(tmp_path / "notebooks", tmp_path / "html", tmp_path, "--site")
    assert done.returncode == 0
    page = (tmp_path / "html/lessons" / f"{lesson}.html").read_text(encoding="utf-8")
    shown = re.sub(r"\W+", "", BeautifulSoup(page, "html.parser").get_text())
    for where, block in answers(lesson).items():
        assert all(line in shown for line in lines(block)), where


# How it is built


def test_a_formula_that_cannot_be_read_ends_the_build_with_an_error(tmp_path):
    lesson = "07_scaled_dot_product_attention"
    (path,) = (NOTEBOOKS / lesson).glob("*.ipynb")
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["cells"] = [
        *stored["cells"][:1],
        {"cell_type": "markdown", "id": "bad", "metadata": {}, "source": r"Here is $a_b_c$, and $\unheard x$."},
    ]
    (tmp_path / "notebooks" / lesson).mkdir(parents=True)
    (tmp_path / "notebooks" / lesson / path.name).write_text(json.dumps(stored), encoding="utf-8")
    done = build(tmp_path / "notebooks", tmp_path / "html", tmp_path)
    assert done.returncode == 1
    for formula in ("a_b_c", r"\unheard x"):
        assert f"this formula cannot be read: {formula}" in done.stderr


def test_nothing_is_to_be_loaded_from_elsewhere(book, site, pages, site_pages):
    wanted = []
    for path, page in (pages | site_pages).items():
        wanted += [
            (path.name, str(tag)[:99])
            for tag in page.select("script[src], img[src], iframe[src], link[href]")
            if re.match(r"(https?:)?//", tag.get("src") or tag.get("href"))
        ]
    for path in [*book.rglob("*.css"), *site.rglob("*.css")]:
        wanted += [(path.name, url) for url in re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)]*)", path.read_text())]
    assert wanted == []


def test_what_the_book_needs_is_installed_with_the_tests():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    whole = next(one for one in extras["test"] if one.startswith("transformer-taxonomy["))
    assert extras["book"] and "book" in whole.removeprefix("transformer-taxonomy[").rstrip("]").split(",")


def test_a_word_in_a_formula_is_one_word_and_a_function_stands_apart_from_its_argument():
    assert "<mi>softmax</mi>" in mathml(r"\mathrm{softmax}(x)")
    space = '<mspace width="0.1667em"/>'
    assert f"<mi>ln</mi>{space}<mn>2</mn>" in mathml(r"\ln 2")
    assert f"<mi>x</mi>{space}<msup><mi>cos</mi><mn>3</mn></msup>{space}<mi>y</mi>" in mathml(r"x \cos^3 y")
    assert space not in mathml(r"\ln(2) + \frac{x}{\sin}")


# How it is read


@in_a_browser
def test_every_page_fits_on_a_phone_and_on_a_large_screen(pages, site_pages, light):
    page, wide = light.page(), []
    for path in [*pages, *site_pages]:
        page.goto(path.as_uri())
        page.wait_for_load_state()
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            wide += [f"{path.name}, {width} pixels wide: {what}" for what in page.evaluate(TOO_WIDE)]
    assert wide == []
    light.check()


# What is wider has to scroll by itself, and nothing may be cut that does not. That the theme lets the whole article
# scroll does not count.
TOO_WIDE = """() => {
    const room = document.documentElement.clientWidth;
    const scrolls = (e) => e.localName !== "article"
        && (["auto", "scroll"].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
    return [...document.querySelectorAll("article *")]
        .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > room + 1 && !scrolls(e))
        .map((e) => e.outerHTML.slice(0, 120));
}"""


@in_a_browser
def test_formulas_are_drawn_with_brackets_that_grow(book, light):
    page = light.page()
    page.goto((book / "lessons/07_scaled_dot_product_attention.html").as_uri())
    sizes = page.locator("article math").evaluate_all(
        "all => all.filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().height)"
    )
    assert min(sizes) > 5
    formula = page.locator(".formula math").first
    fraction, bracket = formula.locator("mfrac").first, formula.locator("mo", has_text="(").last
    assert bracket.bounding_box()["height"] > 0.8 * fraction.bounding_box()["height"]


@in_a_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_views_are_drawn_in_the_theme_that_the_reader_has_chosen(book, light, dark, theme):
    chromium = {"light": dark, "dark": light}[theme]  # the desktop has the other theme
    page = chromium.page()
    page.goto((book / "lessons" / f"{CAPSTONE}.html").as_uri())
    while page.locator("body").get_attribute("data-theme") != theme:
        page.locator(".content-icon-container .theme-toggle").click()
    frames = page.locator(".attention-view iframe")
    for frame in frames.all():
        assert frame.get_attribute("sandbox") == "allow-scripts"
        frame.scroll_into_view_if_needed()  # out of sight it would learn of the new theme later
        frame.content_frame.locator("#vis line").first.wait_for(state="attached")
        frame.content_frame.locator(f':root[data-mode="{theme}"]').wait_for(state="attached")
    last = frames.last
    assert last.content_frame.locator("#vis line").count() == HEADS * QUERIES * QUERIES
    # It is interactive: a head can be switched off, and a word tells what it looks at.
    head = last.content_frame.get_by_role("checkbox", name="head 1")
    head.press("Enter")
    assert head.get_attribute("aria-checked") == "false"
    last.content_frame.get_by_label("query 1: cat").focus()
    assert last.content_frame.locator("#told").inner_text().startswith("“cat” (1) looks at")
    browser.screenshot(page, f"book-{theme}-view")
    tables.row("the book", page=CAPSTONE, theme=theme, views=frames.count(), requests_elsewhere=len(chromium.outside()))
    chromium.check()


@in_a_browser
def test_the_search_finds_words_of_lessons_and_names_of_mistakes(book, light):
    page = light.page()
    page.goto((book / "index.html").as_uri())
    page.locator(".sidebar-search").fill("sinusoids")
    page.keyboard.press("Enter")
    page.locator("#search-results ul.search a", has_text="10. Positional embeddings").first.click()
    page.wait_for_url("**/10_positional_embeddings.html*")
    page.locator(".sidebar-search").fill("split without the transpose")
    page.keyboard.press("Enter")
    found = page.locator("#search-results ul.search a")
    found.first.wait_for()
    assert found.first.get_attribute("href").startswith("mistakes/08_multi_head_attention.html#split-without")
    light.check()


@in_a_browser
def test_the_pages_of_a_lesson_and_its_mistakes_lead_to_each_other(book, light):
    page = light.page()
    page.goto((book / "lessons/09_layer_normalization.html").as_uri())
    page.get_by_role("link", name="What people get wrong", exact=True).last.click()
    page.wait_for_url("**/mistakes/09_layer_normalization.html")
    page.get_by_role("link", name="this lesson", exact=True).click()
    page.wait_for_url("**/lessons/09_layer_normalization.html")
    light.check()


@in_a_browser
def test_code_can_be_copied_and_a_prediction_opens_on_a_click(book, light):
    page = light.page()
    page.goto((book / "lessons/07_scaled_dot_product_attention.html").as_uri())
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    cell = page.locator("div.cell_input").nth(1)
    cell.hover()
    cell.locator("button.copybtn").click()
    cell.locator("button.copybtn.success").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == cell.locator("pre").inner_text().strip() and "import torch" in copied
    answers = page.locator("article section > details")
    assert not answers.first.evaluate("e => e.open")
    answers.first.locator("summary").press("Enter")
    assert answers.first.locator("p").is_visible()
    assert not answers.nth(1).locator("p").first.is_visible()
    light.check()


@in_a_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(book, light, dark, theme):
    """A contrast of 4.5 is what the Web Content Accessibility Guidelines ask for (success criterion 1.4.3)."""
    chromium = {"light": light, "dark": dark}[theme]
    for name, width in (
        ("index", 1440),
        ("lessons/07_scaled_dot_product_attention", 1440),
        ("lessons/05_encoder_decoder", 390),
        ("mistakes/02_decoder", 390),
        ("glossary", 1440),
        ("learn", 900),
        ("tree", 900),
    ):
        page = chromium.page(width=width, height=1000)
        page.goto((book / f"{name}.html").as_uri())
        page.evaluate("document.querySelectorAll('article details').forEach((e) => { e.open = true; })")
        pale = page.evaluate(PALE)
        assert pale == [], name
        browser.screenshot(page, f"book-{theme}-{name.split('/')[-1]}-{width}")
        page.close()
    chromium.check()


PALE = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const over = (top, below) => [0, 1, 2].map((i) => top[i] * (top[3] ?? 1) + below[i] * (1 - (top[3] ?? 1)));
    const behind = (e) => {
        if (!e) return numbers(getComputedStyle(document.body).backgroundColor).slice(0, 3);
        const own = numbers(getComputedStyle(e).backgroundColor);
        return (own[3] ?? 1) === 1 ? own.slice(0, 3) : over(own, behind(e.parentElement));
    };
    const luminance = (rgb) => rgb.map((c) => c / 255).map((c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const words = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
    const pale = new Set();
    for (let text = words.nextNode(); text; text = words.nextNode()) {
        const e = text.parentElement;
        if (!text.data.trim() || !e.checkVisibility() || e.closest("svg, script, style, .headerlink")) continue;
        const ground = behind(e), ink = over(numbers(getComputedStyle(e).color), ground);
        const [dark, bright] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
        if ((bright + .05) / (dark + .05) < 4.5) pale.add(`${e.tagName} ${e.className}: ${text.data.trim()}`);
    }
    return [...pale];
}"""
