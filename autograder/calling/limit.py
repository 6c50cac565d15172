"""A limit on how long a learner's code may compute, and a wide one on how long it may wait.

What counts is the processor time of the learner's own call. By the clock alone a busy computer would turn right answers
into loops without an end: on one, a second of computing takes many. So the clock has a limit of its own, for code that
waits, which is `PATIENCE` times as wide.
"""

import _weakrefset
import ctypes
import functools
import os
import signal
import sys
import sysconfig
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

import torch

from . import PATIENCE as PATIENCE

TICK = 0.1  # seconds between two looks at what the code does


class TimeUp(BaseException):
    """The time is up. Not an `Exception`, so that `except Exception` in a learner's loop does not swallow it.

    burned  True: the code computed for as long as it may. False: by the clock it took too long, but computed less:
            it waited, or other programs kept the computer busy
    """

    def __init__(self, burned: bool = True) -> None:
        super().__init__("the code computed too long" if burned else "the code waited too long")
        self.burned = burned


class Limit:
    """How long all calls of a check may take together. Each call runs in a `with` block of this.

    seconds  of a processor, for what the learner's code computes
    wall     seconds by the clock; None: `PATIENCE` times as many

    In a block `TimeUp` is raised if either is used up, again and again until it comes through; never where something
    is being imported, which would leave a half-made module behind, nor in our own code, nor where a weak reference
    calls back, from which no exception comes through. What an import takes is not counted. In the main thread of a Unix
    process an alarm also ends a sleep; elsewhere the exception waits for the next Python instruction. A single call of
    compiled code cannot be interrupted.
    """

    def __init__(self, seconds: float, wall: float | None = None) -> None:
        self.left = seconds
        self.wall_left = PATIENCE * seconds if wall is None else wall
        self._entered: FrameType | None = None
        self._stop: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        self._entered = sys._getframe(1)
        # Everything stands before the first look is asked for: on a busy computer that may come at once.
        by_signal = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
        self._clock = time.thread_time if by_signal else _clock_of_this_thread()
        self._last = self._clock(), time.monotonic()
        self._stop = (_by_signal if by_signal else _by_thread)(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._count(True)
        self._entered = None

    def due(self, frame: FrameType | None) -> TimeUp | None:
        """Return what is to be raised in code that is at this frame; None if there is time, or for the moment."""
        where = self._where(frame)
        self._count(where != "import")
        if where != "learner" or (self.left > 0 and self.wall_left > 0):
            return None
        return TimeUp(burned=self.left <= 0)

    def _count(self, counts: bool) -> None:
        """Take off the time since the last look, if it counts."""
        now = self._clock(), time.monotonic()
        if counts:
            self.left -= now[0] - self._last[0]
            self.wall_left -= now[1] - self._last[1]
        self._last = now

    def _where(self, frame: FrameType | None) -> str:
        """Return what runs, the innermost of the call: "import", "learner" or, where neither is in it, "ours"."""
        made = False
        while frame is not None and frame is not self._entered:
            file = frame.f_code.co_filename
            if file.startswith("<frozen importlib"):
                return "import"
            if file in _CALLED_BACK:
                return "ours"
            if file.startswith("<"):
                made = True  # by `exec`, as dataclasses and sympy do: it is of whoever calls it
            elif is_learners(file):
                return "learner"
            frame = frame.f_back
        return "learner" if made else "ours"


_CALLED_BACK = frozenset({weakref.__file__, _weakrefset.__file__})  # what they hold ends in the middle of other code
_NOT_THE_LEARNERS = tuple(
    os.path.realpath(folder) + os.sep
    for folder in (
        os.path.dirname(os.path.dirname(__file__)),
        os.path.dirname(torch.__file__),
        *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")),
    )
)


@functools.lru_cache(maxsize=4096)
def is_learners(path: str) -> bool:
    """Return True if code in a file of this name is a learner's: not ours, torch's, Python's or a package's."""
    return not path.startswith("<frozen") and not os.path.realpath(path).startswith(_NOT_THE_LEARNERS)


def _clock_of_this_thread() -> Callable[[], float]:
    """Return a function that any thread may call, which gives the processor time of this one."""
    if hasattr(time, "pthread_getcpuclockid"):
        return functools.partial(time.clock_gettime, time.pthread_getcpuclockid(threading.get_ident()))
    return time.process_time


def _by_signal(limit: Limit) -> Callable[[], None]:
    """Look at the code by an alarm. Return a function that ends this."""
    rung: list[int] = []
    ended: list[bool] = []

    def ring(number: int, frame: FrameType | None) -> None:
        if ended:
            return
        reason = limit.due(frame)
        signal.setitimer(signal.ITIMER_REAL, TICK)  # each look asks for the next one, so that none begins in another
        if reason is None:
            return
        rung.append(number)
        if len(rung) > 1:
            _raise_at_next_line(frame, reason)
        raise reason

    before, tracing = signal.signal(signal.SIGALRM, ring), sys.gettrace()

    def stop() -> None:
        ended.append(True)
        signal.setitimer(signal.ITIMER_REAL, 0)
        # An alarm may still wait for another thread to take it, and by default it ends the process. To ignore the
        # signal discards it (POSIX, sigaction).
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, before)
        sys.settrace(tracing)

    signal.setitimer(signal.ITIMER_REAL, TICK)
    return stop


def _raise_at_next_line(frame: FrameType | None, reason: TimeUp) -> None:
    """Raise it once more where a bare `except:` has swallowed it, so that it leaves the loop around that."""

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":  # an "exception" comes before the `except:` and would be swallowed, too
            raise reason
        return trace

    while frame is not None:
        frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace)


def _by_thread(limit: Limit) -> Callable[[], None]:
    """Look at the code from a thread of its own, as `_by_signal` does by an alarm."""
    caller, done = threading.get_ident(), threading.Event()

    def watch() -> None:
        while not done.wait(TICK):
            if reason := limit.due(sys._current_frames().get(caller)):
                # It takes a class and makes the exception itself.
                kind = TimeUp if reason.burned else _Waited
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(caller), ctypes.py_object(kind))

    watcher = threading.Thread(target=watch, daemon=True)

    def stop() -> None:
        done.set()
        watcher.join()

    watcher.start()
    return stop


class _Waited(TimeUp):
    def __init__(self) -> None:
        super().__init__(burned=False)
