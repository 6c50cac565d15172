"""Notebooks of honest learners, as official grading runs them and as their learners do."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from lessons import REPOSITORY
from sandboxes import warm
from traitlets.config import PyFileConfigLoader

from autograder.checking.result import MIME_TYPE
from autograder.grading import unit
from autograder.grading.workers import Local


def officially(notebooks, folders):
    """Return {name: {exercise: [points, whether a person looks]}} of {name: rebuilt notebook}.

    folders  {name: the folder of the data that the notebook's lesson was released with}
    """
    config = PyFileConfigLoader("nbgrader_config.py", path=str(REPOSITORY)).load_config()
    config.SandboxKernelManager.prove_first = False
    settings = json.dumps(config)
    todo = [unit.Unit(name, nbformat.writes(one), str(folders[name]), settings) for name, one in notebooks.items()]
    with warm(), Local(2) as workers:
        return {one.learner: checks(nbformat.reads(done, 4)) for one, done in workers.results(iter(todo))}


def checks(notebook):
    """Return {exercise: [points, whether a person looks]} of a notebook that was run and judged."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    said = [output["data"][MIME_TYPE] for output in outputs if MIME_TYPE in output.get("data", {})]
    return {about["exercise"]: [about["earned"], bool(about.get("flag"))] for about in said}


def locally(notebooks):
    """Return {name: {exercise: [points, whether a person will look]}} of {name: notebook}, run as learners run them."""
    sources = [[cell.source for cell in one.cells] for one in notebooks.values()]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "PIP_NO_INDEX": "1",  # a line that installs something shall not change what the tests run with
            "PIP_DRY_RUN": "1",
            "MPLBACKEND": "agg",
            "IPYTHONDIR": folder,
        }
        done = subprocess.run(
            [sys.executable, Path(__file__).parent / "honest" / "locally.py"],
            input=json.dumps(sources),
            env=environment,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    return dict(zip(notebooks, map(json.loads, done.stdout.splitlines()), strict=True))
