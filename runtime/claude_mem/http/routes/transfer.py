"""Exports and imports: everything that is remembered of a team or a project, as JSON lines."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError

from claude_mem.http import params
from claude_mem.http.access import authorize, named_project
from claude_mem.http.answers import answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.moving import report
from claude_mem.http.openapi.operation import Operation, Other, Parameter, describe
from claude_mem.http.responses import moved
from claude_mem.http.streaming import cut_off
from claude_mem.http.validation import MalformedJson, flag
from claude_mem.model.errors import Unavailable, UnsupportedMediaType
from claude_mem.model.scopes import READ, WRITE
from claude_mem.services.transfer_export import Exporter
from claude_mem.services.transfer_format import MEDIA_TYPE
from claude_mem.services.transfer_import import Destination, Importer
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from claude_mem.model.records import AuditEntry

logger = logging.getLogger(__name__)

#: Other names of the same media type.
_ACCEPTED: Final = frozenset(
    {MEDIA_TYPE, "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)

#: Seconds that a reader may take to accept a page, and a sender to send anything further.
WRITE_S: Final = 60.0
READ_S: Final = 60.0

_FLAG: Final = {"type": "boolean", "default": False}


@describe(
    Operation(
        "exportMemory",
        "Everything that is remembered, as JSON lines",
        tag="Moving",
        scope=READ,
        answers={200: Other(MEDIA_TYPE, "A header, rows, checkpoints, and an end line if it is whole.")},
        refusals=frozenset({400, 404}),
        parameters=(
            Parameter("projectId", "Only this project; without it all that the key may see."),
            Parameter("cursor", "Of a checkpoint line: goes on behind it, without a header."),
        ),
    )
)
async def export(request: web.Request) -> web.StreamResponse:
    """GET /v1/export."""
    context = await authorize(request, READ)
    context.require_team()
    project_id = await named_project(request, context)
    entry = context.audit(
        "team.exported" if project_id is None else "project.exported",
        "team" if project_id is None else "project",
        resource_id=project_id or context.team_id,
        project_id=project_id,
    )
    exporter = Exporter(request.app[SERVICES].database, context.team_id, project_id)
    pages = await exporter.begin(entry, cursor=params.text(request, "cursor"))
    first = await anext(pages)
    response = web.StreamResponse(headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"})
    await response.prepare(request)
    await _write(request, response, first, pages)
    return response


async def _write(
    request: web.Request, response: web.StreamResponse, first: bytes, rest: AsyncIterator[bytes]
) -> None:
    """Write pages; one that cannot be read, or is not accepted in time, cuts the answer off, which readers notice."""
    try:
        async with asyncio.timeout(WRITE_S):
            await response.write(first)
        async for page in rest:
            async with asyncio.timeout(WRITE_S):
                await response.write(page)
    except (ConnectionError, TimeoutError, Unavailable, StorageError) as error:
        logger.warning("an export broke off", extra={"reason": type(error).__name__})
        cut_off(request)


@describe(
    Operation(
        "importMemory",
        "Take in an export",
        tag="Moving",
        scope=WRITE,
        upload=MEDIA_TYPE,
        answers={200: moved.ImportReport},
        parameters=(
            Parameter("projectId", "Takes in everything; without it each project finds its own."),
            Parameter("strict", "`true` takes in all lines or none.", _FLAG),
            Parameter("dryRun", "`true` says what would become of it, and changes nothing.", _FLAG),
        ),
    )
)
async def import_lines(request: web.Request) -> web.Response:
    """POST /v1/import."""
    context = await authorize(request, WRITE)
    context.require_team()
    if request.body_exists and request.content_type not in _ACCEPTED:
        raise UnsupportedMediaType(f"the body must be {MEDIA_TYPE}, not {request.content_type}")
    strict, dry_run = flag(request, "strict", default=False), flag(request, "dryRun", default=False)
    project_id = await named_project(request, context)

    def entry(action: str, project: str, details: dict[str, object]) -> AuditEntry:
        return context.audit(action, "project", resource_id=project, project_id=project, **details)

    services = request.app[SERVICES]
    if strict or dry_run:
        services.import_room.expect(request.content_length)
    importer = Importer(
        services.database,
        Destination(context.team_id, project_id, entry),
        strict=strict,
        dry_run=dry_run,
        room=services.import_room,
    )
    return answer(report(await importer.run(_received(request)), dry_run=dry_run))


async def _received(request: web.Request) -> AsyncIterator[bytes]:
    try:
        while chunk := await _next(request):
            yield chunk
    except (ClientPayloadError, web.RequestPayloadError, ConnectionResetError) as error:
        raise MalformedJson(
            "the body ended early or cannot be decoded as its Content-Encoding says; send it again, "
            "and it goes on where it was"
        ) from error
    except TimeoutError as error:
        raise MalformedJson(
            f"nothing of the body came for {READ_S:g} seconds; send it again, and it goes on where it was"
        ) from error


async def _next(request: web.Request) -> bytes:
    async with asyncio.timeout(READ_S):
        return await request.content.readany()


ROUTES = [
    web.get("/v1/export", export, allow_head=False),
    web.post("/v1/import", import_lines),
]
