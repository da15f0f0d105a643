"""What statements promise of usage, of changes, of what is watched and of requests sent again, on whichever storage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from claude_mem.model.records import AuditEntry
from claude_mem.storage import audit, backlog, changes, idempotency, jobs, rows, usage, worker_figures
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database
from tests.support.load import World
from tests.support.rows import NOW, audit_scope, new_job


async def accounting_rows(database: Database, world: World) -> None:
    entry = AuditEntry("event.received", "agent_event", "event-1", **audit_scope(world), details={"ü": [1]})
    await audit.append(database, [entry], now_us=NOW)

    async def listed(**filters: Any) -> list[AuditEntry]:
        wanted: dict[str, Any] = {"action": None, "resource_id": None, "before": None, "limit": 9}
        scope = {"team_id": world.team_id, "project_id": None}
        return [rows.audit_entry(r) for r in await audit.list_rows(database, **(scope | wanted | filters))]

    (found,) = await listed(action="event.received", resource_id="event-1")
    assert (found.details, found.created_ms) == ({"ü": [1]}, NOW // 1000)
    assert await listed(before=Cursor(NOW, found.id)) == await listed(action="absent") == []
    month = 1_748_736_000_000_000
    counted = [
        usage.UsageRow(world.team_id, world.project_id, "tokens", 5, month, {}),
        usage.UsageRow(world.team_id, "absent", "tokens", 2**40, NOW, {}),
        usage.UsageRow(world.team_id, None, "tokens", 7, month - 1, {}),
        usage.UsageRow("absent", None, "tokens", 7, NOW, {}),
    ]
    await usage.append(database, counted)
    await usage.append(database, counted)
    totals = await usage.totals(database, team_id=world.team_id, since_us=month)
    assert totals == {"tokens": 2**40 + 5}, "a row is counted once, and one of an absent team not at all"
    in_month: dict[str, Any] = {"team_id": world.team_id, "kind": "tokens", "month_start_us": month}
    assert await usage.month_total(database, **in_month) == 2**40 + 5
    assert await usage.month_total(database, **(in_month | {"kind": "request"})) == 0
    async with database.transaction() as transaction:
        await usage.lock_team(transaction, world.team_id)
    hits = [await usage.hit(database, subject_id="key", window_start_us=at) for at in (NOW, NOW, NOW + 1)]
    assert hits == [1, 2, 1]
    assert await usage.forget_windows(database, before_us=NOW + 1) == 1


async def changed_rows(database: Database, world: World) -> None:
    later = NOW + 60_000_000
    lines = [
        AuditEntry(action, "observation", "r", **audit_scope(world), details=details)
        for action, details in (
            ("event.received", {"generationJobId": "job-a"}),
            ("event.batch_received", {"generationJobIds": ["job-b", 1, "job-c"]}),
            ("memory.update", {"generationJobId": "is not looked at"}),
            ("observation.read", {}),
        )
    ]
    await audit.append(database, lines, now_us=later)
    failed = jobs.NewJobEvent("job-event-1", "failed", "failed", 1, {}, later + 1)
    await jobs.append_events(database, [failed, replace(failed, event_type="processing")])

    async def told(after: Cursor, *, limit: int = 9, **scope: Any) -> list[tuple[str, tuple[str, ...]]]:
        wanted = {"team_id": world.team_id, "project_id": world.project_id} | scope
        found = await changes.list_changes(database, **wanted, after=after, limit=limit)
        return sorted((change.action, change.job_ids) for change in found)

    whole = [
        ("event.batch_received", ("job-b", "job-c")),
        ("event.received", ("job-a",)),
        ("generation_job.failed", ()),
        ("memory.update", ()),
    ]
    before = Cursor(later - 1, "")
    assert await told(before) == await told(before, project_id=None) == whole
    assert await told(Cursor(later + 1, "")) == [("generation_job.failed", ())]
    assert len(await told(before, limit=2)) == 2
    assert await told(before, project_id="absent") == await told(before, team_id=world.other_team_id) == []


async def monitored_rows(database: Database, world: World) -> None:
    before = await backlog.waiting(database, now_us=NOW, limit=1000)
    known = before.get("event", backlog.Waiting())
    for n, due_us in enumerate((None, NOW - 5_000_000, NOW + 5_000_000)):
        job = replace(
            new_job(world, f"seen-{n}"),
            agent_event_id=None,
            source_type="observation_reindex",
            created_us=NOW - 1_000_000,
            next_attempt_us=due_us,
        )
        assert await jobs.insert(database, [job]) == {job.id}
    lane = (await backlog.waiting(database, now_us=NOW, limit=1000))["event"]
    assert (lane.due, lane.delayed) == (known.due + 2, known.delayed + 1)
    assert lane.oldest_us == min(NOW - 5_000_000, known.oldest_us or NOW)
    (first,) = (await backlog.waiting(database, now_us=NOW, limit=1)).values()
    assert first.due + first.delayed == 1
    queued = await backlog.count_in_status(database, "queued", limit=1000)
    assert queued["event"] == lane.due + lane.delayed
    assert sum((await backlog.count_in_status(database, "queued", limit=2)).values()) == 2
    for at_us, worker, figures in ((NOW, "w-1", "[1]"), (NOW + 1, "w-1", "[2]"), (NOW + 2, "w-2", "[3]")):
        await worker_figures.report(database, worker, figures=figures, now_us=at_us)
    told = await worker_figures.current(database, since_us=NOW + 1, limit=9)
    assert told == {"w-2": "[3]", "w-1": "[2]"}
    assert await worker_figures.current(database, since_us=NOW, limit=1) == {"w-2": "[3]"}
    assert await worker_figures.current(database, since_us=NOW + 2, limit=9) == {"w-2": "[3]"}
    await worker_figures.forget(database, "w-2", before_us=NOW)
    assert await worker_figures.current(database, since_us=0, limit=9) == {"w-1": "[2]"}
    await worker_figures.forget(database, "w-3", before_us=NOW + 2)
    assert await worker_figures.current(database, since_us=0, limit=9) == {}


async def idempotent_rows(database: Database, world: World) -> None:
    claim = idempotency.Claim("request-1", world.team_id, "body-1", "owner-1", NOW + 10, NOW + 100)
    assert await idempotency.claim(database, claim, now_us=NOW)
    assert await idempotency.claim(database, claim, now_us=NOW), "sent once more by the same owner"
    rival = replace(claim, owner="owner-2", request_hash="body-2")
    assert not await idempotency.claim(database, rival, now_us=NOW)
    assert await idempotency.find(database, "request-1") == idempotency.Kept("body-1", None, None)
    assert await idempotency.claim(database, rival, now_us=NOW + 11), "the first gave no answer in time"
    await idempotency.finish(database, claim, status=201, answer=b"late")
    await idempotency.abandon(database, claim)
    await idempotency.finish(database, rival, status=201, answer=b"\x00\xff")
    await idempotency.abandon(database, rival)
    kept = idempotency.Kept("body-2", 201, b"\x00\xff")
    assert await idempotency.find(database, "request-1") == kept
    assert await idempotency.clear(database, team_id=world.other_team_id) == 0
    assert await idempotency.clear(database, team_id=world.team_id) == 1
    purged = replace(kept, answer=idempotency.PURGED)
    assert await idempotency.find(database, "request-1") == purged
    assert await idempotency.clear(database, team_id=world.team_id) == 0
    assert not await idempotency.claim(database, claim, now_us=NOW + 99)
    assert await idempotency.forget(database, before_us=NOW + 100) == 0
    assert await idempotency.claim(database, claim, now_us=NOW + 101), "it is over"
    assert await idempotency.clear(database, team_id=world.team_id) == 1, "somebody is at it"
    await idempotency.finish(database, claim, status=201, answer=b"of before the purge")
    assert await idempotency.find(database, "request-1") == replace(purged, request_hash="body-1")
    assert await idempotency.claim(database, claim, now_us=NOW + 202), "it is over"
    assert await idempotency.find(database, "request-1") == idempotency.Kept("body-1", None, None)
    await idempotency.abandon(database, claim)
    assert await idempotency.find(database, "request-1") is None
    assert await idempotency.claim(database, claim, now_us=NOW)
    assert await idempotency.forget(database, before_us=NOW + 101) == 1
