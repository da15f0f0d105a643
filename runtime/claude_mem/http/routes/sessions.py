"""Sessions: started, shown, listed, ended."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from claude_mem.http import params, wire
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import CURSOR, LIMIT, PROJECT, Operation, describe
from claude_mem.http.responses import answers
from claude_mem.http.responses.sessions import SessionPage
from claude_mem.http.schemas import SESSION
from claude_mem.http.validation import read_json, validate
from claude_mem.model.platforms import normalise_platform
from claude_mem.model.scopes import READ, WRITE
from claude_mem.services.sessions import SessionInput


@describe(
    Operation(
        "startSession",
        "Start a session, or find it",
        tag="Sessions",
        scope=WRITE,
        body=SESSION,
        answers={200: answers.SessionWritten, 201: answers.SessionWritten},
        replayable=True,
    )
)
async def start(request: web.Request) -> web.Response:
    """POST /v1/sessions/start."""
    context = await authorize(request, WRITE)
    body = validate(SESSION, await read_json(request))
    started = await request.app[SERVICES].sessions.start(
        context,
        SessionInput(
            project_id=body.project_id,
            external_session_id=body.external_session_id,
            content_session_id=body.content_session_id,
            agent_id=body.agent_id,
            agent_type=body.agent_type,
            platform=normalise_platform(body.platform_source),
            metadata=body.metadata,
        ),
    )
    document: dict[str, Any] = {"session": wire.session(started.session)}
    if started.redactions:
        document["redactions"] = started.redactions
    return answer(document, status=200 if started.found else 201)


@describe(
    Operation(
        "listSessions",
        "Sessions, those that began last first",
        tag="Sessions",
        scope=READ,
        answers={200: SessionPage},
        refusals=frozenset({400}),
        parameters=(PROJECT, CURSOR, LIMIT),
    )
)
async def list_page(request: web.Request) -> web.Response:
    """GET /v1/sessions."""
    context = await authorize(request, READ)
    page = await request.app[SERVICES].sessions.list_page(
        context,
        project_id=params.text(request, "projectId"),
        cursor=params.text(request, "cursor"),
        limit=params.integer(request, "limit", default=50, least=1, most=200),
    )
    return answer(
        {"sessions": [wire.session(session) for session in page.items], "nextCursor": page.next_cursor}
    )


@describe(
    Operation("getSession", "Read a session", tag="Sessions", scope=READ, answers={200: answers.SessionFound})
)
async def get(request: web.Request) -> web.Response:
    """GET /v1/sessions/:id."""
    context = await authorize(request, READ)
    session_id = params.path_id(request, "id", what="Session")
    return answer({"session": wire.session(await request.app[SERVICES].sessions.get(context, session_id))})


@describe(
    Operation(
        "endSession",
        "End a session, and have its summary made",
        tag="Sessions",
        scope=WRITE,
        answers={200: answers.SessionEnded},
    )
)
async def end(request: web.Request) -> web.Response:
    """POST /v1/sessions/:id/end; whatever the body says."""
    context = await authorize(request, WRITE)
    session_id = params.path_id(request, "id", what="Session")
    ended = await request.app[SERVICES].sessions.end(
        context, session_id, source="http_post_v1_sessions_end", source_adapter="api"
    )
    document = {
        "session": wire.session(ended.session),
        "generationJob": wire.job_short(ended.job, ended.transport),
    }
    return answer(document)


ROUTES = [
    web.post("/v1/sessions/start", start),
    web.get("/v1/sessions", list_page),
    web.get("/v1/sessions/{id}", get),
    web.post("/v1/sessions/{id}/end", end),
]
