"""Idempotency-Key: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/, for routes that create."""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from claude_mem.http.access import authorize, presented_key
from claude_mem.http.keys import RUNTIME, SERVICES
from claude_mem.http.validation import read_bytes
from claude_mem.model.errors import InvalidInput, Issue, Unavailable
from claude_mem.model.scopes import WRITE
from claude_mem.services.idempotency import Asked, KeptAnswer
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from claude_mem.storage.idempotency import Claim

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"

#: Characters of a key at most.
LONGEST_KEY: Final = 255

#: Seconds beyond the longest wait for a job after which a request that gave no answer may be taken again.
_SPARE_S = 60


def replayable(handler: Handler) -> Handler:
    """A handler that carries out a request with an Idempotency-Key once.

    Only what succeeded is kept: a request that was refused has done nothing, and may be mended and sent again. Whatever
    is answered, limits have counted it first, once.
    """

    @wraps(handler)
    async def once(request: web.Request) -> web.StreamResponse:
        if IDEMPOTENCY_KEY not in request.headers:
            return await handler(request)
        asked = await _asked(request)
        if asked is None:
            return await handler(request)
        requests = request.app[SERVICES].idempotent
        wait_s = request.app[RUNTIME].settings.http.wait_timeout_ms // 1000
        begun = await requests.begin(asked, lock_us=(wait_s + _SPARE_S) * 1_000_000)
        if isinstance(begun, KeptAnswer):
            return _again(begun)
        return await _carry_out(request, handler, asked=asked, claim=begun)

    return once


async def _asked(request: web.Request) -> Asked | None:
    """Who asks for what; None where the handler is going to refuse it.

    Raises: what `authorize` raises, InvalidInput, PayloadTooLarge.
    """
    principal = (await authorize(request, WRITE)).principal
    if principal.team_id is None:
        return None
    given = request.headers.getall(IDEMPOTENCY_KEY)
    if len(given) != 1 or not 0 < len(given[0]) <= LONGEST_KEY or not given[0].isprintable():
        message = f"Invalid Idempotency-Key: give one, of 1 to {LONGEST_KEY} printable characters"
        raise InvalidInput(message, (Issue("invalid_format", (IDEMPOTENCY_KEY,), message),))
    body = await read_bytes(request)
    return Asked(
        team_id=principal.team_id,
        caller=principal.key_id or "",
        secret=presented_key(request.headers) or "",
        route=f"{request.method} {request.path.rstrip('/')}",
        key=given[0],
        body_hash=body_hash(request.query_string, body),
    )


def body_hash(query: str, body: bytes) -> str:
    """What two requests have in common that are the same."""
    return hashlib.sha256(query.encode() + b"\0" + body).hexdigest()


async def _carry_out(
    request: web.Request, handler: Handler, *, asked: Asked, claim: Claim
) -> web.StreamResponse:
    """Run the handler and keep its answer.

    A request that is cut off in the middle is given up by time alone, for nobody knows how far it came.
    """
    requests = request.app[SERVICES].idempotent
    try:
        response = await handler(request)
    except Exception:
        with _told("a request's Idempotency-Key waits for its lock to end"):
            await requests.abandon(claim)
        raise
    if not isinstance(response, web.Response) or response.status >= 300:
        with _told("a request's Idempotency-Key waits for its lock to end"):
            await requests.abandon(claim)
        return response
    body = response.body if isinstance(response.body, bytes) else b""
    kept = {"etag": response.headers.get("ETag"), "body": body.decode()}
    with _told("an answer was not kept for its Idempotency-Key"):
        await requests.finish(asked, claim, KeptAnswer(response.status, orjson.dumps(kept)))
    return response


@contextmanager
def _told(what: str) -> Iterator[None]:
    """A database that is away now must not turn an answer into a refusal."""
    try:
        yield
    except (Unavailable, StorageError) as error:
        logger.warning(what, extra={"reason": type(error).__name__})


def _again(kept: KeptAnswer) -> web.Response:
    found = orjson.loads(kept.content)
    headers = {REPLAYED: "true"} | ({"ETag": found["etag"]} if found["etag"] else {})
    return web.Response(
        body=found["body"].encode(), status=kept.status, content_type="application/json", headers=headers
    )
