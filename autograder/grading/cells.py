"""Cells of a notebook that is graded: which are checks, which are a learner's, and what is left below them."""

from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.utils import is_grade, is_solution

CHECK = "check_"  # what the names of check cells begin with; the exercise follows


def is_check(cell: NotebookNode) -> bool:
    """True where nbgrader takes the score from the output of this cell."""
    return cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)


def is_learners(cell: NotebookNode) -> bool:
    """True for code that a learner may have written: an answer, or a cell of their own."""
    return bool(cell.cell_type == "code" and (is_solution(cell) or cell.get("id", "").startswith("learner-")))


def number(score: float) -> NotebookNode:
    """Return the output that nbgrader reads a score from."""
    output: NotebookNode = new_output("execute_result", {"text/plain": str(float(score))}, execution_count=None)
    return output


def said(text: str) -> NotebookNode:
    """Return an output that says something."""
    output: NotebookNode = new_output("stream", name="stdout", text=text)
    return output
