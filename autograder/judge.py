"""The steps that nbgrader takes on a rebuilt submission: run it, read the scores, record the reasons.

nbgrader alone gives full points to a check that did not run, and none to one that warns. Here a check cell
earns what it says in its last number, and nothing without one.
"""

import os
import tempfile
from html import escape
from time import monotonic

from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import ValidationError
from nbformat.v4 import new_output
from nbgrader.api import Gradebook
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution
from traitlets import Integer, default

from .rebuild import NOTES

PROCESS_ENDED = "the Python process ended before it (a crash, an exit, or too little memory)"
STUCK = "an earlier cell did not end and could not be interrupted"
OUTPUT_KINDS = {"stream", "display_data", "update_display_data", "execute_result"}


def is_check(cell):
    """True where nbgrader takes the score from the output of this cell."""
    return cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)


class SocketKernelManager(AsyncKernelManager):
    """Talks to a kernel through socket files that only this user can reach, where others open network ports."""

    @default("transport")
    def _transport_default(self):
        return "ipc"

    @default("ip")
    def _ip_default(self):
        # An absolute path: the kernel runs in another folder.
        self._folder = tempfile.TemporaryDirectory(prefix="kernel-")
        return os.path.join(self._folder.name, "socket")

    def cleanup_ipc_files(self):
        super().cleanup_ipc_files()
        self._folder.cleanup()


class RunAnswers(Execute):
    """nbgrader's Execute, in which a submission can only stop itself.

    Cells that were not reached keep no output and no execution count; the notebook's notes say why.
    """

    budget = Integer(600, help="Seconds for all cells of a submission; after them each gets one.").tag(config=True)
    max_output = Integer(1_000_000, help="Characters of output kept for a cell.").tag(config=True)

    def preprocess(self, nb, resources=None, km=None):
        if "refused" in nb.metadata[NOTES]:
            return nb, resources
        deadline = monotonic() + self.budget
        self.timeout_func = lambda cell: max(1, min(self.timeout or self.budget, int(deadline - monotonic())))
        return super().preprocess(nb, resources, km)

    def preprocess_cell(self, cell, resources, index):
        if "stopped" in self.nb.metadata[NOTES]:
            return cell, resources
        self.output_size = 0
        try:
            cell, resources = super().preprocess_cell(cell, resources, index)
        except Exception as error:
            # Whatever it was, it was this submission's cell that brought it about.
            self.log.warning("Cell %d stopped the submission: %r", index, error)
            self.nb.metadata[NOTES]["stopped"] = _why_stopped(error)
        return cell, resources

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in OUTPUT_KINDS and self._is_flood(msg["content"], cell):
            return None
        try:
            return super().process_message(msg, cell, cell_index)
        except ValidationError:
            # Code can publish what no notebook may hold; it loses this output and not its submission.
            return None

    def _is_flood(self, content, cell):
        size = len(content.get("text") or "") + sum(len(str(data)) for data in (content.get("data") or {}).values())
        before, self.output_size = self.output_size, self.output_size + size
        # A score is small, and a check that talks too much still has one.
        if self.output_size <= self.max_output or ("execution_count" in content and size < 100):
            return False
        if before <= self.max_output:
            cell.outputs.append(_said("The rest of this cell's output was left out: it was too much.\n"))
        return True


def _why_stopped(error):
    if isinstance(error, DeadKernelError):
        return PROCESS_ENDED
    if isinstance(error, CellTimeoutError):
        return STUCK
    return f"running an earlier cell failed ({type(error).__name__})"


class Score(NbGraderPreprocessor):
    """Leaves one number in each check cell, for nbgrader's own steps to read, and says why a number is 0."""

    def preprocess(self, nb, resources):
        notes = nb.metadata[NOTES]
        self.why_not_run = notes.get("refused") or notes.get("stopped")
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell, resources, index):
        if is_check(cell):
            most = float(cell.metadata.nbgrader.points)
            score, reason = read_score(cell, most, self.why_not_run)
            cell.outputs = _messages(cell.outputs)
            if reason:
                cell.outputs.append(_said(f"0 of {most:g} points: {reason}\n"))
            count = cell.execution_count
            cell.outputs.append(new_output("execute_result", {"text/plain": str(score)}, execution_count=count))
        return cell, resources


def read_score(cell, most, why_not_run=None):
    """Return the points that an executed check cell earned, and the reason if there is one for a 0.

    most         the points of the check; a larger number is not believed
    why_not_run  what kept cells of this notebook from running, if anything did
    """
    errors = [output for output in cell.outputs if output.output_type == "error"]
    if any(error.ename == "CellTimeoutError" for error in errors):
        return 0.0, "this check did not end in time."
    if errors:
        return 0.0, f"this check ended with {errors[-1].ename}: {errors[-1].evalue[:200]}"
    results = [output for output in cell.outputs if output.output_type == "execute_result"]
    points = [number for number in map(_number, results) if number is not None and 0 <= number <= most]
    if points:
        return points[-1], None
    if results:
        return 0.0, f"this check must end with a number from 0 to {most:g}."
    if why_not_run:
        return 0.0, f"this check did not run: {why_not_run}"
    if cell.execution_count is None:
        return 0.0, "this check did not run."
    return 0.0, "this check ended without a score."


def _number(result):
    """Return the number that a cell ended with, or None where it is text. Not a number stays one."""
    try:
        return float(result.data.get("text/plain", ""))
    except (TypeError, ValueError):
        return None


def _messages(outputs):
    """Return everything but the scores: what is for reading. A warning is for reading, too."""
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            output.name = "stdout"
        elif output.output_type == "execute_result":
            if _number(output) is not None:
                continue
            output = new_output("display_data", output.data, metadata=output.metadata)
        kept.append(output)
    return kept


def _said(text):
    return new_output("stream", name="stdout", text=text)


class SaveReasons(NbGraderPreprocessor):
    """Writes into the gradebook, as comments on the answers, what happened to a submission as a whole."""

    def preprocess(self, nb, resources):
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
