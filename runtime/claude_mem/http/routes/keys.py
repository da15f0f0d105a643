"""Keys, and how to connect an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem.http import agents, params, wire
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer
from claude_mem.http.keys import RUNTIME, SERVICES
from claude_mem.http.openapi.operation import CURSOR, LIMIT, Operation, Parameter, describe
from claude_mem.http.responses import answers, figures
from claude_mem.http.schemas import KEY, ROTATION
from claude_mem.http.validation import UNDEFINED, read_json, validate
from claude_mem.model.scopes import READ, WRITE
from claude_mem.model.times import iso8601_ms

if TYPE_CHECKING:
    from claude_mem.services.keys import NewKey


#: Stands for a key where none can be shown.
PLACEHOLDER = "<YOUR_API_KEY>"


@describe(
    Operation(
        "createKey",
        "Make a key, which may read unless other scopes are named",
        tag="Keys",
        scope=WRITE,
        body=KEY,
        answers={201: answers.NewKey},
        replayable=True,
    )
)
async def create(request: web.Request) -> web.Response:
    """POST /v1/keys: a key that may read, unless other scopes are named."""
    context = await authorize(request, WRITE)
    body = validate(KEY, await read_json(request))
    made = await request.app[SERVICES].keys.create(
        context,
        name=body.name or body.label or None,
        scopes=body.scopes or [READ],
        expires_in_days=body.expires_in_days,
        project_id=body.project_id,
    )
    return answer(_shown_once(request, made), status=201)


@describe(
    Operation(
        "listKeys",
        "Keys, newest first",
        tag="Keys",
        scope=READ,
        answers={200: answers.KeyPage},
        refusals=frozenset({400}),
        parameters=(
            Parameter("active", "`true` leaves out those that have ended.", {"enum": ["true"]}),
            CURSOR,
            LIMIT,
        ),
    )
)
async def list_page(request: web.Request) -> web.Response:
    """GET /v1/keys."""
    context = await authorize(request, READ)
    page = await request.app[SERVICES].keys.list_page(
        context,
        active=params.text(request, "active") == "true",
        cursor=params.text(request, "cursor"),
        limit=params.integer(request, "limit", default=50, least=1, most=200),
    )
    return answer({"keys": [wire.api_key(key) for key in page.items], "nextCursor": page.next_cursor})


@describe(
    Operation(
        "rotateKey",
        "Put a new key in the place of another",
        tag="Keys",
        scope=WRITE,
        body=ROTATION,
        body_needed=False,
        answers={201: answers.KeyRotated},
        refusals=frozenset({409}),
        replayable=True,
    )
)
async def rotate(request: web.Request) -> web.Response:
    """POST /v1/keys/:id/rotate."""
    context = await authorize(request, WRITE)
    key_id = params.path_id(request, "id", what="API key")
    body = await read_json(request)
    wanted = validate(ROTATION, {} if body is UNDEFINED else body)
    made = await request.app[SERVICES].keys.rotate(context, key_id, overlap_s=wanted.overlap_seconds)
    return answer(_shown_once(request, made) | {"replaces": key_id}, status=201)


@describe(
    Operation(
        "revokeKey",
        "End a key",
        tag="Keys",
        scope=WRITE,
        answers={200: answers.KeyRevoked},
        refusals=frozenset({409}),
    )
)
async def revoke(request: web.Request) -> web.Response:
    """DELETE /v1/keys/:id."""
    context = await authorize(request, WRITE)
    key_id = params.path_id(request, "id", what="API key")
    key = await request.app[SERVICES].keys.revoke(context, key_id)
    return answer({"id": key.id, "status": "revoked", "key": wire.api_key(key)})


@describe(
    Operation("connect", "How to connect an agent", tag="Keys", scope=READ, answers={200: figures.Connection})
)
async def connect(request: web.Request) -> web.Response:
    """GET /v1/connect."""
    context = await authorize(request, READ)
    context.require_team()
    url = _mcp_url(request)
    return answer(
        {
            "mcpUrl": url,
            "connectCommand": agents.claude_code(url, PLACEHOLDER),
            "hint": "Run the command with a key in place of <YOUR_API_KEY>; POST /v1/keys makes one that may only read.",
            "agents": agents.lines(url, PLACEHOLDER),
        }
    )


def _shown_once(request: web.Request, made: NewKey) -> dict[str, Any]:
    url = _mcp_url(request)
    return {
        "id": made.key.id,
        "apiKey": made.raw,
        "scopes": list(made.key.scopes),
        "expiresAt": None if made.key.expires_ms is None else iso8601_ms(made.key.expires_ms),
        "mcpUrl": url,
        "connectCommand": agents.claude_code(url, made.raw),
    }


def _mcp_url(request: web.Request) -> str:
    public = request.app[RUNTIME].settings.http.public_url
    base = public or f"{request.scheme}://{request.headers.get('Host') or 'localhost'}"
    return base.rstrip("/") + "/v1/mcp"


ROUTES = [
    web.post("/v1/keys", create),
    web.get("/v1/keys", list_page),
    web.post("/v1/keys/{id}/rotate", rotate),
    web.delete("/v1/keys/{id}", revoke),
    web.get("/v1/connect", connect),
]
