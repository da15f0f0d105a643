"""Shapes of sessions looked back at."""

from __future__ import annotations

from claude_mem.http.responses import records
from claude_mem.http.responses.base import NextCursor, Shape


class SessionPage(Shape):
    """A page of sessions."""

    sessions: list[records.Session]
    nextCursor: NextCursor


class SessionEvents(Shape):
    """A page of a session's events."""

    sessionId: str
    events: list[records.Event]
    nextCursor: NextCursor
