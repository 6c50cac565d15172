"""Still pictures of the views, for readers who cannot run them: on paper, in a terminal, in a plain viewer."""

import io
import itertools
import math
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import matplotlib
import matplotlib.style
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from .attention import Kind
from .palette import COLOURS, DASHES

# A line with less weight cannot be seen, and among more lines than this nothing can.
FAINT, MOST_LINES = 0.02, 240
DPI = 160
# Inches: a token's row, and a letter.
ROW, LETTER = 0.19, 0.073
# A picture that would be wider than this has its parts below each other.
WIDEST = 11

# As in BertViz's neuron view: orange below zero, blue above.
BELOW_AND_ABOVE = ["#ff6318", "#0c36d8"]
SIGNED = LinearSegmentedColormap.from_list("signed", [BELOW_AND_ABOVE[0], "#ffffff", BELOW_AND_ABOVE[1]])


@contextmanager
def paper() -> Iterator[None]:
    """Draw with matplotlib's own style on white; a sign that the font lacks is an empty box, without a warning."""
    with matplotlib.style.context("default"), matplotlib.rc_context({"font.size": 9}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def png(figure: Figure, colours: Iterable[str | tuple[float, float, float, float]]) -> bytes:
    """Return a figure as a PNG in these colours, greys, and tints between each of them and white.

    Few colours make it a third of the size, and given ones keep those that are rare.
    """
    file, small = io.BytesIO(), io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1)
    palette = Image.new("P", (1, 1))
    palette.putpalette([round(255 * part) for tint in _tints(colours) for part in tint])
    image = Image.open(file).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    image.save(small, format="png", optimize=True)
    return small.getvalue()


def _tints(colours: Iterable[str | tuple[float, float, float, float]], steps: int = 6) -> list[tuple[float, ...]]:
    """Return 256 colours at most, each as (red, green, blue) from 0 to 1."""
    shades: list[tuple[float, ...]] = [(step / 7,) * 3 for step in range(8)]
    for colour in colours:
        shades += [tuple(1 - (1 - part) * (step + 1) / steps for part in to_rgb(colour)) for step in range(steps)]
    # Next to white there must be nothing that could be taken for it.
    return [shade for shade in dict.fromkeys(shades) if min(shade) == 1 or min(shade) < 0.93][:256]


def shades(name: str, count: int = 10) -> list[tuple[float, float, float, float]]:
    """Return colours of one of matplotlib's ramps, from pale to dark."""
    return [matplotlib.colormaps[name](step / (count - 1)) for step in range(count)]


def room(words: Iterable[str]) -> float:
    """Return how many inches wide words are."""
    return LETTER * max(map(len, words)) + 0.15


def lines(axes: Axes, tables: list[torch.Tensor], colours: Iterable[tuple[str, Sequence[int]]]) -> None:
    """Draw tables [queries, keys] as lines from left to right, the stronger the darker; only the strongest of many.

    colours  one (colour, dash) per table
    """
    weights = torch.nan_to_num(torch.stack(tables), 0.0).clamp(0, 1)
    least = weights.flatten().sort(descending=True).values[:MOST_LINES][-1].clamp(min=FAINT)
    for table, (colour, dash) in zip(weights, colours, strict=True):
        drawn = (table >= least).nonzero().tolist()
        shades = [(*to_rgb(colour), float(table[query, key]) / math.sqrt(len(tables))) for query, key in drawn]
        ends = [[(0, query), (1, key)] for query, key in drawn]
        axes.add_collection(
            LineCollection(
                ends,
                colors=shades,
                linewidths=1.4,
                antialiaseds=False,
                linestyles=(0, tuple(dash)) if dash else "solid",
            )
        )


def _words(axes: Axes, rows: Iterable[str], columns: Iterable[str]) -> None:
    for x, words, side in ((-0.03, rows, "right"), (1.03, columns, "left")):
        for place, word in enumerate(words):
            axes.text(x, place, word, ha=side, va="center", parse_math=False)


def head(kinds: Sequence[Kind], layer: int, heads: Collection[int] | None) -> bytes:
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
            light = COLOURS["light"]
            looks = [(light[number % len(light)], DASHES[number // len(light) % len(DASHES)]) for number in shown]
            lines(axis, [kind.weights[place][number] for number in shown], looks)
            for number, (colour, _) in zip(shown, looks, strict=True):
                axis.text(
                    number / max(8, len(kind.heads) - 1),
                    -1.3,
                    str(kind.heads[number]),
                    color="white",
                    size=7,
                    ha="center",
                    va="center",
                    bbox={"boxstyle": "square", "color": colour},
                )
            _words(axis, kind.rows, kind.columns)
            _finish(axis, longer, f"{kind.name}, layer {kind.layers[place]}", -2)
        return png(figure, COLOURS["light"])


def model(kinds: Sequence[Kind]) -> bytes:
    """Return a PNG of every head of every layer as a small table, queries downwards and keys to the right."""
    with paper():
        across, cell = max(kind.size[1] for kind in kinds), 0.72
        high = [cell * max(0.3, min(2.0, kind.size[2] / kind.size[3])) for kind in kinds]
        width = max(cell * across, 3.4)
        height = sum(kind.size[0] * each + 0.55 for kind, each in zip(kinds, high, strict=True))
        figure = Figure(figsize=(width + 0.7, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.7, width), ylim=(height, 0))
        axes.axis("off")
        y = 0.0
        for kind, each in zip(kinds, high, strict=True):
            axes.text(0, y + 0.12, f"{kind.name}: a row is a layer, a column is a head", va="center", weight="bold")
            for column, number in enumerate(kind.heads):
                axes.text(cell * (column + 0.5), y + 0.36, str(number), ha="center", va="center")
            y += 0.5
            for row, layer in enumerate(kind.weights):
                axes.text(-0.08, y + each / 2, f"layer {kind.layers[row]}", ha="right", va="center")
                for column, table in enumerate(layer):
                    x = cell * column
                    axes.imshow(
                        torch.nan_to_num(table, 0.0).numpy(),
                        cmap="Blues",
                        vmin=0,
                        vmax=1,
                        aspect="auto",
                        interpolation="nearest",
                        extent=(x + 0.03, x + cell - 0.03, y + each - 0.03, y + 0.03),
                    )
                    axes.add_patch(
                        Rectangle(
                            (x + 0.03, y + 0.03), cell - 0.06, each - 0.06, fill=False, edgecolor="0.7", linewidth=0.6
                        )
                    )
                y += each
            y += 0.05
        axes.set(xlim=(-0.7, width), ylim=(height, 0))
        return png(figure, shades("Blues"))


def neuron(kind: Kind, layer: int, head: int) -> bytes:
    """Return a PNG of one head: its queries, its keys, their products, and the weights that come of them."""
    assert kind.queries is not None and kind.keys is not None  # neuron_view refuses others
    place, number = kind.layers.index(layer), kind.heads.index(head)
    queries, keys = kind.queries[place][number], kind.keys[place][number]
    products = queries @ keys.T / math.sqrt(queries.shape[-1])
    rows, columns = kind.size[2:]
    name = f"{kind.name}, layer {layer}, head {head}"
    tables = [
        (f"{name}:\nqueries", queries, kind.rows, None),
        ("keys", keys, kind.columns, None),
        ("query · key / √head_dim", products, kind.rows, kind.columns),
        ("weights", kind.weights[place][number], kind.rows, kind.columns),
    ]
    with paper():
        wide = [max(1.3, min(2.6, 0.06 * queries.shape[1]))] * 2 + [max(1.5, ROW * columns)] * 2
        figure = Figure()
        axes = _beside(
            figure,
            [(room(names), across, 0.15) for (_, _, names, _), across in zip(tables, wide, strict=True)],
            ROW * max(rows, columns),
            room(kind.columns),
            0.45,
        )
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
        return png(figure, [*shades("Blues"), *BELOW_AND_ABOVE])


def _beside(
    figure: Figure, parts: Sequence[tuple[float, float, float]], high: float, below: float = 0.1, above: float = 0.3
) -> list[Axes]:
    """Return axes side by side, each with its (room on the left, width, room on the right) in inches."""
    width, height = sum(map(sum, parts)), below + high + above
    figure.set_size_inches(width, height)
    ends = list(itertools.accumulate(map(sum, parts), initial=0.0))
    return [
        figure.add_axes(((start + left) / width, below / height, own / width, high / height))
        for start, (left, own, _) in zip(ends, parts, strict=False)
    ]


def _below(
    figure: Figure, parts: Sequence[tuple[float, float, float]], high: Sequence[float], above: float = 0.35
) -> list[Axes]:
    """Return axes below each other, as wide as the widest part."""
    sides = [max(part[side] for part in parts) for side in range(3)]
    width, height = sum(sides), sum(high) + above * len(high)
    figure.set_size_inches(width, height)
    ends = list(itertools.accumulate((own + above for own in high), initial=0.0))
    return [
        figure.add_axes((sides[0] / width, 1 - (start + above + own) / height, sides[1] / width, own / height))
        for start, own in zip(ends, high, strict=False)
    ]


def _finish(axis: Axes, longer: float, title: str, top: float) -> None:
    axis.set(xlim=(0, 1), ylim=(longer - 0.5, top))
    axis.set_title(title, fontsize=9)
    axis.axis("off")
