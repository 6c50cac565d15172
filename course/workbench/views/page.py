"""A page that holds one view with all it needs, and the frame in which a notebook shows it."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from . import bertviz
from .attention import Kind
from .pack import Pack
from .palette import COLOURS, DASHES

HERE = Path(__file__).parent

NOTICE = (
    "<!-- Drawn by BertViz 1.4.1, Copyright Jesse Vig, Apache License 2.0, with the changes that workbench/views/"
    "bertviz.py lists, and by d3 5.7.0, Copyright Mike Bostock, BSD 3-Clause. -->"
)

UNPACK = """
(async () => {
  const told = document.getElementById("told");
  try {
    const packed = Uint8Array.from(atob(document.getElementById("packed").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const size = new DataView(bytes.buffer).getUint32(0, true);
    const { code, data } = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)));
    window.attentionView = { data, numbers: bytes.subarray(4 + size) };
    document.body.append(Object.assign(document.createElement("script"), { textContent: code }));
  } catch (error) {
    told.textContent = `This browser cannot draw the view (${error}); look at the still picture instead.`;
  }
})();
"""

# A notebook's own theme, where the page around the frame says which; the frame takes over what is said here.
THEME = (
    '[data-jp-theme-light="false"] .attention-view iframe,.vscode-dark .attention-view iframe{color-scheme:dark}'
    '[data-jp-theme-light="true"] .attention-view iframe,.vscode-light .attention-view iframe{color-scheme:light}'
)


def page(view: str, title: str, kinds: Sequence[Kind], **settings: Any) -> str:
    """Return a page that needs nothing else, as text, the same in every run.

    view      "head", "model" or "neuron"
    title     what it shows
    kinds     a list of `Kind`
    settings  "layer", "head", "heads": what is chosen at first; "mode": "light", "dark" or None for the reader's theme
    """
    pack = Pack()
    data = {
        "view": view,
        "title": title,
        "colours": COLOURS,
        "dashes": DASHES,
        **settings,
        "kinds": [_kind(pack, view, kind) for kind in kinds],
    }
    d3, script = bertviz.scripts(view)
    ours = (HERE / "page.js").read_text(encoding="utf-8")
    code = "\n".join([d3, f"(() => {{\n{ours}}})();", script, "attentionView.begin();"])
    packed = pack.pack({"code": code, "data": data})
    style = (HERE / "page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html><html lang="en">{NOTICE}<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(title)}</title><style>{style}</style>"
        f'<main id="root" aria-label="{html.escape(title)}"><div id="controls"></div>'
        '<p id="told" aria-live="polite"><noscript>This view needs JavaScript; look at the still picture instead.'
        '</noscript></p><div id="vis"></div></main>'
        f'<script id="packed" type="text/plain">{packed}</script><script>{UNPACK}</script></html>'
    )


def _kind(pack: Pack, view: str, kind: Kind) -> dict[str, Any]:
    about = {
        "name": kind.name,
        "left_text": kind.rows,
        "right_text": kind.columns,
        "layers": kind.layers,
        "heads": kind.heads,
        "bidirectional": not is_causal(kind),
        "weights": _packed(pack, kind.weights, 4),
    }
    if view == "neuron" and kind.queries is not None and kind.keys is not None:
        about |= {"queries": _packed(pack, kind.queries, 3), "keys": _packed(pack, kind.keys, 3)}
    return about


def _packed(pack: Pack, layers: list[torch.Tensor], digits: int) -> dict[str, Any]:
    return pack.add(torch.stack(layers), digits)


def is_causal(kind: Kind) -> bool:
    """Tell whether no query of a kind gives weight to a later key, and the first one has later keys."""
    return (
        kind.name != "cross"
        and kind.size[2] == kind.size[3] > 1
        and all(not weights.triu(1).any() for weights in kind.weights)
    )


def height(view: str, kinds: Sequence[Kind], columns: int) -> int:
    """Return how many pixels high the frame of a view is."""

    def of(kind: Kind) -> float:
        layers, heads, queries, keys = kind.size
        longer = max(queries, keys)
        return {
            "head": 22.5 * longer + 30,
            "model": max(43 + layers * (longer * 84 / max(heads, columns) + 10), 18 * longer + 55),
            "neuron": 26 * longer + 100,
        }[view]

    has_controls = view != "model" or len(kinds) > 1
    return round(max(map(of, kinds))) + (96 if has_controls else 70)


def framed(text: str, title: str, sentence: str, high: int, png: bytes) -> str:
    """Return a page in a frame of its own, with a still picture for those who cannot use it.

    text      the page
    title     what the frame is called
    sentence  what is seen
    high      how many pixels high the frame is
    png       the still picture

    Nothing in the frame can reach the notebook around it. Where the frame is taken away, because the notebook is not
    trusted or its reader shows no frames, the sentence and the picture stay.
    """
    instead = (
        f"{sentence} This view is interactive: it needs a notebook that is trusted (run the cell, or trust the "
        "notebook) and a reader that shows frames. Below is the same as a still picture."
    )
    return (
        f'<div class="attention-view"><style>{THEME}</style>'
        f'<iframe title="{html.escape(title)}" sandbox="allow-scripts" style="border:0;width:100%;height:{high}px" '
        f'srcdoc="{html.escape(text)}">{html.escape(instead)}</iframe>'
        f'<details><summary>Still picture</summary><img alt="{html.escape(sentence)}" '
        f'width="{int.from_bytes(png[16:20], "big") // 2}" style="max-width:100%" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}"></details></div>'
    )
