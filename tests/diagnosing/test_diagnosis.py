"""From what an answer shows to what it is told: when two observations are the same, which mistake it is, what is said.

Sizes are distinct primes, and so are numbers where it matters which of them is which.
"""

import math
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from autograder import probes
from autograder.calling.limit import TimeUp
from autograder.calling.local import Fault, Here
from autograder.calling.remote import EndedError
from autograder.diagnosing import examine
from autograder.diagnosing.comparison import agree, aspect, by_aspect, differences, differing, values
from autograder.diagnosing.diagnosis import Diagnosis, Stopped, describe, diagnose, symptoms
from autograder.diagnosing.observation import ABSOLUTE, RELATIVE, same, same_signature, signature
from autograder.diagnosing.records import Record, plain
from autograder.probes import Observations

NAN, INF = math.nan, math.inf
LESSON = "scaled_dot_product_attention"  # whose probes are loaded; the exercises here are not its own


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


# Observations


def test_numbers_are_the_same_within_the_tolerance_and_slack_widens_it():
    expected, zero = tensor(2, 0), tensor(0, 2)  # 2 is the unit of these numbers
    for share, equal in ((0.9, True), (1.2, False)):
        for slack in (1, 7):
            error = share * slack
            assert same(expected, expected * (1 + RELATIVE * error), slack) == equal
            assert same(expected, expected + zero * ABSOLUTE * error, slack) == equal
    assert same(expected, expected * (1 + RELATIVE * 0.9)) and not same(expected, expected * (1 + RELATIVE * 1.2))


def test_the_unit_of_small_numbers_is_no_smaller_than_a_hundredth():
    small = tensor(1e-3, 0)
    assert same(small, small + tensor(0, 0.9 * ABSOLUTE * 1e-2)) and not same(small, small + tensor(0, 3e-7))
    assert same(tensor(0, INF), tensor(0.9e-7, INF)) and not same(tensor(0, INF), tensor(3e-7, INF))
    assert same(tensor(), tensor())


def test_numbers_are_compared_and_types_are_not():
    assert same(torch.tensor([2.0, 3.0]), torch.tensor([2, 3])) and same(torch.tensor([2, 3]), tensor(2, 3))
    assert same(tensor(NAN, INF, -INF), tensor(NAN, INF, -INF))
    assert not same(tensor(NAN, 1), tensor(1, NAN)) and not same(tensor(INF), tensor(-INF))


def test_other_shapes_and_other_kinds_are_never_the_same():
    assert not same(torch.zeros(3), torch.zeros(1, 3)) and not same(torch.zeros(2, 3), torch.zeros(3, 2))
    assert same("one tensor", "one tensor") and not same("one tensor", "a pair")
    assert not same("2", tensor(2)) and not same(tensor(2), "2") and not same(None, tensor(2)) and not same(1, 1.0)


# Signatures


def shown(numbers, words="one tensor"):
    return {"answer": words, "scores": torch.as_tensor(numbers)}


RIGHT = shown([[2.0, 3.0, 5.0]])


def test_a_signature_is_what_it_was_when_the_answers_were_recorded():
    """Another formula, be it as good, makes all recorded mistakes unknown: `make build` has to record them anew."""
    text, *sums = signature(RIGHT, shown([[7.0, NAN, 11.0]]))
    assert text == "6808db3b4f8b" and sums == [0.540803, -0.232769, -3.29582, 2.60768]


@pytest.mark.parametrize(
    "other",
    [
        shown([[2.0, 3.0, 5.0]], "a pair"),
        shown([2.0, 3.0, 5.0]),
        shown([[2.0, 3.0, 5.1]]),
        shown([[3.0, 2.0, 5.0]]),
        shown([[2.0, 3.0, NAN]]),
        shown([[2.0, 3.0, INF]]),
        shown([[2.0, 3.0, -INF]]),
        {"answer": "one tensor", "output": RIGHT["scores"]},
        {"scores": RIGHT["scores"]},
        {"answer": "one tensor"},
    ],
    ids=str,
)
def test_a_signature_tells_names_words_shapes_and_every_number_apart(other):
    assert not same_signature(signature(RIGHT, RIGHT), signature(RIGHT, other))
    assert same_signature(signature(RIGHT, other), signature(RIGHT, other))


def test_what_is_not_finite_is_told_apart_by_its_kind():
    odd = [signature(RIGHT, shown([[2.0, 3.0, kind]])) for kind in (NAN, INF, -INF, 0.0)]
    assert len({one[0] for one in odd}) == 4
    assert all(one[1:] == odd[-1][1:] for one in odd), "it adds nothing to the sums"


def test_what_is_not_finite_is_told_apart_by_its_place():
    one, other = (signature(RIGHT, shown([row])) for row in ([0.0, -INF, 0.0], [0.0, 0.0, -INF]))
    assert one[0] != other[0] and one[1:] == other[1:]


def test_each_observation_is_measured_in_the_unit_of_the_reference():
    small, large = ({"scores": RIGHT["scores"] * unit} for unit in (1, 1e6))
    wrong = [{"scores": seen["scores"] * 3} for seen in (small, large)]
    assert same_signature(signature(small, wrong[0]), signature(large, wrong[1]))
    assert not same_signature(signature(small, wrong[0]), signature(small, wrong[1]))
    # What the reference lacks is measured in ones, and what has no finite number there in hundredths.
    for expected, unit in (({}, 1), ({"scores": "none"}, 1), ({"scores": tensor(INF)}, 0.01)):
        assert signature(expected, RIGHT) == signature({"scores": tensor(unit)}, RIGHT)


def test_signatures_are_the_same_within_the_tolerance_and_slack_widens_it():
    one, size = ["text", 2.0, 3.0, 5.0, 7.0], 7.0
    for place in (1, 2, 3):
        for share, equal in ((0.9, True), (1.1, False)):
            for slack in (1, 13):
                other = list(one)
                other[place] -= share * slack * RELATIVE * size
                assert same_signature(one, other, slack) == same_signature(other, one, slack) == equal
                assert same_signature(one, other) == (equal and slack == 1)
    assert not same_signature(one, ["other", *one[1:]])


def test_the_larger_one_of_two_signatures_is_the_unit():
    small, large = ["text", 0.0, 0.0, 0.0, 3.0], ["text", 0.0, 0.0, 0.0, 5.0]
    for slack, equal in ((0.45 / RELATIVE, True), (0.35 / RELATIVE, False)):
        assert same_signature(small, large, slack) == same_signature(large, small, slack) == equal


def test_signatures_of_almost_nothing_are_measured_in_hundredths():
    nothing = ["text", 0.0, 0.0, 0.0, 0.0]
    assert same_signature(nothing, ["text", 0.9e-6, 0.0, 0.0, 0.9e-6])
    assert not same_signature(nothing, ["text", 1.1e-6, 0.0, 0.0, 1.1e-6])


def test_long_observations_have_the_weights_of_their_length():
    """Those of great lengths are drawn anew each time, as they would fill the memory."""
    for count in (2, 10_007):
        seen = {"scores": torch.ones(count)}
        assert signature(seen, seen) == signature(seen, seen)
        assert signature(seen, seen)[-1] == pytest.approx(math.sqrt(count), rel=1e-5)


# What differs


def test_what_is_missing_or_too_much_differs_and_so_does_what_is_not_the_same():
    expected, seen = {"a": tensor(2), "b": tensor(3), "c": "x"}, {"b": tensor(3), "c": "y", "d": tensor(5)}
    assert differing(expected, seen) == ["a", "c", "d"]
    near = {"a": tensor(2 * (1 + 1.5 * RELATIVE)), "b": tensor(3), "c": "x"}
    assert differing(expected, near) == ["a"] and differing(expected, near, slack=5) == []


def test_differences_are_the_signatures_of_the_probes_that_differ_of_those_that_were_run():
    reference = {"same": {"a": tensor(2)}, "other": {"a": tensor(3)}, "not run": {"a": tensor(5)}}
    seen = {"same": {"a": tensor(2)}, "other": {"a": tensor(7)}}
    assert differences(reference, seen) == {"other": {"numbers": signature(reference["other"], seen["other"])}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scores", "numbers"),
        ("gradient of x", "gradients"),
        ("pre-norm: gradient of weights.norm1.weight", "gradients"),
        ("parameters that no gradient reaches", "gradients"),
        ("answer for float64", "dtype"),
        ("dtype for torch.float32", "dtype"),
        ("made on the inputs' device", "device"),
        ("the mask is made on", "device"),
        ("mask: arguments changed in place", "arguments"),
        ("library calls that this exercise forbids", "library calls"),
        ("form of x", "numbers"),
    ],
)
def test_what_an_observation_is_about_is_told_by_its_name(name, expected):
    assert aspect(name) == expected


def test_what_kind_of_answer_came_back_belongs_to_what_else_a_probe_asks_for():
    expected = {"answer": "a tensor", "gradient of x": tensor(2)}
    assert by_aspect(expected, {"answer": "raised TypeError"}) == {
        "gradients": (expected, {"answer": "raised TypeError"})
    }
    several = expected | {"x": tensor(3)}
    cut = by_aspect(several, {})
    assert {name: list(values) for name, (values, _) in cut.items()} == {
        "numbers": ["answer", "x"],
        "gradients": ["gradient of x"],
    }


def test_aspects_of_one_probe_differ_by_themselves():
    reference = {"p": {"x": tensor(2), "gradient of x": tensor(3), "answer for float64": "float64"}}
    seen = {"p": {"x": tensor(2), "gradient of x": "none arrives", "answer for float64": "float64"}}
    assert {probe: list(found) for probe, found in differences(reference, seen).items()} == {"p": ["gradients"]}
    both = {"p": seen["p"] | {"x": tensor(5)}}
    found = differences(reference, both)["p"]
    assert found["gradients"] == differences(reference, seen)["p"]["gradients"] and list(found) == [
        "numbers",
        "gradients",
    ]


def test_two_answers_agree_if_they_differ_in_the_same_aspects_by_the_same_signatures():
    one = {"p": {"numbers": ["text", 2.0, 3.0, 5.0, 7.0]}, "q": {"dtype": ["text", 3.0, 5.0, 7.0, 11.0]}}
    near = one | {"q": {"dtype": ["text", 3.0 + 1.5 * RELATIVE * 11, 5.0, 7.0, 11.0]}}
    assert agree(one, dict(one)) and not agree(one, near) and agree(one, near, slack=3)
    assert not agree(one, {"p": one["p"]}) and not agree({"p": one["p"]}, one)
    assert not agree(one, {"p": one["p"], "r": one["q"]})
    assert not agree(one, {"p": one["p"], "q": {"numbers": one["q"]["dtype"]}})
    assert not agree(one, {"p": one["p"] | one["q"], "q": one["q"]})


# Diagnoses


def told(name, credit=0.0):
    return {"symptom": f"{name} is seen.", "cause": f"{name} is why.", "place": f"{name} is there.", "credit": credit}


REFERENCE = {"p": {"answer": "one tensor", "a": tensor(2, 3)}, "q": {"a": tensor(5, 7)}, "r": {"a": tensor(11)}}


def record(**other):
    """Return the record of an exercise with three probes, whose known mistakes make numbers 13 or 17 of another one."""

    def differs(**wrong):
        return {
            probe: {"numbers": signature(REFERENCE[probe], REFERENCE[probe] | {"a": a})} for probe, a in wrong.items()
        }

    parts = {
        "lesson": LESSON,
        "exercise": "pick",
        "points": 3,
        "uses": [],
        "hints": [],
        "probes": [["p", "It is p"], ["q", "It is q"], ["r", "It is r"]],
        "draws": {},
        "reference": {probe: {k: plain(v) for k, v in seen.items()} for probe, seen in REFERENCE.items()},
        "given": {probe: {} for probe in REFERENCE},
        "accepted": [differs(r=tensor(19))],
        "mistakes": {"thirteen": told("Thirteen", 0.5), "seventeen": told("Seventeen", 0.3)},
        "behaviours": [
            {"mistakes": ["thirteen"], "differs": differs(p=tensor(13, 3))},
            {"mistakes": ["seventeen"], "differs": differs(q=tensor(5, 17))},
            {"mistakes": ["thirteen", "seventeen"], "differs": differs(p=tensor(13, 3), q=tensor(13, 17))},
            {"mistakes": [], "differs": differs(p=tensor(17, 17), q=tensor(5, 17))},
        ],
    }
    return Record(**parts | other)


def observed(**wrong):
    """Return what an answer shows: that of the reference, but {probe: the numbers} that differ."""
    found = {
        probe: Observations(seen | ({"a": wrong[probe]} if probe in wrong else {})) for probe, seen in REFERENCE.items()
    }
    return {probe: seen for probe, seen in found.items() if seen.values["a"] is not None}


ROWS = [("It is p", "right"), ("It is q", "right"), ("It is r", "right")]


def test_what_shows_what_the_reference_shows_or_an_accepted_alternative_is_right():
    right = Diagnosis(True, credit=1.0, rows=ROWS)
    assert diagnose(record(), observed()) == right == diagnose(record(), observed(r=tensor(19)))


def test_a_known_mistake_is_named_and_keeps_its_share_of_the_points():
    found = diagnose(record(), observed(p=tensor(13, 3)))
    says = ["Thirteen is seen.", "Thirteen is why.", "Thirteen is there."]
    assert found == Diagnosis(False, ("thirteen",), 0.5, says, [("It is p", "differs"), *ROWS[1:]])


@pytest.mark.parametrize("q", [tensor(5, 17), tensor(13, 17)], ids=["each shows", "recorded"])
def test_two_known_mistakes_at_once_are_numbered_and_each_costs_its_share(q):
    found = diagnose(record(), observed(p=tensor(13, 3), q=q))
    assert found.mistakes == ("thirteen", "seventeen") and found.credit == pytest.approx(0.5 * 0.3)
    assert found.says == [
        "Two mistakes at once.\n1. Thirteen is seen.\n2. Seventeen is seen.",
        "1. Thirteen is why.\n2. Seventeen is why.",
        "1. Thirteen is there.\n2. Seventeen is there.",
    ]
    assert found.rows == [("It is p", "differs"), ("It is q", "differs"), ROWS[2]] and not found.passed


def test_an_unknown_behaviour_is_described_and_named_by_no_mistake():
    found = diagnose(record(), observed(q=tensor(5, 23)))
    says = ["Expected: It is q. a[1] is 23, expected 7 (1 of 2 numbers differ)."]
    assert found == Diagnosis(False, says=says, rows=[ROWS[0], ("It is q", "differs"), ROWS[2]])


def test_of_what_is_known_to_have_several_causes_nothing_is_said_but_what_is_seen():
    found = diagnose(record(), observed(p=tensor(17, 17), q=tensor(5, 17)))
    assert found.mistakes == () and found.says[0].startswith("Expected: It is p.")


def test_a_known_mistake_is_named_beside_something_else_that_differs_and_that_is_described():
    known = record(
        reference=record().reference | {"q": {"a": plain(tensor(5, 7)), "answer for float64": "float64"}},
    )
    seen = observed(p=tensor(13, 3))
    seen["q"].values["answer for float64"] = "int64"
    found = diagnose(known, seen)
    assert found.mistakes == ("thirteen",) and found.credit == 0, "nobody knows what the rest is worth"
    assert found.says == [
        "Thirteen is seen. Something else differs as well. Expected: It is q. answer for float64: int64; expected: "
        "float64.",
        "Thirteen is why.",
        "Thirteen is there.",
    ]
    seen["q"].values["answer for float64"] = "float32"
    found = diagnose(known, seen)
    assert found.mistakes == ("thirteen", "fixed_dtype"), "a habit is known in every lesson, declared there or not"
    assert found.says[0].endswith("\n2. float32 comes out where float64 is expected.") and found.credit == 0.5 * 0.5


@pytest.mark.parametrize("conclusive", [True, False])
def test_what_was_stopped_is_told_why_and_which_probes_were_not_run(conclusive):
    seen = observed(p=tensor(13, 3), q=None, r=None)
    found = diagnose(record(), seen, Stopped("It took too long.", conclusive))
    rows = [("It is p", "differs"), ("It is q", "not run"), ("It is r", "not run")]
    assert found == Diagnosis(False, says=["It took too long."], rows=rows, conclusive=conclusive)
    assert Stopped("why").conclusive and not Stopped("")


# Symptoms


def seen_as(given="", fault=None, **wrong):
    """Return the symptoms of an answer that differs in these observations of the probe p."""
    name, value = next(iter(wrong.items()))
    known = record(given={probe: {name: given} for probe in REFERENCE})
    seen = observed() | {"p": Observations(REFERENCE["p"] | {name: value}, fault=fault)}
    return symptoms(known, seen, known.expected())


def test_a_symptom_names_the_input_if_there_is_one():
    numbers = "a[1] is 29, expected 3 (1 of 2 numbers differ)."
    assert seen_as(a=tensor(2, 29)) == [f"Expected: It is p. {numbers}"]
    assert seen_as("nothing", a=tensor(2, 29)) == [f"Expected: It is p. {numbers}"]
    assert seen_as("x [2]", a=tensor(2, 29)) == [f"Expected: It is p. For x [2]: {numbers}"]


def test_a_symptom_leaves_out_the_label_of_a_call_that_its_input_names():
    expected = {"p": {"long: a": tensor(2)}}
    known = record(probes=[["p", "It is p"]], given={"p": {"long: a": "a long x"}})
    seen = {"p": Observations({"long: a": tensor(3)})}
    assert symptoms(known, seen, expected) == ["Expected: It is p. For a long x: a[0] is 3, expected 2 (it differs)."]
    known.given = {"p": {"long: a": "a short x"}}
    assert "For a short x: long: a[0] is 3" in symptoms(known, seen, expected)[0]
    twice = "long: wide: a"
    known.given, seen = {"p": {twice: "a long: wide x"}}, {"p": Observations({twice: tensor(3)})}
    assert "For a long: wide x: a[0] is 3" in symptoms(known, seen, {"p": {twice: tensor(2)}})[0]


def test_of_each_probe_the_first_difference_is_told_and_of_many_probes_three():
    expected = {probe: {"a": tensor(2), "b": tensor(3)} for probe in "pqrst"}
    known = record(probes=[[probe, f"It is {probe}"] for probe in "pqrst"], given=dict.fromkeys("pqrst", {}))
    seen = {probe: Observations({"a": tensor(2), "b": tensor(7)}) for probe in "pqrst"}
    line = "b[0] is 7, expected 3 (it differs)."
    told = [f"Expected: It is {probe}. {line}" for probe in "rstpq"]  # p and q are failed by known mistakes, too
    assert symptoms(known, seen, expected) == [*told[:3], "2 more of these probes differ."]
    assert symptoms(known, seen | {"q": Observations(expected["q"])}, expected)[3:] == [
        "1 more of these probes differ."
    ]
    assert symptoms(known, {probe: seen[probe] for probe in "prs"}, expected) == [*told[:2], told[3]]
    both = {"p": Observations({"a": tensor(5), "b": tensor(7)})}
    assert symptoms(known, both, expected) == ["Expected: It is p. a[0] is 5, expected 2 (it differs)."]


def test_an_exception_is_told_first_and_once():
    fault = Fault("ValueError", "your code is no X.", [("f", 2, "g()"), ("g", 3, "h()"), ("h", 5, "x")])
    raised = {"answer": "raised ValueError", "a": None}
    known, line = record(), "raised ValueError: your code is no X. In h, line 5: `x`."
    known.given |= {"q": {"a": "x [2]"}, "r": {"a": "x [3]"}}
    seen = observed(p=tensor(29, 3)) | {probe: Observations(dict(raised), fault=fault) for probe in "qr"}
    first = f"Your code {line} The input was x [2]."
    assert symptoms(known, seen, known.expected()) == [
        first,
        "Expected: It is p. a[0] is 29, expected 2 (1 of 2 numbers differ).",
    ]


def test_an_exception_under_some_probes_only_is_told_last():
    fault = Fault("IndexError", "no", [])
    seen = observed(p=tensor(29, 3)) | {"q": Observations({"answer": "raised IndexError", "a": None}, fault=fault)}
    told = symptoms(record(), seen, record().expected())
    assert told[0].startswith("Expected: It is p. a[0] is 29") and told[1].startswith("Expected: It is q. your code")


def different(probes):
    """Return (record, expected, seen) of probes given as {probe: {observation: (expected, seen)}}."""
    known = record(
        probes=[[probe, f"It is {probe}"] for probe in probes], given={probe: {} for probe in probes}, behaviours=[]
    )
    expected, seen = (
        {probe: {name: pair[place] for name, pair in shown.items()} for probe, shown in probes.items()}
        for place in (0, 1)
    )
    return known, {probe: Observations(shown) for probe, shown in seen.items()}, expected


def test_after_a_missing_parameter_nothing_is_told_that_follows_from_it():
    numbers = (tensor(2, 3), tensor(5, 7))
    told = symptoms(
        *different(
            {
                "p": {"a": numbers},
                "q": {"missing parameters": ("none", "up.weight"), "a": numbers},
                "r": {"answer for float64": ("float64", "raised RuntimeError"), "gradient of x": numbers},
                "s": {"arguments changed in place": ("none", "x")},
            }
        )
    )
    assert told == [
        "Expected: It is q. missing parameters: up.weight; expected: none.",
        "Expected: It is s. arguments changed in place: x; expected: none.",
    ]


def test_after_an_unusable_output_nothing_is_told_that_follows_from_it():
    none = {"answer": ("a tensor", "None"), "a": (tensor(2), None)}
    told = symptoms(
        *different({"p": none, "q": none, "r": {"dtype for float64": ("float64", "None")}, "s": {"b": ("x", "y")}})
    )
    assert told == ["Expected: It is p. answer: None; expected: a tensor."]
    shapes = [{"shape of a": (f"[2, {size}]", f"[{size}, 2]")} for size in (3, 5, 7)]
    told = symptoms(*different(dict(zip("pqr", shapes, strict=True))))
    assert told == [
        "Expected: It is p. shape of a: [3, 2]; expected: [2, 3]: the sizes of the last two axes are exchanged."
    ]


def test_a_long_message_of_an_exception_is_cut():
    for length, end in ((300, ""), (301, " ")):
        fault = Fault("ValueError", "x" * length)
        assert describe("a", "one tensor", "raised ValueError", fault) == (
            f"your code raised ValueError: {'x' * 300}{end}."
        )


def test_what_is_seen_is_told_in_one_sentence():
    fault = Fault("ValueError", "no")
    assert describe("a", tensor(2), None) == "a is missing."
    assert describe("a", tensor(2), None, fault) == "your code raised ValueError: no."
    assert describe("a", tensor(2), "a pair", fault) == "a: a pair."
    assert describe("a", "one tensor", tensor(2)) == "a should be: one tensor."
    assert describe("a", "one tensor", "raised by hand") == "a: raised by hand; expected: one tensor."
    assert describe("a", "one tensor", "a pair", fault) == "a: a pair; expected: one tensor."


def test_tensors_are_told_by_their_shape_or_by_the_number_that_differs_most():
    expected = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)
    other = expected.clone().float()
    assert describe("a", expected, other.T) == (
        "a has shape [3, 2], expected [2, 3]: the last two axes are exchanged (transposed), and the numbers are right."
    )
    other[0, 2], other[1, 1] = 2 / 3, NAN
    assert describe("a", expected, other) == "a[1, 1] is nan, expected 4 (2 of 6 numbers differ)."
    assert describe("a", torch.tensor(2.0).double(), torch.tensor(3)) == "a is 3, expected 2."
    assert describe("a", tensor(2), tensor(3)) == "a[0] is 3, expected 2 (it differs)."
    assert describe("a", tensor(NAN, 2), tensor(NAN, 3)) == "a[1] is 3, expected 2 (1 of 2 numbers differ)."


def test_what_can_hardly_be_seen_is_not_what_a_symptom_points_at():
    expected = tensor(1000, 2, 0)
    visible = tensor(1000.5, 2 * (1 + 1e-2), 0.5e-4)
    assert describe("a", expected, visible) == "a[1] is 2.02, expected 2 (1 of 3 numbers differ)."
    assert describe("a", expected, tensor(1000, 2, 2e-4)) == "a[2] is 0.0002, expected 0 (1 of 3 numbers differ)."
    assert describe("a", expected, tensor(1000, 2.0004, 0)) == "a[1] is 2.0004, expected 2 (1 of 3 numbers differ)."


# All probes of an exercise


@pytest.fixture
def probe(monkeypatch):
    """Declare probes of the exercise `pick` for one test."""
    monkeypatch.setitem(probes._PROBES, "pick", [])
    return lambda function: probes.probe("pick", f"it is {function.__name__}")(function)


class Answers(Here):
    """Answers every call with its argument, and remembers what was asked."""

    def __init__(self, answer=lambda x: x):
        super().__init__({"pick": answer}, {"helper": answer})
        self.asked, self.seconds = [], []

    def limit(self, seconds):
        self.seconds.append(seconds)
        return nullcontext()

    def call(self, request):
        self.asked.append(request)
        return super().call(request)


@pytest.fixture
def three(probe):
    """Three probes, each of which asks for one number of its own."""

    def first(component, numbers, seen):
        seen.see(component(x=numbers.tensor(2)), "output")

    def second(component, numbers, seen):
        seen.see(component(x=numbers.tensor(3)), "output")

    def third(component, numbers, seen):
        seen.see(component(x=numbers.tensor(5)), "output")

    for one in (first, second, third):
        probe(one)
    return record(probes=[[name, f"it is {name}"] for name in ("first", "second", "third")])


def sizes(answers):
    return [len(request.arguments["x"]) for request in answers.asked]


def test_every_probe_is_asked_with_its_draw_of_the_seed_and_with_the_helpers_that_are_replaced(three):
    answers = [Answers() for _ in range(4)]
    found, stopped = examine.observe(three, answers[0], 7.0, "a seed", ["helper"])
    assert list(found) == ["first", "second", "third"] and not stopped and stopped == Stopped("")
    assert sizes(answers[0]) == [2, 3, 5] and answers[0].seconds == [7.0]
    assert all(list(request.parts) == ["helper"] for request in answers[0].asked)
    three.draws = {"second": 1}
    examine.observe(three, answers[1], 7.0, "a seed")
    examine.observe(three, answers[2], 7.0, "a seed")
    examine.observe(three, answers[3], 7.0, "another seed")
    x = [[request.arguments["x"] for request in one.asked] for one in answers]
    assert [torch.equal(a, b) for a, b in zip(x[0], x[1], strict=True)] == [True, False, True]
    assert [torch.equal(a, b) for a, b in zip(x[1], x[2], strict=True)] == [True] * 3
    assert not any(torch.equal(a, b) for a, b in zip(x[2], x[3], strict=True))
    assert not any(request.parts for request in answers[1].asked)


@pytest.mark.parametrize("burned", [True, False])
def test_an_answer_that_takes_too_long_is_told_under_which_probe(three, burned):
    def slow(x):
        if len(x) == 3:
            raise TimeUp(burned)
        return x

    found, stopped = examine.observe(three, Answers(slow), 7.5, "a seed")
    assert list(found) == ["first"] and stopped.conclusive == burned
    assert stopped.why == (
        "Your code computed for 7.5 seconds, did not return, and was stopped. Look for a loop that never ends. "
        "The probe was: it is second."
        if burned
        else "The check was stopped after 45 seconds by the clock, before your code had computed for 7.5: the computer "
        "was busy with something else, or your code waits for something (input, a sleep, a lock). "
        "The probe was: it is second."
    )


def test_an_unsolved_answer_is_asked_once(three):
    def unsolved(x):
        raise NotImplementedError("this exercise is not solved yet")

    answers = Answers(unsolved)
    found, stopped = examine.observe(three, answers, 7.0, "a seed")
    assert sizes(answers) == [2] and examine.unsolved(found)
    assert stopped == Stopped("pick is not solved yet.")


def test_a_probe_that_fails_on_an_answer_says_what_kind_of_error_it_was():
    found = examine.strange(record(), KeyError("scores"))
    says = ["Your code returned something that cannot be compared with numbers (KeyError)."]
    assert found == Diagnosis(False, says=says, rows=[(sentence, "not run") for sentence, _ in ROWS])


# Wrong helpers

PASSED, NAMED, UNNAMED = Diagnosis(True, credit=1.0), Diagnosis(False, ("thirteen",)), Diagnosis(False, says=["?"])
STOPPED = Diagnosis(False, says=["the computer was busy"], conclusive=False)
SEEN = {"p": Observations({"a": tensor(2)})}
NOT_SOLVED = {"p": Observations({"a": None}, fault=Fault("NotImplementedError", "", unsolved=True))}


@pytest.mark.parametrize(
    ("uses", "own", "alone", "seen", "taken", "calls_helpers"),
    [
        (["f", "g"], PASSED, None, SEEN, "own", True),
        ([], NAMED, None, SEEN, "own", True),
        (["f", "g"], NAMED, None, SEEN, "own", False),
        (["f", "g"], STOPPED, PASSED, SEEN, "alone", False),
        (["f", "g"], NAMED, PASSED, SEEN, "alone", True),
        (["f", "g"], UNNAMED, NAMED, SEEN, "alone", True),
        (["f", "g"], NAMED, NAMED, SEEN, "alone", True),
        (["f", "g"], UNNAMED, UNNAMED, SEEN, "alone", True),
        (["f", "g"], NAMED, UNNAMED, SEEN, "own", True),
        (["f", "g"], UNNAMED, NAMED, NOT_SOLVED, "own", True),
    ],
)
def test_an_answer_is_judged_with_right_helpers_where_that_may_say_more(uses, own, alone, seen, taken, calls_helpers):
    results, asked, kept = {(): (own, SEEN), ("f", "g"): (alone, seen)}, [], []
    results |= {("f",): (NAMED, SEEN), ("g",): (NAMED, SEEN)}

    def probe(parts):
        asked.append(parts)
        return results[parts]

    watched = SimpleNamespace(keep_only=kept.append, calls_helpers=calls_helpers)
    diagnosis, observed, parts, note = examine.settle(record(uses=uses), probe, watched)
    assert (diagnosis, observed, parts) == ((own, SEEN, ()) if taken == "own" else (alone, seen, ("f", "g")))
    assert diagnosis is (own if taken == "own" else alone)
    assert asked[:2] == ([()] if alone is None else [(), ("f", "g")])
    if alone is PASSED:
        assert kept == [uses] and asked[2:] == [("g",), ("f",)]
        assert note == (
            "Judged with right versions of f and g, which it calls; yours are not right yet, but cost no points here."
        )
    else:
        assert (kept, note) == ([], "")


UNDEFINED = {"p": Observations({"a": None}, fault=Fault("NameError", "name 'g' is not defined"))}
ENDS = EndedError("it ends the process")


@pytest.mark.parametrize(
    ("own", "with_own_f", "with_own_g", "note"),
    [
        (
            SEEN,
            (NAMED, SEEN),
            (PASSED, SEEN),
            "Judged with a right version of f, which it calls; yours is not right yet, but costs no points here.",
        ),
        (
            SEEN,
            (PASSED, SEEN),
            (UNNAMED, UNDEFINED),
            "Judged with a right version of g, which it calls and which nothing has defined here.",
        ),
        (
            SEEN,
            (NAMED, SEEN),
            (UNNAMED, UNDEFINED),
            "Judged with a right version of f, which it calls; yours is not right yet, but costs no points here. "
            "Judged with a right version of g, which it calls and which nothing has defined here.",
        ),
        (
            SEEN,
            (PASSED, SEEN),
            ENDS,
            "Judged with a right version of g, which it calls; yours is not right yet, but costs no points here.",
        ),
        (
            SEEN,
            (PASSED, SEEN),
            (PASSED, SEEN),
            "Judged with right versions of f and g, which it calls; with yours it did not pass, which costs no "
            "points here.",
        ),
        (
            SEEN,
            (Diagnosis(False, says=["?"], conclusive=False), {}),
            (NAMED, SEEN),
            "Judged with a right version of g, which it calls; yours is not right yet, but costs no points here.",
        ),
        (
            {},
            None,
            None,
            "Judged with right versions of f and g, which it calls; with yours it did not pass, which costs no "
            "points here.",
        ),
    ],
    ids=[
        "one",
        "undefined",
        "one of each",
        "ends the process",
        "only together",
        "nothing is known",
        "nothing was seen",
    ],
)
def test_the_note_names_only_helpers_that_are_not_right(own, with_own_f, with_own_g, note):
    results = {(): (NAMED, own), ("f", "g"): (PASSED, SEEN), ("g",): with_own_f, ("f",): with_own_g}

    def probe(parts):
        if isinstance(results[parts], Exception):
            raise results[parts]
        return results[parts]

    watched = SimpleNamespace(keep_only=lambda parts: None, calls_helpers=True)
    assert examine.settle(record(uses=["f", "g"]), probe, watched).note == note


def test_a_single_helper_needs_no_further_look():
    results = {(): (NAMED, SEEN), ("f",): (PASSED, SEEN)}
    watched = SimpleNamespace(keep_only=lambda parts: None, calls_helpers=True)
    assert examine.settle(record(uses=["f"]), results.__getitem__, watched).note.startswith(
        "Judged with a right version of f"
    )


def test_what_probes_return_is_compared_by_its_values():
    assert values(SEEN) == {"p": SEEN["p"].values}
