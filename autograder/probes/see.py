"""Ways to look at a reply, for the probes of many lessons.

`seen` is the `Observations` of the probe, `reply` the `Reply` of a call, and `label` tells this call from the others
of the probe. What is noted goes from the most telling observation to the numbers.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..calling import values
from ..calling.local import ANY_LIBRARY, Reply
from ..calling.watched import IN_PLACE, libraries
from . import Component, Observations

# What is forbidden in exercises on attention: all functions with which PyTorch computes it
LIBRARY_ATTENTION = (
    "scaled_dot_product_attention",
    "multi_head_attention_forward",
    "_native_multi_head_attention",
    "_scaled_dot_product_attention_math",
)

# What is forbidden where an answer is written with torch alone; of a library without a name here only that is told
TORCH_ALONE = ("workbench.*", "transformers.*", ANY_LIBRARY)

# Scores of modules, as (label, a number that is added to all keys, and one to hidden keys): exponentials of numbers
# beyond 88 leave float32, and those of much larger numbers would be told apart by rounding alone.
EXTREMES = (
    ("large scores", 64.0, 0.0),
    ("low scores", -64.0, 0.0),
    ("large hidden scores", 0.0, 1e3),
    ("huge hidden scores", 0.0, 1e5),
)


def listed(names: Iterable[str | int]) -> str:
    """Return names as a line, "none" if there are none."""
    return ", ".join(map(str, sorted(names))) or "none"


def settled(numbers: torch.Tensor) -> torch.Tensor:
    """Return the numbers with 0 in place of those that are 0 but for rounding."""
    return torch.where(numbers.abs() < 1e-4, 0.0, numbers)


def first(reply: Reply, index: int = 0) -> torch.Tensor | None:
    """Return an output of a reply if it is a tensor, or None."""
    outputs = reply.output if isinstance(reply.output, (tuple, list)) else (reply.output,)
    ours = outputs[index] if len(outputs) > index else None
    return ours if isinstance(ours, torch.Tensor) else None


# Outputs


def see_output(seen: Observations, reply: Reply, label: str = "", name: str = "output") -> torch.Tensor | None:
    """Note everything that a single tensor shows; return it, or None if there is none."""
    output = seen.see(reply, name, label=label).get(name)
    if output is not None:
        seen.note(name, output, reply.given, label)
    return output


def see_value(seen: Observations, reply: Reply, name: str, label: str = "") -> Any:
    """Note a plain value, as Python writes it, and of what kind it is; return it, or None if there is none.

    The component was called with `plain=True`. A tuple counts as a list.
    """
    seen.answer(reply, label)
    if reply.fault or reply.value is None:
        return None
    seen.note(name, values.written(reply.value), reply.given, label)
    return reply.value


def see_all(
    seen: Observations, reply: Reply, *names: str, label: str = "", mask: Mapping[str, torch.Tensor] | None = None
) -> dict[str, Any]:
    """Note everything that a module returned: tensors, lists of one tensor per layer, and None.

    names  what the outputs are called, in order
    mask   for weights: {name: mask}, to tell how much of a query's weight lies on hidden keys
    Returns {name: value}, empty if the reply is not what the names promise.
    """
    seen.answer(reply, label)
    outputs = reply.output if isinstance(reply.output, (tuple, list)) else (reply.output,)
    if reply.fault or len(outputs) != len(names):
        return {}
    found = dict(zip(names, outputs, strict=True))
    for name, value in found.items():
        seen.note(f"form of {name}", form(value, between="; "), reply.given, label)
    for name, value in _tensors(found):
        hides = (mask or {}).get(name.split(" of layer")[0])
        if hides is not None:
            seen.note(f"largest weight on a hidden key in {name}", _on_hidden_keys(value, hides), reply.given, label)
        seen.note(name, value, reply.given, label)
    return found


def form(value: object, between: str = ", ") -> str:
    """Return the shape of a tensor, or of the tensors in a list, in words; what else it is, as it is written."""
    if isinstance(value, torch.Tensor):
        return f"a tensor {list(value.shape)}" + (", with NaN" if torch.isnan(value).any() else "")
    if isinstance(value, (tuple, list)):
        return f"a list of {len(value)}: " + between.join(form(one, between) for one in value)
    return str(value)


def _tensors(found: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in found.items():
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, (tuple, list)):
            yield from (
                (f"{name} of layer {index}", one) for index, one in enumerate(value) if isinstance(one, torch.Tensor)
            )


def _on_hidden_keys(weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | str:
    """Return the largest weight [batch, heads, queries, keys] on a key that the mask hides."""
    mask = mask.unsqueeze(-3) if mask.dim() == 3 else mask
    try:
        return weights.masked_fill(mask, 0.0).abs().max()
    except RuntimeError:
        return "cannot be told, the shape is wrong"


def see_stack(seen: Observations, reply: Reply, *names: str, label: str = "", **how: Any) -> dict[str, Any]:
    """Note what a stack returned, unless PyTorch knows of no layers in it: their numbers would be random."""
    if reply.fault or any(name.startswith("layers.") for name in reply.shapes):
        return see_all(seen, reply, *names, label=label, **how)
    seen.note("answer", "nothing of which PyTorch knows a layer", reply.given, label)
    return {}


def see_model(seen: Observations, reply: Reply, label: str = "", padding: torch.Tensor | None = None) -> None:
    """Note what a model returned: logits, and the weights of each layer.

    padding  [batch, keys]  True where a token is padding, to tell how much weight lies there
    """
    seen.answer(reply, label)
    output = reply.output if isinstance(reply.output, (tuple, list)) else (reply.output,)
    for name, value in zip(("logits", "weights"), output, strict=False):
        seen.note(f"form of {name}", form(value), reply.given, label)
    if not reply.fault and isinstance(output[0], torch.Tensor):
        seen.note("logits", output[0], reply.given, label)
    layers = output[1] if len(output) == 2 and isinstance(output[1], (tuple, list)) else ()
    for index, weights in enumerate(layers):
        four = isinstance(weights, torch.Tensor) and weights.dim() == 4
        if padding is not None and four and weights.shape[-1] == padding.shape[1]:
            seen.note(
                f"largest weight on padding, layer {index}",
                weights.masked_fill(~padding[:, None, None, :], 0.0).max(),
                reply.given,
                label,
            )
        seen.note(f"weights of layer {index}", weights, reply.given, label)


def see_loss(seen: Observations, reply: Reply, label: str = "", where: str = "positions") -> None:
    """Note a loss, after the positions whose logits have a part in it; `where` is what a lesson calls these."""
    found = seen.see(reply, "loss", label=label)
    gradient = reply.gradients.get("logits")
    if reply.gradients:
        counts = "no gradient arrives" if gradient is None else gradient.abs().sum(-1).gt(0).float()
        seen.note(f"{where} whose logits count", counts, reply.given, label)
    for value in found.values():
        seen.note("loss", value, reply.given, label)
    if gradient is not None:
        seen.note("gradient of logits", gradient, reply.given, label)


# Attention


def see_attention(seen: Observations, reply: Reply, mask: torch.Tensor | None = None, label: str = "") -> None:
    """Note weights and output of attention.

    mask  what hides keys from queries, of a shape that broadcasts to that of the weights
    """
    found = seen.see(reply, "output", "weights", label=label)
    if found:
        see_weights(seen, found["weights"], mask, reply.given, label)
        seen.note("output", found["output"], reply.given, label)


def see_weights(
    seen: Observations, weights: torch.Tensor, mask: torch.Tensor | None, given: str, label: str = ""
) -> None:
    """Note what makes attention weights [..., queries, keys] right."""
    if mask is not None:
        hidden = weights.masked_fill(mask.expand_as(weights), 0.0) if broadcasts(mask, weights) else weights
        seen.note("largest weight on a hidden key", hidden.abs().max(), given, label)
    seen.note("sum of each row of weights", weights.sum(-1), given, label)
    seen.note("weights", weights, given, label)


def broadcasts(mask: torch.Tensor, weights: torch.Tensor) -> bool:
    """Tell whether a mask can be used for weights, or scores, of this shape."""
    # torch.broadcast_shapes takes half a second of modules to say the same.
    pairs = zip(mask.shape[::-1], weights.shape[::-1], strict=False)
    return mask.dim() <= weights.dim() and all(size in (1, full) for size, full in pairs)


# Parameters and gradients


def see_names(
    seen: Observations,
    reply: Reply,
    weights: Mapping[str, torch.Tensor],
    label: str = "",
    optional: Collection[str] = (),
) -> None:
    """Note which parameters of the contract are missing, of another shape, or superfluous.

    weights   {name: tensor}, all parameters of the contract
    optional  names that a right answer may have or lack
    """
    wrong = [
        f"{name} {shape}"
        for name, shape in reply.shapes.items()
        if name in weights and shape != list(weights[name].shape)
    ]
    missing = [name for name in weights if name not in reply.shapes]
    others = [name for name in reply.trained if name not in weights and name not in optional]
    seen.note("missing parameters", listed(missing), reply.given, label)
    seen.note("parameters of another shape", listed(wrong), reply.given, label)
    seen.note("superfluous parameters", listed(others), reply.given, label)


def see_parameters(seen: Observations, reply: Reply, weights: Mapping[str, torch.Tensor], label: str = "") -> None:
    """Note what is wrong with the parameters, as `see_names` does, and which of them are one and the same."""
    see_names(seen, reply, weights, label)
    shared = listed(" = ".join(group) for group in reply.shared)
    seen.note("parameters that are one and the same", shared, reply.given, label)


def see_each_parameter(seen: Observations, reply: Reply, shapes: Mapping[str, Sequence[int]]) -> None:
    """Note shape and state of each parameter that a module should have, and which others it has.

    shapes  {name in the state dict: shape}
    """
    for name, shape in shapes.items():
        found = reply.shapes.get(name)
        seen.note(f"{name} in the state dict", "missing" if found is None else str(found), reply.given)
        if found == list(shape):
            seen.note(f"{name} is trained", "yes" if name in reply.trained else "no", reply.given)
    # Which name stands in place of the right one does not matter; whoever reads the result sees it behind the input.
    others = [name for name in reply.trained if name not in shapes]
    given = f"{reply.given}; yours has {listed(others)}" if others else reply.given
    seen.note("other trained parameters", listed(str(reply.shapes[name]) for name in others), given)


def with_weights(
    call: Callable[[Mapping[str, torch.Tensor]], Reply],
    weights: Mapping[str, torch.Tensor],
    stands_for: Callable[[str], str],
) -> Reply:
    """Call a module with weights; if parameters have other names than those of the contract, use their names.

    So an answer whose names alone are wrong shows nothing else, and a mistake beside them shows as it does alone.

    call        function of the weights, {name in the state dict: tensor}, that calls the component
    stands_for  says for which name of the contract another one stands, None if for none
    """
    reply = call(weights)
    if all(name in reply.shapes for name in weights):
        return reply
    missing = {name: list(tensor.shape) for name, tensor in weights.items() if name not in reply.shapes}
    found = {
        other: name
        for other in reply.trained
        if other not in weights and (name := stands_for(other)) in missing and reply.shapes[other] == missing[name]
    }
    names = {other: name for other, name in found.items() if list(found.values()).count(name) == 1}
    if not names:
        return reply
    again = call({**weights, **{other: weights[name] for other, name in names.items()}})
    prefix = "weights."
    gradients = {
        prefix + names.get(name.removeprefix(prefix), name.removeprefix(prefix))
        if name.startswith(prefix)
        else name: one
        for name, one in again.gradients.items()
    }
    return replace(again, gradients=gradients)


def see_each_projection(seen: Observations, reply: Reply, names: Collection[str]) -> None:
    """Note the shape of each parameter of attention, and whether there are others, whatever they are called.

    names  of the parameters in the state dict
    """
    if reply.fault and not reply.shapes:
        seen.answer(reply)
        return
    for name in names:
        found = reply.shapes.get(name)
        words = "missing" if found is None else str(found)
        seen.note(f"shape of {name}", words if found is None or name in reply.trained else f"{words}, not learned")
    others = [str(reply.shapes[name]) for name in reply.trained if name not in names]
    seen.note("shapes of further parameters", listed(others), reply.given)
    shared = "; ".join(" is ".join(group) for group in reply.shared)
    seen.note("parameters that are one and the same", shared or "none", reply.given)


def see_gradients(seen: Observations, reply: Reply, label: str = "") -> None:
    """Note the gradient that arrives at each argument and parameter."""
    seen.answer(reply, label)
    for name, gradient in reply.gradients.items():
        # A bias of the key adds the same to all scores of a query, so what arrives there is rounding and no more.
        if not name.endswith("k_proj.bias"):
            seen.gradient(f"gradient of {name}", gradient, reply.given, label)
    seen.through(reply, label)


def see_gradients_of_projections(seen: Observations, reply: Reply) -> None:
    """Note the gradients that arrive in attention; of the bias of the key, only whether one does, as it is rounding."""
    if not reply.fault:
        arrives = reply.gradients.pop("weights.k_proj.bias", None) is not None
        seen.note("gradient of k_proj.bias", "arrives" if arrives else "none arrives", reply.given)
    seen.gradients(reply)


# What an answer does besides


def unchanged(seen: Observations, reply: Reply, label: str = "") -> None:
    """Note which arguments the call changed in place."""
    seen.note(IN_PLACE, ", ".join(reply.changed) or "none", reply.given, label)


def library_calls(seen: Observations, call: Callable[..., Reply], **arguments: Any) -> None:
    """Note which forbidden library functions the answer calls; `call` is the component, or calls it."""
    reply = call(**arguments, watch_functions=True)
    seen.note("library calls that this exercise forbids", ", ".join(reply.used) or "none", reply.given)


def torch_alone(seen: Observations, call: Callable[..., Reply], **arguments: Any) -> None:
    """Note which libraries besides torch compute a part of the answer; `call` is the component, or calls it."""
    reply = call(**arguments, watch_functions=True)
    seen.note("computed by other libraries", listed(libraries(reply.used)), reply.given)


def dtype_of(reply: Reply) -> str:
    """Return the dtype of a reply, "torch.float32", or in words what came instead of a tensor."""
    if reply.fault:
        return f"raised {reply.fault.type}"
    return str(reply.output.dtype if isinstance(reply.output, torch.Tensor) else reply.output)


def dtypes_of(reply: Reply) -> str:
    """Return the dtypes of all outputs of a reply, "float32, float32", or in words what came instead."""
    if reply.fault:
        return f"raised {reply.fault.type}"
    outputs = reply.output if isinstance(reply.output, (tuple, list)) else (reply.output,)
    return ", ".join(str(o.dtype).removeprefix("torch.") if isinstance(o, torch.Tensor) else str(o) for o in outputs)


def device_and_dtype(
    seen: Observations, call: Callable[..., Reply], dtype: Callable[[Reply], str] = dtypes_of, **arguments: Any
) -> None:
    """Note the dtype for float64 inputs, and whether the answer is made where the inputs are.

    call   the component, or a function that calls it with these arguments and with device=
    dtype  says what dtype a reply has
    """
    double = {
        name: value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for name, value in arguments.items()
    }
    reply = call(**double)
    seen.note("answer for float64", dtype(reply), reply.given)
    on_their_device(seen, call(**arguments, device="meta"))


def half_precision(
    seen: Observations, call: Callable[..., Reply], dtype: Callable[[Reply], str] = dtypes_of, **arguments: Any
) -> None:
    """Note the dtype for float16 and bfloat16 inputs; their numbers are too coarse to be compared.

    call   the component, or a function that calls it with these arguments
    dtype  says what dtype a reply has
    """
    for half in (torch.float16, torch.bfloat16):
        reply = call(**{name: _as(value, half) for name, value in arguments.items()})
        seen.note(f"dtype for {str(half).removeprefix('torch.')}", dtype(reply), reply.given)


def _as(value: Any, dtype: torch.dtype) -> Any:
    """Return a floating point tensor in another dtype, and anything else as it is; of a dict, its values."""
    if isinstance(value, dict):
        return {name: _as(one, dtype) for name, one in value.items()}
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def on_their_device(
    seen: Observations, reply: Reply, label: str = "", name: str = "made on the inputs' device"
) -> None:
    """Note whether an answer for arguments on the meta device was made there."""
    seen.note(name, "no" if made_elsewhere(reply) else "yes", reply.given, label)


def made_elsewhere(reply: Reply) -> bool:
    """Tell whether an answer for arguments on the meta device failed because it made a tensor on another one.

    The meta device holds shapes and no numbers: whoever makes a tensor elsewhere is found without a GPU.
    """
    return bool(reply.fault and "device" in reply.fault.message and "item()" not in reply.fault.message)


# What has an influence


def nudged(x: torch.Tensor, position: int) -> torch.Tensor:
    """Return a copy of x [..., time, features] in which one position is another."""
    x = x.clone()
    x[..., position, :] = 1.5 - x[..., position, :].flip(-1)
    return x


def moved(before: Reply, after: Reply, index: int = 0, axes: int | None = None) -> str:
    """Say at which positions an output [..., positions, features] differs between two replies: "0, 3", or "none".

    axes  how many the output has to have; None: two or more
    """
    one, other = first(before, index), first(after, index)
    if one is None or other is None or one.shape != other.shape or one.dim() < 2 or axes not in (None, one.dim()):
        return "cannot be told"
    apart = ((one - other).abs() > 1e-4).any(dim=-1)
    places = apart.reshape(-1, apart.shape[-1]).any(dim=0).nonzero().flatten().tolist()
    return ", ".join(map(str, places)) or "none"


def dropout_stages(
    seen: Observations,
    component: Component,
    weights: Mapping[str, torch.Tensor],
    ones: Mapping[str, Collection[str]],
    **more: Any,
) -> None:
    """Note how often the numbers of a sublayer can be doubled by dropout of one half: once per place where it acts.

    weights  {name: tensor} of a layer with embed_dim 2 and ff_dim 1; all are taken as 0
    ones     {sublayer: the parameters that are 1 instead, so that the sublayer gives 1 everywhere}
    more     arguments after x
    """
    build = dict(embed_dim=2, num_heads=1, ff_dim=1, dropout=0.5, norm_first=True)
    for name, raised in ones.items():
        given = {
            key: _passing_on(value) if key in raised else torch.zeros_like(value) for key, value in weights.items()
        }
        reply = component(x=torch.zeros(300, 1, 2), **more, build=build, weights=given, training=True)
        seen.answer(reply, name)
        output = first(reply)
        if output is not None:
            largest = output.abs().max()
            seen.note("a 1 that is doubled wherever dropout keeps it becomes", largest, reply.given, name)


def _passing_on(parameter: torch.Tensor) -> torch.Tensor:
    """Return a bias of 1, or a weight that hands a 1 on as a 1."""
    square = parameter.dim() == 2 and len(set(parameter.shape)) == 1
    return torch.eye(len(parameter)) if square else torch.ones_like(parameter)
