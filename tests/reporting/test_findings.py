"""What is counted of a class: each belief once, what became of it, which wrong answers do the same."""

import datetime

from lessons import read
from made_history import hand_in

from autograder.diagnosing import records
from autograder.reporting import alike, findings, pictures
from autograder.reporting.teaching import Teaching

SEVEN, EIGHT = read("scaled_dot_product_attention"), read("multi_head_attention")
NAMES = {SEVEN.folder: SEVEN.name, EIGHT.folder: EIGHT.name}


def other(sum_of_numbers):
    """Return what an unnamed answer shows: its signature, as `comparison.differences` gives it."""
    return {
        "differs": {"a_probe": {"numbers": ["0123456789ab", sum_of_numbers, 2.0, 3.0, 5.0]}},
        "says": ["It differs."],
    }


def test_a_belief_that_shows_in_two_exercises_and_two_lessons_counts_once_for_a_learner():
    found = findings.beliefs(
        [
            hand_in(SEVEN, "ada", {"attention_weights": "mask_inverted", "attention_scores": "right"}),
            hand_in(SEVEN, "ben", {"attention_weights": "mask_inverted"}),
            hand_in(EIGHT, "ada", {"MultiHeadAttention": "mask_inverted"}),
        ],
        NAMES,
    )
    assert [(one.name, one.now) for one in found] == [("mask_inverted", ["ada", "ben"])]
    assert found[0].where == {
        (SEVEN.name, "attention_weights"): ["ada", "ben"],
        (EIGHT.name, "MultiHeadAttention"): ["ada"],
    }


def test_a_belief_is_gone_once_the_exercise_is_tried_without_it_and_not_if_it_is_emptied():
    first = {"attention_weights": "mask_inverted"}
    found = findings.beliefs(
        [
            *(hand_in(SEVEN, name, first) for name in ("ada", "ben", "carla")),
            hand_in(SEVEN, "ada", {"attention_weights": "right"}, number=2),
            hand_in(SEVEN, "ben", {"attention_weights": "unsolved"}, number=2),
        ],
        NAMES,
    )
    assert (found[0].gone, found[0].now) == (["ada"], ["ben", "carla"])


def test_what_became_of_a_mistake_is_told_between_each_two_hand_ins_that_follow_each_other():
    way = ["no_scale", "no_scale", "mask_inverted"]
    changes = findings.changes(
        [hand_in(SEVEN, "ada", {"attention_scores": name}, number=n) for n, name in enumerate(way, 1)], NAMES
    )
    told = {(one.mistake, one.first): (one.gone, one.stays, one.came) for one in changes}
    assert told == {
        ("no_scale", 1): ([], ["ada"], []),
        ("no_scale", 2): (["ada"], [], []),
        ("mask_inverted", 2): ([], [], ["ada"]),
    }


def test_unnamed_answers_are_grouped_by_what_they_do_and_not_by_how_they_are_written():
    code = "def attention_scores(query, key):\n    '''Contract.'''\n    return query  # ada's\n"
    short = "def attention_scores(q, k):\n    return q\n"
    handed_in = [
        hand_in(SEVEN, "ada", {"attention_scores": other(7.0)}, {"attention_scores": code}),
        hand_in(SEVEN, "ben", {"attention_scores": other(7.0001)}, {"attention_scores": short}),
        hand_in(SEVEN, "carla", {"attention_scores": other(-7.0)}, {"attention_scores": code}),
        hand_in(SEVEN, "dirk", {"attention_scores": {"says": ["It returned None, in line 3."]}}),
        hand_in(SEVEN, "emma", {"attention_scores": {"says": ["It returned None, in line 5."]}}),
    ]
    groups = findings.nameless(handed_in, NAMES)
    assert [(one.learners, one.draft, one.number) for one in groups] == [
        (["ada", "ben"], False, 1),
        (["carla"], False, 2),
        (["dirk", "emma"], True, 3),
    ]
    assert groups[0].code == short


def test_tries_count_other_answers_and_states_are_those_of_the_last_hand_in():
    answers = [{"attention_scores": "a = 1"}, {"attention_scores": "a = 1"}, {"attention_scores": "a = 2"}]
    said = ["no_scale", "no_scale", "right"]
    handed_in = [hand_in(SEVEN, "ada", {"attention_scores": said[n]}, answers[n], n + 1) for n in range(3)] + [
        hand_in(SEVEN, "ben", {}, refused="an upload was cut off")
    ]
    found = findings.lesson_found(SEVEN.name, "", 7, ["attention_scores"], handed_in, ["ada", "ben", "carla"])
    assert found.exercises[0].states == {"solved": 1, "partly": 0, "wrong": 0, "untried": 0}
    assert found.exercises[0].tries == {2: 1}
    assert (found.refused, found.missing, found.again) == ({"ben": "an upload was cut off"}, ["carla"], {1: 1, 3: 1})


def test_an_example_is_the_shortest_and_bears_no_name():
    long = (
        'def attention_scores(query, key):\n    """By Ada."""\n    # Ada Lovelace\n    return query @ key.mT  # mine\n'
    )
    longer = long.replace("return", "result = query\n    return")
    when = datetime.datetime(2026, 11, 1)
    handed_in = [
        hand_in(SEVEN, "ada", {"attention_scores": "no_scale"}, {"attention_scores": long}, when=when),
        hand_in(SEVEN, "ben", {"attention_scores": "no_scale"}, {"attention_scores": longer}, when=when),
    ]
    found = findings.beliefs(handed_in, NAMES)
    findings.examples(found, handed_in, NAMES)
    assert found[0].example.code == "def attention_scores(query, key):\n    return query @ key.mT"


def test_for_monday_come_three_to_five_beliefs_and_no_input_that_exposes_nothing():
    def belief(name, still, is_input=False):
        return findings.Belief(name, {}, {}, [str(n) for n in range(still)], [], [], is_input=is_input)

    known = [belief("input", 90, True), *(belief(f"b{n}", still) for n, still in enumerate((50, 40, 5, 4, 3, 2)))]
    assert findings.monday(known) == ["b0", "b1", "b2"]
    assert len(findings.monday([belief(f"b{n}", 20) for n in range(9)])) == 5
    assert findings.monday([]) == []


def test_submissions_are_alike_by_what_is_their_own_and_not_by_what_is_released_or_common():
    released = "\n".join(f"a line of the lesson number {n}" for n in range(40))
    common = "\n".join(f"what half of the class writes {n}" for n in range(40))
    own = "\n".join(f"a remark of one person, and the {n}th of them" for n in range(11))
    answers = {f"learner{n}": [released, common] for n in range(20)}
    answers["ada"] = [released, own]
    answers["ben"] = [released, own.replace("person", "people").replace("    ", "  ")]
    found = alike.pairs(answers, [released])
    assert [one.learners for one in found] == [("ada", "ben")]
    assert "lesson" not in found[0].texts[0]
    assert not alike.pairs({name: [released, common] for name in answers}, [released])


def test_the_line_that_teaches_is_found_or_else_the_section_of_the_exercise():
    teaching = Teaching(SEVEN)
    about = records.read("attention_weights").mistakes["mask_inverted"]
    _, line = teaching.line("attention_weights", ["mask inverted", *(about[name] for name in findings.SENTENCES)])
    text = (SEVEN.path).read_text(encoding="utf-8").split("\n")
    assert "may attend" in line.text and line.text.split("`")[0][:30] in " ".join(text[line.line - 1 : line.line + 6])
    assert teaching.line("attention_weights", ["zebra crossing"])[1] is None
    assert teaching.section("attention_weights").heading == "Exercise 2: the weights"


def test_a_picture_marks_the_numbers_that_differ_and_shows_as_text_what_is_no_matrix():
    drawn = pictures.example(
        {
            "given": {"key": "[[1, 2]]", "query": "[1, nan]", "mode": "training"},
            "expected": {"result": "[[[1, 2], [3, 5]]]"},
            "got": {"result": "[[[1, 2], [3, 7]]]"},
            "code": "query = 1\nresult = f(query, key)",
        }
    )
    assert drawn.count("differs") == 1 and "<pre>training</pre>" in drawn
    assert drawn.index("<code>query") < drawn.index("<code>key")
    for odd in ("[]", "[[]]", "[[], [1]]", "raised <b>", "[[1], [2, 3]]", "[" * 300):
        shown = pictures.example({"given": {"x": odd}, "expected": {}, "got": {}, "code": ""})
        assert "<pre>" in shown and "<b>" not in shown
