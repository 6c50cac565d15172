"""Kernels in sandboxes, for tests: code goes in, and what it printed comes out."""

import asyncio
import atexit
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from autograder.sandbox import SandboxKernelManager
from autograder.sandbox.warm_start import warm, warm_once

REPOSITORY = Path(__file__).parents[1]
SECONDS = 120


def need_bubblewrap():
    """Skip where a user's machine has no bubblewrap. Continuous integration must have it."""
    if sys.platform.startswith("linux") and shutil.which("bwrap"):
        return
    if os.environ.get("CI"):
        pytest.fail("bubblewrap is missing; continuous integration must install it")
    pytest.skip("bubblewrap is not installed here")


def warm_from_now_on():
    """Let kernels start warm until this process ends, here and in the processes that it starts.

    A test may have ended the zygote that was asked for before it: then there is another one.
    """
    need_bubblewrap()
    zygote = warm_once()
    zygote.__enter__()
    atexit.register(zygote.__exit__, None, None, None)


class Inside:
    """A kernel in a sandbox, as long as a `with` lasts.

    zygote    address of a zygote, for a warm start; "" for a cold one
    settings  of SandboxProvisioner
    start     arguments for start_kernel
    """

    def __init__(self, zygote="", start=None, manager=None, **settings):
        self.zygote = zygote
        self.manager = SandboxKernelManager(
            sandbox={"zygote": zygote, **settings}, prove_first=False, **(manager or {})
        )
        self.start = start or {}
        self.runner = asyncio.Runner()

    def __enter__(self):
        try:
            self.wait(self.manager.start_kernel(**self.start))
            # A start that falls back to a cold one must not pass for a warm one.
            assert bool(self.zygote) == (self.manager.provisioner.sandbox.kernel is not None)
            self.client = self.manager.client()
            self.client.start_channels()
            self.wait(self.client.wait_for_ready(SECONDS))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if hasattr(self, "client"):
            self.client.stop_channels()
        if self.manager.has_kernel:
            self.wait(self.manager.shutdown_kernel(now=True))
        else:  # One that ended by itself has left the manager's sockets open.
            self.wait(self.manager.cleanup_resources())
        self.runner.close()

    def wait(self, awaitable):
        async def run():
            return await awaitable

        return self.runner.run(run())

    def run(self, code, timeout=SECONDS):
        """Run code and return what it printed. Raises RuntimeError with the traceback if it fails."""
        said, failed = [], []

        def hear(message):
            content = message["content"]
            said.append(content.get("text", "") if message["msg_type"] == "stream" else "")
            failed.extend(["\n".join(content["traceback"])] if message["msg_type"] == "error" else [])

        reply = self.wait(
            self.client.execute_interactive(
                code, timeout=timeout, allow_stdin=False, output_hook=hear, stop_on_error=False
            )
        )
        if failed or reply["content"]["status"] != "ok":
            raise RuntimeError(failed[0] if failed else str(reply["content"]))
        return "".join(said)

    def value(self, expression, before=""):
        """Return the value of an expression inside, after some code."""
        return json.loads(self.run(f"{before}\nimport json\nprint('>>>' + json.dumps({expression}))").split(">>>")[1])

    def fails(self, code):
        """Run one statement inside and return the name of what it raised, "" if nothing."""
        body = "\n".join(f"    {line}" for line in code.splitlines())
        return self.value(
            "_error", f"_error = ''\ntry:\n{body}\nexcept BaseException as error:\n    _error = type(error).__name__"
        )

    def alive(self):
        return self.wait(self.manager.is_alive())


def running(marker):
    """Return the processes of the host that have a text in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if marker.encode() in Path("/proc", name, "cmdline").read_bytes():
                found.append(int(name))
        except OSError:
            pass
    return found


__all__ = ["Inside", "REPOSITORY", "need_bubblewrap", "running", "warm", "warm_from_now_on"]
