"""A class as it might be: learners with beliefs in realistic shares, who hand in several lessons, and again.

Nothing here is measured of real learners. What is like them: a few mistakes are made by many and most by few, a belief
shows in every exercise and lesson that gives it an occasion, most mistakes are gone after feedback and some stay, and
no two people write the same text.
"""

import ast
import datetime
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .. import mistakes
from ..authoring import natural
from ..authoring.draft import BEGIN, END
from ..authoring.faults import beside
from ..authoring.lesson import Lesson

FIRST = (
    "Ada Ben Chloe Dina Emil Farah Goran Hana Ilya Jana Kofi Lena Milo Nora Omar Petra Quentin Rosa Samir Tilda Umar "
    "Vera Wanda Yuki Zoe"
).split()
LAST = (
    "Abel Brandt Castro Duarte Eriksen Fischer Garcia Haddad Ito Jensen Kaya Lopez Mbeki Novak Okafor Park Rossi "
    "Schmidt Tanaka Vogel Weber Yilmaz Zhang"
).split()
SHORT = {"scores": ("s", "logits", "result"), "weights": ("w", "attn", "probs"), "output": ("out", "y", "res")}
REMARKS = (
    "first attempt", "as in the formula", "see the lesson", "TODO: check the shapes", "this took a while",
    "worked on paper first", "same as in the example", "shape is right here", "asked in the forum", "tried both ways",
    "hope this is right", "looked at the hint", "version 2", "could be shorter", "ok for the small input",
)  # fmt: skip
SHARES = {"right": 0.58, "mistake": 0.26, "slip": 0.06, "untried": 0.10}
AGAIN = 0.65  # of those who are not done hand in once more, and
LEARNED = 0.6  # of their mistakes are gone then
HELD = 0.55  # of the mistakes of somebody who holds a belief come from it, where it can show
FRIENDS = 0.02  # hand in nearly the text of somebody else
DUE = datetime.timedelta(days=7)


@dataclass
class Learner:
    """One learner.

    name     id in the gradebook
    first    first name
    last     last name
    skill    from 0 to 1
    beliefs  names of mistakes that come of what this learner believes
    """

    name: str
    first: str
    last: str
    skill: float
    beliefs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sheet:
    """What one learner hands in for one lesson at one time.

    round     0 for the first time
    when      after the lesson was released
    answers   {exercise or question: source}; nothing of those that are untried
    broken    True: the upload was cut off
    """

    learner: Learner
    lesson: Lesson
    round: int
    when: datetime.timedelta
    answers: Mapping[str, str]
    broken: bool = False


class Answers:
    """What can be written for the exercises of a lesson, right and wrong."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.catalogue = mistakes.read(beside(lesson, "mistakes"))
        others = mistakes.read_alternatives(beside(lesson, "alternatives"))
        self.right = {
            name: [_plain(exercise.source), *(others.source(name, style) for style, _ in others.of(name))]
            for name, exercise in lesson.exercises.items()
        }
        self.wrong = {name: self._of_each(name) for name in lesson.exercises}

    def _of_each(self, exercise: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for wrong in self.catalogue.singles(exercise):
            public = tuple(vars(wrong.call)) if isinstance(wrong.call, type) else ()
            try:
                made = natural.written(self.catalogue, exercise, wrong.replaced, natural.Style(public))
                source = f"{made.imports}\n\n\n{made.code}"
            except natural.Unfit:
                source = self.catalogue.source(wrong)
            found.setdefault(wrong.mistakes[0], []).append(source)
        return found

    def slip(self, exercise: str, chance: random.Random) -> str:
        """Return the solution with one slip of the pen, of which the first ones are the likeliest."""
        tree = ast.parse(self.right[exercise][0])
        operations = [node for node in ast.walk(tree) if isinstance(node, (ast.BinOp, ast.Constant)) and _slips(node)]
        if operations:
            node = operations[min(int(chance.expovariate(1.0)), len(operations) - 1)]
            if isinstance(node, ast.BinOp):
                node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            else:
                node.value = node.value * 2 + 1  # type: ignore[operator]
        return ast.unparse(tree)


def _slips(node: ast.BinOp | ast.Constant) -> bool:
    return isinstance(node, ast.BinOp) or isinstance(node.value, (int, float)) and not isinstance(node.value, bool)


def _plain(source: str) -> str:
    return "\n".join(line for line in source.split("\n") if line.strip() not in (BEGIN, END))


def learners(count: int, chance: random.Random) -> list[Learner]:
    """Return so many learners with names."""
    names = [(first, last) for first in FIRST for last in LAST]
    chance.shuffle(names)
    made = []
    for number in range(count):
        first, last = names[number % len(names)]
        tail = "" if number < len(names) else str(number // len(names) + 1)
        made.append(Learner(f"{first}.{last}{tail}".lower(), first, last, chance.betavariate(5, 2.5)))
    return made


def sheets(lessons: Sequence[Lesson], people: Sequence[Learner], seed: int = 1, rounds: int = 3) -> Iterator[Sheet]:
    """Yield what a class hands in, lesson by lesson, the first time of everybody before the second one.

    rounds  how many times a learner hands in at most
    """
    chance = random.Random(seed)
    for lesson in lessons:
        known = Answers(lesson)
        before: dict[str, dict[str, tuple[str, str]]] = {}
        for number in range(rounds):
            handed_in: list[Sheet] = []
            for one in people:
                if number == 0 and chance.random() < 0.96:
                    before[one.name] = {name: _answer(known, name, one, chance) for name in lesson.exercises}
                elif one.name in before and not _done(before[one.name]) and chance.random() < AGAIN:
                    before[one.name] = _again(known, before[one.name], one, chance)
                else:
                    continue
                handed_in.append(_sheet(known, before[one.name], one, number, chance))
            yield from _with_friends(handed_in, chance) if number == 0 else handed_in


def _done(found: Mapping[str, tuple[str, str]]) -> bool:
    return all(kind == "right" for kind, _ in found.values())


def _answer(known: Answers, exercise: str, one: Learner, chance: random.Random) -> tuple[str, str]:
    """Return (kind, source) of what a learner writes for an exercise."""
    weight = {**SHARES, "right": SHARES["right"] * 2 * one.skill}
    kind = chance.choices(list(weight), list(weight.values()))[0]
    wrong = known.wrong[exercise]
    if kind == "untried":
        return kind, ""
    if kind == "slip":
        return kind, known.slip(exercise, chance)
    if kind == "mistake" and wrong:
        held = [name for name in one.beliefs if name in wrong]
        if not held or chance.random() > HELD:
            # Those that are made most stand first.
            held = [chance.choices(list(wrong), [1 / (place + 1) ** 1.3 for place in range(len(wrong))])[0]]
            one.beliefs.append(held[0])
        return held[0], chance.choice(wrong[held[0]])
    return "right", known.right[exercise][min(int(chance.expovariate(1.0)), len(known.right[exercise]) - 1)]


def _again(
    known: Answers, found: Mapping[str, tuple[str, str]], one: Learner, chance: random.Random
) -> dict[str, tuple[str, str]]:
    new = dict(found)
    for exercise, (kind, _) in found.items():
        if kind == "right":
            continue
        if chance.random() < LEARNED:
            new[exercise] = ("right", known.right[exercise][0])
            one.beliefs[:] = [belief for belief in one.beliefs if belief != kind]
        elif chance.random() < 0.3:
            new[exercise] = _answer(known, exercise, one, chance)
    return new


def _sheet(
    known: Answers, found: Mapping[str, tuple[str, str]], one: Learner, number: int, chance: random.Random
) -> Sheet:
    hand = random.Random(f"{one.name} {known.lesson.name}")  # somebody's style stays
    answers = {name: _in_own_hand(source, hand) for name, (_, source) in found.items() if source}
    if one.skill > 0.4:
        for question in known.lesson.questions:
            answers[question] = f"I think it is so because of the size of the numbers. {hand.choice(REMARKS)}."
    days = min(chance.betavariate(5, 1.2) * DUE.days + 1.2 * (chance.random() < 0.1), 14.0) + number * 0.6
    return Sheet(
        one, known.lesson, number, datetime.timedelta(days=days), answers, number == 0 and chance.random() < 0.01
    )


def _in_own_hand(source: str, hand: random.Random) -> str:
    """Return an answer with names, blanks and remarks of somebody's own."""
    tree = ast.parse(source)
    taken = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    taken |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    given = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    given -= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names: dict[str, str] = {}
    for name in sorted(given):
        new = hand.choice((name, *SHORT.get(name, (f"{name}_", f"my_{name}", name[:1]))))
        if new not in taken and new not in names.values():
            names[name] = new
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    lines: list[str] = []
    for line in ast.unparse(tree).split("\n"):
        blank = line[: len(line) - len(line.lstrip())]
        if blank and not lines[-1].endswith((",", "(", '"""')) and hand.random() < 0.2 and _is_between(lines, tree):
            where = f"{hand.choice(('p.', 'line', 'step', 'note', 'slide'))} {hand.randint(1, 99)}"
            lines.append(f"{blank}# {hand.choice(REMARKS)}, {where}")
        lines.append(line)
    text = "\n".join(lines)
    try:
        ast.parse(text)
    except SyntaxError:  # a remark within a string or a statement
        return ast.unparse(tree)
    return text


def _is_between(lines: Sequence[str], tree: ast.AST) -> bool:
    return "\n".join(lines).count('"""') % 2 == 0 and any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree))


def _with_friends(handed_in: Sequence[Sheet], chance: random.Random) -> Iterator[Sheet]:
    last: Sheet | None = None
    for one in handed_in:
        if last and last.answers and chance.random() < FRIENDS:
            copied = {name: text.replace("my_", "own_") for name, text in last.answers.items()}
            one = Sheet(one.learner, one.lesson, one.round, one.when, copied)
        yield one
        last = one
