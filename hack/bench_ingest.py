"""Measures ingest over HTTP against bare asyncpg, on one real PostgreSQL and the same tables, in one run.

Each round takes four measurements in turn, and medians over the rounds are compared: a machine that is slow
for a while is slow for both sides. The server is the real process in its deployable mode, generation off.
A warm-up comes first, and the statistics that PostgreSQL's autovacuum would have gathered within a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from rich.console import Console
from rich.table import Table

from hack import bench_bare
from hack.bench_load import Outcome
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.processes import Process, cpu_seconds

PROGRAM = str(Path(sys.executable).with_name("claude-mem"))
GROUP = 500
BARE_CONNECTIONS = 16
HTTP_CONNECTIONS = 64
GROUP_CONNECTIONS = 4
SINGLE_TARGET = 1.5
BATCH_TARGET = 0.6
LOAD_SECONDS = 300

console = Console()


class Measured(NamedTuple):
    """One measurement: what the load took, and processor time in milliseconds per event."""

    outcome: Outcome
    server_cpu_ms: float
    postgres_cpu_ms: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.outcome.events / self.outcome.seconds


class Bench:
    """A PostgreSQL and a server on it, with a key."""

    def __init__(self, stack: ExitStack) -> None:
        self.postgres = stack.enter_context(PostgresServer())
        self.url = self.postgres.create_database()
        self.port = free_port()
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="claude-mem-bench-"))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CLAUDE_MEM_")},
            "CLAUDE_MEM_DATA_DIR": data,
            "CLAUDE_MEM_DOCKER": "0",
            "CLAUDE_MEM_GENERATION_DISABLED": "true",
            "CLAUDE_MEM_LOG_LEVEL": "WARN",
            "CLAUDE_MEM_SERVER_DATABASE_URL": self.url,
            "CLAUDE_MEM_SERVER_PORT": str(self.port),
        }
        self.server = stack.enter_context(Process([PROGRAM, "server", "--daemon"], env=self.environment))
        self.server.wait_for_http(f"http://127.0.0.1:{self.port}/readyz")
        made = self._output(
            PROGRAM, "server", "api-key", "create", "--name", "bench", "--json", "--scope", "memories:write"
        )
        key: dict[str, Any] = json.loads(made)
        self.environment["CLAUDE_MEM_SERVER_API_KEY"] = key["key"]
        self.project = str(key["projectId"])
        asyncio.run(bench_bare.prepare(self.url))

    def warm_up(self) -> None:
        """Write some events both ways, and let PostgreSQL know its tables."""
        self.bare(GROUP, GROUP)
        self.http(GROUP, 1)
        self.postgres.query(self.url, "ANALYZE")

    def bare(self, events: int, group: int) -> Outcome:
        """Write events with bare asyncpg."""
        if group == 1:
            return uvloop.run(bench_bare.one_by_one(self.url, events=events, connections=BARE_CONNECTIONS))
        return uvloop.run(
            bench_bare.in_groups(self.url, events=events, group=group, connections=GROUP_CONNECTIONS)
        )

    def http(self, events: int, group: int) -> Outcome:
        """Send events over HTTP from another process, and see that all of them were stored."""
        before = self._stored()
        connections = HTTP_CONNECTIONS if group == 1 else GROUP_CONNECTIONS
        options = {
            "port": self.port,
            "project": self.project,
            "events": events,
            "batch": group,
            "connections": connections,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        outcome = Outcome(**json.loads(self._output(sys.executable, "-m", "hack.bench_load", *arguments)))
        stored = self._stored() - before
        if stored != events:
            raise RuntimeError(f"{events} events were answered with 201, and {stored} have a row and a job")
        return outcome

    def measure(self, load: Callable[[int, int], Outcome], *, events: int, group: int) -> Measured:
        """Run a load and take the processor time of the server and of PostgreSQL over it."""
        self.postgres.query(self.url, "CHECKPOINT")
        server, postgres = cpu_seconds(self.server.pid), self.postgres.cpu_seconds()
        outcome = load(events, group)
        return Measured(
            outcome=outcome,
            server_cpu_ms=1000 * (cpu_seconds(self.server.pid) - server) / events,
            postgres_cpu_ms=1000 * (self.postgres.cpu_seconds() - postgres) / events,
        )

    def _stored(self) -> int:
        joined = "agent_events e JOIN observation_generation_jobs j ON j.agent_event_id = e.id"
        counted = f"SELECT count(*) FROM {joined} WHERE e.project_id = '{self.project}'"  # noqa: S608 - our own id
        return int(self.postgres.query(self.url, counted)[0])

    def _output(self, *command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, check=False, env=self.environment, text=True, timeout=LOAD_SECONDS
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout


def main() -> int:
    """Measure, print, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m hack.bench_ingest", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON only")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take medians over")
    parser.add_argument("--single", type=int, default=4000, help="events of a measurement one by one")
    parser.add_argument("--batched", type=int, default=20000, help="events of a measurement in groups")
    arguments = parser.parse_args()
    talk = Console(stderr=True, quiet=arguments.json)
    plan = {
        "bare, one by one": ("bare", arguments.single, 1),
        "HTTP, one by one": ("http", arguments.single, 1),
        f"bare, groups of {GROUP}": ("bare", arguments.batched, GROUP),
        f"HTTP, batches of {GROUP}": ("http", arguments.batched, GROUP),
    }
    measured: dict[str, list[Measured]] = {name: [] for name in plan}
    with ExitStack() as stack:
        bench = Bench(stack)
        bench.warm_up()
        for number in range(1, arguments.rounds + 1):
            for name, (kind, events, group) in plan.items():
                load = bench.bare if kind == "bare" else bench.http
                result = bench.measure(load, events=events, group=group)
                measured[name].append(result)
                talk.print(f"round {number}: {name}: {result.rate:,.0f} events/s", highlight=False)
        version = bench.postgres.major_version
    report = _report(measured, postgres_version=version)
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    return 0 if all(ratio["met"] for ratio in report["ratios"].values()) else 1


def _report(measured: dict[str, list[Measured]], *, postgres_version: int) -> dict[str, Any]:
    loads = {}
    for name, results in measured.items():
        loads[name] = {
            "eventsPerSecond": statistics.median(result.rate for result in results),
            "serverCpuMsPerEvent": statistics.median(result.server_cpu_ms for result in results),
            "postgresCpuMsPerEvent": statistics.median(result.postgres_cpu_ms for result in results),
            "p50Ms": statistics.median(result.outcome.p50_ms for result in results),
            "p99Ms": statistics.median(result.outcome.p99_ms for result in results),
        }
    rates = [load["eventsPerSecond"] for load in loads.values()]
    ratios = {
        "single": {"ratio": rates[1] / rates[0], "target": SINGLE_TARGET},
        "batch": {"ratio": rates[3] / rates[2], "target": BATCH_TARGET},
    }
    return {
        "postgres": postgres_version,
        "cores": os.cpu_count(),
        "loads": loads,
        "ratios": {
            name: {**ratio, "met": ratio["ratio"] >= ratio["target"]} for name, ratio in ratios.items()
        },
    }


def _print(report: dict[str, Any]) -> None:
    table = Table(
        title=f"Ingest on PostgreSQL {report['postgres']}, {report['cores']} cores", title_justify="left"
    )
    table.add_column("Load", no_wrap=True)
    for heading in ("Events/s", "Server CPU", "Postgres CPU", "p50", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, load in report["loads"].items():
        server = f"{load['serverCpuMsPerEvent']:.3f}" if name.startswith("HTTP") else ""
        latencies = (f"{load['p50Ms']:.1f}", f"{load['p99Ms']:.1f}")
        rate, postgres = f"{load['eventsPerSecond']:,.0f}", f"{load['postgresCpuMsPerEvent']:.3f}"
        table.add_row(name, rate, server, postgres, *latencies)
    console.print(table)
    console.print(
        "Processor time and latencies are in milliseconds, the first per event, the others per request."
    )
    for name, ratio in report["ratios"].items():
        verdict = "met" if ratio["met"] else "MISSED"
        console.print(f"{name}: HTTP / bare = {ratio['ratio']:.2f} (target {ratio['target']:.1f}: {verdict})")


if __name__ == "__main__":
    sys.exit(main())
