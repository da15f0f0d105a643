"""Agent events: what happened, once each, by idempotency key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.storage import rows
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from claude_mem.model.documents import Document
    from claude_mem.model.records import Event
    from claude_mem.storage.database import Executor, Row


@dataclass(frozen=True, slots=True)
class KeyedEvent:
    """An event with the key under which it is stored once.

    Parameters:
        key: idempotency key, unique across the database.
    """

    event: Event
    key: str


async def insert(executor: Executor, events: Sequence[KeyedEvent]) -> set[str]:
    """Store events that are not there yet, by key.

    Returns: ids of those that were stored; the others are duplicates.

    Raises: ReferenceViolation, ValueRefused.
    """
    ordered = sorted(events, key=lambda keyed: keyed.key)
    inserted = await executor.fetch_rows("events.insert", [_columns(keyed) for keyed in ordered])
    return {row["id"] for row in inserted}


def _columns(keyed: KeyedEvent) -> dict[str, object]:
    event = keyed.event
    return {
        "id": event.id,
        "project_id": event.project_id,
        "team_id": event.team_id,
        "server_session_id": event.server_session_id,
        "source_adapter": event.source_adapter,
        "source_event_id": event.source_event_id,
        "idempotency_key": keyed.key,
        "event_type": event.event_type,
        "platform_source": event.platform_source,
        "payload": event.payload.text,
        "metadata": event.metadata.text,
        "occurred_at": event.occurred_ms * 1000,
        "received_at": event.received_ms * 1000,
        "created_at": event.created_ms * 1000,
    }


async def find_by_keys(executor: Executor, keys: Iterable[str]) -> dict[str, Event]:
    """The stored events of these idempotency keys, by key."""
    found = await executor.fetch("events.by_keys", keys=list(keys))
    return {row["idempotency_key"]: rows.event(row) for row in found}


async def merge(
    executor: Executor, event_id: str, *, metadata: Document, platform: str | None
) -> Event | None:
    """Add what a duplicate knows beyond the stored event."""
    row = await fetch_one(
        executor, "events.merge", id=event_id, metadata=metadata.text, platform_source=platform
    )
    return rows.event(row) if row else None


async def find(executor: Executor, event_id: str, *, team_id: str) -> Event | None:
    row = await fetch_one(executor, "events.find", id=event_id, team_id=team_id)
    return rows.event(row) if row else None


async def of_session(
    executor: Executor, session_id: str, *, team_id: str, project_id: str, limit: int, most: int
) -> list[Row]:
    """Rows of a session's newest events within the limit, in the order in which they happened.

    Parameters:
        most: characters of payloads and metadata after which rows come with neither. Each is sure of an equal share of it;
            of those that need more the newest come with theirs.
    """
    found = await executor.fetch(
        "events.of_session",
        server_session_id=session_id,
        team_id=team_id,
        project_id=project_id,
        limit=limit,
        most=most,
    )
    return found[::-1]


async def purge(executor: Executor, *, team_id: str, project_id: str) -> int:
    return await executor.execute("events.purge", team_id=team_id, project_id=project_id)
