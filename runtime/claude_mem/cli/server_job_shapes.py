"""How the `jobs` commands print a job: the shapes that scripts for claude-mem 13 read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from claude_mem.cli.server_context import time_or_none
from claude_mem.http import wire
from claude_mem.model.times import iso8601_us

if TYPE_CHECKING:
    from claude_mem.model.records import Job, JobEvent
    from claude_mem.storage.database import Row

#: Columns of a job's row that hold JSON as text.
_JSON_COLUMNS = frozenset({"payload", "last_error"})

#: How its columns end that hold times, in microseconds.
_TIME_COLUMNS = ("_at",)


def entry(job: Job) -> dict[str, Any]:
    """A job in a listing."""
    return {
        "id": job.id,
        "projectId": job.project_id,
        "teamId": job.team_id,
        "sourceType": job.source_type,
        "status": str(job.status),
        "attempts": job.attempts,
        "createdAt": time_or_none(job.created_ms),
    }


def failure(job: Job) -> dict[str, Any]:
    """A failed job with its reason."""
    return {
        "id": job.id,
        "sourceType": job.source_type,
        "sourceId": job.source_id,
        "teamId": job.team_id,
        "projectId": job.project_id,
        "attempts": job.attempts,
        "failedAt": time_or_none(job.failed_ms),
        "lastError": wire.last_error(job),
    }


def plain(row: Row) -> dict[str, Any]:
    """A row as JSON: documents opened, times spelled out."""
    return {
        name: orjson.loads(value)
        if name in _JSON_COLUMNS and value is not None
        else iso8601_us(value)
        if name.endswith(_TIME_COLUMNS) and value is not None
        else value
        for name, value in row.items()
    }


def line(event: JobEvent) -> dict[str, Any]:
    """A line of a job's history, spelled as the row is."""
    return {
        "event_type": event.event_type,
        "status_after": event.status_after,
        "attempt": event.attempt,
        "details": event.details.value,
        "created_at": time_or_none(event.created_ms),
    }
