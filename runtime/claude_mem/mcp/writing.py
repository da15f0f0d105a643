"""Tools that write: remember, forget. A key needs `memories:write` for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_mem.mcp.schemas import MEMORY, MEMORY_ID, PROJECT_ID
from claude_mem.mcp.tool import Caller, Tool
from claude_mem.model.scopes import WRITE
from claude_mem.services.memories import MemoryInput

if TYPE_CHECKING:
    from claude_mem.mcp.arguments import Arguments


async def _remember(caller: Caller, given: Arguments) -> dict[str, Any]:
    title = given.short_text("title")
    written = await caller.services.memories.add(
        caller.context,
        MemoryInput(
            project_id=given.text("projectId"),
            content=given.text("content"),
            kind=given.short_text("kind") or "manual",
            server_session_id=given.short_text("serverSessionId"),
            metadata=({"title": title} if title else {}) | given.members("metadata"),
        ),
    )
    return {"memory": caller.spelling.observation(written.memory), "redactions": written.redactions}


async def _forget(caller: Caller, given: Arguments) -> dict[str, Any]:
    memory_id = given.text("id")
    await caller.services.memories.delete(caller.context, memory_id)
    return {"deleted": True, "id": memory_id}


TOOLS = (
    Tool(
        "remember",
        "Remember something",
        "Keep something for later sessions and other agents of the team: a decision and its reason, a fact that was "
        "hard to find, what the user prefers. One memory for one thing. Secrets are taken out.",
        {
            "projectId": PROJECT_ID,
            "content": {
                "type": "string",
                "description": "What to remember, so that it can be understood alone.",
            },
            "title": {"type": "string", "description": "What it is about, in a few words."},
            "kind": {
                "type": "string",
                "default": "manual",
                "description": "Its type, such as decision, bugfix, discovery.",
            },
            "serverSessionId": {"type": "string", "description": "Id of the session that it belongs to."},
            "metadata": {
                "type": "object",
                "description": "More about it, such as facts, concepts, files_read.",
            },
        },
        ("projectId", "content"),
        _remember,
        scope=WRITE,
        output={
            "memory": MEMORY,
            "redactions": {"type": "integer", "description": "Private parts that were taken out."},
        },
        idempotent=False,
    ),
    Tool(
        "forget",
        "Forget a memory",
        "Remove one memory for good. It cannot be brought back.",
        {"id": MEMORY_ID},
        ("id",),
        _forget,
        scope=WRITE,
        output={"deleted": {"type": "boolean"}, "id": {"type": "string"}},
        destructive=True,
    ),
)
