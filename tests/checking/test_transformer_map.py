"""The map of the transformer: a box for every component, lit by progress, in a notebook, a terminal and a file."""

import base64
import io
import itertools
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path
from types import SimpleNamespace

import browser
import nbformat
import pytest
from lessons import EXERCISES, REPOSITORY, read
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font, LoadFlags
from PIL import Image

from autograder.checking import check, progress_file, progress_map
from autograder.diagnosing import records
from autograder.feedback import pages
from workbench import figures, map_boxes, transformer_map
from workbench.map_boxes import ARROWS, BOXES, HEIGHT, PARTS, WIDTH

SVG = "{http://www.w3.org/2000/svg}"
SOLVED, TRIED = list(PARTS)[::3], list(PARTS)[1::3]
PICTURES = {
    "plain": figures.transformer_map(),
    "lit": figures.transformer_map("self_attention"),
    "states": figures.transformer_map("decoder", SOLVED, TRIED),
    "all solved": figures.transformer_map(solved=PARTS),
    "all tried": figures.transformer_map(tried=PARTS),
}


def elements(picture, name, *classes):
    """Return the elements of a picture that have this tag and all these classes."""
    found = xml.fromstring(picture.svg).iter(SVG + name)
    return [one for one in found if set(classes) <= set(one.get("class", "").split())]


def marked(lesson):
    """Return the texts of the boxes that a lesson marks; the picture has to have as many in its border."""
    texts = [box.text for box in BOXES if lesson in box.marks]
    assert len(elements(figures.transformer_map(lit=lesson), "rect", "here")) == len(texts)
    return texts


# What is on the map


def test_every_exercise_has_one_box_but_for_the_bugs_to_find():
    boxed = {
        exercise: lesson
        for lesson, exercise in EXERCISES
        if lesson in map_boxes.ON_THE_MAP and not exercise.endswith("_bug_input")
    }
    assert boxed == PARTS
    assert sorted(box.part for box in BOXES if box.kind == "part") == sorted(PARTS)


@pytest.mark.parametrize("name", map_boxes.ON_THE_MAP)
def test_a_lesson_has_its_number_its_title_and_its_order_of_components(name):
    lesson, known = read(name), map_boxes.ON_THE_MAP[name]
    assert lesson.number == known.number and lesson.title.startswith(known.title)
    assert known.parts == tuple(part for part in lesson.exercises if part in PARTS)


@pytest.mark.parametrize("name", map_boxes.LESSONS)
def test_a_lesson_marks_its_card_and_says_so(name):
    assert map_boxes.LESSONS[name].title in marked(name)
    number = map_boxes.LESSONS[name].number
    picture = figures.transformer_map(lit=name)
    assert repr(picture) == f"Map of the transformer; you are here: {name.replace('_', ' ')}, lesson {number}."
    assert [text.text for text in elements(picture, "text", "said")] == ["you are here"]


def test_lessons_about_whole_models_mark_what_these_are_made_of():
    embedding = "token + position embedding"
    assert sorted(marked("encoder_only")) == ["Encoder", "Encoder-only", embedding]
    assert sorted(marked("decoder_only")) == ["Decoder", "Decoder-only", embedding]
    assert sorted(marked("encoder_decoder")) == ["Decoder", "Encoder", "Encoder-decoder"]
    assert sorted(marked("positional_embeddings")) == ["Positional embeddings", embedding, embedding]
    assert marked("layer_normalization").count("add and normalize") == 5
    cards = sorted(box.text for box in BOXES if box.kind == "card" and box.lesson != map_boxes.CAPSTONE)
    assert sorted(marked("visualizing_attention")) == cards and len(cards) == 11


def test_the_capstone_has_a_place_without_a_number_and_its_parts_count():
    picture = figures.transformer_map("capstone", solved=["GPT", "encode"])
    assert marked("capstone") == ["Capstone: from an empty file to a model that answers"]
    assert repr(picture) == (
        f"Map of the transformer; you are here: capstone; 2 of {len(PARTS)} parts solved, 0 tried."
    )
    assert len(elements(picture, "rect", "solved")) == 2 and len(elements(picture, "text", "number")) == 11
    shown = repr(progress_map.read())
    assert "┌ Capstone ─" in shown and shown.index("Capstone") > shown.index("Visualizing attention")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lit": "encoder_onyl"}, "no lesson 'encoder_onyl'; did you mean 'encoder_only'.*encoder, decoder, "),
        ({"solved": ["LayerNrom"]}, "no part 'LayerNrom'; did you mean 'LayerNorm'.*FeedForward, "),
        ({"tried": {"attention_bug_input"}}, "no part 'attention_bug_input'"),
        ({"lit": ""}, "no lesson ''; the lessons are encoder"),
    ],
)
def test_a_name_that_is_not_on_the_map_is_refused_with_those_that_are(given, message):
    with pytest.raises(ValueError, match=message):
        figures.transformer_map(**given)


def test_solved_tried_and_open_differ_in_their_signs_and_places_show_the_state_of_their_component():
    picture = figures.transformer_map(solved=["ResidualConnection", "mask_tokens"], tried=["TransformerEmbedding"])
    # A component, five places of it, another component, the legend; a component, two places, the legend.
    assert len(elements(picture, "path", "sign")) == 1 + 5 + 1 + 1 and len(elements(picture, "rect", "solved")) == 7
    assert len(elements(picture, "path", "full")) == 1 + 2 + 1 and len(elements(picture, "rect", "half")) == 3
    places = [box for box in BOXES if box.kind == "place"]
    assert len(elements(picture, "circle", "none")) == len(PARTS) + len(places) - 7 + 2
    said = [text.text for text in elements(picture, "text", "soft")]
    assert {"solved: 2", "tried: 1", f"not yet: {len(PARTS) - 3}", f"of {len(PARTS)} parts"} <= set(said)
    assert repr(picture) == f"Map of the transformer; 2 of {len(PARTS)} parts solved, 1 tried."


def test_what_is_solved_and_tried_counts_as_solved_and_nothing_done_shows_no_signs():
    both = figures.transformer_map(solved=["LayerNorm"], tried=["LayerNorm", "RMSNorm"])
    assert both == figures.transformer_map(solved=["LayerNorm"], tried=["RMSNorm"])
    assert figures.transformer_map(solved=set(), tried=[]) == PICTURES["plain"]
    assert not elements(PICTURES["plain"], "path", "sign") + elements(PICTURES["plain"], "circle", "none")


# How it is drawn


def test_no_two_boxes_overlap_unless_one_holds_the_other():
    def inside(one, other):
        return (
            other.x < one.x
            and one.x + one.width < other.x + other.width
            and other.y < one.y
            and one.y + one.height < other.y + other.height
        )

    def apart(one, other):
        return (
            one.x + one.width < other.x
            or other.x + other.width < one.x
            or one.y + one.height < other.y
            or other.y + other.height < one.y
        )

    for one, other in itertools.combinations(BOXES, 2):
        assert apart(one, other) or inside(one, other) or inside(other, one), (one, other)
    assert all(inside(box, SimpleNamespace(x=0, y=0, width=WIDTH, height=HEIGHT)) for box in BOXES)


def test_every_arrow_leads_to_the_edge_of_a_box():
    edges = {
        (x, y)
        for box in BOXES
        for x in range(round(box.x), round(box.x + box.width) + 1)
        for y in (box.y, box.y + box.height)
    }
    edges |= {
        (x, y)
        for box in BOXES
        for y in range(round(box.y), round(box.y + box.height) + 1)
        for x in (box.x, box.x + box.width)
    }
    assert [corners for corners in ARROWS if corners[-1] not in edges] == []


FONTS = {
    name: FT2Font(str(Path(get_data_path(), "fonts", "ttf", f"{name}.ttf")))
    for name in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono")
}
KINDS = {
    "name": ("DejaVuSansMono", 11),
    "title": ("DejaVuSans-Bold", 13),
    "number": ("DejaVuSans-Bold", 11),
    "said": ("DejaVuSans-Bold", 11),
}


def extent(text):
    """Return (left, top, right, bottom) of a text in DejaVu, which is as wide as any font that systems bring."""
    font, size = KINDS.get(text.get("class").split()[-1], ("DejaVuSans", 12))
    FONTS[font].set_size(size, 72)
    FONTS[font].set_text(text.text, flags=LoadFlags.NO_HINTING)
    width = FONTS[font].get_width_height()[0] / 64
    left = float(text.get("x")) - {"middle": width / 2, "end": width}.get(text.get("text-anchor"), 0)
    return left, float(text.get("y")) - 0.75 * size, left + width, float(text.get("y")) + 0.2 * size


def sign_extents(picture):
    for tick in elements(picture, "path", "sign"):
        x, y = map(float, re.match(r"M([\d.]+) ([\d.]+) l3 4 l6 -8$", tick.get("d")).groups())
        yield x, y - 4, x + 9, y + 4
    for ring in elements(picture, "circle", "none"):
        x, y, radius = (float(ring.get(name)) for name in ("cx", "cy", "r"))
        yield x - radius, y - radius, x + radius, y + radius


@pytest.mark.parametrize("name", PICTURES)
def test_no_text_is_wider_than_its_box_or_runs_into_another_text_or_sign(name):
    extents = [(extent(text), text.text) for text in elements(PICTURES[name], "text")]
    for (left, top, right, bottom), words in extents:
        assert left > 4 and right < WIDTH - 4, words
        middle = (left + right) / 2
        holders = [
            box for box in BOXES if box.x < middle < box.x + box.width and box.y < top and bottom < box.y + box.height
        ]
        holder = min(holders, key=lambda box: box.width, default=None)
        assert holder is None or holder.x + 1 < left and right < holder.x + holder.width - 1, words
    marks = [(mark, "a sign") for mark in sign_extents(PICTURES[name])]
    for (one, words), (other, others) in itertools.combinations(extents + marks, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1], (words, others)


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    shares = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(look, one, other):
    """Return the contrast of two classes as the WCAG reckon it: from 1 for none to 21 for black on white."""
    fills = [luminance(re.search(r"#\w+", look[name])[0]) for name in (one, other)]
    return (max(fills) + 0.05) / (min(fills) + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_written_can_be_read_in_both_themes(dark):
    look = transformer_map._LIGHT | (transformer_map._DARK if dark else {})
    papers = ("paper", "card", "layer", "part", "place", "here", "solved", "half")
    assert min(contrast(look, ink, paper) for ink in ("ink", "soft") for paper in papers) > 4.5
    assert min(contrast(look, *pair) for pair in (("number", "badge"), ("said", "tag"))) > 4.5
    assert min(contrast(look, sign, paper) for sign in ("sign", "full") for paper in ("solved", "half", "part")) > 3
    borders = {name: look[name].rpartition("stroke:")[2] for name in ("here", "solved")}
    assert min(contrast(look | {"border": borders[name]}, "border", "paper") for name in borders) > 3
    drawn = {
        name
        for picture in PICTURES.values()
        for one in xml.fromstring(picture.svg).iter()
        for name in one.get("class", "").split()
    }
    assert drawn - {"name", "title", "zoom"} == set(transformer_map._LIGHT), "a class without colours, or unused ones"


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_an_svg_that_needs_nothing_else_and_says_what_it_is(name):
    picture = PICTURES[name]
    root = xml.fromstring(picture.svg)
    assert root.get("role") == "img" and root.get("aria-label") == root.find(SVG + "title").text == repr(picture)
    assert "prefers-color-scheme:dark" in root.find(SVG + "style").text
    outside = re.sub(r'xmlns="[^"]*"', "", picture.svg)
    assert not re.search(r"https?:|url\(|href|<script|@import", outside)
    (sent,) = re.findall(r'^<img src="data:image/svg\+xml;base64,([^"]*)" alt="([^"]*)"', picture._repr_html_())
    assert base64.b64decode(sent[0]).decode() == picture.svg and sent[1] == repr(picture)


def test_the_picture_is_the_same_in_another_process_and_in_any_order():
    program = (
        "from workbench.transformer_map import transformer_map\n"
        f"print(transformer_map('decoder', set({SOLVED}), set({TRIED})).svg, end='')"
    )
    for seed in ("3", "5"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            check=True,
        )
        assert done.stdout == PICTURES["states"].svg


def test_feedback_pages_keep_the_picture():
    cleaned = pages.clean(PICTURES["states"].html)
    data = re.search(r'base64,([^"]*)', PICTURES["states"].html)[1]
    assert data in cleaned and 'width="880"' in cleaned and repr(PICTURES["states"]) in cleaned


def test_the_picture_of_the_documentation_is_the_whole_course():
    kept = (REPOSITORY / "docs" / "map.svg").read_text(encoding="utf-8")
    remedy = "TRANSFORMER_TAXONOMY_STATE=/tmp/nothing python -m autograder progress --svg docs/map.svg"
    assert kept == PICTURES["plain"].svg, f"run: {remedy}"


# Progress


@pytest.fixture
def own_progress(tmp_path, monkeypatch):
    """A learner who has solved, half solved and tried something."""
    monkeypatch.setenv(progress_file.ENVIRONMENT, str(tmp_path / "state"))
    for exercise, earned, passed in (
        ("attention_scores", 2, True),
        ("attention_weights", 1.5, False),
        ("masked_language_model_loss", 0, False),
        ("norm_bug_input", 1, True),
    ):
        progress_file.remember(
            SimpleNamespace(exercise=exercise),
            SimpleNamespace(unsolved=False, conclusive=True, earned=earned, passed=passed, mistake=None, mistakes=()),
        )
    return tmp_path


def test_progress_in_a_notebook_is_the_map_above_the_table(own_progress):
    shown = check.progress()
    html = shown._repr_html_()
    assert shown.map == figures.transformer_map(
        solved={"attention_scores"}, tried={"attention_weights", "masked_language_model_loss"}
    )
    assert html.index(shown.map.html) < html.index("<table") and html.count("<tr") == len(EXERCISES)
    assert "4.5 of " in html and "✓ solved" in html and "◐ tried" in html and "· not yet" in html
    places = [
        html.index(f">{text}<")
        for text in (
            "1 Encoder",
            "FeedForward",
            "encoder_bug_input",
            "2 Decoder",
            "causal_mask",
            "11 Visualizing attention",
            "find_heads",
        )
    ]
    assert places == sorted(places), "in the order of the course"


def test_progress_in_a_terminal_is_a_map_of_80_columns(own_progress):
    first, *lines = repr(check.progress()).splitlines()
    assert {len(line) for line in (first, *lines)} == {80}
    assert first.startswith("4.5 of ") and first.endswith("✓ solved  ◐ tried  · not yet")
    text = "\n".join(lines)
    for row in (
        "✓ attention_scores              2/2",
        "◐ attention_weights           1.5/3",
        "◐ masked_language_model_loss    0/2",
        "✓ norm_bug_input                1/1",
        "· find_heads                    0/2",
    ):
        assert f"│ {row} " in text or f" {row} │" in text, row
    for _, exercise in EXERCISES:
        assert len(re.findall(rf"[✓◐·] {exercise} ", text)) == 1, exercise
    for lesson in map_boxes.LESSONS.values():
        assert f"┌ {lesson.number} {lesson.title} ─" in text


def test_in_the_terminal_s_map_upright_lines_go_on_from_row_to_row_and_arrows_have_a_beginning():
    down, up = set("┌┐│├"), set("└┘│├")
    lines = repr(progress_map.read()).splitlines()[1:]
    for upper, lower in itertools.pairwise(lines):
        for above, below in zip(upper, lower, strict=True):
            met = (above in down) == (below in up) or {(above, below)} & {("┐", "▶"), ("┌", "▶"), ("▶", "│")}
            assert met and (above == "▲") == (below == "┴"), (upper, lower)
    assert "".join(lines).count("▲") == 4 and "".join(lines).count("├──▶") == 1


def test_a_lesson_of_an_instructor_has_a_card_of_its_own(own_progress):
    exercises = [
        *progress_map.read().exercises,
        progress_map.Exercise("mixture_of_experts", "a_router_whose_name_is_far_too_long", "tried", 0.67, 13),
    ]
    shown = progress_map.Progress(exercises)
    lines = repr(shown).splitlines()
    assert {len(line) for line in lines} == {80} and any(line.startswith("┌ mixture_of_experts ─") for line in lines)
    assert "│ ◐ a_router_whose_name_is_f… 0.67/13 " in lines[-2]
    assert shown.map == progress_map.Progress(exercises[:-1]).map and "a_router" in shown._repr_html_()


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "[]",
        "null",
        '{"attention_scores": 3}',
        '{"attention_scores": {"earned": "two", "tries": 2}, "gone": {"passed": true}}',
    ],
)
def test_a_damaged_or_old_progress_file_stops_nothing(tmp_path, monkeypatch, kept):
    monkeypatch.setenv(progress_file.ENVIRONMENT, str(tmp_path))
    (tmp_path / "progress.json").write_text(kept)
    shown = progress_map.read()
    assert repr(shown).startswith("0 of ") and "attention_scores" in shown._repr_html_()


def test_progress_reads_where_records_are_written_and_counts_all_points():
    found = {one.name: (one.lesson, one.points) for one in progress_map.read().exercises}
    assert sorted(found) == sorted(records.exercises())
    assert all(found[name] == (lesson, records.read(name).points) for name, lesson in records.exercises().items())


def command(*words, state, program="import autograder.__main__ as m; code = m.main(sys.argv[1:])"):
    """Run a command of the machine; what it prints ends with its exit code and whether it has imported torch."""
    program = f"import sys\n{program}\nprint(code, 'torch' in sys.modules)"
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        env=os.environ | {progress_file.ENVIRONMENT: str(state), "PYTHONIOENCODING": "utf-8"},
    )


def test_the_command_prints_the_map_without_torch(own_progress):
    done = command("progress", state=own_progress / "state")
    *lines, end = done.stdout.splitlines()
    assert "\n".join(lines) == repr(check.progress()) and end == "0 False", done.stderr


def test_the_command_writes_the_picture_for_a_readme(own_progress):
    path = own_progress / "map.svg"
    done = command("progress", "--svg", str(path), state=own_progress / "state")
    assert done.stdout.endswith("\n0 False\n"), done.stderr
    assert path.read_bytes() == check.progress().map.svg.encode()
    assert done.stdout.startswith(f"{path}: Map of the transformer; 1 of {len(PARTS)} parts solved, 2 tried.")


def test_a_file_that_cannot_be_written_is_refused_in_one_line(own_progress):
    path = own_progress / "missing" / "map.svg"
    done = command("progress", "--svg", str(path), state=own_progress)
    assert done.stdout == "1 False\n"
    assert done.stderr == f"{path}: No such file or directory; give a file that can be written\n"


def test_a_terminal_without_these_characters_shows_question_marks(own_progress):
    program = (
        "sys.stdout.reconfigure(encoding='ascii', errors='strict')\n"
        "import autograder.__main__ as m; code = m.main(sys.argv[1:])"
    )
    done = command("progress", state=own_progress / "state", program=program)
    assert "? attention_scores" in done.stdout and done.stdout.endswith("\n0 False\n"), done.stderr


# In a browser


@browser.needed()
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_notebook_that_jupyterlab_does_not_trust_shows_the_picture_in_its_theme(tmp_path, own_progress, dark):
    shown = check.progress()
    outputs = [
        nbformat.v4.new_output("display_data", {"text/html": thing._repr_html_(), "text/plain": repr(thing)})
        for thing in (PICTURES["lit"], shown)
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("progress()", outputs=outputs)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "map.ipynb")
    # The desktop has the other theme, which must not matter.
    with browser.Browser(dark=not dark) as chromium, browser.Jupyter(tmp_path, "lab", dark=dark) as jupyter:
        page = chromium.page(width=1280, height=1000)
        jupyter.open(page, "map.ipynb")
        pictures = page.locator(".jp-OutputArea-output img")
        pictures.nth(1).wait_for()
        page.wait_for_function("[...document.querySelectorAll('.jp-OutputArea-output img')].every(e => e.naturalWidth)")
        alternatives = [pictures.nth(index).get_attribute("alt") for index in (0, 1)]
        assert alternatives == [repr(PICTURES["lit"]), repr(shown.map)]
        assert pictures.first.evaluate("e => [e.naturalWidth, e.clientWidth, e.clientHeight]") == [WIDTH, WIDTH, HEIGHT]
        path = browser.screenshot(pictures.first, f"map-{'dark' if dark else 'light'}")
        red, green, blue = Image.open(io.BytesIO(path.read_bytes())).convert("RGB").getpixel((440, 8))
        paper = (transformer_map._DARK if dark else transformer_map._LIGHT)["paper"]
        assert {"fill:#fff": (255, 255, 255), "fill:#15181c": (21, 24, 28)}[paper.split(";")[0]] == (red, green, blue)
        chromium.check()
