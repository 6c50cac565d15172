"""What the tests of the intake hand in: notebooks, archives and files with odd names."""

import io
import json
import os
import tarfile
import zipfile

from nbgrader_course import LESSON, NOTEBOOK

from autograder.intake.arrivals import AutogradeAll
from autograder.intake.folder import Limits

FILE = f"{NOTEBOOK}.ipynb"
SMALL = Limits(
    notebook_bytes=7_000, cells=7, source=700, sources=1_100, files=11, file_bytes=13_000, folder_bytes=17_000, depth=3
)


def cell(source="x = 2", kind="code", **more):
    return {"cell_type": kind, "source": source, "metadata": {}} | more


def notebook(*cells, **more):
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)} | more).encode()


def named(name, content=b"x"):
    """Return what puts a file of this name, which may be bytes, into a folder."""

    def make(folder):
        path = os.path.join(os.fsencode(folder), name if isinstance(name, bytes) else os.fsencode(name))
        with open(path, "wb") as file:
            file.write(content)

    return make


def zipped(path, *members, **settings):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **settings) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def tarred(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def autograde(course, learner):
    """Let nbgrader grade one learner, unless what arrived is graded already."""
    AutogradeAll(coursedir=course.coursedir(assignment_id=LESSON, student_id=learner), config=course.settings()).start()


def place(course, learner, content=None, **more):
    """Hand in a notebook, the right answers if none is given, and return the submission's folder."""
    course.submit(learner, course.answers() if content is None else content, **more)
    return course.root / "submitted" / learner / LESSON
