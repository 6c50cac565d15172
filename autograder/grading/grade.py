"""Grade a class: every submission that is new or has changed, side by side, with nbgrader's own steps and gradebook.

One process, the coordinator, reads what arrived, and is the only one that writes: into the gradebook and into
`autograded/`. Workers run the notebooks. A submission counts as graded when its graded notebook says of what it is
the grade, and that is written last, so a run that is killed at any moment goes on where it was.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import logging
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat.v4 import new_notebook

from .. import probes
from ..authoring.lesson import read
from ..course import CONFIG, CourseError, find_root, select, shown, with_programs
from ..intake.arrivals import AutogradeAll, SubmissionExporter
from ..intake.rebuild import NOTES, Rebuild
from ..intake.timestamp import read_time
from ..processes import cores
from ..progress_bar import shown_progress
from . import report, workers
from .gradebook import connected_once
from .log import logged
from .run import RunAnswers
from .unit import Unit
from .workers import GivenUp

LOG = "grading.log"
GRADED = "graded"  # the note in a graded notebook: the digest of what it is the grade of


class Taken(Exception):
    """Another run is grading this class."""


@dataclass(frozen=True)
class Submission:
    """One learner's submission of the lesson, as it was rebuilt.

    learner   whose it is
    digest    of everything that its grade depends on
    notebook  the rebuilt notebook
    """

    learner: str
    digest: str
    notebook: object


class AutogradeJudged(AutogradeAll):
    """nbgrader's autograde in which a notebook that was judged elsewhere takes the place of the run.

    judged  {learner: (digest, executed notebook)}
    """

    judged = {}

    def _init_preprocessors(self):
        super()._init_preprocessors()
        steps = self.exporter._preprocessors
        if not self._sanitizing:
            steps[:] = [step for step in steps if not isinstance(step, RunAnswers)]
            steps.insert(0, self._take)
            steps.append(self._stamp)

    def _take(self, notebook, resources):
        digest, judged = self.judged[resources["nbgrader"]["student"]]
        resources["digest"] = digest
        return judged, resources

    def _stamp(self, notebook, resources):
        notebook.metadata[NOTES][GRADED] = resources["digest"]
        return notebook, resources


class Grading:
    """The submissions of one lesson in a course.

    root      the course, or the folder of a class whose nbgrader_config.py takes in the course's
    lesson    which lesson: a number, a name or a path
    settings  traitlets configuration that is added to the course's own
    """

    def __init__(self, root, lesson, settings=None):
        from nbgrader.coursedir import CourseDirectory
        from traitlets.config import PyFileConfigLoader

        self.root = Path(root).resolve()
        self.config = PyFileConfigLoader(CONFIG, path=str(self.root)).load_config()
        self.config.merge(settings or {})
        self.lesson = read(select(Path(self.config.RunAnswers.solutions).parent, [lesson])[0])
        self.course = CourseDirectory(config=self.config, root=str(self.root), assignment_id=self.lesson.folder)

    def folder(self, step, learner="."):
        """Return the folder of this lesson in one of nbgrader's steps."""
        return Path(self.course.format_path(step, learner, self.lesson.folder))

    def expect_released(self):
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
                f"{self.lesson.folder} is not released: there is no {shown(notebook)}, or the gradebook "
                f"{self.gradebook} does not know it; run `python -m autograder release {word}`, or nbgrader "
                "generate_assignment"
            )

    @property
    def gradebook(self):
        """The address of the gradebook, as it may be shown."""
        from sqlalchemy import make_url

        return make_url(self.course.db_url).render_as_string(hide_password=True)

    def learners(self):
        """Return the names of all who handed something in for this lesson."""
        submitted = self.root / self.course.submitted_directory
        found = sorted(submitted.iterdir()) if submitted.is_dir() else []
        return [
            path.name for path in found if not path.name.startswith(".") and os.path.lexists(path / self.lesson.folder)
        ]

    @functools.cached_property
    def _version(self):
        """A digest of what a grade depends on besides the submission: the released notebook, and how it is judged."""
        parts = [self.folder(self.course.release_directory) / f"{self.lesson.name}.ipynb"]
        solutions = Path(self.config.RunAnswers.solutions)
        parts += [
            solutions / f"{self.lesson.name}.py",
            solutions / "mistakes" / f"{self.lesson.name}.py",
            solutions / "alternatives" / f"{self.lesson.name}.py",
            *probes.files(self.lesson.name),
        ]
        digest = hashlib.sha256()
        for path in parts:
            digest.update(path.read_bytes() if path.is_file() else b"none")
        return digest.hexdigest()

    def submission(self, learner):
        """Read what a learner handed in, whatever it is, and return it as a `Submission`."""
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
        said = json.dumps([self._version, str(read_time(folder)[0]), notebook], sort_keys=True)
        return Submission(learner, hashlib.sha256(said.encode()).hexdigest(), notebook)

    def graded(self, learner):
        """Return the digest of what the learner's graded notebook is the grade of, or None."""
        path = self.folder(self.course.autograded_directory, learner) / f"{self.lesson.name}.ipynb"
        try:
            with open(path, encoding="utf-8") as file:
                return json.load(file)["metadata"][NOTES][GRADED]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def unit(self, submission):
        """Return the work that a submission makes for a worker."""
        steps = ("Execute", "RunAnswers", "Score", "SandboxProvisioner", "SandboxKernelManager")
        chosen = {name: self.config[name] for name in steps if name in self.config}
        return Unit(
            submission.learner,
            nbformat.writes(submission.notebook, version=nbformat.NO_CONVERT),
            str(self.folder(self.course.release_directory)),
            json.dumps(chosen),
        )

    def record(self, submission, found):
        """Let nbgrader record a submission's scores and write its graded notebook; return its `Graded` checks."""
        notebook = submission.notebook if isinstance(found, Exception) else nbformat.reads(found, 4)
        if isinstance(found, Exception):
            notebook.metadata[NOTES]["refused"] = str(found) or type(found).__name__
        course = type(self.course)(
            config=self.config, root=str(self.root), assignment_id=self.lesson.folder, student_id=submission.learner
        )
        converter = AutogradeJudged(coursedir=course, config=self.config)
        converter.force = True
        converter.judged = {submission.learner: (submission.digest, notebook)}
        converter.start()
        return self.read(submission.learner)

    def read(self, learner):
        path = self.folder(self.course.autograded_directory, learner) / f"{self.lesson.name}.ipynb"
        return report.read(path)

    @contextlib.contextmanager
    def alone(self):
        """Keep a second run away from this class while the block runs. Raises `Taken` if there is one already."""
        folder = self.root / self.course.autograded_directory
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".grading", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Taken(f"{folder}: another run is grading this class; wait for it, or end it") from None
            yield


@dataclass
class Outcome:
    """What a run came to.

    checks  {learner: [`Graded`]} of everybody who handed in, those graded before included
    graded  how many were graded by this run
    failed  {learner: why}: who could not be recorded, and will be tried again by the next run
    """

    checks: dict
    graded: int = 0
    failed: dict = field(default_factory=dict)


def grade(grading, pool, again=False, only=None, progress=lambda done, every: None):
    """Grade what is new or changed and return the `Outcome`.

    pool      the workers
    again     True: grade everything, whether or not it is graded
    only      names of the learners to grade; all if None
    progress  function of (done, of how many), called whenever one is done
    Raises LookupError for a name that handed in nothing.
    """
    learners = grading.learners()
    if missing := sorted(set(only or ()) - set(learners)):
        raise LookupError(
            f"{', '.join(missing)}: no submission in {grading.course.submitted_directory} for "
            f"{grading.lesson.folder}; choose from {', '.join(learners[:10]) or 'nobody'}"
        )
    chosen = [learner for learner in learners if only is None or learner in only]
    outcome, waiting = Outcome({}), {}

    def done():
        progress(len(outcome.checks) + len(outcome.failed), len(chosen))

    def units():
        for learner in chosen:
            submission = grading.submission(learner)
            if not again and grading.graded(learner) == submission.digest:
                outcome.checks[learner] = grading.read(learner)
                done()
            else:
                unit = grading.unit(submission)
                waiting[unit] = submission
                yield unit

    with connected_once():
        for unit, found in pool.results(units()):
            submission = waiting.pop(unit)
            try:
                if isinstance(found, Exception) and not isinstance(found, GivenUp):
                    raise found
                outcome.checks[submission.learner] = grading.record(submission, found)
                outcome.graded += 1
            except Exception as error:
                # Whatever it was, the others are still to be graded, and the next run takes this one up again.
                logging.getLogger("traitlets").exception("%s was not graded", submission.learner)
                outcome.failed[submission.learner] = f"{type(error).__name__}: {error}"
            done()
    outcome.checks = dict(sorted(outcome.checks.items()))
    return outcome


def arguments(parser):
    parser.add_argument("lesson", metavar="LESSON", help="number, name or path of the lesson")
    parser.add_argument("--root", help="folder of the course (the nearest one, here or above, with nbgrader_config.py)")
    parser.add_argument("--again", action="store_true", help="grade every submission, not only new and changed ones")
    parser.add_argument("--only", nargs="+", metavar="LEARNER", help="grade only these learners")
    parser.add_argument("--workers", type=int, metavar="N", help="submissions at a time (one for each processor)")
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="grade on the workers of this Dask scheduler, such as "
        "tcp://host:8786; `local` starts a cluster on this machine",
    )
    parser.add_argument("--db", metavar="URL", help="the gradebook, such as postgresql:///class (gradebook.db)")
    parser.add_argument(
        "--without-sandbox",
        action="store_true",
        help="run submissions with YOUR rights: they can "
        "read and change your files and use the network. Only for a machine with nothing to lose",
    )


def settings(args):
    """Return what the command line adds to the course's configuration."""
    from traitlets.config import Config

    config = Config()
    if args.db:
        config.CourseDirectory.db_url = args.db
    if args.without_sandbox:
        config.SandboxKernelManager.without_sandbox = True
    return config


def run(args):
    from rich.console import Console

    from ..sandbox import SandboxUnavailable, prove

    os.environ["PATH"] = with_programs()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    root = find_root(args.root)
    grading = Grading(root, args.lesson, settings(args))
    if not grading.learners():
        raise CourseError(
            f"{root / grading.course.submitted_directory}: nothing was handed in for {grading.lesson.folder}"
        )
    grading.expect_released()
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(grading.alone())
            stack.enter_context(logged(root / LOG))
            if args.without_sandbox:
                console.print(WITHOUT_SANDBOX, style="bold red")
            elif not args.cluster:
                console.print(str(prove(grading.config)))
                grading.config.SandboxKernelManager.prove_first = False  # for the workers of this machine
            count = args.workers or cores()
            pool = stack.enter_context(workers.chosen(args.cluster, count, sandboxed=not args.without_sandbox))
            progress = stack.enter_context(shown_progress(console))
            begun = time.perf_counter()
            outcome = grade(grading, pool, args.again, args.only, functools.partial(progress, "Grading"))
            seconds = time.perf_counter() - begun
    except (SandboxUnavailable, Taken, LookupError, RuntimeError) as reason:
        raise CourseError(str(reason)) from reason
    report.show(outcome.checks, console)
    before = len(outcome.checks) - outcome.graded
    console.print(
        f"{outcome.graded} graded in {seconds:.0f} s, {before} were graded already. "
        f"Gradebook: {grading.gradebook}, log: {shown(root / LOG)}",
        soft_wrap=True,
    )
    for learner, why in outcome.failed.items():
        console.print(f"NOT GRADED: {learner}: {why}", style="bold red", soft_wrap=True)
    return 1 if outcome.failed else 0


WITHOUT_SANDBOX = """\
WITHOUT A SANDBOX: the code of every submission runs with your rights. It can read and change your files, the
solutions and the gradebook among them, and it can use the network. Do this only on a machine that holds nothing you
would miss."""
