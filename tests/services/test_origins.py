"""What led to a memory: from the engine's own rows, and over HTTP within the caller's scope."""

from __future__ import annotations

from decimal import Decimal

import pytest

from claude_mem.generation.prices import Price, PriceList
from claude_mem.model.errors import NotFound
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.ingest import IngestService
from claude_mem.services.origins import OriginService
from claude_mem.services.publishing import JobTerms
from claude_mem.services.sessions import SessionInput, SessionService
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.engines import asking, ended, job_for, working
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.http import Server, Tenant
from tests.support.load import World

TERMS = JobTerms(session_window_us=60_000_000, summary_refresh_us=0)

SHARED = """
<observation><type>bugfix</type><title>Of the first</title><source_events>1</source_events></observation>
<observation><type>change</type><title>Of the others</title><source_events>2, 3</source_events></observation>
"""
SUMMARY = "<summary><request>Fix it</request><completed>all</completed></summary>"


@pytest.fixture
def job_terms() -> JobTerms:
    return TERMS


@pytest.mark.usefixtures("impatient")
async def test_a_memory_names_its_events_jobs_call_and_summary(
    storage: Storage, database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    sessions = SessionService(database, DisabledQueue(), terms=TERMS)
    received = SessionInput(world.project_id, content_session_id="talk")
    session = (await sessions.start(world.caller, received)).session.id
    jobs = [await job_for(ingest, world, n, content_session_id="talk") for n in range(3)]
    llm.script.extend([Answer(text=SHARED), Answer(text=SUMMARY)])
    async with working(database, asking(llm)):
        done = await sessions.end(world.caller, session, source="test", source_adapter="server")
        for job in [*jobs, done.job.id]:
            await ended(database, job)
    made = dict(await storage.query("select metadata ->> 'title', id from observations"))
    counted = await storage.query(
        "select quantity from usage_events where kind = 'tokens' order by created_at"
    )
    service = OriginService(database, prices=PriceList.load())

    first = await service.of_memory(world.caller, made["Of the first"])
    assert [job.id for job in first.jobs] == jobs[:1]
    others = await service.of_memory(world.caller, made["Of the others"])
    assert [job.id for job in others.jobs] == jobs[1:]
    assert {source.generation_job_id for source in others.sources} == set(jobs[1:])
    assert [event.id for event in others.events] == [job.source_id for job in others.jobs]
    (call,) = others.calls
    assert (call.provider, call.model, call.jobs) == ("openrouter", "m", 3)
    assert call.tokens == counted[0][0] > 0
    assert call.tokens == call.input_tokens + call.output_tokens
    assert call.micro_usd is None, "a model without a price has no cost"
    assert first.calls == [call], "a call that was shared is told of whole"
    (summary,) = others.summaries
    assert summary.type == "summary"

    of_summary = await service.of_memory(world.caller, summary.id)
    assert [job.id for job in of_summary.jobs] == [done.job.id]
    assert [(source.source_type, source.source_id) for source in of_summary.sources] == [
        ("session_summary", session)
    ]
    assert (of_summary.events, of_summary.summaries) == ([], [])
    assert [call.tokens for call in of_summary.calls] == [counted[1][0]]

    priced = OriginService(database, prices=PriceList({"m": Price(Decimal(2), Decimal(4))}))
    (call,) = (await priced.of_memory(world.caller, summary.id)).calls
    assert call.micro_usd == 2 * call.input_tokens + 4 * call.output_tokens
    assert ("observation.read", "origin") in await storage.query(
        "select action, details ->> 'mode' from audit_log"
    )
    with pytest.raises(NotFound):
        await service.of_memory(world.caller, "absent")


def test_what_somebody_wrote_has_no_origin_but_may_be_in_a_summary(api: Server, tenant: Tenant) -> None:
    start = {"projectId": tenant.project, "externalSessionId": "talk"}
    session = api.ok("POST", "/v1/sessions/start", tenant.full, start, status=201)["session"]["id"]

    def remember(kind: str, session: str | None) -> str:
        body = {"projectId": tenant.project, "content": kind, "kind": kind, "serverSessionId": session}
        made = {name: value for name, value in body.items() if value is not None}
        found: str = api.ok("POST", "/v1/memories", tenant.full, made, status=201)["memory"]["id"]
        return found

    remember("summary", session)
    alone, told = remember("note", None), remember("note", session)
    last = remember("summary", session)
    empty: dict[str, list[str]] = {"sources": [], "events": [], "jobs": [], "calls": [], "summaries": []}
    assert api.ok("GET", f"/v1/memories/{alone}/origin", tenant.read) == {"memoryId": alone} | empty
    found = api.ok("GET", f"/v1/memories/{told}/origin", tenant.read)
    assert last in [entry["id"] for entry in found["summaries"]]
    assert api.ok("GET", f"/v1/memories/{last}/origin", tenant.read)["summaries"] == []


def test_an_origin_stays_within_its_team_and_project(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": "ours"}
    memory = api.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]["id"]
    path = f"/v1/memories/{memory}/origin"
    assert api.call("GET", path, tenant.scoped).status_code == 200
    assert api.call("GET", path, tenant.sibling_key).status_code == 403
    assert api.call("GET", path, api.tenant("others").full).status_code == 404
    assert api.call("GET", path, tenant.write).status_code == 403
