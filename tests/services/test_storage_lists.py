"""Lists of memories: every filter, page by page, on both storages, and from an index whatever a project holds."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from claude_mem.model.records import Observation
from claude_mem.storage import catalog, observations, sessions
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.load import World, make_world
from tests.support.plans import MODES, explained
from tests.support.rows import NOW, new_observation, new_session

#: The index of each list, and what it is asked for on PostgreSQL.
INDEXES = {
    "observations.list": ("idx_observations_team_project", ("project_id", "created_at")),
    "observations.list_of_kind": ("idx_observations_team_project_kind", ("kind", "created_at")),
    "observations.list_of_session": ("idx_observations_session", ("server_session_id",)),
}
KINDS = ("discovery", "decision", "summary")
SESSION = "session-1"

#: A project of 6,000 memories, of which ten are decisions and long past, beside another of the team and one of others.
FILL = """
    INSERT INTO observations (id, project_id, team_id, kind, content, created_at, updated_at)
    SELECT p.id || n, p.id, p.team_id, CASE WHEN n <= 10 THEN 'decision' WHEN n % 2 = 0 THEN 'change' ELSE 'discovery' END,
           repeat('what was seen ', 20), to_timestamp(n), to_timestamp(n)
    FROM projects AS p, generate_series(1, 6000) AS n
"""

FILL_SQLITE = """
    INSERT INTO teams (id, name) VALUES ('t', 't');
    INSERT INTO projects (id, team_id, name) VALUES ('p', 't', 'p'), ('q', 't', 'q');
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 6000)
    INSERT INTO observations (id, project_id, team_id, kind, content, created_at, updated_at)
    SELECT p.id || n, p.id, 't', CASE WHEN n <= 10 THEN 'decision' ELSE 'discovery' END, 'what was seen', n, n
    FROM projects AS p, numbers;
    ANALYZE;
"""


async def store(database: Database, world: World) -> list[Observation]:
    """Memories of every project, kind and session, many of the same moment; newest first."""
    session = new_session(world, SESSION, external=SESSION, content=None, platform=None)
    await sessions.insert(database, session, key=None, now_us=NOW)
    owners = [
        (world.team_id, world.project_id),
        (world.team_id, world.sibling_id),
        (world.other_team_id, world.other_project_id),
    ]
    stored = []
    for number, ((team_id, project_id), kind) in enumerate(
        itertools.chain.from_iterable(itertools.repeat(tuple(itertools.product(owners, KINDS)), 6))
    ):
        memory = replace(
            new_observation(world, f"memory-{number * 37 % 101:03}", f"Text {number}"),
            team_id=team_id,
            project_id=project_id,
            kind=kind,
            server_session_id=SESSION if project_id == world.project_id and number % 2 else None,
            created_ms=NOW // 1000 + number // 20,
        )
        await observations.insert(database, memory)
        stored.append(memory)
    return sorted(stored, key=lambda one: (one.created_ms, one.id), reverse=True)


async def paged(database: Database, **wanted: Any) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    before = None
    while page := await observations.list_rows(database, before=before, **wanted):
        assert len(page) <= wanted["limit"]
        found += [row["id"] for row in page]
        before = Cursor(page[-1]["created_at"], page[-1]["id"])
    return found


async def test_pages_of_every_filter_hold_what_passes_it_and_nothing_of_others(
    database: Database, world: World
) -> None:
    stored = await store(database, world)
    projects = (None, world.project_id, world.sibling_id, world.other_project_id)
    for project_id, kind, session_id, limit in itertools.product(
        projects, (None, *KINDS, "absent"), (None, SESSION), (4, 100)
    ):
        expected = [
            one.id
            for one in stored
            if one.team_id == world.team_id
            and project_id in {None, one.project_id}
            and kind in {None, one.kind}
            and session_id in {None, one.server_session_id}
        ]
        wanted = {"team_id": world.team_id, "project_id": project_id, "kind": kind, "session_id": session_id}
        found = await paged(database, **wanted, limit=limit)
        assert found == expected, (wanted, limit)


@pytest.mark.parametrize("kind", [None, "summary"])
async def test_a_list_brings_texts_as_far_as_there_is_room(
    database: Database, world: World, kind: str | None
) -> None:
    await store(database, world)
    page = await observations.list_rows(
        database,
        team_id=world.team_id,
        project_id=None,
        kind=kind,
        session_id=None,
        before=None,
        limit=5,
        most=10,
    )
    assert [row["content"] is not None for row in page] == [True, True, False, False, False]
    assert [row["metadata"] is not None for row in page] == [True, True, False, False, False]


def cases(world: World) -> Sequence[dict[str, object]]:
    """Lists of a rare kind, a common one and one that is not there, of a project and a team, and behind a cursor."""
    team: dict[str, object] = {
        "team_id": world.team_id,
        "limit": 51,
        "most": 2**25,
        "server_session_id": SESSION,
    }
    project = team | {"project_id": world.project_id}
    behind = {"before_at": "1970-01-01T00:50:00Z", "before_id": "x"}
    scopes = (team, team | behind, project, project | behind)
    return [scope | {"kind": kind} for scope in scopes for kind in ("decision", "change", "absent")]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", INDEXES)
async def test_postgresql_finds_a_page_by_an_index_whatever_it_plans_for(
    postgres_storage: Storage, name: str, mode: str
) -> None:
    world = await make_world(await postgres_storage.open())
    await postgres_storage.close()
    statement = catalog.load("postgres")[name]
    index, columns = INDEXES[name]
    connection = await asyncpg.connect(postgres_storage.url)
    try:
        await connection.execute(FILL)
        await connection.execute("ANALYZE observations; ANALYZE projects")
        await connection.execute(f"SET plan_cache_mode = {mode}; PREPARE asked AS {statement.sql}")
        for values in cases(world):
            plan = [row[0] for row in await connection.fetch(explained(statement, values))]
            scans = [place for place, line in enumerate(plan) if "on observations" in line]
            assert scans, plan
            for place in scans:
                assert f"using {index} on" in plan[place], (values, plan)
                assert "Index Cond" in plan[place + 1], plan
                assert all(column in plan[place + 1] for column in columns), (values, plan)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("observations.list", "(team_id=? AND project_id=? AND created_at<?)"),
        ("observations.list_of_kind", "(team_id=? AND project_id=? AND kind=? AND created_at<?)"),
        ("observations.list_of_session", "(server_session_id=?)"),
    ],
)
def test_sqlite_finds_a_page_by_an_index(sqlite_storage: Storage, name: str, columns: str) -> None:
    statement = catalog.load("sqlite")[name]
    unknown = dict.fromkeys(statement.parameters)
    wanted = f"{INDEXES[name][0]} {columns}"
    with closing(sqlite3.connect(sqlite_storage.settings.sqlite_path)) as connection:
        for rows in ("", FILL_SQLITE):  # without statistics, and with them
            connection.executescript(rows)
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", unknown)]
            assert any(wanted in step for step in steps), steps
