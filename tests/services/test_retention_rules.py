"""Retention: what rules remove and keep, one holder at a time, in batches, on both storages; search follows."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from claude_mem.model.documents import EMPTY
from claude_mem.model.errors import Forbidden, InvalidInput, NotFound
from claude_mem.model.records import Observation
from claude_mem.model.times import now_us
from claude_mem.services import retention as service
from claude_mem.services.bootstrap import cli_entry
from claude_mem.services.periods import DAY_US
from claude_mem.services.questions import Question
from claude_mem.services.recall import RecallService
from claude_mem.services.retention import RetentionService
from claude_mem.services.retention_rules import new_rule
from claude_mem.services.search_index import SearchIndex
from claude_mem.storage import audit, events, jobs, retention, sessions, work
from claude_mem.storage.database import Database, Executor, Row
from claude_mem.storage.retention import Rule
from tests.support.databases import Storage
from tests.support.load import World, make_world, until
from tests.support.rows import new_job, new_observation, new_session

WORLD = World()


def rule(**changes: Any) -> Rule:
    usual: dict[str, Any] = {
        "team_id": WORLD.team_id,
        "project_id": WORLD.project_id,
        "subject": "memories",
    }
    return new_rule(**(usual | changes))


async def remember(database: Database, days: list[int], *, project: str, kind: str = "discovery") -> None:
    """A memory of each age, named by project, kind and age."""
    now = now_us() // 1000
    made = [
        Observation(
            id=f"{project}/{kind}/{age}",
            project_id=project,
            team_id=WORLD.other_team_id if project == WORLD.other_project_id else WORLD.team_id,
            server_session_id=None,
            kind=kind,
            content=f"relay {kind} {age}",
            metadata=EMPTY,
            created_ms=now - age * DAY_US // 1000,
            updated_ms=now,
            generation_key=f"{project}/{kind}/{age}",
        )
        for age in days
    ]
    async with database.transaction() as transaction:
        for one in made:
            # One at a time, each at its own moment.
            await work.insert_observations(transaction, [one], now_us=one.created_ms * 1000)
    ids = [one.id for one in made]
    found = await database.fetch("observations.by_ids", ids=ids, team_id=made[0].team_id, most=2**20)
    assert {row["created_at"] // 1000 for row in found} == {one.created_ms for one in made}


async def left(storage: Storage, project: str, kind: str) -> list[int]:
    rows = await storage.query("SELECT id FROM observations")
    names = [name.rpartition("/") for (name,) in rows]
    return sorted(int(age) for scope, _, age in names if scope == f"{project}/{kind}")


@pytest.fixture
async def full(database: Database) -> Database:
    await make_world(database)
    for project in (WORLD.project_id, WORLD.sibling_id, WORLD.other_project_id):
        await remember(database, [1, 10, 40, 100], project=project)
    await remember(database, [5, 200], project=WORLD.project_id, kind="summary")
    return database


async def apply(database: Database, *rules: Rule) -> int:
    """Store rules, foretell them, carry them out as a server does; what was foretold is what is removed."""
    retained = RetentionService(database)
    for one in rules:
        await retained.add(one, cli_entry("retention.set", one.id, team_id=one.team_id, project_id=None))
    foretold = {
        (removal.rule_id, removal.project_id): removal.count
        for removal in await retained.preview(WORLD.team_id)
        if removal.count
    }
    removed = await retained.run_due()
    assert {(one.rule_id, one.project_id): one.count for one in removed} == foretold
    assert await retained.run_due() == [], "not before an hour has passed"
    return sum(one.count for one in removed)


@pytest.mark.parametrize(
    ("changes", "discoveries", "summaries"),
    [
        ({"max_age_days": 30}, [1, 10], [5]),
        ({"max_age_days": 30, "keep_summaries": True}, [1, 10], [5, 200]),
        ({"max_age_days": 30, "kinds": ["summary"]}, [1, 10, 40, 100], [5]),
        ({"keep_last": 2}, [1], [5]),
        ({"keep_last": 2, "keep_summaries": True}, [1, 10], [5, 200]),
        ({"keep_last": 4, "max_age_days": 7}, [1, 10, 40], [5]),
        ({"keep_last": 99, "max_age_days": 7}, [1, 10, 40, 100], [5, 200]),
        ({}, [1, 10, 40, 100], [5, 200]),
    ],
)
async def test_what_a_rule_keeps(
    full: Database, storage: Storage, changes: Any, discoveries: list[int], summaries: list[int]
) -> None:
    gone = 6 - len(discoveries) - len(summaries)
    assert await apply(full, rule(**changes)) == gone
    assert await left(storage, WORLD.project_id, "discovery") == discoveries
    assert await left(storage, WORLD.project_id, "summary") == summaries
    assert await left(storage, WORLD.sibling_id, "discovery") == [1, 10, 40, 100]
    assert await left(storage, WORLD.other_project_id, "discovery") == [1, 10, 40, 100]


async def test_a_projects_rule_takes_the_place_of_the_teams(full: Database, storage: Storage) -> None:
    team_wide = rule(project_id=None, max_age_days=30)
    kept_for_ever = rule(project_id=WORLD.sibling_id)
    assert await apply(full, team_wide, kept_for_ever) == 3
    assert await left(storage, WORLD.sibling_id, "discovery") == [1, 10, 40, 100]
    assert await left(storage, WORLD.other_project_id, "discovery") == [1, 10, 40, 100], "another team's"


async def test_search_and_audit_follow(full: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BATCH", 1)
    recall = RecallService(full, SearchIndex(full))
    question = Question(WORLD.project_id, "relay", 50)
    assert len((await recall.find(WORLD.caller, question)).hits) == 6
    mine = rule(max_age_days=30)
    await apply(full, mine)
    found = (await recall.find(WORLD.caller, question)).hits
    assert sorted(hit.observation.content for hit in found) == [
        "relay discovery 1",
        "relay discovery 10",
        "relay summary 5",
    ]
    lines = await audit.list_rows(
        full,
        team_id=WORLD.team_id,
        project_id=WORLD.project_id,
        action="retention.applied",
        resource_id=mine.id,
        before=None,
        limit=9,
    )
    assert len(lines) == 3, "one for each batch"
    (stored,) = await retention.of_team(full, WORLD.team_id)
    assert stored.last_removed == 3
    assert stored.last_run_us is not None


async def test_events_that_wait_for_a_provider_stay(full: Database, storage: Storage) -> None:
    for number in range(3):
        event = WORLD.stored_event(f"event-{number}", occurred_ms=number)
        await events.insert(full, [events.KeyedEvent(event, f"k{number}")])
    waiting, done = new_job(WORLD, "event-0"), new_job(WORLD, "event-1")
    await jobs.insert(full, [waiting, done])
    await jobs.cancel(full, done.id, now_us=now_us())
    assert await apply(full, rule(subject="events", max_age_days=1)) == 2
    assert await storage.query("SELECT id FROM agent_events") == [("event-0",)]
    assert await storage.query("SELECT id FROM observation_generation_jobs") == [(waiting.id,)]


async def ended_session(database: Database, name: str, *, days: int | None) -> None:
    """A session that ended so many days ago; None is open."""
    began = now_us() - 400 * DAY_US
    session = new_session(WORLD, name, external=name, content=None, platform=None)
    assert await sessions.insert(database, session, key=name, now_us=began)
    if days is not None:
        at = now_us() - days * DAY_US
        assert await sessions.end(database, name, team_id=WORLD.team_id, now_us=at)


async def with_leavings(database: Database) -> None:
    """Sessions that ended long ago, of which something is left, beside some of which nothing is."""
    for name in ("event", "memory", "waiting", "summed up", "empty"):
        await ended_session(database, name, days=100)
    await ended_session(database, "young", days=2)
    await ended_session(database, "open", days=None)
    event = WORLD.stored_event("event-1", server_session_id="event")
    await events.insert(database, [events.KeyedEvent(event, "k")])
    memory = replace(new_observation(WORLD, "m", "relay"), server_session_id="memory")
    async with database.transaction() as transaction:
        await work.insert_observations(transaction, [memory], now_us=now_us())
    summaries = [
        replace(
            new_job(WORLD, name),
            agent_event_id=None,
            source_type="session_summary",
            source_id=name,
            server_session_id=name,
        )
        for name in ("waiting", "summed up", "memory")
    ]
    await jobs.insert(database, summaries)
    for one in summaries[1:]:
        await jobs.cancel(database, one.id, now_us=now_us())


async def names(storage: Storage) -> set[str]:
    return {name for (name,) in await storage.query("SELECT id FROM server_sessions")}


async def test_sessions_of_which_nothing_is_left_end_too(full: Database, storage: Storage) -> None:
    await with_leavings(full)
    mine = rule(subject="sessions", max_age_days=30)
    assert await apply(full, mine) == 2
    assert await names(storage) == {"event", "memory", "waiting", "young", "open"}
    kept = {source for (source,) in await storage.query("SELECT source_id FROM observation_generation_jobs")}
    assert kept == {"waiting", "memory"}, "what was done for a session goes with it"


async def test_the_last_sessions_stay(full: Database, storage: Storage) -> None:
    for days in (10, 20, 30):
        await ended_session(full, f"ended {days}", days=days)
    await ended_session(full, "open", days=None)
    assert await apply(full, rule(subject="sessions", keep_last=2)) == 1
    assert await names(storage) == {"ended 10", "ended 20", "open"}


async def test_what_comes_to_a_session_in_the_middle_keeps_it(
    full: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_leavings(full)
    real = retention.remove

    class Late:
        """A transaction in which an event comes when sessions were chosen."""

        def __init__(self, executor: Executor) -> None:
            self._executor = executor
            self.execute = executor.execute

        async def fetch(self, statement: str, /, **given: Any) -> list[Row]:
            found = await self._executor.fetch(statement, **given)
            late = WORLD.stored_event("late", server_session_id="summed up")
            await events.insert(self._executor, [events.KeyedEvent(late, "late")])
            return found

    async def meanwhile(executor: Executor, *given: Any, **options: Any) -> int:
        late: Any = Late(executor)
        return await real(late, *given, **options)

    monkeypatch.setattr(retention, "remove", meanwhile)
    retained = RetentionService(full)
    mine = rule(subject="sessions", max_age_days=30)
    await retained.add(mine, cli_entry("retention.set", mine.id, team_id=mine.team_id, project_id=None))
    assert [removal.count for removal in await retained.run_due()] == [1]
    assert await names(storage) == {"event", "memory", "waiting", "summed up", "young", "open"}
    kept = {source for (source,) in await storage.query("SELECT source_id FROM observation_generation_jobs")}
    assert "summed up" in kept, "its job too"


async def test_audit_lines_end_too(full: Database, storage: Storage) -> None:
    entry = WORLD.caller.audit("memory.write", "observation", resource_id=None, project_id=WORLD.project_id)
    old = now_us() - 40 * DAY_US
    await audit.append(full, [entry, replace(entry, action="session.end")], now_us=old)
    assert await apply(full, rule(subject="audit", kinds=["memory.write"], max_age_days=30)) == 1
    rows = await storage.query("SELECT action FROM audit_log")
    assert {action for (action,) in rows} == {"session.end", "retention.set", "retention.applied"}


async def test_two_at_once_remove_once_and_a_dead_holder_is_followed(
    full: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = rule(max_age_days=30)
    retained, other = RetentionService(full), RetentionService(await storage.open())
    await retained.add(mine, cli_entry("retention.set", mine.id, team_id=mine.team_id, project_id=None))
    both = await asyncio.gather(retained.carry_out(mine), other.carry_out(mine))
    assert sum(removal.count for removed in both for removal in removed or []) == 3

    async def dies(*_: object, **__: object) -> int:
        raise ConnectionError

    await remember(full, [50], project=WORLD.project_id)
    with monkeypatch.context() as patch:
        patch.setattr(retention, "remove", dies)
        with pytest.raises(ConnectionError):
            await retained.carry_out(mine)
    assert await other.carry_out(mine) is None, "the turn is still the dead one's"
    monkeypatch.setattr(service, "now_us", lambda: now_us() + 3 * service.TURN_US)
    found = await other.carry_out(mine)
    assert found is not None
    assert [removal.count for removal in found] == [1]


async def test_a_rule_that_fails_keeps_no_other_from_its_turn_and_the_process_alive(
    full: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, mine = rule(project_id=WORLD.sibling_id, max_age_days=30), rule(max_age_days=30)
    retained = RetentionService(full)
    for one in (failing, mine):
        await retained.add(one, cli_entry("retention.set", one.id, team_id=one.team_id, project_id=None))
    real_remove, real_due = retention.remove, retention.due
    looks: list[int] = []

    async def remove(executor: Executor, removing: Rule, *given: Any, **options: Any) -> int:
        if removing.id == failing.id:
            raise ZeroDivisionError
        return await real_remove(executor, removing, *given, **options)

    async def due(*given: Any, **options: Any) -> list[Rule]:
        looks.append(1)
        if len(looks) < 3:
            raise KeyError
        return await real_due(*given, **options)

    monkeypatch.setattr(retention, "remove", remove)
    monkeypatch.setattr(retention, "due", due)
    monkeypatch.setattr(service, "LOOK_S", 0.001)
    running = asyncio.create_task(service.keep_running(retained))

    async def removed() -> bool:
        kept = {one.id: one for one in await retention.of_team(full, WORLD.team_id)}
        return kept[mine.id].last_removed == 3 and kept[failing.id].last_run_us is None

    await until(removed, what="the other rule to be carried out")
    assert not running.done()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_rule_that_is_removed_meanwhile_removes_nothing_more(
    full: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BATCH", 1)
    mine = rule(max_age_days=30)
    retained = RetentionService(full)
    await retained.add(mine, cli_entry("retention.set", mine.id, team_id=mine.team_id, project_id=None))
    real = retention.remove

    async def last(executor: Executor, *given: Any, **options: Any) -> int:
        count = await real(executor, *given, **options)
        await retention.delete(executor, mine.id, team_id=mine.team_id)
        return count

    monkeypatch.setattr(retention, "remove", last)
    assert sum(removal.count for removal in await retained.run_due()) == 1
    assert await left(storage, WORLD.project_id, "summary") == [5], "the oldest went first"
    assert len(await left(storage, WORLD.project_id, "discovery")) == 4


async def test_rules_are_an_administrators_and_a_teams_own(full: Database) -> None:
    retained = RetentionService(full)
    admin = WORLD.caller_of(WORLD.team_id)
    stored = await retained.put(admin, rule(max_age_days=3))
    writer = WORLD.caller_of(WORLD.team_id, scopes=["memories:write"])
    with pytest.raises(Forbidden):
        await retained.put(writer, rule(max_age_days=3))
    theirs = WORLD.caller_of(WORLD.other_team_id)
    with pytest.raises(Forbidden):
        await retained.put(theirs, rule(max_age_days=3))
    with pytest.raises(NotFound):
        await retained.remove(theirs, stored.id)
    assert await retained.rules(theirs) == []
    sibling = WORLD.caller_of(WORLD.team_id, project_id=WORLD.sibling_id)
    assert await retained.rules(sibling) == []
    assert await retained.rules(admin) == [stored]
    await retained.remove(admin, stored.id)
    assert await retained.rules(admin) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"project_id": None},
        {"max_age_days": 0},
        {"max_age_days": 40_000},
        {"keep_last": 0},
        {"keep_last": 1, "subject": "events", "keep_summaries": True},
        {"keep_last": 1, "subject": "teams"},
        {"keep_last": 1, "subject": "sessions", "kinds": ["claude-code"]},
        {"keep_last": 1, "subject": "sessions", "keep_summaries": True},
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(full: Database, changes: Any) -> None:
    with pytest.raises(InvalidInput):
        await RetentionService(full).put(WORLD.caller, rule(**changes))
