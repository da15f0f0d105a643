"""All of the Model Context Protocol that needs its SDK, in one place that can be imported late.

The SDK takes a third of a server's start, and most servers hear their first message long after it.
"""

from __future__ import annotations

from typing import Any

from mcp_types import jsonrpc_message_adapter
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, KNOWN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from claude_mem.mcp.exchange import Reply, exchange
from claude_mem.mcp.server import MemoryServer
from claude_mem.mcp.tool import Caller, Spelling

__all__ = [
    "HANDSHAKE_PROTOCOL_VERSIONS",
    "KNOWN_PROTOCOL_VERSIONS",
    "Caller",
    "MemoryServer",
    "Reply",
    "Spelling",
    "exchange",
    "is_message",
]


def is_message(value: Any) -> bool:
    """Whether something is a message in JSON-RPC, by the names of its parts on the wire."""
    try:
        jsonrpc_message_adapter.validate_python(value, by_name=False)
    except ValidationError:
        return False
    return True
