"""Ingest keeps what it says yes to, once, however many ask at once and in whatever order."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from claude_mem.model.errors import ClaudeMemError, Forbidden, InvalidInput, NotFound
from claude_mem.queue.local import DisabledQueue, InProcessQueue
from claude_mem.services.ingest import EventInput, Ingested, IngestService
from claude_mem.services.purging import purge_project
from claude_mem.services.sessions import SessionInput, SessionService
from claude_mem.storage import jobs
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.load import SOURCE, World

IDENTICAL = 100
BATCHES = 16
SHARED = 40


async def one(
    ingest: IngestService, world: World, received: EventInput, *, generate: bool = True
) -> Ingested:
    return await ingest.ingest(world.caller, received, generate=generate, source=SOURCE)


async def count(storage: Storage, table: str) -> int:
    ((found,),) = await storage.query(f"select count(*) from {table}")
    return int(found)


async def counts(storage: Storage) -> tuple[int, int, int]:
    """Events, jobs and lines of their histories."""
    tables = ("agent_events", "observation_generation_jobs", "observation_generation_job_events")
    events, found, lines = [await count(storage, table) for table in tables]
    return events, found, lines


async def test_identical_events_at_once_are_one_event_with_one_job(
    storage: Storage, ingest: IngestService, world: World
) -> None:
    second = IngestService(await storage.open(), DisabledQueue())
    done = await asyncio.gather(
        *(one(service, world, world.event(1)) for service in (ingest, second) for _ in range(IDENTICAL // 2))
    )
    assert {item.event.id for item in done} == {done[0].event.id}
    assert len({item.job.id for item in done if item.job}) == 1
    assert sum(item.duplicate for item in done) == IDENTICAL - 1
    assert await counts(storage) == (1, 1, 1)
    assert await count(storage, "audit_log") == IDENTICAL
    await second.close()


@pytest.mark.parametrize("metadata", [{}, {"client": "hook"}], ids=["bare", "with metadata"])
async def test_overlapping_batches_in_opposite_orders_all_succeed(
    storage: Storage, ingest: IngestService, world: World, metadata: dict[str, str]
) -> None:
    """claude-mem 13 deadlocks here, and unrelated requests fail while it waits (D27)."""
    shared = [world.event(n, metadata=metadata) for n in range(SHARED)]
    await one(ingest, world, shared[0])
    services = [ingest] + [IngestService(await storage.open(), DisabledQueue()) for _ in range(3)]
    unrelated = [
        one(ingest, world, world.event(1000 + n, project_id=world.sibling_id)) for n in range(BATCHES)
    ]
    batches = [
        services[n % 4].ingest_batch(world.caller, shared[:: -1 if n % 2 else 1], generate=True)
        for n in range(BATCHES)
    ]
    async with asyncio.timeout(240):
        results = await asyncio.gather(*batches, *unrelated)
    by_batch: list[Any] = results[:BATCHES]
    assert sum(not item.duplicate for batch in by_batch for item in batch) == SHARED - 1
    total = SHARED + BATCHES
    assert await counts(storage) == (total, total, total)
    await asyncio.gather(*(service.close() for service in services))


async def test_batches_that_only_repeat_merge_without_a_deadlock(
    storage: Storage, ingest: IngestService, world: World
) -> None:
    await ingest.ingest_batch(world.caller, [world.event(n) for n in range(SHARED)], generate=False)
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    repeats = []
    for n in range(BATCHES):
        again = [world.event(k, metadata={f"seen-{n}": True}) for k in range(SHARED)]
        random.Random(n).shuffle(again)
        repeats.append(ingest.ingest_batch(world.caller, again, generate=False))
    results = await asyncio.gather(*repeats)
    assert all(item.duplicate for batch in results for item in batch)
    final = await one(ingest, world, world.event(3), generate=False)
    assert final.event.metadata.value == {f"seen-{n}": True for n in range(BATCHES)}
    if storage.name == "postgres":
        assert await storage.query(deadlocks) == [(0,)]


async def test_a_duplicate_changes_no_payload(
    ingest: IngestService, world: World, database: Database
) -> None:
    """claude-mem 13 merges a fresh job id over the stored one, which no worker then finds (D2)."""
    first = await one(ingest, world, world.event(1))
    repeated = await one(ingest, world, world.event(1, metadata={"late": 1}))
    assert (first.duplicate, repeated.duplicate) == (False, True)
    assert first.job is not None
    stored = await jobs.find_anywhere(database, first.job.id)
    assert stored is not None
    assert stored.payload.value == first.job.payload.value
    assert stored.payload.members["generation_job_id"] == stored.id
    assert repeated.job == stored
    assert repeated.event.metadata.value == {"late": 1}
    assert repeated.event.payload.value == first.event.payload.value


async def test_metadata_merges_member_by_member(ingest: IngestService, world: World) -> None:
    await one(ingest, world, world.event(1, metadata={"a": {"x": 1}, "b": 1, "ü": None}))
    merged = await one(ingest, world, world.event(1, metadata={"a": {"y": 2}, "b": None}))
    assert merged.event.metadata.value == {"a": {"y": 2}, "b": None, "ü": None}


async def test_an_event_stored_without_a_job_gets_one_when_asked(
    storage: Storage, ingest: IngestService, world: World
) -> None:
    without = await one(ingest, world, world.event(1), generate=False)
    assert without.job is None
    asked = await asyncio.gather(*(one(ingest, world, world.event(1)) for _ in range(10)))
    assert {item.event.id for item in asked} == {without.event.id}
    assert len({item.job.id for item in asked if item.job}) == 1
    assert await counts(storage) == (1, 1, 1)


async def test_a_batch_is_stored_whole_or_not_at_all(
    storage: Storage, ingest: IngestService, world: World
) -> None:
    events = [world.event(n) for n in range(5)]
    for foreign in (
        world.event(9, project_id=world.other_project_id),
        world.event(9, project_id="absent"),
        world.event(9, server_session_id="absent"),
    ):
        with pytest.raises(Forbidden):
            await ingest.ingest_batch(world.caller, [*events, foreign], generate=True)
    with pytest.raises(InvalidInput):
        await ingest.ingest_batch(world.caller, [*events, world.event(9, platform="\ud800")], generate=True)
    assert await counts(storage) == (0, 0, 0)
    assert await count(storage, "audit_log") == 0
    twice = await ingest.ingest_batch(world.caller, [*events, events[2]], generate=True)
    assert [item.duplicate for item in twice] == [False] * 5 + [True]
    assert [item.event.id for item in twice].count(twice[2].event.id) == 2


async def test_one_bad_event_of_a_group_does_not_take_the_others_with_it(
    storage: Storage, ingest: IngestService, world: World
) -> None:
    bad = [
        world.event(100, platform="\ud800"),
        world.event(101, server_session_id="absent"),
        world.event(102, project_id="absent"),
        world.event(103, project_id=world.other_project_id),
    ]
    good = [world.event(n) for n in range(30)]
    mixed = [*good[:10], bad[0], *good[10:20], *bad[1:], *good[20:]]
    done = await asyncio.gather(*(one(ingest, world, item) for item in mixed), return_exceptions=True)
    refused = [item for item in done if isinstance(item, BaseException)]
    assert len(refused) == len(bad)
    assert [type(item) for item in refused if isinstance(item, ClaudeMemError)] == [
        InvalidInput,
        Forbidden,
        Forbidden,
        Forbidden,
    ]
    assert await counts(storage) == (len(good), len(good), len(good))


async def test_a_purge_and_ingest_at_full_speed_leave_whole_rows_only(
    storage: Storage, ingest: IngestService, world: World
) -> None:
    database = await storage.open()
    sessions = SessionService(database, DisabledQueue())
    done = asyncio.Event()

    async def purge() -> int:
        removed = 0
        while not done.is_set():
            removed += (await purge_project(database, world.caller, world.project_id))["agentEvents"]
        return removed

    async def events(start: int) -> None:
        for n in range(start, start + 40):
            await one(ingest, world, world.event(n, content_session_id="content"))

    async def batches(start: int) -> None:
        for n in range(start, start + 160, 20):
            await ingest.ingest_batch(world.caller, [world.event(n + k) for k in range(20)], generate=True)

    purging = asyncio.create_task(purge())
    async with asyncio.timeout(240):
        work = [events(start) for start in (0, 1000, 2000, 3000)]
        talks = _conversations(sessions, world)
        await asyncio.gather(*work, batches(10_000), batches(20_000), talks)
        done.set()
        removed = await purging
    left, left_jobs, _ = await counts(storage)
    assert removed + left == 4 * 40 + 2 * 8 * 20
    summaries = await count(storage, "observation_generation_jobs where source_type = 'session_summary'")
    assert left_jobs == left + summaries
    if storage.name == "postgres":
        deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
        assert await storage.query(deadlocks) == [(0,)]


async def _conversations(sessions: SessionService, world: World) -> None:
    for n in range(20):
        received = SessionInput(world.project_id, content_session_id="content", agent_id=str(n))
        started = await sessions.start(world.caller, received)
        # A purge may have come between.
        with suppress(NotFound):
            await sessions.end(world.caller, started.session.id, source="test", source_adapter="server")


async def test_a_caller_who_leaves_takes_nothing_with_him(
    storage: Storage, ingest: IngestService, world: World
) -> None:
    tasks = [asyncio.create_task(one(ingest, world, world.event(n))) for n in range(30)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(item, asyncio.CancelledError) for item in done) == 10
    await ingest.close()
    assert await counts(storage) == (30, 30, 30)


async def test_workers_are_told_of_new_jobs_once(database: Database, world: World) -> None:
    woken = 0

    def wake() -> None:
        nonlocal woken
        woken += 1

    service = IngestService(database, InProcessQueue(wake))
    first = await one(service, world, world.event(1))
    again = await one(service, world, world.event(1))
    silent = await one(service, world, world.event(2), generate=False)
    assert (first.transport, again.transport, silent.transport) == ("enqueued", "enqueued", "skipped")
    assert woken == 1
    await service.close()


async def test_extreme_values_come_back_as_they_went_in(ingest: IngestService, world: World) -> None:
    payload = {
        "text": "Ünïcödé 🦊 \u2028 \\ \" ' \x01",
        "numbers": [0, -1, 2**53 + 1, 1.5, 1e300],
        "deep": {"a": [{"b": [[]]}]},
        "empty": {"": ""},
    }
    for occurred in (0, 1, 8_640_000_000_000_000, -62_135_596_800_000):
        received = world.event(
            1, occurred_ms=occurred, payload=payload, platform="cursor", source_event_id=None
        )
        stored = await one(ingest, world, received)
        repeated = await one(ingest, world, received)
        assert (stored.duplicate, repeated.duplicate) == (False, True)
        assert replace(repeated.event, created_ms=0, received_ms=0) == replace(
            stored.event, created_ms=0, received_ms=0
        )
        assert repeated.event.occurred_ms == occurred
        assert repeated.event.payload.value == payload
