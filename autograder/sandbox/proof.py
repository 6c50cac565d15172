"""The proof that isolation holds on this machine, made before any learner's code runs."""

import json
import os
import socket
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import run_sync

from . import inspection, seccomp, view
from .errors import SandboxUnavailable

if TYPE_CHECKING:
    from traitlets.config import Config

# Small, so that running into them takes no time. They are set and enforced like all others.
LIMITS = {"memory": 256, "processes": 24, "file_size": 3, "scratch": 16}
SECONDS = 60
QUESTION = (
    "import json as _json\n"
    "from autograder.sandbox.inspection import look as _look\n"
    "print(_json.dumps(_look(_json.loads({!r}))))"
)
OF_USERS = ("/home", "/root", "/srv", "/var", "/media", "/mnt")
# A network address that is set aside for documents, and that no machine has.
NOWHERE = ("192.0.2.1", 80)


@dataclass(frozen=True)
class Proof:
    """What was found to hold.

    holds  sentences about what is enforced
    lacks  sentences about what this machine does not allow, each with what to do
    """

    holds: tuple[str, ...]
    lacks: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"  holds: {text}" for text in self.holds] + [f"  lacks: {text}" for text in self.lacks])


_proofs: dict[str, Proof] = {}


def prove(config: "Config | None" = None) -> Proof:
    """Start a sandbox, try from inside what must not be possible, and return a Proof.

    The same for the life of this process, for kernels that start cold and for those of each zygote.
    Raises SandboxUnavailable where something does not hold.
    config  of traitlets, with the settings for SandboxProvisioner
    """
    return run_sync(prove_async)(config)


async def prove_async(config: "Config | None" = None) -> Proof:
    """Like `prove`, for callers that have an event loop."""
    from .warm_start import VARIABLE

    key = os.environ.get(VARIABLE, "")
    if key not in _proofs:
        _proofs[key] = await _prove(config)
    return _proofs[key]


async def _prove(config: "Config | None") -> Proof:
    with ExitStack() as stack:
        question = _question(stack)
        seen, cgroup_limits, settings = await _ask(question, config)
    question |= {"address_space": settings["address_space"]}
    wrong = [text for text, holds in _must_hold(question, seen, cgroup_limits) if not holds]
    if wrong:
        raise SandboxUnavailable(
            f"sandbox: isolation does not hold on this machine: {'; '.join(wrong)}. Grade on "
            "another machine; nothing was graded on this one"
        )
    return Proof(*_report(seen, cgroup_limits, settings))


def _question(stack: ExitStack) -> dict[str, Any]:
    """Return what to try, with things on this side that could be reached if anything could."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    local = stack.enter_context(socket.socket(socket.AF_UNIX))
    name = f"transformer-taxonomy-proof-{os.getpid()}"
    local.bind(f"\0{name}")
    local.listen()
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    marker = Path(folder, "marker")
    marker.write_text("This can be read.", encoding="utf-8")
    places = view.secret_places()
    secrets = [
        os.path.join(place, name)
        for place in places
        if os.path.isdir(place)
        for name in os.listdir(place)
        if not _holds_what_is_shown(os.path.join(place, name))
    ]
    return {
        "addresses": [listener.getsockname(), NOWHERE],
        "names": [name],
        "readable": [
            str(marker),
            "/etc/passwd",
            "/etc/shadow",
            "/etc/hostname",
            "/sys/kernel",
            "/proc/keys",
            "/proc/kallsyms",
            *secrets,
        ],
        "folders": _names_that_may_be_seen(),
        "writable": [
            "/",
            "/usr/bin",
            "/etc",
            "/dev",
            "/proc/sys/kernel/core_pattern",
            "/proc/sysrq-trigger",
            "/run/sandbox",
            "/run/sandbox/task.json",
            sys.prefix,
            os.path.dirname(os.__file__),
            os.path.dirname(json.__file__),
            *view.package_folders(),
            *places,
        ],
        "pid": os.getpid(),
        "processes": LIMITS["processes"],
        "memory": LIMITS["memory"],
        "file_size": LIMITS["file_size"],
    }


def _names_that_may_be_seen() -> dict[str, list[str]]:
    """Return {folder: names that may be seen in it} of places of users, and of all that lies above what is shown.

    A folder that leads to the course's Python is there inside, of course; but nothing of what lies beside that.
    """
    shown = [Path(place) for place in [*view.SYSTEM, *view.python_places(), *view.package_folders()]]
    folders = {Path(folder) for folder in OF_USERS} | {above for place in shown for above in place.parents}
    return {
        str(folder): sorted({place.relative_to(folder).parts[0] for place in shown if place.is_relative_to(folder)})
        for folder in sorted(folders)
        if folder != Path("/")
        and str(folder) not in view.IN_MEMORY
        and not any(folder.is_relative_to(place) for place in shown)
    }


def _holds_what_is_shown(place: str) -> bool:
    """True where a folder that is secret as a whole leads to something that a sandbox shows."""
    shown = [*view.python_places(), *view.package_folders()]
    return any(os.path.realpath(path).startswith(os.path.realpath(place)) for path in shown)


async def _ask(question: Mapping[str, Any], config: "Config | None") -> tuple[dict[str, Any], set[str], dict[str, int]]:
    """Return what a kernel in a fresh sandbox saw, the limits of its cgroup, and its settings."""
    from .manager import IsolatedKernelManager

    manager = IsolatedKernelManager(sandbox=LIMITS, **({"config": config} if config else {}))
    said: list[dict[str, Any]] = []
    await manager.start_kernel()
    try:
        settings = manager.provisioner.limits.as_dict()
        question = {**question, "address_space": settings["address_space"]}
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(SECONDS)
            await client.execute_interactive(
                QUESTION.format(json.dumps(question)),
                timeout=SECONDS,
                allow_stdin=False,
                output_hook=lambda message: said.append(message["content"]),
            )
        except (TimeoutError, RuntimeError) as error:  # as jupyter_client says that a time is up
            raise SandboxUnavailable(
                f"sandbox: the proof of isolation did not come to its end in {SECONDS} s ({error}), so nothing was "
                "graded; run the same command again when this machine is less busy"
            ) from error
        finally:
            client.stop_channels()
        text = "".join(content.get("text", "") for content in said if content.get("name") == "stdout")
        if not text:
            raise SandboxUnavailable(f"sandbox: the proof did not finish: {str(said)[-500:]}")
        return json.loads(text), manager.provisioner.sandbox.cgroup.limits, settings
    finally:
        await manager.shutdown_kernel(now=True)


def _must_hold(
    question: Mapping[str, Any], seen: Mapping[str, Any], cgroup_limits: Collection[str]
) -> Iterator[tuple[str, bool]]:
    """Yield (what would be wrong, whether it is right) for everything without which nothing may be graded."""
    outside = inspection.namespaces()
    for name, inside in seen["namespaces"].items():
        yield f"the {name} namespace is the host's", inside != outside[name]
    for pid, status in seen["status"].items():
        rights = [name for name, value in status.items() if name.startswith("Cap") and value]
        yield f"process {pid} inside has capabilities ({', '.join(rights)})", not rights
        yield f"process {pid} inside may gain privileges", status["NoNewPrivs"] == 1
        if seccomp.program():
            yield f"process {pid} inside may make every system call", status.get("Seccomp") == 2
    yield (
        f"processes that do not belong to the sandbox are visible inside ({len(seen['status'])})",
        len(seen["status"]) <= 3,
    )
    yield f"there is a network ({', '.join(seen['interfaces'])})", seen["interfaces"] == ["lo"]
    yield f"something outside was reached ({seen['reached']})", not seen["reached"]
    yield f"secrets were read ({', '.join(seen['read'][:5])})", not seen["read"]
    strange = [
        os.path.join(folder, name)
        for folder, names in seen["names_in"].items()
        for name in names
        if name not in question["folders"][folder]
    ]
    yield f"more can be seen than the sandbox shows ({', '.join(strange[:5])})", not strange
    yield f"the system was written to ({', '.join(seen['written'][:5])})", not seen["written"]
    yield "a process of the host was reached by a signal", not seen["signalled"]
    yield "a new user namespace could be made", not seen["user_namespace"]
    yield (
        f"a file grew to {seen['largest_file']} MiB, over its limit",
        seen["largest_file"] is not None and seen["largest_file"] <= question["file_size"],
    )
    yield (
        "the limit on the address space of a process does not hold",
        seen["largest_memory"] is not None and 0 < seen["largest_memory"] <= question["address_space"],
    )
    yield (
        f"{seen['children']} processes were started, over the limit (where root grades, only a pids cgroup limits "
        "them: grade as another user)",
        seen["children"] <= question["processes"],
    )
    yield "core dumps are on", seen["limits"]["RLIMIT_CORE"] == [0, 0]
    if "memory" in cgroup_limits:
        yield "the memory of the whole sandbox is not limited, although a cgroup was made", seen["outlived"] < 3


def _report(
    seen: Mapping[str, Any], cgroup_limits: Collection[str], settings: Mapping[str, int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    holds = [
        "own namespaces, no capabilities, no network, a read-only system, no view of solutions or gradebook",
        f"each process: address space, {settings['cpu_seconds']} s of processor time, "
        f"{settings['open_files']} open files, size of a file",
        "processes: " + ("pids cgroup" if "processes" in cgroup_limits else "limit on the user inside the sandbox"),
    ]
    lacks = []
    if "memory" in cgroup_limits:
        holds.append("memory of the whole sandbox: memory cgroup")
    else:
        lacks.append(
            "memory of the whole sandbox: no memory cgroup can be made here, so it is limited per process "
            "only; start the grading with `systemd-run --user --scope`, or as root"
        )
    if seccomp.program():
        holds.append("system calls: filtered")
    else:
        lacks.append(f"system calls: not filtered on {os.uname().machine}; namespaces alone isolate")
    if os.getuid() == 0:
        lacks.append("grading runs as root, so code that breaks out would be root; grade as an ordinary user")
    return tuple(holds), tuple(lacks)
