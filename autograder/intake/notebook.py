"""A notebook file that somebody handed in, read without trusting any of it.

`json` alone takes a key that stands twice, numbers that cost minutes to convert, and any depth that the
stack bears. What no Jupyter writes is refused here, in words for the learner.
"""

import json
import os
import stat
from dataclasses import dataclass

from .folder import shown

LONGEST_NUMBER = 400  # characters; no float that Jupyter writes has more


class UnreadableError(Exception):
    """The reason, in words for the learner, why a submission cannot be read."""


@dataclass(frozen=True)
class LearnerCell:
    """One cell that was handed in; only what may come from a learner."""

    kind: str  # "code" or "markdown"
    source: str
    grade_id: str | None  # nbgrader's name for an answer or check, if the cell claims one
    cell_id: str | None


def read_cells(path, limits):
    """Return the `LearnerCell`s of the notebook at a path.

    path    a file; it may hold anything
    limits  `folder.Limits`
    Raises `UnreadableError`.
    """
    return _cells(_parse(_read(path, limits.notebook_bytes)), limits)


def _read(path, most):
    name = shown(os.path.basename(path))
    not_a_file = f"{name} is a link, a folder or a device; hand in the notebook file itself."
    if os.path.islink(path) or not os.path.isfile(path):
        raise UnreadableError(not_a_file)
    try:
        # It may have become a link or a pipe since; opening a pipe without this flag waits for ever.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableError(not_a_file)
            content = file.read(most + 1)
    except OSError as error:
        raise UnreadableError(f"{name} cannot be opened: {error.strerror}.") from error
    if len(content) > most:
        raise UnreadableError(f"{name} is larger than {most / 1e6:g} MB; clear its outputs and save it.")
    return content


def _parse(content):
    if not content.strip():
        raise UnreadableError("The file is empty.")
    try:
        return json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_object, parse_int=_integer, parse_float=_float
        )
    except UnicodeDecodeError as error:
        raise UnreadableError("The file is not UTF-8 text, so it is not a notebook that Jupyter saved.") from error
    except RecursionError as error:
        raise UnreadableError("The file is nested too deeply for a notebook.") from error
    except ValueError as error:
        raise UnreadableError(f"The file is not a notebook: its JSON is broken ({error}).") from error


def _object(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        # Of two values, one program would show the first and another run the second.
        seen = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise UnreadableError(
            f"The file is not a notebook that Jupyter saved: one part of it has the key "
            f"{shown(twice)!r} twice. Open it in JupyterLab and save it again."
        )
    return found


def _integer(text):
    return int(_short(text))


def _float(text):
    return float(_short(text))


def _short(text):
    if len(text) > LONGEST_NUMBER:
        raise UnreadableError(f"The file is not a notebook: it holds a number of {len(text)} characters.")
    return text


def _cells(document, limits):
    if not isinstance(document, dict) or "nbformat" not in document:
        raise UnreadableError("The file is JSON, but not a notebook.")
    if document["nbformat"] != 4:
        version = shown(repr(document["nbformat"])[:20])
        raise UnreadableError(f"The notebook has format {version}, not 4; open it in JupyterLab and save it again.")
    if not isinstance(document.get("cells"), list):
        raise UnreadableError("The notebook has no list of cells.")
    if len(document["cells"]) > limits.cells:
        raise UnreadableError(
            f"The notebook has {len(document['cells'])} cells; at most {limits.cells} are graded. "
            "Delete those that are not needed."
        )
    cells = [cell for cell in map(_cell, document["cells"]) if cell is not None]
    if not cells:
        raise UnreadableError("The notebook has no cells.")
    _weigh(cells, limits)
    return cells


def _weigh(cells, limits):
    sizes = [len(cell.source) for cell in cells]
    for number, size in enumerate(sizes, 1):
        if size > limits.source:
            raise UnreadableError(f"Cell {number} has {size} characters; at most {limits.source} are graded.")
    if sum(sizes) > limits.sources:
        raise UnreadableError(f"The cells have {sum(sizes)} characters in all; at most {limits.sources} are graded.")


def _cell(raw):
    """Return the cell, or None for one that nobody could have written in Jupyter."""
    if not isinstance(raw, dict) or raw.get("cell_type") not in ("code", "markdown"):
        return None
    source = raw.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    metadata = raw.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return LearnerCell(raw["cell_type"], encodable(source), _text(grade_id), _text(raw.get("id")))


def _text(value):
    return value if isinstance(value, str) else None


def encodable(text):
    """Return the text with "?" for half a surrogate pair, which JSON may hold and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")
