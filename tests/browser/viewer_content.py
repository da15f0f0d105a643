"""What the viewer is shown in tests."""

from __future__ import annotations

import time
from typing import Any

from claude_mem.storage import usage
from tests.support.http import Server, Tenant, event_body


def remember(server: Server, tenant: Tenant, content: str, **members: Any) -> str:
    """Write a memory."""
    body = {"projectId": tenant.project, "content": content} | members
    made: str = server.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]["id"]
    return made


def begin_session(server: Server, tenant: Tenant, prompt: str) -> str:
    """A session with its prompt."""
    body = {"projectId": tenant.project, "externalSessionId": prompt[:40], "metadata": {"prompt": prompt}}
    made: str = server.ok("POST", "/v1/sessions/start", tenant.full, body, status=201)["session"]["id"]
    return made


def add_event(server: Server, tenant: Tenant, session: str | None = None, **changes: Any) -> tuple[str, str]:
    """An event now. Returns: its id, and its job's."""
    body = event_body(
        tenant.project,
        serverSessionId=session,
        occurredAtEpoch=int(time.time() * 1000),
        **changes,
    )
    made = server.ok("POST", "/v1/events", tenant.full, body, status=201)
    return made["event"]["id"], made["generationJob"]["id"]


def fail(server: Server, job: str, reason: str) -> None:
    """Have a job failed, as a worker leaves it."""
    error = f'{{"reason": "{reason}", "classification": "transient"}}'
    server.execute(
        f"UPDATE observation_generation_jobs SET status = 'failed', attempts = 3, failed_at = updated_at, "
        f"last_error = '{error}' WHERE id = '{job}'"
    )


def spend(server: Server, tenant: Tenant, tokens: int) -> None:
    """A call of a provider, of which a tenth came back."""
    metadata = {
        "model": "claude-sonnet-5",
        "lane": "event",
        "inputTokens": tokens - tokens // 10,
        "outputTokens": tokens // 10,
    }
    row = usage.UsageRow(
        team_id=tenant.team,
        project_id=tenant.project,
        kind="tokens",
        quantity=tokens,
        at_us=time.time_ns() // 1000,
        metadata=metadata,
    )
    server.run(usage.append(server.services.database, [row]))


def fill(server: Server, tenant: Tenant) -> str:
    """Something for every view. Returns: the session's id."""
    session = begin_session(server, tenant, "Find out why the build is red on Mondays")
    add_event(server, tenant, session, payload={"tool_name": "Bash", "tool_input": {"command": "make test"}})
    remember(
        server,
        tenant,
        "The build is red on Mondays because the cache is emptied on Sundays.",
        kind="discovery",
        title="The cache is emptied on Sundays",
        serverSessionId=session,
        metadata={"facts": ["cron runs at 02:00"], "concepts": ["gotcha"], "files_read": ["ci/cache.yaml"]},
    )
    _, job = add_event(server, tenant, payload={"tool_name": "Edit"})
    fail(server, job, "the provider answered 529")
    spend(server, tenant, 1_234_567)
    return session
