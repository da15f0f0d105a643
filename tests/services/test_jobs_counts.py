"""How jobs stand, over HTTP: in which state, since when the oldest waits, what holds the others, and for whom."""

from __future__ import annotations

from typing import Any

from claude_mem.model.documents import Document
from claude_mem.model.times import now_us
from claude_mem.services.job_counts import count_jobs
from claude_mem.storage import work, worker_figures
from tests.services.test_cli_operating import end_job, make_job
from tests.support.databases import Storage
from tests.support.http import Server, Tenant, event_body
from tests.support.load import make_world

COUNTS = "/v1/jobs/counts"
HOUR_US = 3_600_000_000


def put_back(api: Server, job_id: str, classification: str | None, *, until_us: int) -> None:
    """Let a job wait, as a worker does for which an attempt failed."""
    error = (
        None if classification is None else Document.of({"reason": "no", "classification": classification})
    )
    setback = work.Setback(job_id, "queued", error, next_attempt_us=until_us)
    api.run(work.set_back(api.services.database, [setback], now_us=now_us()))


def lanes(api: Server, key: str, path: str = COUNTS) -> dict[str, Any]:
    return {lane["lane"]: lane for lane in api.ok("GET", path, key)["lanes"]}


def test_what_waits_is_told_with_since_when_and_why(api: Server, tenant: Tenant) -> None:
    assert api.ok("GET", COUNTS, tenant.read)["states"] == dict.fromkeys(
        ("queued", "processing", "completed", "failed", "cancelled"), 0
    )
    # First, because it takes every job that it finds.
    end_job(api, make_job(api, tenant), error={"reason": "no", "classification": "transient"})
    due, *held = (make_job(api, tenant) for _ in range(6))
    later = now_us() // 1000 * 1000 + HOUR_US
    reasons = ("budget_exhausted", "transient", "transient", "of another release", None)
    for number, (job_id, reason) in enumerate(zip(held, reasons, strict=True)):
        put_back(api, job_id, reason, until_us=later + number * HOUR_US)
    put_back(api, due, None, until_us=now_us() - HOUR_US)

    found = api.ok("GET", COUNTS, tenant.read)
    assert (found["states"]["queued"], found["states"]["failed"]) == (6, 1)
    event, summary = found["lanes"]
    assert summary == {"lane": "summary", "due": 0, "oldestDueAtEpoch": None, "held": []}
    assert (event["lane"], event["due"]) == ("event", 1)
    assert 0 <= now_us() // 1000 - HOUR_US // 1000 - event["oldestDueAtEpoch"] < 600_000
    at = [(later + number * HOUR_US) // 1000 for number in range(5)]
    assert event["held"] == [
        {"reason": "session", "jobs": 1, "nextAttemptAtEpoch": at[4]},
        {"reason": "budget_exhausted", "jobs": 1, "nextAttemptAtEpoch": at[0]},
        {"reason": "transient", "jobs": 2, "nextAttemptAtEpoch": at[1]},
        {"reason": "unknown", "jobs": 1, "nextAttemptAtEpoch": at[3]},
    ]


def test_a_key_counts_what_it_sees(api: Server) -> None:
    tenant, stranger = api.tenant(), api.tenant()
    make_job(api, tenant)
    other = event_body(tenant.sibling)
    api.ok("POST", "/v1/events", tenant.full, other, status=201)
    assert lanes(api, tenant.full)["event"]["due"] == 2
    assert lanes(api, tenant.full, f"{COUNTS}?projectId={tenant.sibling}")["event"]["due"] == 1
    assert lanes(api, tenant.scoped)["event"]["due"] == lanes(api, tenant.sibling_key)["event"]["due"] == 1
    assert api.ok("GET", COUNTS, tenant.scoped)["states"]["queued"] == 1
    assert lanes(api, stranger.full)["event"]["due"] == 0
    assert api.ok("GET", COUNTS, stranger.full)["states"]["queued"] == 0


async def test_whether_anybody_works_is_told_by_who_reports(storage: Storage) -> None:
    database = await storage.open()
    world = await make_world(database)

    async def working() -> bool:
        return (await count_jobs(database, team_id=world.team_id, project_id=None)).working

    assert not await working()
    await worker_figures.report(database, "w", figures="[]", now_us=now_us() - 600_000_000)
    assert not await working(), "it has said nothing for ten minutes"
    await worker_figures.report(database, "w", figures="[]", now_us=now_us())
    assert await working()
