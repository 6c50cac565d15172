"""One sandbox, as seen from the host: started, waited for, and ended with all that is in it."""

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress

from . import child
from .cgroup import Cgroup
from .errors import SandboxUnavailable
from .view import SOCKETS, View
from .warm_start import ask

INSTALL = (
    "install it (Debian and Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap; "
    "conda: conda install -c conda-forge bubblewrap), 0.8.0 or newer"
)
# Joins the cgroups whose files are named before "--", and becomes what stands behind it.
JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 77; shift; done; shift; exec "$@"'
COLD_COMMAND = [sys.executable, "-P", "-m", "autograder.sandbox.child"]
# Keeps a sandbox until the kernel that is forked into it ends.
HOLDER = ["/bin/sh", "-c", "echo ready; exec sleep infinity >/dev/null 2>&1"]
SECONDS_TO_END = 10


def bubblewrap() -> str:
    """Return the path of the program. Raises SandboxUnavailable where there is none."""
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailable(
            f"sandbox: this is {sys.platform}, and the sandbox needs Linux; "
            "grade on a Linux machine, or in a virtual one"
        )
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailable(f"sandbox: the program bwrap (bubblewrap) is not on the PATH; {INSTALL}")
    return program


class Sandbox:
    """A sandbox that has been asked for. `start` it, and `kill` it in any case.

    view    a View: what can be seen inside; closed by `start`
    cgroup  limits the sandbox as a whole; None where the host allows no such limit
    """

    def __init__(self, view: View, cgroup: Cgroup | None = None) -> None:
        self.view, self.cgroup = view, cgroup
        self.process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Lock()
        self.first: int | None = None  # pidfd of the first process inside: when it dies, all die
        self.kernel: int | None = None  # pidfd of a kernel that was forked warm
        self.kernel_pid: int | None = None  # of the kernel, warm or cold, as the host numbers it
        self.sockets: int | None = None  # the folder of the kernel's sockets, open

    async def start(self, timeout: float, zygote: str | None = None, hidden: Iterable[str] = ()) -> None:
        """Start a kernel in a fresh sandbox, and return when its sockets are bound.

        Raises SandboxUnavailable where bubblewrap fails, NoZygoteError where the zygote does, RuntimeError where the
        kernel does.
        timeout  seconds
        zygote   address of one that forks the kernel; without it the kernel is started as a program
        hidden   what the view hides, for the zygote
        """
        report, inside = os.pipe()
        try:
            try:
                if zygote:
                    await self._build(HOLDER, [], timeout, wait=True)
                    assert self.first is not None, "what is built has a first process"
                    files = self.cgroup.member_files if self.cgroup else []
                    self.kernel = ask(zygote, self.first, inside, files, list(hidden))
                    self.kernel_pid = _pid_of(self.kernel)
                else:
                    await self._build([*COLD_COMMAND, str(inside)], [inside], timeout)
            finally:
                os.close(inside)
            await self._expect(report, timeout)
        finally:
            os.close(report)

    async def _build(self, command: Sequence[str], passed: Sequence[int], timeout: float, wait: bool = False) -> None:
        """Let bubblewrap build the sandbox and run the command in it; wait for its first line of output if asked."""
        to_info: int | None
        info, to_info = os.pipe()
        files = self.cgroup.member_files if self.cgroup else []
        # The environment of bubblewrap itself can be read by nobody inside; it is emptied all the same.
        line = [
            "/bin/sh",
            "-c",
            JOIN,
            "sh",
            *files,
            "--",
            bubblewrap(),
            "--info-fd",
            str(to_info),
            *self.view.arguments,
            "--",
            *command,
        ]
        try:
            self.process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if wait else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=[to_info, *passed, *self.view.open_files],
                start_new_session=True,
            )
            os.close(to_info)
            to_info = None
            self.view.close()
            text = b""
            while b"}" not in text:
                more = await read(info, timeout)
                if not more:
                    raise self._not_built()
                text += more
            self.first_pid: int = json.loads(text)["child-pid"]
            self.first = os.pidfd_open(self.first_pid)
            self.kernel_pid = self.first_pid
            if wait and self.process.stdout and not await read(self.process.stdout.fileno(), timeout):
                raise self._not_built()
        finally:
            os.close(info)
            if to_info is not None:
                os.close(to_info)

    def _not_built(self) -> SandboxUnavailable:
        assert self.process is not None, "bubblewrap was started"
        self.process.kill()
        said = self.process.communicate()[1].decode("utf-8", "replace").strip() or "it gave no reason"
        return SandboxUnavailable(f"sandbox: bubblewrap could not build one: {said[-500:]}; {remedy(said)}")

    async def _expect(self, report: int, timeout: float) -> None:
        """Wait until the kernel is ready, and open the folder of its sockets."""
        got = await read(report, timeout)
        if got != child.READY:
            if not got and not self.kernel and self.process:
                # Without a word: bubblewrap failed, or the kernel was killed before it could say anything.
                self.process.wait(SECONDS_TO_END)
                raise self._not_built()
            raise RuntimeError(
                "sandbox: the kernel did not start: "
                + (got.decode("utf-8", "replace").strip() or "it ended without a message")
            )
        # Through this the host reaches the sockets, which lie in the sandbox's own memory: a learner's files
        # never touch the host's disk, and no other sandbox can reach them.
        self.sockets = os.open(f"/proc/{self.first_pid}/root{SOCKETS}", os.O_PATH | os.O_DIRECTORY)

    @property
    def socket_prefix(self) -> str:
        """The path that the kernel's sockets have for this process, without `-1` and so on."""
        return f"/proc/{os.getpid()}/fd/{self.sockets}/kernel"

    def poll(self) -> int | None:
        """Return None while the kernel lives, and a number after that."""
        if self.kernel is not None and select.select([self.kernel], [], [], 0)[0]:
            return -1
        assert self.process is not None, "only what was started is asked"
        return self.process.poll()

    def kill(self) -> None:
        """End every process of the sandbox, and return when the last one is gone."""
        if self.first is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.first, signal.SIGKILL)
        elif self.process:
            self.process.kill()
        with self._ending:
            self._wait()

    def _wait(self) -> None:
        if self.process:
            try:
                self.process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(SECONDS_TO_END)

    def close(self) -> None:
        """Kill, and give back what the host holds: open files and the cgroup."""
        self.kill()
        self.view.close()
        for number in (self.first, self.kernel, self.sockets):
            if number is not None:
                os.close(number)
        self.first = self.kernel = self.sockets = None
        for pipe in (self.process.stdout, self.process.stderr) if self.process else ():
            if pipe:
                pipe.close()
        if self.cgroup:
            self.cgroup.remove()
            self.cgroup = None


def _pid_of(pidfd: int) -> int | None:
    """Return the process that it is, as the host numbers it; None where it is gone."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        return next((pid for line in file if line.startswith("Pid:") and (pid := int(line.split()[1])) > 0), None)


def remedy(said: str) -> str:
    """Return what to do about a message of bubblewrap."""
    if "nknown option" in said:
        return f"this bubblewrap is too old; {INSTALL}"
    if "cannot limit user namespaces" in said.lower() or "No space left" in said:
        return "allow user namespaces: sysctl user.max_user_namespaces=15000"
    return (
        "if this is about permissions or namespaces, an administrator must allow user namespaces "
        "(sysctl kernel.unprivileged_userns_clone=1, an AppArmor profile for bwrap, or in a container "
        "the options --security-opt seccomp=unconfined --security-opt systempaths=unconfined), or grade elsewhere"
    )


async def read(number: int, timeout: float) -> bytes:
    """Return the next bytes from an open file, b"" at its end. Raises TimeoutError after so many seconds."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(number, ready.set)
    try:
        await asyncio.wait_for(ready.wait(), timeout)
    finally:
        loop.remove_reader(number)
    return os.read(number, 1 << 16)
