"""What hangs on how a processor rounds is found while answers are recorded, and is drawn again or refused."""

from types import SimpleNamespace

import pytest
import torch

from autograder import probes
from autograder.authoring import recorder
from autograder.calling.local import Here, Request
from autograder.diagnosing.steady import Answer, Moved, Reordered, Widened, draw
from autograder.mistakes import Catalogue

LESSON = "scaled_dot_product_attention"  # whose probes are loaded; the exercises here are not its own


@pytest.fixture
def probe(monkeypatch):
    """Declare a probe of the exercise `pick` for one test."""
    monkeypatch.setitem(probes._PROBES, "pick", [])
    return probes.probe("pick", "a probe of this test")


def called(source, component, **arguments):
    return source({"pick": component}).call(Request("pick", arguments)).output


def drawn(probe, *answers, **options):
    return draw(LESSON, "pick", probe.__name__, "a seed", list(answers), **options)


def largest(scores):
    return scores.argmax(dim=-1)


RIGHT = Answer("the reference", largest, right=True)


# Ways to round otherwise


def test_moved_inputs_are_others_but_what_is_equal_opposite_or_zero_stays_so():
    x = torch.tensor([0.0, 0.5, 0.5, -0.5, 3.0])
    moved = called(Moved, lambda x: x, x=x)
    assert not torch.equal(moved, x) and torch.allclose(moved, x, rtol=2e-6, atol=0)
    assert moved[0] == 0 and moved[1] == moved[2] == -moved[3]


def test_moved_inputs_are_moved_in_weights_and_in_lists_and_never_more_than_a_few_millionths():
    weights = {"weight": torch.full((1, 3), 0.7), "bias": torch.zeros(1)}
    request = Request(
        "pick", {"x": torch.full((1, 3), 4e9)}, build={"in_features": 3, "out_features": 1}, weights=weights
    )
    plain, moved = (source({"pick": torch.nn.Linear}).call(request).output for source in (Here, Moved))
    assert plain != moved and torch.allclose(plain, moved, rtol=1e-5)
    assert torch.equal(called(Moved, lambda x: x, x=torch.tensor([4e9])), torch.tensor([4e9]))


def test_sums_in_another_order_round_otherwise_and_keep_their_type():
    x = torch.tensor([1e8, 1.0, -1e8, 1.0] * 8)
    plain, other = (called(source, lambda x: x.sum(), x=x) for source in (Here, Reordered))
    assert other == 16 and plain != other and other.dtype == torch.float32


def test_sums_in_another_order_reach_the_gradients():
    request = Request("pick", {"x": torch.linspace(-3, 3, 1000)}, gradients=True)
    plain, other = (
        source({"pick": lambda x: torch.softmax(x, dim=0)}).call(request).gradients["x"] for source in (Here, Reordered)
    )
    assert not torch.equal(plain, other) and torch.allclose(plain, other, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_only_float32_is_computed_otherwise(dtype):
    x = torch.ones(3, dtype=dtype)
    assert called(Reordered, lambda x: x + x, x=x).dtype == (x + x).dtype


def test_what_computes_in_float64_answers_in_the_precision_of_its_request():
    x = torch.tensor([1e8, 1.0, -1e8])
    assert called(Here, lambda x: (x[0] + x[1]) + x[2], x=x) == 0
    other = called(Widened, lambda x: (x[0] + x[1]) + x[2], x=x)
    assert other == 1 and other.dtype == torch.float32


def test_what_mixes_two_precisions_is_not_asked_for_float64():
    def mixed(x):
        return x @ torch.ones(3, 1)

    x = torch.ones(1, 3)
    assert torch.equal(called(Widened, mixed, x=x), mixed(x))


# What is found


def test_a_near_tie_is_found_and_named(probe):
    @probe
    def chooses(component, numbers, seen):
        seen.note("chosen", component(scores=torch.tensor([1.0, 1.0 + 1e-7])).output)

    _, _, jumps = drawn(chooses, RIGHT)
    assert jumps["the reference"].observation == "chosen" and jumps["the reference"].how.startswith("its inputs move")
    assert str(jumps["the reference"]).startswith("probe chooses, observation 'chosen' of the reference: ")
    assert str(jumps["the reference"]).endswith(
        "; choose numbers without near ties, or observe something that rounding does not change"
    )


def test_what_is_a_tie_to_the_last_digit_is_none_that_moves(probe):
    @probe
    def chooses(component, numbers, seen):
        seen.note("chosen", component(scores=torch.tensor([1.0, 1.0, 0.5])).output)

    assert drawn(chooses, RIGHT)[2] == {}


def test_a_sum_on_a_limit_is_found(probe):
    @probe
    def compares(component, numbers, seen):
        seen.note("beyond", str(component(shares=torch.full((10,), 0.1)).output))

    jumps = drawn(compares, Answer("the reference", lambda shares: shares.cumsum(0) > 1.0, right=True))[2]
    jumps |= drawn(compares, Answer("the reference", lambda shares: shares.cumsum(0)[-1:] >= 1.0, right=True))[2]
    assert jumps


def test_numbers_with_a_near_tie_are_drawn_again(probe):
    tried = []

    @probe
    def chooses(component, numbers, seen):
        other = numbers.tensor(1, low=1.0)
        tried.append(other.item())
        near = len(set(tried)) < 3  # the first two draws are near ties
        scores = torch.cat([other, other * (1 + 1e-7 if near else 2)])
        seen.note("chosen", component(scores=scores).output)

    number, seen, jumps = drawn(chooses, RIGHT)
    assert number == 2 and jumps == {} and len(set(tried)) == 3
    again = probes.observe(LESSON, "pick", Here({"pick": largest}), "a seed", draws={"chooses": number})
    assert again["chooses"].values == seen["the reference"].values


def test_a_mistake_that_is_almost_right_is_found(probe):
    @probe
    def computes(component, numbers, seen):
        seen.note("output", component(x=torch.ones(3)).output)

    right = Answer("the reference", lambda x: x, right=True)
    for error, found in ((1e-3, False), (1.3e-4, True), (0.8e-4, True), (1e-6, False)):
        wrong = Answer("a mistake", lambda x, error=error: x * (1 + error))
        assert bool(drawn(computes, right, wrong, most=1)[2]) == found, error


def test_a_mistake_is_not_asked_for_float64_and_a_right_answer_is(probe):
    @probe
    def computes(component, numbers, seen):
        seen.note("output", component(x=torch.tensor([1.0, 200.0])).output)

    def overflows(x):
        return x.exp() / x.exp().sum()

    right = Answer("the reference", lambda x: x.softmax(0), right=True)
    assert drawn(computes, right, Answer("a mistake", overflows), most=1)[2] == {}
    jumps = drawn(computes, right, Answer("an alternative", overflows, right=True), most=1)[2]
    assert jumps["an alternative"].how == "it computes in float64"


# What the recorder does about it


def recorded(wrong, **options):
    """Record the exercise `pick` with one mistake and one more that pairs with it."""
    catalogue = Catalogue()

    @catalogue.step
    def choose(scores):
        return scores.argmax(dim=-1)

    @catalogue.step
    def count(scores):
        return torch.tensor(len(scores))

    @catalogue.component("choose", "count")
    def pick(step, scores):
        return step.choose(scores) + 10 * step.count(scores)

    text = dict(symptom="S.", cause="C.", place="P.")
    catalogue.mistake("choose", **text)(wrong)

    @catalogue.mistake("count", **text)
    def counted_twice(scores):
        return torch.tensor(2 * len(scores))

    exercise = SimpleNamespace(name="pick", points=1, uses=(), hints=(), empty=False)
    return recorder.record(
        SimpleNamespace(name=LESSON, path="a text"),
        exercise,
        lambda scores: largest(scores) + 10 * len(scores),
        catalogue,
        **options,
    )


def smallest(scores):
    return scores.argmin(dim=-1)


def test_a_mistake_that_hangs_on_rounding_is_refused_by_the_name_of_its_probe(probe):
    @probe
    def chooses(component, numbers, seen):
        seen.note("chosen", component(scores=torch.tensor([1.0, 1.0 + 1e-7, 3.0])).output)

    with pytest.raises(ValueError, match=r"'pick', probe chooses, observation 'chosen' of smallest \(choose: small"):
        recorded(smallest)


def test_a_pair_that_hangs_on_rounding_is_left_out_and_others_stay(probe):
    @probe
    def chooses(component, numbers, seen):
        seen.note("chosen", component(scores=torch.tensor([2.0, 1.0, 3.0])).output)

    assert [known["mistakes"] for known in recorded(smallest).behaviours][-1] == ["smallest", "counted_twice"]

    @probe
    def counts(component, numbers, seen):
        output = component(scores=torch.tensor([2.0, 1.0, 1.0 + 1e-7])).output
        # Only the pair gives 60 and more with another index than 0: all other answers are noted without it.
        seen.note("count", output if output > 60 else output // 10)

    found = recorded(smallest)
    assert [known["mistakes"] for known in found.behaviours] == [["smallest"], ["counted_twice"]]
