"""Calls that events of a session share, answers that were paid for before, and budgets that are spent."""

from __future__ import annotations

import orjson
import pytest

from claude_mem.model.records import JobStatus
from claude_mem.model.times import now_us
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.failures import Failure
from claude_mem.services.ingest import IngestService
from claude_mem.services.publishing import JobTerms
from claude_mem.services.sessions import SessionInput, SessionService
from claude_mem.storage import jobs, usage, work
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.engines import asking, ended, find, job_for, working
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.load import SOURCE, World, until

pytestmark = pytest.mark.usefixtures("impatient")

#: Events wait longer than any test takes, unless their session ends.
WAITING = JobTerms(session_window_us=3_600_000_000, summary_refresh_us=0)

ATTRIBUTED = """
<observation><type>bugfix</type><title>Of the first</title><source_events>1</source_events></observation>
<observation><type>change</type><title>Of the others</title><source_events>2, 3</source_events></observation>
"""
SUMMARY = "<summary><request>Fix it</request><completed>{}</completed></summary>"


@pytest.fixture
def job_terms() -> JobTerms:
    return WAITING


@pytest.fixture
def sessions(database: Database) -> SessionService:
    return SessionService(database, DisabledQueue(), terms=WAITING)


async def begin(sessions: SessionService, world: World) -> str:
    received = SessionInput(world.project_id, content_session_id="talk")
    return (await sessions.start(world.caller, received)).session.id


async def test_events_of_a_session_share_a_call_and_keep_their_own_sources(
    storage: Storage,
    database: Database,
    world: World,
    ingest: IngestService,
    sessions: SessionService,
    llm: FakeLlm,
) -> None:
    session = await begin(sessions, world)
    names = [await job_for(ingest, world, n, content_session_id="talk") for n in range(3)]
    llm.script.extend([Answer(text=ATTRIBUTED), Answer(text=SUMMARY.format("all"))])
    async with working(database, asking(llm)):
        done = await sessions.end(world.caller, session, source="test", source_adapter="server")
        finished = [await ended(database, name) for name in names]
        await ended(database, done.job.id)
    assert [job.status for job in finished] == [JobStatus.COMPLETED] * 3
    assert llm.count == 2, "one call for the events and one for the summary"
    rows = await storage.query(
        "select s.generation_job_id, o.content from observation_sources s join observations o"
        " on o.id = s.observation_id where s.source_type = 'agent_event'"
    )
    assert sorted((names.index(row[0]), row[1]) for row in rows) == [
        (0, "Of the first"),
        (1, "Of the others"),
        (2, "Of the others"),
    ]


async def test_identical_events_are_sent_once(
    database: Database, world: World, ingest: IngestService, sessions: SessionService, llm: FakeLlm
) -> None:
    session = await begin(sessions, world)
    payload = {"tool_name": "Deploy", "output": "the very same words"}
    names = [
        await job_for(ingest, world, n, content_session_id="talk", payload=payload, source_event_id=f"e{n}")
        for n in range(2)
    ]
    async with working(database, asking(llm)):
        await sessions.end(world.caller, session, source="test", source_adapter="server")
        for name in names:
            assert (await ended(database, name)).status is JobStatus.COMPLETED
        first = llm.requests[0].user
    assert first.count("the very same words") == 1


async def test_who_waits_is_not_held_back_and_events_without_a_session_are_not_shared(
    database: Database, world: World, ingest: IngestService, sessions: SessionService, llm: FakeLlm
) -> None:
    await begin(sessions, world)
    held_back = await job_for(ingest, world, 1, content_session_id="talk")
    alone = [await job_for(ingest, world, n) for n in (2, 3)]
    async with working(database, asking(llm)):
        for name in alone:
            await ended(database, name)
        assert llm.count == 2
        assert (await find(database, held_back)).status is JobStatus.QUEUED
        urgent = await ingest.ingest(
            world.caller, world.event(1, content_session_id="talk"), generate=True, source=SOURCE, urgent=True
        )
        assert urgent.duplicate
        assert urgent.job is not None
        assert urgent.job.id == held_back
        await ended(database, held_back)


async def test_an_answer_that_was_paid_for_is_used_and_not_asked_for_again(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    name = await job_for(ingest, world, 1)
    job = await find(database, name)
    kept = {
        "text": "<observation><type>change</type><title>Paid for</title></observation>",
        "provider": "openrouter",
        "model": "m",
        "usage": [90, 10, 100],
        "jobsOf": {job.source_id: [name]},
    }
    reply = work.KeptReply(name, "call-1", orjson.dumps(kept).decode())
    await work.keep_replies(database, [reply], now_us=now_us())
    async with working(database, asking(llm)):
        assert (await ended(database, name)).status is JobStatus.COMPLETED
    assert llm.count == 0
    assert await storage.query("select content from observations") == [("Paid for",)]
    assert await storage.query("select quantity from usage_events where kind = 'tokens'") == [(100,)]
    assert await work.kept_replies(database, [name]) == {}


@pytest.mark.usefixtures("within_a_day")
async def test_jobs_wait_while_the_budget_is_spent(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    spent = usage.UsageRow(world.team_id, world.project_id, "tokens", 1000, now_us(), {"model": "m"})
    await usage.append(database, [spent])
    name = await job_for(ingest, world, 1)

    async def put_off() -> bool:
        return (await find(database, name)).last_error is not None

    async with working(database, asking(llm), daily_tokens=1000):
        await until(put_off, what="the job to be put off")
    job = await find(database, name)
    assert job.last_error is not None
    assert job.last_error.members["classification"] == "budget_exhausted"
    assert (job.status, job.attempts, llm.count) == (JobStatus.QUEUED, 0, 0)
    assert job.next_attempt_ms is not None
    assert job.next_attempt_ms * 1000 > now_us()


async def test_a_session_that_goes_on_is_summed_up_anew(
    storage: Storage,
    database: Database,
    world: World,
    ingest: IngestService,
    sessions: SessionService,
    llm: FakeLlm,
) -> None:
    session = await begin(sessions, world)
    llm.script.extend([Answer(), Answer(text=SUMMARY.format("one turn"))])
    async with working(database, asking(llm)):
        await job_for(ingest, world, 1, content_session_id="talk")
        first = await sessions.end(world.caller, session, source="test", source_adapter="server")
        await ended(database, first.job.id)
        llm.script.extend([Answer(), Answer(text=SUMMARY.format("both turns"))])
        await job_for(ingest, world, 2, content_session_id="talk")
        again = await sessions.end(world.caller, session, source="test", source_adapter="server")
        assert (again.job.id, again.job.status) == (first.job.id, JobStatus.QUEUED)
        await ended(database, first.job.id)
        last = await sessions.end(world.caller, session, source="test", source_adapter="server")
        assert last.job.status is JobStatus.COMPLETED, "nothing has happened since"
    told = [line for line in await jobs.history(database, first.job.id) if line.event_type == "queued"]
    assert [line.details.members.get("reason") for line in told] == [None, "session_continued"]
    assert llm.count == 4
    summaries = await storage.query("select content from observations where kind = 'summary'")
    assert [row[0].rpartition(": ")[2] for row in summaries] == ["both turns"]


async def test_a_summary_that_waits_for_a_budget_is_not_called_back_earlier(
    database: Database, world: World, ingest: IngestService, sessions: SessionService, llm: FakeLlm
) -> None:
    session = await begin(sessions, world)
    async with working(database, asking(llm)):
        await job_for(ingest, world, 1, content_session_id="talk")
        first = await sessions.end(world.caller, session, source="test", source_adapter="server")
        await ended(database, first.job.id)
    await job_for(ingest, world, 2, content_session_id="talk")
    await sessions.end(world.caller, session, source="test", source_adapter="server")
    terms = work.ClaimTerms(worker="test", lease_us=60_000_000, mates=1, patience_us=-60_000_000)
    assert len(await work.claim(database, terms, limit=9, now_us=now_us())) == 2
    tomorrow = now_us() + 86_400_000_000
    waits = Failure("budget_exhausted", "the token budget is spent").document
    back = work.Setback(first.job.id, "queued", waits, next_attempt_us=tomorrow, refund=1)
    await work.set_back(database, [back], now_us=now_us())
    again = await sessions.end(world.caller, session, source="test", source_adapter="server")
    assert (again.job.status, again.job.next_attempt_ms) == (JobStatus.QUEUED, tomorrow // 1000)
