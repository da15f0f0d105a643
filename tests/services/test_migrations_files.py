"""The migration files keep the rules that make them safe, and the reference describes what they make."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from claude_mem.storage.migrations import migrate_postgres
from claude_mem.storage.migrations.runner import (
    Engine,
    Migration,
    MigrationFailed,
    SchemaState,
    backoff,
    load_migrations,
    parse_migration,
)
from tests.support.claude_mem_13 import columns_of

DOCS = Path(__file__).parents[2] / "docs"
ENGINES: tuple[Engine, ...] = ("postgres", "sqlite")
ALL = [(engine, migration) for engine in ENGINES for migration in load_migrations(engine)]
NAMES = [f"{engine}-{migration.version:04d}" for engine, migration in ALL]

#: What a statement may be that is run again after a kill.
REPEATABLE = re.compile(r"IF NOT EXISTS|DO \$\$|^ANALYZE \(SKIP_LOCKED\) \w+;$", re.MULTILINE)
LOCKING = re.compile(
    r"(?:ALTER TABLE|TRIGGER \w+ [A-Z ,_a-z]*?ON|lock table) (?:IF EXISTS )?(\w+)", re.IGNORECASE
)


@pytest.mark.parametrize(("engine", "migration"), ALL, ids=NAMES)
def test_every_statement_gives_its_reason(engine: Engine, migration: Migration) -> None:
    for statement in migration.statements:
        assert statement.sql.startswith("-- "), f"{engine} {migration.version} {statement.name}"


@pytest.mark.parametrize("migration", [item for _, item in ALL if not item.atomic], ids=str)
def test_statements_outside_a_transaction_can_be_repeated(migration: Migration) -> None:
    for statement in migration.statements:
        assert REPEATABLE.search(statement.sql), statement.name


@pytest.mark.parametrize("migration", load_migrations("postgres")[1:], ids=lambda item: item.name)
def test_a_transaction_locks_one_busy_table(migration: Migration) -> None:
    """Two would meet traffic that locks them the other way round; teams, then usage is a delete's order."""
    if migration.atomic:
        locked = {table for item in migration.statements for table in LOCKING.findall(item.sql)}
        created = {
            name for item in migration.statements for name in re.findall(r"CREATE TABLE (\w+)", item.sql)
        }
        assert len(locked - created - {"teams"}) <= 1, locked


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("2_short.sql", "-- description: x\n-- name: a\nSELECT 1"),
        ("0002_no_description.sql", "-- name: a\nSELECT 1"),
        ("0002_no_statement.sql", "-- description: x\nSELECT 1"),
    ],
)
def test_a_file_that_breaks_the_form_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(name)):
        parse_migration(name, text)


def test_a_schema_is_current_only_when_nothing_is_missing_or_unknown() -> None:
    assert SchemaState(version=3, latest=3, pending=(), adopted=False).current
    assert not SchemaState(version=None, latest=3, pending=("0001_a",), adopted=False).current
    assert not SchemaState(version=3, latest=3, pending=("0002_b",), adopted=True).current
    assert not SchemaState(version=4, latest=3, pending=(), adopted=False).current


def test_pauses_grow_to_their_limit_and_differ() -> None:
    pauses = backoff(first_s=0.1, most_s=1.0)
    taken = [next(pauses) for _ in range(40)]
    assert taken[0] <= 0.125
    assert all(0.75 <= pause <= 1.25 for pause in taken[20:])
    assert len(set(taken)) > 30


def test_a_failure_says_what_to_do() -> None:
    assert "mend the cause and run `claude-mem server migrate` again" in str(MigrationFailed(3, "x", "why"))


async def test_the_reference_names_every_table_column_and_index(postgres_url: str) -> None:
    await migrate_postgres(lambda: asyncpg.connect(postgres_url))
    connection = await asyncpg.connect(postgres_url)
    try:
        tables = await columns_of(connection)
        indexes = await connection.fetch(
            "SELECT tablename, indexname FROM pg_indexes"
            " WHERE schemaname = 'public' AND indexname LIKE 'idx%'"
        )
    finally:
        await connection.close()
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", _text("reference/schema.md"), re.M | re.S))
    assert sections.keys() == tables.keys()
    for table, columns in tables.items():
        assert re.findall(r"^\| `(\w+)` \|", sections[table], re.M) == columns
        listed = set(re.findall(r"^- `(idx\w+)`:", sections[table], re.M))
        assert listed == {row["indexname"] for row in indexes if row["tablename"] == table}


def test_the_explanation_names_every_error() -> None:
    table = set(re.findall(r"^\| `(\w+)` \|", _text("explanation/migrations.md"), re.M))
    assert table == {"SchemaTooNew", "SchemaForeign", "MigrationFailed", "MigrationError"}


def _text(name: str) -> str:
    return (DOCS / name).read_text("utf-8")
