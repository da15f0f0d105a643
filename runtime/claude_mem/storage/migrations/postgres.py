"""Migrates a PostgreSQL database while it serves traffic.

One connection holds the migration lock and runs the statements, so that losing it loses both. Waiting is
done by polling: a process that blocked in `pg_advisory_lock` would hold a snapshot, and CREATE INDEX
CONCURRENTLY would wait for that snapshot while it holds the lock. Strong table locks are asked for with a
short `lock_timeout` and asked for again, so that traffic never queues long behind a request that waits.

The connection must have a session of its own; a pooler in transaction mode cannot hold the lock.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg

from claude_mem.storage.migrations.runner import (
    DEADLINE_S,
    MIGRATIONS_TABLE,
    Migration,
    MigrationError,
    MigrationFailed,
    MigrationReport,
    SchemaState,
    Statement,
    backoff,
    load_migrations,
    pending,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Connect = Callable[[], Awaitable[asyncpg.Connection]]

OLDEST_SERVER = 15

_LOCK_KEY = 0x636C_6175_6465_6D65
"""Advisory lock, one per database: the ASCII bytes of "claudeme" as a signed 64-bit number."""

_QUERY_S = 30.0
_WORK_S = 6 * 3600.0
"""Seconds one statement may work; bounds a dead network, not the build of a large index."""

_LOCK_TIMEOUTS_S = (0.2, 2.0)
"""First and longest `lock_timeout`. It grows with each refusal, so that busy tables are reached in the end;
it is how long traffic can be made to wait."""

_RECORDED = f"SELECT version, description FROM {MIGRATIONS_TABLE}"  # noqa: S608 - a constant
_RECORD = f"INSERT INTO {MIGRATIONS_TABLE} (version, description) VALUES ($1, $2)"  # noqa: S608 - a constant

_TRY_AGAIN = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
_CONCURRENT_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (?P<index>[a-z0-9_]+)")


async def check_postgres(connect: Connect) -> SchemaState:
    """Say where the schema stands, changing nothing, with a connection that `connect` opens."""
    connection = await connect()
    try:
        return state(load_migrations("postgres"), await _recorded(connection))
    finally:
        await _close(connection)


async def migrate_postgres(
    connect: Connect, *, target: int | None = None, deadline_s: float = DEADLINE_S
) -> MigrationReport:
    """Bring the schema up to date, or wait for another process that is doing so.

    A schema that is current costs one SELECT: no lock, no DDL.

    `connect` opens a connection with the rights of the tables' owner; it is closed before this returns.
    `target` is the version to stop at, None the newest. `deadline_s` is how many seconds to wait for
    other migrating processes, and again for the locks of each statement.

    SchemaTooNew and SchemaForeign are raised when something else migrated the database, before anything is
    changed; MigrationFailed when a statement failed or its locks were not to be had in time; MigrationError
    when the server is too old or another process kept the migration lock too long.
    """
    migrations = load_migrations("postgres")
    connection = await connect()
    try:
        recorded = await _recorded(connection)
        if not pending(migrations, recorded, target=target):
            return MigrationReport(applied=(), version=max(recorded), waited_s=0.0)
        _require_server(connection)
        started = monotonic()
        todo = await _take_turn(connection, migrations, target=target, deadline=started + deadline_s)
        waited_s = monotonic() - started
        for migration in todo:
            run = _apply_at_once if migration.atomic else _apply_step_by_step
            await run(connection, migration, deadline_s=deadline_s)
        return MigrationReport(
            applied=tuple(migration.version for migration in todo),
            version=max(await _recorded(connection)),
            waited_s=waited_s,
        )
    finally:
        await _close(connection)  # which also lets go of the migration lock


async def _close(connection: asyncpg.Connection) -> None:
    with suppress(*_FAILURES):
        await connection.close(timeout=_QUERY_S)


async def _recorded(connection: asyncpg.Connection) -> dict[int, str]:
    try:
        rows = await connection.fetch(_RECORDED, timeout=_QUERY_S)
    except asyncpg.UndefinedTableError:
        return {}
    return {row["version"]: row["description"] for row in rows}


def _require_server(connection: asyncpg.Connection) -> None:
    server = connection.get_server_version()
    if server.major < OLDEST_SERVER:
        raise MigrationError(
            f"The PostgreSQL server is version {server.major}; claude-mem needs {OLDEST_SERVER} or newer. "
            "Upgrade the server, or point CLAUDE_MEM_SERVER_DATABASE_URL at a newer one."
        )


async def _take_turn(
    connection: asyncpg.Connection,
    migrations: tuple[Migration, ...],
    *,
    target: int | None,
    deadline: float,
) -> tuple[Migration, ...]:
    """Wait for the migration lock or for another process to have done the work; what is left to do here."""
    pauses = backoff(first_s=0.05, most_s=1.0)
    while True:
        locked = await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY, timeout=_QUERY_S)
        todo = pending(migrations, await _recorded(connection), target=target)
        if not todo:
            return ()
        if locked:
            break
        if monotonic() > deadline:
            raise MigrationError(
                "Another process has been migrating this database for too long. Look for it in "
                "pg_locks (locktype 'advisory') and pg_stat_activity; start again when it has finished."
            )
        await asyncio.sleep(next(pauses))
    # Our own timeouts rule from here on. The last setting ends a statement whose process was killed.
    await connection.execute(
        "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
        "SET client_connection_check_interval = '1s'",
        timeout=_QUERY_S,
    )
    return todo


async def _apply_at_once(connection: asyncpg.Connection, migration: Migration, *, deadline_s: float) -> None:
    """Run all statements and record them in one transaction, again from its start while locks are refused."""

    async def transaction(running: list[str], lock_timeout_s: float) -> None:
        async with connection.transaction():
            await _set_lock_timeout(connection, lock_timeout_s)
            for statement in migration.statements:
                running[:] = [statement.name]
                await connection.execute(statement.sql, timeout=_WORK_S)
            await _record(connection, migration)

    await _until_locked(transaction, migration, first=migration.statements[0], deadline_s=deadline_s)


async def _apply_step_by_step(
    connection: asyncpg.Connection, migration: Migration, *, deadline_s: float
) -> None:
    """Run each statement by itself. All can be repeated, so a cut-off run starts again at the first."""
    for statement in migration.statements:

        async def step(_: list[str], lock_timeout_s: float, statement: Statement = statement) -> None:
            index = _CONCURRENT_INDEX.search(statement.sql)
            if index is not None and await _is_built(connection, index["index"]):
                return
            # A concurrent build waits for transactions, not in their way; cutting it off would only undo it.
            await _set_lock_timeout(connection, lock_timeout_s if index is None else 0)
            await connection.execute(statement.sql, timeout=_WORK_S)

        await _until_locked(step, migration, first=statement, deadline_s=deadline_s)
    await _record(connection, migration)


async def _until_locked(
    attempt: Callable[[list[str], float], Awaitable[None]],
    migration: Migration,
    *,
    first: Statement,
    deadline_s: float,
) -> None:
    """Repeat an attempt while its locks are refused; it is told its lock timeout and says what it runs."""
    running = [first.name]
    deadline = monotonic() + deadline_s
    shortest, longest = _LOCK_TIMEOUTS_S
    timeouts = backoff(first_s=shortest, most_s=longest)
    for pause in backoff(first_s=0.05, most_s=1.0):
        try:
            await attempt(running, next(timeouts))
        except _TRY_AGAIN as refused:
            if monotonic() > deadline:
                cause = (
                    f"{refused}; other transactions kept the table for {deadline_s:.0f} s. End the long ones "
                    "(pg_stat_activity) first"
                )
                raise MigrationFailed(migration.version, running[0], cause) from refused
        except _FAILURES as error:
            cause = str(error) or type(error).__name__
            raise MigrationFailed(migration.version, running[0], cause) from error
        else:
            return
        await asyncio.sleep(pause)


async def _set_lock_timeout(connection: asyncpg.Connection, seconds: float) -> None:
    await connection.execute(f"SET lock_timeout = {round(seconds * 1000)}", timeout=_QUERY_S)


async def _is_built(connection: asyncpg.Connection, index: str) -> bool:
    """Whether the index is there and valid; what a cut-off build left behind is dropped.

    Asked first because even IF NOT EXISTS waits for a running vacuum.
    """
    valid = await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", index, timeout=_QUERY_S
    )
    if valid is False:
        await connection.execute(f"DROP INDEX CONCURRENTLY {index}", timeout=_WORK_S)
    return bool(valid)


async def _record(connection: asyncpg.Connection, migration: Migration) -> None:
    await connection.execute(_RECORD, migration.version, migration.description, timeout=_QUERY_S)
