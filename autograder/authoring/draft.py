"""The cells of a lesson text as they stand, right or wrong: where each begins, its options, its role.

`rules` judges the draft; `lesson.read` makes a Lesson of one that has no fault.
"""

import ast
import difflib
import re
import textwrap
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, cast

import jupytext
from jupytext.stringparser import StringParser

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
TODO = "TODO"  # a sentence that begins with it is still to be written
CHOICE = re.compile(r"- \[([ x])\] (\S.*?) :: (\S.*)")
MARKER = re.compile(r"# %%(\s.*)?")
# What jupytext, Spyder or an older IPython take for the beginning of a cell.
MARKER_LIKE = re.compile(r"\s*#\s*(%%|<codecell>|In\[[0-9 ]*\]:?\s*$)")
OPTION = re.compile(r"(\w+)=(\"[^\"]*\"|'[^']*'|\S+)")

# role -> (cell type, options that it must have, options that it may have)
ROLES = {
    "lesson": ("markdown", ("title",), ("lesson",)),
    "prose": ("markdown", (), ()),
    "code": ("code", (), ()),
    "demo": ("code", (), ("trained",)),
    "exercise": ("code", ("exercise",), ("uses", "empty")),
    "hint": ("markdown", ("hint",), ()),
    "check": ("code", ("check", "points"), ()),
    "predict": ("markdown", ("predict",), ()),
    "question": ("markdown", ("question", "points"), ()),
}
NAMED = ("lesson", "exercise", "hint", "check", "predict", "question")  # roles that an option gives
OPTIONS = tuple(dict.fromkeys(key for _, must, may in ROLES.values() for key in must + may))

Noted = tuple[int, str, str]  # (line, fact, remedy)


@dataclass
class Rough:
    """One cell of the text, with the faults of its first line."""

    line: int
    header: str
    body: list[str]
    kind: str = "code"
    role: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    first_line: int = 0
    tree: ast.Module | None = None  # of the body, with the line numbers of the file
    error: Exception | None = None
    torn: bool = False  # a string is still open at its end: its contents are not judged
    faults: list[Noted] = field(default_factory=list)

    @property
    def name(self) -> Any:
        return self.options.get(self.role, "") if self.role in NAMED and self.role != "lesson" else ""


@dataclass
class Draft:
    lines: list[str]
    cells: list[Rough]
    faults: list[Noted]

    @property
    def head(self) -> dict[str, Any]:
        return self.cells[0].options

    def of(self, *roles: str) -> list[Rough]:
        return [cell for cell in self.cells if cell.role in roles]


def draft(text: str) -> Draft:
    """Return the Draft of a lesson text."""
    lines = text.split("\n")
    cells, faults = split(lines)
    for cell in cells:
        read_cell(cell)
    return Draft(lines, cells, faults + [fault for cell in cells for fault in cell.faults])


def split(lines: list[str]) -> tuple[list[Rough], list[Noted]]:
    """Return the cells, not yet read, and the faults of the lines that begin them."""
    cells: list[Rough] = []
    faults: list[Noted] = []
    parser = StringParser("python")
    for number, text in enumerate(lines, 1):
        quoted = bool(parser.is_quoted())
        if MARKER.fullmatch(text) and quoted:
            fact = f"this `# %%` line is inside a string that began in the cell of line {cells[-1].line}"
            faults.append((number, fact, "close the string, or begin the line with something else"))
        if MARKER.fullmatch(text) and not (quoted and closes(lines[cells[-1].line :])):
            if cells:
                cells[-1].torn = quoted
            cells.append(Rough(number, text[4:].strip(), []))
            parser = StringParser("python")
        elif MARKER_LIKE.match(text) and not parser.is_quoted():
            fact = f"`{text.strip()}` would begin a cell in the notebook"
            faults.append((number, fact, "begin a cell with `# %%` at the left margin, and a comment with a word"))
        elif cells:
            parser.read_line(text)
            cells[-1].body.append(text)
            continue
        elif text.strip() and not faults:
            faults.append((number, "this line stands before the first cell", "begin the text with the lesson's cell"))
        if cells and cells[-1].line != number:
            cells[-1].body.append("")  # keeps the line numbers of what follows
    return cells, faults


def closes(lines: list[str]) -> bool:
    """Tell whether the cell whose body begins here is Python once its strings, `# %%` lines and all, are closed."""
    parser = StringParser("python")
    body: list[str] = []
    for text in lines:
        if MARKER.fullmatch(text) and not parser.is_quoted():
            break
        parser.read_line(text)
        body.append(text)
    try:
        ast.parse("\n".join(body))
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def read_cell(cell: Rough) -> None:
    """Fill in the cell's type, options, role, source and syntax tree."""
    body = "\n".join(cell.body)
    try:
        node = jupytext.reads(f"# %% {cell.header}\n{body}", fmt="py:percent").cells[0]
        cell.kind, metadata = node.cell_type, dict(node.metadata)
    except Exception:
        node, metadata = None, {"incorrectly_encoded_metadata": cell.header}
        cell.kind = "markdown" if "[markdown]" in cell.header else "code"
    read_options(cell, metadata)
    try:
        cell.tree = ast.parse("\n" * cell.line + body)
    except (SyntaxError, ValueError, RecursionError) as error:
        cell.error = error
    blank = next((index for index, text in enumerate(cell.body) if text.strip()), 0)
    cell.first_line = cell.line + 1 + blank
    cell.source = body.strip("\n") if cell.kind == "code" else markdown(cell)
    if node is not None and node.cell_type == cell.kind and cell.source and not cell.torn and not cell.error:
        compare(cell, node.source.strip("\n"))


def markdown(cell: Rough) -> str:
    r"""Return the text of a markdown cell, or "" if the cell is not a single r-docstring."""
    body = "\n".join(cell.body).strip()
    statements = cell.tree.body if cell.tree else []
    alone = statements[0].value if len(statements) == 1 and isinstance(statements[0], ast.Expr) else None
    if not (isinstance(alone, ast.Constant) and isinstance(alone.value, str)):
        return ""
    if not (body.startswith('r"""') and body.endswith('"""')):
        return ""
    value = alone.value
    cell.first_line = statements[0].lineno + len(value) - len(value.lstrip("\n"))
    return value.strip("\n").rstrip()


def compare(cell: Rough, seen: str) -> None:
    """Note the first line that jupytext would change on the way into the notebook."""
    for index, text in enumerate(cell.source.split("\n")):
        if [text.rstrip()] != [line.rstrip() for line in seen.split("\n")[index : index + 1]]:
            fact = f"jupytext does not keep the line `{text.strip()}` (it reads some comments as commands)"
            cell.faults.append((cell.first_line + index, fact, "write it in another way"))
            return


def read_options(cell: Rough, metadata: dict[str, Any]) -> None:
    """Give the cell its role and options; note what is unknown, missing, misplaced or unreadable."""

    def note(fact: str, remedy: str) -> None:
        cell.faults.append((cell.line, fact, remedy))

    options = {key: value for key, value in metadata.items() if not key.startswith(("cell_marker", "lines_to_"))}
    if unreadable := options.pop("incorrectly_encoded_metadata", None):
        for key, value in OPTION.findall(unreadable):
            options.setdefault(key, value.strip("\"'"))
        if "points=" not in unreadable:  # those have a fault of their own
            note(f"the options `{unreadable}` cannot be read", 'write them as name="text" or name=number')
    word = options.pop("title", None) if "title=" not in cell.header else None
    rename_unknown(options, note)
    if word == "demo trained":
        word = "demo"
        options.setdefault("trained", "")
    if word is not None and word != "demo":
        word = unknown_role(word, note)
        cell.kind = "markdown" if word == "[markdown]" else cell.kind
    roles = [role for role in NAMED if role in options] + ["demo"] * (word == "demo")
    roles = roles or ["lesson"] * ("title" in options)  # a lesson may do without a number
    if len(roles) > 1:
        note(f"a cell has one role, and this one has {' and '.join(roles)}", "split it")
    cell.role = roles[0] if roles else {"markdown": "prose"}.get(cell.kind, "code")
    cell.options = options
    kind, must, may = ROLES[cell.role]
    if cell.kind != kind:
        write = "# %% [markdown] ..." if kind == "markdown" else "# %% ..."
        note(f"the {cell.role} cell must be {kind}, not {cell.kind}", f"write `{write}`")
        cell.kind = kind
    for key in must:
        if key not in options:
            note(
                f"this {cell.role} cell has no {key}",
                f"add {key}={'1' if key == 'points' else chr(34) + '...' + chr(34)}",
            )
    for key in options:
        if key not in must + may and key not in roles:
            owners = " or a ".join(role for role, (_, a, b) in ROLES.items() if key in a + b)
            note(f"{key} does not belong to this {cell.role} cell", f"move it to a {owners} cell, or remove it")


def rename_unknown(options: dict[str, Any], note: Callable[[str, str], None]) -> None:
    """Note each unknown option, and go on as if its nearest known name had been written."""
    for key in [key for key in options if key not in OPTIONS]:
        near = nearest(key, OPTIONS)
        note(f"unknown option `{key}`", f"write {near}" if near else f"the options are {', '.join(OPTIONS)}")
        value = options.pop(key)
        if near:
            options.setdefault(near, value)


def unknown_role(word: str, note: Callable[[str, str], None]) -> str | None:
    """Note an unknown role, and return the one that was probably meant, or None."""
    near = nearest(word.split(" ")[0], ("demo", "[markdown]") + NAMED)
    write = f'{near}="..."' if near in NAMED else near
    remedy = (
        f"write `# %% {write}`"
        if near
        else "a line that begins with `# %%` begins a cell: begin a comment in another way"
    )
    note(f"unknown role `{word}`", remedy)
    return near


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the known word that is most like this one, or None."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


def without_solution(source: str, stub: str) -> str:
    """Return the source with each solution replaced by the stub, indented like its marker (as nbgrader does)."""
    kept: list[str] = []
    inside = False
    for text in source.split("\n"):
        if text.strip() == BEGIN:
            inside = True
            indent = text[: len(text) - len(text.lstrip())]
            kept += [indent + line for line in stub.split("\n")]
        elif text.strip() == END:
            inside = False
        elif not inside:
            kept.append(text)
    return "\n".join(kept)


def dedented_demo(source: str) -> str | None:
    """Return the body of a demo's one block, moved to the left margin; None if that would change what it does."""
    block = cast(ast.If, ast.parse(source).body[0])
    body = textwrap.dedent("\n".join(source.strip("\n").split("\n")[1:])).strip("\n")
    try:
        same = ast.dump(ast.parse(body)) == ast.dump(ast.Module(body=block.body, type_ignores=[]))
    except SyntaxError:
        return None
    return body if same else None
