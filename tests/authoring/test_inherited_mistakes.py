"""What the mistakes of one lesson know of a step, other lessons know whose classes have the step as a method."""

import pytest

from autograder.course import AuthorError
from autograder.mistakes import Catalogue

inner = Catalogue()
step, component, mistake, also = inner.step, inner.component, inner.mistake, inner.also


@step
def halve(x):
    return x / 2


@step
def lift(x):
    return x + 1


@component("halve", "lift")
def small(step, x):
    return step.lift(step.halve(x))


@mistake("halve", symptom="Twice as large.", cause="C.", place="P.", credit=0.5, shows=[("a_probe", "larger")])
def not_halved(x):
    return x


@also("not_halved", "halve")
def doubled(x):
    return x * 2


@mistake("lift", symptom="Too low.", cause="C.", place="P.")
def not_lifted(x):
    return x


@mistake(symptom="Neither.", cause="C.", place="P.")
class nothing_done:
    @staticmethod
    def halve(x):
        return x

    @staticmethod
    def lift(x):
        return x


def outer(*steps, **how):
    """Return a catalogue with a class that halves and lifts, and with what `inner` knows of these steps."""
    catalogue = Catalogue()
    catalogue.component()(Large)
    catalogue.mistake("start", symptom="Own.", cause="C.", place="P.")(not_lifted_from_the_start)
    catalogue.inherit(inner, *steps, **how)
    return catalogue


class Large:
    def start(self, x):
        return x * 10

    def halve(self, x):
        return x / 2

    def lift(self, x):
        return x + 1

    def forward(self, x):
        return self.lift(self.halve(self.start(x)))


def not_lifted_from_the_start(self, x):
    return x * 10 - 1


not_lifted_from_the_start.__name__ = "not_lifted"


def shown(catalogue):
    return [(*wrong.mistakes, wrong.call().forward(1)) for wrong in catalogue.singles("Large")]


def test_each_way_that_replaces_these_steps_alone_is_taken_over():
    assert shown(outer("halve", "lift")) == [
        ("not_lifted", 5.5),  # its own way
        ("not_lifted", 5),
        ("not_halved", 11),
        ("not_halved", 21),
        ("nothing_done", 10),
    ]
    assert shown(outer("halve")) == [("not_lifted", 5.5), ("not_halved", 11), ("not_halved", 21)]


def test_a_mistake_that_is_declared_here_keeps_its_sentences_and_others_bring_theirs_without_claims():
    mistakes = outer("halve", "lift").mistakes
    assert (mistakes["not_lifted"].symptom, mistakes["not_lifted"].cause) == ("Own.", "C.")
    assert (mistakes["not_halved"].symptom, mistakes["not_halved"].credit) == ("Twice as large.", 0.5)
    assert mistakes["not_halved"].shows == ()


def test_ways_are_left_out_by_their_names():
    assert shown(outer("halve", "lift", without=["doubled", "nothing_done", "not_lifted"])) == [
        ("not_lifted", 5.5),
        ("not_halved", 11),
    ]
    with pytest.raises(AuthorError, match="names the unknown way 'doubld'; write 'doubled'"):
        outer("halve", without=["doubld"])


def test_only_the_exercises_that_are_named_take_them_over():
    with pytest.raises(AuthorError, match="only= of mistake .* names the unknown component 'Larger'"):
        outer("halve", only="Larger")


def test_a_step_that_is_called_with_other_arguments_is_no_step_of_this_name():
    catalogue = Catalogue()

    class Other(Large):
        def halve(self, x, y):
            return x / 2

    catalogue.component()(Other)
    with pytest.raises(AuthorError, match=r"takes \(x\) where halve takes \(x, y\)"):
        catalogue.inherit(inner, "halve")


def test_what_is_taken_over_can_be_written_out_as_source():
    catalogue = outer("halve", "lift")
    for wrong in catalogue.singles("Large"):
        names = {}
        exec(catalogue.source(wrong), names)
        assert names["Large"]().forward(1) == wrong.call().forward(1), wrong.mistakes
