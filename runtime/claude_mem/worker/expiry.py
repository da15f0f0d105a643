"""Jobs whose leases ran out go back to be taken again; those without an attempt left end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.times import now_us
from claude_mem.services import trail
from claude_mem.services.failures import Failure
from claude_mem.services.signals import announce
from claude_mem.storage import jobs

if TYPE_CHECKING:
    from claude_mem.model.records import Job
    from claude_mem.storage.database import Executor

#: A lock without a lease, taken by claude-mem 13, counts as abandoned after its own lock duration.
STALE_LOCK_US = 300_000_000


async def release_expired(executor: Executor) -> list[Job]:
    """Release or end the jobs of workers that went silent.

    Returns: those jobs, as they are now.
    """
    now = now_us()
    silent = Failure("transient", "the worker that held this job went silent").document
    spent = Failure("unknown", "no attempt is left").document
    released = await jobs.release_expired(executor, error=silent, stale_us=STALE_LOCK_US, now_us=now)
    released += await jobs.fail_exhausted(executor, error=spent, now_us=now)
    lines = [
        trail.line(
            job,
            "failed" if job.status.is_final else "retry_scheduled",
            str(job.status),
            {"reason": "lease_expired"},
            at_us=now,
        )
        for job in released
    ]
    await jobs.append_events(executor, lines)
    await announce(executor, [job.id for job in released if job.status.is_final])
    return released
