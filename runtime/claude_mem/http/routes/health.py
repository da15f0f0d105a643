"""Liveness, readiness, and what the server says of itself to anybody."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem import __version__
from claude_mem.http.access import is_local, presented_key
from claude_mem.http.answers import answer
from claude_mem.http.keys import RUNTIME, RUNTIME_LABEL, SERVICES
from claude_mem.http.openapi.operation import Operation, describe
from claude_mem.http.responses import figures
from claude_mem.model.errors import ClaudeMemError
from claude_mem.queue.port import LANE_NAMES, LANES
from claude_mem.services import health
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from claude_mem.queue.port import QueueState
    from claude_mem.services.health import Check, LaneDepth

#: Members of a queue's details that only this machine and holders of a key are shown.
_ADDRESS = ("host", "port", "prefix")


@describe(
    Operation(
        "isAlive",
        "The process serves, and its schema was there when it began",
        tag="Health",
        answers={200: figures.Health},
    )
)
async def healthz(_request: web.Request) -> web.Response:
    """GET /healthz: the process serves, and its schema was there when it began."""
    return answer({"status": "ok", "runtime": RUNTIME_LABEL})


@describe(Operation("isUp", "The process answers", tag="Health", answers={200: figures.Health}))
async def livez(_request: web.Request) -> web.Response:
    """GET /livez: the process answers; asks nothing of anybody else."""
    return answer({"status": "ok"})


@describe(
    Operation(
        "isReady",
        "Whether requests can be served, with each dependency by name",
        tag="Health",
        answers={200: figures.Readiness, 503: figures.Readiness},
    )
)
async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: whether requests can be served, with each dependency by name."""
    checks = await _checks(request)
    ready = all(check.ok for check in checks if check.required)
    body = {
        "status": "ready" if ready else "unready",
        "checks": {check.name: _shown(check) for check in checks},
    }
    return answer(body, status=200 if ready else 503)


@describe(
    Operation(
        "compatReadiness",
        "Whether requests can be served, for older clients",
        tag="Health",
        answers={200: figures.CompatReadiness, 503: figures.CompatReadiness},
    )
)
async def readiness(request: web.Request) -> web.Response:
    """GET /api/readiness, as older clients ask."""
    if all(check.ok for check in await _checks(request) if check.required):
        return answer({"status": "ready", "mcpReady": True})
    body = {"status": "initializing", "message": "Worker is still initializing, please retry"}
    return answer(body, status=503)


@describe(Operation("getVersion", "The release", tag="Health", answers={200: figures.Version}))
async def version(_request: web.Request) -> web.Response:
    """GET /api/version."""
    return answer({"version": __version__})


@describe(
    Operation(
        "getInfo", "What the server says of itself to anybody", tag="Health", answers={200: figures.Info}
    )
)
async def info(request: web.Request) -> web.Response:
    """GET /v1/info."""
    services, runtime = request.app[SERVICES], request.app[RUNTIME]
    state = services.queue.state
    open_address = await _may_see_addresses(request)
    return answer(
        {
            "name": "claude-mem-server",
            "runtime": RUNTIME_LABEL,
            "authMode": str(runtime.settings.auth.mode),
            "postgres": {
                "initialized": runtime.schema_version is not None,
                "schemaVersion": runtime.schema_version,
            },
            "boundaries": {
                "queueManager": _boundary(state, _queue_details(state, open_address=open_address)),
                "generationWorkerManager": _boundary(runtime.generation, dict(runtime.generation.details)),
            },
            "queueLanes": await _lanes(request),
        }
    )


@describe(
    Operation(
        "compatHealth",
        "How the server is, for older clients",
        tag="Health",
        answers={200: figures.CompatHealth},
    )
)
async def api_health(request: web.Request) -> web.Response:
    """GET /api/health, as older clients ask; 503 only when the queue's own state is an error."""
    services, runtime = request.app[SERVICES], request.app[RUNTIME]
    checks = await _checks(request)
    failed = [check for check in checks if not check.ok]
    local = is_local(request)
    body: dict[str, Any] = {
        "status": "degraded" if failed else "ok",
        "runtime": RUNTIME_LABEL,
        "version": __version__,
        "workerPath": "",
        "uptime": round(time.monotonic() - runtime.started_s, 3),
        "managed": runtime.settings.http.managed,
        "hasIpc": False,
        "platform": sys.platform if local else None,
        "pid": os.getpid() if local else None,
        "initialized": runtime.schema_version is not None,
        "mcpReady": True,
        "ai": {
            "provider": runtime.settings.generation.provider or "disabled",
            "authMethod": str(runtime.settings.auth.mode),
            "lastInteraction": None,
        },
        "dependencies": {
            "degraded": bool(failed),
            "statuses": [{"name": check.name} | _shown(check) for check in checks],
        },
        "rateLimits": {"requestsPerMinute": runtime.settings.limits.requests_per_minute},
    }
    state = services.queue.state
    if state.details.get("engine") == "dramatiq":
        body["queue"] = await _queue_health(request, state, checks=checks)
    return answer(body)


async def _queue_health(request: web.Request, state: QueueState, *, checks: list[Check]) -> dict[str, Any]:
    details = _queue_details(state, open_address=await _may_see_addresses(request))
    well = all(check.ok for check in checks if check.name == "valkey")
    address = {name: details.get(name) for name in ("mode", *_ADDRESS)}
    return {
        "engine": "bullmq",
        "implementation": "dramatiq",
        "redis": {"status": "ok" if well else "unavailable"} | address,
        "lanes": await _lanes(request),
    }


def _queue_details(state: QueueState, *, open_address: bool) -> dict[str, Any]:
    details = dict(state.details)
    if details.get("engine") == "dramatiq":
        details |= {"engine": "bullmq", "implementation": "dramatiq"}
        details["lanes"] = [{"kind": lane, "name": LANE_NAMES[lane]} for lane in LANES]
        if not open_address:
            details |= dict.fromkeys(_ADDRESS)
    return details


def _boundary(state: Any, details: dict[str, Any]) -> dict[str, Any]:
    boundary: dict[str, Any] = {"status": state.status, "reason": state.reason}
    if details:
        boundary["details"] = details
    return boundary


async def _may_see_addresses(request: web.Request) -> bool:
    if is_local(request):
        return True
    raw = presented_key(request.headers)
    if raw is None:
        return False
    try:
        await request.app[SERVICES].authenticator.authenticate(raw)
    except (ClaudeMemError, StorageError):
        return False
    return True


async def _lanes(request: web.Request) -> list[dict[str, Any]]:
    services = request.app[SERVICES]
    if services.queue.state.status == "disabled":
        return []
    return [_lane(lane) for lane in await health.lanes(services.database)]


def _lane(lane: LaneDepth) -> dict[str, Any]:
    names = ("waiting", "active", "completed", "failed", "delayed")
    shown: dict[str, Any] = {"kind": lane.kind, "name": lane.name}
    shown |= lane.counts if lane.counts is not None else dict.fromkeys(names, 0)
    shown |= {"stalled": 0, "unavailable": lane.counts is None}
    if lane.counts is None:
        shown["unavailableReason"] = "the database does not answer"
    return shown


async def _checks(request: web.Request) -> list[Check]:
    services = request.app[SERVICES]
    return await health.check_all(services.database, services.queue)


def _shown(check: Check) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": "ok" if check.ok else "error", "latencyMs": check.latency_ms}
    if check.error is not None:
        shown["message"] = check.error
    return shown


ROUTES = [
    web.get("/healthz", healthz),
    web.get("/livez", livez),
    web.get("/readyz", readyz),
    web.get("/v1/info", info),
    web.get("/api/health", api_health),
    web.get("/api/readiness", readiness),
    web.get("/api/version", version),
]
