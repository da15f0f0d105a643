"""A worker's sign of life: a file that its event loop writes, for a check that may not open a port.

A worker whose loop hangs stops writing, so that the file's age says what the process table cannot.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from claude_mem.process import state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

logger = logging.getLogger(__name__)

BEAT_FILE = ".server-beta-worker.json"

#: Seconds between signs of life, and the age at which one no longer counts.
EVERY_S = 5.0
STALE_S = 30.0


@dataclass(frozen=True, slots=True)
class Beat:
    """The latest sign of life.

    Parameters:
        at: Unix time in seconds.
    """

    pid: int
    at: float

    @property
    def age_s(self) -> float:
        return max(0.0, time.time() - self.at)


def read(data_dir: Path) -> Beat | None:
    """The latest sign of life in a data directory, however old."""
    try:
        found = json.loads((data_dir / BEAT_FILE).read_text("utf-8"))
        return Beat(int(found["pid"]), float(found["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@asynccontextmanager
async def beating(data_dir: Path) -> AsyncIterator[None]:
    """Give signs of life for as long as the block lasts; a directory that cannot be written is said once."""
    task = asyncio.create_task(_beat(data_dir), name="beat")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (data_dir / BEAT_FILE).unlink(missing_ok=True)


async def _beat(data_dir: Path) -> None:
    while True:
        try:
            state.put(data_dir / BEAT_FILE, json.dumps(asdict(Beat(os.getpid(), time.time()))))
        except OSError as error:
            logger.warning("`worker health` will not see this worker", extra={"reason": error.strerror})
            return
        await asyncio.sleep(EVERY_S)
