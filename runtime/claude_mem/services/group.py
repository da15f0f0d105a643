"""Group commit: requests that arrive while another group is under way share the next one.

A group begins only after each of its members has arrived, so nobody gets an answer that is older than the question.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Generic, TypeVar

from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger(__name__)


class GroupCommit(Generic[T, R]):
    """Collects items and hands them on in groups.

    Parameters:
        name: of the tasks, for logs.
        commit: does the work for a group and returns one result, or the error to raise, for each item in order.
        largest: items in a group at most.
        parallel: groups under way at most.
    """

    def __init__(
        self,
        name: str,
        commit: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        largest: int,
        parallel: int,
    ) -> None:
        self._name = name
        self._commit = commit
        self._largest = largest
        self._parallel = parallel
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._running: set[asyncio.Task[None] | None] = set()

    async def submit(self, item: T) -> R:
        """Do the work for one item together with others.

        A caller that is cancelled leaves; the work for its item is still done.

        Raises: what `commit` gave for the item, or raised for the group.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._running) < self._parallel:
            # In no one's context: it works for many requests, not for the one that happened to begin it.
            self._running.add(asyncio.create_task(self._run(), name=self._name, context=Context()))
        return await future

    async def _run(self) -> None:
        try:
            await self._drain()
        finally:
            # At once, not when the loop gets round to a callback: what is submitted in between would find it running.
            self._running.discard(asyncio.current_task())

    async def _drain(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), self._largest)
            group = [self._waiting.popleft() for _ in range(count)]
            metrics.GROUP_ITEMS.labels(self._name).observe(count)
            try:
                with metrics.GROUP_SECONDS.labels(self._name).time():
                    results: Sequence[R | Exception] = await self._commit([item for item, _ in group])
            except Exception as error:
                results = [error] * count
            except BaseException:
                for _, future in group:
                    future.cancel()
                raise
            for (_, future), result in zip(group, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    async def close(self) -> None:
        """Wait until what was submitted is done."""
        await asyncio.gather(*filter(None, self._running), return_exceptions=True)
