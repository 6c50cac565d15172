"""What kinds of values expressions and names were seen to hold."""

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

MOST = 20  # different kinds of values that are kept of one expression
TENSORS = ("mask", "long", "float")


class Kind(NamedTuple):
    """What a value is: a "mask", "long" or "float" with a shape, a "number" with a value, a "module", "other"."""

    name: str
    shape: tuple[int, ...] = ()
    value: float = 0.0


def kind(value: object) -> Kind:
    """Return the `Kind` of a value."""
    if isinstance(value, torch.Tensor):
        name = "mask" if value.dtype == torch.bool else "float" if value.is_floating_point() else "long"
        return Kind(name, tuple(value.shape))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Kind("number", value=float(value))
    return Kind("module" if isinstance(value, torch.nn.Module) else "other")


def named(names: Mapping[str, object]) -> dict[str, Kind]:
    """Return {name: kind} of the names of a function, and of what `self` holds: "self.weight"."""
    found = {name: kind(value) for name, value in names.items() if name.isidentifier() and name != "self"}
    own = names.get("self")
    if isinstance(own, torch.nn.Module):
        held = dict(vars(own))
        for group in ("_parameters", "_buffers", "_modules"):
            held |= held.get(group, {})  # there is none before `super().__init__()`
        found |= {
            f"self.{name}": kind(value)
            for name, value in held.items()
            if not name.startswith("_") and name not in ("training", "call_super_init", "dump_patches")
        }
    elif own is not None:
        found |= {f"self.{name}": kind(value) for name, value in getattr(own, "__dict__", {}).items()}
    return found


@dataclass
class Sight:
    """What was seen of one expression: the kinds of its values, and those of the names that had one beside it."""

    kinds: set[Kind] = field(default_factory=set)
    names: dict[str, set[Kind]] = field(default_factory=dict)

    def note(self, value: object, names: Mapping[str, object]) -> None:
        """Add one more value."""
        if len(self.kinds) < MOST:
            self.kinds.add(kind(value))
            for name, one in named(names).items():
                self.names.setdefault(name, set()).add(one)

    def is_a(self, *wanted: str) -> bool:
        """Tell whether a value was of one of these kinds."""
        return any(one.name in wanted for one in self.kinds)

    @functools.cached_property
    def alike(self) -> list[str]:
        """The names that hold what could stand here: tensors for a tensor, numbers for a number."""
        return [name for name, seen in self.names.items() if _broad(seen) & _broad(self.kinds)]

    @functools.cached_property
    def sizes(self) -> list[str]:
        """Numbers at hand, as text, each once though it may have several names: `head_dim`, `x.shape[-1]`."""
        found: dict[frozenset[float], str] = {}
        for name, seen in self.names.items():
            if all(one.name == "number" for one in seen):
                found.setdefault(frozenset(one.value for one in seen), name)
        for name, seen in self.names.items():
            if all(one.name in TENSORS and one.shape for one in seen):
                found.setdefault(frozenset(float(one.shape[-1]) for one in seen), f"{name}.shape[-1]")
        return list(found.values())

    def beside(self, *wanted: str) -> list[str]:
        """Return the tensors at hand of these kinds that fit the shape of what stands here."""
        return [
            name
            for name, seen in self.names.items()
            if any(one.name in wanted and _fits(one, self.kinds) for one in seen)
        ]


def _broad(kinds: Collection[Kind]) -> set[str]:
    return {"tensor" if one.name in TENSORS else one.name for one in kinds}


def _fits(one: Kind, others: Collection[Kind]) -> bool:
    """Tell whether the shape of a tensor can be spread over that of another one, or is the same."""
    return any(
        len(one.shape) <= len(other.shape)
        and all(a in (1, b) for a, b in zip(one.shape[::-1], other.shape[::-1], strict=False))
        for other in others
    )
