"""A progress bar for commands that take minutes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


@contextmanager
def shown_progress(console: "Console") -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of (what, done, of how many) that shows a bar with the time left; lines without a terminal.

    what  is being done: each has a bar of its own, one below the other
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        tasks: dict[str, TaskID] = {}
        with Progress(*columns, console=console) as bar:

            def draw(what: str, done: int, every: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=every)
                bar.update(tasks[what], completed=done, total=every)

            yield draw
        return

    times: dict[str, tuple[float, float]] = {}

    def tell(what: str, done: int, every: int) -> None:
        begun, last = times.get(what, (time.monotonic(),) * 2)
        times[what] = begun, last
        if done == every or time.monotonic() - last > 15:
            times[what] = begun, time.monotonic()
            left = (time.monotonic() - begun) / done * (every - done)
            console.print(f"{what}: {done} of {every}, {left:.0f} s left")

    yield tell
