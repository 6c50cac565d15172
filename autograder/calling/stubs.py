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
class Encoding(Stub):
    """A function text -> token ids, all from 10 up: how long the text is, then its bytes.

    So the ids of two texts side by side are not those of the two together, as with merges.
    """

    def make(self) -> Callable[[str], list[int]]:
        return lambda text: [10 + len(text), *(100 + byte for byte in text.encode("utf-8", "surrogatepass"))]


@dataclass
class Messages(Stub):
    """Messages of a conversation. They report whether the list, or a message in it, was changed.

    pairs  (role, content) of each
    """

    pairs: tuple[tuple[str, str], ...]

    def make(self) -> list[dict[str, str]]:
        return [{"role": role, "content": content} for role, content in self.pairs]

    def report(self, made: list[dict[str, str]]) -> dict[str, Any]:
        return {"change": "none" if made == self.make() else "changed in place"}


@dataclass
class Bytes(Stub):
    """What each token spells, as a list of bytes by id.

    spelled  for each id, its bytes as numbers
    """

    spelled: tuple[tuple[int, ...], ...]

    def make(self) -> list[bytes]:
        return [bytes(one) for one in self.spelled]


@dataclass
class Arriving(Stub):
    """Token ids that come one by one, as from a model that writes: an iterator. It counts how often it was asked."""

    ids: tuple[int, ...]

    def make(self) -> Iterator[int]:
        _ASKED.clear()
        return self._counted()

    def _counted(self) -> Iterator[int]:
        for one in self.ids:
            _ASKED.append(one)
            yield one
        _ASKED.append(-1)


@dataclass
class Shown(Stub):
    """A function of one piece of text. It reports what it was given, and how many ids of `Arriving` had been asked for.

    The last of these numbers, one more than there are ids, is that of what is shown when nothing more comes.
    """

    def make(self) -> "_Shown":
        return _Shown()

    def report(self, made: "_Shown") -> dict[str, Any]:
        pieces = [piece for _, piece in made.stub_given]
        whole = "".join(piece for piece in pieces if isinstance(piece, str))
        return {
            "text": repr(whole),
            "pieces": " ".join(f"{asked}:{piece!r}" for asked, piece in made.stub_given) or "none",
            "empty pieces": "some" if "" in pieces else "none",
        }


class _Shown:
    def __init__(self) -> None:
        self.stub_given: list[tuple[int, str]] = []

    def __call__(self, piece: str) -> None:
        self.stub_given.append((len(_ASKED), piece if isinstance(piece, str) else f"a {type(piece).__name__}"))


_ASKED: list[int] = []  # ids of the last `Arriving` that were asked for


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


@dataclass
class RootMeanSquareNorm(Stub):
    """An nn.RMSNorm with this weight [embed_dim]."""

    weight: torch.Tensor

    def make(self) -> torch.nn.Module:
        return _norm(self.weight)


@dataclass
class LinearLayer(Stub):
    """An nn.Linear with this weight [out, in] and bias [out]; None: without a bias."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def make(self) -> torch.nn.Module:
        return _linear(self.weight, self.bias)


def _norm(weight: torch.Tensor) -> torch.nn.Module:
    norm = torch.nn.RMSNorm(len(weight), eps=1e-5)
    norm.weight = torch.nn.Parameter(weight.clone())
    return norm


def _linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.nn.Linear:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = torch.nn.Parameter(weight.clone())
    if bias is not None:
        layer.bias = torch.nn.Parameter(bias.clone())
    return layer


@dataclass
class ResidualModel(Stub):
    """A language model with a residual stream, tokens [batch, time] to logits [batch, time, vocab_size].

    token   [vocab_size, embed_dim]  the embedding
    mixing  [layers, embed_dim, embed_dim]  one matrix per layer
    scale   [embed_dim]  the weight of the norm
    head    [vocab_size, embed_dim]

    Each layer takes and returns [batch, time, embed_dim], and has a forward hook of its own. A token that is not in the
    vocabulary is a ValueError. It reports
    what a call leaves behind: hooks, and whether the model answers as before.
    """

    token: torch.Tensor
    mixing: torch.Tensor
    scale: torch.Tensor
    head: torch.Tensor

    def make(self) -> "_ResidualModel":
        return _ResidualModel(self).eval()

    def report(self, made: "_ResidualModel") -> dict[str, Any]:
        more = _hooks_of(made) - len(self.mixing)
        left = "none" if not more else f"{more}" if more > 0 else "none, and some of others are gone"
        tokens = torch.arange(len(self.token))[None]
        with torch.no_grad():
            wanted = self.make()(tokens)
            try:
                again = made(tokens)
            except Exception:  # what was left behind, a learner's own code
                return {"hooks": left, "answers": "an exception"}
        alike = isinstance(again, torch.Tensor) and again.shape == wanted.shape and torch.equal(again, wanted)
        return {"hooks": left, "answers": "as before" if alike else "others than before"}


def _hooks_of(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


class _ResidualModel(torch.nn.Module):
    def __init__(self, about: ResidualModel) -> None:
        super().__init__()
        self.embedding = _Table.from_pretrained(about.token.clone())
        self.layers = torch.nn.ModuleList(map(_MixingLayer, about.mixing))
        self.norm, self.head = _norm(about.scale), _linear(about.head)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        logits: torch.Tensor = self.head(self.norm(x))
        return logits


class _Table(torch.nn.Embedding):
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        if bool((tokens >= self.num_embeddings).any()):
            raise ValueError(f"token {int(tokens.max())} is not in a vocabulary of {self.num_embeddings}")
        return super().forward(tokens)


class _MixingLayer(torch.nn.Module):
    """Adds to each position what all positions up to it have in the mean, through a matrix and a bend."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__()
        self.matrix = torch.nn.Parameter(matrix.clone())
        self.register_forward_hook(lambda module, given, output: None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        return x + torch.tanh(x.cumsum(dim=1) / count @ self.matrix)


@dataclass
class Gradients(Stub):
    """A list of gradients, one per parameter; None for a parameter that has none."""

    tensors: list[torch.Tensor | None]

    def make(self) -> list[torch.Tensor | None]:
        return [None if tensor is None else tensor.clone() for tensor in self.tensors]

    def report(self, made: list[torch.Tensor | None]) -> dict[str, Any]:
        kept = len(made) == len(self.tensors) and all(map(_is_as_it_was, made, self.tensors))
        return {"changed": "no" if kept else "yes"}


def _is_as_it_was(now: object, before: torch.Tensor | None) -> bool:
    if not isinstance(now, torch.Tensor) or before is None:
        return now is before
    return now.shape == before.shape and torch.equal(now, before)


@dataclass
class NewModel(Stub):
    """The parameters of a small GPT and nothing else, to see what they become before training.

    It has a token table, a table of positions in a module that is not one of torch's, layers, a last norm and a head
    that is tied to the token table. Every number is `filled` at first, so what is left as it was is seen. It reports
    each parameter under its name, and whether the tie and the buffer are as they were.
    """

    embed_dim: int
    ff_dim: int
    vocab_size: int
    max_len: int
    num_layers: int
    filled: float

    def make(self) -> "_NewModel":
        return _NewModel(self)

    def report(self, made: "_NewModel") -> dict[str, Any]:
        kept = dict(made.named_parameters(remove_duplicate=False))
        same = all(kept.get(name) is parameter for name, parameter in made.stub_first.items())
        told: dict[str, Any] = {
            name: parameter.detach().clone() for name, parameter in kept.items() if name != "head.weight"
        }
        told["parameters are the same objects"] = "yes" if same else "no"
        told["token table and head are one"] = "yes" if kept["head.weight"] is kept["token.weight"] else "no"
        told["buffer is as it was"] = "yes" if bool((made.buffer == self.filled).all()) else "no"
        return told


class _NewTable(torch.nn.Module):
    def __init__(self, rows: int, features: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(rows, features))


class _NewLayer(torch.nn.Module):
    def __init__(self, embed_dim: int, ff_dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(embed_dim), torch.nn.RMSNorm(embed_dim)
        self.attention = torch.nn.Module()
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self.attention, name, torch.nn.Linear(embed_dim, embed_dim))
        self.feed_forward = torch.nn.Module()
        self.feed_forward.up_proj = torch.nn.Linear(embed_dim, ff_dim)
        self.feed_forward.down_proj = torch.nn.Linear(ff_dim, embed_dim, bias=False)


class _NewModel(torch.nn.Module):
    def __init__(self, about: NewModel) -> None:
        super().__init__()
        self.token = torch.nn.Embedding(about.vocab_size, about.embed_dim)
        self.position = _NewTable(about.max_len, about.embed_dim)
        self.layers = torch.nn.ModuleList(_NewLayer(about.embed_dim, about.ff_dim) for _ in range(about.num_layers))
        self.norm = torch.nn.LayerNorm(about.embed_dim)
        self.head = torch.nn.Linear(about.embed_dim, about.vocab_size, bias=False)
        self.head.weight = self.token.weight
        self.register_buffer("buffer", torch.full((about.max_len, about.embed_dim), about.filled))
        self.buffer: torch.Tensor
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(about.filled)
        self.stub_first = dict(self.named_parameters(remove_duplicate=False))


@dataclass
class LogitsModel(TextModel):
    """A `TextModel` that gives its logits alone. It reports the mode that it is left in, and the sizes of its inputs.

    training  the mode in which it begins
    """

    training: bool = True

    def make(self) -> "_LogitsModel":
        return _LogitsModel(self).train(self.training)

    def report(self, made: Any) -> dict[str, Any]:
        return super().report(made) | {
            "left in": "training" if made.training else "evaluation",
            "most pieces": max((size[0] for size in made.stub_sizes), default=0),
            "longest piece": max((size[1] for size in made.stub_sizes), default=0),
        }


class _LogitsModel(_TextModel):
    def __init__(self, about: LogitsModel) -> None:
        super().__init__(about)
        self.weight = torch.nn.Parameter(about.head.clone())  # some ask a model's parameters on which device it is
        self.stub_sizes: list[torch.Size] = []

    def forward(self, tokens: torch.Tensor) -> Any:
        self.stub_sizes.append(tokens.shape)
        return super().forward(tokens)[0]
