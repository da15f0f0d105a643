"""What a user asks for in a session: stored each time, never a call of its own, and told in order to who sums up."""

from __future__ import annotations

import pytest

from claude_mem.client import hook_events
from claude_mem.model.records import JobStatus
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.ingest import IngestService
from claude_mem.services.publishing import PROMPT_WAIT_US, JobTerms
from claude_mem.services.sessions import SessionInput, SessionService
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.engines import asking, ended, find, job_for, working
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.load import SOURCE, World

pytestmark = pytest.mark.usefixtures("impatient")

TERMS = JobTerms(session_window_us=1_000_000, summary_refresh_us=0)
SECRET = "the salaries of the team"
ASKED = [
    "Please find out why the payment test fails",
    f"Keep the jitter wide. <private>Mind {SECRET}.</private>",
    "Now write down the decision in an ADR",
]
OBSERVATION = "<observation><type>change</type><title>Seen</title></observation>"
SUMMARY = "<summary><request>Mend the test</request></summary>"


@pytest.fixture
def job_terms() -> JobTerms:
    return TERMS


@pytest.fixture
def sessions(database: Database) -> SessionService:
    return SessionService(database, DisabledQueue(), terms=TERMS)


async def say(sessions: SessionService, ingest: IngestService, world: World, number: int, said: str) -> str:
    """What the hooks send of a prompt; the job's id."""
    received = SessionInput(world.project_id, content_session_id="talk", metadata={"prompt": said})
    session = (await sessions.start(world.caller, received)).session.id
    payload = hook_events.prompt_payload(said)
    return await job_for(
        ingest, world, number, event_type="user_prompt", payload=payload, server_session_id=session
    )


async def test_prompts_share_the_calls_of_what_is_done_about_them(
    storage: Storage,
    database: Database,
    world: World,
    ingest: IngestService,
    sessions: SessionService,
    llm: FakeLlm,
) -> None:
    jobs = [await say(sessions, ingest, world, 0, ASKED[0])]
    session = (await find(database, jobs[0])).server_session_id
    assert session is not None
    async with working(database, asking(llm)) as engine:
        for number in range(3):
            if number:
                jobs.append(await say(sessions, ingest, world, 10 * number, ASKED[number]))
            llm.script.append(Answer(text=OBSERVATION))
            jobs.append(await job_for(ingest, world, 10 * number + 1, server_session_id=session))
            engine.wake()
            await ended(database, jobs[-1])
        assert {(await ended(database, job)).status for job in jobs} == {JobStatus.COMPLETED}
        assert llm.count == 3, "a call for each thing that was done, and none for what was asked"
        llm.script.append(Answer(text=SUMMARY))
        done = await sessions.end(world.caller, session, source=SOURCE, source_adapter="server")
        engine.wake()
        assert (await ended(database, done.job.id)).status is JobStatus.COMPLETED
    summary = llm.requests[-1].user
    told = [ASKED[0], "Keep the jitter wide.", ASKED[2]]
    places = [summary.index(words) for words in told]
    assert places == sorted(places)
    assert [summary.count(words) for words in told] == [1, 1, 1], "nothing is told twice"
    assert SECRET not in "".join(request.system + request.user for request in llm.requests)
    stored = await storage.query("select payload from agent_events where event_type = 'user_prompt'")
    assert len(stored) == 3
    assert SECRET not in str(stored)
    assert SECRET not in str(await storage.query("select metadata from server_sessions"))


async def test_a_prompt_waits_for_what_is_done_about_it_and_a_session_that_ends_does_not(
    database: Database, world: World, ingest: IngestService, sessions: SessionService
) -> None:
    asked = await find(database, await say(sessions, ingest, world, 0, ASKED[0]))
    done = await find(database, await job_for(ingest, world, 1, server_session_id=asked.server_session_id))
    for job, wait_us in ((asked, PROMPT_WAIT_US), (done, TERMS.session_window_us)):
        assert job.next_attempt_ms is not None
        assert job.next_attempt_ms - job.created_ms == wait_us // 1000
    assert asked.server_session_id is not None
    await sessions.end(world.caller, asked.server_session_id, source=SOURCE, source_adapter="server")
    assert (await find(database, asked.id)).next_attempt_ms is None


async def test_a_prompt_that_somebody_waits_for_or_of_no_session_does_not_wait(
    database: Database, world: World, ingest: IngestService, sessions: SessionService
) -> None:
    alone = await job_for(ingest, world, 1, event_type="user_prompt", payload={"prompt": ASKED[0]})
    assert (await find(database, alone)).next_attempt_ms is None
    asked = await find(database, await say(sessions, ingest, world, 2, ASKED[0]))
    event = world.event(
        3, event_type="user_prompt", payload={"prompt": "x"}, server_session_id=asked.server_session_id
    )
    stored = await ingest.ingest(world.caller, event, generate=True, source=SOURCE, urgent=True)
    assert stored.job is not None
    assert stored.job.next_attempt_ms is None


async def test_a_prompt_that_is_all_private_asks_nobody(
    database: Database, world: World, ingest: IngestService, sessions: SessionService, llm: FakeLlm
) -> None:
    job = await say(sessions, ingest, world, 0, f"<private>{SECRET}</private>")
    asked = await find(database, job)
    assert asked.server_session_id is not None
    async with working(database, asking(llm)):
        llm.script.append(Answer(text=SUMMARY))
        done = await sessions.end(
            world.caller, asked.server_session_id, source=SOURCE, source_adapter="server"
        )
        assert (await ended(database, job)).status is JobStatus.COMPLETED
        await ended(database, done.job.id)
    assert SECRET not in "".join(request.system + request.user for request in llm.requests)
    assert llm.count <= 1, "the summary at most"
