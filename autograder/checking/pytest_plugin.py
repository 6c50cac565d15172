"""The checks as pytest items: `pytest course/07_scaled_dot_product_attention` grades a notebook in the terminal.

One item per probe, with the diagnosis as the failure message. Notebooks that are no lessons are left alone, and
`pytest -p no:transformer_taxonomy` switches it off. With `--where`, a failure message also tells the line, where it is
certain. With `--nbval`, which runs all cells, checks included, there are no items of ours: then this plugin compares
what a trained model shows, in meaning.
"""

import functools
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr, TracebackStyle

    from ..diagnosing.records import Record
    from ..notebooks.definitions import LoadedModule
    from .result import Result

FLAGS = pytest.StashKey[list[str]]()  # why a person will look at answers of this run


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer to look for the line of each mistake, which takes up to 20 seconds for an exercise."""
    group = parser.getgroup("transformer_taxonomy", "lessons of Transformer Taxonomy")
    group.addoption("--where", action="store_true", help="look for the line of each mistake in the learner's code")


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    """Say which right answers a person will look at when they are graded."""
    if flags := config.stash.get(FLAGS, []):
        terminalreporter.section("a person looks at these")
        for flag in flags:
            terminalreporter.write_line(flag)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "LessonFile | None":
    """Collect a lesson's notebook, known by its metadata."""
    option = parent.config.option
    if getattr(option, "nbval", False) or getattr(option, "nbval_lax", False):
        return None  # its cells are collected, and its checks are among them
    if file_path.suffix == ".ipynb" and (lesson := _lesson_of(file_path)):
        return LessonFile.from_parent(parent, path=file_path, lesson=lesson)
    return None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let nbval compare what a trained model shows in meaning; on every other cell it stays strict."""
    if not getattr(item.config.option, "nbval", False):
        return
    from nbval.plugin import IPyNbCell

    from ..notebooks import meaning

    if isinstance(item, IPyNbCell) and meaning.is_trained(item.cell):
        item.options["check"] = True
        item.compare_outputs = functools.partial(_say_the_same, item)


def _say_the_same(item: Any, fresh: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]]) -> bool:
    """Stand in for `IPyNbCell.compare_outputs`, which leaves what it has to say in `comparison_traceback`."""
    from ..notebooks import meaning

    item.comparison_traceback = meaning.differences(item.cell, stored, fresh)
    return not item.comparison_traceback


def _lesson_of(path: Path) -> str | None:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))["metadata"]["transformer_taxonomy"]
        return about["lesson"] if isinstance(about["lesson"], str) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # whoever asked for this file hears of it from nbval or from pytest itself


class LessonFile(pytest.File):
    """A lesson's notebook: an item for every probe of its exercises."""

    def __init__(self, lesson: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lesson = lesson
        self._module: LoadedModule | None = None
        self._results: dict[str, Result | None] = {}
        self._places: dict[str, str] = {}

    def collect(self) -> "Iterator[ProbeItem]":
        from ..diagnosing import records

        for exercise in [name for name, lesson in records.exercises().items() if lesson == self.lesson]:
            record = records.read(exercise)
            for index, (probe, _) in enumerate(record.probes):
                yield ProbeItem.from_parent(self, name=f"{exercise}::{probe}", record=record, index=index)

    def result(self, record: "Record") -> "Result | None":
        """Return the `Result` of an exercise; the notebook is loaded once, and each exercise is probed once."""
        from ..notebooks.definitions import load, notebook_sources
        from .check import examine

        if self._module is None:
            with warnings.catch_warnings():
                warnings.simplefilter("default")  # a warning costs nothing, however strict this run is
                self._module = load(self.path)
        if record.exercise not in self._results:
            component = getattr(self._module, record.exercise, None)
            found: Result | None = component and examine(
                record, {record.exercise: component}, cells=notebook_sources(self.path.read_text(encoding="utf-8"))
            )
            self._results[record.exercise] = found
            if found and (flag := found.flag):
                self.config.stash.setdefault(FLAGS, []).append(f"{record.exercise}: {flag}")
        return self._results[record.exercise]

    def where(self, record: "Record", result: "Result") -> str:
        """Return where the mistake of a wrong answer is, as text; each exercise is looked through once."""
        from .where import look

        if record.exercise not in self._places:
            place = result.says[2] if result.mistakes else ""
            self._places[record.exercise] = repr(look(record, getattr(self._module, record.exercise), place))
        return self._places[record.exercise]


class ProbeItem(pytest.Item):
    """One sentence about one component."""

    parent: LessonFile

    def __init__(self, record: "Record", index: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.record, self.index = record, index

    def runtest(self) -> None:
        result = self.parent.result(self.record)
        if result is None:
            raise NotRight(f"{self.record.exercise} is not defined in the notebook" + self._why())
        if result.rows[self.index][1] != "right":
            asked = self.config.getoption("where") and not result.unsolved and result.conclusive
            raise NotRight(repr(result) + (f"\n\n{self.parent.where(self.record, result)}" if asked else ""))

    def _why(self) -> str:
        faults = getattr(self.parent._module, "__faults__", ())
        return "".join(f"; cell {fault.cell + 1}: {type(fault.error).__name__}: {fault.error}" for fault in faults[:1])

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: "TracebackStyle | None" = None
    ) -> "str | TerminalRepr":
        """Show the diagnosis; a traceback only for an error of our own."""
        if isinstance(excinfo.value, NotRight):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.record.exercise}: {self.record.probes[self.index][1]}"


class NotRight(Exception):
    """An answer whose observation differs from a right one."""
