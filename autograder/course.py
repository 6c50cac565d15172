"""Where things are in a course: its root and its lessons; and the errors that name place, fact and remedy."""

import difflib
import importlib.resources
import os
import re
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

CONFIG = "nbgrader_config.py"
PACKAGE = "transformer-taxonomy"  # what pip calls the course


class CourseError(ValueError):
    """A course that is not as it should be; the text says what is wrong and what to do."""


class AuthorError(CourseError):
    """What an author wrote beside a lesson's text and the course cannot use: the fact, and the remedy.

    about  the function or class that it is about, whose place is told; None: the line from which it was raised
    """

    def __init__(self, fact: str, remedy: str, about: object = None) -> None:
        super().__init__(f"{fact}; {remedy}")
        self.fact, self.remedy, self.about = fact, remedy, about


def find_root(start: Path | str | None = None) -> Path:
    """Return the course's root: the nearest folder, from `start` upward, that holds nbgrader_config.py."""
    start = Path(start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / CONFIG).is_file():
            return folder
    raise CourseError(f"{start}: no {CONFIG} here or above; run this inside the course, or give --root")


def texts(root: Path | str) -> dict[str, Path]:
    """Return {lesson name: path} of the lesson texts of a course."""
    paths = sorted((Path(root) / "solutions").glob("*.py"))
    return {path.stem: from_here(path) for path in paths if not path.name.startswith("_")}


def notebooks(folder: Path | str) -> list[Path]:
    """Return the paths of the lessons' notebooks in a folder of folders, those with a number first, in their order."""
    return sorted(
        path
        for path in Path(folder).glob("*/*.ipynb")
        if re.fullmatch(rf"(\d\d_)?{re.escape(path.stem)}", path.parent.name)
    )


def released() -> Path:
    """Return the folder of the course's own notebooks: package data or, in a clone, course/. They are only read."""
    package = Path(str(importlib.resources.files(__package__)))
    packed = package / "lessons"
    return packed if packed.is_dir() else package.parent / "course"


def from_here(path: Path | str) -> Path:
    """Return the path as a reader here would write it."""
    path = Path(path).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def select(root: Path | str, words: Iterable[str] = ()) -> list[Path]:
    """Return the paths of the lessons that the words name, by number, name or path; of all lessons without words."""
    known = texts(root)
    if not known:
        raise CourseError(
            f"{Path(root) / 'solutions'}: this folder holds no lesson text (*.py); write one, or give --root"
        )
    return list(dict.fromkeys(path for word in words or known for path in one(word, known)))


def one(word: str, known: dict[str, Path]) -> list[Path]:
    """Return the paths that one word names."""
    if word.isdecimal():
        return by_number(int(word), known)
    name = Path(word).name.removesuffix(".py").removesuffix(".ipynb")
    name = name[3:] if name[:2].isdecimal() and name[2:3] == "_" else name  # a folder: 07_name
    if name in known and (os.sep not in word or Path(word).exists()):
        return [known[name]]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
    raise CourseError(f"there is no lesson `{word}`; the nearest is `{near}`")


def by_number(number: int, known: dict[str, Path]) -> list[Path]:
    """Return the lesson of this number; texts that cannot be read have none."""
    numbers: dict[int | None, list[Path]] = {}
    for path in known.values():
        numbers.setdefault(_number(path.read_text(encoding="utf-8", errors="replace")), []).append(path)
    if number in numbers:
        return numbers[number]
    have = ", ".join(str(key) for key in sorted(key for key in numbers if isinstance(key, int)))
    raise CourseError(f"there is no lesson {number}; the course has {have or 'none with a number'}")


def _number(text: str) -> int | None:
    """Return the number in the first cell of a lesson text, or None; the text may have any fault behind it."""
    head = next((line for line in text.split("\n") if line.startswith("# %%")), "")
    found = re.search(r"\blesson=(\d+)", head)
    return int(found[1]) if found else None


def nearest(word: object, known: Collection[str]) -> str:
    """Return the advice to write the known word that is most like this one, or what words are known."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"write {near[0]!r}" if near else f"choose from {', '.join(known) or 'nothing'}"


def with_programs() -> str:
    """Return PATH with this environment's programs first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
