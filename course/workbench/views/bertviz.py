"""BertViz's three scripts, which draw, and what is changed in them; see `page.js` for what is added around them.

BertViz (Jesse Vig, Apache-2.0) and d3 5.7.0 (Mike Bostock, BSD-3-Clause, from the package mpld3) are read from where
they are installed; nothing of theirs is imported, because bertviz's Python modules need much more than the scripts.
"""

import functools
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from .attention import ViewError

# View -> (as it is written there, what stands for it). Each stands there exactly once.
CHANGES = {
    "head": [
        ("const params = PYTHON_PARAMS;", "const params = window.bertviz_params;"),
        # Tokens have as much room as the longest one needs.
        ("const BOXWIDTH = 110;", "const BOXWIDTH = params.box_width;"),
    ],
    "model": [
        ("const params = PYTHON_PARAMS;", "const params = window.bertviz_params;"),
        ("const DETAIL_BOX_WIDTH = 80;", "const DETAIL_BOX_WIDTH = params.box_width;"),
        ("const DETAIL_WIDTH = 300;", "const DETAIL_WIDTH = 140 + 2 * params.box_width;"),
    ],
    "neuron": [
        ("const BOXWIDTH = TEXT_SIZE * 8;", "const BOXWIDTH = params.box_width;"),
        # The picture is as high as its longer side.
        (
            "config.initialTextLength = attentionFilter.right_text.length;",
            "config.initialTextLength = Math.max(attentionFilter.left_text.length, attentionFilter.right_text.length);",
        ),
    ],
}


def scripts(view: str) -> tuple[str, str]:
    """Return (d3, the script of a view) as text; `view` is "head", "model" or "neuron".

    Raises ViewError if a package is missing, or its script is another one than the changes are for.
    """
    d3 = _read("mpld3", "js/d3.v5.min.js", "pip install --no-deps mpld3==0.5.12")
    script = _read("bertviz", f"{view}_view.js", "pip install --no-deps bertviz==1.4.1")
    for old, new in CHANGES[view]:
        if script.count(old) != 1:
            raise ViewError(
                f"bertviz {version('bertviz')}: {view}_view.js has {script.count(old)} lines "
                f"{old!r}, where one is expected; install the version that was tested: "
                "pip install --no-deps bertviz==1.4.1"
            )
        script = script.replace(old, new)
    return d3, script


@functools.cache
def _read(package: str, file: str, install: str) -> str:
    spec = find_spec(package)  # finds the folder, and imports nothing
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / file if folders else None
    if not path or not path.is_file():
        raise ViewError(f"{package} has no {file} here; install it: {install}")
    return path.read_text(encoding="utf-8")
