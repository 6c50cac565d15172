"""First drafts: each is told in one sentence of its own, at the learner's own line, and nothing that follows from it.

Here every kind of draft is tried on an exercise or two; drafted.py, run by itself, tries it on all of them.
"""

import ast
import json
import re
import subprocess
import sys
import textwrap

import nbformat
import pytest
import torch
from drafted import KINDS, defined, source, told
from lessons import LESSONS, REPOSITORY, read
from loopback import remote
from nbgrader.utils import is_solution

from autograder.calling.facts import Fault
from autograder.calling.local import Here, Request
from autograder.diagnosing import records
from autograder.grading import judge

SEVEN = "scaled_dot_product_attention"
FUNCTION, CLASS = (SEVEN, "attention_scores"), ("layer_normalization", "RMSNorm")
OF_A_CLASS = {
    "no super",
    "no self",
    "no self.",
    "misspelt forward",
    "misspelt constructor",
    "no module",
}
ELSEWHERE = {
    "exchanged": ("encoder_decoder", "beam_search"),
    "only the first": (SEVEN, "attention_bug_input"),
    "only the last": ("decoder", "DecoderLayer"),
    "one more": (SEVEN, "scaled_dot_product_attention"),
    "no defaults": (SEVEN, "attention_weights"),
    "made in forward": ("encoder", "FeedForward"),
    "through NumPy": ("layer_normalization", "layer_norm"),
}


def place(kind):
    return ELSEWHERE.get(kind) or (CLASS if kind in OF_A_CLASS else FUNCTION)


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_draft_is_told_in_one_sentence_of_its_own(kind):
    result = told(*place(kind), source(*place(kind), kind))
    assert not result.passed and result.earned == 0 and result.mistake is None
    assert len(result.says) == 1 and re.search(KINDS[kind][1], result.says[0])


@pytest.mark.parametrize("kind", ["skeleton below", "printed", "undefined", "in a list", "exchanged", "no super"])
def test_official_grading_says_the_same_sentence(kind):
    lesson, exercise = place(kind)
    text = source(lesson, exercise, kind)
    reference = judge.Reference(REPOSITORY / "solutions")
    component = defined(lesson, exercise, text)
    official = judge.judge(records.read(exercise), remote({exercise: component}), reference, "a seed", 60)
    assert official.says == told(lesson, exercise, text).says and official.mistake is None


@pytest.mark.parametrize(
    ("kind", "mistake"), [("exchanged", "output_and_weights_exchanged"), ("only the first", "weights_not_returned")]
)
def test_a_mistake_that_has_a_name_keeps_it(kind, mistake):
    exercise = (SEVEN, "scaled_dot_product_attention")
    assert told(*exercise, source(*exercise, kind)).mistake == mistake


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_skeleton_that_nobody_has_touched_stays_unsolved(lesson):
    notebook = nbformat.read(REPOSITORY / "course" / read(lesson).folder / f"{lesson}.ipynb", 4)
    for cell in filter(is_solution, notebook.cells):
        exercise = cell.metadata.nbgrader.grade_id
        if exercise not in read(lesson).exercises:
            continue
        body = ast.parse(cell.source).body  # none in a cell that is left empty
        if body and isinstance(body[0], ast.FunctionDef | ast.ClassDef):
            result = told(lesson, exercise, cell.source)
            assert result.unsolved and result.says == [f"{exercise} is not solved yet."], exercise


# {what a learner writes for attention_scores: what is said of it, behind the line in which it is}
WRITTEN = {
    "def attention_scores(query, key):\n    if key.dim() > 3:\n        scale = 2\n    return query @ key.mT / scale": (
        "`scale` has no value yet when this line runs."
    ),
    "def attention_scores(query, key):\n    return attention_weights_(query)": (
        "The name `attention_weights_` is not defined. Did you mean `attention_weights`?"
    ),
    "del streaming_attention\ndef attention_scores(query, key):\n    return streaming_attention(query, key, key)": (
        "The name `streaming_attention` is not defined. The cell of the exercise `streaming_attention` of this lesson "
        "defines it: run that cell first."
    ),
    "def attention_scores(query, key):\n    return LayerNorm(7)(query) @ key.mT": (
        "The name `LayerNorm` is not defined. It is an exercise of another lesson: `from workbench.parts import "
        "LayerNorm`."
    ),
    "def attention_scores(query, key):\n    return np.matmul(query, key.mT)": (
        "The name `np` is not defined. `import numpy as np` makes it known: run the cell with the imports, or add this "
        "line to it."
    ),
}
OF_NO_LINE = {
    "attention_scores = lambda query: query": (
        "The check calls `attention_scores(query, key)`, and the parameters of your `<lambda>` are: query. Give it "
        "those of the exercise, in the same order and with the same defaults."
    ),
    "def attention_scores(query, key):\n    return (query @ key.mT).max(dim=-1)": (
        "`attention_scores` returns 2 values (`max`), and the exercise asks for a tensor."
    ),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_an_exception_is_told_with_its_line_and_its_remedy(text):
    lines = text.splitlines()
    where = f"In attention_scores, line {len(lines)}: `{lines[-1].strip()}`. "
    assert told(*FUNCTION, text).says == [where + WRITTEN[text]]


@pytest.mark.parametrize("text", OF_NO_LINE)
def test_what_comes_of_no_line_is_told_without_one(text):
    assert told(*FUNCTION, text).says == [OF_NO_LINE[text]]


def test_a_value_that_is_missing_in_some_calls_is_told_with_the_input():
    text = """
    def attention_weights(scores, mask=None):
        if mask is None:
            return scores.softmax(-1)
        print(mask)
    """
    (says,) = told(SEVEN, "attention_weights", textwrap.dedent(text)).says
    assert says.startswith(
        "For scores [2, 3, 5], mask [3, 5]: `attention_weights` prints something and returns nothing"
    )


def test_a_helper_that_is_not_written_is_not_the_answers_own_draft():
    text = """
    def attention_scores(query, key):
        product = query @ key.mT
        raise NotImplementedError("this exercise is not solved yet")


    def scaled_dot_product_attention(query, key, value, mask=None):
        weights = attention_weights(attention_scores(query, key), mask)
        return weights @ value, weights
    """
    result = told(SEVEN, "scaled_dot_product_attention", textwrap.dedent(text))
    assert result.passed and "Judged with" in result.note


def test_an_object_is_told_where_a_class_is_asked_for():
    text = f"{source(*CLASS, 'in a list')}\n\n\nRMSNorm = RMSNorm(7)"
    says = "`RMSNorm` is an object of the class `RMSNorm` here, and not a class. Check the class itself."
    assert told(*CLASS, text).says == [says]


def test_an_exception_in_a_closed_box_is_told_at_the_learners_line():
    line = "return parts.scaled_dot_product_attention(query, value, key)"
    component = defined(SEVEN, "attend", f"from workbench import parts\ndef attend(query, key, value):\n    {line}")
    inputs = dict(query=torch.ones(2, 3, 7), key=torch.ones(2, 5, 7), value=torch.ones(2, 5, 11))
    fault = Here({"attend": component}).call(Request("attend", inputs)).fault
    assert isinstance(fault, Fault) and fault.type == "RuntimeError"
    assert fault.lines == [("attend", 3, line)]


NOTEBOOK = """
import json
from IPython.core.interactiveshell import InteractiveShell
from autograder import check

shell = InteractiveShell.instance(history_length=0)
said, names = [], shell.user_ns
names["note"] = lambda: said.append(check(names["attention_scores"]).note)
right = "def attention_scores(query, key):\\n    return query @ key.mT / query.shape[-1] ** 0.5"
for cell in ["import torch", right, f"1 / 0\\n{right}", f"{right})", f"{right}\\n1 / 0"]:
    shell.run_cell(cell, store_history=True)
    if cell != "import torch":
        shell.run_cell("note()", store_history=True)
print("\\n" + json.dumps(said))
"""


def test_a_cell_that_failed_is_told_where_the_definition_before_it_was_checked():
    done = subprocess.run([sys.executable, "-c", NOTEBOOK], capture_output=True, text=True, check=True)
    first = "The last cell that defines attention_scores, number"
    last = "so this is about the definition before it, of cell 2."
    assert json.loads(done.stdout.splitlines()[-1]) == [
        "",
        f"{first} 4, failed (ZeroDivisionError), {last}",
        f"{first} 6, failed (SyntaxError), {last}",
        "",
    ]
