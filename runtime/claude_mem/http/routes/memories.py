"""Memories: write, read, correct, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem.http import etags, params, wire
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer, error_answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import CURSOR, LIMIT, PROJECT, Operation, Other, Parameter, describe
from claude_mem.http.responses import answers
from claude_mem.http.schemas import MEMORY, MEMORY_CHANGE
from claude_mem.http.validation import read_json, validate
from claude_mem.model.errors import NotFound
from claude_mem.model.scopes import READ, WRITE
from claude_mem.services.memories import MemoryChange, MemoryInput
from claude_mem.services.purging import purge_project

if TYPE_CHECKING:
    from claude_mem.http.schemas import MemoryBody
    from claude_mem.services.memories import Written


@describe(
    Operation(
        "createMemory",
        "Write a memory",
        tag="Memories",
        scope=WRITE,
        body=MEMORY,
        answers={201: answers.MemoryWritten},
        versioned=True,
        replayable=True,
    )
)
async def create(request: web.Request) -> web.Response:
    """POST /v1/memories."""
    context = await authorize(request, WRITE)
    body = validate(MEMORY, await read_json(request))
    written = await request.app[SERVICES].memories.add(
        context,
        MemoryInput(
            project_id=body.project_id,
            content=body.content,
            kind=body.kind,
            server_session_id=body.server_session_id,
            metadata=_metadata(body),
        ),
    )
    return answer(_written(written), status=201, headers=etags.etag(wire.observation(written.memory)))


def _metadata(body: MemoryBody) -> dict[str, Any]:
    """MCP clients of claude-mem 13 send a title and a type beside the text; they are kept with it."""
    named = {"title": body.title, "type": body.type}
    return {name: value for name, value in named.items() if value} | body.metadata


@describe(
    Operation(
        "getMemory",
        "Read a memory",
        tag="Memories",
        scope=READ,
        answers={200: answers.MemoryFound, 304: Other(None, "The client has this version already.")},
        parameters=(etags.IF_NONE_MATCH,),
        versioned=True,
    )
)
async def get(request: web.Request) -> web.Response:
    """GET /v1/memories/:id."""
    context = await authorize(request, READ)
    memory_id = params.path_id(request, "id", what="Memory")
    memory = await request.app[SERVICES].memories.get(context, memory_id)
    shown = wire.observation(memory)
    if etags.known(request, shown):
        return web.Response(status=304, headers=etags.etag(shown))
    return answer({"memory": shown}, headers=etags.etag(shown))


@describe(
    Operation(
        "listMemories",
        "Memories, newest first",
        tag="Memories",
        scope=READ,
        answers={200: answers.MemoryPage},
        refusals=frozenset({400}),
        parameters=(
            PROJECT,
            Parameter("kind", "Only of this kind."),
            Parameter("serverSessionId", "Only of this session."),
            CURSOR,
            LIMIT,
        ),
    )
)
async def list_page(request: web.Request) -> web.Response:
    """GET /v1/memories."""
    context = await authorize(request, READ)
    page = await request.app[SERVICES].memories.list_page(
        context,
        project_id=params.text(request, "projectId"),
        kind=params.text(request, "kind"),
        session_id=params.text(request, "serverSessionId"),
        cursor=params.text(request, "cursor"),
        limit=params.integer(request, "limit", default=50, least=1, most=200),
    )
    return answer(
        {"memories": [wire.observation(memory) for memory in page.items], "nextCursor": page.next_cursor}
    )


@describe(
    Operation(
        "changeMemory",
        "Correct a memory",
        tag="Memories",
        scope=WRITE,
        body=MEMORY_CHANGE,
        answers={200: answers.MemoryWritten},
        refusals=frozenset({412}),
        parameters=(etags.IF_MATCH,),
        versioned=True,
    )
)
async def change(request: web.Request) -> web.Response:
    """PATCH /v1/memories/:id."""
    context = await authorize(request, WRITE)
    memory_id = params.path_id(request, "id", what="Memory")
    body = validate(MEMORY_CHANGE, await read_json(request))
    wanted = MemoryChange(content=body.content, kind=body.kind, metadata=body.metadata)
    written = await request.app[SERVICES].memories.change(
        context, memory_id, wanted=wanted, check=etags.check(request, wire.observation, what="memory")
    )
    return answer(_written(written), headers=etags.etag(wire.observation(written.memory)))


@describe(
    Operation(
        "deleteMemory",
        "Remove a memory for good",
        tag="Memories",
        scope=WRITE,
        answers={200: answers.MemoryDeleted},
        refusals=frozenset({412}),
        parameters=(etags.IF_MATCH,),
    )
)
async def delete(request: web.Request) -> web.Response:
    """DELETE /v1/memories/:id."""
    context = await authorize(request, WRITE)
    try:
        memory_id = params.path_id(request, "id", what="Memory")
        await request.app[SERVICES].memories.delete(
            context, memory_id, check=etags.check(request, wire.observation, what="memory")
        )
    except NotFound:
        return error_answer(request, 404, body={"error": "not_found"})
    return answer({"deleted": True, "id": memory_id})


@describe(
    Operation(
        "purgeProject",
        "Remove all that is remembered of a project, for good",
        tag="Teams and projects",
        scope=WRITE,
        answers={200: answers.ProjectPurged},
    )
)
async def purge(request: web.Request) -> web.Response:
    """DELETE /v1/projects/:projectId/memory."""
    context = await authorize(request, WRITE)
    try:
        project_id = params.path_id(request, "projectId", what="Project")
        counts = await purge_project(request.app[SERVICES].database, context, project_id)
    except NotFound:
        return error_answer(request, 404, body={"error": "not_found"})
    return answer({"purged": True, "projectId": project_id, "counts": counts})


def _written(written: Written) -> dict[str, Any]:
    document: dict[str, Any] = {"memory": wire.observation(written.memory)}
    if written.redactions:
        document["redactions"] = written.redactions
    return document


ROUTES = [
    web.post("/v1/memories", create),
    web.get("/v1/memories", list_page),
    web.get("/v1/memories/{id}", get),
    web.patch("/v1/memories/{id}", change),
    web.delete("/v1/memories/{id}", delete),
    web.delete("/v1/projects/{projectId}/memory", purge),
]
