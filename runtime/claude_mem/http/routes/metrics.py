"""What Prometheus reads: this server's figures, those of the workers, and the queue."""

from __future__ import annotations

import secrets

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from claude_mem.http.access import presented_key
from claude_mem.http.answers import error_answer
from claude_mem.http.keys import RUNTIME, SERVICES
from claude_mem.http.openapi.operation import Operation, Other, describe


@describe(
    Operation(
        "getMetrics",
        "Metrics for Prometheus",
        tag="Health",
        answers={200: Other("text/plain", "In Prometheus' format.", also="application/openmetrics-text")},
        refusals=frozenset({401}),
    )
)
async def metrics(request: web.Request) -> web.Response:
    """GET /metrics: open, unless the settings name a token."""
    if not _is_welcome(request):
        body = {
            "error": "Unauthorized",
            "message": "this server's metrics need Authorization: Bearer <CLAUDE_MEM_METRICS_TOKEN>",
        }
        return error_answer(request, 401, body=body, headers={"WWW-Authenticate": "Bearer"})
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    figures = await request.app[SERVICES].monitoring.figures()
    return web.Response(body=encode(figures), headers={"Content-Type": content_type})


def _is_welcome(request: web.Request) -> bool:
    token = request.app[RUNTIME].settings.http.metrics_token
    if token is None:
        return True
    given = presented_key(request.headers) or ""
    return secrets.compare_digest(given.encode("utf-8", "surrogateescape"), token.get_secret_value().encode())


ROUTES = [web.get("/metrics", metrics)]
