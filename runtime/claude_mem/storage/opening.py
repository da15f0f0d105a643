"""Opens the database that the settings name, with its schema brought up to date."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import asyncpg

from claude_mem.model.errors import Unavailable
from claude_mem.storage import postgres, sqlite
from claude_mem.storage.migrations import (
    MigrationReport,
    SchemaState,
    check_postgres,
    check_sqlite,
    migrate_postgres,
    migrate_sqlite,
)

if TYPE_CHECKING:
    from claude_mem.settings import DatabaseSettings
    from claude_mem.storage.database import Database


async def open_database(settings: DatabaseSettings) -> Database:
    """Open the database; its schema must be current.

    Raises: Unavailable when it does not answer.
    """
    if settings.url is None:
        return await sqlite.open_file(settings.sqlite_path)
    return await postgres.open_pool(
        _options(settings),
        size=settings.pool_max,
        idle_timeout_s=settings.pool_idle_timeout_ms / 1000,
        connect_timeout_s=settings.connect_timeout_ms / 1000,
    )


async def migrate(settings: DatabaseSettings) -> MigrationReport:
    """Bring the schema up to date; one of several processes does it and the others wait.

    Raises: Unavailable, MigrationError.
    """
    if settings.url is None:
        settings.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
        return await migrate_sqlite(settings.sqlite_path)
    return await migrate_postgres(lambda: _connect(settings))


async def check(settings: DatabaseSettings) -> SchemaState:
    """How far the schema is, without changing it.

    Raises: Unavailable, MigrationError.
    """
    if settings.url is None:
        return await check_sqlite(settings.sqlite_path)
    return await check_postgres(lambda: _connect(settings))


async def _connect(settings: DatabaseSettings) -> asyncpg.Connection[Any]:
    # A migration may build an index for longer than any request may take.
    options = _options(settings) | {
        "server_settings": {"application_name": "claude-mem-migrate"},
        "command_timeout": None,
    }
    try:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(**options)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) if isinstance(error, asyncpg.PostgresError) else type(error).__name__
        raise Unavailable(f"PostgreSQL does not answer: {reason}", dependency="postgres") from error
    return connection


def _options(settings: DatabaseSettings) -> dict[str, Any]:
    if settings.url is None:
        raise AssertionError("only a PostgreSQL database has connection options")
    return postgres.connect_options(
        url=settings.url.get_secret_value(),
        ssl=_ssl(settings),
        statement_timeout_ms=settings.statement_timeout_ms,
        connect_timeout_s=settings.connect_timeout_ms / 1000,
    )


def _ssl(settings: DatabaseSettings) -> ssl.SSLContext | str:
    """The modes are libpq's; those that verify trust the root certificate of the settings, or the system's."""
    if settings.ssl not in {"verify-ca", "verify-full"}:
        return settings.ssl
    context = ssl.create_default_context(cafile=settings.ssl_root_cert)
    context.check_hostname = settings.ssl == "verify-full"
    return context
