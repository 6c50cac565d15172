"""Where a contract speaks of integers, right answers take them as int32, too, and give the same numbers."""

import copy
import re
import warnings
from dataclasses import replace

import pytest
import torch
from lessons import EXERCISES, alternatives, reference
from torch.utils._pytree import tree_leaves

from autograder import probes
from autograder.calling.watched import Own, closed_boxes
from autograder.diagnosing import records
from autograder.diagnosing.observation import same

INTEGERS = re.compile(r"\bintegers?\b")


class Both(Own):
    """Components that are called once more, with int32 in place of int64, and what is otherwise then."""

    def __init__(self, components, parts):
        super().__init__(components, parts)
        self.asked, self.others = 0, []

    def call(self, request):
        integers = [
            name
            for name, value in request.arguments.items()
            if isinstance(value, torch.Tensor) and value.dtype == torch.int64
        ]
        if integers and request.device is None and not request.gradients:
            again = copy.deepcopy(request)
            short = {name: again.arguments[name].int() for name in integers}
            reply = super().call(replace(again, arguments=again.arguments | short))
            expected = super().call(copy.deepcopy(request))
            self.asked += 1
            if not expected.fault:
                pairs = zip(tree_leaves(reply.output), tree_leaves(expected.output), strict=not reply.fault)
                if reply.fault or not all(same(*map(plain, pair)) for pair in pairs):
                    self.others.append((reply.given, reply.fault))
        return super().call(request)


def plain(value):
    return value.double() if isinstance(value, torch.Tensor) else value


def promised():
    """Yield (lesson, exercise, name, component) of right answers to exercises that are given integers."""
    for lesson, exercise in EXERCISES:
        right = getattr(reference(lesson), exercise)
        contracts = [right.__doc__ or "", *(getattr(one, "__doc__", "") or "" for one in vars(right).values())]
        if any(INTEGERS.search(contract) for contract in contracts):
            for name, component in [("reference", right), *alternatives(lesson).of(exercise)]:
                yield pytest.param(lesson, exercise, component, id=f"{exercise}-{name}")


@pytest.mark.parametrize(("lesson", "exercise", "component"), list(promised()))
def test_a_right_answer_takes_int32_where_the_contract_says_integers(lesson, exercise, component):
    record = records.read(exercise)
    both = Both({exercise: component}, closed_boxes(record.uses))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probes.observe(lesson, exercise, both, records.SEED, tuple(record.uses), draws=record.draws)
    assert both.others == []


def test_token_ids_are_asked_for_in_this_way():
    asked = {parameters.values[1] for parameters in promised()}
    assert {"padding_mask", "TransformerEmbedding", "greedy_decode", "beam_search", "generate", "mask_tokens"} <= asked
