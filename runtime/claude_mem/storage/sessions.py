"""Server sessions: what groups the events of one conversation with an agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.storage import rows
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from claude_mem.model.documents import Document
    from claude_mem.model.records import Session
    from claude_mem.storage.cursors import Cursor
    from claude_mem.storage.database import Executor, Row


@dataclass(frozen=True, slots=True)
class ContentLink:
    """A wish to find a session by the id that the agent gives its conversation.

    Parameters:
        any_platform: take a session of any platform; otherwise exactly `platform`, which may be None.
    """

    project_id: str
    team_id: str
    content_session_id: str
    any_platform: bool
    platform: str | None


async def find(executor: Executor, session_id: str, *, team_id: str) -> Session | None:
    row = await fetch_one(executor, "sessions.find", id=session_id, team_id=team_id)
    return rows.session(row) if row else None


async def list_rows(
    executor: Executor, *, team_id: str, project_id: str | None, before: Cursor | None, limit: int
) -> list[Row]:
    """Rows of sessions, those that began last first; a project that is None does not apply."""
    return await executor.fetch(
        "sessions.list",
        team_id=team_id,
        project_id=project_id,
        before_at=before.at_us if before else None,
        before_id=before.id if before else None,
        limit=limit,
    )


async def find_scopes(executor: Executor, session_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The (team, project) of each of these sessions that exists."""
    found = await executor.fetch("sessions.in_scope", ids=sorted(set(session_ids)))
    return {row["id"]: (row["team_id"], row["project_id"]) for row in found}


async def find_by_ids(executor: Executor, session_ids: Iterable[str], *, team_id: str) -> dict[str, Session]:
    found = await executor.fetch("sessions.by_ids", ids=list(session_ids), team_id=team_id)
    return {row["id"]: rows.session(row) for row in found}


async def link(executor: Executor, links: Sequence[ContentLink]) -> dict[ContentLink, str]:
    """The newest session for each link that has one."""
    if not links:
        return {}
    found = await executor.fetch_rows(
        "sessions.link",
        [
            {
                "position": position,
                "project_id": wanted.project_id,
                "team_id": wanted.team_id,
                "content_session_id": wanted.content_session_id,
                "any_platform": wanted.any_platform,
                "platform_source": wanted.platform,
            }
            for position, wanted in enumerate(links)
        ],
    )
    return {links[row["position"]]: row["id"] for row in found if row["id"] is not None}


async def find_by_external(
    executor: Executor, *, external_id: str, team_id: str, project_id: str, platform: str | None
) -> Session | None:
    row = await fetch_one(
        executor,
        "sessions.by_external",
        external_session_id=external_id,
        team_id=team_id,
        project_id=project_id,
        platform_source=platform,
    )
    return rows.session(row) if row else None


async def find_by_key(executor: Executor, key: str, *, team_id: str, project_id: str) -> Session | None:
    row = await fetch_one(
        executor, "sessions.by_key", idempotency_key=key, team_id=team_id, project_id=project_id
    )
    return rows.session(row) if row else None


async def insert(executor: Executor, session: Session, *, key: str | None, now_us: int) -> Session | None:
    """Store a session; None when one with its key or external id is there already.

    Raises: ReferenceViolation when the project is not the team's.
    """
    row = await fetch_one(
        executor,
        "sessions.insert",
        id=session.id,
        project_id=session.project_id,
        team_id=session.team_id,
        external_session_id=session.external_session_id,
        idempotency_key=key,
        content_session_id=session.content_session_id,
        agent_id=session.agent_id,
        agent_type=session.agent_type,
        platform_source=session.platform_source,
        metadata=session.metadata.text,
        now=now_us,
    )
    return rows.session(row) if row else None


async def refresh(
    executor: Executor,
    session_id: str,
    *,
    metadata: Document,
    agent_id: str | None,
    agent_type: str | None,
    now_us: int,
) -> Session | None:
    """Add what a repeated start knows beyond the stored session."""
    row = await fetch_one(
        executor,
        "sessions.refresh",
        id=session_id,
        metadata=metadata.text,
        agent_id=agent_id,
        agent_type=agent_type,
        now=now_us,
    )
    return rows.session(row) if row else None


async def release_key(executor: Executor, session_id: str, *, now_us: int) -> None:
    """Let another session take the key of one that has ended."""
    await executor.execute("sessions.release_key", id=session_id, now=now_us)


async def end(executor: Executor, session_id: str, *, team_id: str, now_us: int) -> Session | None:
    """Set the end of a session, once."""
    row = await fetch_one(executor, "sessions.end", id=session_id, team_id=team_id, now=now_us)
    return rows.session(row) if row else None


async def mark_generated(
    executor: Executor, session_id: str, *, team_id: str, project_id: str, status: str, now_us: int
) -> None:
    """Note how far the session's summary is: `processing`, `completed` or `failed`."""
    await executor.execute(
        "sessions.mark_generated",
        id=session_id,
        team_id=team_id,
        project_id=project_id,
        status=status,
        now=now_us,
    )


async def purge(executor: Executor, *, team_id: str, project_id: str) -> int:
    return await executor.execute("sessions.purge", team_id=team_id, project_id=project_id)
