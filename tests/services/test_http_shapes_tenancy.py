"""What routes of keys, teams, projects and the audit log answer: exact members, statuses and the rules between them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from tests.support.http import Server, Tenant, event_body
from tests.support.shapes import AUDIT, KEY, NEW_KEY, PROJECT, job_of


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
