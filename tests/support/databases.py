"""Databases with a current schema, quickly: PostgreSQL from a template, SQLite from a copied file.

`storage` is a database of the test's own on each adapter in turn; `database` is it opened. What the tests put into
them is `tests.support.load`'s.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from claude_mem.settings import DatabaseSettings
from claude_mem.storage import opening
from claude_mem.storage.database import Database
from claude_mem.storage.opening import open_database
from tests.support.postgres import PostgresServer

ADAPTERS = ("postgres", "sqlite")

#: Milliseconds for a connection: a busy machine takes longer than any user of the product would wait.
CONNECT_MS = 60_000

#: The same for processes that tests start. Tests of waiting name their own time.
PATIENT_WITH_POSTGRES = {"CLAUDE_MEM_POSTGRES_CONNECTION_TIMEOUT_MS": str(CONNECT_MS)}


@dataclass(slots=True)
class Storage:
    """A database of one test.

    Attributes:
        name: of its adapter.
        settings: with which a process would open it.
    """

    name: str
    settings: DatabaseSettings
    _opened: list[Database] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of a PostgreSQL database."""
        assert self.settings.url is not None
        return self.settings.url.get_secret_value()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a process to this database."""
        if self.settings.url is None:
            return {"CLAUDE_MEM_DATA_DIR": str(self.settings.sqlite_path.parent)}
        where = {"CLAUDE_MEM_SERVER_DATABASE_URL": self.url, "CLAUDE_MEM_POSTGRES_SSL": "disable"}
        return where | PATIENT_WITH_POSTGRES

    async def open(self, **changes: Any) -> Database:
        """Open it as another process would; it is closed when the test ends.

        Parameters:
            changes: settings to open it with in place of its own.
        """
        database = await open_database(replace(self.settings, **changes))
        self._opened.append(database)
        return database

    async def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run SQL that no adapter has a name for, on a connection of its own."""
        if self.settings.url is None:
            return await asyncio.to_thread(_query_file, self.settings.sqlite_path, statement)
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    async def close(self) -> None:
        """Close what was opened."""
        while self._opened:
            await self._opened.pop().close()

    def check_closed(self) -> None:
        """AssertionError where a test left it open: what is collected later would fail another test."""
        assert not self._opened, "close what was opened"


def _query_file(path: Path, statement: str) -> list[tuple[Any, ...]]:
    import sqlite3  # noqa: PLC0415 - only where a file is asked
    from contextlib import closing  # noqa: PLC0415

    with closing(sqlite3.connect(path, timeout=CONNECT_MS / 1000)) as connection, connection:
        return connection.execute(statement).fetchall()


def postgres_settings(url: str, **changes: Any) -> DatabaseSettings:
    """Settings for a PostgreSQL of the tests, which has no TLS."""
    patient = {"connect_timeout_ms": CONNECT_MS, **changes}
    return DatabaseSettings(url=SecretStr(url), ssl="disable", **patient)


def migrate_database(settings: DatabaseSettings) -> None:
    """In a thread, because a fixture may be set up while an event loop is there."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: asyncio.run(opening.migrate(settings))).result()


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The name of a database with a current schema and no rows."""
    url = postgres.create_database()
    migrate_database(postgres_settings(url))
    return url.rpartition("/")[2]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a current schema and no rows."""
    path = tmp_path_factory.mktemp("sqlite-template") / "server.db"
    migrate_database(DatabaseSettings(sqlite_path=path))
    return path


@pytest.fixture
def postgres_storage(postgres: PostgresServer, postgres_template: str) -> Iterator[Storage]:
    """A migrated PostgreSQL database of the test's own."""
    url = postgres.create_database(template=postgres_template)
    storage = Storage("postgres", postgres_settings(url))
    yield storage
    postgres.drop_database(url)
    storage.check_closed()


@pytest.fixture
def sqlite_storage(sqlite_template: Path, tmp_path: Path) -> Iterator[Storage]:
    """A migrated SQLite file of the test's own."""
    path = tmp_path / "data" / "server.db"
    path.parent.mkdir()
    shutil.copyfile(sqlite_template, path)
    storage = Storage("sqlite", DatabaseSettings(sqlite_path=path))
    yield storage
    storage.check_closed()


@pytest.fixture(params=ADAPTERS)
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    """A migrated database of the test's own, on each adapter in turn."""
    found: Storage = request.getfixturevalue(f"{request.param}_storage")
    yield found
    await found.close()


@pytest.fixture
async def database(storage: Storage) -> Database:
    """The test's database, opened."""
    return await storage.open()
