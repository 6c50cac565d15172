"""A process that has imported what lessons need, and forks a kernel for each request into a sandbox that is running.

A fork takes milliseconds where the imports take seconds. What the zygote holds in memory every kernel inherits, so
it is started with an empty environment, imports from a list, and never sees a submission, a solution or a gradebook.
It has one thread, since others would not survive a fork, and only one can enter namespaces.
"""

import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from . import child, linux

# May be covered in a sandbox, so they must not be in memory either.
NEVER_LOADED = ("solutions", "workbench.parts", "workbench.broken")
REHEARSAL = [
    "1",
    "1 / 0",
    "import matplotlib.pyplot as plt\nplt.plot([2, 3])\nplt.show()",
    "import torch\ntorch.nn.Linear(2, 3)(torch.ones(5, 2)).sum().backward()",
]
LONGEST_REQUEST = 1 << 20
SECONDS_TO_ASK = 5
_loaded_files: set[str] = set()


def main() -> None:
    """Import, answer "ready" on standard output, and serve until the parent ends.

    On standard input: the number of an open listening socket, the parent's process, what to import, a folder.
    """
    told = json.load(sys.stdin)
    parent = os.pidfd_open(told["parent"])
    if os.getppid() != told["parent"]:
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        load(told["imports"], told["folder"])
        linux.adopt_orphans()
        # Kernels and what stands between are nobody's business when they have ended.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print("ready", flush=True)
        serve(socket.socket(fileno=told["socket"]), parent)
    finally:
        shutil.rmtree(told["folder"], ignore_errors=True)


def load(names: Iterable[str], folder: str) -> None:
    """Import the modules, and all those that a kernel imports at its start and in its first cells.

    Raises RuntimeError where that has started a thread, or loaded what a sandbox may have to hide.
    """
    for name in names:
        import_module(name)
    for name in rehearse(folder):
        # A module may refuse to be imported by itself; then each kernel does it.
        with suppress(Exception):
            import_module(name)
    wrong = [name for name in sys.modules if name.startswith(NEVER_LOADED)]
    if wrong:
        raise RuntimeError(
            f"zygote: {wrong[0]} was imported, and kernels would inherit it; "
            "remove the module that imports it from the list"
        )
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(
            f"zygote: the imports started {threads - 1} threads, which would be missing in a forked kernel"
        )
    # What is frozen is not looked at when a kernel collects garbage, so its pages stay shared.
    _loaded_files.update(
        os.path.realpath(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
    )
    gc.collect()
    gc.freeze()


def rehearse(folder: str) -> list[str]:
    """Return the names of the modules that a kernel imports, as seen in one that is run in a child and thrown away."""
    reading, writing = os.pipe()
    before = set(sys.modules)
    actor = os.fork()
    if actor == 0:
        try:
            os.close(reading)
            _play(folder)
            new = [name for name in sys.modules if name not in before and not name.startswith("__")]
            with open(writing, "w", encoding="utf-8") as out:
                json.dump(new, out)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as said:
        text = said.read()
    os.waitpid(actor, 0)
    names: list[str] = json.loads(text or "[]")
    return names


def _play(folder: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    from ipykernel.kernelapp import IPKernelApp

    with tempfile.TemporaryDirectory(dir=folder) as own:
        app = IPKernelApp.instance()
        app.initialize(
            [
                "-f",
                f"{own}/c.json",
                "--IPKernelApp.transport=ipc",
                f"--IPKernelApp.ip={own}/k",
                "--HistoryManager.hist_file=:memory:",
            ]
        )
        assert app.shell is not None, "it comes with the application"
        for cell in REHEARSAL:
            app.shell.run_cell(cell)


def serve(server: socket.socket, parent: int) -> None:
    """Fork a kernel for each connection until the parent has ended."""
    poll = select.poll()
    poll.register(server, select.POLLIN)
    poll.register(parent, select.POLLIN)
    while parent not in [number for number, _ in poll.poll()]:
        connection, _ = server.accept()
        if os.fork() == 0:
            code = 1
            try:
                # The numbers, not the objects: one that is collected later would close what has its number then.
                server.detach()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                answer(connection)
                code = 0
            finally:
                os._exit(code)
        connection.close()


def peer_is_same_user(connection: socket.socket) -> bool:
    """True where the process at the other end belongs to the user of this one."""
    _, uid, _ = _credentials(connection)
    return uid == os.getuid()


def _credentials(connection: socket.socket) -> tuple[int, ...]:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return tuple(int.from_bytes(raw[at : at + 4], sys.byteorder) for at in (0, 4, 8))


def answer(connection: socket.socket) -> None:
    """Enter the sandbox that a request names, fork the kernel into it, and answer with a pidfd of the kernel.

    The request comes with two open files: a pidfd of the sandbox's first process, and the report that the kernel
    writes to. This process, between the zygote and the kernel, ends at once: entering a pid namespace holds for
    children only.
    """
    connection.settimeout(SECONDS_TO_ASK)
    if not peer_is_same_user(connection):
        return
    try:
        text, (sandbox, report), _, _ = socket.recv_fds(connection, LONGEST_REQUEST, 2)
        request = json.loads(text)
        _refuse_what_is_loaded(request["hidden"])
        for file in request["cgroups"]:
            with open(file, "w", encoding="ascii") as members:
                members.write("0")
        linux.enter_namespaces(sandbox)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        kernel = os.fork()
        if kernel == 0:
            connection.detach()
            _be_kernel(report)
        socket.send_fds(connection, [b"{}"], [os.pidfd_open(kernel)])
    except Exception as error:
        connection.send(json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]}).encode())


def _refuse_what_is_loaded(hidden: Iterable[str]) -> None:
    for place in map(os.path.realpath, hidden):
        if any(file == place or file.startswith(f"{place}/") for file in _loaded_files):
            raise RuntimeError(f"{place} must be hidden, but the zygote has loaded it")


def _be_kernel(report: int) -> NoReturn:
    """Become the kernel, like a process that has just been started. Does not return."""
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # What was found out for the zygote: its folder for temporary files, and that of matplotlib, which remembers it.
        tempfile.tempdir = None
        with suppress(OSError):
            os.makedirs(os.environ["MPLCONFIGDIR"], exist_ok=True)
        # Python renews its own random numbers in a fork; these would be the same in every kernel.
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()
        if "torch" in sys.modules:
            sys.modules["torch"].seed()
        child.become(report)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
