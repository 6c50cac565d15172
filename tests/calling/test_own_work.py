"""An exercise is earned by the learner's own work: every call is watched, and the box that it asks for is closed."""

import functools

import einops
import pytest
import torch
import torch.nn.functional as F
from loopback import remote

from autograder.calling import inside, wire
from autograder.calling.local import Request
from autograder.calling.watched import HABIT_KEEPS, Watched, credit_in_place, own
from autograder.checking.result import Result
from autograder.diagnosing import records
from autograder.probes.see import TORCH_ALONE
from workbench import parts

BOXES = [name for name in parts.__all__ if name in records.exercises()]


def ask(names, request, forbidden=()):
    """Return what a submission remembers of one call."""
    submission = Watched(remote(names), forbidden)
    with submission.limit(10):
        return submission, submission.call(request)


def test_a_forbidden_call_is_remembered_where_no_probe_asks_for_it():
    submission, reply = ask({"f": lambda x: F.softmax(x, -1)}, Request("f", {"x": torch.ones(3)}), {"softmax"})
    assert submission.used == {"softmax"}
    assert reply.used == ()  # the observations are those of the probes


class MaskFromABox(torch.nn.Module):
    """What a library makes for a module is its work, too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", parts.causal_mask(3, 3))

    def forward(self, x):
        return x * self.mask


@pytest.mark.parametrize(
    ("answer", "used"),
    [
        (lambda x: x.masked_fill(~parts.causal_mask(3, 3), 0), {"workbench.*"}),
        (MaskFromABox, {"workbench.*"}),
        (lambda x: einops.rearrange(x, "a b -> b a"), {"*.*"}),  # any library that is installed
        (lambda x: parts.causal_mask(3, 3).numpy() if x is None else x + 1, set()),  # what is not run is not used
        (lambda x: functools.reduce(torch.add, [F.gelu(x), torch.nn.Linear(3, 3)(x)]), set()),
        (torch.nn.Identity, set()),
    ],
)
def test_code_of_another_library_is_remembered_where_torch_alone_is_asked_for(answer, used):
    request = Request("f", {"x": torch.ones(3, 3)}, build={} if isinstance(answer, type) else None)
    submission, reply = ask({"f": answer}, request, TORCH_ALONE)
    assert submission.used == used and not reply.fault
    result = Result("GPT", 8, 8.0, passed=True)
    told = own(records.read("GPT"), result, submission)
    assert told.earned == (0 if used else 8) and ("torch alone" in " ".join(told.says)) is bool(used)


def test_an_argument_that_is_changed_is_remembered():
    submission, _ = ask({"f": lambda x: x.add_(1)}, Request("f", {"x": torch.ones(3)}))
    assert submission.changed == {"x"}


@pytest.mark.parametrize(
    ("request_", "believed"),
    [
        (Request("f", {"x": torch.ones(3)}), False),
        (Request("f", {"x": torch.ones(3)}, watch_memory=True), True),
        (Request("f", {"x": torch.ones(3)}, forbidden=("softmax",)), True),
        (Request("f", {"x": torch.ones(3)}, build={}), True),
    ],
    ids=["numbers", "memory", "calls", "parameters"],
)
def test_what_follows_from_no_number_is_hearsay(request_, believed):
    submission, _ = ask({"f": torch.nn.Identity if request_.build is not None else lambda x: x}, request_)
    assert submission.self_reported is believed


@pytest.mark.parametrize("name", BOXES)
def test_the_box_that_an_exercise_asks_for_is_closed_while_it_is_judged(name):
    box = getattr(parts, name)
    used = (lambda *given: box()) if isinstance(box, type) else lambda *given: box(*given)
    about, buffers = wire.pack(Request(name, {}))
    said, _ = inside.answer({name: used}, about, buffers, seconds=10, wall=60)
    assert "write it yourself" in said["reply"]["fault"]["message"]
    about, buffers = wire.pack(Request("other", {}))
    said, _ = inside.answer({"other": used}, about, buffers, seconds=10, wall=60)
    assert "write it yourself" not in (said["reply"]["fault"] or {"message": ""})["message"]


def test_what_an_answer_keeps_that_changes_its_arguments():
    decoding, scores = records.read("greedy_decode"), records.read("attention_scores")
    assert credit_in_place(decoding) == decoding.mistakes["source_changed_in_place"]["credit"] < 1
    # Of a habit that is declared nowhere the lesson says nothing, and `spread_in_place_of_size` is none.
    assert credit_in_place(records.read("RMSNorm"), ("eps_missing",)) == HABIT_KEEPS
    # Here the mistake shows in the gradients as well: of one that shows in nothing else the lesson says nothing.
    assert credit_in_place(scores) == HABIT_KEEPS
    assert credit_in_place(scores, ("arguments_changed_in_place",)) is None
    assert credit_in_place(records.read("causal_mask")) is None


@pytest.mark.parametrize("shape", [[2**26] * 16, [2**20] * 3, [0, 2**26, 2**26], [2**25]])
def test_sizes_that_nobody_can_count_with_are_refused(shape):
    with pytest.raises(wire.MalformedError):
        wire.unpack_reply({"output": {"meta": True, "dtype": "float32", "shape": shape}}, [], Request("f", {}))


def test_replies_of_a_check_have_a_limit_together():
    submission = remote({"f": lambda: torch.zeros(wire.MOST_NUMBERS)})
    with submission.limit(60), pytest.raises(wire.MalformedError, match="in all"):
        for _ in range(8):
            submission.call(Request("f", {}))
