"""From the history of a class to what an instructor wants to know: who solved what, who believes what, did it help.

Everything here is counted from what grading kept; no answer is run. A mistake of the same name in several exercises and
lessons is one belief, and whoever shows it in several of them is counted once.
"""

import ast
import collections
import re
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..diagnosing.comparison import agree
from ..grading.history import HandIn, state
from .alike import Pair
from .grades import Grades
from .teaching import Line

STATES = ("solved", "partly", "wrong", "untried")
MONDAY, LEAST_MONDAY = 5, 3  # beliefs that are worth a lecture's time: at most, and at least, where there are so many
WORTH = 0.4  # of what the first of them counts, from which on a fourth and a fifth are worth it
GONE = 0.25  # of a learner who still has a belief counts one who got rid of it
LONGEST_CODE = 2_400  # characters of an answer that is shown
SENTENCES = ("symptom", "cause", "place")


@dataclass
class Exercise:
    """What a class made of one exercise; learners are counted by their last hand-in.

    states  {"solved" | "partly" | "wrong" | "untried": how many learners}
    at_once learners who had solved it in their first hand-in
    tries   {how many different answers somebody handed in: how many learners}
    """

    lesson: str
    exercise: str
    states: dict[str, int]
    at_once: int
    tries: dict[int, int]

    @property
    def median_tries(self) -> float:
        return statistics.median([count for count, many in self.tries.items() for _ in range(many)] or [0])


@dataclass
class LessonFound:
    """What a class made of one lesson.

    name, title, number  of the lesson
    handed_in   how many learners handed something in that could be graded
    refused     {learner: why}, of last hand-ins
    missing     learners of the roster of whom there is nothing
    exercises   [Exercise]
    steps       [{state: share of all answers}] at the first hand-in, the second one and so on; of the same learners,
                those who handed in as often
    again       how many learners handed in once, twice and so on
    """

    name: str
    title: str
    number: int | None
    handed_in: int
    refused: dict[str, str]
    missing: list[str]
    exercises: list[Exercise]
    steps: list[dict[str, float]]
    again: dict[int, int]


@dataclass
class Example:
    """How somebody here wrote it: the shortest answer, without its remarks."""

    lesson: str
    exercise: str
    code: str


@dataclass
class Belief:
    """One mistake in all exercises and lessons where it showed.

    says     {"symptom", "cause", "place"}: sentences
    where    {(lesson, exercise): learners who showed it there}
    now      learners who show it in their last hand-in
    gone     learners who showed it, and whose last hand-in does not
    between  learners who handed in again after showing it
    example  how people here wrote it
    line     of the lesson that teaches it
    picture  a small input with what is right and what this mistake gives: {"given", "got", "expected"}
    is_input True: it shows only where an input was asked for that exposes a bug
    """

    name: str
    says: dict[str, str]
    where: dict[tuple[str, str], list[str]]
    now: list[str]
    gone: list[str]
    between: list[str]
    example: Example | None = None
    line: Line | None = None
    picture: dict[str, Any] | None = None
    is_input: bool = False

    @property
    def ever(self) -> list[str]:
        return sorted({*self.now, *self.gone})

    @property
    def label(self) -> str:
        return self.name.replace("_", " ")


@dataclass
class Change:
    """What became of a mistake between two hand-ins of a lesson that follow each other, by learners."""

    lesson: str
    mistake: str
    first: int
    gone: list[str]
    stays: list[str]
    came: list[str]


@dataclass
class Nameless:
    """Wrong answers without a name that do the same.

    learners  whose last answer it is
    says      what can be seen
    example   a small input with what is right and what such an answer gives, and the code that shows it
    code      the shortest of the answers
    number    by which `add-mistake` finds it: the groups of an exercise are numbered from the largest down
    draft     True: they are first drafts, or did not run: no belief is behind them
    """

    lesson: str
    exercise: str
    learners: list[str]
    says: list[str]
    example: dict[str, Any] | None
    code: str
    number: int = 0
    draft: bool = False


@dataclass
class ByHand:
    """What a person has to look at.

    flags     (learner, lesson, exercise, why)
    written   {lesson: {question: (points, [learners who wait])}}
    left      (learner, lesson): handed in, and not graded yet
    """

    flags: list[tuple[str, str, str, str]] = field(default_factory=list)
    written: dict[str, dict[str, tuple[float, list[str]]]] = field(default_factory=dict)
    left: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Report:
    """All that a report says; `plain` gives it as JSON can hold it."""

    lessons: list[LessonFound]
    learners: list[str]
    beliefs: list[Belief]
    monday: list[str]
    changes: list[Change]
    nameless: list[Nameless]
    alike: dict[str, list[Pair]]
    by_hand: ByHand
    anonymous: bool = False
    table: list[dict[str, Any]] = field(default_factory=list)

    def belief(self, name: str) -> Belief:
        return next(one for one in self.beliefs if one.name == name)

    def plain(self) -> dict[str, Any]:
        found = asdict(self)
        for one in found["beliefs"]:
            one["where"] = [
                {"lesson": lesson, "exercise": name, "learners": whose}
                for (lesson, name), whose in one["where"].items()
            ]
        return found


def last_ones(hand_ins: Iterable[HandIn]) -> dict[tuple[str, str], HandIn]:
    """Return {(assignment, student): the last hand-in}."""
    return {(one.assignment, one.student): one for one in sorted(hand_ins, key=lambda one: one.number)}


def lesson_found(
    name: str, title: str, number: int | None, exercises: Sequence[str], mine: Sequence[HandIn], roster: Collection[str]
) -> LessonFound:
    """Return what a class made of one lesson.

    exercises  names, in the order of the lesson
    mine       all hand-ins of the lesson
    """
    ways: dict[str, list[HandIn]] = collections.defaultdict(list)
    for one in sorted(mine, key=lambda one: one.number):
        ways[one.student].append(one)
    last = {learner: way[-1] for learner, way in ways.items()}
    graded = {learner: one for learner, one in last.items() if not one.refused}
    found = [_exercise(name, exercise, graded, ways) for exercise in exercises]
    refused = {learner: one.refused for learner, one in sorted(last.items()) if one.refused}
    missing = sorted(set(roster) - set(last))
    again = collections.Counter(len(way) for way in ways.values())
    return LessonFound(
        name, title, number, len(graded), refused, missing, found, _steps(ways, exercises), dict(sorted(again.items()))
    )


def _exercise(
    lesson: str, exercise: str, graded: Mapping[str, HandIn], ways: Mapping[str, Sequence[HandIn]]
) -> Exercise:
    states = collections.Counter(state(one.checks.get(exercise, {"unsolved": True})) for one in graded.values())
    at_once = sum(bool(way[0].checks.get(exercise, {}).get("passed")) for way in ways.values())
    tries = collections.Counter(_tries(way, exercise) for way in ways.values())
    return Exercise(
        lesson, exercise, {name: states[name] for name in STATES}, at_once, {n: tries[n] for n in sorted(tries) if n}
    )


def _tries(way: Sequence[HandIn], exercise: str) -> int:
    """Return how many answers a learner handed in that were other ones than before; none if it was never tried."""
    count, before = 0, None
    for one in way:
        said, answer = one.checks.get(exercise), one.answers.get(exercise)
        if said and state(said) != "untried" and (answer != before or not count):
            count, before = count + 1, answer
    return count


def _steps(ways: Mapping[str, Sequence[HandIn]], exercises: Sequence[str]) -> list[dict[str, float]]:
    """Return the shares of the states, hand-in by hand-in; whoever is done takes the last one along."""
    longest = max((len(way) for way in ways.values()), default=0)
    steps = []
    for number in range(longest):
        counts: collections.Counter[str] = collections.Counter()
        for way in ways.values():
            one = way[min(number, len(way) - 1)]
            counts.update(state(one.checks.get(exercise, {"unsolved": True})) for exercise in exercises)
        whole = sum(counts.values()) or 1
        steps.append({name: counts[name] / whole for name in STATES})
    return steps


def beliefs(hand_ins: Sequence[HandIn], lessons: Mapping[str, str]) -> list[Belief]:
    """Return the beliefs of a class, those that most learners still have first.

    lessons  {assignment: name of the lesson}
    """
    ways: dict[tuple[str, str], list[HandIn]] = collections.defaultdict(list)
    for one in sorted(hand_ins, key=lambda one: one.number):
        ways[one.assignment, one.student].append(one)
    where: dict[str, dict[tuple[str, str], set[str]]] = collections.defaultdict(lambda: collections.defaultdict(set))
    now: dict[str, set[str]] = collections.defaultdict(set)
    between: dict[str, set[str]] = collections.defaultdict(set)
    for (assignment, learner), way in ways.items():
        for number, one in enumerate(way):
            for exercise, said in one.checks.items():
                for name in said.get("mistakes", ()):
                    where[name][lessons[assignment], exercise].add(learner)
                    if number < len(way) - 1:
                        between[name].add(learner)
                    if _has(way[-1], exercise, name):
                        now[name].add(learner)
    found = []
    for name, places in where.items():
        ever = set().union(*places.values())
        shown = {place: sorted(whose) for place, whose in sorted(places.items(), key=lambda one: -len(one[1]))}
        found.append(Belief(name, {}, shown, sorted(now[name]), sorted(ever - now[name]), sorted(between[name])))
    return sorted(found, key=lambda one: (-_weight(one), one.name))


def _has(last: HandIn, exercise: str, mistake: str) -> bool:
    """Tell whether a last hand-in shows a mistake still; of an exercise that is not tried any more nothing is known."""
    said = last.checks.get(exercise)
    return said is None or bool(said.get("unsolved")) or mistake in said.get("mistakes", ())


def _weight(one: Belief) -> float:
    return len(one.now) + GONE * len(one.gone)


def monday(found: Sequence[Belief]) -> list[str]:
    """Return the names of the beliefs that are worth explaining to all, the first one first."""
    held = [one for one in found if one.now and not one.is_input]
    worth = [one for one in held if len(one.now) > 1 and _weight(one) >= WORTH * _weight(held[0])]
    return [one.name for one in held[: max(LEAST_MONDAY, min(MONDAY, len(worth)))]]


def changes(hand_ins: Iterable[HandIn], lessons: Mapping[str, str]) -> list[Change]:
    """Return what became of each mistake between two hand-ins, the most frequent first."""
    ways: dict[tuple[str, str], list[HandIn]] = collections.defaultdict(list)
    for one in sorted(hand_ins, key=lambda one: one.number):
        if not one.refused:
            ways[one.assignment, one.student].append(one)
    found: dict[tuple[str, str, int], Change] = {}
    for (assignment, learner), way in ways.items():
        for number, (first, second) in enumerate(zip(way, way[1:], strict=False), 1):
            before, after = _made(first), _made(second)
            for name in before | after:
                key = lessons[assignment], name, number
                change = found.setdefault(key, Change(*key, [], [], []))
                lists = {(True, False): change.gone, (True, True): change.stays, (False, True): change.came}
                lists[name in before, name in after].append(learner)
    return sorted(found.values(), key=lambda one: (-len(one.gone) - len(one.stays) - len(one.came), one.mistake))


def _made(one: HandIn) -> set[str]:
    return {name for said in one.checks.values() for name in said.get("mistakes", ())}


def nameless(last: Iterable[HandIn], lessons: Mapping[str, str]) -> list[Nameless]:
    """Return the wrong answers without a name among last hand-ins, grouped by what they do, the largest group first."""
    groups: list[tuple[Nameless, Any]] = []
    kept: dict[tuple[str, str, frozenset[str]], list[int]] = collections.defaultdict(list)
    for one in last:
        for exercise, said in one.checks.items():
            if state(said) not in ("wrong", "partly") or said.get("mistakes") or not said.get("says"):
                continue
            differs, code = said.get("differs"), one.answers.get(exercise, "")
            says = said["says"]
            key = (
                lessons[one.assignment],
                exercise,
                frozenset(differs) if differs else frozenset({re.sub(r"\d+", "#", says[0])}),
            )
            place = next((n for n in kept[key] if not differs or agree(groups[n][1], differs)), None)
            if place is None:
                kept[key].append(len(groups))
                groups.append((Nameless(key[0], exercise, [], says, None, code, draft=not differs), differs))
                place = len(groups) - 1
            group = groups[place][0]
            group.learners.append(one.student)
            group.example = group.example or said.get("example")
            if code and (not group.code or len(bare(code)) < len(bare(group.code))):
                group.code = code
    found = sorted((group for group, _ in groups), key=lambda one: (one.draft, -len(one.learners), one.exercise))
    numbers: collections.Counter[str] = collections.Counter()
    for group in found:
        group.learners.sort()
        numbers[group.exercise] += 1
        group.number = numbers[group.exercise]
    return found


def examples(found: Sequence[Belief], last: Iterable[HandIn], lessons: Mapping[str, str]) -> None:
    """Give each belief the shortest answer that shows it and no other mistake, of those that show it now or did."""
    best: dict[str, tuple[tuple[bool, int], str, str, str]] = {}
    for one in last:
        for exercise, said in one.checks.items():
            names, code = said.get("mistakes", ()), one.answers.get(exercise, "")
            for name in names if code else ():
                # Beside another mistake nobody sees which line is meant.
                rank = len(names) > 1, len(code)
                if name not in best or rank < best[name][0]:
                    best[name] = rank, lessons[one.assignment], exercise, code
    for belief in found:
        if belief.name in best:
            _, lesson, exercise, code = best[belief.name]
            belief.example = Example(lesson, exercise, bare(code)[:LONGEST_CODE])


class _Bare(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def _without_docstring(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None and len(node.body) > 1:
            node.body = node.body[1:]
        return node


def bare(code: str) -> str:
    """Return an answer without imports, docstrings, remarks and blanks of its own, which may tell who wrote it."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return re.sub(r"#.*", "", code).strip()
    tree.body = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    try:
        return ast.unparse(_Bare().visit(tree))
    except RecursionError:
        return code


def by_hand(last: Mapping[tuple[str, str], HandIn], grades: Grades, lessons: Mapping[str, str]) -> ByHand:
    """Return what a person has to look at."""
    found = ByHand()
    for (assignment, learner), one in sorted(last.items()):
        # A person who gave points has looked, and nbgrader asks no more.
        known = grades.submitted.get(assignment, {}).get(learner)
        for exercise, said in one.checks.items():
            asked = known is None or f"check_{exercise}" not in known.points or known.points[f"check_{exercise}"].asked
            if said.get("flag") and asked:
                found.flags.append((learner, lessons[assignment], exercise, said["flag"]))
    for assignment, all_of in grades.submitted.items():
        questions: dict[str, tuple[float, list[str]]] = {}
        for learner, submitted in sorted(all_of.items()):
            for name, most in submitted.waiting.items():
                if not grades.cells[assignment][name][1]:  # a check that could not be judged has a flag of its own
                    continue
                questions.setdefault(name, (most, []))[1].append(learner)
        if questions:
            found.written[lessons[assignment]] = questions
    return found


def table(
    last: Mapping[tuple[str, str], HandIn], ways: Iterable[HandIn], lessons: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return a row for each learner and exercise: state, points, tries, the mistakes now and those of before."""
    all_of: dict[tuple[str, str], list[HandIn]] = collections.defaultdict(list)
    for one in sorted(ways, key=lambda one: one.number):
        all_of[one.assignment, one.student].append(one)
    rows = []
    for (assignment, learner), one in sorted(last.items()):
        way = all_of[assignment, learner]
        for exercise, said in one.checks.items():
            now = said.get("mistakes", ())
            before = {name for each in way for name in each.checks.get(exercise, {}).get("mistakes", ())}
            rows.append(
                {
                    "learner": learner,
                    "lesson": lessons[assignment],
                    "exercise": exercise,
                    "state": state(said),
                    "earned": said.get("earned", 0.0),
                    "points": said["points"],
                    "hand_ins": len(way),
                    "tries": _tries(way, exercise),
                    "mistakes": " + ".join(now),
                    "mistakes_before": " + ".join(sorted(before - set(now))),
                    "flag": said.get("flag", ""),
                }
            )
    return rows


def hider(names: Iterable[str]) -> Callable[[str], str]:
    """Return a function that takes learners' names out of what they wrote."""
    parts = {part for name in names for part in re.split(r"[^\w]+", name) if len(part) > 2} | set(names)
    known = sorted((re.escape(part) for part in parts if part), key=len, reverse=True)
    if not known:
        return lambda text: text
    pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(known)})(?![^\W_])", re.IGNORECASE)
    return lambda text: pattern.sub("…", text)
