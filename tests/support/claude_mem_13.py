"""Builds a database as claude-mem 13 leaves it: its schema, and the rows of a team that has worked with it.

``INSERTS`` are the statements with which claude-mem 13 writes each table, so that a test can go on writing as
it would. What becomes of the database is left to the tests.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from claude_mem.model import identity
from claude_mem.model.canonical import canonical_json

SCHEMA = Path(__file__).with_suffix(".sql").read_text()

#: What an early 13.x lacks, and the constraint that later ones dropped.
BACK_TO_AN_EARLY_13 = """
    drop table usage_events;
    drop table rate_limit_counters;
    alter table agent_events drop column platform_source;
    drop index idx_server_sessions_platform_source;
    drop index idx_server_sessions_content_session_platform;
    drop index idx_server_sessions_external_session_legacy;
    drop index idx_server_sessions_external_session_platform;
    alter table server_sessions add unique (project_id, external_session_id);
"""

_INSERTS = Path(__file__).with_name("claude_mem_13_inserts.sql").read_text()
INSERTS = dict(re.findall(r"^-- name: (\w+)\n(.+?)(?=\n\n|\Z)", _INSERTS, re.MULTILINE | re.DOTALL))

SEARCH = """
    select id from observations
    where project_id = $1 and team_id = $2 and content_search @@ websearch_to_tsquery('english', $3)
    order by ts_rank(content_search, websearch_to_tsquery('english', $3)) desc, updated_at desc
"""

HOOK_SCOPES = ["events:write", "sessions:write", "observations:read", "jobs:read"]
FULL_SCOPES = ["memories:read", "memories:write"]

#: Raw keys by what is particular about them: scopes, and days until they expire.
KEYS: dict[str, tuple[object, int | None]] = {
    "full": (FULL_SCOPES, None),
    "read": (["memories:read"], 30),
    "hook": (HOOK_SCOPES, None),
    "team": (FULL_SCOPES, None),
    "teamless": (["*"], None),
    "revoked": (FULL_SCOPES, None),
    "expired": (FULL_SCOPES, -1),
    "object_scopes": ({"memories:read": True}, None),
    "mixed_scopes": (["memories:read", 7, None, ["memories:write"]], None),
    "text_scopes": ("memories:read", None),
}

#: Events by what became of their jobs.
EVENTS = ("queued", "retrying", "processing", "stale", "completed", "failed", "cancelled", "no_job")

EVENT_JOB = "observation_generate_for_event"
SUMMARY_JOB = "observation_generate_session_summary"


@dataclass(slots=True)
class ClaudeMem13:
    """What was built. Ids by a name that says what is particular about the row."""

    url: str
    team_id: str = "5d6f2d4e-5b65-4b7a-9f5e-0c9e7f3f9a01"
    other_team_id: str = "team-of-others"
    project_id: str = "8a2f6a4c-6e0e-4a54-8d2a-3d1b8f0e7b02"
    other_project_id: str = "project-of-others"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    raw_keys: dict[str, str] = field(default_factory=dict)
    key_ids: dict[str, str] = field(default_factory=dict)
    session_ids: dict[str, str] = field(default_factory=dict)
    event_ids: dict[str, str] = field(default_factory=dict)
    event_keys: dict[str, str] = field(default_factory=dict)
    job_ids: dict[str, str] = field(default_factory=dict)
    observation_ids: dict[str, str] = field(default_factory=dict)
    usage: dict[tuple[str, datetime, str], int] = field(default_factory=dict)

    @property
    def month(self) -> datetime:
        """The first instant of this month, UTC."""
        return self.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    @property
    def last_month(self) -> datetime:
        """The first instant of the month before."""
        return (self.month - timedelta(days=1)).replace(day=1)


async def create_claude_mem_13(url: str, *, early: bool = False) -> ClaudeMem13:
    """Build the database behind ``url``, which must be empty; ``early`` takes away what later 13.x added."""
    made = ClaudeMem13(url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SCHEMA)
        for table in (_tenants, _keys, _sessions, _events, _jobs, _memories, _usage):
            await table(connection, made)
        if early:
            await connection.execute(BACK_TO_AN_EARLY_13)
            made.usage.clear()
    finally:
        await connection.close()
    return made


async def write(connection: Any, table: str, *values: object) -> None:
    """Insert one row as claude-mem 13 does."""
    await connection.execute(INSERTS[table], *values)


async def contents(connection: Any, columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """Every row of every table as text, the columns as given, sorted."""
    found = {}
    for table, names in columns.items():
        rows = await connection.fetch(f"select row({', '.join(names)})::text as row from {table}")
        found[table] = sorted(row["row"] for row in rows)
    return found


async def columns_of(connection: Any) -> dict[str, list[str]]:
    """The columns of every table, in order."""
    rows = await connection.fetch(
        "select table_name, column_name from information_schema.columns"
        " where table_schema = 'public' order by table_name, ordinal_position"
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["table_name"], []).append(row["column_name"])
    return found


async def _tenants(connection: Any, made: ClaudeMem13) -> None:
    await write(connection, "teams", made.team_id, "local-hook-team", '{"source": "local-hook-bootstrap"}')
    await write(connection, "teams", made.other_team_id, "others", "{}")
    await write(connection, "projects", made.project_id, made.team_id, "local-hook-project", "{}")
    await write(
        connection, "projects", made.other_project_id, made.other_team_id, "theirs", '{"a": [1, "ü"]}'
    )
    await write(connection, "team_members", made.team_id, "ada", "owner")


async def _keys(connection: Any, made: ClaudeMem13) -> None:
    for name, (scopes, days) in KEYS.items():
        raw = f"cmem_{name}_{'0123456789abcdef' * 2}"
        made.raw_keys[name], made.key_ids[name] = raw, f"key-{name}"
        team = None if name == "teamless" else made.team_id
        project = None if name in {"team", "teamless"} else made.project_id
        expires = None if days is None else made.now + timedelta(days=days)
        actor = "system:local-hook-bootstrap" if name == "hook" else "system:server-cli"
        key_hash = identity.hash_api_key(raw)
        await write(
            connection, "api_keys", f"key-{name}", key_hash, team, project, actor, json.dumps(scopes), expires
        )
    await connection.execute("update api_keys set revoked_at = now() where id = 'key-revoked'")
    details = '{"source": "server-bootstrap", "requestId": null}'
    scope = (made.team_id, made.project_id, "system:local-hook-bootstrap", made.key_ids["hook"])
    await write(
        connection, "audit_log", "audit-key", *scope, "api_key.create", "api_key", "key-hook", details
    )


async def _sessions(connection: Any, made: ClaudeMem13) -> None:
    """One open and one ended session of a platform, one without a platform, one that nothing names."""
    rows = {
        "open": ("sess-open", "sess-open", "claude"),
        "ended": ("sess-ended", "sess-ended", "cursor"),
        "bare": ("sess-bare", None, None),
        "anonymous": (None, None, None),
    }
    for name, (external, content, platform) in rows.items():
        made.session_ids[name] = f"session-{name}"
        key = identity.session_key(
            team_id=made.team_id,
            project_id=made.project_id,
            platform=platform,
            external_session_id=external,
            content_session_id=content,
            agent_id=None,
            agent_type=None,
        )
        scope = (f"session-{name}", made.project_id, made.team_id)
        identities = (external, key, content, None, None, platform, "idle")
        await write(connection, "server_sessions", *scope, *identities, '{"project": "demo", "prompt": "Hi"}')
    await connection.execute("update server_sessions set ended_at = now() where id = 'session-ended'")


async def _events(connection: Any, made: ClaudeMem13) -> None:
    """One event per job status, all tool uses of the open session."""
    for index, name in enumerate(EVENTS):
        tool_input = {"file_path": f"src/{name}.ts", "n": index}
        payload = {"tool_name": "Edit", "tool_input": tool_input, "note": "é"}
        occurred = made.now.replace(microsecond=0) - timedelta(minutes=index)
        key = identity.event_key(
            team_id=made.team_id,
            project_id=made.project_id,
            adapter="hook",
            platform="claude",
            source_event_id=None,
            content_session_id="sess-open",
            server_session_id=None,
            event_type="tool_use",
            occurred_at_ms=int(occurred.timestamp() * 1000),
            payload_canonical=canonical_json(payload),
        )
        made.event_ids[name], made.event_keys[name] = f"event-{name}", key
        scope = (f"event-{name}", made.project_id, made.team_id, made.session_ids["open"])
        what = ("hook", None, key, "tool_use", "claude", json.dumps(payload), "{}", occurred)
        await write(connection, "agent_events", *scope, *what)


async def _jobs(connection: Any, made: ClaudeMem13) -> None:
    """A job in every status; of those that are processing, one was taken now and one a day ago."""
    for name in made.event_ids.keys() - {"no_job"}:
        await _job(connection, made, name=name, source_type="agent_event", source_id=made.event_ids[name])
    await _job(
        connection, made, name="summary", source_type="session_summary", source_id=made.session_ids["ended"]
    )
    states = {
        "retrying": "attempts = 1, next_attempt_at = now() + interval '25 s'",
        "processing": "status = 'processing', attempts = 1, locked_at = now(), locked_by = 'server-41'",
        "stale": "status = 'processing', attempts = 1, locked_at = now() - interval '1 day',"
        " locked_by = 'server-beta-worker', updated_at = now() - interval '1 day'",
        "completed": "status = 'completed', attempts = 1, completed_at = now()",
        "failed": "status = 'failed', attempts = 3, failed_at = now(),"
        ' last_error = \'{"reason": "parser rejected response", "classification": "parse_error"}\'',
        "cancelled": "status = 'cancelled', cancelled_at = now()",
    }
    for name, change in states.items():
        job = made.job_ids[name]
        await connection.execute(f"update observation_generation_jobs set {change} where id = $1", job)
        if name not in {"processing", "stale"}:
            kind = "retry_scheduled" if name == "retrying" else name
            after = "queued" if name == "retrying" else name
            row = (f"history-{name}-2", job, kind, after, 1, "{}")
            await write(connection, "observation_generation_job_events", *row)


async def _job(connection: Any, made: ClaudeMem13, *, name: str, source_type: str, source_id: str) -> None:
    summary = source_type == "session_summary"
    job_type = SUMMARY_JOB if summary else EVENT_JOB
    source = {
        "team_id": made.team_id,
        "project_id": made.project_id,
        "source_type": source_type,
        "source_id": source_id,
    }
    transport = identity.transport_job_id(kind="summary" if summary else "event", **source)
    job = made.job_ids[name] = f"job-{name}"
    payload = {
        "kind": "summary" if summary else "event",
        **source,
        "generation_job_id": job,
        "api_key_id": made.key_ids["full"],
        "actor_id": "system:server-cli",
        "source_adapter": "server" if summary else "hook",
        "request_id": None,
        **({"server_session_id": source_id} if summary else {"agent_event_id": source_id}),
    }
    session = source_id if summary else made.session_ids["open"]
    scope = (job, made.project_id, made.team_id)
    origin = (None if summary else source_id, source_type, source_id, session)
    key = identity.job_key(**source, job_type=job_type)
    what = (job_type, "queued", key, transport, 3, json.dumps(payload))
    await write(connection, "observation_generation_jobs", *scope, *origin, *what)
    details = '{"source": "http_post_v1_events"}'
    row = (f"history-{name}", job, "queued", "queued", 0, details)
    await write(connection, "observation_generation_job_events", *row)


async def _memories(connection: Any, made: ClaudeMem13) -> None:
    """A generated memory with its source, and one written by hand with a source of its own."""
    job, event = made.job_ids["completed"], made.event_ids["completed"]
    content = "Parser rejects empty replies\n\nThe retry path swallowed QUEUE_ENGINE errors."
    metadata = {
        "title": "Parser rejects empty replies",
        "facts": ["one"],
        "concepts": ["gotcha"],
        "files_read": ["src/parser.ts"],
        "files_modified": [],
        "provider": "claude",
        "model": "claude-sonnet-5",
    }
    key = identity.generation_key(job_id=job, index=0, content=content)
    scope = (made.project_id, made.team_id)
    made.observation_ids = {"generated": "observation-generated", "manual": "observation-manual"}
    generated = (*scope, made.session_ids["open"], "bugfix", content, key, json.dumps(metadata), None, job)
    await write(connection, "observations", "observation-generated", *generated)
    source = (event, job, "agent_event", event, '{"provider": "claude", "parsedObservationIndex": 0}')
    await write(connection, "observation_sources", "source-generated", "observation-generated", *source)
    manual = (*scope, None, "manual", "Deploy with blue-green", None, '{"tags": ["ops"]}', None, None)
    await write(connection, "observations", "observation-manual", *manual)
    by_hand = (None, None, "manual", "observation-manual", "{}")
    await write(connection, "observation_sources", "source-manual", "observation-manual", *by_hand)
    audit = (*reversed(scope), "system:server-cli", made.key_ids["full"], "memory.write", "observation")
    await write(connection, "audit_log", "audit-memory", *audit, "observation-manual", '{"requestId": "r1"}')


async def _usage(connection: Any, made: ClaudeMem13) -> None:
    """Usage of both teams in this month and the last, the last instant of the last one included."""
    rows = [
        (made.team_id, "request", 1, made.month),
        (made.team_id, "request", 1, made.now),
        (made.team_id, "tokens", 5321, made.now),
        (made.team_id, "observation", 2, made.now),
        (made.team_id, "tokens", 77, made.month - timedelta(microseconds=1)),
        (made.team_id, "request", 1, made.last_month),
        (made.other_team_id, "request", 1, made.now),
    ]
    for index, (team, kind, quantity, at) in enumerate(rows):
        project = made.project_id if team == made.team_id else None
        event = f"usage-{index}"
        await write(connection, "usage_events", event, team, project, kind, quantity, "{}")
        await connection.execute("update usage_events set created_at = $2 where id = $1", event, at)
        period = made.month if at >= made.month else made.last_month
        made.usage[team, period, kind] = made.usage.get((team, period, kind), 0) + quantity
    minute = made.now.replace(second=0, microsecond=0)
    await write(connection, "rate_limit_counters", made.key_ids["full"], minute)
