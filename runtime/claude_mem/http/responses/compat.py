"""Shapes of answers to hooks of claude-mem's older worker."""

from __future__ import annotations

from typing import Literal

from claude_mem.http.responses.base import Shape


class CompatEvent(Shape):
    """What older hooks are told of an event."""

    status: Literal["queued"]
    observationCount: int
    sessionId: str
    serverSessionId: str
    eventId: str
    generationJobId: str | None
    transport: str


class CompatSummary(Shape):
    """What older hooks are told of a session's end."""

    status: Literal["queued"]
    sessionId: str
    serverSessionId: str
    generationJobId: str | None
    transport: str


class CompatSkipped(Shape):
    """What older hooks are told where nothing was to be done."""

    status: Literal["skipped"]
    reason: str


class CompatNotFound(Shape):
    """What older hooks are told of a session that is gone."""

    status: Literal["not_found"]
    reason: str
