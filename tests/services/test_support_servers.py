"""The services' own promises: what is committed survives a crash, and databases are fresh."""

from __future__ import annotations

import sys

import pytest

from tests.support.postgres import PostgresServer
from tests.support.processes import ProcessEndedError, ProcessGroup, WaitTimeoutError
from tests.support.valkey import ValkeyServer


def test_a_committed_row_survives_a_crash_of_postgres() -> None:
    with PostgresServer() as server:
        url = server.create_database()
        server.query(url, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('committed')")
        port = server.port
        server.crash()
        server.start()
        assert server.port == port
        assert server.query(url, "SELECT word FROM kept") == ["committed"]
        server.stop()
        server.start()
        assert server.query(url, "SHOW fsync") == ["on"]
        assert server.cpu_seconds() > 0


def test_databases_are_empty_and_made_from_templates(postgres: PostgresServer, postgres_url: str) -> None:
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert postgres.query(postgres_url, tables) == ["0"]
    postgres.query(postgres_url, "CREATE TABLE made (id int)")
    copy = postgres.create_database(template=postgres_url.rpartition("/")[2])
    assert postgres.query(copy, tables) == ["1"]
    postgres.drop_database(copy)
    with pytest.raises(AssertionError, match="psql failed"):
        postgres.query(copy, "SELECT 1")


def test_valkey_is_emptied_and_starts_again_on_its_port(valkey: ValkeyServer, valkey_url: str) -> None:
    assert valkey_url == f"redis://127.0.0.1:{valkey.port}/0"
    valkey.crash()
    valkey.start()
    valkey.flush()


def test_a_process_tells_why_a_wait_was_in_vain(processes: ProcessGroup) -> None:
    script = "import os, sys; print(os.environ['WORD'], flush=True); sys.stdin.read(); sys.exit(3)"
    ended = processes.start(sys.executable, "-c", script, env={"WORD": "ready"})
    assert ended.wait_for_line("^read(y)$").group(1) == "y"
    assert ended.wait() == 3
    with pytest.raises(ProcessEndedError, match="exit code 3"):
        ended.wait_for_line("never")
    waiting = processes.start(sys.executable, "-c", "import signal; signal.pause()")
    with pytest.raises(WaitTimeoutError, match="still running"):
        waiting.wait_for_line("never", timeout=0.1)
    waiting.kill()
    assert waiting.wait() == -9
