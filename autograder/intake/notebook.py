"""A notebook file that somebody handed in, read without trusting any of it.

`json` alone takes a key that stands twice, numbers that cost minutes to convert, and any depth that the
stack bears. What no Jupyter writes is refused here, in words for the learner.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..display import shown
from . import content as contents
from .content import UnreadableError
from .folder import Limits
from .pictures import Room, inline, pictures

LONGEST_NUMBER = 400  # characters; no float that Jupyter writes has more
# Brackets and commas of a file: each value that is put into memory needs one, and pictures need none.
MOST_VALUES = 6_000_000
KINDS = ("code", "markdown", "raw")


@dataclass(frozen=True)
class LearnerCell:
    """One cell that was handed in; only what may come from a learner."""

    kind: str  # "code", "markdown" or "raw"
    source: str
    grade_id: str | None  # nbgrader's name for an answer or check, if the cell claims one
    cell_id: str | None
    # {name: {"image/png": base64}}, checked
    attachments: dict[str, dict[str, str]] = field(default_factory=dict, hash=False)
    left_out: int = 0  # pictures of it that found no room


def read_cells(path: str, limits: Limits) -> list[LearnerCell]:
    """Return the `LearnerCell`s of the notebook at a path.

    path    a file; it may hold anything
    limits  `folder.Limits`
    Raises `UnreadableError`.
    """
    return cells_in(contents.read(path, limits.notebook_bytes), limits)


def cells_in(content: bytes, limits: Limits) -> list[LearnerCell]:
    """Return the `LearnerCell`s of a notebook's bytes, or raise `UnreadableError`."""
    return _cells(_parse(content), limits)


def _parse(content: bytes) -> Any:
    if not content.strip(contents.BLANK):
        raise UnreadableError("The file is empty.")
    text = contents.text(content)
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise UnreadableError(
            f"The file holds more than {MOST_VALUES // 1_000_000} million values; clear its outputs and save it."
        )
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float)
    except RecursionError as error:
        raise UnreadableError("The file is nested too deeply for a notebook.") from error
    except ValueError as error:
        raise UnreadableError(contents.why_not(text, error)) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Of two values, one program would show the first and another run the second.
        seen: set[str] = set()
        for twice, _ in pairs:
            if twice in seen:
                break
            seen.add(twice)
        raise UnreadableError(
            f"The file is not a notebook that Jupyter saved: one part of it has the key "
            f"{shown(twice)!r} twice. Open it in JupyterLab and save it again."
        )
    if "cell_type" in found:
        found.pop("outputs", None)  # at once, for they may be most of the file
    return found


def _integer(text: str) -> int:
    return int(_short(text))


def _float(text: str) -> float:
    return float(_short(text))


def _short(text: str) -> str:
    if len(text) > LONGEST_NUMBER:
        raise UnreadableError(f"The file is not a notebook: it holds a number of {len(text)} characters.")
    return text


def _cells(document: Any, limits: Limits) -> list[LearnerCell]:
    raw = _list_of_cells(document)
    if len(raw) > limits.cells:
        raise UnreadableError(
            f"The notebook has {len(raw)} cells; at most {limits.cells} are graded. Delete those that are not needed."
        )
    room = Room()
    cells = [cell for cell in (_cell(one, room) for one in raw) if cell is not None]
    if not cells:
        raise UnreadableError("The notebook has no cells.")
    _weigh(cells, limits)
    return cells


def _list_of_cells(document: Any) -> list[Any]:
    if not isinstance(document, dict) or "nbformat" not in document:
        raise UnreadableError("The file is JSON, but not a notebook.")
    if document["nbformat"] in (2, 3):
        return _of_format_3(document)
    if document["nbformat"] != 4:
        version = shown(repr(document["nbformat"])[:20])
        raise UnreadableError(f"The notebook has format {version}, not 4; open it in JupyterLab and save it again.")
    cells = document.get("cells")
    if not isinstance(cells, list):
        raise UnreadableError("The notebook has no list of cells.")
    return cells


def _of_format_3(document: dict[str, Any]) -> list[Any]:
    """Return the cells of a notebook from before 2015, as format 4 has them.

    nbformat's own conversion raises all kinds of errors where a value is of another type than it expects.
    """
    sheets = document.get("worksheets")
    sheets = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)] if isinstance(sheets, list) else []
    if not any(isinstance(cells, list) for cells in sheets):
        raise UnreadableError("The notebook has no list of cells.")
    return [_as_format_4(cell) for cells in sheets if isinstance(cells, list) for cell in cells]


def _as_format_4(raw: Any) -> Any:
    if not isinstance(raw, dict):
        return raw
    if raw.get("cell_type") == "code":
        return raw | {"source": raw.get("input", raw.get("source"))}
    if raw.get("cell_type") in ("heading", "html"):
        level = raw.get("level", 1) if raw["cell_type"] == "heading" else 0
        signs = "#" * level + " " if level in range(1, 7) else ""
        return raw | {"cell_type": "markdown", "source": signs + (_source(raw) or "")}
    return raw


def _weigh(cells: Sequence[LearnerCell], limits: Limits) -> None:
    sizes = [len(cell.source) for cell in cells]
    for number, size in enumerate(sizes, 1):
        if size > limits.source:
            raise UnreadableError(f"Cell {number} has {size} characters; at most {limits.source} are graded.")
    if sum(sizes) > limits.sources:
        raise UnreadableError(f"The cells have {sum(sizes)} characters in all; at most {limits.sources} are graded.")


def _cell(raw: Any, room: Room) -> LearnerCell | None:
    """Return the cell, or None for one that nobody could have written in Jupyter.

    room  the `Room` that is left for pictures
    """
    if not isinstance(raw, dict) or raw.get("cell_type") not in KINDS:
        return None
    source = _source(raw)
    if source is None:
        return None
    metadata = raw.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    # Windows' ends of lines are no part of what was written.
    source = encodable(source).replace("\r\n", "\n")
    found: dict[str, dict[str, str]] = {}
    before = room.left_out
    if raw["cell_type"] != "code":
        source, found = inline(source, room)
        found |= pictures(raw.get("attachments"), room)
    left_out = room.left_out - before
    return LearnerCell(raw["cell_type"], source, _text(grade_id), _text(raw.get("id")), found, left_out)


def _source(raw: dict[str, Any]) -> str | None:
    source = raw.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    return source if isinstance(source, str) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def encodable(text: str) -> str:
    """Return the text with "?" for half a surrogate pair, which JSON may hold and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")
