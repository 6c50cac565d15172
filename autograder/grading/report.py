"""What a graded class shows: who earned what, with which diagnosis, and what the class misunderstands."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checking.result import MIME_TYPE
from ..display import told

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Graded:
    """One graded check of one learner.

    exercise   its name
    earned     points earned, of `points`
    diagnosis  "right", "unsolved", names of mistakes, the first symptom, or the reason why it did not run
    mistakes   names of the mistakes, if it has any
    flag       why a person should look at the answer; "" if nobody need
    """

    exercise: str
    earned: float
    points: float
    diagnosis: str
    mistakes: tuple[str, ...] = ()
    flag: str = ""


def read(notebook: Path | str) -> list[Graded]:
    """Return the `Graded` checks of a notebook that nbgrader has autograded.

    notebook  path of the notebook in `autograded/`
    """
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    checks = [cell for cell in cells if _is_check(cell.get("metadata", {}).get("nbgrader") or {})]
    return [_graded(cell) for cell in checks]


def _is_check(about: Mapping[str, Any]) -> bool:
    return bool(about.get("grade") and about.get("locked") and not about.get("solution"))


def _graded(cell: Mapping[str, Any]) -> Graded:
    about, outputs = cell["metadata"]["nbgrader"], cell.get("outputs", [])
    numbers = [output["data"]["text/plain"] for output in outputs if output["output_type"] == "execute_result"]
    earned = [float("".join(number)) for number in numbers]
    shown = [output["data"][MIME_TYPE] for output in outputs if MIME_TYPE in output.get("data", {})]
    said = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
    mistakes = tuple(shown[-1]["mistakes"]) if shown else ()
    exercise = about["grade_id"].removeprefix("check_")
    points, flag = earned[-1] if earned else 0.0, shown[-1].get("flag", "") if shown else ""
    return Graded(exercise, points, about["points"], _diagnosis(shown, said), mistakes, flag)


def _diagnosis(shown: list[dict[str, Any]], said: str) -> str:
    if not shown:
        return said.strip().partition(": ")[2] or "not run"
    result = shown[-1]
    if result["passed"]:
        return "right"
    if result["unsolved"]:
        return "unsolved"
    return " + ".join(result["mistakes"]) or (result["says"] or ["not right"])[0]


def misconceptions(graded: Mapping[str, list[Graded]]) -> list[tuple[str, str, int]]:
    """Return [(exercise, mistake, learners)], the most frequent first.

    graded  {learner: [Graded]}
    """
    counts = Counter(
        (check.exercise, mistake) for checks in graded.values() for check in checks for mistake in check.mistakes
    )
    return [(exercise, mistake, count) for (exercise, mistake), count in counts.most_common()]


def show(graded: Mapping[str, list[Graded]], console: "Console", most: int = 10, by_hand: float = 0.0) -> None:
    """Print the class as a table, and its most frequent mistakes.

    graded   {learner: [Graded]}
    console  a `rich.console.Console`
    by_hand  points of the lesson that only a person gives
    """
    from rich.table import Table

    table = Table("learner", "score", "diagnosis", title="The class", show_lines=False)
    for learner, checks in graded.items():
        earned, points = sum(check.earned for check in checks), sum(check.points for check in checks)
        score = f"{earned:g} of {points:g}" + (f", {by_hand:g} by hand" if by_hand else "")
        table.add_row(told(learner), score, told(_summary(checks)))
    console.print(table)
    frequent = Table("learners", "exercise", "mistake", title="What the class misunderstands")
    for exercise, mistake, count in misconceptions(graded)[:most]:
        frequent.add_row(str(count), told(exercise), told(mistake))
    console.print(frequent)
    flagged = Table("learner", "exercise", "why", title="To be looked at by a person")
    for learner, checks in graded.items():
        for check in checks:
            if check.flag:
                flagged.add_row(told(learner), told(check.exercise), told(check.flag))
    if flagged.row_count:
        console.print(flagged)


def _summary(checks: list[Graded]) -> str:
    said = {check.diagnosis for check in checks}
    if len(said) == 1:
        return said.pop()
    told = [
        f"{check.exercise}: {_short(check.diagnosis)}"
        for check in checks
        if check.diagnosis not in ("right", "unsolved")
    ]
    unsolved = sum(check.diagnosis == "unsolved" for check in checks)
    return "; ".join(told + ([f"{unsolved} unsolved"] if unsolved else []))


def _short(text: str, most: int = 90) -> str:
    return text if len(text) <= most else text[:most] + " ..."
