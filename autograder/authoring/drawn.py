"""What probes ask under two seeds: is it drawn anew, or would a list of answers do in official grading?"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from .. import probes
from ..calling import SEED, wire
from ..calling.local import Here, Reply, Request
from ..course import AuthorError

ANOTHER = "another seed"


class Noting(Here):
    """Components of this process that keep the calls which were made of them."""

    def __init__(self, components: dict[str, Callable[..., Any]]) -> None:
        super().__init__(components)
        self.asked: list[Request] = []

    def call(self, request: Request) -> Reply:
        self.asked.append(request)
        return super().call(request)


def asked(lesson: str, exercise: str, component: Callable[..., Any], seed: str | int) -> list[Request]:
    """Return the calls that the probes of an exercise make of a component with the numbers of a seed."""
    noting = Noting({exercise: component})
    probes.observe(lesson, exercise, noting, seed)
    return noting.asked


def sizes(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """Yield (what it is called, size) of every axis, length and whole number in the arguments of a call.

    An axis goes by its place from the end, as `x[-1]`, so that leading axes do not change its name. Ids and numbers of
    layers are whole numbers, too: whoever writes one of these into an answer is found in the same way.
    """
    if isinstance(value, (list, tuple, str, bytes)) or isinstance(value, dict) and not _is_named(value):
        yield f"length of {name}", len(value)
    if isinstance(value, torch.Tensor):
        yield from ((f"{name}[{axis - value.dim()}]", size) for axis, size in enumerate(value.shape))
    elif isinstance(value, dict) and _is_named(value):
        for key, one in value.items():
            yield from sizes(one, f"{name}.{key}" if name else key)
    elif isinstance(value, (list, tuple, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from sizes(one, f"{name}[]")
    elif is_dataclass(value):
        for field in fields(value):
            yield from sizes(getattr(value, field.name), f"{name}.{field.name}")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value


def _is_named(value: dict[Any, Any]) -> bool:
    """Tell whether a dict is arguments or weights by name, and not a table that is an argument itself."""
    return all(isinstance(key, str) for key in value)


def sizes_of(request: Request) -> list[tuple[str, int]]:
    """Return the `sizes` of the arguments of a call, and of the constructor if it is one of a class."""
    return [*sizes(request.arguments), *sizes(request.build)]


def refuse_fixed(lesson: str, exercise: str, usual: Sequence[Request], others: Sequence[Request]) -> None:
    """Raise AuthorError, about its first probe, if those of an exercise ask just the same whatever the seed is.

    usual, others  the calls with the numbers that are recorded, and with others
    """
    given = any(request.arguments or request.build for request in usual)
    if given and list(map(_packed, usual)) == list(map(_packed, others)):
        first = probes.probes_of(lesson, exercise)[0]
        raise AuthorError(
            f"the probes of {exercise!r} ask the same whatever the seed is, so a list of the answers earns the points",
            "draw what they ask: numbers.tensor, numbers.mask, and sizes with numbers.axes or numbers.size",
            first.observe,
        )


def _packed(request: Request) -> tuple[str, list[bytes]]:
    about, buffers = wire.pack(request)
    return json.dumps(about, sort_keys=True), list(map(bytes, buffers))


def sizes_are_fixed(usual: Sequence[Request], others: Sequence[Request]) -> bool:
    """Tell whether calls have sizes, and the same ones under both seeds; 0 and 1 are no sizes that may be others."""
    one, other = (list(map(sizes_of, requests)) for requests in (usual, others))
    return one == other and any(size > 1 for call in one for _, size in call)


def under_two_seeds(lesson: str, exercise: str, component: Callable[..., Any]) -> tuple[list[Request], list[Request]]:
    """Return the calls that the probes make with the numbers that are recorded, and with others."""
    return asked(lesson, exercise, component, SEED), asked(lesson, exercise, component, ANOTHER)
