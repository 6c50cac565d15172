"""The smallest input that shows what is wrong: it is small, what is said of it is true, and its code shows the same."""

import ast
import re
import warnings

import pytest
import torch
from lessons import EXERCISES, alternatives, catalogue, read, reference

from autograder.authoring import faults, recorder, shrink
from autograder.calling.local import Here, Request
from autograder.checking import check, result
from autograder.diagnosing import example, records, small
from autograder.diagnosing.observation import same

pytestmark = pytest.mark.filterwarnings("ignore")  # mistakes may use what PyTorch warns of
SAMPLE = ("attention_scores", "merge_heads", "split_heads", "FeedForward", "RMSNorm", "next_token_loss")
# What is seen in no number of one call: words, what dropout does by chance, which function of the library was called.
UNSEEN = ("error_without_the_sizes", "dropout_in_another_place", "library_norm")
FEW = [one for one in EXERCISES if one[1] in SAMPLE]
MOST = 16  # numbers in the smallest input, in these exercises


def examined(exercise, component):
    with warnings.catch_warnings(action="ignore"):
        return check.examine(records.read(exercise), {exercise: component}, seconds=60)


def right_answers(lesson, exercise):
    component = getattr(reference(lesson), exercise)
    return recorder.right_answers(exercise, component, catalogue(lesson), alternatives(lesson).of(exercise))


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_every_right_answer_gives_what_is_expected_of_each_small_input(lesson, exercise):
    known = small.read(lesson, exercise)
    assert [shrink.cost(one) for one in known] == sorted(shrink.cost(one) for one in known)
    for answer in right_answers(lesson, exercise):
        source = Here({exercise: answer.call})
        for one in known:
            seen = small.look_at(one.look, source.call(one.request))
            assert not small.is_clear(one.expected, seen), (answer.name, one)


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_no_small_input_has_a_size_of_0_where_no_probe_has_one(lesson, exercise):
    calls = shrink.calls(records.read(exercise), vars(reference(lesson))[exercise])
    counted_from_0 = {name for one in calls for name, value in shrink._named_integers(one.request) if value == 0}
    for one in small.read(lesson, exercise):
        assert all(tensor.numel() for tensor in shrink._tensors(one.request)), one.request
        sizes = {
            name: value
            for name, value in shrink._named_integers(one.request)
            if name not in counted_from_0 and not name.endswith("_id")
        }
        assert 0 not in sizes.values(), sizes


@pytest.mark.parametrize(("lesson", "exercise"), FEW)
def test_every_known_mistake_is_shown_by_a_small_input_and_its_code_shows_the_same(lesson, exercise):
    without = []
    for wrong in catalogue(lesson).singles(exercise):
        shown = examined(exercise, wrong.call).example
        if shown is None:
            without.append(wrong.mistakes[0])
            continue
        assert shown.got != shown.expected and shown.code
        if not set(shown.got) & {"made on the inputs' device", "changed in place", "parameters"}:
            assert_same_as_code(exercise, wrong.call, shown)
    assert set(without) <= set(UNSEEN)


def assert_same_as_code(exercise, component, shown):
    """Paste the code into a cell: what it shows are the numbers of the table."""
    if any(value.startswith("raised") for value in shown.got.values()):
        with pytest.raises(Exception, match="") as raised:
            pasted(exercise, component, shown.code)
        assert f"raised {raised.type.__name__}" in shown.got.values()
        return
    names = pasted(exercise, component, shown.code)
    for name, value in shown.got.items():
        if ", " not in name:
            parameter = re.fullmatch(r"weights\.(.+)\.grad", name)
            found = names["module"].get_parameter(parameter[1]).grad if parameter else eval(name, names)
            words = {str(found), f"a {type(found).__name__}"}
            if isinstance(found, torch.Tensor):
                words = {example.numbers(found, 4), str(found.dtype)}
            assert value in words


def pasted(exercise, component, code):
    """Return the names after a cell was run in a notebook that has this component."""
    names = {exercise: component}
    exec(compile(ast.parse(code), "a cell", "exec"), names)
    return names


@pytest.mark.parametrize(("lesson", "exercise"), [one for one in FEW if one[1] == "merge_heads"])
def test_what_is_recorded_is_what_is_found(lesson, exercise):
    wrong = recorder.wrong_answers(exercise, catalogue(lesson))
    with warnings.catch_warnings(action="ignore"):
        found = shrink.ladder(records.read(exercise), right_answers(lesson, exercise), wrong)
    assert small.text(found) == small.path(lesson, exercise).read_text(encoding="utf-8")
    for name, one in wrong.items():
        numbers = [
            shrink.numbers_in(known.request)
            for known in found
            if small.is_clear(known.expected, small.look_at(known.look, Here({exercise: one.call}).call(known.request)))
        ]
        assert min(numbers) <= MOST, name


def test_an_input_and_what_is_expected_survive_the_file():
    request = Request(
        "f", dict(x=torch.tensor([[1.5, -2.0]]), mask=torch.tensor([True]), n=3, none=None, many=[(1, "a")])
    )
    known = [small.Small(request, "output", ("p",), "numbers", {"result": torch.ones(1, 2).double()})]
    again = small._unpacked(small._packed(known[0]))
    assert small.text([again]) == small.text(known) and again.request.arguments["many"] == [(1, "a")]
    assert (
        same(again.request.arguments["x"], request.arguments["x"])
        and again.request.arguments["mask"].dtype == torch.bool
    )


def scores(query, key):
    return query @ key.mT


def test_of_an_unknown_mistake_the_smallest_input_is_shown_in_html_in_text_and_as_data():
    found = examined(
        "attention_scores", lambda query, key: scores(query, key) / query.shape[-1] ** 0.5 + key.sum() * 0.1
    )
    assert not found.mistakes and shrink.numbers_in(found_request("attention_scores", found)) <= MOST
    bundle = found._repr_mimebundle_()
    assert (
        f"{result.SMALLEST}</summary>" in bundle["text/html"] and "attention_scores(query, key)" in bundle["text/html"]
    )
    assert result.SMALLEST in bundle["text/plain"] and "expected result: " in bundle["text/plain"]
    assert bundle[result.MIME_TYPE]["example"]["code"] == found.example.code


def found_request(exercise, found):
    names = pasted(exercise, scores, found.example.code)
    return Request(exercise, {name: names[name] for name in ("query", "key")})


def test_a_right_answer_costs_nothing_more(monkeypatch):
    def read(*arguments):
        raise AssertionError("nothing is read for a right answer")

    monkeypatch.setattr(small, "telling", read)
    assert examined("attention_scores", lambda query, key: scores(query, key) / query.shape[-1] ** 0.5).passed


@pytest.mark.parametrize("what", ["loops", "ends", "refuses"])
def test_what_an_answer_does_with_an_input_that_no_probe_has_tried_ends_no_check(what, monkeypatch):
    monkeypatch.setattr(example, "SECONDS", 0.3)

    def answer(query, key):
        while what == "loops" and query.numel() < 30:
            pass
        if what == "ends" and query.numel() < 30:
            raise SystemExit
        if what == "refuses" and query.numel() < 30:
            raise ValueError
        return scores(query, key)

    if what == "ends":
        with pytest.raises(SystemExit):  # as in every other call of it
            examined("attention_scores", answer)
    else:
        assert not examined("attention_scores", answer).passed


def test_what_comes_of_a_wrong_helper_alone_is_not_shown():
    known = [one for one in small.read("scaled_dot_product_attention", "attention_scores") if one.look == "output"]
    wrong, right = (
        Here({"attention_scores": one}).call
        for one in (lambda query, key: scores(query, key) + 1, lambda query, key: scores(query, key))
    )
    assert small.smallest(known, wrong) and not small.smallest(known, wrong, right)
    assert small.smallest(known, wrong, wrong)


def test_only_inputs_on_which_the_answer_may_fail_are_tried_the_most_telling_first():
    known = small.read("scaled_dot_product_attention", "attention_scores")
    differs = {known[0].probes[0]: [known[0].aspect], known[-1].probes[0]: [known[-1].aspect]}
    told = list(small.telling("scaled_dot_product_attention", "attention_scores", differs))
    assert 0 < len(told) < len(known)
    assert all(any(one.aspect in differs.get(probe, ()) for probe in one.probes) for one in told)
    assert [one.look for one in told] == sorted((one.look for one in told), key=small.LOOKS.index)
    assert not list(small.telling("scaled_dot_product_attention", "attention_scores", {}))


def test_inputs_are_recorded_with_the_record(tmp_path):
    lesson = read("scaled_dot_product_attention")
    made, known = faults.recorded(faults.written(lesson), "attention_scores", pairs=False, draws={}), []
    assert shrink.write(made, known, tmp_path) and not shrink.write(made, known, tmp_path)
    assert small.read(made.lesson, "attention_scores", tmp_path) == known
    assert records.exercises(tmp_path) == {}, "beside the records, and none of them"


def test_a_difference_is_shown_with_as_many_digits_as_it_takes():
    assert example._written_apart(torch.tensor([1.0]), torch.tensor([1.00001])) == ("[1]", "[1.00001]")
    assert example._written_apart(torch.tensor([0.65625]), "None") == ("[0.6562]", "None")
