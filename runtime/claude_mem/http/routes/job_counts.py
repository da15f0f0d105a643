"""How jobs stand, in figures: for who looks at the queue rather than at a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem.http.access import authorize, named_project
from claude_mem.http.answers import answer
from claude_mem.http.keys import RUNTIME, SERVICES
from claude_mem.http.openapi.operation import PROJECT, Operation, describe
from claude_mem.http.responses import answers
from claude_mem.model.scopes import READ
from claude_mem.services.job_counts import count_jobs

if TYPE_CHECKING:
    from claude_mem.services.job_counts import Hold, WaitingLane


@describe(
    Operation(
        "countJobs",
        "How many jobs are in each state, and what those that are queued wait for",
        tag="Jobs",
        scope=READ,
        answers={200: answers.JobCounts},
        parameters=(PROJECT,),
    )
)
async def count(request: web.Request) -> web.Response:
    """GET /v1/jobs/counts."""
    context = await authorize(request, READ)
    found = await count_jobs(
        request.app[SERVICES].database,
        team_id=context.team_id,
        project_id=await named_project(request, context),
    )
    here = request.app[RUNTIME].generation.status == "active"
    return answer(
        {
            "states": found.states,
            "lanes": [_lane(lane) for lane in found.lanes],
            "generating": here or found.working,
        }
    )


def _lane(found: WaitingLane) -> dict[str, Any]:
    return {
        "lane": found.lane,
        "due": found.due,
        "oldestDueAtEpoch": None if found.oldest_us is None else found.oldest_us // 1000,
        "held": [_hold(hold) for hold in found.holds],
    }


def _hold(found: Hold) -> dict[str, Any]:
    return {"reason": found.reason, "jobs": found.count, "nextAttemptAtEpoch": found.next_us // 1000}


ROUTES = [web.get("/v1/jobs/counts", count)]
