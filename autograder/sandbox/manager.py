"""The kernel manager and its client: our kernelspec, the sandbox, and none of Jupyter's fixed waiting times."""

import sys
import time
from contextlib import suppress
from queue import Empty
from typing import Any

import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.connect import ConnectionFileMixin, KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec
from traitlets import Bool, Dict, DottedObjectName, Integer, Type

from .provisioner import NAME
from .sockets import SocketKernelManager


class _Careful(ConnectionFileMixin):
    """Sockets that take no message over a limit, and that never connect again.

    Again would be to whatever the learner's code has put into the place of the socket.
    """

    # Milliseconds until a send to somebody who does not read is given up.
    send_timeout = 3000
    message_size: "Integer[int, int]"
    without_sandbox: "Bool[bool, bool]"

    def _create_connected_socket(self, channel: str, identity: bytes | None = None) -> "zmq.Socket[Any]":
        context = self.context
        for option, value in (
            (zmq.MAXMSGSIZE, self.message_size << 20),
            (zmq.RCVHWM, 100),
            (zmq.SNDTIMEO, self.send_timeout),
        ):
            context.setsockopt(option, value)
        if not self.without_sandbox:
            context.setsockopt(zmq.RECONNECT_IVL, -1)
        socket = super()._create_connected_socket(channel, identity)
        # Nothing is worth waiting for when a sandbox is gone.
        socket.linger = 0
        return socket


class SandboxClient(_Careful, AsyncKernelClient):
    """A client that is ready when the kernel is."""

    message_size = Integer(16, help="The most MiB that one part of a message may have.").tag(config=True)
    # Outside of a sandbox the sockets come into being some time after the kernel.
    without_sandbox = Bool(False)

    def start_channels(
        self, shell: bool = True, iopub: bool = True, stdin: bool = True, hb: bool = False, control: bool = True
    ) -> None:
        """Start the channels, without the heartbeat: it would connect again, and the manager knows who lives."""
        super().start_channels(shell, iopub, stdin, hb, control)

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Return when the kernel has answered, and what it publishes arrives here. Raises RuntimeError if it ends."""
        end = time.monotonic() + (timeout or 60)
        while time.monotonic() < end:
            message = self.kernel_info()
            try:
                reply = await self._answer(self.shell_channel, message, 1)
                self._handle_kernel_info_reply(reply)
                # The kernel publishes that it is idle again: when this comes, so will all that follows.
                while (await self._answer(self.iopub_channel, message, 0.1))["content"].get(
                    "execution_state"
                ) != "idle":
                    pass
                return
            except Empty:
                if not await self._async_is_alive():
                    raise RuntimeError("the kernel died before it was ready") from None
        raise RuntimeError("the kernel was not ready in time; see startup_timeout")

    @staticmethod
    async def _answer(channel: Any, message: str, timeout: float) -> Any:
        while True:
            found = await channel.get_msg(timeout=timeout)
            if found["parent_header"].get("msg_id") == message:
                return found


class IsolatedKernelManager(_Careful, SocketKernelManager):
    """Starts Python kernels in the sandbox. Neither a notebook nor an installed kernelspec has a say in it.

    `proven.SandboxKernelManager` is the one to grade with: it proves first that isolation holds.
    """

    # The manager's own messages are sent without a loop of events, which would have to wait.
    send_timeout = 0
    client_class = DottedObjectName("autograder.sandbox.manager.SandboxClient")
    client_factory = Type(SandboxClient, klass="jupyter_client.asynchronous.AsyncKernelClient")
    message_size = Integer(16, help="The most MiB that one part of a message may have.").tag(config=True)
    sandbox = Dict(
        help="Settings of SandboxProvisioner for this kernel, by name: hidden, shown, memory and so on."
    ).tag(config=True)
    without_sandbox = Bool(
        False,
        help="True: the submission's code runs with your rights. It can read and change "
        "your files and use the network.",
    ).tag(config=True)

    provisioner: Any  # a SandboxProvisioner, or Jupyter's own without a sandbox; None before a kernel is started

    @property
    def kernel_spec(self) -> KernelSpec:
        if self._kernel_spec is None:
            self._kernel_spec = self._local_spec() if self.without_sandbox else self._sandbox_spec()
        return self._kernel_spec

    def _sandbox_spec(self) -> KernelSpec:
        provisioner = {"provisioner_name": NAME, "config": dict(self.sandbox)}
        return KernelSpec(
            name="sandbox",
            display_name="Python, in a sandbox",
            language="python",
            # An interrupt as a signal would end bubblewrap and everything with it.
            interrupt_mode="message",
            metadata={"kernel_provisioner": provisioner},
        )

    def _local_spec(self) -> KernelSpec:
        return KernelSpec(
            name="python3",
            display_name="Python, without a sandbox",
            language="python",
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        )

    def client(self, **kwargs: Any) -> AsyncKernelClient:  # type: ignore[override]
        return super().client(without_sandbox=self.without_sandbox, **kwargs)

    @property
    def ipykernel(self) -> bool:
        return True

    async def _async_start_kernel(self, **kwargs: Any) -> None:
        if self.without_sandbox:
            warn_of_no_sandbox()
            for name in ("hidden", "shown"):
                kwargs.pop(name, None)
        await super()._async_start_kernel(**kwargs)

    start_kernel = _async_start_kernel  # type: ignore[assignment]

    def computed(self) -> float:
        """Return the seconds that processors have spent on the kernel, all its threads together."""
        sandbox = None if self.without_sandbox else self.provisioner and self.provisioner.sandbox
        pid = sandbox.kernel_pid if sandbox else getattr(self.provisioner, "pid", None)
        return _processor_seconds(pid) if pid else 0.0

    async def _async_interrupt_kernel(self) -> None:
        """Interrupt the kernel. One that is gone, or reads no more, is not waited for: it will be killed."""
        if await self._async_is_alive():
            with suppress(zmq.Again):
                await super()._async_interrupt_kernel()

    interrupt_kernel = _async_interrupt_kernel  # type: ignore[assignment]

    async def _async_request_shutdown(self, restart: bool = False) -> None:
        with suppress(zmq.Again):
            await super()._async_request_shutdown(restart)

    request_shutdown = _async_request_shutdown  # type: ignore[assignment]

    def _reconcile_connection_info(self, info: KernelConnectionInfo) -> None:
        if self.without_sandbox:
            super()._reconcile_connection_info(info)
            return
        # Kept in memory: nobody else is to find this kernel, and no file is left behind.
        for name, value in info.items():
            if name.endswith("_port"):
                setattr(self, name, value)
        self.transport, self.ip = info["transport"], info["ip"]

    def cleanup_ipc_files(self) -> None:
        # The sockets of a sandbox have gone with it, and their path may mean something else by now.
        if self.without_sandbox:
            super().cleanup_ipc_files()
        self._remove_folder()


def _processor_seconds(pid: int) -> float:
    """Return the seconds that processors have spent on a process; 0 for one that is gone, or where none can tell.

    One system call, for it is asked around each call of a component: the clock of a process has the number that
    clock_getcpuclockid(3) makes of its own.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except (AttributeError, OSError):
        return 0.0


_warned = False


def warn_of_no_sandbox() -> None:
    """Say on stderr, once per process, what it means to run without a sandbox."""
    global _warned
    if not _warned:
        _warned = True
        print(
            "WARNING: grading WITHOUT A SANDBOX. The code of every submission runs with your rights: it can read\n"
            "and change your files, the solutions and the gradebook among them, and it can use the network.\n"
            "Do this only on a machine that holds nothing you would miss.",
            file=sys.stderr,
            flush=True,
        )
