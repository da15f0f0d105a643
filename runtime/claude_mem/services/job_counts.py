"""How a team's jobs stand: how many are in each state, and since when and for what those that are queued wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from claude_mem.generation.errors import Classification
from claude_mem.model.records import JobStatus
from claude_mem.model.times import now_us
from claude_mem.queue.port import LANES
from claude_mem.services.budget_changes import WAITING
from claude_mem.services.monitoring import SILENT_S
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.storage import held_jobs, jobs, worker_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import Lane
    from claude_mem.storage.database import Database
    from claude_mem.storage.held_jobs import HeldJobs

#: Queued jobs that are told apart at most; of a longer queue, as many of each project as that.
MOST_HELD: Final = 10_000

#: What a job waits for that nothing set back: its session, which goes on, so that more of it shares a call.
SESSION: Final = "session"

#: Why a job that was tried waits, where its error is of no class that this release knows.
UNKNOWN: Final = "unknown"

#: Everything that a job may wait for.
HOLDS: Final = (SESSION, WAITING, *get_args(Classification), UNKNOWN)


@dataclass(frozen=True, slots=True)
class Hold:
    """Jobs that wait for their time.

    Parameters:
        reason: one of `HOLDS`.
        next_us: when the first of them is due, in microseconds.
    """

    reason: str
    count: int
    next_us: int


@dataclass(frozen=True, slots=True)
class WaitingLane:
    """Queued jobs of a lane.

    Parameters:
        due: how many a worker could take now.
        oldest_us: since when the first of those has been due, in microseconds; None where there is none.
        holds: the others, in the order of `HOLDS`.
    """

    lane: Lane
    due: int
    oldest_us: int | None
    holds: list[Hold]


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How the jobs of a team, or of one of its projects, stand.

    Parameters:
        states: jobs by state; every state is there.
        working: whether some worker said within `SILENT_S` seconds that it runs.
    """

    states: dict[str, int]
    lanes: list[WaitingLane]
    working: bool


async def count_jobs(database: Database, *, team_id: str, project_id: str | None) -> JobCounts:
    """Count a team's jobs, or those of one of its projects.

    Raises: Unavailable.
    """
    now = now_us()
    with refuse_storage_errors():
        states = await jobs.count_by_status(database, team_id=team_id, project_id=project_id)
        found = await held_jobs.held(
            database, team_id=team_id, project_id=project_id, now_us=now, limit=MOST_HELD
        )
        workers = await worker_figures.current(database, since_us=now - SILENT_S * 1_000_000, limit=1)
    return JobCounts(
        states={str(status): states.get(status, 0) for status in JobStatus},
        lanes=[_lane(lane, [held for held in found if held.lane == lane]) for lane in LANES],
        working=bool(workers),
    )


def _lane(lane: Lane, found: Sequence[HeldJobs]) -> WaitingLane:
    due = [held for held in found if held.due]
    holds = {reason: [held for held in found if not held.due and _reason(held) == reason] for reason in HOLDS}
    return WaitingLane(
        lane=lane,
        due=sum(held.count for held in due),
        oldest_us=min((held.first_us for held in due), default=None),
        holds=[
            Hold(reason, sum(held.count for held in those), min(held.first_us for held in those))
            for reason, those in holds.items()
            if those
        ],
    )


def _reason(held: HeldJobs) -> str:
    if held.classification is None:
        return SESSION
    return held.classification if held.classification in HOLDS else UNKNOWN
