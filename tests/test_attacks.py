"""Wrong answers score what they score without an attack, secrets stay unread, and neighbours unharmed."""

import contextlib
import functools
import json
import os
import secrets
import socket

import nbformat
import psutil
import pytest
import tables
from attacks import ATTACKS, WRONG, Attack
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
RIGHT = {name: LESSON.exercises[name].source for name in WRONG}
RELEASED = REPOSITORY / "course" / LESSON.folder / f"{LESSON.name}.ipynb"
TITLE = "The red team"


def notebook(answers, code=None):
    """Return the lesson's code cells for four exercises with these answers, rebuilt, with one cell of the learner's."""
    found = nbformat.read(RELEASED, 4)
    kept = [
        cell
        for cell in found.cells
        if cell.cell_type == "code"
        and (
            cell.id.startswith("code-")
            or cell.metadata.get("nbgrader", {}).get("grade_id", "").removeprefix("check_") in WRONG
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
        self.server.settimeout(0.2)
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
        config.RunAnswers.update(timeout=6, check_seconds=4, budget=60, iopub_timeout=4, restarts=2)
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

    def run(self, answers, code=None):
        """Return ({exercise: points}, the graded notebook as text)."""
        found = notebook({**WRONG, **answers}, None if code is None else self.filled(code))
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


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    one = Host(tmp_path_factory.mktemp("host"))
    yield one
    os.environ.pop("SECRET_OF_THE_GRADER", None)
    one.server.close()


@pytest.fixture(scope="module")
def honest(host):
    """What the wrong answers earn without an attack."""
    return host.run({})[0]


def test_wrong_answers_earn_nothing_and_right_ones_everything(host, honest):
    assert set(honest.values()) == {0}
    assert host.run(RIGHT)[0] == {name: LESSON.exercises[name].points for name in RIGHT}


def test_there_are_enough_attacks_and_each_has_a_name_of_its_own():
    assert len(ATTACKS) >= 60 and len({(attack.kind, attack.name) for attack in ATTACKS}) == len(ATTACKS)


@functools.cache
def row(kind):
    return tables.row(TITLE, attack=kind, tried=0, gained_points=0, read_secrets=0, neighbours_harmed=0)


def keep(attack, gained, known, harmed):
    kept = row(attack.kind)
    kept["tried"] += 1
    kept["gained_points"] += gained > 0
    kept["read_secrets"] += known
    kept["neighbours_harmed"] += bool(harmed)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.kind}: {attack.name}".replace(" ", "_"))
def test_an_attack_gains_nothing_reads_nothing_and_harms_nobody(host, honest, attack: Attack):
    points, text = host.run(attack.answers, attack.code)
    gained = sum(points.values()) - sum(honest.values())
    known, harmed = host.secrets_in(text), host.harmed()
    keep(attack, gained, known, harmed)
    assert points == honest
    assert not known
    assert harmed == []
    first = "".join(
        output.get("text", "")
        for cell in json.loads(text)["cells"][1:2]
        for output in cell["outputs"]
        for output in [{**output, "text": "".join(output.get("text", ""))}]
    )
    assert "DID" in first or "REFUSED" in first or "left out of the rest of the run" in first, first or text[-3000:]
    assert [process for process in psutil.Process().children(recursive=True) if process.name() == "bwrap"] == []


@pytest.mark.parametrize("kind", sorted({attack.kind for attack in ATTACKS}))
def test_an_honest_neighbour_keeps_every_point(host, kind):
    assert host.run(RIGHT)[0] == {name: LESSON.exercises[name].points for name in RIGHT}
