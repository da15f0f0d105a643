"""Every named statement does on both storages what its operation promises: one subject after the other, and a count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from claude_mem.storage import catalog
from claude_mem.storage.database import Executor, Row
from tests.services.statements_of_accounts import (
    accounting_rows,
    changed_rows,
    idempotent_rows,
    monitored_rows,
)
from tests.services.statements_of_jobs import (
    event_and_job_rows,
    held_rows,
    job_changes,
    paged_jobs,
    worker_rows,
)
from tests.services.statements_of_memories import (
    noted_rows,
    observation_rows,
    origin_rows,
    purged_rows,
    search_rows,
)
from tests.services.statements_of_tenants import key_rows, session_rows, tenancy_rows
from tests.support.databases import Storage
from tests.support.load import make_world


class Recording:
    """A database that remembers which statements were run on it."""

    def __init__(self, executor: Any, seen: set[str]) -> None:
        self._executor = executor
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    async def fetch(self, statement: str, /, **parameters: Any) -> list[Row]:
        self._seen.add(statement)
        found: list[Row] = await self._executor.fetch(statement, **parameters)
        return found

    async def execute(self, statement: str, /, **parameters: Any) -> int:
        self._seen.add(statement)
        count: int = await self._executor.execute(statement, **parameters)
        return count

    async def fetch_rows(
        self, statement: str, given: Sequence[Mapping[str, Any]], /, **parameters: Any
    ) -> list[Row]:
        self._seen.add(statement)
        found: list[Row] = await self._executor.fetch_rows(statement, given, **parameters)
        return found

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Executor]:
        async with self._executor.transaction() as executor:
            yield Recording(executor, self._seen)


SUBJECTS = (
    tenancy_rows,
    key_rows,
    session_rows,
    event_and_job_rows,
    paged_jobs,
    job_changes,
    observation_rows,
    noted_rows,
    search_rows,
    worker_rows,
    accounting_rows,
    origin_rows,
    changed_rows,
    idempotent_rows,
    purged_rows,
    monitored_rows,
    held_rows,
)


async def test_every_statement_does_as_its_operation_says(storage: Storage) -> None:
    seen: set[str] = set()
    opened = await storage.open()
    database: Any = Recording(opened, seen)
    world = await make_world(database)
    for subject in SUBJECTS:
        await subject(database, world)
    await opened.ping(timeout_s=60)
    version = await opened.schema_version()
    assert version is not None
    ours = {name.partition(".")[0] for name in seen}
    assert {name for name in catalog.load(opened.name) if name.partition(".")[0] in ours} == seen
