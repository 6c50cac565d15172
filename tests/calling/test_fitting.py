"""A learner's model is trained before a call, where a probe asks for that."""

import pytest
import torch
from torch import nn

from autograder.calling import wire
from autograder.calling.local import Here, Request

CYCLE = torch.tensor(
    [[(start + place) % 5 for place in range(7)] for start in range(5)]
)  # each token has one successor
WEIGHT = torch.linspace(-0.5, 0.5, 25).reshape(5, 5)
LESSON = dict(tokens=CYCLE, steps=40, learning_rate=0.1)


class Bigram(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 5)
        self.modes = []

    def forward(self, tokens):
        self.modes.append(self.training)
        return self.table(tokens)


class InATuple(Bigram):
    def forward(self, tokens):
        return (super().forward(tokens),)


class Cut(Bigram):
    def forward(self, tokens):
        return super().forward(tokens).detach()


class TooFew(Bigram):
    def forward(self, tokens):
        return super().forward(tokens)[:, -1]


class Refuses(Bigram):
    def forward(self, tokens):
        if tokens.shape[1] > 3:
            raise ValueError("too long")
        return super().forward(tokens)


class Modes(Bigram):
    def forward(self, tokens):
        logits = super().forward(tokens)
        return logits if self.training else torch.tensor([float(mode) for mode in self.modes])


def call(model, **how):
    tokens = torch.arange(5)[:, None]
    return Here({"M": model}).call(Request("M", {"tokens": tokens}, build={}, weights={"table.weight": WEIGHT}, **how))


def test_what_was_trained_knows_the_successor_of_each_token():
    before, after = call(Bigram), call(Bigram, fit=LESSON)
    successors = [(token + 1) % 5 for token in range(5)]
    assert after.output[:, 0].argmax(-1).tolist() == successors
    assert after.output[:, 0].softmax(-1)[range(5), successors].min() > 0.9
    assert torch.equal(before.output, WEIGHT[:, None])


def test_the_steps_are_those_of_torchs_adam():
    table = nn.Parameter(WEIGHT.clone())
    optimizer = torch.optim.Adam([table], lr=LESSON["learning_rate"], betas=(0.9, 0.99))
    for _ in range(LESSON["steps"]):
        optimizer.zero_grad()
        nn.functional.cross_entropy(table[CYCLE[:, :-1]].flatten(0, 1), CYCLE[:, 1:].flatten()).backward()
        optimizer.step()
    torch.testing.assert_close(call(Bigram, fit=LESSON).output[:, 0], table.detach())


def test_it_is_trained_in_training_mode_and_called_in_the_one_that_was_asked_for():
    assert call(Modes, fit=LESSON).output.tolist() == [1.0] * LESSON["steps"] + [0.0]


@pytest.mark.parametrize("model", [InATuple, Cut, TooFew])
def test_what_gives_no_logits_to_train_with_is_left_as_it_is(model):
    fitted, plain = call(model, fit=LESSON), call(model)
    assert fitted.fault is None
    torch.testing.assert_close(fitted.output, plain.output)


def test_what_raises_while_it_is_trained_has_raised():
    reply = call(Refuses, fit=LESSON)
    assert (reply.fault.type, reply.fault.message) == ("ValueError", "too long")
    assert reply.fault.lines[-1][2] == 'raise ValueError("too long")'


def test_a_training_travels_to_another_process():
    request = Request("M", {"tokens": CYCLE}, build={}, fit=LESSON)
    there = wire.unpack(*wire.pack(request))
    assert torch.equal(there.fit["tokens"], CYCLE) and there.fit["steps"] == 40 and there.fit["learning_rate"] == 0.1
