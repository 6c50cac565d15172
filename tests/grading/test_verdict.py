"""The official verdict: fresh numbers against the live reference, and the same result as the check in the notebook."""

import itertools
import json
import textwrap
import time
import warnings
from dataclasses import replace

import pytest
import torch
from lessons import EXERCISES, REPOSITORY, alternatives, catalogue, names_only, read, reference
from loopback import Loopback, remote

from autograder.authoring import drawn
from autograder.calling import inside, wire
from autograder.calling.limit import TimeUp
from autograder.calling.local import Fault, Reply, Request
from autograder.calling.remote import EndedError, Remote
from autograder.calling.watched import Own, closed_boxes
from autograder.checking.check import examine
from autograder.diagnosing import records, steady
from autograder.diagnosing.comparison import agree
from autograder.diagnosing.diagnosis import diagnose
from autograder.diagnosing.examine import observe
from autograder.diagnosing.example import smallest_of
from autograder.grading import judge

REFERENCE = judge.Reference(REPOSITORY / "solutions")
SEVEN = "scaled_dot_product_attention"
SECONDS = 60


def judged(exercise, submission, seed="a seed of the test"):
    return judge.judge(records.read(exercise), submission, REFERENCE, seed, SECONDS)


def outcome(result):
    return result.passed, result.earned, set(result.mistakes), result.unsolved


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_every_right_answer_is_right_for_numbers_that_nobody_has_seen(lesson, exercise):
    right = [("reference", getattr(reference(lesson), exercise)), *alternatives(lesson).of(exercise)]
    for style, component in right:
        for seed in ("first", "second"):
            result = judged(exercise, remote({exercise: component}), seed)
            assert outcome(result) == (True, records.read(exercise).points, set(), False), (style, seed, result)


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_a_wrong_answer_gets_the_result_of_the_check_in_the_notebook(lesson, exercise):
    record = records.read(exercise)
    for wrong in catalogue(lesson).singles(exercise)[::13]:
        with names_only():
            local = examine(record, {exercise: wrong.call}, SECONDS)
        official = judged(exercise, remote({exercise: wrong.call}))
        assert outcome(official) == outcome(local), wrong.mistakes
        assert official.says == local.says


def test_two_mistakes_at_once_are_named_as_in_the_notebook():
    record = records.read("attention_weights")
    recorded = [set(known["mistakes"]) for known in record.behaviours if len(known["mistakes"]) == 2]
    pairs = [pair for pair in catalogue(SEVEN).pairs(record.exercise) if set(pair.mistakes) in recorded]
    for pair in pairs[::9]:
        result = judged(record.exercise, remote({record.exercise: pair.call}))
        assert set(result.mistakes) == set(pair.mistakes)
    assert len(pairs) > 9


def test_the_numbers_are_others_for_every_submission_and_the_recorded_ones_are_not_among_them():
    asked = []
    for seed in ("one", "two", records.SEED):
        channel = Loopback({"attention_scores": reference(SEVEN).attention_scores})
        judged("attention_scores", Remote(lambda channel=channel: channel), seed)
        asked.append({buffer for _, buffers in channel.asked for buffer in buffers if len(buffer) > 100})
    assert len(asked[0]) > 5 and all(a.isdisjoint(b) for a, b in itertools.combinations(asked, 2))


# Answers that know the recorded numbers


class KnowsTheRecord:
    """Answers as one component where the input is that of the recorded numbers, and as another one elsewhere."""

    def __init__(self, exercise, here, elsewhere):
        self.here, self.elsewhere, self.known, self.learning = here, elsewhere, set(), True
        examine(records.read(exercise), {exercise: self}, SECONDS)
        self.learning = False

    def __call__(self, *arguments):
        key = str(
            [(list(a.shape), a.dtype, a.is_meta or a.sum().item()) for a in arguments if isinstance(a, torch.Tensor)]
        )
        if self.learning:
            self.known.add(key)
        return (self.here if key in self.known else self.elsewhere)(*arguments)


class Table(Own):
    """Answers what the reference gave to the very same call with the recorded numbers, and nothing else."""

    printed = ""

    def __init__(self, exercise, component):
        super().__init__({exercise: component}, closed_boxes(records.read(exercise).uses))
        self.table, self.learning, self.asked_for_nothing = {}, True, True
        examine_in(records.read(exercise), self)
        self.learning = False

    def call(self, request):
        self.asked_for_nothing &= not request.arguments and not request.build
        about, buffers = wire.pack(request)
        key = json.dumps(about, sort_keys=True), tuple(map(bytes, buffers))
        if self.learning:
            self.table[key] = super().call(request)
        return self.table.get(key) or Reply("", fault=Fault("LookupError", "nobody has asked this before"))


def examine_in(record, submission):
    for parts in {(), tuple(record.uses)}:
        observe(record, submission, SECONDS, records.SEED, parts)


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_a_list_of_what_the_recorded_numbers_give_earns_nothing(lesson, exercise):
    table = Table(exercise, getattr(reference(lesson), exercise))
    if table.asked_for_nothing:
        assert exercise.endswith("_bug_input")  # its answer is a value, which everyone who knows it has found
        return
    assert judged(exercise, table).earned == 0


class KnownSizes(Own):
    """Answers as a right component does, and raises for every size and id that the recorded numbers do not have."""

    printed = ""

    def __init__(self, exercise, component):
        super().__init__({exercise: component}, closed_boxes(records.read(exercise).uses))
        self.known, self.learning = set(), True
        examine_in(records.read(exercise), self)
        self.learning = False

    def call(self, request):
        sizes = set(drawn.sizes_of(request))
        self.known |= sizes if self.learning else set()
        return super().call(request) if sizes <= self.known else Reply("", fault=Fault("IndexError", "another size"))


@pytest.mark.parametrize(
    ("lesson", "exercise"), [(lesson, name) for lesson, name in EXERCISES if not name.endswith("_bug_input")][::5]
)
def test_an_answer_that_has_the_sizes_of_the_check_written_into_it_earns_nothing(lesson, exercise):
    cheat = KnownSizes(exercise, getattr(reference(lesson), exercise))
    observed, stopped = observe(records.read(exercise), cheat, SECONDS, records.SEED)
    assert diagnose(records.read(exercise), observed, stopped).passed
    assert judged(exercise, cheat).earned == 0


def unscaled(query, key):
    return query @ key.transpose(-2, -1)


def test_an_answer_that_is_right_for_the_recorded_numbers_only_earns_nothing():
    right = reference(SEVEN).attention_scores
    cheat = KnowsTheRecord("attention_scores", right, unscaled)
    assert examine(records.read("attention_scores"), {"attention_scores": cheat}).passed
    result = judged("attention_scores", remote({"attention_scores": cheat}))
    assert not result.passed and result.earned == 0
    assert result.says[-1] == "It is right for the numbers that the check in the notebook uses, and wrong for others."


def test_a_mistake_that_keeps_points_keeps_them_only_where_it_is_made_with_fresh_numbers_too():
    def in_place(query, key):
        query /= query.shape[-1] ** 0.5
        return query @ key.transpose(-2, -1)

    honest = judged("attention_scores", remote({"attention_scores": in_place}))
    assert honest.mistakes == ("arguments_changed_in_place",) and honest.earned == 1
    cheat = KnowsTheRecord("attention_scores", in_place, unscaled)
    result = judged("attention_scores", remote({"attention_scores": cheat}))
    assert result.earned == 0
    assert honest.rows[0][1] == "right" and result.rows[0][1] == "differs", "what is shown is what fresh numbers gave"


def test_an_answer_that_has_a_habit_with_fresh_numbers_only_is_told_so_much_and_earns_nothing():
    right = reference(SEVEN).attention_scores

    def overwrites(query, key):
        scores = right(query, key)
        with torch.no_grad():
            query.zero_()
        return scores

    cheat = KnowsTheRecord("attention_scores", right, overwrites)
    result = judged("attention_scores", remote({"attention_scores": cheat}))
    assert (result.mistakes, result.earned) == ((), 0)
    assert result.says[-1] == "It is right for the numbers that the check in the notebook uses, and wrong for others."
    assert "arguments changed in place" in result._repr_html_()


def halved(query, key):
    return reference(SEVEN).attention_scores(query, key) / 2


def test_what_differs_as_an_accepted_alternative_does_is_right():
    """What it shows for fresh numbers is found by asking it; how it differs for the recorded ones says nothing here."""
    record = replace(records.read("attention_scores"), accepted=[{}])
    accepting = judge.Reference(REPOSITORY / "solutions")
    accepting.accepted = lambda record: [halved, unscaled]
    results = [
        judge.judge(record, remote({"attention_scores": answer}), accepting, "a seed", SECONDS)
        for answer in (halved, unscaled, without_a_scale_and_with_an_offset)
    ]
    assert [(result.passed, result.earned) for result in results] == [(True, 2), (True, 2), (False, 0)]
    assert {state for result in results[:2] for _, state in result.rows} == {"right"}
    assert not judged("attention_scores", remote({"attention_scores": halved})).passed, "it is none in the course"


def test_numbers_that_are_drawn_again_are_so_for_everyone_who_is_asked(monkeypatch):
    def second(lesson, exercise, probe, seed, answers, ways, source):
        return 1, {one.name: steady.observe(lesson, exercise, probe, seed, 1, one) for one in answers}, {}

    monkeypatch.setattr(steady, "draw", second)
    right = {"attention_scores": reference(SEVEN).attention_scores}
    assert judged("attention_scores", remote(right), "a seed that was not drawn before").passed
    test_what_differs_as_an_accepted_alternative_does_is_right()


def without_a_scale_and_with_an_offset(query, key):
    return unscaled(query, key) + 3


def test_of_an_answer_without_a_name_it_is_kept_what_it_does_however_it_is_written_and_with_any_numbers():
    def root_added(query, key):
        return torch.einsum("...qd,...kd->...qk", query, key) + query.shape[-1] ** 0.5

    def added_root(q, k):
        return q.shape[-1] ** 0.5 + q @ k.mT

    def root_taken_off(query, key):
        return query @ key.mT - query.shape[-1] ** 0.5

    one, same, other = (
        judged("attention_scores", remote({"attention_scores": answer}), seed)
        for answer, seed in ((root_added, "a seed"), (added_root, "another"), (root_taken_off, "a seed"))
    )
    assert not one.mistakes and agree(one.differs, same.differs) and not agree(one.differs, other.differs)
    assert json.loads(json.dumps(one.differs)) == one.differs
    named = judged("attention_scores", remote({"attention_scores": unscaled}))
    assert named.mistakes and named.differs is None
    shown = smallest_of(records.read("attention_scores"), one.differs, Own({"attention_scores": root_added}))
    assert shown.got != shown.expected


def test_a_reference_knows_right_answers_and_those_that_make_just_some_mistakes():
    own, record = judge.Reference(str(REPOSITORY / "solutions")), records.read("attention_weights")
    x, causal = torch.randn(2, 3, 5), torch.ones(3, 5, dtype=torch.bool).tril()
    right = own.component(record)(x, causal)
    assert len(own.accepted(record)) == len(alternatives(SEVEN).of(record.exercise)) > 1
    assert all(torch.allclose(other(x, causal), right, atol=1e-6) for other in own.accepted(record))
    one, both = ("mask_ignored",), ("softmax_missing", "mask_ignored")
    alone, together = own.mistaken(record, one), own.mistaken(record, both)
    assert {made for made, _ in alone} == {one}
    assert {frozenset(made) for made, _ in together} == {frozenset(one), frozenset(both[:1]), frozenset(both)}
    assert all(torch.allclose(wrong(x, causal), x.softmax(-1)) for _, wrong in alone)
    assert all(torch.equal(wrong(x, causal), x) for made, wrong in together if len(made) == 2)
    assert own.mistaken(record, ("no such mistake",)) == []
    assert own.component(record) is own.component(record), "a lesson is loaded once"
    with pytest.raises(FileNotFoundError):
        own.component(replace(record, lesson="no_such_lesson"))


# Components that cannot be asked, or that are judged with others


def test_another_exercise_that_is_wrong_costs_nothing():
    names = vars(reference(SEVEN))
    attend, before = names["scaled_dot_product_attention"], names["attention_scores"]
    attend.__globals__["attention_scores"] = unscaled
    try:
        result = judged("scaled_dot_product_attention", remote({"scaled_dot_product_attention": attend}))
    finally:
        attend.__globals__["attention_scores"] = before
    assert result.passed and "Judged with a right version of attention_scores, which it calls; yours" in result.note


def test_what_a_wrong_helper_changed_is_no_deed_of_the_answer():
    def in_place(query, key):
        query /= query.shape[-1] ** 0.5
        return query @ key.transpose(-2, -1)

    names = vars(reference(SEVEN))
    attend, before = names["scaled_dot_product_attention"], names["attention_scores"]
    attend.__globals__["attention_scores"] = in_place
    try:
        answer = {"scaled_dot_product_attention": attend}
        results = [
            judged("scaled_dot_product_attention", remote(answer)),
            examine(records.read("scaled_dot_product_attention"), answer, SECONDS),
        ]
    finally:
        attend.__globals__["attention_scores"] = before
    assert all(result.passed and "a right version of attention_scores, which" in result.note for result in results)


def learners(source):
    """Return what a notebook with this source defines."""
    names = {"torch": torch}
    exec(textwrap.dedent(source), names)
    return names


ATTENDS = """
    def attention_weights(scores, mask=None):
        return scores

    def scaled_dot_product_attention(query, key, value, mask=None):
        SCALED
        weights = attention_weights(query @ key.transpose(-2, -1), mask)
        return weights @ value, weights
    """


def test_a_mistake_beside_a_wrong_helper_keeps_its_share_of_the_points():
    names = learners(ATTENDS.replace("SCALED", "query *= query.shape[-1] ** -0.5"))
    result = judged("scaled_dot_product_attention", remote(names))
    assert result.mistakes == ("arguments_changed_in_place",) and 0 < result.earned < result.points
    assert result.earned == records.read(result.exercise).mistakes[result.mistakes[0]]["credit"] * result.points


class Ends(Loopback):
    """A channel to a kernel that ends whenever a condition on what it is asked, and for the how many-th time, holds."""

    def __init__(self, names, when, error):
        super().__init__(names)
        self.when, self.error = when, error

    def ask(self, content, buffers):
        if self.when(content, len(self.asked)):
            raise self.error
        return super().ask(content, buffers)


def ends(names, when, error=None):
    channel = Ends(names, when, error or EndedError("The process is gone."))
    return channel, Remote(lambda: channel)


def test_a_helper_that_ends_the_process_costs_an_answer_nothing():
    names = learners(ATTENDS.replace("SCALED", "query = query * query.shape[-1] ** -0.5"))
    _, submission = ends(names, lambda content, asked: content["calls"][0]["request"]["parts"] == {"tuple": []})
    result = judged("scaled_dot_product_attention", submission)
    assert result.passed and "right versions of attention_scores and attention_weights" in result.note
    _, submission = ends(names, lambda content, asked: True)
    result = judged("scaled_dot_product_attention", submission)
    assert not result.passed and result.says == ["The process is gone."]
    assert {state for _, state in result.rows} == {"not run"}


def test_a_process_that_ends_while_a_mistake_is_named_leaves_what_was_found_before():
    def in_place(query, key):
        query /= query.shape[-1] ** 0.5
        return query @ key.transpose(-2, -1)

    channel, submission = ends({"attention_scores": in_place}, lambda content, asked: False)
    honest = judged("attention_scores", submission)
    assert (honest.mistakes, honest.earned) == (("arguments_changed_in_place",), 1)
    fresh, recorded = channel.asked  # one visit with fresh numbers, and one with the recorded ones
    assert len(fresh[0]["calls"]) == len(recorded[0]["calls"]) > 5 and fresh[1] != recorded[1]
    for error in (EndedError("The process is gone."), TimeUp()):
        _, submission = ends({"attention_scores": in_place}, lambda content, asked: asked == 1, error)
        result = judged("attention_scores", submission)
        assert (result.mistakes, result.earned, result.passed) == ((), 0, False)
        assert "The process is gone." not in result.says
        assert "differs" in {state for _, state in result.rows}


def test_all_calls_of_a_check_go_in_one_message_and_those_after_it_by_themselves():
    """Also where an answer gets other arguments than the reference: then each is asked when it is there."""
    channel = Loopback({"attention_scores": reference(SEVEN).attention_scores})
    submission = Remote(lambda: channel)
    first, other, last = (Request("attention_scores", {"query": x, "key": x}) for x in torch.randn(3, 2, 5))
    with submission.limit(SECONDS):
        submission.expect([first, last])
        replies = [submission.call(one) for one in (first, other, last, last)]
    assert [len(content["calls"]) for content, _ in channel.asked] == [2, 1, 1, 1]
    for reply, one in zip(replies, (first, other, last, last), strict=True):
        assert torch.equal(reply.output, reference(SEVEN).attention_scores(*one.arguments.values()))


def test_calls_whose_answers_would_be_too_large_together_are_asked_in_turn(monkeypatch):
    channel = Loopback({"attention_scores": reference(SEVEN).attention_scores})
    submission = Remote(lambda: channel)
    requests = [Request("attention_scores", {"query": x, "key": x}) for x in torch.randn(5, 30, 5)]
    monkeypatch.setattr(inside, "MOST_SENT", 2 * 30 * 30 * 4 - 1)
    with submission.limit(SECONDS):
        submission.expect(requests)
        replies = [submission.call(one) for one in requests]
    assert [len(content["calls"]) for content, _ in channel.asked] == [5, 3, 1]
    assert [reply.output.shape for reply in replies] == 5 * [(30, 30)]


def test_nothing_is_asked_of_a_component_after_it_was_missing_or_unsolved():
    def unsolved(query, key):
        raise NotImplementedError

    channel = Loopback({"attention_scores": unsolved})
    assert judged("attention_scores", Remote(lambda: channel)).unsolved
    assert len(channel.asked) == 1
    channel = Loopback({})
    judged("attention_scores", Remote(lambda: channel))
    assert len(channel.asked) == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"answers": None},
        {"answers": []},
        {"answers": [{"buffers": 0}] * 99},
        {"answers": [{"buffers": -1}]},
        {"answers": [{"buffers": 2}]},
        {"answers": [{"reply": {}}]},
        {"answers": [None]},
    ],
    ids=str,
)
def test_a_message_that_holds_no_answers_earns_nothing_and_says_so(content):
    class Forged(Loopback):
        def ask(self, asked, buffers):
            return content, [memoryview(b"one")]

    channel = Forged({})
    result = judged("attention_scores", Remote(lambda: channel))
    assert result.earned == 0 and not result.passed and "invalid reply" in result.says[0]


def test_an_answer_on_which_a_probe_fails_earns_nothing_and_is_told_why():
    class Odd(Own):
        printed = ""

        def call(self, request):
            raise KeyError("scores")

    result = judged("attention_scores", Odd({}))
    assert (result.passed, result.earned) == (False, 0) and len(result.rows) == 5
    assert result.says == ["Your code returned something that cannot be compared with numbers (KeyError)."]
    assert {state for _, state in result.rows} == {"not run"}


def test_a_forbidden_call_is_found_in_whatever_call_it_hides():
    def attends(query, key, value, mask=None):
        if query.shape[-2] == key.shape[-2]:
            torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return reference(SEVEN).scaled_dot_product_attention(query, key, value, mask)

    result = judged("scaled_dot_product_attention", remote({"scaled_dot_product_attention": attends}))
    assert result.earned == 0 and "forbids a library call" in result.says[0]


def test_a_right_answer_of_which_the_process_is_doubted_keeps_its_points_and_is_flagged():
    record, right = records.read("attention_scores"), {"attention_scores": reference(SEVEN).attention_scores}
    for doubt, flag in (
        ("", ""),
        ("it calls gc", "Its points stand, and a person looks at this answer: it calls gc."),
    ):
        result = judge.judge(record, remote(right), REFERENCE, "a seed", SECONDS, doubt)
        assert (result.passed, result.earned, result.flag) == (True, 2, flag)


def test_what_the_judge_runs_of_the_reference_warns_nobody(recwarn):
    def warns(query, key):
        warnings.warn("careful", stacklevel=1)
        return unscaled(query, key)

    record = replace(records.read("attention_scores"), accepted=[{}])
    own = judge.Reference(REPOSITORY / "solutions")
    own.component, own.accepted = lambda record: warns, lambda record: [warns]
    judge.judge(record, remote({"attention_scores": halved}), own, "a seed", SECONDS)
    assert not [warning for warning in recwarn if "careful" in str(warning.message)]


def test_a_component_that_is_not_there_is_said_to_be_missing():
    result = judged("attention_scores", remote({}))
    assert not result.passed and result.earned == 0
    assert result.says == [
        "attention_scores is not defined: its cell did not finish, or defines another name. "
        "Look at the error below the cell."
    ]
    assert {state for _, state in result.rows} == {"not run"}


def test_an_unsolved_component_is_unsolved():
    def attention_scores(query, key):
        raise NotImplementedError("this exercise is not solved yet")

    assert judged("attention_scores", remote({"attention_scores": attention_scores})).unsolved


def test_a_kernel_that_ended_is_told():
    class Gone:
        @staticmethod
        def computed():
            return 0.0

        def ask(self, content, buffers):
            raise EndedError("The process is gone.")

    result = judged("attention_scores", Remote(Gone))
    assert result.earned == 0 and result.says == ["The process is gone."]


def test_a_busy_machine_costs_nobody_points(patient):
    def attention_scores(query, key):
        time.sleep(0.1)
        return reference(SEVEN).attention_scores(query, key)

    submission = remote({"attention_scores": attention_scores})
    assert judge.judge(records.read("attention_scores"), submission, REFERENCE, "a seed", 0.4).passed


def test_code_that_waits_is_stopped_and_nothing_is_claimed_about_it():
    submission = remote({"attention_scores": lambda query, key: time.sleep(60)})
    result = judge.judge(records.read("attention_scores"), submission, REFERENCE, "a seed", 0.1)
    assert result.earned == 0 and not result.conclusive
    assert "before your code had computed for 0.1" in result.says[0] and "graded again" in result.note


def test_computing_in_many_calls_adds_up(patient):
    """What a call has computed, its kernel tells; the next one gets what is left."""

    def attention_scores(query, key):
        end = time.thread_time() + 0.15
        while time.thread_time() < end:
            pass
        return reference(SEVEN).attention_scores(query, key)

    submission = remote({"attention_scores": attention_scores})
    result = judge.judge(records.read("attention_scores"), submission, REFERENCE, "a seed", 0.4)
    assert not result.passed and "computed for 0.4 seconds" in result.says[0] and result.conclusive


def test_a_kernel_that_lies_about_its_time_is_stopped_by_the_clock():
    def forged(content, buffers):
        return content | {"spent": -5.0}, buffers

    def attention_scores(query, key):
        time.sleep(0.2)
        return reference(SEVEN).attention_scores(query, key)

    submission = remote({"attention_scores": attention_scores}, forged=forged)
    assert not judge.judge(records.read("attention_scores"), submission, REFERENCE, "a seed", 0.1).passed


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"reply": None},
        {"reply": {"output": 5}},
        {"reply": {"output": {"tensor": 0}}},
        {"printed": 3},
        {"reply": {"fault": "x"}},
        {"stopped": 1},
        {"missing": "yes"},
    ],
    ids=str,
)
def test_an_answer_that_is_none_earns_nothing_and_says_so(content):
    submission = remote({"attention_scores": reference(SEVEN).attention_scores}, forged=lambda _, __: (content, []))
    result = judged("attention_scores", submission)
    assert result.earned == 0 and not result.passed and result.says


def test_an_answer_that_says_too_little_is_wrong():
    right = {"attention_scores": reference(SEVEN).attention_scores}
    submission = remote(right, forged=lambda _, __: ({"reply": {}}, []))
    assert judged("attention_scores", submission).earned == 0


def test_what_the_code_prints_comes_back_once_and_cut():
    def attention_scores(query, key):
        print("here " * 1000)
        return reference(SEVEN).attention_scores(query, key)

    result = judged("attention_scores", remote({"attention_scores": attention_scores}))
    assert result.passed and result.printed == ("here " * 1000)[:2000]


def test_a_reply_is_read_against_its_own_request():
    with pytest.raises(wire.MalformedError):
        wire.unpack_reply({"gradients": 3}, [], wire.Request("f", {}))


def test_the_lesson_of_every_record_has_its_text():
    for lesson, exercise in EXERCISES:
        assert REFERENCE.component(records.read(exercise)).__name__ == exercise
        assert read(lesson).exercises[exercise]


def test_an_empty_cell_is_unsolved_and_no_wrong_answer():
    result = judged("GPT", remote({}))
    assert outcome(result) == (False, 0.0, set(), True)
    assert "Nothing is called GPT yet" in repr(result)
