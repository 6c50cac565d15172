"""The map of the tree: every folder and module, with the first sentence that it says of itself.

    python docs/book/tree.py

Nothing is listed here: a module that is added, moved or renamed stands on the map at once.
"""

import ast
import os
import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SENTENCE = re.compile(r"(?:\d+\. )?+.+?[.!?](?=\s|$)")  # "7. Encoder" is a heading and not a sentence of one number


@dataclass(frozen=True)
class Entry:
    """A line of the map.

    path      relative to the repository; that of a folder ends with a slash
    depth     how many folders it lies in
    sentence  what it says of itself; empty for a folder that is not a package
    """

    path: str
    depth: int
    sentence: str


def entries(root=REPOSITORY):
    """Return an `Entry` for every Python module of a repository and for every folder that holds one, in their order."""
    modules = list(_modules(root))
    return sorted(
        (_entry(path, root) for path in {*modules, *_folders(modules)} if path.name != "__init__.py"), key=_order
    )


def _modules(root):
    """Yield the modules below the top, where only settings lie, without what .gitignore names."""
    lines = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    patterns = [".*", *(line for line in lines if line and not line.startswith("#"))]
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        # A pattern that begins with a slash names something at the top only.
        folders[:] = [
            name
            for name in folders
            if not any(
                Path(name).match(pattern.strip("/"))
                for pattern in patterns
                if here == Path(".") or not pattern.startswith("/")
            )
        ]
        yield from (here / name for name in files if name.endswith(".py") and here != Path("."))


def _folders(modules):
    return {folder for path in modules for folder in path.parents if folder != Path(".")}


def _entry(path, root):
    folder = (root / path).is_dir()
    source = root / path / "__init__.py" if folder else root / path
    said = first_sentence(source.read_text(encoding="utf-8")) if source.is_file() else ""
    return Entry(f"{path.as_posix()}{'/' * folder}", len(path.parts) - 1, said)


def _order(entry):
    """Folders stand after the modules beside them, each followed by what is in it."""
    parts = entry.path.rstrip("/").split("/")
    kinds = [True] * (len(parts) - 1) + [entry.path.endswith("/")]
    return list(zip(kinds, parts, strict=True))


def first_sentence(source):
    """Return the first sentence of a module's docstring as one line, or nothing; a heading's mark is left out."""
    paragraph = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]
    line = " ".join(paragraph.lstrip("# ").split())
    found = SENTENCE.match(line)
    return found[0] if found else line


def as_text(found):
    """Return the map for a terminal: one line each, indented by its depth."""
    names = ["  " * entry.depth + _name(entry) for entry in found]
    width = max(map(len, names)) + 2
    return "\n".join(f"{name:<{width}}{entry.sentence}".rstrip() for name, entry in zip(names, found, strict=True))


def as_page(found):
    """Return the map as a page of Markdown: a heading and a table for each folder."""
    parts = ["# Map of the tree", "Each folder and module, with the first sentence that it says of itself."]
    for folder in (entry for entry in found if entry.path.endswith("/")):
        modules = [entry for entry in found if entry.path == folder.path + _name(entry) and entry.path[-1] != "/"]
        parts += [f"## `{folder.path}`", folder.sentence] if folder.sentence else [f"## `{folder.path}`"]
        if modules:
            rows = [f"| `{_name(entry)}` | {entry.sentence.replace('|', chr(92) + '|')} |" for entry in modules]
            parts.append("\n".join(["| module | what it says of itself |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _name(entry):
    """Return the last part of a path, with its slash."""
    return re.search(r"[^/]+/?$", entry.path)[0]


if __name__ == "__main__":
    print(as_text(entries()))
