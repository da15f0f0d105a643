"""What interrupted attempts leave behind is neither stored twice nor counted twice, and spoils nothing of others."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from claude_mem.model.records import JobStatus
from claude_mem.model.times import now_us
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.failures import Failure
from claude_mem.services.ingest import IngestService
from claude_mem.services.outcomes import Answered, Failed, Outcome, Taken
from claude_mem.storage import failed_jobs, jobs, work
from claude_mem.storage.database import Database, ValueRefused
from tests.support.databases import Storage
from tests.support.engines import (
    OPTIONS,
    asked,
    asking,
    ended,
    find,
    job_for,
    lose_lease,
    make_engine,
    working,
)
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.load import World, make_world, until

pytestmark = pytest.mark.usefixtures("impatient")

OF_A_CALL = """
<observation><title>Of the first</title><source_events>1</source_events></observation>
<observation><title>Of the second</title><source_events>2</source_events></observation>
<observation><title>Of both</title></observation>
"""


async def keep(database: Database, names: list[str]) -> None:
    """Leave an answer, as a worker does that dies before it is used."""
    events = [(await find(database, name)).source_id for name in names]
    kept = {
        "text": OF_A_CALL,
        "provider": "openrouter",
        "model": "m",
        "usage": [90, 10, 100],
        "jobsOf": {event: [name] for event, name in zip(events, names, strict=True)},
    }
    document = orjson.dumps(kept).decode()
    await work.keep_replies(
        database, [work.KeptReply(name, "call-1", document) for name in names], now_us=now_us()
    )


@pytest.mark.parametrize("first", [0, 1])
async def test_an_answer_that_is_used_in_parts_is_stored_and_counted_once(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm, first: int
) -> None:
    names = [await job_for(ingest, world, n) for n in range(2)]
    await keep(database, names)
    later = {"cancelled": names[1 - first]}
    async with database.transaction() as transaction:
        await jobs.cancel(transaction, later["cancelled"], now_us=now_us())
    async with working(database, asking(llm)) as engine:
        assert (await ended(database, names[first])).status is JobStatus.COMPLETED
        job = await find(database, later["cancelled"])
        await failed_jobs.retry(database, {job.id: job.payload}, now_us=now_us())
        engine.wake()
        await until(lambda: _is_completed(database, job.id), what="the other part")
    assert llm.count == 0
    contents = await storage.query("select content from observations order by content")
    assert contents == [("Of both",), ("Of the first",), ("Of the second",)]
    links = await storage.query(
        "select o.content, s.generation_job_id from observation_sources s"
        " join observations o on o.id = s.observation_id"
    )
    assert sorted((content, names.index(name)) for content, name in links) == [
        ("Of both", 0),
        ("Of both", 1),
        ("Of the first", 0),
        ("Of the second", 1),
    ]
    used = dict(await storage.query("select kind, sum(quantity) from usage_events group by kind"))
    assert used == {"tokens": 100, "observation": 3}
    audited = await storage.query("select count(*) from audit_log where action = 'observation.created'")
    assert audited == [(3,)]
    assert await work.kept_replies(database, names) == {}


async def _is_completed(database: Database, job_id: str) -> bool:
    return (await find(database, job_id)).status is JobStatus.COMPLETED


async def test_an_answer_that_comes_after_another_workers_is_not_kept(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    answers = asyncio.Event()
    llm.script.append(Answer(waits_for=answers))
    name = await job_for(ingest, world, 1)
    provider = asking(llm)
    slow = make_engine(database, provider, heartbeat_s=600, grace_s=60)
    running = asyncio.create_task(slow.run())
    await asked(llm, 1)
    slow.stop()
    await lose_lease(database, name)
    async with working(database, asking(llm), worker="server-beta-worker-2"):
        assert (await ended(database, name)).status is JobStatus.COMPLETED
    answers.set()
    await running
    await provider.close()
    assert llm.count == 2
    assert await work.kept_replies(database, [name]) == {}


async def test_half_a_character_in_an_answer_does_not_waste_it(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    llm.script.append(Answer(text="<observation><title>Odd \ud800 one</title></observation>"))
    async with working(database, asking(llm)):
        job = await ended(database, await job_for(ingest, world, 1))
    assert job.status is JobStatus.COMPLETED
    assert await storage.query("select content from observations") == [("Odd ? one",)]


async def test_an_outcome_that_cannot_be_stored_takes_no_other_with_it(
    postgres_storage: Storage, llm: FakeLlm
) -> None:
    """Outcomes share a transaction; what PostgreSQL refuses of one must not end the others."""
    database = await postgres_storage.open()
    ingest = IngestService(database, DisabledQueue())
    world = await make_world(database)
    for number in range(4):
        await job_for(ingest, world, number)
    terms = work.ClaimTerms(worker=OPTIONS.worker, lease_us=60_000_000, mates=1, patience_us=0)
    claimed = await work.claim(database, terms, limit=4, now_us=now_us())
    taken = [Taken(job, jobs.Claim(job.id, job.attempts, OPTIONS.worker)) for job in claimed]
    provider = asking(llm)
    generator = make_engine(database, provider)._generator
    refused = Failed(taken[0], Failure("unknown", "a \0 is not for jsonb"), None)
    outcomes: list[Outcome] = [refused, *(Answered((each,)) for each in taken[1:])]
    found = await asyncio.gather(*map(generator.settle, outcomes), return_exceptions=True)
    assert [type(end) for end in found] == [ValueRefused, *[type(None)] * 3]
    statuses = [(await find(database, each.job.id)).status for each in taken]
    assert statuses == [JobStatus.PROCESSING, *[JobStatus.COMPLETED] * 3]
    await provider.close()
    await ingest.close()
    await postgres_storage.close()
