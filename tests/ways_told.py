"""Measure what the way tells of the declared mistakes, and whether it is true.

`python tests/ways_told.py [LESSON ...]`: each mistake is written as it would stand in a notebook, and run where it is
known to fail. The numbers of each step that is said to be made are compared with those of the right step, of which the
machine keeps fingerprints only.
"""

import collections
import dataclasses
import linecache
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
from lessons import EXERCISES, catalogue

from autograder.authoring import ways as authored
from autograder.calling.watched import Own, closed_boxes
from autograder.checking.way import text_way
from autograder.diagnosing import fingerprint, records, ways

UNTOLD = "its own step has no numbers"
ELSEWHERE = "it fails only where no way is kept: gradients, dtype, refusals"
NOTHING = "nothing is told"
FIRST = "the first step that is not right is the mistake's own"
KINDS = {
    FIRST: lambda own, marks: bool(marks) and _names(marks[0], own),
    "a later one is": lambda own, marks: any(_names(mark, own) for mark in marks),
    "its own step is right, and what follows is not": lambda own, marks: True,
}


@dataclass
class Told:
    """What is told of one wrong answer.

    way      the `Way`, or None
    kind     how it stands to the step that the mistake replaces
    false    steps that are said to be made, though their numbers are not
    seconds  of the processor, for the way alone
    """

    exercise: str
    mistake: str
    way: ways.Way | None
    kind: str
    false: list[str]
    seconds: float


def answer(source, exercise):
    """Return the component that a source defines, as a notebook's cell would."""
    file, names = f"<cell of {exercise} {hash(source)}>", {"__name__": "notebook"}
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), names)
    return names[exercise]


def told(lesson: str, exercise: str, most: int | None = None, chosen: Sequence[int] | None = None) -> Iterator[Told]:
    """Yield what is told of the mistakes of an exercise, of so many of them, or of those with these numbers."""
    written, record = catalogue(lesson), records.read(exercise)
    singles = written.singles(exercise)[:most]
    right: dict[tuple[str, int], tuple[dict[str, set[int]], dict[int, torch.Tensor]]] = {}
    for wrong in singles if chosen is None else [singles[number] for number in chosen]:
        looked = _Looked()
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("ignore")
            looked.patch(patch)
            component = answer(written.source(wrong), exercise)
            submission = Own({exercise: component}, closed_boxes(record.uses))
            failing = {
                probe
                for known in record.behaviours
                if known["mistakes"] == list(wrong.mistakes)
                for probe in known["differs"]
            }
            way = ways.of_answer(record, submission, component, failing, record.uses)
        if way is None:
            numbers = authored.shows_numbers(record, wrong)
            kind = NOTHING if numbers.intersection(run.probe for run in ways.read(lesson, exercise)) else ELSEWHERE
            yield Told(exercise, wrong.mistakes[0], None, kind, [], looked.seconds)
            continue
        key = looked.run.probe, looked.run.call
        if key not in right:
            right[key] = _right(written, exercise, looked.request)
        named, tensors = right[key]
        false = [
            looked.run.steps[index].words
            for index, made in looked.found.items()
            if not _same_numbers(made.note.tensor, tensors[index])
        ]
        own = {looked.run.steps[index].words for step in wrong.replaced for index in named.get(step, ())}
        marks = [mark for mark in way.marks if mark.state != "made"]
        kind = next(kind for kind, holds in KINDS.items() if holds(own, marks)) if own else UNTOLD
        yield Told(exercise, wrong.mistakes[0], way, kind, false, looked.seconds)


class _Looked:
    """What the last run of a way saw."""

    seconds = 0.0

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        found, asked, of_answer = ways._found, ways.asked, ways.of_answer

        def look(run, notes):
            self.run, self.found = run, found(run, notes)
            return self.found

        def ask(*arguments):
            self.request = asked(*arguments)
            return self.request

        def measure(*arguments):
            begun = time.process_time()
            try:
                return of_answer(*arguments)
            finally:
                self.seconds = time.process_time() - begun

        patch.setattr(ways, "_found", look)
        patch.setattr(ways, "asked", ask)
        patch.setattr(ways, "of_answer", measure)


def _right(written, exercise, request):
    """Return ({name of a step: its indices}, {index: its numbers}) of the right answer."""
    seen, steps, home = authored.seen_steps(written, exercise, dataclasses.replace(request, parts=(), forbidden=()))
    named, tensors = collections.defaultdict(set), {}
    for position, index in home.items():
        named[seen[position].name.rstrip(" 0123456789")].add(index)
        tensors.setdefault(index, seen[position].tensor)
    return named, tensors


def _same_numbers(one, other):
    one, other = (
        torch.nan_to_num(fingerprint.flat(tensor), nan=9e9, posinf=8e8, neginf=-8e8).sort().values
        for tensor in (one, other)
    )
    return one.shape == other.shape and torch.allclose(one, other, rtol=2e-3, atol=2e-4)


def _names(mark, own):
    return any(words in mark.step for words in own)


def main(words):
    kinds, false, seconds = collections.Counter(), [], []
    for lesson, exercise in EXERCISES:
        if words and not {lesson, exercise} & set(words):
            continue
        if not ways.read(lesson, exercise):
            continue
        for one in told(lesson, exercise):
            kinds[one.kind] += 1
            false += [(one.exercise, one.mistake, step) for step in one.false]
            seconds.append(one.seconds)
            print(f"{one.exercise} {one.mistake} [{one.kind}]\n    {' '.join(text_way(one.way))}", flush=True)
    for kind, count in kinds.most_common():
        print(f"{count:5} {kind}")
    seconds.sort()
    print(f"{len(false)} false: {false}")
    print(f"{seconds[len(seconds) // 2] * 1e3:.0f} ms of CPU time, at worst {seconds[-1] * 1e3:.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
