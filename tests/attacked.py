"""A machine with secrets on it, where a learner's notebook is run and scored: what attacks are tried on."""

import contextlib
import os
import secrets
import socket

import nbformat
from attacks import WRONG
from lessons import REPOSITORY, read
from nbformat.v4 import new_code_cell
from nbgrader.utils import is_solution
from sandboxes import warm_from_now_on
from traitlets.config import PyFileConfigLoader

from autograder.grading import report
from autograder.grading.run import RunAnswers
from autograder.grading.scores import Score
from autograder.intake.rebuild import NOTES, OWN

LESSON = read("scaled_dot_product_attention")
RELEASED = REPOSITORY / "course" / LESSON.folder / f"{LESSON.name}.ipynb"


def notebook(answers, code=None, exercises=tuple(WRONG)):
    """Return the lesson's code cells for some exercises with these answers, rebuilt, with one cell of the learner's."""
    found = nbformat.read(RELEASED, 4)
    kept = [
        cell
        for cell in found.cells
        if cell.cell_type == "code"
        and (
            cell.id.startswith("code-")
            or cell.metadata.get("nbgrader", {}).get("grade_id", "").removeprefix("check_") in exercises
        )
    ]
    for cell in kept:
        if is_solution(cell):
            cell.source = answers[cell.metadata.nbgrader.grade_id]
    if code is not None:
        kept.insert(1, new_code_cell(code, id=f"{OWN}1"))
    found.cells = kept
    found.metadata[NOTES] = {"comments": {}}
    return found


class Host:
    """A machine with secrets on it, and what grades on it."""

    def __init__(self, folder):
        warm_from_now_on()
        self.token = f"secret-{secrets.token_hex(8)}"
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(0.01)  # who had connected waits already
        self.places = {
            name: folder / place
            for name, place in {
                "gradebook": "gradebook.db",
                "other": "submitted/ada/mine.ipynb",
                "home": "home/.ssh/id",
            }.items()
        }
        for path in self.places.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.token)
        self.solution = REPOSITORY / "solutions" / f"{LESSON.name}.py"
        os.environ["SECRET_OF_THE_GRADER"] = self.token
        self.data = folder / "data"
        self.data.mkdir()
        config = PyFileConfigLoader("nbgrader_config.py", path=str(REPOSITORY)).load_config()
        config.SandboxKernelManager.prove_first = False
        config.RunAnswers.update(timeout=6, check_seconds=2, budget=60, iopub_timeout=4, restarts=2)
        config.SandboxProvisioner.update(processes=64, memory=1500, scratch=64, file_size=32)
        self.steps = RunAnswers(config=config), Score(config=config)

    def filled(self, code):
        for name, path in {
            **self.places,
            "solution": self.solution,
            "repository": REPOSITORY,
            "port": self.server.getsockname()[1],
        }.items():
            code = code.replace(f"{{{name}}}", str(path))
        return code

    def run(self, answers, code=None, exercises=tuple(WRONG)):
        """Return ({exercise: points}, the graded notebook as text)."""
        found = notebook({**WRONG, **answers}, None if code is None else self.filled(code), exercises)
        for step in self.steps:
            found, _ = step.preprocess(found, {"metadata": {"path": str(self.data)}})
        nbformat.validate(found)
        text = nbformat.writes(found, version=nbformat.NO_CONVERT)
        path = self.data.parent / "graded.ipynb"
        path.write_text(text)
        return {check.exercise: check.earned for check in report.read(path)}, text

    def secrets_in(self, text):
        """Return whether a secret stands in what came out of the sandbox."""
        line = "The bug: scores.max() is the largest score of the whole tensor"  # only in the solution
        return self.token in text or line in text

    def harmed(self):
        """Return what is not as it was on the host."""
        changed = [name for name, path in self.places.items() if path.read_text() != self.token]
        with contextlib.suppress(TimeoutError):
            self.server.accept()
            changed.append("a connection came in")
        return changed
