"""What two tensors have to do with each other: the strongest pattern that is true of them, in words.

A pattern is said only if the numbers bear it out by a wide margin: what it calls right is right to about four digits,
what it calls wrong is off by a hundredth of the largest number, and it does not hold of itself, as any order does of
numbers that are all equal. So rounding, which differs from processor to processor, makes no sentence come or go.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from .observation import same, scale

CLEAR = 1e-2  # of the largest number: by so much two numbers differ beyond doubt
CLOSE = 2.0  # times the usual tolerance, within which two numbers are equal here
MOST_AXES = 5  # whose orders are tried
MOST_POSITIONS = 64  # along an axis
MOST_LISTED = 12  # positions in a new order
MOST_NAMED = 3  # positions that are listed
FEWEST = 3  # distinct numbers that a factor has to fit


def tell(name: str, expected: torch.Tensor, seen: torch.Tensor) -> str:
    """Return one sentence on how a tensor differs from the one that was expected."""
    if expected.shape != seen.shape:
        return f"{name} has shape {list(seen.shape)}, expected {list(expected.shape)}{_of_shapes(expected, seen)}."
    expected, seen = expected.double(), seen.double()
    if not expected.dim():
        return f"{name} is {_pair(seen, expected)}."
    found = pattern(expected, seen)
    place, count = _largest(expected, seen)
    at = f"[{', '.join(map(str, place))}] is {_pair(seen[tuple(place)], expected[tuple(place)])}"
    if found:
        return f"{name}: {found}; {name.rpartition(': ')[2]}{at}."
    differ = f"{count} of {expected.numel()} numbers differ" if expected.numel() > 1 else "it differs"
    return f"{name}{at} ({differ})."


def pattern(expected: torch.Tensor, seen: torch.Tensor) -> str:
    """Return in words what became of a tensor: "all numbers have the other sign"; "" if that is nothing simple."""
    if expected.shape != seen.shape or expected.numel() < 2 or not far(expected, seen):
        return ""
    expected, seen = expected.double(), seen.double()
    return next((words for find in PATTERNS if (words := find(expected, seen))), "")


def far(expected: torch.Tensor, seen: torch.Tensor) -> bool:
    """Tell whether two tensors of one shape differ somewhere beyond doubt."""
    return bool(_apart(expected, seen).any())


def _apart(expected: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Return where two tensors of one shape differ beyond doubt."""
    odd = ~(torch.isfinite(expected) & torch.isfinite(seen))
    alike = (expected == seen) | (torch.isnan(expected) & torch.isnan(seen))
    return torch.where(odd, ~alike, (expected - seen).abs() > CLEAR * scale(expected))


def _equal(expected: torch.Tensor, seen: torch.Tensor) -> bool:
    return same(expected, seen, CLOSE)


# All numbers alike


def _all_zero(expected: torch.Tensor, seen: torch.Tensor) -> str:
    return "all numbers are 0" if not seen.any() else ""


def _all_nan(expected: torch.Tensor, seen: torch.Tensor) -> str:
    return "all numbers are NaN" if torch.isnan(seen).all() else ""


def _some_nan(expected: torch.Tensor, seen: torch.Tensor) -> str:
    """Some numbers are NaN, and all others are right."""
    new = torch.isnan(seen) & ~torch.isnan(expected)
    if not new.any() or not _equal(expected[~new], seen[~new]):
        return ""
    return f"{int(new.sum())} of {new.numel()} numbers are NaN, the others are right"


def _factor(expected: torch.Tensor, seen: torch.Tensor) -> str:
    """All numbers are multiplied by the same one."""
    factor = _common_factor(expected, seen)
    if factor is None:
        return ""
    if abs(factor + 1) < 1e-3:
        return "all numbers have the other sign"
    return f"all numbers are {factor:.4g} times what is expected"


def _common_factor(expected: torch.Tensor, seen: torch.Tensor) -> float | None:
    """Return by which number all others were multiplied; None if by none that is beyond doubt."""
    finite = torch.isfinite(expected)
    if not torch.equal(finite, torch.isfinite(seen)) or not _is_varied(expected[finite]):
        return None
    one, other = expected[finite], seen[finite]
    factor = ((one @ other) / (one @ one)).item()
    if abs(factor) < CLEAR or abs(factor - 1) < CLEAR or not _equal(expected * factor, seen):
        return None
    return factor


def _added(expected: torch.Tensor, seen: torch.Tensor) -> str:
    """The same number is added to all."""
    finite = torch.isfinite(expected)
    if not torch.equal(finite, torch.isfinite(seen)) or not _is_varied(expected[finite]):
        return ""
    by = (seen - expected)[finite].mean().item()
    return f"{by:.4g} is added to all numbers" if _equal(expected + by, seen) else ""


def _factor_of_each_row(expected: torch.Tensor, seen: torch.Tensor) -> str:
    """The numbers of each row are multiplied by the same one, which differs from row to row."""
    rows = _rows(expected, seen)
    if rows is None or not all(map(_is_varied, rows[0])):
        return ""
    one, other = rows
    factors = (one * other).sum(-1) / (one * one).sum(-1)
    if (factors.abs() < CLEAR).any() or not all(map(_equal, one * factors[:, None], other)):
        return ""
    return (
        f"in each row (last axis), all numbers are multiplied by the same factor, from {factors.min():.4g} "
        f"to {factors.max():.4g}"
    )


def _added_to_each_row(expected: torch.Tensor, seen: torch.Tensor) -> str:
    """The same number is added to all of a row."""
    rows = _rows(expected, seen)
    if rows is None or not all(map(_is_varied, rows[0])):
        return ""
    one, other = rows
    by = (other - one).mean(-1)
    if not all(map(_equal, one + by[:, None], other)):
        return ""
    return f"in each row (last axis), the same number is added to all, from {by.min():.4g} to {by.max():.4g}"


def _rows(expected: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return both as [rows, numbers] if they are finite and there are several rows."""
    if expected.dim() < 2 or expected.numel() < 2 * expected.shape[-1]:
        return None
    if not (torch.isfinite(expected).all() and torch.isfinite(seen).all()):
        return None
    return expected.flatten(0, -2), seen.flatten(0, -2)


def _is_varied(numbers: torch.Tensor) -> bool:
    """Tell whether a few of these numbers differ beyond doubt, and more than one of them is not 0."""
    unit = CLEAR * scale(numbers)
    steps = numbers.flatten().sort().values.diff() > unit
    return int(steps.sum()) + 1 >= FEWEST and int((numbers.abs() > unit).sum()) > 1


# Another order


def _axes_in_another_order(expected: torch.Tensor, seen: torch.Tensor) -> str:
    for order in itertools.permutations(range(expected.dim())) if expected.dim() <= MOST_AXES else ():
        other = expected.permute(order)
        if other.shape == seen.shape and _equal(other, seen):
            return _order_in_words(order)
    return ""


def _order_in_words(order: Sequence[int]) -> str:
    if axes := _exchanged_axes(order):
        return f"{axes} are exchanged" + (" (transposed)" if len(order) == 2 else "")
    return f"the axes are in another order: {', '.join(map(str, order))}"


def _exchanged_axes(order: Sequence[int]) -> str:
    """Return which two axes change places, "" if it is not just two."""
    moved = [axis for axis, place in enumerate(order) if axis != place]
    if len(moved) != 2:
        return ""
    return "the last two axes" if moved == [len(order) - 2, len(order) - 1] else f"axes {moved[0]} and {moved[1]}"


def _positions_in_another_order(expected: torch.Tensor, seen: torch.Tensor) -> str:
    """What stands at each position along one axis is what is expected at another one."""
    for axis, size in enumerate(expected.shape):
        if not 2 <= size <= MOST_POSITIONS or expected.numel() // size < 2 and size < 3:
            continue
        wanted, found = expected.unbind(axis), seen.unbind(axis)
        if not all(far(one, other) for one, other in itertools.pairwise(wanted)):
            continue
        if words := _shifted(wanted, found, axis, expected.dim()):
            return words
        matches = [_only_match(one, wanted) for one in found]
        source = [place for place in matches if place is not None]
        if len(source) < size:
            continue
        where = _axis_in_words(axis, expected.dim())
        if source == list(range(size))[::-1]:
            return f"the order of the {where}s is reversed"
        if len(set(source)) == 1:
            return f"every {where} is what is expected of {where} {source[0]}"
        if sorted(source) == list(range(size)) and size <= MOST_LISTED:
            return f"the {where}s are in another order: {', '.join(map(str, source))}"
        first = next(place for place, one in enumerate(source) if one != place)
        return f"{where} {first} is what is expected of {where} {source[first]}"
    return ""


def _shifted(wanted: Sequence[torch.Tensor], found: Sequence[torch.Tensor], axis: int, axes: int) -> str:
    size, where = len(wanted), _axis_in_words(axis, axes)
    for by in (1, -1) if size >= 3 else ():
        pairs = [(wanted[(place - by) % size], one) for place, one in enumerate(found)]
        inner = pairs[1:] if by == 1 else pairs[:-1]
        if all(_equal(*pair) for pair in inner):
            around = _equal(*(pairs[0] if by == 1 else pairs[-1]))
            to = f"is what is expected of the {where} {'before' if by == 1 else 'after'} it"
            rest = "" if around else f", but for the {'first' if by == 1 else 'last'}"
            return f"each {where} {to}{rest}{', all around' if around else ''}"
    return ""


def _only_match(one: torch.Tensor, wanted: Sequence[torch.Tensor]) -> int | None:
    """Return at which position this is expected; None if at none or at several."""
    places = [place for place, other in enumerate(wanted) if _equal(other, one)]
    return places[0] if len(places) == 1 else None


def _axis_in_words(axis: int, axes: int) -> str:
    if axes == 1:
        return "position"
    if axis == axes - 1:
        return "column"
    return "row" if axis == axes - 2 else f"slice of axis {axis}"


# Right here, wrong there


def _wrong_in_some_places(expected: torch.Tensor, seen: torch.Tensor) -> str:
    """Only some positions along one axis differ; the axis of which the fewest do."""
    apart = _apart(expected, seen)
    right = torch.isclose(seen, expected, rtol=CLOSE * 1e-4, atol=CLOSE * 1e-5 * scale(expected), equal_nan=True)
    best: tuple[float, str] = (1.0, "")
    for axis, size in enumerate(expected.shape):
        if size < 2 or expected.numel() // size < 2 and size < 4:
            continue
        others = tuple(other for other in range(expected.dim()) if other != axis)
        wrong = apart.any(others) if others else apart
        if not (wrong | (right.all(others) if others else right)).all():
            continue  # something here differs so little that it is neither right nor wrong
        places = wrong.nonzero().flatten().tolist()
        share = len(places) / size
        most = apart.transpose(0, axis)[places].double().mean()
        if share < best[0] and (
            words := _places_in_words(places, size, _axis_in_words(axis, expected.dim()), bool(most > 0.5))
        ):
            best = share, words
    return best[1]


def _places_in_words(places: Sequence[int], size: int, where: str, most: bool) -> str:
    """Return which of the positions are wrong, in words; "" where that is no simple thing to say.

    most  True: most of the numbers at these positions are wrong
    """
    if places == [0]:
        return f"only the first {where} differs"
    if places == [size - 1]:
        return f"only the last {where} differs"
    if size > 2 and most and places == list(range(1, size)):
        return f"right in the first {where} only"
    if size > 2 and most and places == list(range(size - 1)):
        return f"right in the last {where} only"
    if len(places) == 1:
        return f"only {where} {places[0]} differs"
    if most and places[0] and places == list(range(places[0], size)):
        return f"right before {where} {places[0]}, and wrong from there on"
    if len(places) > size // 2:
        return ""
    if len(places) <= MOST_NAMED:
        return f"only {where}s {', '.join(map(str, places))} differ"
    return ""


PATTERNS: list[Callable[[torch.Tensor, torch.Tensor], str]] = [
    _all_nan,
    _all_zero,
    _factor,
    _added,
    _axes_in_another_order,
    _positions_in_another_order,
    _wrong_in_some_places,
    _some_nan,
    _factor_of_each_row,
    _added_to_each_row,
]


# Shapes


def _of_shapes(expected: torch.Tensor, seen: torch.Tensor) -> str:
    """Return what is to be said of a tensor of another shape: ": ..." or ""."""
    if expected.dim() == seen.dim() <= MOST_AXES and sorted(expected.shape) == sorted(seen.shape):
        for order in itertools.permutations(range(expected.dim())):
            if expected.permute(order).shape == seen.shape and _equal(expected.permute(order), seen):
                return f": {_order_in_words(order)}, and the numbers are right"
    if expected.numel() == seen.numel() and _equal(expected.flatten(), seen.flatten()):
        return ": the numbers are right, in the same order"
    return shapes_in_words(list(expected.shape), list(seen.shape))


def shapes_in_words(expected: Sequence[int], seen: Sequence[int]) -> str:
    """Return which axis of a shape differs, or which sizes changed places: ": ..." or ""."""
    if len(expected) == len(seen):
        return _of_as_many_axes(expected, seen)
    more, fewer = (seen, expected) if len(seen) > len(expected) else (expected, seen)
    places = [axis for axis in range(len(more)) if [*more[:axis], *more[axis + 1 :]] == list(fewer)]
    if len(more) - len(fewer) == len(places) == 1:
        return f": axis {places[0]}, of size {more[places[0]]}, is {'too many' if more is seen else 'missing'}"
    return f": {len(seen)} axes instead of {len(expected)}"


def _of_as_many_axes(expected: Sequence[int], seen: Sequence[int]) -> str:
    wrong = [axis for axis, (one, other) in enumerate(zip(expected, seen, strict=True)) if one != other]
    if len(wrong) == 1:
        return f": axis {wrong[0]} has size {seen[wrong[0]]} instead of {expected[wrong[0]]}"
    if sorted(expected) != sorted(seen):
        return ""
    order = list(range(len(seen)))
    if len(wrong) == 2:
        order[wrong[0]], order[wrong[1]] = wrong[1], wrong[0]
    return f": the sizes of {_exchanged_axes(order)} are exchanged" if len(wrong) == 2 else ": the sizes changed places"


# One number


def _largest(expected: torch.Tensor, seen: torch.Tensor) -> tuple[list[int], int]:
    """Return where two tensors differ most, the first of nearly equal places, and in how many places they do."""
    wrong = ~torch.isclose(seen, expected, rtol=1e-3, atol=1e-4, equal_nan=True)
    if not wrong.any():
        wrong = ~(seen == expected)
    off = torch.nan_to_num((seen - expected).abs(), nan=torch.inf, posinf=torch.inf)
    off[~wrong] = -1.0
    return (off >= off.max() * 0.999).nonzero()[0].tolist(), int(wrong.sum())


def _pair(seen: torch.Tensor, expected: torch.Tensor) -> str:
    """Return "3, expected 2", with as many digits as it takes until the two differ."""
    one, other = seen.item(), expected.item()
    for digits in range(4, 17):
        if f"{one:.{digits}g}" != f"{other:.{digits}g}":
            break
    return f"{one:.{digits}g}, expected {other:.{digits}g}"


# Several observations of one probe


def of_probe(expected: Mapping[str, object], seen: Mapping[str, object], name: str) -> Iterator[str]:
    """Yield what the other observations of a probe say beside one that differs: what is right, while this is not.

    expected, seen  {observation: value} of the probe
    name            of the observation that differs
    """
    label, _, bare = name.rpartition(": ")
    start = f"{label}: " if label else ""
    if words := _exchanged(expected, seen, start):
        yield words
    elif bare == "output" and _is_right_tensor(expected, seen, f"{start}weights"):
        yield "The weights are right, the output is not: look behind the weights."
    elif words := _labels(expected, seen):
        yield words


def _is_right_tensor(expected: Mapping[str, object], seen: Mapping[str, object], name: str) -> bool:
    return isinstance(expected.get(name), torch.Tensor) and same(expected[name], seen.get(name))


def _exchanged(expected: Mapping[str, object], seen: Mapping[str, object], start: str) -> str:
    """Say so if two outputs stand in each other's places."""
    tensors = {
        name: value
        for name, value in expected.items()
        if isinstance(value, torch.Tensor) and value.numel() > 1 and name.startswith(start) and name in seen
    }
    for (one, first), (other, second) in itertools.combinations(tensors.items(), 2):
        if not same(first, second, 1e2) and same(first, seen[other], CLOSE) and same(second, seen[one], CLOSE):
            return f"{one.removeprefix(start)} and {other.removeprefix(start)} are exchanged."
    return ""


def _labels(expected: Mapping[str, object], seen: Mapping[str, object]) -> str:
    """Say for which calls of a probe an answer is right, if it is for some and not for others."""
    state: dict[str, bool] = {}
    for name in {**expected, **seen}:
        label = name.partition(": ")[0] if ": " in name else ""
        state[label] = state.get(label, True) and same(expected.get(name), seen.get(name))
    right, wrong = ([label for label, is_right in state.items() if is_right == wanted] for wanted in (True, False))
    if "" in state or not right or not wrong or max(len(right), len(wrong)) > MOST_NAMED:
        return ""
    return f"Right with {' and '.join(right)}, wrong with {' and '.join(wrong)}."
