"""Limits on a sandbox as a whole: a memory and a pids cgroup, in version 1 or 2, where the host lets us make one.

A limit on a process does not bound the sum of many. Only a cgroup does, and only the host can give us one: to root
nearly always, to others where systemd delegates (`systemd-run --user --scope` does).
"""

import itertools
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from . import owner
from .limits import MIB, Limits

_counter = itertools.count()
SECONDS_TO_EMPTY = 5
# bubblewrap itself, its first process inside, and the holder of a warm start.
OWN_PROCESSES = 4


class Cgroup:
    """The folders of one sandbox. Limits that the host does not offer are missing from `limits`.

    limits        what is enforced: "memory", "processes"
    member_files  files into which a process writes its number, or 0 for itself, to become a member
    """

    def __init__(
        self, limits: Limits, root: Path | str = "/sys/fs/cgroup", own: Path | str = "/proc/self/cgroup"
    ) -> None:
        self.limits: set[str] = set()
        self.member_files: list[str] = []
        self.folders: list[Path] = []
        name = f"{owner.name_prefix()}{next(_counter)}"
        for parent, controllers, settings in _places(limits, Path(root), Path(own)):
            self._make(parent, name, controllers, settings)

    def _make(self, parent: Path, name: str, controllers: set[str], settings: Iterable[tuple[str, int]]) -> None:
        folder = parent / name
        try:
            _sweep(parent)
            folder.mkdir()
            for file, value in settings:
                if (folder / file).exists():
                    (folder / file).write_text(str(value), encoding="ascii")
        except OSError:
            with suppress(OSError):
                folder.rmdir()
            return
        self.folders.append(folder)
        self.member_files.append(str(folder / "cgroup.procs"))
        self.limits |= controllers

    def remove(self) -> None:
        """Remove the folders. The members must have ended."""
        end = time.monotonic() + SECONDS_TO_EMPTY
        for folder in self.folders:
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    # A process that has just ended is counted for a moment longer.
                    if time.monotonic() > end:
                        break
                    time.sleep(0.002)
        self.folders = []


def _sweep(parent: Path) -> None:
    for folder in parent.iterdir():
        if owner.is_stale(folder.name):
            with suppress(OSError):
                folder.rmdir()


def _places(limits: Limits, root: Path, own: Path) -> Iterator[tuple[Path, set[str], list[tuple[str, int]]]]:
    """Yield (folder in which to make ours, what it limits, its settings as pairs of file and value)."""
    memory, processes = limits.memory * MIB, limits.processes + OWN_PROCESSES
    paths = _own_paths(own)
    for controller, name, settings in (
        ("memory", "memory", [("memory.limit_in_bytes", memory), ("memory.memsw.limit_in_bytes", memory)]),
        ("pids", "processes", [("pids.max", processes)]),
    ):
        if controller in paths:
            # In a container the path may be the host's, and the folder that is there already ours.
            folders = [root / controller / paths[controller].lstrip("/"), root / controller]
            for parent in [folder for folder in folders if (folder / "cgroup.procs").exists()][:1]:
                yield parent, {name}, settings
    if "" not in paths:
        return
    for base in (root, root / "unified"):
        here = base / paths[""].lstrip("/")
        # A cgroup that has members may not have children with limits, so it is a sister that we make.
        for parent in (here, here.parent):
            offered = _words(parent / "cgroup.subtree_control")
            settings = []
            if "memory" in offered:
                settings += [("memory.max", memory), ("memory.swap.max", 0), ("memory.oom.group", 1)]
            if "pids" in offered:
                settings += [("pids.max", processes)]
            if settings and os.access(parent, os.W_OK) and os.access(parent / "cgroup.procs", os.W_OK):
                names = {"memory": "memory", "pids": "processes"}
                yield parent, {names[word] for word in offered & set(names)}, settings
                return


def _own_paths(own: Path) -> dict[str, str]:
    """Return the cgroup of this process in each hierarchy: by controller in version 1, by "" in version 2."""
    paths: dict[str, str] = {}
    with suppress(OSError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                paths[controller] = path
    return paths


def _words(file: Path) -> set[str]:
    try:
        return set(file.read_text(encoding="ascii").split())
    except OSError:
        return set()
