"""The learners of the tests' class: what each of them hands in."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader_course import OTHER_LESSON, OTHER_NOTEBOOK, cell_of

HALF_RIGHT = "def double(x):\n    return 2 * abs(x)\n"
WARNING = """import sys
print('<script>alert(1)</script>')
def double(x):
    print('careful', file=sys.stderr)
    return 2 * x
"""
WRONG = "def double(x):\n    return x\n"


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
    submission = without(course.answers(double=WRONG), "check-triple")
    check = cell_of(submission, "check-double")
    check.source, check.metadata.tags = "2.0", ["skip-execution"]
    check.metadata.nbgrader |= {"points": 100, "locked": False, "solution": True}
    submission.cells += [check, check]
    submission.metadata.kernelspec = {"name": "no-such-kernel", "display_name": "", "language": "x"}
    return submission


def copied(course):
    """The answer cell twice, as splitting a cell in JupyterLab leaves it: the second half needs the first."""
    submission = course.answers(double="def double(x):\n    return FACTOR * x\n")
    first = nbformat.from_dict(cell_of(submission, "double"))
    first.source = "FACTOR = 2\ndef double(x):\n    return 0\n"
    return before(submission, "double", first)


def own_cells(course):
    submission = course.answers(double="def double(x):\n    return TWO * x\n")
    before(submission, "double", new_code_cell("TWO = 2"))
    submission.cells[1].source += "\nTHREE = 3\n"
    cell_of(submission, "triple").source = "def triple(x):\n    return THREE * x\n"
    before(submission, "check-double", new_markdown_cell("my own note"))
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
        return before(course.answers(**answers), "triple", new_code_cell(code))

    return {
        "right": course.answers(),
        "half": course.answers(double=HALF_RIGHT),
        "unsolved": course.released(),
        "warns": course.answers(double=WARNING),
        "tampered": tampered(course),
        "copied": copied(course),
        "deleted": without(course.answers(), "double", "check-double", "why"),
        "own_cells": own_cells(course),
        "without_metadata": without_metadata(course),
        "raises": course.answers(triple="def triple(x):\n    raise KeyError(x)\n"),
        "endless": course.answers(triple="def triple(x):\n    while True: pass\n"),
        "stubborn": with_code("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"),
        "dies": course.answers(triple="import os\ndef triple(x):\n    os._exit(1)\n"),
        "floods": course.answers(double="def double(x):\n    print('flood ' * 100000)\n    return 2 * x\n"),
        "odd_output": with_code("display({'text/plain': 5}, raw=True)"),
    }


UNREADABLE = {
    "broken": (b'{"cells": [', "JSON is broken"),
    "empty": (b"", "file is empty"),
    "utf16": ("{}".encode("utf-16"), "not UTF-8"),
    "binary": (bytes(range(256)), "not UTF-8"),
    "deep": (b"[" * 200_000, "nested too deeply"),
    "large": (b" " * 300_001, "larger than 0.3 MB"),
    "a_list": ([1, 2], "JSON, but not a notebook"),
    "format_3": ({"nbformat": 3, "worksheets": []}, "format 3, not 4"),
    "unknown_format": ({"nbformat": {"a": 1}, "cells": []}, "not 4"),
    "no_list": ({"nbformat": 4, "cells": {"a": 1}}, "no list of cells"),
    "no_cells": ({"nbformat": 4, "cells": []}, "no cells"),
    "wrong_types": ({"nbformat": 4, "metadata": 3, "cells": [
        1, {"cell_type": ["code"]}, {"cell_type": "code", "source": 5}, {"cell_type": "raw", "source": "x"},
    ]}, "no cells"),
    "strange_cell": ({"nbformat": 4, "cells": [
        {"cell_type": "code", "source": ["x"], "metadata": {"nbgrader": {"grade_id": [1]}}, "id": 7, "outputs": 3},
    ]}, "none of the answer cells"),
}
