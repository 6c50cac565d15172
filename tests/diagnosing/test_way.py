"""The way: which steps of the right answer a wrong one goes through, on which lines, and which it never makes.

`python tests/ways_told.py` tells it of all mistakes; here stand the properties, and a sample.
"""

import json
import sys

import pytest
import torch
from lessons import catalogue
from ways_told import FIRST, UNTOLD, answer, told

from autograder.authoring import ways as authored
from autograder.calling.limit import Limit, TimeUp
from autograder.calling.noted import Noted
from autograder.checking.check import check
from autograder.checking.result import MIME_TYPE
from autograder.course import AuthorError
from autograder.diagnosing import fingerprint, records, ways
from autograder.mistakes import Catalogue

ATTENTION = """\
import math, torch
def scaled_dot_product_attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1)
    scores = scores / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return weights @ value, weights
"""
HEADS = """\
import math, torch
from torch import nn
class MultiHeadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"{embed_dim} {num_heads}")
        self.num_heads = num_heads
        self.q_proj, self.k_proj = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, embed_dim)
        self.v_proj, self.out_proj = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)
    def forward(self, query, key, value, mask=None):
        query, key, value = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        outputs, tables = [], []
        for q, k, v in zip(*(x.chunk(self.num_heads, dim=-1) for x in (query, key, value))):
            scores = torch.einsum("bqd,bkd->bkq", q, k) / math.sqrt(q.shape[-1])
            if mask is not None:
                scores = scores.masked_fill(~mask.transpose(-2, -1), -math.inf)
            weights = torch.nan_to_num(torch.softmax(scores, dim=1))
            tables.append(weights.transpose(1, 2))
            outputs.append(self.dropout(tables[-1]) @ v)
        return self.out_proj(torch.cat(outputs, dim=-1)), torch.stack(tables, dim=1)
"""


def told_of(source, exercise="scaled_dot_product_attention", *changes):
    """Return [(step, state, line)] of an answer in which some pieces of text are exchanged for others."""
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    way = check(answer(source, exercise)).way
    return way and [(mark.step, mark.state, mark.line) for mark in way.marks]


def attention(*changes):
    return told_of(ATTENTION, "scaled_dot_product_attention", *changes)


def test_each_right_step_has_its_line_up_to_the_first_that_is_made_nowhere():
    assert attention(("dim=-1)", "dim=-2)")) == [
        ("product", "made", 3),
        ("scale", "made", 4),
        ("softmax", "nowhere", None),
    ]


def test_a_step_is_found_however_many_mistakes_come_behind_it():
    """Without a mask the second mistake is the first to show."""
    both = ("masked_fill(~mask, -math.inf)", "masked_fill(mask, -1e9)"), ("weights @ value", "value[..., :3, :]")
    assert attention(*both) == [
        ("product", "made", 3),
        ("scale", "made", 4),
        ("softmax", "made", 7),
        ("weighted sum of values", "nowhere", None),
    ]


def test_two_steps_in_one_operation_are_told_as_one():
    marks = attention(
        ("query @ key.transpose(-2, -1)", "query / math.sqrt(query.shape[-1]) @ key.transpose(-2, -1)"),
        ("scores / math.sqrt(query.shape[-1])", "scores * 1"),
        ("dim=-1)", "dim=-2)"),
    )
    assert marks == [("product and scale", "made", 3), ("softmax", "nowhere", None)]


def test_two_branches_are_told_each_by_itself():
    """What lies beside a wrong step, and is not made from it, may well be right."""
    marks = told_of(HEADS, "MultiHeadAttention", ("self.k_proj(key)", "self.q_proj(key)"))
    states = {step: state for step, state, _ in marks}
    assert states["q_proj"] == states["v_proj"] == "made" and states["k_proj"] == "nowhere"


def test_the_order_counts_where_nothing_right_is_made_from_another_one():
    marks = attention(("query @ key.transpose(-2, -1)", "key @ query.transpose(-2, -1)"))
    assert marks[0] == ("product", "transposed", 3)


def test_another_layout_is_no_mistake():
    """Head by head, and keys before queries: what is wrong is behind all that."""
    marks = told_of(HEADS, "MultiHeadAttention", ("self.out_proj(torch.cat(outputs, dim=-1))", "outputs[0]"))
    lines = {step.rpartition(" ")[2]: (state, line) for step, state, line in marks}
    assert (lines["q_proj"], lines["scale"], lines["softmax"]) == (("made", 13), ("made", 16), ("made", 19))
    assert marks[-1][0].endswith("out_proj") and marks[-1][1] == "nowhere"


@pytest.mark.parametrize(
    ("change", "mark"),
    {
        "changed": ("return weights @ value, weights", "out = weights @ value; return out + 1, weights"),
        "exchanged": ("return weights @ value, weights", "return weights, weights @ value"),
    }.items(),
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_the_right_output_that_is_not_returned_is_told(change, mark):
    assert ("weighted sum of values", "not returned", 10) in attention(mark)


def test_what_python_computes_by_itself_is_never_said_to_be_made_nowhere():
    source = """\
import math, torch
def attention_scores(query, key):
    rows = [
        [sum(a * b for a, b in zip(q, k)) / 2.0 for k in keys]
        for queries, keys in zip(query.tolist(), key.tolist())
        for q in queries
    ]
    return torch.tensor(rows).reshape(*query.shape[:-1], key.shape[-2])
"""
    marks = told_of(source, "attention_scores")
    assert not marks or all(state != "nowhere" for _, state, _ in marks)


def test_a_step_of_a_helper_in_another_cell_is_told_at_the_line_that_calls_it():
    helper = answer("def scaled(x):\n    y = 0\n    return x / 2.6457513110645907\n", "scaled")
    component = answer(
        "import torch\ndef attention_scores(q, k):\n    return scaled(q @ k.mT) + 1\n", "attention_scores"
    )
    component.__globals__["scaled"] = helper
    marks = check(component).way.marks
    assert [(mark.step, mark.line, mark.within) for mark in marks] == [("product", 3, ""), ("scale", 3, "")]


def test_a_right_answer_is_not_run_again(monkeypatch):
    monkeypatch.setattr(ways, "of_answer", lambda *_: pytest.fail("a right answer has no way"))
    assert check(answer(ATTENTION, "scaled_dot_product_attention")).passed


def test_a_tracer_of_the_learner_stays(monkeypatch):
    lines = []

    def trace(frame, event, argument):
        lines.append(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        component = answer(ATTENTION.replace("dim=-1)", "dim=-2)"), "scaled_dot_product_attention")
        assert check(component).way and sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert lines


def test_the_limit_holds_where_tensors_are_noted():
    component = answer("def endless(x):\n    while True:\n        x = x + 1\n", "endless")
    with pytest.raises(TimeUp), Noted(component, {3}) as noted:
        with Limit(0.2):
            component(torch.zeros(3))
    assert noted.notes and noted.notes[0].line == 3


def test_it_is_shown_in_one_line_and_travels_as_data():
    result = check(answer(ATTENTION.replace("dim=-1)", "dim=-2)"), "scaled_dot_product_attention"))
    line = "Step by step:  ✓ product: line 3  ✓ scale: line 4  ✗ softmax: made nowhere"
    assert line in repr(result)
    bundle = result._repr_mimebundle_()
    assert "✗ <b>softmax</b>: made nowhere" in bundle["text/html"]
    kept = json.loads(json.dumps(bundle[MIME_TYPE]))["way"]["marks"]
    assert [mark["step"] for mark in kept] == ["product", "scale", "softmax"]


@pytest.mark.parametrize(
    ("lesson", "exercise"),
    [
        ("scaled_dot_product_attention", "attention_scores"),
        ("layer_normalization", "layer_norm"),
        ("encoder", "GatedFeedForward"),
    ],
)
def test_of_declared_mistakes_the_way_says_nothing_untrue(lesson, exercise):
    found = [one for one in told(lesson, exercise, most=12)]
    assert not [(one.mistake, one.false) for one in found if one.false]
    with_numbers = [one for one in found if one.way and one.kind != UNTOLD]
    assert sum(one.kind == FIRST for one in with_numbers) >= 0.8 * len(with_numbers) > 0


def test_what_is_recorded_is_what_the_right_steps_give():
    record = records.read("attention_weights")
    made = [ways.plain(run) for run in authored.runs(record, catalogue(record.lesson))]
    kept = json.loads(ways.path_of(record.lesson, record.exercise).read_text(encoding="utf-8"))
    assert authored.close_enough(kept, json.loads(json.dumps(made)))


def test_a_fingerprint_minds_neither_folding_nor_a_last_digit_but_tells_an_order():
    numbers = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(1))
    known = fingerprint.Fingerprint.read(json.loads(json.dumps(fingerprint.of(numbers).plain())))
    assert known.same_order(fingerprint.of(numbers.reshape(12, 5) * (1 + 1e-6)))
    turned = numbers.transpose(1, 2)
    assert not known.same_order(fingerprint.of(turned)) and known.same_numbers(fingerprint.of(turned))
    assert fingerprint.is_transposed(turned, known)
    assert not known.same_numbers(fingerprint.of(numbers * 1.001))


def test_a_few_other_tokens_among_many_are_not_the_same_step():
    """Sorted, two thousand tokens of which some are others differ by less than rounding might in broken numbers."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, 97, (20, 102), generator=generator)
    known = fingerprint.Fingerprint.read(json.loads(json.dumps(fingerprint.of(tokens).plain())))
    others = tokens.clone()
    others[3, 5:9] += 1
    whole = ways.Step("tokens", known, floats=False)
    assert whole.of.same_order(fingerprint.of(tokens), whole.slack)
    assert whole.of.same_numbers(fingerprint.of(tokens.flip(0)), whole.slack)
    assert not whole.of.same_numbers(fingerprint.of(others), whole.slack)
    assert not whole.of.same_order(fingerprint.of(others), whole.slack)


def test_words_that_do_not_fit_what_a_step_gives_are_refused_with_the_step():
    written = Catalogue()

    @written.step
    def halves(x):
        """first; second; third"""
        return x.sin(), x.cos()

    @written.component("halves")
    def double(step, x):
        return step.halves(x)[0]

    with pytest.raises(AuthorError, match="step 'halves' of 'double' has 3 names .* for the 2 tensors"):
        authored.seen_steps(written, "double", authored.Request("double", {"x": torch.linspace(0.1, 2, 9)}))


def test_what_equals_what_is_given_or_another_step_is_no_step():
    written = Catalogue()
    for function in (lambda x: x, lambda x: x.sin(), lambda x: x * 1, lambda x: x.cos()):
        function.__name__ = f"step_{len(written.steps)}"
        written.step(function)

    @written.component(*written.steps)
    def double(step, x):
        return step.step_3(step.step_2(step.step_1(step.step_0(x))))

    request = authored.Request("double", {"x": torch.linspace(0.1, 2, 9)})
    _, steps, _ = authored.seen_steps(written, "double", request)
    assert [step.words for step in steps] == ["step 1", "step 3"]
