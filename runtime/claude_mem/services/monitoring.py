"""What Prometheus is told besides a server's own counts: the queue, as the database knows it, and the workers' figures.

Many may ask, and often: the database is asked once in a few seconds, by one of them, and answers from indexes. While
it is away the server's own figures are told all the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError
from claude_mem.model.times import now_us
from claude_mem.queue.port import LANES
from claude_mem.storage import backlog, worker_figures
from claude_mem.storage.database import StorageError
from claude_mem.telemetry import metrics
from claude_mem.telemetry.figures import Merged

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_mem.storage.database import Database
    from claude_mem.telemetry.declaring import Declared

    Values = dict[tuple[str, ...], float]
    Gauges = tuple[Declared, Values]

logger = logging.getLogger(__name__)

#: Seconds for which an answer of the database is told again.
KEPT_S = 2.0

#: Seconds that the database has to answer.
TIMEOUT_S = 2.0

#: Seconds after which a worker that says nothing is taken to be gone; it speaks every ten.
SILENT_S = 45

#: Rows that are counted, and workers that are told of, at most.
MOST_WAITING = 100_000
MOST_OTHERS = 10_000
MOST_WORKERS = 200


class Monitoring:
    """Puts an answer for Prometheus together.

    Parameters:
        clock: a time in seconds that never goes back.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked: tuple[float, dict[str, str], list[Gauges]] | None = None

    async def figures(self) -> Merged:
        """Everything that is known, never older than a few seconds."""
        async with self._asking:
            if self._asked is None or self._clock() - self._asked[0] >= KEPT_S:
                workers, gauges = await self._ask()
                self._asked = (self._clock(), workers, gauges)
        _, workers, gauges = self._asked
        return Merged(workers, [declared.family(values) for declared, values in gauges])

    async def _ask(self) -> tuple[dict[str, str], list[Gauges]]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                workers = await worker_figures.current(
                    self._database, since_us=now_us() - SILENT_S * 1_000_000, limit=MOST_WORKERS
                )
                return workers, [*await self._queue(), (metrics.WORKERS, {(): float(len(workers))})]
        except (TimeoutError, ClaudeMemError, StorageError) as error:
            logger.warning(
                "metrics leave out what the database knows", extra={"reason": type(error).__name__}
            )
            return {}, [(metrics.DATABASE_UP, {(): 0.0})]

    async def _queue(self) -> list[Gauges]:
        now = now_us()
        waiting = await backlog.waiting(self._database, now_us=now, limit=MOST_WAITING)
        others = {
            status: await backlog.count_in_status(self._database, status, limit=MOST_OTHERS)
            for status in ("processing", "failed")
        }
        depth: Values = {}
        age: Values = {}
        states: Values = {}
        for lane in LANES:
            found = waiting.get(lane, backlog.Waiting())
            depth[(lane,)] = states[lane, "due"] = found.due
            states[lane, "delayed"] = found.delayed
            age[(lane,)] = 0 if found.oldest_us is None else max(0.0, (now - found.oldest_us) / 1_000_000)
            for status, counts in others.items():
                states[lane, status] = counts.get(lane, 0)
        return [
            (metrics.DATABASE_UP, {(): 1.0}),
            (metrics.QUEUE_DEPTH, depth),
            (metrics.QUEUE_AGE, age),
            (metrics.JOBS, states),
        ]
