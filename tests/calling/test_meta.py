"""Calls on the meta device give what torch gives there: the same shape, or the same exception, without its compiler."""

import pytest
import torch
import torch.nn.functional as F

from autograder.calling import meta
from autograder.calling.local import Here, Request

X, SQUARE = torch.ones(2, 3, 5, device="meta"), torch.ones(5, 5, device="meta")
MASK, IDS = X.bool(), torch.ones(2, 3, dtype=torch.int64, device="meta")
ELSEWHERE = torch.ones(2, 3, 5)


class Own(torch.Tensor):
    pass


ON_META = {
    "a quotient": lambda: X / 7,
    "a view of a quotient": lambda: (X.mT / 7).view(2, 5, 3),
    "a view that cannot be": lambda: (X.mT / 7).view(30),
    "whole numbers": lambda: IDS / 2,
    "a product": lambda: F.linear(X, SQUARE, SQUARE[0]),
    "sizes that do not fit": lambda: F.linear(X.mT, SQUARE, SQUARE[0]),
    "dtypes that do not fit": lambda: F.linear(X.double(), SQUARE, SQUARE[0]),
    "a norm": lambda: F.layer_norm(X, (5,), SQUARE[0]),
    "a softmax": lambda: X.masked_fill(MASK, float("-inf")).softmax(-1),
    "several at once": lambda: X.max(dim=1),
    "a list": lambda: torch.stack([X / 2, X])[0],
    "in place": lambda: X.clone().div_(2),
    "in place in a view": lambda: X.clone()[0].masked_fill_(MASK[0], 2),
    "into another tensor": lambda: torch.div(X, 2, out=torch.empty_like(X)),
    "like another one": lambda: torch.full_like(IDS[:, :1], 3),
    "new": lambda: X.new_zeros(7, 2),
    "new elsewhere": lambda: torch.zeros_like(X, device="cpu"),
    "counted": lambda: torch.arange(1, 7, 2, device=X.device) / 2,
    "with a gradient": lambda: (X.clone().requires_grad_() / 2).sum(),
    "a table": lambda: F.embedding(IDS, SQUARE),
    "a number on the CPU": lambda: X * torch.tensor(2.0),
    "a table that lies elsewhere": lambda: F.embedding(IDS, torch.ones(5, 5)),
    "one of them elsewhere": lambda: X + ELSEWHERE,
    "another one elsewhere": lambda: ELSEWHERE / X,
    "a mask elsewhere": lambda: X.masked_fill(ELSEWHERE.bool(), 0.0),
    "nothing there": lambda: ELSEWHERE / 2,
    "a number that is not there": lambda: (X / 2).sum().item(),
    "places that are not known": lambda: (X / 2).nonzero(),
    "numbers by chance": lambda: torch.rand_like(X),
    "dropout": lambda: F.dropout(X, 0.5),
    "too large for zeros": lambda: torch.ones(10**9, 5, device="meta") / 2,
    "made too large": lambda: X.new_zeros(10**9, 10**4),
    "counted too far": lambda: torch.arange(10**12, device="meta"),
    "a tensor of another class": lambda: (X.as_subclass(Own) / 2).as_subclass(torch.Tensor),
}


def seen(operation):
    try:
        found = operation()
    except Exception as error:
        return type(error), str(error)
    one = found if isinstance(found, torch.Tensor) else found[0]
    return one.shape, one.stride(), one.dtype, one.device, one.requires_grad, type(found).__name__


@pytest.mark.parametrize("operation", ON_META.values(), ids=ON_META)
def test_what_is_done_on_meta_gives_what_torch_gives_there(operation):
    expected = seen(operation)
    with meta.OnMeta():
        assert seen(operation) == expected


def test_torch_is_asked_for_what_it_would_answer_in_python_only_where_zeros_do_not_tell(monkeypatch):
    asked = []
    monkeypatch.setattr(meta, "_zeros", lambda value: asked.append(value) or (_ for _ in ()).throw(ValueError))
    reply = Here({"f": lambda x: x / 2}).call(Request("f", {"x": ELSEWHERE}, device="meta"))
    assert asked and reply.output.is_meta, "and what fails on zeros is done as it stands"
