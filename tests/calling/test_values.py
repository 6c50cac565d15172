"""Exercises about texts and ids: what they are given and what they return is plain, and travels as it is."""

import json

import numpy
import pytest
import torch
from loopback import remote

from autograder.calling import values, wire
from autograder.calling.local import Here, Reply, Request
from autograder.diagnosing import diagnosis, small
from autograder.diagnosing.small import Small
from autograder.probes import Observations
from autograder.probes.see import see_value


def named(value):
    """Name a test after a kind of value: an object's own words hold its address, and workers have to agree."""
    return value if isinstance(value, str) and 0 < len(value) < 80 and value.isascii() else type(value).__name__


PLAIN = [
    "",
    "Zoë \U0001f600 \x00\n",
    "half a pair: \udc80",
    b"",
    b"\xff\x00a",
    0,
    -(2**63),
    True,
    0.1,
    float("inf"),
    [],
    [104, 256],
    [(b"a", b"b"), (b"ab", b"\xc3")],
    {b"a": 0, "b": [1.5, None], (b"a", b"b"): {"x": ()}},
]


def call(component, **arguments):
    """Return what a component gives here, and what it gives in another process, which has to be the same."""
    request = Request("f", arguments, plain=True)
    here = Here({"f": component}).call(request)
    submission = remote({"f": component})
    with submission.limit(60):
        there = submission.call(request)
    for name in ("output", "fault", "changed", "given"):
        assert getattr(here, name) == getattr(there, name)
    assert values.alike(here.value, there.value)
    return here


@pytest.mark.parametrize("value", PLAIN, ids=named)
def test_a_plain_value_comes_back_as_it_was_given(value):
    if isinstance(value, str) and "half" in value:
        reply = call(lambda: value)  # what no text is may come back, and is never sent
    else:
        reply = call(lambda x: x, x=value)
    assert values.alike(reply.value, value)
    assert reply.output == values.kind(value)


@pytest.mark.parametrize("value", PLAIN[:-1] + [{b"a": 0, "b": [1.5, None]}], ids=named)
def test_a_small_input_keeps_a_plain_value(value):
    one = Small(Request("f", {"x": value}, plain=True), "output", ("p",), "numbers", {"result": repr(value)})
    ((about),) = json.loads(small.text([one]))
    assert values.alike(small._unpacked(about).request.arguments["x"], value)


def test_numbers_of_other_libraries_are_numbers():
    reply = call(lambda: [numpy.int64(3), torch.tensor(5), numpy.float32(0.5), numpy.str_("a")])
    assert values.alike(reply.value, [3, 5, 0.5, "a"])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "a object"),
        ([1, object()], "a list that holds a object"),
        ([{1, 2}], "a list that holds a set"),
        (torch.ones(3), None),
        ([torch.ones(3)], "a list that holds a Tensor"),
        (2**70, "a whole number of more than 64 bits"),
        ("x" * 2001, "a text of 2001 characters, too long to be looked at"),
        (list(range(1_900)), "a list that holds more than 1800 values"),
        ([[[[[[[[[1]]]]]]]]], "a list that holds values that are nested too deeply"),
        (iter([1]), "a list_iterator"),
        (None, "None"),
    ],
    ids=named,
)
def test_what_is_no_plain_value_is_told_in_words(value, words):
    if words is None:  # a tensor comes back as ever
        assert torch.equal(Here({"f": lambda: value}).call(Request("f", {}, plain=True)).output, value)
        return
    reply = call(lambda: value)
    assert reply.value is None and reply.output == words


def test_a_value_comes_back_only_where_it_is_asked_for():
    reply = Here({"f": lambda: [1, 2]}).call(Request("f", {}))
    assert reply.value is None and reply.output == ("a int", "a int")


def test_each_call_gets_lists_of_its_own_and_what_it_changes_is_told():
    def spoil(merges, vocabulary, ids):
        merges[0].append(b"c")
        vocabulary.pop(b"a")
        return ids

    given = dict(merges=[[b"a", b"b"]], vocabulary={b"a": 0, b"b": 1}, ids=[1, 2])
    reply = call(spoil, **given)
    assert reply.changed == ("merges", "vocabulary")
    assert given == dict(merges=[[b"a", b"b"]], vocabulary={b"a": 0, b"b": 1}, ids=[1, 2])
    assert call(lambda x: x.reverse() or x, x=[1, 1]).changed == ()
    assert call(lambda x: x.__setitem__(0, 1.0) or x, x=[1, 1]).changed == ("x",)  # equal, and no id any more


def test_what_is_given_is_told_in_one_short_line():
    reply = call(lambda *given: 0, text="a" * 300, ids=list(range(500)), vocabulary={bytes([n]): n for n in range(256)})
    assert len(reply.given) < 500
    assert "(300 characters)" in reply.given and "(500 entries)" in reply.given and "(256 entries)" in reply.given


@pytest.mark.parametrize(
    "value",
    [
        [1],
        1.5,
        2**70,
        {},
        {"list": 3},
        {"list": [1], "tuple": [1]},
        {"set": [1]},
        {"bytes": "xyz"},
        {"bytes": 5},
        {"float": "0x1p99999"},
        {"surrogates": "ff"},
        {"dict": [[1]]},
        {"dict": [[{"list": []}, 1]]},
        {"dict": [[{"tuple": [{"dict": []}]}, 1]]},
        {"list": [0] * 3000},
        {"list": [{"list": [{"list": [{"list": [{"list": [{"list": [{"list": [{"list": []}]}]}]}]}]}]}]},
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_value_that_no_honest_process_sends_is_refused(value):
    with pytest.raises(wire.MalformedError):
        wire.unpack_reply({"output": "a list", "value": value}, [], Request("f", {}, plain=True))


def test_a_value_that_was_not_asked_for_is_not_read():
    assert wire.unpack_reply({"value": {"list": [1]}}, [], Request("f", {})).value is None


def test_the_difference_of_long_texts_is_told_where_they_part():
    ids = list(range(1000, 1200))
    said = diagnosis.describe("ids", str(ids), str([*ids[:100], 7, *ids[101:]]))
    assert "1099, 7, 1101" in said and "1099, 1100, 1101" in said and len(said) < 400
    said = diagnosis.describe("ids", str(ids), str(ids[:50]))
    assert said.count("1049") == 2 and len(said) < 400
    assert diagnosis.describe("ids", "[1, 2]", "[1]") == "ids: [1]; expected: [1, 2]."


def test_a_tuple_is_observed_as_a_list():
    seen = [Observations(), Observations()]
    for one, value in zip(seen, ([1, 2], (1, 2)), strict=True):
        see_value(one, Reply("nothing", output="a list", value=value), "ids")
    assert seen[0].values == seen[1].values == {"answer": "a list", "ids": "[1, 2]"}
