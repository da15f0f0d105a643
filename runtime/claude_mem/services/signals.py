"""News of jobs that reached their end, from whichever process, to those who wait for them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from claude_mem.storage import jobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from claude_mem.model.records import Job
    from claude_mem.storage.database import Database, Executor

#: Channel on which the id of a job is announced when the transaction that ended it commits.
CHANNEL = "claude_mem_job_ended"

#: Seconds after which a waiter looks for itself, in case an announcement was lost, and whether it is still wanted.
LOOK_AGAIN_S = 1.0

#: Ids in one announcement; PostgreSQL takes 8,000 bytes.
_ANNOUNCED_TOGETHER = 100


async def announce(executor: Executor, job_ids: Sequence[str]) -> None:
    """Tell waiters, once the transaction commits, that jobs have ended."""
    for start in range(0, len(job_ids), _ANNOUNCED_TOGETHER):
        await executor.notify(CHANNEL, " ".join(job_ids[start : start + _ANNOUNCED_TOGETHER]))


class JobWaiter:
    """Waits for jobs to end.

    Parameters:
        database: announces ends, and knows the state of each job.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._hearing: set[asyncio.Event] = set()
        self._stop: Callable[[], Awaitable[None]] | None = None
        self._lock = asyncio.Lock()
        self._stopping = False

    async def wait(
        self, job_ids: Sequence[str], *, timeout_s: float, wanted: Callable[[], bool]
    ) -> tuple[dict[str, Job], bool]:
        """Wait until every job has ended.

        Parameters:
            timeout_s: seconds for all of them together.
            wanted: asked about once a second whether the caller is still there.

        Returns: the jobs as last seen, by id (a deleted one is missing), and whether time ran out.
        """
        await self._listen()
        news = asyncio.Event()
        for job_id in job_ids:
            self._waiting.setdefault(job_id, set()).add(news)
        try:
            return await self._watch(
                job_ids, news, deadline=asyncio.get_running_loop().time() + timeout_s, wanted=wanted
            )
        finally:
            for job_id in job_ids:
                waiting = self._waiting[job_id]
                waiting.discard(news)
                if not waiting:
                    del self._waiting[job_id]

    @property
    def stopping(self) -> bool:
        """Whether the server is about to end, so that nobody should go on waiting."""
        return self._stopping

    @asynccontextmanager
    async def hearing(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever any job ends, and when the server is about to; the caller clears it."""
        await self._listen()
        news = asyncio.Event()
        self._hearing.add(news)
        try:
            yield news
        finally:
            self._hearing.discard(news)

    async def _watch(
        self, job_ids: Sequence[str], news: asyncio.Event, *, deadline: float, wanted: Callable[[], bool]
    ) -> tuple[dict[str, Job], bool]:
        loop = asyncio.get_running_loop()
        while True:
            news.clear()
            found = await jobs.find_by_ids(self._database, job_ids)
            if all(job.status.is_final for job in found.values()):
                return found, False
            left = deadline - loop.time()
            if left <= 0 or self._stopping or not wanted():
                return found, True
            try:
                async with asyncio.timeout(min(left, LOOK_AGAIN_S)):
                    await news.wait()
            except TimeoutError:
                continue

    async def _listen(self) -> None:
        async with self._lock:
            if self._stop is None:
                self._stop = await self._database.listen(CHANNEL, self._heard)

    def _heard(self, announced: str) -> None:
        for job_id in announced.split():
            for news in self._waiting.get(job_id, ()):
                news.set()
        for news in self._hearing:
            news.set()

    def stop(self) -> None:
        """Let everybody go who waits, as if time had run out: the server is about to end."""
        self._stopping = True
        for waiting in (*self._waiting.values(), self._hearing):
            for news in waiting:
                news.set()

    async def close(self) -> None:
        """Stop listening."""
        self.stop()
        if self._stop is not None:
            await self._stop()
            self._stop = None
