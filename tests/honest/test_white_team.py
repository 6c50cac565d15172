"""Nobody honest loses a point: ordinary notebooks of right answers, locally and officially.

The red team tries to gain what is not due; this team only does what learners do, and loses nothing. The lines of
`lines.txt` stand in notebooks above right answers, a few in each, and each habit in an answer's own cell. What a check
says in the notebook is what official grading says, and a person is asked to look only where an answer's own code
reaches into the interpreter.
"""

from pathlib import Path

import pytest
from attacked import RELEASED, notebook
from graded import locally, officially
from lessons import read
from nbformat.v4 import new_code_cell
from sandboxes import need_bubblewrap

from autograder.intake.rebuild import OWN

LESSON = read("scaled_dot_product_attention")
CHECKED = ("attention_scores", "attention_weights")  # what an answer calls is observed in one, and not in the other
RIGHT = {name: about.source for name, about in LESSON.exercises.items()}
FULL = {name: LESSON.exercises[name].points for name in CHECKED}
LINES = [
    line.replace("\\\\n", "\n").replace("\\n", "\n")
    for line in (Path(__file__).parent / "lines.txt").read_text(encoding="utf-8").splitlines()
    if line.strip()
]

SCORES, WEIGHTS = RIGHT["attention_scores"], RIGHT["attention_weights"]
# Right answers as people write them. What is in an answer's own cell counts, so this is harder than a line elsewhere.
HABITS = {
    "asserts": f"{SCORES}\n\nassert attention_scores(torch.ones(1, 2, 3), torch.ones(1, 4, 3)).shape == (1, 2, 4)",
    "prints": f"{SCORES}\n\nprint(attention_scores(torch.ones(1, 2, 3), torch.ones(1, 4, 3)))",
    "prints inside": "def attention_scores(query, key):\n    print('query', query.shape)\n"
    "    return query @ key.mT / query.shape[-1] ** 0.5",
    "timed": f"%%time\n{SCORES}",
    "a magic below": f"{SCORES}\n\n%timeit -n 1 -r 1 attention_scores(torch.ones(1, 2, 3), torch.ones(1, 4, 3))",
    "a helper": "def root(x):\n    return x.shape[-1] ** 0.5\n\n"
    "def attention_scores(query, key):\n    return query @ key.mT / root(key)",
    "annotated": "from torch import Tensor\n\n"
    "def attention_scores(query: Tensor, key: Tensor) -> Tensor:\n    return query @ key.mT / query.size(-1) ** 0.5",
    "einops": "from einops import einsum\n\ndef attention_scores(query, key):\n"
    "    return einsum(query, key, '... q d, ... k d -> ... q k') / query.shape[-1] ** 0.5",
    "einops, as a module": "import einops\n\ndef attention_scores(query, key):\n"
    "    return query @ einops.rearrange(key, '... k d -> ... d k') / query.shape[-1] ** 0.5",
    "numpy for a root": "import numpy as np\n\ndef attention_scores(query, key):\n"
    "    return query @ key.mT / float(np.sqrt(query.shape[-1]))",
    "compiled": f"@torch.compile\n{SCORES}",
    "cached": "from functools import lru_cache\n\n@lru_cache\ndef root(size):\n    return size ** 0.5\n\n"
    "def attention_scores(query, key):\n    return query @ key.mT / root(query.shape[-1])",
    "a lambda": "attention_scores = lambda query, key: query @ key.mT / query.shape[-1] ** 0.5",
    "another name": f"{SCORES.replace('attention_scores', 'mine')}\n\nattention_scores = mine",
    "a plot": f"{SCORES}\n\nimport matplotlib.pyplot as plt\n"
    "plt.imshow(attention_scores(torch.eye(3), torch.eye(3)))\nplt.show()",
    "an older try": f"def attention_scores(query, key):\n    return query @ key.mT\n\n{SCORES}",
    "tried out": "q = torch.randn(1, 2, 3)\nk = torch.randn(1, 4, 3)\n" + SCORES + "\nattention_scores(q, k)",
    "a configuration": "class cfg:\n    pass\n\ncfg.root = 0.5\n\ndef attention_scores(query, key):\n"
    "    return query @ key.mT / query.shape[-1] ** cfg.root",
    "a table": "ROOT = {}\n\ndef attention_scores(query, key):\n"
    "    return query @ key.mT / query.shape[-1] ** ROOT['of']\n\nROOT['of'] = 0.5",
    "main": f"{SCORES}\n\nif __name__ == '__main__':\n    attention_scores(torch.ones(1, 2), torch.ones(1, 2))",
}
# Modes that a notebook sets for itself.
MODES = {
    "no gradients": "torch.set_grad_enabled(False)",
    "anomalies": "torch.autograd.set_detect_anomaly(True)",
    "double precision": "torch.set_default_dtype(torch.float64)",
    "deterministic": "torch.use_deterministic_algorithms(True)",
    "warnings are errors": "import warnings\nwarnings.simplefilter('error')",
    "many threads": "torch.set_num_threads(2)",
}
# Here a right answer's own code reaches into the interpreter, which a person should see.
MINE = WEIGHTS.replace("attention_weights", "mine") + "\n\ndef attention_weights(scores, mask=None):\n"
REACHING = {
    "collects garbage": f"import gc\n\n{MINE}    gc.collect()\n    return mine(scores, mask)",
    "evaluates": f"{MINE}    return eval('mine(scores, mask)')",
}
# And here it does, but what only its process can tell is not asked of this exercise, or is another cell's.
ELSEWHERE = {"collects garbage below": f"{SCORES}\n\nimport gc\ngc.collect()"}


TOGETHER = 7  # lines of one notebook, each in a cell of its own: a process of its own for each takes minutes


def made(answers, *lines):
    """Return the lesson's notebook, cut down to the exercises of `CHECKED`, with cells of the learner's own."""
    found = notebook(RIGHT | answers)
    found.cells = [
        cell
        for cell in found.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id", CHECKED[0]).removeprefix("check_") in CHECKED
    ]
    found.cells[1:1] = [new_code_cell(line, id=f"{OWN}{number}") for number, line in enumerate(lines, 1)]
    return found


NOTEBOOKS = {
    **{
        f"lines from {first + 1}": made({}, *LINES[first : first + TOGETHER])
        for first in range(0, len(LINES), TOGETHER)
    },
    **{f"habit: {name}": made({"attention_scores": source}) for name, source in (HABITS | ELSEWHERE).items()},
    **{f"mode: {name}": made({}, source) for name, source in MODES.items()},
    **{f"reaching: {name}": made({"attention_weights": source}) for name, source in REACHING.items()},
}


@pytest.fixture(scope="module")
def official():
    need_bubblewrap()
    return officially(NOTEBOOKS, dict.fromkeys(NOTEBOOKS, RELEASED.parent))


@pytest.fixture(scope="module")
def local():
    return locally(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_point_is_lost_and_only_an_answer_that_reaches_is_looked_at(official, name):
    flagged = {"attention_weights"} if name.startswith("reaching") else set()
    assert official[name] == {exercise: [points, exercise in flagged] for exercise, points in FULL.items()}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_check_in_the_notebook_says_what_official_grading_says(official, local, name):
    assert local[name] == official[name]
