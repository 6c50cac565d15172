"""python -m bench.diagnosis [LESSON or EXERCISE ...]: how often a diagnosis is right, over what is known to be wrong.

Three things are measured. The line: practice specimens, of which the wrong lines are recorded, are handed to the search
for the line with the seconds that a learner gets. The way: of declared mistakes, whose names it does not know, the
first step that is told to be missing. Pairs and triples: mistakes that change different parts of one answer are made
at once, and the answer is checked.

Everything is drawn at random, and what a larger number draws begins with what a smaller one does. What counts as false
needs a reader: `--cases FILE` keeps each case, with its code and with what was said of it, as a line of JSON.
"""

import argparse
import collections
import json
import random
import statistics
import sys
import time
import warnings
from pathlib import Path

from rich.console import Console

from autograder.checking import check
from autograder.checking.way import text_way
from autograder.diagnosing import habits, records, specimens
from autograder.locating.search import SECONDS, locate
from autograder.progress_bar import shown_progress

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import lessons
import ways_told

PLACED, SILENT, ELSEWHERE = "on the right line", "nothing said", "on a wrong line"
WHOLE, PART, NAMELESS, OTHER, PASSED = "named whole", "in part", "without a name", "with another name", "accepted"
MOST_AT_ONCE = 3
TRIES = 50  # draws of mistakes that can be made at once, before another exercise is taken


class Measured:
    """One table: how many cases came to what, and what is worth reading of each.

    counts   {what it came to: how many}
    seconds  of a processor, of each case
    """

    def __init__(self, title, kinds, cases, tell, every):
        self.title, self.cases, self.tell, self.every = title, cases, tell, every
        self.counts, self.seconds = dict.fromkeys(kinds, 0), []

    def add(self, kind, seconds, **about):
        """Count one case, and keep it for a reader."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.seconds.append(seconds)
        self.tell(self.title, len(self.seconds), self.every)
        if self.cases:
            print(json.dumps({"what": self.title, "kind": kind, "seconds": round(seconds, 3)} | about), file=self.cases)
            self.cases.flush()

    def rows(self):
        """Yield the lines of the table."""
        total = len(self.seconds)
        if not total:
            return
        yield f"\n{self.title}: {total}"
        yield from (f"  {kind:<64} {count:>5}  {count / total:>4.0%}" for kind, count in self.counts.items())
        middle, worst = statistics.median(self.seconds), max(self.seconds)
        yield f"  {'seconds of a processor: median, worst':<64} {middle:.2f}, {worst:.2f}"


def the_line(chosen, count, seed, measured):
    """Place specimens, drawn over all exercises."""
    every = [
        (exercise, number)
        for exercise in sorted(specimens.exercises())
        if exercise in chosen
        for number in range(len(specimens.read(exercise).specimens))
    ]
    random.Random(seed).shuffle(every)
    table = measured("The line, of practice specimens", (PLACED, SILENT, ELSEWHERE), min(count, len(every)))
    for exercise, number in every[:count]:
        material = specimens.read(exercise)
        one = material.specimens[number]
        answer = specimens.component(exercise, one.imports, one.code, material.uses, f"specimen {exercise} {number}")
        located = locate(records.read(exercise), answer, SECONDS, lambda done, every: None)
        found = [set(range(place.first, place.last + 1)) for place in located.places]
        right = all(lines.intersection(one.lines) for lines in found)
        if located.between:  # in one of them
            right = bool(set.union(*found).intersection(one.lines))
        kind = SILENT if not found else PLACED if right else ELSEWHERE
        table.add(
            kind,
            located.seconds,
            exercise=exercise,
            number=number,
            mistake=one.mistake,
            found=[sorted(lines) for lines in found],
            truth=list(one.lines),
            why=located.why,
            tried=located.tried,
            code=one.code,
        )
    return table


def the_way(chosen, count, seed, measured):
    """Tell the way of declared mistakes."""
    names = [
        (lesson, name) for lesson, name in lessons.EXERCISES if name in chosen and ways_told.ways.read(lesson, name)
    ]
    every = [
        (lesson, name, number)
        for lesson, name in names
        for number in range(len(lessons.catalogue(lesson).singles(name)))
    ]
    random.Random(seed).shuffle(every)
    drawn = collections.defaultdict(set)
    for lesson, name, number in every[:count]:
        drawn[lesson, name].add(number)
    kinds = (*ways_told.KINDS, ways_told.UNTOLD, ways_told.NOTHING, ways_told.ELSEWHERE)
    table = measured("The way, of declared mistakes", kinds, min(count, len(every)))
    for (lesson, name), numbers in drawn.items():
        for one in ways_told.told(lesson, name, chosen=sorted(numbers)):
            said = " ".join(text_way(one.way)) if one.way else ""
            table.add(one.kind, one.seconds, exercise=name, mistake=one.mistake, says=said, false=one.false)
    return table


def at_once(chosen, count, seed, measured):
    """Check answers with two or three mistakes that change different parts of them."""
    table = measured("Pairs and triples of mistakes", (WHOLE, PART, NAMELESS, OTHER, PASSED), count)
    draw = random.Random(seed)
    names = [(lesson, name) for lesson, name in lessons.EXERCISES if name in chosen]
    known = {name: _combined(lesson, name) for lesson, name in names}
    names = [(lesson, name) for lesson, name in names if any(_apart(pair) for pair in _pairs(known[name]))]
    if not names:
        return table
    done = 0
    while done < count:
        lesson, name = draw.choice(names)
        made = _drawn(draw, known[name])
        if not made:
            continue
        replaced = {step: function for one in made for step, function in one.replaced.items()}
        mistakes = tuple(one.mistakes[0] for one in made)
        wrong = lessons.catalogue(lesson).combined(name, mistakes, replaced)
        begun = time.process_time()
        result = check.examine(records.read(name), {name: wrong.call}, seconds=60)
        seconds = time.process_time() - begun
        table.add(
            _kind(result, mistakes),
            seconds,
            exercise=name,
            mistakes=mistakes,
            named=result.mistakes,
            says=result.says,
            failing=[sentence for sentence, state in result.rows if state != "right"],
            code=lessons.catalogue(lesson).source(wrong),
        )
        done += 1
    return table


def _kind(result, mistakes):
    if result.passed:
        return PASSED
    named, made = habits.general(result.mistakes), habits.general(mistakes)
    if named - made:
        return OTHER
    if named == made:
        return WHOLE
    return PART if named else NAMELESS


def _combined(lesson, exercise):
    """Return the ways to make a mistake that leave room for another one."""
    return [one for one in lessons.catalogue(lesson).singles(exercise) if exercise not in one.replaced]


def _pairs(singles):
    return ((one, other) for index, one in enumerate(singles) for other in singles[:index])


def _apart(made):
    """Tell whether mistakes have other names, and change other parts."""
    parts = [part for one in made for part in one.replaced]
    return len({one.mistakes[0] for one in made}) == len(made) and len(set(parts)) == len(parts)


def _drawn(draw, singles):
    """Return two or three mistakes that can be made at once; None if none were drawn."""
    size = draw.randint(2, MOST_AT_ONCE)
    for _ in range(TRIES):
        made = draw.sample(singles, min(size, len(singles)))
        if _apart(made):
            return made
    return None


def parser():
    parser = argparse.ArgumentParser(prog="python -m bench.diagnosis", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="LESSON or EXERCISE", help="all, if none is given")
    parser.add_argument("--lines", type=int, default=100, metavar="N", help="specimens that are placed (100)")
    parser.add_argument("--ways", type=int, default=500, metavar="N", help="mistakes whose way is told (500)")
    parser.add_argument("--pairs", type=int, default=500, metavar="N", help="answers with two or three mistakes (500)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="for all that is drawn (1)")
    parser.add_argument("--cases", type=Path, metavar="FILE", help="keep each case there, to be read")
    return parser


def main():
    args = parser().parse_args()
    known = {name for one in lessons.EXERCISES for name in one}
    if unknown := [name for name in args.names if name not in known]:
        parser().error(f"there is no lesson or exercise {unknown[0]!r}; there are {', '.join(sorted(known))}")
    chosen = {one[1] for one in lessons.EXERCISES if not args.names or set(one) & set(args.names)}
    console, tables = Console(stderr=True), []
    cases = args.cases.open("w") if args.cases else None
    with shown_progress(console) as tell, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mistakes may use what PyTorch warns of
        for measure, count in ((at_once, args.pairs), (the_way, args.ways), (the_line, args.lines)):
            if count:
                tables.append(
                    measure(chosen, count, args.seed, lambda *head: Measured(*head[:2], cases, tell, head[2]))
                )
    print("\n".join(row for table in tables for row in table.rows()).lstrip("\n"))


if __name__ == "__main__":
    main()
