"""Fixtures of the tests against real services."""

from __future__ import annotations

from tests.support.databases import (
    database,
    postgres_storage,
    postgres_template,
    sqlite_storage,
    sqlite_template,
    storage,
)
from tests.support.engines import impatient, llm
from tests.support.http import api, tenant
from tests.support.semantic import (
    assemble,
    endpoint,
    vector_database,
    vector_postgres,
    vector_storage,
    vector_template,
)

__all__ = [
    "api",
    "assemble",
    "database",
    "endpoint",
    "impatient",
    "llm",
    "postgres_storage",
    "postgres_template",
    "sqlite_storage",
    "sqlite_template",
    "storage",
    "tenant",
    "vector_database",
    "vector_postgres",
    "vector_storage",
    "vector_template",
]
