"""What travels between the judge and a process that nobody trusts, and what is refused of what comes back."""

import json

import pytest
import torch

from autograder.calling import stubs, wire
from autograder.calling.local import Fault, Reply, Request

DTYPES = sorted(wire.DTYPES)


def there_and_back(request):
    about, buffers = wire.pack(request)
    return wire.unpack(json.loads(json.dumps(about)), [memoryview(buffer) for buffer in buffers])


def answered(reply, request):
    about, buffers = wire.pack_reply(reply)
    return wire.unpack_reply(json.loads(json.dumps(about)), [memoryview(buffer) for buffer in buffers], request)


def numbers(dtype, *shape):
    return (torch.arange(torch.Size(shape).numel()) % 2).reshape(shape).to(wire.DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 5)])
def test_a_tensor_arrives_as_it_was_sent(dtype, shape):
    tensor = numbers(dtype, *shape)
    came = there_and_back(Request("f", {"x": tensor})).arguments["x"]
    assert came.dtype == tensor.dtype and came.shape == tensor.shape and torch.equal(came, tensor)


def test_odd_numbers_arrive_as_they_were_sent():
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-45])
    came = there_and_back(Request("f", {"x": odd, "y": float("inf"), "z": 0.1})).arguments
    assert torch.equal(came["x"].view(torch.int32), odd.view(torch.int32))
    assert came["y"] == float("inf") and came["z"] == 0.1


def test_a_tensor_that_is_a_view_arrives_with_its_own_numbers():
    tensor = torch.arange(30.0).reshape(5, 6).T[1::2]
    assert torch.equal(there_and_back(Request("f", {"x": tensor})).arguments["x"], tensor)


def test_a_request_arrives_whole():
    request = Request(
        "Layer",
        {
            "x": torch.ones(2, 3),
            "mask": None,
            "sizes": (2, [3, "a"]),
            "on": True,
            "inner": stubs.Sublayer(torch.eye(3)),
        },
        build={"embed_dim": 7, "activation": stubs.Activation("gelu")},
        weights={"norm.weight": torch.zeros(3)},
        training=True,
        method="encode",
        seed=11,
        gradients=True,
        device="meta",
        forbidden=("f", "g"),
        watch_memory=True,
        parts=("a",),
        helpers=("b",),
    )
    came = there_and_back(request)
    assert came.arguments["sizes"] == (2, [3, "a"]) and came.arguments["mask"] is None
    assert torch.equal(came.arguments["inner"].matrix, torch.eye(3))
    assert came.build == request.build and torch.equal(came.weights["norm.weight"], torch.zeros(3))
    for name in (
        "component",
        "training",
        "method",
        "seed",
        "gradients",
        "device",
        "forbidden",
        "watch_memory",
        "parts",
        "helpers",
    ):
        assert getattr(came, name) == getattr(request, name)


def test_what_is_no_plain_data_is_not_sent():
    with pytest.raises(TypeError, match="describe it by a Stub"):
        wire.pack(Request("f", {"x": lambda: 0}))


def test_a_reply_arrives_whole():
    request = Request("f", {"x": torch.ones(2), "inner": stubs.Sublayer(torch.eye(2))}, forbidden=("softmax",))
    reply = Reply(
        given="",
        output=(torch.ones(2, 3), (torch.zeros(5, dtype=torch.int64), "None")),
        fault=Fault("KeyError", "'a'", [("f", 3, "x['a']")], unsolved=True),
        changed=("x",),
        gradients={"x": torch.ones(2), "weights.a": None},
        cut=(2,),
        used=("softmax",),
        shapes={"a": [2, 3]},
        trained=("a",),
        shared=(("a", "b"),),
        reports={"inner": {"calls": "1", "rows": 3, "input": torch.ones(2)}},
        held=7,
    )
    came = answered(reply, request)
    assert came.given == "x [2], inner"
    assert torch.equal(came.output[0], torch.ones(2, 3)) and came.output[1][1] == "None"
    assert came.fault == reply.fault
    for name in ("changed", "cut", "used", "shapes", "trained", "shared", "held"):
        assert getattr(came, name) == getattr(reply, name)
    assert torch.equal(came.gradients["x"], torch.ones(2)) and came.gradients["weights.a"] is None
    assert came.reports["inner"]["rows"] == 3 and torch.equal(came.reports["inner"]["input"], torch.ones(2))


def test_tensors_of_other_kinds_are_told_and_not_sent():
    request = Request("f", {})
    for tensor in (torch.eye(3).to_sparse(), torch.zeros(3, dtype=torch.uint16)):
        assert answered(Reply(given="", output=tensor), request).output.startswith("a tensor of layout")


def test_a_tensor_without_numbers_keeps_its_shape():
    came = answered(Reply(given="", output=torch.empty(2, 3, device="meta")), Request("f", {})).output
    assert came.is_meta and list(came.shape) == [2, 3]


def test_names_that_the_request_does_not_have_are_left_out():
    request = Request("f", {"x": torch.ones(2)}, forbidden=("softmax",), helpers=("f",))
    reply = Reply(
        given="", changed=("x", "y"), used=("softmax", "relu"), helpers=("f", "g"), reports={"x": {"calls": "1"}}
    )
    came = answered(reply, request)
    assert (came.changed, came.used, came.helpers, came.reports) == (("x",), ("softmax",), ("f",), {})
    assert answered(Reply(given=""), request).helpers is None, "what is not known stays unknown"


TENSOR = {"tensor": 0, "dtype": "float32", "shape": [2, 3]}


@pytest.mark.parametrize(
    "about",
    [
        7,
        [],
        {"output": TENSOR | {"shape": [2, 4]}},
        {"output": TENSOR | {"shape": [-2, -3]}},
        {"output": TENSOR | {"shape": [True, 6]}},
        {"output": TENSOR | {"shape": "23"}},
        {"output": TENSOR | {"shape": [2.0, 3]}},
        {"output": TENSOR | {"shape": [1] * 17 + [2, 3]}},
        {"output": TENSOR | {"shape": [2**62, 2**62, 0]}},
        {"output": TENSOR | {"dtype": "object"}},
        {"output": TENSOR | {"dtype": ["float32"]}},
        {"output": TENSOR | {"tensor": 1}},
        {"output": TENSOR | {"tensor": -1}},
        {"output": TENSOR | {"tensor": "0"}},
        {"output": TENSOR | {"tensor": True}},
        {"output": 7},
        {"output": 0.5},
        {"output": [[[[[[TENSOR]]]]]]},
        {"output": ["x"] * 3000},
        {"fault": "KeyError"},
        {"fault": {"type": 3}},
        {"fault": {"type": "A", "message": "b", "lines": [1]}},
        {"fault": {"type": "A", "message": "b", "lines": [["f", "3", "x"]]}},
        {"gradients": [TENSOR]},
        {"gradients": {"x": 3}},
        {"changed": "x"},
        {"changed": [1]},
        {"shapes": {"a": ["2"]}},
        {"shapes": {"a": [2**70]}},
        {"shared": [3]},
        {"held": "7"},
        {"held": 1.5},
        {"held": True},
        {"trained": {"a": 1}},
        {"reports": 3},
        {"reports": {"s": 3}},
        {"reports": {"s": {"calls": 1.5}}},
    ],
    ids=lambda about: json.dumps(about)[:60],
)
def test_a_reply_that_no_honest_process_sends_is_refused(about):
    request = Request("f", {"x": torch.ones(2), "s": stubs.Sublayer(torch.eye(2))})
    with pytest.raises(wire.MalformedError):
        wire.unpack_reply(about, [memoryview(bytes(24))], request)


def test_truth_values_other_than_0_and_1_are_refused():
    about = {"output": {"tensor": 0, "dtype": "bool", "shape": [2]}}
    with pytest.raises(wire.MalformedError, match="neither 0 nor 1"):
        wire.unpack_reply(about, [memoryview(b"\x01\x02")], Request("f", {}))


def test_too_many_numbers_are_refused():
    much = memoryview(bytes(wire.MOST_BYTES + 1))
    with pytest.raises(wire.MalformedError, match="more than 64 MB"):
        wire.unpack_reply({}, [much], Request("f", {}))


def test_long_texts_are_cut_and_half_characters_replaced():
    came = wire.unpack_reply({"output": "\ud800" + "x" * 10_000}, [], Request("f", {}))
    assert len(came.output) == wire.MOST_TEXT and came.output.startswith("?x")
