"""A simulated class: submissions of every kind go through release, autograde, feedback and export."""

import argparse
import datetime
import functools
import itertools
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import mistakes
from ..authoring.build import notebook_path
from ..authoring.faults import beside
from ..authoring.lesson import Lesson, read
from ..course import CONFIG as CONFIG_FILE
from ..course import CourseError, find_root, from_here, select, with_programs
from ..processes import cores
from ..progress_bar import shown_progress
from . import imagined, report
from .log import logged
from .submissions import Grading

if TYPE_CHECKING:
    from rich.console import Console
    from traitlets.config import Config

CONFIG = """\
# A class that was simulated with `python -m autograder class`; everything but the folders comes from the course.
load_subconfig("nbgrader_config.py", path={root!r})
c = get_config()
c.Execute.timeout = 15  # one of its learners never comes to an end
"""


def answers_of(lesson: Lesson) -> dict[str, dict[str, str]]:
    """Return {learner: {exercise: source}}: right answers in several styles, and every known mistake.

    The learners of the class carry one mistake in each exercise, so there are as many as the exercise with most
    mistakes has.
    """
    catalogue = mistakes.read(beside(lesson, "mistakes"))
    alternatives = mistakes.read_alternatives(beside(lesson, "alternatives"))
    right = {name: exercise.source for name, exercise in lesson.exercises.items()}
    learners = {"right_as_in_the_solution": right}
    styles = {name: [alternatives.source(name, style) for style, _ in alternatives.of(name)] for name in right}
    for number in range(max(map(len, styles.values()), default=0)):
        learners[f"right_in_style_{number + 1}"] = {
            name: sources[number] if number < len(sources) else right[name] for name, sources in styles.items()
        }
    wrong = {name: _one_of_each(catalogue, name) for name in right}
    for number in range(max(map(len, wrong.values()))):
        learners[f"mistaken_{number + 1:02d}"] = {
            name: sources[number] if number < len(sources) else right[name] for name, sources in wrong.items()
        }
    return learners


def _one_of_each(catalogue: mistakes.Catalogue, exercise: str) -> list[str]:
    firsts: dict[str, str] = {}
    for wrong in catalogue.singles(exercise):
        firsts.setdefault(wrong.mistakes[0], catalogue.source(wrong))
    return list(firsts.values())


def odd_submissions(lesson: Lesson, released: dict[str, Any], other: dict[str, Any]) -> dict[str, bytes]:
    """Return {learner: bytes of the notebook}: what arrives besides answers.

    released  the released notebook, parsed
    other     the released notebook of another lesson, parsed
    """
    first = next(iter(lesson.exercises))

    def with_cell(source: str) -> bytes:
        return _filled(released, {first: source})

    return {
        "unsolved": _filled(released, {}),
        "half_solved": _filled(released, {first: lesson.exercises[first].source}),
        "raises_in_a_cell": with_cell("raise RuntimeError('I gave up')"),
        "ends_the_process": with_cell("import os\nos._exit(1)"),
        "never_ends": with_cell("while True:\n    pass"),
        "endless_answer": with_cell(f"def {first}(*arguments):\n    while True:\n        pass"),
        "does_not_parse": with_cell(f"def {first}(query, key:\n    return"),
        "empty_notebook": json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode(),
        "broken_json": b'{"cells": [{"cell_type": "code", "source',
        "another_lesson": json.dumps(other).encode(),
    }


def _filled(released: dict[str, Any], answers: Mapping[str, str]) -> bytes:
    """Return the released notebook with these sources in its answer cells, as bytes."""
    notebook = json.loads(json.dumps(released))
    for cell in notebook["cells"]:
        name: Any = (cell["metadata"].get("nbgrader") or {}).get("grade_id")
        if name in answers:
            cell["source"] = answers[name]
    return json.dumps(notebook).encode()


class Class:
    """A class in a folder of its own, with nbgrader's folders and gradebook, and the course's configuration.

    root    the course
    folder  where the class lives; it is made anew
    """

    def __init__(self, root: Path | str, folder: Path | str, lesson: Lesson) -> None:
        self.root, self.folder, self.lesson = Path(root).resolve(), Path(folder).resolve(), lesson
        self.assignment = lesson.folder
        self.file = f"{lesson.name}.ipynb"

    def prepare(self) -> None:
        """Make the folder, and copy the solved notebook into nbgrader's source folder."""
        if self.folder.exists():
            if not (self.folder / CONFIG_FILE).exists():
                raise CourseError(f"{self.folder} exists and does not hold a simulated class; choose another folder")
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        (self.folder / CONFIG_FILE).write_text(CONFIG.format(root=str(self.root)), encoding="utf-8")
        for solved in sorted((self.root / "solutions" / "notebooks").glob("*/*.ipynb")):
            target = self.folder / "solutions" / "notebooks" / solved.parent.name / solved.name
            target.parent.mkdir(parents=True)
            shutil.copy(solved, target)

    def settings(self) -> "Config":
        from traitlets.config import PyFileConfigLoader

        return PyFileConfigLoader(CONFIG_FILE, path=str(self.folder)).load_config()

    def coursedir(self, **names: str) -> Any:
        from nbgrader.coursedir import CourseDirectory

        return CourseDirectory(config=self.settings(), root=str(self.folder), **names)

    def release(self) -> None:
        """Release every lesson through nbgrader, so that a submission of another one can be told."""
        from nbgrader.apps import NbGraderAPI

        api = NbGraderAPI(self.coursedir(), config=self.settings())
        for folder in sorted((self.folder / "solutions" / "notebooks").iterdir()):
            done = api.generate_assignment(folder.name)
            if not done["success"]:
                raise CourseError(f"nbgrader did not release {folder.name}:\n{done['log']}")

    def released(self, assignment: str | None = None) -> dict[str, Any]:
        folder = self.folder / "course" / (assignment or self.assignment)
        notebook: dict[str, Any] = json.loads(next(folder.glob("*.ipynb")).read_text(encoding="utf-8"))
        return notebook

    def another(self) -> dict[str, Any]:
        """Return a released notebook of another lesson; of the same one, its answers renamed, if there is no other."""
        others = [folder.name for folder in (self.folder / "course").iterdir() if folder.name != self.assignment]
        if others:
            return self.released(min(others))
        notebook = self.released()
        for cell in notebook["cells"]:
            cell["id"] = f"other-{cell['id']}"[:64]
            if about := cell["metadata"].get("nbgrader"):
                about["grade_id"] = f"other_{about['grade_id']}"
        return notebook

    def submit(self, learner: str, content: bytes, when: datetime.datetime | None = None) -> None:
        """Hand in a notebook, the way nbgrader's collect leaves it; another one takes its place.

        when  in UTC; now if None
        """
        place = self.folder / "submitted" / learner / self.assignment
        place.mkdir(parents=True, exist_ok=True)
        (place / self.file).write_bytes(content)
        time = (when or datetime.datetime.now(datetime.UTC)).strftime("%Y-%m-%d %H:%M:%S UTC")
        (place / "timestamp.txt").write_text(time, encoding="utf-8")

    def learners(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "submitted").iterdir())

    def autograde(self, progress: Callable[[int, int], object]) -> None:
        """Grade all submissions, as `python -m autograder grade` does."""
        from ..sandbox import warm_once
        from . import grade, workers

        one = Grading(self.folder, self.lesson.name)
        with one.alone(), warm_once(), workers.chosen(None, cores(), one.longest) as pool:
            grade.grade(one, pool, progress=progress)

    def feedback(self, learner: str) -> None:
        from nbgrader.converters import GenerateFeedback

        course = self.coursedir(assignment_id=self.assignment, student_id=learner)
        GenerateFeedback(coursedir=course, config=self.settings()).start()

    def export(self) -> Path:
        """Write nbgrader's table of grades and return its path."""
        from nbgrader.api import Gradebook

        from .tables import GradesExport

        path = self.folder / "grades.csv"
        with Gradebook(self.coursedir().db_url, "transformer_taxonomy") as gradebook:
            exporter = GradesExport()
            exporter.to = str(path)
            exporter.export(gradebook)
        return path

    def graded(self) -> dict[str, list[report.Graded]]:
        """Return {learner: [Graded]} of the autograded notebooks; an empty list where there is none."""
        found = {}
        for learner in self.learners():
            path = self.folder / "autograded" / learner / self.assignment / self.file
            found[learner] = report.read(path) if path.exists() else []
        return found


def play(one: Class, console: "Console", only: Collection[str] | None = None) -> dict[str, list[report.Graded]]:
    """Play the class from release to export and return {learner: [Graded]}.

    one   the `Class`
    only  names of the learners who hand in; all if None
    """
    one.prepare()
    with logged(one.folder / "nbgrader.log"):
        console.print(f"Releasing {one.assignment} with nbgrader")
        one.release()
        submissions = {learner: _filled(one.released(), answers) for learner, answers in answers_of(one.lesson).items()}
        submissions |= odd_submissions(one.lesson, one.released(), one.another())
        for learner, content in submissions.items():
            if only is None or learner in only:
                one.submit(learner, content)
        with shown_progress(console) as progress:
            one.autograde(functools.partial(progress, "Autograding"))
            learners = one.learners()
            for done, learner in enumerate(learners, 1):
                one.feedback(learner)
                progress("Feedback", done, len(learners))
        one.export()
    return one.graded()


def play_term(classes: Sequence[Class], learners: int, console: "Console") -> None:
    """Play a class as it might be through several lessons, in which most hand in more than once; see `imagined`.

    classes  a `Class` in the same folder for each lesson
    """
    from nbgrader.api import Gradebook

    first, lessons = classes[0], {one.lesson.name: one for one in classes}
    released = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - imagined.DUE * (len(classes) + 1)
    start = {one.lesson.name: released + imagined.DUE * place for place, one in enumerate(classes)}
    people = imagined.learners(learners, random.Random(1))
    first.prepare()
    with logged(first.folder / "nbgrader.log"), shown_progress(console) as progress:
        console.print("Releasing all lessons with nbgrader")
        first.release()
        with Gradebook(first.coursedir().db_url, "transformer_taxonomy") as gradebook:
            for learner in people:
                names = {"first_name": learner.first, "last_name": learner.last, "email": f"{learner.name}@example.org"}
                gradebook.update_or_create_student(learner.name, **names)
            for name, one in lessons.items():
                due = (start[name] + imagined.DUE).replace(tzinfo=None)
                gradebook.update_or_create_assignment(one.assignment, duedate=due)
        handed_in = imagined.sheets([one.lesson for one in classes], people)
        for (name, number), sheets in itertools.groupby(handed_in, lambda sheet: (sheet.lesson.name, sheet.round)):
            one = lessons[name]
            for sheet in sheets:
                content = _filled(one.released(), sheet.answers)
                one.submit(sheet.learner.name, content[:900] if sheet.broken else content, start[name] + sheet.when)
            one.autograde(functools.partial(progress, f"Lesson {one.lesson.number}, hand-in {number + 1}"))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="numbers, names or paths of lessons (7)")
    parser.add_argument(
        "--learners",
        type=int,
        metavar="N",
        help="as many learners as might be, with mistakes in realistic shares, who hand in again; "
        "otherwise there is one learner for each mistake, and for all else that may arrive",
    )
    parser.add_argument("--root", help="folder of the course (the nearest one, here or above, with nbgrader_config.py)")
    parser.add_argument("--folder", help="folder for the class; it is emptied first (classroom, in the course)")
    parser.add_argument("--only", nargs="+", metavar="LEARNER", help="learners who hand in (all)")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    os.environ["PATH"] = with_programs()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    root = find_root(args.root)
    lessons = [read(path) for path in select(root, args.lessons or ["7"])]
    for lesson in lessons:
        if not notebook_path(lesson).exists():
            raise CourseError(
                f"{notebook_path(lesson)}: this lesson is not built; run `python -m autograder build {lesson.name}`"
            )
    folder, lesson = args.folder or root / "classroom", lessons[0]
    one = Class(root, folder, lesson)
    console = Console(width=None if sys.stdout.isatty() else 140)
    if args.learners:
        play_term([Class(root, folder, each) for each in lessons], args.learners, console)
        console.print(f"Now look at it: python -m autograder report --root {from_here(one.folder)}", soft_wrap=True)
        return 0
    if len(lessons) > 1:
        raise CourseError("one learner for each mistake: that takes one lesson at a time; or give --learners N")
    graded = play(one, console, args.only)
    report.show(graded, console)
    console.print(
        f"Feedback pages: {from_here(one.folder / 'feedback')}/LEARNER/{one.assignment}/{lesson.name}.html\n"
        f"Grades: {from_here(one.folder / 'grades.csv')}, gradebook: {from_here(one.folder / 'gradebook.db')}, "
        f"log: {from_here(one.folder / 'nbgrader.log')}",
        soft_wrap=True,
    )
    return 0
