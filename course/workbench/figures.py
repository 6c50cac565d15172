"""Pictures for the notebooks, and the two small things that their cells need: `once_solved`, `largest_tensor`.

A picture is white paper with dark ink, or takes its ink from the page, so that it reads in light and in dark
themes; series differ in marker and line as well as in colour (Okabe and Ito's palette, safe for the colour-blind).
Every picture says in a sentence what it shows, for a terminal and for a screen reader.
"""

import inspect
import io
import logging
import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import matplotlib
import matplotlib.style
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch.overrides import TorchFunctionMode

from .transformer_map import transformer_map  # noqa: F401, the lessons call it as figures.transformer_map

# Matplotlib reports on stderr when it looks through the fonts for the first time, which a learner need not see.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
LINES = [(BLUE, "o", "-"), (VERMILION, "s", "--"), (GREEN, "^", ":")]
PIXELS_PER_INCH = 80


# What a cell needs


@contextmanager
def once_solved(*empty: str) -> Iterator[None]:
    """Run the block as far as the learner's exercises are solved; say in one line which one is not.

    empty  names of exercises that learners write in an empty cell: before that, there is nothing of these names
    """
    try:
        yield
    except NameError as missing:
        if missing.name not in empty:
            raise
        print(f"{missing.name} is not written yet: write it in the empty cell, then run this cell again.")
    except NotImplementedError as unsolved:
        # torch raises the same type for its own reasons; those must be seen.
        if str(unsolved) and "not solved yet" not in str(unsolved):
            raise
        *_, (frame, _) = traceback.walk_tb(unsolved.__traceback__)
        exercise = frame.f_code.co_qualname.partition(".")[0]  # of a class, not its method
        print(f"{exercise} is not solved yet: solve it, then run this cell again.")


def largest_tensor(function: Callable[..., object], *arguments: Any) -> int:
    """Return the size in bytes of the largest tensor that one call of `function(*arguments)` makes."""
    with torch.no_grad(), _Largest() as largest:
        function(*arguments)
    size: int = largest.bytes
    return size


class _Largest(TorchFunctionMode):
    """Looks at the result of every torch function that is called from Python."""

    bytes = 0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.nbytes)
        return result


# What a cell shows


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture that Jupyter shows, with the sentence that takes its place in a terminal."""

    sentence: str
    html: str | None = None
    png: bytes | None = None
    markdown: str | None = None

    def told(self, sentence: str) -> Self:
        """Return the same picture with another sentence: that of a trained model must not tell its exact numbers."""
        return replace(self, sentence=sentence)

    def show(self) -> None:
        """Show the picture now; a cell shows only its last expression by itself."""
        from IPython.display import display

        display(self)

    def __repr__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str | None:
        return self.html

    def _repr_markdown_(self) -> str | None:
        return self.markdown

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]] | None:
        if self.png is None:
            return None
        width, height = (int.from_bytes(self.png[start : start + 4], "big") for start in (16, 20))
        # Drawn at twice the size, so that it is sharp on screens with small pixels.
        return self.png, {"width": width // 2, "height": height // 2, "alt": self.sentence}


def source(function: Callable[..., Any]) -> Picture:
    """Return a picture of a function's source."""
    text = inspect.getsource(function)
    return Picture(text, markdown=f"```python\n{text}```")


def texts(columns: Mapping[str, str], width: int = 60, height: int | None = None) -> Picture:
    """Return a picture of texts in letters of one width, side by side: for what differs from machine to machine.

    columns  {title: text}
    width    how many letters of a line have room; what is longer is cut off
    height   how many lines have room, also where there are fewer; None: all
    """
    rows = height or max(len(text.split("\n")) for text in columns.values())
    with on_paper():
        # At this size a letter is 0.071 inches wide, and a line 0.17 inches high.
        figure = Figure(figsize=((0.071 * width + 0.3) * len(columns), 0.17 * rows + 0.5), layout="constrained")
        for axes, (title, text) in zip(
            figure.subplots(1, len(columns), squeeze=False)[0], columns.items(), strict=True
        ):
            shown = "\n".join(line[:width] for line in text.split("\n")[:rows])
            axes.set_title(title, loc="left")
            axes.text(
                0.0,
                1.0,
                shown,
                transform=axes.transAxes,
                family="monospace",
                fontsize=8.5,
                va="top",
                linespacing=1.2,
                parse_math=False,
            )
            axes.set_axis_off()
        # A picture is cut to what stands in it. This holds it to its size, whatever another machine writes.
        figure.add_artist(Rectangle((0, 0), 1, 1, transform=figure.transFigure, fill=False, linewidth=0))
        return Picture("\n".join(f"{title}: {text}" for title, text in columns.items()), png=as_png(figure))


@dataclass(frozen=True)
class Panel:
    """One pair of axes of `curves`.

    title   what is drawn
    ylabel  what the vertical axis measures, with its unit
    series  {name: one number per x}
    log     True where the vertical axis is logarithmic
    bound   (name, number) of a horizontal line, or None
    """

    title: str
    ylabel: str
    series: Mapping[str, Sequence[float]]
    log: bool = False
    bound: tuple[str, float] | None = None


def curves(x: Sequence[float], panels: Sequence[Panel], xlabel: str) -> Picture:
    """Return a picture of several series over the same x, whose axis is logarithmic to base 2.

    x       the numbers of the horizontal axis
    panels  list of Panel, drawn side by side
    xlabel  what the horizontal axis measures, with its unit
    """
    with on_paper():
        figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for (name, y), (colour, marker, line) in zip(panel.series.items(), LINES, strict=False):
                axes.plot(x, y, color=colour, marker=marker, linestyle=line, label=name)
            if panel.bound:
                axes.axhline(panel.bound[1], color="0.4", linewidth=1, linestyle="-.", label=panel.bound[0])
            axes.set_xscale("log", base=2)
            axes.set_xticks(x, [str(number) for number in x])
            axes.minorticks_off()
            if panel.log:
                axes.set_yscale("log")
            else:
                axes.set_ylim(bottom=0)
            axes.set(title=panel.title, xlabel=xlabel, ylabel=panel.ylabel)
            axes.grid(alpha=0.3)
            axes.legend()
        return Picture(_curves_in_words(x, panels, xlabel), png=as_png(figure))


def lines(x: Sequence[float], panels: Sequence[Panel], xlabel: str, border: tuple[str, float] | None = None) -> Picture:
    """Return a picture of several series over the same x, whose axis is linear: steps, layers, positions.

    x       the numbers of the horizontal axis, in rising order
    panels  list of Panel, drawn side by side
    xlabel  what the horizontal axis measures, with its unit
    border  (name, number) of a vertical line, or None
    """
    with on_paper():
        beside = len(panels) == 1 and len(panels[0].series) > 2  # many lines leave no room for the legend
        figure = Figure(figsize=(7.2 if beside else 4.6 * len(panels), 3.6), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for (name, y), (colour, marker, line) in zip(panel.series.items(), LINES, strict=False):
                # A marker now and then tells the series apart without hiding them.
                axes.plot(x, y, color=colour, marker=marker, linestyle=line, label=name, markevery=max(1, len(x) // 10))
            if panel.bound:
                axes.axhline(panel.bound[1], color="0.4", linewidth=1, linestyle="-.", label=panel.bound[0])
            if border:
                axes.axvline(border[1], color="0.4", linewidth=1, linestyle=(0, (6, 3)), label=border[0])
            if panel.log:
                axes.set_yscale("log")
            elif min(map(min, panel.series.values())) >= 0:
                axes.set_ylim(bottom=0)
            axes.set(title=panel.title, xlabel=xlabel, ylabel=panel.ylabel)
            axes.grid(alpha=0.3)
            axes.legend(**dict(loc="upper left", bbox_to_anchor=(1.01, 1)) if beside else {})
        return Picture(_curves_in_words(x, panels, xlabel), png=as_png(figure))


def heat(title: str, table: torch.Tensor, rows: str, columns: str) -> Picture:
    """Return a picture of a large table of numbers between -1 and 1: blue below 0, white at 0, red above.

    title    what the numbers are
    table    tensor [rows, columns]
    rows     what a row is
    columns  what a column is
    """
    with on_paper():
        figure = Figure(figsize=(7.0, 3.6), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(
            table.detach().cpu().numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
        )
        figure.colorbar(image, ax=axes, label=title)
        axes.set(xlabel=columns, ylabel=rows)
        sentence = f"{title}: a table of {len(table)} rows ({rows}) and {table.shape[1]} columns ({columns})."
        return Picture(sentence, png=as_png(figure))


def _curves_in_words(x: Sequence[float], panels: Sequence[Panel], xlabel: str) -> str:
    return "\n".join(
        f"{panel.title} ({panel.ylabel}), {name}: {_short(y[0])} at {x[0]}, {_short(y[-1])} at {x[-1]} ({xlabel})."
        for panel in panels
        for name, y in panel.series.items()
    )


def _short(number: float) -> str:
    return f"{float(f'{number:.3g}'):g}"


def weight_tables(
    tables: Mapping[str, torch.Tensor],
    rows: str = "query",
    columns: str = "key",
    row_names: Sequence[str] | dict[str, Sequence[str]] | None = None,
    column_names: Sequence[str] | dict[str, Sequence[str]] | None = None,
) -> Picture:
    """Return a picture of attention weights, one table per entry, darker where a weight is larger.

    tables        {title: tensor [queries, keys]}; each weight is also written, unless there are more than 12 columns
    row_names     one text per query, or None for numbers; if the tables differ, {title: texts}
    column_names  the same for the keys
    """
    rows_of, columns_of = (
        names if isinstance(names, dict) else dict.fromkeys(tables, names) for names in (row_names, column_names)
    )
    with on_paper():
        # A cell has room for two digits, or for one letter where the weights are not written.
        across = [
            max(3.4, (0.5 if weights.shape[1] <= 12 else 0.22) * weights.shape[1] + 0.9) for weights in tables.values()
        ]
        high = max(
            3.4, *((0.5 if weights.shape[1] <= 12 else 0.22) * weights.shape[0] + 0.9 for weights in tables.values())
        )
        figure = Figure(figsize=(sum(across), high), layout="constrained")
        for axes, (title, weights) in zip(
            figure.subplots(1, len(tables), squeeze=False, width_ratios=across)[0], tables.items(), strict=True
        ):
            weights = weights.detach().cpu()
            axes.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1)
            if weights.shape[1] <= 12:
                _write_weights(axes, weights)
            axes.set(title=title, xlabel=columns, ylabel=rows)
            axes.set_xticks(range(weights.shape[1]), columns_of.get(title))
            axes.set_yticks(range(weights.shape[0]), rows_of.get(title))
        return Picture(
            "\n".join(
                f"{title}: largest weight per {rows} " + ", ".join(f"{row.max():.2f}" for row in weights) + "."
                for title, weights in tables.items()
            ),
            png=as_png(figure),
        )


def _write_weights(axes: Axes, weights: torch.Tensor) -> None:
    """Write each weight into its cell."""
    for row, numbers in enumerate(weights.tolist()):
        for column, weight in enumerate(numbers):
            axes.text(
                column,
                row,
                f"{weight:.2f}" if weight else "0",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if weight > 0.55 else "black",
            )


def bars(names: Sequence[str], panels: Sequence[Panel], xlabel: str = "") -> Picture:
    """Return a picture of one bar per name and series, with its number above it.

    names   what the bars stand for, one text per group of bars
    panels  list of Panel, drawn side by side; a bound is drawn as a line
    xlabel  what the names are
    """
    with on_paper():
        figure = Figure(figsize=(sum(_wide(names, panel) for panel in panels), 3.6), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            width = 0.8 / len(panel.series)
            for number, ((name, heights), (colour, _, _), hatch) in enumerate(
                zip(panel.series.items(), LINES, ("", "//", ".."), strict=False)
            ):
                places = [place + (number + 0.5) * width - 0.4 for place in range(len(names))]
                drawn = axes.bar(places, heights, width, color=colour, hatch=hatch, edgecolor="white", label=name)
                axes.bar_label(drawn, [_short(height) for height in heights], fontsize=9, padding=2)
            if panel.bound:
                axes.axhline(panel.bound[1], color="0.4", linewidth=1, linestyle="-.", label=panel.bound[0])
            if panel.log:
                axes.set_yscale("log")
            entries = len(panel.series) + bool(panel.bound)
            axes.margins(y=0.15)
            axes.set_xticks(range(len(names)), names)
            axes.set(title=panel.title, xlabel=xlabel, ylabel=panel.ylabel)
            axes.grid(axis="y", alpha=0.3)
            axes.set_axisbelow(True)
            if entries > 1:
                axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))  # beside the bars, which leave no room
        return Picture(
            "\n".join(
                f"{panel.title} ({panel.ylabel}), {series}: "
                + ", ".join(f"{name} {_short(height)}" for name, height in zip(names, heights, strict=True))
                + "."
                for panel in panels
                for series, heights in panel.series.items()
            ),
            png=as_png(figure),
        )


def _wide(names: Sequence[str], panel: Panel) -> float:
    """Return how many inches the bars of a panel need."""
    return max(4.0, 0.45 * len(names) * len(panel.series) + 1.5)


def arrows(
    panels: Mapping[str, Mapping[str, tuple[tuple[float, float], tuple[float, float]]]],
    xlabel: str,
    ylabel: str,
    circle: float | None = None,
) -> Picture:
    """Return a picture of things that move in a plane: each stands somewhere before and somewhere else after.

    panels  {title: {name: ((x, y) before, (x, y) after)}}, drawn side by side on the same scale
    xlabel  what the horizontal axis measures, with its unit
    ylabel  the same for the vertical axis
    circle  radius of a dotted circle around the origin on which they stand, or None
    """
    places = [place for moves in panels.values() for move in moves.values() for place in move]
    reach = 1.3 * max([abs(number) for place in places for number in place] + [circle or 0.0])
    with on_paper():
        figure = Figure(figsize=(3.5 * len(panels), 3.8), layout="constrained")
        for axes, (title, moves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
            if circle:
                axes.add_patch(Circle((0, 0), circle, fill=False, color="0.6", linestyle=":"))
            for name, (before, after) in moves.items():
                axes.annotate(
                    "",
                    after,
                    before,
                    zorder=2,
                    arrowprops=dict(arrowstyle="-|>", color=BLUE, linewidth=2, shrinkA=4, shrinkB=4),
                )
                # Outside of where it stands, seen from the middle, so that the name is not in the arrow's way.
                far = 1 + 0.16 * reach / max(math.hypot(*before), 0.1 * reach)
                axes.text(before[0] * far, before[1] * far, name, ha="center", va="center")
            for label, which, fill in (("before", 0, "white"), ("after", 1, VERMILION)):
                axes.scatter(
                    *zip(*(move[which] for move in moves.values()), strict=True),
                    s=45,
                    color=fill,
                    edgecolor=VERMILION if which else "black",
                    marker="so"[1 - which],
                    zorder=3,
                    label=label,
                )
            axes.set(title=title, xlabel=xlabel, ylabel=ylabel, xlim=(-reach, reach), ylim=(-reach, reach))
            axes.set_aspect("equal")
            axes.grid(alpha=0.3)
        figure.axes[0].legend(loc="center" if circle else "best")
        return Picture(
            "\n".join(
                f"{title}: "
                + ", ".join(
                    f"{name} goes from {_place(before)} to {_place(after)}" for name, (before, after) in moves.items()
                )
                + "."
                for title, moves in panels.items()
            ),
            png=as_png(figure),
        )


def _place(place: Iterable[float]) -> str:
    return "(" + ", ".join(f"{number + 0.0:.1f}".replace("-0.0", "0.0") for number in place) + ")"


@contextmanager
def on_paper() -> Iterator[None]:
    """Draw with matplotlib's own style on white, whatever style the notebook has chosen."""
    with matplotlib.style.context("default"), matplotlib.rc_context({"figure.facecolor": "white"}):
        yield


def as_png(figure: Figure, whole: bool = False) -> bytes:
    """Return a figure as a picture, at twice its size on the screen.

    whole  False: cut to what stands in it; True: of the figure's own size, whatever is written in it
    """
    file = io.BytesIO()
    cut: dict[str, Any] = {} if whole else {"bbox_inches": "tight", "pad_inches": 0.15}
    figure.savefig(file, format="png", dpi=2 * PIXELS_PER_INCH, **cut)
    return file.getvalue()
