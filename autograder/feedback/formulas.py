"""Formulas for pages that run no script: TeX as MathML, which browsers show by themselves.

The TeX may be anybody's. `latex2mathml` hands on links and styles, so only elements and attributes that are
listed here are written, and text is escaped.
"""

import re
from html import escape, unescape
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element

LONGEST = 2_000  # characters; a longer formula is shown as it was typed
DEEPEST = 60  # braces in braces
ELEMENTS = {
    "math",
    "mrow",
    "mi",
    "mn",
    "mo",
    "mtext",
    "mspace",
    "mfrac",
    "msqrt",
    "mroot",
    "msub",
    "msup",
    "msubsup",
    "munder",
    "mover",
    "munderover",
    "mtable",
    "mtr",
    "mtd",
    "mstyle",
    "mpadded",
    "mphantom",
    "mmultiscripts",
    "mprescripts",
}
ROWS = {"math", "mrow", "mstyle", "mpadded", "mphantom", "mtd"}  # whose children simply stand side by side
FUNCTIONS = {"sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "ln", "log", "lg", "arg", "det", "dim"}
ATTRIBUTES = {
    "display": r"block|inline",
    "displaystyle": r"true|false",
    "scriptlevel": r"[+-]?\d",
    "stretchy": r"true|false",
    "fence": r"true|false",
    "form": r"prefix|infix|postfix",
    "separator": r"true|false",
    "accent": r"true|false",
    "largeop": r"true|false",
    "movablelimits": r"true|false",
    "mathvariant": r"[a-z-]{1,30}",
    "linethickness": r"\d{1,2}(\.\d+)?(px|em|pt)?",
    "columnalign": r"(left|right|center| ){1,40}",
    "width": r"\d{0,1}(\.\d+)?em",
    "minsize": r"[1-3](\.\d+)?(em)?",
    "maxsize": r"[1-3](\.\d+)?(em)?",
}


def mathml(tex: str, block: bool = False) -> str:
    """Return a formula as MathML; as it was typed, if it cannot be read.

    tex    without its dollars
    block  True: on a line of its own
    """
    if len(tex) <= LONGEST and _depth(tex) <= DEEPEST:
        try:
            # Of the two names for the same thing the library knows one; it numbers lines that have no star.
            known = re.sub(r"\\(begin|end)\{(?:aligned|align|split|gather|gathered)\}", r"\\\1{align*}", tex)
            return _written(convert_to_element(known, display="block" if block else "inline"))
        except Exception:  # it raises all kinds at what is not TeX
            pass
    typed = f"$${tex}$$" if block else f"${tex}$"
    return f"<code>{escape(typed)}</code>"


def _depth(tex: str) -> int:
    """Return how deep braces and commands that take an argument can nest; the library recurses."""
    deepest = here = 0
    for letter in tex:
        here = here + 1 if letter == "{" else max(0, here - 1) if letter == "}" else here
        deepest = max(deepest, here)
    return max(deepest, tex.count("\\left"), tex.count("\\begin"), tex.count("\\sqrt"), tex.count("\\frac"))


def _written(element: Element) -> str:
    name = element.tag if element.tag in ELEMENTS else "mrow"
    if name == "mrow" and len(element) > 1 and all(map(_upright, element)):
        # `\mathrm{softmax}` is one word, also for those to whom it is read aloud.
        return f"<mi>{escape(unescape(''.join(letter.text or '' for letter in element)))}</mi>"
    kept = "".join(
        f' {key}="{value}"'
        for key, value in element.attrib.items()
        if re.fullmatch(ATTRIBUTES.get(key, r"(?!)"), value)
    )
    inner = escape(unescape(element.text or ""))
    before: Element | None = None
    for child in element:
        inner += _space(before, child) * (name in ROWS) + _written(child)
        before = child
    return f"<{name}{kept}>{inner}</{name}>" + escape(unescape(element.tail or ""))


def _upright(element: Element) -> bool:
    return element.tag == "mi" and element.get("mathvariant") == "normal" and bool(element.text) and not len(element)


def _space(left: Element | None, right: Element) -> str:
    """Return the space that TeX puts between a function such as ln and a letter or number beside it."""
    if left is None:
        return ""
    one, other = _first(left), _first(right)
    beside = {one.tag, other.tag} <= {"mi", "mn"}
    return '<mspace width="0.1667em"/>' * (beside and bool({one.text, other.text} & FUNCTIONS))


def _first(element: Element) -> Element:
    """Return the innermost first part of an element: of a power its base."""
    while element.tag in ("msub", "msup", "msubsup") and len(element):
        element = element[0]
    return element
