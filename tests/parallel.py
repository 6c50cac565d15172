"""How the tests are dealt out to the workers of pytest-xdist, so that none is alone for long at the end.

A file is one piece of work, because what its tests share (a graded class, a book, a browser) is dear and made once.
The files of `AT_ONCE` share nothing dear: each of their tests is a piece. In those of `BY_PARAMETERS` the tests with
the same first parameters share something. What takes longest is begun first, and the many short pieces fill up the end.
"""

from pathlib import PurePath

from xdist.scheduler import LoadScopeScheduling

from autograder.processes import cores

# Longest first, as `make test ARGS=--durations=50` shows it; a file that is missing here only comes later.
LONG = [
    "test_attacks",
    "test_red_team",
    "test_grading",
    "test_notebooks",
    "test_grading_killed",
    "test_grading_cluster",
    "test_views_browser",
    "test_smollm2",
    "test_book",
    "test_white_team",
    "test_scarcity",
    "test_nbgrader",
    "test_mistakes",
    "test_verdict",
    "test_busy",
    "test_sandbox",
    "test_sandbox_start",
    "test_processors",
    "test_regrade",
    "test_classroom",
    "test_intake_downloads",
    "test_names",
    "test_places",
    "test_limits",
    "test_intake_class",
    "test_formgrader",
    "test_reach",
]
FEW = 3
AT_ONCE = {"test_attacks", "test_grading_killed", "test_notebooks", "test_reach", "test_verdict"}
BY_PARAMETERS = {"test_mistakes": 2, "test_processors": 1}  # how many


class LongestFirst(LoadScopeScheduling):
    """A queue of pieces, in the order in which they were collected; a worker that is free takes the next."""

    def __init__(self, config, log=None):
        config.option.loadscopereorder = False  # it would begin with the files of most tests, which are quick ones
        super().__init__(config, log)

    def _split_scope(self, nodeid):
        file, _, test = nodeid.partition("::")
        if count := BY_PARAMETERS.get(_file(nodeid)):
            return f"{file}::{test.partition('[')[2].rstrip(']').split('-')[:count]}"
        return nodeid if _file(nodeid) in AT_ONCE else file


def workers(arguments):
    """Return how many workers these arguments of pytest are worth: 0 for a few files or tests.

    A worker imports all that the tests need, and that takes longer than most files do. Tests of attacks, killed runs
    and servers wait for most of their time, so two workers share a processor.
    """
    few = len(arguments) <= FEW and all(
        "::" in one or one.endswith(".py") and _file(one) not in LONG for one in arguments
    )
    return 0 if few else 2 * cores()


def in_order(items):
    """Sort collected tests in place: files that take long come first, the tests of a file stay as they are."""
    rank = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(_file(item.nodeid), len(LONG)))


def _file(nodeid):
    return PurePath(nodeid.partition("::")[0]).stem
