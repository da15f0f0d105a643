"""How the server's dependencies are, asked with short timeouts so that the answer comes even when they do not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError
from claude_mem.model.times import now_us
from claude_mem.queue.port import LANE_NAMES, LANES
from claude_mem.storage import backlog
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from claude_mem.queue.port import Queue
    from claude_mem.storage.database import Database

#: Seconds that a dependency has to answer.
TIMEOUT_S = 2.0

#: Jobs of a state that are counted for who asks how the server is: enough to see a backlog, and read in milliseconds.
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency.

    Parameters:
        name: `postgres`, `sqlite` or `valkey`.
        required: whether the server can serve without it.
        error: why it is not well, for people; None when it is.
    """

    name: str
    required: bool
    error: str | None
    latency_ms: float

    @property
    def ok(self) -> bool:
        return self.error is None


async def check_all(database: Database, queue: Queue) -> list[Check]:
    """Ask every dependency at the same time."""
    checks = [_check(database.name, database, required=True)]
    if queue.state.details.get("engine") == "dramatiq":
        checks.append(_check("valkey", queue, required=False))
    return list(await asyncio.gather(*checks))


async def _check(name: str, dependency: Database | Queue, *, required: bool) -> Check:
    started = time.monotonic()
    error = None
    try:
        await dependency.ping(timeout_s=TIMEOUT_S)
    except ClaudeMemError as failure:
        error = failure.message
    except StorageError as failure:
        error = type(failure).__name__
    return Check(name, required, error, round((time.monotonic() - started) * 1000, 3))


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """A lane as clients see it; counts are of rows, and None where the database does not answer."""

    kind: str
    name: str
    counts: dict[str, int] | None


async def lanes(database: Database, *, limit: int = MOST_COUNTED) -> list[LaneDepth]:
    """The depth of each lane.

    Parameters:
        limit: jobs of a state that are counted at most, over both lanes.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            counted = await backlog.lane_counts(database, now_us=now_us(), limit=limit)
    except (TimeoutError, ClaudeMemError, StorageError):
        return [LaneDepth(lane, LANE_NAMES[lane], None) for lane in LANES]
    states = {
        "waiting": "queued",
        "active": "processing",
        "completed": "completed",
        "failed": "failed",
        "delayed": "delayed",
    }
    return [
        LaneDepth(
            lane, LANE_NAMES[lane], {name: counted.get((lane, state), 0) for name, state in states.items()}
        )
        for lane in LANES
    ]
