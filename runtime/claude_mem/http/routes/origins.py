"""Where a memory comes from."""

from __future__ import annotations

from aiohttp import web

from claude_mem.http import origins, params
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import Operation, describe
from claude_mem.http.responses.origins import Origin
from claude_mem.model.scopes import READ


@describe(
    Operation("memoryOrigin", "What led to a memory", tag="Memories", scope=READ, answers={200: Origin})
)
async def of_memory(request: web.Request) -> web.Response:
    """GET /v1/memories/:id/origin."""
    context = await authorize(request, READ)
    memory_id = params.path_id(request, "id", what="Memory")
    return answer(origins.origin(await request.app[SERVICES].origins.of_memory(context, memory_id)))


ROUTES = [web.get("/v1/memories/{id}/origin", of_memory)]
