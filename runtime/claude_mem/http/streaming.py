"""Server-sent events: a bounded number of streams, each with a heartbeat, ending with its key, its reader or the server.

https://html.spec.whatwg.org/multipage/server-sent-events.html has the format. What is sent is `following`'s business.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem.http.access import presented_key
from claude_mem.http.keys import SERVICES
from claude_mem.model.documents import dumps
from claude_mem.model.errors import Forbidden, RateLimited, Unavailable
from claude_mem.model.scopes import READ, allows
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from claude_mem.services.context import RequestContext

logger = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"

STREAM_HEADERS = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": "no-store",
    "Vary": "Accept",
    # nginx would hold events back until a buffer is full.
    "X-Accel-Buffering": "no",
}

#: Streams that are open at a time in a process, and those of one team among them.
MOST_STREAMS = 256
MOST_OF_A_TEAM = 64

#: Seconds between looks at the database where nobody told of anything, and at least.
LOOK_S = 1.0
LOOK_AT_LEAST_S = 0.1

#: Seconds after which a comment is sent, so that proxies keep the connection and a lost reader shows.
BEAT_S = 15.0

#: Seconds after which the key is looked up again.
CHECK_KEY_S = 15.0

#: Seconds that a reader may take to accept what was sent.
WRITE_S = 30.0

#: Milliseconds after which readers are asked to come back.
_RETRY_MS = 2000


class Streams:
    """How many streams are open, by team."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def enter(self, team_id: str) -> None:
        """Count a stream.

        Raises: RateLimited when there are as many as there may be.
        """
        if self._open.total() >= MOST_STREAMS or self._open[team_id] >= MOST_OF_A_TEAM:
            raise RateLimited("Too many event streams are open; close one, or try again", retry_after_s=5)
        self._open[team_id] += 1

    def leave(self, team_id: str) -> None:
        """Count a stream that has ended."""
        self._open[team_id] -= 1
        if not self._open[team_id]:
            del self._open[team_id]

    def __len__(self) -> int:
        return self._open.total()


STREAMS = web.AppKey("streams", Streams)


class EventStream:
    """One open stream, and the news of ended jobs that it hears."""

    def __init__(self, request: web.Request, context: RequestContext, news: asyncio.Event) -> None:
        self._request = request
        self._context = context
        self._news = news
        self._waiter = request.app[SERVICES].waiter
        self._loop = asyncio.get_running_loop()
        self._beat_at = self._key_checked_at = self._loop.time()
        self.response = web.StreamResponse(headers=STREAM_HEADERS)

    async def open(self) -> None:
        """Send the headers."""
        await self.response.prepare(self._request)
        await self._write(f"retry: {_RETRY_MS}\n\n".encode())

    async def send(self, event: str, data: Any, *, event_id: str) -> None:
        """Send one event; its data is JSON on one line."""
        head = f"id: {event_id}\nevent: {event}\ndata: ".encode()
        await self._write(head + dumps(data) + b"\n\n")

    @property
    def wanted(self) -> bool:
        """Whether the reader is there and the server goes on."""
        transport = self._request.transport
        return not self._waiter.stopping and transport is not None and not transport.is_closing()

    async def pause(self) -> bool:
        """Wait until a job ended somewhere, or for `LOOK_S` seconds.

        Returns: whether the stream goes on.
        """
        if self.wanted:
            # A burst of news is one look.
            await asyncio.sleep(LOOK_AT_LEAST_S)
        try:
            async with asyncio.timeout(LOOK_S - LOOK_AT_LEAST_S):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()
        now = self._loop.time()
        if now - self._key_checked_at >= CHECK_KEY_S:
            self._key_checked_at = now
            if not await self._may_go_on():
                return False
        if now - self._beat_at >= BEAT_S:
            await self._write(b": still here\n\n")
        return self.wanted

    async def _may_go_on(self) -> bool:
        """Whether the key is still good; a database that is away ends no stream, for nothing can be read either."""
        raw = presented_key(self._request.headers)
        if raw is None:
            return True
        try:
            principal = await self._request.app[SERVICES].authenticator.authenticate(raw)
        except Forbidden:
            return False
        except (Unavailable, StorageError):
            return True
        return allows(principal.scopes, READ)

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(WRITE_S):
            await self.response.write(data)
        self._beat_at = self._loop.time()


def wants_events(request: web.Request) -> bool:
    """Whether the request asks for server-sent events."""
    return request.method == "GET" and EVENT_STREAM in request.headers.get("Accept", "").lower()


def cut_off(request: web.Request) -> None:
    """Close the connection of a reader that reads nothing: the end of the answer would wait for it without limit."""
    if request.transport is not None:
        request.transport.abort()


@asynccontextmanager
async def stream(request: web.Request, context: RequestContext) -> AsyncIterator[EventStream]:
    """A stream that is yet to be opened, so that the request can still be refused; a reader that leaves ends its block.

    Raises: RateLimited when too many are open.
    """
    streams, team_id = request.app[STREAMS], context.team_id
    streams.enter(team_id)
    try:
        async with request.app[SERVICES].waiter.hearing() as news:
            yield EventStream(request, context, news)
    except (ConnectionError, TimeoutError) as error:
        logger.info("a stream's reader left", extra={"reason": type(error).__name__})
        cut_off(request)
    finally:
        streams.leave(team_id)
