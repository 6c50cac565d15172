"""The way: the steps of the right answer, each with the line of the learner's code that makes its numbers.

An answer is run once, on an input that is small, and every tensor that its lines make is compared with fingerprints of
the right steps (`fingerprint`). What is found is certain, whatever the code looks like, and however many mistakes it
makes. A step that is found nowhere is told only where it is the first one: what no found step was made from, and for
which everything is there.
"""

import collections
import contextlib
import io
import json
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from .. import probes
from ..calling.limit import TimeUp
from ..calling.local import Reply, Request, Source, Stub
from ..calling.noted import Note, Noted
from . import fingerprint
from .fingerprint import Fingerprint
from .records import FOLDER, SEED, Record

SECONDS = 2.0  # for all runs of a way together; one takes milliseconds
MOST_RUNS = 4
MOST_PIECES = 512  # of a step that a loop makes piece by piece


@dataclass(frozen=True)
class Step:
    """A step of the right way.

    words     what it is called
    of        fingerprint of its numbers
    after     indices of the steps that it is made from, directly or not
    uses      those that it is made from directly
    any_order its numbers alone tell it, in whatever order they stand
    moves     it holds the numbers of an earlier step in another order, and no others
    floats    its numbers are floating point: a truth value or a count may be right though what it is made from is not
    """

    words: str
    of: Fingerprint
    after: tuple[int, ...] = ()
    uses: tuple[int, ...] = ()
    any_order: bool = True
    moves: bool = False
    floats: bool = True

    @property
    def slack(self) -> float:
        """How many times the usual tolerance its numbers may be apart."""
        return 1.0 if self.floats else fingerprint.WHOLE

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> "Step":
        """Return the step that `plain` gave."""
        places = {name: tuple(kept[name]) for name in ("after", "uses")}
        return cls(**{**kept, **places, "of": Fingerprint.read(kept["of"])})

    def plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**vars(self), "of": self.of.plain()}


@dataclass(frozen=True)
class Run:
    """The steps of the right way on one input.

    probe, call  which call of which probe gives that input
    given        fingerprint of the input
    outputs      (shape, index of the step that it is) of each output
    """

    probe: str
    call: int
    given: Fingerprint
    steps: tuple[Step, ...]
    outputs: tuple[tuple[tuple[int, ...], int], ...]


@dataclass(frozen=True)
class Mark:
    """One step, as it is told of an answer.

    step   what it is called: "scale"; "product and scale" where one operation makes both
    state  "made", "nowhere", or what is the matter with the right numbers: "transposed", "reordered", "reshaped",
           "not returned"
    line   which line makes its numbers; None: none does
    within the function of another cell or file in which that line stands; else ""
    """

    step: str
    state: str
    line: int | None = None
    within: str = ""


@dataclass
class Way:
    """How far an answer is right.

    given       the input, in words
    marks       the steps, in the order of the right answer
    incomplete  True: some numbers were computed where they cannot be followed, so no step is said to be made nowhere
    """

    given: str
    marks: list[Mark] = field(default_factory=list)
    incomplete: bool = False

    def plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @property
    def is_telling(self) -> bool:
        return any(mark.state != "made" for mark in self.marks) or (self.incomplete and bool(self.marks))


def path_of(lesson: str, exercise: str, folder: Path | str = FOLDER) -> Path:
    """Return where the ways of an exercise are kept: beside the records, in a folder of their own."""
    return Path(folder) / lesson / "ways" / f"{exercise}.json"


def read(lesson: str, exercise: str, folder: Path | str = FOLDER) -> list[Run]:
    """Return the right ways of an exercise, one for each probe that has one; [] if it has no telling steps."""
    path = path_of(lesson, exercise, folder)
    return [_run(kept) for kept in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def _run(kept: Mapping[str, Any]) -> Run:
    steps = tuple(map(Step.read, kept["steps"]))
    outputs = tuple((tuple(shape), index) for shape, index in kept["outputs"])
    return Run(kept["probe"], kept["call"], Fingerprint.read(kept["given"]), steps, outputs)


def plain(run: Run) -> dict[str, Any]:
    """Return a `Run` as JSON can hold it."""
    steps = [one.plain() for one in run.steps]
    return dict(probe=run.probe, call=run.call, given=run.given.plain(), steps=steps, outputs=run.outputs)


# The input


class _Found(Exception):
    """The call that was looked for."""

    def __init__(self, request: Request) -> None:
        self.request = request


class _Asking:
    """A submission that is asked by a probe, up to one call."""

    def __init__(self, submission: Source, call: int) -> None:
        self.submission, self.left = submission, call
        self.limit, self.expect = submission.limit, submission.expect

    def call(self, request: Request) -> Reply:
        if not self.left:
            raise _Found(request)
        self.left -= 1
        return self.submission.call(request)


def asked(record: Record, run: Run, submission: Source, parts: Collection[str] = ()) -> Request | None:
    """Return the call of a probe for which a way is kept; None if the probe does not get there as it did."""
    try:
        probes.observe(
            record.lesson,
            record.exercise,
            _Asking(submission, run.call),
            SEED,
            parts,
            only={run.probe},
            draws=record.draws,
        )
    except _Found as found:
        return found.request if fingerprint_of(found.request).same_order(run.given) else None
    return None


def fingerprint_of(request: Request) -> Fingerprint:
    """Return the fingerprint of all tensors that are given in a call."""
    given = tree_leaves([request.arguments, request.weights, [vars(one) for one in _stubs(request)]])
    tensors = [fingerprint.flat(one) for one in given if isinstance(one, torch.Tensor)]
    return fingerprint.of(torch.cat([torch.zeros(1, dtype=torch.float64), *tensors]))


def _stubs(request: Request) -> Iterator[object]:
    for value in (*request.arguments.values(), *(request.build or {}).values()):
        if isinstance(value, Stub):
            yield value


# What an answer makes


def of_answer(
    record: Record,
    submission: Source,
    component: Callable[..., Any],
    failing: Collection[str],
    parts: Collection[str] = (),
    runs: Sequence[Run] | None = None,
) -> Way | None:
    """Return how far a wrong answer is right, on the first input on which that says anything; None if there is none.

    submission  what answers calls, in this process
    component   the answer itself, whose lines are told
    failing     names of the probes that it fails
    parts       components that are replaced by right ones
    runs        the right ways; None: those that are recorded
    """
    runs = read(record.lesson, record.exercise) if runs is None else runs
    printed = io.StringIO()  # it was shown when the probes ran
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(action="ignore"),
        # What was made until then says nothing of what would have been made, and no check ends with an error for this.
        contextlib.suppress(Exception, TimeUp),
        submission.limit(SECONDS),
    ):
        for run in [run for run in runs if run.probe in failing][:MOST_RUNS]:
            request = asked(record, run, submission, parts)
            found = request and follow(run, request, submission, component)
            if found and found.is_telling:
                return found
    return None


def follow(run: Run, request: Request, submission: Source, component: Callable[..., Any]) -> Way | None:
    """Return how far an answer is right on one input; None if it is right there."""
    with Noted(component, _sizes(run)) as noted:
        reply = submission.call(replace(request, gradients=False, watch_memory=False))
    returned = _returned(reply)
    if returned is not None and _is_right(run, returned):
        return None
    found = _found(run, noted.notes)
    marks = _marks(run, found, noted.incomplete)
    if returned is not None and all(mark.state == "made" for mark in marks.values()):
        marks |= _unreturned(run, found, marks, returned)
    return Way(reply.given, list(marks.values()), noted.incomplete)


def _sizes(run: Run) -> set[int]:
    """Return how many numbers a tensor may have that is a step or a piece of one."""
    wholes = {step.of.size for step in run.steps}
    return wholes | {whole // count for whole in wholes for count in range(2, MOST_PIECES + 1) if not whole % count}


def _returned(reply: Reply) -> list[torch.Tensor] | None:
    if reply.fault:
        return None
    return [one for one in tree_leaves(reply.output) if isinstance(one, torch.Tensor)]


def is_right(run: Run, reply: Reply) -> bool:
    """Tell whether a reply to the input of a way is that of the right answer."""
    returned = _returned(reply)
    return returned is not None and _is_right(run, returned)


def _is_right(run: Run, returned: Sequence[torch.Tensor]) -> bool:
    return len(returned) == len(run.outputs) and all(
        _is_output(tensor, shape, run.steps[index])
        for tensor, (shape, index) in zip(returned, run.outputs, strict=True)
    )


def _is_output(tensor: torch.Tensor, shape: tuple[int, ...], wanted: Step) -> bool:
    return tuple(tensor.shape) == shape and wanted.of.same_order(fingerprint.of(tensor), wanted.slack)


@dataclass(frozen=True)
class _Made:
    """Where the numbers of a step are made: the first place where they are, and in the right order if they ever are."""

    note: Note
    in_order: bool
    shapes: frozenset[tuple[int, ...]]


def _found(run: Run, notes: Sequence[Note]) -> dict[int, _Made]:
    """Return {index of a step: where its numbers are made}."""
    found: dict[int, _Made] = {}
    by_size: dict[int, list[Note]] = collections.defaultdict(list)
    for note in notes:
        by_size[note.tensor.numel()].append(note)
    for size in {step.of.size for step in run.steps}:
        candidates = [*by_size[size], *_joined(notes, size)]
        if not candidates:
            continue
        prints = fingerprint.of_all(torch.stack([fingerprint.flat(note.tensor) for note in candidates]))
        for index, step in enumerate(run.steps):
            if step.of.size == size and (made := _where(step, candidates, prints)):
                found[index] = made
    return found


def _where(step: Step, candidates: Sequence[Note], prints: Sequence[Fingerprint]) -> _Made | None:
    pairs = list(zip(candidates, prints, strict=True))
    in_order = [note for note, one in pairs if step.of.same_order(one, step.slack)]
    numbers = [] if step.moves else [note for note, one in pairs if step.of.same_numbers(one, step.slack)]
    if not step.any_order:
        numbers = [note for note in numbers if fingerprint.is_transposed(note.tensor, step.of, step.slack)]
    if not in_order and not numbers:
        return None
    first = min((*in_order, *numbers), key=lambda note: note.time)
    return _Made(first, bool(in_order), frozenset(tuple(note.tensor.shape) for note in in_order))


def _joined(notes: Iterable[Note], size: int) -> Iterator[Note]:
    """Yield what a loop makes piece by piece, put together: all pieces of one place in the code, round by round."""
    places: dict[tuple[object, ...], list[Note]] = collections.defaultdict(list)
    for note in notes:
        pieces = size / max(1, note.tensor.numel())
        if 1 < pieces <= MOST_PIECES and pieces.is_integer():
            places[(*note.site, note.tensor.shape)].append(note)
    for rounds in places.values():
        count = size // rounds[0].tensor.numel()
        for start in range(0, len(rounds) - count + 1, count):
            pieces_of_one = rounds[start : start + count]
            together = torch.stack([note.tensor for note in pieces_of_one])
            yield replace(pieces_of_one[0], tensor=together, time=pieces_of_one[-1].time)


# What is said of it


def _marks(run: Run, found: Mapping[int, _Made], incomplete: bool) -> dict[int, Mark]:
    """Return {index: `Mark`} of each step that can be told, in the order of the right answer."""
    implied = _implied(run, found)
    lost = {} if incomplete else _lost(run, found, implied)
    marks: dict[int, Mark] = {}
    told: set[int] = set()
    for index, step in enumerate(run.steps):
        if index in found:
            within = [before for before in step.after if before in implied and before not in told]
            told.update(within)
            words, note = _listed([run.steps[one].words for one in within] + [step.words]), found[index].note
            marks[index] = Mark(words, _state(run, found, index), note.line, note.within)
        elif index in lost:
            marks[index] = Mark(_listed([run.steps[one].words for one in lost[index]] + [step.words]), "nowhere")
    return marks


def _implied(run: Run, found: Collection[int]) -> set[int]:
    """Return the steps that were not seen, and have to be in what was found: all that uses them is right.

    One right thing that uses them would not do: a mask of the largest scores is right although the scale is missing.
    """
    there = set(found)
    for index in reversed(range(len(run.steps))):
        users = [place for place, step in enumerate(run.steps) if index in step.uses]
        if users and there.issuperset(users) and any(run.steps[user].floats for user in users):
            there.add(index)
    return there.difference(found)


def _lost(run: Run, found: Collection[int], implied: Collection[int]) -> dict[int, list[int]]:
    """Return {step that is made nowhere, though all is there that it is made from: [steps that only move numbers]}.

    The latter were not seen either. Whoever computes in another layout needs none of them, so they are told together
    with the step that they are for, or alone if they are the last.
    """
    there = {*found, *implied}
    last = {index for _, index in run.outputs}
    lost: dict[int, list[int]] = {}
    for index, step in enumerate(run.steps):
        if index in there:
            continue
        missing = [before for before in step.after if before not in there]
        only_moves = all(run.steps[before].moves for before in missing)
        if only_moves and (not step.moves or index in last):
            lost[index] = missing
    return lost


def _state(run: Run, found: Mapping[int, _Made], index: int) -> str:
    """Say in which order the numbers of a step are, if that is another one and no later step has the right one."""
    made = found[index]
    before = [found[other] for other in run.steps[index].after if other in found]
    later = [found[other] for other in found if index in run.steps[other].after]
    if made.in_order or not all(other.in_order for other in before) or any(other.in_order for other in later):
        return "made"
    step = run.steps[index]
    return "transposed" if fingerprint.is_transposed(made.note.tensor, step.of, step.slack) else "reordered"


def _unreturned(
    run: Run, found: Mapping[int, _Made], marks: Mapping[int, Mark], returned: Sequence[torch.Tensor]
) -> dict[int, Mark]:
    """Return {index: `Mark`} of each output whose numbers are made, though something else is returned in its place."""
    changed = {}
    for place, (shape, index) in enumerate(run.outputs):
        given = returned[place] if len(returned) == len(run.outputs) else None
        if index in found and not (given is not None and _is_output(given, shape, run.steps[index])):
            state = "not returned" if shape in found[index].shapes else "reshaped"
            changed[index] = replace(marks[index], state=state)
    return changed


def _listed(words: Sequence[str]) -> str:
    if len(words) > 3:
        return f"{words[0]} to {words[-1]}"
    return " and ".join(words) if len(words) < 3 else f"{words[0]}, {words[1]} and {words[2]}"
