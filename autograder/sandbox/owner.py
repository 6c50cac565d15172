"""Names that say which process something belongs to, so that what a killed one left behind can be recognized."""

import os
import re

PREFIX = "transformer-taxonomy"
_NAME = re.compile(rf"{PREFIX}-(\d+)-(\d+)-")


def start_of(pid: int) -> int | None:
    """Return when a process started, in the kernel's own ticks, or None where there is no such process.

    Numbers of processes are given out again; a number with its start belongs to one process for ever.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The program's name, in parentheses, may hold blanks and parentheses itself.
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def name_prefix() -> str:
    """Return how the names of what this process makes begin."""
    pid = os.getpid()
    return f"{PREFIX}-{pid}-{start_of(pid)}-"


def is_stale(name: str) -> bool:
    """True where something was made by a process that is gone. False where it was not made by us at all."""
    found = _NAME.match(name)
    return found is not None and start_of(int(found[1])) != int(found[2])
