"""The folder that a learner handed in, looked at without opening or following anything in it.

Only the notebook is ever read from it. Everything else stays where it is, so what lies beside the notebook
can be refused but cannot be copied, run or shown.
"""

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from ..display import shown

# Letters that look like others in most fonts: Cyrillic and Greek, and two that Latin itself has.
LOOK_ALIKES = str.maketrans("аеорсухіјѕһԁԛԝӏвкмнтɡαορνικυτγı0", "aeopcyxijshdqwlbkmhtgaopvikutyio")


@dataclass(frozen=True)
class Limits:
    """What one submission may hold; more is refused with a reason, unread."""

    notebook_bytes: int = 64_000_000  # most of a large one is outputs, which are dropped
    cells: int = 2_000
    source: int = 200_000  # characters of one cell
    sources: int = 1_000_000  # characters of all cells
    files: int = 1_000
    file_bytes: int = 100_000_000
    folder_bytes: int = 200_000_000
    depth: int = 20  # folders in folders


class RefusedError(Exception):
    """The reason, in words for the learner, why a submission folder is not graded."""


class UnreachableError(Exception):
    """The reason, in words for the instructor, why a submission is not graded: it says nothing about the learner."""

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(
            f"{shown(path, None)} cannot be read ({error.strerror}); let whoever grades read it, and grade it again"
        )


def examine(folder: str, root: str, limits: Limits) -> list[tuple[str, os.stat_result]]:
    """Return [(path in the folder, lstat)] of its files, or raise `RefusedError` for what no honest submission holds.

    folder  the submission
    root    the folder that all submissions lie in, which may be a link: the instructor made it

    A hard link passes: backups are made of them, and no way of handing in can make one to somebody else's file.
    Raises `UnreachableError` where whoever grades may not look.
    """
    _examine_place(folder, root)
    files, size = 0, 0
    seen: set[tuple[int, int]] = set()
    notebooks: dict[str, dict[str, str]] = {}
    found: list[tuple[str, os.stat_result]] = []
    for name, about in _walk(folder, limits):
        files += 1
        if files > limits.files:
            raise RefusedError(f"There are more than {limits.files} files; hand in the notebook alone.")
        if stat.S_ISDIR(about.st_mode):
            continue
        if about.st_size > limits.file_bytes:
            raise RefusedError(
                f"{shown(name)} is larger than {limits.file_bytes / 1e6:g} MB; hand in the notebook alone."
            )
        found.append((name, about))
        key = about.st_dev, about.st_ino
        size += about.st_size if key not in seen else 0
        seen.add(key)
        if name.lower().endswith(".ipynb") and os.sep not in name:
            # Capitals alone are seen by everybody.
            notebooks.setdefault(skeleton(name), {})[name.casefold()] = name
    if size > limits.folder_bytes:
        raise RefusedError(f"The files are {size / 1e6:.0f} MB in all; the limit is {limits.folder_bytes / 1e6:g} MB.")
    for alike in notebooks.values():
        if len(alike) > 1:
            names = " and ".join(map(shown, sorted(alike.values())))
            raise RefusedError(f"{names} have names that look the same; hand in one notebook.")
    return found


def _examine_place(folder: str, root: str) -> None:
    step = os.path.abspath(root)
    for part in os.path.relpath(os.path.abspath(folder), step).split(os.sep):
        step = os.path.join(step, part)
        if part == os.pardir:
            raise RefusedError("The submission lies outside the folder of submissions.")
        if os.path.islink(step):
            raise RefusedError("The submission is a link to another folder; hand in the notebook itself.")
    if not os.path.isdir(folder):
        raise RefusedError("The submission is not a folder with a notebook.")


def _walk(folder: str, limits: Limits) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path in the folder, lstat) of everything, or raise `RefusedError` for what may not be there."""
    waiting = [("", 0)]
    while waiting:
        here, depth = waiting.pop()
        if depth > limits.depth:
            raise RefusedError(f"Folders are nested more than {limits.depth} deep; hand in the notebook alone.")
        try:
            with os.scandir(os.path.join(folder, here)) as entries:
                for entry in entries:
                    name = os.path.join(here, entry.name)
                    about = entry.stat(follow_symlinks=False) if os.name == "posix" else os.lstat(entry.path)
                    _examine_entry(entry.name, name, about)
                    if stat.S_ISDIR(about.st_mode):
                        waiting.append((name, depth + 1))
                    yield name, about
        except OSError as error:
            raise UnreachableError(os.path.join(folder, here), error) from error


def _examine_entry(name: str, path: str, about: os.stat_result) -> None:
    if stat.S_ISLNK(about.st_mode):
        raise RefusedError(f"{shown(path)} is a link; hand in the file itself.")
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise RefusedError(f"{shown(path)} is a pipe, a socket or a device, not a file.")
    if why := strange(name):
        raise RefusedError(f"The name {shown(path)} {why}; rename the file.")


def strange(name: str) -> str | None:
    """Return what is wrong with a file's name, or None."""
    if name == "Icon\r":
        return None  # macOS itself writes it, into folders with a picture of their own
    kinds = set(map(unicodedata.category, name))
    if "Cs" in kinds:
        return "is not UTF-8 text"
    if "Cc" in kinds:
        return "has control characters in it"
    # Joiners are part of some emoji; in a notebook's name, and to turn the order of letters round, they only hide.
    hidden = [c for c in name if unicodedata.category(c) == "Cf"]
    if any(unicodedata.bidirectional(c) not in ("BN", "ON") for c in hidden) or (hidden and name.endswith(".ipynb")):
        return "has invisible characters in it"
    return None


def is_name(text: str) -> bool:
    """True for what may be one step of a path, and shown in a page."""
    return bool(text) and text not in (".", "..") and not set(text) & set('/\\<>"&') and not strange(text)


def skeleton(name: str) -> str:
    """Return the same text for names that look the same: case, accents, invisible and look-alike letters are gone."""
    letters = unicodedata.normalize("NFKD", name).casefold()
    kept = (c for c in letters if unicodedata.category(c) not in ("Mn", "Cf", "Cc"))
    return "".join(kept).translate(LOOK_ALIKES)
