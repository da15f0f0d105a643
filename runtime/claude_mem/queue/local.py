"""Transports without a server: the one inside this process, and none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.queue.port import QueueState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claude_mem.model.records import Lane


def _nobody() -> None:
    """There is nobody to wake."""


class DisabledQueue:
    """No transport: jobs are rows, and workers find them by looking.

    Parameters:
        wake: called when there is something to do, for the workers of this process if it has any; must not block.
    """

    state = QueueState("disabled", "no queue engine is configured; workers find jobs in the database")

    def __init__(self, wake: Callable[[], None] = _nobody) -> None:
        self._wake = wake

    async def publish(self, lane: Lane, job_ids: Sequence[str]) -> bool:  # noqa: ARG002 - the port's shape
        self._wake()
        return False

    async def withdraw(self, lane: Lane, job_id: str) -> None:
        """Nothing is held, so nothing is forgotten."""

    async def ping(self, *, timeout_s: float) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing is open."""


class InProcessQueue(DisabledQueue):
    """Wakes the workers of this process; for development on one machine."""

    state = QueueState("active", "jobs are generated in this process", {"engine": "in-process"})

    async def publish(self, lane: Lane, job_ids: Sequence[str]) -> bool:
        await super().publish(lane, job_ids)
        return True
