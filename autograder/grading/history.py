"""The history of a class: what was said of each hand-in, kept in the gradebook beside nbgrader's own tables.

nbgrader keeps the last grade of a submission. What a class learns between two hand-ins is seen only if the diagnosis of
each stays, so a row is added for every hand-in whose answers are other ones. Grading the same answers again replaces
their row, which is always the learner's last one.
"""

import datetime
import hashlib
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_solution

from ..checking.result import MIME_TYPE
from ..intake.earlier import handed_in
from ..intake.rebuild import NOTES
from .cells import CHECK, is_check

if TYPE_CHECKING:
    from nbformat import NotebookNode

LONGEST = 20_000  # characters of one answer that are kept
MOST_SHOWN = 4_000  # characters of a smallest input, as code and as values
SAID = ("earned", "passed", "unsolved", "mistakes", "says", "flag", "differs", "example")  # of a check's result

# Of no use to nbgrader's own models, and none of its upgrades touches it.
TABLE = sql.Table(
    "hand_in",
    sql.MetaData(),
    sql.Column("student", sql.String(128), primary_key=True),
    sql.Column("assignment", sql.String(128), primary_key=True),
    sql.Column("notebook", sql.String(128), primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("digest", sql.String(64), nullable=False),
    sql.Column("handed_in", sql.DateTime),
    sql.Column("graded", sql.DateTime, nullable=False),
    sql.Column("found", sql.Text, nullable=False),
    sql.Column("answers", sql.LargeBinary, nullable=False),
)


@dataclass(frozen=True)
class HandIn:
    """One hand-in of one learner, as it was graded.

    student, assignment, notebook  whose it is, and of what
    number     1 for the learner's first one
    digest     of the answers
    handed_in  when, in UTC; None where nothing tells
    graded     when, in UTC
    refused    why it was not graded; "" if it was
    checks     {exercise: what the check said}: points, and of the check's result what `SAID` names, if it was judged
    answers    {answer: what the learner wrote}
    """

    student: str
    assignment: str
    notebook: str
    number: int
    digest: str
    handed_in: datetime.datetime | None
    graded: datetime.datetime
    refused: str = ""
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


class KeepHistory(NbGraderPreprocessor):
    """Step of autograde: adds the diagnosis of a hand-in to the learner's history."""

    def preprocess(self, nb: "NotebookNode", resources: dict[str, Any]) -> tuple["NotebookNode", dict[str, Any]]:
        names = resources["nbgrader"]
        if "unknown" not in nb.metadata[NOTES]:  # it is judged again by the next run
            with Gradebook(names["db_url"]) as gradebook:
                keep(gradebook, of_notebook(nb, names["student"], names["assignment"], names["notebook"]))
        return nb, resources


class TellWay(NbGraderPreprocessor):
    """Step of the feedback: tells a learner's own way through the hand-ins of a lesson."""

    def preprocess(self, nb: "NotebookNode", resources: dict[str, Any]) -> tuple["NotebookNode", dict[str, Any]]:
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as gradebook:
            found = list(read(gradebook, [names["assignment"]], [names["student"]]))
        resources["way"] = way([one for one in found if one.notebook == names["notebook"]])
        return nb, resources


def of_notebook(nb: "NotebookNode", student: str, assignment: str, notebook: str) -> HandIn:
    """Return the `HandIn` that a graded notebook shows, without its number and its time."""
    written, notes = handed_in(nb), nb.metadata.get(NOTES, {})
    code = {cell.metadata.nbgrader.grade_id for cell in nb.cells if cell.cell_type == "code" and is_solution(cell)}
    answers = {name: text[:LONGEST] for name, text in written["answers"].items() if name in code}
    digest = hashlib.sha256(json.dumps([written["all"], written["refused"]]).encode()).hexdigest()
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    checks = {} if notes.get("refused") else {_exercise(cell): _said(cell) for cell in nb.cells if is_check(cell)}
    refused = notes.get("refused", "")
    return HandIn(student, assignment, notebook, 0, digest, None, now, refused, checks, {} if refused else answers)


def _exercise(cell: "NotebookNode") -> str:
    name: str = cell.metadata.nbgrader.grade_id
    return name.removeprefix(CHECK)


def _said(cell: "NotebookNode") -> dict[str, Any]:
    shown = [output.data[MIME_TYPE] for output in cell.outputs if MIME_TYPE in output.get("data", {})]
    said = {name: shown[-1][name] for name in SAID if name in shown[-1]} if shown else {"earned": 0.0, "passed": False}
    if len(json.dumps(said.get("example", ""))) > MOST_SHOWN:
        del said["example"]
    return {"points": float(cell.metadata.nbgrader.points), **said}


def keep(gradebook: Any, one: HandIn) -> None:
    """Add a hand-in to the gradebook in one transaction, or put it in the place of the same answers' earlier row."""
    TABLE.create(gradebook.engine, checkfirst=True)
    mine = sql.and_(
        TABLE.c.student == one.student, TABLE.c.assignment == one.assignment, TABLE.c.notebook == one.notebook
    )
    last = gradebook.db.execute(
        sql.select(TABLE.c.number, TABLE.c.digest).where(mine).order_by(TABLE.c.number.desc()).limit(1)
    ).first()
    try:
        time = gradebook.find_submission(one.assignment, one.student).timestamp
    except MissingEntry:
        time = one.handed_in
    same = bool(last and last.digest == one.digest)
    number = last.number + (not same) if last else 1
    new = row(replace(one, handed_in=time, number=number))
    at_its_place = sql.update(TABLE).where(mine, TABLE.c.number == number)
    gradebook.db.execute(at_its_place.values(**new) if same else sql.insert(TABLE).values(**new))
    gradebook.db.commit()


def row(one: HandIn) -> dict[str, Any]:
    """Return a hand-in as it stands in the table; `read` gives it back."""
    kept = {name: getattr(one, name) for name in TABLE.c.keys() if name not in ("found", "answers")}
    found = json.dumps({"refused": one.refused, "checks": one.checks})
    return kept | {"found": found, "answers": zlib.compress(json.dumps(one.answers).encode())}


def read(gradebook: Any, assignments: Collection[str], students: Collection[str] | None = None) -> Iterator[HandIn]:
    """Yield the hand-ins of some assignments, of each learner in their order; none from before there was a history.

    students  whose; of all if None
    """
    if not sql.inspect(gradebook.engine).has_table(TABLE.name):
        return
    chosen = sql.select(TABLE).where(TABLE.c.assignment.in_(assignments))
    if students is not None:
        chosen = chosen.where(TABLE.c.student.in_(students))
    in_order = chosen.order_by(TABLE.c.student, TABLE.c.assignment, TABLE.c.number)
    for kept in gradebook.db.execute(in_order).mappings():
        plain = {name: kept[name] for name in TABLE.c.keys() if name not in ("found", "answers")}
        yield HandIn(**plain, **json.loads(kept["found"]), answers=json.loads(zlib.decompress(kept["answers"])))


def assignments(gradebook: Any) -> set[str]:
    """Return the names of the assignments of which there is a history."""
    if not sql.inspect(gradebook.engine).has_table(TABLE.name):
        return set()
    return set(gradebook.db.execute(sql.select(TABLE.c.assignment).distinct()).scalars())


def state(said: Mapping[str, Any]) -> str:
    """Return what became of an exercise: "solved", "partly", "wrong" or "untried"."""
    if said.get("passed"):
        return "solved"
    if said.get("unsolved"):
        return "untried"
    return "partly" if said.get("earned") else "wrong"


def way(hand_ins: Collection[HandIn]) -> dict[str, Any] | None:
    """Return a learner's way as a page shows it; None where there was only one hand-in.

    It is {"times": [when, of each hand-in], "rows": [{"exercise", "steps": [{"state", "mistakes"}]}]}.
    """
    if len(hand_ins) < 2:
        return None
    exercises = dict.fromkeys(name for one in hand_ins for name in one.checks)
    rows = [{"exercise": name, "steps": [_step(one, name) for one in hand_ins]} for name in exercises]
    times = [one.handed_in.strftime("%d %b %H:%M") if one.handed_in else "" for one in hand_ins]
    return {"times": times, "rows": rows}


def _step(one: HandIn, exercise: str) -> dict[str, Any]:
    said = one.checks.get(exercise)
    if said is None:
        return {"state": "not graded", "mistakes": []}
    return {"state": state(said), "mistakes": [name.replace("_", " ") for name in said.get("mistakes", ())]}
