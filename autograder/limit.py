"""A limit on how long a learner's code may take."""

import ctypes
import signal
import threading
from contextlib import contextmanager


class TimeUp(BaseException):
    """The time is up. Not an `Exception`, so that `except Exception` in a learner's loop does not swallow it."""


@contextmanager
def time_limit(seconds):
    """Raise `TimeUp` in the block if it takes longer, again and again until it comes through.

    In the main thread of a Unix process an alarm signal also ends a sleep; elsewhere the exception waits for
    the next Python instruction. A single call of compiled code cannot be interrupted.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        yield from _by_signal(seconds)
    else:
        yield from _by_thread(seconds)


def _by_signal(seconds):
    def ring(number, frame):
        raise TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.2)  # a bare `except:` may swallow the first
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _by_thread(seconds):
    caller, done = ctypes.c_ulong(threading.get_ident()), threading.Event()

    def watch():
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
