"""What an answer shows is compared by aspect: numbers, gradients, dtype, device, arguments, library calls."""

import pytest
import torch

from autograder.diagnosing.comparison import unusable

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
