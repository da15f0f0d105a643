"""What each route answers: exact members, statuses and the rules between them, as existing clients read them."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.http import Server, Tenant, client_of, event_body, eventually


def names(text: str) -> set[str]:
    return set(text.split())


EVENT = names(
    "id projectId teamId serverSessionId sourceAdapter sourceEventId eventType platformSource payload metadata "
    "occurredAtEpoch receivedAtEpoch createdAtEpoch"
)
SESSION = names(
    "id projectId teamId externalSessionId contentSessionId agentId agentType platformSource generationStatus "
    "metadata startedAtEpoch endedAtEpoch lastGeneratedAtEpoch createdAtEpoch updatedAtEpoch"
)
MEMORY = names("id projectId teamId serverSessionId kind content metadata createdAtEpoch updatedAtEpoch")
JOB_SHORT = names("id status bullmqJobId sourceType sourceId transport createdAtEpoch updatedAtEpoch")
JOB_WAITED = JOB_SHORT | {"attempts", "maxAttempts"}
JOB_FULL = names(
    "id projectId teamId sourceType sourceId agentEventId serverSessionId jobType status bullmqJobId attempts "
    "maxAttempts nextAttemptAtEpoch completedAtEpoch failedAtEpoch cancelledAtEpoch lastError createdAtEpoch "
    "updatedAtEpoch"
)
JOB_LISTED = names(
    "id projectId teamId sourceType sourceId status attempts maxAttempts createdAtEpoch completedAtEpoch "
    "failedAtEpoch lastError"
)
KEY = names(
    "id name prefix teamId projectId actorId scopes status createdAtEpoch expiresAtEpoch revokedAtEpoch "
    "lastUsedAtEpoch replacedBy"
)
NEW_KEY = {"id", "apiKey", "scopes", "expiresAt", "mcpUrl", "connectCommand"}
PROJECT = {"id", "teamId", "name", "metadata", "createdAtEpoch", "updatedAtEpoch"}
AUDIT = names("id action resourceType resourceId teamId projectId actorId apiKeyId details createdAtEpoch")


def test_an_event_and_its_job(api: Server, tenant: Tenant) -> None:
    body = event_body(tenant.project, sourceEventId="toolu_1", metadata={"m": 1})
    made = api.ok("POST", "/v1/events", tenant.full, body, status=201)
    assert made.keys() == {"event", "generationJob"}
    event, job = made["event"], made["generationJob"]
    assert event.keys() == EVENT
    assert job.keys() == JOB_SHORT
    kept = {"projectId", "eventType", "payload", "occurredAtEpoch", "sourceEventId", "metadata"}
    assert {name: event[name] for name in kept} == {name: body[name] for name in kept}
    assert (event["sourceAdapter"], event["platformSource"], event["teamId"]) == (
        "hook",
        "claude",
        tenant.team,
    )
    assert (job["status"], job["sourceType"], job["sourceId"]) == ("queued", "agent_event", event["id"])
    assert re.fullmatch("evt_[0-9a-f]{64}", job["bullmqJobId"])
    assert uuid.UUID(event["id"]).version == 4
    assert api.ok("GET", f"/v1/events/{event['id']}", tenant.full) == {"event": event}
    seen = api.ok("GET", f"/v1/events/{event['id']}/observations", tenant.full)
    assert seen == {"eventId": event["id"], "observations": []}


def test_a_duplicate_is_the_same_row_and_says_so_outside_the_event(api: Server, tenant: Tenant) -> None:
    body = event_body(tenant.project)
    first = api.ok("POST", "/v1/events", tenant.full, body, status=201)
    again = api.ok("POST", "/v1/events", tenant.full, body, status=201)
    assert again.keys() == {"event", "generationJob", "duplicate"}
    assert again["duplicate"] is True
    assert again["event"] == first["event"]
    assert again["generationJob"]["id"] == first["generationJob"]["id"]
    listed = api.ok("GET", "/v1/jobs?include=payload", tenant.admin)
    assert listed["total"] == 1
    assert listed["jobs"][0]["payload"]["generation_job_id"] == first["generationJob"]["id"]
    other_time = api.ok("POST", "/v1/events", tenant.full, body | {"occurredAtEpoch": 5}, status=201)
    assert other_time["event"]["id"] != first["event"]["id"]


def test_the_clients_own_id_decides_what_is_a_duplicate(api: Server, tenant: Tenant) -> None:
    body = event_body(tenant.project, sourceEventId="mine")
    first = api.ok("POST", "/v1/events", tenant.full, body | {"metadata": {"a": 1}}, status=201)
    changed = body | {"occurredAtEpoch": 9, "payload": {"other": 1}, "metadata": {"b": 2}}
    again = api.ok("POST", "/v1/events", tenant.full, changed, status=201)
    assert again["duplicate"] is True
    assert again["event"] == first["event"] | {"metadata": {"a": 1, "b": 2}}


async def test_a_hundred_identical_events_at_once_are_one_row_and_one_job(
    api: Server, tenant: Tenant
) -> None:
    body = event_body(tenant.project)
    async with client_of(api) as client:
        answers = await asyncio.gather(
            *(client.post("/v1/events", json=body, headers={"X-Api-Key": tenant.full}) for _ in range(100))
        )
    assert {answer.status_code for answer in answers} == {201}
    bodies = [answer.json() for answer in answers]
    assert len({found["event"]["id"] for found in bodies}) == 1
    assert len({found["generationJob"]["id"] for found in bodies}) == 1
    assert sum("duplicate" not in found for found in bodies) == 1
    assert api.ok("GET", "/v1/jobs", tenant.full)["total"] == 1
    history = api.ok("GET", f"/v1/jobs/{bodies[0]['generationJob']['id']}/events", tenant.full)
    assert [line["eventType"] for line in history["events"]] == ["queued"]


def test_what_was_removed_is_counted_beside_the_event(api: Server, tenant: Tenant) -> None:
    payload = {"text": "a <private>b</private> c", "token": "ghp_" + "a1B2" * 9}
    made = api.ok("POST", "/v1/events", tenant.full, event_body(tenant.project, payload=payload), status=201)
    assert made.keys() == {"event", "generationJob", "redactions"}
    assert made["redactions"] == 2
    assert made["event"]["payload"] == {"text": "a  c", "token": "[REDACTED:github]"}
    assert made["event"].keys() == EVENT


def test_without_generation_there_is_no_job(api: Server, tenant: Tenant) -> None:
    body = event_body(tenant.project)
    plain = api.ok("POST", "/v1/events?generate=false", tenant.full, body, status=201)
    assert plain.keys() == {"event"}
    waited = api.ok("POST", "/v1/events?generate=false&wait=true", tenant.full, body, status=201)
    assert waited["generationJob"] is None
    assert waited.keys() == {"event", "generationJob", "duplicate"}
    later = api.ok("POST", "/v1/events?generate=true", tenant.full, body, status=201)
    assert later["generationJob"]["status"] == "queued"


def test_a_batch_is_answered_in_its_order(api: Server, tenant: Tenant) -> None:
    bodies = [
        event_body(tenant.project, sourceType=kind, occurredAtEpoch=number)
        for number, kind in enumerate(["hook", "api", "worker", "provider", "server", "api"])
    ]
    bodies[5] = bodies[1]
    made = api.ok("POST", "/v1/events/batch", tenant.full, bodies, status=201)
    assert made.keys() == {"events"}
    entries = made["events"]
    assert [entry["event"]["sourceAdapter"] for entry in entries] == [body["sourceType"] for body in bodies]
    assert [entry.get("duplicate") for entry in entries] == [None] * 5 + [True]
    assert entries[5]["event"] == entries[1]["event"]
    assert all(entry["generationJob"].keys() == JOB_SHORT for entry in entries)
    plain = api.ok("POST", "/v1/events/batch?generate=false", tenant.full, bodies[:1], status=201)
    assert plain["events"][0].keys() == {"event", "duplicate"}


def test_a_batch_is_stored_whole_or_not_at_all(api: Server, tenant: Tenant) -> None:
    stranger = event_body(str(uuid.uuid4()))
    answer = api.call("POST", "/v1/events/batch", tenant.full, [event_body(tenant.project), stranger])
    assert (answer.status_code, answer.json()) == (
        403,
        {"error": "Forbidden", "message": "project_id must belong to team_id"},
    )
    mixed = [event_body(tenant.project), event_body(tenant.sibling)]
    answer = api.call("POST", "/v1/events/batch", tenant.scoped, mixed)
    assert (answer.status_code, answer.json()["message"]) == (403, "API key is scoped to a different project")
    assert api.ok("GET", "/v1/jobs", tenant.full)["total"] == 0


def test_events_find_their_session(api: Server, tenant: Tenant) -> None:
    def start(platform: str | None) -> str:
        body = {"projectId": tenant.project, "contentSessionId": "c", "platformSource": platform}
        session = api.ok("POST", "/v1/sessions/start", tenant.full, body, status=201)
        return str(session["session"]["id"])

    cursor, codex, none = start("Cursor"), start("codex"), start(None)
    body = event_body(tenant.project, contentSessionId="c")

    def linked(**changes: Any) -> Any:
        sent = {name: value for name, value in (body | changes).items() if value != "absent"}
        return api.ok("POST", "/v1/events", tenant.full, sent, status=201)["event"]["serverSessionId"]

    assert linked(platformSource="cursor-cli") == cursor
    assert linked(platformSource="codex") == codex
    assert linked(platformSource=None) == none
    assert linked(platformSource="absent", occurredAtEpoch=7) == none
    assert linked(contentSessionId="unknown") is None
    assert linked(serverSessionId=codex, platformSource="cursor", occurredAtEpoch=8) == codex


def test_a_session_starts_once(api: Server, tenant: Tenant) -> None:
    body = {
        "projectId": tenant.project,
        "externalSessionId": "x",
        "contentSessionId": "x",
        "agentId": None,
        "platformSource": "claude-code",
        "metadata": {"prompt": "p"},
    }
    first = api.call("POST", "/v1/sessions/start", tenant.full, body)
    assert first.status_code == 201
    assert first.json().keys() == {"session"}
    session = first.json()["session"]
    assert session.keys() == SESSION
    assert (session["generationStatus"], session["endedAtEpoch"], session["platformSource"]) == (
        "idle",
        None,
        "claude",
    )
    again = api.call("POST", "/v1/sessions/start", tenant.full, body | {"metadata": {"other": 1}})
    assert (again.status_code, again.json()) == (200, {"session": session})
    assert api.ok("GET", f"/v1/sessions/{session['id']}", tenant.full) == {"session": session}
    elsewhere = api.call("POST", "/v1/sessions/start", tenant.full, body | {"platformSource": "codex"})
    assert elsewhere.status_code == 201


def test_a_session_by_content_id_is_201_each_time_and_the_same(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "contentSessionId": "c", "platformSource": "docker-e2e"}
    first = api.ok("POST", "/v1/sessions/start", tenant.full, body, status=201)
    again = api.ok("POST", "/v1/sessions/start", tenant.full, body, status=201)
    assert again["session"]["id"] == first["session"]["id"]
    assert again["session"]["platformSource"] == "docker-e2e"


async def test_one_external_session_is_started_by_many_at_once(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "externalSessionId": "race", "platformSource": "claude"}
    async with client_of(api) as client:
        answers = await asyncio.gather(
            *(
                client.post("/v1/sessions/start", json=body, headers={"X-Api-Key": tenant.full})
                for _ in range(20)
            )
        )
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["session"]["id"] for answer in answers}) == 1


def test_a_session_ends_once_with_one_summary_job(api: Server, tenant: Tenant) -> None:
    started = api.ok("POST", "/v1/sessions/start", tenant.full, {"projectId": tenant.project}, status=201)
    path = f"/v1/sessions/{started['session']['id']}/end"
    first = api.ok("POST", path, tenant.full, {})
    assert first.keys() == {"session", "generationJob"}
    assert first["session"].keys() == SESSION
    assert first["session"]["endedAtEpoch"] is not None
    job = first["generationJob"]
    assert job.keys() == JOB_SHORT
    assert (job["sourceType"], job["sourceId"]) == ("session_summary", started["session"]["id"])
    assert re.fullmatch("sum_[0-9a-f]{64}", job["bullmqJobId"])
    again = api.ok("POST", path, tenant.full)
    assert again["session"]["endedAtEpoch"] == first["session"]["endedAtEpoch"]
    assert again["generationJob"]["id"] == job["id"]
    assert api.ok("GET", "/v1/jobs", tenant.full)["total"] == 1


def test_a_memory_is_written_read_changed_and_removed(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": "Use sessions, not cookies", "metadata": {"a": 1}}
    made = api.ok("POST", "/v1/memories", tenant.full, body, status=201)
    memory = made["memory"]
    assert made.keys() == {"memory"}
    assert memory.keys() == MEMORY
    assert (memory["kind"], memory["content"], memory["metadata"]) == ("manual", body["content"], {"a": 1})
    path = f"/v1/memories/{memory['id']}"
    assert api.ok("GET", path, tenant.full) == {"memory": memory}
    changed = api.ok("PATCH", path, tenant.full, {"kind": "decision"})
    assert changed["memory"] | {"updatedAtEpoch": 0} == memory | {"kind": "decision", "updatedAtEpoch": 0}
    narrated = api.ok("PATCH", path, tenant.full, {"narrative": "other", "metadata": {"b": 2}})["memory"]
    assert (narrated["content"], narrated["metadata"], narrated["kind"]) == ("other", {"b": 2}, "decision")
    assert api.call("PATCH", path, tenant.full, {}).status_code == 400
    assert api.ok("DELETE", path, tenant.full) == {"deleted": True, "id": memory["id"]}
    gone = api.call("DELETE", path, tenant.full)
    assert (gone.status_code, gone.json()) == (404, {"error": "not_found"})
    missing = api.call("GET", path, tenant.full)
    assert (missing.status_code, missing.json()) == (
        404,
        {"error": "NotFound", "message": "Memory not found"},
    )


def test_the_stdio_mcp_client_may_write_a_narrative(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "kind": "manual", "type": "decision", "narrative": "n", "title": "T"}
    memory = api.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]
    assert memory["content"] == "n"
    assert memory["metadata"] == {"title": "T", "type": "decision"}


def test_search_and_context(api: Server, tenant: Tenant) -> None:
    for text in ("alpha configuration", "beta configuration", "unrelated"):
        body = {"projectId": tenant.project, "content": text}
        api.ok("POST", "/v1/memories", tenant.full, body, status=201)
    asked = {"projectId": tenant.project, "query": "alpha configuration", "limit": 2}
    found = api.ok("POST", "/v1/search", tenant.read, asked)
    assert found.keys() == {"observations"}
    assert [seen["content"] for seen in found["observations"]] == [
        "alpha configuration",
        "beta configuration",
    ]
    assert all(MEMORY <= seen.keys() <= MEMORY | {"score", "highlights"} for seen in found["observations"])
    context = api.ok("POST", "/v1/context", tenant.read, asked)
    assert context.keys() == {"observations", "context"}
    assert context["context"] == "alpha configuration\n\nbeta configuration"
    assert all(seen.keys() == MEMORY for seen in context["observations"])
    nothing = api.ok("POST", "/v1/context", tenant.read, asked | {"query": "zebra"})
    assert nothing == {"observations": [], "context": ""}
    assert (
        api.ok("POST", "/v1/search", tenant.read, asked | {"platformSource": "codex"})["observations"] == []
    )


def test_memories_are_listed_in_pages(api: Server, tenant: Tenant) -> None:
    made = [
        api.ok(
            "POST",
            "/v1/memories",
            tenant.full,
            {"projectId": tenant.project, "content": f"m{number}", "kind": "odd" if number % 2 else "even"},
            status=201,
        )["memory"]
        for number in range(5)
    ]
    seen, cursor = [], ""
    page: Any = {}
    for _ in range(3):
        page = api.ok("GET", f"/v1/memories?limit=2{cursor}", tenant.read)
        assert page.keys() == {"memories", "nextCursor"}
        seen += page["memories"]
        cursor = f"&cursor={page['nextCursor']}"
    assert page["nextCursor"] is None
    assert seen == made[::-1]
    odd = api.ok("GET", f"/v1/memories?kind=odd&projectId={tenant.project}", tenant.read)["memories"]
    assert [memory["content"] for memory in odd] == ["m3", "m1"]


def job_of(api: Server, tenant: Tenant, **changes: Any) -> str:
    made = api.ok("POST", "/v1/events", tenant.full, event_body(tenant.project, **changes), status=201)
    return str(made["generationJob"]["id"])


def test_a_job_and_its_history(api: Server, tenant: Tenant) -> None:
    job_id = job_of(api, tenant)
    job = api.ok("GET", f"/v1/jobs/{job_id}", tenant.full)
    assert job.keys() == {"generationJob"}
    assert job["generationJob"].keys() == JOB_FULL
    assert job["generationJob"]["jobType"] == "observation_generate_for_event"
    assert (job["generationJob"]["attempts"], job["generationJob"]["maxAttempts"]) == (0, 3)
    assert job["generationJob"]["lastError"] is None
    missing = api.call("GET", "/v1/jobs/none", tenant.full)
    assert (missing.status_code, missing.json()) == (
        404,
        {"error": "NotFound", "message": "Generation job not found"},
    )


def test_job_lists(api: Server, tenant: Tenant) -> None:
    jobs = [job_of(api, tenant) for _ in range(3)]
    session = api.ok("POST", "/v1/sessions/start", tenant.full, {"projectId": tenant.project}, status=201)
    jobs.append(
        api.ok("POST", f"/v1/sessions/{session['session']['id']}/end", tenant.full)["generationJob"]["id"]
    )
    api.ok("POST", f"/v1/jobs/{jobs[0]}/cancel", tenant.full)
    listed = api.ok("GET", "/v1/jobs", tenant.full)
    assert listed.keys() == {"jobs", "total", "limit", "offset", "requestId"}
    assert [job["id"] for job in listed["jobs"]] == jobs[::-1]
    assert all(job.keys() == JOB_LISTED for job in listed["jobs"])
    assert (listed["total"], listed["limit"], listed["offset"]) == (4, 50, 0)
    for path in (f"/v1/teams/{tenant.team}/jobs", f"/v1/projects/{tenant.project}/jobs"):
        assert api.ok("GET", path, tenant.full) == {
            name: value for name, value in listed.items() if name != "requestId"
        }


@pytest.mark.parametrize(
    ("query", "count", "limit", "offset"),
    [
        ("limit=2.9", 2, 2, 0),
        ("limit=3abc", 3, 3, 0),
        ("limit=0", 1, 1, 0),
        ("limit=-3", 1, 1, 0),
        ("limit=1000", 4, 200, 0),
        ("limit=abc", 4, 50, 0),
        ("limit=%201", 1, 1, 0),
        ("limit=1&limit=2", 4, 50, 0),
        ("offset=3", 1, 50, 3),
        ("offset=-1", 4, 50, 0),
        ("offset=1e3", 3, 50, 1),
        ("status=cancelled", 1, 50, 0),
        ("status=%20cancelled%20", 1, 50, 0),
        ("status=CANCELLED", 4, 50, 0),
        ("status=cancelled&status=queued", 4, 50, 0),
        ("source_type=session_summary", 1, 50, 0),
        ("source_type=observation_reindex", 0, 50, 0),
        ("source_type=manual", 4, 50, 0),
        ("since=2000-01-01", 4, 50, 0),
        ("since=2999", 0, 50, 0),
        ("since=not%20a%20date", 4, 50, 0),
    ],
)
def test_job_lists_read_their_filters_as_javascript_does(
    api: Server, filtered: Tenant, query: str, count: int, limit: int, offset: int
) -> None:
    listed = api.ok("GET", f"/v1/jobs?{query}", filtered.full)
    assert (len(listed["jobs"]), listed["limit"], listed["offset"]) == (count, limit, offset)


def test_an_offset_beyond_all_numbers_is_moved_into_them(api: Server, tenant: Tenant) -> None:
    listed = api.ok("GET", "/v1/jobs?offset=99999999999999999999", tenant.full)
    assert (listed["jobs"], listed["offset"]) == ([], 2**53 - 1)


@pytest.fixture(scope="module")
def filtered(api: Server) -> Tenant:
    """A team with two queued event jobs, a cancelled one, and a summary's."""
    tenant = api.tenant("filtered")
    jobs = [job_of(api, tenant) for _ in range(3)]
    session = api.ok("POST", "/v1/sessions/start", tenant.full, {"projectId": tenant.project}, status=201)
    api.ok("POST", f"/v1/sessions/{session['session']['id']}/end", tenant.full)
    api.ok("POST", f"/v1/jobs/{jobs[0]}/cancel", tenant.full)
    return tenant


def test_retry_and_cancel(api: Server, tenant: Tenant) -> None:
    job_id = job_of(api, tenant)

    def steer(operation: str) -> Any:
        return api.ok("POST", f"/v1/jobs/{job_id}/{operation}", tenant.full)

    queued = steer("retry")
    assert queued.keys() == {"generationJob", "retriedCount", "alreadyQueued", "requestId"}
    assert queued["generationJob"].keys() == JOB_FULL
    assert (queued["alreadyQueued"], queued["retriedCount"]) == (True, 0)
    cancelled = steer("cancel")
    assert cancelled.keys() == {"generationJob", "alreadyCancelled", "requestId"}
    assert (cancelled["generationJob"]["status"], cancelled["alreadyCancelled"]) == ("cancelled", False)
    assert cancelled["generationJob"]["cancelledAtEpoch"] is not None
    assert steer("cancel")["alreadyCancelled"] is True
    retried = steer("retry")
    assert (retried["generationJob"]["status"], retried["retriedCount"]) == ("queued", 1)
    assert retried["generationJob"]["cancelledAtEpoch"] is None
    history = api.ok("GET", f"/v1/jobs/{job_id}/events", tenant.full)
    assert history.keys() == {"jobId", "events"}
    assert [line["eventType"] for line in history["events"]] == ["queued", "cancelled", "queued"]
    assert [line["details"]["source"] for line in history["events"]] == [
        "http_post_v1_events",
        "operator_cancel",
        "operator_retry",
    ]


async def test_retries_and_cancels_at_once_are_counted_once(api: Server, tenant: Tenant) -> None:
    job_id = job_of(api, tenant)
    api.ok("POST", f"/v1/jobs/{job_id}/cancel", tenant.full)
    headers = {"X-Api-Key": tenant.full}
    async with client_of(api) as client:
        retries = await asyncio.gather(
            *(client.post(f"/v1/jobs/{job_id}/retry", headers=headers) for _ in range(15))
        )
        assert {answer.status_code for answer in retries} == {200}
        assert sum(not answer.json()["alreadyQueued"] for answer in retries) == 1
        cancels = await asyncio.gather(
            *(client.post(f"/v1/jobs/{job_id}/cancel", headers=headers) for _ in range(15))
        )
    assert sum(not answer.json()["alreadyCancelled"] for answer in cancels) == 1
    history = api.ok("GET", f"/v1/jobs/{job_id}/events", tenant.full)["events"]
    assert len(history) == 4


def test_purge_counts_what_it_removes_and_keeps_the_project(api: Server, tenant: Tenant) -> None:
    session = api.ok("POST", "/v1/sessions/start", tenant.full, {"projectId": tenant.project}, status=201)
    session_id = session["session"]["id"]
    for number in range(3):
        api.ok(
            "POST",
            "/v1/events",
            tenant.full,
            event_body(tenant.project, serverSessionId=session_id, occurredAtEpoch=number),
            status=201,
        )
    api.ok("POST", f"/v1/sessions/{session_id}/end", tenant.full)
    for project in (tenant.project, tenant.sibling):
        api.ok("POST", "/v1/memories", tenant.full, {"projectId": project, "content": "keep"}, status=201)
    path = f"/v1/projects/{tenant.project}/memory"
    assert api.ok("DELETE", path, tenant.full) == {
        "purged": True,
        "projectId": tenant.project,
        "counts": {"observations": 1, "agentEvents": 3, "sessions": 1, "jobs": 4},
    }
    assert set(api.ok("DELETE", path, tenant.full)["counts"].values()) == {0}
    assert api.ok("GET", f"/v1/projects/{tenant.project}", tenant.full)["project"]["id"] == tenant.project
    assert len(api.ok("GET", "/v1/memories", tenant.full)["memories"]) == 1
    gone = api.call("DELETE", "/v1/projects/none/memory", tenant.full)
    assert (gone.status_code, gone.json()) == (404, {"error": "not_found"})


def test_a_key_is_made_to_read(api: Server, tenant: Tenant) -> None:
    body = {"label": "laptop", "expiresInDays": 7}
    made = api.ok("POST", "/v1/keys", tenant.write, body, status=201)
    assert made.keys() == NEW_KEY
    assert re.fullmatch("cm_[0-9a-f]{48}", made["apiKey"])
    assert made["scopes"] == ["memories:read"]
    expires = datetime.fromisoformat(made["expiresAt"])
    assert 6.9 < (expires - datetime.now(UTC)).total_seconds() / 86_400 < 7.1
    assert made["expiresAt"].endswith("Z")
    assert made["mcpUrl"] == f"{api.url}/v1/mcp"
    assert made["connectCommand"] == (
        f"claude mcp add --transport http claude-mem {api.url}/v1/mcp "
        f'--header "Authorization: Bearer {made["apiKey"]}"'
    )
    assert api.call("GET", "/v1/usage", made["apiKey"]).status_code == 200
    assert api.call("POST", "/v1/keys", made["apiKey"], {}).status_code == 403
    forever = api.ok("POST", "/v1/keys", tenant.scoped, {}, status=201)
    assert forever["expiresAt"] is None
    listed = api.ok("GET", "/v1/keys", tenant.scoped)["keys"]
    mine = next(key for key in listed if key["id"] == forever["id"])
    assert mine["projectId"] == tenant.project
    connected = api.ok("GET", "/v1/connect", tenant.read)
    assert connected.keys() == {"mcpUrl", "connectCommand", "hint", "agents"}
    lines = {line["agent"]: line for line in connected["agents"]}
    assert lines["Claude Code"]["paste"] == connected["connectCommand"]
    assert all(
        connected["mcpUrl"] in line["paste"] and "<YOUR_API_KEY>" in line["paste"] for line in lines.values()
    )
    assert all(json.loads(line["paste"]) for line in lines.values() if line["file"])
    assert {"Codex", "Cursor", "VS Code", "Gemini CLI", "Windsurf", "OpenCode"} < lines.keys()
    assert "<YOUR_API_KEY>" in connected["connectCommand"]


def test_keys_are_listed_without_anything_that_opens(api: Server, tenant: Tenant) -> None:
    listed = api.ok("GET", "/v1/keys?limit=200", tenant.full)
    assert listed.keys() == {"keys", "nextCursor"}
    by_name = {key["name"]: key for key in listed["keys"]}
    assert all(key.keys() == KEY for key in listed["keys"])
    assert by_name["revoked"]["status"] == "revoked"
    assert tenant.full not in str(listed)
    active = api.ok("GET", "/v1/keys?active=true", tenant.full)["keys"]
    assert {"revoked", "expired"}.isdisjoint(key["name"] for key in active)
    first = api.ok("GET", "/v1/keys?limit=3", tenant.full)
    second = api.ok("GET", f"/v1/keys?limit=3&cursor={first['nextCursor']}", tenant.full)
    assert len({key["id"] for key in first["keys"] + second["keys"]}) == 6


def test_a_key_is_rotated_with_and_without_overlap(api: Server, tenant: Tenant) -> None:
    old = api.ok("POST", "/v1/keys", tenant.full, {"name": "n"}, status=201)
    new = api.ok("POST", f"/v1/keys/{old['id']}/rotate", tenant.full, {"overlapSeconds": 60}, status=201)
    assert new.keys() == NEW_KEY | {"replaces"}
    assert new["replaces"] == old["id"]
    assert new["scopes"] == ["memories:read"]
    for raw in (old["apiKey"], new["apiKey"]):
        assert api.call("GET", "/v1/usage", raw).status_code == 200
    newest = api.ok("POST", f"/v1/keys/{new['id']}/rotate", tenant.full, status=201)
    assert api.call("GET", "/v1/usage", new["apiKey"]).status_code == 403
    assert api.call("GET", "/v1/usage", newest["apiKey"]).status_code == 200
    assert api.call("POST", f"/v1/keys/{new['id']}/rotate", tenant.full).status_code == 409
    gone = api.ok("DELETE", f"/v1/keys/{newest['id']}", tenant.full)
    assert gone.keys() == {"id", "status", "key"}
    assert gone["status"] == "revoked"
    assert api.call("DELETE", f"/v1/keys/{newest['id']}", tenant.full).status_code == 409
    assert api.call("DELETE", "/v1/keys/none", tenant.full).status_code == 404


def test_no_key_makes_or_touches_a_stronger_one(api: Server, tenant: Tenant) -> None:
    for scopes in (["*"], ["admin"], ["memories:admin"]):
        assert api.call("POST", "/v1/keys", tenant.full, {"scopes": scopes}).status_code == 403
    assert api.call("POST", "/v1/keys", tenant.admin, {"scopes": ["*"]}, headers={}).status_code == 201
    for strong in ("admin", "star"):
        assert api.call("DELETE", f"/v1/keys/{tenant.ids[strong]}", tenant.full).status_code == 403
        assert api.call("POST", f"/v1/keys/{tenant.ids[strong]}/rotate", tenant.full).status_code == 403
    assert api.call("DELETE", f"/v1/keys/{tenant.ids['full']}", tenant.scoped).status_code == 404
    assert api.call("POST", "/v1/keys", tenant.scoped, {"projectId": tenant.sibling}).status_code == 403


def test_teams_and_projects(api: Server, tenant: Tenant) -> None:
    teams = api.ok("GET", "/v1/teams", tenant.read)
    assert [team["id"] for team in teams["teams"]] == [tenant.team]
    assert api.ok("GET", f"/v1/teams/{tenant.team}", tenant.read)["team"] == teams["teams"][0]
    assert api.call("PATCH", f"/v1/teams/{tenant.team}", tenant.full, {"name": "n"}).status_code == 403
    renamed = api.ok("PATCH", f"/v1/teams/{tenant.team}", tenant.admin, {"name": "new"})
    assert renamed["team"]["name"] == "new"
    made = api.ok("POST", "/v1/projects", tenant.full, {"name": "p", "metadata": {"a": 1}}, status=201)
    assert made.keys() == {"project"}
    assert made["project"].keys() == PROJECT
    again = api.ok("POST", "/v1/projects", tenant.full, {"name": "p"}, status=201)
    assert again == made
    path = f"/v1/projects/{made['project']['id']}"
    assert api.ok("GET", path, tenant.read) == made
    assert api.ok("PATCH", path, tenant.full, {"name": "q"})["project"]["name"] == "q"
    listed = api.ok("GET", "/v1/projects", tenant.read)
    assert listed.keys() == {"projects", "nextCursor"}
    assert [project["id"] for project in listed["projects"]] == [
        tenant.project,
        tenant.sibling,
        made["project"]["id"],
    ]
    assert [project["id"] for project in api.ok("GET", "/v1/projects", tenant.scoped)["projects"]] == [
        tenant.project
    ]
    assert api.call("POST", "/v1/projects", tenant.scoped, {"name": "p"}).status_code == 403


def test_the_audit_log_is_there_before_the_answer(api: Server, tenant: Tenant) -> None:
    request_id = {"X-Request-Id": "mine-1"}
    asked = {"projectId": tenant.project, "query": "word", "limit": 3}
    api.call("POST", "/v1/search", tenant.full, asked, headers=request_id)
    api.call("POST", "/v1/events", tenant.full, event_body(tenant.project), headers=request_id)
    page = api.ok("GET", "/v1/audit", tenant.full)
    assert page.keys() == {"audit", "nextCursor"}
    assert all(entry.keys() == AUDIT for entry in page["audit"])
    received, read = page["audit"]
    assert (received["action"], received["resourceType"]) == ("event.received", "agent_event")
    assert received["apiKeyId"] == tenant.ids["full"]
    assert {"sourceAdapter", "sourceEventId", "eventType", "serverSessionId", "generationJobId"} < received[
        "details"
    ].keys()
    assert read["action"] == "observation.read"
    expected = {"mode": "search", "query": "word", "limit": 3, "platformSource": None, "resultCount": 0}
    assert read["details"] == expected | {"observationIds": [], "requestId": "mine-1"}


def test_every_deed_is_in_the_audit_log(api: Server, tenant: Tenant) -> None:
    project = tenant.project
    session = api.ok("POST", "/v1/sessions/start", tenant.full, {"projectId": project}, status=201)["session"]
    api.ok("POST", f"/v1/sessions/{session['id']}/end", tenant.full)
    made = api.ok("POST", "/v1/memories", tenant.full, {"projectId": project, "content": "c"}, status=201)
    memory = f"/v1/memories/{made['memory']['id']}"
    api.ok("GET", memory, tenant.full)
    api.ok("PATCH", memory, tenant.full, {"kind": "k"})
    api.ok("DELETE", memory, tenant.full)
    api.ok("POST", "/v1/events/batch", tenant.full, [event_body(project)], status=201)
    job_id = job_of(api, tenant)
    api.ok("POST", f"/v1/jobs/{job_id}/cancel", tenant.full)
    api.ok("POST", f"/v1/jobs/{job_id}/retry", tenant.full)
    api.ok("GET", "/v1/jobs", tenant.full)
    api.ok("POST", "/v1/context", tenant.full, {"projectId": project, "query": "c"})
    key = api.ok("POST", "/v1/keys", tenant.full, {}, status=201)
    rotated = api.ok("POST", f"/v1/keys/{key['id']}/rotate", tenant.full, status=201)
    api.ok("DELETE", f"/v1/keys/{rotated['id']}", tenant.full)
    api.ok("DELETE", f"/v1/projects/{project}/memory", tenant.full)
    actions = {entry["action"] for entry in api.ok("GET", "/v1/audit?limit=200", tenant.full)["audit"]}
    assert actions == {
        "session.write",
        "session.end",
        "memory.write",
        "memory.update",
        "observation.read",
        "observation.deleted",
        "event.batch_received",
        "event.received",
        "generation_job.cancelled_by_operator",
        "generation_job.retried_by_operator",
        "api_key.create",
        "api_key.rotate",
        "api_key.revoke",
        "project.memory_purged",
    }


def test_older_hooks_send_a_tool_use(api: Server, tenant: Tenant) -> None:
    body = {
        "contentSessionId": "legacy",
        "tool_name": "Bash",
        "tool_input": {"command": "ls"},
        "tool_response": "out",
        "cwd": "/src",
        "tool_use_id": "tu_1",
        "toolUseId": "other",
        "surprise": 1,
    }
    first = api.ok("POST", "/api/sessions/observations", tenant.scoped, body)
    assert first.keys() == names(
        "status observationCount sessionId serverSessionId eventId generationJobId transport"
    )
    assert (first["status"], first["observationCount"], first["sessionId"]) == ("queued", 1, "legacy")
    event = api.ok("GET", f"/v1/events/{first['eventId']}", tenant.scoped)["event"]
    assert event["payload"] == {
        "contentSessionId": "legacy",
        "tool_name": "Bash",
        "tool_input": {"command": "ls"},
        "tool_response": "out",
        "cwd": "/src",
        "platformSource": "claude",
        "agentId": None,
        "agentType": None,
        "toolUseId": "tu_1",
    }
    assert (event["sourceAdapter"], event["eventType"], event["sourceEventId"]) == (
        "claude-code-compat",
        "tool_use",
        "tu_1",
    )
    assert event["metadata"] == {"compat": "sessions/observations"}
    assert event["serverSessionId"] == first["serverSessionId"]
    assert api.ok("POST", "/api/sessions/observations", tenant.scoped, body)["eventId"] == first["eventId"]
    ended = api.ok(
        "POST",
        "/api/sessions/summarize",
        tenant.hook,
        {"contentSessionId": "legacy", "last_assistant_message": "x"},
    )
    assert ended.keys() == {"status", "sessionId", "serverSessionId", "generationJobId", "transport"}
    assert ended["serverSessionId"] == first["serverSessionId"]
    skipped = api.ok(
        "POST", "/api/sessions/summarize", tenant.scoped, {"contentSessionId": "l", "agentId": "a"}
    )
    assert skipped == {"status": "skipped", "reason": "subagent_context"}


def test_older_hooks_need_a_projects_key(api: Server, tenant: Tenant) -> None:
    body = {"contentSessionId": "c", "tool_name": "t"}
    answer = api.call("POST", "/api/sessions/observations", tenant.full, body)
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "error": "BadRequest",
            "message": "Legacy /api/sessions/observations requires a project-scoped API key",
        },
    )
    assert api.call("POST", "/api/sessions/summarize", tenant.full, body).status_code == 400


def test_what_the_server_says_of_itself(api: Server, tenant: Tenant) -> None:
    assert api.call("GET", "/healthz").json() == {"status": "ok", "runtime": "server-beta"}
    ready = api.call("GET", "/readyz").json()
    assert ready["status"] == "ready"
    assert ready["checks"][api.storage]["status"] == "ok"
    assert api.call("GET", "/api/readiness").json() == {"status": "ready", "mcpReady": True}
    assert api.call("GET", "/api/version").json().keys() == {"version"}
    info = api.call("GET", "/v1/info").json()
    assert list(info) == ["name", "runtime", "authMode", "postgres", "boundaries", "queueLanes"]
    assert (info["name"], info["runtime"], info["authMode"]) == (
        "claude-mem-server",
        "server-beta",
        "api-key",
    )
    assert info["postgres"]["initialized"] is True
    assert info["boundaries"].keys() == {"queueManager", "generationWorkerManager"}
    assert info["boundaries"]["queueManager"]["status"] == "disabled", "nothing generates in this process"
    assert info["queueLanes"] == []
    made = api.ok("POST", "/v1/events", tenant.full, event_body(tenant.project), status=201)
    assert made["generationJob"]["transport"] == "queued_only"
    health = api.call("GET", "/api/health").json()
    assert health.keys() == names(
        "status runtime version workerPath uptime managed hasIpc platform pid initialized mcpReady ai dependencies "
        "rateLimits"
    )
    assert health["status"] == "ok"
    usage = api.ok("GET", "/v1/usage", tenant.read)
    assert usage.keys() == {"since", "usage"}
    assert re.fullmatch(r"\d{4}-\d{2}-01T00:00:00\.000Z", usage["since"])


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/api/search", "/api/stats", "/v1/events/a/b", "/api/session/x"]
)
def test_what_is_not_served_is_named(api: Server, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = api.call(method, f"{path}?q=1")
        assert answer.status_code == 404
        assert answer.json() == {"error": "NotFound", "message": f"Cannot {method} {path}"}


def test_other_methods_are_not_found_and_head_is_get(api: Server, tenant: Tenant) -> None:
    answer = api.call("PUT", "/v1/events")
    assert (answer.status_code, answer.json()["message"]) == (404, "Cannot PUT /v1/events")
    head = api.call("HEAD", "/v1/usage", tenant.read)
    assert (head.status_code, head.content) == (200, b"")


def test_a_slash_at_the_end_of_a_path_is_nothing(api: Server, tenant: Tenant) -> None:
    assert api.call("POST", "/v1/events/", tenant.full, event_body(tenant.project)).status_code == 201
    assert api.call("GET", "/v1/jobs/", tenant.full).json()["total"] == 1
    assert api.call("GET", "/v1/info/").status_code == 200


def test_instructions(api: Server) -> None:
    def text(query: str) -> str:
        answer = api.call("GET", f"/api/instructions{query}").json()
        assert answer.keys() == {"content"}
        (part,) = answer["content"]
        assert part["type"] == "text"
        return str(part["text"])

    for topic in ("workflow", "search_params", "examples"):
        assert text(f"?topic={topic}") in text("")
    for operation in ("search", "context", "summarize", "import", "export"):
        assert text(f"?operation={operation}")
    for query, error in (("topic=x", "Invalid topic"), ("operation=../x", "Invalid operation")):
        answer = api.call("GET", f"/api/instructions?{query}")
        assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
def test_administration_is_for_this_machine_and_not_for_who_came_through_a_proxy(
    api: Server, header: str
) -> None:
    refusal = {"error": "Forbidden", "message": "Admin endpoints are only accessible from localhost"}
    for method, path in (
        ("POST", "/api/admin/restart"),
        ("POST", "/api/admin/shutdown"),
        ("GET", "/api/admin/doctor"),
    ):
        for headers in ({header: "127.0.0.1"}, {"Host": "memory.example"}, {"Host": "127.0.0.1.example:80"}):
            answer = api.call(method, path, headers=headers)
            assert (answer.status_code, answer.json()) == (403, refusal)
    assert api.shutdowns == 0
    doctor = api.call("GET", "/api/admin/doctor").json()
    assert doctor.keys() == {"supervisor", "processes", "health"}
    assert doctor["supervisor"].keys() == {"running", "pid", "uptime"}
    assert doctor["health"].keys() == {"deadProcessPids", "envClean", "dependencies"}


def test_this_machine_may_end_the_server(tmp_path: Path) -> None:
    with Server(tmp_path, environ={"CLAUDE_MEM_GENERATION_DISABLED": "1"}) as server:
        for path, status in (
            ("/api/admin/shutdown", "shutting_down"),
            ("/api/admin/shutdown?reason=restart", "restarting"),
            ("/api/admin/restart", "restarting"),
        ):
            answer = server.call("POST", path)
            assert (answer.status_code, answer.json()) == (200, {"status": status})
        eventually(lambda: server.shutdowns == 3, what="the server to be told")
