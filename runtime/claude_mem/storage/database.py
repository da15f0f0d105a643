"""The storage port: what the rest of the server needs of a database, whichever it is.

Two adapters implement it, `postgres` and `sqlite`. Statements are named, stand in `statements/*.sql`, and take named
parameters; a caller never sees a dialect. Rows are mappings from column names to plain values: text, integers,
booleans, JSON as text, and times as integer microseconds since the Unix epoch.

Errors
    Unavailable         (claude_mem.model.errors) the database does not answer; the statement may be tried again
    StorageError
    ├── UniqueViolation     a unique constraint refused a row
    ├── ReferenceViolation  a foreign key refused a row
    ├── ValueRefused        a value that the database cannot hold, such as a too large index entry
    └── Retryable           a deadlock or serialisation failure: run the whole transaction again
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

Row = Mapping[str, Any]
T = TypeVar("T")

#: How often a transaction that met a deadlock is run in all.
TRANSACTION_ATTEMPTS = 4


class StorageError(Exception):
    """Base of what a database says no to."""


class UniqueViolation(StorageError):
    """Raised when a unique constraint refuses a row."""


class ReferenceViolation(StorageError):
    """Raised when a foreign key or a check refuses a row."""


class ValueRefused(StorageError):
    """Raised when the database cannot hold a value."""


class Retryable(StorageError):
    """Raised when a transaction lost against another and may be run again."""


class Executor(Protocol):
    """Something that runs named statements: a database (each on its own) or a transaction."""

    async def fetch(self, statement: str, /, **parameters: Any) -> list[Row]:
        """Run a statement and return its rows."""
        ...

    async def execute(self, statement: str, /, **parameters: Any) -> int:
        """Run a statement and return how many rows it touched."""
        ...

    async def fetch_rows(
        self, statement: str, rows: Sequence[Mapping[str, Any]], /, **parameters: Any
    ) -> list[Row]:
        """Run a statement once over many input rows, all with the same keys, and return its rows."""
        ...

    async def notify(self, channel: str, payload: str) -> None:
        """Tell listeners of every process, once committed; a hint that may be lost."""
        ...


class Database(Executor, Protocol):
    """A database that is open.

    Attributes:
        name: `postgres` or `sqlite`, as shown to people.
    """

    name: str

    def transaction(self) -> AbstractAsyncContextManager[Executor]:
        """A transaction that commits when its block ends and rolls back when it raises."""
        ...

    async def ping(self, *, timeout_s: float) -> None:
        """Raise Unavailable unless the database answers within the time."""
        ...

    async def listen(self, channel: str, callback: Callable[[str], None]) -> Callable[[], Awaitable[None]]:
        """Call back with each payload notified on the channel, from any process where that can be had.

        Returns: what to await to stop listening.
        """
        ...

    async def schema_version(self) -> int | None:
        """The newest applied migration, or None before the first."""
        ...

    async def refresh_statistics(self) -> None:
        """Let the planner learn of tables that have grown much; cheap, and safe to call every few seconds."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


async def fetch_one(executor: Executor, statement: str, /, **parameters: Any) -> Row | None:
    """Run a statement and return its first row, if any."""
    rows = await executor.fetch(statement, **parameters)
    return rows[0] if rows else None


async def read_schema_version(executor: Executor) -> int | None:
    """The newest applied migration, or None before the first."""
    rows = await executor.fetch("database.schema_table")
    if not rows[0]["present"]:
        return None
    version: int | None = (await executor.fetch("database.schema_version"))[0]["version"]
    return version


async def run_transaction(database: Database, work: Callable[[Executor], Awaitable[T]]) -> T:
    """Run a piece of work in a transaction, again where it lost against another.

    Parameters:
        work: is called with the transaction; must have no effect outside it.

    Raises: Retryable when it lost every time.
    """
    for attempt in range(1, TRANSACTION_ATTEMPTS + 1):
        try:
            async with database.transaction() as transaction:
                return await work(transaction)
        except Retryable:
            if attempt == TRANSACTION_ATTEMPTS:
                raise
    raise AssertionError("unreachable")
