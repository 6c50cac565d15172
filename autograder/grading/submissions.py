"""The submissions of one lesson in a course: what was handed in, whether it is graded, and how a grade is recorded."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_notebook

from ..authoring.lesson import read
from ..course import CONFIG, CourseError, from_here, select
from ..intake.arrivals import AutogradeAll, SubmissionExporter
from ..intake.folder import RefusedError
from ..intake.learner import why_refused
from ..intake.rebuild import NOTES, Rebuild
from ..intake.timestamp import read_time
from ..scarcity import Patience, sqlite_file
from . import basis, report
from .gradebook import expect_usable
from .run import RunAnswers
from .unit import Unit

if TYPE_CHECKING:
    from traitlets.config import Config

GRADED = "graded"  # the note in a graded notebook: the digest of what it is the grade of
STEPS = ("Execute", "RunAnswers", "Score", "SandboxProvisioner", "SandboxKernelManager")  # what runs in a worker
LATE = ("AssignLatePenalties", "LateSubmissionPlugin")
# Settings on which no grade depends: where the course lies, and whether isolation was proven a moment ago.
ELSEWHERE = {"RunAnswers": ("solutions", "longest"), "SandboxKernelManager": ("prove_first",)}


class TakenError(Exception):
    """Another run is grading this class."""


@dataclass(frozen=True)
class Submission:
    """One learner's submission of the lesson, as it was rebuilt.

    learner   whose it is
    digest    of everything that its grade depends on
    notebook  the rebuilt notebook
    taken     which file it was rebuilt from, where that is not plain; else None
    """

    learner: str
    digest: str
    notebook: NotebookNode
    taken: str | None = None


class AutogradeJudged(AutogradeAll):
    """nbgrader's autograde in which a notebook that was judged elsewhere takes the place of the run.

    judged  {learner: (digest, executed notebook)}
    """

    judged: dict[str, tuple[str, NotebookNode]] = {}

    def folders(self) -> list[str]:
        course = self.coursedir
        step, lesson = course.submitted_directory, course.assignment_id
        return [course.format_path(step, learner, lesson) for learner in self.judged]

    def _init_preprocessors(self) -> None:
        super()._init_preprocessors()
        steps = self.exporter._preprocessors
        if not self._sanitizing:
            steps[:] = [step for step in steps if not isinstance(step, RunAnswers)]
            steps.insert(0, self._take)
            steps.append(self._stamp)

    def _take(self, notebook: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        digest, judged = self.judged[resources["nbgrader"]["student"]]
        resources["digest"] = digest
        return judged, resources

    def _stamp(self, notebook: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        if "unknown" not in notebook.metadata[NOTES]:  # what could not be judged is judged again by the next run
            notebook.metadata[NOTES][GRADED] = resources["digest"]
        return notebook, resources


class Grading:
    """The submissions of one lesson in a course.

    root      the course, or the folder of a class whose nbgrader_config.py takes in the course's
    lesson    which lesson: a number, a name or a path
    settings  traitlets configuration that is added to the course's own
    """

    def __init__(self, root: Path | str, lesson: str, settings: "Config | None" = None) -> None:
        from nbgrader.coursedir import CourseDirectory

        self.root = Path(root).resolve()
        self.config = self._configured(self.root, settings)
        self.lesson = read(select(Path(self.config.RunAnswers.solutions).parent, [lesson])[0])
        self.course = CourseDirectory(config=self.config, root=str(self.root), assignment_id=self.lesson.folder)
        self.patience = Patience(config=self.config)

    @staticmethod
    def _configured(root: Path, settings: "Config | None") -> Any:
        from traitlets.config import PyFileConfigLoader

        config = PyFileConfigLoader(CONFIG, path=str(root)).load_config()
        config.merge(settings or {})
        return config

    @classmethod
    def handed_in(cls, root: Path | str, settings: "Config | None" = None) -> list[str]:
        """Return the paths of the lessons for which anybody has handed something in; no other one is read."""
        from nbgrader.coursedir import CourseDirectory

        config = cls._configured(Path(root).resolve(), settings)
        submitted = Path(root).resolve() / CourseDirectory(config=config, root=str(root)).submitted_directory
        names = {re.sub(r"^\d\d_", "", path.name) for path in submitted.glob("[!.]*/*")}
        return [str(path) for path in select(Path(config.RunAnswers.solutions).parent) if path.stem in names]

    def folder(self, step: str, learner: str = ".") -> Path:
        """Return the folder of this lesson in one of nbgrader's steps."""
        return Path(self.course.format_path(step, learner, self.lesson.folder))

    def expect_gradebook(self) -> None:
        """Raise `ScarcityError` if the gradebook cannot be used: before any submission is run, and it stays as it is.

        One that another program holds is waited for. A server that does not answer now may be the wrong one.
        """
        url = self.course.db_url
        if sqlite_file(url):
            self.patience.until_free(functools.partial(expect_usable, url), url)
        else:
            Patience(seconds=0).until_free(functools.partial(expect_usable, url), url)

    def expect_released(self) -> None:
        """Raise CourseError if nbgrader does not know this lesson yet, or if its notebook is not there."""
        from nbgrader.api import Gradebook, MissingEntry

        notebook = self.folder(self.course.release_directory) / f"{self.lesson.name}.ipynb"
        try:
            with Gradebook(self.course.db_url, self.course.course_id) as gradebook:
                gradebook.find_notebook(self.lesson.name, self.lesson.folder)
            missing = not notebook.is_file()
        except MissingEntry:
            missing = True
        if missing:
            word = self.lesson.number or self.lesson.name
            raise CourseError(
                f"{self.lesson.folder} is not released: there is no {from_here(notebook)}, or the gradebook "
                f"{self.gradebook} does not know it; run `python -m autograder release {word}`, or nbgrader "
                "generate_assignment"
            )

    @property
    def longest(self) -> int:
        """How many seconds by the clock one submission may take."""
        settings = RunAnswers(config=self.config)
        return settings.longest or 3 * settings.budget

    @property
    def gradebook(self) -> str:
        """The address of the gradebook, as it may be shown."""
        from sqlalchemy import make_url

        return make_url(self.course.db_url).render_as_string(hide_password=True)

    def learners(self) -> list[str]:
        """Return the names of all who handed something in for this lesson."""
        submitted = self.root / self.course.submitted_directory
        found = sorted(submitted.iterdir()) if submitted.is_dir() else []
        return [
            path.name for path in found if not path.name.startswith(".") and os.path.lexists(path / self.lesson.folder)
        ]

    @functools.cached_property
    def _basis(self) -> tuple[str, dict[str, timedelta]]:
        found: tuple[str, dict[str, timedelta]] = self.patience.until_free(self._read_basis, self.course.db_url)
        return found

    def _read_basis(self) -> tuple[str, dict[str, timedelta]]:
        """A digest of what every grade of this lesson depends on besides the submission, and the extensions of those
        who have one: {learner: timedelta}."""
        from nbgrader.api import Gradebook, MissingEntry

        released = self.folder(self.course.release_directory) / f"{self.lesson.name}.ipynb"
        settings = {name: dict(self.config[name]) for name in (*STEPS, *LATE) if name in self.config}
        for step, names in ELSEWHERE.items():
            for name in names:
                settings.get(step, {}).pop(name, None)
        settings = {step: chosen for step, chosen in settings.items() if chosen}
        due = None
        extensions: dict[str, timedelta] = {}
        with contextlib.suppress(MissingEntry), Gradebook(self.course.db_url, self.course.course_id) as gradebook:
            due = gradebook.find_assignment(self.lesson.folder).duedate
            extensions = {
                one.student_id: one.extension
                for one in gradebook.assignment_submissions(self.lesson.folder)
                if one.extension
            }
        settings["due"] = {"date": str(due)}
        return basis.digest(self.lesson.name, released, Path(self.config.RunAnswers.solutions), settings), extensions

    def submission(self, learner: str) -> Submission:
        """Read what a learner handed in, whatever it is, and return it as a `Submission`.

        Raises `RefusedError` for a name that no gradebook bears.
        """
        if why := why_refused(learner):
            raise RefusedError(why)
        folder = self.folder(self.course.submitted_directory, learner)
        names = {
            "student": learner,
            "assignment": self.lesson.folder,
            "notebook": self.lesson.name,
            "db_url": self.course.db_url,
        }
        resources = {"nbgrader": names, "unique_key": self.lesson.name}
        with contextlib.chdir(self.root):
            exporter = SubmissionExporter(config=self.config)
            arrival = exporter.arrival(str(folder / f"{self.lesson.name}.ipynb"), names)
            notebook, _ = Rebuild(config=self.config).preprocess(new_notebook(), resources | {"arrival": arrival})
        basis, extensions = self._basis
        times = [str(read_time(folder)[0]), str(extensions.get(learner))]
        said = json.dumps([basis, times, notebook], sort_keys=True)
        taken = notebook.metadata[NOTES].get("taken")
        return Submission(learner, hashlib.sha256(said.encode()).hexdigest(), notebook, taken)

    def graded(self, learner: str) -> str | None:
        """Return the digest of what the learner's graded notebook is the grade of, or None."""
        path = self.folder(self.course.autograded_directory, learner) / f"{self.lesson.name}.ipynb"
        try:
            with open(path, encoding="utf-8") as file:
                digest: str = json.load(file)["metadata"][NOTES][GRADED]
                return digest
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def unit(self, submission: Submission) -> Unit:
        """Return the work that a submission makes for a worker."""
        chosen = {name: self.config[name] for name in STEPS if name in self.config}
        return Unit(
            submission.learner,
            nbformat.writes(submission.notebook, version=nbformat.NO_CONVERT),
            str(self.folder(self.course.release_directory)),
            json.dumps(chosen),
        )

    def record(self, submission: Submission, found: str | BaseException) -> list[report.Graded]:
        """Let nbgrader record a submission's scores and write its graded notebook; return its `Graded` checks."""
        notebook = submission.notebook if isinstance(found, Exception) else nbformat.reads(found, 4)
        if isinstance(found, Exception):
            notebook.metadata[NOTES]["refused"] = str(found) or type(found).__name__
        course = type(self.course)(config=self.config, root=str(self.root), assignment_id=self.lesson.folder)
        converter: Any = AutogradeJudged(coursedir=course, config=self.config)
        converter.force = True
        converter.patience = self.patience
        converter.judged = {submission.learner: (submission.digest, notebook)}
        converter.start()
        return self.read(submission.learner)

    def read(self, learner: str) -> list[report.Graded]:
        path = self.folder(self.course.autograded_directory, learner) / f"{self.lesson.name}.ipynb"
        return report.read(path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second run away from this class while the block runs. Raises `TakenError` if there is one already."""
        folder = self.root / self.course.autograded_directory
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".grading", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise TakenError(
                    f"{folder}: another run is grading this class; wait until it ends, or stop it"
                ) from None
            yield
