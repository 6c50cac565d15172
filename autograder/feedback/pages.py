"""Pages that a browser shows without running, loading or covering anything, whatever a learner wrote.

nbconvert's exporter takes these as its filters and its preprocessor, for nbgrader's feedback and for the page on
which the formgrader shows a submission. What is allowed is listed; everything else is dropped.
"""

import base64
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import nh3
from jinja2 import pass_context
from jinja2.runtime import Context
from mistune.util import escape_url
from nbconvert.filters import Highlight2HTML, ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_output
from pygments.token import STANDARD_TYPES

from .formulas import mathml

LONGEST = 10_000  # characters of Markdown that are set; more is shown as it was typed
LONGEST_CODE = 20_000  # characters of a cell that is shown in colours, of
LONGEST_LINE = 1_000  # characters, and of
MOST_COLOURED = 400_000  # characters of a notebook
DESERT = re.compile(r"^(?:[ \t\f\v]*+\n){100}", re.MULTILINE)  # lines that are empty, one after the other
MOST_TAGS = 10_000  # of one output, and
MOST_TAGS_IN_ALL = 100_000  # of a notebook: what cleans them takes time by the square of how deep they lie
TAGS = set(
    "a abbr b blockquote br caption code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li mark ol p pre "
    "s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul var".split()
)
# Gone with all that is in them; of other tags the text stays.
DROPPED = set("script style template title textarea noscript iframe object embed svg math select xmp noembed".split())
MOST_COLOURS = 5_000  # changes of colour in one output
NUMBER, SIZE = r"\d{1,2}", r"\d{1,4}"
PICTURE = r"data:image/(png|jpeg|gif|svg\+xml);base64,[A-Za-z0-9+/=\s]*"
ATTRIBUTES = {
    "a": {"href": r"(https?://|mailto:)\S+", "title": r".*"},
    "img": {"src": PICTURE, "alt": r".*", "title": r".*", "width": SIZE, "height": SIZE},
    "td": {"colspan": NUMBER, "rowspan": NUMBER, "align": r"left|right|center"},
    "th": {"colspan": NUMBER, "rowspan": NUMBER, "align": r"left|right|center", "scope": r"row|col"},
    "ol": {"start": SIZE},
    "details": {"open": r".*"},
    "abbr": {"title": r".*"},
}
LENGTH = r"(\d{0,2}(\.\d+)?(em|rem|ex|px|pt|%)|0|auto)"
COLOUR = r"([a-z]{3,20}|#[0-9a-f]{3,8}|rgba?\([\d., %]{1,40}\))"
LINE = rf"({LENGTH}|solid|dashed|dotted|none|{COLOUR})( ({LENGTH}|solid|dashed|dotted|none|{COLOUR})){{0,2}}"
SIDES = rf"{LENGTH}( {LENGTH}){{0,3}}"
# What tables and pictures need; nothing that leaves its place or loads.
STYLES = {
    "color": COLOUR,
    "background": COLOUR,
    "background-color": COLOUR,
    "border": LINE,
    "border-left": LINE,
    "border-right": LINE,
    "border-top": LINE,
    "border-bottom": LINE,
    "border-width": SIDES,
    "border-left-width": LENGTH,
    "border-radius": SIDES,
    "border-collapse": r"collapse|separate",
    "border-spacing": SIDES,
    "padding": SIDES,
    "margin": SIDES,
    "width": r"\d{1,2}%|100%|\d{1,3}px",
    "max-width": r"100%|\d{1,3}px|\d{1,2}em",
    "line-height": r"1(\.\d+)?|normal",
    "text-align": r"left|right|center|start|end",
    "vertical-align": r"[a-z]{3,8}",
    "white-space": r"normal|nowrap|pre|pre-wrap",
    "font-size": r"inherit|smaller|small|medium|\d\dpx|\d\d%|[01](\.\d+)?em|\.\d+em",
    "font-weight": r"normal|bold|[1-9]00",
    "font-style": r"normal|italic",
    "font-family": r"inherit|[a-z-]{4,12}",
    "display": r"list-item|block|inline|inline-block",
    "cursor": r"pointer|default",
    "text-decoration": r"none|underline|line-through",
    "font-variant-numeric": r"tabular-nums",
}
CLASSES = {"span": set(STANDARD_TYPES.values()) - {""}, "div": {"highlight"}, "pre": {"highlight"}}
INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
TURNING = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# nbconvert takes time by the square of both.
SEQUENCE, LONG_SEQUENCE = re.compile("\x1b\\[[^@-~]*[@-~]?"), re.compile("\x1b\\[[^@-~]{40,}[@-~]?")
PICTURES = re.compile(r'<img(?: [a-z]+="[^"]*")*>')  # as nh3 writes them
PIXELS = re.compile(r"[A-Za-z0-9+/]+={0,2}")
SVG_STARTS, SVG_ENDS = re.compile(r"<svg\b", re.IGNORECASE), re.compile(r"</svg\s{0,9}>", re.IGNORECASE)


def clean(html: str, marks: Iterable[str] = ()) -> str:
    """Return HTML with nothing in it but allowed tags, attributes and styles.

    marks  names of classes that `var` elements keep; nobody else knows them
    """
    cleaned = nh3.clean(
        html,
        tags=TAGS,
        clean_content_tags=DROPPED,
        attributes={"*": {"style", "href", "src", *_names()}},
        attribute_filter=_attribute,
        allowed_classes=CLASSES | {"var": set(marks)},
        url_schemes={"http", "https", "mailto", "data"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
    return PICTURES.sub(lambda img: img[0] if ' src="' in img[0] else "", cleaned)


def _names() -> set[str]:
    return {name for allowed in ATTRIBUTES.values() for name in allowed}


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "style":
        return _style(value)
    if name == "class":
        return value  # nh3 has taken out those that are not allowed
    return value if re.fullmatch(ATTRIBUTES.get(tag, {}).get(name, r"(?!)"), value, re.DOTALL) else None


def _style(value: str) -> str | None:
    kept: list[str] = []
    for declaration in value.split(";"):
        name, _, said = (part.strip().lower() for part in declaration.partition(":"))
        if re.fullmatch(STYLES.get(name, r"(?!)"), said):
            kept.append(f"{name}:{said}")
    return ";".join(kept) or None


class _Renderer(IPythonRenderer):
    """nbconvert's, with an empty element in the place of each formula, so that formulas need not be cleaned."""

    def __init__(self, attachments: Mapping[str, dict[str, str]]) -> None:
        # A name may stand in the text as it is, or as an address writes it.
        named = {form: data for name, data in attachments.items() for form in (escape_url(name), name)}
        super().__init__(escape=False, exclude_anchor_links=True, attachments=named)
        self.mark = f"formula-{secrets.token_hex(12)}"
        self.formulas: list[tuple[str, bool]] = []

    def _kept(self, tex: str, block: bool) -> str:
        self.formulas.append((tex, block))
        return f'<var class="{self.mark}">{len(self.formulas) - 1}</var>'

    def block_math(self, body: str) -> str:
        return self._kept(body, True)

    def inline_math(self, body: str) -> str:
        return self._kept(body, False)

    def latex_environment(self, name: str, body: str) -> str:
        return self._kept(f"\\begin{{{name}}}{body}\\end{{{name}}}", True)

    def task_list_item(self, text: str, checked: bool = False, **attrs: Any) -> str:
        return f"<li>{'☑' if checked else '☐'} {text}</li>\n"

    def block_mermaidjs(self, code: str) -> str:
        return self.block_code(code)


@pass_context
def markdown2html(context: Context, source: object, attachments: Mapping[str, dict[str, str]] | None = None) -> str:
    """Return `markdown` of a cell's text, with the cell's own pictures: jinja's filter in place of nbconvert's."""
    if attachments is None:
        attachments = (context.get("cell") or {}).get("attachments")
    return markdown(source, attachments)


def markdown(source: object, attachments: Mapping[str, dict[str, str]] | None = None) -> str:
    """Return Markdown as clean HTML with its formulas.

    attachments  {name: {kind: base64}} of the pictures that it may show; what is no picture is dropped as all else is
    """
    source = str(source or "")
    if len(source) > LONGEST:
        return _typed(source)
    try:
        renderer = _Renderer(attachments or {})
        html = clean(MarkdownWithMath(renderer=renderer).render(source), {renderer.mark})
    except Exception:  # too deep, an attachment that is not there: whatever the renderer does not bear
        return _typed(source)
    return re.sub(
        f'<var class="{renderer.mark}">(\\d+)</var>', lambda found: mathml(*renderer.formulas[int(found[1])]), html
    )


def _typed(source: str) -> str:
    return f"<pre>{escape(INVISIBLE.sub('', source))}</pre>"


@pass_context
def code2html(
    context: Context, source: str, language: str | None = None, metadata: Mapping[str, Any] | None = None
) -> str:
    """Return code with its colours: jinja's filter in place of nbconvert's.

    Pygments takes time by the square of some texts. Nobody has to read those in colour, and they are shown without.
    """
    resources = context.get("resources")
    resources = resources if isinstance(resources, dict) else {}
    coloured = resources.get("coloured", 0) + len(source)
    if coloured > MOST_COLOURED or not is_ordinary(source):
        return f'<div class="highlight"><pre>{escape(INVISIBLE.sub("", source))}</pre></div>'
    resources["coloured"] = coloured
    html: str = Highlight2HTML()(source, language, metadata)
    return html


def is_ordinary(source: str) -> bool:
    """Tell whether code is as people write it: not too long, no endless line, no desert of empty lines."""
    return (
        len(source) <= LONGEST_CODE and not DESERT.search(source) and max(map(len, source.split("\n"))) <= LONGEST_LINE
    )


def ansi(text: object) -> str:
    """Return what a program printed as HTML, with its colours and without other control characters."""
    text = LONG_SEQUENCE.sub("", str(text))
    if text.count("\x1b") > MOST_COLOURS:
        text = SEQUENCE.sub("", text)
    return INVISIBLE.sub("", str(ansi2html(text)))


def as_it_is(text: str) -> str:
    """Return the text: in place of nbconvert's `strip_files_prefix`, which makes javascript: of files/javascript:."""
    return text


class CleanOutputs(Preprocessor):
    """Leaves one clean form of each output, and no metadata or widgets."""

    tags_left = MOST_TAGS_IN_ALL

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        nb.metadata.pop("widgets", None)
        self.tags_left = MOST_TAGS_IN_ALL
        # The formgrader's page writes these as they are.
        for name in ("student", "first_name", "last_name", "notebook_path"):
            if isinstance(resources.get(name), str):
                resources[name] = escape(resources[name])
        nb, resources = super().preprocess(nb, resources)
        return nb, resources

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        if cell.cell_type != "markdown":
            cell.pop("attachments", None)
        if cell.cell_type == "code":
            # Letters that turn the order round would show other code than Python reads.
            cell.source = TURNING.sub(lambda letter: f"\\u{ord(letter[0]):04x}", cell.source)
        if "outputs" in cell:
            cell.outputs = [clean for output in cell.outputs if (clean := self._clean(output))]
        return cell, resources

    def _clean(self, output: NotebookNode) -> NotebookNode | None:
        made: Callable[..., NotebookNode] = new_output
        if output.output_type == "stream":
            return made("stream", name="stdout", text=_string(output.get("text")))
        if output.output_type == "error":
            lines = output.get("traceback")
            return made("error", ename="", evalue="", traceback=[_string(line) for line in lines or []])
        data = output.get("data")
        kind, value = self._best(data if isinstance(data, dict) else {})
        if kind is None:
            return None
        if output.output_type == "execute_result":
            return made("execute_result", {kind: value}, execution_count=output.get("execution_count"))
        return made("display_data", {kind: value})

    def _best(self, data: Mapping[str, Any]) -> tuple[str, str] | tuple[None, None]:
        """Return (type, value) of the first form that a page can show, cleaned; (None, None) if there is none."""
        for kind, make in FORMS.items():
            value = _string(data.get(kind))
            if not value.strip():
                continue
            if make is None:
                return kind, value
            tags = value.count("<")
            if tags <= min(MOST_TAGS, self.tags_left) and (html := make(value)):
                self.tags_left -= tags
                return "text/html", html
        return None, None


def _html(value: str) -> str:
    """Return HTML, cleaned, its drawings as pictures: in those a browser runs and loads nothing."""
    parts: list[str] = []
    here = 0
    while (start := SVG_STARTS.search(value, here)) and (end := SVG_ENDS.search(value, start.end())):
        parts += [value[here : start.start()], _drawing(value[start.start() : end.end()])]
        here = end.end()
    return clean("".join(parts) + value[here:])


def _drawing(value: str) -> str:
    coded = base64.b64encode(value.encode("utf-8", "replace")).decode()
    return f'<img alt="A drawing" src="data:image/svg+xml;base64,{coded}">'


def _photo(kind: str) -> Callable[[str], str | None]:
    def make(value: str) -> str | None:
        coded = "".join(value.split())
        return f'<img alt="A picture" src="data:{kind};base64,{coded}">' if PIXELS.fullmatch(coded) else None

    return make


# What a page can show, the best first.
FORMS: dict[str, Callable[[str], str | None] | None] = {
    "text/html": _html,
    "image/svg+xml": _drawing,
    "image/png": _photo("image/png"),
    "image/jpeg": _photo("image/jpeg"),
    "text/markdown": markdown,
    "text/latex": markdown,
    "text/plain": None,
}


def _string(value: object) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
