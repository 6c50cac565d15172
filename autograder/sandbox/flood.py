"""Guards the memory of the process that grades against what a kernel sends to it.

A message may have any number of parts, and libzmq keeps them all until the last one has come. It limits the size of
each part only, so what is watched is what it comes to: the memory of this process.
"""

import os
import threading
from collections.abc import Callable

from .limits import MIB

SECONDS = 0.05


class FloodGuard:
    """Calls a function, once, when the memory of this process has grown by more than it may. Start it, and stop it.

    most  MiB by which the process may grow from now on
    act   what to call, in a thread of its own
    """

    def __init__(self, most: int, act: Callable[[], object]) -> None:
        self.flooded = False
        self._most, self._act = most * MIB, act
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="flood guard", daemon=True)

    def start(self) -> None:
        self._before = memory()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(SECONDS):
            if memory() - self._before > self._most:
                self.flooded = True
                self._act()
                return


def memory() -> int:
    """Return how many bytes of memory this process holds."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
