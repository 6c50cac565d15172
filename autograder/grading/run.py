"""Run a rebuilt submission: the learner's cells in a sandbox, the checks in the judge's own process."""

import asyncio
import functools
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from nbclient.exceptions import CellExecutionComplete, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode, ValidationError
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade, is_solution
from traitlets import Integer, Unicode

from .. import probes
from ..calling.limit import PATIENCE
from ..calling.remote import DIED, Channel, EndedError, Remote
from ..calling.watched import FLAG, withheld
from ..checking.result import Result
from ..checking.where import Where
from ..diagnosing import records
from ..intake.rebuild import NOTES
from ..locating import inside
from ..notebooks import answers, reach
from ..notebooks.demos import unneeded
from ..notebooks.needed import doubt, doubt_elsewhere, needed
from . import judge

if TYPE_CHECKING:
    from jupyter_client import AsyncKernelClient

PROCESS_ENDED = "the Python process ended in it (a crash, an exit, or too little memory)"
STUCK = "it did not finish and could not be interrupted"
UNKNOWN = "This answer has no points yet, because it could not be judged; a person looks at it."
OUTPUT_KINDS = {"stream", "display_data", "update_display_data", "execute_result"}
LOOK = 1.0  # seconds between two looks at a cell that runs
# A process that computes gets to compute so many seconds in so many by the clock, however busy the computer is.
LITTLE, IDLE = 0.2, 10.0
# So long the same fresh numbers are asked for, so that the reference answers them once for many submissions.
# No submission knows what another one was asked: a process ends with it, and feedback is written later.
SEED_SECONDS = 600
CHECK = "check_"  # what the names of check cells begin with; the exercise follows


def is_check(cell: NotebookNode) -> bool:
    """True where nbgrader takes the score from the output of this cell."""
    return cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)


def is_learners(cell: NotebookNode) -> bool:
    """True for code that a learner may have written: an answer, or a cell of their own."""
    return bool(cell.cell_type == "code" and (is_solution(cell) or cell.get("id", "").startswith("learner-")))


class RunAnswers(Execute):
    """nbgrader's Execute, in which a submission can only stop itself, and no check runs beside the learner's code.

    A cell that ends the process, or cannot be stopped, is left out, and the rest runs in a new process. The first time
    that a process ends, the machine may have ended it (too little memory for all, an administrator): what it was
    about is then done once more.
    The time of a cell is what it computes: on a busy computer it gets more of the clock, but none to wait or to sleep.
    Demonstrations of the lesson are run only where the learner's code uses a name from them.
    """

    budget = Integer(600, help="Seconds for all cells of a submission; after that, each gets one.").tag(config=True)
    grace = Integer(60, help="Seconds after the budget during which each cell gets one; then no more is run.").tag(
        config=True
    )
    longest = Integer(
        0,
        help="Seconds after which whoever grades a class ends the worker of a submission, whatever it is doing; "
        "0: three times the budget.",
    ).tag(config=True)
    check_seconds = Integer(
        10,
        help="Seconds that a learner's code may compute in all calls of one check; six times as many by the clock.",
    ).tag(config=True)
    line_seconds = Integer(
        0,
        help="Seconds that the search for the line of a mistake may compute, for each wrong answer; a line that is "
        "certain is shown on the feedback page. 0: nobody searches.",
    ).tag(config=True)
    max_output = Integer(1_000_000, help="Characters of output kept for a cell.").tag(config=True)
    restarts = Integer(3, help="Processes a submission may end before the rest is left out.").tag(config=True)
    solutions = Unicode("solutions", help="Folder of the lesson texts with the references.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Any = None, km: Any = None) -> Any:
        if "refused" in nb.metadata[NOTES]:
            return nb, resources
        self.store_widget_state = False
        self.comm_open_handlers: dict[str, Any] = {}  # what a kernel sends opens nothing here
        self.skipped = unneeded(nb.cells)
        self.ran: list[str] = []
        self.channel: Channel | None = None
        self.channels: list[Channel] = []
        self.wrong: list[tuple[NotebookNode, records.Record, Result]] = []
        self.processes, self.counted = 1, 0
        self.believed = True  # the first process that ends may not have been ended by the learner's code
        self.sources = [cell.source for cell in nb.cells if cell.cell_type == "code"]
        self.learners = [cell.source for cell in nb.cells if is_learners(cell)]
        self.doubted = bool(reach.into_the_interpreter(self.learners))
        self.deadline = monotonic() + self.budget
        self.timeout_func = lambda cell: max(1, min(self.timeout or self.budget, int(self.deadline - monotonic())))
        return super().preprocess(nb, resources, km)

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        if is_check(cell):
            self._check(cell)
        elif cell.cell_type == "code" and index not in self.skipped and "stopped" not in self.nb.metadata[NOTES]:
            self._run(cell, resources, index)
        if index == len(self.nb.cells) - 1:
            self._look_for_lines()
        return cell, resources

    # The learner's cells

    async def _async_poll_for_reply(self, msg_id: str, cell: NotebookNode, timeout: float, *tasks: Any) -> Any:
        """Wait for the end of a cell, and look at it from time to time; nbclient looks once, when its time is up."""
        self.begun = self.active = monotonic(), self.km.computed()
        self.allowed = timeout
        return await super()._async_poll_for_reply(msg_id, cell, min(timeout, LOOK), *tasks)

    async def _async_handle_timeout(self, timeout: float, cell: NotebookNode | None = None) -> Any:
        now = monotonic(), self.km.computed()
        if now[1] > self.active[1] + LITTLE:
            self.active = now
        if self._is_given_time(now):
            await asyncio.sleep(0.1)  # nbclient may ask again at once
            return None
        return await super()._async_handle_timeout(self.allowed, cell)

    def _is_given_time(self, now: tuple[float, float]) -> bool:
        """Tell whether a cell may go on.

        now  (seconds by the clock, seconds that its process has computed)
        """
        taken, computed = now[0] - self.begun[0], now[1] - self.begun[1]
        if taken < self.allowed:
            return True
        return (
            computed < self.allowed
            and taken < PATIENCE * self.allowed
            and now[0] < self.deadline
            and now[0] - self.active[0] < IDLE
        )

    def _run(self, cell: NotebookNode, resources: Any, index: int) -> None:
        if monotonic() > self.deadline + self.grace:
            self.nb.metadata[NOTES]["stopped"] = f"the cells before took more than {self.budget + self.grace} seconds"
            return
        self.output_size = 0
        cell.metadata.pop("tags", None)  # `skip-execution` is nbclient's
        try:
            if self.channel is not None and self.channel.ended:
                self._restart()
            self.execute_cell(cell, index, store_history=True)
            self.ran.append(cell.source)
        except Exception as error:
            # Whatever it was, it was this submission's cell that brought it about.
            self.log.warning("Cell %d stopped its process: %r", index, error)
            if not run_sync(self.km.is_alive)():  # one that is gone shows in many errors
                error = DeadKernelError("Kernel died")
            if isinstance(error, DeadKernelError) and self._is_believed():
                self._restart(error)
                if "stopped" not in self.nb.metadata[NOTES]:
                    self._run(cell, resources, index)
                return
            cell.outputs.append(said(f"This cell was left out of the rest of the run: {_why_stopped(error)}.\n"))
            self._restart(error)
        self.counted += 1
        cell.execution_count = self.counted

    def _is_believed(self) -> bool:
        """Tell, once for a submission, that a process may have been ended by the machine; then it is not counted."""
        believed, self.believed = self.believed, False
        self.processes -= believed
        return believed

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        try:
            if msg["msg_type"] in OUTPUT_KINDS and self._is_flood(msg["content"], cell):
                return None
            return super().process_message(msg, cell, cell_index)
        except CellExecutionComplete:
            raise
        except (ValidationError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            # Code can publish what a notebook cannot hold; it loses this output, and not its submission.
            return None

    def _is_flood(self, content: Any, cell: NotebookNode) -> bool:
        size = len(content.get("text") or "") + sum(len(str(data)) for data in (content.get("data") or {}).values())
        before, self.output_size = self.output_size, self.output_size + size
        if self.output_size <= self.max_output:
            return False
        if before <= self.max_output:
            cell.outputs.append(
                said("The rest of this cell's output was left out, because there was too much of it.\n")
            )
        return True

    def _restart(self, error: Exception | None = None) -> None:
        """Start a new process and run in it what ran before; after too many, note why the rest is not run."""
        reason = _why_stopped(error) if error else self.channel.ended if self.channel else ""
        while self.processes <= self.restarts and monotonic() <= self.deadline + self.grace:
            self.processes += 1
            self.channel = None
            try:
                self._cleanup_kernel()
                self.km = self.create_kernel_manager()
                self.start_new_kernel()
                self.start_new_kernel_client()
                self._replay()
                return
            except Exception as again:  # it may end once more while it is brought back
                self.log.warning("A new process ended as well: %r", again)
        if self.processes > self.restarts:
            why = f"an earlier cell stopped {self.processes} processes: {reason}"
        else:
            why = (
                f"an earlier cell stopped its process ({reason}), and to run the cells before it again took more than "
                f"{self.budget + self.grace} seconds in all"
            )
        self.nb.metadata[NOTES]["stopped"] = why

    def _replay(self) -> None:
        for source in self.ran:
            if monotonic() > self.deadline + self.grace:
                raise TimeoutError("no time is left to run again what ran before")
            _run_unseen(self.kc, source, self._patient())

    def _patient(self) -> float:
        """Return how many seconds by the clock a cell may take that ended in its time before."""
        return max(1, min(PATIENCE * (self.timeout or self.budget), int(self.deadline - monotonic())))

    # The checks

    def _check(self, cell: NotebookNode) -> None:
        record = _record(cell)
        if record is None or "stopped" in self.nb.metadata[NOTES]:
            return
        # What the process tells is doubted as soon as any cell reaches into it; then the answer is looked at alone.
        reason = "a cell reaches into its process" if self.doubted else ""
        self.channels.clear()
        found = self._judged(record, self._connect, reason)
        if any(channel.ended == DIED for channel in self.channels) and self._is_believed():
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
        self.counted += 1
        cell.execution_count = self.counted

    def _look_for_lines(self) -> None:
        """Add the line of its mistake to each wrong answer, where that is asked for and certain.

        When all is judged: a search runs the learner's code many times, and no points may depend on what that leaves.
        """
        for cell, record, found in self.wrong if self.line_seconds else ():
            if "stopped" in self.nb.metadata[NOTES] or monotonic() > self.deadline + self.grace:
                return
            try:
                located = inside.ask(self._connect(), record.exercise, self.line_seconds)
            except EndedError as reason:
                self.log.warning("The search for the line in %s ended: %s", record.exercise, reason)
                return
            if located:
                show(replace(found, line=Where(record.exercise, located)), cell)

    def _judged(self, record: records.Record, connect: Callable[[], Channel], doubt: str) -> Result:
        return judge.judge(
            record,
            Remote(connect, self.deadline),
            reference_in(self.solutions),
            _seed(int(monotonic() // SEED_SECONDS)),
            self.check_seconds,
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
            self.log.warning("%s could not be judged alone: %r", record.exercise, error)
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
        manager = self.kernel_manager_class(config=self.config)
        folder = self.resources.get("metadata", {}).get("path")
        try:
            run_sync(manager.start_kernel)(extra_arguments=self.extra_arguments, **({"cwd": folder} if folder else {}))
            client = manager.client()
            client.start_channels()
            try:
                run_sync(client.wait_for_ready)(timeout=self.startup_timeout)
                _run_unseen(client, code, self._patient())
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
        if self.channel is not None and self.channel.ended:
            self._restart()
        elif self.channel is None and not run_sync(self.km.is_alive)():
            self._restart(DeadKernelError("Kernel died"))
        if "stopped" in self.nb.metadata[NOTES]:
            raise EndedError(f"This check did not run: {self.nb.metadata[NOTES]['stopped']}.")
        if self.channel is None:
            self.channel = Channel(self.kc, run_sync(self.km.is_alive), self.km.computed)
        if self.channel not in self.channels:
            self.channels.append(self.channel)
        return self.channel

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


def _run_unseen(client: "AsyncKernelClient", code: str, timeout: float) -> None:
    """Run code in a kernel and show nothing of it. Raises TimeoutError."""
    run_sync(client.execute_interactive)(
        code,
        silent=True,
        store_history=False,
        allow_stdin=False,
        stop_on_error=False,
        output_hook=lambda message: None,
        timeout=timeout,
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


def number(score: float) -> NotebookNode:
    """Return the output that nbgrader reads a score from."""
    output: NotebookNode = new_output("execute_result", {"text/plain": str(float(score))}, execution_count=None)
    return output


def said(text: str) -> NotebookNode:
    """Return an output that says something."""
    output: NotebookNode = new_output("stream", name="stdout", text=text)
    return output


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


def _why_stopped(error: Exception) -> str:
    if isinstance(error, DeadKernelError):
        return PROCESS_ENDED
    if isinstance(error, CellTimeoutError):
        return STUCK
    return f"running it failed ({type(error).__name__})"
