"""Arguments that are not plain data, described by plain data, so that a probe can ask for them anywhere.

What they keep of their use is in attributes whose names begin with `stub_`: a learner's code that names such an
attribute is found (`reach`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from .local import Stub


@dataclass
class Activation(Stub):
    """A function of torch.nn.functional, by its name: "gelu"."""

    name: str

    def make(self) -> Any:
        return getattr(F, self.name)


@dataclass
class Sublayer(Stub):
    """A function of one tensor, x -> x @ matrix. It reports how often it was called, and with what first."""

    matrix: torch.Tensor

    def make(self) -> "_Sublayer":
        return _Sublayer(self.matrix)

    def report(self, made: "_Sublayer") -> dict[str, Any]:
        return {"calls": str(len(made.stub_given)), "input": made.stub_given[0] if made.stub_given else "none"}


class _Sublayer:
    def __init__(self, matrix: torch.Tensor) -> None:
        self.stub_matrix = matrix
        self.stub_given: list[torch.Tensor | str] = []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.stub_given.append(x.detach().clone() if isinstance(x, torch.Tensor) else f"a {type(x).__name__}")
        return x @ self.stub_matrix.to(x)


@dataclass
class TableTranslator(Stub):
    """An encoder-decoder that looks its logits up, so that decoding can be judged without a model that was built.

    table    [rows, vocab_size]: the logits; the source and all that was read so far decide which row is used
    bos_id   what forward puts in front of a target
    eos_id   the end of sequence
    lengths  [source_vocab_size]: after how many tokens a text ends, by the first token of its source; None: the
             end of sequence is a token of the table like the others
    """

    table: torch.Tensor
    bos_id: int
    eos_id: int
    lengths: torch.Tensor | None = None

    def make(self) -> "_Translator":
        return _Translator(self.table, self.bos_id, self.eos_id, self.lengths)

    def report(self, made: "_Translator") -> dict[str, Any]:
        return {"rows encoded": made.stub_encoded}


class _Translator(torch.nn.Module):
    def __init__(self, table: torch.Tensor, bos_id: int, eos_id: int, lengths: torch.Tensor | None) -> None:
        super().__init__()
        self.bos_id, self.eos_id = bos_id, eos_id
        self.stub_table, self.stub_lengths, self.stub_encoded = table, lengths, 0

    def encode(self, source: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        self.stub_encoded += len(source)
        return source[:, :, None].float(), []

    def decode(
        self, tokens: torch.Tensor, memory: torch.Tensor, source: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        if not tokens.shape[0] == memory.shape[0] == source.shape[0]:
            raise ValueError(
                f"decode got {tokens.shape[0]} rows of tokens, {memory.shape[0]} of memory and "
                f"{source.shape[0]} of source; each row needs its own"
            )
        place, heard = torch.arange(tokens.shape[1]), torch.arange(source.shape[1])
        # Odd squares are far from regular in a table with a prime number of rows: any change finds another row.
        of_source = ((memory[:, :, 0].long() * 3 + source) * (2 * heard + 5) ** 2).sum(1, keepdim=True)
        so_far = ((tokens + 1) * (2 * place + 3) ** 2).cumsum(1)
        # In training mode the answers are others, as they would be under dropout.
        logits = self.stub_table[(of_source + so_far + self.training) % len(self.stub_table)]
        if self.stub_lengths is not None:
            ends = place + 1 == self.stub_lengths[memory[:, 0, 0].long()][:, None]
            logits = logits.clone()
            logits[:, :, self.eos_id] += torch.where(ends, 9.0, -9.0)
        return logits, [], []

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        begin = torch.full_like(target[:, :1], self.bos_id)
        memory, _ = self.encode(source)
        return self.decode(torch.cat([begin, target[:, :-1]], dim=1), memory, source)[0]


@dataclass
class RandomGenerator(Stub):
    """A torch.Generator with this seed. It reports whether anything was drawn from it."""

    seed: int

    def make(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def report(self, made: torch.Generator) -> dict[str, Any]:
        untouched = torch.equal(made.get_state(), self.make().get_state())
        return {"use": "nothing was drawn from it" if untouched else "something was drawn from it"}


@dataclass
class TextModel(Stub):
    """A language model that is a few sums, so that writing can be judged without a model that was built.

    token     [vocab_size, features]  what a token adds
    position  [max_len, features]  what every token is multiplied by, according to its place
    head      [features, vocab_size]  makes logits of the sum of all that was read

    In training mode, in which it begins, all logits have the other sign. It refuses more than max_len tokens, and it
    reports how it was used.
    """

    token: torch.Tensor
    position: torch.Tensor
    head: torch.Tensor

    def make(self) -> "_TextModel":
        return _TextModel(self)

    def report(self, made: "_TextModel") -> dict[str, Any]:
        said = {"modes": {True: "training", False: "evaluation"}, "gradients": {True: "yes", False: "no"}}
        return {
            name: ", ".join(sorted({words[use] for use in getattr(made, f"stub_{name}")})) or "never called"
            for name, words in said.items()
        }


class _TextModel(torch.nn.Module):
    def __init__(self, about: TextModel) -> None:
        super().__init__()
        self.stub_about, self.max_len = about, len(about.position)
        self.stub_modes: list[bool] = []
        self.stub_gradients: list[bool] = []

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        batch, time = tokens.shape
        self.stub_modes.append(self.training)
        self.stub_gradients.append(torch.is_grad_enabled())
        if time > self.max_len:
            raise ValueError(f"a sequence of {time} tokens is longer than max_len {self.max_len}")
        read = (self.stub_about.token[tokens] * self.stub_about.position[:time]).cumsum(dim=1)
        logits = read @ self.stub_about.head
        weights = torch.ones(time, time).tril() / torch.arange(1, time + 1)[:, None]
        return -logits if self.training else logits, [weights.expand(batch, 1, time, time)]


@dataclass
class Gpt(Stub):
    """The closed box LanguageModel with these sizes and parameters.

    It begins in training mode, in which dropout takes everything. It reports how many positions went through its
    layers: the most of any projection to keys, and of any feed-forward network.
    """

    build: dict[str, Any]
    weights: dict[str, torch.Tensor]

    def make(self) -> Any:
        from workbench.parts import LanguageModel

        model: Any = LanguageModel(**self.build, dropout=1.0)
        model.load_state_dict(self.weights)
        model.stub_positions = []
        for layer in model.decoder.layers:
            for module in (layer.self_attention.k_proj, layer.feed_forward.up_proj):
                model.stub_positions.append([])
                module.register_forward_hook(
                    lambda _, given, __, seen=model.stub_positions[-1]: seen.append(given[0].shape[1])
                )
        return model

    def report(self, made: Any) -> dict[str, Any]:
        return {"positions": max(map(sum, made.stub_positions)), "layers used": sum(map(bool, made.stub_positions))}


@dataclass
class Layers(Stub):
    """A list of one tensor per layer."""

    tensors: list[torch.Tensor]

    def make(self) -> list[torch.Tensor]:
        return [tensor.clone() for tensor in self.tensors]

    def report(self, made: list[torch.Tensor]) -> dict[str, Any]:
        kept = len(made) == len(self.tensors) and all(map(torch.equal, made, self.tensors))
        return {"changed": "no" if kept else "yes"}


@dataclass
class Words(Stub):
    """A list of strings."""

    words: list[str]

    def make(self) -> list[str]:
        return list(self.words)

    def report(self, made: list[str]) -> dict[str, Any]:
        return {"changed": "no" if made == self.words else "yes"}


@dataclass
class Translator(Stub):
    """The closed box EncoderDecoder with these sizes and parameters; it begins in training mode, with all dropped."""

    build: dict[str, Any]
    weights: dict[str, torch.Tensor]

    def make(self) -> torch.nn.Module:
        from workbench.parts import EncoderDecoder

        model = EncoderDecoder(**self.build, dropout=1.0)
        model.load_state_dict(self.weights, strict=False)
        return model


@dataclass
class Measure(Stub):
    """A measure of attention weights [..., queries, keys]: the mean over the queries of the largest weight, squared."""

    def make(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda weights: weights.amax(dim=-1).square().mean(dim=-1)


@dataclass
class View(Stub):
    """A view that is called as BertViz's head_view and model_view are, and that reports what they would draw.

    Of each kind of attention: its layers, and the words at its rows and columns. BertViz takes as many layers of every
    kind as the first kind has.
    """

    def make(self) -> "_View":
        return _View()

    def report(self, made: "_View") -> dict[str, Any]:
        drawn: dict[str, torch.Tensor | str] = {}
        for call in made.stub_calls:
            for name, value in _drawn(**call):
                while name in drawn:
                    name += " again"
                drawn[name] = value
        return dict(sorted(drawn.items())) or {"view": "never called"}


class _View:
    def __init__(self) -> None:
        self.stub_calls: list[dict[str, Any]] = []

    def __call__(
        self,
        attention: Any = None,
        tokens: Any = None,
        *,
        encoder_attention: Any = None,
        decoder_attention: Any = None,
        cross_attention: Any = None,
        encoder_tokens: Any = None,
        decoder_tokens: Any = None,
        include_layers: Any = None,
        **looks: object,
    ) -> None:
        self.stub_calls.append(
            dict(
                attention=attention,
                tokens=tokens,
                encoder_attention=encoder_attention,
                decoder_attention=decoder_attention,
                cross_attention=cross_attention,
                encoder_tokens=encoder_tokens,
                decoder_tokens=decoder_tokens,
                include_layers=include_layers,
            )
        )


def _drawn(
    attention: Any,
    tokens: Any,
    encoder_attention: Any,
    decoder_attention: Any,
    cross_attention: Any,
    encoder_tokens: Any,
    decoder_tokens: Any,
    include_layers: Any,
) -> Iterator[tuple[str, torch.Tensor | str]]:
    """Yield (name, tensor or words) of all that BertViz draws in one view."""
    kinds = [
        ("self", attention, tokens, tokens),
        ("encoder", encoder_attention, encoder_tokens, encoder_tokens),
        ("decoder", decoder_attention, decoder_tokens, decoder_tokens),
        ("cross", cross_attention, decoder_tokens, encoder_tokens),
    ]
    kinds = [kind for kind in kinds if kind[1] is not None]
    if attention is not None and len(kinds) > 1:
        yield "view", "refused: attention together with another kind"
    for name, layers, rows, columns in kinds:
        yield f"{name}: rows", _words(rows)
        yield f"{name}: columns", _words(columns)
        if not isinstance(layers, (list, tuple, torch.Tensor)):
            yield f"{name}: layers", f"a {type(layers).__name__}"
            continue
        include_layers = range(len(layers)) if include_layers is None else include_layers
        yield f"{name}: layers", f"{len(layers)}, drawn are {', '.join(map(str, include_layers))}"
        for index, layer in enumerate(layers):
            is_tensor = isinstance(layer, torch.Tensor)
            yield f"{name}: shape of layer {index}", str(list(layer.shape) if is_tensor else type(layer).__name__)
            if is_tensor:
                yield f"{name}: layer {index}", layer.detach()


def _words(tokens: object) -> str:
    if not isinstance(tokens, (list, tuple)):
        return "None" if tokens is None else f"a {type(tokens).__name__}"
    # What is no word is told by its kind: the digits of a tensor that took the words' place are nobody's business.
    return " ".join(str(token) if isinstance(token, (str, int)) else f"({type(token).__name__})" for token in tokens)
