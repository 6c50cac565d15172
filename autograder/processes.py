"""Processes of this machine: how many are worth starting, and how they end with the process that started them."""

import faulthandler
import math
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import BaseContext


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> None:
    """Let torch compute on one thread here: our tensors are tiny, and more threads would only wait for each other."""
    import torch

    torch.set_num_threads(1)


def started(count: int, imports: Sequence[str] = ()) -> ProcessPoolExecutor:
    """Return a pool of `count` processes that end with this one, and leave Control-C to it.

    imports  modules that take long to import: once for all processes, where the system lets processes be forked. Of
             the pools of one process those of the first count
    """
    initial = os.getpid(), dict(os.environ)
    return ProcessPoolExecutor(count, mp_context=_context(imports), initializer=_ready, initargs=initial)


def _context(imports: Sequence[str]) -> BaseContext:
    if not hasattr(os, "pidfd_open"):  # Linux ends processes with their parent
        return multiprocessing.get_context("spawn")
    # Forked from a server that has done nothing but import: torch's threads do not survive a fork.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.forked", *imports])
    return context


def kill(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool at once, whatever they are doing."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def pool(count: int, imports: Sequence[str] = ()) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes as `started` does; they are ended at once when the block is left."""
    made = started(count, imports)
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


def _ready(starter: int, environment: Mapping[str, str]) -> None:
    """Let a process end with whoever started it, however that ends.

    starter      the process that started it, or that started the server which it was forked from
    environment  of the starter now; the server has kept the one of its own start
    """
    import signal

    forked = sys.modules.get(f"{__package__}.forked")
    end_with(forked.SERVER if forked else starter)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_with(parent: int) -> None:
    """Let this process be killed as soon as its parent has ended, where the system can do that."""
    import ctypes
    import signal

    if hasattr(os, "pidfd_open"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it ended before this one could ask to be told
            os._exit(1)
