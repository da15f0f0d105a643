"""What only this machine may ask: stop, restart, a look inside; and the help texts that any client may read."""

from __future__ import annotations

import asyncio
import os
import time
from importlib import resources

from aiohttp import web

from claude_mem.http.access import is_local
from claude_mem.http.answers import answer
from claude_mem.http.keys import RUNTIME, SERVICES
from claude_mem.http.openapi.operation import Operation, Parameter, describe
from claude_mem.http.responses import descriptions, figures
from claude_mem.model.errors import Forbidden
from claude_mem.services import health

_TOPICS = ("workflow", "search_params", "examples", "all")
_OPERATIONS = ("search", "context", "summarize", "import", "export")


@describe(
    Operation(
        "readInstructions",
        "How to use the memory, for people and agents",
        tag="Older hooks",
        answers={200: descriptions.Instructions},
        refusals=frozenset({400}),
        parameters=(
            Parameter("topic", "What about.", {"enum": list(_TOPICS), "default": "all"}),
            Parameter("operation", "In the place of `topic`: one operation.", {"enum": list(_OPERATIONS)}),
        ),
    )
)
async def instructions(request: web.Request) -> web.Response:
    """GET /api/instructions: how to use the memory, for people and agents."""
    operation = request.query.get("operation")
    topic = request.query.get("topic", "all")
    if operation is not None and operation not in _OPERATIONS:
        return answer({"error": "Invalid operation"}, status=400)
    if topic not in _TOPICS:
        return answer({"error": "Invalid topic"}, status=400)
    name = f"operation_{operation}" if operation else f"topic_{topic}"
    names = [f"topic_{part}" for part in _TOPICS[:-1]] if name == "topic_all" else [name]
    text = "\n\n".join([await asyncio.to_thread(_text, part) for part in names])
    return answer({"content": [{"type": "text", "text": text}]})


def _text(name: str) -> str:
    return (resources.files("claude_mem.http") / "instructions" / f"{name}.md").read_text("utf-8").strip()


@describe(
    Operation(
        "restart",
        "Stop, so that whoever supervises the process starts it again",
        tag="This machine",
        answers={200: figures.Report},
        local=True,
    )
)
async def restart(request: web.Request) -> web.Response:
    """POST /api/admin/restart: stop, so that whoever supervises the process starts it again."""
    _require_local(request)
    return _stop_after(request, answer({"status": "restarting"}))


@describe(
    Operation(
        "shutDown",
        "Stop",
        tag="This machine",
        answers={200: figures.Report},
        parameters=(Parameter("reason", "`restart` to say so in the answer."),),
        local=True,
    )
)
async def shutdown(request: web.Request) -> web.Response:
    """POST /api/admin/shutdown."""
    _require_local(request)
    restarting = request.query.get("reason") == "restart"
    return _stop_after(request, answer({"status": "restarting" if restarting else "shutting_down"}))


@describe(
    Operation(
        "examine", "A look inside the process", tag="This machine", answers={200: figures.Report}, local=True
    )
)
async def doctor(request: web.Request) -> web.Response:
    """GET /api/admin/doctor."""
    _require_local(request)
    services, runtime = request.app[SERVICES], request.app[RUNTIME]
    checks = await health.check_all(services.database, services.queue)
    uptime = round(time.monotonic() - runtime.started_s, 3)
    return answer(
        {
            "supervisor": {"running": True, "pid": os.getpid(), "uptime": uptime},
            "processes": [{"name": "server", "pid": os.getpid(), "uptime": uptime}],
            "health": {
                "deadProcessPids": [],
                "envClean": not runtime.settings.verdict.warnings,
                "dependencies": {check.name: "ok" if check.ok else check.error for check in checks},
            },
        }
    )


def _stop_after(request: web.Request, response: web.Response) -> web.Response:
    """Stop the server once the answer has had time to leave; requests under way are finished first."""
    asyncio.get_running_loop().call_later(0.1, request.app[RUNTIME].shut_down)
    return response


def _require_local(request: web.Request) -> None:
    if not is_local(request):
        raise Forbidden("Admin endpoints are only accessible from localhost")


ROUTES = [
    web.get("/api/instructions", instructions),
    web.post("/api/admin/restart", restart),
    web.post("/api/admin/shutdown", shutdown),
    web.get("/api/admin/doctor", doctor),
]
