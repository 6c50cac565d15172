"""Where the units of work are done: in processes of this machine, or by the workers of a Dask cluster.

Both take units and give back (unit, notebook or reason) in the order in which they are done. A worker that dies is
replaced, and its unit is done again, as is one that failed: what a learner's code does is part of a notebook, so it
was the machine. A unit during which three workers died is given up with its reason. So is a unit that takes longer than
any may: its worker is ended, whatever it is doing, and replaced.
"""

import collections
import concurrent.futures
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from ..processes import ended_after, kill, started
from . import unit as units
from .unit import Unit

# What a worker finds imported: what runs a unit, and what judges it.
LOADED = (units.__name__, f"{__package__}.checks")
TRIES = 3
GIVEN_UP = (
    f"The grading process ended {TRIES} times while it graded this submission. Your instructor will look into it."
)
TOO_LONG = (
    "Grading this submission took longer than {seconds:g} seconds and was ended. Your instructor will look into it."
)


class GivenUpError(Exception):
    """The reason why a unit has no result."""


class Local:
    """Processes of this machine, each with one unit at a time.

    Every worker has a pool of its own, so that the unit whose process died is known.

    count    how many
    seconds  by the clock that one unit may take
    """

    def __init__(self, count: int, seconds: float = math.inf) -> None:
        self.count, self.seconds = count, seconds

    def __enter__(self) -> Self:
        self._idle = [started(1, LOADED) for _ in range(self.count)]
        self._all = list(self._idle)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            kill(worker)

    def results(self, todo: Iterable[Unit]) -> Iterator[tuple[Unit, str | BaseException]]:
        """Yield (unit, notebook or the exception that it ended with) of every unit, as they are done.

        todo  iterator; the next unit is taken when somebody is free for it
        """
        again: list[Unit] = []
        running: dict[Future[str], tuple[ProcessPoolExecutor, Unit, float]] = {}
        tries: collections.Counter[Unit] = collections.Counter()
        todo = iter(todo)
        while True:
            while self._idle and (unit := again.pop() if again else next(todo, None)) is not None:
                worker = self._idle.pop()
                running[worker.submit(units.run, unit)] = (worker, unit, time.monotonic() + self.seconds)
            if not running:
                return
            for future in self._over(running):
                worker, unit, _ = running.pop(future)
                if not future.done():  # it would take as long once more
                    kill(worker)
                    self._idle.append(self._replaced(worker))
                    yield unit, GivenUpError(TOO_LONG.format(seconds=self.seconds))
                    continue
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    worker, error = self._replaced(worker), GivenUpError(GIVEN_UP)
                self._idle.append(worker)
                tries[unit] += 1
                if error and tries[unit] < TRIES:
                    again.append(unit)
                else:
                    yield unit, error or future.result()

    def _over(self, running: Mapping[Future[str], tuple[ProcessPoolExecutor, Unit, float]]) -> Iterable[Future[str]]:
        """Wait until something is over, and return the futures of what is done, or else of what has taken too long."""
        next_end = min(end for _, _, end in running.values())
        left = None if math.isinf(next_end) else max(0.0, next_end - time.monotonic())
        done, _ = concurrent.futures.wait(running, left, return_when=concurrent.futures.FIRST_COMPLETED)
        return done or [future for future, (_, _, end) in running.items() if end <= time.monotonic()]

    def _replaced(self, worker: ProcessPoolExecutor) -> ProcessPoolExecutor:
        worker.shutdown(wait=False)
        self._all.remove(worker)
        self._all.append(started(1, LOADED))
        return self._all[-1]


class Cluster:
    """The workers of a Dask scheduler.

    address  of the scheduler, such as tcp://host:8786; "local" starts one here with as many workers as `count`
    seconds  by the clock that one unit may take; a worker ends itself after that, and Dask replaces it
    """

    def __init__(self, address: str, count: int, seconds: float = math.inf) -> None:
        self.address, self.count, self.seconds = address, count, seconds

    def __enter__(self) -> Self:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise RuntimeError(
                "--cluster needs Dask; install it with pip install 'transformer-taxonomy[cluster]'"
            ) from error
        with ExitStack() as stack:
            address = self.address
            if address == "local":
                address = stack.enter_context(
                    LocalCluster(n_workers=self.count, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
                )
            self._client = stack.enter_context(Client(address, timeout=20))
            self._client.register_plugin(_warm_workers())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def results(self, todo: Iterable[Unit]) -> Iterator[tuple[Unit, str | BaseException]]:
        """Yield (unit, notebook or the exception that it ended with) of every unit, as they are done."""
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        todo = iter(todo)
        # Two for each worker: nobody waits for the next one, and a large class is never in memory as a whole.
        ahead = 2 * max(1, sum(self._client.nthreads().values()))
        submit = functools.partial(
            self._client.submit, _run_within, seconds=self.seconds, pure=False, retries=TRIES - 1
        )
        running = {submit(unit): unit for unit in itertools.islice(todo, ahead)}
        done = as_completed(list(running))
        for future in done:
            error = future.exception()
            found = GivenUpError(GIVEN_UP) if isinstance(error, KilledWorker) else error or future.result()
            unit = running.pop(future)
            future.release()
            if (following := next(todo, None)) is not None:
                running[fresh := submit(following)] = following
                done.add(fresh)
            yield unit, found


def _run_within(unit: Unit, seconds: float) -> str:
    with ended_after(seconds):
        return units.run(unit)


def _warm_workers() -> Any:
    """Return the plugin that lets each worker process of a cluster start its kernels warm."""
    from distributed import WorkerPlugin

    class Warm(WorkerPlugin):
        name = "transformer-taxonomy-warm"

        def setup(self, worker: Any) -> None:
            from autograder.sandbox import warm

            self._warm = warm()
            self._warm.__enter__()

        def teardown(self, worker: Any) -> None:
            self._warm.__exit__(None, None, None)

    return Warm()


class OnDemand:
    """Workers that are started when there is something to do, and not for a class that is graded already.

    start  function that starts them and returns them, called once; whoever made it ends them
    """

    def __init__(self, start: Callable[[], Local | Cluster]) -> None:
        self.start = functools.cache(start)

    def results(self, todo: Iterable[Unit]) -> Iterator[tuple[Unit, str | BaseException]]:
        """Yield (unit, notebook or the exception that it ended with) of every unit, as they are done."""
        todo = iter(todo)
        for first in itertools.islice(todo, 1):
            yield from self.start().results(itertools.chain([first], todo))


@contextmanager
def chosen(cluster: str | None, count: int, seconds: float = math.inf) -> Iterator[Local | Cluster]:
    """Yield the workers that the command line asks for.

    seconds  by the clock that one submission may take
    """
    with ExitStack() as stack:
        if cluster:
            yield stack.enter_context(Cluster(cluster, count, seconds))
            return
        yield stack.enter_context(Local(count, seconds))
