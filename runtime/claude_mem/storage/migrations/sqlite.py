"""Migrates a SQLite file.

The file itself is the lock: everything pending is applied in one immediate transaction, so other processes
wait for it and then find nothing to do. The work is done in a thread; it is one transaction, so a cancelled
caller leaves either the old schema or the new one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from claude_mem.storage.migrations.runner import (
    MIGRATIONS_TABLE,
    Migration,
    MigrationError,
    MigrationFailed,
    MigrationReport,
    SchemaState,
    backoff,
    load_migrations,
    pending,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLDEST_LIBRARY = (3, 37, 0)
"""STRICT tables."""

DEADLINE_S = 60.0
"""Seconds to wait for other processes that use the file."""

_BUSY_S = 5.0
_RECORDED = f"SELECT version, description FROM {MIGRATIONS_TABLE}"  # noqa: S608 - a constant
_RECORD = f"INSERT INTO {MIGRATIONS_TABLE} (version, description) VALUES (?, ?)"  # noqa: S608 - a constant


async def check_sqlite(path: Path) -> SchemaState:
    """Say where the schema of a file stands, changing nothing and making no file."""
    return await asyncio.to_thread(_check, path)


async def migrate_sqlite(path: Path, *, deadline_s: float = DEADLINE_S) -> MigrationReport:
    """Bring a file's schema up to date, making the file (readable by its owner only) where there is none.

    Puts the file into WAL mode, which stays. A schema that is current costs one SELECT. `deadline_s` is how
    many seconds to wait for other processes.

    SchemaTooNew and SchemaForeign are raised when something else migrated the file, MigrationFailed when a
    statement failed, MigrationError when the SQLite library is too old, the file cannot be opened or is no
    database, or other processes kept it locked. In each case the schema is as it was.
    """
    return await asyncio.to_thread(_migrate, path, deadline_s)


def _check(path: Path) -> SchemaState:
    migrations = load_migrations("sqlite")
    if not path.exists():
        return state(migrations, {})
    with _database(path, busy_s=_BUSY_S) as connection:
        return state(migrations, _recorded(connection))


def _migrate(path: Path, deadline_s: float) -> MigrationReport:
    if sqlite3.sqlite_version_info < OLDEST_LIBRARY:
        raise MigrationError(
            f"Python's SQLite library is {sqlite3.sqlite_version}; claude-mem needs 3.37 or newer. "
            "Use a newer Python or system, or PostgreSQL."
        )
    migrations = load_migrations("sqlite")
    started = time.monotonic()
    with _database(path, busy_s=min(_BUSY_S, deadline_s)) as connection:
        recorded = _recorded(connection)
        if not pending(migrations, recorded, target=None):
            return MigrationReport(applied=(), version=max(recorded), waited_s=0.0)
        _lock(connection, deadline=started + deadline_s)
        waited_s = time.monotonic() - started
        todo = pending(migrations, _recorded(connection), target=None)
        for migration in todo:
            _apply(connection, migration)
        connection.execute("COMMIT")
        return MigrationReport(
            applied=tuple(migration.version for migration in todo),
            version=migrations[-1].version,
            waited_s=waited_s,
        )


@contextmanager
def _database(path: Path, *, busy_s: float) -> Iterator[sqlite3.Connection]:
    """The open file. Closing it rolls back what was not committed."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Memories are private; SQLite gives the same rights to the files it puts beside this one.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(path, timeout=busy_s, isolation_level=None)) as connection:
            yield connection
    except (OSError, sqlite3.Error) as error:
        raise MigrationError(
            f"The database file {path} cannot be used: {error}. Check that no other program keeps it locked, "
            "and that this user may write to it and to its directory."
        ) from error


def _recorded(connection: sqlite3.Connection) -> dict[int, str]:
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (MIGRATIONS_TABLE,)).fetchone()
    return dict(connection.execute(_RECORDED)) if known else {}


def _lock(connection: sqlite3.Connection, *, deadline: float) -> None:
    """Begin the transaction that holds the file. Changing to WAL does not wait by itself, hence the loop."""
    for pause in backoff(first_s=0.02, most_s=0.5):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(pause)


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    for statement in migration.statements:
        try:
            connection.execute(statement.sql)
        except sqlite3.Error as error:
            raise MigrationFailed(migration.version, statement.name, str(error)) from error
    connection.execute(_RECORD, (migration.version, migration.description))
