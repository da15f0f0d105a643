"""The queue port: what the services need of a transport.

A transport carries job ids and may lose them; workers find due jobs in the database as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_mem.model.records import Lane

LANES: tuple[Lane, ...] = ("event", "summary")

#: Names of the lanes on the wire and in claude-mem 13.
LANE_NAMES: dict[Lane, str] = {
    "event": "server_beta_generate_event",
    "summary": "server_beta_generate_summary",
}


@dataclass(frozen=True, slots=True)
class QueueState:
    """What a transport says of itself.

    Parameters:
        status: `disabled`, `active` or `errored`.
        details: engine, address and prefix; never a credential.
    """

    status: Literal["disabled", "active", "errored"]
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Queue(Protocol):
    """A way to tell workers about jobs."""

    @property
    def state(self) -> QueueState: ...

    async def publish(self, lane: Lane, job_ids: Sequence[str]) -> bool:
        """Offer jobs to workers, without ever raising or holding the caller for long.

        Returns: whether the transport accepted them; if not, workers find them later in the database.
        """
        ...

    async def withdraw(self, lane: Lane, job_id: str) -> None:
        """Forget a job if the transport still holds it; a hint only."""
        ...

    async def ping(self, *, timeout_s: float) -> None:
        """Raise Unavailable unless the transport answers within the time."""
        ...

    async def close(self) -> None: ...
