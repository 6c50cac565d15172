"""What official grading asks of a component."""

from lessons import REPOSITORY

from autograder.authoring import drawn
from autograder.diagnosing import records
from autograder.grading import judge

REFERENCE = judge.Reference(REPOSITORY / "solutions")


def sizes_asked(exercise, seed=None):
    """Return {size: the values that it has} of all calls that the probes make with fresh numbers.

    seed  of the numbers; None: those that are recorded
    """
    record = records.read(exercise)
    visit = REFERENCE.recorded(record) if seed is None else REFERENCE.fresh(record, seed)
    found = {}
    for request in visit.requests:
        for name, size in drawn.sizes_of(request):
            found.setdefault(name, set()).add(size)
    return found
