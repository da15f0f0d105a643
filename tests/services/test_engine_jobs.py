"""The engine works jobs off: what one leaves, when it is tried again, when it is given up, and when nobody is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from claude_mem.generation.providers import build_provider
from claude_mem.model.records import Job, JobStatus
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.ingest import IngestService
from claude_mem.services.jobs import JobService
from claude_mem.services.memories import MemoryService
from claude_mem.services.sessions import SessionInput, SessionService
from claude_mem.services.signals import JobWaiter
from claude_mem.services.steering import Operator
from claude_mem.storage import jobs
from claude_mem.storage.database import Database
from claude_mem.worker import engine as engine_module
from tests.support.databases import Storage
from tests.support.engines import RETRY_BASE_S, actions, asking, ended, find, history, job_for, working
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.load import World, until

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.mark.parametrize("offline", [True, False], ids=["offline", "openrouter"])
async def test_a_job_leaves_observation_source_usage_audit_and_history(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm, offline: bool
) -> None:
    provider = build_provider(name="offline") if offline else asking(llm)
    payload = {"tool_name": "Bash", "tool_input": {"command": "make test"}, "tool_response": "3 failed"}
    async with working(database, provider):
        job = await ended(database, await job_for(ingest, world, 1, payload=payload))
    assert (job.status, job.attempts, job.locked_by, job.last_error) == (JobStatus.COMPLETED, 1, None, None)
    assert job.agent_event_id is not None
    found = await MemoryService(database).of_event(world.caller, job.agent_event_id)
    assert found
    for memory, source in found:
        assert memory.created_by_job_id == source.generation_job_id == job.id
        assert memory.metadata.members["provider"] == provider.name
        assert memory.content
    assert await history(database, job.id) == [("queued", 0), ("processing", 1), ("completed", 1)]
    told = await actions(storage)
    for action in ("event.received", "generation_job.processing", "generation_job.completed"):
        assert told.count(action) == 1
    assert told.count("observation.created") == len(found)
    usage = dict(await storage.query("select kind, quantity from usage_events"))
    assert usage.pop("observation") == len(found)
    assert set(usage) == (set() if offline else {"tokens"})
    assert llm.count == (0 if offline else 1)


async def test_many_jobs_are_each_worked_off_once_by_two_engines(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    other = await storage.open()
    names = [await job_for(ingest, world, n) for n in range(40)]
    async with working(database, asking(llm)), working(other, asking(llm), worker="server-beta-worker-2"):
        done = [await ended(database, name) for name in names]
    assert {job.status for job in done} == {JobStatus.COMPLETED}
    assert llm.count == len(names)
    assert await storage.query("select count(*) from observations") == [(len(names),)]


async def test_an_engine_is_woken_by_its_own_process_also_without_a_transport(
    database: Database, world: World, llm: FakeLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "POLL_S", 60)
    async with working(database, asking(llm)) as engine:
        ingest = IngestService(database, DisabledQueue(engine.wake))
        for number in range(2):
            assert (await ended(database, await job_for(ingest, world, number))).status is JobStatus.COMPLETED
        await ingest.close()


async def test_transient_errors_are_retried_with_growing_pauses(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    llm.script.extend([Answer(status=503), Answer(reset=True)])
    async with working(database, asking(llm)):
        job = await ended(database, await job_for(ingest, world, 1))
    assert (job.status, job.attempts, llm.count) == (JobStatus.COMPLETED, 3, 3)
    lines = [line for line in await jobs.history(database, job.id) if line.event_type == "retry_scheduled"]
    pauses = [line.details.members["nextAttemptAtEpoch"] - line.created_ms for line in lines]
    assert pauses[0] < 1000 * RETRY_BASE_S + 2
    assert 2000 * RETRY_BASE_S - 2 <= pauses[1] <= 2000 * RETRY_BASE_S + 2


async def test_what_the_provider_asks_to_wait_wins(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    # Longer than a busy machine takes to look.
    llm.script.append(Answer(status=429, headers={"retry-after": "600"}))
    async with working(database, asking(llm)):
        name = await job_for(ingest, world, 1)

        async def delayed() -> Job | None:
            job = await find(database, name)
            return job if job.next_attempt_ms else None

        job = await until(delayed, what="the retry")
    assert job is not None
    assert job.last_error is not None
    assert job.last_error.members["classification"] == "rate_limit"
    assert 599_900 <= (job.next_attempt_ms or 0) - job.updated_ms <= 600_000
    assert (job.status, job.attempts, llm.count) == (JobStatus.QUEUED, 1, 1)


@pytest.mark.parametrize(
    ("answer", "classification"),
    [
        (Answer(status=401), "auth_invalid"),
        (Answer(status=402), "quota_exhausted"),
        (Answer(status=400), "unrecoverable"),
        (Answer(text="Sure!"), "parse_error"),
    ],
)
async def test_final_errors_end_a_job_at_once(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm, answer: Answer, classification: str
) -> None:
    llm.respond = lambda _: answer
    async with working(database, asking(llm)):
        job = await ended(database, await job_for(ingest, world, 1))
    assert (job.status, job.attempts, llm.count) == (JobStatus.FAILED, 1, 1)
    assert job.last_error is not None
    assert job.last_error.members["classification"] == classification
    assert await history(database, job.id) == [("queued", 0), ("processing", 1), ("failed", 1)]


async def test_attempts_come_to_an_end_and_an_operator_grants_another(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    llm.respond = lambda _: Answer(status=503)
    service = JobService(database, DisabledQueue())
    async with working(database, asking(llm)) as engine:
        job = await ended(database, await job_for(ingest, world, 1))
        assert (job.status, job.attempts, llm.count) == (JobStatus.FAILED, 3, 3)
        llm.respond = lambda _: Answer()
        retried = await service.retry(job, Operator("operator", world.caller))
        assert (retried.unchanged, retried.retried, retried.job.attempts) == (False, 1, 2)
        engine.wake()
        done = await ended(database, job.id)
    assert (done.status, done.attempts, llm.count) == (JobStatus.COMPLETED, 3, 4)


async def test_an_answer_that_cannot_be_stored_is_not_paid_for_again(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    """A NUL, half a character, a megabyte of words: whatever a model writes, the job ends."""
    texts = ["a\0b", "\ud800", " ".join(f"w{n:x}q" for n in range(150_000))]
    async with working(database, asking(llm)):
        for number, text in enumerate(texts):
            seen = llm.count
            reply = (
                f"<observation><type>change</type><title>T</title><narrative>{text}</narrative></observation>"
            )
            llm.script.append(Answer(text=reply))
            job = await ended(database, await job_for(ingest, world, number))
            assert llm.count == seen + 1
            assert job.status in {JobStatus.COMPLETED, JobStatus.FAILED}


async def test_an_event_with_nothing_left_after_privacy_costs_no_call(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    private = [{"prompt": "<private>all of it</private>"}, "<private>x</private>", {"a": ["<PRIVATE>", None]}]
    async with working(database, asking(llm)):
        for number, payload in enumerate(private):
            job = await ended(database, await job_for(ingest, world, number, payload=payload))
            assert job.status is JobStatus.COMPLETED
    assert llm.count == 0


async def test_a_summary_is_made_of_all_events_and_observations(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    sessions = SessionService(database, DisabledQueue())
    received = SessionInput(
        world.project_id, content_session_id="talk", metadata={"prompt": "Fix the parser"}
    )
    session = (await sessions.start(world.caller, received)).session
    async with working(database, asking(llm)):
        for n in range(3):
            await ended(database, await job_for(ingest, world, n, content_session_id="talk"))
        done = await sessions.end(world.caller, session.id, source="test", source_adapter="server")
        job = await ended(database, done.job.id)
        assert llm.count == 4
        asked = llm.last.user
        assert all(f"naïve {n}" in asked for n in range(3))
        assert asked.count("From job") == 3
        again = await sessions.end(world.caller, session.id, source="test", source_adapter="server")
        assert again.job.id == job.id
        await until(lambda: _idle(database), what="nothing left to do")
    assert llm.count == 4
    summaries = await storage.query("select content from observations where kind = 'summary'")
    assert len(summaries) == 1
    assert (await sessions.get(world.caller, session.id)).generation_status == "completed"


async def test_a_session_without_events_is_not_summed_up(
    database: Database, world: World, llm: FakeLlm
) -> None:
    sessions = SessionService(database, DisabledQueue())
    session = (await sessions.start(world.caller, SessionInput(world.project_id))).session
    done = await sessions.end(world.caller, session.id, source="test", source_adapter="server")
    async with working(database, asking(llm)):
        assert (await ended(database, done.job.id)).status is JobStatus.COMPLETED
    assert llm.count == 0


async def test_who_waits_hears_of_the_end_from_another_process(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    llm.script.append(Answer(delay_s=0.3))
    waiter = JobWaiter(database)
    name = await job_for(ingest, world, 1)
    async with working(await storage.open(), asking(llm)):
        found, timed_out = await waiter.wait([name], timeout_s=60, wanted=lambda: True)
    assert not timed_out
    assert found[name].status is JobStatus.COMPLETED
    absent, timed_out = await waiter.wait(["absent"], timeout_s=10, wanted=lambda: True)
    assert (absent, timed_out) == ({}, False)
    waiting = await job_for(ingest, world, 2)
    for gives_up in ({"timeout_s": 0.05, "wanted": lambda: True}, {"timeout_s": 9, "wanted": lambda: False}):
        found, timed_out = await _wait(waiter.wait, waiting, gives_up)
        assert (timed_out, found[waiting].status) == (True, JobStatus.QUEUED)
    await waiter.close()


async def _wait(
    wait: Callable[..., Awaitable[tuple[dict[str, Job], bool]]], name: str, how: dict[str, Any]
) -> tuple[dict[str, Job], bool]:
    return await wait([name], **how)


async def _idle(database: Database) -> bool:
    counts = await jobs.count_by_status(database, team_id=None, project_id=None)
    return not {"queued", "processing"} & set(counts)
