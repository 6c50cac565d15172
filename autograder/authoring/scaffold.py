"""Begin a lesson: a text, probes, mistakes and alternatives that record, build and release at once."""

import argparse
import keyword
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from .. import course, probes
from .draft import draft
from .rules import NUMBERS

TEMPLATES = Path(__file__).parent.parent / "templates" / "lesson"


def begin(root: Path | str, name: str, title: str, number: int | None = None) -> list[Path]:
    """Write the files of a new lesson and return their paths.

    name    of its files, and of its exercise until that has a better one
    title   as it is shown
    number  its place in the order of the course, or None
    Raises CourseError, and writes nothing, if one of them cannot be used or if a file is there already.
    """
    paths = places(root, name)
    if faults := [*_names(root, name, title), *_numbers(root, number), *_taken(paths)]:
        raise course.CourseError("\n".join(faults))
    words = {
        "HEADING": title if number is None else f"{number}. {title}",
        "HEAD": f'title="{title}"' if number is None else f'lesson={number} title="{title}"',
        "TITLE": title,
        "EXERCISE": name,
    }
    for kind, path in paths.items():
        text = (TEMPLATES / f"{kind}.txt").read_text(encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            re.sub(r"\b(HEADING|HEAD|TITLE|EXERCISE)\b", lambda word: words[word[0]], text), encoding="utf-8"
        )
    return list(paths.values())


def places(root: Path | str, name: str) -> dict[str, Path]:
    """Return {kind of file: path} of what a lesson is written in."""
    solutions = Path(root) / "solutions"
    return {
        "text": solutions / f"{name}.py",
        "probes": Path(probes.__path__[0]) / f"{name}.py",
        "mistakes": solutions / "mistakes" / f"{name}.py",
        "alternatives": solutions / "alternatives" / f"{name}.py",
    }


def _names(root: Path | str, name: str, title: str) -> Iterator[str]:
    """Yield what is wrong with the name and the title of a lesson."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or len(name) > 60:
        better = re.sub(r"\W+", "_", name.lower()).strip("_0123456789")[:60]
        yield (
            f"new-lesson: {name!r} cannot be the name of a module; use lower-case letters, digits and _"
            + (f", such as {better}" if better and not keyword.iskeyword(better) else "")
        )
    for path in course.texts(root).values():
        exercises = [cell.name for cell in draft(path.read_text(encoding="utf-8", errors="replace")).of("exercise")]
        if name in exercises:
            yield f"new-lesson: {name!r} is an exercise of {path}; choose another name"
    if not title.strip() or set(title) & set('"\\\n') or not title.isprintable():
        yield f'new-lesson: the title {title!r} cannot be used; write one line of text without " or \\'


def _numbers(root: Path | str, number: int | None) -> Iterator[str]:
    if number is None:
        return
    if number not in NUMBERS:
        yield f"new-lesson: {number} is not a lesson number; choose one from {NUMBERS[0]} to {NUMBERS[-1]}"
    try:
        other, *_ = course.select(root, [str(number)])
    except course.CourseError:
        return  # nobody has it
    yield f"new-lesson: {other} is lesson {number} already; choose another number, or leave --lesson out"


def _taken(paths: Mapping[str, Path]) -> Iterator[str]:
    """Yield the files that are there already."""
    for path in paths.values():
        if path.exists():
            yield f"{course.from_here(path)}: this file exists already; choose another name, or remove it"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of its files: lower-case letters, digits and _")
    parser.add_argument("--title", required=True, help="title, as readers see it")
    parser.add_argument("--lesson", type=int, metavar="N", help="number of the lesson, if it has a place in the order")
    parser.add_argument("--root", help="folder of the course (the nearest one, here or above, with nbgrader_config.py)")


def run(args: argparse.Namespace) -> int:
    root = course.find_root(args.root)
    own = root / "autograder" / "probes"
    if not own.is_dir() or not own.samefile(probes.__path__[0]):
        raise course.CourseError(
            f"{root}: probes would be written into {probes.__path__[0]}, which is not in this "
            "course; write lessons in a copy of the repository, after pip install -e ."
        )
    for path in begin(root, args.name, args.title, args.lesson):
        print(f"wrote {course.from_here(path)}")
    print(
        f"It can be built as it is: make build LESSONS={args.name}\nThen replace its content with your own; "
        "docs/write-a-lesson.md shows how."
    )
    return 0
