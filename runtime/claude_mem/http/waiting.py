"""`wait=true`: the answer is held back until the jobs have ended, for as long as the client is there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from claude_mem.http.keys import RUNTIME, SERVICES
from claude_mem.model.errors import Unavailable
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from claude_mem.model.records import Job


logger = logging.getLogger(__name__)


async def wait_for(request: web.Request, jobs: Sequence[Job]) -> tuple[dict[str, Job], set[str]]:
    """Wait until jobs have ended, all of them within the one time that settings allow.

    Returns: each job as last seen, and the ids of those that had not ended in time.
    """
    latest = {job.id: job for job in jobs}
    if not latest:
        return latest, set()
    try:
        found, _ = await request.app[SERVICES].waiter.wait(
            list(latest),
            timeout_s=request.app[RUNTIME].settings.http.wait_timeout_ms / 1000,
            wanted=lambda: request.transport is not None and not request.transport.is_closing(),
        )
    except (StorageError, Unavailable) as error:
        # The events are stored; a refusal now would make the client send them again.
        logger.warning("waiting for jobs ended early", extra={"reason": type(error).__name__})
        found = latest
    latest |= found
    return latest, {job_id for job_id, job in found.items() if not job.status.is_final}
