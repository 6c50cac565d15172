"""A short training of a learner's model, where the model lives, so that a probe can ask what it learns."""

from typing import Any

import torch
import torch.nn.functional as F

BETAS, EPS = (0.9, 0.99), 1e-8


def fit(model: Any, tokens: torch.Tensor, steps: int, learning_rate: float) -> None:
    """Train a model to predict each token from those before it, in training mode, with all texts in every step.

    model          gives logits [texts, time - 1, vocab_size] for tokens [texts, time - 1]. One that returns anything
                   else, or what no gradient goes through, is left as it is: whoever looks at its answers sees that
    tokens         [texts, time]
    steps          of Adam (Kingma and Ba 2015, algorithm 1), written out here: torch's optimizers import its compiler
                   when they first run, which takes seconds
    learning_rate  of all steps
    """
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sizes = [parameter.numel() for parameter in parameters]
    # All in one row: a step is then a few operations, however many parameters there are.
    first, second = (torch.zeros(sum(sizes)) for _ in range(2))
    model.train()
    for step in range(1, steps + 1):
        logits = model(inputs)
        if not isinstance(logits, torch.Tensor) or logits.shape[:-1] != inputs.shape or not logits.requires_grad:
            return
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            gradient = torch.cat([one.flatten() for one in gradients])
            first = torch.lerp(first.to(gradient), gradient, 1 - BETAS[0])
            second = torch.lerp(second.to(gradient), gradient.square(), 1 - BETAS[1])
            size = (second / (1 - BETAS[1] ** step)).sqrt() + EPS
            moves = (learning_rate / (1 - BETAS[0] ** step) * first / size).split(sizes)
            for parameter, move in zip(parameters, moves, strict=True):
                parameter -= move.view_as(parameter)
