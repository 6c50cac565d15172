"""Photos and drawings that belong to a written answer: of a cell's attachments, those that are surely pictures."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

MOST_PICTURES = 20  # of a notebook
MOST_BYTES = 40_000_000  # of base64, of all pictures of a notebook together
LONGEST_NAME = 200
STARTS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
# Nothing of it can match in two ways, so it takes time by the length.
INLINE = re.compile(r"data:(image/(?:png|jpeg));base64,([A-Za-z0-9+/]++={0,2}+)", re.IGNORECASE)
SPACE = re.compile(r"\s+")
LEFT_OUT = "(a picture was left out here)"


@dataclass
class Room:
    """How many pictures of a notebook may still be taken, of how many bytes, and how many were left out."""

    pictures: int = MOST_PICTURES
    bytes: int = MOST_BYTES
    left_out: int = 0

    def take(self, coded: str) -> bool:
        """Return whether there is room for a picture in base64, and give it its place."""
        if self.pictures < 1 or len(coded) > self.bytes:
            self.left_out += 1
            return False
        self.pictures, self.bytes = self.pictures - 1, self.bytes - len(coded)
        return True


def said_of(left_out: int) -> str:
    """Return what a reader is told about pictures that were left out."""
    return (
        f"Pictures of this cell that are not shown: {left_out}. Of one notebook {MOST_PICTURES} are, "
        f"of {MOST_BYTES / 1e6:g} MB in all; the rest is in the file that was handed in."
    )


def pictures(attachments: Any, room: Room) -> dict[str, dict[str, str]]:
    """Return the attachments that are pictures, as nbformat has them: {name: {kind: base64}}.

    attachments  what a cell has under this name; it may be anything
    room         the `Room` that is left for them
    """
    found: dict[str, dict[str, str]] = {}
    for name, forms in attachments.items() if isinstance(attachments, dict) else ():
        if not (isinstance(forms, dict) and name.isprintable() and 0 < len(name) <= LONGEST_NAME):
            continue
        for kind in STARTS:
            coded = _coded(forms.get(kind), kind)
            if coded:
                if room.take(coded):
                    found[name] = {kind: coded}
                break
    return found


def inline(source: str, room: Room) -> tuple[str, dict[str, dict[str, str]]]:
    """Return a text without the pictures that stand in it as data, as Colab puts them, and these as attachments.

    For one that finds no room, a word of it is put: as data it would make the text longer than a text may be.
    """
    found: dict[str, dict[str, str]] = {}

    def attached(match: re.Match[str]) -> str:
        kind, coded = match[1].lower(), _coded(match[2], match[1].lower())
        if not coded:
            return match[0]
        if not room.take(coded):
            return LEFT_OUT
        name = f"data-{len(found)}.{kind.removeprefix('image/')}"
        found[name] = {kind: coded}
        return f"attachment:{name}"

    return INLINE.sub(attached, source) if "base64," in source else source, found


def _coded(value: Any, kind: str) -> str | None:
    """Return a picture in base64 if it is one of its kind, else None."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    if not isinstance(value, str):
        return None
    coded = SPACE.sub("", value)
    try:
        decoded = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return coded if decoded.startswith(STARTS[kind]) else None
