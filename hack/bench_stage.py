"""What the benchmark of workers runs on: PostgreSQL, Valkey, a server that only takes events, providers, and workers.

All of it is real but the provider, and each is a process of its own. Rates come from the database: a job counts
from when it could be taken until it was completed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx

from hack.bench_load import Outcome, event_body
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.processes import Process, cpu_seconds
from tests.support.valkey import ValkeyServer

PROGRAM = str(Path(sys.executable).with_name("claude-mem"))
OURS = ("CLAUDE_MEM_", "ANTHROPIC_", "GEMINI_", "OPENROUTER_")
BATCH = 500
WARM_UP = 200
COMMAND_SECONDS = 300
DRAIN_SECONDS = 300
LOOK_AGAIN_S = 0.1
#: Seconds between two events of the same agent, at most; less than real ones take, so that nothing falls asleep deeper.
PAUSE_S = 0.1
_OPEN_JOBS = (
    "SELECT EXISTS (SELECT FROM observation_generation_jobs WHERE status IN ('queued', 'processing'))"
)


class Drained(NamedTuple):
    """What it took to work a queue off.

    Parameters:
        rate: jobs a second.
        cpu_ms: processor time of the worker, in milliseconds per job.
        postgres_cpu_ms: the same of PostgreSQL.
    """

    rate: float
    cpu_ms: float
    postgres_cpu_ms: float


class Stage:
    """Everything but the workers."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.postgres = stack.enter_context(PostgresServer())
        self.valkey = stack.enter_context(ValkeyServer())
        self.database_url = self.postgres.create_database()
        self.data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="claude-mem-bench-")))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environment = {
            **inherited,
            "CLAUDE_MEM_DAILY_TOKEN_BUDGET": "2000000000",
            "CLAUDE_MEM_DATA_DIR": str(self.data),
            "CLAUDE_MEM_DOCKER": "0",
            "CLAUDE_MEM_LOG_LEVEL": "WARN",
            "CLAUDE_MEM_QUEUE_ENGINE": "dramatiq",
            "CLAUDE_MEM_REDIS_URL": self.valkey.url,
            "CLAUDE_MEM_SERVER_DATABASE_URL": self.database_url,
            "CLAUDE_MEM_SERVER_PORT": str(self.port),
        }
        self._serve()
        made = json.loads(
            self.output(
                *(PROGRAM, "server", "api-key", "create", "--name", "bench", "--json"),
                *("--scope", "memories:read,memories:write"),
            )
        )
        self.key, self.project = str(made["key"]), str(made["projectId"])
        self.environment |= {
            "CLAUDE_MEM_SERVER_API_KEY": self.key,
            "CLAUDE_MEM_SERVER_PROJECT_ID": self.project,
            "CLAUDE_MEM_SERVER_URL": self.url,
        }

    def _serve(self) -> None:
        # A refreshed summary is due soon, so that the recorded session comes to its end here.
        own = {"CLAUDE_MEM_GENERATION_DISABLED": "true", "CLAUDE_MEM_SUMMARY_REFRESH_MS": "2000"}
        server = Process([PROGRAM, "server", "--daemon"], env=self.environment | own)
        self._stack.enter_context(server).wait_for_http(f"{self.url}/readyz")

    def provider(self, *, delay_ms: int) -> str:
        """Start a provider that answers after so long, and return its base URL."""
        command = [sys.executable, "-m", "hack.bench_provider", "--delay-ms", str(delay_ms)]
        running = self._stack.enter_context(Process(command))
        port = running.wait_for_line(r"^port (\d+)$").group(1)
        return f"http://127.0.0.1:{port}/v1"

    @contextmanager
    def worker(self, provider_url: str) -> Iterator[Worker]:
        """A worker that asks a provider, for as long as the block."""
        own = {
            "CLAUDE_MEM_SERVER_PROVIDER": "openrouter",
            "CLAUDE_MEM_SERVER_MODEL": "bench",
            "CLAUDE_MEM_OPENROUTER_API_KEY": "k",
            "CLAUDE_MEM_OPENROUTER_BASE_URL": provider_url,
        }
        with Process([PROGRAM, "server", "worker", "start"], env=self.environment | own) as running:
            running.wait_for_line("worker-running")
            yield Worker(self, running)

    def load(self, events: int) -> None:
        """Send events without a session, in batches."""
        arguments = [
            *("--port", str(self.port), "--project", self.project),
            *("--events", str(events), "--batch", str(min(BATCH, events)), "--connections", "2"),
        ]
        Outcome(**json.loads(self.output(sys.executable, "-m", "hack.bench_load", *arguments)))

    def output(self, *command: str, given: str | None = None) -> str:
        """Run a command to its end and return its standard output."""
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            env=self.environment,
            input=given,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def rows(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """The rows of a query."""

        async def fetch() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return list(await connection.fetch(statement, *values, timeout=30))
            finally:
                await connection.close()

        return asyncio.run(fetch())


class Worker:
    """A worker that runs."""

    def __init__(self, stage: Stage, process: Process) -> None:
        self._stage = stage
        self._process = process
        self._drain(WARM_UP)

    @property
    def peak_rss_mb(self) -> float:
        """The most memory it has had so far, in MiB."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the system does not tell how much memory the worker has had")

    def measure(self, jobs: int) -> Drained:
        """Let it work off a queue that is there when it begins."""
        return self._drain(jobs)

    def _drain(self, jobs: int) -> Drained:
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            self._stage.load(jobs)
            self._stage.postgres.query(self._stage.database_url, "CHECKPOINT")
            self._stage.postgres.query(self._stage.database_url, "ANALYZE")
        finally:
            begun_us = time.time_ns() // 1000
            cpu, postgres_cpu = cpu_seconds(self._process.pid), self._stage.postgres.cpu_seconds()
            os.kill(self._process.pid, signal.SIGCONT)
        asyncio.run(self._wait())
        ended = self._stage.rows(
            "SELECT status, count(*) AS jobs, (extract(epoch FROM max(completed_at)) * 1000000)::bigint AS at"
            " FROM observation_generation_jobs WHERE created_at <= to_timestamp($1::float8 / 1000000)"
            " AND completed_at >= to_timestamp($1::float8 / 1000000) GROUP BY status",
            begun_us,
        )
        if [(row["status"], row["jobs"]) for row in ended] != [("completed", jobs)]:
            raise RuntimeError(f"{jobs} jobs ended as {[tuple(row) for row in ended]}")
        return Drained(
            rate=jobs / ((ended[0]["at"] - begun_us) / 1_000_000),
            cpu_ms=1000 * (cpu_seconds(self._process.pid) - cpu) / jobs,
            postgres_cpu_ms=1000 * (self._stage.postgres.cpu_seconds() - postgres_cpu) / jobs,
        )

    async def _wait(self) -> None:
        connection = await asyncpg.connect(self._stage.database_url)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while await connection.fetchval(_OPEN_JOBS):  # noqa: ASYNC110 - other processes change it
                    await asyncio.sleep(LOOK_AGAIN_S)
        finally:
            await connection.close()


def latencies(stage: Stage, *, events: int) -> list[float]:
    """Seconds from an event sent with `wait=true` to its answer, which comes once the observation can be seen."""
    found = []
    pauses = random.Random(1)  # noqa: S311 - filler
    with httpx.Client(base_url=stage.url, headers={"Authorization": f"Bearer {stage.key}"}) as client:
        for number in range(events):
            body = event_body(number, project_id=stage.project)
            time.sleep(pauses.uniform(0, PAUSE_S))
            started = time.perf_counter()
            answer = client.post("/v1/events", params={"wait": "true"}, json=body, timeout=30)
            found.append(time.perf_counter() - started)
            event = answer.raise_for_status().json()["event"]["id"]
            seen = client.get(f"/v1/events/{event}/observations").raise_for_status().json()
            if len(seen["observations"]) != 1:
                raise RuntimeError(f"the event {event} has {len(seen['observations'])} observations")
    return found
