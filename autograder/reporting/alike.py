"""Find answers that are nearly the same text in several submissions, with all text taken out that says nothing.

Short right answers are alike because there is little to write. So what counts are the lines of a whole submission which
neither the released notebook nor many others have: names, remarks, the order of things.
"""

import collections
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz, process

ALIKE = 90.0  # of 100, as rapidfuzz measures how much of two texts is the same
LEAST = 240  # characters that are somebody's own; of fewer nothing is said
COMMON = 0.01  # lines that this share of a class has are nobody's own, and of a small class those of
FEW = 3  # submissions
SURE = 97.0  # from here on a pair is told, also if more than a few others are like one of the two
MOST_SHOWN = 60  # lines of a submission


@dataclass(frozen=True)
class Pair:
    """Two submissions of a lesson that are nearly the same text.

    learners    whose they are
    alike       how much of what is their own is the same, of 100
    characters  of the shorter one that are its own
    texts       what of each is its own, line by line
    """

    learners: tuple[str, str]
    alike: float
    characters: int
    texts: tuple[str, str]


def pairs(answers: Mapping[str, Sequence[str]], released: Collection[str] = ()) -> list[Pair]:
    """Return the `Pair`s among the submissions of one lesson, the most alike first.

    answers   {learner: the texts of the answers}
    released  what learners were given: texts of the lesson
    """
    own = own_lines(answers, released)
    texts = {learner: "\n".join(lines) for learner, lines in own.items() if sum(map(len, lines)) >= LEAST}
    learners = list(texts)
    if len(learners) < 2:
        return []
    found = []
    measured = process.cdist(list(texts.values()), list(texts.values()), scorer=fuzz.ratio, score_cutoff=ALIKE)
    for one, other in zip(*np.nonzero(np.triu(measured, 1)), strict=True):
        whose = learners[one], learners[other]
        shown = texts[whose[0]], texts[whose[1]]
        found.append(Pair(whose, round(float(measured[one, other]), 1), min(map(len, shown)), shown))
    # What is like that of many is how the exercise is written, and nobody's own.
    like = collections.Counter(learner for pair in found for learner in pair.learners)
    found = [pair for pair in found if pair.alike >= SURE or max(like[learner] for learner in pair.learners) <= FEW]
    return sorted(found, key=lambda pair: (-pair.alike, -pair.characters, pair.learners))


def own_lines(answers: Mapping[str, Sequence[str]], released: Collection[str] = ()) -> dict[str, list[str]]:
    """Return {learner: the lines that are neither released nor those of many}, each without what is around it."""
    lines = {learner: list(_lines(texts)) for learner, texts in answers.items()}
    given = set(_lines(released))
    count = collections.Counter(line for one in lines.values() for line in set(one))
    most = max(FEW, COMMON * len(lines))
    return {
        learner: [line for line in one if line not in given and count[line] <= most] for learner, one in lines.items()
    }


def _lines(texts: Collection[str]) -> Iterator[str]:
    for line in itertools.chain.from_iterable(text.split("\n") for text in texts):
        if bare := " ".join(line.split()):
            yield bare
