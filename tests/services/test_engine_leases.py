"""A job is one worker's at a time: leases, take-overs, fencing, cancelling, revoked keys, draining, lost databases."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection
from dataclasses import replace

import pytest

from claude_mem.model.records import Job, JobStatus
from claude_mem.model.times import now_us
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.context import RequestContext
from claude_mem.services.ingest import IngestService
from claude_mem.services.jobs import JobService
from claude_mem.services.keys import KeyService
from claude_mem.services.purging import purge_project
from claude_mem.services.steering import Operator
from claude_mem.storage import jobs
from claude_mem.storage.database import Database, Executor
from claude_mem.worker import expiry, leases
from tests.support.databases import Storage
from tests.support.engines import (
    asked,
    asking,
    ended,
    find,
    history,
    job_for,
    lose_lease,
    make_engine,
    working,
)
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.load import World, make_world, until
from tests.support.postgres import PostgresServer
from tests.support.processes import ProcessGroup

pytestmark = pytest.mark.usefixtures("impatient")

SLOW = Answer(hang=True)
SECOND = "server-beta-worker-2"
HOUR_US = 3_600_000_000

#: A worker process of its own: the engine of the product.
WORKER = """
import asyncio, sys
from dataclasses import replace
from claude_mem.environment import Role
from claude_mem.process.worker import work
from claude_mem.settings import ServerSettings
import os
settings = ServerSettings.from_environ(os.environ, role=Role.WORKER, container=False)
asyncio.run(work(settings))
"""


def worker_environment(storage: Storage, llm: FakeLlm) -> dict[str, str]:
    return storage.environment | {
        "CLAUDE_MEM_SERVER_PROVIDER": "openrouter",
        "OPENROUTER_API_KEY": "k",
        "CLAUDE_MEM_OPENROUTER_BASE_URL": llm.url,
        # Longer than a busy machine keeps the process from its heartbeats.
        "CLAUDE_MEM_JOB_LEASE_SECONDS": "600",
        "CLAUDE_MEM_JOB_RETRY_BASE_SECONDS": "0.05",
        "CLAUDE_MEM_QUEUE_ENGINE": "",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


async def test_a_killed_workers_job_is_finished_by_another(
    storage: Storage,
    database: Database,
    world: World,
    ingest: IngestService,
    llm: FakeLlm,
    processes: ProcessGroup,
) -> None:
    llm.script.append(SLOW)
    name = await job_for(ingest, world, 1)
    process = processes.start(sys.executable, "-c", WORKER, env=worker_environment(storage, llm))
    await asked(llm, 1)
    process.kill()
    held = await find(database, name)
    assert (held.status, held.attempts) == (JobStatus.PROCESSING, 1)
    await lose_lease(database, name)
    async with working(database, asking(llm)):
        job = await ended(database, name)
    assert (job.status, job.attempts, llm.count) == (JobStatus.COMPLETED, 2, 2)
    kinds = [kind for kind, _ in await history(database, name)]
    assert kinds == ["queued", "processing", "retry_scheduled", "processing", "completed"]


async def test_a_worker_that_is_told_to_stop_hands_its_job_back(
    storage: Storage,
    database: Database,
    world: World,
    ingest: IngestService,
    llm: FakeLlm,
    processes: ProcessGroup,
) -> None:
    """SIGTERM: what is under way is finished; nothing new is begun."""
    llm.script.append(Answer(delay_s=1))
    name = await job_for(ingest, world, 1)
    process = processes.start(sys.executable, "-c", WORKER, env=worker_environment(storage, llm))
    await asked(llm, 1)
    stopped = asyncio.create_task(asyncio.to_thread(process.terminate))
    assert await stopped == 0
    job = await find(database, name)
    assert (job.status, job.attempts, llm.count) == (JobStatus.COMPLETED, 1, 1)


async def test_draining_past_its_time_spends_no_attempt(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    llm.script.append(SLOW)
    name = await job_for(ingest, world, 1)
    async with working(database, asking(llm), grace_s=0.1):
        await asked(llm, 1)
    job = await find(database, name)
    assert (job.status, job.attempts, job.locked_by) == (JobStatus.QUEUED, 0, None)
    async with working(database, asking(llm)):
        assert (await ended(database, name)).attempts == 1


async def test_a_late_answer_of_a_lost_claim_writes_nothing(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    """The first worker keeps no heartbeat, loses its job, and answers after the second is done."""
    answers = asyncio.Event()
    llm.script.append(Answer(waits_for=answers, text=reply("late")))
    llm.script.append(Answer(text=reply("in time")))
    name = await job_for(ingest, world, 1)
    provider = asking(llm)
    first = make_engine(database, provider, heartbeat_s=600, grace_s=60)
    running = asyncio.create_task(first.run())
    await asked(llm, 1)
    first.stop()
    await lose_lease(database, name)
    async with working(await storage.open(), asking(llm), worker=SECOND):
        job = await ended(database, name)
    answers.set()
    await running
    await provider.close()
    assert (job.status, job.attempts, llm.count) == (JobStatus.COMPLETED, 2, 2)
    assert await find(database, name) == job
    contents = await storage.query("select content from observations")
    assert [content for (content,) in contents] == ["in time"]
    assert await storage.query("select count(*) from usage_events where kind = 'tokens'") == [(1,)]


def reply(title: str) -> str:
    return f"<observation><type>change</type><title>{title}</title></observation>"


async def test_a_heartbeat_keeps_a_long_call(
    storage: Storage,
    database: Database,
    world: World,
    ingest: IngestService,
    llm: FakeLlm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock that the test sets on by half a lease at a time, so that no busy machine misses a heartbeat."""
    lease_s = 600
    ahead_us = 0
    kept, looked = set[int](), set[int]()
    heartbeat, release_expired = jobs.heartbeat, expiry.release_expired

    async def keep(executor: Executor, claims: Collection[jobs.Claim], **terms: int) -> set[str]:
        at_us = ahead_us
        held = await heartbeat(executor, claims, **terms)
        if held:
            kept.add(at_us)
        return held

    async def look(executor: Executor) -> list[Job]:
        at_us = ahead_us
        released = await release_expired(executor)
        looked.add(at_us)
        return released

    async def went_by() -> bool:
        return ahead_us in kept and ahead_us in looked

    for module in (leases, expiry):
        monkeypatch.setattr(module, "now_us", lambda: now_us() + ahead_us)
    monkeypatch.setattr(jobs, "heartbeat", keep)
    monkeypatch.setattr(expiry, "release_expired", look)
    answers = asyncio.Event()
    llm.script.append(Answer(waits_for=answers))
    name = await job_for(ingest, world, 1)
    async with working(database, asking(llm), lease_s=lease_s):
        await asked(llm, 1)
        async with working(await storage.open(), asking(llm), worker=SECOND):
            for halves in range(1, 4):
                ahead_us = halves * lease_s * 1_000_000 // 2
                await until(went_by, what="a heartbeat and a look for lost leases")
            answers.set()
            job = await ended(database, name)
    assert (job.status, job.attempts, llm.count) == (JobStatus.COMPLETED, 1, 1)


async def test_cancelling_a_job_breaks_its_call_off(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    llm.script.append(SLOW)
    name = await job_for(ingest, world, 1)
    async with working(database, asking(llm)) as engine:
        await asked(llm, 1)
        service = JobService(database, DisabledQueue())
        cancelled = await service.cancel(await find(database, name), Operator("operator", world.caller))
        assert cancelled.job.status is JobStatus.CANCELLED

        async def free() -> bool:
            return not engine._leases.claims

        await until(free, what="the call to be broken off")
    assert (await find(database, name)).status is JobStatus.CANCELLED
    assert llm.count == 1


async def test_a_revoked_key_stops_what_its_lineage_asked_for_and_a_replaced_one_does_not(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    keys = KeyService(database)
    made = {}
    for name in ("revoked", "rotated", "replaced", "kept", "early", "ancestor"):
        made[name] = await keys.create(world.caller, name=name, scopes=["*"], expires_in_days=None)
    callers = {
        name: RequestContext(replace(world.caller.principal, key_id=key.key.id), request_id=name)
        for name, key in made.items()
    }
    names = {}
    for n, (name, caller) in enumerate(callers.items()):
        stored = await ingest.ingest(caller, world.event(n), generate=True, source="test")
        assert stored.job is not None
        names[name] = stored.job.id
    await keys.revoke(world.caller, made["revoked"].key.id)
    await keys.rotate(world.caller, made["rotated"].key.id, overlap_s=0)
    await keys.rotate(world.caller, made["replaced"].key.id, overlap_s=1)
    await keys.rotate(world.caller, made["early"].key.id, overlap_s=600)
    await keys.revoke(world.caller, made["early"].key.id)
    second = await keys.rotate(world.caller, made["ancestor"].key.id, overlap_s=0)
    third = await keys.rotate(world.caller, second.key.id, overlap_s=0)
    await keys.revoke(world.caller, third.key.id)
    async with working(database, asking(llm)) as engine:
        done = {name: await ended(database, job) for name, job in names.items()}
        stopped = {name: done.pop(name) for name in ("revoked", "early", "ancestor")}
        for name, job in stopped.items():
            assert job.status is JobStatus.FAILED, name
            assert job.last_error is not None
            assert job.last_error.members["classification"] == "revoked_key"
        assert {job.status for job in done.values()} == {JobStatus.COMPLETED}
        assert llm.count == 3
        service = JobService(database, DisabledQueue())
        refused = stopped["revoked"]
        await service.retry(refused, Operator("operator", callers["revoked"]))
        assert (await ended(database, refused.id)).status is JobStatus.FAILED
        await service.retry(refused, Operator("operator", callers["kept"]))
        engine.wake()
        assert (await ended(database, refused.id)).status is JobStatus.COMPLETED, "somebody vouched for it"


async def test_generation_and_purges_meet_no_deadlock(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    purging = await storage.open()
    async with working(database, asking(llm)) as engine:
        for round_ in range(8):
            await ingest.ingest_batch(
                world.caller, [world.event(round_ * 10 + n) for n in range(10)], generate=True
            )
            engine.wake()
            await asked(llm, round_ * 3)
            await purge_project(purging, world.caller, world.project_id)
        await purge_project(purging, world.caller, world.project_id)
    await purge_project(purging, world.caller, world.project_id)
    for table in ("observations", "observation_sources", "observation_generation_jobs", "agent_events"):
        assert await storage.query(f"select count(*) from {table}") == [(0,)]
    if storage.name == "postgres":
        deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
        assert await storage.query(deadlocks) == [(0,)]


async def test_an_answer_outlives_a_database_that_dies(
    llm: FakeLlm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits to be stored for longer than the lease of its job, which nobody takes away while nobody could keep it."""
    from claude_mem.storage import opening  # noqa: PLC0415 - this database is the test's alone
    from tests.support.databases import postgres_settings  # noqa: PLC0415

    async def is_away_for_all() -> bool:
        said = {"an answer waits for the database", "leases were not extended"}
        return said | {"expired leases were not looked for"} <= set(caplog.messages)

    with PostgresServer() as server:
        storage = Storage("postgres", postgres_settings(server.create_database()))
        await opening.migrate(storage.settings)
        database = await storage.open()
        world = await make_world(database)
        ingest = IngestService(database, DisabledQueue())
        answers = asyncio.Event()
        llm.script.append(Answer(waits_for=answers))
        name = await job_for(ingest, world, 1)
        async with working(database, asking(llm)):
            await asked(llm, 1)
            await asyncio.to_thread(server.crash)
            answers.set()
            await until(is_away_for_all, what="everybody to miss the database")
            for module in (leases, expiry):
                monkeypatch.setattr(module, "now_us", lambda: now_us() + HOUR_US)
            # As in production the holder has several turns before anybody looks for lost leases.
            monkeypatch.setattr(expiry, "SWEEP_S", 60.0)
            await asyncio.to_thread(server.start)
            job = await ended(database, name)
        assert (job.status, job.attempts, llm.count) == (JobStatus.COMPLETED, 1, 1)
        await ingest.close()
        await storage.close()
