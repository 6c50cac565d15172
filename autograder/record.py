"""Make a lesson's recorded answers: what its reference, alternatives and mistakes show under the probes."""

import warnings
from pathlib import Path

import torch

from . import mistakes, probes, recording, tree
from .build import choice as arguments  # noqa: F401  (__main__ asks every command for `arguments`)
from .build import each
from .definitions import load


def beside(lesson, folder):
    """Return the path of what belongs to a lesson in `solutions/mistakes` or `solutions/alternatives`."""
    return Path(lesson.path).parent / folder / f"{lesson.name}.py"


def records(lesson, seed=recording.SEED, pairs=True, draws=None):
    """Yield the `Record` of each exercise of a lesson.

    draws  function of an exercise's name: its {probe: draw} as `recording.record` takes it; None to find them

    Raises CourseError if the lesson has no probes or no mistakes, if a mistake cannot be told from a right answer or
    from another mistake, or if what is observed depends on how a processor rounds.
    """
    if lesson.name not in probes.lessons():
        raise tree.CourseError(f"{lesson.path}: no probes; write autograder/probes/{lesson.name}.py")
    reference = load(lesson.path)
    try:
        catalogue = mistakes.read(beside(lesson, "mistakes"))
        alternatives = mistakes.read_alternatives(beside(lesson, "alternatives"))
        for exercise in lesson.exercises.values():
            component = getattr(reference, exercise.name)
            yield recording.record(lesson, exercise, component, catalogue, alternatives.of(exercise.name), seed, pairs,
                                   draws and draws(exercise.name))
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise tree.CourseError(str(error)) from error


def record(lesson, folder=recording.FOLDER):
    """Write the recorded answers of a lesson, all or none; return whether anything changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mistakes may use what PyTorch warns of
        made = list(records(lesson))
    kept = {one.exercise for one in made}
    gone = [path for path in (Path(folder) / lesson.name).glob("*.json") if path.stem not in kept]
    changed = [recording.write(one, folder) for one in made]
    for path in gone:
        path.unlink()
    return any(changed) or bool(gone)


def run(args):
    torch.set_num_threads(1)  # the tensors are tiny: more threads only wait for each other
    return each(args, record, "recorded")
