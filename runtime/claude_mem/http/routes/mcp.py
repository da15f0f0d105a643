"""The Model Context Protocol over streamable HTTP, without sessions: POST takes a message, GET a stream that stays empty.

What existing clients know of the wire is kept where the SDK has come to differ: both types must be accepted by name, a
body that is no JSON-RPC is -32700, and answers to POST are framed as one event.
"""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NotRequired

import orjson
from aiohttp import web
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from claude_mem.http import recollections, wire
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import JSON, Operation, Other, Parameter, describe
from claude_mem.http.responses.told import RpcAnswer, RpcRefusal
from claude_mem.http.streaming import BEAT_S, EVENT_STREAM, STREAM_HEADERS, WRITE_S, cut_off
from claude_mem.http.validation import MalformedJson, parse, read_bytes
from claude_mem.model.scopes import READ

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem.services.context import RequestContext

#: Empty streams that are open at a time in a process; further clients are told to do without, which they can.
MOST_STREAMS = 2048

#: Those of one team among them.
MOST_OF_A_TEAM = 512

IDLE = web.AppKey("mcp_streams", dict[asyncio.Event, str])
SDK = web.AppKey("mcp_sdk", list[ModuleType])

VERSION_HEADER = "MCP-Protocol-Version"
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
REFUSED = -32000


class Message(TypedDict):
    """One message in JSON-RPC: a request, or without an id a notification."""

    jsonrpc: Literal["2.0"]
    method: str
    id: NotRequired[str | int]
    params: NotRequired[dict[str, Any]]


_VERSION = Parameter(VERSION_HEADER, "Revision of the protocol that was agreed on.", place="header")
_REFUSED = {
    400: Other(JSON, "The body is no message, or the revision is unknown.", shape=RpcRefusal),
    405: Other(JSON, "No further stream is open to clients; go on without one.", shape=RpcRefusal),
    406: Other(JSON, "`Accept` does not name what is answered.", shape=RpcRefusal),
    415: Other(JSON, "The body is not JSON by its `Content-Type`.", shape=RpcRefusal),
}


@describe(
    Operation(
        "sendMcpMessage",
        "Send a message of the Model Context Protocol",
        tag="MCP",
        scope=READ,
        body=TypeAdapter(Message),
        answers={
            200: Other(JSON, "The answer, as one event or by itself.", shape=RpcAnswer, also=EVENT_STREAM),
            202: Other(None, "A notification was taken."),
            404: Other(JSON, "In the newest revision: no such method.", shape=RpcRefusal),
            **{status: _REFUSED[status] for status in (400, 406, 415)},
        },
        parameters=(_VERSION,),
    )
)
async def post(request: web.Request) -> web.StreamResponse:
    """POST /v1/mcp."""
    context = await _caller(request)
    accept = request.headers.get("Accept", "").lower()
    if JSON not in accept or EVENT_STREAM not in accept:
        return _error(
            406, REFUSED, "Not Acceptable: Client must accept both application/json and text/event-stream"
        )
    try:
        raw = await read_bytes(request)
    except MalformedJson as error:
        return _error(400, PARSE_ERROR, f"Parse error: {error.message}")
    if raw and request.content_type != JSON:
        return _error(415, REFUSED, "Unsupported Media Type: Content-Type must be application/json")
    sdk = await _sdk(request)
    message = _message(raw, sdk)
    if isinstance(message, web.Response):
        return message
    unknown = _unknown_version(request.headers, sdk)
    if unknown is not None:
        return unknown
    spelling = sdk.Spelling(observation=wire.observation, timeline=recollections.around)
    caller = sdk.Caller(request.app[SERVICES], context, spelling)
    reply = await sdk.exchange(sdk.MemoryServer(caller), message, headers=request.headers)
    if reply.status != web.HTTPOk.status_code or not _is_framed(request.headers, sdk):
        kind = JSON if reply.body else None
        return web.Response(body=reply.body, status=reply.status, content_type=kind)
    framed = b"event: message\ndata: " + reply.body + b"\n\n"
    return web.Response(body=framed, headers=STREAM_HEADERS)


@describe(
    Operation(
        "openMcpStream",
        "A stream on which the server says nothing",
        tag="MCP",
        scope=READ,
        answers={
            200: Other(EVENT_STREAM, "Comments, as long as both sides are there."),
            **{status: _REFUSED[status] for status in (400, 405, 406)},
        },
        parameters=(_VERSION,),
    )
)
async def listen(request: web.Request) -> web.StreamResponse:
    """GET /v1/mcp: a stream on which the server says nothing, for it begins no conversation; it beats until either ends."""
    context = await _caller(request)
    if EVENT_STREAM not in request.headers.get("Accept", "").lower():
        return _error(406, REFUSED, "Not Acceptable: Client must accept text/event-stream")
    unknown = _unknown_version(request.headers, await _sdk(request))
    if unknown is not None:
        return unknown
    idle = request.app[IDLE]
    of_team = sum(team_id == context.team_id for team_id in idle.values())
    if len(idle) >= MOST_STREAMS or of_team >= MOST_OF_A_TEAM:
        return _error(
            405, REFUSED, "Method Not Allowed: too many streams are open; go on without one", allow="POST"
        )
    over = asyncio.Event()
    idle[over] = context.team_id
    response = web.StreamResponse(headers=STREAM_HEADERS)
    try:
        await response.prepare(request)
        while not over.is_set():
            async with asyncio.timeout(WRITE_S):
                await response.write(b": still here\n\n")
            await _wait(over, BEAT_S)
    except (ConnectionError, TimeoutError):
        cut_off(request)
    finally:
        del idle[over]
    return response


async def end_streams(app: web.Application) -> None:
    """Let the empty streams end: the server is about to."""
    for over in app[IDLE]:
        over.set()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def _caller(request: web.Request) -> RequestContext:
    context = await authorize(request, READ)
    context.require_team()
    return replace(context, via="mcp")


async def _sdk(request: web.Request) -> ModuleType:
    """What needs the protocol's SDK, `claude_mem.mcp.sdk`: the first message has it imported, beside the event loop."""
    loaded = request.app[SDK]
    if not loaded:
        loaded.append(await asyncio.to_thread(importlib.import_module, "claude_mem.mcp.sdk"))
    return loaded[0]


def _message(raw: bytes, sdk: ModuleType) -> bytes | web.Response:
    """The message, with half surrogate pairs mended; a refusal where it is none.

    To the SDK a request whose id is none is a notification, to which nobody answers: its sender would wait forever.
    """
    try:
        value = parse(raw)
        if isinstance(value, dict) and "method" in value and "id" in value:
            value["id"] = _whole(value["id"])
            if isinstance(value["id"], bool) or not isinstance(value["id"], str | int):
                message = "Invalid Request: the id must be a text, or a whole number of at most 64 bits"
                return _error(400, INVALID_REQUEST, message)
        if sdk.is_message(value):
            return orjson.dumps(value)
    except (ValueError, TypeError):
        pass
    return _error(400, PARSE_ERROR, "Parse error: Invalid JSON-RPC message")


def _whole(given: Any) -> Any:
    """A number without a fraction as an integer, as far as a float holds integers exactly; anything else as it is."""
    if isinstance(given, float) and given.is_integer() and abs(given) < 2**53:
        return int(given)
    return given


def _unknown_version(headers: Mapping[str, str], sdk: ModuleType) -> web.Response | None:
    """The refusal of a revision of the protocol that nobody here speaks."""
    version = headers.get(VERSION_HEADER)
    if version is None or version in sdk.KNOWN_PROTOCOL_VERSIONS:
        return None
    known = ", ".join(sdk.KNOWN_PROTOCOL_VERSIONS)
    return _error(400, REFUSED, f"Bad Request: Unsupported protocol version (supported versions: {known})")


def _is_framed(headers: Mapping[str, str], sdk: ModuleType) -> bool:
    """Whether the client is of a revision in which existing clients get every answer as an event."""
    version = headers.get(VERSION_HEADER)
    return version is None or version in sdk.HANDSHAKE_PROTOCOL_VERSIONS


def _error(status: int, code: int, message: str, **headers: str) -> web.Response:
    body: dict[str, Any] = {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": None}
    return answer(body, status=status, headers=headers)


ROUTES = [web.post("/v1/mcp", post), web.get("/v1/mcp", listen, allow_head=False)]
