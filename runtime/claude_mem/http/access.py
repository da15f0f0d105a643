"""Who may use a route: credentials, scopes, limits, in the order in which claude-mem 13 checks them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from claude_mem.http import params
from claude_mem.http.keys import ADMITTED, RATE, REQUEST_ID, RUNTIME, SERVICES
from claude_mem.model.errors import Forbidden, Unauthenticated
from claude_mem.model.scopes import WRITE, allows
from claude_mem.services.authentication import INVALID_KEY
from claude_mem.services.context import RequestContext
from claude_mem.services.scope import require_project
from claude_mem.telemetry import tracing

if TYPE_CHECKING:
    from aiohttp import web
    from multidict import CIMultiDictProxy

    from claude_mem.model.records import Principal

_MISSING_KEY = "Missing API key (Authorization: Bearer <key> or X-Api-Key: <key>)"
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")


async def authorize(request: web.Request, scope: str) -> RequestContext:
    """Let a request in, or say why not. One that was let in by the same scope is not counted again.

    Parameters:
        scope: what the route asks for.

    Raises: Unauthenticated, Forbidden, RateLimited, QuotaExceeded, Unavailable.
    """
    if ADMITTED in request and request[ADMITTED][0] == scope:
        return request[ADMITTED][1]
    principal = await _principal(request)
    if not allows(principal.scopes, scope):
        raise Forbidden(INVALID_KEY)
    admission = request.app[SERVICES].admission
    window = await admission.rate(principal)
    if window is not None:
        request[RATE] = window
        admission.check_rate(window)
    await admission.admit(principal, writes=scope == WRITE, method=request.method, path=route_of(request))
    context = RequestContext(principal, request.get(REQUEST_ID), traceparent=tracing.traceparent())
    request[ADMITTED] = (scope, context)
    return context


async def _principal(request: web.Request) -> Principal:
    raw = presented_key(request.headers)
    if raw is None:
        local = request.app[RUNTIME].local
        if local is not None and is_local(request):
            return local
        raise Unauthenticated(_MISSING_KEY)
    services = request.app[SERVICES]
    try:
        return await services.authenticator.authenticate(raw)
    except Forbidden:
        if not is_loopback(request.remote):
            services.failed_authentications.record(request.remote or "unknown")
        raise


async def named_project(request: web.Request, context: RequestContext) -> str | None:
    """The project of the query's `projectId`, else the key's own; None where neither names one.

    Raises: Forbidden.
    """
    named = params.text(request, "projectId")
    if named is None:
        if request.query.get("projectId", "").strip():
            raise Forbidden("project_id must belong to team_id")
        return context.principal.project_id
    await require_project(request.app[SERVICES].database, context, project_id=named)
    return named


def route_of(request: web.Request) -> str:
    """The path of a request's route, such as `/v1/events/{id}`: what may be counted and logged of a path.

    The path itself may hold anything: a secret, or text that no database can store.
    """
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical.rstrip("/")


def presented_key(headers: CIMultiDictProxy[str]) -> str | None:
    """The raw key of a request; a bearer token wins over `X-Api-Key`."""
    scheme, *token = headers.get("Authorization", "").split(None, 1) or [""]
    if token and scheme.lower() == "bearer":
        return token[0].strip()
    return headers.get("X-Api-Key", "").strip() or None


def is_loopback(address: str | None) -> bool:
    """Whether an address is this machine's own."""
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def is_local(request: web.Request) -> bool:
    """Whether a request was made on this machine for this machine, and not passed on by a proxy."""
    host = request.headers.get("Host", "").strip()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    named_local = name.lower() == "localhost" or is_loopback(name)
    return (
        is_loopback(request.remote)
        and named_local
        and not any(header in request.headers for header in _FORWARDED)
    )
