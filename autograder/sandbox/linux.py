"""The system calls that Python has no function for."""

import ctypes
import os

NEW_MOUNTS, NEW_CGROUPS, NEW_NAMES, NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEW_USERS, NEW_PIDS, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
EVERY_NAMESPACE = NEW_MOUNTS | NEW_CGROUPS | NEW_NAMES | NEW_IPC | NEW_USERS | NEW_PIDS | NEW_NETWORK

_DROP_FROM_BOUNDING_SET, _SET_CHILD_SUBREAPER, _NO_NEW_PRIVILEGES, _AMBIENT, _CLEAR_ALL = 24, 36, 38, 47, 4
_CAPABILITY_VERSION = 0x20080522
_JOIN_SESSION_KEYRING = 1
# The numbers of two calls that the C library has no function for, by machine.
_KEYCTL = {"x86_64": 250, "aarch64": 219}

_library = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_library, name)(*arguments) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def _prctl(option: int, *arguments: int) -> None:
    _call("prctl", option, *(ctypes.c_ulong(number) for number in (*arguments, 0, 0, 0, 0)[:4]))


def enter_namespaces(pidfd: int) -> None:
    """Move this process, which must have one thread only, into all namespaces of another. Children get its pids."""
    _call("setns", pidfd, EVERY_NAMESPACE)


def adopt_orphans() -> None:
    """Become the parent of what this process's children leave behind, in place of the first process."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def renounce_privileges() -> None:
    """Give up every capability for good, also those that a program could bring along."""
    for capability in range(64):
        try:
            _prctl(_DROP_FROM_BOUNDING_SET, capability)
        except OSError:
            # EINVAL: the kernel knows no more of them. EPERM: bubblewrap has taken them already.
            break
    _prctl(_AMBIENT, _CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())
    _prctl(_NO_NEW_PRIVILEGES, 1)


def forget_keys() -> None:
    """Join a new, empty session keyring: the one of the login may hold tickets and passwords.

    Kernels without keyrings, and containers that forbid them, have none to forget.
    """
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:
        _library.syscall(number, _JOIN_SESSION_KEYRING, None)
