"""Still pictures of the views, for readers who cannot run them: on paper, in a terminal, in a plain viewer."""

import io
import itertools
import math
import warnings
from contextlib import contextmanager

import matplotlib
import matplotlib.style
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from .palette import COLOURS, DASHES

# A line with less weight cannot be seen.
FAINT = 0.02
DPI = 160
# Inches: a token's row, and a letter.
ROW, LETTER = 0.19, 0.073
# A picture that would be wider than this has its parts below each other.
WIDEST = 11

# As in BertViz's neuron view: orange below zero, blue above.
SIGNED = LinearSegmentedColormap.from_list("signed", ["#ff6318", "#ffffff", "#0c36d8"])


@contextmanager
def paper():
    """Draw with matplotlib's own style on white; a sign that the font lacks is an empty box, without a warning."""
    with matplotlib.style.context("default"), matplotlib.rc_context({"font.size": 9}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def png(figure, colours=48):
    """Return a figure as a PNG of few colours, which is a third of the size."""
    file, small = io.BytesIO(), io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1)
    image = Image.open(file).convert("RGB")
    image.quantize(colours, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()


def room(words):
    """Return how many inches wide words are."""
    return LETTER * max(map(len, words)) + 0.15


def lines(axes, weights, colour, left=0.0, right=1.0, top=0.0, step=1.0, width=1.4, dash=()):
    """Draw a table [queries, keys] as lines from left to right, the stronger the darker."""
    weights = torch.nan_to_num(weights, 0.0).clamp(0, 1)
    drawn = (weights > FAINT).nonzero().tolist()
    colours = [(*to_rgb(colour), float(weights[query, key])) for query, key in drawn]
    ends = [[(left, top + step * query), (right, top + step * key)] for query, key in drawn]
    axes.add_collection(LineCollection(ends, colors=colours, linewidths=width,
                                       linestyles=(0, tuple(dash)) if dash else "solid"))


def _words(axes, rows, columns):
    for x, words, side in ((-0.03, rows, "right"), (1.03, columns, "left")):
        for place, word in enumerate(words):
            axes.text(x, place, word, ha=side, va="center", parse_math=False)


def head(kinds, layer, heads):
    """Return a PNG of one layer of each kind: all chosen heads as lines, one colour for each."""
    parts = [(room(kind.rows), 1.6, room(kind.columns)) for kind in kinds]
    beside = sum(map(sum, parts)) < WIDEST
    high = [max(kind.size[2:]) for kind in kinds]
    high = [max(high)] * len(kinds) if beside else high
    with paper():
        figure = Figure()
        axes = _beside(figure, parts, ROW * high[0]) if beside else _below(figure, parts, [ROW * each for each in high])
        for kind, axis, longer in zip(kinds, axes, high, strict=True):
            place = kind.layers.index(layer) if layer in kind.layers else 0
            shown = [number for number in range(len(kind.heads)) if heads is None or kind.heads[number] in heads]
            for number in shown:
                light = COLOURS["light"]
                lines(axis, kind.weights[place][number] / math.sqrt(len(shown)), light[number % len(light)],
                      dash=DASHES[number // len(light) % len(DASHES)])
                axis.text(number / max(8, len(kind.heads) - 1), -1.3, str(kind.heads[number]), color="white", size=7,
                          ha="center", va="center", bbox={"boxstyle": "square", "color": light[number % len(light)]})
            _words(axis, kind.rows, kind.columns)
            _finish(axis, longer, f"{kind.name}, layer {kind.layers[place]}", -2)
        return png(figure)


def model(kinds):
    """Return a PNG of every head of every layer as a small table of lines."""
    with paper():
        across, cell = max(kind.size[1] for kind in kinds), 0.75
        high = [max(0.4, min(1.2, 0.05 * max(kind.size[2:]))) for kind in kinds]
        rows = sum(kind.size[0] * each + 0.55 for kind, each in zip(kinds, high, strict=True))
        figure = Figure(figsize=(cell * across + 0.9, rows))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.9, cell * across), ylim=(rows, 0))
        axes.axis("off")
        y = 0.0
        for kind, each in zip(kinds, high, strict=True):
            axes.text(0, y + 0.12, f"{kind.name}: one column per head, one row per layer", va="center", weight="bold")
            for column, number in enumerate(kind.heads):
                axes.text(cell * (column + 0.5), y + 0.35, str(number), ha="center", va="center")
            y += 0.5
            for row, layer in enumerate(kind.weights):
                axes.text(-0.1, y + each / 2, f"layer {kind.layers[row]}", ha="right", va="center")
                for column, table in enumerate(layer):
                    step = (each - 0.08) / max(kind.size[2:])
                    lines(axes, table, COLOURS["light"][kind.layers[row] % 8], cell * column + 0.04,
                          cell * (column + 1) - 0.06, y + step / 2, step, width=0.9)
                y += each
            y += 0.05
        return png(figure)


def neuron(kind, layer, head):
    """Return a PNG of one head: its queries, its keys, their products, and the weights that come of them."""
    place, number = kind.layers.index(layer), kind.heads.index(head)
    queries, keys = kind.queries[place][number], kind.keys[place][number]
    products = queries @ keys.T / math.sqrt(queries.shape[-1])
    rows, columns = kind.size[2:]
    name = f"{kind.name}, layer {layer}, head {head}"
    tables = [(f"{name}:\nqueries", queries, kind.rows, None), ("keys", keys, kind.columns, None),
              ("query · key / √head_dim", products, kind.rows, kind.columns),
              ("weights", kind.weights[place][number], kind.rows, kind.columns)]
    with paper():
        wide = [max(1.3, min(2.6, 0.06 * queries.shape[1]))] * 2 + [max(1.5, ROW * columns)] * 2
        figure = Figure()
        axes = _beside(figure, [(room(names), across, 0.15) for (_, _, names, _), across in
                                zip(tables, wide, strict=True)], ROW * max(rows, columns), room(kind.columns), 0.45)
        for axis, (title, table, names, others) in zip(axes, tables, strict=True):
            table = torch.nan_to_num(table, 0.0)
            if title == "weights":
                axis.imshow(table.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
            else:
                most = max(float(table.abs().max()), 1e-6)
                axis.imshow(table.numpy(), cmap=SIGNED, vmin=-most, vmax=most, aspect="auto")
            axis.set_title(title, fontsize=9)
            axis.set_yticks(range(len(names)), names, parse_math=False)
            if others:
                axis.set_xticks(range(len(others)), others, rotation=90, parse_math=False)
            else:
                axis.set_xticks([])
            axis.tick_params(length=0)
        return png(figure)


def _beside(figure, parts, high, below=0.1, above=0.3):
    """Return axes side by side, each with its (room on the left, width, room on the right) in inches."""
    width, height = sum(map(sum, parts)), below + high + above
    figure.set_size_inches(width, height)
    ends = list(itertools.accumulate(map(sum, parts), initial=0.0))
    return [figure.add_axes(((start + left) / width, below / height, own / width, high / height))
            for start, (left, own, _) in zip(ends, parts, strict=False)]


def _below(figure, parts, high, above=0.35):
    """Return axes below each other, as wide as the widest part."""
    sides = [max(part[side] for part in parts) for side in range(3)]
    width, height = sum(sides), sum(high) + above * len(high)
    figure.set_size_inches(width, height)
    ends = list(itertools.accumulate((own + above for own in high), initial=0.0))
    return [figure.add_axes((sides[0] / width, 1 - (start + above + own) / height, sides[1] / width, own / height))
            for start, own in zip(ends, high, strict=False)]


def _finish(axis, longer, title, top):
    axis.set(xlim=(0, 1), ylim=(longer - 0.5, top))
    axis.set_title(title, fontsize=9)
    axis.axis("off")
