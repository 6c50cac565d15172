"""What the README and the pages of docs/ say is so: commands, paths, links, examples, tables, pictures."""

import argparse
import importlib
import re
import shlex
import sys
import tomllib
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
import yaml
from nbgrader.apps.nbgraderapp import NbGraderApp

import bench.diagnosis
import bench.grading
from autograder import check, course
from autograder.__main__ import COMMANDS
from autograder.authoring.draft import ROLES
from autograder.authoring.lesson import read
from workbench import widgets

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / "docs/book"))
import pages as book_pages  # noqa: E402
import tree as map_of_the_tree  # noqa: E402

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))

# What commands make, so that a fresh clone does not hold it.
MADE = {
    ".venv",
    ".transformer-taxonomy/",
    "autograder/lessons/",
    "transformer-taxonomy/",
    "earlier/",
    "capstone/capstone.ipynb",
    "submitted/",
    "feedback/",
    "grades.csv",
    "build/book/",
    "build/docs/",
    "dist/",
}
MADE |= {"report/", "report/report.html", "report.json", "exercises.csv", "mistakes.csv", "learners.csv"}
MADE |= {"canvas.csv", "moodle.csv", "blackboard.csv", "gradescope.csv", "grades_wide.csv"}
PLACEHOLDER = re.compile(r"LEARNER|LESSON|NAME|ADDRESS|VERSION")
PATH = re.compile(r"\.?[\w.*-]*/[\w./*-]*|[\w.*-]+\.(py|md|toml|txt|yml|csv|db|ipynb)|\.venv")
# Commands that a machine has or lacks; what they are given is theirs.
OTHERS = ({"jupyter", "lab"}, {"git", "archive"}, {"git", "tag"}, {"git", "push"}, {"git", "clone"})


@dataclass(frozen=True)
class Page:
    """A page of Markdown, relative to the repository."""

    path: str

    @cached_property
    def text(self):
        return (REPOSITORY / self.path).read_text(encoding="utf-8")

    @cached_property
    def inline(self):
        """What stands between backquotes in its prose."""
        return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", self.text, flags=re.MULTILINE | re.DOTALL))

    @cached_property
    def links(self):
        """Where its links and pictures lead, except to other sites."""
        return [target for target in re.findall(r"\]\(([^)\s]+)\)", self.text) if not target.startswith("https://")]

    @cached_property
    def headings(self):
        """The anchors of its headings."""
        return {
            re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-")
            for line in re.findall(r"^#+ (.*)", self.text, re.MULTILINE)
        }

    def blocks(self, language):
        """Return its fenced blocks in one language."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)

    def commands(self):
        """Return the commands in its blocks and in its prose."""
        lines = [
            re.sub(r"\s+#.*", "", line)
            for block in self.blocks("sh")
            for line in block.splitlines()
            if line.strip() and not line.startswith("#")
        ]
        lines += [
            code for code in self.inline if re.match(r"(make|python -m|python docs|pytest|nbgrader|git|pip) \S", code)
        ]
        return list(dict.fromkeys(lines))

    def rows(self, heading):
        """Return the cells of the rows of the table whose header begins so."""
        lines = self.text.split(f"\n| {heading}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


README = Page("README.md")
PAGES = [
    Page(path.relative_to(REPOSITORY).as_posix())
    for path in sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])
]
DOCS = {Path(page.path).stem: page for page in PAGES if page.path.startswith("docs/")}


def exists(path):
    return path in MADE or any(REPOSITORY.glob(path.rstrip("/")))


def each(what):
    """Return the parameters of a test that is done for everything of a kind on every page."""
    return [pytest.param(item, id=f"{page.path}: {item}") for page in PAGES for item in what(page)]


@pytest.mark.parametrize("line", each(Page.commands))
def test_a_command_can_be_given_as_it_stands(line):
    words = shlex.split(re.sub(r"\bLESSON\b", "7", line))
    words = words[1:] if re.match(r"[A-Z_]+=", words[0]) else words
    program, *rest = words[2:] if words[:2] == ["python", "-m"] else words
    if program == "make":
        assert {word for word in rest if "=" not in word} <= TARGETS
        assert all(f"$({word.partition('=')[0]})" in MAKEFILE for word in rest if "=" in word)
    elif program == "autograder":
        parser = argparse.ArgumentParser()
        importlib.import_module(COMMANDS[rest[0]][0]).arguments(parser)
        given = parser.parse_args(rest[1:])
        named = getattr(given, "lessons", []) or [word for word in [getattr(given, "lesson", None)] if word]
        assert not named or course.select(REPOSITORY, named)
    elif program == "bench.grading":
        bench.grading.parser().parse_args(rest)
    elif program == "bench.diagnosis":
        bench.diagnosis.parser().parse_args(rest)
    elif program == "nbgrader":
        assert rest[0] in NbGraderApp.subcommands
        assert all(exists(f"solutions/notebooks/{word}") for word in rest[1:] if not word.startswith("-"))
    elif program == "pytest":
        assert all(exists(word) for word in rest if "/" in word)
    elif program == "pip":
        constraints = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
        assert all(word in constraints for word in rest if "==" in word)
        assert all(exists(word) for word in rest if word.endswith(".txt"))
        asked = [re.search(r"\[(.*)\]", word)[1] for word in rest if word.startswith(".[")]
        assert set(asked) <= set(PROJECT["optional-dependencies"])
    elif program == "python":
        assert exists(rest[0])
    elif words[:2] == ["conda", "env"]:
        assert exists(words[words.index("-f") + 1])
    elif words[:2] == ["conda", "activate"]:
        assert yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))["name"] == words[2]
    elif program == "build":
        assert exists("pyproject.toml")
    else:
        assert set(words[:2]) in OTHERS, f"this test does not know how to judge `{line}`"


@pytest.mark.parametrize("path", each(lambda page: sorted({code for code in page.inline if PATH.fullmatch(code)})))
def test_a_path_in_the_text_exists(path):
    assert PLACEHOLDER.search(path) or exists(path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_links_inside_of_the_repository_lead_somewhere(page):
    for target in page.links:
        path, _, anchor = target.partition("#")
        other = (REPOSITORY / page.path).parent / path if path else REPOSITORY / page.path
        assert other.exists(), target
        assert not anchor or anchor in Page(other.resolve().relative_to(REPOSITORY).as_posix()).headings, target


def test_the_pages_of_docs_link_to_each_other_only_so_that_the_book_can_hold_them():
    targets = {target.partition("#")[0] for page in DOCS.values() for target in page.links}
    assert targets and targets <= {"", *(f"{name}.md" for name in DOCS)}


def test_the_readme_is_a_page_and_leads_to_every_other():
    assert len(README.text.splitlines()) <= 125
    linked = {target.partition("#")[0] for target in README.links}
    assert {page.path for page in PAGES} - {"README.md"} <= linked


def test_every_module_says_in_a_sentence_what_it_is():
    found = map_of_the_tree.entries()
    modules = {
        str(path.relative_to(REPOSITORY))
        for folder in ("autograder", "course", "solutions", "bench", "tests")
        for path in (REPOSITORY / folder).rglob("*.py")
        if ".ipynb_checkpoints" not in path.parts
    }
    assert modules <= {entry.path + "__init__.py" * entry.path.endswith("/") for entry in found}
    packages = {f"{Path(path).parent.as_posix()}/" for path in modules if path.endswith("__init__.py")}
    silent = [
        entry.path for entry in found if not entry.sentence and (entry.path in packages or not entry.path.endswith("/"))
    ]
    assert silent == [], "begin the docstring of these with a sentence that says what they are"
    texts = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "solutions").glob("*.py")}
    wrong = [
        entry.path
        for entry in found
        if entry.sentence
        and entry.path not in texts
        and (len(entry.sentence) > 120 or not entry.sentence.endswith((".", "?")))
    ]
    assert wrong == [], "say in one short sentence what these are; docs/book/tree.py prints it"


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("What is seen of lesson 2. Sizes are primes.", "What is seen of lesson 2."),
        ("A filter, in version 1.5 or\n2: `a.py` too. More.", "A filter, in version 1.5 or 2: `a.py` too."),
        ("Good or bad? Nobody knows.\n\nMore.", "Good or bad?"),
        ("# 7. Attention\n\nIn this lesson.", "7. Attention"),
    ],
)
def test_the_first_sentence_of_a_docstring_is_found(docstring, sentence):
    assert map_of_the_tree.first_sentence(f'r"""{docstring}"""') == sentence


def test_the_map_of_the_tree_has_a_line_for_each_entry_in_the_terminal_and_on_its_page():
    found = map_of_the_tree.entries()
    text, page = map_of_the_tree.as_text(found), map_of_the_tree.as_page(found)
    assert len(text.splitlines()) == len(found)
    for entry in found:
        if entry.path.endswith("/"):
            assert f"## `{entry.path}`\n" in page
        else:
            assert f"| `{Path(entry.path).name}` | " in page.split(f"## `{Path(entry.path).parent.as_posix()}/`\n")[1]
        assert entry.sentence in text


def test_the_table_of_the_house_names_every_folder():
    told = {code for row in DOCS["architecture"].rows("place |") for code in re.findall(r"`([^`]+)`", row[0])}
    ignored = (REPOSITORY / ".gitignore").read_text(encoding="utf-8").split()
    house = {
        f"{path.name}/"
        for path in REPOSITORY.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and not any(path.match(pattern.strip("/")) for pattern in ignored)
    }
    assert house - told == set(), "add a row to the table in docs/architecture.md"


def test_the_lessons_have_the_numbers_and_titles_of_the_table_and_two_routes():
    """A lesson of an instructor's own may have a later number or none, and needs no row."""
    table = README.rows("lesson | | you build")
    told = {int(number): title for number, title, _, _ in table}
    assert list(told) == list(range(1, len(told) + 1)) and len(told) >= 11
    assert sorted(int(re.match(r"\d+", place)[0]) for *_, place in table) == list(told)
    lessons = [read(path) for path in course.texts(REPOSITORY).values()]
    assert {lesson.number: lesson.title for lesson in lessons if lesson.number in told} == told
    folders = {path.parent.name for path in (REPOSITORY / "course").glob("*/*.ipynb")}
    assert folders <= {lesson.folder for lesson in lessons}


def test_a_lesson_that_the_table_does_not_name_comes_last_in_both_routes():
    lessons = [
        book_pages.Lesson(f"page_{number}", f"name_{number}", number, f"Title {number}", {})
        for number in (*range(1, 13), None)
    ]
    _, *tables = book_pages.routes(README.text, lessons).split("### ")
    for table in tables:
        titles = re.findall(r"\[([^]]*)\]", table)
        assert len(titles) == 13 and titles[-2:] == ["12. Title 12", "Title None"]


def test_the_roles_of_cells_are_those_that_a_lesson_may_have():
    told = [cell for cell, _ in DOCS["write-a-lesson"].rows("cell | what it is")]
    told = {("[markdown]" in cell, "demo" in cell, frozenset(re.findall(r"(\w+)=", cell))) for cell in told}
    assert told == {
        (kind == "markdown", role == "demo", frozenset((*must, *may))) for role, (kind, must, may) in ROLES.items()
    }


@pytest.mark.parametrize(("mark", "folder"), [("@mistake", "mistakes"), ("@accepted", "alternatives")])
def test_an_example_is_what_stands_in_the_course(mark, folder):
    examples = [block for block in DOCS["add-a-mistake"].blocks("python") if block.startswith(mark)]
    text = (REPOSITORY / "solutions" / folder / "scaled_dot_product_attention.py").read_text(encoding="utf-8")
    # Three dots stand for a right answer, which a site that may be published must not tell.
    assert examples and all(example.removesuffix(" ...\n") in text for example in examples)


def test_the_example_of_a_wrong_answer_is_what_the_check_really_says(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # the terminal's width, where there is one
    (code,) = README.blocks("python")
    (said,) = README.blocks("text")
    exec(code, {})
    assert capsys.readouterr().out == said


def test_the_examples_of_a_lesson_hold(capsys):
    moved, named = DOCS["write-a-lesson"].blocks("python")
    own = {"layer_norm": lambda x, weight, bias: torch.nn.functional.layer_norm(x, (4,), weight, bias)}
    exec(moved, own | {"torch": torch, "widgets": widgets, "ones": torch.ones(4), "zeros": torch.zeros(4)})
    assert "The mean is 4.0 before the norm." in capsys.readouterr().out
    exec(named, {})


def test_the_picture_shows_what_the_check_really_says():
    drawn = xml.parse(REPOSITORY / "docs" / "check.svg").getroot().iter("{http://www.w3.org/2000/svg}text")
    lines = [(element.get("class"), "".join(element.itertext())) for element in drawn]
    code = [text for kind, text in lines if kind == "code"]
    names = {}
    exec("\n".join(code[:-1]), names)
    result = eval(code[-1], names | {"check": check})
    shown = " ".join(text for kind, text in lines if kind not in ("code", "prompt"))
    symptom, cause, _ = result.says
    marks = {"right": "✓", "differs": "✗"}
    table = [f"{marks[state]} {state} {sentence}" for sentence, state in result.rows]
    named = f"{result.mistake.replace('_', ' ')}."
    said = [f"✗ {repr(result).splitlines()[0]}", *table, symptom, "▾ Why?", named, cause, "▸ Where to look"]
    assert shown == " ".join(said)
