"""A person's points and comments are kept until the answer that they are about changes.

nbgrader keeps a person's points and comment through every new submission, and shows the old comment in place
of a new reason. Here they are compared with the answer that they were given to.
"""

from typing import TYPE_CHECKING, Any

from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution, is_task

from ..intake.earlier import handed_in
from ..intake.rebuild import NOTES

if TYPE_CHECKING:
    from nbformat import NotebookNode


class KeepGrades(NbGraderPreprocessor):
    """Step after the scores are saved: keeps, resets or questions what a person gave.

    A person's points for a written answer are about that answer, and those for a check are about all code. Where
    that is as it was, they stay. Where it changed, they are reset and said in a comment. Where the graded notebook
    of before is gone, they stay and wait for a person to confirm them.
    """

    def preprocess(self, nb: "NotebookNode", resources: dict[str, Any]) -> tuple["NotebookNode", dict[str, Any]]:
        before: dict[str, Any] | None
        names, before, now = resources["nbgrader"], resources.get("earlier"), handed_in(nb)
        where = names["notebook"], names["assignment"], names["student"]
        remarks: dict[str, str] = {}
        answer = None
        with Gradebook(names["db_url"]) as gradebook:
            for cell in nb.cells:
                answer = cell.metadata.nbgrader.grade_id if is_solution(cell) or is_task(cell) else answer
                if is_grade(cell) or is_task(cell):
                    grade = gradebook.find_grade(cell.metadata.nbgrader.grade_id, *where)
                    remark = _apply(grade, _decision(cell, before, now), now["refused"])
                    if remark and answer:
                        remarks[answer] = f"{remarks[answer]}\n\n{remark}" if answer in remarks else remark
            for cell in nb.cells:
                if is_solution(cell) or is_task(cell):
                    name = cell.metadata.nbgrader.grade_id
                    remark = remarks.get(name) or _said_before(name, before, now)
                    said = _comment(gradebook.find_comment(name, *where), _same_answer(name, before, now), remark)
                    remarks |= {name: said} if said else {}
            gradebook.db.commit()
        nb.metadata[NOTES]["remarks"] = remarks
        return nb, resources


def _decision(cell: "NotebookNode", before: dict[str, Any] | None, now: dict[str, Any]) -> str:
    """Return "same", "changed" or "unknown" for what a person's points of this cell are about."""
    if before is None:
        return "unknown"
    if before["refused"] != now["refused"]:
        return "changed"
    name = cell.metadata.nbgrader.grade_id
    if is_task(cell):
        return "same" if before["all"] == now["all"] else "changed"
    if is_solution(cell):
        return "same" if _same_answer(name, before, now) else "changed"
    return "same" if before["code"] == now["code"] else "changed"


def _same_answer(name: str, before: dict[str, Any] | None, now: dict[str, Any]) -> bool | None:
    """True where this answer is as it was; None where that cannot be known of one that is graded."""
    if before is None:
        return False if now["refused"] else None
    return bool(before["refused"] == now["refused"] and before["answers"].get(name) == now["answers"].get(name))


def _apply(grade: Any, decision: str, refused: str | None) -> str | None:
    """Keep, question or reset a person's points, and return what is to be said about it."""
    if grade.manual_score is None and not grade.extra_credit:
        return None
    if decision == "same":
        grade.needs_manual_grade = False
        return None
    if decision == "unknown" and not refused:
        grade.needs_manual_grade = True
        return (
            f"{_points(grade)} were given to an earlier submission. They stay valid until a person looks at this one."
        )
    remark = f"{_points(grade)} were given to an earlier submission and no longer count."
    grade.manual_score, grade.extra_credit = None, None
    grade.needs_manual_grade = not refused
    return remark if refused else f"{remark} A person will grade the new one."


def _points(grade: Any) -> str:
    given = [] if grade.manual_score is None else [f"{grade.manual_score:g} of {grade.max_score:g}"]
    extra = [f"{grade.extra_credit:g} extra"] if grade.extra_credit else []
    return f"{' and '.join(given + extra)} points for {grade.name}"


def _said_before(name: str, before: dict[str, Any] | None, now: dict[str, Any]) -> str | None:
    return before["remarks"].get(name) if before and _same_answer(name, before, now) else None


def _comment(comment: Any, same: bool | None, remark: str | None) -> str | None:
    """Give a comment its remark; a person's words about an earlier answer go on behind it. Returns the remark."""
    mine = comment.manual_comment
    if mine and (same is False or (remark and same is not None)):
        remark = f"{remark or ''}\n\nComment on an earlier submission: {mine}".strip()
        comment.manual_comment = None
    if remark:
        comment.auto_comment = f"{comment.auto_comment or ''}\n\n{remark}".strip()
    return remark


class MarkWaiting(NbGraderPreprocessor):
    """Step of the feedback: marks what a person has yet to grade, which nbgrader would show as 0."""

    def preprocess(self, nb: "NotebookNode", resources: dict[str, Any]) -> tuple["NotebookNode", dict[str, Any]]:
        names = resources["nbgrader"]
        where = names["notebook"], names["assignment"], names["student"]
        with Gradebook(names["db_url"]) as gradebook:
            for cell in nb.cells:
                if is_grade(cell) or is_task(cell):
                    grade = gradebook.find_grade(cell.metadata.nbgrader.grade_id, *where)
                    cell.metadata.nbgrader.waiting = grade.auto_score is None and grade.manual_score is None
        return nb, resources
