"""What the viewer is shown in tests."""

from __future__ import annotations

import time
from typing import Any

from claude_mem.model.documents import Document
from claude_mem.model.times import now_us
from claude_mem.storage import usage, work
from tests.support.http import Server, Tenant, event_body


def remember(server: Server, tenant: Tenant, content: str, **members: Any) -> str:
    """Write a memory."""
    body = {"projectId": tenant.project, "content": content} | members
    made: str = server.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]["id"]
    return made


def begin_session(server: Server, tenant: Tenant, prompt: str, **members: Any) -> str:
    """A session with its prompt."""
    body = {"projectId": tenant.project, "externalSessionId": prompt[:40], "metadata": {"prompt": prompt}}
    body |= members
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


def hold(server: Server, job: str, classification: str, *, for_s: int) -> None:
    """Have a job wait for its time, as a worker leaves it that could not do it."""
    error = Document.of({"reason": "not now", "classification": classification})
    setback = work.Setback(job, "queued", error, next_attempt_us=now_us() + for_s * 1_000_000)
    server.run(work.set_back(server.services.database, [setback], now_us=now_us()))


def spend(server: Server, tenant: Tenant, tokens: int, *, model: str = "claude-sonnet-5") -> None:
    """A call of a provider, of which a tenth came back."""
    metadata = {
        "model": model,
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


def adorn(server: Server, tenant: Tenant) -> None:
    """What a team has besides: a summary, long and foreign texts, code, many files."""
    session = begin_session(server, tenant, "and now the docs, please")
    for prompt in ("Make the nightly import resumable 🚀", "and now the docs, please"):
        add_event(server, tenant, session, eventType="user_prompt", payload={"prompt": prompt})
    command = {"tool_name": "Bash", "tool_input": {"command": "pytest -q tests/imports && ruff check src"}}
    add_event(server, tenant, session, payload=command)
    summary = {
        "request": "Make the nightly import resumable, and write down how",
        "investigated": "Where the importer keeps its place, and what happens when the connection ends in the middle.",
        "learned": "Offsets were kept in memory alone. `COPY` ends with the connection, and all of it is lost.",
        "completed": "Offsets are kept beside the rows, in the same transaction. The how-to says what to do after a crash.",
        "next_steps": "Try it with the archive of 2019, which is the largest.",
    }
    remember(server, tenant, summary["learned"], kind="summary", serverSessionId=session, metadata=summary)
    long = "The importer reads a batch, writes it and notes how far it came. " * 14
    remember(
        server,
        tenant,
        long,
        kind="feature",
        title="Imports go on where they were cut off, whatever cut them off, and tell how far they are",
        serverSessionId=session,
        metadata={
            "subtitle": "Offsets are stored with the rows that they stand for",
            "narrative": f"{long}\n```sql\nINSERT INTO progress (source, place) VALUES ($1, $2)\n```",
            "facts": [f"Batch {number} holds 500 rows" for number in range(10)],
            "concepts": ["how_it_works", "trade_off", "pattern"],
            "files_modified": [f"src/importing/sources/archive/{number}/reader.py" for number in range(10)],
        },
    )
    remember(
        server,
        tenant,
        "لا تُحذف الصفوف القديمة قبل أن يكتمل الاستيراد",
        kind="decision",
        title="القرار: لا حذف قبل اكتمال الاستيراد",
        metadata={"facts": ["يُحفظ الموضع في المعاملة نفسها", "`COPY` لا يُستأنف"]},
    )


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
    for reason in ("budget_exhausted", "transient"):
        _, job = add_event(server, tenant, payload={"tool_name": "Read", "reason": reason})
        hold(server, job, reason, for_s=3_600)
    spend(server, tenant, 1_234_567)
    return session
