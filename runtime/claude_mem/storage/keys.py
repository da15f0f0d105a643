"""API keys: kept as the SHA-256 of the raw key, looked up by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.documents import Document
from claude_mem.storage import rows
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from claude_mem.model.records import ApiKey
    from claude_mem.storage.cursors import Cursor
    from claude_mem.storage.database import Executor, Row


async def insert(executor: Executor, key: ApiKey, *, key_hash: str, now_us: int) -> None:
    """Store a key under its hash.

    Raises: ReferenceViolation when its team or project does not exist.
    """
    await executor.execute(
        "keys.insert",
        id=key.id,
        key_hash=key_hash,
        team_id=key.team_id,
        project_id=key.project_id,
        actor_id=key.actor_id,
        scopes=Document.of(list(key.scopes)).text,
        expires_at=None if key.expires_ms is None else key.expires_ms * 1000,
        name=key.name,
        key_prefix=key.prefix,
        now=now_us,
    )


async def find_by_hashes(executor: Executor, hashes: Iterable[str]) -> dict[str, ApiKey]:
    """The keys of these hashes, by hash."""
    found = await executor.fetch("keys.by_hashes", hashes=list(set(hashes)))
    return {row["key_hash"]: rows.api_key(row) for row in found}


async def find(executor: Executor, key_id: str) -> ApiKey | None:
    row = await fetch_one(executor, "keys.find", id=key_id)
    return rows.api_key(row) if row else None


async def find_working(
    executor: Executor, *, team_id: str, project_id: str, actor_id: str, name: str
) -> list[ApiKey]:
    """The keys of a project that one actor made under one name and nobody revoked, oldest first."""
    found = await executor.fetch(
        "keys.working", team_id=team_id, project_id=project_id, actor_id=actor_id, name=name
    )
    return [rows.api_key(row) for row in found]


async def list_rows(
    executor: Executor,
    *,
    team_id: str | None,
    project_id: str | None,
    active: bool,
    before: Cursor | None,
    limit: int,
    offset: int = 0,
    now_us: int,
) -> list[Row]:
    """Rows of keys, newest first.

    Parameters:
        active: leave out keys that are revoked or expired at `now_us`.
    """
    return await executor.fetch(
        "keys.list",
        team_id=team_id,
        project_id=project_id,
        active=active,
        before_at=before.at_us if before else None,
        before_id=before.id if before else None,
        limit=limit,
        offset=offset,
        now=now_us,
    )


async def revoke(
    executor: Executor, key_id: str, *, now_us: int, replaced_by: str | None = None
) -> ApiKey | None:
    """End a key now; None when it was ended before or never was."""
    row = await fetch_one(executor, "keys.revoke", id=key_id, now=now_us, replaced_by=replaced_by)
    return rows.api_key(row) if row else None


async def replace(
    executor: Executor, key_id: str, *, replaced_by: str, expires_us: int, now_us: int
) -> ApiKey | None:
    """Let a key that another replaces work until `expires_us`; None when it works no more."""
    row = await fetch_one(
        executor, "keys.replace", id=key_id, replaced_by=replaced_by, expires_at=expires_us, now=now_us
    )
    return rows.api_key(row) if row else None


async def set_scopes(executor: Executor, key_id: str, *, scopes: Iterable[str], now_us: int) -> ApiKey | None:
    row = await fetch_one(
        executor, "keys.set_scopes", id=key_id, scopes=Document.of(list(scopes)).text, now=now_us
    )
    return rows.api_key(row) if row else None


async def touch(executor: Executor, last_used_us: Mapping[str, int]) -> None:
    """Note when keys were last used: microseconds by key id."""
    if last_used_us:
        await executor.fetch_rows("keys.touch", [{"id": k, "at": at} for k, at in last_used_us.items()])
