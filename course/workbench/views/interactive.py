"""The three views of BertViz: `head_view`, `model_view`, `neuron_view`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..figures import Picture
from . import attention as reading
from . import page, still
from .attention import Attention, Kind, ViewError

# How many numbers a view may hold, and how many lines it may draw at once: more make a browser slow, or a notebook
# large. A weight takes about 2 bytes.
MOST_NUMBERS = 600_000
MOST_LINES = {"head": 60_000, "model": 150_000, "neuron": 8_000}
# A thumbnail of the model view is as wide as a page with this many heads, at most.
COLUMNS = 6


@dataclass(frozen=True, repr=False)
class View(Picture):
    """An interactive view that Jupyter shows, with a still picture and a sentence for those who cannot run it.

    page  the whole page as text, which needs nothing else
    """

    page: str = ""

    def save(self, path: str | Path) -> Path:
        """Write the page into a file that any browser opens, without a network; return its path."""
        path = Path(path)
        path.write_text(self.page, encoding="utf-8")
        return path


def head_view(
    attention: Attention | Sequence[torch.Tensor] | None = None,
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
    prettify_tokens: bool = True,
    layer: int | None = None,
    heads: Sequence[int] | None = None,
    encoder_attention: Sequence[torch.Tensor] | None = None,
    decoder_attention: Sequence[torch.Tensor] | None = None,
    cross_attention: Sequence[torch.Tensor] | None = None,
    encoder_tokens: Sequence[str] | None = None,
    decoder_tokens: Sequence[str] | None = None,
    include_layers: Sequence[int] | None = None,
    html_action: str = "view",
    *,
    include_heads: Sequence[int] | None = None,
    display_mode: str | None = None,
) -> View | None:
    """Show one layer at a time, all its heads over each other as lines from queries to keys (BertViz's head view).

    attention  what `collect` returned, or a list of [1, heads, time, time], one per layer, with `tokens`
    tokens     one word per position
    sentence_b_start   the position at which a second sentence begins: it adds views of and between both; None: one text
    prettify_tokens    True: a tokenizer's marks for spaces and ends of words are not shown
    layer, heads       what is chosen at first, by number; None: the first layer, all heads
    encoder_attention, decoder_attention, cross_attention, encoder_tokens, decoder_tokens
                       the three kinds of attention of an encoder-decoder, in one view; any may be left out, and they
                       may have different numbers of layers
    include_layers, include_heads  the numbers of those that are shown at all; None: all
    html_action        "view": show it now, and return None; "return": return a `View`, which also has `save(path)`
    display_mode       "light" or "dark"; None: as the page around it
    Raises ViewError (a ValueError) for what does not fit together, is not there, or is too large to draw.
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
        include_layers,
        include_heads,
    )
    layer = _chosen("layer", layer, [number for kind in kinds for number in kind.layers])
    for number in heads or []:
        _chosen("head", number, [each for kind in kinds for each in kind.heads])
    _refuse_size("head", kinds)
    return _shown(
        "head", kinds, still.head(kinds, layer, heads), html_action, layer=layer, heads=heads, mode=_mode(display_mode)
    )


def model_view(
    attention: Attention | Sequence[torch.Tensor] | None = None,
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
    prettify_tokens: bool = True,
    display_mode: str | None = None,
    encoder_attention: Sequence[torch.Tensor] | None = None,
    decoder_attention: Sequence[torch.Tensor] | None = None,
    cross_attention: Sequence[torch.Tensor] | None = None,
    encoder_tokens: Sequence[str] | None = None,
    decoder_tokens: Sequence[str] | None = None,
    include_layers: Sequence[int] | None = None,
    include_heads: Sequence[int] | None = None,
    html_action: str = "view",
) -> View | None:
    """Show all heads of all layers at once, each as a small picture that a click makes large (BertViz's model view).

    The arguments are those of `head_view`.
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
        include_layers,
        include_heads,
    )
    _refuse_size("model", kinds)
    return _shown("model", kinds, still.model(kinds), html_action, mode=_mode(display_mode))


def neuron_view(
    attention: Attention,
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
    prettify_tokens: bool = True,
    display_mode: str | None = None,
    layer: int | None = None,
    head: int | None = None,
    encoder_tokens: Sequence[str] | None = None,
    decoder_tokens: Sequence[str] | None = None,
    include_layers: Sequence[int] | None = None,
    include_heads: Sequence[int] | None = None,
    html_action: str = "view",
) -> View | None:
    """Show how one head's weights come out of its queries and keys, number by number (BertViz's neuron view).

    attention    what `collect` returned: BertViz shows four of Hugging Face's models here, this any that was collected
    layer, head  what is chosen at first, by number; None: the first
    The other arguments are those of `head_view`. Raises ViewError also where queries and keys were not collected.
    """
    if not isinstance(attention, reading.Attention):
        raise ViewError(
            "neuron_view needs queries and keys, which weights do not contain; give what collect(model, ...) returns"
        )
    kinds = reading.read(
        attention,
        tokens,
        sentence_b_start,
        prettify_tokens,
        encoder_tokens=encoder_tokens,
        decoder_tokens=decoder_tokens,
        include_layers=include_layers,
        include_heads=include_heads,
    )
    for kind in kinds:
        if kind.queries is None or kind.keys is None:
            raise ViewError(
                f"the {kind.name} attention has no queries and keys: a q_proj or k_proj of the model was "
                "not called; call both as modules, or look at the weights with head_view"
            )
    layer = _chosen("layer", layer, [number for kind in kinds for number in kind.layers])
    head = _chosen("head", head, [number for kind in kinds for number in kind.heads])
    _refuse_size("neuron", kinds)
    first = kinds[0]
    png = still.neuron(
        first, layer if layer in first.layers else first.layers[0], head if head in first.heads else first.heads[0]
    )
    return _shown(
        "neuron", kinds, png, html_action, _unexplained(kinds), layer=layer, head=head, mode=_mode(display_mode)
    )


def _chosen(what: str, number: int | None, known: Sequence[int]) -> int:
    if number is None:
        return known[0]
    if number not in known:
        raise ViewError(f"{what} {number} is not shown; choose one of {', '.join(map(str, sorted(set(known))))}")
    return number


def _mode(display_mode: str | None) -> str | None:
    if display_mode not in (None, "light", "dark"):
        raise ViewError(f'display_mode is {display_mode!r}; choose "light", "dark", or None for the theme of the page')
    return display_mode


def _refuse_size(view: str, kinds: Sequence[Kind]) -> None:
    """Raise ViewError where a view would be too large, with what would fit."""
    for kind in kinds:
        layers, heads, queries, keys = kind.size
        lines = queries * keys
        numbers = lines + ((queries + keys) * kind.queries[0].shape[-1] if view == "neuron" and kind.queries else 0)
        drawn = {"head": heads, "model": layers * heads, "neuron": 1}[view] * lines
        if layers * heads * numbers <= MOST_NUMBERS and drawn <= MOST_LINES[view]:
            continue
        stored, at_once = MOST_NUMBERS // numbers, MOST_LINES[view] // lines  # how many heads fit
        fitting = {
            "head": min(heads, at_once),
            "model": min(heads, at_once, stored),
            "neuron": min(heads, stored) if at_once else 0,
        }[view]
        deep = min(layers, (min(stored, at_once) if view == "model" else stored) // max(1, fitting))
        raise ViewError(
            f"{view}_view of the {kind.name} attention: {layers} layers x {heads} heads x {queries} queries x {keys} "
            f"keys are {layers * heads * numbers:,} numbers, and {drawn:,} lines at once; up to {MOST_NUMBERS:,} and "
            f"{MOST_LINES[view]:,} can be drawn: {_remedy(layers, heads, deep, fitting)}"
        )


def _remedy(layers: int, heads: int, deep: int, fitting: int) -> str:
    """Return what to do, where so many layers of so many heads fit."""
    parts = []
    if fitting and deep and deep < layers:
        parts.append(f"{deep} layer{'s' * (deep > 1)} with include_layers")
    if fitting and deep and fitting < heads:
        parts.append(f"{fitting} head{'s' * (fitting > 1)} with include_heads")
    chosen = f"choose {' and '.join(parts)}, " if parts else "choose "
    return f"{chosen}a shorter text, or look at one head with heat_map"


def _unexplained(kinds: Sequence[Kind]) -> str:
    """Return a sentence where the weights are not the softmax of queries times keys, or nothing."""
    most, where = 0.0, ""
    for kind in kinds:
        for layer, (weights, queries, keys) in enumerate(
            zip(kind.weights, kind.queries or [], kind.keys or [], strict=True)
        ):
            scores = queries @ keys.mT / queries.shape[-1] ** 0.5
            # What was masked has no weight; a query that sees nothing has none at all.
            expected = torch.nan_to_num(scores.masked_fill(weights == 0, -torch.inf).softmax(-1))
            worst = (expected - weights).abs().amax((1, 2))
            if float(worst.max()) > most:
                most = float(worst.max())
                where = f"{kind.name} layer {kind.layers[layer]}, head {kind.heads[int(worst.argmax())]}"
    if most < 1e-3:
        return ""
    return (
        f" The weights are not the softmax of these queries and keys: they differ by up to {most:.2f} ({where}); "
        "something else changes the queries, the keys or the scores."
    )


def in_words(kinds: Sequence[Kind]) -> str:
    """Return what is shown, with the strongest weight between different words, in one sentence per kind."""
    return " ".join(_kind_in_words(kind) for kind in kinds)


def _kind_in_words(kind: Kind) -> str:
    layers, heads, queries, keys = kind.size
    weights = torch.stack(kind.weights)
    infinite = int((~weights.isfinite()).sum())
    weights = torch.nan_to_num(weights, 0.0, 0.0, 0.0)
    if queries == keys and kind.rows == kind.columns and queries > 1:
        weights = weights * ~torch.eye(queries, dtype=torch.bool)
    place = int(weights.argmax())
    layer, head, query, key = (int(axis) for axis in torch.unravel_index(torch.tensor(place), weights.shape))
    text = (
        f"{kind.name.capitalize()} attention, {layers} layers x {heads} heads, {queries} queries x {keys} keys; "
        f"strongest: in layer {kind.layers[layer]}, head {kind.heads[head]}, “{kind.rows[query]}” ({query}) gives "
        f"“{kind.columns[key]}” ({key}) {float(weights[layer, head, query, key]):.2f}."
    )
    return text + (f" {infinite} weights are not finite and are drawn as 0." if infinite else "")


def _shown(
    view: str, kinds: Sequence[Kind], png: bytes, html_action: str, remark: str = "", **settings: Any
) -> View | None:
    if html_action not in ("view", "return"):
        raise ViewError(f'html_action is {html_action!r}; choose "view" or "return"')
    title = f"{view.capitalize()} view: {', '.join(kind.name for kind in kinds)} attention"
    sentence = f"{view.capitalize()} view. {in_words(kinds)}{remark}"
    text = page.page(view, title, kinds, columns=COLUMNS, **settings)
    frame = page.framed(text, title, sentence, page.height(view, kinds, COLUMNS), png)
    made = View(sentence, html=frame, png=png, page=text)
    if html_action == "return":
        return made
    made.show()
    return None
