"""What happened to observations and jobs lately, in the order of time: what live streams are fed from.

Nothing is stored for this. The audit log has a line for every change but two, and the jobs' histories have those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.model.documents import Document

if TYPE_CHECKING:
    from claude_mem.storage.cursors import Cursor
    from claude_mem.storage.database import Executor


@dataclass(frozen=True, slots=True)
class Change:
    """A line that tells of a change.

    Parameters:
        at_us: when it was written, in microseconds; others may commit later with an earlier time.
        action: as in the audit log, or `generation_job.failed`, `generation_job.retry_scheduled`.
        resource_id: of the observation, job, event or project.
        job_ids: jobs that came with events.
    """

    at_us: int
    id: str
    action: str
    resource_id: str | None
    job_ids: tuple[str, ...]


async def list_changes(
    executor: Executor, *, team_id: str, project_id: str | None, after: Cursor, limit: int
) -> list[Change]:
    """Changes of a team or of one of its projects from behind a position, oldest first.

    A change of an event that was in several projects' batch is among them whatever the project.
    """
    found = await executor.fetch(
        "changes.list",
        team_id=team_id,
        project_id=project_id,
        after_at=after.at_us,
        after_id=after.id,
        limit=limit,
    )
    return [
        Change(
            at_us=row["at"],
            id=row["id"],
            action=row["action"],
            resource_id=row["resource_id"],
            job_ids=_job_ids(row["details"]),
        )
        for row in found
    ]


def _job_ids(details: str | None) -> tuple[str, ...]:
    members = Document(details).members if details else {}
    several = members.get("generationJobIds")
    named = several if isinstance(several, list) else [members.get("generationJobId")]
    return tuple(job_id for job_id in named if isinstance(job_id, str))
