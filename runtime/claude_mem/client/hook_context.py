"""What a starting session should remember: asked of the server, cut to what an agent takes.

First the memories that match the place of work (its directory and git branch); if there are none, the newest
ones. No answer means no context: the session starts all the same. Standard library only, because the hook
command imports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from claude_mem.client.delivery import only_project
from claude_mem.client.hook_events import directory_name
from claude_mem.client.sender import Sender, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable

MEMORIES = 10
#: Tokens asked for; servers without budgets ignore it.
TOKEN_BUDGET = 2000
#: Characters of context; Claude Code cuts at 10,000, silently.
LONGEST_CONTEXT = 9000
HEADING = "Memory of earlier sessions in this project (claude-mem):"


def find(sender: Sender, hook: dict[str, Any], *, project_id: str) -> str:
    """The text for a session, or an empty one; without a `project_id`, of the server's only project."""
    query = " ".join(dict.fromkeys([directory_name(hook), *_branch(hook)]))
    try:
        project_id = project_id or only_project(sender)
        body = {"projectId": project_id, "query": query, "limit": MEMORIES, "maxTokens": TOKEN_BUDGET}
        reply = sender.request("POST", "/v1/context", body=body) if query else None
        text = (reply.body or {}).get("context") if reply is not None and reply.accepted else None
        if not isinstance(text, str) or not text.strip():
            parameters = urlencode({"projectId": project_id, "limit": MEMORIES})
            text = "\n\n".join(_contents((sender.request("GET", f"/v1/memories?{parameters}").body) or {}))
    except UnreachableError:
        return ""
    return f"{HEADING}\n\n{_cut(text.strip())}" if text.strip() else ""


def _contents(body: dict[str, Any]) -> Iterable[str]:
    memories = body.get("memories")
    for memory in memories if isinstance(memories, list) else []:
        if isinstance(memory, dict) and isinstance(content := memory.get("content"), str):
            yield content


def _cut(text: str) -> str:
    """`text` or its beginning, ended at a line's end where there is one."""
    if len(text) <= LONGEST_CONTEXT:
        return text
    head = text[:LONGEST_CONTEXT]
    return f"{head[: head.rfind(chr(10))] if chr(10) in head else head}\n…"


def _branch(hook: dict[str, Any]) -> list[str]:
    """The git branch checked out in the working directory, if that is simple to see."""
    try:
        head = (Path(str(hook.get("cwd") or ".")) / ".git" / "HEAD").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    kind, _, branch = head.strip().partition("ref: refs/heads/")
    return [branch] if not kind and branch else []
