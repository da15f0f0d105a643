"""The PostgreSQL adapter of the storage port, on asyncpg.

Connections are pooled and made anew when they break. Times travel as integer microseconds through a codec of our own,
because PostgreSQL holds years that Python's datetime cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from claude_mem.model.errors import Unavailable
from claude_mem.storage import catalog
from claude_mem.storage.database import read_schema_version
from claude_mem.storage.postgres_errors import CONNECTION_LOST, translate
from claude_mem.storage.postgres_listening import RELISTEN_S, keep_listening
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from ssl import SSLContext

    from asyncpg.pool import PoolConnectionProxy

    from claude_mem.storage.database import Executor, Row

logger = logging.getLogger(__name__)

#: Microseconds between 1970-01-01 and 2000-01-01, where PostgreSQL's timestamps begin.
POSTGRES_EPOCH_US = 946_684_800_000_000


async def _prepare(connection: asyncpg.Connection[Any]) -> None:
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda us: (us - POSTGRES_EPOCH_US,),
        decoder=lambda parts: parts[0] + POSTGRES_EPOCH_US,
    )


async def _leave_as_is(_connection: asyncpg.Connection[Any]) -> None:
    """No statement here changes its session, so a connection goes back to the pool without a round trip."""


class PostgresExecutor:
    """Runs statements on one connection, inside a transaction."""

    def __init__(
        self, connection: PoolConnectionProxy[Any], statements: dict[str, catalog.Statement]
    ) -> None:
        self._connection = connection
        self._statements = statements

    async def fetch(self, statement: str, /, **parameters: Any) -> list[Row]:
        found = self._statements[statement]
        try:
            return await self._connection.fetch(found.sql, *[parameters[name] for name in found.parameters])
        except Exception as error:
            raise translate(error) from error

    async def execute(self, statement: str, /, **parameters: Any) -> int:
        found = self._statements[statement]
        try:
            tag = await self._connection.execute(found.sql, *[parameters[name] for name in found.parameters])
        except Exception as error:
            raise translate(error) from error
        return affected(tag)

    async def fetch_rows(
        self, statement: str, rows: Sequence[Mapping[str, Any]], /, **parameters: Any
    ) -> list[Row]:
        columns = {
            name: [row[name] for row in rows]
            for name in self._statements[statement].parameters
            if name not in parameters
        }
        return await self.fetch(statement, **columns, **parameters)

    async def notify(self, channel: str, payload: str) -> None:
        await self.fetch("database.notify", channel=channel, payload=payload)


class PostgresDatabase:
    """A pool of connections to one PostgreSQL database.

    Parameters:
        pool: open pool whose connections were prepared by `open_pool`.
        options: what a connection outside the pool, for listening, is made with.
        connect_timeout_s: seconds to wait for a free connection before the request is refused.
    """

    name = "postgres"

    def __init__(self, pool: asyncpg.Pool[Any], *, options: dict[str, Any], connect_timeout_s: float) -> None:
        self._pool = pool
        self._options = options
        self._timeout = connect_timeout_s
        self._statements = catalog.load("postgres")
        self._listeners: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PostgresExecutor]:
        try:
            with metrics.POOL_WAIT_SECONDS.time():
                connection = await self._pool.acquire(timeout=self._timeout)
        except Exception as error:
            raise translate(error) from error
        try:
            yield PostgresExecutor(connection, self._statements)
        finally:
            await self._release(connection)

    async def _release(self, connection: Any) -> None:
        try:
            if connection.is_in_transaction():
                # A roll-back that was cut short: nobody may inherit it.
                connection.terminate()
            await self._pool.release(connection, timeout=self._timeout)
        except CONNECTION_LOST as error:
            logger.warning("a PostgreSQL connection was lost", extra={"reason": type(error).__name__})

    async def _alone(self, run: Callable[[PostgresExecutor], Awaitable[Any]]) -> Any:
        """Run one statement, once more on a fresh connection when the pooled one had been cut.

        Only statements that change nothing twice come here: reads, and writes that are idempotent by their keys.
        """
        began = False
        try:
            async with self._connection() as executor:
                began = True
                return await run(executor)
        except Unavailable as error:
            if isinstance(error.__cause__, TimeoutError | asyncpg.QueryCanceledError):
                if began and isinstance(error.__cause__, TimeoutError):
                    # Its server hangs or is gone without a word; the next request is not to wait for that on another.
                    await self._pool.expire_connections()
                raise
        # Others of the pool were cut with it, perhaps, and do not know yet.
        await self._pool.expire_connections()
        async with self._connection() as executor:
            return await run(executor)

    async def fetch(self, statement: str, /, **parameters: Any) -> list[Row]:
        rows: list[Row] = await self._alone(lambda executor: executor.fetch(statement, **parameters))
        return rows

    async def execute(self, statement: str, /, **parameters: Any) -> int:
        count: int = await self._alone(lambda executor: executor.execute(statement, **parameters))
        return count

    async def fetch_rows(
        self, statement: str, rows: Sequence[Mapping[str, Any]], /, **parameters: Any
    ) -> list[Row]:
        found: list[Row] = await self._alone(
            lambda executor: executor.fetch_rows(statement, rows, **parameters)
        )
        return found

    async def notify(self, channel: str, payload: str) -> None:
        await self.fetch("database.notify", channel=channel, payload=payload)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Executor]:
        async with self._connection() as executor:
            transaction = executor._connection.transaction()  # noqa: SLF001 - the adapter's own class
            try:
                await transaction.start()
            except Exception as error:
                raise translate(error) from error
            try:
                yield executor
            except BaseException:
                # Where that hangs as well, the connection is closed as it is released.
                with contextlib.suppress(asyncpg.PostgresError, *CONNECTION_LOST):
                    async with asyncio.timeout(self._timeout):
                        await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except Exception as error:
                raise translate(error) from error

    async def ping(self, *, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.fetch("database.ping")
        except TimeoutError as error:
            raise Unavailable("PostgreSQL does not answer", dependency="postgres") from error

    async def schema_version(self) -> int | None:
        return await read_schema_version(self)

    async def refresh_statistics(self) -> None:
        async with self.transaction() as transaction:
            turn = await transaction.fetch("database.statistics_turn")
            if turn[0]["mine"]:
                for grown in await transaction.fetch("database.grown_tables"):
                    await transaction.execute(f"database.analyze_{grown['name']}")

    async def listen(self, channel: str, callback: Callable[[str], None]) -> Callable[[], Awaitable[None]]:
        listening = asyncio.Event()
        task = asyncio.create_task(
            keep_listening(self._options, channel, callback=callback, listening=listening),
            name=f"listen:{channel}",
        )
        self._listeners.add(task)

        async def stop() -> None:
            self._listeners.discard(task)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        try:
            # What is announced before the connection listens is lost, so the first caller waits for it a little.
            async with asyncio.timeout(RELISTEN_S):
                await listening.wait()
        except TimeoutError:
            return stop
        except asyncio.CancelledError:
            # Nobody would ever stop it.
            self._listeners.discard(task)
            task.cancel()
            raise
        return stop

    async def close(self) -> None:
        for task in list(self._listeners):
            task.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        try:
            async with asyncio.timeout(self._timeout):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


def affected(tag: str) -> int:
    """The number of rows in a command tag such as `UPDATE 3`."""
    count = tag.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


def connect_options(
    *, url: str, ssl: SSLContext | str | None, statement_timeout_ms: int, connect_timeout_s: float
) -> dict[str, Any]:
    """What every connection of ours is made with.

    Parameters:
        url: `postgresql://` address; its `sslmode` counts where `ssl` is None.
        statement_timeout_ms: milliseconds after which PostgreSQL gives a statement up; 0 is never. One that hangs gives
            nothing up: here it is waited for by the time of a connection longer, and then the connection is lost.
    """
    answer_s = statement_timeout_ms / 1000 + connect_timeout_s if statement_timeout_ms else None
    options: dict[str, Any] = {
        "dsn": url,
        "timeout": connect_timeout_s,
        "command_timeout": answer_s,
        "server_settings": {
            "application_name": "claude-mem",
            "statement_timeout": str(statement_timeout_ms),
            "jit": "off",
        },
    }
    if ssl is not None:
        options["ssl"] = ssl
    return options


async def open_pool(
    options: dict[str, Any], *, size: int, idle_timeout_s: float, connect_timeout_s: float
) -> PostgresDatabase:
    """Open a pool of at most `size` connections; one is made now so that a wrong address shows at once.

    Raises: Unavailable when PostgreSQL does not answer.
    """
    try:
        pool = await asyncpg.create_pool(
            **options,
            min_size=1,
            max_size=size,
            max_inactive_connection_lifetime=idle_timeout_s,
            init=_prepare,
            reset=_leave_as_is,
        )
    except Exception as error:
        raise translate(error) from error
    metrics.POOL.labels("open").set_function(pool.get_size)
    metrics.POOL.labels("idle").set_function(pool.get_idle_size)
    metrics.POOL.labels("most").set(size)
    return PostgresDatabase(pool, options=options, connect_timeout_s=connect_timeout_s)
