"""The two routes of older hooks, in the form that they expect, with the checks of every other route.

claude-mem 13 lets them pass limits and audit; here they are limited and audited like the rest, and carry no request id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem.http.access import authorize
from claude_mem.http.answers import answer, error_answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import Operation, describe
from claude_mem.http.responses import compat
from claude_mem.http.schemas import COMPAT_OBSERVATION, COMPAT_SUMMARY, CompatObservationBody
from claude_mem.http.validation import read_json, validate
from claude_mem.model.errors import NotFound
from claude_mem.model.platforms import normalise_platform
from claude_mem.model.scopes import WRITE
from claude_mem.model.times import now_us
from claude_mem.services.ingest import EventInput
from claude_mem.services.sessions import SessionInput

if TYPE_CHECKING:
    from claude_mem.model.records import Session
    from claude_mem.services.context import RequestContext

ADAPTER = "claude-code-compat"


@describe(
    Operation(
        "compatObservation",
        "Store a tool use",
        tag="Older hooks",
        scope=WRITE,
        body=COMPAT_OBSERVATION,
        answers={200: compat.CompatEvent},
    )
)
async def observations(request: web.Request) -> web.Response:
    """POST /api/sessions/observations: one tool use, as an event with its job."""
    context = await authorize(request, WRITE)
    body = validate(COMPAT_OBSERVATION, await read_json(request))
    context.require_team()
    project_id = context.principal.project_id
    if project_id is None:
        return _needs_project(request, "/api/sessions/observations")
    platform = normalise_platform(body.platform_source or "claude")
    session = await _session(
        request, context, project_id=project_id, content_session_id=body.content_session_id, platform=platform
    )
    ingested = await request.app[SERVICES].ingest.ingest(
        context,
        EventInput(
            project_id=project_id,
            adapter=ADAPTER,
            event_type="tool_use",
            occurred_ms=now_us() // 1000,
            payload=_payload(body, platform),
            platform=platform,
            any_platform=False,
            server_session_id=session.id,
            content_session_id=body.content_session_id,
            source_event_id=body.tool_use_id,
            metadata={"compat": "sessions/observations"},
        ),
        generate=True,
        source="http_post_api_sessions_observations",
    )
    return answer(
        {
            "status": "queued",
            "observationCount": 1,
            "sessionId": body.content_session_id,
            "serverSessionId": session.id,
            "eventId": ingested.event.id,
            "generationJobId": ingested.job.id if ingested.job else None,
            "transport": str(ingested.transport),
        }
    )


@describe(
    Operation(
        "compatSummary",
        "End a session",
        tag="Older hooks",
        scope=WRITE,
        body=COMPAT_SUMMARY,
        answers={
            200: compat.CompatSummary | compat.CompatSkipped,
            404: compat.CompatNotFound,
        },
    )
)
async def summarize(request: web.Request) -> web.Response:
    """POST /api/sessions/summarize: the end of a session."""
    context = await authorize(request, WRITE)
    body = validate(COMPAT_SUMMARY, await read_json(request))
    if body.agent_id:
        return answer({"status": "skipped", "reason": "subagent_context"})
    context.require_team()
    project_id = context.principal.project_id
    if project_id is None:
        return _needs_project(request, "/api/sessions/summarize")
    platform = normalise_platform(body.platform_source or "claude")
    session = await _session(
        request, context, project_id=project_id, content_session_id=body.content_session_id, platform=platform
    )
    try:
        ended = await request.app[SERVICES].sessions.end(
            context, session.id, source="http_post_api_sessions_summarize", source_adapter=ADAPTER
        )
    except NotFound:
        return answer({"status": "not_found", "reason": "session_not_found"}, status=404)
    return answer(
        {
            "status": "queued",
            "sessionId": body.content_session_id,
            "serverSessionId": session.id,
            "generationJobId": ended.job.id,
            "transport": str(ended.transport),
        }
    )


async def _session(
    request: web.Request,
    context: RequestContext,
    *,
    project_id: str,
    content_session_id: str,
    platform: str | None,
) -> Session:
    started = await request.app[SERVICES].sessions.start(
        context,
        SessionInput(
            project_id=project_id,
            external_session_id=content_session_id,
            content_session_id=content_session_id,
            platform=platform,
        ),
    )
    return started.session


def _payload(body: CompatObservationBody, platform: str | None) -> dict[str, Any]:
    return {
        "contentSessionId": body.content_session_id,
        "tool_name": body.tool_name,
        "tool_input": body.tool_input,
        "tool_response": body.tool_response,
        "cwd": body.cwd,
        "platformSource": platform,
        "agentId": body.agent_id,
        "agentType": body.agent_type,
        "toolUseId": body.tool_use_id,
    }


def _needs_project(request: web.Request, route: str) -> web.Response:
    message = f"Legacy {route} requires a project-scoped API key"
    return error_answer(request, 400, body={"error": "BadRequest", "message": message})


ROUTES = [
    web.post("/api/sessions/observations", observations),
    web.post("/api/sessions/summarize", summarize),
]
