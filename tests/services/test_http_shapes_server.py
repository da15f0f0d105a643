"""What the server says of itself, of what it does not serve, and to whom it lets itself be administered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.http import Server, Tenant, event_body, eventually
from tests.support.shapes import names


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
