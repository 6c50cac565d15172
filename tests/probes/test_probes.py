"""What the package of probes promises, whatever a lesson's probes are."""

import ast
from pathlib import Path

import pytest
from lessons import LESSONS

from autograder import probes
from autograder.calling.local import Fault, Reply
from autograder.course import AuthorError


@pytest.mark.parametrize("lesson", LESSONS)
def test_all_that_a_lessons_probes_import_beside_them_is_among_their_files(lesson):
    files = set(probes.files(lesson))
    assert all(path.is_file() for path in files) and probes.load(lesson).__file__ in map(str, files)
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                name = node.module or "__init__"
                assert Path(probes.__file__).with_name(f"{name}.py") in files, f"{path} imports {name}"


def test_an_observation_is_noted_once_and_a_label_tells_calls_apart():
    seen = probes.Observations()
    seen.note("output", "2", "x 1")
    seen.note("output", "3", "x 2", "second call")
    assert seen.values == {"output": "2", "second call: output": "3"}
    assert seen.given == {"output": "x 1", "second call: output": "x 2"}
    with pytest.raises(AuthorError, match="second call: output.*noted twice"):
        seen.note("output", "4", label="second call")


def test_the_first_exception_of_a_probe_is_kept():
    seen, faults = probes.Observations(), [Fault("TypeError", "one"), Fault("KeyError", "two")]
    for label, fault in zip("ab", faults, strict=True):
        seen.answer(Reply("nothing", fault=fault), label)
    assert seen.values == {"a: answer": "raised TypeError: one", "b: answer": "raised KeyError: two"}
    assert seen.fault is faults[0]


@pytest.mark.parametrize(("exercises", "names"), [("one", ["one"]), (("one", "two"), ["one", "two"])])
def test_a_probe_and_what_is_forbidden_are_declared_for_one_exercise_or_several(monkeypatch, exercises, names):
    monkeypatch.setattr(probes, "_PROBES", {})
    monkeypatch.setattr(probes, "_FORBIDDEN", {})

    @probes.probe(exercises, "it is right")
    def is_right(component, numbers, seen):
        pass

    probes.forbid(exercises, "softmax")
    assert {name: [one.name for one in known] for name, known in probes._PROBES.items()} == dict.fromkeys(
        names, ["is_right"]
    )
    assert probes._FORBIDDEN == dict.fromkeys(names, ("softmax",))
