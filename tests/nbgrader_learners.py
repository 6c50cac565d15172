"""The learners of the tests' class: what each of them hands in."""

from textwrap import indent

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader_course import MERGE, OTHER_LESSON, OTHER_NOTEBOOK, SCORES, cell_of

IN_PLACE = """def attention_scores(query, key):
    query /= query.shape[-1] ** 0.5
    return query @ key.transpose(-2, -1)
"""
WARNING = """import sys
print('<script>alert(1)</script>')
def attention_scores(query, key):
    print('careful', file=sys.stderr)
    return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
"""
# Neither reaches into the interpreter: one call that nothing interrupts, and one that ends the process (iterators in
# iterators, until C has no stack left).
ENDLESS = "sum(range(10**15))"
DEADLY = """nested = iter([1])
for _ in range(10**6):
    nested = filter(None, nested)
list(nested)
"""
WRONG = "def attention_scores(query, key):\n    return query @ key.transpose(-2, -1)\n"


def before(submission, name, *cells):
    """Put cells of the learner's own before the named one."""
    place = submission.cells.index(cell_of(submission, name))
    submission.cells[place:place] = cells
    return submission


def without(submission, *names):
    submission.cells = [c for c in submission.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in names]
    return submission


def tampered(course):
    """A wrong answer, with everything changed that could turn it into points."""
    submission = without(course.answers(scores=WRONG), "check_merge_heads")
    check = cell_of(submission, "check_attention_scores")
    check.source, check.metadata.tags = "2.0", ["skip-execution"]
    check.metadata.nbgrader |= {"points": 100, "locked": False, "solution": True}
    submission.cells += [check, check]
    submission.metadata.kernelspec = {"name": "no-such-kernel", "display_name": "", "language": "x"}
    return submission


def copied(course):
    """The answer cell twice, as splitting a cell in JupyterLab leaves it: the second half needs the first."""
    submission = course.answers(scores=SCORES.replace("0.5", "ROOT"))
    first = nbformat.from_dict(cell_of(submission, "attention_scores"))
    first.source = f"ROOT = 0.5\n{WRONG}"
    return before(submission, "attention_scores", first)


def own_cells(course):
    submission = course.answers(scores=SCORES.replace("0.5", "ROOT"), merge=MERGE.replace("1, 2", "1, TWO"))
    before(submission, "attention_scores", new_code_cell("ROOT = 0.5"))
    submission.cells[1].source += "\nTWO = 2\n"
    before(submission, "check_attention_scores", new_markdown_cell("my own note"))
    return submission


def without_metadata(course):
    submission = course.answers()
    for cell in submission.cells:
        cell.metadata = {}
    return submission


def from_other_lesson(course):
    return course.released(OTHER_LESSON, OTHER_NOTEBOOK)


def executed(course):
    """Return each learner's notebook that is run."""

    def with_code(code, **answers):
        return before(course.answers(**answers), "merge_heads", new_code_cell(code))

    return {
        "right": course.answers(),
        "half": course.answers(scores=IN_PLACE),
        "unsolved": course.released(),
        "warns": course.answers(scores=WARNING),
        "tampered": tampered(course),
        "copied": copied(course),
        "deleted": without(course.answers(), "attention_scores", "check_attention_scores", "why"),
        "own_cells": own_cells(course),
        "without_metadata": without_metadata(course),
        "raises": course.answers(merge="def merge_heads(x):\n    raise KeyError('no such head')\n"),
        "endless": course.answers(merge="def merge_heads(x):\n    while True: pass\n"),
        "stubborn": with_code(ENDLESS),
        "dies": course.answers(merge=f"def merge_heads(x):\n{indent(DEADLY, '    ')}"),
        "dies_in_a_cell": course.answers(scores=DEADLY),
        "floods": with_code("print('flood ' * 100000)"),
        "odd_output": with_code("display({'text/plain': 5}, raw=True)"),
        "shows_a_demonstration": with_code("print(HELPFUL * 2)"),
    }


UNREADABLE = {
    "broken": (b'{"cells": [} ' * 7, "JSON is broken"),
    "cut_off": (b'{"cells": [', "upload was cut off"),
    "empty": (b"", "file is empty"),
    "utf16": ("{}".encode("utf-16"), "JSON, but not a notebook"),
    "binary": (bytes(range(256)), "not text"),
    "deep": (b"[" * 200_000, "nested too deeply"),
    "large": (b" " * 300_001, "larger than 0.3 MB"),
    "a_list": ([1, 2], "JSON, but not a notebook"),
    "format_1": ({"nbformat": 1, "worksheets": []}, "format 1, not 4"),
    "format_3": ({"nbformat": 3, "worksheets": []}, "no list of cells"),
    "unknown_format": ({"nbformat": {"a": 1}, "cells": []}, "not 4"),
    "no_list": ({"nbformat": 4, "cells": {"a": 1}}, "no list of cells"),
    "no_cells": ({"nbformat": 4, "cells": []}, "no cells"),
    "wrong_types": (
        {
            "nbformat": 4,
            "metadata": 3,
            "cells": [
                1,
                {"cell_type": ["code"]},
                {"cell_type": "code", "source": 5},
                {"cell_type": "heading", "source": "x"},
            ],
        },
        "no cells",
    ),
    "strange_cell": (
        {
            "nbformat": 4,
            "cells": [
                {
                    "cell_type": "code",
                    "source": ["x"],
                    "metadata": {"nbgrader": {"grade_id": [1]}},
                    "id": 7,
                    "outputs": 3,
                },
            ],
        },
        "none of the answer cells",
    ),
}
