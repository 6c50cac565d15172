"""A tiny course and its class, for the tests of grading: two exercises, one written question, many learners."""

import csv
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader import api
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from sandboxes import warm_from_now_on
from traitlets.config import PyFileConfigLoader

# nbgrader starts a program to ask for this, for each new gradebook; it is the same for all of them.
api.get_alembic_version = functools.cache(api.get_alembic_version)

REPOSITORY = Path(__file__).parent.parent
LESSON, OTHER_LESSON = "07_attention", "08_heads"
NOTEBOOK, OTHER_NOTEBOOK = "attention", "heads"

# Two exercises of the course, and one for the other lesson: small ones, that need no other.
SCORES = "def attention_scores(query, key):\n    return query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5\n"
MERGE = "def merge_heads(x):\n    return x.transpose(1, 2).flatten(2)\n"
SHIFT = """def shift_right(tokens, bos_id):
    return torch.cat([torch.full_like(tokens[:, :1], bos_id), tokens[:, :-1]], dim=1)
"""


def graded(cell, name, points=None, solution=True):
    """Give a cell nbgrader's metadata: an answer, a check (with points), or a written answer (both)."""
    cell.id = f"{name}-cell"
    cell.metadata.nbgrader = {
        "grade_id": name,
        "grade": points is not None,
        "solution": solution,
        "locked": not solution,
        "schema_version": 3,
        "task": False,
    } | ({} if points is None else {"points": points})
    return cell


def solved(source):
    return f"### BEGIN SOLUTION\n{source}### END SOLUTION\n"


def check(name):
    return f"check({name}).grade()"


def lesson():
    """Return the solved notebook of the lesson, as an instructor writes it."""
    return notebook(
        new_markdown_cell("# Attention\n\nA lookup by degrees.", id="prose"),
        new_code_cell("import torch\nfrom autograder import check", id="imports"),
        graded(new_code_cell(solved(SCORES)), "attention_scores"),
        graded(new_code_cell(check("attention_scores")), "check_attention_scores", 2, solution=False),
        new_code_cell("HELPFUL = 'a demonstration'\nprint(HELPFUL)", id="demo-1"),
        graded(new_code_cell(solved(MERGE)), "merge_heads"),
        graded(new_code_cell(check("merge_heads")), "check_merge_heads", 2, solution=False),
        graded(new_markdown_cell("Why?\n\n" + solved("Because.\n")), "why", 3),
    )


def other_lesson():
    return notebook(
        new_code_cell("import torch\nfrom autograder import check", id="imports"),
        graded(new_code_cell(solved(SHIFT)), "shift_right"),
        graded(new_code_cell(check("shift_right")), "check_shift_right", 1, solution=False),
    )


def notebook(*cells):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=list(cells), metadata={"kernelspec": kernel})


def cell_of(notebook, name):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)


class Course:
    """A course folder that is graded with the repository's own nbgrader_config.py.

    root      an empty folder
    settings  lines that are added to the configuration, such as shorter timeouts
    """

    source = "solutions/notebooks"

    def __init__(self, root, settings=""):
        warm_from_now_on()
        self.root = Path(root)
        # That isolation holds is proven by other tests, once.
        settings = f"c.SandboxKernelManager.prove_first = False\n{settings}"
        config = f"load_subconfig('nbgrader_config.py', path={str(REPOSITORY)!r})\nc = get_config()\n{settings}\n"
        (self.root / "nbgrader_config.py").write_text(config)
        self.write(lesson(), self.source, LESSON, NOTEBOOK)
        self.write(other_lesson(), self.source, OTHER_LESSON, OTHER_NOTEBOOK)

    def environment(self):
        """Return an environment without this machine's Jupyter settings, and with no program on PATH."""
        names = ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
        return os.environ | {name: str(self.root / "home") for name in names} | {"PATH": "/usr/bin:/bin"}

    def nbgrader(self, *arguments, check=True):
        """Run one of nbgrader's commands, as its user does, and return what it logged."""
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stderr

    def settings(self):
        return PyFileConfigLoader("nbgrader_config.py", path=str(self.root)).load_config()

    def coursedir(self, **names):
        return CourseDirectory(config=self.settings(), root=str(self.root), **names)

    def api(self):
        """Return nbgrader's commands for this process, which is how the formgrader page calls them."""
        return NbGraderAPI(self.coursedir(), config=self.settings())

    def release(self, lesson=LESSON, **options):
        """Release a lesson as nbgrader does, and return the course."""
        assert self.api().generate_assignment(lesson, **options)["success"]
        return self

    def write(self, notebook, *parts):
        path = self.root.joinpath(*parts).with_suffix(".ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)

    def released(self, lesson=LESSON, notebook=NOTEBOOK):
        return nbformat.read(self.root / "course" / lesson / f"{notebook}.ipynb", 4)

    def answers(self, scores=SCORES, merge=MERGE):
        """Return the released notebook as a learner saves it with these two answers."""
        submission = self.released()
        cell_of(submission, "attention_scores").source = scores
        cell_of(submission, "merge_heads").source = merge
        return submission

    def submit(self, learner, content, name=f"{NOTEBOOK}.ipynb", timestamp="2026-01-01 00:00:00 UTC"):
        """Put a file into a learner's submission: a notebook, bytes, or any JSON."""
        folder = self.root / "submitted" / learner / LESSON
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "timestamp.txt").write_text(timestamp)
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            # Not nbformat.write: what a learner hands in need not be valid.
            (folder / name).write_text(json.dumps(content))

    def gradebook(self):
        return Gradebook(f"sqlite:///{self.root / 'gradebook.db'}", "transformer_taxonomy")

    def scores(self, learner):
        """Return the points of each graded cell, by name; None for what a person has yet to grade."""
        with self.gradebook() as gradebook:
            submission = gradebook.find_submission_notebook(NOTEBOOK, LESSON, learner)
            return {grade.name: grade.auto_score for grade in submission.grades}

    def comment(self, learner, answer):
        with self.gradebook() as gradebook:
            return gradebook.find_comment(answer, NOTEBOOK, LESSON, learner).comment

    def autograded(self, learner):
        return nbformat.read(self.root / "autograded" / learner / LESSON / f"{NOTEBOOK}.ipynb", 4)

    def said(self, learner, check):
        """Return what a learner reads under a check cell."""
        outputs = cell_of(self.autograded(learner), check).outputs
        return "".join(o.get("text", "") + o.get("data", {}).get("text/html", "") for o in outputs)

    def feedback(self, learner):
        return (self.root / "feedback" / learner / LESSON / f"{NOTEBOOK}.html").read_text()

    def exported(self):
        with open(self.root / "grades.csv", newline="") as file:
            return list(csv.DictReader(file))
