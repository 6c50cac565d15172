"""Where a learner's code runs: a Python kernel that can reach nothing but itself.

    manager = SandboxKernelManager(sandbox={"hidden": [".../workbench/parts/encoder.py"]})
    await manager.start_kernel(cwd=folder_of_the_assignment)
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    ...
    client.stop_channels()
    await manager.shutdown_kernel(now=True)

Inside of `with warm():` kernels are forked from a process that has imported torch already, here and in the processes
that this one starts; the isolation is the same.

Before its first kernel a process proves that isolation holds, and raises SandboxUnavailable where it does not.
`print(prove())` tells what is enforced here. `c.SandboxKernelManager.without_sandbox = True` runs an ordinary kernel
with the rights of whoever grades, and says so.

nbclient and nbgrader take the manager as
`c.Execute.kernel_manager_class = "autograder.sandbox.SandboxKernelManager"`. Limits are set as
`c.SandboxProvisioner.memory = 4096` and so on, or for one kernel in `sandbox={...}`; `hidden` and `shown` may also be
given to `start_kernel`.

Inside, the working folder is /scratch, with the data files of `cwd`; there is no network and nothing of the host but
a read-only Python, `autograder` and `workbench`.
"""

from typing import Any

_PLACES = {
    "SandboxUnavailable": "errors",
    "Limits": "limits",
    "SandboxProvisioner": "provisioner",
    "SandboxKernelManager": "proven",
    "SandboxClient": "manager",
    "SocketKernelManager": "sockets",
    "warm": "warm_start",
    "warm_once": "warm_start",
    "prove": "proof",
    "prove_async": "proof",
    "Proof": "proof",
    "warn_of_no_sandbox": "manager",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    # The processes inside need a few small modules of this package, and none of those that start them.
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
