"""The search for the line: edits of an answer, each judged by the probes.

If edits of one statement, and of no other, make all probes pass, the mistake is in that statement. All edits are tried
before that is said: what a few of them repair, others may repair elsewhere. If none does, two mistakes are looked for:
an edit that makes some of the probes pass, and one of another statement that does so for the rest.
"""

import ast
import contextlib
import io
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from .. import probes
from ..calling.limit import Limit, TimeUp
from ..calling.watched import Own, closed_boxes
from ..diagnosing import records
from ..diagnosing.comparison import agree, differences, differing, values
from ..diagnosing.diagnosis import diagnose
from ..diagnosing.observation import same
from ..processes import one_thread
from .edits import Edit, Place, blocks, edits, place_of, statements
from .source import Code, NoSource, code_of
from .watch import Sights

SECONDS = 20.0
MOST_TOGETHER = 2  # statements, one behind the other, of which it cannot be said which one is wrong
WALL = 60.0  # by the clock: on a busy computer an edit gets as far as on any other
LEAST, SLOWER = 0.3, 5.0  # seconds that one try may compute, and how many times as long as the answer itself

TWO = 2  # lines, each with a mistake of its own
NONE = "No small change of one line, or of two, makes every probe pass."
SEVERAL = "Changes of different lines would make every probe pass, so no line is certain."
UNSURE = "Small changes make every probe pass, but they do not tell the line, so none is certain."
ANOTHER = "Its code does not do the same when it is run again by itself."

Told = Callable[[int, int], object]  # how many edits were tried, of how many


@dataclass
class Located:
    """Where a mistake is.

    places   the statement in which it is, or two of them; none if it is not certain
    between  True: it is in one of two statements that follow each other, or something is missing between them; False,
             and two statements: there is a mistake in each
    why      a sentence that says why there is none
    lines    {file: (number, text) of the lines that were looked at}
    tried    how many edits were judged
    seconds  of a processor that it took
    """

    places: tuple[Place, ...] = ()
    between: bool = False
    why: str = ""
    lines: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    tried: int = 0
    seconds: float = 0.0


class OutOfTime(Exception):
    """The seconds for the search are used up."""


def locate(record: records.Record, component: Callable[..., Any], seconds: float, told: Told) -> Located:
    """Look for the line of a mistake and return what is certain.

    seconds  of a processor that it may take
    told     called with how many edits were tried, and of how many
    An interruption ends the search, which then says so.
    """
    begun = time.process_time()
    try:
        code = code_of(component, set(records.exercises()))
    except NoSource as reason:
        return Located(why=str(reason))
    search = Search(record, code, begun + seconds, told)
    try:
        with _nothing_changes():
            found = search.run(component)
    except OutOfTime:
        found = Located(why=f"{seconds:g} seconds were not enough to try everything, so nothing is certain.")
    except KeyboardInterrupt:
        found = Located(why="You stopped the search before everything was tried, so nothing is certain.")
    found.lines, found.tried, found.seconds = code.lines(), search.tried, time.process_time() - begun
    return found


class Search:
    """One search.

    found  the edits that repair the answer
    tried  how many were judged
    """

    def __init__(self, record: records.Record, code: Code, end: float, told: Told) -> None:
        self.record, self.code, self.end, self.told = record, code, end, told
        self.parts = closed_boxes(record.uses)
        self.expected = record.expected()
        self.tried = 0
        self.found: list[Edit] = []
        self.took: dict[str, float] = {}
        self.failing = frozenset[str]()

    def run(self, component: Callable[..., Any]) -> Located:
        """Return where the mistake is."""
        own = self._failing(component)
        try:
            failing = self._failing(self.code.build())
            order = sorted(failing, key=lambda probe: self.took[probe])
            sights = self._watched(order)
        except Exception:  # whatever a definition may raise
            return Located(why=ANOTHER)
        if own != failing:
            return Located(why=ANOTHER)
        if not failing:
            return Located(why="Every probe is right here.")
        self.failing = frozenset(failing)
        trees, every = [unit.node for unit in self.code.units], list(self._edits(sights))
        beside = self._try_all([edit for edit in every if sights.ran(edit.place, order)], order, trees)
        if not self.found and beside:
            return Located(why=UNSURE)
        located = _certain(self.found, trees) if self.found else self._two(every, order, trees, sights)
        # Parameters and defaults are what the exercise gives: another default hides what is wrong behind it.
        return Located(why=UNSURE) if sights.heads.intersection(located.places) else located

    def _try_all(self, every: Sequence[Edit], order: Sequence[str], trees: Sequence[ast.stmt]) -> bool:
        """Find the edits that repair the answer. Return True if others do which pass by what another line is for.

        Those leave a name unused that another line gives: the mistake may as well be in that line.
        """
        unused, beside = _unused(trees), False
        for edit in self._each(every):
            if not self._repairs(edit, order):
                continue
            with edit.made():
                passes_by = _unused(trees) > unused
            if passes_by:
                beside = True
                continue
            self.found.append(edit)
            if len(_places(self.found)) > MOST_TOGETHER:
                break  # nothing can become certain any more
        return beside

    def _two(self, every: Sequence[Edit], order: Sequence[str], trees: Sequence[ast.stmt], sights: Sights) -> Located:
        """Look for two lines: an edit that makes some of the failing probes pass, and another one for the rest."""
        partly: list[tuple[Edit, frozenset[str]]] = []
        for edit in self._each(every):
            if passing := self._passing(edit, [probe for probe in order if sights.ran(edit.place, [probe])]):
                partly.append((edit, passing))
        unused, pairs, beside = _unused(trees), set[frozenset[Place]](), False
        for first, passing in partly:
            rest = [probe for probe in order if probe not in passing]
            with first.made():
                for other in self._each([edit for edit in every if sights.ran(edit.place, rest)]):
                    if {first.place, first.also} & {other.place, other.also} - {None} or not self._repairs(other, rest):
                        continue
                    with other.made():
                        passes_by = _unused(trees) > unused
                    beside |= passes_by
                    if not passes_by:
                        pairs.add(frozenset(_places([first, other])))
            if len(pairs) > 1:
                return Located(why=SEVERAL)
        if beside and not pairs:
            return Located(why=UNSURE)
        return Located(tuple(sorted(*pairs))) if pairs and len(*pairs) == TWO else Located(why=NONE)

    def _each(self, every: Sequence[Edit]) -> Iterator[Edit]:
        """Yield edits as long as there is time, and tell how many are left."""
        for count, edit in enumerate(every):
            if count % 25 == 0:
                self.told(count, len(every))
                if time.process_time() > self.end:
                    raise OutOfTime
            yield edit

    def _passing(self, edit: Edit, failing: Sequence[str]) -> frozenset[str]:
        """Return which of the failing probes pass with an edit; none if others fail with it instead."""
        self.tried += 1
        passing: set[str] = set()
        with edit.made():
            try:
                component = self.code.build()
            except (Exception, SystemExit):
                return frozenset()
            before = [name for name, _ in self.record.probes if name not in failing]
            for probe in [*failing, *before]:
                if probe in before and not passing:
                    break
                seen = self._observed(component, probe, LEAST + SLOWER * self.took[probe])
                if seen is not None and self._passes(probe, seen):
                    passing.add(probe)
                elif probe in before and probe not in self.failing:
                    return frozenset()
        return frozenset(passing.intersection(failing))

    def _watched(self, order: Sequence[str]) -> Sights:
        """Return what is seen of every expression under the probes that fail."""
        sights = Sights(self.code)
        with sights.built() as component:
            for probe in order:
                with sights.under(probe):
                    self._observed(component, probe, 2.0)
        return sights

    def _edits(self, sights: Sights) -> Iterator[Edit]:
        for unit in self.code.units:
            yield from edits(unit.node, unit.file, sights.of)

    def _repairs(self, edit: Edit, order: Sequence[str]) -> bool:
        """Tell whether all probes pass with an edit, the failing ones of them first."""
        self.tried += 1
        with edit.made():
            try:
                component = self.code.build()
            except (Exception, SystemExit):
                return False
        observed: probes.Observed = {}
        for probe in [*order, *(name for name, _ in self.record.probes if name not in order)]:
            seen = self._observed(component, probe, LEAST + SLOWER * self.took[probe])
            if seen is None or not self._passes(probe, seen):
                return False
            observed |= seen
        return diagnose(self.record, observed).passed

    def _passes(self, probe: str, seen: probes.Observed) -> bool:
        """Tell whether a probe shows what it shows of the reference, or of another right answer."""
        expected, shown = self.expected[probe], values(seen)
        one = shown[probe]
        if expected.keys() == one.keys() and all(same(expected[name], one[name]) for name in expected):
            return True
        others = [accepted[probe] for accepted in self.record.accepted if probe in accepted]
        if not others:
            return False
        differs = differences({probe: expected}, shown)
        return any(agree(differs, {probe: other}) for other in others)

    def _failing(self, component: Callable[..., Any]) -> dict[str, frozenset[str]]:
        """Return {probe: the observations that differ} of the probes that fail."""
        failing: dict[str, frozenset[str]] = {}
        for probe, _ in self.record.probes:
            begun = time.process_time()
            seen = self._observed(component, probe, 2.0)
            self.took[probe] = min(self.took.get(probe, 1e9), time.process_time() - begun)
            if seen is None:
                failing[probe] = frozenset({"it does not end"})
            elif not self._passes(probe, seen):
                failing[probe] = frozenset(differing(self.expected[probe], values(seen)[probe]))
        return failing

    def _observed(self, component: Callable[..., Any], probe: str, seconds: float) -> probes.Observed | None:
        """Return what one probe shows; None if the component does not return, or returns what no probe understands."""
        record, printed = self.record, io.StringIO()
        try:
            with (
                contextlib.redirect_stdout(printed),
                contextlib.redirect_stderr(printed),
                Limit(seconds, WALL),  # around all of it: to look at the clock at every call takes longer than the call
            ):
                return probes.observe(
                    record.lesson,
                    record.exercise,
                    Own({record.exercise: component}, self.parts),
                    records.SEED,
                    tuple(record.uses),
                    only={probe},
                    draws=record.draws,
                )
        except (Exception, SystemExit, TimeUp):
            return None


def _places(found: Sequence[Edit]) -> list[Place]:
    """Return where edits are, each once."""
    return sorted({place for edit in found for place in (edit.place, edit.also) if place})


def _unused(trees: Iterable[ast.stmt]) -> set[str]:
    """Return the names that some function gives a value and that none uses."""
    names = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    return {node.id for node in names if isinstance(node.ctx, ast.Store)} - used


def _follow(places: Sequence[Place], trees: Sequence[ast.stmt], file: str) -> bool:
    """Tell whether these are a few statements, one behind the other in one block."""
    for tree in trees:
        for statement in statements(tree):
            for _, block in blocks(statement):
                of_block = [place_of(one, file) for one in block]
                if set(places) <= set(of_block):
                    indices = sorted(of_block.index(place) for place in places)
                    return indices[-1] - indices[0] == len(places) - 1
    return False


def _certain(found: Sequence[Edit], trees: Sequence[ast.stmt]) -> Located:
    """Return the place that all edits which repair an answer have in common, if there is one."""
    places = _places(found)
    if len(places) == 1:
        return Located(tuple(places))
    if len(places) <= MOST_TOGETHER and _follow(places, trees, places[0].file):
        return Located(tuple(places), between=True)
    return Located(why=SEVERAL)


@contextmanager
def _nothing_changes() -> Iterator[None]:
    """Let a search leave nothing behind: no warning, no thread, no random number drawn."""
    numpy = sys.modules.get("numpy")
    drawn = random.getstate(), numpy.random.get_state() if numpy else None
    threads = torch.get_num_threads()
    one_thread()
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(drawn[0])
        if numpy:
            numpy.random.set_state(drawn[1])
