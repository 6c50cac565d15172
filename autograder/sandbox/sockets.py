"""A kernel manager that opens no network ports."""

import os
import tempfile

from jupyter_client.manager import AsyncKernelManager
from traitlets import default


class SocketKernelManager(AsyncKernelManager):
    """Talks to a kernel through socket files that only this user can reach, where others open network ports."""

    _folder: tempfile.TemporaryDirectory[str] | None = None

    @default("transport")
    def _transport_default(self) -> str:
        return "ipc"

    @default("ip")
    def _ip_default(self) -> str:
        # An absolute path: the kernel runs in another folder.
        self._folder = tempfile.TemporaryDirectory(prefix="kernel-")
        return os.path.join(self._folder.name, "socket")

    def cleanup_ipc_files(self) -> None:
        super().cleanup_ipc_files()
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder:
            self._folder.cleanup()
            self._folder = None
