"""The tests are dealt out to workers so that nobody waits long, and a few files are run without any."""

import pkgutil
import sys

import parallel
import pytest
from lessons import REPOSITORY

from autograder.processes import cores


def test_what_comes_first_is_there():
    files = {path.stem for path in (REPOSITORY / "tests").rglob("test_*.py")}
    assert {*parallel.LONG, *parallel.AT_ONCE, *parallel.BY_PARAMETERS} - files == set()


def test_no_folder_of_tests_is_taken_for_a_module():
    """`tests` is on the path, and there a folder of this name would come before a package that is installed so."""
    here = {path.name for path in (REPOSITORY / "tests").iterdir() if path.is_dir()}
    packages = {module.name for module in pkgutil.iter_modules() if module.ispkg}
    assert here & {*packages, *sys.stdlib_module_names, "autograder", "workbench", "solutions"} == set()


class Item:
    def __init__(self, nodeid):
        self.nodeid = nodeid


def test_long_files_come_first_and_the_tests_of_a_file_stay_in_order():
    items = [Item(f"tests/{name}.py::{test}") for name in ("test_wire", *reversed(parallel.LONG)) for test in "ba"]
    parallel.in_order(items)
    assert [item.nodeid for item in items] == [
        f"tests/{name}.py::{test}" for name in (*parallel.LONG, "test_wire") for test in "ba"
    ]


@pytest.mark.parametrize(
    ("arguments", "workers"),
    [
        (["tests/test_wire.py"], 0),
        (["tests/test_wire.py::test_a", "tests/test_wire.py::test_b"], 0),
        ([f"{parallel.LONG[0]}.py"], 2 * cores()),
        ([f"tests/{parallel.LONG[0]}.py::test_a"], 0),
        (["tests"], 2 * cores()),
        ([f"tests/test_{name}.py" for name in "abcd"], 2 * cores()),
    ],
)
def test_a_few_short_files_need_no_workers(arguments, workers):
    assert parallel.workers(arguments) == workers
