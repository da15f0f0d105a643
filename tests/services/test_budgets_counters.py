"""The daily counters follow the usage rows, whoever writes them and however they change, on both storages."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from claude_mem.storage.migrations import migrate_postgres
from tests.support.claude_mem_13 import create_claude_mem_13, write
from tests.support.databases import Storage

DAY_1 = datetime(2026, 1, 31, tzinfo=UTC)
DAY_2 = datetime(2026, 2, 1, tzinfo=UTC)

COLUMNS = "project_id, day, model, lane, tokens, input_tokens, output_tokens, calls, failed_calls"
FULL = {"jobId": "j", "model": "m", "lane": "event", "inputTokens": 7, "outputTokens": 2}


def at(storage: Storage) -> Callable[[datetime], str]:
    """How the storage writes a time."""
    if storage.name == "postgres":
        return lambda moment: f"'{moment.isoformat()}'"
    return lambda moment: str(round(moment.timestamp() * 1_000_000))


async def insert(storage: Storage, name: str, moment: datetime, **changes: Any) -> None:
    row = {
        "team": "a",
        "project": "p",
        "kind": "tokens",
        "quantity": 10,
        "metadata": json.dumps(FULL),
    } | changes
    project = f"'{row['project']}'" if row["project"] else "NULL"
    await storage.query(
        "INSERT INTO usage_events (id, team_id, project_id, kind, quantity, metadata, created_at) VALUES"
        f" ('{name}', '{row['team']}', {project}, '{row['kind']}', {row['quantity']}, '{row['metadata']}',"
        f" {at(storage)(moment)}) RETURNING id"
    )


async def change(storage: Storage, statement: str) -> None:
    """Run a statement, with foreign keys that hold."""
    database = await storage.open()
    executor: Any = database
    if storage.name == "sqlite":
        await executor._writer.execute(statement)
    else:
        async with executor._pool.acquire() as connection:
            await connection.execute(statement)


async def counters(
    storage: Storage, *, team: str = "a"
) -> dict[tuple[str, datetime, str, str], tuple[int, ...]]:
    found = await storage.query(f"SELECT {COLUMNS} FROM usage_days WHERE team_id = '{team}'")
    rows = [
        (
            row[0],
            row[1] if isinstance(row[1], datetime) else datetime.fromtimestamp(row[1] / 1e6, UTC),
            *row[2:],
        )
        for row in found
    ]
    return {row[:4]: row[4:] for row in rows if any(row[4:])}


@pytest.fixture
async def tenants(storage: Storage) -> Storage:
    await storage.query("INSERT INTO teams (id, name) VALUES ('a', 'a'), ('b', 'b') RETURNING id")
    await storage.query(
        "INSERT INTO projects (id, team_id, name) VALUES ('p', 'a', 'p'), ('q', 'a', 'q') RETURNING id"
    )
    return storage


async def test_rows_count_for_their_team_and_their_project_by_day(tenants: Storage) -> None:
    await insert(tenants, "1", DAY_1.replace(hour=23, minute=59, second=59, microsecond=999999))
    await insert(tenants, "2", DAY_2)
    await insert(tenants, "3", DAY_2, project=None, metadata=json.dumps(FULL | {"failed": True}))
    await insert(tenants, "4", DAY_2, project="q", metadata=json.dumps(FULL | {"lane": "summary"}))
    await insert(tenants, "5", DAY_2, kind="request")
    assert await counters(tenants) == {
        ("", DAY_1, "m", "event"): (10, 7, 2, 1, 0),
        ("", DAY_2, "m", "event"): (20, 14, 4, 2, 1),
        ("", DAY_2, "m", "summary"): (10, 7, 2, 1, 0),
        ("p", DAY_1, "m", "event"): (10, 7, 2, 1, 0),
        ("p", DAY_2, "m", "event"): (10, 7, 2, 1, 0),
        ("q", DAY_2, "m", "summary"): (10, 7, 2, 1, 0),
    }


@pytest.mark.parametrize(
    ("metadata", "model", "lane", "parts"),
    [
        ("{}", "", "", (0, 0)),
        ("[]", "", "", (0, 0)),
        ('"text"', "", "", (0, 0)),
        ('{"model": "claude", "jobId": "j"}', "claude", "", (0, 0)),
        ('{"inputTokens": 99, "outputTokens": -5}', "", "", (10, 0)),
        ('{"inputTokens": "7", "outputTokens": null}', "", "", (0, 0)),
        ('{"inputTokens": 1e300, "outputTokens": 2.0}', "", "", (10, 2)),
        (json.dumps({"model": "m" * 5000, "lane": "l" * 5000}), "m" * 100, "l" * 20, (0, 0)),
    ],
)
async def test_any_metadata_is_counted_and_refuses_no_row(
    tenants: Storage, metadata: str, model: str, lane: str, parts: tuple[int, int]
) -> None:
    await insert(tenants, "1", DAY_1, metadata=metadata, project=None)
    assert await counters(tenants) == {("", DAY_1, model, lane): (10, *parts, 1, 0)}


async def test_sqlite_counts_rows_whose_metadata_is_no_json(sqlite_storage: Storage) -> None:
    await sqlite_storage.query("INSERT INTO teams (id, name) VALUES ('a', 'a')")
    for number, metadata in enumerate(("not JSON", "[" * 2000 + "]" * 2000)):
        await insert(sqlite_storage, str(number), DAY_1, metadata=metadata, project=None)
    assert await counters(sqlite_storage) == {("", DAY_1, "", ""): (20, 0, 0, 2, 0)}


async def test_changed_and_deleted_rows_leave_their_counters(tenants: Storage) -> None:
    for name in "123":
        await insert(tenants, name, DAY_1)
    await change(
        tenants, f"UPDATE usage_events SET quantity = 40, created_at = {at(tenants)(DAY_2)} WHERE id = '1'"
    )
    await change(tenants, "UPDATE usage_events SET kind = 'request' WHERE id = '2'")
    await change(tenants, "DELETE FROM usage_events WHERE id = '3'")
    moved = (40, 7, 2, 1, 0)
    assert await counters(tenants) == {("", DAY_2, "m", "event"): moved, ("p", DAY_2, "m", "event"): moved}
    await change(tenants, "UPDATE usage_events SET kind = 'tokens' WHERE id = '2'")
    assert (await counters(tenants))["p", DAY_1, "m", "event"] == (10, 7, 2, 1, 0)


async def test_what_a_deleted_project_spent_stays_its_teams(tenants: Storage) -> None:
    await insert(tenants, "1", DAY_1)
    await insert(tenants, "2", DAY_1, project="q")
    await change(tenants, "DELETE FROM projects WHERE id = 'p'")
    assert await counters(tenants) == {
        ("", DAY_1, "m", "event"): (20, 14, 4, 2, 0),
        ("q", DAY_1, "m", "event"): (10, 7, 2, 1, 0),
    }


async def test_a_deleted_team_takes_its_counters_and_budgets_along(tenants: Storage) -> None:
    await insert(tenants, "1", DAY_1)
    await insert(tenants, "2", DAY_1, team="b", project=None)
    await tenants.query(
        "INSERT INTO budgets (id, team_id, project_id, period, token_limit) VALUES"
        " ('1', 'a', 'p', 'day', 1), ('2', 'a', NULL, 'day', 1), ('3', 'b', NULL, 'day', 1) RETURNING id"
    )
    await change(tenants, "DELETE FROM teams WHERE id = 'a'")
    assert await tenants.query("SELECT DISTINCT team_id FROM usage_days") == [("b",)]
    assert await tenants.query("SELECT id FROM budgets") == [("3",)]


async def test_postgres_counts_what_it_is_truncated_to(postgres_storage: Storage) -> None:
    await postgres_storage.query("INSERT INTO teams (id, name) VALUES ('a', 'a')")
    await insert(postgres_storage, "1", DAY_1, project=None)
    await postgres_storage.query("TRUNCATE usage_events")
    assert await counters(postgres_storage) == {}


async def test_an_adopted_database_is_counted_and_so_is_what_claude_mem_13_goes_on_writing(
    postgres_url: str,
) -> None:
    made = await create_claude_mem_13(postgres_url)
    await migrate_postgres(lambda: asyncpg.connect(postgres_url))
    connection = await asyncpg.connect(postgres_url)
    total = "SELECT sum(tokens) FROM usage_days WHERE team_id = $1 AND project_id = $2"
    try:
        assert await connection.fetchval(total, made.team_id, "") == 5321 + 77
        assert await connection.fetchval(total, made.team_id, made.project_id) == 5321 + 77
        row = (
            made.team_id,
            made.project_id,
            "tokens",
            9,
            '{"jobId": "j", "model": "m", "provider": "claude"}',
        )
        await write(connection, "usage_events", "u2", *row)
        assert await connection.fetchval(total, made.team_id, "") == 5321 + 77 + 9
        assert await connection.fetchval("SELECT tokens FROM usage_days WHERE model = 'm' LIMIT 1") == 9
    finally:
        await connection.close()
