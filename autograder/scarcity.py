"""What may be scarce while a class is graded: a gradebook that is free, a server that answers, room on the disk.

None of it says anything about a submission. What passes is waited for; what does not ends the run with a sentence,
and the next run goes on where this one stopped.
"""

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from nbgrader.converters.base import NbGraderException
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from tornado.log import app_log
from traitlets import Integer
from traitlets.config import LoggingConfigurable

from .course import CourseError, from_here

FULL = "the disk is full", "make room there"
FORBIDDEN = (
    "it may not be opened or written to",
    "give yourself the right to write the file and its folder (ls -ld, chown, chmod)",
)
DAMAGED = "it is damaged, and was left as it is", "move it away, and put your backup in its place"
BROKEN = "it cannot be read or written", "look at the disk, or at what it is mounted from"
OF_THE_SYSTEM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: ("your share of the disk is used up", "make room there, or ask for a larger share"),
    errno.EFBIG: ("a file may not grow so large here", "raise the limit (ulimit -f)"),
    errno.EROFS: ("it is mounted read-only", "mount it for writing, or grade a copy of the course elsewhere"),
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.EIO: BROKEN,
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n), or grade with fewer --workers"),
    errno.ENFILE: ("too many files are open on this machine", "end what holds them, or grade with fewer --workers"),
    errno.ENOMEM: ("the memory is used up", "end what uses it, or grade with fewer --workers"),
}
# SQLite's names begin so.
OF_SQLITE = {
    "SQLITE_FULL": FULL,
    "SQLITE_IOERR": BROKEN,
    "SQLITE_READONLY": FORBIDDEN,
    "SQLITE_CANTOPEN": FORBIDDEN,
    "SQLITE_PERM": FORBIDDEN,
    "SQLITE_CORRUPT": DAMAGED,
    "SQLITE_NOTADB": DAMAGED,
}
# The SQL standard's classes of what a server says, with PostgreSQL's.
OF_A_SERVER = {
    "53100": ("the disk of the database server is full", "make room there"),
    "25006": ("the database is read-only", "let your user write to it"),
}
PASSING = ("08", "40", "53", "55P03", "57P")  # connection, deadlock, too many of something, a lock, shut down
SECONDS_BETWEEN = 0.5


class ScarcityError(CourseError, NbGraderException):
    """What is lacking, in a sentence; whoever is to be graded can do nothing about it.

    passing  True where it may be over in a moment, so that it is worth waiting
    """

    def __init__(self, place: object, fact: str, remedy: str, passing: bool = False) -> None:
        super().__init__(f"{place}: {fact}; {remedy}")
        self.place, self.fact, self.passing = place, fact, passing


class Interruption(BaseException):
    """Takes a `ScarcityError` past nbgrader, which catches every Exception, prints it and goes on to the next."""

    def __init__(self, lack: ScarcityError) -> None:
        self.lack = lack


def lacking(error: BaseException | None, url: str = "", folder: object = None) -> ScarcityError | None:
    """Return what was lacking when an error was raised, or None where it is about something else.

    url     of the gradebook
    folder  where was written, for an error that does not tell
    """
    while error is not None:
        if isinstance(error, Interruption | ScarcityError):
            return error.lack if isinstance(error, Interruption) else error
        found = None
        if isinstance(error, sqlite3.Error):
            found = _of_sqlite(error, url)
        elif isinstance(error, DBAPIError) and not isinstance(error.orig, sqlite3.Error):
            found = _of_a_server(error, url)
        elif isinstance(error, OSError) and error.errno in OF_THE_SYSTEM:
            found = ScarcityError(error.filename or folder or "here", *OF_THE_SYSTEM[error.errno])
        if found:
            return found
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def told(url: str, folder: object = None) -> Iterator[None]:
    """Let an error of this block that tells of scarcity pass nbgrader as an `Interruption`, and print it nowhere."""

    def other(record: logging.LogRecord) -> bool:
        return not record.exc_info or lacking(record.exc_info[1]) is None

    app_log.addFilter(other)  # into which nbgrader's gradebook writes each error with its traceback
    try:
        yield
    except Exception as error:
        if lack := lacking(error, url, folder):
            raise Interruption(lack) from error
        raise
    finally:
        app_log.removeFilter(other)


class Patience(LoggingConfigurable):
    """How long grading waits for what is scarce, and whom it tells."""

    seconds = Integer(
        300,
        min=0,
        help="Seconds to wait for a gradebook that another program holds, or for a database server that restarts.",
    ).tag(config=True)

    say: Callable[[str], object] | None = None

    def until_free(self, action: Callable[[], Any], url: str, folder: object = None) -> Any:
        """Do something, again and again while what it needs is scarce, and return what it returns.

        Raises ScarcityError for what does not pass, or not in time.
        action  may be done again after any failure
        """
        end, said = time.monotonic() + self.seconds, False
        while True:
            try:
                return action()
            except (Exception, Interruption) as error:
                lack = lacking(error, url, folder)
                if lack is None:
                    raise
                if not lack.passing or time.monotonic() >= end:
                    raise lack from error
            if not said:
                (self.say or self.log.warning)(f"{lack.place}: {lack.fact}. Waiting for it, {self.seconds} s at most.")
                said = True
            time.sleep(SECONDS_BETWEEN)


def name(url: str) -> object:
    """Return what to call a gradebook: its file as a reader here would write it, or its address without a password."""
    address = make_url(url)
    file = sqlite_file(url)
    return from_here(file) if file else address.render_as_string(hide_password=True)


def sqlite_file(url: str) -> str | None:
    """Return the file of a gradebook that is one, else None."""
    address = make_url(url)
    database = address.database
    return database if address.get_backend_name() == "sqlite" and database and "file:" not in database else None


def _of_sqlite(error: sqlite3.Error, url: str) -> ScarcityError | None:
    code = getattr(error, "sqlite_errorname", None) or ""
    place = name(url) if url else "the gradebook"
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        who = ", ".join(holders(sqlite_file(url) or "")) if url else ""
        return ScarcityError(
            place,
            f"another program holds the gradebook{f' ({who})' if who else ''}",
            "let it finish, or end it",
            passing=True,
        )
    return next((ScarcityError(place, *what) for start, what in OF_SQLITE.items() if code.startswith(start)), None)


def _of_a_server(error: DBAPIError, url: str) -> ScarcityError | None:
    state = getattr(error.orig, "sqlstate", None) or ""
    place = name(url) if url else "the gradebook"
    if state in OF_A_SERVER:
        return ScarcityError(place, *OF_A_SERVER[state])
    lost = isinstance(error, OperationalError | InterfaceError) and not state
    if error.connection_invalidated or lost or state.startswith(PASSING):
        said = str(error.orig).strip().splitlines()
        return ScarcityError(
            place,
            f"the database server does not answer ({said[0] if said else type(error.orig).__name__})",
            "start it, or look at its address",
            passing=True,
        )
    return None


def holders(file: str) -> list[str]:
    """Return which other processes hold a lock on a file, as far as this machine tells: `program (process 7)`."""
    inodes, found = set(), []
    for path in (file, f"{file}-shm"):
        with suppress(OSError):
            inodes.add(str(os.stat(path).st_ino))
    with suppress(OSError), open("/proc/locks", encoding="ascii", errors="replace") as locks:
        # 1: POSIX  ADVISORY  WRITE 4711 fd:01:262147 1073741825 1073742335
        for fields in map(str.split, locks):
            pid, place = (fields[4], fields[5]) if fields[1] != "->" else (fields[5], fields[6])
            if place.rpartition(":")[2] in inodes and pid.isdigit() and int(pid) not in (0, os.getpid()):
                found.append(pid)
    return [f"{_program(pid)} (process {pid})" for pid in dict.fromkeys(found)]


def _program(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip() or "a program"
    except OSError:
        return "a program"
