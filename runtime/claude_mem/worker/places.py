"""Places for calls: how many are under way, how many more are wanted, and whose turn it is.

A few jobs are taken ahead of a free place, as many as get one within a second, so that providers that answer quickly
are not kept waiting for the database. Where they answer slowly none are, and other workers may have them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that a job taken ahead waits for its place, at most and about.
AHEAD_S = 1.0

#: Seconds over which the rate of calls is taken.
RATE_S = 2.0


class Places:
    """Places for calls.

    Parameters:
        most: calls under way at most.
        freed: called whenever a call is over.
        clock: a time in seconds that never goes back.
    """

    def __init__(
        self, most: int, *, freed: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._freed = freed
        self._clock = clock
        self._places = asyncio.Semaphore(most)
        self._reserved = 0
        self._ended: deque[float] = deque()

    @property
    def wanted(self) -> int:
        """Calls that should be added now, for places that are free or soon will be."""
        return self._most + min(self._most, self._soon()) - self._reserved

    def _soon(self) -> int:
        since = self._clock() - RATE_S
        while self._ended and self._ended[0] < since:
            self._ended.popleft()
        return int(len(self._ended) * AHEAD_S / RATE_S)

    def reserve(self) -> Place:
        """A place in the line for one call."""
        self._reserved += 1
        return Place(self)

    async def _enter(self) -> None:
        await self._places.acquire()

    def _leave(self, *, entered: bool) -> None:
        self._reserved -= 1
        if entered:
            self._ended.append(self._clock())
            self._places.release()
        self._freed()


class Place:
    """One call's place."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._entered = False
        self._left = False

    async def enter(self) -> None:
        """Wait for a free place."""
        await self._places._enter()  # noqa: SLF001 - one thing in two classes
        self._entered = True

    def leave(self) -> None:
        """Let the next one in; to be called however the call ends, more than once if need be."""
        if not self._left:
            self._left = True
            self._places._leave(entered=self._entered)  # noqa: SLF001 - one thing in two classes
