"""A job that cannot be worked on ends with its reason; the jobs that were taken together with it go on."""

from __future__ import annotations

import pytest

from claude_mem.generation.port import EventInput
from claude_mem.model.records import JobStatus
from claude_mem.services import calls
from claude_mem.services.ingest import IngestService
from claude_mem.services.outcomes import Outcome, taken_of
from claude_mem.services.settling import settle as store
from claude_mem.storage import jobs, work
from claude_mem.storage.database import Database, Executor
from claude_mem.storage.jobs import Claim
from tests.support.databases import Storage
from tests.support.engines import asked, asking, ended, find, history, job_for, working
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.load import World

pytestmark = pytest.mark.usefixtures("impatient")

POISON = "what no planner can read"


def poison(monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """Have planning fail for the poisoned event, so many times."""
    left = times
    compared = calls._said

    def said(event: EventInput) -> bytes | str:
        nonlocal left
        if left and isinstance(event.payload, dict) and event.payload.get("note") == POISON:
            left -= 1
            raise KeyError(POISON)
        return compared(event)

    monkeypatch.setattr(calls, "_said", said)


async def test_an_event_that_cannot_be_planned_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    poison(monkeypatch, times=1_000)
    names = [await job_for(ingest, world, n) for n in range(6)]
    bad = await job_for(ingest, world, 6, payload={"tool_name": "Edit", "note": POISON})
    names += [await job_for(ingest, world, n) for n in range(7, 12)]
    async with working(database, asking(llm), concurrency=16) as engine:
        assert {(await ended(database, name)).status for name in names} == {JobStatus.COMPLETED}
        failed = await ended(database, bad)
        later = await job_for(ingest, world, 12)
        engine.wake()
        assert (await ended(database, later)).status is JobStatus.COMPLETED, "the engine goes on"
    assert (failed.status, failed.attempts) == (JobStatus.FAILED, failed.max_attempts)
    assert failed.last_error is not None
    assert failed.last_error.members == {
        "reason": "unexpected KeyError before any provider was asked",
        "classification": "unknown",
    }
    assert POISON not in failed.last_error.text
    tries = ["processing", "retry_scheduled"] * (failed.max_attempts - 1)
    assert [kind for kind, _ in await history(database, bad)] == ["queued", *tries, "processing", "failed"]
    assert llm.count == len(names) + 1, "nobody was asked about the bad one, and once about each other"


async def test_an_event_that_could_not_be_planned_once_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    poison(monkeypatch, times=1)
    name = await job_for(ingest, world, 1, payload={"tool_name": "Edit", "note": POISON})
    async with working(database, asking(llm)):
        job = await ended(database, name)
    assert (job.status, job.attempts, llm.count) == (JobStatus.COMPLETED, 2, 1)


async def test_an_adopted_event_that_is_nested_too_deeply_to_be_written_again_is_observed(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    """claude-mem 13 bounded no nesting; the parser reads what the serialiser refuses."""
    names = [await job_for(ingest, world, n) for n in range(3)]
    deep = '{"a":' * 600 + '"the end"' + "}" * 600
    event = (await find(database, names[1])).source_id
    cast = "::jsonb" if storage.name == "postgres" else ""
    await storage.query(f"update agent_events set payload = '{deep}'{cast} where id = '{event}'")
    async with working(database, asking(llm)):
        done = [await ended(database, name) for name in names]
    assert [job.status for job in done] == [JobStatus.COMPLETED] * 3


async def test_an_adopted_job_whose_payload_cannot_be_read_is_worked_off_all_the_same(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    names = [await job_for(ingest, world, n) for n in range(3)]
    cast = "::jsonb" if storage.name == "postgres" else ""
    await storage.query(
        "update observation_generation_jobs"
        f" set payload = '{{\"beyond a double\": 1e400}}'{cast} where id = '{names[1]}'"
    )
    async with working(database, asking(llm)):
        done = [await ended(database, name) for name in names]
    assert [job.status for job in done] == [JobStatus.COMPLETED] * 3


async def test_an_answer_that_cannot_be_stored_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    names = [await job_for(ingest, world, n) for n in range(6)]

    async def settle(executor: Executor, outcomes: list[Outcome]) -> list[Outcome]:
        for outcome in outcomes:
            if not hasattr(outcome, "failure") and taken_of(outcome)[0].job.id == names[2]:
                raise LookupError("of the third")
        return await store(executor, outcomes)

    monkeypatch.setattr("claude_mem.services.generating.settle", settle)
    async with working(database, asking(llm), concurrency=16):
        done = {name: await ended(database, name) for name in names}
    bad = done.pop(names[2])
    assert bad.status is JobStatus.FAILED
    assert {job.status for job in done.values()} == {JobStatus.COMPLETED}


async def test_an_engine_that_could_not_take_jobs_takes_them_later(
    monkeypatch: pytest.MonkeyPatch, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    claim = work.claim
    refused = 0

    async def unlucky(*arguments: object, **more: object) -> object:
        nonlocal refused
        if refused < 3:
            refused += 1
            raise LookupError("of a claim")
        return await claim(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "claim", unlucky)
    name = await job_for(ingest, world, 1)
    async with working(database, asking(llm)):
        assert (await ended(database, name)).status is JobStatus.COMPLETED
    assert refused == 3


async def test_a_job_that_is_handed_back_says_so_in_its_history(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    llm.script.append(Answer(delay_s=60))
    name = await job_for(ingest, world, 1)
    async with working(database, asking(llm), grace_s=0.1):
        await asked(llm, 1)
    lines = await jobs.history(database, name)
    assert [(line.event_type, line.status_after, line.attempt) for line in lines] == [
        ("queued", "queued", 0),
        ("processing", "processing", 1),
        ("queued", "queued", 1),
    ]
    assert lines[-1].details.members == {"reason": "worker_stopping"}


async def test_a_job_that_is_no_longer_ours_is_not_said_to_be_handed_back(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    name = await job_for(ingest, world, 1)
    async with working(database, asking(llm)) as engine:
        await ended(database, name)
        before = await history(database, name)
        assert await engine._leases.offer(Claim(name, 1, engine.worker), reason="worker_stopping")
    assert await history(database, name) == before
