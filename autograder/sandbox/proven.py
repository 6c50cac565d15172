"""The kernel manager to grade with: before its first kernel, a process proves that isolation holds."""

from typing import Any

from traitlets import Bool

from .manager import IsolatedKernelManager
from .proof import prove_async


class SandboxKernelManager(IsolatedKernelManager):
    """Starts Python kernels in a sandbox that has been proven. Raises SandboxUnavailable where that fails."""

    prove_first = Bool(
        True,
        help="True: before its first kernel, a process proves that isolation holds, and starts none where it does not.",
    ).tag(config=True)

    async def _async_start_kernel(self, **kwargs: Any) -> None:
        if self.prove_first and not self.without_sandbox:
            await prove_async(self.config)
        await super()._async_start_kernel(**kwargs)

    start_kernel = _async_start_kernel
