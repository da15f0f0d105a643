"""Usage rows, the counters that follow them, and the windows of the rate limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from claude_mem.model.documents import Document
from claude_mem.model.identity import new_id
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.storage.database import Executor


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Something that is counted.

    Parameters:
        kind: `request`, `tokens` or `observation`.
        quantity: how many, at least 0.
        at_us: when, in microseconds since the epoch.
    """

    team_id: str
    project_id: str | None
    kind: str
    quantity: int
    at_us: int
    metadata: dict[str, Any]
    id: str = field(default_factory=new_id)


async def append(executor: Executor, usage: Sequence[UsageRow]) -> None:
    """Store usage rows; rows of teams that are gone are left out."""
    if not usage:
        return
    await executor.fetch_rows(
        "usage.insert",
        [
            {
                "id": row.id,
                "team_id": row.team_id,
                "project_id": row.project_id,
                "kind": row.kind,
                "quantity": max(row.quantity, 0),
                "metadata": Document.of(row.metadata).text,
                "created_at": row.at_us,
            }
            for row in usage
        ],
    )


async def totals(executor: Executor, *, team_id: str, since_us: int) -> dict[str, int]:
    """Sums by kind of a team's rows since a time."""
    found = await executor.fetch("usage.totals", team_id=team_id, since=since_us)
    return {row["kind"]: int(row["quantity"]) for row in found}


async def month_total(executor: Executor, *, team_id: str, kind: str, month_start_us: int) -> int:
    """What a team has used of a kind in the month that begins at `month_start_us`."""
    row = await fetch_one(executor, "usage.counter", team_id=team_id, kind=kind, period_start=month_start_us)
    return int(row["quantity"]) if row else 0


async def lock_team(executor: Executor, team_id: str) -> None:
    """Make other admissions of the team wait until the transaction ends."""
    await executor.fetch("usage.lock_team", team_id=team_id)


async def hit(executor: Executor, *, subject_id: str, window_start_us: int) -> int:
    """Count one request in a window and return how many it has seen."""
    row = await fetch_one(executor, "limits.hit", subject_id=subject_id, window_start=window_start_us)
    if row is None:
        raise AssertionError("an upsert that returns its row returned none")
    return int(row["count"])


async def forget_windows(executor: Executor, *, before_us: int) -> int:
    return await executor.execute("limits.forget", before=before_us)
