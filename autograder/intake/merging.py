"""The released notebook with a learner's answers in it, and their own cells where they stood.

Only the sources of answer cells and the learner's own cells come from the learner; every other cell is the released
one. A submission is rebuilt so, and so are a learner's answers moved into the notebooks of a newer course.
"""

import re
from collections.abc import Sequence

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from .matching import Answer, Matched, is_solution
from .notebook import LearnerCell
from .own import Own, own_cells
from .pictures import said_of

# A cell's id starts with this where the cell is the learner's own.
OWN = "learner-"


def merge(
    released: Sequence[NotebookNode], learner: Sequence[LearnerCell]
) -> tuple[list[NotebookNode], dict[str, str]]:
    """Return the released cells with a learner's answers and own cells, and comments on the answers.

    An answer cell that is there more than once counts in its last copy, which is the definition that a run
    from top to bottom ends with; earlier copies stay as the learner's own cells. An answer that stands elsewhere
    is put into its cell. An own cell stands after the released cell that it followed, and so does an edited cell
    that is not an answer; where an answer that was moved up needs it, it is moved up with it.
    """
    return merged(Matched(released, learner))


def merged(matched: Matched) -> tuple[list[NotebookNode], dict[str, str]]:
    """Return what `merge` returns of cells that are already matched."""
    own = own_cells(matched)
    return _assemble(matched, own), _comments(matched)


def _assemble(matched: Matched, own: Own) -> list[NotebookNode]:
    cells: list[NotebookNode] = []
    number = 0
    for place, cell in enumerate([None, *matched.released], -1):
        for index in own.before[place]:
            number += 1
            cells.append(_own(matched.learner[index], f"{OWN}{number}"))
        if cell is not None:
            cells.append(cell)
            if place in matched.answers:
                _put(cell, matched.answers[place], matched.learner)
        for index in own.after[place]:
            number += 1
            cells.append(_own(matched.learner[index], f"{OWN}{number}"))
    return cells


def _own(cell: LearnerCell, name: str) -> NotebookNode:
    made: NotebookNode
    if cell.kind == "code":
        made = new_code_cell(cell.source, id=name)
        return made
    # A raw cell would be put into a page as it is.
    source = f"{cell.source}\n\n*{said_of(cell.left_out)}*" if cell.left_out else cell.source
    made = new_markdown_cell(source, id=name, **({"attachments": cell.attachments} if cell.attachments else {}))
    return made


def _put(cell: NotebookNode, answer: Answer, learner: Sequence[LearnerCell]) -> None:
    """Give a released answer cell the learner's text, and the pictures in it."""
    if cell.cell_type == "code":
        cell.source = answer.source
        return
    texts = [answer.source]
    found: dict[str, dict[str, str]] = {}
    for number, index in enumerate(answer.cells):
        one = learner[index]
        # What is written as a comment would be set as a headline.
        text = re.sub(r"^#+ ?", "", one.source, flags=re.MULTILINE) if one.kind == "code" else one.source
        for name, picture in one.attachments.items():
            new = f"{number}-{name}" if found.get(name, picture) != picture else name
            if new != name:  # JupyterLab calls every pasted picture image.png
                text = text.replace(f"attachment:{name}", f"attachment:{new}")
            found[new] = picture
        texts.append(text)
    own = answer.source == learner[answer.cells[0]].source or not answer.solved
    cell.source = answer.source if own else "\n\n".join(texts)
    if found:
        cell.attachments = found


def _comments(matched: Matched) -> dict[str, str]:
    comments: dict[str, str] = {}
    for place, name in matched.names.items():
        cell = matched.released[place]
        if is_solution(cell) and (said := _said(matched, place, cell)):
            comments[name] = said
    return comments


def _said(matched: Matched, place: int, cell: NotebookNode) -> str:
    """Return what is to be said about the answer of a released cell, "" for nothing."""
    answer = matched.answers.get(place)
    if answer is None:
        return "This answer cell was missing, so it counts as not solved."
    left_out = sum(matched.learner[index].left_out for index in answer.cells) if cell.cell_type != "code" else 0
    return " ".join(filter(None, [_where(matched, place, cell, answer), said_of(left_out) if left_out else ""]))


def _where(matched: Matched, place: int, cell: NotebookNode, answer: Answer) -> str:
    copies = len(matched.copies[place])
    if cell.cell_type == "code" and answer.solved and answer.cells[0] not in matched.copies[place]:
        return f"This answer was not in its own cell. It was found in cell {answer.cells[0] + 1} of the notebook."
    if copies > 1 and answer.cells[0] == matched.copies[place][-1]:
        return f"This answer cell appeared {copies} times. The last one counts; the others were run before it."
    if copies > 1:
        return f"This answer cell appeared {copies} times. The last one that is solved counts."
    return ""
