"""The steps that nbgrader takes after a submission was run: read the scores, record the reasons.

nbgrader alone gives full points to a check that did not run, and none to one that warns. Here a check cell
earns what the judge left as its last number, and nothing without one.
"""

from html import escape
from typing import TYPE_CHECKING, Any

from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_solution

from ..intake.rebuild import NOTES
from .cells import is_check, number, said

if TYPE_CHECKING:
    from nbformat import NotebookNode


class Score(NbGraderPreprocessor):
    """Leaves one number in each check cell, for nbgrader's own steps to read, and says why a number is 0."""

    def preprocess(self, nb: "NotebookNode", resources: dict[str, Any]) -> tuple["NotebookNode", dict[str, Any]]:
        notes = nb.metadata[NOTES]
        self.why_not_run: str | None = notes.get("refused") or notes.get("stopped")
        done: tuple[NotebookNode, dict[str, Any]] = super().preprocess(nb, resources)
        return done

    def preprocess_cell(self, cell: "NotebookNode", resources: Any, index: int) -> tuple["NotebookNode", Any]:
        if is_check(cell):
            most = float(cell.metadata.nbgrader.points)
            score, reason = read_score(cell, most, self.why_not_run)
            if reason:
                cell.outputs = [said(f"0 of {most:g} points: {reason}\n"), number(score)]
        return cell, resources


def read_score(cell: "NotebookNode", most: float, why_not_run: str | None = None) -> tuple[float, str | None]:
    """Return the points that a judged check cell earned, and the reason if there is no judgement.

    most         the points of the check; a larger number is not believed
    why_not_run  what kept cells of this notebook from running, if anything did
    """
    points = [float(output.data["text/plain"]) for output in cell.outputs if output.output_type == "execute_result"]
    if len(points) == 1 and 0 <= points[0] <= most:
        return points[0], None
    return 0.0, f"this check did not run: {why_not_run}" if why_not_run else "this check did not run."


class SaveFlags(NbGraderPreprocessor):
    """Puts answers before a person: nbgrader's own mark, and the reason as a comment.

    The points that they have stand meanwhile. A person who gives points, be it the same, has looked.
    """

    def preprocess(self, nb: "NotebookNode", resources: dict[str, Any]) -> tuple["NotebookNode", dict[str, Any]]:
        flags, names, answer = nb.metadata[NOTES].get("flags", {}), resources["nbgrader"], None
        where = names["notebook"], names["assignment"], names["student"]
        with Gradebook(names["db_url"]) as gradebook:
            for cell in nb.cells:
                answer = cell.metadata.nbgrader.grade_id if is_solution(cell) else answer
                if not is_check(cell) or cell.metadata.nbgrader.grade_id not in flags:
                    continue
                grade = gradebook.find_grade(cell.metadata.nbgrader.grade_id, *where)
                grade.needs_manual_grade = grade.manual_score is None
                if answer:
                    comment = gradebook.find_comment(answer, *where)
                    reason = escape(flags[cell.metadata.nbgrader.grade_id], quote=False)
                    comment.auto_comment = f"{comment.auto_comment or ''}\n\n{reason}".strip()
            gradebook.db.commit()
        return nb, resources


class SaveReasons(NbGraderPreprocessor):
    """Writes into the gradebook, as comments on the answers, what happened to a submission as a whole."""

    def preprocess(self, nb: "NotebookNode", resources: dict[str, Any]) -> tuple["NotebookNode", dict[str, Any]]:
        notes, names = nb.metadata[NOTES], resources["nbgrader"]
        answers = [cell.metadata.nbgrader.grade_id for cell in nb.cells if is_solution(cell)]
        comments = dict.fromkeys(answers, notes["refused"]) if "refused" in notes else notes["comments"]
        with Gradebook(names["db_url"]) as gradebook:
            for answer, text in comments.items():
                comment = gradebook.find_comment(answer, names["notebook"], names["assignment"], names["student"])
                # Comments are Markdown, and a reason may quote a file's name.
                comment.auto_comment = escape(text, quote=False)
            gradebook.db.commit()
        return nb, resources
