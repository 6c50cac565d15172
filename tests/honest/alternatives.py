"""Right answers to all exercises of a lesson in every accepted style, each written with a habit that people have.

`PYTHONPATH=tests python tests/honest/alternatives.py` tries every answer once, in all lessons, and prints what lost a
point.
"""

import itertools

import nbformat
from graded import locally, officially
from lessons import LESSONS, REPOSITORY, alternatives, read
from nbgrader.utils import is_solution

from autograder.intake.rebuild import NOTES

# What can be done to any answer, {name: function of (source, name of the component)}.
HABITS = {
    "as it is": lambda source, name: source,
    "asserts": lambda source, name: f"{source}\n\nassert callable({name}), {name!r}",
    "prints": lambda source, name: f"{source}\n\nprint({name})",
    "timed": lambda source, name: f"%%time\n{source}",
    "a magic below": lambda source, name: f"{source}\n\n%timeit -n 1 -r 1 repr({name})",
    "an older try": lambda source, name: f"def {name}(*inputs):\n    return None\n\n{source}",
    "a helper that is not used": lambda source, name: f"def show(x):\n    print(x.shape)\n\n{source}",
    "imports of its own": lambda source, name: (
        f"import numpy as np\nimport torch, math\nfrom torch import nn\n{source}"
    ),
    "another name": lambda source, name: f"{source}\n\nmine = {name}\n{name} = mine",
    "main": lambda source, name: f"{source}\n\nif __name__ == '__main__':\n    print({name}.__name__)",
    "a plot": lambda source, name: f"{source}\n\nimport matplotlib.pyplot as plt\nplt.plot([2, 3, 5])\nplt.show()",
    "a to-do": lambda source, name: f"# TODO: make this faster\n{source}\n# done!",
    "help": lambda source, name: f"{source}\n\n{name}?",
}


def answers(lesson):
    """Return {exercise: [sources of right answers]} of a lesson, the solution first."""
    accepted = alternatives(lesson)
    return {
        name: [about.source, *(accepted.source(name, style) for style, _ in accepted.of(name))]
        for name, about in read(lesson).exercises.items()
    }


def how_many(lesson):
    """Return how many notebooks it takes until every right answer has been in one."""
    return max(map(len, answers(lesson).values()))


def made(lesson, number):
    """Return a notebook of a lesson that is solved: the set-up cells, the answers and the checks.

    number  which answer of each exercise is taken, and which habit; numbers go on from the beginning
    """
    found = nbformat.read(REPOSITORY / "course" / read(lesson).folder / f"{lesson}.ipynb", 4)
    found.cells = [cell for cell in found.cells if cell.cell_type == "code" and not cell.id.startswith("demo-")]
    habits, right = itertools.cycle(HABITS.values()), answers(lesson)
    for _ in range(3 * number):
        next(habits)
    for cell in filter(is_solution, found.cells):
        name = cell.metadata.nbgrader.grade_id
        if name in right:
            cell.source = next(habits)(right[name][number % len(right[name])], name)
    found.metadata[NOTES] = {"comments": {}}
    return found


def tried(notebooks):
    """Return {(lesson, number): (what official grading says, what the checks in the notebook say)}.

    notebooks  {(lesson, number): notebook}
    """
    names = {str(key): key for key in notebooks}
    folders = {name: REPOSITORY / "course" / read(lesson).folder for name, (lesson, _) in names.items()}
    made = {name: notebooks[key] for name, key in names.items()}
    official, local = officially(made, folders), locally(made)
    return {key: (official[name], local[name]) for name, key in names.items()}


if __name__ == "__main__":
    every = {(lesson, number): made(lesson, number) for lesson in LESSONS for number in range(how_many(lesson))}
    count = lost = flagged = differ = 0
    for (lesson, number), (official, local) in tried(every).items():
        for name, about in read(lesson).exercises.items():
            count += 1
            points, flag = official.get(name, [0, False])
            lost, flagged = lost + (points < about.points), flagged + flag
            differ += official.get(name) != local.get(name)
            if [points, flag] != [about.points, False] or official.get(name) != local.get(name):
                print(lesson, number, name, official.get(name), local.get(name))
    print(f"{count} answers in {len(every)} notebooks: {lost} lost points, {flagged} flagged, {differ} differ locally")
