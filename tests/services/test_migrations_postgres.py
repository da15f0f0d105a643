"""PostgreSQL migrations, one process at a time: what they make, what they keep, what they refuse."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from claude_mem.storage.migrations import (
    MigrationFailed,
    SchemaForeign,
    SchemaTooNew,
    check_postgres,
    migrate_postgres,
)
from claude_mem.storage.migrations.runner import load_migrations
from tests.support.claude_mem_13 import (
    KEYS,
    SCHEMA,
    SEARCH,
    columns_of,
    contents,
    create_claude_mem_13,
    write,
)
from tests.support.postgres import PostgresServer

Connect = Callable[[], Awaitable[Any]]

LATEST = load_migrations("postgres")[-1].version
ADDED = tuple(range(2, LATEST + 1))

#: Tables that claude-mem 13 does not have.
OURS = {
    *("usage_counters", "usage_days", "budgets", "generation_replies"),
    *("search_segments", "search_blocks", "search_changes", "idempotent_requests"),
    *("worker_figures", "retention_rules"),
}

CATALOG = {
    "columns": """
        select table_name, column_name, data_type, is_nullable, column_default, generation_expression
        from information_schema.columns where table_schema = 'public'""",
    "constraints": """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'public'::regnamespace""",
    "indexes": "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public'",
    "triggers": "select tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) from pg_trigger"
    " where not tgisinternal",
}

REFUSE_DDL = """
    create function refuse_ddl() returns event_trigger language plpgsql as $$
    begin raise exception 'DDL: %', tg_tag; end $$;
    create event trigger refuse_ddl on ddl_command_start execute function refuse_ddl();
"""


@pytest.fixture
def connect(postgres_url: str) -> Connect:
    """Opens connections to a database of this test's own."""
    return lambda: asyncpg.connect(postgres_url)


@pytest.fixture
async def connection(connect: Connect) -> AsyncIterator[Any]:
    """One such connection."""
    opened = await connect()
    yield opened
    await opened.close()


@pytest.fixture
def other_url(postgres: PostgresServer) -> Iterator[str]:
    """A second database, to compare with."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


async def catalog(connection: Any) -> dict[str, set[tuple[Any, ...]]]:
    return {kind: {tuple(row) for row in await connection.fetch(query)} for kind, query in CATALOG.items()}


async def counters(connection: Any) -> dict[tuple[str, datetime, str], int]:
    rows = await connection.fetch("select team_id, period_start, kind, quantity from usage_counters")
    return {(row["team_id"], row["period_start"], row["kind"]): row["quantity"] for row in rows}


def many_words(characters: int) -> str:
    """Words that all differ, so that none shares a lexeme with another; the same on every run."""
    count = characters // 13
    return " ".join(f"w{hashlib.md5(str(number).encode()).hexdigest()[:11]}" for number in range(count))


async def test_an_empty_database_gets_every_version_once(connect: Connect) -> None:
    before = await check_postgres(connect)
    assert (before.version, before.latest, before.adopted, before.current) == (None, LATEST, False, False)
    assert before.pending[0] == "0001_claude_mem_13"
    assert len(before.pending) == LATEST

    report = await migrate_postgres(connect)
    assert report.applied == (1, *ADDED)
    assert report.version == LATEST

    after = await check_postgres(connect)
    assert (after.version, after.pending, after.adopted, after.current) == (LATEST, (), False, True)


async def test_a_current_schema_is_neither_changed_nor_locked(connect: Connect, connection: Any) -> None:
    """Every boot calls this; with DDL at each boot, boots and traffic deadlock."""
    await migrate_postgres(connect)
    await connection.execute(REFUSE_DDL)
    keeper = await connect()
    try:
        async with keeper.transaction():
            for table in await columns_of(keeper):
                mode = "EXCLUSIVE" if table == "server_beta_schema_migrations" else "ACCESS EXCLUSIVE"
                await keeper.execute(f"lock table {table} in {mode} mode")
            report = await migrate_postgres(connect, deadline_s=0)
    finally:
        await keeper.close()
    assert (report.applied, report.version, report.waited_s) == ((), LATEST, 0.0)


async def test_target_stops_early_and_goes_on_later(connect: Connect) -> None:
    assert (await migrate_postgres(connect, target=3)).applied == (1, 2, 3)
    assert (await migrate_postgres(connect, target=3)).applied == ()
    assert (await check_postgres(connect)).version == 3
    assert (await migrate_postgres(connect)).applied == tuple(range(4, LATEST + 1))


async def test_version_1_is_the_schema_of_claude_mem_13(
    connect: Connect, connection: Any, other_url: str
) -> None:
    await migrate_postgres(connect, target=1)
    theirs = await asyncpg.connect(other_url)
    try:
        await theirs.execute(SCHEMA)
        assert await catalog(connection) == await catalog(theirs)
    finally:
        await theirs.close()


async def test_an_adopted_database_keeps_every_row(
    connect: Connect, connection: Any, postgres_url: str
) -> None:
    made = await create_claude_mem_13(postgres_url)
    columns = await columns_of(connection)
    rows = await contents(connection, columns)
    assert all(rows.values()), "the fixture leaves no table empty"

    assert (await check_postgres(connect)).adopted
    assert (await migrate_postgres(connect)).applied == ADDED

    after = await contents(connection, columns)
    versions = after.pop("server_beta_schema_migrations")
    assert rows.pop("server_beta_schema_migrations") == versions[:1]
    assert after == rows
    assert await counters(connection) == made.usage
    assert (await check_postgres(connect)).adopted


@pytest.mark.usefixtures("within_a_day")
async def test_claude_mem_13_can_go_on_writing(connect: Connect, connection: Any, postgres_url: str) -> None:
    made = await create_claude_mem_13(postgres_url)
    await migrate_postgres(connect)
    scope = (made.project_id, made.team_id)
    await write(connection, "teams", "t2", "t2", "{}")
    await write(connection, "projects", "p2", "t2", "p2", "{}")
    await write(connection, "team_members", "t2", "bob", "viewer")
    for name, (scopes, _) in KEYS.items():
        key = (f"k2-{name}", f"hash-{name}", "t2", "p2", "actor", json.dumps(scopes), None)
        await write(connection, "api_keys", *key)
    await write(connection, "audit_log", "a2", "t2", "p2", "a", "k2-full", "event.received", "x", None, "{}")
    session = ("x2", "key-s2", "x2", "agent", "type", "codex", "idle", "{}")
    await write(connection, "server_sessions", "s2", *scope, *session)
    await write(connection, "server_sessions", "s3", *scope, *session)
    event = ("tool_use", "claude", "{}", '{"again": 1}', made.now)
    source = ("s2", "hook", None)
    await write(connection, "agent_events", "e2", *scope, *source, made.event_keys["queued"], *event)
    assert await connection.fetchval("select count(*) from agent_events where id = 'e2'") == 0
    await write(connection, "agent_events", "e2", *scope, *source, "key-e2", *event)
    job = ("e2", "agent_event", "e2", "s2", "observation_generate_for_event", "queued", "key-j2", "evt_2", 3)
    await write(connection, "observation_generation_jobs", "j2", *scope, *job, "{}")
    await write(connection, "observation_generation_job_events", "h2", "j2", "queued", "queued", 0, "{}")
    memory = ("s2", "discovery", "The zebra crossing", "generation:v1:j2", "{}", None, "j2")
    await write(connection, "observations", "o2", *scope, *memory)
    await write(connection, "observations", "o3", *scope, *memory)
    await write(connection, "observation_sources", "os2", "o2", "e2", "j2", "agent_event", "e2", "{}")
    await write(connection, "usage_events", "u2", made.team_id, None, "tokens", 9, "{}")
    await write(connection, "rate_limit_counters", made.key_ids["full"], made.now)

    found = await connection.fetch(SEARCH, *scope, "zebras")
    assert [row["id"] for row in found] == ["o2"]
    assert (await counters(connection))[made.team_id, made.month, "tokens"] == 5321 + 9


async def test_claude_mem_13_can_start_again(connect: Connect, connection: Any) -> None:
    """Its start runs version 1 once more; that must find everything as it expects."""
    await migrate_postgres(connect)
    before = await catalog(connection)
    for statement in load_migrations("postgres")[0].statements:
        await connection.execute(statement.sql)
    assert await catalog(connection) == before


async def test_its_tables_get_no_new_constraint_and_no_required_column(
    connect: Connect, connection: Any, postgres_url: str
) -> None:
    await create_claude_mem_13(postgres_url)
    before = await catalog(connection)
    await migrate_postgres(connect)
    after = await catalog(connection)
    constraints = {row for row in after["constraints"] if row[0] not in OURS}
    assert constraints == before["constraints"]
    assert before["indexes"] <= after["indexes"]
    theirs = {row[0] for row in before["columns"]}
    new = {row for row in after["columns"] - before["columns"] if row[0] in theirs}
    required = {row[:2] for row in new if row[3] == "NO" and row[4] is None}
    assert {row[:2] for row in new} == {
        ("api_keys", "name"),
        ("api_keys", "key_prefix"),
        ("api_keys", "last_used_at"),
        ("api_keys", "replaced_by"),
        ("observation_generation_jobs", "lease_expires_at"),
        ("observation_generation_jobs", "traceparent"),
        ("observations", "content_search"),  # no longer generated
    }
    assert required == set()
    unique = {row for row in after["indexes"] - before["indexes"] if "UNIQUE" in row[2]}
    assert {row[0] for row in unique} == OURS


async def test_an_early_13_ends_where_a_late_one_does(
    connect: Connect, connection: Any, postgres_url: str, other_url: str
) -> None:
    made = await create_claude_mem_13(postgres_url, early=True)
    columns = await columns_of(connection)
    rows = await contents(connection, {table: columns[table] for table in columns.keys() & {"agent_events"}})
    assert (await migrate_postgres(connect)).applied == ADDED
    assert await contents(connection, {"agent_events": columns["agent_events"]}) == rows

    late = await asyncpg.connect(other_url)
    try:
        await migrate_postgres(lambda: asyncpg.connect(other_url))
        assert await catalog(connection) == await catalog(late)
    finally:
        await late.close()
    session = ("sess-open", "key-s2", None, None, None, "codex", "idle", "{}")
    await write(connection, "server_sessions", "s2", made.project_id, made.team_id, *session)


async def test_tables_without_a_recorded_version_are_taken_over(
    connect: Connect, connection: Any, postgres_url: str
) -> None:
    await create_claude_mem_13(postgres_url)
    await connection.execute("delete from server_beta_schema_migrations")
    columns = await columns_of(connection)
    rows = await contents(connection, columns)
    assert (await migrate_postgres(connect)).applied == (1, *ADDED)
    after = await contents(connection, columns)
    del rows["server_beta_schema_migrations"], after["server_beta_schema_migrations"]
    assert after == rows


async def test_a_newer_schema_is_refused_and_left_alone(connect: Connect, connection: Any) -> None:
    await migrate_postgres(connect, target=1)
    await connection.execute("insert into server_beta_schema_migrations values (999, 'of the future')")
    before = await catalog(connection)
    with pytest.raises(SchemaTooNew, match=rf"at version 999; this release knows versions up to {LATEST}\."):
        await migrate_postgres(connect)
    assert await catalog(connection) == before
    state = await check_postgres(connect)
    assert (state.version, state.current) == (999, False)


async def test_a_foreign_version_is_refused_by_name(connect: Connect, connection: Any) -> None:
    await migrate_postgres(connect, target=1)
    await connection.execute("insert into server_beta_schema_migrations values (2, 'phase 2 of something')")
    with pytest.raises(SchemaForeign, match="version 2 is 'phase 2 of something'"):
        await migrate_postgres(connect)


async def test_a_failed_statement_is_named_and_the_next_run_goes_on(
    connect: Connect, connection: Any
) -> None:
    await migrate_postgres(connect, target=1)
    await connection.execute("create table usage_counters (nothing int)")
    with pytest.raises(MigrationFailed, match="Migration 5 failed in statement 'usage_counters'") as failure:
        await migrate_postgres(connect)
    assert (failure.value.version, failure.value.statement) == (5, "usage_counters")
    assert (await check_postgres(connect)).version == 4
    await connection.execute("drop table usage_counters")
    assert (await migrate_postgres(connect)).applied == tuple(range(5, LATEST + 1))


async def test_a_table_that_stays_locked_ends_in_an_error_that_says_so(connect: Connect) -> None:
    await migrate_postgres(connect, target=2)
    refusal = r"'api_keys_columns': .*; other transactions kept the table"
    keeper = await connect()
    try:
        async with keeper.transaction():
            await keeper.execute("lock table api_keys in row exclusive mode")
            with pytest.raises(MigrationFailed, match=refusal):
                await migrate_postgres(connect, deadline_s=0.5)
    finally:
        await keeper.close()


async def test_a_memory_beyond_the_vector_limit_is_stored_and_its_start_found(
    connect: Connect, connection: Any, postgres_url: str
) -> None:
    made = await create_claude_mem_13(postgres_url)
    scope = (made.project_id, made.team_id)
    text = many_words(1_500_000)
    row = ("big", *scope, None, "manual", text, None, "{}", None, None)
    with pytest.raises(asyncpg.ProgramLimitExceededError):
        await write(connection, "observations", *row)
    await migrate_postgres(connect)
    await write(connection, "observations", *row)

    first = text.split(" ", 1)[0]
    assert [row["id"] for row in await connection.fetch(SEARCH, *scope, first)] == ["big"]
    indexed = await connection.fetchval("select length(content_search) from observations where id = 'big'")
    assert indexed > 20_000

    await connection.execute("update observations set content = 'a small walrus' where id = 'big'")
    assert await connection.fetch(SEARCH, *scope, first) == []
    assert [row["id"] for row in await connection.fetch(SEARCH, *scope, "walruses")] == ["big"]


async def test_a_kind_is_of_any_length(connect: Connect, connection: Any, postgres_url: str) -> None:
    made = await create_claude_mem_13(postgres_url)
    noise = random.Random(0)  # nothing that could be compressed
    kind = "".join(chr(noise.randrange(0x20000, 0x2A000)) for _ in range(1024))
    for name in ("adopted", "written"):
        row = (name, made.project_id, made.team_id, None, kind, "a walrus", None, "{}", None, None)
        await write(connection, "observations", *row)
        await migrate_postgres(connect)
    assert await connection.fetchval("select count(*) from observations where kind = $1", kind) == 2


async def test_lists_of_a_kind_are_planned_by_what_an_adopted_database_holds(
    connect: Connect, connection: Any, postgres_url: str
) -> None:
    made = await create_claude_mem_13(postgres_url)
    for number in range(5):
        row = (
            f"m{number}",
            made.project_id,
            made.team_id,
            None,
            "decision",
            "a walrus",
            None,
            "{}",
            None,
            None,
        )
        await write(connection, "observations", *row)
    await migrate_postgres(connect)
    known = "select most_common_vals::text from pg_stats where tablename = $1 and attname = 'left'"
    assert "decision" in await connection.fetchval(known, "idx_observations_team_project_kind")


async def test_the_vector_is_always_that_of_the_content(
    connect: Connect, connection: Any, postgres_url: str
) -> None:
    await create_claude_mem_13(postgres_url)
    await migrate_postgres(connect)
    await connection.execute("update observations set content_search = 'forged', kind = 'x'")
    await connection.execute("update observations set content = content || ' again', updated_at = now()")
    differing = "select count(*) from observations where content_search <> to_tsvector('english', content)"
    assert await connection.fetchval(differing) == 0


async def test_counters_follow_usage_rows_however_they_change(connect: Connect, connection: Any) -> None:
    await migrate_postgres(connect)
    await connection.execute("insert into teams (id, name) values ('a', 'a'), ('b', 'b')")
    await connection.execute("insert into projects (id, team_id, name) values ('p', 'a', 'p')")
    await connection.execute("""
        insert into usage_events (id, team_id, project_id, kind, quantity, created_at) values
            ('1', 'a', 'p', 'request', 1, '2026-01-31T23:59:59.999999Z'),
            ('2', 'a', 'p', 'request', 2, '2026-02-01T00:00:00Z'),
            ('3', 'a', 'p', 'request', 4, '2026-02-28T23:59:59+00'),
            ('4', 'b', null, 'tokens', 8, '2026-02-10T00:00:00Z')
    """)
    january, february = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    assert await counters(connection) == {
        ("a", january, "request"): 1,
        ("a", february, "request"): 6,
        ("b", february, "tokens"): 8,
    }
    await connection.execute("update usage_events set quantity = 40, kind = 'tokens' where id = '3'")
    await connection.execute("delete from usage_events where id in ('1', '4')")
    after = await counters(connection)
    assert {key: value for key, value in after.items() if value} == {
        ("a", february, "request"): 2,
        ("a", february, "tokens"): 40,
    }
    await connection.execute("delete from projects where id = 'p'")
    assert await counters(connection) == after
    await connection.execute("delete from teams where id = 'a'")
    assert {team for team, _, _ in await counters(connection)} == {"b"}
    await connection.execute("truncate usage_events")
    assert await counters(connection) == {}


async def test_triggers_work_without_a_search_path(connect: Connect, connection: Any) -> None:
    await migrate_postgres(connect)
    await connection.execute("insert into teams (id, name) values ('a', 'a')")
    await connection.execute("insert into projects (id, team_id, name) values ('p', 'a', 'p')")
    await connection.execute("set search_path = ''")
    await connection.execute(
        "insert into public.usage_events (id, team_id, kind) values ('1', 'a', 'request')"
    )
    await connection.execute(
        "insert into public.observations (id, project_id, team_id, content) values ('o', 'p', 'a', 'words')"
    )
    assert await connection.fetchval("select sum(quantity) from public.usage_counters") == 1


async def test_every_delete_finds_its_references_by_index(connect: Connect, connection: Any) -> None:
    """A purge deletes thousands of rows; each must not read a whole referencing table."""
    await migrate_postgres(connect)
    unindexed = await connection.fetch("""
        select c.conrelid::regclass::text || '.' || a.attname as reference
        from pg_constraint c
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
        where c.contype = 'f' and array_length(c.conkey, 1) = 1
          and c.confrelid in ('server_sessions'::regclass, 'agent_events'::regclass, 'observations'::regclass,
                              'observation_generation_jobs'::regclass)
          and not exists (
              select from pg_index i
              where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1] and i.indisvalid
                and (i.indpred is null
                     or pg_get_expr(i.indpred, i.indrelid) = '(' || a.attname || ' IS NOT NULL)'))
    """)
    assert [row["reference"] for row in unindexed] == []


PAGE = "(created_at, id) < (now(), 'x') order by created_at desc, id desc limit 10"
DUE = "order by coalesce(next_attempt_at, created_at), id limit 10"
SESSIONS = "started_at < now() order by started_at desc, id desc limit 10"
LEASED = "status = 'processing' and lease_expires_at < now()"
EXHAUSTED = "status = 'queued' and attempts >= max_attempts"
QUESTIONS = {
    "idx_observation_jobs_due": f"observation_generation_jobs where status = 'queued' {DUE}",
    "idx_observation_jobs_leased": f"observation_generation_jobs where {LEASED}",
    "idx_observation_jobs_exhausted": f"observation_generation_jobs where {EXHAUSTED}",
    "idx_observation_jobs_team_created": f"observation_generation_jobs where team_id = 't' and {PAGE}",
    "idx_audit_log_team_created": f"audit_log where team_id = 't' and {PAGE}",
    "idx_server_sessions_team_project_started": (
        f"server_sessions where team_id = 't' and project_id = 'p' and {SESSIONS}"
    ),
    "idx_observations_team_project": f"observations where team_id = 't' and project_id = 'p' and {PAGE}",
    "idx_observations_team_project_kind": (
        f"observations where team_id = 't' and project_id = 'p' and left(kind, 128) = 'k' and {PAGE}"
    ),
}


@pytest.mark.parametrize("index", QUESTIONS)
async def test_the_new_indexes_serve_their_questions(connect: Connect, connection: Any, index: str) -> None:
    await migrate_postgres(connect)
    await connection.execute("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off")
    plan = "\n".join(row[0] for row in await connection.fetch(f"explain select id from {QUESTIONS[index]}"))
    assert index in plan, plan
    assert "->  Sort" not in plan, plan
