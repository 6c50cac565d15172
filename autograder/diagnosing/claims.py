"""What a symptom claims, as predicates on observations: a sentence is only said of an answer of which it is true.

A claim names a probe, a relation and, where the probe observes several things, which of them:
`("scores_are_scaled", "larger")`, `("hidden_keys_get_no_weight", "differ", "weights*")`. It is plain data, so that it
travels in the record, and the learner's copy can ask it of an answer that nobody has seen before.
"""

import fnmatch
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from ..course import nearest
from .comparison import differing
from .observation import is_exception, same

Claim = Sequence[str]  # [probe, relation, pattern of the observations' names; all if left out]
Values = Mapping[str, Mapping[str, Any]]  # {probe: {observation: tensor or string}}

MARGIN = 0.01  # the share by which numbers have to be apart before one is called larger than the other


def _numbers(test: Callable[[torch.Tensor, torch.Tensor], Any]) -> Callable[[object, object], bool]:
    """Return a relation of two tensors of one shape, in which the expected numbers are finite."""

    def holds(expected: object, seen: object) -> bool:
        if not isinstance(expected, torch.Tensor) or not isinstance(seen, torch.Tensor) or expected.shape != seen.shape:
            return False
        return bool(test(expected.double(), seen.double()))

    return holds


def _seen(test: Callable[[torch.Tensor], Any]) -> Callable[[object, object], bool]:
    """Return a relation that asks only what was seen, a tensor with numbers in it."""

    def holds(expected: object, seen: object) -> bool:
        return isinstance(seen, torch.Tensor) and seen.numel() > 0 and bool(test(seen.double()))

    return holds


def _larger(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether every number of one tensor that is not the same in the other is clearly larger, and there is one."""
    apart = ~torch.isclose(one, other, rtol=MARGIN, atol=1e-6, equal_nan=True)
    return bool(apart.any() and (one > other)[apart].all())


def _lost(expected: torch.Tensor, seen: torch.Tensor) -> bool:
    """Tell whether every number that is not the expected one is 0 or NaN, and there is one."""
    apart = ~torch.isclose(seen, expected, rtol=MARGIN, atol=1e-6)
    return bool(apart.any() and ((seen == 0) | seen.isnan())[apart].all())


def _has_another_shape(expected: object, seen: object) -> bool:
    if isinstance(expected, torch.Tensor) and isinstance(seen, torch.Tensor):
        return expected.shape != seen.shape
    return all(isinstance(one, str) and one.startswith("[") for one in (expected, seen)) and expected != seen


def _is_turned(expected: object, seen: object) -> bool:
    if not isinstance(expected, torch.Tensor) or not isinstance(seen, torch.Tensor) or expected.dim() < 2:
        return False
    return expected.mT.shape == seen.shape and same(expected.mT, seen) and not same(expected, seen)


# What may be claimed of each observation that differs from the reference's.
RELATIONS: dict[str, Callable[[object, object], bool]] = {
    "differ": lambda expected, seen: True,
    "raise": lambda expected, seen: is_exception(seen),
    "missing": lambda expected, seen: seen is None,
    "another shape": _has_another_shape,
    "transposed": _is_turned,
    "larger": _numbers(lambda expected, seen: _larger(seen.abs(), expected.abs())),
    "smaller": _numbers(lambda expected, seen: _larger(expected.abs(), seen.abs())),
    "higher": _numbers(lambda expected, seen: _larger(seen, expected)),
    "lower": _numbers(lambda expected, seen: _larger(expected, seen)),
    "opposite": _numbers(lambda expected, seen: same(-expected, seen)),
    "multiple": _numbers(
        lambda expected, seen: (
            expected.any() and same(expected * (seen * expected).sum() / expected.square().sum(), seen)
        )
    ),
    "zero": _seen(lambda seen: not seen.any()),
    "not zero": _seen(lambda seen: (seen != 0).any()),
    "NaN": lambda expected, seen: seen == "holds NaN" or isinstance(seen, torch.Tensor) and bool(seen.isnan().any()),
    "0 or NaN": _numbers(_lost),
    "infinite": _seen(lambda seen: seen.isinf().any()),
    "not negative": _seen(lambda seen: (seen >= 0).all()),
    "constant": _seen(lambda seen: same(seen.flatten()[:1].expand(seen.numel()), seen.flatten())),
    "equal rows": _seen(lambda seen: seen.dim() > 1 and same(seen[..., :1, :].expand_as(seen), seen)),
    "rows sum to 1": _seen(lambda seen: seen.dim() > 0 and same(torch.ones_like(seen.sum(-1)), seen.sum(-1))),
    "rows do not sum to 1": _seen(
        lambda seen: seen.dim() > 0 and not torch.isclose(seen.sum(-1), torch.ones(()).double(), rtol=MARGIN).all()
    ),
    "rows have mean 0": _seen(lambda seen: seen.dim() > 0 and same(torch.zeros_like(seen.mean(-1)), seen.mean(-1))),
    "rows keep a mean": _seen(lambda seen: seen.dim() > 0 and (seen.mean(-1).abs() > MARGIN * seen.std()).any()),
}
RIGHT = "right"  # claims that nothing of it differs
IS = "is "  # "is yes": the text that is seen


def fault(claim: object, asked: Collection[str]) -> str:
    """Return what is wrong with how a claim is written, and what to do; "" if nothing is.

    asked  names of all probes that it may be about
    """
    if (
        not isinstance(claim, (tuple, list))
        or len(claim) not in (2, 3)
        or not all(isinstance(one, str) for one in claim)
    ):
        return f'{claim!r} is no claim; write ("probe", "relation") or ("probe", "relation", "observation")'
    probe, relation = claim[:2]
    if probe not in asked:
        return f"{probe!r} is no probe of this lesson; {nearest(probe, asked)}"
    if relation not in RELATIONS and relation != RIGHT and not relation.startswith(IS):
        return (
            f'{relation!r} is no relation; {nearest(relation, [RIGHT, *RELATIONS])}, or "is" and the text that is seen'
        )
    return ""


def pattern(name: str) -> str:
    """Return the pattern that means the observation of this name and no other one."""
    return re.sub(r"[[*?]", lambda found: f"[{found[0]}]", name)


def untrue(claims: Sequence[Claim], expected: Values, seen: Values) -> list[Claim]:
    """Return the claims that are not true of an answer. One about a probe that was not asked of it says nothing.

    expected  {probe: {observation: value}} of the reference
    seen      {probe: {observation: value}} of the answer
    """
    return [claim for claim in claims if claim[0] in seen and not _holds(claim, expected[claim[0]], seen[claim[0]])]


def _holds(claim: Claim, expected: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    meant = claim[2] if len(claim) > 2 else "*"
    names = [name for name in {**expected, **seen} if fnmatch.fnmatchcase(name, meant)]
    wrong = [name for name in differing(expected, seen) if name in names]
    relation = claim[1]
    if relation == RIGHT:
        return bool(names) and not wrong
    if relation.startswith(IS):
        return any(seen.get(name) == relation.removeprefix(IS) for name in wrong)
    if relation == "differ":
        return bool(wrong)
    # An exception or a missing number says the same of each, but where there are numbers all of them have to show it.
    compared = [name for name in wrong if _says(relation, expected.get(name), seen.get(name))]
    return bool(compared) and all(RELATIONS[relation](expected.get(name), seen.get(name)) for name in compared)


def _says(relation: str, expected: object, seen: object) -> bool:
    """Tell whether a relation can be asked of an observation: one between numbers says nothing of words."""
    if relation in ("raise", "missing", "another shape"):
        return RELATIONS[relation](expected, seen)
    return isinstance(seen, torch.Tensor) or seen == "holds NaN"
