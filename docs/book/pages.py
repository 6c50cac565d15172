"""The pages of the book and of the site, as text that Sphinx reads: lessons, routes, what people get wrong."""

import ast
import inspect
import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from autograder import mistakes as declared
from autograder.feedback.formulas import mathml

MARKER = re.compile(r"^[ \t]*### (BEGIN|END) SOLUTION[ \t]*\n?", re.MULTILINE)
ANSWER = re.compile(r"^### BEGIN SOLUTION\n(.*?)\n### END SOLUTION[ \t]*$", re.MULTILINE | re.DOTALL)
SUMMARY = re.compile(r"(?<=<summary>).*?(?=</summary>)", re.DOTALL)
TEX = re.compile(r"\$([^$]+)\$")
ROUTES = {
    "Top-down": "The order of the numbers. Lessons 1 to 5 build whole models from parts that are still closed boxes, "
    "lessons 6 to 10 open the boxes one by one.",
    "Bottom-up": "First the function at the centre, then everything that is built on it.",
}
PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


@dataclass(frozen=True, eq=False)
class Lesson:
    """A lesson's notebook, solved or as a skeleton.

    page    the name of its page: 07_scaled_dot_product_attention
    name    scaled_dot_product_attention
    number  its number, an int, or None
    title   its title
    stored  the notebook as it is stored, a dictionary
    """

    page: str
    name: str
    number: int | None
    title: str
    stored: dict

    @property
    def heading(self):
        """Its number, if it has one, and its title."""
        return self.title if self.number is None else f"{self.number}. {self.title}"

    @property
    def exercises(self):
        """The names of its exercises, in their order."""
        marks = [cell["metadata"].get("nbgrader", {}) for cell in self.stored["cells"] if cell["cell_type"] == "code"]
        return [mark["grade_id"] for mark in marks if mark.get("solution")]


def lessons(folder):
    """Return the lessons in a folder of folders, in their order. Raises FileNotFoundError if there is none."""
    paths = sorted(Path(folder).glob("*/*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no notebook is here; run make build")
    return sorted(map(_lesson, paths), key=lambda lesson: (lesson.number is None, lesson.number, lesson.title))


def _lesson(path):
    stored = json.loads(path.read_text(encoding="utf-8"))
    about = stored["metadata"]["transformer_taxonomy"]
    return Lesson(path.parent.name, about["lesson"], about.get("number"), about["title"], stored)


def skeleton(lesson):
    """Return the notebook of a lesson as a learner gets it, as text, without what only nbgrader reads."""
    return json.dumps(lesson.stored | {"cells": [_shown(cell) for cell in lesson.stored["cells"]]})


def notebook(lesson):
    """Return the solved notebook of a lesson as text, with a last cell that leads to its mistakes."""
    cells = [_shown(cell) for cell in lesson.stored["cells"]]
    more = (
        f"---\n\nAll mistakes that the checks of this lesson recognise, with their reasons: "
        f"[What people get wrong](../mistakes/{lesson.page}.md)."
    )
    cells.append({"cell_type": "markdown", "id": "mistakes-of-lesson", "metadata": {}, "source": more})
    return json.dumps(lesson.stored | {"cells": cells})


def _shown(cell):
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return cell | {"source": _prose(text)}
    return cell | {
        "source": MARKER.sub("", text),
        "outputs": _outputs(cell),
        "metadata": cell["metadata"] | _alternative(cell),
    }


def _prose(text):
    """Return markdown with a sample answer that opens on a click, and formulas in summaries, which hold only HTML."""
    text = ANSWER.sub(
        lambda found: f"<details>\n<summary>Sample answer and rubric</summary>\n\n{found[1]}\n\n</details>", text
    )
    return SUMMARY.sub(lambda found: TEX.sub(lambda tex: mathml(tex[1]), found[0]), text)


def _outputs(cell):
    """Return the outputs of a cell; of a check only what it shows, without the points that nbgrader reads."""
    check = cell["metadata"].get("nbgrader", {}).get("grade")
    return [output for output in cell["outputs"] if not (check and output["output_type"] == "execute_result")]


def _alternative(cell):
    """Return cell metadata that gives a picture its text, which the notebook stores beside it, as alternative."""
    data = [output["data"] for output in cell["outputs"] if "image/png" in output.get("data", {})]
    texts = ["".join(each["text/plain"]) for each in data]
    return {"mystnb": {"image": {"alt": " ".join(" ".join(texts).split())}}} if texts else {}


def routes(readme, lessons):
    """Return both routes as tables, from the README's table; a lesson that it does not name comes last in both."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section(readme, "The lessons").splitlines()
        if line[:1] == "|"
    ]
    told = {int(row[0]): (row[2], int(row[3].rstrip("stndrh"))) for row in rows if row[0].isdecimal()}
    builds = {lesson: told.get(lesson.number, ("", len(told) + 1)) for lesson in lessons}
    parts = []
    for title, order in (("Top-down", lessons), ("Bottom-up", sorted(lessons, key=lambda one: builds[one][1]))):
        parts += [f"### {title}", "", ROUTES[title], "", "| | lesson | you build |", "|---:|---|---|"]
        parts += [
            f"| {place} | [{lesson.heading}](lessons/{lesson.page}.ipynb) | {builds[lesson][0]} |"
            for place, lesson in enumerate(order, 1)
        ] + [""]
    return "\n".join(parts)


def example(readme):
    """Return the README's example of a wrong answer, as text."""
    return section(readme, "An example")


def section(readme, title):
    """Return what stands under a heading of the README. Raises ValueError if there is none of this title."""
    found = re.search(rf"^## {re.escape(title)}\n+(.*?)(?=^#{{1,2}} |\Z)", readme, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError(f"README.md: no section is called {title!r}; docs/book/pages.py takes it from there")
    return found[1]


def contents_of_mistakes(path, lessons):
    """Return the page that leads to the mistakes of each lesson: a text of its own, in which LESSONS stands twice."""
    links = [f"- [{lesson.heading}](mistakes/{lesson.page}.md)" for lesson in lessons]
    short = [f"{lesson.heading} <mistakes/{lesson.page}>" for lesson in lessons]
    text = Path(path).read_text(encoding="utf-8")
    for lines in (links, short):
        text = text.replace("LESSONS", "\n".join(lines), 1)
    return text


def mistakes(lesson, folder):
    """Return the page of all mistakes that the checks of a lesson know by name, by the exercise that shows them first.

    folder  with a module of mistakes for each lesson
    """
    catalogue = declared.read(Path(folder) / f"{lesson.name}.py")
    ways = {exercise: catalogue.singles(exercise) for exercise in catalogue.components}
    order = sorted(ways, key=lambda name: (lesson.exercises + [name]).index(name))
    told, parts = (
        set(),
        [
            f"# {lesson.heading}: what people get wrong",
            "",
            f"The checks of [this lesson](../lessons/{lesson.page}.ipynb) know "
            f"{len(catalogue.mistakes)} mistake{'s' * (len(catalogue.mistakes) != 1)} by name.",
        ],
    )
    for exercise in order:
        new = {way.mistakes[0]: way for way in reversed(ways[exercise]) if way.mistakes[0] not in told}
        parts += [f"## `{exercise}`"] * bool(new)
        for name in (name for name in catalogue.mistakes if name in new):
            others = [
                other for other in order if other != exercise and any(way.mistakes == (name,) for way in ways[other])
            ]
            parts += _told(catalogue.mistakes[name], new[name], others)
        told |= set(new)
    return "\n\n".join(parts) + "\n"


def _told(mistake, way, others):
    """Return what is said of one mistake, with one way to write it."""
    parts = [
        f"### {mistake.name.replace('_', ' ').capitalize()}",
        _marked_up(mistake.symptom),
        f"**Why.** {_marked_up(mistake.cause)}",
        f"**Where to look.** {_marked_up(mistake.place)}",
    ]
    if others:
        parts.append("It can also show in " + ", ".join(f"`{other}`" for other in others) + ".")
    codes = [(part, code) for part, function in way.replaced.items() if (code := _code(function, part))]
    if codes:
        whole = [part for part, _ in codes] == [way.exercise]
        shown = "\n\n".join(code for _, code in codes)
        what = "An answer" if whole else "The part of an answer"
        parts += [f"<details>\n<summary>{what} with this mistake</summary>", f"```python\n{shown}\n```", "</details>"]
    return parts


def _marked_up(sentence):
    """Return a sentence as markdown that shows it as it is, but for what stands between backquotes: code."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return PUNCTUATION.sub(r"\\\1", sentence)
    return "".join(f"`{part}`" if index % 2 else PUNCTUATION.sub(r"\\\1", part) for index, part in enumerate(parts))


def _code(function, name):
    """Return a function or class as it is written, comments and all, under the name of what it takes the place of."""
    text = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(text).body[0]
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return ""
    lines = text.splitlines()[node.lineno - 1 :]
    return "\n".join([re.sub(rf"\b{node.name}\b", name, lines[0], count=1), *lines[1:]]).rstrip()
