"""The checks of a submission that runs: each is judged in this process, by what the learner's process answers."""

import functools
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

from nbclient.exceptions import DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.utils import is_solution

from .. import probes
from ..calling.remote import DIED, Channel, EndedError, Remote
from ..calling.watched import FLAG, withheld
from ..checking.result import Result
from ..checking.where import Where
from ..diagnosing import records
from ..diagnosing.example import smallest_of
from ..intake.rebuild import NOTES
from ..locating import inside
from ..notebooks import answers, reach
from ..notebooks.needed import doubt, doubt_elsewhere, needed
from . import judge
from .cells import CHECK, is_learners, number

UNKNOWN = "This answer has no points yet, because it could not be judged; a person looks at it."
# So long the same fresh numbers are asked for, so that the reference answers them once for many submissions.
# No submission knows what another one was asked: a process ends with it, and feedback is written later.
SEED_SECONDS = 600


class Checks:
    """The checks of one submission.

    run  the `RunAnswers` that runs it
    nb   its notebook
    """

    def __init__(self, run: Any, nb: NotebookNode) -> None:
        self.run, self.nb = run, nb
        self.sources = [cell.source for cell in nb.cells if cell.cell_type == "code"]
        self.learners = [cell.source for cell in nb.cells if is_learners(cell)]
        self.doubted = bool(reach.into_the_interpreter(self.learners))
        self.channels: list[Channel] = []
        self.wrong: list[tuple[NotebookNode, records.Record, Result]] = []

    def judge(self, cell: NotebookNode) -> None:
        """Judge the exercise of a check cell, and put the result into the cell."""
        record = _record(cell)
        if record is None or "stopped" in self.nb.metadata[NOTES]:
            return
        # What the process tells is doubted as soon as any cell reaches into it; then the answer is looked at alone.
        reason = "a cell reaches into its process" if self.doubted else ""
        self.channels.clear()
        found = self._judged(record, self._connect, reason)
        if any(channel.ended == DIED for channel in self.channels) and self.run.is_believed():
            found = self._judged(record, self._connect, reason)
        if found.flag:
            found = self._alone(record, found)
        if not found.conclusive:
            found = replace(found, flag=UNKNOWN)
            self.nb.metadata[NOTES]["unknown"] = True
        if found.flag:
            self.nb.metadata[NOTES].setdefault("flags", {})[cell.metadata.nbgrader.grade_id] = found.flag
        found = self._as_written(record, found)
        if not (found.passed or found.unsolved or found.flag):
            self.wrong.append((cell, record, found))
        show(found, cell)
        self.run.counted += 1
        cell.execution_count = self.run.counted

    def look_for_examples(self) -> None:
        """Add the smallest input that it gets wrong to each wrong answer without a name.

        When all is judged, as the lines are looked for: no points may depend on what further calls leave.
        """
        for place, (cell, record, found) in enumerate(self.wrong):
            if found.differs is None:
                continue
            if "stopped" in self.nb.metadata[NOTES] or monotonic() > self.run.deadline + self.run.grace:
                return
            if example := smallest_of(record, found.differs, Remote(self._connect, self.run.deadline)):
                self.wrong[place] = (cell, record, replace(found, example=example))
                show(self.wrong[place][2], cell)

    def look_for_lines(self) -> None:
        """Add the line of its mistake to each wrong answer, where that is asked for and certain.

        When all is judged: a search runs the learner's code many times, and no points may depend on what that leaves.
        """
        for cell, record, found in self.wrong if self.run.line_seconds else ():
            if "stopped" in self.nb.metadata[NOTES] or monotonic() > self.run.deadline + self.run.grace:
                return
            try:
                located = inside.ask(self._connect(), record.exercise, self.run.line_seconds)
            except EndedError as reason:
                self.run.log.warning("The search for the line in %s ended: %s", record.exercise, reason)
                return
            if located:
                show(replace(found, line=Where(record.exercise, located)), cell)

    def _judged(self, record: records.Record, connect: Callable[[], Channel], doubt: str) -> Result:
        return judge.judge(
            record,
            Remote(connect, self.run.deadline),
            reference_in(self.run.solutions),
            _seed(int(monotonic() // SEED_SECONDS)),
            self.run.check_seconds,
            doubt,
        )

    def _alone(self, record: records.Record, found: Result) -> Result:
        """Return the result of an answer that was judged in a process that has nothing but what the answer needs.

        No other cell can have forged that. Where the answer itself reaches into the interpreter, or is not the same
        alone, it is the result that was found before, with a flag that says so.
        """
        if reason := doubt(self.sources, record.exercise):
            return replace(found, flag=FLAG.format(doubt=reason))
        try:
            with self._fresh_kernel(needed(self.sources, [record.exercise]).code) as connect:
                alone: Result | None = self._judged(record, connect, "")
        except Exception as error:  # whatever it was: a person looks
            self.run.log.warning("%s could not be judged alone: %r", record.exercise, error)
            alone = None
        if alone is None or not alone.conclusive:
            why = "the answer could not be judged without that cell"
        elif alone.earned == found.earned:
            return alone
        else:
            why = "judged without that cell the answer earns other points"
        return replace(found, flag=FLAG.format(doubt=doubt_elsewhere(self.learners, why)))

    @contextmanager
    def _fresh_kernel(self, code: str) -> Iterator[Callable[[], Channel]]:
        """Yield a function that returns the `Channel` to a new kernel that has run this code."""
        manager = self.run.kernel_manager_class(config=self.run.config)
        folder = self.run.resources.get("metadata", {}).get("path")
        try:
            run_sync(manager.start_kernel)(
                extra_arguments=self.run.extra_arguments, **({"cwd": folder} if folder else {})
            )
            client = manager.client()
            client.start_channels()
            try:
                run_sync(client.wait_for_ready)(timeout=self.run.startup_timeout)
                self.run.run_unseen(client, code)
                channel = Channel(client, run_sync(manager.is_alive), manager.computed)
                yield lambda: channel
            finally:
                client.stop_channels()
        finally:
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)
            else:
                run_sync(manager.cleanup_resources)()

    def _connect(self) -> Channel:
        """Return the channel to a living kernel. Raises `EndedError` where there will be none."""
        if self.run.channel is not None and self.run.channel.ended:
            self.run.restart()
        elif self.run.channel is None and not run_sync(self.run.km.is_alive)():
            self.run.restart(DeadKernelError("Kernel died"))
        if "stopped" in self.nb.metadata[NOTES]:
            raise EndedError(f"This check did not run: {self.nb.metadata[NOTES]['stopped']}.")
        if self.run.channel is None:
            self.run.channel = Channel(self.run.kc, run_sync(self.run.km.is_alive), self.run.km.computed)
        channel: Channel = self.run.channel
        if channel not in self.channels:
            self.channels.append(channel)
        return channel

    def _as_written(self, record: records.Record, found: Result) -> Result:
        """Return the result without its points where the answer's cell names a library call that is forbidden."""
        mine = written_calls(self.nb.cells, record.exercise, probes.forbidden(record.lesson, record.exercise))
        if not (found.earned and mine):
            return found
        return withheld(
            found,
            f"This exercise forbids a library call that its cell makes in line {mine[0].line}: "
            f"`{mine[0].what}`. Write it yourself.",
        )


def written_calls(cells: Sequence[NotebookNode], exercise: str, forbidden: Collection[str]) -> list[reach.Reach]:
    """Return a `reach.Reach` for each forbidden call that stands in the exercise's own answer cell.

    That is the cell which was released for it, and any other answer cell that defines it; in the cell of another
    exercise the same call may be what is asked for.
    """
    cells = [cell for cell in cells if is_solution(cell) and cell.cell_type == "code"]
    calls = reach.named([cell.source for cell in cells], {*forbidden})
    own = {
        index
        for index in {index for index, _ in calls}
        if cells[index].metadata.nbgrader.grade_id == exercise or answers.binds(cells[index].source, exercise)
    }
    return [what for index, what in calls if index in own]


def show(result: Result, cell: NotebookNode) -> None:
    """Put a result into its check cell: the table for people, and the number that nbgrader reads."""
    points = float(cell.metadata.nbgrader.points)
    share = result.earned / result.points if result.points else 0.0
    result = replace(result, points=points, earned=round(points * share, 2))
    cell.outputs = [new_output("display_data", result._repr_mimebundle_()), number(result.earned)]


@functools.lru_cache(maxsize=1)
def _seed(period: int) -> str:
    """Return the secret seed of the numbers that this process judges with in a period."""
    return secrets.token_hex(16)


@functools.cache
def reference_in(folder: str) -> judge.Reference:
    """Return the `Reference` of a folder of lesson texts; lessons that were loaded once stay loaded."""
    return judge.Reference(folder)


@functools.cache
def _recorded(exercise: str) -> records.Record:
    return records.read(exercise)


def _record(cell: NotebookNode) -> records.Record | None:
    try:
        return _recorded(cell.metadata.nbgrader.grade_id.removeprefix(CHECK))
    except LookupError:
        return None
