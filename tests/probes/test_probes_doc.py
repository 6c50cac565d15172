"""The page on probes: its examples run as they stand, and its tables name what there is."""

import doctest
import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from autograder import probes
from autograder.calling.local import Reply
from autograder.calling.numbers import Numbers
from autograder.diagnosing import records
from autograder.probes import bugs, see, tokens, weights

PAGE = Path(__file__).parents[2] / "docs" / "probes.md"
TEXT = PAGE.read_text(encoding="utf-8")
LESSON = "last_positions"  # of the examples


def blocks(*languages):
    """Return [(line of the page, text)] of the fenced blocks in these languages."""
    fenced = re.finditer(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [(TEXT.count("\n", 0, one.start(2)), one[2]) for one in fenced if one[1] in languages]


def told(heading):
    """Return what stands between backquotes in the first column of the table whose header begins so."""
    rows = TEXT.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """The probes of the page, as those of a lesson."""
    path = tmp_path / f"{LESSON}.py"
    path.write_text("\n\n".join(text for _, text in blocks("python")), encoding="utf-8")
    monkeypatch.setattr(probes, "__path__", [str(tmp_path), *probes.__path__])
    monkeypatch.setattr(probes, "_PROBES", dict(probes._PROBES))
    monkeypatch.setitem(sys.modules, f"{probes.__name__}.{LESSON}", None)
    monkeypatch.delitem(sys.modules, f"{probes.__name__}.{LESSON}")
    probes.load.cache_clear()
    yield path
    probes.load.cache_clear()


def test_every_example_says_what_the_page_shows(lesson):
    runner, names, parser = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS), {}, doctest.DocTestParser()
    for line, text in blocks("pycon"):
        one, said = parser.get_doctest(text, names, f"line {line} of {PAGE.name}", str(PAGE), line), []
        one.globs = names  # the blocks are one session
        runner.run(one, out=said.append, clear_globs=False)
        assert said == [], "".join(said)
    assert runner.tries == TEXT.count("\n>>> ") > 0


def test_the_probes_of_the_page_are_all_declared_and_tried(lesson):
    sessions = "\n".join(text for _, text in blocks("pycon"))
    probes.load(LESSON)
    names = [one.name for known in probes.declared(LESSON).values() for one in known]
    assert names and all(name in sessions for name in names)


def test_no_block_is_left_out():
    assert TEXT.count("\n```") == 2 * len(blocks("python", "pycon"))


def test_the_table_of_keywords_has_those_of_a_call():
    extra = set(inspect.signature(probes.Component.__call__).parameters) - {"self", "arguments"}
    assert set(told("keyword")) == probes.HOW | extra


def test_the_table_of_the_reply_has_its_fields():
    assert set(told("field of the reply")) == {field.name for field in fields(Reply)}


@pytest.mark.parametrize(("variable", "kind"), [("numbers", Numbers), ("seen", probes.Observations)])
def test_a_call_is_written_as_it_is_defined(variable, kind):
    written = re.findall(rf"^\| `{variable}\.(\w+)\((.*?)\)` \|", TEXT, re.MULTILINE)
    methods = {name: function for name, function in inspect.getmembers(kind, inspect.isfunction) if name[0] != "_"}
    assert {name for name, _ in written} == methods.keys()
    for name, arguments in written:
        takes = [one.replace(annotation=one.empty) for one in inspect.signature(methods[name]).parameters.values()]
        assert arguments.replace('"', "'") == ", ".join(map(str, takes[1:]))


def test_the_helpers_exist():
    modules = {"see": see, "weights": weights, "tokens": tokens, "bugs": bugs}
    named = [code.split(".") for code in told("helper")]
    files = {path.stem for path in Path(probes.__path__[0]).glob("[!_]*.py")}
    assert {module for module, _ in named} == modules.keys() == files - set(records.exercises().values())
    assert all(inspect.isfunction(getattr(modules[module], name)) for module, name in named)


def test_the_messages_are_worded_like_this():
    code = "\n".join(path.read_text(encoding="utf-8") for path in Path(probes.__file__).parents[1].rglob("*.py"))
    messages = told("words of the message")
    assert len(messages) >= 6 and all(message in code for message in messages)
