"""The attention of a model, taken from its own modules while it reads."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from .attention import Attention, Kind, ViewError, checked

Call = tuple[str, Any, torch.Tensor | None, torch.Tensor | None]  # name of the module, its weights, queries, keys
Seen = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]  # weights, queries, keys of one text


@torch.no_grad()
def collect(
    model: nn.Module,
    *inputs: torch.Tensor,
    row: int = 0,
    tokens: Sequence[str] | None = None,
    encoder_tokens: Sequence[str] | None = None,
    decoder_tokens: Sequence[str] | None = None,
) -> Attention:
    """Return the `Attention` of one text: weights, queries and keys of every attention module that the model calls.

    model   a module whose attention modules have `q_proj` and `k_proj` and return (output, weights): those of lessons
            6 and 8, whoever wrote them. It reads in evaluation mode, and is left in the mode in which it came
    inputs  what the model is called with: token ids [batch, time], or (source, target) for an EncoderDecoder
    row     which text of the batch
    tokens  one word per position, for a model with one stack; None: the ids
    encoder_tokens, decoder_tokens  the same for a model with two. The decoder's are what it reads: the begin of
            sequence, then the target without its last token
    Raises ViewError if the model calls no such module, or one whose weights are not one matrix per head.
    """
    inputs = tuple(value[None] if _is_ids(value) and value.dim() == 1 else value for value in inputs)
    calls: list[Call] = []
    was_training = model.training
    try:
        with _watched(model, calls):
            model.eval()
            model(*inputs)
    finally:
        model.train(was_training)
    if not calls:
        raise ViewError(
            f"{type(model).__name__} called no attention module with q_proj and k_proj; give the model "
            "that holds them, and what it reads"
        )
    found: dict[str, list[Seen]] = defaultdict(list)
    for name, *seen in calls:
        found[_kind_of(name)].append(_of_one_text(name, row, *seen))
    if len(found) == 1 and "cross" not in found:
        found = {"self": next(iter(found.values()))}
    words = _words(model, inputs, row, found, tokens, encoder_tokens, decoder_tokens)
    return Attention(
        [_kind(name, found[name], *words[name]) for name in ("self", "encoder", "decoder", "cross") if name in found]
    )


def _is_ids(value: object) -> bool:
    return isinstance(value, torch.Tensor) and not value.is_floating_point()


@contextmanager
def _watched(model: nn.Module, calls: list[Call]) -> Iterator[None]:
    """Append (name, weights, queries, keys) to `calls` for each call of an attention module, in their order."""
    hooks: list[RemovableHandle] = []
    for name, module in model.named_modules():
        projections: list[Any] = [getattr(module, projection, None) for projection in ("q_proj", "k_proj")]
        if all(isinstance(projection, nn.Module) for projection in projections):
            hooks += _watch(name, module, projections, calls)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _watch(
    name: str, module: nn.Module, projections: Sequence[nn.Module], calls: list[Call]
) -> Iterator[RemovableHandle]:
    seen: dict[nn.Module, list[torch.Tensor | None]] = defaultdict(list)

    def begin(module: nn.Module, given: Any) -> None:
        seen.clear()

    def keep(projection: nn.Module, given: Any, output: torch.Tensor) -> None:
        seen[projection].append(output)

    def end(module: nn.Module, given: Any, output: Any) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        # Where one projection serves both, its first result is the queries and its last one the keys.
        query, key = projections
        queries, keys = (seen[query] or [None])[0], (seen[key] or [None])[-1]
        calls.append((name, weights, queries, keys))

    yield module.register_forward_pre_hook(begin)
    yield from (projection.register_forward_hook(keep) for projection in dict.fromkeys(projections))
    yield module.register_forward_hook(end)


def _kind_of(name: str) -> str:
    if "cross_attention" in name:
        return "cross"
    return "decoder" if "decoder" in name.split(".") else "encoder"


def _of_one_text(
    name: str, row: int, weights: object, queries: torch.Tensor | None, keys: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Return (weights [heads, queries, keys], queries or None, keys or None) of one call and one text."""
    shape = list(weights.shape) if isinstance(weights, torch.Tensor) else type(weights).__name__
    if not isinstance(weights, torch.Tensor) or weights.dim() not in (3, 4):
        raise ViewError(
            f"{name or 'the model'} returned {shape} for its weights, where [batch, heads, queries, keys] "
            "is expected; return (output, weights) from its forward"
        )
    if not 0 <= row < len(weights):
        raise ViewError(f"row is {row}, but the batch has {len(weights)} texts; count from 0")
    weights = weights[row] if weights.dim() == 4 else weights[row, None]
    heads = len(weights)
    queries = _split(queries, row, weights.shape[1], lambda vectors: vectors.unflatten(-1, (heads, -1)))
    keys = (
        None
        if queries is None
        else _split(keys, row, weights.shape[2], lambda vectors: vectors.unflatten(-1, (-1, queries.shape[-1])))
    )
    if keys is not None and len(keys) < heads:
        keys = keys.repeat_interleave(heads // len(keys), dim=0)  # heads in groups share keys
    return weights.detach().cpu().float(), queries, keys


def _split(
    vectors: torch.Tensor | None, row: int, time: int, into_heads: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor | None:
    """Return [heads, time, head_dim] of what a projection gave; None if it was not called, or cannot be split."""
    if vectors is None or vectors.dim() != 3 or vectors.shape[1] != time:
        return None
    try:
        return into_heads(vectors[row].detach().cpu().float()).transpose(0, 1)
    except RuntimeError:
        return None


def _kind(name: str, layers: Iterable[Seen], rows: list[str], columns: list[str]) -> Kind:
    weights, queries, keys = (list(parts) for parts in zip(*layers, strict=True))
    all_queries, all_keys = (None if any(one is None for one in parts) else parts for parts in (queries, keys))
    return checked(Kind(name, weights, rows, columns, all_queries, all_keys))


def _words(
    model: nn.Module,
    inputs: Sequence[torch.Tensor],
    row: int,
    found: Mapping[str, Sequence[Seen]],
    tokens: Sequence[str] | None,
    encoder_tokens: Sequence[str] | None,
    decoder_tokens: Sequence[str] | None,
) -> dict[str, tuple[list[str], list[str]]]:
    """Return {kind: (rows, columns)}: the words that are given, or the ids, or the numbers of the positions."""
    ids = [[str(number) for number in value[row].tolist()] for value in inputs if _is_ids(value)]
    if len(ids) == 2 and hasattr(model, "bos_id"):
        ids[1] = [str(model.bos_id), *ids[1][:-1]]  # a row is named after what the decoder reads
    sources = {"self": (tokens, 0), "encoder": (encoder_tokens, 0), "decoder": (decoder_tokens, 1)}

    def named(name: str, size: int) -> list[str]:
        given, place = sources[name]
        if given is not None:
            return [str(word) for word in given]
        known = ids[place] if place < len(ids) else []
        return known if len(known) == size else [str(position) for position in range(size)]

    words = {}
    for kind, layers in found.items():
        queries, keys = layers[0][0].shape[1:]
        rows, columns = ("decoder", "encoder") if kind == "cross" else (kind, kind)
        words[kind] = named(rows, queries), named(columns, keys)
    return words
