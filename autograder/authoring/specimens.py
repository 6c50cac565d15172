"""Make what learners practise with: wrong answers as a learner would have written them, and where they are wrong."""

import ast
import difflib
import functools
import inspect
import itertools
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ..calling.local import Here, Request
from ..diagnosing.diagnosis import Diagnosis, diagnose
from ..diagnosing.examine import observe
from ..diagnosing.records import SEED, Record
from ..diagnosing.specimens import Material, Specimen, calls, component, exposes
from ..mistakes import Wrong, helpers_of, imports_of
from . import natural
from .draft import BEGIN, END
from .faults import Written
from .lesson import Exercise

SECONDS = 20.0
MOST_LINES = 4  # that may be wrong: an answer that is wrong all over has no line to look for
MOST_REPAIRED = 8  # lines that are put right
LONGEST = 70  # lines that one reads in a few minutes
LONGER = 4 / 3  # times as long as a right answer a wrong one may always be

Repair = tuple[int, int, tuple[str, ...]]


def material(found: Written, exercise: str, record: Record) -> Material | None:
    """Return what there is to practise with of an exercise, None if it has no arguments or no mistake fits.

    A mistake fits if it can be written as a learner would, is recognised, is on few lines, and a call can expose it.
    """
    about, reference = found.lesson.exercises[exercise], getattr(found.reference, exercise)
    if not _parameters(reference):
        return None
    contract, imports = inspect.getdoc(reference) or "", "\n".join(imports_of(reference))
    helpers = [text for text in helpers_of(reference) if ast.parse(text).body[0].name not in found.lesson.exercises]  # type: ignore[attr-defined]
    imports = "\n\n".join([imports, *helpers])
    right = natural.of_source(_without_markers(about))
    asked = calls(record.lesson, exercise, reference)
    known = component(exercise, imports, right, about.uses)
    if not _diagnosis(record, known).passed:
        return None
    specimens: dict[str, Specimen] = {}
    rights: dict[frozenset[str], tuple[str, ...]] = {}
    for wrong in found.catalogue.singles(exercise):
        # Of a class, every right answer has all its steps written in place, whichever of them is replaced.
        opened = (
            frozenset(wrong.replaced) if not inspect.isclass(reference) or exercise in wrong.replaced else frozenset()
        )
        if opened not in rights:
            rights[opened] = tuple(dict.fromkeys(_rights(found, wrong)))
        one = _specimen(found, wrong, rights[opened], record)
        if one and one.code not in specimens and _exposed(one, known, asked, record, contract):
            specimens[one.code] = one
    if not specimens:
        return None
    return Material(record.lesson, exercise, contract, imports, right, about.uses, tuple(specimens.values()))


def _parameters(reference: Any) -> list[str]:
    call = reference.forward if hasattr(reference, "forward") else reference
    return list(inspect.signature(call).parameters)


def _without_markers(exercise: Exercise) -> str:
    return "\n".join(line for line in exercise.source.split("\n") if line.strip() not in (BEGIN, END))


def _public(reference: Any) -> tuple[str, ...]:
    """Return the names of the methods that a class has to have, as others call them."""
    if not inspect.isclass(reference):
        return ()
    return tuple(name for name, value in vars(reference).items() if inspect.isfunction(value))


def _rights(found: Written, wrong: Wrong) -> Iterator[str]:
    """Yield right answers, each in another style, to compare a wrong one with."""
    exercise, public = wrong.exercise, _public(getattr(found.reference, wrong.exercise))
    # Of two that differ in as many statements, the first one is shown: the plain style.
    for branches, merge in itertools.product((False, True), (True, False)):
        style = natural.Style(public, frozenset(wrong.replaced), merge, branches)
        try:
            yield natural.written(found.catalogue, exercise, {}, style).code
        except natural.Unfit:
            pass
    yield natural.of_source(_without_markers(found.lesson.exercises[exercise]))
    for name, _ in found.alternatives.of(exercise) if exercise in wrong.replaced else ():
        source = found.alternatives.source(exercise, name)
        kept = [node for node in ast.parse(source).body if not isinstance(node, (ast.Import, ast.ImportFrom))]
        yield natural.of_source(ast.unparse(ast.Module(kept, [])))


def _specimen(found: Written, wrong: Wrong, rights: Collection[str], record: Record) -> Specimen | None:
    """Return a wrong answer as a specimen, None if it does not fit."""
    public = _public(getattr(found.reference, wrong.exercise))
    try:
        written = natural.written(found.catalogue, wrong.exercise, wrong.replaced, natural.Style(public))
    except natural.Unfit:
        return None
    repairs = min((repairs_of(written.code, right) for right in rights), key=lambda one: _statements(written.code, one))
    lines = marked(written.code, repairs)
    if not lines or _statements(written.code, repairs) > min(MOST_LINES, max(2, len(_units(written.code)) // 2)):
        return None
    longest = max(LONGEST, LONGER * min(len(right.split("\n")) for right in rights))
    if len(written.code.split("\n")) > longest or sum(len(right) for _, _, right in repairs) > MOST_REPAIRED:
        return None
    try:
        answer = component(wrong.exercise, written.imports, written.code, record.uses)
        known = _diagnosis(record, answer)
    except Exception:  # it cannot even be defined like this
        return None
    if known.passed or known.mistakes != wrong.mistakes:
        return None
    return Specimen(wrong.mistakes[0], written.imports, written.code, lines, repairs)


def _diagnosis(record: Record, answer: Any) -> Diagnosis:
    observed, stopped = observe(record, Here({record.exercise: answer}), SECONDS, SEED)
    return diagnose(record, observed, stopped)


def _exposed(specimen: Specimen, known: Any, asked: Iterable[Request], record: Record, contract: str) -> bool:
    """Tell whether a call that probes make tells a specimen from the right answer."""
    answer = component(record.exercise, specimen.imports, specimen.code, record.uses)
    return any(exposes(known, answer, request, contract) for request in asked)


# Which lines


def repairs_of(wrong: str, right: str) -> tuple[Repair, ...]:
    """Return which lines of a wrong answer are others in a right one: (first, last, the right lines).

    Statements are compared, and of those with a block inside their heads.
    """
    ours, theirs = _units(wrong), _units(right)
    lines = wrong.split("\n"), right.split("\n")
    texts = [
        ["\n".join(all_lines[one[0] - 1 : one[1]]) for one in units]
        for all_lines, units in zip(lines, (ours, theirs), strict=True)
    ]
    repairs = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, texts[0], texts[1], autojunk=False).get_opcodes():
        if kind != "equal":
            after = ours[a - 1][1] if a else 0
            first, last = (ours[a][0], ours[b - 1][1]) if b > a else (after + 1, after)
            repairs.append((first, last, tuple(line for text in texts[1][c:d] for line in text.split("\n"))))
    return tuple(repairs)


def marked(code: str, repairs: Iterable[Repair]) -> tuple[int, ...]:
    """Return the numbers of the lines that repairs are about; where lines are missing, those around the gap."""
    units, lines = _units(code), set[int]()
    for first, last, _ in repairs:
        if last >= first:
            lines.update(range(first, last + 1))
            continue
        before = [unit for unit in units if unit[1] <= last]
        behind = [unit for unit in units if unit[0] > last]
        for unit in before[-1:] + behind[:1]:
            lines.update(range(unit[0], unit[1] + 1))
    texts = code.split("\n")
    heads = {line for line in lines if texts[line - 1].lstrip().startswith(("def ", "class ", "else:"))}
    found = {line for line in lines if texts[line - 1].strip()}
    return tuple(sorted(found - heads or found))


@functools.lru_cache(maxsize=256)
def _units(code: str) -> list[tuple[int, int]]:
    """Return (first, last line) of each statement, of a compound one those of its head, in their order."""
    units = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno or node.lineno
            units.append((node.lineno, max(last, node.lineno)))
    covered = {line for first, last in units for line in range(first, last + 1)}
    others = {number for number, line in enumerate(code.split("\n"), 1) if line.strip()} - covered
    return sorted([*units, *((line, line) for line in others)])


def _statements(code: str, repairs: Iterable[Repair]) -> int:
    """Return how many statements repairs are about; one that is missing counts as one."""
    return sum(max(1, sum(first <= start <= last for start, _ in _units(code))) for first, last, _ in repairs)
