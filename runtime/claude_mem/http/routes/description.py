"""The API's own description, for programs and for people."""

from __future__ import annotations

from aiohttp import web

from claude_mem.http.answers import without_slash
from claude_mem.http.openapi.operation import JSON, WITHOUT_SLASH, Operation, Other, describe
from claude_mem.http.openapi.page import CONTENT_SECURITY_POLICY
from claude_mem.http.openapi.served import DESCRIPTION
from claude_mem.http.responses import descriptions


@describe(
    Operation("getDescription", "This document", tag="Description", answers={200: descriptions.OpenApi})
)
async def document(request: web.Request) -> web.Response:
    """GET /openapi.json."""
    return web.Response(body=request.app[DESCRIPTION].document, content_type=JSON)


@describe(
    Operation(
        "getVersionedDescription",
        "This document, beside the routes that it describes",
        tag="Description",
        answers={200: descriptions.OpenApi},
    )
)
async def versioned(request: web.Request) -> web.Response:
    """GET /v1/openapi.json."""
    return await document(request)


@describe(
    Operation(
        "readDescription",
        "This document as a page",
        tag="Description",
        answers={200: Other("text/html", "A page without scripts."), 308: WITHOUT_SLASH},
    )
)
async def page(request: web.Request) -> web.Response:
    """GET /docs."""
    if request.path.endswith("/"):
        return without_slash(request)
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return web.Response(text=request.app[DESCRIPTION].page, content_type="text/html", headers=headers)


ROUTES = [
    web.get("/openapi.json", document),
    web.get("/v1/openapi.json", versioned),
    web.get("/docs", page),
]
