"""A claude-mem 13 database goes on under the services: its keys, events, jobs and memories as if they were ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from claude_mem.model import scopes
from claude_mem.model.errors import Forbidden
from claude_mem.model.records import JobStatus
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.authentication import Authenticator
from claude_mem.services.context import RequestContext
from claude_mem.services.ingest import EventInput, IngestService
from claude_mem.services.jobs import JobService
from claude_mem.services.limits import Admission, Limits
from claude_mem.services.memories import MemoryService
from claude_mem.services.questions import Question
from claude_mem.services.recall import RecallService
from claude_mem.services.sessions import SessionInput, SessionService
from claude_mem.services.steering import Operator
from claude_mem.storage import opening
from claude_mem.storage.database import Database
from tests.support.claude_mem_13 import EVENTS, ClaudeMem13, create_claude_mem_13
from tests.support.databases import Storage, postgres_settings
from tests.support.engines import asking, ended, find, working
from tests.support.fake_llm import FakeLlm
from tests.support.load import SOURCE, until

pytestmark = pytest.mark.usefixtures("impatient")


@dataclass(frozen=True, slots=True)
class Adopted:
    """What claude-mem 13 left, and the services' way to it."""

    made: ClaudeMem13
    storage: Storage
    database: Database
    caller: RequestContext


@pytest.fixture(params=[False, True], ids=["late 13", "early 13"])
async def adopted(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[Adopted]:
    made = await create_claude_mem_13(postgres_url, early=request.param)
    storage = Storage("postgres", postgres_settings(postgres_url))
    await opening.migrate(storage.settings)
    database = await storage.open()
    principal = await Authenticator(database).authenticate(made.raw_keys["full"])
    yield Adopted(made, storage, database, RequestContext(principal, request_id="r"))
    await storage.close()


def received(adopted: Adopted, name: str) -> EventInput:
    """The event of this name as the hook sent it to claude-mem 13."""
    index = EVENTS.index(name)
    occurred = adopted.made.now.replace(microsecond=0).timestamp() - 60 * index
    tool_input = {"file_path": f"src/{name}.ts", "n": index}
    return EventInput(
        project_id=adopted.made.project_id,
        adapter="hook",
        event_type="tool_use",
        occurred_ms=round(occurred * 1000),
        payload={"tool_name": "Edit", "tool_input": tool_input, "note": "é"},
        platform="claude",
        any_platform=False,
        content_session_id="sess-open",
    )


async def test_old_keys_say_who_they_are(adopted: Adopted) -> None:
    authenticator = Authenticator(adopted.database)
    made = adopted.made
    expected = {
        "full": {"memories:read", "memories:write"},
        "hook": {"events:write", "sessions:write", "observations:read", "jobs:read"},
        "mixed_scopes": {"memories:read"},
        "object_scopes": set(),
        "text_scopes": set(),
        "teamless": {"*"},
    }
    for name, held in expected.items():
        principal = await authenticator.authenticate(made.raw_keys[name])
        assert principal.scopes == held
        assert principal.key_id == made.key_ids[name]
        assert principal.team_id == (None if name == "teamless" else made.team_id)
    hook = await authenticator.authenticate(made.raw_keys["hook"])
    assert scopes.allows(hook.scopes, scopes.READ)
    assert scopes.allows(hook.scopes, scopes.WRITE)
    for name in ("revoked", "expired"):
        with pytest.raises(Forbidden):
            await authenticator.authenticate(made.raw_keys[name])
    await authenticator.write_last_used()
    assert await adopted.storage.query("select count(*) from api_keys where last_used_at is not null") == [
        (len(expected),)
    ]


async def test_scopes_nested_beyond_reason_keep_nobody_else_out(adopted: Adopted) -> None:
    connection = await asyncpg.connect(adopted.storage.url)
    deep = "[" * 3000 + "]" * 3000
    await connection.execute(
        "update api_keys set scopes = $1::jsonb where id = $2", deep, adopted.made.key_ids["read"]
    )
    await connection.close()
    authenticator = Authenticator(adopted.database)
    assert (await authenticator.authenticate(adopted.made.raw_keys["read"])).scopes == frozenset()
    assert (await authenticator.authenticate(adopted.made.raw_keys["full"])).scopes


async def test_what_was_sent_before_is_a_duplicate_now(adopted: Adopted) -> None:
    ingest = IngestService(adopted.database, DisabledQueue())
    before = await adopted.storage.query("select count(*) from agent_events")
    for name in EVENTS:
        if name == "no_job":
            continue
        again = await ingest.ingest(adopted.caller, received(adopted, name), generate=True, source=SOURCE)
        assert again.event.id == adopted.made.event_ids[name]
        assert again.duplicate
        assert again.job is not None
        assert again.job.id == adopted.made.job_ids[name]
    late = await ingest.ingest(adopted.caller, received(adopted, "no_job"), generate=True, source=SOURCE)
    assert late.duplicate
    assert late.job is not None
    assert late.job.status is JobStatus.QUEUED
    assert await adopted.storage.query("select count(*) from agent_events") == before
    await ingest.close()


async def test_old_sessions_are_found_and_linked(adopted: Adopted) -> None:
    sessions = SessionService(adopted.database, DisabledQueue())
    project = adopted.made.project_id
    for name, platform in (("open", "claude"), ("ended", "cursor"), ("bare", None)):
        wanted = SessionInput(project, external_session_id=f"sess-{name}", platform=platform)
        started = await sessions.start(adopted.caller, wanted)
        assert (started.found, started.session.id) == (True, adopted.made.session_ids[name])
    ingest = IngestService(adopted.database, DisabledQueue())
    event = EventInput(project, "hook", "note", 1, {}, content_session_id="sess-open")
    stored = await ingest.ingest(adopted.caller, event, generate=False, source=SOURCE)
    assert stored.event.server_session_id == adopted.made.session_ids["open"]
    await ingest.close()


async def test_old_jobs_are_worked_off_and_a_fresh_lock_is_left_alone(adopted: Adopted, llm: FakeLlm) -> None:
    made = adopted.made
    connection = await asyncpg.connect(adopted.storage.url)
    # As a duplicate leaves it in claude-mem 13 (D2), and due at once.
    corrupt = json.dumps({"generation_job_id": "of-no-row", "request_id": "later"})
    await connection.execute(
        "update observation_generation_jobs set payload = payload || $1::jsonb, next_attempt_at = now()"
        " where id = $2",
        corrupt,
        made.job_ids["retrying"],
    )
    # Its lock is only getting old: freed at once it might still share the others' call.
    locked_at = await connection.fetchval(
        "update observation_generation_jobs as j set locked_at = now() from observation_generation_jobs as before"
        " where j.id = $1 and before.id = j.id returning before.locked_at",
        made.job_ids["stale"],
    )
    async with working(adopted.database, asking(llm)):
        for name in ("queued", "retrying", "summary"):
            job = await ended(adopted.database, made.job_ids[name])
            assert job.status is JobStatus.COMPLETED, name
        assert llm.count == 1, "events of one session share a call, and a summary without events asks nobody"
        await connection.execute(
            "update observation_generation_jobs set locked_at = $1 where id = $2",
            locked_at,
            made.job_ids["stale"],
        )
        await connection.close()
        assert (await ended(adopted.database, made.job_ids["stale"])).status is JobStatus.COMPLETED
        stale = await find(adopted.database, made.job_ids["stale"])
        assert stale.attempts == 2
        fresh = await find(adopted.database, made.job_ids["processing"])
        assert (fresh.status, fresh.locked_by, fresh.attempts) == (JobStatus.PROCESSING, "server-41", 1)
        assert llm.count == 2
        found = await MemoryService(adopted.database).of_event(adopted.caller, made.event_ids["retrying"])
        assert len(found) == 1


async def test_a_corrupted_job_that_failed_is_tried_again(adopted: Adopted, llm: FakeLlm) -> None:
    service = JobService(adopted.database, DisabledQueue())
    failed = await find(adopted.database, adopted.made.job_ids["failed"])
    retried = await service.retry(failed, Operator("operator", adopted.caller))
    assert retried.job.payload.members["generation_job_id"] == failed.id
    async with working(adopted.database, asking(llm)):
        assert (await ended(adopted.database, failed.id)).status is JobStatus.COMPLETED


async def test_old_memories_are_found(adopted: Adopted) -> None:
    recall = RecallService(adopted.database)

    async def search(text: str) -> list[str]:
        page = await recall.find(adopted.caller, Question(adopted.made.project_id, text, 5))
        return [hit.observation.id for hit in page.hits]

    generated, manual = (adopted.made.observation_ids[name] for name in ("generated", "manual"))
    assert await search("parser") == await search("QUEUE_ENGINE") == [generated]
    assert await search("deploying") == [manual]
    assert set(await search("parser deploy")) == {generated, manual}
    memory = await MemoryService(adopted.database).get(adopted.caller, manual)
    assert memory.metadata.value == {"tags": ["ops"]}
    of_event = await MemoryService(adopted.database).of_event(
        adopted.caller, adopted.made.event_ids["completed"]
    )
    assert [memory.id for memory, _ in of_event] == [generated]


@pytest.mark.usefixtures("within_a_day")
async def test_old_usage_counts_towards_caps(adopted: Adopted) -> None:
    used = adopted.made.usage.get((adopted.made.team_id, adopted.made.month, "request"), 0)
    admission = Admission(adopted.database, Limits(monthly_requests=used + 2))

    async def admitted() -> bool:
        await admission.admit(adopted.caller.principal, writes=True, method="GET", path="/")
        return True

    await until(admitted, what="the first")
    await admitted()
    with pytest.raises(Exception, match="quota"):
        await admitted()
