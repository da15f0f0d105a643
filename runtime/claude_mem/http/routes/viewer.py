"""The viewer: a page for people, and the files that it is made of."""

from __future__ import annotations

from aiohttp import web

from claude_mem.http.answers import error_answer, without_slash
from claude_mem.http.openapi.operation import WITHOUT_SLASH, Operation, Other, describe
from claude_mem.model.errors import NotFound
from claude_mem.viewer.files import CONTENT_SECURITY_POLICY, PAGE, ViewerFile, viewer_files

#: A browser asks each time whether its copy is still the one, and is told so in a few bytes.
_CACHING = "no-cache"

_UNAVAILABLE = {
    "error": "ViewerUnavailable",
    "message": "the viewer's files are not installed here; use the API or the command line, or install the package again",
}

_PAGE = Operation(
    "openViewer",
    "The viewer",
    tag="Viewer",
    answers={200: Other("text/html", "The page."), 304: Other(None, "The page that the browser has.")},
    refusals=frozenset({503}),
)


@describe(_PAGE)
async def viewer(request: web.Request) -> web.Response:
    """GET /."""
    page = viewer_files().get(PAGE)
    if page is None:
        return error_answer(request, 503, body=_UNAVAILABLE)
    return _sent(request, page)


@describe(
    Operation(
        "openViewerByName",
        "The viewer",
        tag="Viewer",
        answers={**_PAGE.answers, 308: WITHOUT_SLASH},
        refusals=_PAGE.refusals,
    )
)
async def by_name(request: web.Request) -> web.Response:
    """GET /viewer: the same."""
    return without_slash(request) if request.path.endswith("/") else await viewer(request)


async def part(request: web.Request) -> web.Response:
    """GET /viewer/:file: a script, a style or a picture of the page; not part of the API."""
    found = viewer_files().get(request.match_info["file"])
    if found is None:
        raise NotFound(f"Cannot GET {request.path}")
    return _sent(request, found)


def _sent(request: web.Request, file: ViewerFile) -> web.Response:
    headers = {
        "Cache-Control": _CACHING,
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "ETag": f'"{file.digest}"',
    }
    if any(tag.value == file.digest for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(
        body=file.content, content_type=file.media_type, charset=file.charset, headers=headers
    )


ROUTES = [
    web.get("/", viewer),
    web.get("/viewer", by_name),
    web.get("/viewer/{file}", part),
]
