"""Events: in one by one or in batches, out by id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem.http import params, wire
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import Operation, Parameter, describe
from claude_mem.http.responses import answers
from claude_mem.http.schemas import EVENT, EVENTS, EventBody
from claude_mem.http.validation import flag, read_json, validate
from claude_mem.http.waiting import wait_for
from claude_mem.model.errors import NotFound
from claude_mem.model.platforms import normalise_platform
from claude_mem.model.scopes import READ, WRITE
from claude_mem.services.ingest import EventInput
from claude_mem.storage import events

if TYPE_CHECKING:
    from claude_mem.model.records import Job
    from claude_mem.services.ingest import Ingested


_FLAGS = (
    Parameter("generate", "Whether events get jobs.", {"type": "boolean", "default": True}),
    Parameter(
        "wait", "Hold the answer back until the jobs have ended.", {"type": "boolean", "default": False}
    ),
)


@describe(
    Operation(
        "createEvent",
        "Store an event, with a job for it",
        tag="Events",
        scope=WRITE,
        body=EVENT,
        answers={201: answers.EventEntry},
        parameters=_FLAGS,
        replayable=True,
    )
)
async def create(request: web.Request) -> web.Response:
    """POST /v1/events."""
    context = await authorize(request, WRITE)
    generate, wait = _flags(request)
    body = validate(EVENT, await read_json(request))
    context.require_team()
    ingested = await request.app[SERVICES].ingest.ingest(
        context, _input(body), generate=generate, source="http_post_v1_events", urgent=wait
    )
    latest, late = await wait_for(request, [ingested.job] if wait and ingested.job else [])
    entry = _entry(ingested, wait=wait, latest=latest)
    if late:
        entry["waitTimedOut"] = True
    return answer(entry, status=201)


@describe(
    Operation(
        "createEvents",
        "Store 1 to 500 events, all or none",
        tag="Events",
        scope=WRITE,
        body=EVENTS,
        answers={201: answers.EventBatch},
        parameters=_FLAGS,
        replayable=True,
    )
)
async def create_batch(request: web.Request) -> web.Response:
    """POST /v1/events/batch."""
    context = await authorize(request, WRITE)
    generate, wait = _flags(request)
    bodies = validate(EVENTS, await read_json(request))
    context.require_team()
    ingested = await request.app[SERVICES].ingest.ingest_batch(
        context, [_input(body) for body in bodies], generate=generate, urgent=wait
    )
    latest, late = await wait_for(request, [item.job for item in ingested if wait and item.job])
    entries = []
    for item in ingested:
        entry = _entry(item, wait=wait, latest=latest)
        if item.job and item.job.id in late:
            entry["waitTimedOut"] = True
        entries.append(entry)
    document: dict[str, Any] = {"events": entries}
    if late:
        document["waitTimedOut"] = True
    return answer(document, status=201)


@describe(Operation("getEvent", "Read an event", tag="Events", scope=READ, answers={200: answers.EventFound}))
async def get(request: web.Request) -> web.Response:
    """GET /v1/events/:id."""
    context = await authorize(request, READ)
    event_id = params.path_id(request, "id", what="Event")
    event = await events.find(request.app[SERVICES].database, event_id, team_id=context.team_id)
    if event is None:
        raise NotFound("Event not found")
    context.check_project(event.project_id)
    return answer({"event": wire.event(event)})


@describe(
    Operation(
        "listEventObservations",
        "What was made from an event, oldest first",
        tag="Events",
        scope=READ,
        answers={200: answers.EventObservations},
    )
)
async def observations(request: web.Request) -> web.Response:
    """GET /v1/events/:id/observations."""
    context = await authorize(request, READ)
    event_id = params.path_id(request, "id", what="Event")
    found = await request.app[SERVICES].memories.of_event(context, event_id)
    return answer(
        {
            "eventId": event_id,
            "observations": [wire.sourced_observation(observation, source) for observation, source in found],
        }
    )


def _flags(request: web.Request) -> tuple[bool, bool]:
    return flag(request, "generate", default=True), flag(request, "wait", default=False)


def _input(body: EventBody) -> EventInput:
    platform = normalise_platform(body.platform_source)
    return EventInput(
        project_id=body.project_id,
        adapter=body.source_type,
        event_type=body.event_type,
        occurred_ms=body.occurred_at_epoch,
        payload=body.payload,
        platform=platform,
        any_platform="platform_source" not in body.model_fields_set,
        server_session_id=body.server_session_id,
        content_session_id=body.content_session_id,
        source_event_id=body.source_event_id,
        metadata=body.metadata or {},
    )


def _entry(ingested: Ingested, *, wait: bool, latest: dict[str, Job]) -> dict[str, Any]:
    entry: dict[str, Any] = {"event": wire.event(ingested.event)}
    job = ingested.job
    if wait:
        waited = latest.get(job.id, job) if job else None
        entry["generationJob"] = wire.job_waited(waited, ingested.transport) if waited else None
    elif job:
        entry["generationJob"] = wire.job_short(job, ingested.transport)
    if ingested.duplicate:
        entry["duplicate"] = True
    if ingested.redactions:
        entry["redactions"] = ingested.redactions
    return entry


ROUTES = [
    web.post("/v1/events", create),
    web.post("/v1/events/batch", create_batch),
    web.get("/v1/events/{id}", get),
    web.get("/v1/events/{id}/observations", observations),
]
