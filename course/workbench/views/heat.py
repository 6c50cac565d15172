"""Beyond BertViz: tables of weights with their numbers, and one text read by several models side by side."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..figures import Picture
from . import attention as reading
from . import still
from .attention import Attention, Kind, ViewError
from .collect import collect

MOST_TABLES = 64
MOST_POSITIONS = 512
# More columns than this have no room for numbers.
MOST_NUMBERED = 24
# Whatever is not a number is grey.
BLUES = matplotlib.colormaps["Blues"].with_extremes(bad="#cccccc")


def heat_map(
    attention: Attention | Sequence[torch.Tensor] | None = None,
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
    prettify_tokens: bool = True,
    layer: int | None = None,
    head: int | None = None,
    encoder_attention: Sequence[torch.Tensor] | None = None,
    decoder_attention: Sequence[torch.Tensor] | None = None,
    cross_attention: Sequence[torch.Tensor] | None = None,
    encoder_tokens: Sequence[str] | None = None,
    decoder_tokens: Sequence[str] | None = None,
    include_layers: Sequence[int] | None = None,
    include_heads: Sequence[int] | None = None,
    html_action: str = "view",
    *,
    kind: str | None = None,
) -> Picture | None:
    """Show weights as tables, one row per query and one column per key, with the numbers where there is room.

    layer, head  one layer, one head, by number; None: all that are included
    kind         "self", "encoder", "decoder" or "cross": only this one; None: all
    The other arguments are those of `head_view`. Raises ViewError for what is not there, or too large to draw.
    """
    kinds = reading.read(
        attention,
        tokens,
        sentence_b_start,
        prettify_tokens,
        encoder_attention,
        decoder_attention,
        cross_attention,
        encoder_tokens,
        decoder_tokens,
        include_layers if layer is None else [layer],
        include_heads if head is None else [head],
    )
    if kind is not None:
        kinds = [reading.Attention(kinds)[kind]]
    tables = [
        Table(f"{one.name}, layer {number}, head {which}", one.weights[row][column], one.rows, one.columns)
        for one in kinds
        for row, number in enumerate(one.layers)
        for column, which in enumerate(one.heads)
    ]
    heads = max(len(one.heads) for one in kinds)
    return _shown(tables, min(len(tables), max(2, heads)) if len(tables) > 1 else 1, html_action)


def before_and_after(
    models: Mapping[str, torch.nn.Module],
    *inputs: torch.Tensor,
    kind: str | None = None,
    layer: int | list[int] | tuple[int, ...] | range = 0,
    head: int | list[int] | tuple[int, ...] | range = 0,
    row: int = 0,
    tokens: Sequence[str] | None = None,
    encoder_tokens: Sequence[str] | None = None,
    decoder_tokens: Sequence[str] | None = None,
    prettify_tokens: bool = True,
    html_action: str = "view",
) -> Picture | None:
    """Show what one head does with one text in several models, side by side and in the same colours.

    models  {title: model}, each called with the same inputs: the model before training, after it, and after it with
            a mistake put in. To put a mistake in: build the model from an assembly in which one part is the mistake,
            `assembly.switch("attention_scores", mistake)`, and load the trained `state_dict()` into it
    inputs  what each model is called with; see `collect`
    kind    "self", "encoder", "decoder" or "cross"; None: cross-attention where there is one, else the first kind
    layer, head  by number; a list shows several, one row of pictures for each
    row, tokens, encoder_tokens, decoder_tokens  those of `collect`; prettify_tokens, html_action  those of `head_view`
    A model that fails, as one with a mistake may, has its error in the place of its picture.
    Raises ViewError if all models fail, or if there is no such kind, layer or head.
    """
    found = {
        title: _attention(model, inputs, kind, row, tokens, encoder_tokens, decoder_tokens, prettify_tokens)
        for title, model in models.items()
    }
    kinds = {title: one for title, one in found.items() if not isinstance(one, Exception)}
    if not found:
        raise ViewError("there is no model; give {title: model}")
    if not kinds:
        raise ViewError(
            "none of the models can be shown: "
            + "; ".join(f"{title}: {type(error).__name__}: {error}" for title, error in found.items())
        )
    heads = [(one, other) for one in _listed(layer) for other in _listed(head)]
    tables = []
    for number, which in heads:
        for title, one in found.items():
            name = f"{title}\n{next(iter(kinds.values())).name}, layer {number}, head {which}"
            if isinstance(one, Exception):
                first = next(iter(kinds.values()))
                tables.append(Table(name, None, first.rows, first.columns, f"{type(one).__name__}: {one}"))
            else:
                part = one.only([number], [which])
                tables.append(Table(name, part.weights[0][0], part.rows, part.columns))
    return _shown(tables, len(models), html_action)


def _attention(
    model: torch.nn.Module,
    inputs: Sequence[torch.Tensor],
    kind: str | None,
    row: int,
    tokens: Sequence[str] | None,
    encoder_tokens: Sequence[str] | None,
    decoder_tokens: Sequence[str] | None,
    prettify_tokens: bool,
) -> Kind | Exception:
    try:
        seen = collect(
            model, *inputs, row=row, tokens=tokens, encoder_tokens=encoder_tokens, decoder_tokens=decoder_tokens
        )
    except Exception as error:  # a mistake may raise anything
        return error
    kinds = reading.read(seen, prettify_tokens=prettify_tokens)
    if kind is None:
        return next((one for one in kinds if one.name == "cross"), kinds[0])
    return reading.Attention(kinds)[kind]


def _listed(numbers: int | list[int] | tuple[int, ...] | range) -> list[int]:
    return list(numbers) if isinstance(numbers, (list, tuple, range)) else [numbers]


class Table:
    """A table of weights [queries, keys] with its title and words, or a text where there are no weights."""

    def __init__(
        self, title: str, weights: torch.Tensor | None, rows: list[str], columns: list[str], text: str = ""
    ) -> None:
        self.title, self.weights, self.rows, self.columns, self.text = title, weights, rows, columns, text

    def in_words(self) -> str:
        """Return what is seen, in one sentence."""
        title = self.title.replace("\n", ", ")
        if self.weights is None:
            return f"{title}: {self.text}."
        finite = torch.nan_to_num(self.weights, 0.0, 0.0, 0.0)
        parts = ", ".join(
            f"“{word}” to “{self.columns[key]}” {row[key]:.2f}"
            for word, row, key in zip(self.rows, finite.tolist(), finite.argmax(-1).tolist(), strict=True)
        )
        return f"{title}, each query's largest weight: {parts}." + self._remark()

    def _remark(self) -> str:
        wrong = 0 if self.weights is None else int((~self.weights.isfinite()).sum())
        return f" {wrong} weights are not finite." if wrong else ""


def _shown(tables: Sequence[Table], columns: int, html_action: str) -> Picture | None:
    if html_action not in ("view", "return"):
        raise ViewError(f'html_action is {html_action!r}; choose "view" or "return"')
    longest = max(max(len(table.rows), len(table.columns)) for table in tables)
    if len(tables) > MOST_TABLES or longest > MOST_POSITIONS:
        raise ViewError(
            f"{len(tables)} tables with up to {longest} positions; up to {MOST_TABLES} and "
            f"{MOST_POSITIONS} can be drawn: choose a layer or a head, or a shorter text"
        )
    picture = Picture("\n".join(table.in_words() for table in tables), png=_drawn(tables, columns))
    if html_action == "return":
        return picture
    picture.show()
    return None


def _drawn(tables: Sequence[Table], columns: int) -> bytes:
    rows = math.ceil(len(tables) / columns)
    with still.paper():
        words, wide, high = (max(parts) for parts in zip(*map(_size, tables), strict=True))
        same = all(table.rows == tables[0].rows for table in tables)
        figure = Figure(figsize=(wide * columns + words * (1 if same else columns), high * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        for place, (axis, table) in enumerate(zip(axes, tables, strict=False)):
            _draw(axis, table, not same or place % columns == 0)
        for axis in list(axes)[len(tables) :]:
            axis.axis("off")
        return still.png(figure, still.shades("Blues"))


def _size(table: Table) -> tuple[float, float, float]:
    """Return inches: the width of the words at the rows, that of the table, the height of both with their title."""
    queries, keys = len(table.rows), len(table.columns)
    step = 0.36 if keys <= MOST_NUMBERED else min(still.ROW, 8 / keys)
    return (
        still.room(table.rows) + 0.2,
        max(2.2, step * keys) + 0.15,
        max(0.8, min(step, 0.3) * queries) + still.room(table.columns) + 0.7,
    )


def _draw(axis: Axes, table: Table, named: bool) -> None:
    axis.set_title(table.title, fontsize=9, parse_math=False)
    if table.weights is None:
        axis.axis("off")
        axis.text(0.5, 0.5, table.text, ha="center", va="center", wrap=True, transform=axis.transAxes, parse_math=False)
        return
    weights = table.weights
    axis.imshow(weights.numpy(), cmap=BLUES, vmin=0, vmax=1, aspect="auto")
    few = len(table.columns) <= MOST_NUMBERED
    if few:
        for query, row in enumerate(weights.tolist()):
            for key, weight in enumerate(row):
                axis.text(
                    key,
                    query,
                    _short(weight),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if weight > 0.55 else "black",
                )
    every = max(1, len(table.columns) // 64)
    axis.set_xticks(
        range(0, len(table.columns), every),
        table.columns[::every],
        rotation=90 if max(map(len, table.columns)) > 2 else 0,
        parse_math=False,
    )
    axis.set_yticks(range(0, len(table.rows), every), table.rows[::every] if named else [], parse_math=False)
    axis.tick_params(length=0)
    axis.set(ylabel="query" if named else None, xlabel="key")


def _short(weight: float) -> str:
    """Return a weight in few letters: .93, 0 for nothing at all, 1 for everything."""
    if not math.isfinite(weight):
        return "nan" if math.isnan(weight) else "inf"
    text = f"{weight:.2f}"
    if not weight or text == "1.00":
        return f"{weight:.0f}"
    return text.replace("0.", ".", 1)
