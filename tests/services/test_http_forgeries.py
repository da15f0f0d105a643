"""Cursors that a client made up, and readers that read nothing: refused, or cut off, and never a server error."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from claude_mem.http import streaming
from claude_mem.http.routes import mcp
from claude_mem.http.streaming import STREAMS
from claude_mem.model.times import MAX_EPOCH_MS
from tests.support.http import Server, Tenant, closing_quietly, eventually

HUGE = 2**63


def pack(parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def unpack(cursor: str) -> Any:
    return orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))


def remember(api: Server, tenant: Tenant, count: int) -> list[str]:
    body = {"projectId": tenant.project, "content": "a zebra"}
    return [
        api.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]["id"] for _ in range(count)
    ]


def changed(parts: list[Any], place: tuple[int, ...], value: Any) -> list[Any]:
    *way, last = place
    inner = parts
    for step in way:
        inner = inner[step]
    inner[last] = value
    return parts


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((0,), "another question"),
        ((1,), MAX_EPOCH_MS * 1000),
        ((2, 0), HUGE),
        ((2, 1), 0),
        ((2, 1), 5e-324),
        ((2, 2), []),
        ((2, 2), [1] * 50),
        ((2, 2), {"a": 1}),
        ((3, 1), 1e300),
        ((3, 1), HUGE),
        ((3, 1), "1"),
        ((3,), [1.0, 1]),
    ],
)
def test_a_search_cursor_that_was_changed_is_refused(
    api: Server, tenant: Tenant, place: tuple[int, ...], value: Any
) -> None:
    remember(api, tenant, 2)
    body = {"projectId": tenant.project, "query": "zebra from yesterday or today", "limit": 1}
    given = api.ok("POST", "/v1/search", tenant.full, body)["nextCursor"]
    assert api.ok("POST", "/v1/search", tenant.full, body | {"cursor": pack(unpack(given))})["observations"]
    forged = pack(changed(unpack(given), place, value))
    answer = api.call("POST", "/v1/search", tenant.full, body | {"cursor": forged})
    assert (answer.status_code, answer.json()["error"]) == (400, "ValidationError"), answer.text


@pytest.mark.parametrize(
    "forged",
    [
        [["older"], [1, "x"], [1, "x"]],
        [{}, [1, "x"], [1, "x"]],
        ["older", [HUGE, "x"], [1, "x"]],
        ["older", [1, "x\0"], [1, "x"]],
        ["older"],
        7,
    ],
)
def test_a_timeline_cursor_of_a_clients_own_making_is_refused(
    api: Server, tenant: Tenant, forged: Any
) -> None:
    memory = remember(api, tenant, 1)[0]
    answer = api.call("GET", f"/v1/memories/{memory}/timeline?cursor={pack(forged)}", tenant.full)
    assert (answer.status_code, answer.json()["error"]) == (400, "ValidationError")


def test_an_export_cursor_with_counts_beyond_all_numbers_is_refused(api: Server, tenant: Tenant) -> None:
    remember(api, tenant, 1)
    lines = api.call("GET", "/v1/export", tenant.full).text.splitlines()
    given = unpack(next(found["cursor"] for found in map(orjson.loads, lines) if "cursor" in found))
    forged = pack([*given[:-4], *[2**64 - 1] * 4])
    answer = api.call("GET", f"/v1/export?cursor={forged}", tenant.full)
    assert (answer.status_code, answer.json()["error"]) == (400, "ValidationError")


def test_an_export_cursor_in_another_teams_project_shows_nothing_of_it(api: Server, tenant: Tenant) -> None:
    remember(api, tenant, 1)
    lines = map(orjson.loads, api.call("GET", "/v1/export", tenant.full).text.splitlines())
    cursors = [found["cursor"] for found in lines if "cursor" in found]
    other = api.tenant()
    for cursor in cursors:
        text = api.call("GET", f"/v1/export?cursor={cursor}", other.full).text
        assert "zebra" not in text
        assert tenant.project not in text


def test_a_reader_that_reads_nothing_loses_its_connection(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "WRITE_S", 0.2)
    request = (
        f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nX-Api-Key: {tenant.full}\r\n\r\n"
    )
    eventually(lambda: not api.app[STREAMS], what="streams of other tests to end")
    with api.connection() as raw:
        raw.sendall(request.encode())
        eventually(lambda: len(api.app[STREAMS]) == 1, what="the stream to open")
        # More than the system keeps for a reader.
        for _ in range(4):
            body = {"projectId": tenant.project, "content": "zebra " * 500_000}
            api.ok("POST", "/v1/memories", tenant.full, body, status=201)
        eventually(lambda: len(api.app[STREAMS]) == 0, what="the stream to end")
        received = b""
        with closing_quietly():
            while chunk := raw.recv(1 << 20):
                received = (received + chunk)[-16:]
        assert not received.endswith(b"0\r\n\r\n"), "the answer was cut off, not ended"


def test_one_team_cannot_take_all_the_empty_streams(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "MOST_OF_A_TEAM", 1)
    headers = {"Accept": "text/event-stream"}
    key = {"X-Api-Key": tenant.full}
    with api._client.stream("GET", "/v1/mcp", headers=headers | key) as first:
        assert first.status_code == 200
        assert api.call("GET", "/v1/mcp", tenant.read, headers=headers).status_code == 405
        with api._client.stream(
            "GET", "/v1/mcp", headers=headers | {"X-Api-Key": api.tenant().full}
        ) as other:
            assert other.status_code == 200
    eventually(lambda: not api.app[mcp.IDLE], what="the streams to end")
