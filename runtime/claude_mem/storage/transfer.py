"""Whole rows as exports have them and imports bring them: read in order and in bounded pages, stored under their own ids.

Times are microseconds here, unlike in records, so that nothing of a row is rounded away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from claude_mem.storage.database import Retryable, UniqueViolation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from claude_mem.storage.cursors import Cursor
    from claude_mem.storage.database import Executor, Row

Table = Literal["sessions", "events", "observations"]

#: Rows of a page at most, and characters of their texts after which a page ends.
PAGE_ROWS: Final = 500
PAGE_CHARACTERS: Final = 4 * 1024 * 1024

_PAGE: Final[Mapping[Table, str]] = {
    "sessions": "transfer.sessions",
    "events": "transfer.events",
    "observations": "transfer.observations",
}
_SCOPES: Final[Mapping[Table, str]] = {
    "sessions": "sessions.in_scope",
    "events": "transfer.events_in_scope",
    "observations": "transfer.observations_in_scope",
}
_INSERT: Final[Mapping[Table, str]] = {
    "sessions": "transfer.insert_sessions",
    "events": "events.insert",
    "observations": "transfer.insert_observations",
}


async def page(
    executor: Executor, table: Table, *, team_id: str, project_id: str, after: Cursor
) -> list[Row]:
    """Rows from behind the cursor: sessions by their start, events and observations by when they happened or were made."""
    return await executor.fetch(
        _PAGE[table],
        team_id=team_id,
        project_id=project_id,
        after_at=after.at_us,
        after_id=after.id,
        limit=PAGE_ROWS,
        characters=PAGE_CHARACTERS,
    )


async def sources_of(executor: Executor, observation_ids: Iterable[str]) -> dict[str, list[Row]]:
    """What these observations were made from, by observation."""
    found: dict[str, list[Row]] = {}
    for row in await executor.fetch("transfer.sources", ids=list(observation_ids)):
        found.setdefault(row["observation_id"], []).append(row)
    return found


async def scopes(executor: Executor, table: Table, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The (team, project) of each of these rows that exists, in any team."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    found = await executor.fetch(_SCOPES[table], ids=wanted)
    return {row["id"]: (row["team_id"], row["project_id"]) for row in found}


async def insert(executor: Executor, table: Table, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Store rows that are not there yet, by their ids and keys.

    Returns: ids of those that were stored.

    Raises: Retryable when somebody else took an id meanwhile; ReferenceViolation, ValueRefused.
    """
    if not rows:
        return set()
    order = "idempotency_key" if table == "events" else "id"
    try:
        stored = await executor.fetch_rows(_INSERT[table], sorted(rows, key=lambda row: str(row[order])))
    except UniqueViolation as error:
        raise Retryable("an id was taken while it was imported") from error
    return {row["id"] for row in stored}


async def insert_sources(executor: Executor, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store what observations were made from; what is there already is left."""
    if rows:
        await executor.fetch_rows("transfer.insert_sources", rows)
