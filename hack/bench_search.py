"""Measures search over 50,000 memories of one project on a real PostgreSQL, and what the search index costs a write.

Searches: two to eight words drawn by Zipf's law, one at a time and 16 at a time. Writes: processor time of the server and
of PostgreSQL for each `POST /v1/memories`, until all of them are indexed, against the same with the index's
triggers off, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import asyncpg
from rich.console import Console

from hack.bench_search_load import MEMORY_WORDS, Outcome, Words
from hack.bench_search_server import Serving
from tests.support.postgres import PostgresServer
from tests.support.processes import cpu_seconds, wait_until

P50_MS, P95_MS, RATE, COST = 8.0, 20.0, 400.0, 1.5
FOLDED_SECONDS = 300
TRIGGERS = ("added", "removed", "changed")

console = Console(stderr=True)


class Bench:
    """A server with a project, on a PostgreSQL that others may use too."""

    def __init__(self, postgres: PostgresServer, serving: Serving) -> None:
        self._postgres = postgres
        self._serving = serving
        self._seeds = iter(range(1000, 2000))

    def query(self, statement: str) -> list[str]:
        """Run SQL."""
        return self._postgres.query(self._serving.database_url, statement)

    def fill(self, memories: int) -> float:
        """Store memories as another writer would; seconds until all of them are indexed."""
        asyncio.run(self._insert(memories))
        started = time.monotonic()
        self.wait_until_folded()
        seconds = time.monotonic() - started
        self.query("VACUUM ANALYZE")
        return seconds

    async def _insert(self, memories: int) -> None:
        words = Words(0)
        project = self._serving.project
        connection = await asyncpg.connect(self._serving.database_url)
        try:
            team = await connection.fetchval("SELECT team_id FROM projects WHERE id = $1", project)
            rows = [
                (f"memory-{number}", project, team, words.draw(MEMORY_WORDS)) for number in range(memories)
            ]
            await connection.copy_records_to_table(
                "observations", records=rows, columns=("id", "project_id", "team_id", "content")
            )
        finally:
            await connection.close()

    def wait_until_folded(self) -> None:
        """Wait until no change waits for the index."""
        wait_until(
            lambda: self.query("SELECT count(*) FROM search_changes") == ["0"],
            what="the memories to be indexed",
            timeout=FOLDED_SECONDS,
        )

    def load(self, what: str, *, requests: int, connections: int) -> Outcome:
        """Send requests from another process."""
        options = {
            "port": self._serving.port,
            "project": self._serving.project,
            "requests": requests,
            "connections": connections,
            "seed": next(self._seeds),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        done = subprocess.run(
            [sys.executable, "-m", "hack.bench_search_load", what, *arguments],
            capture_output=True,
            check=False,
            env={**self._serving.environment, "CLAUDE_MEM_SERVER_API_KEY": self._serving.key},
            text=True,
            timeout=600,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return Outcome(**json.loads(done.stdout))

    def write_cost(self, memories: int, *, indexed: bool) -> float:
        """Milliseconds of processor time for each memory written, with the index's share or without."""
        able = "ENABLE" if indexed else "DISABLE"
        for trigger in TRIGGERS:
            self.query(f"ALTER TABLE observations {able} TRIGGER observations_search_{trigger}")
        self.query("CHECKPOINT")
        before = self.cpu_seconds()
        self.load("write", requests=memories, connections=16)
        self.wait_until_folded()
        return 1000 * (self.cpu_seconds() - before) / memories

    def cpu_seconds(self) -> float:
        """Processor time of the server and of PostgreSQL so far."""
        return cpu_seconds(self._serving.process.pid) + self._postgres.cpu_seconds()


def main() -> int:
    """Measure, print, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m hack.bench_search", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON only")
    parser.add_argument("--memories", type=int, default=50_000)
    parser.add_argument("--searches", type=int, default=4000, help="searches of a measurement")
    parser.add_argument("--writes", type=int, default=3000, help="memories of a measurement of writes")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take medians over")
    arguments = parser.parse_args()
    console.quiet = arguments.json
    with PostgresServer() as postgres:
        with Serving(postgres) as serving:
            searched = _search(Bench(postgres, serving), arguments)
        with Serving(postgres) as serving:
            written = _write(Bench(postgres, serving), arguments)
    report = searched | written
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    return 0 if all(figure.get("met", True) for figure in report.values()) else 1


def _search(bench: Bench, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    folding = bench.fill(arguments.memories)
    console.print(f"{arguments.memories:,} memories were indexed in {folding:.1f} s", highlight=False)
    bench.load("search", requests=200, connections=4)
    alone, together, spent = [], [], []
    for number in range(1, arguments.rounds + 1):
        alone.append(bench.load("search", requests=arguments.searches // 4, connections=1))
        before = bench.cpu_seconds()
        together.append(bench.load("search", requests=arguments.searches, connections=16))
        spent.append(1000 * (bench.cpu_seconds() - before) / arguments.searches)
        rate = together[-1].requests / together[-1].seconds
        console.print(
            f"round {number}: p50 {alone[-1].p50_ms:.1f} ms, p95 {alone[-1].p95_ms:.1f} ms, "
            f"{rate:.0f} searches/s at 16, {spent[-1]:.2f} ms of processor time each",
            highlight=False,
        )
    p50 = statistics.median(one.p50_ms for one in alone)
    p95 = statistics.median(one.p95_ms for one in alone)
    rate = statistics.median(one.requests / one.seconds for one in together)
    return {
        "indexing": {"value": folding, "unit": "s"},
        "p50 alone": {"value": p50, "unit": "ms", "target": P50_MS, "met": p50 < P50_MS},
        "p95 alone": {"value": p95, "unit": "ms", "target": P95_MS, "met": p95 < P95_MS},
        "16 at a time": {"value": rate, "unit": "searches/s", "target": RATE, "met": rate >= RATE},
        "a search": {"value": statistics.median(spent), "unit": "ms of processor time"},
    }


def _write(bench: Bench, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    bench.load("write", requests=500, connections=16)
    bench.wait_until_folded()
    with_index, without = [], []
    for number in range(1, arguments.rounds + 1):
        without.append(bench.write_cost(arguments.writes, indexed=False))
        with_index.append(bench.write_cost(arguments.writes, indexed=True))
        console.print(
            f"round {number}: {with_index[-1]:.2f} ms a write, {without[-1]:.2f} ms without the index",
            highlight=False,
        )
    more, less = statistics.median(with_index), statistics.median(without)
    return {
        "a write": {"value": more, "unit": "ms of processor time"},
        "a write without the index": {"value": less, "unit": "ms of processor time"},
        "write cost": {"value": more / less, "unit": "times", "target": COST, "met": more / less < COST},
    }


def _print(report: dict[str, dict[str, Any]]) -> None:
    print(f"{os.cpu_count()} cores")
    for name, figure in report.items():
        target = (
            f" (target {figure['target']:g}: {'met' if figure['met'] else 'MISSED'})"
            if "met" in figure
            else ""
        )
        print(f"{name}: {figure['value']:.2f} {figure['unit']}{target}")


if __name__ == "__main__":
    sys.exit(main())
