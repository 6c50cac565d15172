"""A forbidden call that is written into an answer costs that answer its points, and no other one."""

import pytest
from nbformat.v4 import new_code_cell
from nbgrader_course import graded

from autograder import probes
from autograder.grading.checks import written_calls

LESSON = "layer_normalization"
OWN = "def layer_norm(x, weight, bias, eps=1e-5):\n    return (x - x.mean(-1, True)) * weight + bias\n"
CALLS = "def layer_norm(x, weight, bias, eps=1e-5):\n    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)\n"
RESIDUAL = (
    "class ResidualConnection(nn.Module):\n    def forward(self, x):\n        return F.layer_norm(x, x.shape[-1:])\n"
)


def lines(exercise, **answers):
    """Return the lines of the forbidden calls that are held against an exercise."""
    cells = [graded(new_code_cell(source), name) for name, source in answers.items()]
    return [call.line for call in written_calls(cells, exercise, probes.forbidden(LESSON, exercise))]


def test_a_call_in_the_cell_of_another_exercise_costs_nothing():
    assert lines("layer_norm", layer_norm=OWN, ResidualConnection=RESIDUAL) == []
    assert lines("LayerNorm", LayerNorm="class LayerNorm(nn.Module):\n    pass", ResidualConnection=RESIDUAL) == []


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        ({"layer_norm": CALLS}, 2),
        ({"layer_norm": f"call = F.layer_norm\n{OWN}"}, 1),  # a helper in its own cell
        ({"layer_norm": "from torch.nn.functional import layer_norm"}, 1),
        ({"layer_norm": f"{RESIDUAL}\n"}, 3),  # its own cell, whatever it defines
        ({"layer_norm": OWN, "ResidualConnection": f"{RESIDUAL}\n{CALLS}"}, 3),  # defined once more elsewhere
        ({"layer_norm": OWN, "ResidualConnection": "layer_norm = F.layer_norm"}, 1),
        ({"layer_norm": OWN, "ResidualConnection": "from torch.nn.functional import layer_norm"}, 1),
    ],
)
def test_a_call_in_a_cell_that_defines_the_exercise_is_held_against_it(answers, line):
    assert line in lines("layer_norm", **answers)
