"""Who may use which route: every route against every kind of key, in the order in which the checks are made."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from claude_mem.http.app import ROUTES
from claude_mem.model.scopes import READ, WRITE
from tests.support.http import Server, Tenant, event_body

MISSING = {
    "error": "Unauthorized",
    "message": "Missing API key (Authorization: Bearer <key> or X-Api-Key: <key>)",
}
INVALID = {"error": "Forbidden", "message": "Invalid API key or insufficient scope"}
TEAMLESS = {"error": "Forbidden", "message": "API key is not bound to a team"}

#: Routes that anybody may ask.
OPEN = {
    "/healthz",
    "/livez",
    "/metrics",
    "/readyz",
    "/v1/info",
    "/api/health",
    "/api/readiness",
    "/api/version",
    "/api/instructions",
    "/",
    "/viewer",
    "/viewer/{file}",
    "/openapi.json",
    "/v1/openapi.json",
    "/docs",
    "/api/admin/restart",
    "/api/admin/shutdown",
    "/api/admin/doctor",
}


#: What answers with a stream rather than with JSON.
ENDLESS = {"/v1/stream", "/v1/export"}


class Route(NamedTuple):
    method: str
    path: str
    scope: str
    body: dict[str, Any] | None = None


GUARDED = [
    Route("GET", "/v1/usage", READ),
    Route("GET", "/v1/usage/breakdown", READ),
    Route("GET", "/v1/usage/budget", READ),
    Route("PUT", "/v1/budgets", WRITE, {"period": "day", "tokens": 1}),
    Route("DELETE", "/v1/budgets", WRITE),
    Route("GET", "/v1/connect", READ),
    Route("GET", "/v1/keys", READ),
    Route("POST", "/v1/keys", WRITE, {}),
    Route("POST", "/v1/keys/x/rotate", WRITE),
    Route("DELETE", "/v1/keys/x", WRITE),
    Route("POST", "/v1/events", WRITE, event_body("p")),
    Route("GET", "/v1/events/x", READ),
    Route("GET", "/v1/events/x/observations", READ),
    Route("POST", "/v1/sessions/start", WRITE, {"projectId": "p"}),
    Route("GET", "/v1/sessions", READ),
    Route("GET", "/v1/sessions/x", READ),
    Route("POST", "/v1/sessions/x/end", WRITE, {}),
    Route("POST", "/v1/memories", WRITE, {"projectId": "p", "content": "c"}),
    Route("GET", "/v1/memories", READ),
    Route("GET", "/v1/memories/x", READ),
    Route("GET", "/v1/memories/x/timeline", READ),
    Route("GET", "/v1/memories/x/origin", READ),
    Route("GET", "/v1/sessions/x/timeline", READ),
    Route("PATCH", "/v1/memories/x", WRITE, {"content": "c"}),
    Route("DELETE", "/v1/memories/x", WRITE),
    Route("DELETE", "/v1/projects/x/memory", WRITE),
    Route("POST", "/v1/search", READ, {"projectId": "p", "query": "q"}),
    Route("POST", "/v1/context", READ, {"projectId": "p", "query": "q"}),
    Route("POST", "/v1/mcp", READ, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
    Route("GET", "/v1/mcp", READ),
    Route("GET", "/v1/jobs", READ),
    Route("GET", "/v1/stream", READ),
    Route("GET", "/v1/teams/x/jobs", READ),
    Route("GET", "/v1/projects/x/jobs", READ),
    Route("GET", "/v1/jobs/counts", READ),
    Route("GET", "/v1/jobs/x", READ),
    Route("GET", "/v1/jobs/x/events", READ),
    Route("POST", "/v1/jobs/x/retry", WRITE),
    Route("POST", "/v1/jobs/x/cancel", WRITE),
    Route("POST", "/v1/jobs/redrive", WRITE, {"dryRun": True}),
    Route("GET", "/v1/teams", READ),
    Route("GET", "/v1/teams/x", READ),
    Route("PATCH", "/v1/teams/x", WRITE, {"name": "n"}),
    Route("GET", "/v1/projects", READ),
    Route("POST", "/v1/projects", WRITE, {"name": "n"}),
    Route("GET", "/v1/projects/x", READ),
    Route("PATCH", "/v1/projects/x", WRITE, {"name": "n", "mode": "research"}),
    Route("GET", "/v1/audit", READ),
    Route("GET", "/v1/export", READ),
    Route("POST", "/v1/import", WRITE),
    Route("GET", "/v1/retention", READ),
    Route("GET", "/v1/retention/preview", READ),
    Route("POST", "/v1/retention", WRITE, {"subject": "events", "maxAgeDays": 1}),
    Route("DELETE", "/v1/retention/x", WRITE),
    Route("POST", "/api/sessions/observations", WRITE, {"contentSessionId": "c", "tool_name": "t"}),
    Route("POST", "/api/sessions/summarize", WRITE, {"contentSessionId": "c"}),
]
BATCH = Route("POST", "/v1/events/batch", WRITE)


def ids(route: Route) -> str:
    return f"{route.method} {route.path}"


def test_the_table_names_every_route() -> None:
    listed = {(route.method, route.path) for route in [*GUARDED, BATCH]}
    served = {
        (route.method, route.path.replace("{id}", "x").replace("{teamId}", "x").replace("{projectId}", "x"))
        for route in ROUTES
        if route.path not in OPEN
    }
    assert listed == served


@pytest.mark.parametrize("route", [*GUARDED, BATCH], ids=ids)
def test_a_route_refuses_every_key_but_the_right_ones(api: Server, tenant: Tenant, route: Route) -> None:
    body = [event_body("p")] if route is BATCH else route.body

    def refusal(key: str | None, *, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        response = api.call(route.method, route.path, key, body, headers=headers)
        return response.status_code, response.json()

    assert refusal(None) == (401, MISSING)
    assert refusal(None, headers={"Authorization": "Basic dXNlcjpwYXNz"}) == (401, MISSING)
    assert refusal(None, headers={"Authorization": "Bearer", "X-Api-Key": ""}) == (401, MISSING)
    under_scoped = tenant.write if route.scope == READ else tenant.read
    for key in ("bogus", tenant.revoked, tenant.expired, under_scoped):
        assert refusal(key) == (403, INVALID), key
    assert refusal(tenant.teamless) == (403, TEAMLESS)


@pytest.mark.parametrize("route", [*GUARDED, BATCH], ids=ids)
def test_a_sufficient_key_gets_past_the_door(api: Server, tenant: Tenant, route: Route) -> None:
    body = [event_body("p")] if route is BATCH else route.body
    # A stream that is let in has no end; one of a strange project is refused behind the door.
    path = f"{route.path}?projectId=p" if route.path in ENDLESS else route.path
    enough = tenant.read if route.scope == READ else tenant.write
    for key in (enough, tenant.hook, tenant.star, tenant.full):
        answer = api.call(route.method, path, key, body)
        assert answer.json() not in (MISSING, INVALID, TEAMLESS), key
        assert answer.status_code < 500


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer {}"},
        {"Authorization": "bearer   {}"},
        {"Authorization": "BEARER\t{}"},
        {"X-Api-Key": "{}"},
        {"x-api-key": "{}", "Authorization": "Basic dXNlcjpwYXNz"},
        {"X-Api-Key": "{}", "Authorization": "Bearer"},
        {"Authorization": "Bearer {}", "X-Api-Key": "bogus"},
    ],
)
def test_a_key_is_found_where_clients_put_it(api: Server, tenant: Tenant, headers: dict[str, str]) -> None:
    sent = {name: value.format(tenant.read) for name, value in headers.items()}
    assert api.call("GET", "/v1/usage", headers=sent).status_code == 200


def test_a_bad_bearer_token_is_not_saved_by_a_good_header(api: Server, tenant: Tenant) -> None:
    sent = {"Authorization": "Bearer bogus", "X-Api-Key": tenant.read}
    assert api.call("GET", "/v1/usage", headers=sent).status_code == 403


@pytest.mark.parametrize(
    ("key", "content"),
    [(None, b"{"), ("bogus", b"\xff"), ("read", b"[]"), (None, b"x" * 6_000_000)],
)
def test_the_key_is_checked_before_the_body(
    api: Server, tenant: Tenant, key: str | None, content: bytes
) -> None:
    chosen = tenant.read if key == "read" else key
    answer = api.call("POST", "/v1/events?wait=1", chosen, content=content)
    assert answer.status_code == (401 if key is None else 403)


def test_the_body_is_checked_before_the_team(api: Server, tenant: Tenant) -> None:
    assert api.call("POST", "/v1/events", tenant.teamless, {}).status_code == 400
    assert api.call("POST", "/v1/events?wait=1", tenant.teamless, event_body("p")).status_code == 400


def test_a_key_works_until_it_is_revoked_and_not_once_more(api: Server, tenant: Tenant) -> None:
    made = api.ok("POST", "/v1/keys", tenant.full, {}, status=201)
    assert api.call("GET", "/v1/usage", made["apiKey"]).status_code == 200
    api.ok("DELETE", f"/v1/keys/{made['id']}", tenant.full)
    answer = api.call("GET", "/v1/usage", made["apiKey"])
    assert (answer.status_code, answer.json()) == (403, INVALID)


@pytest.mark.parametrize("key", ["é" * 40, "a" * 7000, "' OR 1=1 --"])
def test_strange_keys_are_just_wrong(api: Server, key: str) -> None:
    answer = api.call("GET", "/v1/usage", headers={"X-Api-Key": key.encode()})
    assert answer.status_code in {400, 401, 403}


def test_only_an_administrator_sees_payloads(api: Server, tenant: Tenant) -> None:
    api.ok("POST", "/v1/events", tenant.full, event_body(tenant.project), status=201)
    refused = api.call("GET", "/v1/jobs?include=payload", tenant.full)
    assert (refused.status_code, refused.json()) == (
        403,
        {"error": "Forbidden", "message": "`include=payload` requires admin scope"},
    )
    for key in (tenant.admin, tenant.star):
        found = api.ok("GET", "/v1/jobs?status=bogus&include=x,%20payload", key)
        assert found["jobs"][0]["payload"]["generation_job_id"] == found["jobs"][0]["id"]


def test_open_routes_need_no_key(api: Server) -> None:
    for path in sorted(OPEN - {"/api/admin/restart", "/api/admin/shutdown"}):
        assert api.call("GET", path.replace("{file}", "main.js")).status_code == 200, path
