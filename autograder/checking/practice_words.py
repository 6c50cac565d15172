"""How calls and what they give are written for people: short, and as code that can be typed."""

import math
from typing import Any

import torch

from ..calling.local import Reply, Request, Stub
from ..diagnosing.observation import same

MOST_NUMBERS = 24  # of a tensor that is shown in full
LONGEST = 200  # characters of a call that is shown as an example, and of a plain value
PLAIN = (int, float, str, bytes, bool, list, tuple, dict, type(None))


def shown_replies(one: Reply, other: Reply, found: str = "") -> tuple[str, str]:
    """Return what two answers gave, in a few lines each; `found` is in what they differ."""
    return _reply(one, other, found), _reply(other, one, found)


def _reply(reply: Reply, other: Reply, found: str) -> str:
    if reply.fault and reply.fault.type == "TimeUp":
        return reply.fault.message
    if reply.fault:
        message = reply.fault.message.split("\n")[0]
        return f"raises {reply.fault.type}: {message[:200]}".removesuffix(": ")
    value = repr(reply.value)
    lines = [_shown(reply.output, other.output) if reply.value is None else value[:LONGEST]]
    lines[0] += " ..." if reply.value is not None and len(value) > LONGEST else ""
    if reply.changed:
        lines.append(f"changes {', '.join(reply.changed)} in place")
    if found.startswith("the gradient of "):
        name = found.removeprefix("the gradient of ")
        mine, theirs = (one.gradients.get(name, one.gradients.get(f"weights.{name}")) for one in (reply, other))
        lines.append(f"gradient of {name}: {'none arrives' if mine is None else _shown(mine, theirs)}")
    if found == "the parameters":
        lines.append("parameters " + (", ".join(f"{name} {shape}" for name, shape in reply.shapes.items()) or "none"))
    for name, report in reply.reports.items():
        if found.endswith(f"{name} was used"):
            others = other.reports.get(name, {})
            lines += [f"{name}, {what}: {_shown(value, others.get(what))}" for what, value in report.items()]
    return "\n".join(lines)


def _shown(value: Any, other: Any) -> str:
    """Return a value; of a large tensor, one number: where it is furthest from another one."""
    if isinstance(value, tuple):
        others = other if isinstance(other, tuple) and len(other) == len(value) else [None] * len(value)
        shown = [_shown(*pair) for pair in zip(value, others, strict=True)]
        return "\n".join(f"{number}. {one}" for number, one in enumerate(shown, 1)) or "an empty tuple"
    if not isinstance(value, torch.Tensor):
        return str(value)
    usual = value.dtype in (torch.float32, torch.int64, torch.bool)
    about = f"{'' if usual else str(value.dtype).removeprefix('torch.') + ' '}{list(value.shape)}"
    if value.numel() <= MOST_NUMBERS:
        return f"{about}: {_nested(value)}"
    if isinstance(other, torch.Tensor) and other.shape == value.shape and not same(value, other):
        place = (value.double() - other.double()).abs().nan_to_num(nan=math.inf).argmax()
        where = ", ".join(str(int(one)) for one in torch.unravel_index(place, value.shape))
        return f"{about}: {_number(value.flatten()[place])} at [{where}]"
    return f"{about}: {', '.join(_number(one) for one in value.flatten()[:6])}, ..."


def _nested(value: torch.Tensor) -> str:
    if not value.dim():
        return _number(value)
    return f"[{', '.join(_nested(one) for one in value)}]"


def _number(value: torch.Tensor) -> str:
    plain = value.item()
    return f"{plain:.4g}" if isinstance(plain, float) else str(plain)


def called(request: Request, usual: Request, plain: bool = False) -> str:
    """Return the arguments of a call as they would be typed, "" if they cannot be.

    usual  the call whose constructor's arguments are taken where none are given
    plain  True: tensors of ones or of small whole numbers in place of the numbers of this call, to show their form
    """
    parts = []
    named = any(isinstance(value, Stub) for value in request.arguments.values())
    for name, value in request.arguments.items():
        if isinstance(value, Stub):
            continue
        text = _typed(value, plain)
        if text is None:
            return "..." if plain else ""
        if value is not None or named:
            parts.append(f"{name}={text}" if named else text)
        elif value is None:
            named = True
    for name, value in (request.build or {}).items():
        if isinstance(value, Stub):
            continue
        if plain or (usual.build or {}).get(name) != value:
            parts.append(f"{name}={value!r}")
    if request.training:
        parts.append("training=True")
    return ", ".join(parts)


def typed(text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return (arguments, arguments by name) that a text gives. Raises whatever the text raises as Python."""
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "math": math}
    given: tuple[tuple[Any, ...], dict[str, Any]] = eval(f"_given({text}\n)", {**names, "_given": _given})
    return given


def _given(*arguments: Any, **named: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return arguments, named


def _typed(value: Any, plain: bool) -> str | None:
    """Return an argument as it would be typed, None if that would be too long."""
    if not isinstance(value, torch.Tensor):
        return repr(value) if isinstance(value, PLAIN) else None
    if value.dtype == torch.bool:
        kind = ", dtype=torch.bool"
    elif value.is_floating_point():
        kind = "" if value.dtype == torch.float32 else f", dtype={value.dtype}"
    else:
        kind = ", dtype=torch.long"
    if value.numel() <= (12 if value.is_floating_point() else 24):
        return f"torch.tensor({value.tolist()}{kind if value.dtype == torch.float64 else ''})"
    shape = ", ".join(map(str, value.shape))
    if plain:
        return f"torch.ones({shape}{kind})"
    return f"torch.randn({shape}{kind})" if value.is_floating_point() else None
