"""One message to a server and the reply to it, by the SDK's streamable HTTP transport, stateless and without a network.

The transport speaks ASGI. It is entered and left for each message, so nothing of it outlives the request, and a
request that is cancelled takes everything with it. Replies are asked for as JSON; whether they are framed as events is for
who sends them to decide.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.lowlevel import Server

#: Headers of the request that the transport reads, beside the types of content, which are the bridge's own.
_PASSED_ON = ("mcp-protocol-version", "mcp-method", "mcp-name")
_PASSED_ON_PREFIX = "mcp-param-"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the transport answered.

    Parameters:
        body: JSON, or empty for what needs no answer.
    """

    status: int
    body: bytes


async def exchange(server: Server[Any], message: bytes, *, headers: Mapping[str, str]) -> Reply:
    """Have a server answer a message.

    Parameters:
        message: JSON-RPC, within the bounds that its sender was held to.
        headers: of the request; those that the protocol does not know are not passed on, credentials least of all.
    """
    manager = StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=max(1, len(message))
    )
    conversation = _Conversation(message)
    async with manager.run():
        await manager.handle_request(_scope(headers), conversation.receive, conversation.send)
    return conversation.reply


class _Conversation:
    """Both ends of an ASGI exchange, in memory."""

    def __init__(self, message: bytes) -> None:
        self._message: bytes | None = message
        self._status = 500
        self._body = bytearray()

    async def receive(self) -> dict[str, Any]:
        if self._message is None:
            # Nothing more comes; who waits for it is cancelled once the reply is complete.
            await asyncio.Event().wait()
        message, self._message = self._message, None
        return {"type": "http.request", "body": message, "more_body": False}

    async def send(self, event: Any) -> None:
        if event["type"] == "http.response.start":
            self._status = event["status"]
        else:
            self._body += event.get("body", b"")

    @property
    def reply(self) -> Reply:
        return Reply(self._status, bytes(self._body))


def _scope(headers: Mapping[str, str]) -> dict[str, Any]:
    passed = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    for name, value in headers.items():
        lower = name.lower()
        if lower in _PASSED_ON or lower.startswith(_PASSED_ON_PREFIX):
            passed[lower] = value
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/mcp",
        "query_string": b"",
        "headers": [
            (name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in passed.items()
        ],
    }
