"""The map: a picture of the whole transformer with a box for every component of the course.

A box is lit where the learner has solved its exercise, half lit where it was tried; the lesson of a notebook is
marked. What the learner has done is an argument: the workbench does not know where it is kept.

The picture is an SVG that brings its own paper, light or dark as the reader's desktop or page is, so that it reads
wherever it is put. Solved, tried and marked differ in a sign and in the border as well as in colour.
"""

import base64
import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .map_boxes import ARROWS, BOXES, HEIGHT, ON_THE_MAP, PARTS, WIDTH, WORDS, Box


@dataclass(frozen=True, repr=False)
class Map:
    """The map as Jupyter shows it, with the sentence that takes its place in a terminal.

    It is shown as an image: JupyterLab takes the lines out of a drawing in a notebook that it does not trust, and
    leaves its words in a heap. An image it shows, and so does nbgrader on its feedback pages.
    """

    sentence: str
    svg: str

    @property
    def html(self) -> str:
        """The picture as an HTML element that needs no other file."""
        data = base64.b64encode(self.svg.encode()).decode()
        return (
            f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(self.sentence)}" width="{WIDTH}" '
            'style="max-width:100%;height:auto">'
        )

    def __repr__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return self.html


def transformer_map(lit: str | None = None, solved: Collection[str] = (), tried: Collection[str] = ()) -> Map:
    """Return the map of the transformer.

    lit     name of the lesson, or of the capstone, that is marked as the reader's place, or None
    solved  names of the components whose exercises are solved
    tried   names of those that were tried; what is solved as well counts as solved
    Without anything solved or tried, the boxes have no signs. Raises ValueError if a name is not on the map.
    """
    if lit is not None:
        _known("lesson", lit, ON_THE_MAP)
    for part in (*solved, *tried):
        _known("part", part, PARTS)
    states = dict.fromkeys(PARTS, "open") | dict.fromkeys(tried, "tried") | dict.fromkeys(solved, "solved")
    states = states if {*solved, *tried} else {}
    counts = [f"{sum(state == name for state in states.values())}" for name in ("solved", "tried")]
    number = ON_THE_MAP[lit].number if lit else None
    told = [f"you are here: {lit.replace('_', ' ')}{f', lesson {number}' if number else ''}"] if lit else []
    if states:
        told.append(f"{counts[0]} of {len(PARTS)} parts solved, {counts[1]} tried")
    sentence = f"Map of the transformer{'; ' * bool(told)}{'; '.join(told)}."
    return Map(sentence, _drawn(sentence, lit, states))


def _known(kind: str, name: str, names: Collection[str]) -> None:
    if name in names:
        return
    near = difflib.get_close_matches(str(name), names, 1)
    meant = f"did you mean {near[0]!r}? The" if near else "the"
    raise ValueError(f"the map has no {kind} {name!r}; {meant} {kind}s are {', '.join(names)}")


# Plain classes, because not every program that draws an SVG knows variables.
_LIGHT = {
    "paper": "fill:#fff;stroke:#d0d7de",
    "card": "fill:#f6f8fa;stroke:#8c959f",
    "layer": "fill:#fff;stroke:#8c959f",
    "part": "fill:#fff;stroke:#8c959f",
    "place": "fill:#e6eaef;stroke:#afb8c1",
    "here": "fill:#fff4d6;stroke:#a85f00",
    "solved": "fill:#cfe6f7;stroke:#0072b2",
    "tried": "fill:#fff;stroke:#0072b2",
    "half": "fill:#cfe6f7",
    "line": "stroke:#59636e",
    "head": "fill:#59636e",
    "sign": "stroke:#004f80",
    "full": "fill:#004f80",
    "none": "stroke:#8c959f",
    "ink": "fill:#1f2328",
    "soft": "fill:#59636e",
    "badge": "fill:#1f2328",
    "number": "fill:#fff",
    "tag": "fill:#e69f00;stroke:#a85f00",
    "said": "fill:#1f2328",
}
_DARK = {
    "paper": "fill:#15181c;stroke:#3d444d",
    "card": "fill:#1d2126;stroke:#6b7480",
    "layer": "fill:#15181c;stroke:#6b7480",
    "part": "fill:#15181c;stroke:#6b7480",
    "place": "fill:#2d333b;stroke:#4d5560",
    "here": "fill:#3b2f12;stroke:#e69f00",
    "solved": "fill:#123c5c;stroke:#56b4e9",
    "tried": "fill:#15181c;stroke:#56b4e9",
    "half": "fill:#123c5c",
    "line": "stroke:#9aa4af",
    "head": "fill:#9aa4af",
    "sign": "stroke:#8fd0f5",
    "full": "fill:#8fd0f5",
    "none": "stroke:#6b7480",
    "ink": "fill:#e6e8eb",
    "soft": "fill:#a9b2bc",
    "badge": "fill:#e6e8eb",
    "number": "fill:#15181c",
}
_SANS = 'font-family:system-ui,-apple-system,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif'
_MONO = 'font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace'
_STYLE = "".join(
    [
        # Letters as wide as they are, not rounded to pixels, so that a name fits its box at any size.
        "text{text-rendering:geometricPrecision}",
        f"text{{{_SANS};font-size:12px}}.name{{{_MONO};font-size:11px}}.title{{font-size:13px;font-weight:600}}",
        ".number{font-size:11px;font-weight:600}.said{font-size:11px;font-weight:600}",
        ".line,.sign,.none{fill:none}.sign{stroke-width:2}.here{stroke-width:3}.solved{stroke-width:1.5}",
        ".tried{stroke-dasharray:4 2}.zoom{stroke-dasharray:2 4}",
        *(f".{name}{{{look}}}" for name, look in _LIGHT.items()),
        "@media (prefers-color-scheme:dark){",
        *(f".{name}{{{look}}}" for name, look in _DARK.items()),
        "}",
    ]
)


def _drawn(sentence: str, lit: str | None, states: Mapping[str, str]) -> str:
    """Return the SVG."""
    cards = [box for box in BOXES if box.kind in ("card", "layer")]
    parts = [f'<rect class="paper" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>']
    parts += [_card_drawn(box, lit in box.marks) for box in cards]
    # Dotted lines open one attention box of the decoder into what is inside all three.
    parts.append('<path class="line zoom" d="M470 432 L512 18 M470 452 L512 352"/>')
    parts += [_arrow(corners) for corners in ARROWS]
    parts += [_box_drawn(box, states.get(box.part), lit in box.marks) for box in BOXES if box not in cards]
    parts += [_text(x, y, words, "soft") for x, y, words in WORDS]
    if lit:
        parts.append(_tag(next(box for box in cards if box.lesson == lit)))
    parts.append(_legend(states))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        f' role="img" aria-label="{escape(sentence)}"><title>{escape(sentence)}</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</svg>\n"
    )


def _card_drawn(box: Box, here: bool) -> str:
    drawn = _rectangle(box, f"{box.kind} here" if here else box.kind, 8)
    if box.lesson:
        y = box.y + box.head + 13
        number = ON_THE_MAP[box.lesson].number
        if number:
            drawn += f'<circle class="badge" cx="{box.x + 16}" cy="{y}" r="9.5"/>'
            drawn += _text(box.x + 16, y + 4, number, "number")
        drawn += _text(box.x + (31 if number else 10), y + 4.5, box.text, "ink title", "start")
    return drawn + (_text(box.x + box.width - 10, box.y + 18, box.side, "soft", "end") if box.side else "")


def _box_drawn(box: Box, state: str | None, here: bool) -> str:
    """Draw a component, or a place where one is used: its name, its state if there is one, and its lesson's number."""
    classes = [box.kind, *(["here"] if here else []), *([state] if state in ("solved", "tried") else [])]
    drawn = _rectangle(box, " ".join(classes), 5)
    if state == "tried":
        drawn += (
            f'<rect class="half" x="{box.x + 2:g}" y="{box.y + 2:g}" width="{box.width / 2 - 2:g}" height="16" rx="3"/>'
        )
    drawn += _sign(box.x + 12, box.y + 10, state) if state else ""
    kind = "ink name" if box.kind == "part" else "ink"
    if box.kind == "part" and state:
        return drawn + _text(box.x + 21, box.y + 14, box.text, kind, "start")
    drawn += _text(box.x + box.width / 2 + (6 if state and box.width < 100 else 0), box.y + 14, box.text, kind)
    numbered = box.kind == "place" and box.width > 100
    return drawn + (
        _text(box.x + box.width - 6, box.y + 14, ON_THE_MAP[box.lesson].number, "soft", "end") if numbered else ""
    )


def _sign(x: float, y: float, state: str) -> str:
    """Return a tick, a half-filled disc or an empty circle around a point."""
    if state == "solved":
        return f'<path class="sign" d="M{x - 4:g} {y:g} l3 4 l6 -8"/>'
    ring = f'<circle class="none" cx="{x:g}" cy="{y:g}" r="4"/>'
    return ring + f'<path class="full" d="M{x:g} {y - 4:g} a4 4 0 0 0 0 8 z"/>' if state == "tried" else ring


def _rectangle(box: Box, classes: str, corner: int) -> str:
    return (
        f'<rect class="{classes}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
        f' rx="{corner}"/>'
    )


def _text(x: float, y: float, words: object, classes: str, anchor: str = "middle") -> str:
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{classes}" x="{x:g}" y="{y:g}"{place}>{escape(str(words))}</text>'


def _arrow(corners: Sequence[tuple[int, int]]) -> str:
    (before, _), (x, y) = corners[-2:]
    line = "M" + " L".join(f"{across} {down}" for across, down in corners)
    head = f"M{x} {y} l-4 7 h8 z" if before == x else f"M{x} {y} l-7 -4 v8 z"
    return f'<path class="line" d="{line}"/><path class="head" d="{head}"/>'


def _tag(box: Box) -> str:
    x, y = box.x + box.width - 98, box.y - 12
    return f'<rect class="tag" x="{x}" y="{y}" width="92" height="16" rx="8"/>' + _text(
        x + 46, y + 12, "you are here", "said"
    )


def _legend(states: Mapping[str, str]) -> str:
    """Return what the signs mean and how many there are, or what the numbers mean."""
    y = HEIGHT - 14
    if not states:
        return _text(WIDTH / 2, y, "The number in a box is its lesson. Data flows from the bottom to the top.", "soft")
    drawn = _text(WIDTH - 20, y, f"of {len(PARTS)} parts", "soft", "end")
    for number, state in enumerate(("solved", "tried", "open")):
        x, words = 28 + 150 * number, "not yet" if state == "open" else state
        count = sum(known == state for known in states.values())
        drawn += _sign(x, y - 4, state) + _text(x + 12, y, f"{words}: {count}", "soft", "start")
    return drawn
