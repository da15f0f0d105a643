"""Whether the database can hold vectors: asked when first needed, and again from time to time until it can."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError
from claude_mem.storage import vectors
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_mem.storage.database import Database

logger = logging.getLogger(__name__)

#: Seconds until a database that cannot hold vectors is asked again; somebody may have created the extension.
AGAIN_S = 30.0


class VectorSupport:
    """Remembers the answer, and tells people of a no, once for each reason.

    Parameters:
        passage: characters of a text that share a vector, at most.
        clock: a time in seconds that never goes back.
    """

    def __init__(
        self, database: Database, *, passage: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._passage = passage
        self._clock = clock
        self._ready = False
        self._asked_s: float | None = None
        self._told: str | None = None

    async def ready(self) -> bool:
        """Whether vectors can be stored and compared; makes their table where it can."""
        if self._ready:
            return True
        now = self._clock()
        if self._asked_s is not None and now - self._asked_s < AGAIN_S:
            return False
        self._asked_s = now
        try:
            reason = await vectors.ensure(self._database, passage=self._passage)
        except (ClaudeMemError, StorageError) as error:
            logger.info("vectors were not looked for", extra={"reason": type(error).__name__})
            self._asked_s = None
            return False
        if reason is None:
            self._ready = True
        elif reason != self._told:
            self._told = reason
            logger.warning("semantic search is set up, but does not work: %s", reason)
        return self._ready

    def lost(self) -> None:
        """Ask again before the next use: the table or the extension may have been dropped."""
        self._ready, self._asked_s = False, None
