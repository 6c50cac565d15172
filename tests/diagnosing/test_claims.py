"""What a symptom claims: a sentence about numbers is only said of an answer that shows it."""

import pytest
import torch

from autograder.diagnosing import claims, records
from autograder.diagnosing.comparison import differences
from autograder.diagnosing.diagnosis import diagnose
from autograder.probes import Observations

X = torch.tensor([[0.2, 0.8], [0.5, 0.5]])

SHOWN = [  # (relation, what is expected, what is seen that shows it, what is seen that does not)
    ("differ", X, X + 1, X),
    ("right", X, X, X + 1),
    ("is yes", "no", "yes", "perhaps"),
    ("raise", "a tensor", "raised ValueError", "2 values"),
    ("missing", X, None, X + 1),
    ("another shape", X, torch.ones(3), X + 1),
    ("another shape", "[2, 2]", "[2, 3]", "[2, 2]"),
    ("transposed", X, X.mT.contiguous(), X.flip(0)),
    ("larger", X, 2 * X, X * torch.tensor([2.0, 0.5])),
    ("smaller", X, -X / 2, -2 * X),
    ("higher", X, X + 1, -X),
    ("lower", X, -X, 2 * X),
    ("opposite", X, -X, -2 * X),
    ("multiple", X, -3 * X, X + 1),
    ("zero", X, torch.zeros(2, 2), X + 1),
    ("not zero", X, X + 1, torch.zeros(2, 2)),
    ("not negative", -X, X, X - 0.3),
    ("NaN", X, X * float("nan"), X + 1),
    ("NaN", X, "holds NaN", "none arrives"),
    ("0 or NaN", X, X * torch.tensor([1.0, float("nan")]), X * torch.tensor([0.0, 0.5])),
    ("infinite", X, X / 0, X + 1),
    ("constant", X, torch.ones(2, 2), X + 1),
    ("equal rows", X, X[:1].expand(2, 2), X + 1),
    ("rows sum to 1", 2 * X, X.flip(-1), 3 * X),
    ("rows do not sum to 1", X, 2 * X, X.flip(-1)),
    ("rows have mean 0", X, X - 1 + torch.tensor([[0.5, 0.5], [0.5, 0.5]]), X + 1),
    ("rows keep a mean", X - X.mean(-1, keepdim=True), X, X.flip(-1) - X.mean(-1, keepdim=True)),
]


@pytest.mark.parametrize(("relation", "expected", "shows", "other"), SHOWN, ids=[row[0] for row in SHOWN])
def test_a_claim_is_true_of_what_shows_it_and_of_nothing_else(relation, expected, shows, other):
    for seen, true in ((shows, True), (other, False)):
        untrue = claims.untrue([("p", relation)], {"p": {"output": expected}}, {"p": {"output": seen}})
        assert (not untrue) is true


def test_every_relation_is_tried_here():
    assert {row[0] for row in SHOWN} - {"right", "is yes"} == set(claims.RELATIONS)


def test_a_claim_is_about_the_observations_that_it_names():
    expected = {"p": {"with a mask: weights": X, "scores": X}}
    seen = {"p": {"with a mask: weights": 2 * X, "scores": X / 2}}
    assert not claims.untrue([("p", "larger", "*weights")], expected, seen)
    assert claims.untrue([("p", "larger")], expected, seen)
    assert claims.untrue([("p", "right", "nothing of this name")], expected, seen)


def test_where_one_of_several_numbers_does_not_show_it_the_claim_is_false():
    expected, seen = {"p": {"one": X, "other": X}}, {"p": {"one": 2 * X, "other": X / 2}}
    assert claims.untrue([("p", "larger")], expected, seen)


def test_a_claim_about_another_exercise_says_nothing():
    assert not claims.untrue([("another", "larger")], {"p": {"one": X}}, {"p": {"one": X}})


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ("larger", "is no claim"),
        (("p",), "is no claim"),
        (("q", "larger"), "'q' is no probe of this lesson; choose from p"),
        (("p", "lager"), "'lager' is no relation; write 'larger'"),
    ],
)
def test_a_claim_that_nobody_could_check_is_a_fault(claim, words):
    assert words in claims.fault(claim, ["p"])


@pytest.mark.parametrize("relation", [*claims.RELATIONS, "right", "is yes"])
def test_a_claim_in_the_right_words_is_none(relation):
    assert not claims.fault(("p", relation), ["p"]) and not claims.fault(("p", relation, "weights*"), ["p"])


def record_of(*mistakes):
    """Return a record with one probe `p`, of which each mistake, (name, claims, what it shows), shows something."""
    behaviours = [{"mistakes": [name], "differs": differs(shown)} for name, _, shown in mistakes]
    sentences = {
        name: {"symptom": f"{name} seen.", "cause": "c", "place": "l", "credit": 0.0, "shows": shows}
        for name, shows, _ in mistakes
    }
    reference_ = {probe: {"output": records.plain(X.double())} for probe in ("p", "q")}
    given = {probe: {"output": "x"} for probe in ("p", "q")}
    probes = [["p", "p holds"], ["q", "q holds"]]
    return records.Record("l", "e", 1.0, [], [], probes, {}, reference_, given, [], sentences, behaviours)


def differs(shown):
    return differences({probe: {"output": X.double()} for probe in ("p", "q")}, shown)


def seen_of(shown):
    return {probe: Observations(values, {"output": "x"}) for probe, values in shown.items()}


def test_a_symptom_is_not_said_where_another_mistake_hides_it():
    doubled, turned = {"p": {"output": 2 * X}, "q": {"output": X}}, {"p": {"output": X}, "q": {"output": -X}}
    known = record_of(("doubled", [["p", "larger"], ["q", "right"]], doubled), ("turned", [["q", "opposite"]], turned))
    alone = diagnose(known, seen_of(doubled))
    assert alone.mistakes == ("doubled",) and alone.says[0] == "doubled seen."
    both = diagnose(known, seen_of({"p": doubled["p"], "q": turned["q"]}))
    assert both.mistakes == ("doubled", "turned")
    assert both.says[0] == "Two mistakes at once.\n1. It shows otherwise here than it does alone.\n2. turned seen."
    assert both.says[1] == "1. c\n2. c"


def test_where_no_symptom_is_true_what_is_seen_is_told():
    doubled = {"p": {"output": 2 * X}, "q": {"output": X}}
    found = diagnose(record_of(("doubled", [["p", "smaller"]], doubled)), seen_of(doubled))
    assert found.mistakes == ("doubled",) and found.says[0].startswith("Expected: p holds.")
