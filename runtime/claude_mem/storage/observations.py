"""Observations: what is remembered, written by people or by generation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.storage import rows, search
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from collections.abc import Iterable

    from claude_mem.model.documents import Document
    from claude_mem.model.records import Observation, ObservationSource
    from claude_mem.storage.cursors import Cursor
    from claude_mem.storage.database import Executor, Row


async def insert(executor: Executor, observation: Observation) -> None:
    """Store an observation that somebody wrote.

    Raises: ReferenceViolation, ValueRefused.
    """
    await executor.execute(
        "observations.insert",
        id=observation.id,
        project_id=observation.project_id,
        team_id=observation.team_id,
        server_session_id=observation.server_session_id,
        kind=observation.kind,
        content=observation.content,
        metadata=observation.metadata.text,
        now=observation.created_ms * 1000,
    )


async def find(executor: Executor, observation_id: str, *, team_id: str) -> Observation | None:
    row = await fetch_one(executor, "observations.find", id=observation_id, team_id=team_id)
    return rows.observation(row) if row else None


async def find_slice(
    executor: Executor, observation_ids: Iterable[str], *, team_id: str
) -> tuple[dict[str, Observation], list[str]]:
    """The first of these observations, in this order, as many as `search.SLICE_BYTES` has room for.

    Returns: them by their ids, and the ids of the others that are there.
    """
    found = await executor.fetch(
        "observations.by_ids", ids=list(observation_ids), team_id=team_id, most=search.SLICE_BYTES
    )
    brought, left = search.parted(found)
    return {row["id"]: rows.observation(row) for row in brought}, left


async def find_to_update(executor: Executor, observation_id: str, *, team_id: str) -> Observation | None:
    """As `find`, holding the row until the transaction ends."""
    row = await fetch_one(executor, "observations.find_to_update", id=observation_id, team_id=team_id)
    return rows.observation(row) if row else None


async def list_rows(
    executor: Executor,
    *,
    team_id: str,
    project_id: str | None,
    kind: str | None,
    session_id: str | None,
    before: Cursor | None,
    limit: int,
    most: int | None = None,
) -> list[Row]:
    """Rows of observations, newest first; filters that are None do not apply.

    Parameters:
        most: characters of texts and metadata after which rows come with neither; None brings all.
    """
    page = {
        "team_id": team_id,
        "project_id": project_id,
        "before_at": before.at_us if before else None,
        "before_id": before.id if before else None,
        "limit": limit,
        "most": most,
    }
    if session_id is not None:
        return await executor.fetch(
            "observations.list_of_session", **page, kind=kind, server_session_id=session_id
        )
    if kind is not None:
        return await executor.fetch("observations.list_of_kind", **page, kind=kind)
    return await executor.fetch("observations.list", **page)


async def update(
    executor: Executor,
    observation_id: str,
    *,
    team_id: str,
    content: str,
    kind: str,
    metadata: Document,
    now_us: int,
) -> Observation | None:
    row = await fetch_one(
        executor,
        "observations.update",
        id=observation_id,
        team_id=team_id,
        content=content,
        kind=kind,
        metadata=metadata.text,
        now=now_us,
    )
    return rows.observation(row) if row else None


async def delete(
    executor: Executor, observation_id: str, *, team_id: str, project_id: str | None
) -> str | None:
    """Delete one observation with its sources.

    Returns: the project it was in, or None when there was nothing within the scope.
    """
    row = await fetch_one(
        executor, "observations.delete", id=observation_id, team_id=team_id, project_id=project_id
    )
    found: str | None = row["project_id"] if row else None
    return found


async def of_event(
    executor: Executor, event_id: str, *, team_id: str, project_id: str
) -> list[tuple[Observation, ObservationSource]]:
    """The observations made from an event, oldest first."""
    found = await executor.fetch(
        "observations.of_event", event_id=event_id, team_id=team_id, project_id=project_id
    )
    return [(rows.observation(row), rows.observation_source(row)) for row in found]


async def purge(executor: Executor, *, team_id: str, project_id: str) -> int:
    return await executor.execute("observations.purge", team_id=team_id, project_id=project_id)
