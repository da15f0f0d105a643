"""Nothing of a team shows to another: every route of the application, on both storages, and what is told beside answers.

The routes are those that are served, so one that is added has to be declared here: what a stranger asks of it, naming what
belongs to somebody else. Looked at are status lines, headers, bodies, metrics, exported traces and the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from claude_mem.logs import JsonFormatter
from claude_mem.process.logs import fields_of
from claude_mem.telemetry import tracing
from tests.services.test_tracing import Receiver
from tests.support.http import PATIENCE_S, Server, Tenant, database_url, event_body

#: Is in all that the team writes and in nothing that a stranger asks; the word is what the stranger searches for.
MARK = "zanzibar"
WORD = "quokka"
REPLAYED = "the same for both"
MCP = {"Accept": "application/json, text/event-stream"}
EVENTS = {"Accept": "text/event-stream"}

Document = dict[str, Any]


class Ask(NamedTuple):
    """One request of a stranger; `{name}` in it stands for what `Belongings.names` has.

    Parameters:
        until: of a stream: what its reader waits for.
    """

    query: str = ""
    body: Any = None
    headers: Document = {}  # noqa: RUF012 - never changed
    until: bytes = b""


class Belongings(NamedTuple):
    """A team with the mark in everything that it may write."""

    tenant: Tenant
    names: dict[str, str]

    def fill(self, value: Any) -> Any:
        """The same with the names of what belongs to the team."""
        if isinstance(value, str):
            for name, found in self.names.items():
                value = value.replace(f"{{{name}}}", found)
            return value
        if isinstance(value, dict):
            return {name: self.fill(item) for name, item in value.items()}
        return [self.fill(item) for item in value] if isinstance(value, list) else value


def tool(name: str, **arguments: Any) -> Ask:
    call = {"name": name, "arguments": arguments}
    return Ask(body={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}, headers=MCP)


NOTHING = (Ask(),)
PROJECT = {"projectId": "{project}"}
OWN = {"projectId": "{own}"}
NAMED = (Ask(), Ask("projectId={project}"), Ask("projectId={own}&cursor={cursor}"))
OPEN = (Ask(), Ask("projectId={project}&teamId={team}"))
EVENT = event_body("{own}", serverSessionId="{session}", contentSessionId="{content_session}")
QUESTION = {"query": "{word} own"}

#: What is asked of every route: with the ids of another team in the path, and as told here.
DECLARED: dict[str, tuple[Ask, ...]] = {
    **dict.fromkeys(
        (
            *("/", "/viewer", "/viewer/{file}", "/docs", "/openapi.json", "/v1/openapi.json", "/metrics"),
            *("/healthz", "/livez", "/readyz", "/v1/info", "/api/health", "/api/readiness", "/api/version"),
            *("/api/instructions", "/api/admin/restart", "/api/admin/shutdown", "/api/admin/doctor"),
        ),
        OPEN,
    ),
    "/v1/events": (Ask(body=event_body("{project}")), Ask(body=EVENT), Ask(body=event_body("{own}"))),
    "/v1/events/batch": (Ask(body=[event_body("{project}")]), Ask(body=[event_body("{own}"), EVENT])),
    "/v1/events/{id}": NOTHING,
    "/v1/events/{id}/observations": NOTHING,
    "/v1/sessions": (*NAMED, Ask("externalSessionId={external_session}")),
    "/v1/sessions/start": tuple(
        Ask(body=project | {"externalSessionId": "{external_session}"}) for project in (PROJECT, OWN)
    ),
    "/v1/sessions/{id}": NOTHING,
    "/v1/sessions/{id}/end": (Ask(body={}),),
    "/v1/sessions/{id}/timeline": (Ask(), Ask("cursor={timeline_cursor}")),
    "/v1/memories": (
        *NAMED,
        Ask("serverSessionId={session}"),
        Ask(body=PROJECT | {"content": "own"}),
        Ask(body=OWN | {"content": "own", "serverSessionId": "{session}"}),
    ),
    "/v1/memories/{id}": (
        Ask(body={"content": "own"}),
        Ask(headers={"If-None-Match": "{etag}"}),
        Ask(body={"content": "own"}, headers={"If-Match": "{etag}"}),
        Ask(body={"content": "own"}, headers={"If-Match": '"of-nothing"'}),
    ),
    "/v1/memories/{id}/timeline": (Ask(), Ask("cursor={timeline_cursor}")),
    "/v1/memories/{id}/origin": (Ask(),),
    "/v1/search": (
        Ask(body=PROJECT | QUESTION),
        Ask(body=OWN | QUESTION | {"highlights": True, "explain": True}),
        Ask(body=OWN | {"query": "{word}*"}),
        Ask(body=OWN | {"query": "{word}", "cursor": "{search_cursor}"}),
        Ask(body=PROJECT | {"query": "{word}", "cursor": "{search_cursor}", "limit": 1}),
        Ask(body=OWN | QUESTION | {"serverSessionId": "{session}"}),
    ),
    "/v1/context": (
        Ask(body=PROJECT | QUESTION),
        Ask(body=OWN | QUESTION),
        Ask(body=OWN | {"format": "prompt", "query": "own"}),
        Ask(body=PROJECT | {"maxTokens": 500}),
    ),
    "/v1/mcp": (
        Ask(headers=EVENTS, until=b": still here"),
        Ask(body={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=MCP),
        tool("recent", **PROJECT),
        tool("recent", **OWN),
        *(tool(name, **project, **QUESTION) for name in ("search", "context") for project in (PROJECT, OWN)),
        tool("context", **PROJECT, query="", maxTokens=500),
        *(tool(name, id="{memory}") for name in ("get", "timeline", "forget")),
        tool("remember", **PROJECT, content="own"),
        tool("remember", **OWN, content="own", serverSessionId="{session}"),
    ),
    "/v1/jobs": (*NAMED, Ask("include=payload"), Ask("sourceId={event}"), Ask("status=queued&limit=200")),
    "/v1/jobs/counts": NAMED,
    "/v1/jobs/{id}": (Ask(), Ask("include=payload")),
    "/v1/jobs/{id}/events": (Ask(), Ask(headers=EVENTS), Ask(headers=EVENTS | {"Last-Event-ID": "{line}"})),
    "/v1/jobs/{id}/retry": NOTHING,
    "/v1/jobs/{id}/cancel": NOTHING,
    "/v1/jobs/redrive": (Ask(body=PROJECT), Ask(body={}), Ask(body={"dryRun": True})),
    "/v1/teams/{teamId}/jobs": (Ask(), Ask("include=payload")),
    "/v1/projects/{projectId}/jobs": (Ask(), Ask("include=payload")),
    "/v1/projects/{projectId}/memory": NOTHING,
    "/v1/stream": (
        Ask("projectId={project}", headers=EVENTS),
        Ask(headers=EVENTS | {"Last-Event-ID": "{position}"}, until=b"own of the stream"),
    ),
    "/v1/keys": (Ask("limit=200"), Ask(body=PROJECT), Ask(body={"scopes": ["memories:read"]})),
    "/v1/keys/{id}": NOTHING,
    "/v1/keys/{id}/rotate": (Ask(), Ask(body={"overlapSeconds": 60})),
    "/v1/teams": (Ask(), Ask("teamId={team}")),
    "/v1/teams/{teamId}": (Ask(body={"name": "own"}),),
    "/v1/projects": (*NAMED, Ask(body={"name": "{project_name}"})),
    "/v1/projects/{projectId}": (Ask(body={"name": "own"}),),
    "/v1/audit": (*NAMED, Ask("limit=200")),
    "/v1/usage": (*NAMED, Ask("teamId={team}")),
    "/v1/usage/breakdown": (*NAMED, Ask("by=project"), Ask("by=model")),
    "/v1/usage/budget": NAMED,
    "/v1/budgets": (
        Ask("projectId={project}"),
        Ask(body={"period": "day", "tokens": 10**9} | PROJECT),
        Ask(body={"period": "day", "tokens": 10**9}),
    ),
    "/v1/connect": NAMED,
    "/v1/export": (*NAMED, Ask("cursor={export_cursor}"), Ask("projectId={own}&cursor={export_cursor}")),
    "/v1/import": (Ask("projectId={project}", body="{export}"), Ask(body="{export_of_ids}")),
    "/v1/retention": (
        Ask(),
        Ask(body={"subject": "events", "maxAgeDays": 9} | PROJECT),
        Ask(body={"subject": "audit", "maxAgeDays": 9}),
    ),
    "/v1/retention/preview": NAMED,
    "/v1/retention/{id}": NOTHING,
    "/api/sessions/observations": (
        Ask(body={"contentSessionId": "{content_session}", "tool_name": "own"} | PROJECT),
    ),
    "/api/sessions/summarize": (Ask(body={"contentSessionId": "{content_session}"} | PROJECT),),
}

#: Whose id the parameter in a route's path is.
IN_PATH = {"events": "event", "jobs": "job", "sessions": "session", "memories": "memory", "keys": "key"} | {
    "teams": "team",
    "projects": "project",
    "retention": "rule",
    "viewer": "word",
}


def routes(server: Server) -> set[tuple[str, str]]:
    """What is served, without the slash at the end that every path may have."""
    found = ((route.method, route.resource) for route in server.app.router.routes())
    named = ((method, resource.canonical) for method, resource in found if resource is not None)
    return {(method, path.rstrip("/") or "/") for method, path in named}


def furnish(server: Server) -> Belongings:
    """A team that has one of everything."""
    tenant = server.tenant(f"{MARK}-team")
    project, key = tenant.project, tenant.star

    def made(path: str, body: Any, **headers: str) -> Any:
        answer = server.call("POST", path, key, body, headers=headers)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    session = made(
        "/v1/sessions/start",
        {"projectId": project, "externalSessionId": f"{MARK}-external", "contentSessionId": f"{MARK}-content"}
        | {
            "agentId": f"{MARK}-agent",
            "agentType": f"{MARK}-type",
            "metadata": {"prompt": f"{WORD} {MARK} prompt"},
        },
    )["session"]["id"]
    told = {"payload": {"t": f"{WORD} {MARK} payload"}, "metadata": {"m": f"{MARK} metadata"}}
    event = made(
        "/v1/events",
        event_body(
            project,
            eventType=f"{MARK}-type",
            platformSource=f"{MARK}-platform",
            **told,
            serverSessionId=session,
        )
        | {"sourceEventId": f"{MARK}-source", "contentSessionId": f"{MARK}-content"},
        **{"Idempotency-Key": REPLAYED},
    )
    memory = {"projectId": project, "kind": f"{MARK}-kind", "serverSessionId": session}
    about = {"title": f"{MARK} title", "files_read": [f"{MARK}.py"], "concepts": [MARK]}
    first, _ = (
        made("/v1/memories", memory | {"content": f"{WORD} {MARK} content {number}", "metadata": about})[
            "memory"
        ]["id"]
        for number in range(2)
    )
    found = made("/v1/search", {"projectId": project, "query": WORD, "limit": 1})
    listed = server.ok("GET", "/v1/memories?limit=1", key)
    job = event["generationJob"]["id"]
    around = server.ok("GET", f"/v1/sessions/{session}/timeline?limit=1", key)
    exported = server.call("GET", "/v1/export", key).text
    checkpoints = [line["cursor"] for line in map(json.loads, exported.splitlines()) if "cursor" in line]
    server.ok("PUT", "/v1/budgets", key, {"period": "day", "tokens": 123_457_911})
    names = {
        "word": WORD,
        "team": tenant.team,
        "project": project,
        "project_name": f"{MARK}-team-project",
        "session": session,
        "external_session": f"{MARK}-external",
        "content_session": f"{MARK}-content",
        "event": event["event"]["id"],
        "job": job,
        "memory": first,
        "key": made("/v1/keys", {"label": f"{MARK} label"})["id"],
        "rule": made("/v1/retention", {"subject": "memories", "kinds": [f"{MARK}-kind"], "maxAgeDays": 3650})[
            "rule"
        ]["id"],
        "etag": server.call("GET", f"/v1/memories/{first}", key).headers["ETag"],
        "line": server.ok("GET", f"/v1/jobs/{job}/events", key)["events"][0]["id"],
        "position": str(event["event"]["receivedAtEpoch"] * 1000),
        "cursor": listed["nextCursor"],
        "search_cursor": found["nextCursor"],
        "timeline_cursor": around["nextCursor"],
        "export_cursor": checkpoints[0],
        "export": exported,
        "export_of_ids": exported.replace(MARK, "own").replace(WORD, "own"),
    }
    return Belongings(tenant, names)


def secrets(owned: Belongings) -> set[str]:
    """What no other team may come to see."""
    tenant = owned.tenant
    named = ("team", "project", "session", "event", "job", "memory", "key", "rule", "line")
    raw = (tenant.full, tenant.star, tenant.scoped, tenant.sibling, *tenant.ids.values())
    return {MARK, "123457911", *(owned.names[name] for name in named), *raw}


def whole(response: httpx.Response, body: str) -> str:
    head = f"{response.status_code} {response.reason_phrase}"
    return "\n".join([head, *(f"{name}: {value}" for name, value in response.headers.multi_items()), body])


@contextmanager
def logged() -> Iterator[list[str]]:
    """All that is logged from INFO on, as a server's log has it."""
    lines: list[str] = []
    handler, root = logging.Handler(logging.INFO), logging.getLogger()
    formatter, level = JsonFormatter(fields_of), root.level
    handler.emit = lambda record: lines.append(formatter.format(record))  # type: ignore[method-assign]
    # The clients' log is not the server's.
    handler.addFilter(lambda record: record.name.partition(".")[0] not in {"httpx", "httpcore"})
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class Stranger:
    """Asks as a team that has one memory of its own."""

    def __init__(self, server: Server, owned: Belongings) -> None:
        self._server, self._owned = server, owned
        self.client = httpx.Client(base_url=server.url, timeout=PATIENCE_S, trust_env=False)
        self.tenant = server.tenant("own")
        self._filled = Belongings(owned.tenant, owned.names | {"own": self.tenant.project})
        body = {"projectId": self.tenant.project, "content": "own"}
        server.ok("POST", "/v1/memories", self.tenant.full, body, status=201)

    def ask(self, method: str, path: str, ask: Ask, key: str | None) -> tuple[str, str]:
        """What is sent, but for the key, and what is answered."""
        names = self._owned.names
        for parameter in ("{id}", "{teamId}", "{projectId}", "{file}"):
            if parameter in path:
                kind = path.split("/")[2 if path.startswith("/v1/") else 1]
                path = path.replace(parameter, names[IN_PATH[kind]])
        query, body, headers = self._filled.fill(list(ask[:3]))
        target = f"{path}?{query}" if query else path
        headers = headers | {"Idempotency-Key": REPLAYED} | ({"X-Api-Key": key} if key else {})
        content = (
            body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        )
        if content is not None:
            kind = "application/x-ndjson" if isinstance(body, str) else "application/json"
            headers |= {"Content-Type": kind}
        sent = f"{target} {json.dumps(body)} {json.dumps(headers)}"
        with self.client.stream(method, target, headers=headers, content=content) as response:
            if method == "GET" and response.headers.get("Content-Type") == "text/event-stream":
                return sent, whole(response, self._followed(response, until=ask.until or b": still here"))
            return sent, whole(response, response.read().decode())

    def _followed(self, response: httpx.Response, *, until: bytes) -> str:
        """What a stream tells until it has told of something of this team that came after something of the other."""
        for tenant, content in (
            (self._owned.tenant, f"{WORD} {MARK} news"),
            (self.tenant, "own of the stream"),
        ):
            body = {"projectId": tenant.project, "content": content}
            self._server.ok("POST", "/v1/memories", tenant.full, body, status=201)
        told = b""
        for chunk in response.iter_bytes():
            told += chunk
            if until in told:
                # To the end of the event and no further: how much of the next one came along, chance decides.
                head, _, rest = told.partition(until)
                if b"\n\n" in rest:
                    return (head + until + rest.partition(b"\n\n")[0]).decode()
        raise AssertionError(f"the stream ended before {until!r}: {told!r}")


@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
async def test_no_route_tells_a_team_of_another(
    storage: Any, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    receiver = Receiver()
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "1"}
    with (
        logged() as log,
        Server(tmp_path, database_url=database_url(request, storage), environ=environ) as server,
    ):
        async with tracing.exporting(receiver.url, service="claude-mem-test"):
            asked = {path for _, path in routes(server)}
            assert set(DECLARED) == asked, "declare here what a stranger asks of a new route"
            owned = furnish(server)
            before = server.call("GET", "/v1/export", owned.tenant.full).text.splitlines()[1:]
            leaks = strangers_look(server, owned)
            logging.getLogger("claude_mem").info("a line of the log")
            after = server.call("GET", "/v1/export", owned.tenant.full).text.splitlines()[1:]
            metrics = server.call("GET", "/metrics").text
    receiver.close()
    assert leaks == []
    kept = [line for line in before if '"type":"checkpoint"' not in line and '"type":"end"' not in line]
    assert set(kept) <= set(after), "a stranger changed something"
    assert "POST /v1/search" in receiver.text
    assert "a line of the log" in "".join(log)
    hidden = secrets(owned) - {owned.names["job"]}
    for place, text in (("metrics", metrics), ("traces", receiver.text), ("log", "\n".join(log))):
        assert [one for one in hidden if one in text] == [], place


def strangers_look(server: Server, owned: Belongings) -> list[str]:
    """Ask everything with keys of every kind, and without one.

    Returns: what leaked, and server errors.
    """
    stranger, hidden, found = Stranger(server, owned), secrets(owned), []
    for method, path in sorted(routes(server)):
        for ask in DECLARED[path]:
            for kind in ("star", "scoped", "teamless", None):
                key = getattr(stranger.tenant, kind) if kind else None
                sent, told = stranger.ask(method, path, ask, key)
                # What a stranger named itself may be repeated to it.
                shown = [one for one in hidden if one in told and one not in sent]
                if shown or told.startswith("500"):
                    found.append(f"{kind} {method} {sent[:300]}: {shown} {told[:600]}")
    stranger.client.close()
    return found
