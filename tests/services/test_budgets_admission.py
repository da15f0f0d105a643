"""Budgets before a provider call: what is admitted, what waits and until when, and who is told, on both storages."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from claude_mem.generation.prices import PriceList
from claude_mem.model.errors import Forbidden, NotFound
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.budget_changes import WAITING, BudgetChanges
from claude_mem.services.budgets import UNDER_WAY_US, Admission, BudgetService
from claude_mem.services.ingest import IngestService
from claude_mem.storage import usage
from claude_mem.storage.budgets import BudgetRow, Period
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.load import SOURCE, World

NOW = int(datetime(2026, 2, 28, 15, tzinfo=UTC).timestamp()) * 1_000_000
TOMORROW = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
YESTERDAY = NOW - 86_400_000_000
PRICED = "claude-sonnet-5"


def service(database: Database, default: int | None = None) -> BudgetService:
    return BudgetService(database, prices=PriceList.load(), default_daily_tokens=default)


async def spend(database: Database, team_id: str, tokens: int, **changes: Any) -> None:
    metadata = {
        "model": changes.pop("model", PRICED),
        "inputTokens": tokens,
        "outputTokens": 0,
        "lane": "event",
    }
    row = {"project_id": None, "kind": "tokens", "quantity": tokens, "at_us": NOW} | changes
    await usage.append(database, [usage.UsageRow(team_id=team_id, metadata=metadata, **row)])


def row(world: World, period: Period = "day", **changes: Any) -> BudgetRow:
    values: dict[str, Any] = {
        "project_id": None,
        "token_limit": None,
        "micro_usd_limit": None,
        "warn_percent": 80,
    }
    return BudgetRow(team_id=world.team_id, period=period, **values | changes)


async def put(database: Database, world: World, *rows: BudgetRow) -> None:
    for one in rows:
        await BudgetChanges(database, service(database)).put(world.caller, one)


async def ask(budgets: BudgetService, world: World, tokens: int = 0, **changes: Any) -> Admission:
    asked: dict[str, Any] = {
        "team_id": world.team_id,
        "project_id": world.project_id,
        "now_us": NOW,
    } | changes
    return await budgets.admit(estimated_tokens=tokens, **asked)


async def test_without_budgets_everything_is_admitted(database: Database, world: World) -> None:
    await spend(database, world.team_id, 10**12)
    for default in (None, 0):
        assert await ask(service(database, default), world, 10**12) == Admission(allowed=True)


async def test_the_default_holds_for_a_team_and_a_day(database: Database, world: World) -> None:
    budgets = service(database, 1000)
    await spend(database, world.team_id, 5000, at_us=YESTERDAY)
    await spend(database, world.other_team_id, 5000)
    await spend(database, world.team_id, 700, project_id=world.sibling_id)
    assert await ask(budgets, world, 300) == Admission(allowed=True)
    refused = await ask(budgets, world, 301)
    assert (refused.allowed, refused.waits_until_us) == (False, TOMORROW)
    assert refused.budget is not None
    assert (refused.budget.id, refused.budget.spent_tokens) == (None, 700)
    assert (await ask(budgets, world, 301, now_us=TOMORROW)).allowed
    other = await ask(budgets, world, team_id=world.other_team_id, project_id=world.other_project_id)
    assert not other.allowed


async def test_a_daily_budget_of_ones_own_replaces_the_default(database: Database, world: World) -> None:
    budgets = service(database, 1000)
    await spend(database, world.team_id, 1500)
    await put(database, world, row(world, token_limit=2000))
    assert (await ask(budgets, world, 500)).allowed
    await put(database, world, row(world))
    assert await ask(budgets, world, 10**9) == Admission(allowed=True)
    await put(database, world, row(world, "month", token_limit=10**9))
    assert (await ask(budgets, world, 500)).allowed
    changes = BudgetChanges(database, budgets)
    await changes.remove(world.caller, project_id=None, period="day")
    assert not (await ask(budgets, world)).allowed
    with pytest.raises(NotFound):
        await changes.remove(world.caller, project_id=None, period="day")


async def test_a_projects_budget_holds_for_it_alone_and_the_longest_wait_counts(
    database: Database, world: World
) -> None:
    budgets = service(database, 100_000)
    await put(database, world, row(world, project_id=world.project_id, token_limit=1000))
    await put(database, world, row(world, "month", project_id=world.project_id, token_limit=10_000))
    await spend(database, world.team_id, 1000, project_id=world.project_id)
    assert (await ask(budgets, world)).waits_until_us == TOMORROW
    assert (await ask(budgets, world, project_id=world.sibling_id)).allowed
    assert (await ask(budgets, world, now_us=YESTERDAY)).allowed
    await spend(
        database, world.team_id, 10_000, project_id=world.project_id, at_us=YESTERDAY - 86_400_000_000
    )
    refused = await ask(budgets, world, now_us=YESTERDAY)
    assert refused.budget is not None
    assert (refused.budget.period, refused.waits_until_us) == ("month", TOMORROW)


async def test_a_budget_in_dollars_counts_what_has_a_price(database: Database, world: World) -> None:
    budgets = service(database)
    await put(database, world, row(world, "month", micro_usd_limit=20_000))
    await spend(database, world.team_id, 9_000)
    await spend(database, world.team_id, 10**9, model="nobody-knows-it")
    admitted = await ask(budgets, world)
    assert admitted.allowed
    assert admitted.warning
    assert admitted.budget is not None
    assert (admitted.budget.spent_micro_usd, admitted.budget.unpriced_tokens) == (18_000, 10**9)
    await spend(database, world.team_id, 1_000, at_us=YESTERDAY)
    assert not (await ask(budgets, world)).allowed


async def test_calls_at_the_same_time_do_not_overspend_together(database: Database, world: World) -> None:
    budgets = service(database, 1000)
    calling, answered = asyncio.Event(), asyncio.Event()
    refused: list[Admission] = []

    async def call() -> bool:
        async with budgets.hold(
            team_id=world.team_id, project_id=world.project_id, estimated_tokens=300, now_us=NOW
        ) as admission:
            if not admission.allowed:
                refused.append(admission)
                calling.set()
                return False
            await answered.wait()
            await spend(database, world.team_id, 100)
            return True

    calls = [asyncio.create_task(call()) for _ in range(4)]
    async with asyncio.timeout(240):
        await calling.wait()
        answered.set()
        assert sorted(await asyncio.gather(*calls)) == [False, True, True, True]
    assert refused[0].waits_until_us == NOW + UNDER_WAY_US
    assert (await ask(budgets, world, 700)).allowed
    assert not (await ask(budgets, world, 701)).allowed


async def test_a_warning_is_given_once_a_period(
    database: Database, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="claude_mem.services.budgets")
    workers = [service(database, 1000), service(database, 1000)]

    async def tell(now_us: int = NOW) -> list[bool]:
        return [
            await worker.record_warning(await ask(worker, world, now_us=now_us), now_us=now_us)
            for worker in workers
            for _ in range(2)
        ]

    assert await tell() == [False] * 4
    await spend(database, world.team_id, 800)
    assert await tell() == [True, False, False, False]
    await spend(database, world.team_id, 200)
    assert await tell() == [True, False, False, False]
    await spend(database, world.team_id, 900, at_us=TOMORROW)
    assert await tell(TOMORROW + 1) == [True, False, False, False]
    said = [record.message for record in caplog.records if record.name == "claude_mem.services.budgets"]
    assert said == [
        "a token budget nears its end",
        "a token budget is spent; jobs wait for its next period",
        "a token budget nears its end",
    ]
    found = await database.fetch(
        "audit.list",
        team_id=world.team_id,
        project_id=None,
        action=None,
        resource_id=None,
        before_at=None,
        before_id=None,
        limit=10,
    )
    assert sorted(entry["action"] for entry in found) == ["budget.spent", "budget.warning", "budget.warning"]


async def test_only_a_team_wide_administrator_changes_budgets(database: Database, world: World) -> None:
    changes = BudgetChanges(database, service(database))
    callers = [
        world.caller_of(world.team_id, scopes=["memories:write", "memories:read"]),
        world.caller_of(world.team_id, project_id=world.project_id),
    ]
    for caller in callers:
        with pytest.raises(Forbidden, match="administrator"):
            await changes.put(caller, row(world, token_limit=5))
        with pytest.raises(Forbidden, match="administrator"):
            await changes.remove(caller, project_id=None, period="day")
    with pytest.raises(Forbidden, match="project_id must belong to team_id"):
        await changes.put(world.caller, row(world, project_id=world.other_project_id, token_limit=5))


async def test_waiting_jobs_are_due_again_when_a_budget_changes(
    storage: Storage, database: Database, world: World
) -> None:
    ingest = IngestService(database, DisabledQueue())
    for number in range(3):
        await ingest.ingest(world.caller, world.event(number), generate=True, source=SOURCE)
    await ingest.close()
    ids = [
        found[0] for found in await storage.query("SELECT id FROM observation_generation_jobs ORDER BY id")
    ]
    far = "now() + interval '1 day'" if storage.name == "postgres" else "9000000000000000"
    reasons = [f'{{"classification": "{WAITING}"}}', '{"classification": "rate_limit"}', f'"{WAITING}"']
    for job_id, reason in zip(ids, reasons, strict=True):
        await storage.query(
            f"UPDATE observation_generation_jobs SET next_attempt_at = {far}, last_error = '{reason}'"
            f" WHERE id = '{job_id}' RETURNING id"
        )
    await put(database, world, row(world, token_limit=5))
    soon = "now() + interval '1 hour'" if storage.name == "postgres" else "8000000000000000"
    waiting = f"SELECT id FROM observation_generation_jobs WHERE next_attempt_at > {soon} ORDER BY id"
    assert await storage.query(waiting) == [(ids[1],), (ids[2],)]
