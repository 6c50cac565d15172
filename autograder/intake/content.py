"""The bytes of a file that somebody handed in: read without following anything, and turned into text.

Programs save notebooks in the encoding of their system, and people hand in what their browser, their editor or git
made of one. The text is found whatever the encoding; what is no notebook is called by its name.
"""

import errno
import json
import os
import re
import stat

from ..display import shown
from .folder import UnreachableError

BLANK = b"\xff\xfe\xef\xbb\xbf\0\r\n\t "  # what may stand before the first letter, in any encoding
ZIP = b"PK\x03\x04"
LOOKED_AT = 200_000  # characters of a file in which it is looked for what the file is
CONFLICT = re.compile(r"^(<{7}|>{7}) ?.*$", re.MULTILINE)
PAGE = re.compile(r"\s*(<\?xml[^>]*>\s*)?(<!--.{0,2000}?-->\s*)?<(!doctype html|html|head|body)\b", re.I | re.DOTALL)
SIGN_IN = re.compile(r"type=[\"']?password|\b(log|sign)[ -]?in\b|\bSAML|\bsingle sign|shibboleth", re.IGNORECASE)
CODE = re.compile(
    r"^(#!.*python|# -\*-|# coding|# %%|#%%|# In\[|# ---$|import \w|from [\w.]+ import |(async )?def \w+\(|class \w+)"
    r"|^\w+ = ",
    re.MULTILINE,
)
LINK = re.compile(r"\s*(\[InternetShortcut\]|\[Desktop Entry\]|\[\{000214A0|https?://\S+\s*\Z)", re.IGNORECASE)


class UnreadableError(Exception):
    """The reason, in words for the learner, why a submission cannot be read."""


def read(path: str, most: int, all_of_it: bool = True) -> bytes:
    """Return the bytes of a regular file. Raises `UnreadableError` or `UnreachableError`.

    most       bytes that are read
    all_of_it  False: a longer file is no error, and its beginning is returned

    A hard link is read as the file that it is: whoever hands in a notebook cannot make one, but backups are full of
    them.
    """
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
            content = file.read(most + all_of_it)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOENT):  # it is not what it was a moment ago
            raise UnreadableError(not_a_file) from error
        raise UnreachableError(path, error) from error
    if len(content) > most:
        raise too_large(name, most)
    return content


def too_large(name: str, most: int) -> UnreadableError:
    return UnreadableError(f"{name} is larger than {most / 1e6:g} MB; clear its outputs and save it.")


def text(content: bytes) -> str:
    """Return bytes as text. Raises `UnreadableError` for what is none.

    Text that is not UTF is taken for Windows' own: of JSON itself no letter depends on it.
    """
    if content.startswith(b"%PDF"):
        raise UnreadableError("The file is a PDF, not a notebook; hand in the .ipynb file itself.")
    for encoding in (_unicode(content), "cp1252", "latin-1"):
        try:
            found = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in found[:LOOKED_AT]:
            break
        return found
    raise UnreadableError("The file is not text, so it is not a notebook; hand in the .ipynb file itself.")


def _unicode(content: bytes) -> str:
    found = json.detect_encoding(content)
    return "utf-8-sig" if found == "utf-8" else found


def why_not(document: str, error: ValueError) -> str:
    """Return what a text is that is no JSON, in words for the learner.

    error  what the JSON parser said, a ValueError
    """
    start = document[:LOOKED_AT]
    if CONFLICT.search(document) and "=======" in document:
        return (
            "The file has merge-conflict markers of git in it (<<<<<<<), so no program can open it; resolve the "
            "conflict, and see in JupyterLab that the notebook opens."
        )
    if PAGE.match(start):
        if SIGN_IN.search(start):
            return (
                "The file is a page for signing in, which was saved in the place of the notebook; sign in, download "
                "the notebook again, and see in JupyterLab that it opens."
            )
        return "The file is a web page (HTML), not a notebook; hand in the .ipynb file itself."
    if LINK.match(start):
        return "The file is a link to another place, not a notebook; hand in the .ipynb file itself."
    if start.lstrip()[:1] in ("{", "["):
        if _ends_early(document, error):
            return "The file ends in the middle of the notebook, so its upload was cut off; hand it in again."
        return f"The file is not a notebook: its JSON is broken ({error})."
    if CODE.search(start):
        return "The file is Python code that was exported, not a notebook; hand in the .ipynb file itself."
    return f"The file is not a notebook: its JSON is broken ({error})."


def _ends_early(document: str, error: ValueError) -> bool:
    place = getattr(error, "pos", 0)
    unfinished = str(error).startswith(("Unterminated string", "Invalid \\uXXXX escape", "Invalid \\escape"))
    if unfinished:
        return '"' not in re.sub(r"\\.", "", document[place + 1 :], flags=re.DOTALL)
    return place >= len(document.rstrip()) - len("false")
