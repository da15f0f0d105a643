"""How much the calls of an engine hold in memory: the stored texts that they are made of, until their answers are stored.

Events may have megabytes each, and an engine has dozens of calls under way. What is claimed beyond the room waits, with its
leases kept: a process that ran out of memory would take the attempts of everybody's jobs with it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio import Task

#: Characters that calls under way hold at most, but for those of the last one begun. Parsed they take two to four times as
#: many bytes, as a rule; a worker has a GiB.
MOST: Final = 64 * 2**20

#: Bytes that are read at a time: they are here as they were stored and parsed for a moment.
SLICE: Final = 8 * 2**20


class Load:
    """What calls under way hold, and which claimed jobs wait for them.

    Parameters:
        most: characters that they hold at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[Task[None], int] = {}
        self._waiting: set[Task[None]] = set()
        self._light = asyncio.Event()
        self._light.set()

    @property
    def room(self) -> int:
        """Bytes that may be read for further calls; 0 while there is no room."""
        return max(0, min(SLICE, self._most - sum(self._held.values())))

    @property
    def is_full(self) -> bool:
        """Whether no more jobs should be taken."""
        return bool(self._waiting) or self.room == 0

    def hold(self, task: Task[None], size: int) -> None:
        """Count the characters of a call until its task is done."""
        self._held[task] = size
        self._tell()

    def wait(self, task: Task[None]) -> None:
        """Let nothing be taken until this task, which waits for room, is done."""
        self._waiting.add(task)

    def drop(self, task: Task[None]) -> None:
        """A task is done."""
        self._waiting.discard(task)
        self._held.pop(task, None)
        self._tell()

    async def lighter(self) -> None:
        """Wait until there is room."""
        await self._light.wait()

    def _tell(self) -> None:
        if self.room:
            self._light.set()
        else:
            self._light.clear()
