"""What happens now, as server-sent events."""

from __future__ import annotations

from aiohttp import web

from claude_mem.http import params
from claude_mem.http.access import authorize
from claude_mem.http.following import follow_scope
from claude_mem.http.openapi.operation import LAST_EVENT_ID, PROJECT, Operation, Other, describe
from claude_mem.http.streaming import EVENT_STREAM
from claude_mem.model.scopes import READ


@describe(
    Operation(
        "followChanges",
        "What changes, as server-sent events",
        tag="Streams",
        scope=READ,
        answers={200: Other(EVENT_STREAM, "Events `open` or `reset`, `observation`, `job`, `purged`.")},
        parameters=(PROJECT, LAST_EVENT_ID),
    )
)
async def changes(request: web.Request) -> web.StreamResponse:
    """GET /v1/stream: observations and jobs of the caller's scope, as they change."""
    context = await authorize(request, READ)
    context.require_team()
    return await follow_scope(request, context, project_id=params.text(request, "projectId"))


ROUTES = [web.get("/v1/stream", changes, allow_head=False)]
