"""What belongs to one team shows to no other, and what belongs to a project not to a key of its sibling."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.services.test_http_auth import GUARDED, Route, ids
from tests.support.http import Server, Tenant, event_body

MARK = "zanzibar"


class Belongings(NamedTuple):
    """One of everything in a team's project, each with the mark in it wherever text may be."""

    tenant: Tenant
    event: str
    job: str
    session: str
    memory: str
    key: str
    rule: str

    def of(self, route: Route) -> str:
        """The path of a route that leads to something here."""
        kind = route.path.split("/")[2]
        named = {
            "events": self.event,
            "jobs": self.job,
            "sessions": self.session,
            "memories": self.memory,
            "keys": self.key,
            "teams": self.tenant.team,
            "projects": self.tenant.project,
            "retention": self.rule,
        }
        return route.path.replace("/x", f"/{named[kind]}")


@pytest.fixture(scope="module")
def owned(api: Server) -> Belongings:
    tenant = api.tenant(MARK)
    project, key = tenant.project, tenant.full
    event = api.ok(
        "POST",
        "/v1/events",
        key,
        event_body(project, eventType=MARK, payload={"t": MARK}, metadata={"m": MARK}, platformSource=MARK),
        status=201,
    )
    session = api.ok(
        "POST",
        "/v1/sessions/start",
        key,
        {"projectId": project, "externalSessionId": MARK, "agentId": MARK, "metadata": {"prompt": MARK}},
        status=201,
    )
    memory = api.ok(
        "POST", "/v1/memories", key, {"projectId": project, "content": MARK, "kind": MARK}, status=201
    )
    made = api.ok("POST", "/v1/keys", key, {"label": MARK}, status=201)
    kept = {"subject": "memories", "projectId": project, "kinds": [MARK]}
    rule = api.ok("POST", "/v1/retention", tenant.admin, kept, status=201)
    return Belongings(
        tenant,
        event["event"]["id"],
        event["generationJob"]["id"],
        session["session"]["id"],
        memory["memory"]["id"],
        made["id"],
        rule["rule"]["id"],
    )


BY_ID = [route for route in GUARDED if "/x" in route.path]


@pytest.mark.parametrize("route", BY_ID, ids=ids)
@pytest.mark.parametrize("kind", ["admin", "star", "scoped"])
def test_another_team_finds_nothing(
    api: Server, tenant: Tenant, owned: Belongings, route: Route, kind: str
) -> None:
    answer = api.call(route.method, owned.of(route), getattr(tenant, kind), route.body)
    strange = api.call(route.method, route.path, getattr(tenant, kind), route.body)
    assert answer.status_code in ({403, 404} if kind == "scoped" else {404}), answer.text
    assert (answer.status_code, answer.json()) == (strange.status_code, strange.json())
    assert MARK not in answer.text


SIBLING_STATUS = {"events": 403, "sessions": 403, "memories": 403, "jobs": 404, "keys": 404, "projects": 404}


@pytest.mark.parametrize(
    "route", [route for route in BY_ID if route.path.split("/")[2] not in {"teams", "retention"}], ids=ids
)
def test_a_siblings_key_is_refused(api: Server, owned: Belongings, route: Route) -> None:
    answer = api.call(route.method, owned.of(route), owned.tenant.sibling_key, route.body)
    expected = SIBLING_STATUS[route.path.split("/")[2]]
    if route.path == "/v1/projects/x/memory":
        expected = 403
    if (route.method, route.path) == ("DELETE", "/v1/memories/x"):
        expected = 404
    assert answer.status_code == expected, answer.text
    if expected == 403:
        assert answer.json()["message"] == "API key is scoped to a different project"
    assert MARK not in answer.text


def test_a_siblings_key_sees_only_its_project_of_the_team(api: Server, owned: Belongings) -> None:
    key = owned.tenant.sibling_key
    assert api.ok("GET", f"/v1/teams/{owned.tenant.team}/jobs", key)["total"] == 0
    assert api.ok("GET", "/v1/jobs", key)["total"] == 0
    assert api.ok("GET", "/v1/memories", key)["memories"] == []
    assert api.ok("GET", "/v1/sessions", key)["sessions"] == []
    assert api.ok("GET", "/v1/keys", key)["keys"][0]["projectId"] == owned.tenant.sibling


def bodies(project: str) -> list[tuple[str, str, Any]]:
    """Requests that name a project in the body or in the query."""
    return [
        ("POST", "/v1/events", event_body(project)),
        ("POST", "/v1/events/batch", [event_body(project)]),
        ("POST", "/v1/sessions/start", {"projectId": project, "externalSessionId": MARK}),
        ("POST", "/v1/memories", {"projectId": project, "content": "c"}),
        ("POST", "/v1/search", {"projectId": project, "query": MARK}),
        ("POST", "/v1/context", {"projectId": project, "query": MARK}),
        ("GET", f"/v1/memories?projectId={project}", None),
        ("GET", f"/v1/sessions?projectId={project}", None),
        ("GET", f"/v1/audit?projectId={project}", None),
        ("GET", f"/v1/stream?projectId={project}", None),
        ("GET", f"/v1/usage/breakdown?projectId={project}", None),
        ("GET", f"/v1/usage/budget?projectId={project}", None),
        ("GET", f"/v1/jobs/counts?projectId={project}", None),
        ("POST", "/v1/keys", {"projectId": project}),
        ("POST", "/v1/jobs/redrive", {"projectId": project}),
        ("GET", f"/v1/export?projectId={project}", None),
        ("POST", f"/v1/import?projectId={project}", None),
    ]


@pytest.mark.parametrize("index", range(17))
def test_a_project_in_the_request_has_to_be_the_keys(
    api: Server, tenant: Tenant, owned: Belongings, index: int
) -> None:
    method, path, body = bodies(owned.tenant.project)[index]
    for key, message in (
        (tenant.full, "project_id must belong to team_id"),
        (tenant.star, "project_id must belong to team_id"),
        (tenant.scoped, "API key is scoped to a different project"),
        (owned.tenant.sibling_key, "API key is scoped to a different project"),
    ):
        answer = api.call(method, path, key, body)
        assert (answer.status_code, answer.json()) == (403, {"error": "Forbidden", "message": message})


@pytest.mark.parametrize("path", ["/v1/events", "/v1/memories", "/v1/events/batch"])
def test_a_session_of_another_scope_cannot_be_written_to(
    api: Server, tenant: Tenant, owned: Belongings, path: str
) -> None:
    for key, project in ((tenant.full, tenant.project), (owned.tenant.full, owned.tenant.sibling)):
        body = event_body(project, serverSessionId=owned.session, content="c")
        answer = api.call("POST", path, key, [body] if "batch" in path else body)
        assert (answer.status_code, answer.json()) == (
            403,
            {
                "error": "Forbidden",
                "message": "server_session_id must belong to project_id and team_id",
            },
        )


def test_the_same_event_in_two_teams_is_two_events(api: Server, tenant: Tenant, owned: Belongings) -> None:
    other = api.tenant()
    mine = api.ok(
        "POST", "/v1/events", tenant.full, event_body(tenant.project, sourceEventId="s"), status=201
    )
    theirs = api.ok(
        "POST", "/v1/events", other.full, event_body(other.project, sourceEventId="s"), status=201
    )
    assert mine["event"]["id"] != theirs["event"]["id"]
    assert "duplicate" not in theirs


def test_nothing_of_a_team_shows_to_another_anywhere(api: Server, tenant: Tenant, owned: Belongings) -> None:
    project = tenant.project
    api.ok("POST", "/v1/memories", tenant.full, {"projectId": project, "content": "own"}, status=201)
    asked_by_get = [route for route in GUARDED if route.method == "GET" and route.path != "/v1/stream"]
    paths = [owned.of(route) if "/x" in route.path else route.path for route in asked_by_get]
    paths += [
        "/v1/jobs?include=payload",
        "/v1/audit?limit=200",
        "/v1/keys?limit=200",
        "/v1/memories?limit=200",
    ]
    paths += ["/v1/info", "/api/health", "/readyz", "/api/admin/doctor"]
    asked: list[tuple[str, str, Any]] = [("GET", path, None) for path in paths]
    question = {"projectId": project, "query": f"{MARK} own"}
    asked += [("POST", "/v1/search", question), ("POST", "/v1/context", question)]
    texts = [api.call(method, path, tenant.star, body).text for method, path, body in asked]
    seen = "\n".join(texts)
    assert MARK not in seen.replace(f'"query":"{MARK} own"', "")
    for value in (owned.tenant.team, owned.tenant.project, owned.event, owned.job, owned.memory, owned.key):
        assert value not in seen.replace(f'"eventId":"{owned.event}"', "")
