"""A class of lesson 7, for the tests of grading: six submissions, and the command that grades them."""

import os
import subprocess
import sys

from lessons import REPOSITORY, read
from nbgrader.api import Gradebook
from sandboxes import warm_from_now_on

from autograder.grading import classroom
from autograder.grading.log import logged

LESSON = read("scaled_dot_product_attention")
HALF = "def attention_scores(query, key):\n    query /= query.shape[-1] ** 0.5\n    return query @ key.mT\n"
# One call of compiled code, which nothing but the end of its process can stop.
NEVER_ENDS = "def attention_scores(query, key):\n    return sum(range(10**15))\n"
EXPECTED = {"anna": 11, "ben": 10, "carla": 0, "dirk": 9, "emma": 0, "finn": 0}


def handed_in(one):
    """Return {learner: bytes}: right, partly right, unsolved, one that never ends, and two unreadable."""
    right = {name: exercise.source for name, exercise in LESSON.exercises.items()}
    filled = {
        learner: classroom._filled(one.released(), answers)
        for learner, answers in {
            "anna": right,
            "ben": right | {"attention_scores": HALF},
            "carla": {},
            "dirk": right | {"attention_scores": NEVER_ENDS},
        }.items()
    }
    return filled | {"emma": b'{"cells": [', "finn": b""}


class Class(classroom.Class):
    """A class of lesson 7, released, with six submissions."""

    def __init__(self, folder, settings=""):
        super().__init__(REPOSITORY, folder, LESSON)
        warm_from_now_on()  # for all the commands that the tests of this process start
        self.prepare()
        with open(self.folder / "nbgrader_config.py", "a") as file:
            file.write(f"c.RunAnswers.check_seconds = 2\n{settings}")
        for other in (self.folder / "solutions" / "notebooks").iterdir():
            if other.name != LESSON.folder:
                classroom.shutil.rmtree(other)
        with logged(self.folder / "release.log"):
            self.release()
        for learner, content in handed_in(self).items():
            self.submit(learner, content)

    def again(self, learner, content):
        """Let a learner hand in something else."""
        classroom.shutil.rmtree(self.folder / "submitted" / learner)
        self.submit(learner, content)

    def start(self, *options):
        return subprocess.Popen(
            [sys.executable, "-m", "autograder", "grade", "7", "--root", str(self.folder), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPOSITORY,
            start_new_session=True,
            env=os.environ | {"COLUMNS": "200"},
        )

    def grade(self, *options):
        """Run the command and return what it printed."""
        process = self.start(*options)
        said, _ = process.communicate(timeout=400)
        assert process.returncode == 0, said
        return said

    def scores(self, url=None):
        """Return {learner: points that were given by the machine}."""
        with Gradebook(url or self.coursedir().db_url, "transformer_taxonomy") as gradebook:
            submissions = gradebook.assignment_submissions(LESSON.folder)
            return {
                one.student.id: sum(grade.auto_score or 0 for part in one.notebooks for grade in part.grades)
                for one in submissions
            }

    def everything(self):
        """Return all that a run leaves behind and that could be lost: scores, comments, graded notebooks."""
        with Gradebook(self.coursedir().db_url, "transformer_taxonomy") as gradebook:
            rows = [
                (one.student.id, grade.name, grade.auto_score, grade.needs_manual_grade)
                for one in gradebook.assignment_submissions(LESSON.folder)
                for notebook in one.notebooks
                for grade in notebook.grades
            ]
            comments = [
                (one.student.id, comment.name, comment.auto_comment)
                for one in gradebook.assignment_submissions(LESSON.folder)
                for notebook in one.notebooks
                for comment in notebook.comments
            ]
        notebooks = {
            path.relative_to(self.folder): path.read_text() for path in (self.folder / "autograded").rglob("*.ipynb")
        }
        return sorted(rows), sorted(comments), notebooks

    def submitted(self):
        return {path: path.read_bytes() for path in (self.folder / "submitted").rglob("*") if path.is_file()}
