"""Numbers for parameters, by the names of the contracts: {name in the state dict: tensor}.

They are small enough that a softmax behind them does not saturate, and large enough that no two results are nearly
equal. A `prefix` is what stands before each name: empty, or with a dot at its end.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..calling.numbers import Numbers

FORMS = {"post-norm": False, "pre-norm": True}  # the two forms of a layer, and its norm_first
# What makes a `layer` one of a decoder
DECODER: dict[str, Any] = dict(attentions=("self_attention", "cross_attention"), norms=(1, 2, 3))
DECODER_ONLY: dict[str, Any] = dict(norms=(1, 3))  # of one without cross-attention


def anew(numbers: Numbers, build: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the arguments of a constructor with other sizes, as `Numbers.axis` gives them.

    names  of the sizes; if none are given, all that do not begin with "num_"
    Where num_heads stays as it is, and where it does not, embed_dim is divisible by it.
    """
    names = names or tuple(name for name in build if not name.startswith("num_"))
    sizes = {name: numbers.axis(build[name]) for name in names}
    if "embed_dim" in names:
        usual = build.get("num_heads", 1)
        sizes["embed_dim"] = sizes.get("num_heads", usual) * numbers.axis(build["embed_dim"] // usual)
    return {**build, **sizes}


def linear(numbers: Numbers, name: str, inputs: int, outputs: int, bias: bool = True) -> dict[str, torch.Tensor]:
    """Return weight [outputs, inputs] and bias [outputs] of a linear layer."""
    weights = {f"{name}.weight": numbers.tensor(outputs, inputs, low=-0.5, high=0.5)}
    return weights | ({f"{name}.bias": numbers.tensor(outputs, low=-0.5, high=0.5)} if bias else {})


def norm(numbers: Numbers, name: str, embed_dim: int) -> dict[str, torch.Tensor]:
    """Return weight and bias [embed_dim] of a layer norm, the weight near 1."""
    return {
        f"{name}.weight": numbers.tensor(embed_dim, low=0.5, high=1.5),
        f"{name}.bias": numbers.tensor(embed_dim, low=-1.0, high=1.0),
    }


def attention(numbers: Numbers, prefix: str, embed_dim: int, shared: int | None = None) -> dict[str, torch.Tensor]:
    """Return the weights of the four projections of a multi-head attention.

    shared  how many features key and value have together, if they are shared by groups of heads; else embed_dim
    """
    sizes = dict(q_proj=embed_dim, k_proj=shared or embed_dim, v_proj=shared or embed_dim, out_proj=embed_dim)
    return {
        name: tensor
        for projection, size in sizes.items()
        for name, tensor in linear(numbers, f"{prefix}{projection}", embed_dim, size).items()
    }


def feed_forward(numbers: Numbers, prefix: str, embed_dim: int, ff_dim: int) -> dict[str, torch.Tensor]:
    """Return the weights of a feed-forward network."""
    return linear(numbers, f"{prefix}up_proj", embed_dim, ff_dim) | linear(
        numbers, f"{prefix}down_proj", ff_dim, embed_dim
    )


def layer(
    numbers: Numbers,
    prefix: str = "",
    *,
    attentions: Iterable[str] = ("self_attention",),
    norms: Iterable[int] = (1, 2),
    embed_dim: int = 10,
    ff_dim: int = 11,
    **_: object,
) -> dict[str, torch.Tensor]:
    """Return the weights of an encoder layer, or of a decoder layer with other attentions and norms.

    attentions  their names
    norms       their numbers, as in norm1
    """
    weights: dict[str, torch.Tensor] = {}
    for one in attentions:
        weights |= attention(numbers, f"{prefix}{one}.", embed_dim)
    weights |= feed_forward(numbers, f"{prefix}feed_forward.", embed_dim, ff_dim)
    for number in norms:
        weights |= norm(numbers, f"{prefix}norm{number}", embed_dim)
    return weights


def stack(numbers: Numbers, num_layers: int, norm_first: bool = False, **sizes: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a stack of layers, with a final norm in the pre-norm form."""
    weights: dict[str, torch.Tensor] = {}
    for index in range(num_layers):
        weights |= layer(numbers, f"layers.{index}.", **sizes)
    return weights | (norm(numbers, "final_norm", sizes.get("embed_dim", 10)) if norm_first else {})


def encoder_decoder(numbers: Numbers, build: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights of an EncoderDecoder but for its positions; `build` holds the constructor's arguments."""
    width, sizes = build["embed_dim"], {name: build[name] for name in ("embed_dim", "num_heads", "ff_dim")}
    norm_first = build.get("norm_first", False)
    encoder = stack(numbers, build["encoder_layers"], norm_first, **sizes)
    decoder = stack(numbers, build["decoder_layers"], norm_first, **DECODER, **sizes)
    return {
        "source_embedding.token.weight": numbers.tensor(build["source_vocab_size"], width, low=-1.0, high=1.0),
        "target_embedding.token.weight": numbers.tensor(build["target_vocab_size"], width, low=-1.0, high=1.0),
        **{f"encoder.{name}": value for name, value in encoder.items()},
        **{f"decoder.{name}": value for name, value in decoder.items()},
        **linear(numbers, "head", width, build["target_vocab_size"]),
    }


def of_model(numbers: Numbers, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return numbers for the whole state dict of a right model, the weights of its norms near 1."""
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        low, high = (0.5, 1.5) if "norm" in name and name.endswith("weight") else (-0.5, 0.5)
        weights[name] = numbers.tensor(*tensor.shape, low=low, high=high)
    return weights


def doubled(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the same tensors in float64, where the digits of gradients are beyond doubt."""
    return {name: tensor.double() for name, tensor in tensors.items()}


def hushed(weights: Mapping[str, torch.Tensor], *projections: str) -> dict[str, torch.Tensor]:
    """Return weights in which some projections are 1/256 of what they were.

    What they give is so small that a norm does not make up for it, because of its eps: so c and c + c stay different
    behind a norm.
    """
    return {name: tensor / 256 if name.startswith(projections) else tensor for name, tensor in weights.items()}
