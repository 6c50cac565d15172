"""A learner's module is built, filled and looked at by the names of its parameters."""

import json

import pytest
import torch
from torch import nn

from autograder.calling import wire
from autograder.calling.local import Here, Request

WEIGHTS = {"up.weight": torch.full((3, 2), 2.0), "down.weight": torch.full((2, 3), 3.0)}


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)

    def forward(self, x):
        return self.down(self.up(x))


class NamedTwice(Plain):
    """Its second layer stands in a Sequential as well, its first one in a list that comes before it."""

    def __init__(self):
        nn.Module.__init__(self)
        self.all = nn.ModuleList([nn.Linear(2, 3, bias=False)])
        self.up, self.down = self.all[0], nn.Linear(3, 2, bias=False)
        self.tail = nn.Sequential(nn.Dropout(0.0), self.down)

    def forward(self, x):
        return self.tail(self.up(x))


class OneForBoth(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = self.down = nn.Linear(2, 2, bias=False)

    def forward(self, x):
        return self.down(self.up(x))


def call(module, weights=WEIGHTS):
    x = torch.tensor([[5.0, 7.0]])
    return Here({"Module": module}).call(Request("Module", {"x": x}, build={}, weights=weights, gradients=True))


@pytest.mark.parametrize("module", [Plain, NamedTwice])
def test_a_layer_that_is_kept_under_two_names_is_known_by_the_one_that_is_asked_for(module):
    reply = call(module)
    assert reply.fault is None and torch.equal(reply.output, torch.tensor([[216.0, 216.0]]))
    assert reply.shapes == {"up.weight": [3, 2], "down.weight": [2, 3]}
    assert set(reply.trained) == {"up.weight", "down.weight"} and reply.shared == ()
    assert set(reply.gradients) == {"x", "weights.up.weight", "weights.down.weight"}


def test_a_layer_that_is_used_for_two_that_are_asked_for_is_shared():
    one = torch.eye(2)
    reply = call(OneForBoth, {"up.weight": one, "down.weight": one})
    assert reply.shared == (("up.weight", "down.weight"),) and set(reply.shapes) == {"up.weight", "down.weight"}
    assert set(reply.gradients) == {"x", "weights.up.weight"}, "it is one parameter"


def test_what_nobody_asks_for_has_all_its_names_and_the_same_numbers_every_time():
    one, other = call(NamedTwice, {}), call(NamedTwice, {})
    assert list(one.shapes) == ["all.0.weight", "up.weight", "down.weight", "tail.1.weight"]
    assert one.shared == (("all.0.weight", "up.weight"), ("down.weight", "tail.1.weight"))
    assert torch.equal(one.output, other.output)


class Counter:
    """No nn.Module: it only remembers, and refuses what is negative."""

    def __init__(self, start):
        self.total = torch.tensor(float(start))

    def add(self, x):
        if x.min() < 0:
            raise ValueError("negative")
        self.total = self.total + x.sum()
        return self.total


def test_calls_that_come_first_are_made_of_the_same_object_and_not_looked_at():
    ones, request = torch.ones(3), Request("Counter", {"x": torch.ones(2)}, build={"start": 5}, method="add")
    request.before = (("add", {"x": ones}), ("add", {"x": -ones}), ("add", {"x": ones}))
    about, buffers = wire.pack(request)
    for asked in (request, wire.unpack(json.loads(json.dumps(about)), buffers)):
        reply = Here({"Counter": Counter}).call(asked)
        assert reply.fault is None and reply.output == 5 + 3 + 3 + 2
        assert reply.given == "start 5, x [2], after add(x [3]) and add(x [3]) and add(x [3])"
    request.before = (("subtract", {"x": ones}),)
    assert Here({"Counter": Counter}).call(request).fault.type == "AttributeError"
