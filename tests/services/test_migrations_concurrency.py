"""PostgreSQL migrations among others: many starters, kills in the middle, traffic that must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from claude_mem.storage.migrations import check_postgres, migrate_postgres
from claude_mem.storage.migrations.runner import load_migrations
from tests.support.claude_mem_13 import (
    ClaudeMem13,
    columns_of,
    contents,
    create_claude_mem_13,
    write,
)
from tests.support.postgres import PostgresServer
from tests.support.processes import Process, ProcessGroup, fair

Connect = Callable[[], Awaitable[Any]]

LATEST = load_migrations("postgres")[-1].version
STARTERS = 20
DEADLINE_S = 240.0

#: Version 5 needs a lock on usage_events; a writer's transaction keeps it waiting inside its own.
HOLD_VERSION_5 = "lock table usage_events in row exclusive mode"
WAITING_IN_VERSION_5 = "select 1 from pg_locks where not granted and relation = 'usage_events'::regclass"

#: Whether somebody else has asked for the versions that are recorded, which is done before each wait.
LOOKING = (
    "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    " and query like '%server_beta_schema_migrations%'"
)

MIGRATE = """
import asyncio, json, sys, asyncpg
from claude_mem.storage.migrations import migrate_postgres
report = asyncio.run(migrate_postgres(lambda: asyncpg.connect(sys.argv[1])))
print(json.dumps([report.applied, report.version]))
"""


@pytest.fixture
def connect(postgres_url: str) -> Connect:
    """Opens connections to a database of this test's own."""
    return lambda: asyncpg.connect(postgres_url)


@pytest.fixture
async def connection(connect: Connect) -> AsyncIterator[Any]:
    """One such connection."""
    opened = await connect()
    yield opened
    await opened.close()


def start_migration(processes: ProcessGroup, url: str) -> Process:
    return processes.start(sys.executable, "-c", MIGRATE, url)


@contextlib.asynccontextmanager
async def open_transaction(connect: Connect) -> AsyncIterator[Any]:
    """A connection inside a transaction that is rolled back in the end."""
    keeper = await connect()
    try:
        transaction = keeper.transaction()
        await transaction.start()
        yield keeper
        await transaction.rollback()
    finally:
        await keeper.close()


async def until(condition: Callable[[], Awaitable[object]], *, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not await condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:g} s for {what}"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("old", [False, True], ids=["empty", "old"])
async def test_20_processes_start_at_once_and_one_migrates(
    connection: Any, postgres_url: str, processes: ProcessGroup, old: bool
) -> None:
    if old:
        await create_claude_mem_13(postgres_url)
    columns = await columns_of(connection)
    rows = await contents(connection, columns)
    started = [start_migration(processes, postgres_url) for _ in range(STARTERS)]
    codes = [await asyncio.to_thread(process.wait) for process in started]
    assert codes == [0] * STARTERS, "\n".join(process.stderr for process in started)

    reports = [json.loads(process.stdout) for process in started]
    assert {version for _, version in reports} == {LATEST}
    applied = [versions for versions, _ in reports if versions]
    assert applied == [list(range(2 if old else 1, LATEST + 1))]
    after = await contents(connection, columns)
    for found in (rows, after):
        found.pop("server_beta_schema_migrations", None)
    assert after == rows


async def test_a_run_killed_inside_a_transaction_is_finished_by_the_next(
    connect: Connect, connection: Any, postgres_url: str, processes: ProcessGroup
) -> None:
    made = await create_claude_mem_13(postgres_url)
    async with open_transaction(connect) as keeper:
        await keeper.execute(HOLD_VERSION_5)
        process = start_migration(processes, postgres_url)
        await until(lambda: connection.fetchrow(WAITING_IN_VERSION_5), what="the migration to wait")
        process.kill()
        assert (await check_postgres(connect)).version == 4

    report = await migrate_postgres(connect)
    assert report.version == LATEST
    assert report.applied[0] == 5
    total = await connection.fetchval("select sum(quantity) from usage_counters")
    assert total == sum(made.usage.values())


async def test_a_run_killed_in_an_index_build_leaves_nothing_invalid(
    connect: Connect, connection: Any, postgres_url: str, processes: ProcessGroup
) -> None:
    made = await create_claude_mem_13(postgres_url)
    await migrate_postgres(connect, target=6)
    invalid = "select indexrelid::regclass::text from pg_index where not indisvalid"
    locks = "select count(*) from pg_locks where locktype = 'advisory'"
    async with open_transaction(connect) as keeper:
        await write(keeper, "audit_log", "held", made.team_id, None, None, None, "a", "r", None, "{}")
        process = start_migration(processes, postgres_url)

        async def building() -> bool:
            return bool(await connection.fetchval(invalid) == "idx_audit_log_team_created")

        await until(building, what="the index build to begin")
        process.kill()

        async def let_go() -> bool:
            return not await connection.fetchval(locks)

        # The server notices that the process is gone although its statement still waits.
        await until(let_go, what="the killed run's statement to end")
        assert await connection.fetchval(invalid) == "idx_audit_log_team_created"

    assert (await migrate_postgres(connect)).applied == tuple(range(7, LATEST + 1))
    assert await connection.fetchval(invalid) is None
    assert await connection.fetchval("select to_regclass('idx_audit_log_team_created')") is not None


async def test_a_crash_of_the_server_in_the_middle_is_finished_by_the_next(processes: ProcessGroup) -> None:
    with PostgresServer() as server:
        url = server.create_database()
        made = await create_claude_mem_13(url)
        keeper = await asyncpg.connect(url)
        observer = await asyncpg.connect(url)
        await keeper.execute(f"begin; {HOLD_VERSION_5}")
        process = start_migration(processes, url)
        await until(lambda: observer.fetchrow(WAITING_IN_VERSION_5), what="the migration to wait")
        await asyncio.to_thread(server.crash)
        assert await asyncio.to_thread(process.wait) == 1
        assert "MigrationFailed: Migration 5 failed in statement" in process.stderr
        for connection in (keeper, observer):
            connection.terminate()
        await asyncio.to_thread(server.start)

        assert (await migrate_postgres(lambda: asyncpg.connect(url))).applied[0] == 5
        total = await asyncio.to_thread(server.query, url, "select sum(quantity) from usage_counters")
        assert total == [str(sum(made.usage.values()))]


class Traffic:
    """What claude-mem 13 and its users do all day, in several tasks, until told to stop."""

    def __init__(self, connect: Connect, made: ClaudeMem13) -> None:
        self._connect = connect
        self._made = made
        self._stop = asyncio.Event()
        self.rounds = 0
        self.slowest_s = 0.0

    async def ingest(self, name: str) -> None:
        """Events with their jobs and history in one transaction, then audit and usage."""
        made, connection = self._made, await self._connect()
        scope, number = (made.project_id, made.team_id), 0
        while not self._stop.is_set():
            number += 1
            row = f"{name}-{number}"
            began = time.monotonic()
            async with connection.transaction():
                event = ("hook", None, f"key-{row}", "tool_use", None, "{}", "{}", made.now)
                await write(connection, "agent_events", row, *scope, made.session_ids["open"], *event)
                what = ("agent_event", row, None, "observation_generate_for_event", "queued")
                job = (*what, f"job-key-{row}", None, 3, "{}")
                await write(connection, "observation_generation_jobs", f"job-{row}", *scope, row, *job)
                history = (f"history-{row}", f"job-{row}", "queued", "queued", 0, "{}")
                await write(connection, "observation_generation_job_events", *history)
            audit = (
                made.team_id,
                made.project_id,
                None,
                made.key_ids["full"],
                "event.received",
                "agent_event",
            )
            await write(connection, "audit_log", f"audit-{row}", *audit, row, "{}")
            await write(connection, "usage_events", f"usage-{row}", made.team_id, None, "request", 1, "{}")
            self._count(began)
        await connection.close()

    async def generate(self, name: str) -> None:
        """Memories with their sources and usage in one transaction, and a search."""
        made, connection = self._made, await self._connect()
        scope, number = (made.project_id, made.team_id), 0
        job, event = made.job_ids["completed"], made.event_ids["completed"]
        while not self._stop.is_set():
            number += 1
            row = f"{name}-{number}"
            began = time.monotonic()
            async with connection.transaction():
                memory = (None, "discovery", f"Finding {row}", None, "{}", None, job)
                await write(connection, "observations", row, *scope, *memory)
                source = (f"source-{row}", row, event, job, "agent_event", event, "{}")
                await write(connection, "observation_sources", *source)
                await write(connection, "usage_events", f"usage-{row}", made.team_id, None, "tokens", 5, "{}")
            self._count(began)
        await connection.close()

    async def manage(self, name: str) -> None:
        """Teams that come and go with all they own."""
        connection, number = await self._connect(), 0
        while not self._stop.is_set():
            number += 1
            team, project = f"team-{name}-{number}", f"project-{name}-{number}"
            began = time.monotonic()
            async with connection.transaction():
                await write(connection, "teams", team, team, "{}")
                await write(connection, "projects", project, team, project, "{}")
                key = (f"key-{team}", f"hash-{team}", team, project, "actor", "[]", None)
                await write(connection, "api_keys", *key)
            await write(connection, "usage_events", f"usage-{team}", team, project, "request", 1, "{}")
            session = ("x", None, None, None, None, None, "idle", "{}")
            await write(connection, "server_sessions", f"session-{team}", project, team, *session)
            await connection.execute("delete from teams where id = $1", team)
            self._count(began)
        await connection.close()

    def stop(self) -> None:
        self._stop.set()

    def _count(self, began: float) -> None:
        self.rounds += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)


async def hold_a_transaction(connect: Connect, made: ClaudeMem13, *, seconds: float) -> None:
    """A slow writer of every table, which makes each ALTER wait its turn."""
    keeper = await connect()
    async with keeper.transaction():
        for table in ("api_keys", "observation_generation_jobs", "usage_events", "observations"):
            await keeper.execute(f"lock table {table} in row exclusive mode")
        await keeper.execute("select pg_sleep($1)", seconds)
    await keeper.close()


async def test_traffic_goes_on_during_the_upgrade(
    connect: Connect, connection: Any, postgres_url: str
) -> None:
    """No error, no deadlock, no long stop; and afterwards every row is counted."""
    made = await create_claude_mem_13(postgres_url)
    traffic = Traffic(connect, made)

    async def upgrade() -> tuple[int, ...]:
        async def flowing() -> bool:
            return traffic.rounds > 50

        await until(flowing, what="traffic")
        report = await migrate_postgres(connect)
        seen = traffic.rounds

        async def still_flowing() -> bool:
            return traffic.rounds > seen + 50

        await until(still_flowing, what="traffic after the upgrade")
        traffic.stop()
        return report.applied

    async with asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(traffic.ingest(f"ingest{number}"))
        for number in range(2):
            tasks.create_task(traffic.generate(f"generate{number}"))
            tasks.create_task(traffic.manage(f"manage{number}"))
        tasks.create_task(hold_a_transaction(connect, made, seconds=3))
        upgraded = tasks.create_task(upgrade())

    assert upgraded.result() == tuple(range(2, LATEST + 1))
    assert traffic.slowest_s < fair(30)
    sums = "select team_id, kind, sum(quantity) from {} group by 1, 2 having sum(quantity) > 0"
    from_rows = {tuple(row) for row in await connection.fetch(sums.format("usage_events"))}
    from_counters = {tuple(row) for row in await connection.fetch(sums.format("usage_counters"))}
    assert from_counters == from_rows
    assert await connection.fetchval("select count(*) from observations where content_search is null") == 0


async def test_a_cancelled_wait_leaves_no_lock(connect: Connect, connection: Any) -> None:
    await connection.execute("select pg_advisory_lock(7164208264063053157)")
    waiter = asyncio.create_task(migrate_postgres(connect))

    async def waiting() -> bool:
        """Whether it looks for what others have done, again and again."""
        return bool(await connection.fetchval(LOOKING))

    await until(waiting, what="the migration to wait")
    waiter.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiter
    await connection.execute("select pg_advisory_unlock_all()")
    assert (await migrate_postgres(connect)).version == LATEST
