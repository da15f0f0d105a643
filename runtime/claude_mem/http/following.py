"""What live streams tell: one job's progress until it ends, or all that changes within the caller's scope."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web

from claude_mem.http import wire
from claude_mem.http.keys import SERVICES
from claude_mem.http.streaming import stream
from claude_mem.model.errors import NotFound, Unavailable
from claude_mem.model.records import Observation
from claude_mem.services.live import open_feed
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.http.streaming import EventStream
    from claude_mem.model.records import Job, JobEvent
    from claude_mem.services.context import RequestContext
    from claude_mem.services.live import News

logger = logging.getLogger(__name__)

LAST_EVENT_ID = "Last-Event-ID"

#: Id of a job stream's last event; a reader that has it does not want another.
_END = "end"


async def follow_job(request: web.Request, context: RequestContext, job: Job) -> web.StreamResponse:
    """Tell each line of a job's history, and the job itself once it has ended; 204 to who was told so already.

    Raises: RateLimited, Unavailable.
    """
    last = request.headers.get(LAST_EVENT_ID, "")
    if last == _END and job.status.is_final:
        return web.Response(status=204)
    service = request.app[SERVICES].jobs
    async with stream(request, context) as events:
        history = await service.history(job.id)
        await events.open()
        told = _until(history, last)
        going = True
        while going:
            try:
                current: Job | None = await service.get(context, job.id)
                # Read after the state: a job that has ended has all its lines.
                history = await service.history(job.id)
            except NotFound:
                current = None
            except (Unavailable, StorageError) as error:
                logger.info("a stream waits for the database", extra={"reason": type(error).__name__})
                going = await events.pause()
                continue
            for line in history:
                if line.id not in told:
                    await events.send("progress", wire.job_event(line), event_id=line.id)
                    told.add(line.id)
            if current is None or current.status.is_final:
                ended = None if current is None else wire.job_full(current)
                await events.send("end", {"generationJob": ended}, event_id=_END)
                break
            going = await events.pause()
    return events.response


def _until(history: Sequence[JobEvent], last: str) -> set[str]:
    """The lines up to the one that the reader had last; none where that is not among them."""
    ids = [line.id for line in history]
    return set(ids[: ids.index(last) + 1]) if last in ids else set()


async def follow_scope(
    request: web.Request, context: RequestContext, *, project_id: str | None
) -> web.StreamResponse:
    """Tell what changes in a project, or in all that the caller sees, until the reader leaves.

    Raises: Forbidden, RateLimited, Unavailable.
    """
    async with stream(request, context) as events:
        feed = await open_feed(
            request.app[SERVICES].database,
            context,
            project_id=project_id,
            since_us=_position(request.headers.get(LAST_EVENT_ID)),
        )
        await events.open()
        await events.send("reset" if feed.gap else "open", {}, event_id=str(feed.position_us))
        going = True
        while going:
            try:
                news = await feed.read()
            except (Unavailable, StorageError) as error:
                logger.info("a stream waits for the database", extra={"reason": type(error).__name__})
                news = []
            for one in news:
                await _tell(events, one)
            going = await events.pause()
    return events.response


async def _tell(events: EventStream, one: News) -> None:
    data: dict[str, Any]
    if one.kind == "purged":
        data = {"projectId": one.id}
    elif one.kind == "observation":
        data = {"change": one.change, "id": one.id}
        if isinstance(one.found, Observation):
            data["observation"] = wire.observation(one.found)
    elif one.found is None or isinstance(one.found, Observation):
        return
    else:
        data = {"generationJob": wire.job_full(one.found)}
    await events.send(one.kind, data, event_id=str(one.at_us))


def _position(given: str | None) -> int | None:
    """Where a stream is to be taken up, in microseconds; 0, which is too long ago, for what no stream has given."""
    if not given:
        return None
    return int(given) if given.isascii() and given.isdigit() and len(given) < 20 else 0
