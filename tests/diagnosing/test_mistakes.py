"""Every known mistake is rejected and named as itself, every right answer earns all points: proven by running them."""

import warnings

import pytest
import tables
from lessons import EXERCISES, LESSONS, TEXTS, alternatives, catalogue, read, reference

from autograder.authoring import record, recorder
from autograder.checking.check import examine
from autograder.diagnosing import records
from autograder.notebooks.definitions import load

pytestmark = pytest.mark.filterwarnings("ignore")  # mistakes may use what PyTorch warns of


def examined(exercise, component):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return examine(records.read(exercise), {exercise: component}, seconds=60)


def unsolved(*arguments, **keywords):
    raise NotImplementedError("this exercise is not solved yet")


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_every_mistake_is_rejected_and_named_and_every_right_answer_passes(lesson, exercise):
    points = read(lesson).exercises[exercise].points
    wrong = catalogue(lesson).singles(exercise)
    results = [(one.mistakes[0], examined(exercise, one.call)) for one in wrong]
    right = [getattr(reference(lesson), exercise), *(call for _, call in alternatives(lesson).of(exercise))]
    right = [examined(exercise, component) for component in right]
    nothing = examined(exercise, unsolved)
    tables.row(
        "mistakes and right answers",
        exercise=exercise,
        mistakes=len({one.mistakes[0] for one in wrong}),
        ways=len(wrong),
        rejected=sum(not result.passed for _, result in results),
        named_correctly=sum(result.mistake == name for name, result in results),
        named_wrongly=sum(result.mistake not in (name, None) for name, result in results),
        right_answers=len(right),
        full_points=sum(result.earned == points for result in right),
        unsolved_at_0=int(nothing.unsolved and nothing.earned == 0),
    )
    assert wrong, "an exercise without a mistake has a check that nothing is known to fail"
    assert [name for name, result in results if result.passed] == []
    assert [(name, result.mistake) for name, result in results if result.mistake != name] == []
    for name, result in results:
        assert result.earned == round(points * catalogue(lesson).mistakes[name].credit, 2), name
        assert len(result.says) == 3, name
    assert [result for result in right if not result.passed or result.earned != points] == []
    assert nothing.unsolved and nothing.earned == 0 and not nothing.passed


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_two_mistakes_at_once_are_named_together(lesson, exercise):
    known = {tuple(one["mistakes"]) for one in records.read(exercise).behaviours if len(one["mistakes"]) == 2}
    pairs = [one for one in catalogue(lesson).pairs(exercise) if one.mistakes in known]
    for one in pairs[:: max(1, len(pairs) // 25)]:  # each costs as much as a check, and there are hundreds
        result = examined(exercise, one.call)
        assert result.mistakes == one.mistakes
        assert result.says[0].startswith("Two mistakes at once.")


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
            names = {word for code in _codes(getattr(learner, name)) for word in code.co_names}
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
        assert examined(exercise, names[exercise]).mistakes == one.mistakes


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_probe_is_failed_by_some_mistake(lesson):
    for exercise in read(lesson).exercises:
        known = records.read(exercise)
        failed = {probe for behaviour in known.behaviours for probe in behaviour["differs"]}
        assert {probe for probe, _ in known.probes} - failed == set(), exercise


@pytest.mark.parametrize("lesson", LESSONS)
def test_fresh_numbers_tell_the_same_mistakes_apart(lesson):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in record.each(read(lesson), seed="another day", pairs=False, draws=lambda exercise: {}):
            assert found.accepted == records.read(found.exercise).accepted == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_recorded_answers_are_those_of_the_present_lesson(lesson):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = record.each(read(lesson), pairs=False, draws=lambda exercise: records.read(exercise).draws)
        made = {one.exercise: vars(one) for one in known}
    assert {exercise for exercise, known in records.exercises().items() if known == lesson} == set(made)
    for exercise, fresh in made.items():
        kept = vars(records.read(exercise))
        kept["behaviours"] = [one for one in kept["behaviours"] if len(one["mistakes"]) == 1]
        assert recorder.close_enough(kept, fresh), f"{exercise}: run `python -m autograder record {lesson}`"
