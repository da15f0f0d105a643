"""Lists of sessions and of the audit log, look-ups of sessions, and the jobs of a memory: what is asked for, on both storages."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from claude_mem.model.records import AuditEntry
from claude_mem.storage import audit, sessions
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database
from tests.support.load import World, make_world
from tests.support.rows import NOW, audit_scope, new_session


@pytest.fixture
async def world(database: Database) -> World:
    return await make_world(database)


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
