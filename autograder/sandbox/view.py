"""What can be seen from inside a sandbox, as arguments for bubblewrap."""

import importlib.util
import os
import site
import stat
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from . import seccomp

if TYPE_CHECKING:
    from .limits import Limits

SCRATCH = "/scratch"
# Holds the kernel's sockets and what it is told at its start.
RUN = "/run/sandbox"
TASK, CONNECTION, SOCKETS = f"{RUN}/task.json", f"{RUN}/connection.json", f"{RUN}/sockets"

PACKAGES = ("autograder", "workbench")
SYSTEM = [
    "/usr/bin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/share",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/share",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/fonts",
]
TOP = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]
HARMLESS_IN_PROC = {
    "self",
    "thread-self",
    "mounts",
    "net",
    "cpuinfo",
    "meminfo",
    "stat",
    "loadavg",
    "uptime",
    "version",
    "filesystems",
    "cmdline",
    "vmstat",
    "swaps",
}
PARTS_OF_A_PREFIX = ["bin", "lib", "lib64", "share", "pyvenv.cfg"]
SIGNS_OF_A_COURSE = ["nbgrader_config.py", "gradebook.db", "submitted", "solutions"]
LEFT_OUT = ["*.ipynb", "*.py", "*.pyc", "*.pyd", "*.so", ".*"]
MOST_DATA_FILES = 200

IN_MEMORY = ("/tmp", "/dev/shm", SCRATCH)  # where a kernel may write
ENVIRONMENT = {
    "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
    "HOME": SCRATCH,
    "USER": "learner",
    "LOGNAME": "learner",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "TMPDIR": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # debugpy, which ipykernel imports, would warn on stderr
    "IPYTHONDIR": "/tmp/ipython",
    "JUPYTER_RUNTIME_DIR": "/tmp/jupyter",
    "JUPYTER_PLATFORM_DIRS": "1",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    # One kernel is one processor's work; without this each would start a thread for every core of the host.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


def package_folders() -> list[str]:
    """Return the folder of each of our packages, wherever it is installed or checked out."""
    folders = []
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found and found.submodule_search_locations:
            folders.append(os.path.abspath(next(iter(found.submodule_search_locations))))
    return folders


def packages_path() -> str:
    """Return PYTHONPATH for whoever runs our packages inside: these, and not others that are installed as well."""
    return os.pathsep.join(dict.fromkeys(os.path.dirname(folder) for folder in package_folders()))


def python_places() -> list[str]:
    """Return the files and folders that this Python and its installed packages consist of.

    Only certain parts of a prefix: it may be a home folder's, or the repository itself.
    """
    prefixes = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    # A virtual environment's program is a link to a link to the program, and each step must be there.
    program = sys.executable
    while os.path.islink(program):
        program = os.path.join(os.path.dirname(program), os.readlink(program))
        prefixes.append(os.path.dirname(os.path.dirname(os.path.normpath(program))))
    prefixes += [os.path.realpath(prefix) for prefix in prefixes]
    places = [os.path.join(prefix, part) for prefix in prefixes for part in PARTS_OF_A_PREFIX]
    places += site.getsitepackages()
    if site.ENABLE_USER_SITE:
        places.append(site.getusersitepackages())
    return [place for place in dict.fromkeys(places) if os.path.exists(place)]


def secret_places() -> list[str]:
    """Return folders that must not be seen even where they lie inside of one that may be: home, and the course."""
    above = [str(Path(folder).parent) for folder in package_folders()]
    courses = [
        folder
        for folder in (os.getcwd(), *above)
        if any(os.path.exists(os.path.join(folder, name)) for name in SIGNS_OF_A_COURSE)
    ]
    return list(dict.fromkeys(map(os.path.realpath, [os.path.expanduser("~"), *courses])))


def data_files(folder: str) -> Iterator[tuple[str, str]]:
    """Yield (path, name in the working folder) of each data file of an assignment.

    Only regular files that lie in the folder itself: a link could lead anywhere. Never notebooks, which hold
    the answers of this and perhaps the names of other learners, and never code, which could replace a library.
    """
    count = 0
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(parent, name)
            if any(fnmatch(name, pattern) for pattern in LEFT_OUT) or not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            count += 1
            if count > MOST_DATA_FILES:
                raise ValueError(
                    f"{folder} holds more than {MOST_DATA_FILES} data files; "
                    "put them into an archive, or into fewer files"
                )
            yield path, os.path.relpath(path, folder)


class View:
    """The arguments for bubblewrap, and the open files that they refer to by number.

    folder  of the assignment, whose data files are visible; may be None
    shown   more files and folders to see, read-only, at their own places
    hidden  files and folders of the packages to cover with nothing
    limits  a Limits: how large the folders in memory may grow
    texts   name of a file inside: what it holds
    """

    def __init__(
        self,
        limits: "Limits",
        folder: str | None = None,
        shown: Collection[str] = (),
        hidden: Iterable[str] = (),
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self.arguments: list[str] = []
        self.open_files: list[int] = []
        self.seen: list[str] = []
        self.covers: list[str] = []
        self.secrets = secret_places()
        # First, since it may refuse the folder, and nothing has been opened yet.
        files = list(data_files(folder)) if folder else []
        self._isolate()
        if seccomp.program():
            self._add("--seccomp", str(self._file(seccomp.program())))
        self._system()
        # Before the rest: Python itself or the course may lie in the host's /tmp.
        self._memory(limits)
        self._close_in_memory([*python_places(), *map(os.path.abspath, shown), *package_folders()])
        self._python(shown)
        for folder_of_package in package_folders():
            self._read_only(folder_of_package)
        for path in hidden:
            self._hide(os.path.abspath(path))
        for name, text in (texts or {}).items():
            self._text(name, text)
        for path, name in files:
            self._add("--ro-bind", path, f"{SCRATCH}/{name}")
        # These are folders in memory without any limit, bubblewrap's own / and /dev among them.
        for place in dict.fromkeys([*self.covers, "/dev", "/"]):
            self._add("--remount-ro", place)
        self._add("--chdir", SCRATCH)
        self._pack()

    def _pack(self) -> None:
        """Hand the arguments over in an open file: those on a command line can be read inside, paths and names."""
        self.arguments = ["--args", str(self._file("".join(f"{argument}\0" for argument in self.arguments)))]

    def close(self) -> None:
        for file in self.open_files:
            os.close(file)
        self.open_files = []

    def _add(self, *arguments: str) -> None:
        self.arguments += arguments

    def _isolate(self) -> None:
        # --unshare-all tries for the user namespace only; asking for it by name makes its lack an error.
        self._add(
            "--unshare-all",
            "--unshare-user",
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
            "--uid",
            "1000",
            "--gid",
            "1000",
            "--hostname",
            "sandbox",
            "--clearenv",
        )
        for name, value in (ENVIRONMENT | {"PYTHONPATH": packages_path()}).items():
            self._add("--setenv", name, value)

    def _system(self) -> None:
        for place in SYSTEM:
            if os.path.exists(place):
                self._read_only(place)
        for place in TOP:
            if os.path.islink(place):
                self._add("--symlink", os.readlink(place), place)
            elif os.path.exists(place):
                self._read_only(place)
        self._add("--proc", "/proc", "--dev", "/dev")
        # What is in /proc beside the processes belongs to the host, and where root grades it could be written to:
        # the owner of those files is the user outside, whatever the user inside is called.
        for name in sorted(os.listdir("/proc")):
            place = f"/proc/{name}"
            if name.isdigit() or name in HARMLESS_IN_PROC:
                continue
            if os.path.isdir(place):
                self._cover(place)
            else:
                # A device, which a mount like this one lets nobody open.
                self._add("--ro-bind", os.devnull, place)

    def _python(self, shown: Iterable[str]) -> None:
        for place in sorted([*python_places(), *map(os.path.abspath, shown)], key=lambda place: place.count("/")):
            self._read_only(place)

    def _memory(self, limits: "Limits") -> None:
        size = str(limits.scratch << 20)
        for place in IN_MEMORY:
            self._add("--perms", "0700", "--size", size, "--tmpfs", place)
        # The sockets need an entry each and no bytes.
        self._add("--perms", "0700", "--size", str(1 << 16), "--tmpfs", SOCKETS)

    def _close_in_memory(self, places: Collection[str]) -> None:
        """Keep what leads to these places from being written to, where they lie in a folder that may be."""
        for open_folder in IN_MEMORY:
            inside = [
                os.path.relpath(place, open_folder)
                for place in places
                if place != open_folder and self._lies_in(place, open_folder)
            ]
            for first in dict.fromkeys(path.split(os.sep)[0] for path in inside):
                self._cover(os.path.join(open_folder, first))

    def _read_only(self, place: str) -> None:
        self._add("--ro-bind", place, place)
        real = os.path.realpath(place)
        self.seen.append(real)
        for secret in self.secrets:
            if secret != real and self._lies_in(secret, real):
                self._cover(secret)

    def _cover(self, folder: str) -> None:
        """Put an empty folder over one; it becomes read-only when everything that lies inside of it is there."""
        self._add("--tmpfs", folder)
        self.covers.append(folder)

    @staticmethod
    def _lies_in(place: str, folder: str) -> bool:
        return os.path.commonpath([place, folder]) == folder

    def _is_seen(self, place: str) -> bool:
        return any(self._lies_in(os.path.realpath(place), folder) for folder in self.seen)

    def _hide(self, path: str) -> None:
        if not os.path.lexists(path) or not self._is_seen(path):
            return
        if os.path.isdir(path):
            self._cover(path)
            return
        self._text(path, "")
        # The compiled module tells as much as its text.
        compiled = os.path.join(os.path.dirname(path), "__pycache__")
        if os.path.isdir(compiled) and compiled not in self.covers:
            self._cover(compiled)

    def _text(self, place: str, text: str) -> None:
        self._add("--ro-bind-data", str(self._file(text)), place)

    def _file(self, text: str | bytes) -> int:
        """Return the number of a new open file with this text or these bytes, which has no name."""
        with tempfile.TemporaryFile() as file:
            file.write(os.fsencode(text))
            file.seek(0)
            self.open_files.append(os.dup(file.fileno()))
        return self.open_files[-1]
