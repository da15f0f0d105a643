"""The calls that read and change memories: by hand, by search, and as context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_mem.client import models
from claude_mem.client.call import OWN_PROJECT, WAIT_TIMEOUT_SECONDS, Call, present, segment

if TYPE_CHECKING:
    from collections.abc import Mapping


def add_memory(
    content: str,
    *,
    kind: str = "manual",
    server_session_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    project_id: str | None = None,
) -> Call[models.Observation]:
    """Write a memory by hand."""
    body = {
        "projectId": project_id or OWN_PROJECT,
        "content": content,
        "kind": kind,
        **present(serverSessionId=server_session_id, metadata=None if metadata is None else dict(metadata)),
    }
    return Call(method="POST", path="/v1/memories", body=body, reply=models.Observation, unwrap="memory")


def get_memory(memory_id: str) -> Call[models.Observation]:
    """One memory."""
    path = f"/v1/memories/{segment(memory_id)}"
    return Call(method="GET", path=path, reply=models.Observation, unwrap="memory", repeatable=True)


def list_memories(
    *,
    limit: int = 50,
    cursor: str | None = None,
    kind: str | None = None,
    session_id: str | None = None,
    project_id: str | None = None,
) -> Call[models.MemoryPage]:
    """Memories of a project, newest first. `cursor` continues after a page's `next_cursor`."""
    params = {
        "projectId": project_id or OWN_PROJECT,
        "limit": limit,
        **present(cursor=cursor, kind=kind, serverSessionId=session_id),
    }
    return Call(method="GET", path="/v1/memories", params=params, reply=models.MemoryPage, repeatable=True)


def update_memory(
    memory_id: str,
    *,
    content: str | None = None,
    kind: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Call[models.Observation]:
    """Change the given parts of a memory."""
    body = present(content=content, kind=kind, metadata=None if metadata is None else dict(metadata))
    path = f"/v1/memories/{segment(memory_id)}"
    return Call(
        method="PATCH", path=path, body=body, reply=models.Observation, unwrap="memory", repeatable=True
    )


def delete_memory(memory_id: str) -> Call[models.Deletion]:
    """Delete a memory for good."""
    return Call(method="DELETE", path=f"/v1/memories/{segment(memory_id)}", reply=models.Deletion)


def purge_project(project_id: str) -> Call[models.Purge]:
    """Delete every observation, event, session and job of a project. The project must be named."""
    path = f"/v1/projects/{segment(project_id)}/memory"
    return Call(method="DELETE", path=path, reply=models.Purge, repeatable=True, timeout=WAIT_TIMEOUT_SECONDS)


def search(
    query: str, *, limit: int = 20, platform_source: str | None = None, project_id: str | None = None
) -> Call[models.SearchResult]:
    """Search a project's memories; `limit` is 1 to 100."""
    body = {
        "projectId": project_id or OWN_PROJECT,
        "query": query,
        "limit": limit,
        **present(platformSource=platform_source),
    }
    return Call(method="POST", path="/v1/search", body=body, reply=models.SearchResult, repeatable=True)


def context(
    query: str,
    *,
    limit: int = 10,
    max_tokens: int | None = None,
    platform_source: str | None = None,
    project_id: str | None = None,
) -> Call[models.ContextResult]:
    """The memories that matter for a query as one text of `max_tokens` at most; `limit` is 1 to 50."""
    body = {
        "projectId": project_id or OWN_PROJECT,
        "query": query,
        "limit": limit,
        **present(platformSource=platform_source, maxTokens=max_tokens),
    }
    return Call(method="POST", path="/v1/context", body=body, reply=models.ContextResult, repeatable=True)
