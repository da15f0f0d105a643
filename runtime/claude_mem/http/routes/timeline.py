"""Timelines: around a memory, and of a session."""

from __future__ import annotations

from aiohttp import web

from claude_mem.http import params, recollections
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import CURSOR, Operation, Parameter, describe
from claude_mem.http.responses import told
from claude_mem.model.scopes import READ

#: Entries in each direction at most, and where nothing is said.
MOST = 100
SOME = 10

#: Entries of a page of a session.
MOST_OF_SESSION = 200
SOME_OF_SESSION = 50

_EVENTS = Parameter("events", "`false` leaves events out.", {"type": "boolean", "default": True})


def _count(name: str, description: str, *, least: int, most: int, default: int) -> Parameter:
    return Parameter(
        name, description, {"type": "integer", "minimum": least, "maximum": most, "default": default}
    )


@describe(
    Operation(
        "memoryTimeline",
        "What lies around a memory",
        tag="Memories",
        scope=READ,
        answers={200: told.Timeline},
        refusals=frozenset({400}),
        parameters=(
            _count("before", "Most entries before the memory.", least=0, most=MOST, default=SOME),
            _count("after", "Most entries after it.", least=0, most=MOST, default=SOME),
            Parameter(
                "cursor", "`olderCursor` or `newerCursor` of the page before: goes on in its direction."
            ),
            _EVENTS,
        ),
    )
)
async def around(request: web.Request) -> web.Response:
    """GET /v1/memories/:id/timeline."""
    context = await authorize(request, READ)
    found = await request.app[SERVICES].timeline.around(
        context,
        params.path_id(request, "id", what="Memory"),
        before=params.integer(request, "before", default=SOME, least=0, most=MOST),
        after=params.integer(request, "after", default=SOME, least=0, most=MOST),
        cursor=params.text(request, "cursor"),
        events=params.text(request, "events") != "false",
    )
    return answer(recollections.around(found))


@describe(
    Operation(
        "sessionTimeline",
        "A session's story, from its beginning",
        tag="Sessions",
        scope=READ,
        answers={200: told.SessionStory},
        refusals=frozenset({400}),
        parameters=(
            CURSOR,
            _count(
                "limit", "Most entries of the page.", least=1, most=MOST_OF_SESSION, default=SOME_OF_SESSION
            ),
            _EVENTS,
        ),
    )
)
async def of_session(request: web.Request) -> web.Response:
    """GET /v1/sessions/:id/timeline."""
    context = await authorize(request, READ)
    session, span = await request.app[SERVICES].timeline.of_session(
        context,
        params.path_id(request, "id", what="Session"),
        cursor=params.text(request, "cursor"),
        limit=params.integer(request, "limit", default=SOME_OF_SESSION, least=1, most=MOST_OF_SESSION),
        events=params.text(request, "events") != "false",
    )
    return answer(recollections.story(session, span))


ROUTES = [
    web.get("/v1/memories/{id}/timeline", around),
    web.get("/v1/sessions/{id}/timeline", of_session),
]
