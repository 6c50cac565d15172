"""Several mistakes at once are recognised by what each of them shows alone, and nothing is named that is not made."""

import pytest

from autograder.diagnosing.explanation import MOST, Explanation, explain


def shown(**places):
    """Return differences: p_dtype=3 is the aspect dtype of probe p with the signature 3, p=3 its numbers."""
    found = {}
    for place, number in places.items():
        probe, _, aspect = place.partition("_")
        found.setdefault(probe, {})[aspect or "numbers"] = [str(number), float(number), 0.0, 0.0, float(number)]
    return found


def known(*mistakes, **places):
    return {"mistakes": list(mistakes), "differs": shown(**places)}


SCALE, MASK = known("no_scale", p=2, q=3), known("no_mask", q=5, r=7)
CUT, FLOAT = known("cut", p_gradients=11, r_gradients=13), known("float", s_dtype=17)
ALL = [SCALE, MASK, CUT, FLOAT]


@pytest.mark.parametrize(
    ("differs", "mistakes"),
    [
        (shown(p=2, q=3), ("no_scale",)),
        (shown(p=2, q=3, s_dtype=17), ("no_scale", "float")),
        (shown(p=2, q=3, p_gradients=11, r_gradients=13), ("no_scale", "cut")),
        (shown(p=2, q=3, r=7), ("no_scale", "no_mask")),
        (shown(p=2, q=5, r=7), ("no_scale", "no_mask")),
        (shown(p=2, q=5, r=7, p_gradients=11, r_gradients=13, s_dtype=17), ("no_scale", "no_mask", "cut", "float")),
    ],
    ids=["one", "and a habit", "and another one", "the first shows", "the second shows", "four"],
)
def test_mistakes_that_together_show_all_that_is_seen_are_made(differs, mistakes):
    assert explain(differs, ALL) == Explanation(mistakes)


@pytest.mark.parametrize(
    "differs",
    [
        shown(p=2),
        shown(p=2, q=23),
        shown(p=23, q=29),
        shown(r=7),
        shown(t=31),
        shown(p=2, q_dtype=3),
    ],
    ids=["half of it", "half of it and more", "other numbers", "half of another", "elsewhere", "another aspect"],
)
def test_a_mistake_that_shows_less_than_it_does_alone_is_not_named(differs):
    found = explain(differs, ALL)
    assert found.mistakes == () and found.rest == {(probe, name) for probe, parts in differs.items() for name in parts}


def test_a_mistake_is_named_beside_numbers_that_nobody_knows_if_all_of_its_own_are_there():
    assert explain(shown(p=2, q=3, t=31), ALL) == Explanation(("no_scale",), frozenset({("t", "numbers")}))
    single = [known("no_scale", p=2)]
    assert explain(shown(p=2, t=31), single).mistakes == (), "one number is little to know a mistake by"


def test_a_mistake_is_named_beside_another_aspect_that_nobody_knows():
    found = explain(shown(p=2, q=3, t_device=31), [SCALE])
    assert found == Explanation(("no_scale",), frozenset({("t", "device")}))


def test_a_habit_is_named_beside_numbers_that_nobody_knows():
    assert explain(shown(p=23, s_dtype=17), ALL) == Explanation(("float",), frozenset({("p", "numbers")}))
    assert explain(shown(p=23, p_gradients=11), ALL).mistakes == (), "it shows less than it does alone"


def test_of_those_that_account_for_all_numbers_only_what_they_share_is_named():
    """A recorded pair of a mistake and a habit has the numbers of the mistake, but the habit has to show, too."""
    pair = known("no_scale", "cut", p=2, q=3, q_gradients=43)
    assert explain(shown(p=2, q=3, q_gradients=47), [SCALE, pair]).mistakes == ("no_scale",)


def test_of_several_explanations_only_what_they_share_is_named():
    other = known("other_float", s_dtype=17)
    found = explain(shown(p=2, q=3, s_dtype=17), [*ALL, other])
    assert found == Explanation(("no_scale",), frozenset({("s", "dtype")}))


def test_of_two_that_cancel_in_a_place_nothing_is_said_where_more_is_seen():
    pair = known("no_scale", "wrong_scale", p=2, q=3)
    alone = known("no_scale", p=2, q=3, r=5)
    assert explain(shown(p=2, q=3, r=5, t=31), [pair, alone]) == Explanation(
        ("no_scale",), frozenset({("t", "numbers")})
    )
    assert explain(shown(p=2, q=3, t=31), [pair, alone]).mistakes == ("no_scale", "wrong_scale")


def test_a_gradient_that_two_mistakes_change_is_left_to_both():
    both = [known("no_scale", p=2, p_gradients=3), known("no_mask", q=5, p_gradients=7)]
    found = explain(shown(p=2, q=5, p_gradients=43), both)
    assert found == Explanation(("no_scale", "no_mask"))
    assert found.joint == found.changed == {("p", "gradients")}
    alone = explain(shown(p=2, q=5, p_gradients=43), [both[0], known("no_mask", q=5)])
    assert alone == Explanation(("no_scale", "no_mask"), frozenset({("p", "gradients")}))


def test_what_the_mistakes_of_the_numbers_show_elsewhere_is_no_other_mistake():
    leaks = known("leaks", p_gradients=5)
    overflows = known("overflows", p_gradients=5, q=3)
    assert explain(shown(p_gradients=5, q=3, r_gradients=13), [leaks, overflows]).mistakes == ("overflows",)


def test_what_is_known_by_a_gradient_alone_is_not_named_where_the_numbers_are_others():
    leaks = known("leaks", p_gradients=5)
    assert explain(shown(p=31, p_gradients=5), [leaks]).mistakes == ()
    assert explain(shown(q=31, p_gradients=5), [leaks]).mistakes == ("leaks",)


def test_the_fewest_mistakes_are_meant():
    parts = [known("half", p=2), known("other_half", q=3)]
    assert explain(shown(p=2, q=3), [*parts, SCALE]) == Explanation(("no_scale",))


def test_a_recorded_pair_may_be_part_of_an_explanation():
    pair = known("no_scale", "no_mask", p=37, q=41)
    assert explain(shown(p=37, q=41, s_dtype=17), [*ALL, pair]).mistakes == ("no_scale", "no_mask", "float")


def test_a_part_of_a_recorded_pair_counts_where_both_symptoms_are_true_and_something_is_there_as_a_whole():
    pair, third = known("no_scale", "no_mask", p=37, q=41), known("third", q=43, s=47)
    assert explain(shown(p=37, q=43, s=47), [pair, third]).mistakes == ("no_scale", "no_mask", "third")
    assert explain(shown(p=37, q=43, s=47), [pair, third], untrue={"no_mask"}).mistakes == ("third",)
    patchwork = [pair, known("third", q=43, s=47, r=3), known("fourth", p=2, r=7)]
    assert explain(shown(p=37, q=43, s=47, r=7), patchwork).mistakes == ()
    whole = known("no_scale", "no_mask", p=37)
    assert explain(shown(p=37), [whole], untrue={"no_mask"}).mistakes == ("no_scale", "no_mask")


def test_a_patchwork_makes_no_other_explanation_more_certain():
    """Of two explanations the one that is not believed still says what may be meant instead."""
    patchwork = [known("no_scale", "no_mask", p=37, q=2), known("third", q=43, p=3)]
    other = [known("fourth", p=37), known("fifth", q=43)]
    assert explain(shown(p=37, q=43), other).mistakes == ("fourth", "fifth")
    assert explain(shown(p=37, q=43), [*patchwork, *other]).mistakes == ()


def test_of_two_that_show_the_same_beside_what_nobody_knows_neither_is_certain():
    both = [SCALE, known("other_scale", p=2, q=3, r=5)]
    assert explain(shown(p=2, q=3, t=31), both).mistakes == ("no_scale",)
    assert explain(shown(p=2, q=3, r=7, t=31), both).mistakes == ()


def test_of_a_pair_that_raises_the_hidden_mistake_is_not_named():
    raised = frozenset({("p", "numbers"), ("q", "numbers")})
    pair = known("raises", "hidden", p=11, q=13, r=3)
    singles = [known("raises", q=13, r=3), known("hidden", p=5)]
    assert explain(shown(p=11, q=13, r=3), [*singles, pair], raised, raised).mistakes == ("raises",)
    assert explain(shown(p=11, q=13, r=3), [*singles, pair]).mistakes == ("raises", "hidden")
    in_its_own_way = [singles[0], known("hidden", p=11, s=7)]
    assert explain(shown(p=11, q=13, r=3), [*in_its_own_way, pair], raised, raised).mistakes == ("raises", "hidden")


def test_exceptions_alone_are_not_certain_beside_what_nobody_knows():
    raises = known("raises", p=11, q=13) | {"raises": "in these words"}
    raised = frozenset({("p", "numbers"), ("q", "numbers")})
    assert explain(shown(p=11, q=13, t=31), [raises], raised, raised).mistakes == ()
    assert explain(shown(p=11, q=13, t=31), [raises]).mistakes == ("raises",)


def test_what_a_larger_mistake_shows_as_well_is_not_certain_if_that_may_be_made():
    """Nothing is moved along with a parameter that is missing: that is no other mistake."""
    fixed, lost = known("fixed", p_device=5), known("lost", p_device=5, q=3, r=7)
    assert explain(shown(p_device=5, q=3, r=31), [fixed, lost]).mistakes == ()
    assert explain(shown(p_device=5, q=31), [fixed, lost]).mistakes == ("fixed",)
    both = known("lost", "fixed", p_device=5, q=3, r=7)
    assert explain(shown(p_device=5, q=3, r=31), [fixed, both]).mistakes == ("fixed",)


def test_one_of_which_nothing_can_be_said_explains_nothing():
    assert explain(shown(p=2, q=3), [known(p=2, q=3)]).mistakes == ()


def test_a_failure_everywhere_is_no_habit():
    """A habit may be known by an exception for another dtype; an answer that always raises it has other reasons."""
    fails = frozenset({("s", "dtype"), ("t", "numbers")})
    assert explain(shown(s_dtype=17, t=47), ALL).mistakes == ("float",)
    assert explain(shown(s_dtype=17, t=47), ALL, fails).mistakes == ()
    fails_there = frozenset({("s", "dtype"), ("s", "device")})  # of the device nothing is shown
    assert explain(shown(s_dtype=17, t=47), ALL, fails_there).mistakes == ("float",)


def test_no_more_are_looked_for_than_anybody_would_read():
    many = [known(f"mistake {number}", **{f"p{number}": number}) for number in range(2, 2 + MOST + 1)]
    together = shown(**{f"p{number}": number for number in range(2, 2 + MOST + 1)})
    assert explain(together, many).mistakes == ()


def test_nothing_that_differs_is_explained_by_nothing():
    assert explain({}, ALL) == Explanation()


def test_what_raises_in_the_same_places_as_many_is_none_of_them_unless_it_is_worded_alike():
    failed = frozenset({("p", "numbers"), ("q", "numbers")})
    raises, both = known("raises", p=11, q=11), known("both", p=11, q=11, r=3)
    assert explain(shown(p=11, q=11), [raises], failed, failed).mistakes == ()
    assert explain(shown(p=11, q=11), [raises], failed).mistakes == ("raises",), "another kind of answer is evidence"
    assert explain(shown(p=11, q=11), [raises | {"raises": "in these words"}], failed, failed).mistakes == ("raises",)
    assert explain(shown(p=11, q=11, r=5), [both, known("other", r=5)], failed, failed).mistakes == ()
    assert explain(shown(p=11, q=11, r=3), [both], failed, failed).mistakes == ("both",), (
        "beside numbers the kind will do"
    )


def test_what_another_mistake_accounts_for_is_not_named_beside_it():
    """Whoever does not register a parameter gets the numbers of one who leaves it out, and others beside them."""
    lost, left_out = known("not_registered", p=2, q=3), known("left_out", p=2)
    eps, both = known("eps", r=5, s=7), known("left_out", "eps", r=11, s=13)
    seen = shown(p=2, q=3, r=11, s=13)
    assert explain(seen, [left_out, eps, both]).mistakes == ("left_out", "eps")
    assert explain(seen, [lost, left_out, eps, both]).mistakes == ("not_registered", "eps")
    equal = known("not_registered", p=2)
    assert explain(shown(p=2, r=11, s=13), [equal, left_out, eps, both]).mistakes == ("left_out", "eps")


def test_of_what_shows_in_no_numbers_the_symptom_decides_whether_another_mistake_accounts_for_it():
    leaks, infinite = known("leaks", p_gradients=2), known("infinite", p_gradients=2, q=3, r=5)
    both = known("leaks", "overflows", s=7, t=11)
    alone = [leaks, infinite, known("overflows", s=13, t=17), both]
    seen = shown(p_gradients=2, q=3, r=5, s=7, t=11)
    assert explain(seen, alone).mistakes == ("leaks", "infinite", "overflows")
    assert explain(seen, alone, untrue={"leaks"}).mistakes == ("infinite", "overflows")


def test_of_a_certain_pair_only_what_nothing_else_shows_is_named():
    pair, first, second = known("first", "second", p=2, q=3), known("first", p=2), known("second", q=3)
    assert explain(shown(p=2, q=3, t=31), [pair, first, second]).mistakes == ("first", "second")
    other = known("other", p=2)
    assert explain(shown(p=2, q=3, t=31), [pair, first, second, other]).mistakes == ("second",)


def test_a_part_of_a_mistake_that_adds_nothing_but_exceptions_is_no_evidence():
    first, second = known("first", p=2, q=3), known("second", q=5, r=7)
    raised = frozenset({("r", "numbers")})
    assert explain(shown(p=2, q=3, r=7), [first, second]).mistakes == ("first", "second")
    assert explain(shown(p=2, q=3, r=7), [first, second], raised, raised).mistakes == ("first",)
