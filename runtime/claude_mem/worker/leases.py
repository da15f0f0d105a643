"""The claims of an engine: kept by heartbeats while work on them goes on, and given back when none will."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from claude_mem.model.errors import ClaudeMemError, Unavailable
from claude_mem.model.times import now_us
from claude_mem.services import trail
from claude_mem.storage import jobs
from claude_mem.storage.database import Retryable, StorageError, run_transaction
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from claude_mem.storage.database import Database, Executor

logger = logging.getLogger(__name__)

#: Seconds between tries to keep jobs or to give them back, while the database does not answer.
AGAIN_S = 1.0

#: Why jobs are given back as if they had not been taken.
HandedBack = Literal["worker_stopping", "database_unavailable"]


class Leases:
    """Which task works on which claim.

    Parameters:
        lease_us: microseconds for which a heartbeat extends a claim.
        heartbeat_s: seconds between heartbeats.
    """

    def __init__(self, database: Database, *, lease_us: int, heartbeat_s: float) -> None:
        self._database = database
        self._lease_us = lease_us
        self._heartbeat_s = heartbeat_s
        self._tasks: dict[jobs.Claim, asyncio.Task[None]] = {}
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def claims(self) -> list[jobs.Claim]:
        """Those that are worked on."""
        return list(self._tasks)

    def begin(self, claims: Iterable[jobs.Claim], task: asyncio.Task[None]) -> None:
        """Keep these claims for as long as the task goes on."""
        for claimed in claims:
            self._tasks[claimed] = task

    def call(self, task: asyncio.Task[None]) -> None:
        """Give this task up if its claims are lost: it waits for a provider, or is about to."""
        self._calls.add(task)

    def called(self, task: asyncio.Task[None]) -> None:
        """Let it end by itself: all it has left is to store, which does nothing without the claims."""
        self._calls.discard(task)

    def end(self, claims: Iterable[jobs.Claim], task: asyncio.Task[None]) -> None:
        """Keep them no longer."""
        self._calls.discard(task)
        for claimed in claims:
            # A job that was handed back may be here again by now, under the same attempt.
            if self._tasks.get(claimed) is task:
                del self._tasks[claimed]

    async def keep(self) -> None:
        """Extend the leases again and again; a call whose claims were all lost is cancelled.

        While the database is away it tries more often: leases run out meanwhile, and soon after it is back somebody looks
        for those that did. A heartbeat that hangs is given up while there is time for another, over another connection.
        """
        loop = asyncio.get_running_loop()
        pause_s = self._heartbeat_s
        while True:
            await asyncio.sleep(pause_s)
            under_way = dict(self._tasks)
            began_s = loop.time()
            try:
                async with asyncio.timeout(self._lease_us / 3_000_000):
                    held = await jobs.heartbeat(
                        self._database, list(under_way), lease_us=self._lease_us, now_us=now_us()
                    )
            except (ClaudeMemError, StorageError, TimeoutError) as error:
                logger.warning("leases were not extended", extra={"reason": type(error).__name__})
                pause_s = min(AGAIN_S, self._heartbeat_s)
                continue
            # The lease is counted from when this was sent.
            pause_s = max(0.0, self._heartbeat_s - (loop.time() - began_s))
            kept = {task for claimed, task in under_way.items() if claimed.job_id in held}
            for task in self._calls.intersection(under_way.values()) - kept:
                # Cancelled by an operator, or taken by others: nothing of the call can be stored any more.
                self._calls.discard(task)
                metrics.CLAIMS_LOST.inc()
                task.cancel()

    async def hand_back(self, claims: Iterable[jobs.Claim], *, reason: HandedBack) -> None:
        """Give jobs back, however long the database is away: left to their leases they would lose an attempt.

        Parameters:
            reason: why, as the jobs' histories tell it.
        """
        left = list(claims)
        while left:
            left = [claimed for claimed in left if not await self.offer(claimed, reason=reason)]
            if left:
                await asyncio.sleep(AGAIN_S)

    async def offer(self, claimed: jobs.Claim, *, reason: HandedBack) -> bool:
        """Give a job back, unless it is no longer ours; whether the database answered."""

        async def give(transaction: Executor) -> None:
            now = now_us()
            job = await jobs.hand_back(transaction, claimed, now_us=now)
            if job is not None:
                line = trail.line(job, "queued", "queued", {"reason": reason}, at_us=now)
                await jobs.append_events(transaction, [replace(line, attempt=claimed.attempt)])

        try:
            await run_transaction(self._database, give)
        except (Unavailable, Retryable):
            return False
        return True
