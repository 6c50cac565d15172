"""Pictures of what is inside a language model, one row per layer: what it would say, its heads, what a patch does.

They are pictures of `figures`: white paper with dark ink, and a sentence for those who do not see them.
"""

import warnings
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from .figures import Picture, as_png, on_paper

WIDEST = 10  # letters of a word that have room in a cell


def lens(
    guesses: Sequence[Sequence[str]], shares: torch.Tensor, words: Sequence[str], layers: Sequence[int]
) -> Picture:
    """Return a picture of what a model would say after each layer: a word in each cell, darker where it is surer.

    guesses  one list of words per row, one word per position
    shares   [rows, positions]  the probability of each of these words
    words    what the model has read, one word per position
    layers   after how many layers each row was read, in rising order; the last row is drawn at the top
    """
    return _cells(
        shares,
        cells=guesses,
        across=[_shown(word) for word in words],
        down=[str(layer) for layer in layers],
        labels=("the model has read ...", "after so many layers it would say ...", "probability"),
        sentence=f"What a model would say after {layers[0]} to {layers[-1]} layers, behind each of {len(words)} words.",
    )


def head_scores(scores: torch.Tensor, name: str) -> Picture:
    """Return a picture of one score per head, between 0 and 1, darker where it is larger.

    scores  [layers, heads]
    name    what the score measures
    """
    layers, heads = scores.shape
    return _cells(
        scores,
        across=[str(head) for head in range(heads)],
        down=[str(layer) for layer in range(layers)],
        labels=("head", "layer", name),
        sentence=f"{name} of {heads} heads in each of {layers} layers.",
        size=(0.5, 0.19),
    )


def patches(shares: torch.Tensor, words: Sequence[str], others: Sequence[str]) -> Picture:
    """Return a picture of what patches do: darker where one state carries more of the answer from run to run.

    shares  [layers, positions]  how much of the way from one answer to the other a patch goes, 0 to 1
    words   what the model reads, one word per position
    others  what the model has read in the run from which the states come
    """
    names = [
        _shown(word) if word == other else f"{_shown(word)}\n← {_shown(other)}"
        for word, other in zip(words, others, strict=True)
    ]
    return _cells(
        shares,
        across=names,
        down=[str(layer) for layer in range(len(shares))],
        labels=("position of the patch", "layer of the patch", "share of the way to the other answer"),
        sentence=f"How far a patch moves the answer, in {len(shares)} layers and at {len(words)} positions.",
        size=(0.95, 0.19),
    )


def _shown(word: str) -> str:
    """Return a word as a picture shows it: spaces and ends of lines by a sign, long ones cut off."""
    word = word.strip(" ") or "␣" * len(word)
    word = word.replace("\n", "⏎").replace("\xa0", "␣") or "∅"
    return word if len(word) <= WIDEST else word[: WIDEST - 1] + "…"


def _cells(
    numbers: torch.Tensor,
    across: Sequence[str],
    down: Sequence[str],
    labels: tuple[str, str, str],
    sentence: str,
    cells: Sequence[Sequence[str]] | None = None,
    size: tuple[float, float] = (0.74, 0.26),
) -> Picture:
    """Return a picture of numbers [rows, columns] between 0 and 1, the first row at the bottom, as layers are stacked.

    across, down  names of the columns and rows
    labels        what a column, a row and a number is
    cells         a word for each cell; None: no words
    size          of a cell, in inches
    """
    rows, columns = numbers.shape
    with on_paper():
        figure = Figure(figsize=(size[0] * columns + 1.9, size[1] * rows + 1.1), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(
            numbers.detach().cpu().float().numpy(),
            cmap="Blues",
            vmin=0,
            vmax=1,
            aspect="auto",
            origin="lower",
            interpolation="nearest",
        )
        for row, words in enumerate(cells or ()):
            for column, word in enumerate(words):
                dark = bool(numbers[row, column] > 0.55)
                axes.text(
                    column,
                    row,
                    _shown(word),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                    parse_math=False,
                    clip_on=True,
                )
        axes.set(xlabel=labels[0], ylabel=labels[1])
        axes.set_xticks(range(columns), across, fontsize=9, parse_math=False)
        axes.set_yticks(range(rows), down, fontsize=9 if size[1] > 0.2 else 8)
        figure.colorbar(image, ax=axes, label=labels[2], fraction=0.05, pad=0.02)
        with warnings.catch_warnings():
            # A letter that the font lacks is a box in the picture, and no reason for red lines below the cell.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            return Picture(sentence, png=as_png(figure))
