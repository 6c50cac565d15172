"""The unit of work of grading: a rebuilt notebook goes in, the same notebook comes out, run and judged.

It needs no gradebook and no submission folder, so it is done in whatever process or machine there is. A worker holds
the course (released data files, solutions) and nothing of the class.
"""

import functools
import os
from dataclasses import dataclass

import nbformat
from traitlets.config import Config

from ..processes import one_thread
from .run import RunAnswers
from .scores import Score


@dataclass(frozen=True)
class Unit:
    """One submission of one lesson.

    learner   whose it is; for whoever reads the log
    notebook  the rebuilt notebook as JSON text
    data      folder of the data files that the lesson was released with
    settings  traitlets configuration of the steps, as plain data
    """

    learner: str
    notebook: str
    data: str
    settings: str


def run(unit: Unit) -> str:
    """Return the notebook, run and judged, as JSON text."""
    one_thread()
    notebook = nbformat.reads(unit.notebook, 4)
    answers, score = _steps(unit.settings)
    resources = {"metadata": {"path": unit.data}}
    before = os.environ.get("NBGRADER_EXECUTION")
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    try:
        notebook, resources = answers.preprocess(notebook, resources)
        notebook, resources = score.preprocess(notebook, resources)
    finally:
        if before is None:
            del os.environ["NBGRADER_EXECUTION"]
        else:
            os.environ["NBGRADER_EXECUTION"] = before
    text: str = nbformat.writes(notebook, version=nbformat.NO_CONVERT)
    return text


@functools.cache
def _steps(settings: str) -> tuple[RunAnswers, Score]:
    import json

    config = Config(json.loads(settings))
    return RunAnswers(config=config), Score(config=config)
