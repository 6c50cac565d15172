"""What a lesson text must keep to: a list of small rules, each of which yields (line, fact, remedy)."""

import ast
import difflib
import math
import re
from collections.abc import Callable, Iterator

from autograder.authoring.draft import (
    BEGIN,
    CHOICE,
    END,
    Draft,
    Noted,
    Rough,
    dedented_demo,
    nearest,
    without_solution,
)
from autograder.notebooks.definitions import UPPER_CASE, is_definition, targets

STUB = "raise NotImplementedError()"
HINTS = 3
NUMBERS = range(1, 100)

# Lines that say this, in whatever spelling, are markers to somebody. nbgrader acts on some and overlooks the rest.
MARKER_WORDS = ("SOLUTION", "HIDDENTESTS", "HIDDENTEST", "MARKSCHEME", "TESTS", "HINT")
MARKERS = [first + word for first in ("BEGIN", "END", "START", "STOP") for word in MARKER_WORDS]
SHOUTED = re.compile(r"\s*#+\s*(BEGIN|END)\b|.*\b(BEGIN|END) (SOLUTION|HIDDEN|MARK SCHEME)|\s*#+\s*(HASHED )?AUTOTEST")
CHOICE_LIKE = re.compile(r"\s*[-*+]?\s*\[.?\]")


def text_rules(found: Draft) -> Iterator[Noted]:
    """What the draft noted while it read the cells and their options."""
    yield from found.faults
    if not found.cells:
        yield 1, "there is no cell", 'begin with `# %% [markdown] lesson=7 title="..."`'


def head(found: Draft) -> Iterator[Noted]:
    """The first cell is the lesson's, and no other is."""
    for index, cell in enumerate(found.cells):
        if (cell.role == "lesson") == (index == 0):
            continue
        if index == 0:
            yield cell.line, "the first cell is not the lesson's", 'begin with `# %% [markdown] lesson=7 title="..."`'
        else:
            yield cell.line, "a second cell with lesson= and title=", "make it prose: `# %% [markdown]`"
    for cell in found.of("lesson"):
        number, title = cell.options.get("lesson"), cell.options.get("title")
        if "lesson" in cell.options and (type(number) is not int or number not in NUMBERS):
            remedy = f"choose a number from 1 to {NUMBERS[-1]}, or leave lesson= out"
            yield cell.line, f"lesson={number} is not a lesson number", remedy
        if "title" in cell.options and not (isinstance(title, str) and title.strip()):
            yield cell.line, "the title is empty", 'write title="..."'


def syntax(found: Draft) -> Iterator[Noted]:
    """The body of each cell is Python."""
    for cell in found.cells:
        if cell.error and not cell.torn:
            line = getattr(cell.error, "lineno", None) or cell.line
            yield line, f"this is not Python: {getattr(cell.error, 'msg', cell.error)}", "correct it"


def markdown_cells(found: Draft) -> Iterator[Noted]:
    """A markdown cell is one r-docstring and nothing else."""
    for cell in found.cells:
        if cell.kind == "markdown" and not cell.source.strip() and not cell.error and not cell.torn:
            yield (
                cell.line,
                'a markdown cell is a single r"""docstring""" with text',
                'put all of its text between r""" and """',
            )


def code_cells(found: Draft) -> Iterator[Noted]:
    """Outside of demos there is nothing that would run on import."""
    for cell in found.of("code", "exercise"):
        for index, node in enumerate(cell.tree.body if cell.tree else []):
            first = node.value if index == 0 and isinstance(node, ast.Expr) else None
            docstring = isinstance(first, ast.Constant) and isinstance(first.value, str)
            if not is_definition(node) and not docstring:
                names = targets(node) if isinstance(node, ast.Assign) else None
                what = f"`{names[0]} = ...`" if names else "this statement"
                yield node.lineno, f"{what} would run on import", constant_remedy(names)


def constant_remedy(names: list[str] | None) -> str:
    if names and not all(UPPER_CASE.fullmatch(name) for name in names):
        return f"name a constant in capitals ({', '.join(names).upper()}), or move the line to a demo cell"
    return "move it to a demo cell"


def demos(found: Draft) -> Iterator[Noted]:
    """A demo is one `if __name__ == "__main__":` block that can be moved to the left margin."""
    for cell in found.of("demo"):
        if cell.tree is None:
            continue
        body = cell.tree.body
        block = body[0] if len(body) == 1 and isinstance(body[0], ast.If) and not body[0].orelse else None
        begins = cell.source.split("\n")[0].rstrip() == 'if __name__ == "__main__":'
        if block is None or not begins:
            yield (
                cell.line,
                'a demo is one `if __name__ == "__main__":` block',
                "indent all of its code under that line",
            )
        elif dedented_demo(cell.source) is None:
            yield cell.line, "this demo cannot be moved to the left margin", "put its long strings into constants"


def trained(found: Draft) -> Iterator[Noted]:
    """What may vary in the output of a trained model is a regular expression."""
    for cell in found.of("demo"):
        value = cell.options.get("trained", "")
        try:
            re.compile(value)
        except (re.error, TypeError):
            yield cell.line, f"trained={value} is not a regular expression", 'write trained="model writes .*"'


def marker_lines(found: Draft) -> Iterator[Noted]:
    """Lines that look like nbgrader's markers are one of the two known ones, where those belong."""
    allowed = {cell.line: cell for cell in found.of("exercise", "question")}
    cell: Rough | None = None
    starts = {one.line for one in found.cells}
    for number, text in enumerate(found.lines, 1):
        cell = allowed.get(number) if number in starts else cell
        if text.strip() in (BEGIN, END):
            if cell is None:
                yield number, f"`{text.strip()}` outside an exercise or a question", "remove it"
        elif looks_like_marker(text):
            yield number, f"unknown marker `{text.strip()}`", f"write exactly `{BEGIN}` or `{END}`"


def looks_like_marker(text: str) -> bool:
    """Tell whether somebody could have meant this line as a marker."""
    letters = re.sub(r"[^A-Z]", "", text.upper())
    if not 6 <= len(letters) <= 20:
        return bool(SHOUTED.match(text))
    return bool(SHOUTED.match(text)) or bool(difflib.get_close_matches(letters, MARKERS, n=1, cutoff=0.85))


def solutions(found: Draft) -> Iterator[Noted]:
    """Solution markers come in pairs, one after the other, around something."""
    for cell in found.of("exercise", "question"):
        begun, held, pairs = 0, 0, 0
        for number, text in enumerate(cell.source.split("\n"), cell.first_line):
            if text.strip() == BEGIN:
                if begun:
                    yield number, f"a second `{BEGIN}` before `{END}`", "end the first solution, or remove this line"
                begun, held = number, 0
            elif text.strip() == END:
                if not begun:
                    yield number, f"`{END}` without `{BEGIN}`", "add the line where the solution begins"
                elif not held:
                    yield begun, "the solution is empty", "write it between the markers"
                begun, pairs = 0, pairs + 1
            else:
                held += bool(text.strip())
        if begun:
            yield begun, f"`{BEGIN}` without `{END}`", "add the line where the solution ends"
        if not begun and not pairs and cell.source:
            yield cell.line, f"{cell.role} {cell.name} has no solution", f"put it between `{BEGIN}` and `{END}`"


def components(found: Draft) -> Iterator[Noted]:
    """An exercise defines the component of its name, with a docstring, and still does so without its solution."""
    for cell in found.of("exercise"):
        if cell.tree is None:
            continue
        if definition(cell.tree, cell.name) is None:
            yield (
                cell.line,
                f"this cell does not define `{cell.name}`",
                f"write `def {cell.name}(...)` or `class {cell.name}`",
            )
            continue
        if "empty" in cell.options:
            yield from left_empty(cell)
            continue
        try:
            tree = ast.parse(without_solution(cell.source, STUB))
        except SyntaxError:
            yield cell.line, f"without its solution {cell.name} is not Python", "indent the markers like the solution"
            continue
        skeleton = definition(tree, cell.name)
        if skeleton is None or any(inside(node, tree) for node in tree.body if node is not skeleton):
            yield cell.line, f"the solution is not inside {cell.name}", "put the markers under its docstring"
        elif not ast.get_docstring(skeleton):
            yield (
                cell.line,
                f"{cell.name} has no docstring outside its solution",
                "say what it returns, and each shape",
            )


def left_empty(cell: Rough) -> Iterator[Noted]:
    """A cell that learners find empty holds comments beside its solution, and the solution says what it promises."""
    if cell.options["empty"] is not True:
        yield cell.line, f"empty={cell.options['empty']} has no meaning", "write empty=true, or leave it out"
    solved = definition(cell.tree, cell.name) if cell.tree else None
    if solved is not None and not ast.get_docstring(solved):
        yield cell.line, f"{cell.name} has no docstring", "say what it returns, and each shape"
    try:
        left = ast.parse(without_solution(cell.source, "")).body
    except SyntaxError:
        left = [ast.Pass()]
    if left or BEGIN not in cell.source.split("\n"):
        yield (
            cell.line,
            f"without its solution the cell of {cell.name} is not empty",
            "put all of its code between the markers, both at the left margin",
        )


def definition(tree: ast.Module, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    kinds = (ast.FunctionDef, ast.ClassDef)
    return next((node for node in tree.body if isinstance(node, kinds) and node.name == name), None)


def inside(node: ast.stmt, tree: ast.Module) -> bool:
    """Tell whether a statement holds a stub where learners do not expect one: outside of the component."""
    return any(isinstance(part, ast.Raise) and ast.unparse(part) == STUB for part in ast.walk(node))


def names(found: Draft) -> Iterator[Noted]:
    """Names are Python names, and each is given once."""
    seen: dict[str, int] = {}
    for cell in found.of("exercise", "question", "predict", "check", "hint"):
        if not (isinstance(cell.name, str) and cell.name.isascii() and cell.name.isidentifier()):
            if cell.role in cell.options:
                yield cell.line, f"`{cell.name}` is not a name", "use letters, digits and _"
            continue
        if cell.role == "hint":
            continue
        # a check's nbgrader cell is called check_NAME, beside the names of exercises and questions
        key = f"check_{cell.name}" if cell.role == "check" else cell.name
        if key in seen:
            yield cell.line, f"the name `{cell.name}` was given in line {seen[key]} already", "choose another name"
        seen.setdefault(key, cell.line)


def checks(found: Draft) -> Iterator[Noted]:
    """Each exercise has one check, after it, and each check an exercise; a check has no body."""
    exercises = {cell.name: cell.line for cell in found.of("exercise")}
    checked = {cell.name for cell in found.of("check")}
    for cell in found.of("check"):
        if cell.name not in exercises:
            near = nearest(str(cell.name), list(exercises))
            yield (
                cell.line,
                f"there is no exercise `{cell.name}` to check",
                f"write `{near}`" if near else "add the exercise",
            )
        elif cell.line < exercises[cell.name]:
            yield cell.line, f"the check of {cell.name} comes before it", "move it behind the exercise and its hints"
        if any(text.strip() for text in cell.body):
            yield cell.line, "a check has no body", "remove it: the build writes the call of check"
    for name, line in exercises.items():
        if name not in checked:
            yield line, f"exercise {name} has no check", f'add `# %% check="{name}" points=2`'


def points(found: Draft) -> Iterator[Noted]:
    """Points are finite numbers, none below zero."""
    for cell in found.of("check", "question"):
        value = cell.options.get("points", 0)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number:
            yield cell.line, f"points={value} is not a number", "write a number, without quotes"
        elif not math.isfinite(value) or value < 0:
            yield cell.line, f"points={value} cannot be earned", "write a finite number that is not negative"


def hints(found: Draft) -> Iterator[Noted]:
    """Three hints or more stand right after each exercise."""
    counts = {cell.name: 0 for cell in found.of("exercise")}
    current = None
    for cell in found.cells:
        if cell.role == "exercise":
            current = cell.name
        elif cell.role != "hint":
            current = None
        elif cell.name not in counts:
            near = nearest(str(cell.name), list(counts))
            yield cell.line, f"a hint for an unknown exercise `{cell.name}`", f"write `{near}`" if near else "remove it"
        elif cell.name != current:
            counts[cell.name] += 1
            yield cell.line, f"this hint does not stand right after exercise {cell.name}", "move it there"
        else:
            counts[cell.name] += 1
    for cell in found.of("exercise"):
        if counts[cell.name] < HINTS:
            have = f"{counts[cell.name]} hint" + "s" * (counts[cell.name] != 1)
            yield cell.line, f"exercise {cell.name} has {have}", f"write {HINTS}, the last one nearly the answer"


def uses(found: Draft) -> Iterator[Noted]:
    """`uses` names other components of the lesson."""
    exercises = [cell.name for cell in found.of("exercise")]
    for cell in found.of("exercise"):
        value = cell.options.get("uses", "")
        for name in value.split() if isinstance(value, str) else [str(value)]:
            if name == cell.name:
                yield cell.line, f"{name} uses itself", "remove it from uses"
            elif name not in exercises:
                near = nearest(name, exercises)
                remedy = f"write `{near}`" if near else "name an exercise of this lesson"
                yield cell.line, f"uses names an unknown component `{name}`", remedy


def predictions(found: Draft) -> Iterator[Noted]:
    """A predict item has a question, two choices or more, one of them right, and an explanation for each."""
    for cell in found.of("predict"):
        right, count, asked = 0, 0, False
        for number, text in enumerate(cell.source.split("\n"), cell.first_line):
            if match := CHOICE.fullmatch(text.rstrip()):
                right, count = right + (match[1] == "x"), count + 1
            elif CHOICE_LIKE.match(text):
                count, right = count + 1, right + ("[x]" in text.lower())
                remedy = "write `- [ ] choice :: explanation` or `- [x] choice :: explanation`, on one line"
                yield number, "this choice has no explanation, or is not written as a choice", remedy
            elif count and text.strip():
                yield (
                    number,
                    "text after the choices",
                    "keep a choice and its explanation on one line, the question above",
                )
            asked = asked or bool(text.strip() and not count)
        if not cell.source:
            continue
        if not asked:
            yield cell.line, f"predict {cell.name} has no question", "write it above the choices"
        if count < 2:
            yield cell.line, f"predict {cell.name} has fewer than 2 choices", "add `- [ ] choice :: explanation`"
        elif right != 1:
            yield cell.line, f"predict {cell.name} has {right} right choices", "mark one with [x]"


RULES: list[Callable[[Draft], Iterator[Noted]]] = [
    text_rules,
    head,
    syntax,
    markdown_cells,
    code_cells,
    demos,
    trained,
    marker_lines,
    solutions,
    components,
    names,
    checks,
    points,
    hints,
    uses,
    predictions,
]
