"""How many jobs wait, are worked on, or failed, over all teams: for health, metrics and autoscalers, never for a key.

What metrics ask is bounded, so that a long queue is told of as quickly as a short one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claude_mem.storage.database import Executor


async def lane_counts(executor: Executor, *, now_us: int, limit: int) -> dict[tuple[str, str], int]:
    """Jobs by (lane, state); the states are queued, delayed, processing, completed and failed.

    Parameters:
        limit: jobs of each of the first three states that are counted at most; of the last two it is a thousand.
    """
    found = await executor.fetch("jobs.lanes", now=now_us, limit=limit)
    counts = {(row["lane"], row["state"]): int(row["count"]) for row in found}
    for status in ("completed", "failed"):
        ended = await executor.fetch("jobs.lanes_ended", status=status)
        counts |= {(row["lane"], status): int(row["count"]) for row in ended}
    return counts


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queued jobs of a lane.

    Parameters:
        due: how many could be taken now; `delayed` wait for their time.
        oldest_us: since when the oldest of the first has been due, in microseconds; None where there is none.
    """

    due: int = 0
    delayed: int = 0
    oldest_us: int | None = None


async def waiting(executor: Executor, *, now_us: int, limit: int) -> dict[str, Waiting]:
    """What waits, by lane; lanes where nothing does are left out.

    Parameters:
        limit: jobs that are counted at most, those that are due longest first.
    """
    found = await executor.fetch("jobs.waiting", now=now_us, limit=limit)
    by_lane: dict[str, Waiting] = {}
    for row in found:
        lane = by_lane.setdefault(row["lane"], Waiting())
        change = {"delayed": row["count"]}
        if row["state"] == "due":
            change = {"due": row["count"], "oldest_us": row["oldest"]}
        by_lane[row["lane"]] = replace(lane, **change)
    return by_lane


async def count_in_status(executor: Executor, status: str, *, limit: int) -> dict[str, int]:
    """Jobs of a status by lane, `limit` of them at most."""
    found = await executor.fetch("jobs.in_status", status=status, limit=limit)
    return {row["lane"]: row["count"] for row in found}
