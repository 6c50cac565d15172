"""What a learner has handed in, now and earlier, as read from a graded notebook."""

import json
import os
from collections.abc import Mapping
from typing import Any

from .rebuild import NOTES, OWN


def handed_in_before(folder: str) -> dict[str, dict[str, Any]]:
    """Return {notebook: `handed_in`} of the graded notebooks in a folder; those that cannot be read are left out."""
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        stem, ending = os.path.splitext(name)
        if ending == ".ipynb":
            try:
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    found[stem] = handed_in(json.load(file))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # a run that was cut short may have left it; a person is asked then
    return found


def handed_in(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a graded notebook has from its learner: answers, code, everything; its refusal and remarks."""
    notes = notebook["metadata"].get(NOTES, {})
    cells = [
        (cell["cell_type"], _written(cell), (cell["metadata"].get("nbgrader") or {}).get("grade_id"))
        for cell in notebook["cells"]
        if _is_learners(cell)
    ]
    return {
        "answers": {name: source for _, source, name in cells if name},
        "code": [source for kind, source, _ in cells if kind == "code"],
        "all": [source for _, source, _ in cells],
        "refused": notes.get("refused"),
        "remarks": notes.get("remarks", {}),
    }


def _is_learners(cell: Mapping[str, Any]) -> bool:
    return bool((cell["metadata"].get("nbgrader") or {}).get("solution")) or cell.get("id", "").startswith(OWN)


def _written(cell: Mapping[str, Any]) -> str:
    """Return a cell's text, and its pictures with it: another photo is another answer."""
    source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
    pictures = cell.get("attachments")
    return source + json.dumps(pictures, sort_keys=True) if pictures else source
