"""Fixtures of the tests against real services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from claude_mem.services import health, memory_vectors, monitoring
from claude_mem.storage import sqlite
from tests.support.databases import (
    CONNECT_MS,
    database,
    postgres_storage,
    postgres_template,
    sqlite_storage,
    sqlite_template,
    storage,
)
from tests.support.engines import impatient, ingest, job_terms, llm
from tests.support.http import PATIENCE_S, api, tenant
from tests.support.load import world
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
    "ingest",
    "job_terms",
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
    "world",
]

# What they assert is told as in a test.
for subjects in ("tenants", "jobs", "memories", "accounts"):
    pytest.register_assert_rewrite(f"tests.services.statements_of_{subjects}")


@pytest.fixture(scope="session", autouse=True)
def patient_sqlite() -> Iterator[None]:
    """Who waits for another connection's turn at a file looks only now and then, and misses it on a slow disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "BUSY_TIMEOUT_MS", CONNECT_MS)
        yield


@pytest.fixture(scope="session", autouse=True)
def patient_checks() -> Iterator[None]:
    """What is well may take longer to say so, on a busy machine, than anybody would wait for it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (health, monitoring):
            patch.setattr(module, "TIMEOUT_S", PATIENCE_S)
        # What is not given back in time is held for minutes, and no other step of a test would have it.
        patch.setattr(memory_vectors, "_PARTING_S", PATIENCE_S)
        yield
