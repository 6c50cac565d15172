"""A language model while it chooses its next token: temperature, top-k and top-p by the hand, and where it looks."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from ..figures import BLUE, Picture, as_png, on_paper
from .movable import Movable

SHOWN = 10  # tokens with a bar of their own
MOST_TOP_K = 50

Reading = tuple[torch.Tensor, Sequence[torch.Tensor]]


def next_token(
    model: Callable[[torch.Tensor], Reading],
    filter_logits: Callable[..., torch.Tensor],
    encode: Callable[[str], Sequence[int]],
    spell: Callable[[int], str],
    text: str,
    max_len: int,
    temperature: float = 1.0,
) -> Movable:
    """Return a widget in which a text is continued token by token, by a click on one or by a draw.

    model          tokens [1, time] -> (logits [1, time, vocab_size], weights of each layer [1, heads, time, time])
    filter_logits  the learner's `filter_logits`, with its arguments temperature, top_k and top_p
    encode, spell  a text to token ids; one id to what is shown of it
    text           what is read first, at least one token
    max_len        how many tokens the model reads; of a longer text the last ones
    temperature    where its slider begins

    Raises ValueError for a text without tokens, and what the learner's functions raise at the first text.
    """
    begun = [int(token) for token in encode(text)]
    if not begun:
        raise ValueError(f"the text {text!r} has no tokens; give one that has")
    read = _Reader(model, max_len)

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        ids = [int(token) for token in asked["ids"]]
        if asked["draw"]:
            ids += [_drawn(_shares(filter_logits, read(ids)[0], asked))]
        logits, weights = read(ids)
        raw = logits.softmax(-1)
        shares = _shares(filter_logits, logits, asked)
        order = raw.topk(min(SHOWN, len(raw))).indices.tolist()
        layer, head = min(asked["layer"], len(weights) - 1), asked["head"]
        seen = weights[layer][0, min(head, weights[layer].shape[1] - 1), -1].tolist() if weights else []
        told = {
            "ids": ids,
            "tokens": [spell(token) for token in ids],
            "choices": [
                {"id": token, "text": spell(token), "raw": raw[token].item(), "share": shares[token].item()}
                for token in order
            ],
            "kept": int((shares > 0).sum()),
            "vocab_size": len(raw),
            "attention": [0.0] * (len(ids) - len(seen)) + seen,
        }
        return told | {"sentence": _sentence(told)}

    logits, weights = read(begun)
    return Movable(
        "choosing.js",
        answer,
        _still,
        asked={"ids": begun, "draw": 0, "temperature": temperature, "top_k": 0, "top_p": 1.0, "layer": 0, "head": 0},
        fixed={"begun": begun, "heads": [layer.shape[1] for layer in weights], "most_top_k": MOST_TOP_K},
    )


class _Reader:
    """The model's answer to a text, kept until the text is another: a slider that is moved changes no logits."""

    def __init__(self, model: Callable[[torch.Tensor], Reading], max_len: int) -> None:
        self._model, self._max_len = model, max_len
        self._kept: dict[tuple[int, ...], Reading] = {}

    def __call__(self, ids: Sequence[int]) -> Reading:
        """Return (logits of the next token [vocab_size], weights of each layer)."""
        read = tuple(ids[-self._max_len :])
        if read not in self._kept:
            with torch.inference_mode():
                logits, weights = self._model(torch.tensor([read]))
            self._kept = {read: (logits[0, -1], list(weights))}
        return self._kept[read]


def _shares(filter_logits: Callable[..., torch.Tensor], logits: torch.Tensor, asked: dict[str, Any]) -> torch.Tensor:
    """Return the probabilities [vocab_size] of what the learner's function has left, or raise ValueError."""
    left = filter_logits(
        logits[None],
        temperature=float(asked["temperature"]),
        top_k=int(asked["top_k"]) or None,
        top_p=None if asked["top_p"] >= 1 else float(asked["top_p"]),
    )
    if not isinstance(left, torch.Tensor) or left.shape != (1, len(logits)):
        shape = list(left.shape) if isinstance(left, torch.Tensor) else type(left).__name__
        raise ValueError(f"filter_logits should give [1, {len(logits)}] here, and gives {shape}")
    shares: torch.Tensor = left[0].softmax(-1)
    if not shares.isfinite().all():
        raise ValueError("filter_logits has left no token, or numbers that are no logits")
    return shares


def _drawn(shares: torch.Tensor) -> int:
    return int(torch.multinomial(shares, 1))


def _sentence(told: dict[str, Any]) -> str:
    best = max(told["choices"], key=lambda choice: choice["share"])
    left = f"{told['kept']} of {told['vocab_size']} tokens can be drawn"
    return f"{left}; the likeliest is {best['text']!r} with {best['share']:.1%}."


def _still(asked: dict[str, Any], told: dict[str, Any]) -> Picture:
    choices, text = told["choices"], "".join(told["tokens"])
    with on_paper():
        # Everything has its place, so that the size does not depend on what is written.
        figure = Figure(figsize=(7.2, 3.6))
        axes = figure.add_axes((0.16, 0.15, 0.8, 0.75))
        places = range(len(choices))
        shares, raw = ([choice[name] for choice in choices] for name in ("share", "raw"))
        axes.barh(places, shares, color=BLUE, label="can be drawn with")
        axes.barh(places, raw, fill=False, edgecolor="black", label="the model's probability")
        axes.set_yticks(
            places, [repr(choice["text"])[1:-1] for choice in choices], family="monospace", parse_math=False
        )
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel="probability")
        shown = text if len(text) <= 60 else "... " + text[-56:]
        axes.set_title(repr(shown)[1:-1], family="monospace", parse_math=False)
        axes.legend(loc="lower right")
        png = as_png(figure, whole=True)
    # No numbers: those of a trained model differ from machine to machine.
    return Picture(f"The likeliest tokens after {text!r}, with their probabilities.", png=png)
