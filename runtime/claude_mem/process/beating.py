"""A worker gives signs of life: its event loop writes a file again and again.

A worker whose loop hangs stops writing, so that the file's age says what the process table cannot.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from claude_mem.process import beat, state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

logger = logging.getLogger(__name__)

#: Seconds between signs of life.
EVERY_S = 5.0


@asynccontextmanager
async def beating(data_dir: Path) -> AsyncIterator[None]:
    """Give signs of life for as long as the block lasts; a directory that cannot be written is said once."""
    task = asyncio.create_task(_beat(data_dir), name="beat")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (data_dir / beat.BEAT_FILE).unlink(missing_ok=True)


async def _beat(data_dir: Path) -> None:
    while True:
        try:
            state.put(data_dir / beat.BEAT_FILE, beat.text(beat.Beat(os.getpid(), time.time())))
        except OSError as error:
            logger.warning("`worker health` will not see this worker", extra={"reason": error.strerror})
            return
        await asyncio.sleep(EVERY_S)
