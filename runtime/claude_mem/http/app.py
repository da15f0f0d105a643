"""The application: every route over the services, behind one middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from claude_mem.http.keys import RUNTIME, SERVICES
from claude_mem.http.logs import keep_quotes_out
from claude_mem.http.middleware import dress, surround
from claude_mem.http.openapi.served import DESCRIPTION, Description
from claude_mem.http.routes import (
    administration,
    compat,
    description,
    events,
    health,
    job_counts,
    jobs,
    keys,
    mcp,
    memories,
    metrics,
    origins,
    retention,
    search,
    sessions,
    streams,
    tenancy,
    timeline,
    transfer,
    usage,
    viewer,
)
from claude_mem.http.streaming import STREAMS, Streams

if TYPE_CHECKING:
    from claude_mem.http.keys import Runtime
    from claude_mem.services.assembly import Services

ROUTES = [
    *health.ROUTES,
    *metrics.ROUTES,
    *administration.ROUTES,
    *events.ROUTES,
    *sessions.ROUTES,
    *memories.ROUTES,
    *search.ROUTES,
    *timeline.ROUTES,
    *origins.ROUTES,
    *job_counts.ROUTES,
    *jobs.ROUTES,
    *mcp.ROUTES,
    *streams.ROUTES,
    *keys.ROUTES,
    *tenancy.ROUTES,
    *usage.ROUTES,
    *transfer.ROUTES,
    *retention.ROUTES,
    *compat.ROUTES,
    *description.ROUTES,
    *viewer.ROUTES,
]


def create_app(services: Services, runtime: Runtime) -> web.Application:
    """Make the application; opening and closing what it stands on is the caller's.

    Every path is served with a slash at its end too, as claude-mem 13 does.
    """
    keep_quotes_out()
    app = web.Application(middlewares=[surround], client_max_size=runtime.settings.http.body_limit_bytes)
    app[SERVICES] = services
    app[RUNTIME] = runtime
    app[STREAMS] = Streams()
    app[mcp.IDLE] = {}
    app[mcp.SDK] = []
    app[DESCRIPTION] = Description(ROUTES)
    app.on_response_prepare.append(dress)
    app.on_shutdown.append(mcp.end_streams)
    app.add_routes(ROUTES)
    app.add_routes(
        [
            web.RouteDef(route.method, route.path + "/", route.handler, route.kwargs)
            for route in ROUTES
            if route.path != "/"
        ]
    )
    return app
