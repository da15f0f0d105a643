"""Jobs: listed, shown, tried again, cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, Strict, TypeAdapter

from claude_mem.http import params, wire
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer
from claude_mem.http.following import follow_job
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import (
    JSON,
    LAST_EVENT_ID,
    LIMIT,
    Operation,
    Other,
    Parameter,
    describe,
)
from claude_mem.http.responses import answers
from claude_mem.http.schemas import Body, Id, Integer, Label, Moment
from claude_mem.http.streaming import EVENT_STREAM, wants_events
from claude_mem.http.validation import UNDEFINED, read_json, validate
from claude_mem.model.errors import Forbidden, NotFound
from claude_mem.model.records import JobStatus, SourceType
from claude_mem.model.scopes import READ, WRITE, is_admin
from claude_mem.services.jobs import REDRIVE_DEFAULT, REDRIVE_MOST
from claude_mem.services.scope import require_project
from claude_mem.services.steering import Operator
from claude_mem.storage import tenancy
from claude_mem.storage.failed_jobs import FailedFilter
from claude_mem.storage.jobs import JobFilter

if TYPE_CHECKING:
    from claude_mem.services.context import RequestContext


class RedriveBody(Body):
    """Which failed jobs are to be queued again; without members, all of the key's."""

    project_id: Id | None = None
    lane: Literal["event", "summary"] | None = None
    classification: Label | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Annotated[Integer, Field(ge=1, le=REDRIVE_MOST)] = REDRIVE_DEFAULT
    dry_run: Annotated[bool, Strict()] = False


REDRIVE: TypeAdapter[RedriveBody] = TypeAdapter(RedriveBody)


_SOURCES = [str(kind) for kind in SourceType if kind is not SourceType.MANUAL]

_PAGE = (
    Parameter("status", "Only of this state.", {"enum": [str(status) for status in JobStatus]}),
    LIMIT,
    Parameter("cursor", "In the place of `offset`: empty for the first page, then `nextCursor`."),
    Parameter("offset", "Entries to leave out.", {"type": "integer", "minimum": 0, "default": 0}),
)


@describe(
    Operation(
        "listJobs",
        "Jobs, newest first",
        tag="Jobs",
        scope=READ,
        answers={200: answers.RequestedJobList | answers.RequestedJobPage},
        refusals=frozenset({400}),
        parameters=(
            *_PAGE,
            Parameter("source_type", "Only for these.", {"enum": _SOURCES}),
            Parameter("since", "Only those made at this time or later.", {"type": "string"}),
            Parameter("include", "`payload`, for administrators.", {"enum": ["payload"]}),
        ),
    )
)
async def list_all(request: web.Request) -> web.Response:
    """GET /v1/jobs."""
    context = await authorize(request, READ)
    payload = params.wants_payload(request)
    if payload and not is_admin(context.principal.scopes):
        raise Forbidden("`include=payload` requires admin scope")
    wanted = JobFilter(
        team_id=context.team_id,
        project_id=context.principal.project_id,
        status=params.status(request),
        source_type=params.source_type(request),
        since_us=params.since_us(request),
    )
    document = await _page(request, context, wanted=wanted, mode="jobs_list", payload=payload)
    return answer(document | {"requestId": context.request_id})


@describe(
    Operation(
        "listTeamJobs",
        "Jobs of a team, newest first",
        tag="Jobs",
        scope=READ,
        answers={200: answers.JobList | answers.JobPage},
        refusals=frozenset({400}),
        parameters=_PAGE,
    )
)
async def list_of_team(request: web.Request) -> web.Response:
    """GET /v1/teams/:teamId/jobs."""
    context = await authorize(request, READ)
    if request.match_info["teamId"] != context.team_id:
        raise NotFound("Team not found")
    wanted = JobFilter(
        team_id=context.team_id, project_id=context.principal.project_id, status=params.status(request)
    )
    return answer(await _page(request, context, wanted=wanted, mode="team_jobs"))


@describe(
    Operation(
        "listProjectJobs",
        "Jobs of a project, newest first",
        tag="Jobs",
        scope=READ,
        answers={200: answers.JobList | answers.JobPage},
        refusals=frozenset({400}),
        parameters=_PAGE,
    )
)
async def list_of_project(request: web.Request) -> web.Response:
    """GET /v1/projects/:projectId/jobs."""
    context = await authorize(request, READ)
    project_id = params.path_id(request, "projectId", what="Project")
    team_id = context.team_id
    project = await tenancy.find_project(
        request.app[SERVICES].database, project_id=project_id, team_id=team_id
    )
    if project is None or not context.sees_project(project_id):
        raise NotFound("Project not found")
    wanted = JobFilter(team_id=team_id, project_id=project_id, status=params.status(request))
    return answer(await _page(request, context, wanted=wanted, mode="project_jobs"))


async def _page(
    request: web.Request, context: RequestContext, *, wanted: JobFilter, mode: str, payload: bool = False
) -> dict[str, Any]:
    limit = params.integer(request, "limit", default=50, least=1, most=200)
    cursor = request.query.get("cursor")
    if cursor is not None:
        found = await request.app[SERVICES].jobs.list_behind(
            context, wanted, mode=mode, cursor=cursor.strip(), limit=limit
        )
        listed = [wire.job_listed(job, payload=payload) for job in found.items]
        return {"jobs": listed, "limit": limit, "nextCursor": found.next_cursor}
    offset = params.integer(request, "offset", default=0, least=0)
    page, total = await request.app[SERVICES].jobs.list_page(
        context, wanted, mode=mode, limit=limit, offset=offset
    )
    jobs = [wire.job_listed(job, payload=payload) for job in page]
    return {"jobs": jobs, "total": total, "limit": limit, "offset": offset}


@describe(Operation("getJob", "Read a job", tag="Jobs", scope=READ, answers={200: answers.JobFound}))
async def get(request: web.Request) -> web.Response:
    """GET /v1/jobs/:id."""
    context = await authorize(request, READ)
    job_id = params.path_id(request, "id", what="Generation job")
    return answer({"generationJob": wire.job_full(await request.app[SERVICES].jobs.get(context, job_id))})


@describe(
    Operation(
        "followJob",
        "What happened to a job, oldest first; as server-sent events, what happens to it until it ends",
        tag="Jobs",
        scope=READ,
        answers={
            200: Other(JSON, "The history, or a stream of it.", answers.JobHistory, also=EVENT_STREAM),
            204: Other(None, "The stream had ended: `Last-Event-ID` is its end."),
        },
        parameters=(LAST_EVENT_ID,),
    )
)
async def history(request: web.Request) -> web.StreamResponse:
    """GET /v1/jobs/:id/events: what happened to a job, or, as server-sent events, what happens to it."""
    context = await authorize(request, READ)
    service = request.app[SERVICES].jobs
    job = await service.get(context, params.path_id(request, "id", what="Generation job"))
    if wants_events(request):
        return await follow_job(request, context, job)
    return answer(
        {"jobId": job.id, "events": [wire.job_event(line) for line in await service.history(job.id)]}
    )


@describe(
    Operation(
        "retryJob",
        "Queue a failed or cancelled job again",
        tag="Jobs",
        scope=WRITE,
        answers={200: answers.JobRetried},
        refusals=frozenset({409}),
    )
)
async def retry(request: web.Request) -> web.Response:
    """POST /v1/jobs/:id/retry."""
    context = await authorize(request, WRITE)
    service = request.app[SERVICES].jobs
    job = await service.get(context, params.path_id(request, "id", what="Generation job"))
    steered = await service.retry(job, Operator("operator", context))
    return answer(
        {
            "generationJob": wire.job_full(steered.job),
            "retriedCount": steered.retried,
            "alreadyQueued": steered.unchanged,
            "requestId": context.request_id,
        }
    )


@describe(
    Operation(
        "cancelJob",
        "Cancel a job",
        tag="Jobs",
        scope=WRITE,
        answers={200: answers.JobCancelled},
        refusals=frozenset({409}),
    )
)
async def cancel(request: web.Request) -> web.Response:
    """POST /v1/jobs/:id/cancel."""
    context = await authorize(request, WRITE)
    service = request.app[SERVICES].jobs
    job = await service.get(context, params.path_id(request, "id", what="Generation job"))
    steered = await service.cancel(job, Operator("operator", context))
    return answer(
        {
            "generationJob": wire.job_full(steered.job),
            "alreadyCancelled": steered.unchanged,
            "requestId": context.request_id,
        }
    )


@describe(
    Operation(
        "redriveJobs",
        "Queue failed jobs again",
        tag="Jobs",
        scope=WRITE,
        body=REDRIVE,
        body_needed=False,
        answers={200: answers.RequestedRedriven},
    )
)
async def redrive(request: web.Request) -> web.Response:
    """POST /v1/jobs/redrive."""
    context = await authorize(request, WRITE)
    body = await read_json(request)
    wanted = validate(REDRIVE, {} if body is UNDEFINED else body)
    services = request.app[SERVICES]
    if wanted.project_id is not None:
        await require_project(services.database, context, project_id=wanted.project_id)
    done = await services.jobs.redrive(
        FailedFilter(
            team_id=context.team_id,
            project_id=wanted.project_id or context.principal.project_id,
            lane=wanted.lane,
            classification=wanted.classification,
            since_us=wanted.since,
            until_us=wanted.until,
        ),
        Operator("operator", context),
        limit=wanted.limit,
        dry_run=wanted.dry_run,
    )
    return answer(wire.redriven(done) | {"requestId": context.request_id})


ROUTES = [
    web.get("/v1/jobs", list_all),
    web.get("/v1/teams/{teamId}/jobs", list_of_team),
    web.get("/v1/projects/{projectId}/jobs", list_of_project),
    web.post("/v1/jobs/redrive", redrive),
    web.get("/v1/jobs/{id}", get),
    web.get("/v1/jobs/{id}/events", history),
    web.post("/v1/jobs/{id}/retry", retry),
    web.post("/v1/jobs/{id}/cancel", cancel),
]
