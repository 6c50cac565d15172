"""Photos and drawings that belong to a written answer: of a cell's attachments, those that are surely pictures."""

import base64
import binascii
import re

MOST_PICTURES = 20  # of a notebook
MOST_BYTES = 40_000_000  # of base64, of all pictures of a notebook together
LONGEST_NAME = 200
STARTS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
# Nothing of it can match in two ways, so it takes time by the length.
INLINE = re.compile(r"data:(image/(?:png|jpeg));base64,([A-Za-z0-9+/]++={0,2}+)", re.IGNORECASE)
SPACE = re.compile(r"\s+")


def pictures(attachments, left):
    """Return the attachments that are pictures, as nbformat has them: {name: {kind: base64}}.

    attachments  what a cell has under this name; it may be anything
    left         [pictures, bytes] that may still be taken; what is taken is subtracted
    """
    found = {}
    for name, forms in attachments.items() if isinstance(attachments, dict) else ():
        if not (isinstance(forms, dict) and name.isprintable() and 0 < len(name) <= LONGEST_NAME):
            continue
        for kind in STARTS:
            coded = _coded(forms.get(kind), kind, left)
            if coded:
                left[0], left[1] = left[0] - 1, left[1] - len(coded)
                found[name] = {kind: coded}
                break
    return found


def inline(source, left):
    """Return a text without the pictures that stand in it as data, as Colab puts them, and these as attachments."""
    found = {}

    def attached(match):
        kind, coded = match[1].lower(), _coded(match[2], match[1].lower(), left)
        if not coded:
            return match[0]
        left[0], left[1] = left[0] - 1, left[1] - len(coded)
        name = f"data-{len(found)}.{kind.removeprefix('image/')}"
        found[name] = {kind: coded}
        return f"attachment:{name}"

    return INLINE.sub(attached, source) if "base64," in source else source, found


def _coded(value, kind, left):
    """Return a picture in base64 if it is one of its kind and not too much, else None."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    if not isinstance(value, str) or left[0] < 1 or len(value) > 2 * left[1]:
        return None
    coded = SPACE.sub("", value)
    try:
        decoded = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return coded if decoded.startswith(STARTS[kind]) and len(coded) <= left[1] else None
