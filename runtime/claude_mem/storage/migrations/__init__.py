"""Schema migrations for PostgreSQL and SQLite.

The schema of version 1 on PostgreSQL is claude-mem 13's, so that its databases are adopted in place; every
later version only adds to it. Reading and writing rows is left to the storage adapters.
"""

from __future__ import annotations

from claude_mem.storage.migrations.postgres import check_postgres, migrate_postgres
from claude_mem.storage.migrations.runner import (
    MigrationError,
    MigrationFailed,
    MigrationReport,
    SchemaForeign,
    SchemaState,
    SchemaTooNew,
)
from claude_mem.storage.migrations.sqlite import check_sqlite, migrate_sqlite

__all__ = [
    "MigrationError",
    "MigrationFailed",
    "MigrationReport",
    "SchemaForeign",
    "SchemaState",
    "SchemaTooNew",
    "check_postgres",
    "check_sqlite",
    "migrate_postgres",
    "migrate_sqlite",
]
