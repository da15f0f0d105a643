"""Shapes of lists of sessions."""

from __future__ import annotations

from claude_mem.http.responses.base import NextCursor, Shape
from claude_mem.http.responses.records import Session


class SessionPage(Shape):
    """A page of sessions."""

    sessions: list[Session]
    nextCursor: NextCursor
