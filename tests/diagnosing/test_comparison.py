"""What an answer shows is compared by aspect: numbers, gradients, dtype, device, arguments, library calls."""

import pytest
import torch

from autograder.calling.local import Fault
from autograder.diagnosing.comparison import differences, may_be, raises, unusable, values
from autograder.probes import Observations

X = torch.tensor([2.0, 3.0])
RIGHT = {"answer": "a tensor", "output": X, "gradient of x": X, "answer for float64": "float64"}


@pytest.mark.parametrize(
    ("changed", "aspects"),
    [
        ({"output": 2 * X, "gradient of x": "none arrives", "answer for float64": "float32"}, set()),
        ({"answer": "raised TypeError: x"}, {"numbers", "gradients", "dtype"}),
        ({"answer": "2 values"}, {"numbers", "gradients", "dtype"}),
        ({"answer for float64": "raised RuntimeError: x"}, {"numbers", "gradients", "dtype"}),
    ],
    ids=["other values", "an exception", "another kind of answer", "an exception for another dtype"],
)
def test_of_a_probe_in_which_something_fails_nothing_else_is_known(changed, aspects):
    found = unusable({"p": RIGHT, "q": RIGHT}, {"p": RIGHT | changed, "q": RIGHT})
    assert found == {("p", aspect) for aspect in aspects}


def test_an_exception_that_the_contract_asks_for_is_no_failure():
    refuses = {"answer": "raised ValueError"}
    assert not unusable({"p": refuses}, {"p": refuses})


def failing(message, kind="RuntimeError"):
    """Return what a probe shows of an answer that raises."""
    seen = Observations({"answer": f"raised {kind} about sizes"}, fault=Fault(kind, message))
    return {"p": seen}


EXPECTED = {"p": {"answer": "a tensor", "a": torch.ones(2)}}


def raising(observed):
    seen = values(observed)
    return raises(differences(EXPECTED, seen), unusable(EXPECTED, seen), observed)


def test_of_an_answer_that_shows_nothing_but_exceptions_their_wording_counts_up_to_numbers():
    shapes, others = failing("shapes 2x3 and 4x5"), failing("shapes 6x7 and 8x9")
    assert raising(shapes) == raising(others) != ""
    assert raising(shapes) != raising(failing("no such axis")) and raising(shapes) != raising(failing("", "KeyError"))
    known = {"mistakes": ["m"], "differs": differences(EXPECTED, values(shapes)), "raises": raising(shapes)}
    assert may_be([known], others) == [known] and may_be([known], failing("no such axis")) == []


def test_beside_numbers_the_wording_of_an_exception_does_not_count():
    expected = EXPECTED | {"q": {"a": torch.ones(2)}}
    observed = failing("shapes 2x3") | {"q": Observations({"a": torch.zeros(2)})}
    seen = values(observed)
    assert raises(differences(expected, seen), unusable(expected, seen), observed) == ""
    known = {"mistakes": ["m"], "differs": differences(expected, seen)}
    assert may_be([known], failing("no such axis")) == [known]
