"""The SDK against a real HTTP server: what is sent and read, what is retried, which error is raised."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from claude_mem.client import AsyncClient, Client, errors, event_body
from claude_mem.client.retry import RetryPolicy, parse_retry_after
from tests.support.ports import free_port
from tests.unit.client.recording_server import OBSERVATION, Answer, RecordingServer, Request

KEY = "cmem_0123456789abcdef0123456789abcdef"
#: Seconds for anything, on a machine that has other things to do.
PATIENCE_S = 240.0
QUICK = RetryPolicy(retries=2, base_delay=0.001)
JOB = {"id": "j1", "status": "failed", "lastError": {"reason": "r", "classification": None}}
SESSION = {"id": "s1", "projectId": "p1"}
EVENT = {"id": "e1", "projectId": "p1", "eventType": "tool_use", "occurredAtEpoch": 5, "payload": {"a": 1}}


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


@pytest.fixture
def client(server: RecordingServer) -> Iterator[Client]:
    with Client(server_url=server.url, api_key=KEY, project_id="p1", retry_policy=QUICK) as made:
        yield made


ROUTES: list[tuple[str, Callable[[Any], Any], Any, Callable[[Any], Any]]] = [
    (
        "GET /v1/info",
        lambda c: c.info(),
        {"name": "claude-mem-server", "runtime": "server-beta"},
        lambda r: r.runtime,
    ),
    ("GET /api/health", lambda c: c.health(), {"status": "ok", "version": "1"}, lambda r: r.status),
    ("GET /api/readiness", lambda c: c.ready(), {"status": "ready"}, lambda r: r.ready),
    (
        "POST /v1/events",
        lambda c: c.record_event(event_type="t"),
        {"event": EVENT},
        lambda r: r.event.payload,
    ),
    (
        "POST /v1/events/batch",
        lambda c: c.record_events([event_body(event_type="t")]),
        {"events": [{"event": EVENT}]},
        lambda r: r.events[0].event.id,
    ),
    ("GET /v1/events/e%2F1", lambda c: c.get_event("e/1"), {"event": EVENT}, lambda r: r.occurred_at_epoch),
    (
        "GET /v1/events/e1/observations",
        lambda c: c.event_observations("e1"),
        {
            "eventId": "e1",
            "observations": [
                {**OBSERVATION, "source": {"id": "x", "sourceType": "agent_event", "sourceId": "e1"}}
            ],
        },
        lambda r: r.observations[0].source.source_id,
    ),
    (
        "POST /v1/sessions/start",
        lambda c: c.start_session(content_session_id="c"),
        {"session": SESSION},
        lambda r: r.id,
    ),
    ("GET /v1/sessions/s1", lambda c: c.get_session("s1"), {"session": SESSION}, lambda r: r.project_id),
    (
        "POST /v1/sessions/s1/end",
        lambda c: c.end_session("s1"),
        {"session": SESSION, "generationJob": JOB},
        lambda r: r.generation_job.status,
    ),
    (
        "POST /v1/memories",
        lambda c: c.add_memory("text"),
        {"memory": OBSERVATION},
        lambda r: r.metadata["files_read"],
    ),
    ("GET /v1/memories/o1", lambda c: c.get_memory("o1"), {"memory": OBSERVATION}, lambda r: r.kind),
    (
        "GET /v1/memories",
        lambda c: c.list_memories(),
        {"memories": [OBSERVATION], "nextCursor": "n"},
        lambda r: r.next_cursor,
    ),
    (
        "PATCH /v1/memories/o1",
        lambda c: c.update_memory("o1", content="x"),
        {"memory": OBSERVATION},
        lambda r: r.id,
    ),
    (
        "DELETE /v1/memories/o1",
        lambda c: c.delete_memory("o1"),
        {"deleted": True, "id": "o1"},
        lambda r: r.deleted,
    ),
    (
        "DELETE /v1/projects/p9/memory",
        lambda c: c.purge_project("p9"),
        {"purged": True, "projectId": "p9", "counts": {"agentEvents": 3}},
        lambda r: r.counts.agent_events,
    ),
    (
        "POST /v1/search",
        lambda c: c.search("q"),
        {"observations": [{**OBSERVATION, "score": 1.5}]},
        lambda r: r.observations[0].score,
    ),
    ("POST /v1/context", lambda c: c.context("q"), {"observations": [], "context": "x"}, lambda r: r.context),
    (
        "GET /v1/jobs",
        lambda c: c.list_jobs(status="failed"),
        {"jobs": [JOB], "total": 1},
        lambda r: r.jobs[0].last_error.reason,
    ),
    ("GET /v1/jobs/j1", lambda c: c.get_job("j1"), {"generationJob": JOB}, lambda r: r.status),
    (
        "POST /v1/jobs/j1/retry",
        lambda c: c.retry_job("j1"),
        {"generationJob": JOB, "retriedCount": 2},
        lambda r: r.retried_count,
    ),
    (
        "POST /v1/jobs/j1/cancel",
        lambda c: c.cancel_job("j1"),
        {"generationJob": JOB, "alreadyCancelled": True},
        lambda r: r.already_cancelled,
    ),
    (
        "GET /v1/usage",
        lambda c: c.usage(),
        {"since": "2026-11-01T00:00:00.000Z", "usage": {"request": 4}},
        lambda r: r.usage["request"],
    ),
    ("GET /v1/connect", lambda c: c.connect(), {"mcpUrl": "u", "connectCommand": "c"}, lambda r: r.mcp_url),
    (
        "GET /v1/keys",
        lambda c: c.list_keys(),
        {"keys": [{"id": "k1", "name": "n", "lastUsedAtEpoch": 7}], "nextCursor": None},
        lambda r: r.keys[0].last_used_at_epoch,
    ),
    (
        "POST /v1/keys",
        lambda c: c.create_key(name="l", scopes=["memories:write"]),
        {"id": "k1", "apiKey": "cm_x", "scopes": []},
        lambda r: r.api_key,
    ),
    (
        "POST /v1/keys/k1/rotate",
        lambda c: c.rotate_key("k1", overlap_seconds=60),
        {"id": "k2", "apiKey": "cm_y"},
        lambda r: r.id,
    ),
    (
        "DELETE /v1/keys/k1",
        lambda c: c.revoke_key("k1"),
        {"id": "k1", "status": "revoked"},
        lambda r: r.status,
    ),
    (
        "GET /v1/projects",
        lambda c: c.list_projects(),
        {"projects": [{"id": "p1", "name": "n"}]},
        lambda r: r.projects[0].name,
    ),
    (
        "POST /v1/projects",
        lambda c: c.create_project("n"),
        {"project": {"id": "p1", "name": "n"}},
        lambda r: r.id,
    ),
    (
        "PATCH /v1/projects/p1",
        lambda c: c.update_project("p1", name="n", language=None),
        {"project": {"id": "p1", "name": "n", "metadata": {"mode": "code"}}},
        lambda r: r.metadata["mode"],
    ),
    ("GET /v1/teams/t1", lambda c: c.get_team("t1"), {"team": {"id": "t1", "name": "n"}}, lambda r: r.name),
    (
        "GET /v1/audit",
        lambda c: c.audit(limit=3),
        {"audit": [{"id": "a", "action": "session.end"}], "nextCursor": "n"},
        lambda r: r.entries[0].action,
    ),
    (
        "POST /v1/import",
        lambda c: c.import_lines(b'{"type":"header"}\n', project_id="p2"),
        {
            "dryRun": False,
            "complete": False,
            "lines": 1,
            "imported": {"events": 2},
            "duplicates": {},
            "unlinked": 0,
            "redactions": 0,
            "refusedLines": 1,
            "refused": [{"line": 1, "message": "m"}],
        },
        lambda r: r.refused[0].message,
    ),
]


@pytest.mark.parametrize(("route", "call", "answer", "read"), ROUTES, ids=[route[0] for route in ROUTES])
async def test_both_clients_send_each_call_and_read_its_answer(
    server: RecordingServer,
    route: str,
    call: Callable[[Any], Any],
    answer: Any,
    read: Callable[[Any], Any],
) -> None:
    server.rule = lambda _: Answer(200, answer)

    def blocking() -> Any:
        with Client(server_url=server.url, api_key=KEY, project_id="p1") as made:
            return call(made)

    first = await asyncio.to_thread(blocking)
    async with AsyncClient(server_url=server.url, api_key=KEY, project_id="p1") as made:
        second = await call(made)
    assert read(first) == read(second)
    assert read(first) is not None
    sent = server.requests
    assert [f"{request.method} {request.path}" for request in sent] == [route, route]
    assert {request.headers["authorization"] for request in sent} == {f"Bearer {KEY}"}
    without_ids = [_without_generated(request.body) for request in sent]
    assert without_ids[0] == without_ids[1]
    assert sent[0].query == sent[1].query


def _without_generated(body: Any) -> Any:
    if isinstance(body, list):
        return [_without_generated(item) for item in body]
    return {k: v for k, v in body.items() if k not in ("sourceEventId", "occurredAtEpoch")} if body else body


def test_every_route_is_covered() -> None:
    public = {name for name in vars(Client.__mro__[2]) if not name.startswith("_")}
    assert len(public) == len(ROUTES)


def test_a_project_keeps_what_is_not_named(server: RecordingServer, client: Client) -> None:
    server.rule = lambda _: Answer(200, {"project": {"id": "p1", "name": "n"}})
    client.update_project("p1", mode="code")
    client.update_project("p1", name="n", mode=None, language="de")
    assert [request.body for request in server.requests] == [
        {"mode": "code"},
        {"name": "n", "mode": None, "language": "de"},
    ]


def test_the_clients_project_fills_what_names_none(server: RecordingServer, client: Client) -> None:
    client.search("q")
    client.search("q", project_id="p2")
    client.record_events([event_body(event_type="t"), event_body(event_type="t", project_id="p2")])
    assert [request.body["projectId"] for request in server.requests[:2]] == ["p1", "p2"]
    assert [event["projectId"] for event in server.requests[2].body] == ["p1", "p2"]


def test_without_a_project_nothing_is_sent(server: RecordingServer) -> None:
    with Client(server_url=server.url) as made, pytest.raises(errors.ConfigurationError, match="PROJECT_ID"):
        made.search("q")
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.ValidationFailed),
        (401, errors.AuthenticationError),
        (402, errors.QuotaExceeded),
        (403, errors.PermissionDenied),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.ValidationFailed),
        (418, errors.UnexpectedReply),
        (429, errors.RateLimited),
        (500, errors.ServerUnavailable),
        (503, errors.ServerUnavailable),
    ],
)
def test_each_status_has_its_error(
    server: RecordingServer, client: Client, status: int, kind: type[errors.ClaudeMemApiError]
) -> None:
    body = {"error": "Name", "message": "why"}
    server.rule = lambda _: Answer(status, body, {"X-Request-Id": "req-1", "Retry-After": "0"})
    with pytest.raises(kind) as caught:
        client.get_job("j1")
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.error, error.message, error.request_id) == (status, "Name", "why", "req-1")
    assert str(error) == f"{status} Name: why (request req-1)"


def test_issues_become_the_message(server: RecordingServer, client: Client) -> None:
    issues = [{"code": "too_small", "path": ["events", 0, "eventType"], "message": "too short"}]
    server.rule = lambda _: Answer(400, {"error": "ValidationError", "issues": issues})
    with pytest.raises(errors.ValidationFailed, match=r"events\.0\.eventType: too short") as caught:
        client.search("q")
    assert caught.value.issues == issues


def failing(statuses: list[int], headers: dict[str, str] | None = None) -> Callable[[Request], Answer | None]:
    rest = iter(statuses)

    def rule(_: Request) -> Answer | None:
        status = next(rest, None)
        return None if status is None else Answer(status, {"error": "x", "message": "y"}, headers or {})

    return rule


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_repeatable_call_is_tried_again(server: RecordingServer, client: Client, status: int) -> None:
    server.rule = failing([status, status])
    receipt = client.record_event(event_type="tool_use", payload={"n": 1})
    assert len(server.requests) == 3
    ids = {request.body["sourceEventId"] for request in server.requests}
    assert len(ids) == 1
    assert receipt.event.source_event_id in ids
    assert len({request.body["occurredAtEpoch"] for request in server.requests}) == 1


def test_tries_are_bounded(server: RecordingServer, client: Client) -> None:
    server.rule = failing([503] * 9)
    with pytest.raises(errors.ServerUnavailable):
        client.search("q")
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_what_may_have_been_done_is_not_done_again(
    server: RecordingServer, client: Client, status: int
) -> None:
    server.rule = failing([status])
    with pytest.raises(errors.ServerUnavailable):
        client.add_memory("text")
    assert len(server.requests) == 1


def test_the_servers_wish_to_wait_is_honoured_or_reported(server: RecordingServer) -> None:
    patient = RetryPolicy(retries=1, base_delay=100, longest_wait=5)
    with Client(server_url=server.url, project_id="p", retry_policy=patient) as made:
        server.rule = failing([429], {"Retry-After": "0"})
        assert made.search("q").observations[0].id == "o1"
        server.rule = failing([429], {"Retry-After": "90"})
        with pytest.raises(errors.RateLimited) as caught:
            made.search("q")
    assert caught.value.retry_after == 90
    assert len(server.requests) == 3


def test_retry_after_headers() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert parse_retry_after("7") == 7
    assert parse_retry_after(format_datetime(now + timedelta(seconds=9), usegmt=True), now=now) == 9
    assert parse_retry_after(format_datetime(now - timedelta(seconds=9), usegmt=True), now=now) == 0
    assert parse_retry_after("soon") is None
    assert parse_retry_after(None) is None


async def test_no_server_is_an_error_that_says_where(server: RecordingServer) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with (
        Client(server_url=url, project_id="p", retry_policy=QUICK) as made,
        pytest.raises(errors.ServerUnavailable, match=url) as caught,
    ):
        made.add_memory("x")
    assert caught.value.status is None
    async with AsyncClient(server_url=url, project_id="p", retry_policy=QUICK) as other:
        with pytest.raises(errors.ServerUnavailable, match=url):
            await other.search("q")


async def test_a_server_that_does_not_answer_in_time(server: RecordingServer) -> None:
    arrived, release = threading.Event(), threading.Event()

    def rule(_: Request) -> None:
        arrived.set()
        release.wait(PATIENCE_S)

    server.rule = rule
    try:
        # Long enough to be sent on a busy machine.
        async with AsyncClient(
            server_url=server.url, project_id="p", timeout=1.0, retry_policy=QUICK
        ) as impatient:
            with pytest.raises(errors.RequestTimedOut):
                await impatient.add_memory("x")
        assert await asyncio.to_thread(arrived.wait, PATIENCE_S)
    finally:
        release.set()
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", ["<html>", '"text"', "{}", '{"observations": 3}'])
def test_an_answer_of_something_else(server: RecordingServer, client: Client, body: str) -> None:
    server.rule = lambda _: Answer(200, body)
    with pytest.raises(errors.UnexpectedReply, match="server URL"):
        client.search("q")


def test_a_server_that_is_not_ready_is_an_answer(server: RecordingServer, client: Client) -> None:
    server.rule = lambda _: Answer(503, {"status": "initializing", "message": "wait"})
    assert not client.ready().ready
    assert len(server.requests) == 1


def test_settings_make_a_client(server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_MEM_SERVER_URL", server.url + "/")
    monkeypatch.setenv("CLAUDE_MEM_SERVER_API_KEY", KEY)
    monkeypatch.setenv("CLAUDE_MEM_SERVER_PROJECT_ID", "p7")
    with Client.from_settings() as made:
        made.search("q")
        assert KEY not in repr(made)
    assert server.requests[0].body["projectId"] == "p7"
    monkeypatch.setenv("CLAUDE_MEM_RUNTIME", "worker")
    with pytest.raises(errors.ConfigurationError, match="worker"):
        Client.from_settings()


async def test_a_proxy_is_not_asked_for_this_machine(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    async with AsyncClient(server_url=server.url, project_id="p") as made:
        assert (await made.search("q")).observations


@pytest.mark.parametrize("key", ["with\nline", "clé"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        Client(server_url="http://127.0.0.1:1", api_key=key)
    assert key not in str(caught.value)


def test_events_get_distinct_ids() -> None:
    ids = [event_body(event_type="t")["sourceEventId"] for _ in itertools.repeat(None, 50)]
    assert len(set(ids)) == 50
