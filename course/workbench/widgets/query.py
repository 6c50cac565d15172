"""A query that is turned and stretched by the hand, before three keys: scores, weights and output follow it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from ..figures import LINES, Picture, as_png, on_paper
from .movable import Movable

NAMES = ["cat", "dog", "car"]
KEYS = [[2.0, 1.0], [2.0, -0.5], [-1.0, 1.5]]
VALUES = [10, 20, 30]

Scores = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]]


def query_by_hand(scores: Scores | None = None, attention: Attention | None = None) -> Movable:
    """Return a widget with a query of two numbers, three keys and three values.

    scores     (query [1, 2], key [3, 2]) -> [1, 3], the learner's `attention_scores`
    attention  (query, key, value [3, 1], mask [1, 3]) -> (output [1, 1], weights [1, 3]), the learner's
               `scaled_dot_product_attention`

    With both, there are switches for the mask and for the division by the root of head_dim; without them the formula
    is computed here. Where the division is switched off, the query is multiplied by the root of 2 before the learner's
    functions see it, which undoes their division.
    Raises what the learner's functions raise at the first query.
    """

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        query = [float(number) for number in asked["query"]]
        if scores is None or attention is None:
            told = _by_the_formula(query)
        else:
            told = _by_hand(scores, attention, query, asked["divided"], asked["hidden"])
        return told | {"sentence": _sentence(query, told, asked["hidden"])}

    return Movable(
        "query.js",
        answer,
        _still,
        asked={"query": [1.5, 1.5], "divided": True, "hidden": [False] * len(KEYS)},
        fixed={"names": NAMES, "keys": KEYS, "values": VALUES, "switches": attention is not None},
    )


def _by_the_formula(query: Sequence[float]) -> dict[str, Any]:
    scores = [sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(len(query)) for key in KEYS]
    exponentials = [math.exp(score) for score in scores]
    weights = [exponential / sum(exponentials) for exponential in exponentials]
    output = sum(weight * value for weight, value in zip(weights, VALUES, strict=True))
    return {"scores": scores, "weights": weights, "output": output}


def _by_hand(
    scores: Scores, attention: Attention, query: Sequence[float], divided: bool, hidden: Sequence[bool]
) -> dict[str, Any]:
    asking = torch.tensor([query]) * (1.0 if divided else math.sqrt(len(query)))
    keys, values = torch.tensor(KEYS), torch.tensor([[float(value)] for value in VALUES])
    mask = None if not any(hidden) else torch.tensor([[not one for one in hidden]])
    with torch.no_grad():
        score = scores(asking, keys)
        output, weights = attention(asking, keys, values, mask)
    return {
        "scores": _numbers(score, "attention_scores", len(KEYS)),
        "weights": _numbers(weights, "the weights of scaled_dot_product_attention", len(KEYS)),
        "output": _numbers(output, "the output of scaled_dot_product_attention", 1)[0],
    }


def _numbers(tensor: torch.Tensor, what: str, count: int) -> list[float]:
    """Return the numbers of a tensor [1, count], or raise ValueError: a wrong function may give anything."""
    if not isinstance(tensor, torch.Tensor) or tensor.numel() != count:
        shape = list(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise ValueError(f"{what} should be [1, {count}] here, and is {shape}")
    numbers = [float(number) for number in tensor.flatten().tolist()]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{what} is not finite here: {numbers}")
    return numbers


def _sentence(query: Sequence[float], told: dict[str, Any], hidden: Sequence[bool]) -> str:
    weights, length = told["weights"], math.hypot(*query)
    if all(hidden):
        return f"Every key is hidden: the weights are {_listed(weights)}, the output is {told['output']:.2f}."
    first = max(range(len(weights)), key=weights.__getitem__)
    if max(weights) - min(weights) < 0.02:
        seen = "The weights are nearly equal, so the output is nearly the mean of the values."
    else:
        seen = f"{NAMES[first]} has the largest weight, {weights[first]:.3f}; the output is {told['output']:.2f}."
    return f"The query has length {length:.2f}. {seen}"


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.3f}" for number in numbers)


def _still(asked: dict[str, Any], told: dict[str, Any]) -> Picture:
    with on_paper():
        figure = Figure(figsize=(8.4, 3.4))
        plane, bars = figure.subplots(1, 2, width_ratios=[1, 1.35])
        plane.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", title="query and keys")
        plane.grid(alpha=0.3)
        arrows = [(name, key, LINES[index][0]) for index, (name, key) in enumerate(zip(NAMES, KEYS, strict=True))]
        for name, (x, y), colour in [*arrows, ("query", asked["query"], "black")]:
            plane.add_patch(FancyArrowPatch((0, 0), (x, y), arrowstyle="-|>", mutation_scale=14, lw=2.5, color=colour))
            plane.annotate(
                name, (x, y), (0, 9 if y >= 0 else -15), textcoords="offset points", color=colour, ha="center"
            )
        labels = [
            f"{name}\nvalue {value}\nscore {score:.2f}"
            for name, value, score in zip(NAMES, VALUES, told["scores"], strict=True)
        ]
        drawn = bars.bar(labels, told["weights"], color=[colour for _, _, colour in arrows])
        bars.bar_label(drawn, [f"{weight:.3f}" for weight in told["weights"]])
        bars.set(ylim=(0, 1.1), title=f"weights; output {told['output']:.2f}")
        return Picture(told["sentence"], png=as_png(figure))
