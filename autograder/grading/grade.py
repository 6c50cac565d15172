"""Grade a class: every submission that is new or has changed, side by side, with nbgrader's own steps and gradebook.

One process, the coordinator, reads what arrived, and is the only one that writes: into the gradebook and into
`autograded/`. Workers run the notebooks. A submission counts as graded when its graded notebook says of what it is
the grade, and that is written last, so a run that is killed at any moment goes on where it was.
"""

import argparse
import contextlib
import functools
import logging
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..course import CourseError, find_root, from_here, with_programs
from ..display import shown, told
from ..intake.folder import RefusedError, UnreachableError
from ..processes import cores
from ..progress_bar import shown_progress
from ..scarcity import lacking
from . import report, workers
from .gradebook import connected_once
from .log import logged
from .submissions import Grading, Submission, TakenError
from .unit import Unit
from .workers import GivenUpError

if TYPE_CHECKING:
    from traitlets.config import Config

LOG = "grading.log"


@dataclass
class Outcome:
    """What a run came to.

    checks  {learner: [`Graded`]} of everybody who handed in, those graded before included
    graded  how many were graded by this run
    failed  {learner: why}: who could not be recorded, and will be tried again by the next run
    taken   {learner: which}: of whom another file was graded than the one that is asked for, or one of several
    """

    checks: dict[str, list[report.Graded]]
    graded: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)


def grade(
    grading: Grading,
    pool: workers.Local | workers.Cluster,
    again: bool = False,
    only: Collection[str] | None = None,
    progress: Callable[[int, int], object] = lambda done, every: None,
) -> Outcome:
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
            f"{', '.join(map(shown, missing))}: no submission in {grading.course.submitted_directory} for "
            f"{grading.lesson.folder}; choose from {', '.join(map(shown, learners[:10])) or 'nobody'}"
        )
    chosen = [learner for learner in learners if only is None or learner in only]
    outcome = Outcome({})
    waiting: dict[Unit, Submission] = {}

    def done() -> None:
        progress(len(outcome.checks) + len(outcome.failed), len(chosen))

    def failed(learner: str, error: Exception) -> None:
        # Whatever it was, the others are still to be graded, and the next run takes this one up again.
        known = isinstance(error, (RefusedError, UnreachableError))
        logging.getLogger("traitlets").error("%s was not graded", learner, exc_info=error)
        outcome.failed[learner] = str(error) if known else f"{type(error).__name__}: {error}"
        done()

    def units() -> Iterator[Unit]:
        for learner in chosen:
            try:
                submission = grading.submission(learner)
                if submission.taken:
                    outcome.taken[learner] = submission.taken
                graded = not again and grading.graded(learner) == submission.digest
                found = grading.read(learner) if graded else grading.unit(submission)
            except Exception as error:
                failed(learner, error)
                continue
            if not isinstance(found, Unit):
                outcome.checks[learner] = found
                done()
            else:
                waiting[found] = submission
                yield found

    with connected_once():
        for unit, found in pool.results(units()):
            submission = waiting.pop(unit)
            try:
                if isinstance(found, Exception) and not isinstance(found, GivenUpError):
                    raise found
                outcome.checks[submission.learner] = grading.record(submission, found)
                outcome.graded += 1
            except Exception as error:
                if lack := lacking(error, grading.course.db_url, grading.root):
                    raise lack from error  # it is about all of them
                failed(submission.learner, error)
            else:
                done()
    outcome.checks = dict(sorted(outcome.checks.items()))
    return outcome


def arguments(parser: argparse.ArgumentParser) -> None:
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


def settings(args: argparse.Namespace) -> "Config":
    """Return what the command line adds to the course's configuration."""
    from traitlets.config import Config

    config = Config()
    if args.db:
        config.CourseDirectory.db_url = args.db
    if args.without_sandbox:
        config.SandboxKernelManager.without_sandbox = True
    return config


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from ..sandbox import SandboxUnavailable, prove, warm_once

    os.environ["PATH"] = with_programs()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    root = find_root(args.root)
    grading = Grading(root, args.lesson, settings(args))
    if not grading.learners():
        raise CourseError(
            f"{root / grading.course.submitted_directory}: nothing was handed in for {grading.lesson.folder}"
        )
    console = Console(width=None if sys.stdout.isatty() else 140)
    grading.patience.say = functools.partial(console.print, style="bold yellow", soft_wrap=True, markup=False)
    try:
        grading.expect_gradebook()
        grading.expect_released()
        with contextlib.ExitStack() as stack:
            stack.enter_context(grading.alone())
            stack.enter_context(logged(root / LOG))
            if args.without_sandbox:
                console.print(WITHOUT_SANDBOX, style="bold red")
            elif not args.cluster:
                stack.enter_context(warm_once())
                console.print(str(prove(grading.config)))
                grading.config.SandboxKernelManager.prove_first = False  # for the workers of this machine
            count = args.workers or cores()
            pool = stack.enter_context(workers.chosen(args.cluster, count, grading.longest))
            progress = stack.enter_context(shown_progress(console))
            begun = time.perf_counter()
            outcome = grade(grading, pool, args.again, args.only, functools.partial(progress, "Grading"))
            seconds = time.perf_counter() - begun
    except (SandboxUnavailable, TakenError, LookupError, RuntimeError) as reason:
        raise CourseError(str(reason)) from reason
    except (CourseError, OSError) as error:
        if lack := lacking(error, grading.course.db_url, root):
            raise CourseError(f"{lack}. {GOES_ON}") from error
        raise
    report.show(outcome.checks, console)
    before = len(outcome.checks) - outcome.graded
    console.print(
        f"{outcome.graded} graded in {seconds:.0f} s, {before} were graded already. "
        f"Gradebook: {grading.gradebook}, log: {from_here(root / LOG)}",
        soft_wrap=True,
    )
    for learner, which in sorted(outcome.taken.items()):
        console.print(told(f"{learner}: {which}"), soft_wrap=True)
    for learner, why in outcome.failed.items():
        console.print(told(f"NOT GRADED: {learner}: {why}"), style="bold red", soft_wrap=True)
    return 1 if outcome.failed else 0


GOES_ON = "What is graded is recorded; run the same command again, and it goes on from there."
WITHOUT_SANDBOX = """\
WITHOUT A SANDBOX: the code of every submission runs with your rights. It can read and change your files, the
solutions and the gradebook among them, and it can use the network. Do this only on a machine that holds nothing you
would miss."""
