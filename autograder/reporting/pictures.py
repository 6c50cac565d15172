"""Pictures of the report, as SVG within the page: bars of counts, and small matrices that show what differs."""

import ast
import functools
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

MOST_MATRICES, MOST_ROWS, MOST_COLUMNS = 3, 6, 8  # of one value; of a larger one the text is shown
CELL = (46, 26)  # width and height of a number
GAP = 14
LEAST_SHARE = 0.035  # of a bar, from which on its number has room in it
NUMBER = re.compile(r"(?<![\w.])-?(?:nan|inf)(?![\w.])", re.IGNORECASE)

Matrix = list[list[Any]]


def bar(parts: Iterable[tuple[str, int]], whole: int | None = None) -> str:
    """Return a bar of counts side by side.

    parts  (kind, count); the kind is also the class that gives the colour
    whole  what the whole width stands for; the sum of all if None
    """
    parts = [(kind, count) for kind, count in parts if count]
    whole = whole or sum(count for _, count in parts) or 1
    label = ", ".join(f"{kind} {count}" for kind, count in parts) or "none"
    drawn, left = [], 0.0
    for kind, count in parts:
        share = count / whole
        drawn.append(f'<rect class="{kind}" x="{left:.3%}" width="{share:.3%}" y="0" height="100%"></rect>')
        if share >= LEAST_SHARE:
            drawn.append(f'<text class="on-{kind}" x="{left + share / 2:.3%}" y="50%">{count}</text>')
        left += share
    return (
        f'<svg class="bar" role="img" aria-label="{escape(label)}"><title>{escape(label)}</title>{"".join(drawn)}</svg>'
    )


def example(shown: Mapping[str, Any]) -> str:
    """Return a small input, what is right and what an answer gives, side by side; as text what is no small matrix.

    shown  {"given", "expected", "got": {name: value in words}, "code": what calls the answer}
    """
    boxes = []
    for part, title in (("given", "given"), ("expected", "right"), ("got", "this answer")):
        for name in sorted(shown[part], key=functools.partial(_place, shown["code"])):
            value, other = shown[part][name], shown["expected"].get(name) if part == "got" else None
            drawn = _matrices(value, other)
            text = f"<pre>{escape(value)}</pre>"
            head = f"<figcaption>{title} <code>{escape(name)}</code></figcaption>"
            boxes.append(f"<figure>{head}{drawn or text}</figure>")
    return f'<div class="example">{"".join(boxes)}</div>'


def _place(code: str, name: str) -> int:
    """Return where the call names an argument, which gives the arguments their order back."""
    found = re.search(rf"\b{re.escape(name)}\b", code[max(0, code.rfind("result = ")) :])
    return found.start() if found else len(code)


def _matrices(value: str, other: str | None = None) -> str:
    """Return numbers in nested lists as small tables of an SVG, marked where they differ; "" if they are none."""
    matrices = _parsed(value)
    if not matrices:
        return ""
    others = _parsed(other) if other else None
    same_shape = others is not None and [_shape(one) for one in others] == [_shape(one) for one in matrices]
    width, height = CELL
    most = max((abs(n) for one in matrices for row in one for n in row if isinstance(n, (int, float))), default=0) or 1
    drawn, left = [], 0
    for place, matrix in enumerate(matrices):
        for y, row in enumerate(matrix):
            for x, number in enumerate(row):
                right = others[place][y][x] if same_shape and others else number
                drawn.append(_cell(number, left + x * width, y * height, most, other is not None and number != right))
        left += max(map(len, matrix)) * width + GAP
    sizes = left - GAP, max(map(len, matrices)) * height
    return (
        f'<svg class="matrix" viewBox="-1 -1 {sizes[0] + 2} {sizes[1] + 2}" width="{sizes[0] + 2}" '
        f'height="{sizes[1] + 2}" role="img" aria-label="{escape(value)}">{"".join(drawn)}</svg>'
    )


def _cell(number: Any, x: int, y: int, most: float, differs: bool) -> str:
    width, height = CELL
    real = isinstance(number, (int, float)) and not isinstance(number, bool)
    kind = "true" if number is True else "odd" if not real and number is not False else "less" if number < 0 else "more"
    strength = 0.08 + 0.6 * abs(number) / most if real else 0.5 if kind in ("true", "odd") else 0.08
    text = str(number) if isinstance(number, (bool, str)) else _short(number)
    kind = f"{kind} differs" if differs else kind
    box = f'x="{x}" y="{y}" width="{width - 2}" height="{height - 2}" fill-opacity="{strength:.2f}"'
    middle = f'x="{x + width / 2 - 1:g}" y="{y + height / 2 - 1:g}"'
    return f'<rect class="{kind}" {box}></rect><text {middle}>{escape(text)}</text>'


def _short(number: float) -> str:
    text = f"{number:.3g}"
    return text if len(text) < 7 else re.sub(r"e([+-])0*", lambda found: f"e{found[1].strip('+')}", f"{number:.1e}")


def _parsed(value: str) -> list[Matrix]:
    """Return the matrices in nested lists of numbers, the leading axes put side by side; [] if it is anything else."""
    try:
        found = ast.literal_eval(NUMBER.sub(lambda found: repr(found[0]), value))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []
    while _depth(found) < 2:
        found = [found]
    while _depth(found) > 3:
        found = [one for each in found for one in each] if all(isinstance(each, list) for each in found) else []
    matrices: list[Matrix] = found if _depth(found) == 3 else [found]
    fits = 0 < len(matrices) <= MOST_MATRICES and all(_fits(one) for one in matrices)
    return matrices if fits else []


def _depth(found: Any) -> int:
    """Return how many lists lie in each other, as far as the first of each tells."""
    depth = 0
    while isinstance(found, list):
        depth, found = depth + 1, found[0] if found else None
    return depth


def _fits(matrix: Any) -> bool:
    return (
        isinstance(matrix, list)
        and 0 < len(matrix) <= MOST_ROWS
        and all(isinstance(row, list) and 0 < len(row) <= MOST_COLUMNS for row in matrix)
        and len({len(row) for row in matrix}) == 1
        and all(isinstance(number, (int, float, str)) for row in matrix for number in row)
    )


def _shape(matrix: Matrix) -> tuple[int, int]:
    return len(matrix), len(matrix[0])
