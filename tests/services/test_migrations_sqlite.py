"""SQLite migrations: the same tables as on PostgreSQL, full-text search and counters kept by triggers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from claude_mem.storage import catalog
from claude_mem.storage.migrations import (
    MigrationError,
    MigrationFailed,
    SchemaTooNew,
    check_sqlite,
    migrate_postgres,
    migrate_sqlite,
)
from claude_mem.storage.migrations.runner import load_migrations
from tests.support.claude_mem_13 import columns_of
from tests.support.processes import ProcessGroup, wait_until

LATEST = load_migrations("sqlite")[-1].version
STARTERS = 20

MIGRATE = """
import asyncio, json, sys
from pathlib import Path
from claude_mem.storage.migrations import migrate_sqlite
report = asyncio.run(migrate_sqlite(Path(sys.argv[1])))
print(json.dumps([report.applied, report.version]))
"""

METADATA = {
    "title": "Reject empty replies",
    "concepts": ["gotcha"],
    "files_read": ["src/parser/config.ts"],
    "files_modified": ["docs/changes.md"],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made; the directory is not there yet."""
    return tmp_path / "data" / "claude-mem.db"


@pytest.fixture
async def connection(path: Path) -> AsyncIterator[sqlite3.Connection]:
    """A migrated database with a team and a project."""
    await migrate_sqlite(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        opened.execute("PRAGMA foreign_keys = ON")
        opened.execute("INSERT INTO teams (id, name) VALUES ('t', 'team')")
        opened.execute("INSERT INTO projects (id, team_id, name) VALUES ('p', 't', 'project')")
        yield opened


def remember(connection: sqlite3.Connection, name: str, content: str, metadata: str = "{}") -> None:
    connection.execute(
        "INSERT INTO observations (id, project_id, team_id, content, metadata) VALUES (?, 'p', 't', ?, ?)",
        (name, content, metadata),
    )


@pytest.mark.parametrize("statement", ["jobs.fail_exhausted", "jobs.release_expired"])
def test_what_is_asked_every_few_seconds_does_not_read_the_queue(
    connection: sqlite3.Connection, statement: str
) -> None:
    found = catalog.load("sqlite")[statement]
    plan = connection.execute(
        f"EXPLAIN QUERY PLAN {found.sql}", dict.fromkeys(found.parameters, 0)
    ).fetchall()
    steps = [step[3] for step in plan]
    assert all("USING" in step for step in steps if step.startswith(("SCAN", "SEARCH"))), steps


def noted(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """What was noted for the search index since the last look."""
    found = connection.execute("SELECT observation_id, operation FROM search_changes ORDER BY number")
    changes = [(row[0], row[1]) for row in found]
    connection.execute("DELETE FROM search_changes")
    return changes


def exists(path: Path) -> bool:
    return path.exists()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def microseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 1_000_000


async def test_a_missing_file_is_made_private_and_migrated_once(path: Path) -> None:
    before = await check_sqlite(path)
    assert (before.version, before.latest, before.current) == (None, LATEST, False)
    assert not exists(path.parent), "a check makes nothing"

    report = await migrate_sqlite(path)
    assert (report.applied, report.version) == (tuple(range(1, LATEST + 1)), LATEST)
    assert mode(path) == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    again = await migrate_sqlite(path)
    assert (again.applied, again.version, again.waited_s) == ((), LATEST, 0.0)
    assert (await check_sqlite(path)).current


async def test_a_current_file_is_not_locked(path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    assert (await migrate_sqlite(path, deadline_s=0)).applied == ()
    connection.execute("ROLLBACK")


async def test_20_processes_start_at_once_and_one_migrates(path: Path, processes: ProcessGroup) -> None:
    started = [processes.start(sys.executable, "-c", MIGRATE, path) for _ in range(STARTERS)]
    codes = [await asyncio.to_thread(process.wait) for process in started]
    assert codes == [0] * STARTERS, "\n".join(process.stderr for process in started)
    reports = [json.loads(process.stdout) for process in started]
    assert [versions for versions, _ in reports if versions] == [list(range(1, LATEST + 1))]
    assert {version for _, version in reports} == {LATEST}


async def test_a_killed_run_is_finished_by_the_next(tmp_path: Path, processes: ProcessGroup) -> None:
    """Killed as soon as the file shows, which is somewhere between its creation and the commit."""
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        process = processes.start(sys.executable, "-c", MIGRATE, path)
        await asyncio.to_thread(wait_until, path.exists, what="the file")
        process.kill()
        assert (await migrate_sqlite(path)).version == LATEST
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_file_that_stays_locked_ends_in_an_error_that_says_so(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as keeper:
        keeper.execute("PRAGMA locking_mode = EXCLUSIVE")
        keeper.execute("PRAGMA journal_mode = WAL")
        keeper.execute("CREATE TABLE held (x)")
        with pytest.raises(MigrationError, match="locked"):
            await migrate_sqlite(path, deadline_s=0)


async def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MigrationError, match=r"file/x\.db cannot be used: "):
        await migrate_sqlite(tmp_path / "file" / "x.db")


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, and long enough to be read as one" * 100)
    with pytest.raises(MigrationError, match=r"x\.db cannot be used: file is not a database"):
        await migrate_sqlite(tmp_path / "x.db")
    with pytest.raises(MigrationError, match="not a database"):
        await check_sqlite(tmp_path / "x.db")


async def test_another_programs_file_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE projects (id TEXT, slug TEXT)")
    with pytest.raises(MigrationFailed, match="statement 'projects': table projects already exists"):
        await migrate_sqlite(path)
    with closing(sqlite3.connect(path)) as theirs:
        assert theirs.execute("SELECT name FROM sqlite_schema").fetchall() == [("projects",)]


async def test_a_newer_schema_is_refused(path: Path, connection: sqlite3.Connection) -> None:
    insert = "INSERT INTO server_beta_schema_migrations (version, description) VALUES (999, 'later')"
    connection.execute(insert)
    with pytest.raises(SchemaTooNew, match="at version 999"):
        await migrate_sqlite(path)
    assert (await check_sqlite(path)).version == 999


async def test_tables_and_columns_are_those_of_postgres(
    connection: sqlite3.Connection, postgres_url: str
) -> None:
    await migrate_postgres(lambda: asyncpg.connect(postgres_url))
    theirs = await asyncpg.connect(postgres_url)
    try:
        expected = {table: set(names) for table, names in (await columns_of(theirs)).items()}
        timestamps = await theirs.fetch(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'"
        )
        unique = await theirs.fetch(
            "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
            " AND indexdef LIKE 'CREATE UNIQUE INDEX idx%'"
        )
    finally:
        await theirs.close()
    expected["observations"] = expected["observations"] - {"content_search"} | {"search_row"}
    columns = connection.execute(
        "SELECT m.name, c.name, c.type FROM pragma_table_list AS m, pragma_table_info(m.name) AS c"
        " WHERE m.type = 'table' AND m.strict"
    ).fetchall()
    found: dict[str, set[str]] = {}
    for table, column, _ in columns:
        found.setdefault(table, set()).add(column)
    assert found == expected
    types = {(table, column): kind for table, column, kind in columns}
    assert {types[row["table_name"], row["column_name"]] for row in timestamps} == {"INTEGER"}
    indexes = {
        row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%UNIQUE%'")
    }
    assert {row["indexname"] for row in unique} <= indexes


async def test_default_times_are_microseconds(connection: sqlite3.Connection) -> None:
    exact_us = 2_000  # SQLite's own clock ticks in milliseconds
    began_us = time.time_ns() // 1000
    connection.execute("INSERT INTO teams (id, name) VALUES ('now', 'now')")
    (created,) = connection.execute("SELECT created_at FROM teams WHERE id = 'now'").fetchone()
    assert began_us - exact_us <= created <= time.time_ns() // 1000 + exact_us


async def test_changes_are_noted_for_the_search_index(connection: sqlite3.Connection) -> None:
    remember(connection, "a", "Running the parsers", json.dumps(METADATA))
    remember(connection, "b", "Déployer avec blue-green")
    assert noted(connection) == [("a", "I"), ("b", "I")]
    connection.execute("UPDATE observations SET content = 'Walking' WHERE id = 'a'")
    connection.execute("UPDATE observations SET metadata = '{\"title\": \"Other\"}' WHERE id = 'b'")
    connection.execute("UPDATE observations SET content = content, kind = 'x', server_session_id = NULL")
    assert noted(connection) == [("a", "U"), ("b", "U")]
    connection.execute("UPDATE observations SET id = 'c' WHERE id = 'a'")
    assert noted(connection) == [("a", "D"), ("c", "U")]
    connection.execute("DELETE FROM observations WHERE id = 'c'")
    connection.execute("DELETE FROM projects WHERE id = 'p'")
    assert noted(connection) == [("c", "D"), ("b", "D")]


@pytest.mark.parametrize("metadata", ["[" * 2000 + "]" * 2000, "[]", '"text"', '{"title": 7}', "not JSON"])
async def test_odd_metadata_does_not_fail_a_write(connection: sqlite3.Connection, metadata: str) -> None:
    remember(connection, "a", "Running", metadata)
    connection.execute("UPDATE observations SET metadata = metadata || ' '")
    connection.execute("DELETE FROM observations")
    assert noted(connection) == [("a", "I"), ("a", "U"), ("a", "D")]


async def test_counters_follow_usage_rows_however_they_change(connection: sqlite3.Connection) -> None:
    january, february = microseconds("2026-01-01"), microseconds("2026-02-01")
    rows = [
        ("1", "request", 1, february - 1),
        ("2", "request", 2, february),
        ("3", "request", 4, microseconds("2026-03-01") - 1),
    ]
    connection.executemany(
        "INSERT INTO usage_events (id, team_id, project_id, kind, quantity, created_at)"
        " VALUES (?, 't', 'p', ?, ?, ?)",
        rows,
    )

    def counters() -> set[tuple[int, str, int]]:
        return set(
            connection.execute("SELECT period_start, kind, quantity FROM usage_counters WHERE quantity > 0")
        )

    assert counters() == {(january, "request", 1), (february, "request", 6)}
    connection.execute("UPDATE usage_events SET kind = 'tokens', quantity = 40 WHERE id = '3'")
    connection.execute("DELETE FROM usage_events WHERE id = '1'")
    assert counters() == {(february, "request", 2), (february, "tokens", 40)}
    connection.execute("DELETE FROM projects")
    assert counters() == {(february, "request", 2), (february, "tokens", 40)}
    connection.execute("DELETE FROM teams")
    assert connection.execute("SELECT count(*) FROM usage_counters").fetchone() == (0,)


async def test_the_audit_trail_outlives_its_team(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO api_keys (id, key_hash, team_id, project_id, actor_id) VALUES ('k', 'h', 't', 'p', 'a')"
    )
    connection.execute(
        "INSERT INTO audit_log (id, team_id, project_id, api_key_id, action, resource_type)"
        " VALUES ('a', 't', 'p', 'k', 'memory.write', 'observation')"
    )
    connection.execute("DELETE FROM teams")
    kept = connection.execute("SELECT id, team_id, project_id, api_key_id, action FROM audit_log").fetchall()
    assert kept == [("a", None, None, None, "memory.write")]
