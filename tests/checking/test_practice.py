"""Practice: answers with a mistake in them, what a learner says about them, and when they come back."""

import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import torch
from lessons import reference

from autograder import check, practice
from autograder.calling.local import Here, Request
from autograder.checking import practice as room
from autograder.checking import practice_cards, practice_terminal, practice_words, progress_file, progress_map
from autograder.diagnosing import records, specimens
from autograder.diagnosing.diagnosis import diagnose
from autograder.diagnosing.examine import observe

LESSON = reference("scaled_dot_product_attention")
SEVEN = "scaled_dot_product_attention"
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFORMER_TAXONOMY_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(room, "_shown", [])
    return tmp_path / "state" / "progress.json"


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    at = [MONDAY]
    monkeypatch.setattr(room, "now", lambda: at[0])
    return at


def solve(*exercises):
    for name in exercises:
        assert check(getattr(LESSON, name)).passed


def task_of(exercise, mistake, starts=""):
    """Return the task whose answer makes a mistake, in the form that contains some code."""
    material = specimens.read(exercise)
    number = next(n for n, one in enumerate(material.specimens) if one.mistake == mistake and starts in one.code)
    return room.Task(practice_cards.Choice(material.lesson, mistake, exercise, number))


def diagnosed(material, answer):
    record = records.read(material.exercise)
    observed, stopped = observe(record, Here({material.exercise: answer}), 60.0, records.SEED)
    return diagnose(record, observed, stopped)


def repaired(one):
    """Return the code of a specimen with its repairs made."""
    lines = one.code.split("\n")
    for first, last, right in reversed(one.repairs):
        lines[first - 1 : last] = right
    return "\n".join(lines)


# What is recorded


@pytest.mark.parametrize("exercise", specimens.exercises())
def test_what_is_shown_is_wrong_as_it_says_and_right_once_its_lines_are_repaired(exercise):
    material = specimens.read(exercise)
    one = random.Random(exercise).choice(material.specimens)
    wrong = specimens.component(exercise, one.imports, one.code, material.uses)
    known = diagnosed(material, wrong)
    assert (known.passed, known.mistakes) == (False, (one.mistake,))
    imports = f"{one.imports}\n{material.imports}"
    right = specimens.component(exercise, imports, repaired(one), material.uses)
    assert diagnosed(material, right).passed
    asked = specimens.calls(material.lesson, exercise, right)
    assert any(specimens.exposes(right, wrong, request, material.contract) for request in asked)


@pytest.mark.parametrize("exercise", specimens.exercises())
def test_the_recorded_right_answer_is_right_and_told_from_itself_by_no_call(exercise):
    material = specimens.read(exercise)
    right = specimens.component(exercise, material.imports, material.right, material.uses)
    assert diagnosed(material, right).passed
    again = specimens.component(exercise, material.imports, material.right, material.uses)
    for request in specimens.calls(material.lesson, exercise, right)[:5]:
        assert not specimens.told_apart(right, again, request)[0]


def test_marked_lines_are_lines_that_differ_and_mistakes_are_those_of_the_record():
    for exercise in specimens.exercises():
        mistakes = records.read(exercise).mistakes
        for one in specimens.read(exercise).specimens:
            lines = one.code.split("\n")
            assert one.mistake in mistakes and one.lines, (exercise, one.mistake)
            assert all(lines[number - 1].strip() for number in one.lines), (exercise, one.mistake)
            touched = {
                number
                for first, last, _ in one.repairs
                for number in (range(first, last + 1) if last >= first else range(first - 3, first + 4))
            }
            assert touched & set(one.lines), (exercise, one.mistake)
            assert repaired(one) != one.code


def test_no_answer_shows_how_it_was_put_together():
    for exercise in specimens.exercises():
        for one in specimens.read(exercise).specimens:
            assert not any(word in one.code for word in ("SimpleNamespace", "step.", "Right" + exercise, "catalogue"))


def test_most_mistakes_of_an_exercise_can_be_practised():
    beliefs = {(name, one.mistake) for name in specimens.exercises() for one in specimens.read(name).specimens}
    declared = {(name, mistake) for name in specimens.exercises() for mistake in records.read(name).mistakes}
    assert len(beliefs) >= 0.75 * len(declared)
    of_the_capstone = {name for name, lesson in specimens.exercises().items() if lesson == "capstone"}
    declared = {one for one in declared if one[0] in of_the_capstone}
    assert len({one for one in beliefs if one[0] in of_the_capstone}) >= 0.6 * len(declared)


@pytest.mark.parametrize("exercise", ["learning_rate", "decode"])
def test_a_number_and_a_text_that_come_back_are_compared_and_shown(exercise):
    mistake = specimens.read(exercise).specimens[0].mistake
    (said,) = [one for one in task_of(exercise, mistake).give_up().says if "exposes it" in one]
    arguments, named = practice_words.typed(said.partition("`.expose(")[2].rpartition(")`")[0])
    told = task_of(exercise, mistake).expose(*arguments, **named)
    (_, right), (_, wrong) = told.replies
    assert told.good and right != wrong


def test_what_is_recorded_is_small_and_is_not_read_at_a_glance():
    paths = list(records.FOLDER.glob(f"*/*{specimens.SUFFIX}"))
    assert sum(path.stat().st_size for path in paths) < 1_000_000
    assert not any("softmax" in path.read_text(encoding="ascii") for path in paths)


# Who may practise what


def test_whoever_has_solved_nothing_is_told_what_to_do():
    assert "Solve one" in repr(practice()) and "Solve one" in practice()._repr_html_()


def test_only_solved_exercises_are_shown():
    solve("attention_scores")
    check(lambda scores, mask=None: scores, exercise="attention_weights")
    assert {practice().exercise for _ in range(7)} == {"attention_scores"}
    assert isinstance(practice("attention_weights"), room.Nothing)
    assert practice("attention_weights", all=True).exercise == "attention_weights"


def test_an_exercise_that_does_not_exist_is_refused():
    with pytest.raises(LookupError, match="nothing to practise of 'atention'"):
        practice("atention")


# An input that exposes the mistake


def test_an_input_that_gives_the_same_exposes_nothing():
    task = task_of("attention_weights", "mask_inverted")
    told = task.expose(torch.randn(3, 5))
    assert told.good is False and "does not expose" in repr(told) and not task.exposed


def test_an_input_with_another_result_exposes_and_both_results_are_told():
    task = task_of("attention_weights", "mask_inverted", "masked_fill(mask")
    told = task.expose(torch.zeros(1, 2), torch.tensor([True, False]))
    assert told.good and task.exposed
    assert dict(told.replies) == {"a right answer": "[1, 2]: [[1, 0]]", "this answer": "[1, 2]: [[0, 1]]"}


def test_an_input_outside_of_the_contract_does_not_count_and_is_told_why():
    task = task_of("attention_scores", "no_scale")
    told = task.expose(torch.ones(2, 3), torch.ones(5, 7))
    assert told.good is None and "outside of the contract" in repr(told) and "raises RuntimeError" in repr(told)
    assert not task.exposed and task.misses == 0


def test_a_call_that_the_exercise_does_not_take_is_told():
    task = task_of("attention_scores", "no_scale")
    assert "key is missing" in repr(task.expose(torch.ones(2, 3)))
    assert "no argument 'mask'" in repr(task.expose(torch.ones(2, 3), torch.ones(2, 3), mask=None))
    assert "takes 2 arguments, not 3" in repr(task.expose(1, 2, 3))


def test_an_exception_of_the_wrong_answer_exposes_it():
    task = task_of("attention_scores", "key_not_transposed")
    told = task.expose(torch.ones(2, 3), torch.ones(5, 3))
    assert task.exposed and "raises RuntimeError" in dict(told.replies)["this answer"]


def test_a_refusal_that_the_contract_asks_for_is_an_input_like_others():
    task = task_of("split_heads", "indivisible_sizes_accepted", "reshape(x.shape[0], -1")
    told = task.expose(torch.ones(2, 3, 7), 2)
    assert task.exposed and "raises ValueError" in told.replies[0][1]


def test_the_own_right_answer_is_named_and_an_own_wrong_one_is_not_asked():
    choice = task_of("attention_scores", "no_scale")._choice
    query = torch.ones(2, 3)
    mine = room.Task(choice, own=LESSON.attention_scores).expose(query, query)
    assert mine.replies[0][0] == "your attention_scores"
    other = room.Task(choice, own=lambda query, key: query).expose(query, query)
    assert other.replies[0][0] == "a right answer" and other.good


def test_gradients_expose_what_cuts_them_and_nothing_that_results_show():
    cut = task_of("attention_scores", "cut_from_autograd")
    assert "gradient" in cut.expose(torch.ones(2, 3), torch.ones(2, 3)).head and cut.exposed
    twice = task_of("attention_weights", "softmax_twice")
    assert "only gradients differ" in repr(twice.expose(torch.ones(2, 3))) and not twice.exposed


def test_rounding_exposes_nothing():
    x = torch.full((2, 7), 1000.1)
    request = Request("layer_norm", {"x": x, "weight": torch.ones(7), "bias": torch.zeros(7)})
    first = reference("layer_normalization").layer_norm

    def second(x, weight, bias, eps=1e-5):
        mean = x.sum(-1, keepdim=True) * (1 / 7)
        return (x - mean) / ((x - mean).pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight + bias

    assert not torch.allclose(first(**request.arguments), second(**request.arguments))
    assert specimens.told_apart(first, second, request)[0] == ""


def test_a_class_is_built_as_the_probes_do_unless_its_sizes_are_given():
    task = task_of("RMSNorm", specimens.read("RMSNorm").specimens[0].mistake)
    assert "outside of the contract" in repr(task.expose(torch.randn(2, 3, 6), embed_dim=11))
    assert "outside of the contract" not in repr(task.expose(torch.randn(2, 3, 11), embed_dim=11))


def test_an_answer_that_never_returns_is_stopped():
    def endless(x):
        while True:
            pass

    reply = specimens.answered(endless, Request("endless", {"x": torch.ones(2)}), seconds=0.2)
    assert "did not return" in reply.fault.message


def test_what_one_answer_does_to_its_arguments_does_not_reach_the_other():
    given = [torch.ones(3)]
    request = Request("f", {"layers": given})

    def spoils(layers):
        return layers[0].add_(1)

    assert specimens.told_apart(spoils, spoils, request)[0] == "" and given[0].tolist() == [1, 1, 1]


# The line


def test_the_line_is_known_after_three_tries_at_most(clock):
    task = task_of("attention_weights", "mask_inverted", "masked_fill(mask")
    (line, *_) = task._specimen.lines
    assert "next to it" in repr(task.line(line - 1)) and "one more try" in repr(task.line(1))
    assert f"It is line{'s' if task._specimen.lines[1:] else ''} {line}" in repr(task.line(1))
    assert task.line_known and not task.done


def test_a_line_that_is_not_there_costs_nothing():
    task = task_of("attention_scores", "no_scale")
    for number in (0, 99, True, "2"):
        assert "has the lines 1 to" in repr(task.line(number))
    assert task.misses == 0


def test_once_both_are_found_the_sentences_and_the_right_line_are_shown(clock):
    task = task_of("attention_scores", "no_scale")
    task.expose(torch.ones(2, 3), torch.ones(2, 3))
    told = repr(task.line(task._specimen.lines[0]))
    about = records.read("attention_scores").mistakes["no_scale"]
    assert task.done and about["symptom"] in " ".join(told.split()) and "math.sqrt" in told and "comes back" in told


def test_giving_up_shows_an_input_that_really_exposes(clock):
    task = task_of("attention_weights", "mask_inverted", "masked_fill(mask")
    told = repr(task.give_up())
    assert "It is line" in told and ".expose(torch" in told
    assert task._does_expose(" ".join(told.split()).split(".expose(")[1].split(")`")[0])


# When a mistake comes back


def finish(task, misses=0, gives_up=False):
    if gives_up:
        return task.give_up()
    task.misses = misses
    task.exposed = True
    return task.line(task._specimen.lines[0])


def kept(mistake="no_scale"):
    return progress_file.practice()[f"{SEVEN}/{mistake}"]


@pytest.mark.parametrize(
    ("how", "rating", "days"),
    [({}, "easy", 8), ({"misses": 2}, "good", 2), ({"gives_up": True}, "again", 1)],
)
def test_the_rating_follows_from_the_tries(clock, how, rating, days):
    finish(task_of("attention_scores", "no_scale"), **how)
    assert kept()["tries"][-1]["rating"] == rating
    assert datetime.fromisoformat(kept()["due"]) - MONDAY == timedelta(days=days)


def test_a_line_that_was_shown_is_rated_hard(clock):
    task = task_of("attention_scores", "no_scale")
    for _ in range(3):
        task.line(1)
    task.expose(torch.ones(2, 3), torch.ones(2, 3))
    assert kept()["tries"][-1]["rating"] == "hard"


def test_each_time_it_is_known_it_stays_away_longer(clock):
    gaps = []
    for _ in range(4):
        finish(task_of("attention_scores", "no_scale"), misses=1)
        due = datetime.fromisoformat(kept()["due"])
        gaps.append(due - clock[0])
        clock[0] = due
    assert gaps == sorted(gaps) and gaps[-1] > 4 * gaps[0]
    assert len(kept()["tries"]) == 4


def test_own_mistakes_come_first_then_those_that_are_due_then_new_ones(clock):
    check(lambda query, key: query @ key.transpose(-2, -1), exercise="attention_scores")
    solve("attention_scores", "attention_weights")
    assert progress_file.made("attention_scores") == ["no_scale"]
    first = practice()
    assert first._choice.mistake == "no_scale"
    finish(first)
    second = practice()
    assert second._choice.mistake != "no_scale"
    finish(second, gives_up=True)
    clock[0] += timedelta(days=3)
    room._shown.clear()
    assert practice()._choice.key == second._choice.key
    clock[0] += timedelta(days=9)
    room._shown.clear()
    assert practice()._choice.mistake == "no_scale"


def test_new_mistakes_are_spread_over_exercises(clock):
    solve("attention_scores", "attention_weights", "scaled_dot_product_attention", "streaming_attention")
    met = set()
    for _ in range(4):
        task = practice()
        met.add(task.exercise)
        finish(task)
    assert len(met) == 4


def test_a_task_that_is_left_comes_again_only_after_others(clock):
    solve("attention_scores")
    keys = [practice()._choice.key for _ in range(6)]
    assert len(set(keys)) == 6 and progress_file.practice() == {}


def test_practice_never_ends(clock):
    solve("attention_scores")
    for _ in range(15):
        finish(practice())
    assert practice().code


def test_a_clock_that_goes_back_breaks_nothing(clock):
    clock[0] = MONDAY + timedelta(days=3650)
    finish(task_of("attention_scores", "no_scale"), misses=1)
    clock[0] = MONDAY
    assert practice_cards._due(kept(), MONDAY) == MONDAY + timedelta(days=2)
    finish(task_of("attention_scores", "no_scale"), misses=1)
    assert MONDAY < datetime.fromisoformat(kept()["due"]) < MONDAY + timedelta(days=30)


@pytest.mark.parametrize(
    "damage",
    [
        "gone",
        {},
        {"due": "soon"},
        {"stability": float("nan")},
        {"state": 9},
        {"due": None},
        {"tries": "many"},
        {"last_review": "9999-12-31T23:59:59+00:00"},
        {"stability": -1},
    ],
)
def test_a_damaged_card_counts_as_new_and_costs_nothing(clock, own_progress, damage):
    solve("attention_scores")
    finish(task_of("attention_scores", "no_scale"))
    finish(task_of("attention_scores", "fixed_scale"))
    text = json.loads(own_progress.read_text())
    known = text[progress_file.PRACTICE]
    name = f"{SEVEN}/no_scale"
    known[name] = known[name] | damage if isinstance(damage, dict) and damage else damage
    own_progress.write_text(json.dumps(text))
    assert practice().code
    finish(task_of("attention_scores", "no_scale"))
    assert datetime.fromisoformat(kept()["due"]) > MONDAY and kept("fixed_scale")["tries"]
    assert progress_file.state("attention_scores")["passed"]


def test_a_progress_file_from_before_is_read(clock, own_progress):
    own_progress.parent.mkdir()
    old = {"attention_scores": {"tries": 3, "earned": 2.0, "passed": True, "mistake": None, "hints": 1}}
    own_progress.write_text(json.dumps(old | {"attention_weights": {"passed": False, "mistake": "a + b"}}))
    assert practice().exercise == "attention_scores"
    assert progress_file.made("attention_weights") == ["a", "b"] and progress_file.made("attention_scores") == []
    assert progress_map.read().due == 0


def test_progress_says_in_a_line_what_is_due(monkeypatch):
    finish(task_of("attention_scores", "no_scale"), gives_up=True)
    assert "due" not in repr(progress_map.read())
    shifted = kept() | {"due": "2026-01-02T00:00:00+00:00", "last_review": "2026-01-01T00:00:00+00:00"}
    progress_file.keep_practice(f"{SEVEN}/no_scale", shifted)
    assert repr(progress_map.read()).endswith("1 mistake is due again: practice()")
    assert "1 mistake is due again" in progress_map.read()._repr_html_()


# How it looks


def test_a_task_shows_numbered_lines_as_text_and_as_html(clock):
    task = task_of("attention_scores", "no_scale")
    assert "  1  def attention_scores(query, key):" in repr(task) and ".expose(torch.ones" in repr(task)
    html = task._repr_html_()
    assert "<b>def</b> attention_scores" in html and "<details>" in html
    told = task.expose(torch.ones(2, 3), torch.ones(2, 3))
    assert "<table" in told._repr_html_() and "✓" in told._repr_html_()


def test_what_anybody_wrote_is_escaped():
    assert "&lt;" in room._bold("a = b < c") and "<b>if</b>" in room._bold("if x:\n    pass")


def test_the_front_door_does_not_wait_for_the_scheduler():
    code = "import sys; from autograder import check, progress; progress(); assert 'fsrs' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# In a terminal


def session(monkeypatch, capsys, *words, exercise=None, everything=False):
    from argparse import Namespace

    lines = iter(words)

    def answer(prompt=""):
        print(prompt, end="")
        try:
            word = next(lines)
        except StopIteration:
            raise EOFError from None
        print(word)
        return word

    monkeypatch.setattr("builtins.input", answer)
    assert practice_terminal.run(Namespace(exercise=exercise, all=everything)) == 0
    return capsys.readouterr().out


class Chosen:
    """Makes `practice` show one task, again and again."""

    def __init__(self, monkeypatch, exercise, mistake):
        monkeypatch.setattr(practice_terminal, "practice", lambda *_, **__: task_of(exercise, mistake))


def test_a_session_judges_input_and_line_and_says_why(monkeypatch, capsys, clock):
    Chosen(monkeypatch, "attention_scores", "no_scale")
    told = session(
        monkeypatch,
        capsys,
        "?",
        "torch.ones(2,",
        "torch.zeros(2, 3), torch.ones(2, 3)",
        "torch.ones(2, 3), torch.ones(2, 3)",
        "1",
        "2",
        "q",
    )
    for text in (
        "This is no input: SyntaxError",
        "only gradients differ",
        "Exposed.",
        "Not line 1",
        "Yes, line 2",
        "scale is missing",
    ):
        assert text in told
    assert kept()["tries"][-1]["rating"] == "good" and "\x1b" not in told


def test_a_session_ends_with_q_and_with_the_end_of_its_input(monkeypatch, capsys, clock):
    Chosen(monkeypatch, "attention_scores", "no_scale")
    assert "comes back" not in session(monkeypatch, capsys, "q")
    assert "It is line 2" in session(monkeypatch, capsys, "", "g")
    assert "Exposed." in session(monkeypatch, capsys, ".expose(torch.ones(2, 3), torch.ones(2, 3))", "n", "q")


def test_the_command_says_what_to_do_where_nothing_is_solved(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "autograder", "practice"],
        env=os.environ | {progress_file.ENVIRONMENT: str(tmp_path)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0 and "Solve one" in ran.stdout and not ran.stderr


def test_a_whole_number_is_a_line_unless_the_exercise_takes_one():
    assert not task_of("attention_scores", "no_scale").takes_numbers
    assert task_of("causal_mask", specimens.read("causal_mask").specimens[0].mistake).takes_numbers
