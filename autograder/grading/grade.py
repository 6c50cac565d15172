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
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
    from rich.console import Console
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
    pool: workers.Local | workers.Cluster | workers.OnDemand,
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
    parser.add_argument(
        "lessons", nargs="+", metavar="LESSON", help="numbers, names or paths of lessons; `all` that were handed in"
    )
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


def chosen_lessons(root: Path, words: Sequence[str], config: "Config") -> list[Grading]:
    """Return the `Grading` of each lesson that words name, in their order; of every one with submissions for `all`.

    Raises CourseError if nothing was handed in for one that is named, or for any.
    """
    every = list(words) == ["all"]
    found = [Grading(root, name, config) for name in (Grading.handed_in(root, config) if every else words)]
    missing = [one.lesson.folder for one in found if not one.learners()]
    if missing or not found:
        place = root / (found[0].course.submitted_directory if found else "submitted")
        raise CourseError(f"{place}: nothing was handed in for {missing[0] if missing else 'any lesson'}")
    return found


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from ..sandbox import SandboxUnavailable

    os.environ["PATH"] = with_programs()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    root = find_root(args.root)
    lessons = chosen_lessons(root, args.lessons, settings(args))
    first = lessons[0]
    console = Console(width=None if sys.stdout.isatty() else 140)
    for grading in lessons:
        grading.patience.say = functools.partial(console.print, style="bold yellow", soft_wrap=True, markup=False)
    outcomes: list[tuple[Grading, Outcome, float]] = []
    try:
        first.expect_gradebook()
        for grading in lessons:
            grading.expect_released()
        with contextlib.ExitStack() as stack:
            stack.enter_context(first.alone())
            stack.enter_context(logged(root / LOG))
            progress = stack.enter_context(shown_progress(console))
            if not args.cluster:
                # The workers of this machine need not prove it again: none is started before it is proven here.
                for grading in lessons:
                    grading.config.SandboxKernelManager.prove_first = False
            pool = workers.OnDemand(functools.partial(_started, args, first, console, stack))
            for grading in lessons:
                begun, title = time.perf_counter(), _title(grading, lessons)
                outcome = grade(grading, pool, args.again, args.only, functools.partial(progress, title))
                outcomes.append((grading, outcome, time.perf_counter() - begun))
    except (SandboxUnavailable, TakenError, LookupError, RuntimeError) as reason:
        raise CourseError(str(reason)) from reason
    except (CourseError, OSError) as error:
        if lack := lacking(error, first.course.db_url, root):
            raise CourseError(f"{lack}. {GOES_ON}") from error
        raise
    for grading, outcome, seconds in outcomes:
        _tell(grading, outcome, seconds, len(lessons) > 1, console)
    return 1 if any(outcome.failed for _, outcome, _ in outcomes) else 0


def _title(grading: Grading, lessons: Sequence[Grading]) -> str:
    return "Grading" if len(lessons) == 1 else f"Grading {grading.lesson.folder}"


def _tell(grading: Grading, outcome: Outcome, seconds: float, named: bool, console: "Console") -> None:
    """Print what became of the submissions of a lesson.

    named  True: the lesson's name stands above
    """
    if named:
        console.print(f"\n{grading.lesson.folder}", style="bold")
    by_hand = sum(question.points for question in grading.lesson.questions.values())
    report.show(outcome.checks, console, by_hand=by_hand)
    before = len(outcome.checks) - outcome.graded
    console.print(
        f"{outcome.graded} graded in {seconds:.0f} s, {before} were graded already. "
        f"Gradebook: {grading.gradebook}, log: {from_here(grading.root / LOG)}",
        soft_wrap=True,
    )
    for learner, which in sorted(outcome.taken.items()):
        console.print(told(f"{learner}: {which}"), soft_wrap=True)
    for learner, why in outcome.failed.items():
        console.print(told(f"NOT GRADED: {learner}: {why}"), style="bold red", soft_wrap=True)


def _started(
    args: argparse.Namespace, grading: Grading, console: "Console", stack: contextlib.ExitStack
) -> workers.Local | workers.Cluster:
    """Return the workers that the command line asks for, when it is proven and said what isolates submissions.

    stack  ends them
    """
    from ..sandbox import prove, warm_once

    if args.without_sandbox:
        console.print(WITHOUT_SANDBOX, style="bold red")
    elif not args.cluster:
        stack.enter_context(warm_once())
        console.print(str(prove(grading.config)))
    count = args.workers or cores()
    return stack.enter_context(workers.chosen(args.cluster, count, grading.longest))


GOES_ON = "What is graded is recorded; run the same command again, and it goes on from there."
WITHOUT_SANDBOX = """\
WITHOUT A SANDBOX: the code of every submission runs with your rights. It can read and change your files, the
solutions and the gradebook among them, and it can use the network. Do this only on a machine that holds nothing you
would miss."""
