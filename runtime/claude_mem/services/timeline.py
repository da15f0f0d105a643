"""Timelines: what was observed and what happened around a memory, or in a session, in order of time.

Observations stand at the time when they were made, events at the time when they happened. Both are read from behind
positions of their own, so that pages stay right while either is written to.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

import orjson

from claude_mem.generation.content import SUMMARY_KIND
from claude_mem.model.errors import InvalidInput, Issue, NotFound
from claude_mem.model.times import MAX_EPOCH_MS, MIN_POSTGRES_MS, ms_from_us, now_us
from claude_mem.services.briefs import brief, title_of
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.storage import audit, rows, sessions, timeline
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.timeline import Stretch

if TYPE_CHECKING:
    from claude_mem.model.records import Observation, Session
    from claude_mem.services.context import RequestContext
    from claude_mem.storage.database import Database, Row

EntryType = Literal["observation", "summary", "prompt", "event"]
Direction = Literal["older", "newer"]

_START = Cursor(MIN_POSTGRES_MS * 1000, "")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a timeline.

    Parameters:
        kind: an observation's kind, or an event's type.
        title: what it is called, or None.
        text: what it says, shortened.
    """

    type: EntryType
    id: str
    at_ms: int
    session_id: str | None
    kind: str
    title: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ends, in both lists."""

    direction: Direction
    observation: Cursor
    event: Cursor

    def encode(self) -> str:
        """The text that a client sends back for what follows in the same direction."""
        parts = [self.direction, *((at.at_us, at.id) for at in (self.observation, self.event))]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Position:
        """Raises: InvalidInput when it is not one that `encode` made."""
        try:
            padded = text + "=" * (-len(text) % 4)
            direction, *found = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            observation, event = (_place(*place) for place in found)
            known = direction in {"older", "newer"}
        except (binascii.Error, ValueError, TypeError) as error:
            raise _refusal() from error
        if not known:
            raise _refusal()
        return cls(direction, observation, event)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a timeline, in order of time.

    Parameters:
        older, newer: cursors for what comes before and after; None where nothing does.
        sessions: those that entries belong to, by id.
    """

    entries: list[Entry]
    older: str | None = None
    newer: str | None = None
    sessions: dict[str, Session] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Around:
    """A memory and what lies around it; it is itself in neither part."""

    memory: Observation
    before: Span
    after: Span


class TimelineService:
    """Reads timelines within the caller's scope."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def around(
        self,
        context: RequestContext,
        memory_id: str,
        *,
        before: int,
        after: int,
        cursor: str | None = None,
        events: bool = True,
    ) -> Around:
        """What lies around a memory in its project.

        Parameters:
            before, after: how many entries at most; 0 is none.
            cursor: goes on in its direction only, by as many entries as that direction has.
            events: whether events are told of, or observations only.

        Raises: NotFound in another team, Forbidden in a sibling project, InvalidInput for a foreign cursor, Unavailable.
        """
        with refuse_storage_errors():
            row = await timeline.find_observation(self._database, memory_id, team_id=context.team_id)
            if row is None:
                raise NotFound("Memory not found")
            memory = rows.observation(row)
            context.check_project(memory.project_id)
            stretch = Stretch(memory.team_id, memory.project_id)
            own = Cursor(row["created_at"], memory.id)
            # What happened at the very moment came before: memories are made of it.
            moment = Cursor(row["created_at"] + 1, "")
            at = Position.decode(cursor) if cursor else None
            spans = {}
            for direction, limit in (("older", before), ("newer", after)):
                start = at or Position("older" if direction == "older" else "newer", own, moment)
                wanted = limit if start.direction == direction else 0
                spans[direction] = await self._span(stretch, start, limit=wanted, events=events)
            found = Around(memory, spans["older"], spans["newer"])
        shown = [*found.before.entries, *found.after.entries]
        await self._audit(context, memory.project_id, shown, resource_id=memory.id)
        return found

    async def of_session(
        self, context: RequestContext, session_id: str, *, cursor: str | None, limit: int, events: bool = True
    ) -> tuple[Session, Span]:
        """A session and what happened in it, oldest first.

        Raises: NotFound in another team, Forbidden in a sibling project, InvalidInput for a foreign cursor, Unavailable.
        """
        with refuse_storage_errors():
            session = await sessions.find(self._database, session_id, team_id=context.team_id)
            if session is None:
                raise NotFound("Session not found")
            context.check_project(session.project_id)
            stretch = Stretch(session.team_id, session.project_id, session.id)
            start = Position.decode(cursor) if cursor else Position("newer", _START, _START)
            span = await self._span(stretch, start, limit=limit, events=events)
        await self._audit(context, session.project_id, span.entries, sessionId=session.id)
        return session, span

    async def _span(self, stretch: Stretch, start: Position, *, limit: int, events: bool) -> Span:
        if limit == 0:
            return Span([])
        back = start.direction == "older"
        read = timeline.observations_before if back else timeline.observations_after
        read_events = timeline.events_before if back else timeline.events_after
        observed = await read(self._database, stretch, start.observation, limit=limit + 1)
        happened = await read_events(self._database, stretch, start.event, limit=limit + 1) if events else []
        ordered = _merged(observed, happened, back=back)
        shown = list(takewhile(_is_brought, ordered[:limit]))
        more = _end(start, shown).encode() if len(ordered) > len(shown) else None
        entries = [entry_of(row) for row in (reversed(shown) if back else shown)]
        wanted = sorted({entry.session_id for entry in entries if entry.session_id is not None})
        known = await sessions.find_by_ids(self._database, wanted, team_id=stretch.team_id) if wanted else {}
        return Span(entries, more if back else None, None if back else more, known)

    async def _audit(
        self, context: RequestContext, project_id: str, shown: list[Entry], **details: str | None
    ) -> None:
        entry = context.audit(
            "observation.read",
            "observation",
            resource_id=details.pop("resource_id", None),
            project_id=project_id,
            mode="timeline",
            **details,
            resultCount=len(shown),
            observationIds=[each.id for each in shown if each.type in {"observation", "summary"}],
        )
        with refuse_storage_errors():
            await audit.append_alone(self._database, entry, now_us=now_us())


def _time(row: Row) -> int:
    at: int = row["created_at"] if _is_observation(row) else row["occurred_at"]
    return at


def _is_observation(row: Row) -> bool:
    return "content" in row


def _is_brought(row: Row) -> bool:
    """Whether it is an event, or an observation for whose text there was room."""
    return not _is_observation(row) or row["content"] is not None


def _merged(observed: list[Row], happened: list[Row], *, back: bool) -> list[Row]:
    """Both lists as one, in the direction in which they were read; at one moment, events come first in time."""
    first, second = (observed, happened) if back else (happened, observed)
    return sorted([*first, *second], key=_time, reverse=back)


def _end(start: Position, shown: list[Row]) -> Position:
    observation, event = start.observation, start.event
    for row in shown:
        if _is_observation(row):
            observation = Cursor(row["created_at"], row["id"])
        else:
            event = Cursor(row["occurred_at"], row["id"])
    return Position(start.direction, observation, event)


def entry_of(row: Row) -> Entry:
    """An observation's row, or an event's as timelines read it, as an entry."""
    if _is_observation(row):
        memory = rows.observation(row)
        kind: EntryType = "summary" if memory.kind == SUMMARY_KIND else "observation"
        title = title_of(memory)
        return Entry(
            kind,
            memory.id,
            memory.created_ms,
            memory.server_session_id,
            memory.kind,
            title,
            brief(memory.content),
        )
    said = row["prompt"] or row["said"] or row["object"] or ""
    return Entry(
        "prompt" if row["prompt"] else "event",
        row["id"],
        ms_from_us(row["occurred_at"]),
        row["server_session_id"],
        row["event_type"],
        row["tool"],
        brief(said),
    )


def _place(at_us: object, row_id: object) -> Cursor:
    if not isinstance(at_us, int) or not isinstance(row_id, str) or "\0" in row_id:
        raise ValueError(row_id)
    if not MIN_POSTGRES_MS * 1000 <= at_us <= MAX_EPOCH_MS * 1000:
        raise ValueError(at_us)
    return Cursor(at_us, row_id)


def _refusal() -> InvalidInput:
    message = "cursor is not one that this timeline gave: leave it out to start from the beginning"
    return InvalidInput(message, (Issue("invalid_format", ("cursor",), message),))
