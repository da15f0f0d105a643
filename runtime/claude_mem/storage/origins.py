"""What an observation was made from: its sources, their events, the jobs that made it, and the calls it came of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.model.documents import Document
from claude_mem.storage import rows
from claude_mem.storage.usage import UsageRow

if TYPE_CHECKING:
    from claude_mem.model.records import Job, ObservationSource
    from claude_mem.storage.database import Executor, Row


@dataclass(frozen=True, slots=True)
class Made:
    """An observation, by its id within its team and project."""

    observation_id: str
    team_id: str
    project_id: str


async def sources(executor: Executor, made: Made, *, limit: int) -> list[ObservationSource]:
    """What it is linked to, the first link first."""
    found = await executor.fetch("origins.sources", id=made.observation_id, limit=limit)
    return [rows.observation_source(row) for row in found]


async def events(executor: Executor, made: Made, *, limit: int) -> list[Row]:
    """Its events, oldest first, with the columns of `timeline.events_after`."""
    return await _within(executor, "origins.events", made, limit)


async def jobs(executor: Executor, made: Made, *, limit: int) -> list[Job]:
    """The jobs that made it, oldest first."""
    return [rows.job(row) for row in await _within(executor, "origins.jobs", made, limit)]


async def calls(executor: Executor, made: Made, *, limit: int) -> list[UsageRow]:
    """The tokens of the provider calls that it came of, oldest first; none where nobody noted which call it was."""
    found = await executor.fetch("origins.calls", id=made.observation_id, team_id=made.team_id, limit=limit)
    return [
        UsageRow(
            id=row["id"],
            team_id=row["team_id"],
            project_id=row["project_id"],
            kind=row["kind"],
            quantity=int(row["quantity"]),
            at_us=row["created_at"],
            metadata=Document(row["metadata"]).members,
        )
        for row in found
    ]


async def _within(executor: Executor, statement: str, made: Made, limit: int) -> list[Row]:
    return await executor.fetch(
        statement, id=made.observation_id, team_id=made.team_id, project_id=made.project_id, limit=limit
    )
