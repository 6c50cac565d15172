"""Reading a learner's code takes steps by its length: twice the code, twice the steps, whatever the code is.

Steps are lines of Python that run, so that nothing here depends on the speed of the computer.
"""

import sys

import pytest
from nbformat.v4 import new_code_cell

from autograder.intake import matching
from autograder.intake.matching import Matched
from autograder.intake.notebook import LearnerCell
from autograder.notebooks import answers, magics, needed, reach, session
from autograder.notebooks.demos import unneeded

CODE = {
    "the same line": lambda n: "a = a\n" * n,
    "a chain of names": lambda n: "".join(f"v{i} = v{i + 1}\n" for i in range(n)),
    "a chain of names upwards": lambda n: "".join(f"v{i + 1} = v{i}\n" for i in range(n)),
    "a chain of functions": lambda n: "".join(f"def v{i}():\n    return v{i + 1}()\n" for i in range(n)),
    "functions with globals": lambda n: "".join(
        f"def f{i}():\n    global v{i}\n    v{i} = v{i + 1}\n" for i in range(n)
    ),
    "texts of texts": lambda n: "a = 'x'\n" + "a = (a, a, a)\n" * n + "getattr(x, a)\n" * n,
    "many texts": lambda n: "".join(f"a = 'x{i}'\n" for i in range(n)) + "b = a\n" + "getattr(x, b)\n" * n,
    "many lines": lambda n: "x\n" * n,
    "brackets": lambda n: "x = " + "[" * min(n, 80) + "]" * min(n, 80) + "\n" + "y = [0]\n" * n,
    "branches": lambda n: "if x:\n    pass\n" + "elif y:\n    pass\n" * (n // 8),
    "formatted text": lambda n: "x = f'" + "{a}" * n + "'",
    "one list": lambda n: "x = [" + "eval, " * n + "]",
    "one chain of dots": lambda n: "torch" + ".__a__" * n,
    "one chain of forbidden calls": lambda n: "torch" + ".softmax" * n,
    "modules": lambda n: "".join(f"import a{i}.b as a{i}\nc{i} = a{i}\n" for i in range(n)),
    "what reaches": lambda n: "eval(x)\n" * n,
}


def cleared():
    magics._cell.cache_clear()
    answers.read.cache_clear()
    needed._statements.cache_clear()


READERS = {
    "demos": lambda source: unneeded([new_code_cell("v0 = 1", id="demo-1"), new_code_cell(source, id="learner-1")]),
    "needed": lambda source: needed.needed([source], ["v0", "a"]),
    "older": lambda source: session.without_older(source.splitlines()),
    "reach": lambda source: reach.into_the_interpreter([source]),
    "forbidden": lambda source: reach.named([source], {"softmax"}),
    "answers": lambda source: answers.read(source),
}


def steps(reader, source):
    """Return how many lines of Python run while a source is read."""
    count = 0

    def watch(frame, event, value):
        nonlocal count
        count += event == "line"
        return watch

    cleared()
    before = sys.gettrace()
    sys.settrace(watch)
    try:
        reader(source)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("code", CODE.values(), ids=CODE)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_twice_the_code_takes_twice_the_steps(reader, code):
    reader(code(8))  # what is imported and remembered once
    few, many = steps(reader, code(80)), steps(reader, code(160))
    assert many < 2.6 * few + 200


def test_magics_of_all_cells_together_are_read_within_one_budget(monkeypatch):
    read = []
    monkeypatch.setattr(answers, "read", lambda source: read.append(source))
    released = new_code_cell("", id="f-cell", metadata={"nbgrader": {"grade_id": "f", "solution": True}})
    cells = [LearnerCell("code", f"%ls {number}\n" * 40 + "f = 1\n" * 2_000, None, None) for number in range(40)]
    Matched([released], cells)
    assert 0 < sum(map(magics.read_for_magics, read)) <= magics.MOST_READ


def test_an_ordinary_cell_below_costly_ones_is_read_all_the_same(monkeypatch):
    monkeypatch.setattr(matching, "MOST_READ", 10_000)
    released = new_code_cell("", id="f-cell", metadata={"nbgrader": {"grade_id": "f", "solution": True}})
    costly = [LearnerCell("code", f"%ls {number}\n" * 40 + "f = 1\n", None, None) for number in range(5)]
    matched = Matched([released], [*costly, LearnerCell("code", "def f():\n    return 1", None, None)])
    assert matched.answers[0].source.startswith("def f") and matched.answers[0].solved


# What a limit leaves out is never held against anybody, and never lets anything through


def test_a_long_expression_is_named_by_its_beginning():
    ((_, found),) = reach.into_the_interpreter(["eval([" + "a, " * 500 + "])"])
    assert found.what == "eval"
    ((_, found),) = reach.into_the_interpreter(["getattr(x, f(" + "a, " * 500 + "))"])
    assert found.what == "getattr(...)"


def test_a_chain_that_is_too_long_for_a_module_is_shown_to_a_person():
    assert reach.into_the_interpreter(["import numpy as np\nx = np" + ".ma.core.np" * 20 + ".load"])
    assert not reach.into_the_interpreter(["x = net" + ".inner" * 20])


def test_a_name_that_may_be_too_many_texts_is_shown_to_a_person():
    few = "for name in (" + "'weight', " * 500 + "):\n    print(getattr(layer, name))"
    many = "for name in (" + "".join(f"'weight{number}', " for number in range(500)) + "):\n    getattr(layer, name)"
    assert not reach.into_the_interpreter([few])
    assert reach.into_the_interpreter([many])


def test_an_older_source_is_told_among_very_many_later_ones():
    assert session.without_older(["a = 1\nb = 1", *[f"a = {number}" for number in range(500)], "a = b = 2"]) == [
        "a = b = 2"
    ]
    assert len(session.without_older(["a = 1", *["a = a + 1"] * 500])) == 501
