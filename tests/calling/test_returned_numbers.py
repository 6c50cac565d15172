"""Python numbers that come back from a component."""

import pytest
import torch

from autograder.calling.local import Here, Request


@pytest.mark.parametrize("answer", [2.5, 3, [1.5, torch.ones(2)]])
def test_a_number_counts_as_a_tensor_only_where_that_is_asked_for(answer):
    submission = Here({"f": lambda: answer})
    plain, number = (submission.call(Request("f", {}, number=asked)).output for asked in (False, True))
    firsts = [one[0] if isinstance(one, tuple) else one for one in (plain, number)]
    assert isinstance(firsts[0], str)
    assert firsts[1].item() == (answer[0] if isinstance(answer, list) else answer)
    assert firsts[1].dim() == 0
