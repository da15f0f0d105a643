"""Every named statement does on both storages what its operation promises: one test a subject, and a count of all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from claude_mem.model.documents import EMPTY, Document
from claude_mem.model.records import (
    ApiKey,
    AuditEntry,
    Job,
    JobStatus,
    Observation,
    ObservationSource,
    Session,
)
from claude_mem.storage import (
    audit,
    backlog,
    catalog,
    changes,
    events,
    failed_jobs,
    held_jobs,
    idempotency,
    jobs,
    keys,
    observations,
    origins,
    rows,
    search,
    search_changes,
    sessions,
    tenancy,
    timeline,
    usage,
    work,
    worker_figures,
)
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database, Executor, Row
from tests.support.databases import Storage
from tests.support.load import World, make_world

NOW = 1_750_000_000_000_000
LEASE = 30_000_000
FAILURE = Document.of({"reason": "no", "classification": "transient"})


class Recording:
    """A database that remembers which statements were run on it."""

    def __init__(self, executor: Any, seen: set[str]) -> None:
        self._executor = executor
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    async def fetch(self, statement: str, /, **parameters: Any) -> list[Row]:
        self._seen.add(statement)
        found: list[Row] = await self._executor.fetch(statement, **parameters)
        return found

    async def execute(self, statement: str, /, **parameters: Any) -> int:
        self._seen.add(statement)
        count: int = await self._executor.execute(statement, **parameters)
        return count

    async def fetch_rows(
        self, statement: str, given: Sequence[Mapping[str, Any]], /, **parameters: Any
    ) -> list[Row]:
        self._seen.add(statement)
        found: list[Row] = await self._executor.fetch_rows(statement, given, **parameters)
        return found

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Executor]:
        async with self._executor.transaction() as executor:
            yield Recording(executor, self._seen)


async def tenancy_rows(database: Database, world: World) -> None:
    team, project = world.team_id, world.project_id
    found = await tenancy.find_team(database, team)
    assert found is not None
    assert (found.name, found.created_ms) == (team, 0)
    await tenancy.create_team(database, team_id=team, name="again", metadata=EMPTY, now_us=NOW)
    assert (await tenancy.find_team(database, team)) == found
    await tenancy.create_team(database, team_id="later", name=team, metadata=EMPTY, now_us=NOW)
    oldest = await tenancy.find_team_by_name(database, team)
    assert oldest is not None
    assert oldest.id == team
    listed = await tenancy.list_teams(database, after=None, limit=2)
    assert [row["id"] for row in listed] == sorted([team, world.other_team_id])
    cursor = Cursor(listed[-1]["created_at"], listed[-1]["id"])
    assert [row["id"] for row in await tenancy.list_teams(database, after=cursor, limit=9)] == ["later"]
    renamed = await tenancy.rename_team(database, team_id="later", name="zwölf", now_us=NOW + 1_000_000)
    assert renamed is not None
    assert (renamed.name, renamed.updated_ms - renamed.created_ms) == ("zwölf", 1000)
    assert await tenancy.rename_team(database, team_id="absent", name="x", now_us=NOW) is None
    assert await tenancy.find_project(database, project_id=project, team_id=world.other_team_id) is None
    assert (await tenancy.find_project_anywhere(database, project)) == (
        await tenancy.find_project_by_name(database, team_id=team, name=project)
    )
    listed = await tenancy.list_projects(database, team_id=team, project_id=None, after=None, limit=9)
    assert [row["id"] for row in listed] == [project, world.sibling_id]
    only = await tenancy.list_projects(
        database, team_id=team, project_id=world.sibling_id, after=None, limit=9
    )
    assert [row["id"] for row in only] == [world.sibling_id]
    changed = await tenancy.update_project(
        database,
        project_id=project,
        team_id=team,
        name="new",
        metadata=Document.of({"mode": "research"}),
        now_us=NOW,
    )
    assert changed is not None
    assert (changed.name, changed.metadata.members) == ("new", {"mode": "research"})
    async with database.transaction() as transaction:
        held = await tenancy.lock_shared(transaction, {project, "absent", world.other_project_id})
        assert held == {project: team, world.other_project_id: world.other_team_id}
        assert await tenancy.lock_exclusive(transaction, project_id=project, team_id=team)
        assert not await tenancy.lock_exclusive(transaction, project_id=project, team_id="others")


async def key_rows(database: Database, world: World) -> None:
    key = ApiKey(
        id="key-1",
        team_id=world.team_id,
        project_id=world.project_id,
        actor_id="actor",
        name="naïve",
        prefix="cm_1",
        scopes=("memories:read", "*"),
        created_ms=NOW // 1000,
        expires_ms=NOW // 1000 + 10_000,
    )
    await keys.insert(database, key, key_hash="hash-1", now_us=NOW)
    assert await keys.find(database, "key-1") == key
    assert await keys.find_by_hashes(database, ["hash-1", "hash-2", "hash-1"]) == {"hash-1": key}

    async def listed(*, active: bool, at_us: int) -> list[str]:
        found = await keys.list_rows(
            database,
            team_id=world.team_id,
            project_id=None,
            active=active,
            before=None,
            limit=9,
            now_us=at_us,
        )
        return [row["id"] for row in found]

    assert await listed(active=True, at_us=NOW) == ["key-1"]
    mine = {"team_id": world.team_id, "project_id": world.project_id, "actor_id": "actor", "name": "naïve"}
    assert await keys.find_working(database, **mine) == [key]
    for member in mine:
        assert await keys.find_working(database, **(mine | {member: "another"})) == []
    assert await listed(active=True, at_us=NOW + 10_000_000) == []
    assert await listed(active=False, at_us=NOW + 10_000_000) == ["key-1"]
    await keys.touch(database, {"key-1": NOW + 5_000})
    await keys.touch(database, {"key-1": NOW, "absent": NOW})
    touched = await keys.find(database, "key-1")
    assert touched is not None
    assert touched.last_used_ms == NOW // 1000 + 5
    changed = await keys.set_scopes(database, "key-1", scopes=["a", "ü"], now_us=NOW)
    assert changed is not None
    assert changed.scopes == ("a", "ü")
    soon = NOW + 1_000_000
    replaced = await keys.replace(database, "key-1", replaced_by="key-2", expires_us=soon, now_us=NOW)
    assert replaced is not None
    assert (replaced.replaced_by, replaced.expires_ms) == ("key-2", soon // 1000)
    assert await keys.replace(database, "key-1", replaced_by="x", expires_us=soon, now_us=soon) is None
    revoked = await keys.revoke(database, "key-1", now_us=NOW)
    assert revoked is not None
    assert (revoked.revoked_ms, revoked.replaced_by) == (NOW // 1000, "key-2")
    assert await keys.revoke(database, "key-1", now_us=NOW) is None
    assert await keys.find_working(database, **mine) == []


async def session_rows(database: Database, world: World) -> None:
    scope = {"team_id": world.team_id, "project_id": world.project_id}
    session = new_session(world, "session-1", external="ext", content="content", platform="cursor")
    stored = await sessions.insert(database, session, key="key-1", now_us=NOW)
    assert stored is not None
    assert (stored.generation_status, stored.started_ms, stored.ended_ms) == ("idle", NOW // 1000, None)
    twin = new_session(world, "session-2", external="ext", content=None, platform="cursor")
    assert await sessions.insert(database, twin, key="key-2", now_us=NOW) is None
    same_key = new_session(world, "session-2", external=None, content=None, platform=None)
    assert await sessions.insert(database, same_key, key="key-1", now_us=NOW) is None
    newer = new_session(world, "session-2", external=None, content="content", platform=None)
    assert await sessions.insert(database, newer, key="key-2", now_us=NOW + 1) is not None
    listed = await sessions.list_rows(database, **scope, before=None, limit=9)
    assert [row["id"] for row in listed] == ["session-2", "session-1"]
    newest = Cursor(listed[0]["started_at"], "session-2")
    assert await sessions.list_rows(database, **scope, before=newest, limit=9) == listed[1:]
    assert (
        await sessions.list_rows(database, team_id=world.other_team_id, project_id=None, before=None, limit=9)
        == []
    )
    assert await sessions.find(database, "session-1", team_id=world.other_team_id) is None
    known = await sessions.find_by_ids(database, ["session-1", "absent"], team_id=world.team_id)
    assert list(known) == ["session-1"]
    assert await sessions.find_by_ids(database, ["session-1"], team_id=world.other_team_id) == {}
    assert await sessions.find_scopes(database, ["session-1", "absent"]) == {
        "session-1": (world.team_id, world.project_id)
    }
    by_external = await sessions.find_by_external(database, external_id="ext", platform="cursor", **scope)
    assert by_external == stored
    assert await sessions.find_by_external(database, external_id="ext", platform=None, **scope) is None
    assert await sessions.find_by_key(database, "key-1", **scope) == stored

    def link(*, any_platform: bool, platform: str | None) -> sessions.ContentLink:
        return sessions.ContentLink(
            **scope, content_session_id="content", any_platform=any_platform, platform=platform
        )

    wanted = [
        link(any_platform=True, platform=None),
        link(any_platform=False, platform=None),
        link(any_platform=False, platform="cursor"),
        link(any_platform=False, platform="codex"),
    ]
    found = await sessions.link(database, wanted)
    assert [found.get(item) for item in wanted] == ["session-2", "session-2", "session-1", None]
    refreshed = await sessions.refresh(
        database, "session-1", metadata=Document.of({"b": [1]}), agent_id="a", agent_type=None, now_us=NOW
    )
    assert refreshed is not None
    assert (refreshed.metadata.value, refreshed.agent_id) == ({"prompt": "hi", "b": [1]}, "a")
    await sessions.release_key(database, "session-1", now_us=NOW)
    assert await sessions.find_by_key(database, "key-1", **scope) is not None, "it is still open"
    ended = await sessions.end(database, "session-1", team_id=world.team_id, now_us=NOW + 5_000)
    again = await sessions.end(database, "session-1", team_id=world.team_id, now_us=NOW + 9_000)
    assert again == ended
    assert ended is not None
    assert ended.ended_ms == NOW // 1000 + 5
    await sessions.release_key(database, "session-1", now_us=NOW)
    assert await sessions.find_by_key(database, "key-1", **scope) is None
    await sessions.mark_generated(database, "session-1", status="completed", now_us=NOW, **scope)
    marked = await sessions.find(database, "session-1", team_id=world.team_id)
    assert marked is not None
    assert (marked.generation_status, marked.last_generated_ms) == ("completed", NOW // 1000)


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
    assert await events.of_session(database, "session-1", limit=9, **scope) == []
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


async def brief_rows(database: Database, world: World) -> None:
    """Events of a timeline come in both directions from a position, with what their payloads say."""
    project = timeline.Stretch(world.team_id, world.sibling_id)
    elsewhere = timeline.Stretch(world.other_team_id, world.sibling_id)
    payloads: list[Any] = [
        {"tool_name": "Bash", "tool_input": {"command": "make"}},
        {"prompt": "Why?"},
        [1],
        "text",
        None,
    ]
    for number, payload in enumerate(payloads, start=1):
        brief = replace(
            world.stored_event(f"brief-{number}", occurred_ms=10**6 + number),
            project_id=world.sibling_id,
            payload=Document.of(payload),
        )
        await events.insert(database, [events.KeyedEvent(brief, f"brief-{number}")])
    start = Cursor(10**9, "")
    found = await timeline.events_after(database, project, start, limit=9)
    assert [row["id"] for row in found] == [f"brief-{number}" for number in range(1, 6)]
    assert [(row["tool"], row["object"], row["prompt"]) for row in found] == [
        ("Bash", "make", None),
        (None, None, "Why?"),
        *[(None, None, None)] * 3,
    ]
    end = Cursor(found[-1]["occurred_at"], "brief-5")
    back = await timeline.events_before(database, project, end, limit=4)
    assert [row["id"] for row in back] == [f"brief-{number}" for number in range(4, 0, -1)]
    assert await timeline.events_after(database, elsewhere, start, limit=9) == []
    assert await timeline.events_before(database, elsewhere, end, limit=9) == []
    assert await timeline.find_observation(database, "absent", team_id=world.team_id) is None


async def origin_rows(database: Database, world: World) -> None:
    """What led to a memory shows within its team and project, and nothing does of one that has no sources."""
    memory = new_observation(world, "of-calls", "Caches lie", key="generation-9", job="job-event-1")
    await work.insert_observations(database, [memory], now_us=NOW)
    for number in range(2):
        kind, job = ("agent_event", "job-event-1") if number else ("manual", None)
        link = ObservationSource(f"of-{number}", "of-calls", kind, f"event-{number}", job, NOW // 1000)
        await work.insert_sources(database, [(link, Document.of({"callId": "call-9"}))], now_us=NOW)
    call = usage.UsageRow(
        id="call-9",
        team_id=world.team_id,
        project_id=world.project_id,
        kind="tokens",
        quantity=70,
        at_us=NOW,
        metadata={"model": "m", "inputTokens": 50},
    )
    await usage.append(database, [call, replace(call, id="another")])
    made = origins.Made("of-calls", world.team_id, world.project_id)
    sources = await origins.sources(database, made, limit=9)
    assert [(one.id, one.generation_job_id) for one in sources] == [("of-1", "job-event-1"), ("of-0", None)]
    assert [row["id"] for row in await origins.events(database, made, limit=9)] == ["event-1"]
    assert [job.id for job in await origins.jobs(database, made, limit=9)] == ["job-event-1"]
    assert await origins.calls(database, made, limit=9) == [call]
    for elsewhere in (replace(made, team_id=world.other_team_id), replace(made, project_id=world.sibling_id)):
        assert await origins.events(database, elsewhere, limit=9) == []
        assert await origins.jobs(database, elsewhere, limit=9) == []
    assert await origins.calls(database, replace(made, team_id=world.other_team_id), limit=9) == []
    assert await origins.sources(database, replace(made, observation_id="absent"), limit=9) == []
    await observations.delete(database, "of-calls", team_id=world.team_id, project_id=None)


async def observation_rows(database: Database, world: World) -> None:
    scope = {"team_id": world.team_id, "project_id": world.project_id}
    memory = new_observation(world, "memory-1", "Deploy with blue-green servers")
    await observations.insert(database, memory)
    assert await observations.find(database, "memory-1", team_id=world.team_id) == memory
    asked = ["memory-1", "absent"]
    by_id = await observations.find_by_ids(database, asked, team_id=world.team_id)
    assert by_id == {"memory-1": memory}
    assert await observations.find_by_ids(database, asked, team_id=world.other_team_id) == {}
    made = new_observation(world, "memory-2", "Retries swallow errors", key="generation-1", job="job-event-1")
    assert await work.insert_observations(database, [made], now_us=NOW) == {"generation-1": "memory-2"}
    twin = new_observation(world, "memory-3", "Retries swallow errors", key="generation-1", job="job-event-1")
    assert await work.insert_observations(database, [twin], now_us=NOW) == {"generation-1": "memory-2"}
    source = ObservationSource("s-1", "memory-2", "agent_event", "event-1", "job-event-1", NOW // 1000)
    for _ in range(2):
        await work.insert_sources(database, [(source, EMPTY)], now_us=NOW)
    ((found, link),) = await observations.of_event(database, "event-1", **scope)
    assert (found.id, link) == ("memory-2", source)
    assert await work.origins(database, ["memory-1", "memory-2"]) == {"memory-2": ["event-1"]}

    async def listed(**filters: Any) -> list[str]:
        wanted: dict[str, Any] = {"kind": None, "session_id": None, "before": None, "limit": 9}
        found = await observations.list_rows(database, **(scope | wanted | filters))
        return [row["id"] for row in found]

    assert await listed() == ["memory-2", "memory-1"]
    assert await listed(before=Cursor(NOW, "memory-2")) == ["memory-1"]
    project = timeline.Stretch(**scope)
    behind = await timeline.observations_after(database, project, Cursor(NOW, "memory-1"), limit=9)
    assert [row["id"] for row in behind] == ["memory-2"]
    before = await timeline.observations_before(database, project, Cursor(NOW, "memory-2"), limit=9)
    assert [row["id"] for row in before] == ["memory-1"]
    assert await listed(kind="absent") == await listed(session_id="absent") == []
    async with database.transaction() as transaction:
        assert await observations.find_to_update(transaction, "memory-1", team_id=world.team_id) == memory
        changed = await observations.update(
            transaction,
            "memory-1",
            team_id=world.team_id,
            content="Deploy canaries",
            kind="decision",
            metadata=Document.of({"a": None}),
            now_us=NOW,
        )
    assert changed is not None
    assert (changed.content, changed.kind, changed.metadata.value) == (
        "Deploy canaries",
        "decision",
        {"a": None},
    )
    gone = await observations.delete(database, "memory-1", team_id=world.team_id, project_id=world.sibling_id)
    assert gone is None
    assert await observations.delete(database, "memory-1", team_id=world.team_id, project_id=None) is not None


#: Changes of the memories that `observation_rows` stores, in their order.
NOTED = [("memory-1", "I"), ("memory-2", "I"), ("memory-1", "U"), ("memory-1", "D")]


async def noted_rows(database: Database, world: World) -> None:
    project = world.project_id
    assert await search_changes.waiting(database) == [search_changes.Waiting(project, 4, 4)]
    state = await search.state(database, project)
    assert state.segments == ()
    noted = [(change.observation_id, change.operation) for change in state.changes]
    assert noted == NOTED
    assert state.complete
    some = await search.state(database, project, most=2)
    assert (some.changes, some.complete) == (state.changes[:2], False)
    assert await search_changes.rewritten(database, project, limit=9) == {"memory-1"}
    numbers = [change.number for change in state.changes]

    async def matching(*words: str, prefixes: Sequence[str] = (), at: int | None = None) -> bool:
        until = None if at is None else at + 1
        found = await search_changes.matching_changes(
            database, project, words=words, prefixes=prefixes, since_us=at, until_us=until, limit=9
        )
        assert found in ([], [search_changes.Candidate("memory-2", numbers[1])])
        return bool(found)

    assert await matching("retries", "the", "retri")
    assert not await matching("the'", "zebra", prefixes=["'zeb\\ra' | retri", "&!"])
    assert await matching(prefixes=["swallo"])
    assert await matching(at=NOW)
    assert not await matching(at=NOW + 1)
    ids = ["memory-1", "memory-2"]
    (document,), left = await search_changes.documents(database, project, ids, most_bytes=9)
    assert (document["id"], document["content"], left) == ("memory-2", "Retries swallow errors", [])
    assert document["updated_at"] == NOW


async def search_rows(database: Database, world: World) -> None:
    project = world.project_id

    async def passing(**filters: Any) -> list[str]:
        scope = {"team_id": world.team_id, "project_id": project}
        wanted = search.Filters(**filters)
        found, left = await search.found_slice(database, ["memory-2", "x"], **scope, filters=wanted)
        assert not left
        return list(found)

    everything = {"platform": "cursor", "kinds": ["x", "manual"], "since_us": NOW, "until_us": NOW + 1}
    assert await passing() == await passing(**everything) == ["memory-2"], "its event came from there"
    refusals: tuple[dict[str, Any], ...] = (
        {"platform": "codex"},
        {"kinds": []},
        {"since_us": NOW + 1},
        {"until_us": NOW},
    )
    for refused in refusals:
        assert await passing(**refused) == []
    assert await passing(session_id="session-1") == []

    packed = {"ids": b"ab", "lengths": b"\0" * 8, "times": b"\1" * 32}
    async with database.transaction() as transaction:
        assert await search.lock(transaction, project)
        assert await search.lock_project(transaction, project)
        assert not await search.lock_project(transaction, "absent")
        taken, more = await search_changes.take_changes(transaction, project, limit=3, most_bytes=1000)
        assert [(change.observation_id, change.operation) for change in taken] == NOTED[:3]
        assert more
        pieces = [("", b"\0first"), ("migration", b"second"), ("中", b"third")]
        for segment in (7, 8):
            kept: dict[str, Any] = {"segment_id": segment, "packed": packed, "size": 2, "pieces": pieces}
            await search.insert_segment(transaction, project, **kept)
    seven, eight = (await search.state(database, project)).segments
    assert (seven, eight.id) == (search.SegmentState(7, documents=2, revision=0, deleted=0), 8)
    assert await search.columns(database, [7, 9]) == {7: packed}
    wanted = [(7, "a"), (7, "migration"), (8, "zebra"), (8, "中文"), (9, "a")]
    assert await search.blocks(database, wanted) == {
        (7, "a"): b"\0first",
        (7, "migration"): b"second",
        (8, "zebra"): b"second",
        (8, "中文"): b"third",
    }
    found = await search.prefix_blocks(database, [7, 9], prefix="m", limit=9)
    assert found == [(7, b"\0first"), (7, b"second")]
    found = await search.prefix_blocks(database, [7, 8], prefix="m", limit=1)
    assert found == [(7, b"\0first"), (8, b"\0first")], "of each segment"
    assert await search.block_bytes(database, [7, 9]) == {7: 17}
    assert await search.all_blocks(database, 8) == [b"\0first", b"second", b"third"]
    assert await search.delete_from_segment(database, seven, b"\1\0")
    assert not await search.delete_from_segment(database, seven, b"\0\0"), "it knows of no deletion"
    assert await search.deletions(database, [7]) == {(7, 1): b"\1\0"}
    assert (await search.state(database, project)).segments[0] == search.SegmentState(7, 2, 1, 1)
    assert not await search.drop_segments(database, [seven])
    assert await search.drop_segments(database, [eight])
    assert await search.all_blocks(database, 8) == []
    await search_changes.sweep(database)


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
    assert list(await work.events(database, ["shared-1", "absent"])) == ["shared-1"]
    assert list(await work.projects(database, [world.project_id, "absent"])) == [world.project_id]


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


async def purged_rows(database: Database, world: World) -> None:
    scope: dict[str, Any] = {"team_id": world.team_id, "project_id": world.project_id}
    assert await observations.purge(database, **scope) == 1
    assert await jobs.purge(database, **scope) == 8
    assert await events.purge(database, **scope) == 8
    assert await sessions.purge(database, **scope) == 3
    assert await jobs.history(database, "job-event-1") == []
    asked = AuditEntry(
        action="observation.read",
        resource_type="observation",
        resource_id=None,
        actor_id=None,
        api_key_id=None,
        details={"mode": "search", "query": "what?"},
        **scope,
    )
    elsewhere = replace(asked, project_id=world.sibling_id)
    await audit.append(database, [asked, elsewhere], now_us=NOW)
    assert await audit.clear_queries(database, **scope) == 1
    assert await audit.clear_queries(database, **scope) == 0
    listed: dict[str, Any] = {"action": None, "resource_id": None, "before": None, "limit": 9}
    (kept,) = await audit.list_rows(database, team_id=world.team_id, project_id=world.sibling_id, **listed)
    assert rows.audit_entry(kept).details == asked.details
    lines = await audit.list_rows(database, **scope, **listed)
    assert {"mode": "search", "queryCleared": True} in [rows.audit_entry(line).details for line in lines]


SUBJECTS = (
    tenancy_rows,
    key_rows,
    session_rows,
    event_and_job_rows,
    paged_jobs,
    job_changes,
    observation_rows,
    noted_rows,
    search_rows,
    worker_rows,
    accounting_rows,
    origin_rows,
    changed_rows,
    idempotent_rows,
    purged_rows,
    monitored_rows,
    held_rows,
)


async def test_every_statement_does_as_its_operation_says(storage: Storage) -> None:
    seen: set[str] = set()
    opened = await storage.open()
    database: Any = Recording(opened, seen)
    world = await make_world(database)
    for subject in SUBJECTS:
        await subject(database, world)
    await opened.ping(timeout_s=60)
    version = await opened.schema_version()
    assert version is not None
    ours = {name.partition(".")[0] for name in seen}
    assert {name for name in catalog.load(opened.name) if name.partition(".")[0] in ours} == seen


async def claim(database: Database, *, limit: int, at_us: int = NOW, mates: int = 1) -> list[Any]:
    terms = work.ClaimTerms(worker="w", lease_us=LEASE, mates=mates, patience_us=60_000_000)
    return await work.claim(database, terms, limit=limit, now_us=at_us)


def audit_scope(world: World) -> dict[str, Any]:
    return {
        "team_id": world.team_id,
        "project_id": world.project_id,
        "actor_id": "actor",
        "api_key_id": None,
    }


def new_session(
    world: World, name: str, *, external: str | None, content: str | None, platform: str | None
) -> Session:
    return Session(
        id=name,
        project_id=world.project_id,
        team_id=world.team_id,
        external_session_id=external,
        content_session_id=content,
        agent_id=None,
        agent_type=None,
        platform_source=platform,
        generation_status="idle",
        metadata=Document.of({"prompt": "hi"}),
        started_ms=0,
        ended_ms=None,
        last_generated_ms=None,
        created_ms=0,
        updated_ms=0,
    )


def new_job(world: World, event_id: str) -> jobs.NewJob:
    return jobs.NewJob(
        id=f"job-{event_id}",
        project_id=world.project_id,
        team_id=world.team_id,
        agent_event_id=event_id,
        source_type="agent_event",
        source_id=event_id,
        server_session_id=None,
        job_type="observation_generate_for_event",
        key=f"key-{event_id}",
        bullmq_job_id=f"evt_{event_id}",
        max_attempts=3,
        payload=Document.of({"kind": "event", "n": 2**60}),
        created_us=NOW,
    )


def new_observation(
    world: World, name: str, content: str, *, key: str | None = None, job: str | None = None
) -> Observation:
    return Observation(
        id=name,
        project_id=world.project_id,
        team_id=world.team_id,
        server_session_id=None,
        kind="manual",
        content=content,
        metadata=EMPTY,
        created_ms=NOW // 1000,
        updated_ms=NOW // 1000,
        generation_key=key,
        created_by_job_id=job,
    )
