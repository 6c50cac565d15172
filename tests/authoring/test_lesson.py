"""A lesson text is read as it is meant, or refused with every fault, its line and a remedy."""

import importlib.util
import inspect
import json
import sys
import traceback

import pytest

from autograder.authoring import draft, lesson, rules

SMALL = '''\
# %% [markdown] lesson=7 title="Small numbers"
r"""
# Small numbers

It's about $\\alpha \\cdot x$.
"""

# %%
import math
from fractions import Fraction

FACTOR = 2


class Answer(float):
    """What a check returns here."""

    def grade(self):
        return float(self)


def check(component):
    return Answer({10: 2, 15: 1.5}.get(component(Fraction(5)), 0))

# %% exercise="double"
def double(number):
    """Return twice the number."""
    ### BEGIN SOLUTION
    # doubling is adding to itself
    return number * FACTOR + math.floor(0.5)
    ### END SOLUTION

# %% [markdown] hint="double"
r"""Take it two times."""

# %% [markdown] hint="double"
r"""
Multiply.
"""

# %% [markdown] hint="double"
r"""Multiply by 2."""

# %% check="double" points=2

# %% exercise="triple" uses="double"
class triple:
    """Three times a number."""

    def __new__(cls, number):
        ### BEGIN SOLUTION
        return double(number) + number
        ### END SOLUTION

# %% [markdown] hint="triple"
r"""One."""

# %% [markdown] hint="triple"
r"""Two."""

# %% [markdown] hint="triple"
r"""Three."""

# %% check="triple" points=1.5

# %% demo
if __name__ == "__main__":
    # numbers, doubled
    for number in range(3):
        print(double(number))

# %% [markdown] predict="guess"
r"""
What is twice 3?

- [ ] `five` $x < y$ :: that is *one* more than 4
- [x] six :: 3 + 3
"""

# %% [markdown] question="why" points=3
r"""
Why twice?

### BEGIN SOLUTION
Because two is the only even prime.
### END SOLUTION
"""
'''


@pytest.fixture
def text(tmp_path):
    """Return a function that writes a lesson text and returns its path."""

    def write(content=SMALL, name="small.py"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write


def faults(path):
    with pytest.raises(lesson.LessonError) as caught:
        lesson.read(path)
    return caught.value.faults


def test_a_lesson_is_read_as_it_is_written(text):
    found = lesson.read(text())
    assert (found.name, found.number, found.title, found.folder) == ("small", 7, "Small numbers", "07_small")
    assert [cell.role for cell in found.cells] == (
        ["lesson", "code"] + ["exercise", "hint", "hint", "hint", "check"] * 2 + ["demo", "predict", "question"]
    )
    double, triple = found.exercises["double"], found.exercises["triple"]
    assert (double.points, triple.points, double.uses, triple.uses) == (2, 1.5, (), ("double",))
    assert double.hints == ("Take it two times.", "Multiply.", "Multiply by 2.")
    lines = SMALL.split("\n")
    assert [lines[line - 1] for line, _ in double.solution] == [body for _, body in double.solution]
    assert [body.strip() for _, body in triple.solution] == ["return double(number) + number"]
    assert lines[double.line - 1] == '# %% exercise="double"'
    assert found.questions["why"].solution[0][1] == "Because two is the only even prime."
    assert [choice.right for cell in found.cells for choice in cell.choices] == [False, True]


@pytest.mark.parametrize(
    ("head", "trained"),
    [("# %% demo", None), ("# %% demo trained", ""), ('# %% demo trained="model writes .*"', "model writes .*")],
)
def test_a_demo_says_whether_it_shows_a_trained_model(head, trained, text):
    found = lesson.read(text(SMALL.replace("# %% demo", head)))
    assert [cell.trained for cell in found.cells if cell.role == "demo"] == [trained]
    assert all(cell.trained is None for cell in found.cells if cell.role != "demo")


def test_each_cell_knows_the_line_on_which_its_source_begins(text):
    lines = SMALL.split("\n")
    for cell in lesson.read(text()).cells:
        if cell.source:
            assert cell.source.split("\n")[0] in lines[cell.first_line - 1]
        assert lines[cell.line - 1].startswith("# %%")


# what is wrong -> (what is replaced, by what, text of the line that is blamed, words of the fault)
CODE_CELL = "# %%\nimport math"
FAULTY = {
    "option": ('exercise="double"', 'excercise="double"', "excercise", "unknown option `excercise`; write exercise"),
    "option that is like no other": ("# %% demo", "# %% demo zzz=1", "zzz=1", "unknown option `zzz`; the options are"),
    "role": ("# %% demo", "# %% dmeo", "dmeo", "unknown role `dmeo`; write `# %% demo`"),
    "trained model": ("# %% demo", '# %% demo trained="writes (.*"', "# %% demo", "is not a regular expression; write"),
    "trained code": ("# %%\nimport math", '# %% trained=""\nimport math', "# %% trained", "trained does not belong to"),
    "role without a name": ('# %% check="triple" points=1.5', "# %% check", "# %% check", "unknown role `check`"),
    "markdown": ('[markdown] predict="guess"', '[markdwon] predict="guess"', "[markdwon]", "write `# %% [markdown]`"),
    "two roles": (
        'check="triple"',
        'check="triple" question="other"',
        "other",
        "this one has check and question; split it",
    ),
    "kind": (
        '# %% [markdown] hint="double"\nr"""T',
        '# %% hint="double"\nr"""T',
        '# %% hint="double"',
        "must be markdown",
    ),
    "raw": ("# %% demo", "# %% [raw]", "[raw]", "the code cell must be code, not raw"),
    "option elsewhere": (
        'exercise="double"',
        'exercise="double" points=2',
        "points=2",
        "does not belong to this exercise",
    ),
    "options": ('predict="guess"', "predict='guess", "predict='guess", "cannot be read"),
    "comment that begins a cell": ("    # numbers, doubled", "# %% numbers", "# %% numbers", "unknown role `numbers`"),
    "indented cell": ("    # numbers, doubled", "    # %% numbers", "    # %% numbers", "would begin a cell"),
    "narrow cell": (CODE_CELL, "#%%\nimport math", "#%%", "would begin a cell"),
    "old cell": ("    # numbers, doubled", "# In[3]:", "# In[3]:", "would begin a cell"),
    "cell in a string": ("FACTOR = 2", 'TEXT = """\n# %% a\n"""\nFACTOR = 2', "# %% a", "inside a string"),
    "open string": (
        "FACTOR = 2",
        'TEXT = """',
        '# %% exercise="double"',
        "inside a string that began in the cell of line 8",
    ),
    "text before": (
        "# %% [markdown] lesson",
        "import os\n# %% [markdown] lesson",
        "import os",
        "before the first cell",
    ),
    "head": (' lesson=7 title="Small numbers"', "", "# %% [markdown]", "the first cell is not the lesson's"),
    "second head": ('hint="triple"\nr"""One', 'lesson=8 title="x"\nr"""One', "lesson=8", "a second cell"),
    "title": (' title="Small numbers"', "", "lesson=7", "has no title"),
    "empty title": ('"Small numbers"', '" "', "lesson=7", "title is empty"),
    "number": ("lesson=7", "lesson=0", "lesson=0", "lesson=0 is not a lesson number; choose a number from 1 to"),
    "number as text": ("lesson=7", 'lesson="7"', 'lesson="7"', "lesson=7 is not a lesson number"),
    "half a lesson": ("lesson=7", "lesson=7.5", "lesson=7.5", "lesson=7.5 is not a lesson number"),
    "true lesson": ("lesson=7", "lesson=true", "lesson=true", "lesson=True is not a lesson number"),
    "syntax": ("    for number in range(3):", "    for number in range(3:", "range(3:", "this is not Python"),
    "prose as comments": ('r"""Take it two times."""', "# Take it", 'hint="double"', 'single r"""docstring"""'),
    "prose without r": ('r"""Take it', '"""Take it', 'hint="double"', 'single r"""docstring"""'),
    "prose and code": ('r"""Take it two times."""', 'r"""T"""\nprint()', 'hint="double"', 'single r"""docstring"""'),
    "empty prose": ('r"""Take it two times."""', 'r""" """', 'hint="double"', 'single r"""docstring"""'),
    "call": ("FACTOR = 2", "print(2)", "print(2)", "would run on import; move it to a demo"),
    "variable": ("FACTOR = 2", "factor = 2\nFACTOR = 2", "factor = 2", "name a constant in capitals (FACTOR)"),
    "loop": ("FACTOR = 2", "FACTOR = 2\nfor _ in 'ab':\n    pass", "for _ in", "would run on import"),
    "magic": ("FACTOR = 2", "# cat is a command too\nFACTOR = 2", "# cat is", "jupytext does not keep the line"),
    "main in code": ("FACTOR = 2", 'FACTOR = 2\nif __name__ == "__main__":\n    pass', "if __name__", "on import"),
    "demo without main": ('if __name__ == "__main__":', "if True:", "# %% demo", "a demo is one"),
    "demo with more": (
        "        print(double(number))",
        "        print(double(number))\nprint(double(7))",
        "# %% demo",
        "one",
    ),
    "demo with a string": ("range(3)", 'range(3, len("""\n"""))', "# %% demo", "cannot be moved to the left margin"),
    "hidden tests": ("    # numbers, doubled", "    ### BEGIN HIDDEN TESTS", "HIDDEN", "unknown marker"),
    "hidden test": ("    # numbers, doubled", "    ### BEGIN HIDDEN TEST", "HIDDEN", "unknown marker"),
    "mark scheme": ("Because two", "### BEGIN MARK SCHEME\nBecause two", "MARK SCHEME", "unknown marker"),
    "autotest": ("    # numbers, doubled", "    ### AUTOTEST double(2)", "AUTOTEST", "unknown marker"),
    "plural": ("    ### BEGIN SOLUTION\n    # d", "    ### BEGIN SOLUTIONS\n    # d", "SOLUTIONS", "unknown marker"),
    "lower case": ("    ### BEGIN SOLUTION\n    # d", "    ### begin solution\n    # d", "### begin", "unknown marker"),
    "hashes": ("    ### BEGIN SOLUTION\n    # d", "    ## BEGIN SOLUTION\n    # d", "    ## BEGIN", "unknown marker"),
    "spelling": ("    ### BEGIN SOLUTION\n    # d", "    ### BEGIN SOLUTON\n    # d", "SOLUTON", "unknown marker"),
    "no blank": ("    ### BEGIN SOLUTION\n    # d", "    ###BEGIN SOLUTION\n    # d", "###BEGIN", "unknown marker"),
    "marker in a sentence": ("It's", "It's ### END SOLUTION", "It's ### END", "unknown marker"),
    "marker elsewhere": ("FACTOR = 2", "FACTOR = 2\n### END SOLUTION", "### END SOLUTION", "outside an exercise"),
    "no end": ("0.5)\n    ### END SOLUTION", "0.5)", "### BEGIN SOLUTION", "without `### END SOLUTION`"),
    "no begin": ("    ### BEGIN SOLUTION\n    # d", "    # d", "### END SOLUTION", "without `### BEGIN SOLUTION`"),
    "nested": (
        "    # doubling is",
        "    ### BEGIN SOLUTION\n    # doubling is",
        "### BEGIN SOLUTION",
        "a second `### BEG",
    ),
    "no solution": (
        "### BEGIN SOLUTION\nBecause two is the only even prime.\n### END SOLUTION",
        "",
        "question",
        "has no",
    ),
    "no markers": (
        "        ### BEGIN SOLUTION\n        return double(number) + number\n        ### END SOLUTION",
        "        return number",
        'exercise="triple"',
        "exercise triple has no solution",
    ),
    "empty solution": ("Because two is the only even prime.\n", "", "### BEGIN SOLUTION", "the solution is empty"),
    "component": ("def double(", "def duoble(", 'exercise="double"', "does not define `double`"),
    "docstring": ('    """Return twice the number."""\n', "", 'exercise="double"', "double has no docstring"),
    "docstring inside": (
        '    """Return twice the number."""\n    ### BEGIN SOLUTION\n',
        '    ### BEGIN SOLUTION\n    """Return twice the number."""\n',
        'exercise="double"',
        "no docstring outside its solution",
    ),
    "whole solution": (
        'def double(number):\n    """Return twice the number."""\n    ### BEGIN SOLUTION\n',
        '### BEGIN SOLUTION\ndef double(number):\n    """Return twice the number."""\n',
        'exercise="double"',
        "the solution is not inside double",
    ),
    "solution outside": (
        "    return number * FACTOR + math.floor(0.5)\n    ### END SOLUTION",
        "    return number * FACTOR\n    ### END SOLUTION\n\n### BEGIN SOLUTION\nDEPTH = 1\n### END SOLUTION",
        'exercise="double"',
        "the solution is not inside double",
    ),
    "markers further left": (
        "        ### BEGIN SOLUTION\n        return double(number) + number",
        "### BEGIN SOLUTION\n        return double(number) + number",
        'exercise="triple"',
        "is not",
    ),
    "name": ('check="triple"', 'check="three times"', "three times", "`three times` is not a name"),
    "same exercise": ('exercise="triple"', 'exercise="double"', 'exercise="double" uses', "was given in line"),
    "same check": ('check="triple"', 'check="double"', 'check="double" points=1.5', "was given in line"),
    "same name": ('question="why"', 'question="guess"', 'question="guess"', "was given in line"),
    "name of a check": ('question="why"', 'question="check_double"', "check_double", "was given in line"),
    "check of nothing": (
        'check="triple"',
        'check="tripel"',
        "tripel",
        "there is no exercise `tripel` to check; write `triple`",
    ),
    "check too early": (
        CODE_CELL,
        '# %% check="triple" points=1\n\n' + CODE_CELL,
        'check="triple"',
        "the check of triple comes before it",
    ),
    "check with a body": ("points=1.5\n", "points=1.5\nprint()\n", "points=1.5", "a check has no body"),
    "no check": ('# %% check="triple" points=1.5\n', "", 'exercise="triple"', 'add `# %% check="triple" points=2`'),
    "no points": (" points=1.5", "", 'check="triple"', "this check cell has no points"),
    "points in words": ("points=1.5", "points=two", "points=two", "points=two is not a number"),
    "points in quotes": ("points=1.5", 'points="2"', 'points="2"', "points=2 is not a number; write a number, without"),
    "true points": ("points=1.5", "points=true", "points=true", "points=True is not a number"),
    "negative points": ("points=1.5", "points=-1", "points=-1", "points=-1 cannot be earned"),
    "endless points": ("points=1.5", "points=1e999", "points=1e999", "points=inf cannot be earned"),
    "no number": ("points=3", "points=NaN", "points=NaN", "points=nan cannot be earned"),
    "two hints": (
        '# %% [markdown] hint="triple"\nr"""Two."""\n',
        "",
        'exercise="triple"',
        "exercise triple has 2 hints",
    ),
    "hint for nothing": (
        'hint="triple"\nr"""Two',
        'hint="trible"\nr"""Two',
        "trible",
        "unknown exercise `trible`; write `t",
    ),
    "hint elsewhere": ('hint="triple"\nr"""Two', 'hint="double"\nr"""Two', 'hint="double"', "not stand right after"),
    "use of nothing": ('uses="double"', 'uses="duoble"', "duoble", "unknown component `duoble`; write `double`"),
    "use of itself": ('uses="double"', 'uses="triple"', 'uses="triple"', "triple uses itself"),
    "use of a number": ('uses="double"', "uses=3", "uses=3", "unknown component `3`"),
    "no right choice": ("- [x] six", "- [ ] six", 'predict="guess"', "has 0 right choices; mark one with [x]"),
    "two right choices": ("- [ ] `five`", "- [x] `five`", 'predict="guess"', "has 2 right choices"),
    "one choice": (
        "- [ ] `five` $x < y$ :: that is *one* more than 4\n",
        "",
        'predict="guess"',
        "fewer than 2 choices",
    ),
    "no explanation": ("six :: 3 + 3", "six", "- [x] six", "has no explanation"),
    "half an explanation": ("six :: 3 + 3", "six ::", "- [x] six ::", "has no explanation"),
    "box": ("- [x] six", "- [X] six", "- [X] six", "not written as a choice"),
    "broken choice": ("six :: 3 + 3", "six :: 3\n  + 3", "  + 3", "text after the choices"),
    "no question": ("What is twice 3?", "", 'predict="guess"', "has no question"),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_fault_is_reported_with_file_line_fact_and_remedy(case, text):
    old, new, blamed, words = FAULTY[case]
    assert old in SMALL
    content = SMALL.replace(old, new, 1)
    path = text(content)
    lines = content.split("\n")
    hits = [fault for fault in faults(path) if words in f"{fault.fact}; {fault.remedy}"]
    assert hits, [str(fault) for fault in faults(path)]
    assert any(blamed in lines[fault.line - 1] for fault in hits), (hits, lines[hits[0].line - 1])
    assert str(hits[0]) == f"{path}:{hits[0].line}: {hits[0].fact}; {hits[0].remedy}"


def test_every_rule_is_broken_by_a_lesson_of_the_table():
    broken = set()
    for old, new, _, _ in FAULTY.values():
        rough = draft.draft(SMALL.replace(old, new, 1))
        broken |= {rule for rule in rules.RULES if list(rule(rough))}
    assert broken == set(rules.RULES)


def test_all_faults_of_a_text_are_reported_at_once_in_the_order_of_their_lines(text):
    content = SMALL.replace("lesson=7", "lesson=0").replace("points=1.5", "points=-1").replace("# %% demo", "# %% dmeo")
    found = faults(text(content))
    assert len(found) == 3
    assert [fault.line for fault in found] == sorted(fault.line for fault in found)


def test_one_fault_is_not_reported_as_many(text):
    one = (
        "option",
        "role",
        "markdown",
        "number",
        "call",
        "variable",
        "points in words",
        "cell in a string",
        "open string",
        "name of a check",
    )
    for case in one:
        assert len(faults(text(SMALL.replace(*FAULTY[case][:2], 1)))) == 1, case


def test_a_text_that_is_not_utf_8_is_refused_with_its_line(tmp_path):
    path = tmp_path / "small.py"
    path.write_bytes(SMALL.encode().replace(b"Multiply.", b"Multipl\xff."))
    (fault,) = faults(path)
    assert "Multiply." in SMALL.split("\n")[fault.line - 1] and "UTF-8" in fault.fact


def test_an_empty_text_is_refused(text):
    assert "there is no cell" in faults(text(""))[0].fact


@pytest.mark.parametrize(
    "line", ["We begin with the solution of the sum.", "# the end test", "begin with two hints", "## End"]
)
def test_a_sentence_about_beginnings_is_not_a_marker(line):
    assert not rules.looks_like_marker(line)


def test_a_lesson_text_is_ordinary_python(text):
    spec = importlib.util.spec_from_file_location("small_lesson_as_a_module", text())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.triple(3) == 9


def test_a_loaded_text_has_its_definitions_and_runs_no_demo(text, capsys):
    module = lesson.load(text())
    assert module.double(4) == 8 and module.FACTOR == 2
    assert module.__name__ != "__main__" and sys.modules[module.__name__] is module
    assert capsys.readouterr().out == ""
    assert "### BEGIN SOLUTION" in inspect.getsource(module.double)
    assert inspect.getsource(module.triple).startswith("class triple:")


def test_a_traceback_through_a_loaded_text_shows_its_lines(text):
    module = lesson.load(text())
    try:
        module.double(object())
    except TypeError:
        assert "return number * FACTOR + math.floor(0.5)" in traceback.format_exc()
    else:
        pytest.fail("an object was doubled")


def notebook(path, *sources):
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
    return path


def test_of_a_notebook_the_definitions_are_loaded_and_not_the_experiments(tmp_path):
    path = notebook(
        tmp_path / "answers.ipynb",
        "%matplotlib inline\nimport math\n!touch made_by_the_notebook\nvalues = [1, 2]\nprint(values)",
        ["from __future__ import annotations\n", "def half(x: Unknown):\n", "    return x / 2\n", "half(1)"],
        "%%time\nclass Whole:\n    def twice(self):\n        return 2 * SIZE\nfor _ in range(3):\n    1 / 0",
        "SIZE = 3\nquarter = lambda x: half(half(x))\nother = half\nresult = half",
        "%%bash\ntouch made_by_the_notebook",
    )
    module = lesson.load(path)
    assert (
        module.half(3) == 1.5 and module.Whole().twice() == 6 and module.quarter(4) == 1 and module.other is module.half
    )
    assert not hasattr(module, "values") and not (tmp_path / "made_by_the_notebook").exists()
    assert module.__faults__ == ()
    assert inspect.getsource(module.half) == "def half(x: Unknown):\n    return x / 2\n"
    assert inspect.getsource(module.Whole).startswith("class Whole:")


def test_a_cell_that_is_not_python_or_fails_is_skipped_and_remembered(tmp_path):
    path = notebook(
        tmp_path / "answers.ipynb", "def f(:\n", "import no_such_module\ndef g():\n    return 5", "A = 1 / 0", "B = 7"
    )
    module = lesson.load(path)
    assert module.g() == 5 and module.B == 7
    assert [(fault.cell, type(fault.error)) for fault in module.__faults__] == [
        (0, SyntaxError),
        (1, ModuleNotFoundError),
        (2, ZeroDivisionError),
    ]


def test_a_lesson_text_raises_what_its_code_raises_and_leaves_no_module_behind(text):
    before = set(sys.modules)
    with pytest.raises(ZeroDivisionError):
        lesson.load(text(SMALL.replace("FACTOR = 2", "FACTOR = 1 / 0")))
    with pytest.raises(SyntaxError, match="small.py"):
        lesson.load(text(SMALL.replace("FACTOR = 2", "FACTOR = (")))
    assert set(sys.modules) == before


def test_two_notebooks_of_one_name_do_not_share_their_lines(tmp_path):
    for folder, number in (("ada", 3), ("bea", 5)):
        (tmp_path / folder).mkdir()
        notebook(tmp_path / folder / "answers.ipynb", f"def f():\n    return {number}")
    ada, bea = (lesson.load(tmp_path / folder / "answers.ipynb") for folder in ("ada", "bea"))
    assert "return 3" in inspect.getsource(ada.f) and "return 5" in inspect.getsource(bea.f)
