"""nbgrader's gradebook: looked at before anything is done with it, and opened many times but connected once."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import sqlalchemy
from nbgrader import api

from ..scarcity import DAMAGED, ScarcityError, name, sqlite_file

SECONDS_BUSY = 2  # for which SQLite itself waits; after that we do, and say so


def expect_usable(url: str) -> None:
    """Raise an error if a gradebook that exists cannot be read as a whole, or not be written to; it stays as it is.

    Which error it is `scarcity.lacking` knows.
    """
    file = sqlite_file(url)
    if not file:
        engine = sqlalchemy.create_engine(url)
        try:
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text("SELECT 1"))
        finally:
            engine.dispose()
    elif os.path.lexists(file):
        _expect_usable_file(file, name(url))


def _expect_usable_file(file: str, shown: object) -> None:
    if os.path.getsize(file) == 0:
        raise ScarcityError(
            shown, "it is empty", "put your backup in its place; if there never were any grades, remove it"
        )
    # Never made anew, nor written to: what is tried is taken back.
    address = f"file:{quote(os.path.abspath(file))}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=SECONDS_BUSY, isolation_level=None)) as database:
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise ScarcityError(shown, *DAMAGED)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        database.execute("BEGIN IMMEDIATE")
        database.execute(f"PRAGMA user_version = {version}")
        database.execute("ROLLBACK")


@contextmanager
def connected_once() -> Iterator[None]:
    """Let every `Gradebook` of the block share one engine for each database.

    nbgrader opens a gradebook about ten times for a submission, each time with a new engine: a new connection, every
    statement compiled again, and a look for each of its tables, which takes half of the time that a grade takes to be
    recorded.
    """
    engines: dict[str, sqlalchemy.Engine] = {}
    whole: set[sqlalchemy.Engine] = set()  # whose database has all tables
    create, tables = api.create_engine, api.Base.metadata

    def shared(url: str, **options: Any) -> sqlalchemy.Engine:
        if url not in engines:
            if sqlite_file(url):
                options["connect_args"] = {"timeout": SECONDS_BUSY}
            # A server may have restarted since.
            engines[url] = create(url, pool_pre_ping=True, **options)
            engines[url].dispose = lambda close=True: None  # type: ignore[method-assign]  # which every Gradebook does when it is closed
        return engines[url]

    def create_all(bind: sqlalchemy.Engine) -> None:
        if bind not in whole:
            type(tables).create_all(tables, bind=bind)
            whole.add(bind)

    api.create_engine, tables.create_all = shared, create_all
    try:
        yield
    finally:
        api.create_engine = create
        del tables.create_all
        for engine in engines.values():
            type(engine).dispose(engine)
