"""Formulas for pages that run no script: TeX as MathML, which browsers show by themselves.

The TeX may be anybody's. `latex2mathml` hands on links and styles, so only elements and attributes that are
listed here are written, and text is escaped.
"""

import re
from html import escape, unescape

from latex2mathml.converter import convert_to_element

LONGEST = 2_000     # characters; a longer formula is shown as it was typed
DEEPEST = 60        # braces in braces
ELEMENTS = {
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup",
    "munder", "mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "mmultiscripts",
    "mprescripts",
}
ATTRIBUTES = {
    "display": r"block|inline", "displaystyle": r"true|false", "scriptlevel": r"[+-]?\d", "stretchy": r"true|false",
    "fence": r"true|false", "form": r"prefix|infix|postfix", "separator": r"true|false", "accent": r"true|false",
    "largeop": r"true|false", "movablelimits": r"true|false", "mathvariant": r"[a-z-]{1,30}",
    "linethickness": r"\d{1,2}(\.\d+)?(px|em|pt)?", "columnalign": r"(left|right|center| ){1,40}",
    "width": r"\d{0,1}(\.\d+)?em", "minsize": r"[1-3](\.\d+)?(em)?", "maxsize": r"[1-3](\.\d+)?(em)?",
}


def mathml(tex, block=False):
    """Return a formula as MathML; as it was typed, if it cannot be read.

    tex    without its dollars
    block  True: on a line of its own
    """
    if len(tex) <= LONGEST and _depth(tex) <= DEEPEST:
        try:
            # Of the two names for the same thing the library knows one; it numbers lines that have no star.
            known = re.sub(r"\\(begin|end)\{(?:aligned|align|split|gather|gathered)\}", r"\\\1{align*}", tex)
            return _written(convert_to_element(known, display="block" if block else "inline"))
        except Exception:   # it raises all kinds at what is not TeX
            pass
    typed = f"$${tex}$$" if block else f"${tex}$"
    return f"<code>{escape(typed)}</code>"


def _depth(tex):
    """Return how deep braces and commands that take an argument can nest; the library recurses."""
    deepest = here = 0
    for letter in tex:
        here = here + 1 if letter == "{" else max(0, here - 1) if letter == "}" else here
        deepest = max(deepest, here)
    return max(deepest, tex.count("\\left"), tex.count("\\begin"), tex.count("\\sqrt"), tex.count("\\frac"))


def _written(element):
    name = element.tag if element.tag in ELEMENTS else "mrow"
    kept = "".join(f' {key}="{value}"' for key, value in element.attrib.items()
                   if re.fullmatch(ATTRIBUTES.get(key, r"(?!)"), value))
    inner = escape(unescape(element.text or "")) + "".join(map(_written, element))
    return f"<{name}{kept}>{inner}</{name}>" + escape(unescape(element.tail or ""))
