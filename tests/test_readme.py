"""What the README says is so: its commands, paths, links, examples, tables and picture."""

import argparse
import importlib
import re
import shlex
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
import yaml
from nbgrader.apps.nbgraderapp import NbGraderApp

import bench.grading
from autograder import check, tree
from autograder.__main__ import COMMANDS
from autograder.lesson import read
from autograder.lesson_draft import ROLES

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))

# What commands make, so that a fresh clone does not hold it.
MADE = {".venv", "submitted/", "build/book/"}
PLACEHOLDER = re.compile(r"LEARNER|NAME|ADDRESS")
PATH = re.compile(r"\.?[\w.*-]*/[\w./*-]*|[\w.*-]+\.(py|md|toml|txt|yml|csv|db|ipynb)|\.venv")


def blocks(language):
    """Return the fenced blocks of the README that are in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


PROSE = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`([^`\n]+)`", PROSE)
SHELL = [re.sub(r"\s+#.*", "", line) for block in blocks("sh") for line in block.splitlines() if line.strip()]
SHELL += [code for code in INLINE if re.match(r"(make|python -m|pytest|nbgrader|git|pip) \S", code)]
SHELL = list(dict.fromkeys(SHELL))


def rows(heading):
    """Return the cells of the rows of the table whose header begins so."""
    lines = README.split(f"\n| {heading}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def exists(path):
    return path in MADE or any(REPOSITORY.glob(path.rstrip("/")))


@pytest.mark.parametrize("line", SHELL)
def test_a_command_can_be_given_as_it_stands(line):
    words = shlex.split(line)
    words = words[1:] if re.match(r"[A-Z_]+=", words[0]) else words
    program, *rest = words[2:] if words[:2] == ["python", "-m"] else words
    if program == "make":
        assert {word for word in rest if "=" not in word} <= TARGETS
        assert all(f"$({word.partition('=')[0]})" in MAKEFILE for word in rest if "=" in word)
    elif program == "autograder":
        parser = argparse.ArgumentParser()
        importlib.import_module(COMMANDS[rest[0]][0]).arguments(parser)
        given = parser.parse_args(rest[1:])
        named = [given.lesson] if "lesson" in given else getattr(given, "lessons", [])
        assert not named or tree.select(REPOSITORY, named)
    elif program == "bench.grading":
        bench.grading.parser().parse_args(rest)
    elif program == "nbgrader":
        assert rest[0] in NbGraderApp.subcommands
        assert all(exists(f"solutions/notebooks/{word}") for word in rest[1:] if not word.startswith("-"))
    elif program == "pytest":
        assert all(exists(word) for word in rest if "/" in word)
    elif program == "pip":
        constraints = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
        assert all(word in constraints for word in rest if "==" in word)
        assert all(exists(word) for word in rest if word.endswith(".txt"))
    elif words[:2] == ["conda", "env"]:
        assert exists(words[words.index("-f") + 1])
    elif words[:2] == ["conda", "activate"]:
        assert yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))["name"] == words[2]
    else:
        assert words[:2] == ["git", "archive"], f"this test does not know how to judge `{line}`"


@pytest.mark.parametrize("path", sorted({code for code in INLINE if PATH.fullmatch(code)}))
def test_a_path_in_the_text_exists(path):
    assert PLACEHOLDER.search(path) or exists(path)


@pytest.mark.parametrize("text", [README, CHANGELOG], ids=["README.md", "CHANGELOG.md"])
def test_links_inside_of_the_repository_lead_somewhere(text):
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith("https://")]
    headings = {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-")
                for line in re.findall(r"^#+ (.*)", README, re.MULTILINE)}
    for target in targets:
        path, _, anchor = target.partition("#")
        assert not path or (REPOSITORY / path).exists(), target
        assert not anchor or anchor in headings, target


def mapped():
    """Return the paths in the map of the tree; the indent of a line tells in which folder it lies."""
    found, folders = [], []
    for line in blocks("text")[0].splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        names = [part for part in re.split(r"\s{2,}", line.strip()) if " " not in part]
        folders[depth:] = [names[0]]
        found += ["".join([*folders[:depth], name]) for name in names]
    return found


def test_the_map_is_true_to_the_tree():
    assert [path for path in mapped() if not exists(path)] == []
    for path in mapped():
        assert path.endswith("/") == (REPOSITORY / path).is_dir() or "*" in path, path


def test_the_map_names_every_part_of_the_machine_and_of_the_house():
    machine = {f"autograder/{path.name}" for path in (REPOSITORY / "autograder").glob("*.py")}
    ignored = (REPOSITORY / ".gitignore").read_text(encoding="utf-8").split()
    house = {f"{path.name}/" for path in REPOSITORY.iterdir() if path.is_dir() and not path.name.startswith(".")
             and not any(path.match(pattern.strip("/")) for pattern in ignored)}
    assert (machine | house) - set(mapped()) == set(), "add a line to the map in README.md"


def test_the_lessons_have_the_numbers_and_titles_of_the_table_and_two_routes():
    table = rows("lesson | | you build")
    told = {int(number): title for number, title, _, _ in table}
    assert list(told) == list(range(1, 12))
    assert sorted(int(re.match(r"\d+", place)[0]) for *_, place in table) == list(told)
    lessons = [read(path) for path in tree.texts(REPOSITORY).values()]
    assert {lesson.number: lesson.title for lesson in lessons}.items() <= told.items()
    folders = {path.parent.name for path in (REPOSITORY / "course").glob("*/*.ipynb")}
    assert folders <= {lesson.folder for lesson in lessons}


def test_the_roles_of_cells_are_those_that_a_lesson_may_have():
    told = [cell for cell, _ in rows("cell | what it is")]
    told = {("[markdown]" in cell, "demo" in cell, frozenset(re.findall(r"(\w+)=", cell))) for cell in told}
    assert told == {(kind == "markdown", role == "demo", frozenset((*must, *may)))
                    for role, (kind, must, may) in ROLES.items()}


@pytest.mark.parametrize(("mark", "folder"), [("@mistake", "mistakes"), ("@accepted", "alternatives")])
def test_an_example_is_what_stands_in_the_course(mark, folder):
    example, = [block for block in blocks("python") if block.startswith(mark)]
    text = (REPOSITORY / "solutions" / folder / "scaled_dot_product_attention.py").read_text(encoding="utf-8")
    assert example in text


def test_the_picture_shows_what_the_check_really_says():
    drawn = xml.parse(REPOSITORY / "docs" / "check.svg").getroot().iter("{http://www.w3.org/2000/svg}text")
    lines = [(element.get("class"), element.text) for element in drawn]
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
