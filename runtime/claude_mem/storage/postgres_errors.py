"""asyncpg's errors in the words of the storage port."""

from __future__ import annotations

import asyncpg

from claude_mem.model.errors import Unavailable
from claude_mem.storage.database import (
    ReferenceViolation,
    Retryable,
    StorageError,
    UniqueViolation,
    ValueRefused,
)

#: What says that the server cannot be used now, not that it refuses something.
CONNECTION_LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg makes of a connection that ends in the middle of a step
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
)


def translate(error: BaseException) -> Exception:
    """The port's error for one of asyncpg's; the original text stays out of what clients see."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return UniqueViolation(error.constraint_name or "unique")
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return ReferenceViolation(error.constraint_name or "constraint")
    if isinstance(
        error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError | asyncpg.LockNotAvailableError
    ):
        return Retryable(type(error).__name__)
    if isinstance(error, asyncpg.ProgramLimitExceededError | asyncpg.DataError):
        # Its own text quotes the value, which may be private.
        return ValueRefused(type(error).__name__)
    if isinstance(error, asyncpg.QueryCanceledError):
        return Unavailable("PostgreSQL did not finish the statement in time", dependency="postgres")
    if isinstance(error, CONNECTION_LOST):
        return Unavailable("PostgreSQL does not answer", dependency="postgres")
    return StorageError(f"{type(error).__name__}")
