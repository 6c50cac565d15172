"""Progress bars: for commands that take minutes, and for what takes seconds in a notebook."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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


def in_notebook() -> bool:
    """Tell whether this is the kernel of a notebook, which shows what is displayed as HTML."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def shown_in_notebook(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, of how many) that shows a bar below the cell; it is gone when the block ends.

    what  is being done
    """
    from IPython.display import HTML, display

    shown = display(HTML(_bar(what, 0, 1)), display_id=True)

    def draw(done: int, every: int) -> None:
        shown.update(HTML(_bar(what, done, every)))

    try:
        yield draw
    finally:
        shown.update(HTML(""))


@contextmanager
def shown_to_someone(what: str, after: float = 1.0) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, of how many) that shows a bar, if a person is there and it takes long.

    what   is being done
    after  seconds until the bar is shown
    Notebooks that run by themselves, and output that is kept in a file, get nothing.
    """
    begun = time.monotonic()
    with ExitStack() as stack:
        draw: Callable[[int, int], None] | None = None

        def tell(done: int, every: int) -> None:
            nonlocal draw
            if draw is None and time.monotonic() - begun > after:
                draw = stack.enter_context(_someones_bar(what))
            if draw is not None:
                draw(done, every)

        yield tell


@contextmanager
def _someones_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    if in_notebook():
        # Whoever runs cells by hand can be asked for input; nbclient, and nbval with it, cannot.
        if getattr(sys.modules["IPython"].get_ipython().kernel, "_allow_stdin", False):
            with shown_in_notebook(what) as draw:
                yield draw
            return
    elif sys.stderr is not None and sys.stderr.isatty():
        from rich.console import Console

        with shown_progress(Console(stderr=True)) as named:
            yield lambda done, every: named(what, done, every)
        return
    yield lambda done, every: None


def _bar(what: str, done: int, every: int) -> str:
    return f'{what} <progress value="{done}" max="{max(every, 1)}"></progress> {done} of {every}'
