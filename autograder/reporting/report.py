"""Write the report of a class: a page that needs nothing but a browser, and the same as JSON and tables."""

import argparse
import dataclasses
import functools
import json
import os
import random
import re
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..authoring.faults import beside
from ..authoring.lesson import Lesson
from ..authoring.lesson import read as read_lesson
from ..course import CONFIG, CourseError, find_root, from_here, select, with_programs
from ..diagnosing import records
from ..grading import history
from ..grading.history import HandIn
from ..scarcity import sqlite_file
from . import alike, exports, findings, grades
from .findings import Belief, Report
from .teaching import Teaching

if TYPE_CHECKING:
    from nbgrader.coursedir import CourseDirectory

    from ..mistakes import Catalogue

FOLDER = "report"
PICTURES = 12  # beliefs that get a picture: to make one takes a call of the mistake


def lessons_of(root: Path, words: Sequence[str], known: Collection[str] | None = None) -> list[Lesson]:
    """Return the lessons that words name, in their order; `all`, or no word at all, names every one.

    words  see `course.select`
    known  names of assignments: of every one those among them, without a look into the others; None for all of them
    """
    if words and list(words) != ["all"]:
        paths = select(root, words)
    else:
        bare = None if known is None else {re.sub(r"^\d\d_", "", name) for name in known}
        paths = [path for path in select(root) if bare is None or path.stem in bare]
    return sorted(map(read_lesson, paths), key=lambda lesson: (lesson.number is None, lesson.number, lesson.name))


def course_in(root: Path, db: str | None = None) -> "CourseDirectory":
    """Return nbgrader's settings of the places of a course or of a class."""
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader(CONFIG, path=str(root)).load_config()
    if db:
        config.CourseDirectory.db_url = db
    return CourseDirectory(config=config, root=str(root))


def _expect_gradebook(course: "CourseDirectory") -> None:
    file = sqlite_file(course.db_url)
    if file and not os.path.exists(file):  # to open it would make an empty one
        raise CourseError(f"{file}: there is no gradebook; run `python -m autograder grade LESSON` first, or give --db")


def gather(course: "CourseDirectory", lessons: Sequence[Lesson], anonymous: bool = False) -> Report:
    """Return the `Report` of a class.

    lessons    of those that the gradebook knows
    anonymous  True: learners have numbers, in an order of chance, and no names
    Raises CourseError if nothing of these lessons is graded.
    """
    from nbgrader.api import Gradebook

    by_folder = {lesson.folder: lesson for lesson in lessons}
    _expect_gradebook(course)
    with Gradebook(course.db_url, course.course_id) as gradebook:
        points = grades.read(gradebook, by_folder)
        roster = set(points.students)
        hand_ins = [one for one in history.read(gradebook, list(by_folder)) if one.student in roster]
    if not hand_ins:
        names = ", ".join(lesson.folder for lesson in lessons[:3]) or "any lesson"
        raise CourseError(f"nothing of {names} is graded yet; run `python -m autograder grade LESSON` first")
    left = list(_not_graded(course, by_folder, hand_ins))
    if anonymous:
        hand_ins, points, left = _without_names(hand_ins, points, left)
    return _report(by_folder, hand_ins, points, left, anonymous)


def _report(
    lessons: Mapping[str, Lesson],
    hand_ins: list[HandIn],
    points: grades.Grades,
    left: list[tuple[str, str]],
    anonymous: bool,
) -> Report:
    names = {folder: lesson.name for folder, lesson in lessons.items()}
    here = {one.assignment for one in hand_ins}
    last = findings.last_ones(hand_ins)
    found = findings.beliefs(hand_ins, names)
    findings.examples(found, hand_ins, names)
    _explain(found, {lesson.name: lesson for lesson in lessons.values()})
    by_hand = findings.by_hand(last, points, names)
    by_hand.left = left
    return Report(
        lessons=[
            findings.lesson_found(
                lesson.name,
                lesson.title,
                lesson.number,
                list(lesson.exercises),
                [one for one in hand_ins if one.assignment == folder],
                points.students,
            )
            for folder, lesson in lessons.items()
            if folder in here
        ],
        learners=list(points.students),
        beliefs=found,
        monday=findings.monday(found),
        changes=findings.changes(hand_ins, names),
        nameless=findings.nameless(last.values(), names),
        alike={
            lesson.name: alike.pairs(
                {
                    learner: list(one.answers.values())
                    for (assignment, learner), one in last.items()
                    if assignment == folder
                },
                [cell.source for cell in lesson.cells],
            )
            for folder, lesson in lessons.items()
            if folder in here
        },
        by_hand=by_hand,
        anonymous=anonymous,
        table=findings.table(last, hand_ins, names),
    )


def _not_graded(
    course: "CourseDirectory", lessons: Mapping[str, Lesson], hand_ins: Sequence[HandIn]
) -> Iterator[tuple[str, str]]:
    """Yield (learner, lesson) of what was handed in and has no grade."""
    graded = {(one.student, one.assignment) for one in hand_ins}
    submitted = Path(course.root) / course.submitted_directory
    for folder in sorted(submitted.iterdir()) if submitted.is_dir() else ():
        for name, lesson in lessons.items():
            if not folder.name.startswith(".") and (folder / name).exists() and (folder.name, name) not in graded:
                yield folder.name, lesson.name


def _without_names(
    hand_ins: Sequence[HandIn], points: grades.Grades, left: Sequence[tuple[str, str]]
) -> tuple[list[HandIn], grades.Grades, list[tuple[str, str]]]:
    names = sorted({*points.students, *(learner for learner, _ in left)})
    random.SystemRandom().shuffle(names)
    width = len(str(len(names)))
    called = {name: f"Learner {number:0{width}d}" for number, name in enumerate(names, 1)}
    people = [text for one in points.students.values() for text in (one.id, one.first, one.last, one.email) if text]
    hidden = findings.hider([*people, *names])

    def without(one: HandIn) -> HandIn:
        checks = {
            name: said | {key: hidden(said[key]) for key in ("flag",) if said.get(key)}
            for name, said in one.checks.items()
        }
        answers = {name: findings.bare(hidden(text)) for name, text in one.answers.items()}
        return dataclasses.replace(
            one, student=called[one.student], refused=hidden(one.refused), checks=checks, answers=answers
        )

    submitted = {
        assignment: {called[learner]: one for learner, one in all_of.items()}
        for assignment, all_of in points.submitted.items()
    }
    students = {called[name]: grades.Student(called[name]) for name in points.students}
    return (
        [without(one) for one in hand_ins],
        grades.Grades(dict(sorted(students.items())), points.cells, submitted),
        [(called[learner], lesson) for learner, lesson in left],
    )


def _explain(found: Sequence[Belief], lessons: Mapping[str, Lesson]) -> None:
    """Give the beliefs their sentences, the line that teaches them and, to the first ones, a picture."""
    known = functools.cache(records.read)
    teaching = {name: Teaching(lesson) for name, lesson in lessons.items()}
    for number, belief in enumerate(found):
        lines = []
        for lesson, exercise in belief.where:
            about = known(exercise).mistakes.get(belief.name) or _habit(belief.name)
            if about:  # else the record was made anew since, without this mistake
                belief.says = belief.says or {name: about[name] for name in findings.SENTENCES}
                sentences = [belief.label, *(about[name] for name in findings.SENTENCES)]
                lines.append(teaching[lesson].line(exercise, sentences))
        lesson, exercise = next(iter(belief.where))
        belief.line = max(lines, key=lambda one: one[0], default=(0.0, None))[1] or teaching[lesson].section(exercise)
        belief.is_input = all(_is_input(known(exercise)) for _, exercise in belief.where)
        if number < PICTURES:
            belief.picture = _best_picture(belief, lessons, known)


def _is_input(record: records.Record) -> bool:
    """Tell whether an exercise asks for an input that exposes a bug: its answers are called with nothing."""
    return all(given in ("", "nothing") for of_probe in record.given.values() for given in of_probe.values())


def _best_picture(
    belief: Belief, lessons: Mapping[str, Lesson], known: Callable[[str], records.Record]
) -> dict[str, Any] | None:
    """Return the picture of a belief: of the exercise of its example first, and rather numbers than an exception."""
    first = (belief.example.lesson, belief.example.exercise) if belief.example else None
    kept = None
    for lesson, exercise in sorted(belief.where, key=lambda place: place != first):
        shown = _picture(lessons[lesson], known(exercise), belief.name)
        if shown and not any(value.startswith("raised ") for value in shown["got"].values()):
            return shown
        kept = kept or shown
    return kept


def _habit(name: str) -> dict[str, str]:
    from ..diagnosing.habits import ABOUT

    return ABOUT.get(name, {})


def _picture(lesson: Lesson, record: records.Record, mistake: str) -> dict[str, Any] | None:
    """Return the smallest known input that shows a mistake, with what is right and what the mistake gives there."""
    from ..calling.watched import Own, closed_boxes
    from ..diagnosing.example import smallest_of

    path = beside(lesson, "mistakes")
    differs = next((known["differs"] for known in record.behaviours if known["mistakes"] == [mistake]), None)
    singles = _catalogue(path).singles(record.exercise) if differs and path.exists() else ()
    wrong = next((one for one in singles if one.mistakes == (mistake,)), None)
    if wrong is None or differs is None:
        return None
    source = Own({record.exercise: wrong.call}, closed_boxes(record.uses))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a mistake is warned of is of no interest here
        shown = smallest_of(record, differs, source)
    return dataclasses.asdict(shown) if shown else None


@functools.cache
def _catalogue(path: Path) -> "Catalogue":
    from ..mistakes import read

    return read(path)


# Files


def write(report: Report, folder: Path) -> list[Path]:
    """Write the page, the JSON and the tables into a folder; return their paths.

    What stood there before stays until all of them are made.
    """
    from .page import page

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as name:
        new = Path(name)
        (new / "report.html").write_text(page(report), encoding="utf-8")
        (new / "report.json").write_text(json.dumps(report.plain(), indent=1, ensure_ascii=False), encoding="utf-8")
        for title, rows in tables(report).items():
            exports.write(new / f"{title}.csv", rows)
        made = sorted(new.iterdir())
        for path in made:
            os.replace(path, folder / path.name)
    return [folder / path.name for path in made]


def tables(report: Report) -> dict[str, list[list[Any]]]:
    """Return {name of the file: rows} of the tables."""
    exercises: list[list[Any]] = [
        ["lesson", "exercise", *findings.STATES, "solved_at_once", "median_tries", "most_tries"],
        *(
            [one.lesson, one.exercise, *one.states.values(), one.at_once, one.median_tries, max(one.tries, default=0)]
            for lesson in report.lessons
            for one in lesson.exercises
        ),
    ]
    head = ["mistake", "learners", "still", "gone", *findings.SENTENCES, "exercises", "example", "taught_in", "line"]
    beliefs: list[list[Any]] = [head]
    for one in report.beliefs:
        where = "; ".join(f"{lesson}: {name} ({len(whose)})" for (lesson, name), whose in one.where.items())
        line = [one.line.lesson, one.line.line] if one.line else ["", ""]
        says = [one.says.get(name, "") for name in findings.SENTENCES]
        code = one.example.code if one.example else ""
        beliefs.append([one.name, len(one.ever), len(one.now), len(one.gone), *says, where, code, *line])
    learners = [list(report.table[0]), *(list(row.values()) for row in report.table)] if report.table else []
    return {"exercises": exercises, "mistakes": beliefs, "learners": learners}


def arguments_of_graded(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of all commands that look at what is graded: lessons, course, gradebook."""
    parser.add_argument(
        "lessons",
        nargs="*",
        metavar="LESSON",
        help="numbers, names or paths of lessons, or `all` (all that are graded)",
    )
    parser.add_argument("--root", help=f"folder of the course (the nearest one, here or above, with {CONFIG})")
    parser.add_argument("--db", metavar="URL", help="the gradebook, such as postgresql:///class (gradebook.db)")


def arguments(parser: argparse.ArgumentParser) -> None:
    arguments_of_graded(parser)
    parser.add_argument("--to", metavar="FOLDER", help=f"where the report is written ({FOLDER}, in the course)")
    parser.add_argument("--anonymous", action="store_true", help="numbers in the place of the learners' names")


def run(args: argparse.Namespace) -> int:
    from nbgrader.api import Gradebook

    os.environ["PATH"] = with_programs()
    root = find_root(args.root)
    course = course_in(root, args.db)
    _expect_gradebook(course)
    with Gradebook(course.db_url, course.course_id) as gradebook:
        known = history.assignments(gradebook)
    lessons = lessons_of(Path(course.config.RunAnswers.solutions).parent, args.lessons, known)
    report = gather(course, lessons, args.anonymous)
    made = write(report, Path(args.to) if args.to else root / FOLDER)
    for name in report.monday:
        one = report.belief(name)
        print(f"For Monday: {one.label}, {len(one.now)} of {len(report.learners)} learners")
    print("Written: " + ", ".join(str(from_here(path)) for path in made))
    return 0
