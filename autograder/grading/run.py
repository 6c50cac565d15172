"""Run a rebuilt submission: the learner's cells in a sandbox, the checks in the judge's own process."""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from nbclient.exceptions import CellExecutionComplete, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode, ValidationError
from nbgrader.preprocessors import Execute
from traitlets import Integer, Unicode

from ..calling import PATIENCE
from ..intake.rebuild import NOTES
from ..notebooks.demos import unneeded
from .cells import is_check, said

if TYPE_CHECKING:
    from jupyter_client import AsyncKernelClient

    from ..calling.remote import Channel

PROCESS_ENDED = "the Python process ended in it (a crash, an exit, or too little memory)"
STUCK = "it did not finish and could not be interrupted"
OUTPUT_KINDS = {"stream", "display_data", "update_display_data", "execute_result"}
LOOK = 1.0  # seconds between two looks at a cell that runs
# A process that computes gets to compute so many seconds in so many by the clock, however busy the computer is.
LITTLE, IDLE = 0.2, 10.0


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
        from .checks import Checks  # takes torch along, which nobody needs who only gives such work to others

        self.store_widget_state = False
        self.comm_open_handlers: dict[str, Any] = {}  # what a kernel sends opens nothing here
        self.skipped = unneeded(nb.cells)
        self.ran: list[str] = []
        self.channel: Channel | None = None
        self.processes, self.counted = 1, 0
        self.believed = True  # the first process that ends may not have been ended by the learner's code
        self.checks = Checks(self, nb)
        self.deadline = monotonic() + self.budget
        self.timeout_func = lambda cell: max(1, min(self.timeout or self.budget, int(self.deadline - monotonic())))
        return super().preprocess(nb, resources, km)

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        if is_check(cell):
            self.checks.judge(cell)
        elif cell.cell_type == "code" and index not in self.skipped and "stopped" not in self.nb.metadata[NOTES]:
            self._run(cell, resources, index)
        if index == len(self.nb.cells) - 1:
            self.checks.look_for_examples()
            self.checks.look_for_lines()
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
                self.restart()
            self.execute_cell(cell, index, store_history=True)
            self.ran.append(cell.source)
        except Exception as error:
            # Whatever it was, it was this submission's cell that brought it about.
            self.log.warning("Cell %d stopped its process: %r", index, error)
            if not run_sync(self.km.is_alive)():  # one that is gone shows in many errors
                error = DeadKernelError("Kernel died")
            if isinstance(error, DeadKernelError) and self.is_believed():
                self.restart(error)
                if "stopped" not in self.nb.metadata[NOTES]:
                    self._run(cell, resources, index)
                return
            cell.outputs.append(said(f"This cell was left out of the rest of the run: {_why_stopped(error)}.\n"))
            self.restart(error)
        self.counted += 1
        cell.execution_count = self.counted

    def is_believed(self) -> bool:
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

    def restart(self, error: Exception | None = None) -> None:
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
            self.run_unseen(self.kc, source)

    def run_unseen(self, client: "AsyncKernelClient", source: str) -> None:
        """Run in a kernel what ended in its time before, and show nothing of it. Raises TimeoutError."""
        patient = max(1, min(PATIENCE * (self.timeout or self.budget), int(self.deadline - monotonic())))
        _run_unseen(client, source, patient)


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


def _why_stopped(error: Exception) -> str:
    if isinstance(error, DeadKernelError):
        return PROCESS_ENDED
    if isinstance(error, CellTimeoutError):
        return STUCK
    return f"running it failed ({type(error).__name__})"
