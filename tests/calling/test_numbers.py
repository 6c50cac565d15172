"""The numbers of the probes: the same everywhere for one seed, and other ones, of other sizes, for another."""

import itertools
import re

import pytest
import torch
from judged import sizes_asked
from lessons import EXERCISES

from autograder.calling import numbers as module
from autograder.calling.numbers import Numbers

PRIMES = {size for size in range(2, 100) if all(size % divisor for divisor in range(2, size))}


def drawn(numbers):
    """Return something of all kinds, one after the other."""
    return [
        numbers.tensor(2, 3),
        torch.tensor(numbers.permutation(7)),
        numbers.tensor(2, 3),
        numbers.mask(3, 5),
        torch.tensor(numbers.size(5, 2, 9)),
        numbers.tensor(2, 3, low=0.0, high=1.0, dtype=torch.float64),
        torch.tensor(numbers.permutation(5)),
    ]


@pytest.mark.parametrize("usual", [True, False])
def test_a_seed_always_gives_the_same_whether_or_not_it_was_drawn_before(monkeypatch, usual):
    monkeypatch.setattr(module, "_kept", {})
    first, again = drawn(Numbers("a seed", usual)), drawn(Numbers("a seed", usual))
    module._kept.popitem()  # one of the tensors has to be drawn once more, between others that have not
    third = drawn(Numbers("a seed", usual))
    for one, two, three in zip(first, again, third, strict=True):
        assert torch.equal(one, two) and torch.equal(one, three)
    assert not torch.equal(first[0], first[2]) and not torch.equal(first[0], drawn(Numbers("another", usual))[0])


def test_what_a_probe_does_to_a_tensor_changes_nobody_elses():
    numbers = Numbers("a seed").tensor(2, 3)
    kept = numbers.clone()
    numbers.zero_()
    assert torch.equal(Numbers("a seed").tensor(2, 3), kept)


def test_tensors_are_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 5)
    monkeypatch.setattr(module, "_kept", {})
    for seed in range(12):
        Numbers(seed).tensor(2)
    assert len(module._kept) <= 5


def test_the_usual_sizes_are_those_of_the_record():
    numbers = Numbers("a seed")
    assert numbers.axes(1, 7, 2) == (1, 7, 2) and numbers.axis(5) == 5 and numbers.size(5, 2, 9) == 5


def test_other_sizes_differ_where_the_usual_ones_do_and_are_equal_where_they_are():
    seen = set()
    for seed in range(30):
        numbers = Numbers(seed, usual=False)
        sizes = [numbers.axis(usual) for usual in range(14)]
        assert sizes[:2] == [0, 1]
        assert all(one < two for one, two in itertools.pairwise(sizes)), "in the same order"
        assert all(usual < size for usual, size in enumerate(sizes) if usual > 1), "another one than the usual one"
        assert {sizes[prime] for prime in (2, 3, 5, 7, 11, 13)} <= PRIMES, "a prime where the usual one is"
        assert numbers.axes(*range(14)) == tuple(sizes), "asked once more, they are the same"
        assert 2 <= numbers.size(5, 2, 9) <= 9
        seen.add(tuple(sizes))
    assert len(seen) > 10


def test_which_sizes_are_asked_for_changes_no_number():
    one, other = Numbers("a seed", usual=False), Numbers("a seed", usual=False)
    other.axes(2, 3, 7)
    assert torch.equal(one.tensor(2, 3), other.tensor(2, 3))


# Sizes that are the same in every call. It is no use to write them into an answer: a pair is a pair, a generator or an
# activation is handed over as it is, and a model that is given knows its own sizes.
ACTIVATION = r"length of activation\.name"
KEPT = {
    "encode": r"length of merges\[\]",
    "adamw_step": r"length of betas",
    "chat_prompt": r"length of messages\.pairs\[\]",
    "generate": r"generator\.seed",
    "generate_with_cache": r"generator\.seed",
    "greedy_decode": r"model\.(table|lengths)\[.*",
    "beam_search": r"model\.(table|lengths)\[.*",
    "collect_attention": r"model\..*",
    "show_encoder_decoder": r"(encoder|decoder|cross)\.tensors\[\]\[-4\]",
}


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_official_grading_draws_every_size_that_the_check_in_the_notebook_never_changes(lesson, exercise):
    """So whoever writes a size of the check into an answer gets nothing for it."""
    usual = sizes_asked(exercise)
    if exercise.endswith("_bug_input"):
        assert usual == {}, "it has no arguments"
        return
    fresh = sizes_asked(exercise, "one seed")
    assert fresh != usual
    same = [
        name for name, values in usual.items() if len(values) == 1 and min(values) > 1 and fresh.get(name) == values
    ]
    assert [name for name in same if not re.fullmatch(KEPT.get(exercise, ACTIVATION), name)] == []
