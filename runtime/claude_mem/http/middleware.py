"""What every request passes through: request ids, cross-origin rules, security headers, and errors become answers."""

from __future__ import annotations

import logging
import re
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.web_exceptions import HTTPException

from claude_mem.http.access import route_of
from claude_mem.http.answers import error_answer, refused
from claude_mem.http.keys import ORIGIN, RATE, REQUEST_ID, RUNTIME
from claude_mem.model.errors import ClaudeMemError
from claude_mem.model.identity import new_id
from claude_mem.model.times import now_us
from claude_mem.services.cleaning import clean_text
from claude_mem.services.limits import WINDOW_S
from claude_mem.services.refusals import refusal
from claude_mem.storage.database import StorageError
from claude_mem.telemetry import metrics, tracing
from claude_mem.telemetry.context import bound

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from aiohttp.typedefs import Handler

    from claude_mem.services.limits import RateWindow

logger = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-DNS-Prefetch-Control": "off",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Origin-Agent-Cluster": "?1",
    "Server": "claude-mem",
}

_LOOPBACK_ORIGINS = ("http://localhost:", "http://127.0.0.1:")
_CORS_METHODS = "GET,HEAD,POST,PUT,PATCH,DELETE"
_CORS_HEADERS = (
    "Content-Type,Authorization,X-Requested-With,X-Api-Key,X-Request-Id,"
    "Idempotency-Key,If-Match,If-None-Match,Last-Event-ID"
)
_EXPOSED = (
    "ETag,Idempotency-Replayed,RateLimit,RateLimit-Policy,Retry-After,X-Request-Id,"
    "X-RateLimit-Limit,X-RateLimit-Remaining,X-RateLimit-Reset"
)
_METHODS = frozenset((*_CORS_METHODS.split(","), "OPTIONS"))

#: What is asked every few seconds, and tells nothing.
_UNTRACED = frozenset({"/metrics", "/healthz", "/livez", "/readyz"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-_]{0,63}")


@web.middleware
async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request, whatever happens while it is handled."""
    started = time.perf_counter()
    request_id = _own_id(request)
    with (
        metrics.REQUESTS_UNDER_WAY.track_inprogress(),
        _span(request) as span,
        bound(requestId=request_id, traceId=tracing.trace_id()),
    ):
        response = await _answer(request, handler)
        _count(request, response, seconds=time.perf_counter() - started)
        if span is not None:
            span.note(http__response__status_code=response.status)
            if response.status >= 500:
                span.failed(str(response.status))
    if request.content.exception() is not None:
        # Else aiohttp looks for the end of the broken body, meets the error again and cuts the answer off.
        request.content.feed_eof()
        response.force_close()
    return response


def _span(request: web.Request) -> AbstractContextManager[tracing.Traced | None]:
    if request.path in _UNTRACED:
        return nullcontext()
    route = route_of(request) or "/"
    method = _method(request)
    return tracing.span(
        f"{method} {route}",
        kind="server",
        parent=request.headers,
        http__request__method=method,
        http__route=route,
        url__scheme=request.scheme,
    )


def _method(request: web.Request) -> str:
    return request.method if request.method in _METHODS else "other"


def _count(request: web.Request, response: web.StreamResponse, *, seconds: float) -> None:
    route = route_of(request) or "/"
    method = _method(request)
    metrics.REQUESTS.labels(route, method, response.status).inc()
    if isinstance(response, web.Response):
        metrics.REQUEST_SECONDS.labels(route, method).observe(seconds)
    if logger.isEnabledFor(logging.DEBUG):
        said = {"route": route, "method": method, "status": response.status, "ms": round(seconds * 1000, 3)}
        logger.debug("a request was answered", extra=said)


async def dress(request: web.Request, response: web.StreamResponse) -> None:
    """Put on what every answer carries, just before its headers leave; a stream's leave long before it ends."""
    headers = response.headers
    headers.update(SECURITY_HEADERS)
    request_id = request.get(REQUEST_ID)
    if request_id is not None:
        headers["X-Request-Id"] = request_id
    window = request.get(RATE)
    if window is not None:
        headers.update(_rate_headers(window))
    origin = request.get(ORIGIN)
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = _EXPOSED
        headers.add("Vary", "Origin")


def _rate_headers(window: RateWindow) -> dict[str, str]:
    """How the key stands: as the RateLimit draft of the IETF's httpapi group has it, and as most clients know it."""
    remaining = max(0, window.remaining)
    wait = max(0, window.reset_s - now_us() // 1_000_000)
    return {
        "RateLimit-Policy": f'"minute";q={window.limit};w={WINDOW_S}',
        "RateLimit": f'"minute";r={remaining};t={wait}',
        "X-RateLimit-Limit": str(window.limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(window.reset_s),
    }


def _own_id(request: web.Request) -> str | None:
    """The request's id, which all routes but those of claude-mem 13's worker have."""
    if not request.path.startswith("/v1/") or request.path == "/v1/info":
        return None
    request[REQUEST_ID] = _request_id(request.headers.get("X-Request-Id", ""))
    return request[REQUEST_ID]


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    origin = request.headers.get("Origin")
    if origin is not None:
        if not _is_allowed(request, origin):
            return error_answer(request, 403, body={"error": "Forbidden", "message": "CORS not allowed"})
        request[ORIGIN] = origin
    response = web.Response(status=204) if request.method == "OPTIONS" else await _handled(request, handler)
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = _CORS_METHODS
        response.headers["Access-Control-Allow-Headers"] = _CORS_HEADERS
    return response


async def _handled(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ClaudeMemError as error:
        return refused(request, error)
    except StorageError as error:
        logger.warning(
            "the database refused a request",
            extra={"reason": type(error).__name__, "route": route_of(request)},
        )
        return refused(request, refusal(error))
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        body = {"error": "NotFound", "message": f"Cannot {request.method} {request.path}"}
        return error_answer(request, 404, body=body)
    except HTTPException as error:
        return error_answer(request, error.status, body={"error": "Error", "message": error.reason})
    except Exception:
        logger.exception("a request failed", extra={"route": route_of(request), "method": request.method})
        body = {"error": "InternalError", "message": "the server met an unexpected error; it is in its log"}
        return error_answer(request, 500, body=body)


def _request_id(given: str) -> str:
    """The client's own id where it is well formed and not itself a secret, for it is stored; else a new one."""
    accepted = _REQUEST_ID.fullmatch(given) and not clean_text(given)[1]
    return given if accepted else new_id()


def _is_allowed(request: web.Request, origin: str) -> bool:
    """Pages on this machine, pages of this server, whatever a proxy calls it, and origins that the settings name."""
    settings = request.app[RUNTIME].settings.http
    if origin.startswith(_LOOPBACK_ORIGINS) or origin in settings.cors_origins:
        return True
    own = [request.headers.get("Host")]
    if settings.public_url is not None:
        own.append(urlsplit(settings.public_url).netloc)
    try:
        return urlsplit(origin).netloc in own
    except ValueError:
        return False
