"""The SQLite adapter of the storage port, on aiosqlite: for local development, one machine, one file.

One connection writes, under a lock, so that no statement ever meets a busy database within the process; a second one
reads the last committed state. Commits reach the disk before they are reported (`synchronous=FULL`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiosqlite
import orjson

from claude_mem.model.errors import Unavailable
from claude_mem.storage import catalog
from claude_mem.storage.database import (
    ReferenceViolation,
    Retryable,
    StorageError,
    UniqueViolation,
    ValueRefused,
    read_schema_version,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from claude_mem.storage.database import Executor, Row

#: Milliseconds to wait for another process that holds the file's write lock.
BUSY_TIMEOUT_MS = 10_000

_NUL = "a text holds a NUL character"
_REFUSALS = (sqlite3.Error, OverflowError, UnicodeEncodeError, orjson.JSONEncodeError)


def translate(error: BaseException) -> Exception:
    """The port's error for one of sqlite3's."""
    if isinstance(error, sqlite3.IntegrityError):
        unique = "UNIQUE" in str(error) or "PRIMARY KEY" in str(error)
        return UniqueViolation(str(error)) if unique else ReferenceViolation(str(error))
    if isinstance(error, sqlite3.DataError | OverflowError | UnicodeEncodeError | orjson.JSONEncodeError):
        return ValueRefused(str(error))
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return Retryable(str(error))
    if isinstance(error, sqlite3.OperationalError) and "too big" in str(error):
        return ValueRefused(str(error))
    if isinstance(error, sqlite3.OperationalError) and (
        "unable to open" in str(error) or "disk" in str(error)
    ):
        return Unavailable("the SQLite file cannot be used", dependency="sqlite")
    return StorageError(f"{type(error).__name__}: {error}")


class SqliteExecutor:
    """Runs statements on one connection."""

    def __init__(
        self, connection: aiosqlite.Connection, statements: dict[str, catalog.Statement], hub: _Hub
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._hub = hub
        self.pending: list[tuple[str, str]] = []

    async def fetch(self, statement: str, /, **parameters: Any) -> list[Row]:
        sql = self._statements[statement].sql
        try:
            rows = await self._connection.execute_fetchall(sql, _bind(parameters))
            return [dict(row) for row in rows]
        except _REFUSALS as error:
            raise translate(error) from error

    async def execute(self, statement: str, /, **parameters: Any) -> int:
        try:
            sql = self._statements[statement].sql
            async with self._connection.execute(sql, _bind(parameters)) as cursor:
                return max(cursor.rowcount, 0)
        except _REFUSALS as error:
            raise translate(error) from error

    async def fetch_rows(
        self, statement: str, rows: Sequence[Mapping[str, Any]], /, **parameters: Any
    ) -> list[Row]:
        try:
            text = orjson.dumps(rows, default=_bytes_as_text).decode()
        except orjson.JSONEncodeError as error:
            raise translate(error) from error
        if "\\u0000" in text and any(_holds_nul(value) for row in rows for value in row.values()):
            raise ValueRefused(_NUL)
        return await self.fetch(statement, rows=text, **parameters)

    async def notify(self, channel: str, payload: str) -> None:
        self.pending.append((channel, payload))


def _bytes_as_text(value: object) -> str:
    """JSON holds no bytes; statements read them with `from_base64`."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _holds_nul(value: object) -> bool:
    return isinstance(value, str) and "\0" in value


def _bind(parameters: dict[str, Any]) -> dict[str, Any]:
    """Lists travel as JSON, which statements open with `json_each`.

    Raises: ValueRefused for a text with a NUL, which SQLite's functions would cut there and PostgreSQL refuses.
    """
    if any(map(_holds_nul, parameters.values())):
        raise ValueRefused(_NUL)
    return {
        name: orjson.dumps(value).decode() if isinstance(value, list) else value
        for name, value in parameters.items()
    }


def merge_members(kept: str, added: str) -> str:
    """Members of two JSON objects, those of the second first in doubt: PostgreSQL's `||` on jsonb.

    SQLite's own json_patch would merge nested objects too and take a null for a deletion.
    """
    first, second = orjson.loads(kept), orjson.loads(added)
    if not isinstance(first, dict) or not isinstance(second, dict):
        return kept
    return orjson.dumps(first | second).decode()


class _Hub:
    """Notifications within the process, the only ones that SQLite can have."""

    def __init__(self) -> None:
        self._callbacks: dict[str, set[Callable[[str], None]]] = {}

    def add(self, channel: str, callback: Callable[[str], None]) -> None:
        self._callbacks.setdefault(channel, set()).add(callback)

    def remove(self, channel: str, callback: Callable[[str], None]) -> None:
        self._callbacks.get(channel, set()).discard(callback)

    def deliver(self, pending: list[tuple[str, str]]) -> None:
        for channel, payload in pending:
            for callback in list(self._callbacks.get(channel, ())):
                callback(payload)


class SqliteDatabase:
    """One SQLite file, with a connection that writes and one that reads."""

    name = "sqlite"

    def __init__(self, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = asyncio.Lock()
        self._statements = catalog.load("sqlite")
        self._hub = _Hub()

    async def fetch(self, statement: str, /, **parameters: Any) -> list[Row]:
        if self._statements[statement].sql.startswith(("SELECT", "WITH")):
            return await SqliteExecutor(self._reader, self._statements, self._hub).fetch(
                statement, **parameters
            )
        async with self.transaction() as transaction:
            return await transaction.fetch(statement, **parameters)

    async def execute(self, statement: str, /, **parameters: Any) -> int:
        async with self.transaction() as transaction:
            return await transaction.execute(statement, **parameters)

    async def fetch_rows(
        self, statement: str, rows: Sequence[Mapping[str, Any]], /, **parameters: Any
    ) -> list[Row]:
        async with self.transaction() as transaction:
            return await transaction.fetch_rows(statement, rows, **parameters)

    async def notify(self, channel: str, payload: str) -> None:
        self._hub.deliver([(channel, payload)])

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Executor]:
        async with self._lock:
            executor = SqliteExecutor(self._writer, self._statements, self._hub)
            try:
                await self._statement("BEGIN IMMEDIATE")
                yield executor
                await self._statement("COMMIT")
            except BaseException:
                await asyncio.shield(self._roll_back())
                raise
        self._hub.deliver(executor.pending)

    async def _statement(self, sql: str) -> None:
        try:
            async with self._writer.execute(sql):
                pass
        except sqlite3.Error as error:
            raise translate(error) from error

    async def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            await self._writer.rollback()

    async def ping(self, *, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.fetch("database.ping")
        except TimeoutError as error:
            raise Unavailable("the SQLite file does not answer", dependency="sqlite") from error

    async def schema_version(self) -> int | None:
        return await read_schema_version(self)

    async def refresh_statistics(self) -> None:
        async with self._lock:
            await self._statement(self._statements["database.optimize"].sql)

    async def listen(self, channel: str, callback: Callable[[str], None]) -> Callable[[], Awaitable[None]]:
        self._hub.add(channel, callback)

        async def stop() -> None:
            self._hub.remove(channel, callback)

        return stop

    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
    connection.row_factory = aiosqlite.Row
    try:
        await connection.create_function("merge_members", 2, merge_members, deterministic=True)
        await connection.create_function("from_base64", 1, base64.b64decode, deterministic=True)
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            async with connection.execute(f"PRAGMA {pragma}"):
                pass
    except BaseException:
        # Its thread would keep the process from ending.
        await connection.close()
        raise
    return connection


async def open_file(path: Path) -> SqliteDatabase:
    """Open a database file, whose schema was brought up to date before.

    Raises: Unavailable when the file cannot be opened.
    """
    try:
        writer = await _connect(path)
        try:
            return SqliteDatabase(writer, await _connect(path))
        except BaseException:
            await writer.close()
            raise
    except sqlite3.Error as error:
        raise Unavailable(f"the SQLite file {path} cannot be opened", dependency="sqlite") from error
