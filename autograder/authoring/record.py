"""Make a lesson's recorded answers: what its reference, alternatives and mistakes show under the probes."""

import argparse
import collections
import concurrent.futures
import functools
import os
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from .. import course, probes
from ..diagnosing import records
from ..processes import cores, one_thread, pool
from ..progress_bar import shown_progress
from . import claimable, companions, faults, recorder
from .build import choice, read_all
from .lesson import Fault, Lesson, LessonError, read


def each(
    lesson: Lesson,
    seed: str | int = records.SEED,
    pairs: bool = True,
    draws: Callable[[str], Mapping[str, int]] | None = None,
) -> Iterator[records.Record]:
    """Yield the `Record` of each exercise of a lesson.

    draws  function of an exercise's name: its {probe: draw} as `recorder.record` takes it; None to find them

    Raises LessonError if the lesson has no probes or no mistakes, if a mistake cannot be told from a right answer or
    from another mistake, or if what is observed depends on how a processor rounds.
    """
    found = faults.examine(lesson)
    for exercise in lesson.exercises:
        yield faults.recorded(found, exercise, seed=seed, pairs=pairs, draws=draws and draws(exercise))


def record(
    lessons: Iterable[Lesson],
    folder: Path | str = records.FOLDER,
    only: Collection[str] = (),
    workers: int | None = None,
    progress: Callable[[str, int, int], object] = lambda what, done, every: None,
    written: Callable[[Lesson, bool], object] = lambda lesson, changed: None,
    advised: Callable[[Fault], object] = lambda advice: None,
    again: bool = False,
) -> bool:
    """Write the recorded answers of lessons, those of a lesson all or none; return whether anything changed.

    only      names of the exercises to record; the files of all others stay. All exercises if empty
    workers   how many processes record, one exercise each at a time; None: one for each processor
    progress  function of (what is done, how many are done, of how many)
    written   function of (lesson, whether anything changed), called whenever one is written
    advised   function of what would be better otherwise, called for each of these before anything is written
    again     True: only what lies beside the records is made, of those that there are, which is faster
    Raises LessonError with every fault that is found. What can be seen in a moment is found before anything is observed
    many times, and then nothing is written.
    """
    any_changed = False
    made: dict[str, dict[str, Made | None]] = collections.defaultdict(dict)
    wrong: list[Fault] = []
    with quiet():
        found = {str(lesson.path): faults.examine(lesson) for lesson in lessons}
        todo = _todo(found, only)
        for one in found.values():
            for advice in faults.advice(one, only):
                advised(advice)
        with _at_work(min(workers or cores(), len(todo)), found) as results:
            if not again:
                _all_or_raise(results(FIRST, todo), functools.partial(progress, FIRST), len(todo))
            step = AGAIN if again else RECORD
            for done, (path, exercise, record, refused) in enumerate(results(step, todo), 1):
                progress(step, done, len(todo))
                made[path][exercise] = record
                wrong += refused
                complete = [one for one in made[path].values() if one is not None]
                if len(complete) == sum(path == other for other, _ in todo):
                    changed = _written(complete, found[path].lesson, folder, only)
                    written(found[path].lesson, changed)
                    any_changed |= changed
    if wrong:
        raise LessonError(wrong)
    return any_changed


def _all_or_raise(results: "Iterable[Done]", progress: Callable[[int, int], object], every: int) -> None:
    wrong: list[Fault] = []
    for done, (_, _, _, refused) in enumerate(results, 1):
        progress(done, every)
        wrong += refused
    if wrong:
        raise LessonError(wrong)


def quiet() -> AbstractContextManager[object]:
    """Return a context in which nothing warns: mistakes may use what PyTorch warns of."""
    return warnings.catch_warnings(action="ignore")


def _written(made: Iterable["Made"], lesson: Lesson, folder: Path | str, only: Collection[str]) -> bool:
    """Write records and what lies beside them, and remove what is of no exercise; return whether anything changed."""
    changed = [recorder.write(one, folder) for one, _ in made]
    changed += [companions.write(beside, one, folder) for one, beside in made if beside is not None]
    own = Path(folder) / lesson.name
    gone = [path for path in (*own.glob("*.json"), *companions.files(own)) if path.stem not in lesson.exercises]
    for path in () if only else gone:
        path.unlink()
    return any(changed) or bool(gone and not only)


def _todo(found: Mapping[str, faults.Written], only: Collection[str]) -> "Todo":
    """Return [(path of the lesson, exercise)] of what is to be recorded, the longest first, so that none ends alone.

    found  {path: `Written`}
    only   names of exercises, all if empty. Raises CourseError for a name that none of the lessons has
    """
    known = {exercise: path for path, one in found.items() for exercise in one.lesson.exercises}
    if unknown := [name for name in only if name not in known]:
        raise course.CourseError(
            f"there is no exercise {unknown[0]!r} in "
            f"{', '.join(one.lesson.name for one in found.values())}; "
            f"{course.nearest(unknown[0], known)}"
        )

    def work(exercise: str) -> int:
        catalogue = found[known[exercise]].catalogue
        answers = len(catalogue.singles(exercise)) + len(catalogue.pairs(exercise))
        return answers * len(probes.probes_of(found[known[exercise]].lesson.name, exercise))

    return [(known[name], name) for name in sorted(known, key=work, reverse=True) if not only or name in only]


# What is done for one exercise, here or in another process

FIRST, RECORD, AGAIN = "Looking for faults", "Recording", "Making what lies beside the records"
Made = tuple[records.Record, companions.Companions | None]  # a record, and what lies beside it if that was made
Done = tuple[str, str, Made | None, list[Fault]]  # (path, exercise, what was made, faults)
Todo = list[tuple[str, str]]  # (path, exercise)


def _first(found: faults.Written, exercise: str) -> Made:
    return faults.first(found, exercise), None


def _recorded(found: faults.Written, exercise: str) -> Made:
    made = faults.recorded(found, exercise)
    return made, companions.make(found, exercise, made)


def _again(found: faults.Written, exercise: str) -> Made:
    made = records.read(exercise)
    return made, companions.make(found, exercise, made)


STEPS: dict[str, Callable[[faults.Written, str], Made]] = {FIRST: _first, RECORD: _recorded, AGAIN: _again}


@contextmanager
def _at_work(count: int, found: Mapping[str, faults.Written]) -> Iterator[Callable[[str, Todo], Iterator[Done]]]:
    """Yield a function of (step, [(path, exercise)]) that yields (path, exercise, `Made` or None, [Fault]) of each.

    count  how many processes; none are started for one
    """
    if count == 1:
        yield lambda step, todo: (_do(step, path, exercise, found[path]) for path, exercise in todo)
        return
    with pool(count, [__name__]) as processes:

        def results(step: str, todo: Todo) -> Iterator[Done]:
            running = [processes.submit(_do, step, path, exercise) for path, exercise in todo]
            for one in concurrent.futures.as_completed(running):
                try:
                    yield one.result()
                except BrokenProcessPool:
                    raise course.CourseError(
                        "a recording process died; if memory is short, use fewer of them: --workers 1"
                    ) from None

        yield results


def _do(step: str, path: str, exercise: str, found: faults.Written | None = None) -> Done:
    with quiet():
        try:
            written = found or _read_once(path)
            return path, exercise, STEPS[step](written, exercise), []
        except LessonError as error:
            return path, exercise, None, list(error.faults)


@functools.cache
def _read_once(path: str) -> faults.Written:
    one_thread()
    return faults.written(read(path))


def arguments(parser: argparse.ArgumentParser) -> None:
    choice(parser)
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        metavar="EXERCISE",
        help="record only these exercises, and leave the files of the others as they are",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="make only what lies beside the records: ways, small inputs, what is practised; the records stay",
    )
    parser.add_argument(
        "--claims",
        action="store_true",
        help="write nothing; show what the symptom of each mistake may claim, as docs/add-a-mistake.md tells",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="exercises at a time (one for each processor)")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    one_thread()
    begun, console = time.perf_counter(), Console(width=None if sys.stdout.isatty() else 140)
    lessons = read_all(course.select(course.find_root(args.root), args.lessons))
    if not args.lessons and args.only:
        lessons = [lesson for lesson in lessons if set(args.only) & set(lesson.exercises)] or lessons

    if args.claims:
        with quiet():
            found = {str(lesson.path): faults.examine(lesson) for lesson in lessons}
            for path, exercise in _todo(found, args.only):
                for text in claimable.shown(found[path], exercise):
                    print(text, flush=True)
        return 0

    def told(lesson: Lesson, changed: bool) -> None:
        done = f"recorded{'' if changed else ', unchanged'} ({time.perf_counter() - begun:.0f} s)"
        console.print(f"{lesson.folder} ... {done}", highlight=False)

    def advised(advice: Fault) -> None:
        console.print(f"Advice: {advice}", highlight=False, markup=False, soft_wrap=True)

    with shown_progress(console) as shown:
        record(
            lessons,
            only=args.only,
            workers=args.workers,
            progress=shown,
            written=told,
            advised=advised,
            again=args.again,
        )
    return 0
