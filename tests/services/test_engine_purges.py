"""A purge meets answers of models: what is answered after it is not kept, and they meet no deadlock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from claude_mem.model.records import JobStatus
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.ingest import IngestService
from claude_mem.services.purging import purge_project
from claude_mem.services.settling import keep
from claude_mem.storage import database as port
from claude_mem.storage import work
from tests.support.engines import asking, ended, job_for, working
from tests.support.load import make_world, until

if TYPE_CHECKING:
    from claude_mem.generation.port import GenerationRequest, ProviderResult
    from claude_mem.storage.database import Database
    from tests.support.databases import Storage
    from tests.support.fake_llm import FakeLlm

pytestmark = pytest.mark.usefixtures("impatient")

#: How many wait for a lock.
BLOCKED = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)

#: Where something of a project's events may stand while they are worked on.
TABLES = ("agent_events", "observation_generation_jobs", "generation_replies", "observations")


async def test_an_answer_that_comes_after_a_purge_is_not_kept(
    storage: Storage, database: Database, llm: FakeLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(database)
    ingest = IngestService(database, DisabledQueue())
    purging = await storage.open()
    provider = asking(llm)
    answer = provider.generate
    purged = asyncio.Event()

    async def late(request: GenerationRequest) -> ProviderResult:
        answered = await answer(request)
        if not purged.is_set():
            await purge_project(purging, world.caller, world.project_id)
            purged.set()
        return answered

    monkeypatch.setattr(provider, "generate", late)
    await job_for(ingest, world, 1)
    # A heartbeat would find the claim lost, and end the call that is to go on.
    async with working(database, provider, heartbeat_s=600), asyncio.timeout(240):
        await purged.wait()
    for table in TABLES:
        assert await storage.query(f"select count(*) from {table}") == [(0,)]
    after = await job_for(ingest, world, 2)
    async with working(database, asking(llm)):
        assert (await ended(database, after)).status is JobStatus.COMPLETED
    await ingest.close()


@pytest.mark.parametrize("newest_first", [True, False])
async def test_keeping_answers_and_a_purge_meet_no_deadlock(
    postgres_storage: Storage, monkeypatch: pytest.MonkeyPatch, *, newest_first: bool
) -> None:
    storage, database = postgres_storage, await postgres_storage.open()
    world = await make_world(database)
    ingest = IngestService(database, DisabledQueue())
    names = [await job_for(ingest, world, number) for number in range(9)]
    if newest_first:
        names.reverse()
    # A purge deletes rows in the database's order, answers are kept in that of ids: two jobs where these differ.
    first, second = next(
        (one, other) for place, one in enumerate(names) for other in names[place + 1 :] if other < one
    )
    replies = [work.KeptReply(name, "call", "{}") for name in (second, first)]
    monkeypatch.setattr(port, "TRANSACTION_ATTEMPTS", 1)

    async def waiting(count: int) -> None:
        async def are() -> bool:
            return await storage.query(BLOCKED) == [(count,)]

        await until(are, what=f"{count} who wait for a lock")

    holder = await asyncpg.connect(storage.url)
    async with asyncio.TaskGroup() as group:
        async with holder.transaction():
            await holder.execute("select 1 from observation_generation_jobs where id = $1 for update", first)
            group.create_task(purge_project(database, world.caller, world.project_id))
            await waiting(1)
            group.create_task(keep(database, {world.project_id}, replies))
            await waiting(2)
        await holder.close()
    for table in TABLES:
        assert await storage.query(f"select count(*) from {table}") == [(0,)]
    await ingest.close()
    await storage.close()
