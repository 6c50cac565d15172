"""nbgrader's ClearSolutions, which also leaves a cell empty where learners are to write all of it."""

from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import ClearSolutions

from autograder.authoring.draft import BEGIN

CODE_HERE = "# YOUR CODE HERE"


class ClearAnswers(ClearSolutions):
    """Replaces a solution at the left margin, which is all of a cell's code, by one line of comment.

    The stub of other exercises raises an error inside a function. At the left margin it would do so while the notebook
    runs, and end it there. `c.ClearSolutions` in nbgrader_config.py holds for this class as well.
    """

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        is_empty = cell.cell_type == "code" and BEGIN in cell.source.split("\n")
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if is_empty:
            cell.source = cell.source.replace(self.code_stub[resources["language"]], CODE_HERE)
        return cell, resources
