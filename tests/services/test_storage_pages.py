"""Lists of sessions and of the audit log, sessions by their names, and the jobs of a memory, on both storages."""

from __future__ import annotations

import itertools
from dataclasses import replace

from claude_mem.model.documents import EMPTY
from claude_mem.model.records import AuditEntry, ObservationSource
from claude_mem.storage import audit, jobs, origins, sessions, work
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database
from tests.support.load import World
from tests.support.rows import NOW, audit_scope, new_job, new_observation, new_session


def owners(world: World) -> list[tuple[str, str]]:
    """Every team's projects."""
    return [
        (world.team_id, world.project_id),
        (world.team_id, world.sibling_id),
        (world.other_team_id, world.other_project_id),
    ]


async def test_pages_of_sessions_hold_what_is_asked_for_and_nothing_of_others(
    database: Database, world: World
) -> None:
    stored = []
    for number in range(45):
        team_id, owner = owners(world)[number % 3]
        session = replace(
            new_session(world, f"session-{number * 37 % 101:03}", external=None, content=None, platform=None),
            team_id=team_id,
            project_id=owner,
        )
        at_us = NOW + number // 9
        await sessions.insert(database, session, key=None, now_us=at_us)
        stored.append((at_us, session))
    stored.sort(key=lambda one: (one[0], one[1].id), reverse=True)
    for project_id in (None, world.project_id, world.sibling_id, world.other_project_id):
        for limit in (4, 100):
            found: list[str] = []
            before = None
            while page := await sessions.list_rows(
                database, team_id=world.team_id, project_id=project_id, before=before, limit=limit
            ):
                assert len(page) <= limit
                found += [row["id"] for row in page]
                before = Cursor(page[-1]["started_at"], page[-1]["id"])
            assert found == [
                one.id
                for _, one in stored
                if one.team_id == world.team_id and project_id in {None, one.project_id}
            ]


async def test_pages_of_the_audit_log_hold_what_passes_every_filter_and_nothing_of_others(
    database: Database, world: World
) -> None:
    stored = []
    scopes: list[tuple[str, str | None]] = [*owners(world), (world.team_id, None)]
    told = itertools.product(scopes, ("event.received", "memory.write"), (None, "a", "b"))
    for number, ((team_id, owner), kind, subject) in enumerate(list(told) * 2):
        entry = AuditEntry(
            kind,
            "any",
            subject,
            **(audit_scope(world) | {"team_id": team_id, "project_id": owner}),
            details={},
            id=f"line-{number * 37 % 101:03}",
        )
        await audit.append(database, [entry], now_us=NOW + number // 9)
        stored.append((NOW + number // 9, entry))
    stored.sort(key=lambda one: (one[0], one[1].id), reverse=True)
    projects = (None, world.project_id, world.sibling_id, world.other_project_id)
    actions = (None, "memory.write", "absent")
    for project_id, action, resource_id, limit in itertools.product(projects, actions, (None, "a"), (4, 100)):
        found: list[str] = []
        before = None
        while page := await audit.list_rows(
            database,
            team_id=world.team_id,
            project_id=project_id,
            action=action,
            resource_id=resource_id,
            before=before,
            limit=limit,
        ):
            assert len(page) <= limit
            found += [row["id"] for row in page]
            before = Cursor(page[-1]["created_at"], page[-1]["id"])
        assert found == [
            one.id
            for _, one in stored
            if one.team_id == world.team_id
            and project_id in {None, one.project_id}
            and action in {None, one.action}
            and resource_id in {None, one.resource_id}
        ], (project_id, action, resource_id, limit)


async def test_a_session_is_found_by_what_others_call_it_on_the_platform_that_is_asked_for(
    database: Database, world: World
) -> None:
    platforms = (None, "cursor", "claude")
    for number, platform in enumerate(platforms):
        for project_id in (world.project_id, world.sibling_id):
            session = new_session(
                world, f"{project_id} {platform}", external="outside", content="inside", platform=platform
            )
            session = replace(session, project_id=project_id)
            assert await sessions.insert(database, session, key=None, now_us=NOW + number)
    older = new_session(world, "older", external="another", content="inside", platform="cursor")
    assert await sessions.insert(database, older, key=None, now_us=NOW - 1)
    scope = {"team_id": world.team_id, "project_id": world.project_id}
    for platform in (*platforms, "absent"):
        named = await sessions.find_by_external(database, external_id="outside", platform=platform, **scope)
        assert (named and named.id) == (f"{world.project_id} {platform}" if platform in platforms else None)
        elsewhere = scope | {"team_id": world.other_team_id}
        assert not await sessions.find_by_external(
            database, external_id="outside", platform=platform, **elsewhere
        )
    exact = [
        sessions.ContentLink(**scope, content_session_id="inside", any_platform=False, platform=platform)
        for platform in (*platforms, "absent")
    ]
    newest = replace(exact[0], any_platform=True)
    others = [replace(newest, team_id=world.other_team_id), replace(newest, content_session_id="absent")]
    assert await sessions.link(database, [*exact, newest, *others]) == {
        **{link: f"{world.project_id} {link.platform}" for link in exact[:3]},
        newest: f"{world.project_id} claude",
    }


async def test_the_jobs_that_made_a_memory_are_its_maker_and_those_of_its_sources(
    database: Database, world: World
) -> None:
    names = ("maker", "source", "stranger")
    made_by = [
        replace(new_job(world, name), agent_event_id=None, source_type="observation_reindex")
        for name in names
    ]
    await jobs.insert(database, made_by)
    maker, source, _ = (job.id for job in made_by)
    memory = new_observation(world, "memory", "Caches lie", key="key", job=maker)
    await work.insert_observations(database, [memory], now_us=NOW)
    for number, job_id in enumerate((source, None)):
        link = ObservationSource(
            f"link-{number}", "memory", "manual", f"source-{number}", job_id, NOW // 1000
        )
        await work.insert_sources(database, [(link, EMPTY)], now_us=NOW)
    made = origins.Made("memory", world.team_id, world.project_id)
    assert {job.id for job in await origins.jobs(database, made, limit=9)} == {maker, source}
    assert await origins.jobs(database, replace(made, observation_id="absent"), limit=9) == []
