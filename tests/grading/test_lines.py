"""Where the instructor asks for it, feedback shows the line of a mistake; no points depend on that."""

import json
import re

import pytest
from attacked import LESSON, Host

from autograder.checking.result import MIME_TYPE
from autograder.locating import inside
from autograder.locating.edits import Place

MARKERS = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
SOLVED = {name: MARKERS.sub("", exercise.source).strip() for name, exercise in LESSON.exercises.items()}
NAMED = """def attention_scores(query, key):
    scale = 1 / query.shape[-2] ** 0.5
    return query @ key.transpose(-2, -1) * scale
"""
NAMELESS = """def attention_weights(scores, mask=None):
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores * 1.25, dim=-1)
    return torch.nan_to_num(weights)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    one = Host(tmp_path_factory.mktemp("host"))
    one.steps[0].check_seconds = 10
    yield one
    one.server.close()


def graded(host, answers, seconds, code=None):
    """Return (points of each exercise, {exercise: the data that its check shows}, the page of each as HTML)."""
    host.steps[0].line_seconds = seconds
    points, text = host.run(SOLVED | answers, code, exercises=("attention_scores", "attention_weights"))
    shown = [
        output["data"]
        for cell in json.loads(text)["cells"]
        for output in cell.get("outputs", ())
        if MIME_TYPE in output.get("data", {})
    ]
    pages = {one[MIME_TYPE]["exercise"]: "".join(one["text/html"]) for one in shown}
    return points, {one[MIME_TYPE]["exercise"]: one[MIME_TYPE] for one in shown}, pages


def test_the_line_of_a_mistake_is_shown_where_it_is_asked_for(host):
    wrong = {"attention_scores": NAMED, "attention_weights": NAMELESS}
    points, told, pages = graded(host, wrong, 60)
    assert told["attention_scores"]["lines"] == [2] and "→   2      scale = 1 /" in pages["attention_scores"]
    assert told["attention_weights"]["lines"] == [4] and "→   4      weights = " in pages["attention_weights"]
    without, plain, _ = graded(host, wrong, 0)
    assert points == without and "lines" not in plain["attention_scores"]


def test_a_right_answer_has_no_line_and_an_unsure_search_shows_nothing(host):
    unsure = "def attention_scores(query, key):\n    return query.sum() + key.sum()\n"
    points, told, pages = graded(host, {"attention_scores": unsure}, 5)
    assert points["attention_weights"] == LESSON.exercises["attention_weights"].points
    assert not any("lines" in about for about in told.values()) and "→" not in "".join(pages.values())


def test_a_kernel_that_answers_nonsense_or_ends_loses_the_line_and_nothing_else(host):
    ends = "import os, autograder.locating.search as search\nsearch.locate = lambda *given: os._exit(1)"
    points, told, _ = graded(host, {"attention_scores": NAMED}, 5, ends)
    assert points == graded(host, {"attention_scores": NAMED}, 0)[0]
    assert not any("lines" in about for about in told.values())


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        [],
        {"files": [], "places": [["0", 1, 1]], "between": False},
        {"files": [[[1, "x"]]], "places": [[0, 1, 2]], "between": False},
        {"files": [[[1, 2]]], "places": [[0, 1, 1]], "between": False},
        {"files": [[["1", "x"]]], "places": [[0, 1, 1]], "between": False},
        {"files": [[[1, "x"]]], "places": [[0, 1, True]], "between": False},
        {"files": [[[1, "x"]]], "places": [[0, 1]], "between": False},
        {"files": 7, "places": [[0, 1, 1]], "between": False},
    ],
)
def test_of_nonsense_nothing_is_believed(told):
    assert inside.ask(Answering(told), "attention_scores", 1.0) is None


def test_what_is_too_long_is_cut():
    lines = [[number, "x" * 10_000] for number in range(1, 5_000)]
    found = inside.ask(Answering({"files": [lines], "places": [[0, 3, 3]], "between": 1}), "attention_scores", 1.0)
    assert found.places == (Place("0", 3, 3),) and found.between is False
    assert len(found.lines["0"]) == inside.MOST_LINES
    assert {len(text) for _, text in found.lines["0"]} == {inside.MOST_COLUMNS}


class Answering:
    """The channel to a kernel that says this."""

    def __init__(self, told):
        self.told = told

    def install(self, room):
        pass

    def ask(self, content, kinds):
        return self.told, []
