"""What nbgrader and its libraries say while a class is graded goes into a file.

They quote what learners wrote, so no sequence in it reaches the terminal of whoever reads that file, or runs nbgrader.
"""

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from tornado.log import LogFormatter, app_log

from ..display import shown


class _Shown(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)
        record.msg, record.args = shown(record.getMessage(), None, lines=True), ()
        return super().format(record)

    def formatException(self, error: "logging._SysExcInfoType") -> str:
        return shown(super().formatException(error), None, lines=True)


class FileFormatter(_Shown, logging.Formatter):
    """Lines of a file."""


class TerminalFormatter(_Shown, LogFormatter):
    """nbgrader's lines in a terminal, with colours of its own alone."""


class _Quiet(logging.FileHandler):
    """Leaves out what it cannot write, without a word: a disk that is full is told of once, where it matters."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextlib.contextmanager
def logged(path: Path | str) -> Iterator[None]:
    """Send what nbgrader logs, and what it warns of, to a file."""
    handler = _Quiet(path, encoding="utf-8")
    handler.setFormatter(FileFormatter("%(asctime)s %(levelname)s %(message)s"))
    # nbgrader's gradebook writes into Tornado's log.
    loggers = [logging.getLogger("traitlets"), logging.getLogger("py.warnings"), app_log]
    before = [(logger, logger.handlers[:], logger.propagate) for logger in loggers]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        logging.captureWarnings(False)
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
