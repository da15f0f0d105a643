"""What workers last said of themselves: a row each, for the process that Prometheus asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claude_mem.storage.database import Executor


async def report(executor: Executor, worker: str, *, figures: str, now_us: int) -> None:
    """Replace what a worker said before.

    Parameters:
        figures: JSON, as `claude_mem.telemetry.figures` writes it.
    """
    await executor.execute("worker_figures.report", worker=worker, figures=figures, now=now_us)


async def current(executor: Executor, *, since_us: int, limit: int) -> dict[str, str]:
    """Figures by worker, of those that reported since a time in microseconds."""
    found = await executor.fetch("worker_figures.current", since=since_us, limit=limit)
    return {row["worker"]: row["figures"] for row in found}


async def forget(executor: Executor, worker: str, *, before_us: int) -> None:
    """Delete a worker's figures, and all that are older than a time in microseconds."""
    await executor.execute("worker_figures.forget", worker=worker, before=before_us)
