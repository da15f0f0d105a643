"""What a team's queued jobs wait for: bounded, so that a long queue is told of as quickly as a short one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claude_mem.model.records import Lane
    from claude_mem.storage.database import Executor


@dataclass(frozen=True, slots=True)
class HeldJobs:
    """Queued jobs of a lane that wait for the same.

    Parameters:
        due: whether a worker could take them now; the others wait for their time.
        classification: the class of the error that set them back; None for those that are due, and where none did.
        first_us: the earliest time at which one of them is or was due, in microseconds.
    """

    lane: Lane
    due: bool
    classification: str | None
    count: int
    first_us: int


async def held(
    executor: Executor, *, team_id: str, project_id: str | None, now_us: int, limit: int
) -> list[HeldJobs]:
    """Queued jobs of a team, or of one of its projects.

    Parameters:
        limit: jobs that are counted at most, those of a project that were made first.
    """
    found = await executor.fetch("jobs.held", team_id=team_id, project_id=project_id, now=now_us, limit=limit)
    return [
        HeldJobs(
            lane=row["lane"],
            due=row["state"] == "due",
            classification=row["classification"],
            count=int(row["count"]),
            first_us=row["first_at"],
        )
        for row in found
    ]
