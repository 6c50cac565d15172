"""The stub of a language model with a residual stream: what it computes, and what it tells of what is left behind."""

import pytest
import torch

from autograder.calling.numbers import Numbers
from autograder.calling.stubs import LinearLayer, ResidualModel, RootMeanSquareNorm


def described(layers=3, embed_dim=5, vocab_size=11):
    numbers = Numbers("a residual model")
    return ResidualModel(
        numbers.tensor(vocab_size, embed_dim),
        numbers.tensor(layers, embed_dim, embed_dim) / 2,
        numbers.tensor(embed_dim, low=0.5, high=2.0),
        numbers.tensor(vocab_size, embed_dim),
    )


TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2]])


def test_it_is_embedding_layers_norm_and_head_in_this_order():
    model = described().make()
    x = model.embedding(TOKENS)
    for layer in model.layers:
        x = layer(x)
    assert torch.equal(model.head(model.norm(x)), model(TOKENS))


def test_no_position_sees_a_later_one_and_every_position_sees_all_earlier_ones():
    model, other = described().make(), TOKENS.clone()
    other[0, 3] = 8
    moved = (model(TOKENS) - model(other)).abs().amax(dim=-1)[0] > 1e-4
    assert moved.tolist() == [False] * 3 + [True] * 4


def test_a_model_that_was_only_called_reports_nothing():
    about = described()
    model = about.make()
    with torch.no_grad():
        model(TOKENS)
    assert about.report(model) == {"hooks": "none", "answers": "as before"}


@pytest.mark.parametrize(
    ("leave", "hooks", "answers"),
    [
        (lambda m: m.layers[1].register_forward_hook(lambda *_: None), "1", "as before"),
        (lambda m: m.norm.register_forward_pre_hook(lambda *_: None), "1", "as before"),
        (lambda m: m.layers[1].register_forward_hook(lambda _, __, x: x * 2), "1", "others than before"),
        (lambda m: m.layers[1].register_forward_hook(lambda *_: 1 / 0), "1", "an exception"),
        (lambda m: m.layers[2]._forward_hooks.clear(), "none, and some of others are gone", "as before"),
        (lambda m: setattr(m.layers[0], "forward", lambda x: x), "none", "others than before"),
        (lambda m: m.embedding.weight.data.add_(1), "none", "others than before"),
    ],
)
def test_it_reports_what_is_left_behind(leave, hooks, answers):
    about = described()
    model = about.make()
    leave(model)
    assert about.report(model) == {"hooks": hooks, "answers": answers}


def test_an_unknown_token_is_refused_by_name():
    with pytest.raises(ValueError, match="token 11 is not in a vocabulary of 11"):
        described().make()(torch.tensor([[0, 11]]))


def test_norm_and_head_are_those_of_torch_with_the_given_numbers():
    x, weight = torch.tensor([[3.0, 4.0]]), torch.tensor([2.0, 1.0])
    mean_square = torch.tensor(12.5 + 1e-5)
    assert torch.allclose(RootMeanSquareNorm(weight).make()(x), x * weight / mean_square.sqrt())
    matrix, bias = torch.tensor([[1.0, 2.0], [0.0, 1.0], [5.0, 0.0]]), torch.tensor([0.5, 0.0, -1.0])
    assert torch.allclose(LinearLayer(matrix, bias).make()(x), x @ matrix.T + bias)
    assert LinearLayer(matrix).make().bias is None
