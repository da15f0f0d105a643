"""Jobs that failed: listed, and queued again. What else happens to jobs stands in `jobs` and `work`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mem.storage import rows
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem.model.documents import Document
    from claude_mem.model.records import Job, Lane
    from claude_mem.storage.database import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedFilter:
    """Which failed jobs are meant; None does not narrow.

    Parameters:
        classification: kind of error, as kept in `last_error`.
        since_us: only jobs that failed at or after this time, in microseconds since the epoch.
        until_us: only jobs that failed before this time.
    """

    team_id: str | None = None
    project_id: str | None = None
    lane: Lane | None = None
    classification: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    def parameters(self, *, now_us: int) -> dict[str, Any]:
        """What the statements take; nothing that fails from now on is meant, so that nothing is taken twice."""
        return {
            "team_id": self.team_id,
            "project_id": self.project_id,
            "lane": self.lane,
            "classification": self.classification,
            "since": self.since_us,
            "until": now_us if self.until_us is None else min(self.until_us, now_us),
        }


async def list_latest(
    executor: Executor, *, team_id: str | None, project_id: str | None, limit: int
) -> list[Job]:
    """Failed jobs, the latest failure first."""
    found = await executor.fetch("jobs.failed", team_id=team_id, project_id=project_id, limit=limit)
    return [rows.job(row) for row in found]


async def count(executor: Executor, wanted: FailedFilter, *, now_us: int) -> int:
    """How many failed jobs are meant, those that others have in hand included."""
    row = await fetch_one(executor, "jobs.count_failed", **wanted.parameters(now_us=now_us))
    return int(row["count"]) if row else 0


async def lock(executor: Executor, wanted: FailedFilter, *, limit: int, now_us: int) -> list[Job]:
    """Failed jobs, the earliest failure first, held for the rest of the transaction."""
    found = await executor.fetch("jobs.lock_failed", **wanted.parameters(now_us=now_us), limit=limit)
    return [rows.job(row) for row in found]


async def retry(executor: Executor, payloads: Mapping[str, Document], *, now_us: int) -> dict[str, Job]:
    """Queue failed or cancelled jobs again.

    Parameters:
        payloads: what each is to say from now on, by job id.

    Returns: the jobs as they are now, by id; without those that are in another state by now.
    """
    if not payloads:
        return {}
    found = await executor.fetch_rows(
        "jobs.retry",
        [{"id": job_id, "payload": payload.text} for job_id, payload in payloads.items()],
        now=now_us,
    )
    return {row["id"]: rows.job(row) for row in found}
