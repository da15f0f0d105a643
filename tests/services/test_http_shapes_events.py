"""What routes of events and sessions answer, older hooks' too: exact members, statuses and the rules between them."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any

from tests.support.http import Server, Tenant, client_of, event_body
from tests.support.shapes import EVENT, JOB_SHORT, SESSION, names


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
