"""What can be done from inside a sandbox, tried by a kernel in one. `proof` asks, and judges the answers."""

import ctypes
import mmap
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
STATUS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
NEW_USERS = 0x10000000
MIB = 1 << 20


def look(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was seen, as plain data.

    question  readable, writable: paths to try; folders: to list; addresses: (host, port) to connect to;
              names: abstract sockets; pid: a process of the host; processes, memory, address_space, file_size:
              the limits to run into
    """
    return {
        "namespaces": namespaces(),
        "status": {pid: _status(pid) for pid in processes()},
        "interfaces": interfaces(),
        "reached": [address for address in question["addresses"] if _reaches(socket.AF_INET, tuple(address))]
        + [name for name in question["names"] if _reaches(socket.AF_UNIX, f"\0{name}")],
        "read": [path for path in question["readable"] if _can_read(path)],
        "names_in": {folder: _names_in(folder) for folder in question["folders"]},
        "written": [path for path in question["writable"] if _can_write(path)],
        "signalled": _can_signal(question["pid"]),
        "user_namespace": ctypes.CDLL(None).unshare(NEW_USERS) == 0,
        "limits": {
            name: resource.getrlimit(getattr(resource, name))
            for name in ("RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE")
        },
        "largest_file": _in_child(_largest_file, question["file_size"]),
        "largest_memory": _in_child(_largest_memory, question["address_space"]),
        "children": _most_children(question["processes"]),
        "outlived": _hogs_that_outlive(question["memory"]),
    }


def namespaces() -> dict[str, str]:
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}


def processes() -> list[str]:
    return sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int)


def interfaces() -> list[str]:
    with open("/proc/net/dev", encoding="ascii") as file:
        return [line.split(":")[0].strip() for line in file.readlines()[2:]]


def _status(pid: str) -> dict[str, int]:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        pairs = (line.split(":", 1) for line in file)
        return {name: int(value, 16) for name, value in pairs if name in STATUS}


def _reaches(family: socket.AddressFamily, address: tuple[Any, ...] | str) -> bool:
    with socket.socket(family) as caller:
        caller.settimeout(1)
        try:
            caller.connect(address)
        except OSError:
            return False
        return True


def _can_read(path: str) -> bool:
    try:
        if os.path.isdir(path):
            return bool(os.listdir(path))
        with open(path, "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _can_write(path: str) -> bool:
    try:
        if os.path.isdir(path):
            number = os.open(os.path.join(path, ".written"), os.O_CREAT | os.O_WRONLY)
        else:
            number = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    os.close(number)
    return True


def _can_signal(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _in_child(function: Callable[..., int], *arguments: int) -> int | None:
    """Return the number that a function returns, run where it can do no harm to this process; None if it died."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(function(*arguments)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as said:
        text = said.read()
    return int(text) if text else None


def _largest_file(limit: int) -> int:
    """Return how many MiB of a file could be written, at most one more than the limit."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open("/scratch/.large", "wb", buffering=0) as file:
        try:
            for _ in range(limit + 1):
                file.write(bytes(MIB))
        except OSError:
            pass
        size = file.tell() // MIB
    os.unlink("/scratch/.large")
    return size


def _largest_memory(limit: int) -> int:
    """Return the MiB of memory that could be asked for at once: half of the limit or one and a half of it."""
    for part in (limit * 3 // 2, limit // 2):
        try:
            mmap.mmap(-1, part * MIB).close()
        except (OSError, MemoryError):
            continue
        return part
    return 0


def _most_children(limit: int) -> int:
    """Return how many processes could be started, at most a few more than the limit."""
    started: list[int] = []
    try:
        while len(started) < limit + 5:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            started.append(child)
    except OSError:
        pass
    for child in started:
        os.kill(child, signal.SIGKILL)
    for child in started:
        os.waitpid(child, 0)
    return len(started)


def _hogs_that_outlive(limit: int) -> int:
    """Let three processes take half of the sandbox's memory each, and return how many lived to tell."""
    hogs = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            # Written to, or the memory would only be promised.
            block = mmap.mmap(-1, limit // 2 * MIB)
            for at in range(0, len(block), mmap.PAGESIZE):
                block[at] = 1
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(0)
        hogs.append(child)
    lived = sum(os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]) for child in hogs)
    for child in hogs:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
    return lived
