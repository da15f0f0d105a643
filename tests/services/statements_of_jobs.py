"""What statements promise of events and jobs, and of who works on them, on whichever storage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from claude_mem.model.documents import EMPTY, Document
from claude_mem.model.records import Job, JobStatus
from claude_mem.storage import backlog, events, failed_jobs, held_jobs, jobs, observations, sessions, work
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database
from tests.services.statements_of_memories import brief_rows
from tests.support.load import World
from tests.support.rows import FAILURE, LEASE, NOW, claim, new_job, new_observation, new_session


async def event_and_job_rows(database: Database, world: World) -> None:
    scope = {"team_id": world.team_id, "project_id": world.project_id}
    first, second = world.stored_event("event-1"), world.stored_event("event-2", occurred_ms=1)
    keyed = [events.KeyedEvent(second, "k2"), events.KeyedEvent(first, "k1")]
    assert await events.insert(database, keyed) == {"event-1", "event-2"}
    repeated = events.KeyedEvent(world.stored_event("event-3"), "k1")
    assert await events.insert(database, [repeated]) == set()
    assert await events.find_by_keys(database, ["k1", "k3"]) == {"k1": first}
    merged = await events.merge(database, "event-1", metadata=Document.of({"m": 1}), platform="cursor")
    assert merged is not None
    assert (merged.metadata.value, merged.platform_source) == ({"m": 1}, "cursor")
    kept = await events.merge(database, "event-1", metadata=Document.of({"n": 2}), platform="codex")
    assert kept is not None
    assert (kept.metadata.value, kept.platform_source) == ({"m": 1, "n": 2}, "cursor")
    assert await events.merge(database, "absent", metadata=EMPTY, platform=None) is None
    assert await events.find(database, "event-2", team_id=world.team_id) == second
    assert await events.find(database, "event-2", team_id=world.other_team_id) is None
    assert await events.of_session(database, "session-1", limit=9, most=9, **scope) == []
    await brief_rows(database, world)

    new = [new_job(world, "event-1"), new_job(world, "event-2")]
    await jobs.insert_fresh(database, new[1:])
    assert await jobs.insert(database, new) == {"job-event-1"}
    assert await jobs.insert(database, new) == set()
    found = await jobs.find_by_ids(database, ["job-event-1", "absent"])
    assert list(found) == ["job-event-1"]
    assert list(await jobs.find_by_keys(database, [new[1].key])) == [new[1].key]
    third = world.stored_event("event-3", occurred_ms=2)
    assert await events.insert(database, [events.KeyedEvent(third, "k3")]) == {"event-3"}
    await jobs.insert_fresh(database, [replace(new_job(world, "event-3"), next_attempt_us=NOW + 9_000_000)])
    delayed = await jobs.find_anywhere(database, "job-event-3")
    assert delayed is not None
    assert delayed.next_attempt_ms == (NOW + 9_000_000) // 1000
    assert await jobs.cancel(database, "job-event-3", now_us=NOW) is not None
    assert await jobs.find(database, "job-event-1", team_id=world.other_team_id) is None
    assert await jobs.find(database, "job-event-1", team_id=world.team_id) == found["job-event-1"]
    assert await jobs.find_anywhere(database, "job-event-1") == found["job-event-1"]
    line = jobs.NewJobEvent("job-event-1", "queued", "queued", 0, {"source": "ü"}, NOW)
    await jobs.append_events(database, [line])
    (history,) = await jobs.history(database, "job-event-1")
    assert (history.event_type, history.details.value) == ("queued", {"source": "ü"})

    everything = jobs.JobFilter(since_us=NOW, status="queued", source_type="agent_event", **scope)
    page = await jobs.list_page(database, everything, limit=1, offset=1)
    assert [job.id for job in page] == ["job-event-1"]
    assert await jobs.count(database, everything) == 2
    assert await jobs.count(database, jobs.JobFilter(since_us=NOW + 1)) == 0
    assert await jobs.count_by_status(database, **scope) == {"queued": 2, "cancelled": 1}
    assert await backlog.lane_counts(database, now_us=NOW, limit=9) == {("event", "queued"): 2}
    assert await backlog.lane_counts(database, now_us=NOW, limit=1) == {("event", "queued"): 1}


async def paged_jobs(database: Database, world: World) -> None:
    wanted = jobs.JobFilter(team_id=world.team_id)
    whole = [job.id for job in await jobs.list_page(database, wanted, limit=99, offset=0)]
    first = await jobs.list_rows(database, wanted, before=None, limit=2)
    behind = Cursor(first[-1]["created_at"], first[-1]["id"])
    others = await jobs.list_rows(database, wanted, before=behind, limit=99)
    assert [row["id"] for row in [*first, *others]] == whole


async def job_changes(database: Database, world: World) -> None:
    claimed = await claim(database, limit=1)
    (job,) = claimed
    held = jobs.Claim(job.id, 1, "w")
    stale = jobs.Claim(job.id, 0, "w")
    assert (job.status, job.attempts, job.locked_by) == (JobStatus.PROCESSING, 1, "w")
    assert await jobs.heartbeat(database, [held, stale], lease_us=LEASE, now_us=NOW + 1) == {held.job_id}
    assert not await jobs.heartbeat(database, [stale], lease_us=LEASE, now_us=NOW)
    assert await work.hold(database, [held, stale, jobs.Claim(job.id, 1, "x")]) == {job.id}
    for refused in (stale, jobs.Claim(job.id, 1, "x")):
        assert await work.hold(database, [refused]) == set()
        assert await jobs.hand_back(database, refused, now_us=NOW) is None
    back = await jobs.hand_back(database, held, now_us=NOW)
    assert back is not None
    assert (back.status, back.attempts) == (JobStatus.QUEUED, 0)
    await claim(database, limit=1)
    later = NOW + 5_000_000
    setback = work.Setback(job.id, "queued", FAILURE, next_attempt_us=later)
    await work.set_back(database, [setback], now_us=NOW)
    waiting = await jobs.find_anywhere(database, job.id)
    assert waiting is not None
    assert (waiting.next_attempt_ms, waiting.last_error) == (later // 1000, FAILURE)
    assert await backlog.lane_counts(database, now_us=NOW, limit=9) == {
        ("event", "queued"): 1,
        ("event", "delayed"): 1,
    }
    (other,) = await claim(database, limit=9)
    assert other.id != job.id, "one is not due, and nobody takes a job twice"
    (retried,) = await claim(database, limit=9, at_us=later)
    assert (retried.id, retried.attempts) == (job.id, 2)
    await work.complete(database, [job.id], now_us=NOW)
    done = await jobs.find_anywhere(database, job.id)
    assert done is not None
    assert (done.status, done.last_error, done.completed_ms) == (JobStatus.COMPLETED, None, NOW // 1000)
    assert await jobs.cancel(database, job.id, now_us=NOW) is None
    assert await failed_jobs.retry(database, {job.id: EMPTY}, now_us=NOW) == {}
    await work.set_back(database, [work.Setback(other.id, "failed", FAILURE)], now_us=NOW)
    failed = await jobs.find_anywhere(database, other.id)
    assert failed is not None
    assert failed.status is JobStatus.FAILED
    await redrive_filters(database, world, failed)
    assert (await backlog.lane_counts(database, now_us=NOW, limit=9))["event", "failed"] == 1
    payloads = {name: Document.of({"retried_count": 1}) for name in (job.id, other.id, "absent")}
    retried_now = await failed_jobs.retry(database, payloads, now_us=NOW)
    assert list(retried_now) == [other.id], "only what failed or was cancelled"
    again = retried_now[other.id]
    assert (again.status, again.attempts, again.payload.value) == (JobStatus.QUEUED, 1, {"retried_count": 1})
    cancelled = await jobs.cancel(database, other.id, now_us=NOW)
    assert cancelled is not None
    assert cancelled.cancelled_ms == NOW // 1000
    assert await jobs.cancel(database, other.id, now_us=NOW) is None
    assert await claim(database, limit=9, at_us=later) == []
    expiry: dict[str, Any] = {"error": FAILURE, "stale_us": 300_000_000, "now_us": NOW}
    assert await jobs.release_expired(database, **expiry) == []
    assert await jobs.fail_exhausted(database, error=FAILURE, now_us=NOW) == []


async def redrive_filters(database: Database, world: World, failed: Job) -> None:
    """One failed job, at NOW and of class `transient`, is found by what is true of it and by nothing else."""
    true: dict[str, Any] = {
        "team_id": world.team_id,
        "project_id": world.project_id,
        "lane": "event",
        "classification": "transient",
        "since_us": NOW,
        "until_us": NOW + 1,
    }
    false: dict[str, Any] = {
        "team_id": world.other_team_id,
        "project_id": world.sibling_id,
        "lane": "summary",
        "classification": "rate_limit",
        "since_us": NOW + 1,
        "until_us": NOW,
    }
    assert await failed_jobs.list_latest(database, team_id=None, project_id=None, limit=9) == [failed]
    at = NOW + 5
    for wanted in [{}, true, *({name: value} for name, value in true.items())]:
        chosen = failed_jobs.FailedFilter(**wanted)
        assert await failed_jobs.lock(database, chosen, limit=9, now_us=at) == [failed], wanted
        assert await failed_jobs.count(database, chosen, now_us=at) == 1, wanted
    for name, value in false.items():
        chosen = failed_jobs.FailedFilter(**(true | {name: value}))
        assert await failed_jobs.lock(database, chosen, limit=9, now_us=at) == [], name
        assert await failed_jobs.count(database, chosen, now_us=at) == 0, name
    assert await failed_jobs.count(database, failed_jobs.FailedFilter(), now_us=NOW) == 0, (
        "only the past is meant"
    )


async def worker_rows(database: Database, world: World) -> None:
    session = new_session(world, "shared", external=None, content=None, platform=None)
    assert await sessions.insert(database, session, key=None, now_us=NOW) is not None
    names = [f"shared-{number}" for number in range(4)]
    for name in names:
        event = replace(world.stored_event(name), server_session_id="shared")
        await events.insert(database, [events.KeyedEvent(event, name)])
        new = replace(new_job(world, name), server_session_id="shared", next_attempt_us=NOW + 5_000_000)
        await jobs.insert(database, [new])
    summary = replace(
        new_job(world, "shared"),
        agent_event_id=None,
        source_type="session_summary",
        source_id="shared",
        server_session_id="shared",
    )
    assert await jobs.insert(database, [summary]) == {"job-shared"}
    assert await claim(database, limit=9, mates=3) == [], "events wait for others, the summary for them"
    await work.expedite(database, ["job-shared-0"])
    taken = await claim(database, limit=9, mates=3)
    assert [job.id for job in taken] == ["job-shared-0", "job-shared-1", "job-shared-2"]
    await work.expedite_session(database, "shared")
    (last,) = await claim(database, limit=9, mates=3)
    assert last.id == "job-shared-3"
    (impatient,) = await claim(database, limit=9, at_us=NOW + 61_000_000)
    assert impatient.id == "job-shared"
    kept = work.KeptReply("job-shared-1", "call", '{"text":"ü"}')
    await work.keep_replies(database, [kept, work.KeptReply("absent", "call", "{}")], now_us=NOW)
    newer = replace(kept, call_id="later")
    await work.keep_replies(database, [newer], now_us=NOW)
    assert await work.kept_replies(database, ["job-shared-1", "absent"]) == {"job-shared-1": newer}
    await work.drop_replies(database, ["job-shared-1"])
    assert await work.kept_replies(database, ["job-shared-1"]) == {}
    back = work.Setback("job-shared-1", "queued", None, next_attempt_us=NOW, refund=1)
    await work.set_back(database, [back], now_us=NOW)
    (again,) = await claim(database, limit=9)
    assert (again.id, again.attempts, again.last_error) == ("job-shared-1", 1, None)
    ended_us = 4_000_000_000_000_000
    await work.complete(database, ["job-shared"], now_us=ended_us)
    reopening: dict[str, Any] = {"session_id": "shared", "next_attempt_us": NOW + 1_000_000, "now_us": NOW}
    assert await jobs.reopen_summary(database, "job-shared", **reopening) is None, "nothing is newer"
    late = replace(world.stored_event("late"), server_session_id="shared", created_ms=ended_us // 1000 + 1)
    await events.insert(database, [events.KeyedEvent(late, "late")])
    reopened = await jobs.reopen_summary(database, "job-shared", **reopening)
    assert reopened is not None
    assert (reopened.status, reopened.attempts) == (JobStatus.QUEUED, 0)
    put_off = await jobs.put_off(database, "job-shared", next_attempt_us=NOW + 9_000_000)
    assert put_off is not None
    assert put_off.next_attempt_ms == (NOW + 9_000_000) // 1000
    assert await jobs.put_off(database, "job-shared", next_attempt_us=NOW + 8_000_000) is None, (
        "never earlier"
    )
    made = [
        replace(new_observation(world, name, name, key=name, job="job-shared"), kind="summary")
        for name in ("old-summary", "new-summary")
    ]
    await work.insert_observations(database, made, now_us=NOW)
    await work.replace_summaries(database, ["job-shared"], kept=["new-summary"])
    assert await observations.find(database, "old-summary", team_id=world.team_id) is None
    assert await observations.delete(database, "new-summary", team_id=world.team_id, project_id=None)
    assert list(await work.keys(database, ["key-1", "absent"])) == ["key-1"]
    assert list((await work.events(database, ["shared-1", "absent"], most=1))[0]) == ["shared-1"]
    assert list(await work.projects(database, [world.project_id, "absent"])) == [world.project_id]


async def held_rows(database: Database, world: World) -> None:
    """Of the other team, which has none yet: what is due, what waits for its session, and what an error set back."""
    team, project = world.other_team_id, world.other_project_id
    made = NOW - 1_000_000
    session = new_session(world, "held-session", external="held", content=None, platform=None)
    elsewhere = replace(session, team_id=team, project_id=project)
    assert await sessions.insert(database, elsewhere, key="held", now_us=NOW) is not None
    of_session: dict[str, Any] = {
        "source_type": "session_summary",
        "source_id": session.id,
        "server_session_id": session.id,
    }
    for name, due_us in (
        ("due", None),
        ("later", NOW + 9_000_000),
        ("mate", NOW + 7_000_000),
        ("back", None),
    ):
        job = replace(
            new_job(world, f"held-{name}"),
            team_id=team,
            project_id=project,
            agent_event_id=None,
            source_type="observation_reindex",
            created_us=made,
            next_attempt_us=due_us,
        )
        if name == "mate":
            job = replace(job, **of_session)
        assert await jobs.insert(database, [job]) == {job.id}
    back = work.Setback("job-held-back", "queued", FAILURE, next_attempt_us=NOW + 5_000_000)
    later = work.Setback("job-held-later", "queued", FAILURE, next_attempt_us=NOW + 9_000_000)
    await work.set_back(database, [back, later], now_us=NOW)

    async def held(**changes: Any) -> set[held_jobs.HeldJobs]:
        wanted = {"team_id": team, "project_id": None, "now_us": NOW, "limit": 9} | changes
        return set(await held_jobs.held(database, **wanted))

    event = held_jobs.HeldJobs("event", due=True, classification=None, count=1, first_us=made)
    mate = held_jobs.HeldJobs("summary", due=False, classification=None, count=1, first_us=NOW + 7_000_000)
    failed = held_jobs.HeldJobs(
        "event", due=False, classification="transient", count=2, first_us=NOW + 5_000_000
    )
    assert await held() == await held(project_id=project) == {event, mate, failed}
    assert await held(project_id=world.project_id) == await held(team_id="absent") == set()
    assert sum(one.count for one in await held(limit=2)) == 2
    # What was set back is due again in its time, and then nothing holds it any more.
    passed = await held(now_us=NOW + 9_000_000)
    assert {(one.lane, one.due, one.classification, one.count) for one in passed} == {
        ("event", True, None, 3),
        ("summary", True, None, 1),
    }
