"""Is an observation steady: does it stay the same when only the rounding differs?

Every processor adds in an order of its own, so the last digits of a sum differ from machine to machine. Here an answer
is observed on this machine as others would observe it: with inputs that are moved by a millionth, with every operation
computed in float64 and rounded, and in float64 throughout. What such a change turns into another observation is a
near tie, and no verdict and no name may hang on it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_flatten, tree_map

from .. import probes
from ..calling.local import Here, Reply, Request, Stub
from ..calling.meta import LightMode
from .comparison import differing
from .observation import same, same_signature, signature

MOVE = 1e-6  # relative; rounding in float32 is 6e-8, and sums of some hundred numbers make more of it
RANDOM = ("bernoulli", "dropout", "exponential", "multinomial", "normal", "rand", "uniform")


class Moved(Here):
    """Components of this process that get every number moved by about a millionth of it.

    Equal numbers stay equal, zeros stay zero, and a number and its opposite still cancel: only what is nearly
    a tie is decided otherwise, here or in `MovedBack`.
    """

    by = MOVE

    def call(self, request: Request) -> Reply:
        return super().call(_changed(request, functools.partial(_moved, by=self.by)))


class MovedBack(Moved):
    """The same, with every number moved in the other direction."""

    by = -MOVE


class Reordered(Here):
    """Components of this process whose every operation is computed in float64 and rounded to float32.

    This is what sums in the best of all orders would give, so it differs from this processor as others do.
    """

    def call(self, request: Request) -> Reply:
        with _InDouble():
            return super().call(request)


class Widened(Here):
    """Components of this process that compute in float64, and answer in the precision of their request."""

    def call(self, request: Request) -> Reply:
        reply = super().call(request)
        wide = super().call(_changed(request, _widened))
        if reply.fault or wide.fault:
            return reply  # who mixes the two precisions cannot be asked in this way
        return replace(
            reply,
            output=_narrowed(wide.output, reply.output),
            reports=wide.reports,
            gradients={name: _narrowed(value, reply.gradients.get(name)) for name, value in wide.gradients.items()},
        )


def _changed(request: Request, change: Callable[[torch.Tensor], torch.Tensor]) -> Request:
    """Return the request with every float tensor in it changed, in stubs, weights and lists as well."""
    return replace(
        request, **{name: _deep(getattr(request, name), change) for name in ("arguments", "build", "weights")}
    )


def _deep(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value) if value.is_floating_point() else value
    if isinstance(value, Stub) and is_dataclass(value):
        return replace(value, **{field.name: _deep(getattr(value, field.name), change) for field in fields(value)})
    if isinstance(value, dict):
        return {name: _deep(one, change) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_deep(one, change) for one in value)
    return value


def _moved(tensor: torch.Tensor, by: float) -> torch.Tensor:
    value = tensor.detach().double()
    # Large inputs stand far apart, and move no further than small ones. The cosine of so many radians is as good as
    # drawn: it is another one for the nearest neighbour in float32, and the same for an equal or opposite number.
    return (value + by * value.clamp(-4.0, 4.0) * torch.cos(1.2345e9 * value.abs())).to(tensor.dtype)


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.dtype == torch.float32 else tensor


def _narrowed(value: Any, like: Any) -> Any:
    if isinstance(value, torch.Tensor) and isinstance(like, torch.Tensor):
        return value.to(like.dtype)
    if isinstance(value, (tuple, list)) and isinstance(like, (tuple, list)) and len(value) == len(like):
        return type(like)(map(_narrowed, value, like))
    return value


class _InDouble(LightMode):
    """Computes each operation on float32 in float64, and rounds what comes of it."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, schema = kwargs or {}, function._schema
        floats = {
            value.dtype
            for value in tree_flatten((args, kwargs))[0]
            if isinstance(value, torch.Tensor) and value.is_floating_point() and not value.is_meta
        }
        makes_a_view = any(argument.alias_info for argument in schema.arguments)
        if (
            floats != {torch.float32}
            or makes_a_view
            or kwargs.get("dtype")
            or any(word in schema.name for word in RANDOM)
        ):
            return function(*args, **kwargs)
        wide_args, wide_kwargs = tree_map(_widened_if_tensor, (args, kwargs))
        try:
            return tree_map(_rounded, function(*wide_args, **wide_kwargs))
        except (RuntimeError, IndexError):  # what is refused is refused in the words of its own precision
            return function(*args, **kwargs)


def _widened_if_tensor(value: Any) -> Any:
    return _widened(value) if isinstance(value, torch.Tensor) else value


def _rounded(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype == torch.float64 else value


CHEAP = {"its inputs move by a millionth": Moved, "its inputs move back by a millionth": MovedBack}
OTHERWISE = CHEAP | {"sums are added in another order": Reordered}
FOR_PAIRS = 2  # how often numbers are drawn again for pairs alone
IN_FLOAT64 = "it computes in float64"


@dataclass(frozen=True)
class Answer:
    """An answer whose observations have to be steady.

    name   what a message calls it; no two answers share it
    call   the component
    firm   False: it may be left out where no numbers are steady for it, as pairs of mistakes may
    right  True: the reference or an accepted alternative, which may compute in float64, too. A mistake may not be
           asked for that: many are about what float32 cannot hold.
    """

    name: str
    call: Callable[..., Any]
    right: bool = False
    firm: bool = True

    @property
    def otherwise(self) -> dict[str, type[Here]]:
        """{what changes in words: source of components} of all ways in which this answer is observed once more.

        What is not firm is a pair of mistakes, of which there are hundreds, and its sums are those of the two: it is
        observed in the ways that cost little.
        """
        return (OTHERWISE if self.firm else CHEAP) | ({IN_FLOAT64: Widened} if self.right else {})


class Jump(NamedTuple):
    """An observation that depends on rounding: which, of which answer, and what was changed when it turned."""

    probe: str
    answer: str
    observation: str
    how: str

    @property
    def fact(self) -> str:
        return f"probe {self.probe}, observation {self.observation!r} of {self.answer}: it changes if {self.how}"

    @property
    def remedy(self) -> str:
        return "choose numbers without near ties, or observe something that rounding does not change"

    def __str__(self) -> str:
        return f"{self.fact}; {self.remedy}"


def jump(
    probe: str,
    answer: str,
    expected: Mapping[str, Any],
    plain: Mapping[str, Any],
    changed: Mapping[str, Mapping[str, Any]],
) -> Jump | None:
    """Return the first `Jump` of an answer under one probe, or None.

    expected  {observation: value} of the reference
    plain     the same of the answer, as it is observed always
    changed   {how: {observation: value}}: as it is observed otherwise
    """
    differs = differing(expected, plain)
    for how, seen in changed.items():
        other = differing(expected, seen)
        if (
            bool(differs) != bool(other)
            or differs
            and not same_signature(signature(expected, plain), signature(expected, seen))
        ):
            turned = next((name for name in {**plain, **seen} if not same(plain.get(name), seen.get(name))), "")
            return Jump(probe, answer, turned or (differs or other)[0], how)
    if (
        not differs
        and (name := differing(expected, plain, slack=0.5))
        or differs
        and not differing(expected, plain, slack=2.0)
        and (name := differs)
    ):
        return Jump(probe, answer, name[0], "the tolerance is half or twice as large")
    return None


def draw(
    lesson: str,
    exercise: str,
    probe: str,
    seed: str | int,
    answers: Sequence[Answer],
    ways: Mapping[str, type[Here]] | None = None,
    most: int = 8,
    source: type[Here] = Here,
) -> tuple[int, dict[str, probes.Observations], dict[str, Jump]]:
    """Draw the numbers of a probe until no observation hangs on rounding.

    answers  the `Answer`s that are observed; the first is the reference
    ways     {what changes: source of components}, instead of each answer's own
    most     how many draws are tried
    source   of the components, where nothing is changed
    Returns (which draw, {name of an answer: its Observations}, {name of an answer: its Jump}) of the first draw that is
    steady for all, or else the one that is for most. It lacks the answers after a firm one that jumps.
    """
    best: tuple[int, dict[str, probes.Observations], dict[str, Jump]] | None = None
    for number in range(most):
        seen: dict[str, probes.Observations] = {}
        jumps: dict[str, Jump] = {}
        for answer in answers:
            plain = seen[answer.name] = observe(lesson, exercise, probe, seed, number, answer, source)
            changed = {
                how: observe(lesson, exercise, probe, seed, number, answer, other).values
                for how, other in (answer.otherwise if ways is None else ways).items()
            }
            if found := jump(probe, answer.name, seen[answers[0].name].values, plain.values, changed):
                jumps[answer.name] = found
                if answer.firm:
                    break
        if best is None or (len(seen), -len(jumps)) > (len(best[1]), -len(best[2])):
            best = number, seen, jumps
        if not jumps or number >= FOR_PAIRS and not any(answer.firm for answer in answers if answer.name in best[2]):
            break
    assert best is not None, "at least one draw is tried"
    return best


def observe(
    lesson: str, exercise: str, probe: str, seed: str | int, number: int, answer: Answer, source: type[Here] = Here
) -> probes.Observations:
    """Return the `Observations` of an answer under one probe, with this draw of its numbers."""
    try:
        return probes.observe(
            lesson, exercise, source({exercise: answer.call}), seed, only={probe}, draws={probe: number}
        )[probe]
    except Exception as error:
        error.add_note(f"probe {probe} of {exercise}, called with {answer.name}")
        raise
