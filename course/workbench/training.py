"""Training: one loop for every model of the course, which ends by itself and gives the same result every time."""

import contextlib
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from tqdm import tqdm


@dataclass
class Training:
    """What a training was like.

    losses   the loss of each step
    seconds  how long all steps took
    """

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def train(
    model: torch.nn.Module,
    batches: Iterable[Sequence[torch.Tensor]],
    loss: Callable[..., torch.Tensor],
    steps: int,
    learning_rate: float = 1e-3,
    warmup: float = 0.1,
    seed: int = 0,
    title: str = "training",
) -> Training:
    """Train a model for a fixed number of steps and return a `Training`; the model is left in evaluation mode.

    model          an nn.Module; the batches are moved to the device of its parameters
    batches        yields tuples of tensors, at least as many as there are steps
    loss           loss(model, *batch) returns one number to make small, as a tensor
    steps          how many batches are used, each once
    learning_rate  the highest one; AdamW gets there in a straight line and goes down to 0 on a cosine
    warmup         share of the steps until then
    seed           of dropout and whatever else is drawn in the steps; torch's own generators are left as they were
    title          what the progress bar is called; it appears when the training takes longer than five seconds
    Raises ValueError if there are too few batches, FloatingPointError if the loss is no longer a finite number.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    device = parameters[0].device
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, steps, warmup))
    done, begin = Training(), time.perf_counter()
    model.train()
    with (
        _one_thread(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        # On stdout: what a bar leaves behind on stderr is a red strip in a notebook.
        tqdm(total=steps, desc=title, delay=5, leave=False, file=sys.stdout) as bar,
    ):
        torch.manual_seed(seed)
        for batch in itertools.islice(batches, steps):
            value = loss(model, *(tensor.to(device) for tensor in batch))
            optimizer.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            done.losses.append(value.item())
            if not math.isfinite(done.losses[-1]):
                raise FloatingPointError(
                    f"the loss of step {len(done.losses)} is {done.losses[-1]}; "
                    "look for a row without any target, or lower the learning rate"
                )
            bar.set_postfix(loss=f"{done.losses[-1]:.3f}", refresh=False)
            bar.update()
    done.seconds = time.perf_counter() - begin
    model.eval()
    if len(done.losses) < steps:
        raise ValueError(
            f"the batches ended after {len(done.losses)} of {steps} steps; give an endless generator, or fewer steps"
        )
    return done


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread: sums of many threads are rounded otherwise, and in a training that adds up.

    With models as small as these, threads would mostly wait for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _share(step: int, steps: int, warmup: float) -> float:
    """Return which share of the highest learning rate a step gets."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
