"""A PostgreSQL server of the tests' own, reached through a socket file in its folder."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest


def programs():
    """Return the folder of PostgreSQL's programs, or None; Debian does not put them on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    where = shutil.which("initdb")
    return found[-1].parent if found else Path(where).parent if where else None


class Address(str):
    """The address of an empty database, and its server.

    begin  starts the server
    end    ends it at once, with all its connections
    """

    begin = end = None


@contextmanager
def server():
    """Start a server, and yield the `Address` of a database. Skips where PostgreSQL is not installed."""
    bin = programs()
    if bin is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed; .ci/run installs it")
        pytest.skip("PostgreSQL is not installed; on Debian: apt install postgresql")
    folder = tempfile.mkdtemp(prefix="pg-", dir="/tmp")  # a socket's address has little room
    # The server refuses to run as root; Debian's package comes with a user for it.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres", "postgres")

    def command(*words):
        subprocess.run([*as_user, *words], check=True, capture_output=True, cwd=folder, timeout=120)

    data = f"{folder}/data"
    command(bin / "initdb", "-D", data, "-U", "grader", "--auth=trust", "--no-sync")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    address = Address(f"postgresql+psycopg://grader@/gradebook?host={folder}")
    address.begin = lambda: command(bin / "pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
    address.end = lambda: command(bin / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    try:
        address.begin()
        command(bin / "createdb", "-h", folder, "-U", "grader", "gradebook")
        os.chmod(folder, 0o755)
        yield address
    finally:
        subprocess.run(
            [*as_user, bin / "pg_ctl", "-D", data, "-m", "immediate", "stop"], cwd=folder, capture_output=True
        )
        shutil.rmtree(folder, ignore_errors=True)
