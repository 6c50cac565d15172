"""What is seen of assembled models, with weights that depend on their names alone, and whether two show the same."""

import functools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from workbench.smollm2 import SmolLM2

from .known import BOX, PARTS, short
from .wiring import Wiring

WIDTH, HEADS, HIDDEN, VOCAB, MAX_LEN = 12, 3, 17, 23, 7
PAD, BOS, END = 4, 1, 8

Seen = list[torch.Tensor | str]


def observed(wiring: Wiring, first: str = "") -> Iterator[tuple[str, Seen]]:
    """Yield (view, [tensor, or an error as a string]) of models whose weights depend on their names alone.

    first  the view to begin with
    """
    for view, compute in sorted(_views(wiring), key=lambda one: one[0] != first):
        try:
            seen = tree_leaves(compute())
        except Exception as error:
            seen = [short(error)]
        yield view, [value.detach().clone() if isinstance(value, torch.Tensor) else str(value) for value in seen]


def _views(wiring: Wiring) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield (view, function) of all that is looked at; the functions return tensors, and what holds them."""
    part, sizes = wiring.chosen, dict(embed_dim=WIDTH, num_heads=HEADS, ff_dim=HIDDEN, max_len=MAX_LEN)
    # A pattern in which no two rows are alike; the second and third text end in padding.
    source = torch.arange(3 * 7).reshape(3, 7) * 5 % (VOCAB - 5) + 5
    source[1, 5:] = source[2, 3:] = PAD
    target = torch.arange(3 * 5).reshape(3, 5) * 7 % (VOCAB - 5) + 5
    numbers = torch.linspace(-2, 2, 3 * 7 * VOCAB).reshape(3, 7, VOCAB).sin()

    for norm_first in (False, True):
        model = functools.cache(
            lambda norm_first=norm_first: _filled(
                wiring.build(
                    "EncoderDecoder",
                    source_vocab_size=VOCAB,
                    target_vocab_size=VOCAB,
                    encoder_layers=2,
                    decoder_layers=1,
                    pad_id=PAD,
                    bos_id=BOS,
                    norm_first=norm_first,
                    **sizes,
                )
            )
        )
        what = f"EncoderDecoder, {'pre' if norm_first else 'post'}-norm:"
        yield f"{what} encode", lambda model=model: model().encode(source)
        yield f"{what} logits", lambda model=model: model()(source, target)
        yield f"{what} decode", lambda model=model: model().decode(target, model().encode(source)[0], source)
        yield f"{what} gradients", lambda model=model: _gradients(model(), model()(source, target))
    # The last of them, which is pre-norm, also writes.
    yield f"{what} greedy", lambda: part["greedy_decode"](model(), source, BOS, END, PAD, 6)
    yield f"{what} beams", lambda: part["beam_search"](model(), source, BOS, END, PAD, 5, 3, 0.7)

    writer = functools.cache(lambda: _filled(wiring.build("LanguageModel", vocab_size=VOCAB, num_layers=2, **sizes)))
    yield "LanguageModel: logits", lambda: writer()(target)
    yield "LanguageModel: gradients", lambda: _gradients(writer(), writer()(target)[0])
    yield "LanguageModel: loss", lambda: part["next_token_loss"](writer()(source)[0], source, PAD)
    yield "LanguageModel: greedy", lambda: part["generate"](writer(), target, 4)
    for seed in range(3):
        yield (
            f"LanguageModel: drawn {seed}",
            lambda seed=seed: part["generate"](
                writer(), target, 3, True, 1.5, 5, 0.8, torch.Generator().manual_seed(seed)
            ),
        )
    yield "LanguageModel: cache", lambda: part["generate_with_cache"](writer(), target[:, :2], 7)
    yield "filter_logits", lambda: part["filter_logits"](numbers[0, 0], 0.7, 5, 0.6).softmax(dim=-1)

    # What a Llama is made of: the parts of SmolLM2.
    llama = functools.cache(
        lambda: _filled(
            SmolLM2(
                _Chosen(wiring),
                vocab_size=VOCAB,
                embed_dim=2 * WIDTH,
                num_heads=6,
                num_groups=2,
                ff_dim=HIDDEN,
                num_layers=2,
                max_len=MAX_LEN,
                base=100.0,
                eps=1e-3,
            )
        )
    )
    yield "SmolLM2: logits", lambda: llama()(source)
    yield "SmolLM2: attention", lambda: llama().attention(source)
    yield "SmolLM2: gradients", lambda: _gradients(llama(), llama()(source))

    reader = functools.cache(
        lambda: _filled(
            wiring.build("SequenceClassifier", vocab_size=VOCAB, num_layers=2, num_classes=5, pad_id=PAD, **sizes)
        )
    )
    yield "SequenceClassifier: logits", lambda: reader()(source)
    yield "SequenceClassifier: gradients", lambda: _gradients(reader(), reader()(source)[0])
    yield (
        "masked_language_model_loss",
        lambda: part["masked_language_model_loss"](numbers, source.masked_fill(source == PAD, -100)),
    )
    yield "sentence_embedding", lambda: part["sentence_embedding"](numbers, source != PAD)


class _Chosen:
    """The chosen parts, with the face of an assembly."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def __getitem__(self, part: str) -> Any:
        return self._wiring.chosen[part]

    def build(self, part: str, **sizes: Any) -> Any:
        return self._wiring.build(part, **sizes)


def _filled(model: Any) -> Any:
    """Return a model in evaluation mode, each parameter filled with numbers that depend on its name alone."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            seed = zlib.crc32(_known_as(name).encode())
            # With small tables of tokens an untrained model writes one token again and again.
            reach = 3.0 if name.endswith(("token.weight", "head.weight")) else 0.6
            parameter.uniform_(-reach, reach, generator=torch.Generator().manual_seed(seed))
    return model.eval()


def _known_as(name: str) -> str:
    """Return a parameter's name; what follows on `position` is everyone's own affair."""
    return re.sub(r"position.*", "position", name)


def _gradients(model: torch.nn.Module, output: torch.Tensor) -> torch.Tensor:
    """Return all gradients, in the order of names, of a sum of the output in which no two numbers count the same."""
    named = sorted(model.named_parameters(), key=lambda one: _known_as(one[0]))
    total = (output * torch.linspace(-1, 1, output.numel()).reshape(output.shape)).sum()
    found = torch.autograd.grad(total, [parameter for _, parameter in named], allow_unused=True)
    # In one piece: a gradient that should be 0, such as that of the bias of a key, is rounding next to the others.
    return torch.cat([torch.zeros(1) if gradient is None else gradient.flatten() for gradient in found])


@functools.cache
def of_the_boxes() -> dict[str, Seen]:
    """Return {view: values} of models made of closed boxes only."""
    return dict(observed(Wiring([]).connect(dict.fromkeys(PARTS, BOX))))


def difference(views: Iterable[tuple[str, Seen]], expected: Mapping[str, Seen]) -> str | None:
    """Return the first view that is not as expected, or None; no more of them are computed than it takes."""
    for view, values in views:
        if len(values) != len(expected[view]) or not all(map(_alike, values, expected[view])):
            return view
    return None


def _alike(one: object, other: object) -> bool:
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return isinstance(one, str) and one == other
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    room = 1e-4 * max(1e-3, other.abs().max().item()) if other.numel() else 0.0
    return torch.allclose(one.double(), other.double(), rtol=0.0, atol=room, equal_nan=True)
