"""Draft a mistake from a group of wrong answers that have no name yet, with the class's own form in it, to be named."""

import argparse
import ast
import keyword
import os
import tempfile
from pathlib import Path

from .. import mistakes
from ..authoring.draft import TODO
from ..authoring.faults import beside
from ..authoring.lesson import Lesson
from ..course import CourseError, find_root, from_here, nearest
from ..diagnosing import records
from . import report
from .findings import Nameless, bare

SENTENCES = {
    "symptom": "what can be seen in the numbers",
    "cause": "why somebody writes this, and what is true",
    "place": "where to look in the code, without saying what to write",
}


def add(lesson: Lesson, group: Nameless, name: str) -> tuple[Path, int]:
    """Write a group's shortest answer as a mistake at the end of the lesson's mistakes; return the file and the line.

    name  of the mistake
    Raises CourseError if there is such a mistake, or if this answer cannot be one. Nothing is written then.
    """
    path = beside(lesson, "mistakes")
    known = mistakes.read(path)
    if not name.isidentifier() or keyword.iskeyword(name):
        raise CourseError(f"{name!r} is no name of a function; choose one such as scaled_twice")
    if name in known.mistakes:
        raise CourseError(f"{from_here(path)} has a mistake {name!r} already; choose another name")
    before = path.read_text(encoding="utf-8").rstrip("\n")
    text = declaration(group, name, before)
    line = before.count("\n") + 4
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".py")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{before}\n\n\n{text}\n")
        try:
            mistakes.read(new)
        except Exception as error:
            raise CourseError(
                f"the answer to {group.exercise} cannot stand as a mistake as it is ({error}); write it by hand, as "
                "docs/add-a-mistake.md shows"
            ) from error
        os.chmod(new, path.stat().st_mode)
        os.replace(new, path)
    finally:
        Path(new).unlink(missing_ok=True)
    return path, line


def declaration(group: Nameless, name: str, module: str) -> str:
    """Return the source of a mistake that replaces the whole exercise by a group's answer.

    module  the source of the lesson's mistakes, whose imports the answer may use
    """
    try:
        tree, own = ast.parse(group.code), ast.parse(bare(group.code))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CourseError(f"the answer to {group.exercise} is no Python; there is nothing to draft") from error
    kinds = (ast.FunctionDef, ast.ClassDef)
    main = next((node for node in own.body if isinstance(node, kinds) and node.name == group.exercise), None)
    if main is None:
        raise CourseError(
            f"the answer does not define {group.exercise} in its own cell; write the mistake by hand, as "
            "docs/add-a-mistake.md shows"
        )
    main.name = name
    helpers = [node for node in own.body if node is not main and isinstance(node, kinds)]
    lacks = [
        node
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and _names(node) & _used(own) - set().union(*map(_names, _imports(module)), set())
    ]
    if isinstance(main, ast.FunctionDef):
        main.body[:0] = lacks
    above = [] if isinstance(main, ast.FunctionDef) else list(map(ast.unparse, lacks))
    seen = [f"# {len(group.learners)} learners wrote this. What is seen:", *(f"# - {text}" for text in group.says)]
    head = [f'    {what}="{TODO}: {task}",' for what, task in SENTENCES.items()]
    wrapped = [line for text in seen for line in _comment(text)]
    return "\n".join(
        [
            *above,
            *(f"{ast.unparse(node)}\n\n" for node in helpers),
            *wrapped,
            "@mistake(",
            f'    "{group.exercise}",',
            *head,
            ")",
            ast.unparse(main),
        ]
    )


def _comment(text: str, width: int = 118) -> list[str]:
    import textwrap

    flat = " ".join(text.split())
    return textwrap.wrap(flat, width, subsequent_indent="#   ") if len(flat) > width else [flat]


def _imports(source: str) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.parse(source).body if isinstance(node, (ast.Import, ast.ImportFrom))]


def _names(node: ast.Import | ast.ImportFrom) -> set[str]:
    return {(one.asname or one.name).partition(".")[0] for one in node.names}


def _used(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("exercise", metavar="EXERCISE", help="name of the exercise")
    parser.add_argument(
        "--group", type=int, default=1, metavar="N", help="which group of the report, 1 for the largest"
    )
    parser.add_argument("--name", required=True, metavar="NAME", help="what the mistake is to be called: scaled_twice")
    parser.add_argument("--root", help="folder of the course (the nearest one, here or above, with nbgrader_config.py)")
    parser.add_argument("--db", metavar="URL", help="the gradebook, such as postgresql:///class (gradebook.db)")


def run(args: argparse.Namespace) -> int:
    root = find_root(args.root)
    course = report.course_in(root, args.db)
    known = records.exercises()
    if args.exercise not in known:
        raise CourseError(f"there is no exercise {args.exercise!r}; {nearest(args.exercise, known)}")
    (lesson,) = report.lessons_of(Path(course.config.RunAnswers.solutions).parent, [known[args.exercise]])
    groups = [
        one for one in report.gather(course, [lesson]).nameless if one.exercise == args.exercise and not one.draft
    ]
    group = next((one for one in groups if one.number == args.group), None)
    if group is None:
        have = f"it has {len(groups)}" if groups else "every wrong answer has a name"
        raise CourseError(f"there is no group {args.group} of {args.exercise}: {have}")
    path, line = add(lesson, group, args.name)
    word = lesson.number or lesson.name
    print(
        f"{from_here(path)}:{line}: {args.name}, with the answer of {len(group.learners)} learners. Write its three "
        f"sentences in place of TODO, then run `python -m autograder record {word}`."
    )
    return 0
