"""The SDK's own client against the real server: what agents see, in the protocol's newest revision and in those before."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

from claude_mem.generation import estimate_tokens
from tests.support.http import PATIENCE_S, Server, Tenant, database_url, event_body

Mode = Literal["auto", "legacy"]

#: By revision: the first asks the server what it speaks, the second shakes hands as all did before.
MODES: tuple[Mode, ...] = ("auto", "legacy")


@asynccontextmanager
async def connected(
    server: Server, key: str | None, mode: Mode = "auto", url: str = ""
) -> AsyncIterator[Client]:
    """A client as an agent uses it."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S, trust_env=False) as http:
        transport = streamable_http_client(url or f"{server.url}/v1/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def text(result: Any) -> str:
    (content,) = result.content
    found: str = content.text
    return found


@pytest.mark.parametrize("mode", MODES)
async def test_an_agent_remembers_finds_reads_and_forgets(api: Server, tenant: Tenant, mode: Mode) -> None:
    async with connected(api, tenant.full, mode) as client:
        await client.list_tools()
        wanted = {
            "projectId": tenant.project,
            "content": "Deploy on Tuesdays; sk-ant-api03-" + "a" * 95,
            "title": "Deployments",
            "kind": "decision",
            "metadata": {"concepts": ["gotcha"]},
        }
        written = await client.call_tool("remember", wanted)
        memory = written.structured_content["memory"]
        assert json.loads(text(written)) == written.structured_content
        assert "sk-ant" not in memory["content"]
        assert written.structured_content["redactions"] == 1
        assert memory["metadata"] == {"title": "Deployments", "concepts": ["gotcha"]}
        found = await client.call_tool("search", {"projectId": tenant.project, "query": "deployments"})
        assert json.loads(text(found))["observations"] == [memory]
        assert found.structured_content is None
        got = await client.call_tool("get", {"id": memory["id"]})
        assert got.structured_content == {"memory": memory}
        around = await client.call_tool("timeline", {"id": memory["id"]})
        assert around.structured_content["memory"] == memory
        gone = await client.call_tool("forget", {"id": memory["id"]})
        assert gone.structured_content == {"deleted": True, "id": memory["id"]}
        again = await client.call_tool("forget", {"id": memory["id"]})
        assert (again.is_error, text(again)) == (True, "Memory not found")


@pytest.mark.parametrize("mode", MODES)
async def test_tools_say_what_they_do_to_whom_they_are_for(api: Server, tenant: Tenant, mode: Mode) -> None:
    reading = {"search", "context", "recent", "timeline", "get"}
    async with connected(api, tenant.full, mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == reading | {"remember", "forget"}
    for name, tool in tools.items():
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (name in reading)
        assert tool.annotations.destructive_hint is (name == "forget")
        assert tool.annotations.idempotent_hint is (name != "remember")
        assert tool.annotations.open_world_hint is False
        assert tool.description
        assert (tool.output_schema is None) is (name in {"search", "context", "recent"})
    asked = tools["search"].input_schema
    assert asked["required"] == ["projectId", "query"]
    limit = asked["properties"]["limit"]
    assert (limit["type"], limit["minimum"], limit["maximum"], limit["default"]) == ("integer", 1, 100, 20)
    async with connected(api, tenant.read, mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == reading


async def test_a_key_that_reads_writes_nothing(api: Server, tenant: Tenant) -> None:
    async with connected(api, tenant.read) as client:
        for tool, arguments in (
            ("remember", {"projectId": tenant.project, "content": "c"}),
            ("forget", {"id": "x"}),
        ):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert "memories:write" in text(result)
    listed = api.ok("GET", f"/v1/memories?projectId={tenant.project}", tenant.full)
    assert listed["memories"] == []


async def test_a_scoped_key_is_told_its_project(api: Server, tenant: Tenant) -> None:
    async with connected(api, tenant.scoped) as client:
        assert client.instructions is not None
        assert tenant.project in client.instructions
    async with connected(api, tenant.full) as client:
        assert client.instructions is not None
        assert tenant.project not in client.instructions


@pytest.mark.parametrize(
    ("given", "refusal"), [(2**53 + 1, None), (2**64 - 1, None), (-(2**63), None), (2**64, -32600)]
)
async def test_every_request_of_the_sdks_transport_is_answered(
    api: Server, tenant: Tenant, given: int, refusal: int | None
) -> None:
    headers = {"Authorization": f"Bearer {tenant.read}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S, trust_env=False) as http,
        streamable_http_client(f"{api.url}/v1/mcp", http_client=http) as (received, sent),
    ):
        await sent.send(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=given, method="tools/list")))
        async with asyncio.timeout(PATIENCE_S):
            answer = await received.receive()
    assert isinstance(answer, SessionMessage)
    if refusal is None:
        assert isinstance(answer.message, JSONRPCResponse)
        assert answer.message.result["tools"]
    else:
        assert isinstance(answer.message, JSONRPCError)
        assert answer.message.error.code == refusal
    assert answer.message.id == given


async def test_nothing_of_another_scope_shows(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": "xylophone"}
    memory = api.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]["id"]
    for key, refusal in ((api.tenant().full, "Memory not found"), (tenant.sibling_key, None)):
        async with connected(api, key) as client:
            for tool in ("get", "timeline", "forget"):
                result = await client.call_tool(tool, {"id": memory})
                assert result.is_error
                expected = (
                    "API key is scoped to a different project" if tool != "forget" else "Memory not found"
                )
                assert text(result) == (refusal or expected)
                assert "xylophone" not in text(result)
            for tool in ("search", "context", "recent", "remember"):
                asked = {"projectId": tenant.project, "query": "xylophone", "content": "c", "maxTokens": 500}
                result = await client.call_tool(tool, asked)
                assert result.is_error
                assert "xylophone" not in text(result)
    assert api.ok("GET", f"/v1/memories/{memory}", tenant.full)["memory"]["content"] == "xylophone"


async def test_a_context_keeps_its_budget(api: Server, tenant: Tenant) -> None:
    for number in range(30):
        body = {"projectId": tenant.project, "content": f"Queue fact {number}: {'detail ' * number}"}
        api.ok("POST", "/v1/memories", tenant.full, body, status=201)
    async with connected(api, tenant.read) as client:
        for query in ("queue detail", ""):
            for tokens in (1, 150, 600, 2000):
                asked = {"projectId": tenant.project, "query": query, "maxTokens": tokens}
                result = await client.call_tool("context", asked)
                assert not result.is_error
                told = text(result)
                if tokens > 100:
                    assert told.startswith("<memories ")
                    assert told.count("<memory ") >= tokens // 200
                    assert estimate_tokens(told) <= tokens
                else:
                    assert "nothing" in told


async def test_a_context_tells_as_many_as_its_schema_says(api: Server, tenant: Tenant) -> None:
    words = [
        f"{first}{second}"
        for first in "bdfgklmn"
        for second in ("ato", "eru", "ilo", "omi", "una", "yre", "aza")
    ]
    for word in words:
        body = {"projectId": tenant.project, "content": f"queue {word} {word}x {word}y {word}z"}
        api.ok("POST", "/v1/memories", tenant.full, body, status=201)
    async with connected(api, tenant.read) as client:
        (tool,) = (one for one in (await client.list_tools()).tools if one.name == "context")
        most = tool.input_schema["properties"]["limit"]["maximum"]
        asked = {"projectId": tenant.project, "query": "queue", "limit": most}
        told = text(await client.call_tool("context", asked | {"maxTokens": 20_000}))
        assert told.count("<memory ") == len(words) == 56
        plain = json.loads(text(await client.call_tool("context", asked)))
        assert len(plain["observations"]) == 50


async def test_bad_arguments_are_told_and_the_server_lives(api: Server, tenant: Tenant) -> None:
    async with connected(api, tenant.full) as client:
        for tool, arguments, expected in (
            ("get", {}, '"id" is required'),
            ("get", {"id": "a\0"}, '"id" holds the character U+0000, which cannot be stored; take it out'),
            ("timeline", {"id": "absent"}, "Memory not found"),
            ("remember", {"projectId": tenant.project}, '"content" is required'),
            (
                "remember",
                {"projectId": tenant.project, "content": "c", "metadata": []},
                '"metadata" must be an object',
            ),
            (
                "remember",
                {"projectId": tenant.project, "content": "c", "metadata": {"a": ["\0"]}},
                '"metadata" holds the character U+0000, which cannot be stored; take it out',
            ),
            (
                "remember",
                {"projectId": tenant.project, "content": "c", "kind": "k" * 2000},
                '"kind" is longer than 1024 characters',
            ),
            (
                "remember",
                {"projectId": tenant.project, "content": "c", "serverSessionId": "absent"},
                "server_session_id must belong to project_id and team_id",
            ),
            (
                "remember",
                {"projectId": tenant.project, "content": "<private>all</private>"},
                "nothing is left of the content once its private parts are taken out",
            ),
        ):
            result = await client.call_tool(tool, arguments)
            assert (result.is_error, text(result)) == (True, expected)
        assert not (await client.call_tool("recent", {"projectId": tenant.project})).is_error


@pytest.fixture(params=["sqlite", "postgres"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that a test may break."""
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "true", "CLAUDE_MEM_MONTHLY_TOKEN_CAP": "1"}
    with Server(tmp_path, database_url=database_url(request, request.param), environ=environ) as server:
        yield server


async def test_a_database_that_cannot_answer_is_told_with_what_to_do(own: Server) -> None:
    tenant = own.tenant()
    body = {"projectId": tenant.project, "content": "queue"}
    memory = own.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]["id"]
    own.execute("ALTER TABLE audit_log RENAME TO audit_away")
    async with connected(own, tenant.full) as client:
        for tool in ("search", "context", "recent", "timeline", "get", "remember", "forget"):
            asked = {"projectId": tenant.project, "query": "queue", "content": "c", "id": memory}
            result = await client.call_tool(tool, asked)
            assert result.is_error, tool
            assert "try again" in text(result)
            assert "go on without memory" in text(result)
            assert "audit" not in text(result)
    own.execute("ALTER TABLE audit_away RENAME TO audit_log")
    listed = own.ok("GET", f"/v1/memories?projectId={tenant.project}", tenant.full)["memories"]
    assert [found["id"] for found in listed] == [memory], "neither tool that writes did half of its work"


def test_what_install_writes_connects_an_agent(api: Server, tenant: Tenant, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("claude-mem")
    given = ["install", "--server-url", api.url, "--project-id", tenant.project, "--api-key", tenant.scoped]
    done = subprocess.run(
        [program, *given],
        env=os.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    configured = json.loads((Path(os.environ["HOME"]) / ".claude.json").read_text(encoding="utf-8"))
    entry = configured["mcpServers"]["claude-mem"]
    assert entry["type"] == "http"
    key = entry["headers"]["Authorization"].removeprefix("Bearer ")

    async def use() -> None:
        async with connected(api, key, url=entry["url"]) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert {"search", "remember"} <= tools

    asyncio.run(use())


def test_events_around_a_memory_are_told_when_asked_for(api: Server, tenant: Tenant) -> None:
    api.ok("POST", "/v1/events", tenant.full, event_body(tenant.project), status=201)
    body = {"projectId": tenant.project, "content": "c"}
    memory = api.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]["id"]

    async def told(events: bool) -> list[str]:
        async with connected(api, tenant.read) as client:
            result = await client.call_tool("timeline", {"id": memory, "events": events})
            return [entry["type"] for entry in result.structured_content["before"]]

    assert asyncio.run(told(events=False)) == []
    assert asyncio.run(told(events=True)) == ["event"]
