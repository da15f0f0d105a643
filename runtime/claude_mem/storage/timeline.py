"""What happened in a project before and after a moment: observations as they are, events briefly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.storage import observations
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from claude_mem.storage.cursors import Cursor
    from claude_mem.storage.database import Executor, Row

#: Characters of texts and metadata behind which observations come without either.
PAGE_CHARACTERS = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whose timeline.

    Parameters:
        session_id: only what belongs to the session; None is the whole project.
    """

    team_id: str
    project_id: str
    session_id: str | None = None


async def find_observation(executor: Executor, observation_id: str, *, team_id: str) -> Row | None:
    """The row of an observation; its time is more precise than a record's."""
    return await fetch_one(executor, "observations.find", id=observation_id, team_id=team_id)


async def observations_before(
    executor: Executor, stretch: Stretch, position: Cursor, *, limit: int
) -> list[Row]:
    """Rows of observations before a position, newest first; without texts behind `PAGE_CHARACTERS` of them."""
    return await observations.list_rows(
        executor,
        team_id=stretch.team_id,
        project_id=stretch.project_id,
        kind=None,
        session_id=stretch.session_id,
        before=position,
        limit=limit,
        most=PAGE_CHARACTERS,
    )


async def observations_after(
    executor: Executor, stretch: Stretch, position: Cursor, *, limit: int
) -> list[Row]:
    """Rows of observations after a position, oldest first, as above."""
    return await _read(
        executor, "timeline.observations_after", stretch, position, limit, most=PAGE_CHARACTERS
    )


async def events_before(executor: Executor, stretch: Stretch, position: Cursor, *, limit: int) -> list[Row]:
    """Events before a position, newest first: `tool`, `prompt`, `said` and `object` are what their payloads say."""
    return await _read(executor, "timeline.events_before", stretch, position, limit)


async def events_after(executor: Executor, stretch: Stretch, position: Cursor, *, limit: int) -> list[Row]:
    """Events after a position, oldest first, as above."""
    return await _read(executor, "timeline.events_after", stretch, position, limit)


async def _read(
    executor: Executor, statement: str, stretch: Stretch, position: Cursor, limit: int, **more: int
) -> list[Row]:
    return await executor.fetch(
        statement,
        team_id=stretch.team_id,
        project_id=stretch.project_id,
        server_session_id=stretch.session_id,
        at=position.at_us,
        id=position.id,
        limit=limit,
        **more,
    )
