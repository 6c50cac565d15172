"""Sliders, switches and choices before bars, lines and tables, computed anew by a function of the lesson's own cell."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..figures import LINES, Picture, as_png, on_paper
from .movable import Movable

Numbers = torch.Tensor | Sequence[float]


@dataclass(frozen=True)
class Bars:
    """A bar for each name and series.

    series  {name: a number for each of `names`}
    span    (lowest, highest) of the axis, which stays as it is: what moves must be seen to move
    """

    title: str
    names: Sequence[str]
    series: Mapping[str, Numbers]
    span: tuple[float, float]
    kind: str = "bars"


@dataclass(frozen=True)
class Lines:
    """A line for each series over `x`.

    at  a place on the axis of x that is marked; None: none
    """

    title: str
    x: Sequence[float]
    series: Mapping[str, Numbers]
    span: tuple[float, float]
    xlabel: str = ""
    at: float | None = None
    kind: str = "lines"


@dataclass(frozen=True)
class Table:
    """Shades between 0 and 1, such as weights: [rows, columns]."""

    title: str
    numbers: torch.Tensor
    rows: Sequence[str]
    columns: Sequence[str]
    kind: str = "table"


Panel = Bars | Lines | Table
Control = tuple[float, float, float] | bool | Sequence[str]


def dials(picture: Callable[..., tuple[str, Sequence[Panel]]], **controls: Control) -> Movable:
    """Return a widget that calls `picture` with what its controls say, and draws what that returns.

    picture   (**values) -> (sentence, panels): the sentence says what is seen, for a screen reader as well
    controls  by the name of the argument: (lowest, highest, value) is a slider, whole numbers if all three are; True or
              False is a switch; a list of texts is a choice, the first one at first. An underscore is shown as a blank
    Raises what `picture` raises at first, and ValueError for a number that is not finite or panels of unequal lengths.
    """
    kinds = [_control(name, control) for name, control in controls.items()]

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        given = {
            kind["name"]: kind["choices"][asked[kind["name"]]] if "choices" in kind else asked[kind["name"]]
            for kind in kinds
        }
        sentence, panels = picture(**given)
        return {"sentence": sentence, "panels": [_plain(panel) for panel in panels]}

    return Movable(
        "panels.js", answer, _still, asked={kind["name"]: kind["value"] for kind in kinds}, fixed={"controls": kinds}
    )


def _control(name: str, control: Control) -> dict[str, Any]:
    shown = {"name": name, "label": name.replace("_", " ")}
    if isinstance(control, bool):
        return shown | {"kind": "switch", "value": control}
    if all(isinstance(one, str) for one in control):
        return shown | {"kind": "choice", "choices": list(control), "value": 0}
    least, most, value = (one for one in control if not isinstance(one, str))
    whole = all(isinstance(one, int) for one in control)
    return shown | {
        "kind": "slider",
        "min": least,
        "max": most,
        "step": 1 if whole else (most - least) / 100,
        "value": value,
        "whole": whole,
    }


def _plain(panel: Panel) -> dict[str, Any]:
    """Return a panel as the browser takes it, or raise ValueError with the place of what cannot be drawn."""
    plain: dict[str, Any] = asdict(panel)
    plain |= {name: list(plain[name]) for name in ("names", "x", "rows", "columns") if name in plain}
    if isinstance(panel, Table):
        plain["numbers"] = [
            _finite(f"row {row!r} of {panel.title!r}", numbers, len(panel.columns))
            for row, numbers in zip(panel.rows, panel.numbers, strict=True)
        ]
    else:
        count = len(panel.names if isinstance(panel, Bars) else panel.x)
        plain["series"] = {
            name: _finite(f"{name!r} of {panel.title!r}", numbers, count) for name, numbers in panel.series.items()
        }
    return plain


def _finite(what: str, numbers: Numbers, count: int) -> list[float]:
    listed = [float(number) for number in (numbers.flatten() if isinstance(numbers, torch.Tensor) else numbers)]
    if len(listed) != count:
        raise ValueError(f"{what} should have {count} numbers, and has {len(listed)}")
    if not all(map(math.isfinite, listed)):
        raise ValueError(f"{what} has a number that is not finite: {listed}")
    return listed


def _still(asked: dict[str, Any], told: dict[str, Any]) -> Picture:
    panels = told["panels"]
    with on_paper():
        figure = Figure(figsize=(4.2 * len(panels), 2.8), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            axes.set_title(panel["title"], parse_math=False)
            _draw(axes, panel)
        return Picture(told["sentence"], png=as_png(figure, whole=True))


def _draw(axes: Axes, panel: dict[str, Any]) -> None:
    if panel["kind"] == "table":
        axes.imshow(panel["numbers"], vmin=0, vmax=1, cmap="Blues", aspect="auto")
        axes.set_xticks(range(len(panel["columns"])), panel["columns"], parse_math=False)
        axes.set_yticks(range(len(panel["rows"])), panel["rows"], parse_math=False)
        return
    axes.set_ylim(*panel["span"])
    for index, (name, numbers) in enumerate(panel["series"].items()):
        colour, _, dash = LINES[index % len(LINES)]
        if panel["kind"] == "lines":
            axes.plot(panel["x"], numbers, color=colour, linestyle=dash, label=name)
        else:
            wide = 0.8 / len(panel["series"])
            places = [place + (index - (len(panel["series"]) - 1) / 2) * wide for place in range(len(numbers))]
            axes.bar(places, numbers, wide, color=colour, label=name)
    if panel["kind"] == "lines":
        axes.set_xlabel(panel["xlabel"])
        if panel["at"] is not None:
            axes.axvline(panel["at"], color="black", linewidth=1)
    else:
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(range(len(panel["names"])), panel["names"], parse_math=False)
    if len(panel["series"]) > 1:
        axes.legend()
