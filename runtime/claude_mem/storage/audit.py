"""The audit log: appended to and read. A purge takes the words of a project's searches out; nothing else changes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from claude_mem.model.documents import Document
from claude_mem.model.identity import new_id
from claude_mem.storage.database import UniqueViolation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import AuditEntry
    from claude_mem.storage.cursors import Cursor
    from claude_mem.storage.database import Database, Executor, Row


async def append(executor: Executor, entries: Sequence[AuditEntry], *, now_us: int) -> None:
    """Store entries; each gets an id of its own where it has none."""
    if not entries:
        return
    await executor.fetch_rows(
        "audit.insert",
        [
            {
                "id": entry.id or new_id(),
                "team_id": entry.team_id,
                "project_id": entry.project_id,
                "actor_id": entry.actor_id,
                "api_key_id": entry.api_key_id,
                "action": entry.action,
                "resource_type": entry.resource_type,
                "resource_id": entry.resource_id,
                "details": Document.of(entry.details).text,
                "created_at": now_us,
            }
            for entry in entries
        ],
    )


async def append_alone(database: Database, entry: AuditEntry, *, now_us: int) -> None:
    """Store an entry outside a transaction; the database may try it again after a lost connection."""
    with suppress(UniqueViolation):
        await append(database, [replace(entry, id=entry.id or new_id())], now_us=now_us)


async def list_rows(
    executor: Executor,
    *,
    team_id: str,
    project_id: str | None,
    action: str | None,
    resource_id: str | None,
    before: Cursor | None,
    limit: int,
) -> list[Row]:
    """Rows of a team's log, newest first; filters that are None do not apply."""
    return await executor.fetch(
        "audit.list",
        team_id=team_id,
        project_id=project_id,
        action=action,
        resource_id=resource_id,
        before_at=before.at_us if before else None,
        before_id=before.id if before else None,
        limit=limit,
    )


async def clear_queries(executor: Executor, *, team_id: str, project_id: str) -> int:
    """Take what was searched for out of a project's lines.

    Returns: how many lines had such words.
    """
    return await executor.execute("audit.clear_queries", team_id=team_id, project_id=project_id)
