"""The whole service as processes: PostgreSQL, Valkey, HTTP servers and workers, restarted as a container engine would.

Every process can be killed at any time. One that was not killed may end by itself only while it starts.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from claude_mem.services.bootstrap import create_first_key
from claude_mem.storage import opening
from tests.support.databases import postgres_settings
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.processes import Process
from tests.support.valkey import ValkeyServer

SERVER = (sys.executable, "-m", "claude_mem", "server", "--daemon")
WORKER = (sys.executable, "-m", "claude_mem", "server", "worker", "start")

#: What a process says when it has come up.
RUNNING = {"http": "the server listens", "worker": "worker-running"}

#: Seconds between looks at the processes.
LOOK_S = 0.1


@dataclass(slots=True)
class Unit:
    """A process that is kept running.

    Attributes:
        kind: `http` or `worker`.
        due: on the monotonic clock, when it is started again after its end.
        killed: its end was ours.
    """

    name: str
    kind: str
    command: tuple[str, ...]
    environment: dict[str, str]
    process: Process | None = None
    due: float = 0.0
    killed: bool = False


@dataclass(slots=True)
class Stack:
    """What runs.

    Parameters:
        directory: for state and logs.
        chance: how long ended processes stay away.
        variables: settings of the servers and workers beyond those that lead them to each other.

    Attributes:
        surprises: ends of processes that nobody killed and that had come up.
    """

    directory: Path
    chance: random.Random
    variables: dict[str, str]
    postgres: PostgresServer = field(default_factory=PostgresServer)
    valkey: ValkeyServer = field(default_factory=ValkeyServer)
    units: list[Unit] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    database_url: str = ""
    key: str = ""
    project_id: str = ""

    async def prepare(self, *, servers: int, workers: int, provider_url: str) -> None:
        """Make the database with a key, and name the processes."""
        self.database_url = await asyncio.to_thread(self.postgres.create_database)
        settings = postgres_settings(self.database_url)
        await opening.migrate(settings)
        database = await opening.open_database(settings)
        made = await create_first_key(
            database,
            name="chaos",
            scopes=["memories:read", "memories:write"],
            team_id=None,
            project_id=None,
        )
        await database.close()
        self.key, self.project_id = made.raw, str(made.key.project_id)
        for number in range(servers):
            port = free_port()
            self.urls.append(f"http://127.0.0.1:{port}")
            own = {"CLAUDE_MEM_SERVER_PORT": str(port), "CLAUDE_MEM_GENERATION_DISABLED": "true"}
            self._add("http", number, SERVER, own)
        for number in range(workers):
            own = {
                "CLAUDE_MEM_SERVER_PROVIDER": "openrouter",
                "OPENROUTER_API_KEY": "k",
                "CLAUDE_MEM_OPENROUTER_BASE_URL": provider_url,
            }
            self._add("worker", number, WORKER, own)

    def _add(self, kind: str, number: int, command: tuple[str, ...], own: dict[str, str]) -> None:
        name = f"{kind}-{number}"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "CLAUDE_MEM_DATA_DIR": str(self.directory / name),
            "CLAUDE_MEM_SERVER_DATABASE_URL": self.database_url,
            "CLAUDE_MEM_POSTGRES_SSL": "disable",
            "CLAUDE_MEM_QUEUE_ENGINE": "dramatiq",
            "CLAUDE_MEM_REDIS_URL": self.valkey.url,
            **self.variables,
            **own,
        }
        self.units.append(Unit(name, kind, command, environment))

    async def keep_running(self) -> None:
        """Start what does not run, until cancelled."""
        while True:
            for unit in self.units:
                self._look_at(unit)
            await asyncio.sleep(LOOK_S)

    def _look_at(self, unit: Unit) -> None:
        now = time.monotonic()
        if unit.process is not None and not unit.process.is_running:
            self._note_end(unit, unit.process)
            unit.process = None
            unit.due = now + self.chance.random()
        if unit.process is None and now >= unit.due:
            unit.killed = False
            unit.process = Process(unit.command, env=unit.environment)

    def _note_end(self, unit: Unit, ended: Process) -> None:
        output = ended.stdout + ended.stderr
        with (self.directory / f"{unit.name}.log").open("a") as log:
            log.write(f"{output}--- {'killed' if unit.killed else 'ended by itself'}\n")
        if not unit.killed and RUNNING[unit.kind] in output:
            self.surprises.append(f"{unit.name} ended by itself: {output[-2000:]}")
        ended.close()

    def kill(self, kind: str) -> str:
        """Kill one server or worker; return its name."""
        unit = self.chance.choice([unit for unit in self.units if unit.kind == kind])
        if unit.process is not None and unit.process.is_running:
            unit.killed = True
            unit.process.kill()
        return unit.name

    async def crash_postgres(self, away_s: float) -> None:
        """Kill PostgreSQL and start it again after a while."""
        await asyncio.to_thread(self.postgres.crash)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self.postgres.start)

    async def crash_valkey(self, away_s: float) -> None:
        """Kill Valkey and start it again after a while."""
        await asyncio.to_thread(self.valkey.crash)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self.valkey.start)

    async def is_up(self) -> bool:
        """Whether every server and worker has come up."""
        return all(
            unit.process is not None
            and unit.process.is_running
            and RUNNING[unit.kind] in unit.process.stdout + unit.process.stderr
            for unit in self.units
        )

    def close(self) -> None:
        """End everything; logs stay in the directory."""
        for unit in self.units:
            if unit.process is not None:
                unit.killed = True
                unit.process.kill()
                self._note_end(unit, unit.process)
                unit.process = None
        self.valkey.close()
        self.postgres.close()
