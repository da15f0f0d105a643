"""The bar for ingest: the rows of an event written by bare asyncpg and nothing else.

An event is four rows: itself, its job, the job's first history entry, and an audit entry. The rows are made
before the clock starts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg

from hack.bench_load import Outcome, percentiles, tool_payload

TEAM, PROJECT = "bench-bare-team", "bench-bare-project"
#: Table, columns with their types, in the order of writing. Team and project are the same for all.
TABLES = {
    "agent_events": (
        ("id", "text"),
        ("source_adapter", "text"),
        ("source_event_id", "text"),
        ("idempotency_key", "text"),
        ("event_type", "text"),
        ("platform_source", "text"),
        ("payload", "jsonb"),
        ("occurred_at", "timestamptz"),
        ("received_at", "timestamptz"),
    ),
    "observation_generation_jobs": (
        ("id", "text"),
        ("agent_event_id", "text"),
        ("source_type", "text"),
        ("source_id", "text"),
        ("job_type", "text"),
        ("status", "text"),
        ("idempotency_key", "text"),
        ("bullmq_job_id", "text"),
        ("payload", "jsonb"),
    ),
    "observation_generation_job_events": (
        ("id", "text"),
        ("generation_job_id", "text"),
        ("event_type", "text"),
        ("status_after", "text"),
        ("details", "jsonb"),
    ),
    "audit_log": (
        ("id", "text"),
        ("action", "text"),
        ("resource_type", "text"),
        ("resource_id", "text"),
        ("details", "jsonb"),
    ),
}
SCOPED = frozenset(TABLES) - {"observation_generation_job_events"}


class EventRows(NamedTuple):
    """The rows of one event, in the order of ``TABLES``."""

    event: tuple[Any, ...]
    job: tuple[Any, ...]
    job_event: tuple[Any, ...]
    audit: tuple[Any, ...]


def event_rows(number: int) -> EventRows:
    """Make the rows of one event."""
    event_id, job_id = str(uuid.uuid4()), str(uuid.uuid4())
    digest = hashlib.sha256(event_id.encode()).hexdigest()
    now = datetime.now(UTC)
    job_payload = {
        "kind": "event",
        "team_id": TEAM,
        "project_id": PROJECT,
        "source_type": "agent_event",
        "source_id": event_id,
        "agent_event_id": event_id,
        "generation_job_id": job_id,
        "api_key_id": None,
        "actor_id": None,
        "source_adapter": "hook",
        "request_id": str(uuid.uuid4()),
    }
    audited = {"sourceAdapter": "hook", "eventType": "tool_use", "generationJobId": job_id}
    event = (
        *(event_id, "hook", f"bare-{event_id}", f"agent_event:v1:{digest}", "tool_use", "claude"),
        *(json.dumps(tool_payload(number)), now, now),
    )
    job = (
        *(job_id, event_id, "agent_event", event_id, "observation_generate_for_event", "queued"),
        *(f"observation_generation_job:v1:{digest}", f"evt_{digest}", json.dumps(job_payload)),
    )
    job_event = (str(uuid.uuid4()), job_id, "queued", "queued", json.dumps({"source": "http_post_v1_events"}))
    audit = (str(uuid.uuid4()), "event.received", "agent_event", event_id, json.dumps(audited))
    return EventRows(event=event, job=job, job_event=job_event, audit=audit)


async def prepare(url: str) -> None:
    """Make the team and the project that the rows belong to."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "INSERT INTO teams (id, name) VALUES ($1, $1) ON CONFLICT DO NOTHING", TEAM, timeout=30
        )
        await connection.execute(
            "INSERT INTO projects (id, team_id, name) VALUES ($1, $2, $1) ON CONFLICT DO NOTHING",
            *(PROJECT, TEAM),
            timeout=30,
        )
    finally:
        await connection.close()


async def one_by_one(url: str, *, events: int, connections: int) -> Outcome:
    """Commit events one at a time on each of a number of connections."""
    return await _measure(url, list(map(event_rows, range(events))), group=1, connections=connections)


async def in_groups(url: str, *, events: int, group: int, connections: int) -> Outcome:
    """Commit groups of events, each by one statement a table; a group has one audit entry, as a batch has."""
    return await _measure(url, list(map(event_rows, range(events))), group=group, connections=connections)


async def _measure(url: str, rows: list[EventRows], *, group: int, connections: int) -> Outcome:
    waiting = iter([rows[start : start + group] for start in range(0, len(rows), group)])
    latencies: list[float] = []
    opened = [await asyncpg.connect(url) for _ in range(connections)]
    try:
        statements = [_insert(table, single=group == 1) for table in TABLES]
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for connection in opened:
                tasks.create_task(_write(connection, statements, waiting, latencies))
        seconds = time.perf_counter() - started
    finally:
        for connection in opened:
            await connection.close()
    p50, p99 = percentiles(latencies)
    return Outcome(events=len(rows), seconds=seconds, p50_ms=p50, p99_ms=p99)


def _insert(table: str, *, single: bool) -> str:
    columns = TABLES[table]
    names = ", ".join(name for name, _ in columns)
    scope, values = (", team_id, project_id", f", '{TEAM}', '{PROJECT}'") if table in SCOPED else ("", "")
    if single:
        places = ", ".join(f"${place}::{kind}" for place, (_, kind) in enumerate(columns, 1))
        return f"INSERT INTO {table} ({names}{scope}) VALUES ({places}{values})"  # noqa: S608 - constants
    arrays = ", ".join(f"${place}::{kind}[]" for place, (_, kind) in enumerate(columns, 1))
    rows = f"SELECT row.*{values} FROM unnest({arrays}) AS row ({names})"  # noqa: S608 - constants
    return f"INSERT INTO {table} ({names}{scope}) {rows}"


async def _write(
    connection: asyncpg.Connection,
    statements: list[str],
    waiting: Iterator[list[EventRows]],
    latencies: list[float],
) -> None:
    for group in waiting:
        started = time.perf_counter()
        single = len(group) == 1
        async with connection.transaction():
            for place, statement in enumerate(statements):
                if single:
                    await connection.execute(statement, *group[0][place], timeout=30)
                else:
                    rows = [event[place] for event in (group if place < len(statements) - 1 else group[:1])]
                    await connection.execute(statement, *map(list, zip(*rows, strict=True)), timeout=30)
        latencies.append(time.perf_counter() - started)
