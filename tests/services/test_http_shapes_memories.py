"""What routes of memories, searches and purges answer: exact members, statuses and the rules between them."""

from __future__ import annotations

from typing import Any

from tests.support.http import Server, Tenant, event_body
from tests.support.shapes import MEMORY


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
