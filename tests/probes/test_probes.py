"""What the package of probes promises, whatever a lesson's probes are."""

import ast
from pathlib import Path

import pytest
import torch
from lessons import LESSONS

from autograder import probes
from autograder.calling.local import Fault, Reply
from autograder.course import AuthorError
from autograder.grading import basis


@pytest.mark.parametrize("lesson", LESSONS)
def test_all_that_a_lessons_probes_import_beside_them_is_among_what_its_grades_depend_on(lesson):
    folder = Path(probes.__file__).parent
    files = {path for path in basis.judges(lesson, folder.parent) if path.parent == folder}
    assert not {path.stem for path in files} & {*LESSONS} - {lesson} and probes.load(lesson).__file__ in map(str, files)
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
    assert seen.values == {"a: answer": "raised TypeError", "b: answer": "raised KeyError"}
    assert seen.fault is faults[0]


ONES, WHOLE = torch.ones, torch.arange(3)


@pytest.mark.parametrize(
    ("about", "calls"),
    [
        (
            "RuntimeError about sizes",
            [
                lambda: ONES(2, 3) @ ONES(4, 5),
                lambda: torch.einsum("bi,bj->b", ONES(2, 3), ONES(4, 5)),
                lambda: torch.nn.functional.linear(ONES(2, 3), ONES(5, 4)),
                lambda: ONES(2, 3, 4) @ ONES(3, 4, 5),
                lambda: ONES(2) + ONES(3),
                lambda: ONES(2, 3).reshape(4, -1),
                lambda: ONES(2, 3).masked_fill(ONES(4, 5) > 0, 0),
                lambda: torch.stack([ONES(2), ONES(3)]),
                lambda: torch.nn.functional.layer_norm(ONES(2, 3), (4,)),
            ],
        ),
        (
            "RuntimeError about dimensions",
            [
                lambda: torch.outer(ONES(2, 2), ONES(2)),
                lambda: ONES(2, 3).permute(0, 1, 2),
                lambda: torch.bmm(ONES(2, 3), ONES(3, 2)),
                lambda: torch.einsum("bid,bjd->bij", ONES(2, 3), ONES(2, 3)),
                lambda: ONES(2, 3, 4).t(),
                lambda: ONES(2).mT,
            ],
        ),
        ("IndexError about dimensions", [lambda: ONES(2).sum(5), lambda: ONES(2, 3).transpose(0, 2)]),
        ("IndexError about sizes", [lambda: ONES(2, 3)[ONES(4, 4) > 0]]),
        ("IndexError about indices", [lambda: WHOLE[7], lambda: torch.nn.Embedding(2, 3)(WHOLE)]),
        ("RuntimeError about dtypes", [lambda: ONES(2) @ ONES(2).double(), WHOLE.mean, lambda: 1 - (WHOLE > 1)]),
        ("RuntimeError about memory layout", [lambda: ONES(2, 3).T.view(6)]),
        ("RuntimeError about devices", [lambda: ONES(2, device="meta") + ONES(2)]),
        ("RuntimeError about autograd", [lambda: ONES(2).requires_grad_().add_(1), lambda: ONES(()).backward()]),
        ("RuntimeError", [lambda: bool(ONES(2))]),
        ("ValueError", [lambda: [].index(1), lambda: int("size")]),
    ],
)
def test_exceptions_are_the_same_that_are_about_the_same_however_they_are_worded(about, calls):
    for call in calls:
        with pytest.raises(Exception) as raised:
            call()
        fault = Fault(raised.type.__name__, str(raised.value))
        assert probes.kind(Reply("nothing", fault=fault)) == f"raised {about}"


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
