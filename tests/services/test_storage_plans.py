"""What is read for lists and look-ups in a large project: no more than is shown, whatever PostgreSQL plans for."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

import asyncpg
import pytest

from claude_mem.storage import catalog
from tests.support.databases import Storage
from tests.support.load import World, make_world
from tests.support.plans import MODES, explained, rows_read

WORLD = World()
LIMIT = 51

#: Of the two projects of a team a page each, and what sorting by id within equal times reads ahead.
FEW = 4 * LIMIT


@dataclass(frozen=True)
class Asked:
    """A statement with what it is asked, in a database that has 6,000 rows of each project.

    Parameters:
        fill: makes the rows.
        cases: values of its parameters; those that are missing are null.
        most: how many rows of the table it may look at.
    """

    name: str
    table: str
    fill: str
    cases: tuple[dict[str, object], ...]
    most: int = FEW


TEAM: dict[str, object] = {"team_id": WORLD.team_id, "limit": LIMIT}
PROJECT = TEAM | {"project_id": WORLD.project_id}
BEHIND = {"before_at": "1970-01-01T00:50:00Z", "before_id": "x"}
PAGES = tuple(scope | behind for scope in (TEAM, PROJECT) for behind in ({}, BEHIND))

SESSIONS = """
    INSERT INTO server_sessions (id, project_id, team_id, external_session_id, content_session_id, platform_source,
                                 started_at)
    SELECT p.id || n, p.id, p.team_id, 'outside-' || n, 'content-' || n, CASE WHEN n % 2 = 0 THEN 'cursor' END,
           to_timestamp(n)
    FROM projects AS p, generate_series(1, 6000) AS n
"""

AUDIT = """
    INSERT INTO audit_log (id, team_id, project_id, action, resource_type, created_at)
    SELECT p.id || n, p.team_id, CASE WHEN n % 4 > 0 THEN p.id END,
           CASE WHEN n % 2 = 0 THEN 'event.received' ELSE 'observation.read' END, 'any', to_timestamp(n)
    FROM projects AS p, generate_series(1, 6000) AS n
"""

#: A memory that three jobs made, among all others.
JOBS = """
    INSERT INTO observation_generation_jobs (id, project_id, team_id, source_type, source_id, job_type, status,
                                             idempotency_key)
    SELECT p.id || n, p.id, p.team_id, 'observation_reindex', n, 'any', 'completed', p.id || n
    FROM projects AS p, generate_series(1, 6000) AS n;
    INSERT INTO observations (id, project_id, team_id, content, created_by_job_id)
    SELECT 'memory', id, team_id, 'Caches lie', id || 1 FROM projects WHERE id = 'project-2';
    INSERT INTO observation_sources (id, observation_id, source_type, source_id, generation_job_id)
    SELECT n, 'memory', 'manual', n, 'project-2' || n FROM generate_series(2, 3) AS n;
"""

#: Of 120 bytes or so.
EVENTS = """
    INSERT INTO agent_events (id, project_id, team_id, source_adapter, event_type, payload, occurred_at,
                              idempotency_key)
    SELECT p.id || n, p.id, p.team_id, 'hook', 'any', jsonb_build_object('note', repeat('x', 105)), to_timestamp(n),
           p.id || n
    FROM projects AS p, generate_series(1, 6000) AS n
"""

#: Of those wanted, the first five fill the room.
WANTED = ",".join(f"project-2{n}" for n in range(1, 101))

#: One that names its platform, and one that has none.
EXTERNAL = (
    {"external_session_id": "outside-10", "platform_source": "cursor"},
    {"external_session_id": "outside-11"},
)
LINKS: dict[str, object] = {
    "position": "{1, 2}",
    "project_id": "{project-2, project-2}",
    "team_id": f'{{"{WORLD.team_id}", "{WORLD.team_id}"}}',
    "content_session_id": "{content-10, content-11}",
    "any_platform": "{f, f}",
    "platform_source": "{cursor, NULL}",
}

ASKED = (
    Asked("sessions.list", "server_sessions", SESSIONS, PAGES),
    Asked(
        "sessions.by_external", "server_sessions", SESSIONS, tuple(PROJECT | one for one in EXTERNAL), most=1
    ),
    Asked(
        "audit.list",
        "audit_log",
        AUDIT,
        tuple(page | action for page in PAGES for action in ({}, {"action": "event.received"})),
    ),
    Asked(
        "origins.jobs",
        "observation_generation_jobs",
        JOBS,
        ({"team_id": WORLD.team_id, "project_id": "project-2", "id": "memory", "limit": LIMIT},),
        most=3,
    ),
    # Once for its size, and once for itself.
    Asked("work.events", "agent_events", EVENTS, ({"ids": f"{{{WANTED}}}", "most": 590},), most=10),
)


@asynccontextmanager
async def prepared(
    storage: Storage, statement: catalog.Statement, *, fill: str, mode: str
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to a database with rows, on which a statement is prepared as `asked`."""
    await make_world(await storage.open())
    await storage.close()
    connection = await asyncpg.connect(storage.url)
    try:
        await connection.execute(fill)
        await connection.execute("ANALYZE")
        await connection.execute(f"SET plan_cache_mode = {mode}; PREPARE asked AS {statement.sql}")
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
async def test_postgresql_reads_no_more_than_is_shown_whatever_it_plans_for(
    postgres_storage: Storage, asked: Asked, mode: str
) -> None:
    statement = catalog.load("postgres")[asked.name]
    async with prepared(postgres_storage, statement, fill=asked.fill, mode=mode) as connection:
        for values in asked.cases:
            read = await rows_read(connection, statement, values, table=asked.table)
            assert 0 < read <= asked.most, values


@pytest.mark.parametrize("mode", MODES)
async def test_postgresql_links_an_event_of_a_platform_by_the_whole_index(
    postgres_storage: Storage, mode: str
) -> None:
    statement = catalog.load("postgres")["sessions.link"]
    async with prepared(postgres_storage, statement, fill=SESSIONS, mode=mode) as connection:
        plan = [row[0] for row in await connection.fetch(explained(statement, LINKS))]
        # Of any platform, of one, and of none.
        conditions = [line for line in plan if "Index Cond" in line]
        assert ["platform_source" in line for line in conditions] == [False, True, True], plan


#: How often each statement looks for a row by the index of the table's primary key.
BY_ID = {"origins.jobs": ("observation_generation_jobs", 1), "work.events": ("agent_events", 2)}


@pytest.mark.parametrize("name", BY_ID)
def test_sqlite_finds_by_their_ids(sqlite_storage: Storage, name: str) -> None:
    statement = catalog.load("sqlite")[name]
    table, times = BY_ID[name]
    unknown = dict.fromkeys(statement.parameters)
    with closing(sqlite3.connect(sqlite_storage.settings.sqlite_path)) as connection:
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", unknown)]
    assert sum(f"sqlite_autoindex_{table}_1 (id=?)" in step for step in steps) == times, steps
