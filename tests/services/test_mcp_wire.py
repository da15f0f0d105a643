"""What existing clients of claude-mem 13 know of the MCP route, byte by byte where that matters."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from claude_mem import __version__
from claude_mem.http.routes import mcp as route
from tests.support.http import PATIENCE_S, Server, Tenant

BOTH = "application/json, text/event-stream"
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def post(api: Server, key: str, message: Any, **headers: str) -> httpx.Response:
    return api.call("POST", "/v1/mcp", key, message, headers={"Accept": BOTH} | headers)


def event(answer: httpx.Response) -> Any:
    """The one message of an answer that is framed as an event."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/event-stream"
    head, data, end = answer.text.partition("data: ")
    assert (head, data) == ("event: message\n", "data: ")
    assert end.endswith("\n\n")
    return json.loads(end)


def call(api: Server, key: str, tool: str, arguments: Any) -> Any:
    params = {"name": tool, "arguments": arguments}
    return event(post(api, key, {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}))[
        "result"
    ]


def refused(answer: httpx.Response) -> tuple[int, int, str]:
    body = answer.json()
    assert body["jsonrpc"] == "2.0"
    assert body["id"] is None
    assert answer.headers["Content-Type"].startswith("application/json")
    return answer.status_code, body["error"]["code"], body["error"]["message"]


@pytest.mark.parametrize("version", ["2025-06-18", "2025-03-26", "2024-11-05"])
def test_initialize_echoes_the_revision_and_makes_no_session(
    api: Server, tenant: Tenant, version: str
) -> None:
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    answer = post(api, tenant.read, {"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": params})
    message = event(answer)
    assert message["id"] == "a"
    result = message["result"]
    assert result.pop("instructions")
    assert result == {
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "claude-mem", "version": __version__},
    }
    assert "mcp-session-id" not in answer.headers


def test_a_notification_is_taken_without_a_word(api: Server, tenant: Tenant) -> None:
    answer = post(api, tenant.read, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"{}", b"[]", b"null", b"1", b'{"jsonrpc":"1.0","id":1,"method":"m"}', b'{"a":', b"\xff"],
)
def test_what_is_no_message_is_a_parse_error(api: Server, tenant: Tenant, body: bytes) -> None:
    answer = api.call("POST", "/v1/mcp", tenant.read, content=body, headers={"Accept": BOTH})
    assert refused(answer) == (400, -32700, "Parse error: Invalid JSON-RPC message")


@pytest.mark.parametrize(
    "given", ["1", "-1", "0", '"1"', '""', "9007199254740993", "-9223372036854775808", "18446744073709551615"]
)
def test_a_request_is_answered_under_its_very_id(api: Server, tenant: Tenant, given: str) -> None:
    body = f'{{"jsonrpc":"2.0","id":{given},"method":"tools/list"}}'.encode()
    answer = api.call("POST", "/v1/mcp", tenant.read, content=body, headers={"Accept": BOTH})
    message = event(answer)
    assert message["result"]["tools"]
    assert message["id"] == json.loads(given)
    assert isinstance(message["id"], type(json.loads(given)))


@pytest.mark.parametrize("given", ["1.0", "1e3", "-2.0"])
def test_a_whole_number_may_be_spelled_with_a_point(api: Server, tenant: Tenant, given: str) -> None:
    body = f'{{"jsonrpc":"2.0","id":{given},"method":"tools/list"}}'.encode()
    answer = api.call("POST", "/v1/mcp", tenant.read, content=body, headers={"Accept": BOTH})
    assert event(answer)["id"] == float(given)


@pytest.mark.parametrize(
    "given", ["1.5", "18446744073709551616", "-9223372036854775809", "1e300", "null", "true", "[]", "{}"]
)
@pytest.mark.parametrize("method", ["tools/list", "notifications/initialized"])
def test_an_id_that_is_none_is_refused_not_ignored(
    api: Server, tenant: Tenant, given: str, method: str
) -> None:
    body = f'{{"jsonrpc":"2.0","id":{given},"method":"{method}"}}'.encode()
    answer = api.call("POST", "/v1/mcp", tenant.read, content=body, headers={"Accept": BOTH})
    status, code, message = refused(answer)
    assert (status, code) == (400, -32600)
    assert message.startswith("Invalid Request: the id ")


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "*/*", "text/html"])
def test_both_types_have_to_be_accepted_by_name(api: Server, tenant: Tenant, accept: str) -> None:
    assert refused(post(api, tenant.read, LIST, Accept=accept))[:2] == (406, -32000)


def test_another_type_of_body_is_refused_an_unknown_revision_too(api: Server, tenant: Tenant) -> None:
    typed = {"Accept": BOTH, "Content-Type": "text/plain"}
    answer = api.call("POST", "/v1/mcp", tenant.read, content=json.dumps(LIST).encode(), headers=typed)
    assert refused(answer)[:2] == (415, -32000)
    version = {"MCP-Protocol-Version": "1999-01-01"}
    assert refused(post(api, tenant.read, LIST, **version))[:2] == (400, -32000)
    listening = api.call("GET", "/v1/mcp", tenant.read, headers={"Accept": "text/event-stream"} | version)
    assert refused(listening)[:2] == (400, -32000)
    assert event(post(api, tenant.read, LIST, **{"MCP-Protocol-Version": "2025-06-18"}))["result"]["tools"]


def test_an_unknown_method_is_an_error_within_a_good_answer(api: Server, tenant: Tenant) -> None:
    message = event(post(api, tenant.read, {"jsonrpc": "2.0", "id": 3, "method": "nope"}))
    assert (message["id"], message["error"]["code"]) == (3, -32601)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD"])
def test_other_verbs_are_not_found(api: Server, tenant: Tenant, method: str) -> None:
    assert api.call(method, "/v1/mcp", tenant.read).status_code == 404


def test_a_body_beyond_the_bound_is_refused(api: Server, tenant: Tenant) -> None:
    answer = post(api, tenant.read, {**LIST, "params": {"x": "x" * 6_000_000}})
    assert answer.status_code == 413


def test_old_tools_answer_in_their_old_form(api: Server, tenant: Tenant) -> None:
    body = {
        "projectId": tenant.project,
        "content": "The queue is emptied",
        "metadata": {"a": [1, {}], "b": []},
    }
    memory = api.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]
    asked = {"projectId": tenant.project, "query": "queue"}
    found = {"observations": [memory]}
    expected = {
        "search": found,
        "context": found | {"context": "The queue is emptied"},
        "recent": found,
    }
    for tool, document in expected.items():
        text = json.dumps(document, indent=2, ensure_ascii=False)
        assert call(api, tenant.read, tool, asked) == {"content": [{"type": "text", "text": text}]}


@pytest.mark.parametrize("tool", ["search", "context", "recent"])
def test_limits_are_moved_into_their_bounds(api: Server, tenant: Tenant, tool: str) -> None:
    for number in range(3):
        body = {"projectId": tenant.project, "content": f"queue {number}"}
        api.ok("POST", "/v1/memories", tenant.full, body, status=201)

    def found(limit: Any) -> int:
        asked = {"projectId": tenant.project, "query": "queue", "limit": limit}
        return len(json.loads(call(api, tenant.read, tool, asked)["content"][0]["text"])["observations"])

    assert [found(limit) for limit in (0, -5, 2.9, 1e300, "1", None, True, [1])] == [1, 1, 2, 3, 3, 3, 3, 3]
    bounds = {"search": 100, "context": 50, "recent": 100}[tool]
    entries = api.ok("GET", "/v1/audit?action=observation.read&limit=5", tenant.full)["audit"]
    assert bounds in {entry["details"]["limit"] for entry in entries}


def told(result: Any) -> str:
    assert result["isError"] is True
    (content,) = result["content"]
    text: str = content["text"]
    return text


@pytest.mark.parametrize("tool", ["search", "context", "recent"])
def test_errors_of_tools_are_results(api: Server, tenant: Tenant, tool: str) -> None:
    whole = {"projectId": tenant.project, "query": "q"}
    for missing in (None, "", "  ", 3, ["q"]):
        assert told(call(api, tenant.read, tool, whole | {"projectId": missing})) == '"projectId" is required'
        if tool != "recent":
            assert told(call(api, tenant.read, tool, whole | {"query": missing})) == '"query" is required'
    foreign = whole | {"projectId": tenant.sibling}
    assert told(call(api, tenant.scoped, tool, foreign)) == "API key is scoped to a different project"
    other = whole | {"projectId": api.tenant().project}
    assert told(call(api, tenant.star, tool, other)) == "project_id must belong to team_id"
    for name in whole if tool != "recent" else ["projectId"]:
        text = told(call(api, tenant.read, tool, whole | {name: "a\0b"}))
        assert text == f'"{name}" holds the character U+0000, which cannot be stored; take it out'


def test_an_unknown_tool_is_a_result_too(api: Server, tenant: Tenant) -> None:
    assert told(call(api, tenant.read, "nope", {})) == "Unknown tool: nope"


def test_half_a_surrogate_pair_does_no_harm(api: Server, tenant: Tenant) -> None:
    raw = json.dumps({"name": "search", "arguments": {"projectId": tenant.project, "query": "\ud83d fox"}})
    content = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + raw.encode() + b"}"
    answer = api.call("POST", "/v1/mcp", tenant.read, content=content, headers={"Accept": BOTH})
    assert "isError" not in event(answer)["result"]


@pytest.mark.parametrize("tool", ["search", "context", "recent"])
def test_each_look_is_in_the_audit_log(api: Server, tenant: Tenant, tool: str) -> None:
    call(api, tenant.read, tool, {"projectId": tenant.project, "query": "q"})
    (entry,) = api.ok("GET", "/v1/audit?limit=1", tenant.full)["audit"]
    assert (entry["action"], entry["projectId"]) == ("observation.read", tenant.project)
    assert (entry["details"]["via"], entry["details"]["mode"]) == ("mcp", tool)
    assert entry["details"]["requestId"]


def test_the_stream_is_open_and_says_nothing(api: Server, tenant: Tenant) -> None:
    headers = {"Authorization": f"Bearer {tenant.read}", "Accept": "text/event-stream"}
    with (
        httpx.Client(base_url=api.url, timeout=PATIENCE_S, trust_env=False) as client,
        client.stream("GET", "/v1/mcp", headers=headers) as stream,
    ):
        assert stream.status_code == 200
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert next(stream.iter_text()).startswith(":"), "comments only"
    assert refused(api.call("GET", "/v1/mcp", tenant.read))[:2] == (406, -32000)


def test_clients_beyond_the_bound_are_told_to_do_without_a_stream(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "MOST_STREAMS", 0)
    answer = api.call("GET", "/v1/mcp", tenant.read, headers={"Accept": "text/event-stream"})
    assert refused(answer)[:2] == (405, -32000)
