"""The zygote as seen from outside: started and ended with a `with`, and asked for kernels."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from . import owner, view, zygote

# Where provisioners find the zygote; inherited by the worker processes of a grading.
VARIABLE = "TRANSFORMER_TAXONOMY_ZYGOTE"
IMPORTS = (
    "torch",
    "torch.nn.functional",
    "torch._dynamo",
    "numpy",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "ipykernel.ipkernel",
    "IPython.core.completer",
    "autograder.checking.check",
    "autograder.calling.inside",
    "workbench.figures",
)
SECONDS_TO_START = 120
# An address of a socket file has room for 107 characters.
LONGEST_FOLDER = 90


class NoZygoteError(RuntimeError):
    """There is no zygote, or it could not do what was asked. A cold start can."""


@contextmanager
def warm(imports: Iterable[str] = IMPORTS) -> Iterator[str]:
    """Start kernels warm inside of this `with`, in this process and in those that it starts.

    Yields the address of the zygote. It ends with this process, however that ends.
    imports  modules that kernels find loaded; none that a sandbox may have to hide
    """
    sweep()
    folder = tempfile.mkdtemp(prefix=owner.name_prefix(), dir=_folder_for_sockets())
    address = os.path.join(folder, "zygote")
    process = None
    before = os.environ.get(VARIABLE)
    try:
        process = _start(address, folder, list(imports))
        os.environ[VARIABLE] = address
        yield address
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
        if process is not None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def warm_once() -> Iterator[str]:
    """Like `warm`, with the zygote of whoever started this process, if there is one that listens."""
    address = os.environ.get(VARIABLE, "")
    if address and _listens(address):
        yield address
        return
    with warm() as address:
        yield address


def _listens(address: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(zygote.SECONDS_TO_ASK)
            connection.connect(address)
            return zygote.peer_is_same_user(connection)
    except OSError:
        return False


def _start(address: str, folder: str, imports: list[str]) -> subprocess.Popen[str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        # The folder is open to this user only, so that nobody else reaches what is in it.
        server.bind(address)
        server.listen(64)
        environment = {name: view.ENVIRONMENT[name] for name in view.ENVIRONMENT if name.endswith("_NUM_THREADS")}
        places = dict.fromkeys(("HOME", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"), folder)
        same = {
            name: view.ENVIRONMENT[name]
            for name in (
                "PATH",
                "LANG",
                "TZ",
                "MPLBACKEND",
                "PYTHONDONTWRITEBYTECODE",
                "PYDEVD_DISABLE_FILE_VALIDATION",
            )
        }
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "autograder.sandbox.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**environment, **places, **same, "PYTHONPATH": view.packages_path()},
            pass_fds=[server.fileno()],
            start_new_session=True,
        )
        assert process.stdin and process.stdout, "both are pipes"
        told = {"socket": server.fileno(), "parent": os.getpid(), "imports": imports, "folder": folder}
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(told))
            process.stdin.close()
    if process.stdout.readline() != "ready\n":
        process.kill()
        process.wait()
        process.stdout.close()
        raise RuntimeError(f"zygote: it did not start (exit code {process.returncode}); the reason is printed above")
    return process


def _folder_for_sockets() -> str:
    folder = tempfile.gettempdir()
    return folder if len(folder) <= LONGEST_FOLDER - 40 else "/tmp"


def sweep() -> None:
    """Remove the folders of zygotes whose process was killed, and that could not do it themselves."""
    folder = _folder_for_sockets()
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with suppress(OSError):
            if owner.is_stale(name) and os.lstat(path).st_uid == os.getuid():
                shutil.rmtree(path, ignore_errors=True)


def ask(address: str, sandbox: int, report: int, cgroups: Sequence[str], hidden: Sequence[str]) -> int:
    """Have a kernel forked into a sandbox, and return a pidfd of it. Raises NoZygoteError.

    sandbox  pidfd of the sandbox's first process
    report   open file to which the kernel writes one message
    cgroups  files to which the kernel writes itself
    hidden   what the sandbox covers; the kernel may not have it in memory
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(zygote.SECONDS_TO_ASK)
            connection.connect(address)
            if not zygote.peer_is_same_user(connection):
                raise NoZygoteError(f"{address} belongs to another user")
            request = json.dumps({"cgroups": cgroups, "hidden": hidden}).encode()
            socket.send_fds(connection, [request], [sandbox, report])
            text, files, _, _ = socket.recv_fds(connection, zygote.LONGEST_REQUEST, 1)
    except OSError as error:
        raise NoZygoteError(f"{address}: {error}") from error
    said = json.loads(text or '{"error": "the zygote ended"}')
    if "error" in said:
        raise NoZygoteError(said["error"])
    return files[0]
