"""Every known mistake is rejected and named as itself, every right answer earns all points: proven by running them.

What an answer is told and what it shows is found once for all tests of its exercise, which run one after the other.
"""

import dis
import functools
import warnings

import pytest
import tables
from lessons import EXERCISES, TEXTS, alternatives, catalogue, names_only, read, reference

from autograder.authoring import faults, recorder
from autograder.authoring.habitual import ALWAYS_DOUBLE, HABITS, with_habit
from autograder.checking import check
from autograder.diagnosing import habits, records
from autograder.diagnosing.examine import observe
from autograder.notebooks.definitions import load

pytestmark = pytest.mark.filterwarnings("ignore")  # mistakes may use what PyTorch warns of


@functools.lru_cache(maxsize=1)
def recorded(exercise):
    return records.read(exercise)


def examined(exercise, component):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return check.examine(recorded(exercise), {exercise: component}, seconds=60)


def unsolved(*arguments, **keywords):
    raise NotImplementedError("this exercise is not solved yet")


class Looked:
    """What all right and wrong answers to an exercise are told, and what they showed.

    right  [`Result`], of the reference first
    wrong  [(name of the mistake, `Result`)]
    seen   {name of an answer, as the recorder calls it: {probe: Observations}}
    """

    def __init__(self, lesson, exercise):
        accepted = alternatives(lesson).of(exercise)
        right = recorder.right_answers(exercise, getattr(reference(lesson), exercise), catalogue(lesson), accepted)
        wrong = recorder.wrong_answers(exercise, catalogue(lesson))
        self.exercise, self.seen = exercise, {}
        self.right = [self._look(answer.name, answer.call) for answer in right]
        self.wrong = [(one.mistakes[0], self._look(name, one.call)) for name, one in wrong.items()]

    def _look(self, name, component):
        def seen(record, submission, seconds, seed, parts=()):
            observed, stopped = observe(record, submission, seconds, seed, parts)
            if not parts and not stopped:
                self.seen[name] = observed
            return observed, stopped

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(check, "observe", seen)
            return examined(self.exercise, component)

    def observe(self, lesson, exercise, probe, seed, number, answer):
        """Return what `steady.observe` returns."""
        return self.seen[answer.name][probe]


@functools.lru_cache(maxsize=1)
def looked(lesson, exercise):
    return Looked(lesson, exercise)


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_every_mistake_is_rejected_and_named_and_every_right_answer_passes(lesson, exercise):
    points = read(lesson).exercises[exercise].points
    results, right = looked(lesson, exercise).wrong, looked(lesson, exercise).right
    nothing = examined(exercise, unsolved)
    tables.row(
        "mistakes and right answers",
        exercise=exercise,
        mistakes=len({name for name, _ in results}),
        ways=len(results),
        rejected=sum(not result.passed for _, result in results),
        named_correctly=sum(result.mistake == name for name, result in results),
        named_wrongly=sum(result.mistake not in (name, None) for name, result in results),
        right_answers=len(right),
        full_points=sum(result.earned == points for result in right),
        unsolved_at_0=int(nothing.unsolved and nothing.earned == 0),
    )
    assert results, "an exercise without a mistake has a check that nothing is known to fail"
    assert [name for name, result in results if result.passed] == []
    assert [(name, result.mistake) for name, result in results if result.mistake != name] == []
    for name, result in results:
        assert result.earned == round(points * catalogue(lesson).mistakes[name].credit, 2), name
        assert len(result.says) == 3, name
    assert [result for result in right if not result.passed or result.earned != points] == []
    assert nothing.unsolved and nothing.earned == 0 and not nothing.passed


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_the_recorded_answers_are_those_of_the_present_lesson(lesson, exercise, monkeypatch):
    monkeypatch.setattr(recorder, "observe", looked(lesson, exercise).observe)
    found = faults.recorded(written(lesson), exercise, pairs=False, draws=records.read(exercise).draws)
    kept = vars(records.read(exercise))
    kept["behaviours"] = [one for one in kept["behaviours"] if len(one["mistakes"]) == 1]
    assert recorder.close_enough(kept, vars(found)), f"run `python -m autograder record {lesson} --only {exercise}`"


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_fresh_numbers_tell_the_same_mistakes_apart(lesson, exercise, monkeypatch):
    """A third of them: every one of them is observed anew, and they are as many as the recorded ones."""
    every = recorder.wrong_answers

    def some(exercise, catalogue):
        return dict(list(every(exercise, catalogue).items())[::3])

    monkeypatch.setattr(recorder, "wrong_answers", some)
    found = faults.recorded(written(lesson), exercise, seed="another day", pairs=False, draws={})
    assert found.accepted == records.read(exercise).accepted == []


@functools.cache
def written(lesson):
    return faults.written(read(lesson))


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_of_two_mistakes_at_once_both_are_named_or_the_one_that_shows_and_never_another_one(lesson, exercise):
    """Some of them: each costs as much as a check, and there are hundreds."""
    pairs, whole = catalogue(lesson).pairs(exercise), 0
    recorded_pairs = [one["mistakes"] for one in recorded(exercise).behaviours if len(one["mistakes"]) == 2]
    pairs = pairs[:: max(1, len(pairs) // 12)]
    for one in pairs:
        with names_only():
            result = examined(exercise, one.call)
        # Two may come to just what another one does: a causal mask that is inverted and lacks its diagonal is reversed.
        as_one = len(result.mistakes) == 1 and "Something else" not in result.says[0]
        assert habits.general(result.mistakes) <= habits.general(one.mistakes) or as_one, one.mistakes
        if list(one.mistakes) in recorded_pairs:
            assert set(result.mistakes) == set(one.mistakes)
        if len(result.mistakes) == 2:
            assert result.says[0].startswith("Two mistakes at once.")
            whole += 1
    tables.row("pairs of mistakes", exercise=exercise, tried=len(pairs), both_named=whole)
    assert not pairs or whole


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_a_wrong_or_unsolved_exercise_costs_its_own_points_only(lesson, exercise):
    others = [name for name in read(lesson).exercises if name != exercise]
    users = [name for name in others if exercise in read(lesson).exercises[name].uses]
    source = [getattr(reference(lesson), name) for name in others]
    for component in (unsolved, catalogue(lesson).singles(exercise)[0].call):
        learner = load(TEXTS[lesson], f"learner_of_{lesson}")
        setattr(learner, exercise, component)
        for name in users:
            assert examined(name, getattr(learner, name)).earned == read(lesson).exercises[name].points
        for name in set(others) - set(users):  # it does not call the exercise, so it cannot tell
            # Not a method of this name, such as that of bytes.
            looked_up = [dis.get_instructions(code) for code in _codes(getattr(learner, name))]
            names = {one.argval for code in looked_up for one in code if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
            assert exercise not in names, f"{name} calls {exercise}: declare it with uses="
    assert [getattr(reference(lesson), name) for name in others] == source


def _codes(component):
    functions = vars(component).values() if isinstance(component, type) else [component]
    return [function.__code__ for function in functions if hasattr(function, "__code__")]


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_a_mistake_written_out_as_source_is_the_same_mistake(lesson, exercise):
    """The sample class hands in mistakes as text."""
    for one in catalogue(lesson).singles(exercise)[::5]:
        names = dict(vars(reference(lesson)))
        exec(catalogue(lesson).source(one), names)
        with names_only():
            assert examined(exercise, names[exercise]).mistakes == one.mistakes


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_every_probe_is_failed_by_some_mistake_or_by_a_habit(lesson, exercise):
    """Habits are declared once, for all lessons."""
    known = records.read(exercise)
    failed = {probe for behaviour in known.behaviours for probe in behaviour["differs"]}
    if left := {sentence for probe, sentence in known.probes if probe not in failed}:
        for habit in (*HABITS.values(), ALWAYS_DOUBLE):
            result = examined(exercise, with_habit(catalogue(lesson).right(exercise), habit))
            left -= {sentence for sentence, state in result.rows if state == "differs"}
    assert left == set()


def test_every_exercise_has_its_record_and_no_other_one_is_there():
    assert records.exercises() == {exercise: lesson for lesson, exercise in EXERCISES}
