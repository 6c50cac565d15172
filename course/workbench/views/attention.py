"""Attention as the views draw it: one table per head and layer, with the words at its rows and columns."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch


class ViewError(ValueError):
    """What cannot be drawn: place, fact, remedy."""


@dataclass(frozen=True)
class Kind:
    """Attention of one kind: of an encoder, of a decoder, or from a decoder to an encoder.

    name     what it is called: "self", "encoder", "decoder", "cross"
    weights  one [heads, queries, keys] per layer
    rows     one word per query
    columns  one word per key
    queries  one [heads, queries, head_dim] per layer, or None
    keys     one [heads, keys, head_dim] per layer, or None
    layers   the numbers of the layers, as they are shown
    heads    the numbers of the heads, as they are shown
    """

    name: str
    weights: list[torch.Tensor]
    rows: list[str]
    columns: list[str]
    queries: list[torch.Tensor] | None = None
    keys: list[torch.Tensor] | None = None
    layers: list[int] = cast(list[int], None)  # counted from 0 if none are given
    heads: list[int] = cast(list[int], None)

    def __post_init__(self) -> None:
        if self.layers is None:
            object.__setattr__(self, "layers", list(range(len(self.weights))))
        if self.heads is None:
            object.__setattr__(self, "heads", list(range(len(self.weights[0]))))

    @property
    def size(self) -> tuple[int, ...]:
        """How many layers, heads, queries and keys there are."""
        return (len(self.weights), *self.weights[0].shape)

    def only(self, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None) -> "Kind":
        """Return the same with some of its layers and heads, by their numbers; None: all."""
        layer = _places(layers, self.layers, f"layer of the {self.name} attention")
        head = _places(heads, self.heads, f"head of the {self.name} attention")

        def chosen(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
            return [tensors[place][head] for place in layer]

        return dataclasses.replace(
            self,
            weights=chosen(self.weights),
            queries=None if self.queries is None else chosen(self.queries),
            keys=None if self.keys is None else chosen(self.keys),
            layers=[self.layers[place] for place in layer],
            heads=[self.heads[place] for place in head],
        )

    def between(self, name: str, queries: slice, keys: slice) -> "Kind":
        """Return the same under another name, between some of the queries and some of the keys (slices)."""
        return dataclasses.replace(
            self,
            name=name,
            weights=[weights[:, queries, keys] for weights in self.weights],
            rows=self.rows[queries],
            columns=self.columns[keys],
            queries=self.queries and [vectors[:, queries] for vectors in self.queries],
            keys=self.keys and [vectors[:, keys] for vectors in self.keys],
        )


def _places(numbers: Sequence[int] | None, known: list[int], what: str) -> list[int]:
    if numbers is None:
        return list(range(len(known)))
    unknown = [number for number in numbers if number not in known]
    if unknown or not numbers:
        raise ViewError(
            f"there is no {what} with the number {unknown[0] if unknown else 'of an empty list'}; "
            f"choose from {', '.join(map(str, known))}"
        )
    return [known.index(number) for number in numbers]


@dataclass(frozen=True)
class Attention:
    """All attention of one text: what `collect` returns and every view takes.

    kinds  a list of `Kind`
    """

    kinds: list[Kind]

    def __getitem__(self, name: str) -> Kind:
        """Return the `Kind` of this name: "self", "encoder", "decoder" or "cross"."""
        for kind in self.kinds:
            if kind.name == name:
                return kind
        raise ViewError(f"there is no {name!r} attention; choose from {', '.join(kind.name for kind in self.kinds)}")

    def __repr__(self) -> str:
        return "\n".join(
            f"{kind.name} attention: {layers} layers x {heads} heads, {queries} queries x {keys} keys"
            for kind in self.kinds
            for layers, heads, queries, keys in [kind.size]
        )


def read(
    attention: Attention | Sequence[torch.Tensor] | None = None,
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
    prettify_tokens: bool = True,
    encoder_attention: Sequence[torch.Tensor] | None = None,
    decoder_attention: Sequence[torch.Tensor] | None = None,
    cross_attention: Sequence[torch.Tensor] | None = None,
    encoder_tokens: Sequence[str] | None = None,
    decoder_tokens: Sequence[str] | None = None,
    include_layers: Sequence[int] | None = None,
    include_heads: Sequence[int] | None = None,
) -> list[Kind]:
    """Return the list of `Kind` that arguments named as those of BertViz stand for.

    attention  an `Attention` from `collect`, or a list of [1, heads, time, time], one per layer, with `tokens`
    sentence_b_start  the position at which a second sentence begins, or None
    prettify_tokens   True: marks of a tokenizer for spaces and ends of words are not shown
    encoder_attention, decoder_attention, cross_attention  lists of [1, heads, queries, keys], one per layer, with
                      `encoder_tokens` and `decoder_tokens`; they may have different numbers of layers
    include_layers, include_heads  numbers, counted from 0; None: all. A kind that is less deep shows those it has
    Raises ViewError for what is missing, does not fit together, or is not there.
    """
    three = {
        "encoder": (encoder_attention, encoder_tokens, encoder_tokens),
        "decoder": (decoder_attention, decoder_tokens, decoder_tokens),
        "cross": (cross_attention, decoder_tokens, encoder_tokens),
    }
    given = {name: (weights, rows, columns) for name, (weights, rows, columns) in three.items() if weights is not None}
    if (attention is not None) == bool(given):
        raise ViewError(
            "give `attention`, or one or more of `encoder_attention`, `decoder_attention` and "
            "`cross_attention`; " + ("both are given" if given else "neither is given")
        )
    if isinstance(attention, Attention):
        kinds = _renamed(attention.kinds, tokens, encoder_tokens, decoder_tokens)
    elif attention is not None:
        kinds = [_kind("self", attention, tokens, tokens)]
    else:
        kinds = [_kind(name, *parts) for name, parts in given.items()]
    kinds = [_part(kind, include_layers, include_heads) for kind in kinds]
    if include_layers is not None and not any(kind.layers for kind in kinds):
        raise ViewError(f"include_layers is {list(include_layers)}, but no attention has such a layer; count from 0")
    kinds = [kind for kind in kinds if kind.layers]
    if prettify_tokens:
        kinds = [
            dataclasses.replace(
                kind, rows=[pretty(word) for word in kind.rows], columns=[pretty(word) for word in kind.columns]
            )
            for kind in kinds
        ]
    return kinds if sentence_b_start is None else _two_sentences(kinds[0], sentence_b_start)


def _kind(
    name: str, weights: Iterable[torch.Tensor], rows: Sequence[str] | None, columns: Sequence[str] | None
) -> Kind:
    words = {"self": "tokens", "encoder": "encoder_tokens", "decoder": "decoder_tokens"}
    for tokens, which in ((rows, words.get(name, "decoder_tokens")), (columns, words.get(name, "encoder_tokens"))):
        if tokens is None:
            raise ViewError(f"{name} attention has no words; give `{which}`, one word for each position")
    assert rows is not None and columns is not None
    layers = [_table(name, number, layer) for number, layer in enumerate(weights)]
    if not layers:
        raise ViewError(f"the {name} attention has no layers; give one tensor per layer")
    return checked(Kind(name, layers, [str(word) for word in rows], [str(word) for word in columns]))


def _table(name: str, number: int, layer: torch.Tensor) -> torch.Tensor:
    """Return one layer as [heads, queries, keys]; a batch axis of size 1 is taken away."""
    layer = torch.as_tensor(layer).detach().cpu().float()
    if layer.dim() == 4 and len(layer) == 1:
        layer = layer[0]
    if layer.dim() != 3:
        many = layer.dim() == 4
        raise ViewError(
            f"layer {number} of the {name} attention is {list(layer.shape)}, where "
            "[1, heads, queries, keys] is expected; "
            + ("choose one text, as in weights[:1]" if many else "give one matrix per head")
        )
    return layer


def checked(kind: Kind) -> Kind:
    """Return a kind whose layers, words, queries and keys fit together, or raise ViewError."""
    heads, queries, keys = kind.weights[0].shape
    for number, layer in enumerate(kind.weights):
        if layer.shape != (heads, queries, keys):
            raise ViewError(
                f"layer {number} of the {kind.name} attention is {list(layer.shape)}, layer 0 is "
                f"{[heads, queries, keys]}; give layers of one shape"
            )
    for words, size, what in ((kind.rows, queries, "queries"), (kind.columns, keys, "keys")):
        if len(words) != size:
            raise ViewError(
                f"{len(words)} tokens for the {size} {what} of the {kind.name} attention; give "
                "one for each, including special tokens"
            )
    return kind


def _renamed(
    kinds: Sequence[Kind],
    tokens: Sequence[str] | None,
    encoder_tokens: Sequence[str] | None,
    decoder_tokens: Sequence[str] | None,
) -> list[Kind]:
    """Return collected kinds with other words, where any are given."""
    rows = {"self": tokens, "encoder": encoder_tokens, "decoder": decoder_tokens, "cross": decoder_tokens}
    columns = rows | {"cross": encoder_tokens}
    return [
        checked(
            dataclasses.replace(
                kind, rows=list(rows.get(kind.name) or kind.rows), columns=list(columns.get(kind.name) or kind.columns)
            )
        )
        for kind in kinds
    ]


def _part(kind: Kind, layers: Sequence[int] | None, heads: Sequence[int] | None) -> Kind:
    if layers is not None:
        layers = [number for number in layers if number in kind.layers]
        if not layers:
            return dataclasses.replace(kind, layers=[])
    return kind.only(layers, heads)


def _two_sentences(kind: Kind, start: int) -> list[Kind]:
    if not 0 < start < len(kind.rows):
        raise ViewError(
            f"sentence_b_start is {start}, but there are {len(kind.rows)} tokens; choose a number between "
            f"1 and {len(kind.rows) - 1}"
        )
    first, second, whole = slice(0, start), slice(start, None), slice(None)
    return [
        kind.between("all", whole, whole),
        kind.between("sentence A to A", first, first),
        kind.between("sentence B to B", second, second),
        kind.between("sentence A to B", first, second),
        kind.between("sentence B to A", second, first),
    ]


def pretty(word: str) -> str:
    """Return a word without the marks of tokenizers; one that is only space is shown by a sign."""
    word = word.replace("Ġ", " ").replace("▁", " ").replace("Ċ", "\n").replace("</w>", "").replace("\n", "⏎")
    return word if word.strip() else "␣" * max(1, len(word))
