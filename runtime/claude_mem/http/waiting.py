"""`wait=true`: the answer is held back until the jobs have ended, for as long as the client is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.http.keys import RUNTIME, SERVICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from claude_mem.model.records import Job


async def wait_for(request: web.Request, jobs: Sequence[Job]) -> tuple[dict[str, Job], set[str]]:
    """Wait until jobs have ended, all of them within the one time that settings allow.

    Returns: each job as last seen, and the ids of those that had not ended in time.
    """
    latest = {job.id: job for job in jobs}
    if not latest:
        return latest, set()
    found, _ = await request.app[SERVICES].waiter.wait(
        list(latest),
        timeout_s=request.app[RUNTIME].settings.http.wait_timeout_ms / 1000,
        wanted=lambda: request.transport is not None and not request.transport.is_closing(),
    )
    latest |= found
    return latest, {job_id for job_id, job in found.items() if not job.status.is_final}
