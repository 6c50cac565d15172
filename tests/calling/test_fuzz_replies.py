"""Whatever comes back from the process of an answer, there is a verdict and no exception."""

import copy
import random

import pytest
import torch
from lessons import REPOSITORY
from loopback import remote

from autograder.diagnosing import records
from autograder.grading import judge

ODD = [None, True, -1, 2**70, 1.5, "", "x", [], {}, [[]], {"a": {}}, ["x", 1], "\x00", float("nan")]
SEEDS = 3


def strange(numbers):
    """Return an output that hardly any function returns."""
    shape = [numbers.choice([0, 1, 2, 3, 5, 7]) for _ in range(numbers.randrange(5))]
    dtype = numbers.choice(
        [torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.bool, torch.uint8, torch.int64]
    )
    tensor = torch.ones(shape).to(dtype)
    return numbers.choice(
        [
            lambda: tensor,
            lambda: torch.empty(shape, device="meta"),
            lambda: (tensor, tensor),
            lambda: (tensor,) * 7,
            lambda: torch.full([2, 3, 5], float("nan")),
            lambda: None,
            lambda: "a tensor",
            lambda: ((tensor, None), ["x"]),
            lambda: torch.eye(3).to_sparse(),
            lambda: {"a": tensor},
            lambda: 2**70,
            lambda: torch.nn.Linear(2, 3),
            lambda: (tensor, torch.empty(shape, device="meta")),
            lambda: torch.full([2, 3, 5], float("-inf")),
        ]
    )()


def answering(numbers, is_module):
    """Return a component that returns something strange at each call."""

    class Module(torch.nn.Module):
        def __init__(self, *given, **named):
            super().__init__()

        def forward(self, *given, **named):
            return strange(numbers)

    return Module if is_module else lambda *given: strange(numbers)


@pytest.mark.parametrize("exercise", sorted(records.exercises()))
def test_whatever_an_answer_returns_there_is_a_verdict(exercise):
    record, reference = records.read(exercise), judge.Reference(REPOSITORY / "solutions")
    is_module = isinstance(reference.component(record), type)
    helpers = dict.fromkeys(record.uses, lambda *given: None)
    for seed in range(SEEDS):
        wrong = answering(random.Random(f"{exercise} {seed}"), is_module)
        found = judge.judge(record, remote({exercise: wrong, **helpers}), reference, f"fuzz {seed}", 60)
        assert found.earned == 0 and not found.passed and found.says, (exercise, seed)


REPLIES = ["output", "fault", "changed", "gradients", "used", "shapes", "trained", "shared", "reports", "held"]


@pytest.mark.parametrize(
    "exercise",
    [
        "attention_scores",
        "streaming_attention",
        "GroupedQueryAttention",
        "mask_tokens",
        "generate_with_cache",
        "show_self_attention",
        "ResidualConnection",
    ],
)
def test_whatever_is_forged_in_a_reply_there_is_a_verdict(exercise):
    record, reference = records.read(exercise), judge.Reference(REPOSITORY / "solutions")
    right = reference.component(record)
    for seed in range(6):
        numbers = random.Random(f"forged {exercise} {seed}")

        def forged(content, buffers, numbers=numbers):
            if "reply" in content and numbers.random() < 0.3:
                name = numbers.choice([*REPLIES, "reply"])
                value = copy.deepcopy(
                    numbers.choice(
                        [
                            *ODD,
                            {"tensor": 0, "dtype": "float32", "shape": [2**20] * 3},
                            {"meta": True, "dtype": "bool", "shape": [2**26] * 16},
                        ]
                    )
                )
                content = {"reply": value} if name == "reply" else {"reply": content["reply"] | {name: value}}
            return content, buffers[: numbers.choice([99, 99, 99, 1, 0])]

        found = judge.judge(record, remote({exercise: right}, forged=forged), reference, f"fuzz {seed}", 60)
        assert 0 <= found.earned <= record.points and (found.passed or found.says), (exercise, seed)
