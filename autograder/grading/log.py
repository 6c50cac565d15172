"""What nbgrader and its libraries say while a class is graded goes into a file."""

import contextlib
import logging
import warnings

from tornado.log import app_log  # nbgrader's gradebook writes into it


class _Quiet(logging.FileHandler):
    """Leaves out what it cannot write, without a word: a disk that is full is told of once, where it matters."""

    def handleError(self, record):
        pass


@contextlib.contextmanager
def logged(path):
    """Send what nbgrader logs, and what it warns of, to a file."""
    handler = _Quiet(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
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
