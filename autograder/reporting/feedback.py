"""Write the feedback pages of a class, several lessons one after the other and the learners of each side by side."""

import argparse
import concurrent.futures
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbgrader.converters import GenerateFeedback

from ..course import CourseError, find_root, with_programs
from ..display import shown
from ..grading.gradebook import connected_once
from ..grading.log import logged
from ..intake.learner import folders, learner_of
from ..processes import cores, pool
from ..progress_bar import shown_progress
from . import report

if TYPE_CHECKING:
    from nbgrader.coursedir import CourseDirectory

TOGETHER = 10  # pages that a process makes with one converter: to set one up takes as long as a page


class SomeFeedback(GenerateFeedback):
    """nbgrader's converter for the learners in some folders; pages that are there are made anew."""

    chosen: Collection[str] = ()
    assignments: dict[str, list[str]]

    def convert_notebooks(self) -> None:
        self.force = True
        self.assignments = {folder: self.assignments[folder] for folder in self.assignments if folder in self.chosen}
        super().convert_notebooks()


def graded(course: "CourseDirectory", only: Collection[str] | None = None) -> list[str]:
    """Return the folders of the graded submissions of a course's assignment.

    only  names of learners; all if None
    """
    found, _ = folders(course, course.autograded_directory)
    return [folder for folder in found if only is None or learner_of(course, folder) in only]


def make(root: str, assignment: str, db: str | None, chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Write the pages of some folders, and return [(learner, why)] of those that could not be made."""
    course = _course(root, assignment, db)
    failed = []
    with connected_once(), logged(os.devnull):
        try:
            _convert(course, chosen)
        except (Exception, SystemExit):  # nbgrader ends with it where one of many failed; which one it does not say
            for folder in chosen:
                try:
                    _convert(course, [folder])
                except (Exception, SystemExit) as error:
                    failed.append((learner_of(course, folder), f"{type(error).__name__}: {error}"))
    return failed


def _course(root: str, assignment: str, db: str | None) -> Any:
    course = report.course_in(Path(root), db)
    course.assignment_id = assignment
    return course


def _convert(course: Any, chosen: Sequence[str]) -> None:
    converter = SomeFeedback(coursedir=course, config=course.config)
    converter.chosen = frozenset(chosen)
    converter.start()


def batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def arguments(parser: argparse.ArgumentParser) -> None:
    report.arguments_of_graded(parser)
    parser.add_argument("--only", nargs="+", metavar="LEARNER", help="pages of these learners only")
    parser.add_argument("--workers", type=int, metavar="N", help="pages at a time (one for each processor)")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    os.environ["PATH"] = with_programs()
    root = find_root(args.root)
    course = report.course_in(root)
    known = {path.name for path in (root / course.autograded_directory).glob("*/*")}
    lessons = report.lessons_of(Path(course.config.RunAnswers.solutions).parent, args.lessons, known)
    work = {lesson.folder: graded(_course(str(root), lesson.folder, args.db), args.only) for lesson in lessons}
    named = args.lessons and args.lessons != ["all"]
    empty = [name for name, found in work.items() if not found] if named else []
    if empty or not any(work.values()):
        what = empty[0] if empty else "any lesson"
        raise CourseError(f"nothing of {what} is graded; run `python -m autograder grade LESSON` first")
    console = Console(width=None if sys.stdout.isatty() else 140)
    failed: list[tuple[str, str, str]] = []
    count = args.workers or cores()
    with pool(count, [__name__]) as processes, shown_progress(console) as progress:
        for name, found in work.items():
            running = {
                processes.submit(make, str(root), name, args.db, batch): len(batch)
                for batch in batches(found, TOGETHER)
            }
            done = 0
            for future in concurrent.futures.as_completed(running):
                failed += [(name, *one) for one in future.result()]
                done += running[future]
                progress(f"Feedback {name}", done, len(found))
    for name, learner, why in failed:
        console.print(f"NO PAGE: {shown(learner)}, {name}: {shown(why, None)}", style="bold red", markup=False)
    console.print(f"{sum(map(len, work.values())) - len(failed)} pages in {root / 'feedback'}", soft_wrap=True)
    return 1 if failed else 0
