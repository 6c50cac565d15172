"""A habit beside a mistake hides neither: both are named, in every exercise that can show the habit."""

import functools
import warnings

import pytest
import tables
import torch
from lessons import EXERCISES, catalogue, names_only

from autograder.authoring.habitual import HABITS, with_habit
from autograder.checking import check
from autograder.diagnosing import habits, records
from autograder.diagnosing.comparison import by_aspect
from autograder.diagnosing.explanation import Explanation
from autograder.diagnosing.habits import with_habits

pytestmark = pytest.mark.filterwarnings("ignore")  # mistakes may use what PyTorch warns of
TENSOR = torch.tensor([2.0, 3.0])


@pytest.mark.parametrize(
    ("name", "aspect", "expected", "seen"),
    [
        ("cut_from_autograd", "gradients", {"gradient of x": TENSOR}, {"gradient of x": "none arrives"}),
        (
            "cut_from_autograd",
            "gradients",
            {"gradient of k_proj.bias": "arrives"},
            {"gradient of k_proj.bias": "none arrives"},
        ),
        (
            "fixed_dtype",
            "dtype",
            {"answer for float64": "float64, float64"},
            {"answer for float64": "float64, float32"},
        ),
        ("fixed_device", "device", {"made on the inputs' device": "yes"}, {"made on the inputs' device": "no"}),
        (
            "arguments_changed_in_place",
            "arguments",
            {"arguments changed in place": "none"},
            {"arguments changed in place": "x"},
        ),
    ],
)
def test_a_habit_is_known_by_what_it_does(name, aspect, expected, seen):
    place = ("p", aspect)
    found = with_habits(Explanation(("no_scale",), frozenset({place})), {"p": expected}, {"p": seen})
    assert found == Explanation(("no_scale", name))


@pytest.mark.parametrize(
    ("aspect", "expected", "seen"),
    [
        ("gradients", {"gradient of x": TENSOR}, {"gradient of x": 2 * TENSOR}),
        (
            "gradients",
            {"gradient of x": TENSOR, "gradient of y": TENSOR},
            {"gradient of x": "none arrives", "gradient of y": 2 * TENSOR},
        ),
        ("gradients", {"answer": "a tensor", "gradient of x": TENSOR}, {"answer": "raised TypeError: x"}),
        ("dtype", {"answer for float64": "float64"}, {"answer for float64": "raised RuntimeError"}),
        ("dtype", {"answer for float64": "float64, float64"}, {"answer for float64": "float64"}),
        ("numbers", {"x": TENSOR}, {"x": "none arrives"}),
    ],
    ids=["other numbers", "some arrive", "raised", "raised for another dtype", "fewer come out", "another aspect"],
)
def test_what_may_have_another_cause_is_no_habit(aspect, expected, seen):
    rest = frozenset({("p", aspect)})
    assert with_habits(Explanation(rest=rest), {"p": expected}, {"p": seen}) == Explanation(rest=rest)


@pytest.mark.parametrize(
    ("aspect", "expected", "seen", "symptom"),
    [
        (
            "gradients",
            {"no mask: gradient of x": TENSOR, "no mask: gradient of y": TENSOR, "gradient of z": TENSOR},
            {
                "no mask: gradient of x": "none arrives",
                "no mask: gradient of y": "none arrives",
                "gradient of z": TENSOR,
            },
            "No gradient reaches x and y.",
        ),
        (
            "gradients",
            {f"gradient of {name}": "arrives" for name in "abcdef"},
            {f"gradient of {name}": "none arrives" for name in "abcdef"},
            "No gradient reaches a, b, c, d and 2 more.",
        ),
        (
            "gradients",
            {"gradient of x": TENSOR, "gradient through output 2": "arrives"},
            {"gradient of x": 2 * TENSOR, "gradient through output 2": "none arrives"},
            "No gradient goes through output 2.",
        ),
        (
            "gradients",
            {"gradient of x": TENSOR, "gradient through output 1": "arrives"},
            {"gradient of x": "none arrives", "gradient through output 1": "none arrives"},
            "No gradient reaches x.",
        ),
        (
            "dtype",
            {"answer for float64": "float64, float64"},
            {"answer for float64": "float64, float32"},
            "float32 comes out where float64 is expected.",
        ),
        (
            "arguments",
            {"changed in place": "none"},
            {"changed in place": "query"},
            "query is different after the call.",
        ),
        (
            "device",
            {"made on x's device": "yes"},
            {"made on x's device": "no"},
            "What is made here is on another device",
        ),
    ],
)
def test_what_is_seen_of_a_habit_is_told_of_this_answer(aspect, expected, seen, symptom):
    found = with_habits(Explanation((), frozenset({("p", aspect)})), {"p": expected}, {"p": seen})
    (said,) = found.symptoms.values()
    assert said.startswith(symptom)


def test_what_fails_shows_no_habit():
    expected, seen = {"p": {"gradient of x": TENSOR}}, {"p": {"gradient of x": "none arrives"}}
    rest = frozenset({("p", "gradients")})
    assert with_habits(Explanation(rest=rest), expected, seen, rest) == Explanation(rest=rest)


@pytest.mark.parametrize("name", ["weight in the state dict", "shape of weight"])
def test_what_stays_behind_where_a_parameter_is_missing_is_no_habit(name):
    moves = {"answer for float64": "float64", "made on x's device": "yes"}
    stays = {"answer for float64": "float32", "made on x's device": "no"}
    rest = frozenset({("p", "dtype"), ("p", "device")})
    there = with_habits(Explanation(rest=rest), {"p": moves, "q": {name: "[5]"}}, {"p": stays, "q": {name: "[7]"}})
    assert set(there.mistakes) == {"fixed_dtype", "fixed_device"}
    lost = with_habits(Explanation(rest=rest), {"p": moves, "q": {name: "[5]"}}, {"p": stays, "q": {name: "missing"}})
    assert lost == Explanation(rest=rest)


@pytest.mark.parametrize("lost", [("weight in the state dict", "[5]", "missing"), ("weight is trained", "yes", "no")])
def test_that_no_gradient_reaches_what_is_no_parameter_is_no_habit(lost):
    name, right, wrong = lost
    expected = {"p": {"gradient of weights.weight": TENSOR, "gradient of x": TENSOR}, "q": {name: right}}
    seen = {"p": {"gradient of weights.weight": "none arrives", "gradient of x": 2 * TENSOR}, "q": {name: wrong}}
    place = frozenset({("p", "gradients")})
    meant = Explanation(("not_registered",), place, place)
    assert with_habits(meant, expected, seen) == Explanation(("not_registered",))
    there = with_habits(meant, expected, seen | {"q": {name: right}})
    assert there.mistakes == ("not_registered", "cut_from_autograd")
    nor_x = {"p": seen["p"] | {"gradient of x": "none arrives"}, "q": {name: wrong}}
    assert with_habits(meant, expected, nor_x).mistakes == ("not_registered", "cut_from_autograd")


def test_what_autograd_forbids_follows_from_a_change_in_place():
    """Whoever asks for gradients of what is changed in place gets an exception."""
    expected = {"p": {"changed in place": "none"}, "q": {"answer": "a tensor", "gradient of x": TENSOR}}
    raises = "raised RuntimeError about autograd"
    rest, failed = frozenset({("p", "arguments"), ("q", "gradients")}), frozenset({("q", "gradients")})
    for raised, left in ((raises, frozenset()), ("raised RuntimeError about sizes", failed)):
        seen = {"p": {"changed in place": "x"}, "q": {"answer": raised}}
        found = with_habits(Explanation(rest=rest), expected, seen, failed)
        assert found == Explanation(("arguments_changed_in_place",), left)
        assert found.symptoms == {"arguments_changed_in_place": "x is different after the call."}
    alone = with_habits(Explanation(rest=failed), {"q": expected["q"]}, {"q": {"answer": raises}}, failed)
    assert alone == Explanation(rest=failed)


def test_a_gradient_that_another_mistake_changes_hides_no_habit():
    expected = {"gradient of x": TENSOR, "gradient of y": TENSOR}
    seen = {"gradient of x": "none arrives", "gradient of y": 2 * TENSOR}
    place = frozenset({("p", "gradients")})
    for meant in (Explanation(("no_scale",), place, place), Explanation(("no_scale",), frozenset(), place, place)):
        found = with_habits(meant, {"p": expected}, {"p": seen})
        assert found == Explanation(("no_scale", "cut_from_autograd")) and not found.joint
        assert found.symptoms == {"cut_from_autograd": "No gradient reaches x."}


TRIED = 4  # known mistakes of an exercise


def told(record, component):
    with names_only(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return check.examine(record, {record.exercise: component}, seconds=60)


WHERE = [
    (lesson, exercise, habit)
    for lesson, exercise in EXERCISES
    for aspect, (habit, _) in habits.HABITS.items()
    if habit != "fixed_device"
    and any(aspect in by_aspect(seen, {}) for seen in records.read(exercise).expected().values())
]
TITLE = "a mistake beside a habit"


@functools.cache
def row(habit):
    return tables.row(TITLE, habit=habit, tried=0, mistake_named=0, habit_named_as_well=0, named_falsely=0)


@pytest.mark.parametrize(("lesson", "exercise", "habit"), WHERE)
def test_a_habit_hides_no_mistake_and_nothing_is_named_that_is_not_there(lesson, exercise, habit):
    """What the habit makes of the numbers may hide one: a gradient that does not arrive shows no other fault of it."""
    record, firsts, kept = records.read(exercise), {}, row(habit)
    for wrong in catalogue(lesson).singles(exercise):
        firsts.setdefault(wrong.mistakes[0], wrong.call)
    right = told(record, with_habit(catalogue(lesson).right(exercise), HABITS[habit]))
    own = {*right.mistakes, habit}  # what this habit is called here, where it is all that is wrong
    if habit == "arguments_changed_in_place":
        own |= {name for name in record.mistakes if name.endswith("changed_in_place")}  # x, the mask, the tokens
    others = [name for name in firsts if name not in {*own, *HABITS}]
    tried = others[:: max(1, len(others) // TRIED)][:TRIED]
    named = {name: set(told(record, with_habit(firsts[name], HABITS[habit])).mistakes) for name in tried}
    kept["tried"] += len(tried)
    kept["mistake_named"] += sum(name in found for name, found in named.items())
    kept["habit_named_as_well"] += sum(name in found and bool(found & own) for name, found in named.items())
    kept["named_falsely"] += sum(bool(found - own - {name}) for name, found in named.items())
    assert {name: found for name, found in named.items() if found - own - {name}} == {}
