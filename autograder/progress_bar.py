"""A bar for whoever waits for something that takes minutes."""

import time
from contextlib import contextmanager


@contextmanager
def shown_progress(console):
    """Yield a function of (what, done, of how many) that shows a bar with the time left; lines without a terminal.

    what  is being done: each has a bar of its own, one below the other
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    tasks = {}
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            def draw(what, done, every):
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=every)
                bar.update(tasks[what], completed=done, total=every)

            yield draw
        return

    def tell(what, done, every):
        begun, last = tasks.get(what, (time.monotonic(),) * 2)
        tasks[what] = begun, last
        if done == every or time.monotonic() - last > 15:
            tasks[what] = begun, time.monotonic()
            left = (time.monotonic() - begun) / done * (every - done)
            console.print(f"{what}: {done} of {every}, {left:.0f} s left")

    yield tell
