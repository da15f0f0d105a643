"""How an engine works; where the values come from is the process's business."""

from __future__ import annotations

from dataclasses import dataclass

from claude_mem.storage import work
from claude_mem.worker.load import MOST

#: Microseconds after which a summary no longer waits for the events of its session.
SUMMARY_PATIENCE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine works.

    Parameters:
        worker: its name in `locked_by`, unlike any other's.
        concurrency: calls under way at most.
        mates: events of a session in one call at most.
        lease_s: seconds for which a claimed job is its own.
        heartbeat_s: seconds between extensions of the leases.
        grace_s: seconds that jobs under way get to finish when the engine stops.
        load: characters of stored texts that calls under way hold in memory at most.
    """

    worker: str
    concurrency: int
    mates: int
    lease_s: float
    heartbeat_s: float
    grace_s: float
    load: int = MOST

    @property
    def lease_us(self) -> int:
        return int(self.lease_s * 1_000_000)

    @property
    def terms(self) -> work.ClaimTerms:
        """The terms on which this engine takes jobs."""
        return work.ClaimTerms(
            worker=self.worker, lease_us=self.lease_us, mates=self.mates, patience_us=SUMMARY_PATIENCE_US
        )
