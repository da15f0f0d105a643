"""A server process for the benchmarks of search, over a database of its own, with a project and a key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.processes import Process, wait_until

PROGRAM = str(Path(sys.executable).with_name("claude-mem"))
LOCAL_PROJECT = "local-hook-project"


class Serving:
    """A server, from `__enter__` to `__exit__`.

    Parameters:
        postgres: None is SQLite.
        embeddings: base URL of a service that makes vectors, for a PostgreSQL that can hold them; a worker runs too.

    Attributes:
        url: where it listens.
        project: the id of a project.
        key: reads and writes there; empty on SQLite, where a local server asks for none.
    """

    def __init__(self, postgres: PostgresServer | None, *, embeddings: str | None = None) -> None:
        self._stack = ExitStack()
        self._postgres = postgres
        self._embeddings = embeddings
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.project = LOCAL_PROJECT
        self.key = ""

    def __enter__(self) -> Self:
        data = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="claude-mem-bench-"))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CLAUDE_MEM_")},
            "CLAUDE_MEM_DATA_DIR": data,
            "CLAUDE_MEM_DOCKER": "0",
            "CLAUDE_MEM_GENERATION_DISABLED": "true",
            "CLAUDE_MEM_LOG_LEVEL": "WARN",
            "CLAUDE_MEM_SERVER_PORT": str(self.port),
        }
        if self._postgres is not None:
            self.database_url = self._postgres.create_database()
            self.environment["CLAUDE_MEM_SERVER_DATABASE_URL"] = self.database_url
            if self._embeddings is not None:
                self._postgres.query(self.database_url, "CREATE EXTENSION vector")
                self.environment |= {
                    "CLAUDE_MEM_EMBEDDINGS_BASE_URL": self._embeddings,
                    "CLAUDE_MEM_EMBEDDINGS_MODEL": "bench",
                    "CLAUDE_MEM_EMBEDDINGS_MIN_SIMILARITY": "0",
                    "CLAUDE_MEM_EMBEDDINGS_QUERY_TIMEOUT_MS": "60000",
                }
        self.process = self._stack.enter_context(
            Process([PROGRAM, "server", "--daemon"], env=self.environment)
        )
        self.process.wait_for_http(f"{self.url}/readyz")
        if self._postgres is not None:
            self._make_key()
        if self._embeddings is not None:
            # It has no job to do, and so asks no provider.
            worker = self.environment | {"CLAUDE_MEM_SERVER_PROVIDER": "claude", "ANTHROPIC_API_KEY": "none"}
            self._stack.enter_context(Process([PROGRAM, "server", "worker", "start"], env=worker))
        return self

    def wait_for_vectors(self, count: int) -> None:
        """Wait until so many memories have a vector; nothing where none are made."""
        if self._embeddings is None or self._postgres is None:
            return
        postgres = self._postgres
        asked = "SELECT count(*) FROM observation_vectors WHERE embedding IS NOT NULL"

        def made() -> bool:
            there = postgres.query(self.database_url, "SELECT to_regclass('observation_vectors') IS NOT NULL")
            return there == ["t"] and postgres.query(self.database_url, asked) == [str(count)]

        wait_until(made, what=f"{count} vectors", timeout=300)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_key(self) -> None:
        scopes = "memories:read,memories:write"
        command = [PROGRAM, "server", "api-key", "create", "--name", "bench", "--json", "--scope", scopes]
        done = subprocess.run(
            command, capture_output=True, check=True, env=self.environment, text=True, timeout=60
        )
        made: dict[str, Any] = json.loads(done.stdout)
        self.project, self.key = str(made["projectId"]), str(made["key"])
