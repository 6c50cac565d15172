"""Find what is wrong with a lesson's probes, mistakes and alternatives, and tell it with file, line and remedy.

All that can be seen in a moment is looked for before anything slow is done: `examine` reads the files and runs each
probe once, on the reference; `first` observes each answer of an exercise once. Recording observes it many times.
"""

import inspect
import re
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch

from .. import course, mistakes, probes
from ..calling.local import Reply, Request
from ..course import AuthorError, nearest
from ..diagnosing import claims, records
from ..notebooks.definitions import LoadedModule, load
from . import drawn, recorder
from .draft import TODO
from .lesson import Fault, Lesson, LessonError
from .lesson import read as read_lesson


@dataclass(frozen=True)
class Written:
    """What an author has written for a lesson, imported: reference, mistakes, alternatives."""

    lesson: Lesson
    reference: LoadedModule
    catalogue: mistakes.Catalogue
    alternatives: mistakes.Alternatives


def beside(lesson: Lesson, folder: str) -> Path:
    """Return the path of what belongs to a lesson in `solutions/mistakes` or `solutions/alternatives`."""
    return Path(lesson.path).parent / folder / f"{lesson.name}.py"


def probes_path(lesson: Lesson) -> Path:
    """Return the path of a lesson's probes."""
    return Path(probes.__path__[0]) / f"{lesson.name}.py"


@contextmanager
def told(lesson: Lesson) -> Iterator[None]:
    """Turn an exception that comes from a lesson's files into a LessonError that says where, what, and what to do."""
    try:
        yield
    except LessonError:
        raise
    except (Exception, SystemExit) as error:
        if (fault := fault_of(error, lesson)) is None:
            raise
        raise LessonError([fault]) from error


def fault_of(error: BaseException, lesson: Lesson) -> Fault | None:
    """Return the `Fault` that an exception amounts to; None if nothing that the author wrote has a part in it."""
    own = [Path(lesson.path), beside(lesson, "alternatives"), probes_path(lesson)]
    own += mistakes.files(beside(lesson, "mistakes"))
    files = {path.resolve(): path for path in own}
    place = _place(error, files)
    if place is None:
        return None
    path, line = place
    if isinstance(error, AuthorError):
        return Fault(_shown(path), line, error.fact, error.remedy)
    if isinstance(error, SyntaxError) and _is_in(error.filename, files):
        return Fault(_shown(path), line, f"this is not Python: {error.msg}", "correct it")
    said = str(error).strip().split("\n")[0]
    fact, remedy = _reworded(error, said) or (f"{type(error).__name__}{': ' if said else ''}{said}", "correct it")
    notes = getattr(error, "__notes__", [])
    return Fault(_shown(path), line, "; ".join([*notes[:1], fact]) if notes else fact, remedy)


def _place(error: BaseException, files: Collection[Path]) -> tuple[Path, int] | None:
    """Return (path, line) of what an exception is about, or of the innermost line of the author's that led to it."""
    if about := getattr(error, "about", None):
        path, line = where(about)
        if path in files:
            return path, line
    if isinstance(error, SyntaxError) and error.filename is not None and _is_in(error.filename, files):
        return Path(error.filename).resolve(), error.lineno or 1
    frames = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return next(((path.resolve(), line) for path, line in reversed(frames) if _is_in(path, files)), None)


def _is_in(name: Path | str | None, files: Collection[Path]) -> bool:
    return name is not None and Path(name).resolve() in files


def _shown(path: Path) -> str:
    return str(course.from_here(path))


def where(written: Any) -> tuple[Path, int]:
    """Return (path, line) of a function or class, that of its first decorator if it has some."""
    if inspect.isclass(written):
        return Path(cast(str, inspect.getsourcefile(written))).resolve(), inspect.getsourcelines(written)[1]
    code = inspect.unwrap(written).__code__
    return Path(code.co_filename).resolve(), code.co_firstlineno


def _reworded(error: BaseException, said: str) -> tuple[str, str] | None:
    """Return (fact, remedy) of an exception whose own words are Python's, where ours say more; else None."""
    if isinstance(error, TypeError):
        if found := re.search(r"(\w+)\(\) got an unexpected keyword argument '(\w+)'", said):
            known = KEYWORDS.get(found[1], ())
            what = f"@{found[1]}" if known else f"{found[1]}()"
            return f"{what} has no argument {found[2]!r}", nearest(found[2], known) if known else "remove it"
        if found := re.search(r"(\w+)\(\) missing \d+ required .*? arguments?: (.*)", said):
            return f"{'@' * (found[1] in KEYWORDS)}{found[1]} lacks {found[2]}", "add it"
    if isinstance(error, ModuleNotFoundError):
        return f"there is no module {error.name!r}", "install it, or correct the name"
    return None


KEYWORDS = {
    name: tuple(list(inspect.signature(declare).parameters)[skip:])
    for name, declare, skip in (
        ("probe", probes.probe, 0),
        ("mistake", mistakes.Catalogue.mistake, 2),
        ("also", mistakes.Catalogue.also, 1),
    )
}


def written(lesson: Lesson) -> Written:
    """Return what is `Written` for a lesson. Raises LessonError with the faults of all files that cannot be used."""
    found: list[Fault] = []
    made: dict[str, Any] = {}
    for name, get in (
        ("probes", lambda: _probes(lesson)),
        ("reference", lambda: load(lesson.path)),
        ("catalogue", lambda: _catalogue(lesson)),
        ("alternatives", lambda: mistakes.read_alternatives(beside(lesson, "alternatives"))),
    ):
        try:
            with told(lesson):
                made[name] = get()
        except LessonError as error:
            found += error.faults
    if found:
        raise LessonError(found)
    return Written(lesson, made["reference"], made["catalogue"], made["alternatives"])


def _probes(lesson: Lesson) -> ModuleType:
    if not probes_path(lesson).is_file():
        raise _of_text(
            lesson,
            "the lesson has no probes",
            f"write {_shown(probes_path(lesson))}; python -m autograder new-lesson shows how",
        )
    return probes.load(lesson.name)


def _catalogue(lesson: Lesson) -> mistakes.Catalogue:
    path = beside(lesson, "mistakes")
    if not (files := mistakes.files(path)):
        raise _of_text(lesson, "the lesson has no mistakes", f"write {_shown(path)}, as docs/add-a-mistake.md shows")
    for one in files:
        if isinstance(getattr(mistakes.module(one), "catalogue", None), mistakes.Catalogue):
            continue
        raise LessonError(
            [
                Fault(
                    _shown(one),
                    1,
                    "the file declares no catalogue of mistakes",
                    "begin with `catalogue = Catalogue()` and take step, component, mistake from it",
                )
            ]
        )
    return mistakes.read(path)


def _of_text(lesson: Lesson, fact: str, remedy: str) -> LessonError:
    return LessonError([Fault(_shown(lesson.path), lesson.cells[0].line, fact, remedy)])


def examine(lesson: Lesson) -> Written:
    """Return what is `Written` for a lesson, once nothing wrong can be seen in it. Raises LessonError."""
    found = written(lesson)
    if faults := [fault for rule in RULES for fault in rule(found)]:
        raise LessonError(dict.fromkeys(faults))
    for exercise in lesson.exercises.values():
        with told(lesson):
            usual, others = (_Reference({exercise.name: getattr(found.reference, exercise.name)}) for _ in range(2))
            seen = probes.observe(lesson.name, exercise.name, usual, records.SEED)
            for one in probes.probes_of(lesson.name, exercise.name):
                _refuse_strange(one, seen[one.name])
            probes.observe(lesson.name, exercise.name, others, drawn.ANOTHER)
            drawn.refuse_fixed(lesson.name, exercise.name, usual.asked, others.asked)
    return found


def advice(found: Written, exercises: Collection[str] = ()) -> Iterator[Fault]:
    """Yield what would be better otherwise, though it is no fault: probes whose sizes official grading does not draw.

    exercises  names of those that are looked at; all if empty
    """
    lesson = found.lesson
    for name in lesson.exercises:
        if exercises and name not in exercises:
            continue
        if drawn.sizes_are_fixed(*drawn.under_two_seeds(lesson.name, name, getattr(found.reference, name))):
            yield Fault(
                _shown(probes_path(lesson)),
                where(probes.probes_of(lesson.name, name)[0].observe)[1],
                f"the probes of {name!r} ask with the same sizes whatever the seed is, so that an answer with these "
                "sizes written into it is right in official grading, too",
                "take sizes from numbers.axes, as in numbers.tensor(*numbers.axes(2, 3, 7))",
            )


def _refuse_strange(probe: probes.Probe, seen: probes.Observations) -> None:
    """Raise AuthorError if the reference shows something that no record can hold."""
    for name, value in seen.values.items():
        if not isinstance(value, (str, torch.Tensor)):
            raise AuthorError(
                f"probe {probe.name!r} notes a value of type {type(value).__name__} as {name!r}",
                "note a tensor, or a string such as str(...) of it",
                probe.observe,
            )


class _Reference(drawn.Noting):
    """The reference, which no probe may call in a way that it does not answer."""

    def call(self, request: Request) -> Reply:
        reply = super().call(request)
        if reply.fault and reply.fault.type != "ValueError":
            last = "".join(f", in line {line}: `{text}`" for _, line, text in reply.fault.lines[-1:])
            raise AuthorError(
                f"called like this, the reference raises {reply.fault.type}: {reply.fault.message}{last}",
                f"correct the solution, or the call: besides {', '.join(sorted(probes.HOW))} it may only give the "
                "arguments of the component, in their order",
            )
        return reply


def names_of_others(found: Written) -> Iterator[Fault]:
    """No other lesson has an exercise of the same name, by which records and progress know it."""
    lesson = found.lesson
    for path in sorted(Path(lesson.path).parent.glob("*.py")):
        if path.stem == lesson.name or path.name.startswith("_"):
            continue
        try:
            others = read_lesson(path).exercises
        except LessonError:
            continue  # it has faults of its own
        for name in others.keys() & lesson.exercises.keys():
            yield Fault(
                _shown(lesson.path),
                lesson.exercises[name].line,
                f"{_shown(path)} has an exercise {name!r}, too",
                "choose another name",
            )


def probed(found: Written) -> Iterator[Fault]:
    """Each exercise has a probe, and each probe an exercise."""
    lesson = found.lesson
    for exercise in lesson.exercises.values():
        if not probes.probes_of(lesson.name, exercise.name):
            yield Fault(
                _shown(lesson.path),
                exercise.line,
                f"exercise {exercise.name!r} has no probe",
                f"write one in {_shown(probes_path(lesson))}",
            )
    for name, declared in probes.declared(lesson.name).items():
        for one in declared if name not in lesson.exercises else ():
            yield Fault(
                _shown(probes_path(lesson)),
                where(one.observe)[1],
                f"probe {one.name!r} names the unknown exercise {name!r}",
                nearest(name, lesson.exercises),
            )


def mistaken(found: Written) -> Iterator[Fault]:
    """Each exercise is a component in the mistakes, and has one mistake or more."""
    lesson, catalogue = found.lesson, found.catalogue
    path = _shown(mistakes.files(beside(lesson, "mistakes"))[0])
    for name in lesson.exercises:
        if name not in catalogue.components:
            yield Fault(
                path,
                1,
                f"no component is declared for the exercise {name!r}",
                f"declare it with @component(...) above def {name}(step, ...), made of its right steps",
            )
        elif not catalogue.singles(name):
            yield Fault(
                path,
                where(catalogue.components[name][0])[1],
                f"exercise {name!r} has no mistake",
                "write one with @mistake: a probe that no mistake fails proves nothing",
            )


def accepted(found: Written) -> Iterator[Fault]:
    """Each alternative is one of an exercise."""
    exercises = found.lesson.exercises
    for exercise, answers in found.alternatives.accepted.items():
        for name, component in answers.items() if exercise not in exercises else ():
            path, line = where(component)
            yield Fault(
                _shown(path),
                line,
                f"alternative {name!r} answers the unknown exercise {exercise!r}",
                nearest(exercise, exercises),
            )


def claimed(found: Written) -> Iterator[Fault]:
    """What a symptom claims is about probes of this lesson, and in the words that there are for it."""
    asked = [one.name for name in found.lesson.exercises for one in probes.probes_of(found.lesson.name, name)]
    for mistake in found.catalogue.mistakes.values():
        path, line = where(next(iter(mistake.behaviours[0][0].values())))
        for claim in mistake.shows:
            if wrong := claims.fault(claim, asked):
                fact, _, remedy = wrong.partition("; ")
                yield Fault(_shown(path), line, f"shows= of mistake {mistake.name!r}: {fact}", remedy)


def told_in_full(found: Written) -> Iterator[Fault]:
    """The sentences of each mistake are written: `add-mistake` leaves them to a person."""
    for mistake in found.catalogue.mistakes.values():
        for what, sentence in (("symptom", mistake.symptom), ("cause", mistake.cause), ("place", mistake.place)):
            if sentence.startswith(TODO):
                path, line = where(next(iter(mistake.behaviours[0][0].values())))
                yield Fault(
                    _shown(path),
                    line,
                    f"the {what} of mistake {mistake.name!r} is not written yet",
                    "write it for learners",
                )


RULES: list[Callable[[Written], Iterator[Fault]]] = [
    names_of_others,
    probed,
    mistaken,
    accepted,
    claimed,
    told_in_full,
]


def first(found: Written, exercise: str, **how: Any) -> records.Record:
    """Observe each answer of an exercise once, and raise LessonError if some cannot be told apart.

    A mistake has to show whatever the numbers are, so the first ones that are drawn will do.
    """
    made = recorded(found, exercise, pairs=False, draws={}, **how)
    failed = {probe for known in made.behaviours for probe in known["differs"]}
    unfailed = [one for one in probes.probes_of(found.lesson.name, exercise) if one.name not in failed]
    right = found.catalogue.right(exercise)
    if idle := [one for one in unfailed if not recorder.notices_a_habit(made, one.name, right)]:
        path = _shown(probes_path(found.lesson))
        remedy = "write one that it shows, or remove the probe"
        raise LessonError(
            Fault(path, where(one.observe)[1], f"probe {one.name!r} is failed by no mistake of {exercise!r}", remedy)
            for one in idle
        )
    return made


def recorded(found: Written, exercise: str, **how: Any) -> records.Record:
    """Return the `Record` of an exercise, as `recorder.record` makes it; raise LessonError with what it refuses."""
    with told(found.lesson):
        return recorder.record(
            found.lesson,
            found.lesson.exercises[exercise],
            getattr(found.reference, exercise),
            found.catalogue,
            found.alternatives.of(exercise),
            **how,
        )
