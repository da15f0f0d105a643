"""Generation jobs: the outbox that workers claim from, and its history.

Every change is one guarded UPDATE. A worker's changes name the attempt that it was given when it claimed the job, so
that a worker which lost its lease can change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mem.model.documents import Document
from claude_mem.model.identity import new_id
from claude_mem.storage import rows
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from claude_mem.model.records import Job, JobEvent
    from claude_mem.storage.cursors import Cursor
    from claude_mem.storage.database import Executor, Row


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be stored as queued.

    Parameters:
        key: idempotency key of the row.
        payload: the JSON object that claude-mem 13's workers validate.
        next_attempt_us: when it is due, in microseconds; None is at once.
        traceparent: W3C trace context of the request that asks for it.
    """

    id: str
    project_id: str
    team_id: str
    agent_event_id: str | None
    source_type: str
    source_id: str
    server_session_id: str | None
    job_type: str
    key: str
    bullmq_job_id: str
    max_attempts: int
    payload: Document
    created_us: int
    next_attempt_us: int | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class NewJobEvent:
    """A line of a job's history.

    Parameters:
        event_type: one of queued, enqueued, processing, retry_scheduled, completed, failed, cancelled.
    """

    job_id: str
    event_type: str
    status_after: str
    attempt: int
    details: dict[str, Any]
    at_us: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What entitles a worker to change a job: the attempt that it holds."""

    job_id: str
    attempt: int
    worker: str


async def insert(executor: Executor, jobs: Sequence[NewJob]) -> set[str]:
    """Store jobs whose source has none yet.

    Returns: ids of those that were stored.
    """
    if not jobs:
        return set()
    ordered = sorted(jobs, key=lambda job: job.key)
    inserted = await executor.fetch_rows("jobs.insert", [_columns(job) for job in ordered])
    return {row["id"] for row in inserted}


async def insert_fresh(executor: Executor, jobs: Sequence[NewJob]) -> None:
    """Store jobs whose sources were stored in this transaction, so that none of them can have one."""
    if jobs:
        await executor.fetch_rows("jobs.insert_fresh", [_columns(job) for job in jobs])


def _columns(job: NewJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "project_id": job.project_id,
        "team_id": job.team_id,
        "agent_event_id": job.agent_event_id,
        "source_type": job.source_type,
        "source_id": job.source_id,
        "server_session_id": job.server_session_id,
        "job_type": job.job_type,
        "idempotency_key": job.key,
        "bullmq_job_id": job.bullmq_job_id,
        "max_attempts": job.max_attempts,
        "next_attempt_at": job.next_attempt_us,
        "payload": job.payload.text,
        "traceparent": job.traceparent,
        "created_at": job.created_us,
    }


async def append_events(executor: Executor, events: Sequence[NewJobEvent]) -> None:
    """Add lines to the jobs' histories."""
    if not events:
        return
    await executor.fetch_rows(
        "jobs.append_events",
        [
            {
                "id": new_id(),
                "generation_job_id": event.job_id,
                "event_type": event.event_type,
                "status_after": event.status_after,
                "attempt": event.attempt,
                "details": Document.of(event.details).text,
                "created_at": event.at_us,
            }
            for event in events
        ],
    )


async def find_by_keys(executor: Executor, keys: Iterable[str]) -> dict[str, Job]:
    found = await executor.fetch("jobs.by_keys", keys=list(keys))
    return {row["idempotency_key"]: rows.job(row) for row in found}


async def find_by_ids(executor: Executor, job_ids: Iterable[str]) -> dict[str, Job]:
    found = await executor.fetch("jobs.by_ids", ids=list(job_ids))
    return {row["id"]: rows.job(row) for row in found}


async def find(executor: Executor, job_id: str, *, team_id: str) -> Job | None:
    row = await fetch_one(executor, "jobs.find", id=job_id, team_id=team_id)
    return rows.job(row) if row else None


async def find_anywhere(executor: Executor, job_id: str) -> Job | None:
    """A job by its id alone: for operators, never for a key."""
    row = await fetch_one(executor, "jobs.find_anywhere", id=job_id)
    return rows.job(row) if row else None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What a listing is narrowed to; None does not narrow.

    Parameters:
        since_us: only jobs created at or after this time, in microseconds.
    """

    team_id: str | None = None
    project_id: str | None = None
    status: str | None = None
    source_type: str | None = None
    since_us: int | None = None

    def parameters(self) -> dict[str, Any]:
        return {
            "team_id": self.team_id,
            "project_id": self.project_id,
            "status": self.status,
            "source_type": self.source_type,
            "since": self.since_us,
        }


async def list_page(executor: Executor, wanted: JobFilter, *, limit: int, offset: int) -> list[Job]:
    found = await executor.fetch("jobs.list", **wanted.parameters(), limit=limit, offset=offset)
    return [rows.job(row) for row in found]


async def list_rows(executor: Executor, wanted: JobFilter, *, before: Cursor | None, limit: int) -> list[Row]:
    """Rows of jobs from behind a cursor, newest first."""
    return await executor.fetch(
        "jobs.list_behind",
        **wanted.parameters(),
        before_at=before.at_us if before else None,
        before_id=before.id if before else None,
        limit=limit,
    )


async def count(executor: Executor, wanted: JobFilter) -> int:
    row = await fetch_one(executor, "jobs.count", **wanted.parameters())
    return int(row["count"]) if row else 0


async def count_by_status(
    executor: Executor, *, team_id: str | None, project_id: str | None
) -> dict[str, int]:
    found = await executor.fetch("jobs.count_by_status", team_id=team_id, project_id=project_id)
    return {row["status"]: int(row["count"]) for row in found}


async def history(executor: Executor, job_id: str) -> list[JobEvent]:
    return [rows.job_event(row) for row in await executor.fetch("jobs.events", id=job_id)]


async def heartbeat(executor: Executor, claims: Collection[Claim], *, lease_us: int, now_us: int) -> set[str]:
    """Extend the leases of claims that are still current.

    Returns: their jobs' ids.
    """
    if not claims:
        return set()
    found = await executor.fetch_rows(
        "jobs.heartbeat",
        [{"id": claim.job_id, "attempt": claim.attempt, "worker": claim.worker} for claim in claims],
        lease_expires_at=now_us + lease_us,
        now=now_us,
    )
    return {row["id"] for row in found}


async def hand_back(executor: Executor, claimed: Claim, *, now_us: int) -> Job | None:
    """Undo a claim, its attempt included."""
    row = await fetch_one(
        executor,
        "jobs.hand_back",
        id=claimed.job_id,
        attempt=claimed.attempt,
        worker=claimed.worker,
        now=now_us,
    )
    return rows.job(row) if row else None


async def release_expired(executor: Executor, *, error: Document, stale_us: int, now_us: int) -> list[Job]:
    """Take jobs from holders that went silent: queued again, or failed when no attempt is left.

    Parameters:
        stale_us: age in microseconds at which a lock without a lease counts as abandoned.
    """
    found = await executor.fetch(
        "jobs.release_expired", last_error=error.text, stale_before=now_us - stale_us, now=now_us
    )
    return [rows.job(row) for row in found]


async def fail_exhausted(executor: Executor, *, error: Document, now_us: int) -> list[Job]:
    found = await executor.fetch("jobs.fail_exhausted", last_error=error.text, now=now_us)
    return [rows.job(row) for row in found]


async def cancel(executor: Executor, job_id: str, *, now_us: int) -> Job | None:
    """Cancel a job that is not completed or cancelled; None when it is."""
    row = await fetch_one(executor, "jobs.cancel", id=job_id, now=now_us)
    return rows.job(row) if row else None


async def reopen_summary(
    executor: Executor, job_id: str, *, session_id: str, next_attempt_us: int, now_us: int
) -> Job | None:
    """Queue a completed summary again if its session has newer events.

    Returns: the job as it is now, or None when it is not completed or nothing is newer.
    """
    row = await fetch_one(
        executor,
        "jobs.reopen_summary",
        id=job_id,
        server_session_id=session_id,
        next_attempt_at=next_attempt_us,
        now=now_us,
    )
    return rows.job(row) if row else None


async def put_off(executor: Executor, job_id: str, *, next_attempt_us: int) -> Job | None:
    """Let a summary that waits wait longer, never shorter; None when it does not wait, or waits longer already."""
    row = await fetch_one(executor, "jobs.put_off", id=job_id, next_attempt_at=next_attempt_us)
    return rows.job(row) if row else None


async def purge(executor: Executor, *, team_id: str, project_id: str) -> int:
    return await executor.execute("jobs.purge", team_id=team_id, project_id=project_id)
