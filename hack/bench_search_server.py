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
from tests.support.processes import Process

PROGRAM = str(Path(sys.executable).with_name("claude-mem"))
LOCAL_PROJECT = "local-hook-project"


class Serving:
    """A server, from `__enter__` to `__exit__`.

    Attributes:
        url: where it listens.
        project: the id of a project.
        key: reads and writes there; empty on SQLite, where a local server asks for none.
    """

    def __init__(self, postgres: PostgresServer | None) -> None:
        self._stack = ExitStack()
        self._postgres = postgres
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
        self.process = self._stack.enter_context(
            Process([PROGRAM, "server", "--daemon"], env=self.environment)
        )
        self.process.wait_for_http(f"{self.url}/readyz")
        if self._postgres is not None:
            self._make_key()
        return self

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
