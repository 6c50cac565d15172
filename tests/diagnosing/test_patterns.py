"""A pattern that is said is true of the numbers: each kind alone, and every one that a known mistake is told with.

What is said is read back from its words and computed again with NumPy, on nothing but the two arrays.
"""

import re
import warnings

import numpy as np
import pytest
import torch
from lessons import EXERCISES, catalogue

from autograder import probes
from autograder.calling.local import Here
from autograder.diagnosing import patterns, records
from autograder.diagnosing.observation import same

NAN, INF = float("nan"), float("inf")
SAMPLE = ("attention_scores", "split_heads", "merge_heads", "sentence_embedding")


def drawn(*shape):
    """Return numbers that are all different, from 1 up, in no order."""
    count = int(np.prod(shape))
    return (torch.arange(count, dtype=torch.float64) * 7919 % 10007 % 101 + 1).reshape(shape)


X = drawn(3, 5)
SQUARE = drawn(2, 3, 3)


@pytest.mark.parametrize(
    ("expected", "seen", "words"),
    [
        (X, -X, "all numbers have the other sign"),
        (X, X * 1.3229, "all numbers are 1.323 times what is expected"),
        (X, X / 4, "all numbers are 0.25 times what is expected"),
        (X, X + 5.5, "5.5 is added to all numbers"),
        (X, X * 0, "all numbers are 0"),
        (X, X * NAN, "all numbers are NaN"),
        (drawn(3, 3), drawn(3, 3).T, "the last two axes are exchanged (transposed)"),
        (SQUARE, SQUARE.mT, "the last two axes are exchanged"),
        (drawn(3, 3, 2), drawn(3, 3, 2).transpose(0, 1), "axes 0 and 1 are exchanged"),
        (X, X.flip(0), "the order of the rows is reversed"),
        (X, X.flip(1), "the order of the columns is reversed"),
        (X, X.roll(1, 1), "each column is what is expected of the column before it, all around"),
        (X, torch.cat([X[:, :1] * 0, X[:, :-1]], 1), "each column is what is expected of the column before it, but"),
        (X, torch.cat([X[:, 1:], X[:, :1] * 0], 1), "each column is what is expected of the column after it, but"),
        (X, X[[0, 2, 1]], "the rows are in another order: 0, 2, 1"),
        (X, X[[2, 2, 2]], "every row is what is expected of row 2"),
        (X, X[[0, 1, 0]], "row 2 is what is expected of row 0"),
        (X, X + 9 * torch.tensor([[1.0], [0.0], [0.0]]) * torch.tensor([3, 1, 4, 1, 5]), "only the first row differs"),
        (X, X * torch.tensor([[1.0], [2.0], [-3.0]]), "right in the first row only"),
        (X, X * torch.tensor([[1.5], [2.0], [-3.0]]), "in each row (last axis), all numbers are multiplied by"),
        (X, X + torch.tensor([[1.5], [2.0], [-3.0]]), "in each row (last axis), the same number is added to all"),
        (drawn(7), torch.where(torch.arange(7) < 5, drawn(7), NAN), "right before position 5, and wrong from there on"),
        (drawn(5), drawn(5) * torch.tensor([1, NAN, 1, NAN, 1]), "only positions 1, 3 differ"),
        (drawn(2, 2), torch.tensor([[NAN, 9.0], [17.0, NAN]]), ""),
        (drawn(2, 3, 5), drawn(2, 3, 5) * torch.tensor([1.0, 2.0])[:, None, None], "only the last slice of axis 0"),
    ],
)
def test_each_pattern_is_recognised_and_true(expected, seen, words):
    found = patterns.pattern(expected, seen)
    assert found.startswith(words) and bool(found) == bool(words), found
    assert not found or is_true(found, expected.numpy(), seen.double().numpy())


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        (torch.ones(3, 5), torch.ones(3, 5) * 2),  # a factor, or a number that is added, or anything else
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 3.0]])),
        (X, X * 1.0005),  # too near to tell
        (X, X * 1.3 + 0.05 * drawn(3, 5).flip(0)),
        (torch.tensor(2.0), torch.tensor(3.0)),
        (X, drawn(5, 3)),
    ],
)
def test_what_holds_trivially_or_hardly_is_no_pattern(expected, seen):
    assert patterns.pattern(expected, seen) == ""


@pytest.mark.parametrize("noise", [1e-6, -1e-6])
def test_rounding_makes_no_pattern_come_or_go(noise):
    for seen in (X * 1.5, -X, X.flip(0), X.roll(1, 1), X[[2, 2, 2]], X * torch.tensor([[1.0], [2.0], [-3.0]])):
        other = seen * (1 + noise * torch.sin(drawn(3, 5)))
        assert patterns.pattern(X, seen) == patterns.pattern(X, other)


@pytest.mark.parametrize(
    ("expected", "seen", "words"),
    [
        ((2, 3, 5), (2, 5, 3), ": the sizes of the last two axes are exchanged"),
        ((2, 3, 5), (3, 2, 5), ": the sizes of axes 0 and 1 are exchanged"),
        ((2, 3, 5), (5, 2, 3), ": the sizes changed places"),
        ((2, 3, 5), (2, 7, 5), ": axis 1 has size 7 instead of 3"),
        ((2, 3, 5), (2, 5), ": axis 1, of size 3, is missing"),
        ((2, 5), (2, 1, 5), ": axis 1, of size 1, is too many"),
        ((2, 3, 5), (15,), ": 1 axes instead of 3"),
        ((2, 3), (5, 7), ""),
    ],
)
def test_of_another_shape_it_is_told_which_axis_differs(expected, seen, words):
    assert patterns.shapes_in_words(expected, seen) == words


def test_of_another_shape_it_is_told_whether_the_numbers_are_right():
    x = drawn(2, 3, 5)
    assert patterns.tell("a", x, x.mT).endswith(": the last two axes are exchanged, and the numbers are right.")
    assert patterns.tell("a", x, x.reshape(6, 5)).endswith(": the numbers are right, in the same order.")
    assert patterns.tell("a", x, drawn(2, 5, 3) * drawn(3)).endswith(": the sizes of the last two axes are exchanged.")


def test_the_largest_deviation_is_told_with_as_many_digits_as_it_takes():
    expected, seen = torch.tensor([2.0, 3.0, 5.0]), torch.tensor([2.5, 3.0, 7.0])
    assert patterns.tell("a", expected, seen) == "a[2] is 7, expected 5 (2 of 3 numbers differ)."
    assert patterns.tell("a", torch.tensor(2.0), torch.tensor(2.00001)) == "a is 2.00001, expected 2."


def test_what_is_right_beside_it_is_told():
    expected = {"output": X, "weights": drawn(3, 7)}
    assert list(patterns.of_probe(expected, expected | {"output": X * 3}, "output")) == [
        "The weights are right, the output is not: look behind the weights."
    ]
    assert not list(patterns.of_probe(expected, {"output": X * 3, "weights": drawn(3, 7) * 2}, "output"))
    swapped = {"output": expected["weights"], "weights": expected["output"]}
    assert list(patterns.of_probe(expected, swapped, "output")) == ["output and weights are exchanged."]
    blocks = {f"block_size {size}: output": X for size in (1, 5, 17)}
    wrong = blocks | {"block_size 1: output": X * 3, "block_size 5: output": X * 2}
    assert list(patterns.of_probe(blocks, wrong, "block_size 1: output")) == [
        "Right with block_size 17, wrong with block_size 1 and block_size 5."
    ]


@pytest.mark.parametrize(("lesson", "exercise"), [one for one in EXERCISES if one[1] in SAMPLE])
def test_every_pattern_that_a_known_mistake_is_told_with_is_true(lesson, exercise):
    said = list(told(lesson, exercise))
    assert all(is_true(words, expected, seen) for words, expected, seen in said), said
    assert said, "this exercise was chosen because its mistakes show patterns"


def told(lesson, exercise):
    """Yield (pattern, expected, seen) of every tensor that differs under every known mistake of an exercise."""
    record = records.read(exercise)
    expected = record.expected()
    for wrong in catalogue(lesson).singles(exercise):
        with warnings.catch_warnings(action="ignore"):
            observed = probes.observe(lesson, exercise, Here({exercise: wrong.call}), records.SEED, draws=record.draws)
        for probe, name in ((probe, name) for probe, seen in expected.items() for name in seen):
            one, other = expected[probe][name], observed[probe].values.get(name)
            if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and not same(one, other):
                if words := patterns.pattern(one, other):
                    yield words, one.numpy(), other.double().numpy()


# Each pattern once more, from its words


def is_true(words, expected, seen):
    """Tell whether a pattern, in words, holds of two arrays, and not of the expected one by itself."""
    with np.errstate(all="ignore"):
        found = [check(match, expected, seen) for text, check in CLAIMS.items() if (match := re.fullmatch(text, words))]
        return len(found) == 1 and bool(found[0]) and not near(expected, seen, 5e-3)


def near(one, other, tolerance=5e-4):
    one, other = np.broadcast_arrays(one, other)
    finite = np.isfinite(one) & np.isfinite(other)
    odd = np.array_equal(one[~finite], other[~finite], equal_nan=True)
    unit = max(np.abs(one[np.isfinite(one)]).max(initial=0), 1e-2)
    return odd and (np.abs(one[finite] - other[finite]) <= tolerance * unit).all()


def axis_of(word, array):
    return int(word.rpartition(" ")[2]) if "axis" in word else array.ndim - (2 if word == "row" else 1)


def taken(word, places, expected):
    return np.take(expected, places, axis_of(word, expected))


def moves(match, expected, seen):
    axis, by = axis_of(match[1], expected), 1 if match[2] == "before" else -1
    rolled, places = np.roll(expected, by, axis), range(expected.shape[axis])
    if match[3].startswith(", but"):
        places = places[1:] if by == 1 else places[:-1]
    return near(np.take(rolled, places, axis), np.take(seen, places, axis))


def differs_only(word, places, expected, seen):
    axis = axis_of(word, expected)
    right = [near(*(np.take(one, place, axis) for one in (expected, seen))) for place in range(expected.shape[axis])]
    return [place for place, is_right in enumerate(right) if not is_right] == list(places)


def size(word, array):
    return array.shape[axis_of(word, array)]


def by_row(expected, seen, measure, low, high):
    rows = [measure(*pair) for pair in zip(*(one.reshape(-1, one.shape[-1]) for one in (expected, seen)), strict=True)]
    return (
        all(np.ptp(row) <= 1e-2 * max(1, np.abs(row).max()) for row in rows)
        and np.isclose(min(row.mean() for row in rows), float(low), rtol=1e-2, atol=1e-3)
        and np.isclose(max(row.mean() for row in rows), float(high), rtol=1e-2, atol=1e-3)
    )


def ratio(expected, seen):
    clear = np.abs(expected) > 0.05 * np.abs(expected).max()
    return seen[clear] / expected[clear]


def exchanged(one, other):
    return lambda match, expected, seen: near(np.swapaxes(expected, one(match), other(match)), seen)


NUMBER = r"(-?[\d.e+-]+)"
WHERE = r"(row|column|position|slice of axis \d+)"
WHERES = r"(row|column|position|slice of axis \d+)s"
CLAIMS = {
    "all numbers are 0": lambda match, expected, seen: not seen.any(),
    "all numbers are NaN": lambda match, expected, seen: np.isnan(seen).all(),
    r"(\d+) of (\d+) numbers are NaN, the others are right": lambda match, expected, seen: (
        np.isnan(seen).sum() - np.isnan(expected).sum() == int(match[1])
        and near(expected[~np.isnan(seen)], seen[~np.isnan(seen)])
    ),
    "all numbers have the other sign": lambda match, expected, seen: near(-expected, seen),
    rf"all numbers are {NUMBER} times what is expected": lambda match, expected, seen: near(
        expected * float(match[1]), seen, 5e-3 * max(1, abs(float(match[1])))
    ),
    rf"{NUMBER} is added to all numbers": lambda match, expected, seen: near(expected + float(match[1]), seen, 5e-3),
    r"the last two axes are exchanged(?: \(transposed\))?": exchanged(lambda match: -1, lambda match: -2),
    r"axes (\d+) and (\d+) are exchanged(?: \(transposed\))?": exchanged(
        lambda match: int(match[1]), lambda match: int(match[2])
    ),
    r"the axes are in another order: ([\d, ]+)": lambda match, expected, seen: near(
        expected.transpose(list(map(int, match[1].split(", ")))), seen
    ),
    rf"the order of the {WHERES} is reversed": lambda match, expected, seen: near(
        np.flip(expected, axis_of(match[1], expected)), seen
    ),
    rf"every {WHERE} is what is expected of .* (\d+)": lambda match, expected, seen: near(
        taken(match[1], [int(match[2])], expected), seen
    ),
    rf"the {WHERES} are in another order: ([\d, ]+)": lambda match, expected, seen: near(
        taken(match[1], list(map(int, match[2].split(", "))), expected), seen
    ),
    rf"{WHERE} (\d+) is what is expected of .*? (\d+)": lambda match, expected, seen: near(
        taken(match[1], int(match[3]), expected), taken(match[1], int(match[2]), seen)
    ),
    rf"each {WHERE} is what is expected of the .* (before|after) it(.*)": moves,
    rf"only the (first|last) {WHERE} differs": lambda match, expected, seen: differs_only(
        match[2], [0 if match[1] == "first" else size(match[2], expected) - 1], expected, seen
    ),
    rf"right in the (first|last) {WHERE} only": lambda match, expected, seen: differs_only(
        match[2],
        list(range(size(match[2], expected)))[slice(1, None) if match[1] == "first" else slice(-1)],
        expected,
        seen,
    ),
    rf"only {WHERES} ([\d, ]+) differ": lambda match, expected, seen: differs_only(
        match[1], list(map(int, match[2].split(", "))), expected, seen
    ),
    rf"only {WHERE} (\d+) differs": lambda match, expected, seen: differs_only(
        match[1], [int(match[2])], expected, seen
    ),
    rf"right before {WHERE} (\d+), and wrong from there on": lambda match, expected, seen: differs_only(
        match[1], range(int(match[2]), size(match[1], expected)), expected, seen
    ),
    rf"in each row \(last axis\), all numbers are multiplied by the same factor, from {NUMBER} to {NUMBER}": (
        lambda match, expected, seen: by_row(expected, seen, ratio, match[1], match[2])
    ),
    rf"in each row \(last axis\), the same number is added to all, from {NUMBER} to {NUMBER}": (
        lambda match, expected, seen: by_row(expected, seen, lambda one, other: other - one, match[1], match[2])
    ),
}
