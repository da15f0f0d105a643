"""Jobs whose leases ran out go back to be taken again; those without an attempt left end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError
from claude_mem.model.times import now_us
from claude_mem.services import trail
from claude_mem.services.failures import Failure
from claude_mem.services.signals import announce
from claude_mem.storage import jobs
from claude_mem.storage.database import StorageError, run_transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_mem.model.records import Job
    from claude_mem.storage.database import Database, Executor

logger = logging.getLogger(__name__)

#: Seconds between looks for leases that ran out.
SWEEP_S = 5.0

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


async def sweep(database: Database, released: Callable[[], None]) -> None:
    """Look for expired leases again and again.

    Parameters:
        released: is called when there were any.
    """
    away = False
    while True:
        try:
            if away:
                # Leases ran out while nobody could extend them: their holders get one round to speak up.
                await database.ping(timeout_s=SWEEP_S)
                away = False
            elif await run_transaction(database, release_expired):
                released()
        except (ClaudeMemError, StorageError) as error:
            away = True
            logger.warning("expired leases were not looked for", extra={"reason": type(error).__name__})
        await asyncio.sleep(SWEEP_S)
