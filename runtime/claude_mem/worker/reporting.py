"""A worker's figures, left in the database for a server to tell: a worker listens nowhere."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError
from claude_mem.model.times import now_us
from claude_mem.storage import worker_figures
from claude_mem.storage.database import StorageError
from claude_mem.telemetry import figures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from claude_mem.storage.database import Database

logger = logging.getLogger(__name__)

#: Seconds between reports; a server tells of workers that reported within four and a half times that.
EVERY_S = 10.0

#: Microseconds after which the figures of a worker that ended without a word are deleted.
FORGOTTEN_US = 600_000_000

#: Seconds that the last deed may take.
PARTING_S = 2.0


@asynccontextmanager
async def reporting(database: Database, worker: str, *, every_s: float = EVERY_S) -> AsyncIterator[None]:
    """Report for as long as the block lasts, and take the report away in the end."""
    task = asyncio.create_task(_report(database, worker, every_s), name="report")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with suppress(TimeoutError, ClaudeMemError, StorageError):
            async with asyncio.timeout(PARTING_S):
                await worker_figures.forget(database, worker, before_us=now_us() - FORGOTTEN_US)


async def _report(database: Database, worker: str, every_s: float) -> None:
    while True:
        try:
            await worker_figures.report(database, worker, figures=figures.dump(), now_us=now_us())
        except (ClaudeMemError, StorageError) as error:
            logger.warning("metrics were not reported", extra={"reason": type(error).__name__})
        await asyncio.sleep(every_s)
