"""A limit on how long a learner's code may take."""

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class TimeUp(BaseException):
    """The time is up. Not an `Exception`, so that `except Exception` in a learner's loop does not swallow it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` in the block if it takes longer, again and again until it comes through.

    In the main thread of a Unix process an alarm signal also ends a sleep; elsewhere the exception waits for
    the next Python instruction. A single call of compiled code cannot be interrupted.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        yield from _by_signal(seconds)
    else:
        yield from _by_thread(seconds)


def _by_signal(seconds: float) -> Iterator[None]:
    rung = []

    def ring(number: int, frame: FrameType | None) -> None:
        rung.append(number)
        if len(rung) > 1:
            _raise_at_next_line(frame)
        raise TimeUp

    before, tracing = signal.signal(signal.SIGALRM, ring), sys.gettrace()
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.2)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.settrace(tracing)


def _raise_at_next_line(frame: FrameType | None) -> None:
    """Raise `TimeUp` once more where a bare `except:` has swallowed it, so that it leaves the loop around that."""

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":  # an "exception" comes before the `except:` and would be swallowed, too
            raise TimeUp
        return trace

    while frame is not None:
        frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace)


def _by_thread(seconds: float) -> Iterator[None]:
    caller, done = ctypes.c_ulong(threading.get_ident()), threading.Event()

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(caller, ctypes.py_object(TimeUp))
            wait = 0.2

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
