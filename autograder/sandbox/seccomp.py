"""The system calls that a sandbox may not make, as a filter for the kernel (seccomp).

Namespaces decide what a process can reach; this makes the part of the kernel smaller that a faulty call could abuse,
and closes what no namespace covers: keyrings, and sockets that lead out of a virtual machine.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

# Name of a call: its number on x86_64, and on aarch64 (None where there is none).
DENIED: dict[str, tuple[int, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "vmsplice": (278, 75),
}
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
# Local sockets, and those of a network in which there is nothing but the sandbox.
FAMILIES = (1, 2, 10)
# Asks the kernel what network there is, which libzmq does; other protocols of this family configure the kernel.
NETLINK, ROUTES = 16, 0
# Any of the flags with which clone makes a namespace.
NEW_NAMESPACES = 0x7E020080
# Calls of the machine's other, older kinds have these bits set, and numbers of their own.
X32 = 0x40000000
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 32
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_SET_SECCOMP, _FILTER = 22, 2

_Line = tuple[int, int, int, int]


def program(machine: str | None = None) -> bytes:
    """Return the filter for a machine as bytes, or b"" for one whose calls are not known here."""
    column, identity = MACHINES.get(machine or os.uname().machine, (None, None))
    if column is None or identity is None:
        return b""
    lines: list[_Line] = [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, identity),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_unless(_AT_LEAST, X32, errno.ENOSYS),
    ]
    for numbers in DENIED.values():
        if (number := numbers[column]) is not None:
            lines += _unless(_EQUAL, number, errno.EPERM)
    # The flags of clone3 lie where a filter cannot look; without it the C library uses clone.
    lines += _unless(_EQUAL, CLONE3[column], errno.ENOSYS)
    lines += _if_call(CLONE[column], _unless(_HAS_BITS, NEW_NAMESPACES, errno.EPERM))
    asking = [
        (_EQUAL, 0, 2, NETLINK),
        (_LOAD, 0, 0, _THIRD_ARGUMENT),
        (_EQUAL, 1, 0, ROUTES),
        (_RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT),
    ]
    known = [(_EQUAL, len(FAMILIES) - index - 1 + len(asking), 0, family) for index, family in enumerate(FAMILIES)]
    lines += _if_call(SOCKET[column], [*known, *asking])
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _unless(test: int, value: int, error: int) -> list[_Line]:
    """Go on, unless what is loaded passes the test: then the call fails with this error."""
    return [(test, 0, 1, value), (_RETURN, 0, 0, _ERROR | error)]


def _if_call(number: int, lines: Sequence[_Line]) -> list[_Line]:
    """Do these lines with the first argument loaded, if the call is this one; load the number again after them."""
    return [(_EQUAL, 0, len(lines) + 1, number), (_LOAD, 0, 0, _FIRST_ARGUMENT), *lines, (_LOAD, 0, 0, _NUMBER)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_char_p)]


def deny() -> None:
    """Put the filter on this process and all that it will start. Needs no_new_privs."""
    lines = program()
    if lines:
        library = ctypes.CDLL(None, use_errno=True)
        filled = _Program(len(lines) // 8, lines)
        if library.prctl(_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(filled), 0, 0) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"seccomp: {os.strerror(error)}")
