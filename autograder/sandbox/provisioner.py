"""The kernel provisioner: Jupyter's own way to say where and how a kernel is started."""

import json
import os
import signal
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerBase
from traitlets import Float, Integer, List, Unicode, default, validate

from .cgroup import Cgroup
from .flood import FloodGuard
from .limits import Limits
from .sandbox import Sandbox
from .view import CONNECTION, SOCKETS, TASK, View
from .warm_start import VARIABLE, NoZygoteError

NAME = "transformer-taxonomy-sandbox"
PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}
_LIMITS: dict[str, Any] = {field.name: field.default for field in fields(Limits)}


class SandboxProvisioner(KernelProvisionerBase):
    """Starts a Python kernel in a sandbox. The command of the kernelspec is not used: what runs is always ours."""

    memory = Integer(
        _LIMITS["memory"], help="MiB for the whole sandbox, where the host lets us make a memory cgroup."
    ).tag(config=True)
    address_space = Integer(_LIMITS["address_space"], help="MiB of address space for each process.").tag(config=True)
    processes = Integer(_LIMITS["processes"], help="Processes and threads that may exist at a time.").tag(config=True)
    cpu_seconds = Integer(_LIMITS["cpu_seconds"], help="Seconds of processor time for each process.").tag(config=True)
    file_size = Integer(_LIMITS["file_size"], help="MiB that one file may have.").tag(config=True)
    scratch = Integer(
        _LIMITS["scratch"], help="MiB for files in the working folder, and as many in /tmp and in /dev/shm."
    ).tag(config=True)
    open_files = Integer(_LIMITS["open_files"], help="Open files and sockets of each process.").tag(config=True)

    flood = Integer(
        1024,
        help="MiB by which the memory of the process that grades may grow while a kernel lives; "
        "more counts as a flood of messages, and the kernel is killed.",
    ).tag(config=True)

    hidden = List(Unicode(), help="Files and folders of the packages that are hidden inside.").tag(config=True)
    shown = List(Unicode(), help="More files and folders that can be read inside.").tag(config=True)
    zygote = Unicode(
        help="Address of a zygote, from which kernels are forked warm; without one they start cold. Set by `warm()`."
    ).tag(config=True)
    start_timeout = Float(60, help="Seconds in which a kernel must have started.").tag(config=True)

    sandbox: Sandbox | None = None
    guard: FloodGuard | None = None
    parent: Any  # the kernel manager

    @default("zygote")
    def _zygote_default(self) -> str:
        return os.environ.get(VARIABLE, "")

    @validate(*_LIMITS)
    def _positive(self, proposal: Any) -> Any:
        if proposal.value < 1:
            raise ValueError(f"SandboxProvisioner.{proposal.trait.name} is {proposal.value}; choose 1 or more")
        return proposal.value

    @property
    def limits(self) -> Limits:
        return Limits(**{name: getattr(self, name) for name in _LIMITS})

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Take `hidden` and `shown` of this start, if given, and leave no room for a command or an environment."""
        self.hidden = kwargs.pop("hidden", self.hidden)
        self.shown = kwargs.pop("shown", self.shown)
        kwargs["env"] = {}
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        arguments = kwargs.get("cwd"), kwargs.get("extra_arguments", ())
        try:
            self.sandbox = self._sandbox(*arguments)
            try:
                await self.sandbox.start(self.start_timeout, self.zygote, self.hidden)
            except NoZygoteError as reason:
                self.log.warning("This kernel is started cold, which takes longer: %s", reason)
                self._close()
                self.sandbox = self._sandbox(*arguments)
                await self.sandbox.start(self.start_timeout)
        except TimeoutError as error:
            self._close()
            raise RuntimeError(
                f"sandbox: no kernel has started in {self.start_timeout:g} s, so this machine is very busy; grade with "
                "fewer --workers, or give it more time with c.SandboxProvisioner.start_timeout"
            ) from error
        except BaseException:
            self._close()
            raise
        self.guard = FloodGuard(self.flood, self.sandbox.kill)
        self.guard.start()
        self.connection_info = self._connection(self.sandbox.socket_prefix, self.parent.session.key)
        return self.connection_info

    def _sandbox(self, folder: str | None, extra_arguments: Iterable[str]) -> Sandbox:
        task = {
            "limits": self.limits.of_process(),
            # nbclient asks for the same history, and given twice it is an error.
            "arguments": list(
                dict.fromkeys(["-f", CONNECTION, "--HistoryManager.hist_file=:memory:", *extra_arguments])
            ),
        }
        connection = self._connection(f"{SOCKETS}/kernel", self.parent.session.key.decode("ascii"))
        texts = {TASK: json.dumps(task), CONNECTION: json.dumps(connection)}
        return Sandbox(View(self.limits, folder, self.shown, self.hidden, texts), Cgroup(self.limits))

    def _connection(self, prefix: str, key: str | bytes) -> Any:
        return {
            "transport": "ipc",
            "ip": prefix,
            **PORTS,
            "key": key,
            "signature_scheme": self.parent.session.signature_scheme,
        }

    @property
    def flooded(self) -> bool:
        """True where the last kernel was killed for a flood of messages."""
        return bool(self.guard and self.guard.flooded)

    @property
    def has_process(self) -> bool:
        return self.sandbox is not None

    async def poll(self) -> int | None:
        return self.sandbox.poll() if self.sandbox else 0

    async def wait(self) -> int | None:
        """Return when nothing of the sandbox is left. A kernel that ended by itself takes along what it started."""
        code = self.sandbox.poll() if self.sandbox else 0
        self._close()
        return code

    async def send_signal(self, signum: int) -> None:
        """End the sandbox, for every signal but an interrupt, which goes as a message to the kernel itself."""
        if signum not in (0, signal.SIGINT):
            await self.kill()

    async def kill(self, restart: bool = False) -> None:
        if self.sandbox:
            self.sandbox.kill()

    async def terminate(self, restart: bool = False) -> None:
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        self._close()

    def _close(self) -> None:
        if self.guard:
            self.guard.stop()
        if self.sandbox:
            self.sandbox.close()
            self.sandbox = None

    def __del__(self) -> None:
        self._close()

    def resolve_path(self, path: str) -> str | None:
        return None if os.path.isabs(path) else super().resolve_path(path)
