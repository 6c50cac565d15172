"""Do a cell's outputs mean the same as before, although another processor ran it?

Every processor adds in an order of its own, and a training adds up what that rounds: another machine trains a model
that is as good and has other numbers. A demo of a lesson whose output comes from a trained model is marked `trained`;
of such a cell the words, the shape and the size of each number are compared, and of every other cell each letter.
"""

import base64
import functools
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from nbformat import NotebookNode

TAG = "trained"
WIDGET = "application/vnd.jupyter.widget-view+json"  # stored is only the still picture beside it
# nbval by itself leaves such a cell alone; with our pytest plugin it asks `differences`.
TAGS = [TAG, "nbval-ignore-output"]
NEAR = Decimal("0.02")  # how far, of itself, a number may be from the stored one
LEVELS = 8  # of 255, how far a pixel may be: lines are smoothed by numbers that are rounded, too
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?|\d+")
PACKED = re.compile(r"[A-Za-z0-9+/]{400,}={0,2}")  # pictures, and what an interactive view holds


def metadata(trained: str | None) -> dict[str, Any]:
    """Return the metadata of a notebook's cell, for what its lesson text says.

    trained  None: no trained model shows in its output; otherwise a regular expression, or "", of those parts that may
             be anything: what a model writes, which of its heads is the strongest
    """
    if trained is None:
        return {}
    return {"tags": list(TAGS)} | ({"transformer_taxonomy": {"varies": trained}} if trained else {})


def is_trained(cell: Mapping[str, Any]) -> bool:
    """Tell whether a cell of a notebook is marked as one that shows a trained model."""
    return TAG in cell.get("metadata", {}).get("tags", ())


def same_notebook(stored: NotebookNode, fresh: NotebookNode) -> bool:
    """Tell whether a freshly executed notebook has the cells of the stored one, and outputs that say the same."""
    return (
        _about(stored) == _about(fresh)
        and len(stored.cells) == len(fresh.cells)
        and all(
            _about(old) == _about(new) and not differences(new, old.get("outputs", []), new.get("outputs", []))
            for old, new in zip(stored.cells, fresh.cells, strict=True)
        )
    )


def _about(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a notebook or a cell that is no output of a cell."""
    return {key: value for key, value in part.items() if key not in ("cells", "outputs")}


def differences(
    cell: Mapping[str, Any], stored: Iterable[Mapping[str, Any]], fresh: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Return how the fresh outputs of a cell differ from the stored ones, in sentences; none if they say the same."""
    kinds, others = ([_kind(output) for output in outputs] for outputs in (stored, fresh))
    if kinds != others:
        return [f"the outputs are {_listed(others)}, but the stored ones are {_listed(kinds)}"]
    return [text for old, new in zip(stored, fresh, strict=True) for text in _output(cell, old, new)]


def _kind(output: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what kind of output this is, and the kinds of data in it."""
    return (output["output_type"], output.get("name", ""), *sorted(set(output.get("data", {})) - {WIDGET}))


def _listed(kinds: Iterable[tuple[str, ...]]) -> str:
    return "; ".join(" ".join(filter(None, kind)) for kind in kinds) or "none"


def _output(cell: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield how one output differs from the stored one of the same kind."""
    texts: Callable[[str, str], str]
    if is_trained(cell):
        varies = cell["metadata"].get("transformer_taxonomy", {}).get("varies")
        texts, pictures = functools.partial(text_differs, varies=varies), _size_differs
    else:
        texts, pictures = _letters_differ, _picture_differs
    for kind in sorted(set(old.get("data", {})) - {WIDGET}):
        compare = pictures if kind == "image/png" else texts
        if said := compare(_text(old["data"][kind]), _text(new["data"][kind])):
            yield f"{kind}: {said}"
    for part in ("text", "metadata", "ename", "evalue"):
        if said := texts(_text(old.get(part, "")), _text(new.get(part, ""))):
            yield f"{part if part != 'text' else old.get('name')}: {said}"


def _text(value: object) -> str:
    """Return text, which a notebook may hold as a list of lines, and of anything else how JSON writes it."""
    if isinstance(value, (list, tuple)) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _letters_differ(stored: str, fresh: str) -> str:
    return "" if stored == fresh else f"now {fresh!r:.300}, but stored {stored!r:.300}"


def text_differs(stored: str, fresh: str, varies: str | None = None) -> str:
    """Return how a text differs in meaning from the stored one, in a sentence; "" if it says the same.

    varies  a regular expression of those parts that may be anything, as long as they are there
    Words and lines must be equal, numbers near; what is packed is unpacked.
    """
    blobs, others = PACKED.findall(stored), PACKED.findall(fresh)
    if len(blobs) != len(others):
        return f"{len(others)} packed parts, but {len(blobs)} stored"
    lines, new_lines = (PACKED.sub("…", text).splitlines() for text in (stored, fresh))
    if len(lines) != len(new_lines):
        return f"{len(new_lines)} lines, but {len(lines)} stored"
    for old, new in zip(lines, new_lines, strict=True):
        if not _line_says(old, new, varies):
            return _letters_differ(old, new)
    return next(filter(None, (_packed_differs(old, new, varies) for old, new in zip(blobs, others, strict=True))), "")


def _line_says(stored: str, fresh: str, varies: str | None) -> bool:
    """Tell whether two lines have the same words, and numbers that are near each other."""
    old, new = (re.sub(varies, "…", line) if varies else line for line in (stored, fresh))
    words, new_words = (NUMBER.sub(" # ", line).split() for line in (old, new))
    return words == new_words and all(map(near, NUMBER.findall(old), NUMBER.findall(new)))


def near(stored: str, fresh: str) -> bool:
    """Tell whether two printed numbers are within 2 percent of each other.

    One with a single digit (0.3, 0.04, 4e+05) says less than that; its digit may be another by one.
    """
    old, new = Decimal(stored), Decimal(fresh)
    exponent = int(old.as_tuple().exponent)
    digit = Decimal(1).scaleb(exponent)
    counted = exponent == 0  # 3 heads are not 4 heads
    single = not counted and max(abs(old), abs(new)) < 10 * digit
    return abs(old - new) <= max(NEAR * max(abs(old), abs(new)), digit if single else 0)


def _packed_differs(stored: str, fresh: str, varies: str | None) -> str:
    """Compare what base64 hides: of a picture its size, of an interactive view its code, its words and its shapes."""
    old, new = base64.b64decode(stored), base64.b64decode(fresh)
    if old[:8] == new[:8] == b"\x89PNG\r\n\x1a\n":
        return _size_differs(stored, fresh)
    if old[:2] == new[:2] == b"\x1f\x8b":
        from workbench.views.pack import unpack  # loads torch, which few notebooks need here

        (text, numbers), (new_text, new_numbers) = unpack(stored), unpack(fresh)
        if text.pop("code") != new_text.pop("code") or len(numbers) != len(new_numbers):
            return "another interactive view"
        return text_differs(_text(text), _text(new_text), varies)
    return "" if old == new else "another packed part"


def _size_differs(stored: str, fresh: str) -> str:
    """Compare two pictures by their size: what they draw is another model."""
    size, other = (_pixels(picture).shape[:2] for picture in (stored, fresh))
    return "" if size == other else f"a picture of {other} pixels, but the stored one has {size}"


def _picture_differs(stored: str, fresh: str) -> str:
    """Compare two pictures pixel by pixel; the bytes may differ, as compression does from machine to machine."""
    old, new = _pixels(stored), _pixels(fresh)
    if old.shape != new.shape:
        return _size_differs(stored, fresh) or "a picture with other colours"
    return "" if abs(old - new).max() <= LEVELS / 255 else "another picture"


def _pixels(picture: str) -> Any:
    from matplotlib.image import imread

    return imread(io.BytesIO(base64.b64decode(picture)), format="png")
