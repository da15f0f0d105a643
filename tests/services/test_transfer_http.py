"""Exports and imports over HTTP: scopes, tenancy, what a request says that is wrong, and a body that breaks off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.http import PATIENCE_S, Server, Tenant, event_body

LINES = "application/x-ndjson"


def filled(api: Server) -> Tenant:
    """A tenant with a session, its event, and a memory in each project."""
    tenant = api.tenant()
    start = {"projectId": tenant.project, "externalSessionId": "e", "contentSessionId": "c"}
    session = api.ok("POST", "/v1/sessions/start", tenant.full, start, status=201)["session"]["id"]
    event = event_body(tenant.project, serverSessionId=session, payload={"k": "v"})
    api.ok("POST", "/v1/events", tenant.full, event, status=201)
    for project in (tenant.project, tenant.sibling):
        memory = {"projectId": project, "content": "relay " + project}
        api.ok("POST", "/v1/memories", tenant.full, memory, status=201)
    return tenant


def exported(api: Server, key: str, query: str = "") -> list[dict[str, Any]]:
    answer = api.call("GET", f"/v1/export{query}", key)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, LINES), answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def sent(
    api: Server, key: str, lines: list[dict[str, Any]], query: str = "", *, status: int = 200
) -> dict[str, Any]:
    content = "\n".join(map(json.dumps, lines)).encode()
    answer = api.call("POST", f"/v1/import{query}", key, content=content, headers={"Content-Type": LINES})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_team_moves_to_another(api: Server) -> None:
    one, two = filled(api), api.tenant()
    lines = exported(api, one.read)
    report = sent(api, two.full, lines)
    assert report["imported"] == {"projects": 0, "sessions": 1, "events": 1, "observations": 2}
    assert (report["complete"], report["refusedLines"], report["unlinked"]) == (True, 0, 0)
    again = sent(api, two.full, lines)
    assert again["imported"] == dict.fromkeys(("projects", "sessions", "events", "observations"), 0)
    assert exported(api, one.read)[1:] == lines[1:]
    names = {project["name"] for project in api.ok("GET", "/v1/projects", two.full)["projects"]}
    assert len(names) == 2, "projects of the same names took them in"
    assert api.ok("GET", "/v1/jobs", two.full)["jobs"] == [], "nothing is generated from what is imported"
    actions = [line["action"] for line in api.ok("GET", "/v1/audit?limit=200", two.full)["audit"]]
    assert "project.imported" in actions
    assert "team.exported" in [line["action"] for line in api.ok("GET", "/v1/audit", one.full)["audit"]]


def test_a_projects_key_moves_its_project_only(api: Server) -> None:
    one, two = filled(api), api.tenant()
    lines = exported(api, one.scoped)
    assert one.sibling not in str(lines)
    assert exported(api, one.full, f"?projectId={one.project}")[1:] == lines[1:]
    cursor = next(line["cursor"] for line in lines if line["type"] == "checkpoint")
    assert api.call("GET", f"/v1/export?cursor={cursor}", one.sibling_key).status_code == 404
    report = sent(api, two.scoped, exported(api, one.full))
    assert report["imported"]["observations"] == 2
    found = api.ok("GET", f"/v1/memories?projectId={two.project}", two.scoped)["memories"]
    assert len(found) == 2
    assert {memory["projectId"] for memory in found} == {two.project}


def test_what_was_cut_short_goes_on_behind_its_checkpoint(api: Server) -> None:
    tenant = filled(api)
    lines = exported(api, tenant.read)
    at = next(number for number, line in enumerate(lines) if line["type"] == "checkpoint")
    rest = exported(api, tenant.read, f"?cursor={lines[at]['cursor']}")
    assert lines[: at + 1] + rest == lines
    assert api.call("GET", "/v1/export?cursor=nonsense", tenant.read).status_code == 400


def test_bad_lines_and_all_or_nothing(api: Server) -> None:
    tenant, to = filled(api), api.tenant()
    lines = exported(api, tenant.read, f"?projectId={tenant.project}")
    lines.insert(2, {"type": "event"})
    refused = sent(api, to.full, lines, "?strict=true", status=400)
    assert refused["issues"][0]["path"] == ["lines", 3]
    tried = sent(api, to.full, lines, "?dryRun=true")
    assert tried["dryRun"]
    assert api.ok("GET", "/v1/memories", to.full)["memories"] == []
    done = sent(api, to.full, lines)
    assert done["imported"] == tried["imported"]
    assert [one["line"] for one in done["refused"]] == [3]


def test_what_is_not_an_import_is_refused(api: Server, tenant: Tenant) -> None:
    json_body = api.call("POST", "/v1/import", tenant.full, {"type": "header"})
    assert json_body.status_code == 415
    assert api.call("POST", "/v1/import", tenant.full).status_code == 400
    assert sent(api, tenant.full, [{"type": "end"}], status=400)["error"] == "ValidationError"
    lines = [{"type": "header", "format": "claude-mem-export", "version": 1}]
    assert sent(api, tenant.full, lines, "?strict=1", status=400)["issues"][0]["path"] == ["strict"]


def test_a_body_that_breaks_off_leaves_what_was_stored(api: Server) -> None:
    one, two = filled(api), api.tenant()
    lines = exported(api, one.read)

    def broken() -> Iterator[bytes]:
        yield ("\n".join(map(json.dumps, lines)))[:-30].encode()
        raise RuntimeError("the client dies")

    headers = {"Authorization": f"Bearer {two.full}", "Content-Type": LINES}
    with (
        httpx.Client(trust_env=False, headers=headers, timeout=PATIENCE_S) as client,
        pytest.raises(RuntimeError),
    ):
        client.post(f"{api.url}/v1/import", content=broken())
    report = sent(api, two.full, lines)
    assert report["refusedLines"] == 0
    assert len(api.ok("GET", "/v1/memories", two.full)["memories"]) == 2
