"""How a language model is trained, against torch's own optimiser, schedules and clipping, and against counting."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autograder.authoring import lesson

reference = lesson.load(Path(__file__).parents[2] / "solutions" / "capstone.py")


class Dropping(nn.Module):
    """A language model with dropout of which nothing is asked but logits."""

    def __init__(self):
        super().__init__()
        self.table, self.dropout = nn.Embedding(11, 11), nn.Dropout(0.5)

    def forward(self, tokens):
        return self.dropout(self.table(tokens)).cumsum(dim=1)


@pytest.mark.parametrize(("steps", "warm_up", "lowest"), [(31, 7, 0.01), (13, 0, 0.0), (17, 16, 0.05), (23, 1, 0.3)])
def test_the_rate_is_that_of_torchs_schedulers(steps, warm_up, lowest):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / (warm_up + 1), total_iters=warm_up)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - warm_up, eta_min=lowest)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[warm_up]) if warm_up else fall
    for step in range(steps + 1):
        ours = reference.learning_rate(step, steps, warm_up, 0.3, lowest)
        assert ours == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 5.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_clipped_as_torch_clips_them(max_norm, dtype):
    torch.manual_seed(2)
    parameters = [nn.Parameter(torch.zeros(*shape, dtype=dtype)) for shape in ((2, 3), (5,), (7, 1), (11,))]
    for parameter in parameters[:3]:
        parameter.grad = torch.randn_like(parameter)
    clipped, norm = reference.clip_gradients(
        [None if parameter.grad is None else parameter.grad.clone() for parameter in parameters], max_norm
    )
    theirs = nn.utils.clip_grad_norm_(parameters, max_norm)
    torch.testing.assert_close(norm, theirs)
    assert clipped[3] is None
    for ours, parameter in zip(clipped[:3], parameters[:3], strict=True):
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1, 3.0])
@pytest.mark.parametrize("eps", [1e-8, 0.1])
def test_steps_are_those_of_torchs_adamw(weight_decay, eps):
    torch.manual_seed(3)
    how = dict(betas=(0.8, 0.95), eps=eps, weight_decay=weight_decay)
    theirs = nn.Parameter(torch.randn(3, 5, dtype=torch.float64))
    optimizer = torch.optim.AdamW([theirs], lr=0.02, **how)
    ours, first, second = theirs.detach().clone(), torch.zeros(3, 5).double(), torch.zeros(3, 5).double()
    for step in range(1, 41):
        theirs.grad = torch.randn(3, 5, dtype=torch.float64)
        optimizer.step()
        ours, first, second = reference.adamw_step(ours, theirs.grad, first, second, step, 0.02, **how)
        torch.testing.assert_close(ours, theirs.detach())
    torch.testing.assert_close(first, optimizer.state[theirs]["exp_avg"])
    torch.testing.assert_close(second, optimizer.state[theirs]["exp_avg_sq"])


@pytest.mark.parametrize(("count", "length", "batch_size"), [(2, 5, 3), (6, 5, 3), (7, 5, 1), (32, 5, 3), (36, 5, 100)])
def test_the_loss_is_the_mean_over_every_target_once(count, length, batch_size):
    torch.manual_seed(5)
    model, ids = Dropping(), torch.randint(11, (count,))
    losses = []
    for target in range(1, count):
        begin = (target - 1) // length * length
        logits = model.table(ids[begin:target]).sum(dim=0)
        losses.append(F.cross_entropy(logits, ids[target]).item())
    for training in (True, False):
        model.train(training)
        loss = reference.evaluate(model, ids, length, batch_size)
        assert type(loss) is float
        assert loss == pytest.approx(sum(losses) / (count - 1), rel=1e-5)
        assert model.training is training


def test_a_new_model_knows_nothing_and_its_stream_hardly_grows():
    torch.manual_seed(7)
    model = reference.SmallModel(num_layers=8)
    reference.initialise(model, num_layers=8)
    tokens = torch.randint(96, (7, 64))
    loss = F.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).item()
    assert loss == pytest.approx(math.log(96), abs=0.1)
    assert model.head.weight is model.embedding.token.weight
    stds = {name: parameter.std().item() for name, parameter in model.named_parameters() if parameter.dim() > 1}
    for name, std in stds.items():
        smaller = name.endswith(("out_proj.weight", "down_proj.weight"))
        assert std == pytest.approx(0.005 if smaller else 0.02, rel=0.08), name


def test_a_batch_is_the_text_at_its_starts():
    ids = torch.arange(100, 130)
    inputs, targets = reference.text_batch(ids, 1000, 7, torch.Generator().manual_seed(11))
    assert torch.equal(targets, inputs + 1)
    assert set((inputs[:, 0] - 100).tolist()) == set(range(23))
