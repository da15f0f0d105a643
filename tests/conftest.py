"""Fixtures that every tier shares: real services, processes, and an environment free of the machine's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.postgres import PostgresServer
from tests.support.processes import ProcessGroup, wait_until
from tests.support.valkey import ValkeyServer

OURS = (
    "CLAUDE_MEM_",
    "ANTHROPIC_",
    "GEMINI_",
    "GOOGLE_",
    "OPENROUTER_",
    "OPENAI_",
    "CLAUDE_CODE",
    "CLAUDECODE",
    "PG",
)
#: Longer than a test takes, on a busy machine, that counts what was spent by the day or the month.
WITHIN_A_DAY = timedelta(minutes=2)
CONTAINER_HINTS = ("KUBERNETES_SERVICE_HOST", "container")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take the product's and the providers' variables away, and give every test a home of its own.

    The machine that runs the tests may be a container with a /.dockerenv; to the product it is a development
    machine.
    """
    for name in list(os.environ):
        if name.startswith(OURS) or name in CONTAINER_HINTS:
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CLAUDE_MEM_DATA_DIR", str(home / ".claude-mem"))
    monkeypatch.setenv("CLAUDE_MEM_DOCKER", "0")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL for the whole run."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database that is this test's alone, and empty."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """One real Valkey for the whole run."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey_url(valkey: ValkeyServer) -> str:
    """The URL of the run's Valkey, emptied."""
    valkey.flush()
    return valkey.url


@pytest.fixture
def processes() -> Iterator[ProcessGroup]:
    """Starts processes that end with the test."""
    group = ProcessGroup()
    yield group
    group.close()


@pytest.fixture
def within_a_day() -> None:
    """Begin after midnight (UTC) where it is near: what was spent before is of another day, or of another month."""
    day = (datetime.now(UTC) + WITHIN_A_DAY).date()
    wait_until(lambda: datetime.now(UTC).date() == day, what="midnight", timeout=200)


@pytest.fixture
def free_port() -> int:
    """A port on loopback that nothing listens on."""
    return ports.free_port()
