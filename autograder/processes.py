"""Processes of this machine: how many are worth starting, and how they end with the process that started them."""

import faulthandler
import math
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> None:
    """Let torch compute on one thread here: our tensors are tiny, and more threads would only wait for each other."""
    import torch

    torch.set_num_threads(1)


def started(count: int) -> ProcessPoolExecutor:
    """Return a pool of `count` processes that end with this one, and leave Control-C to it."""
    # torch's threads do not survive a fork
    return ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_ready, initargs=(os.getpid(),)
    )


def kill(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool at once, whatever they are doing."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of `count` processes, which are ended at once when the block is left."""
    made = started(count)
    try:
        yield made
    finally:
        kill(made)


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End this process if the block takes longer, whatever it does, and though it never lets another thread run.

    Blocks may run side by side, in several threads: the earliest end counts.
    """
    end = object(), time.monotonic() + seconds
    with _lock:
        _ends.append(end)
        _arm()
    try:
        yield
    finally:
        with _lock:
            _ends.remove(end)
            _arm()


_lock = threading.Lock()
_ends: list[tuple[object, float]] = []


def _arm() -> None:
    """Set the one clock of this process, which runs beside Python, to the earliest end."""
    faulthandler.cancel_dump_traceback_later()
    earliest = min((end for _, end in _ends), default=math.inf)
    if not math.isinf(earliest):
        # It says where it was to the worker's own log, which is what whoever looks into it needs.
        faulthandler.dump_traceback_later(max(0.01, earliest - time.monotonic()), exit=True, file=sys.__stderr__ or 2)


def _ready(parent: int) -> None:
    """Let a process end with whoever started it, however that ends.

    parent  the process that started it
    """
    import ctypes
    import signal

    if hasattr(os, "sched_getaffinity"):  # Linux
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it ended before this one could ask to be told
            os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
