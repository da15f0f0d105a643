"""Measures a worker against bare calls of the same SDK, on real PostgreSQL and Valkey, in one run.

Each round takes every measurement in turn, and medians over the rounds are reported: a machine that is slow for a
while is slow for both sides. The provider answers always the same, at once or after a second; what the worker does
besides asking it (taking jobs, prompts, budgets, keeping replies, parsing, storing) is all there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.table import Table

from hack import bench_session
from hack.bench_stage import Drained, Stage, latencies

CONCURRENCY = 32
#: Events until every connection of server and worker has met its statements.
WARM_UP_EVENTS = 60
RATE_TARGET = 400.0
BARE_TARGET = 0.6
SLOW_TARGET = 30.0
WAIT_TARGET_MS = 25.0

console = Console(width=max(100, Console().width))


def main() -> int:
    """Measure, print, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m hack.bench_worker", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON only")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take medians over")
    parser.add_argument("--jobs", type=int, default=2000, help="jobs with a provider that answers at once")
    parser.add_argument("--slow-jobs", type=int, default=640, help="jobs with a provider that takes a second")
    parser.add_argument("--events", type=int, default=60, help="events sent with wait=true, one by one")
    arguments = parser.parse_args()
    report = measure(arguments, Console(stderr=True, quiet=arguments.json))
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    return 0 if all(verdict["met"] for verdict in report["verdicts"].values()) else 1


def measure(arguments: argparse.Namespace, talk: Console) -> dict[str, Any]:
    """Take all measurements."""
    rounds = Rounds(talk)
    with ExitStack() as stack:
        stage = Stage(stack)
        quick, slow = stage.provider(delay_ms=0), stage.provider(delay_ms=1000)
        for number in range(1, arguments.rounds + 1):
            talk.print(f"round {number}")
            with stage.worker(quick) as worker:
                # Bare calls on both sides of the worker's, so that neither has the better of a changing machine.
                rounds.add_bare(_bare(stage, quick, calls=arguments.jobs // 2))
                rounds.add("quick", worker.measure(arguments.jobs))
                rounds.add_bare(_bare(stage, quick, calls=arguments.jobs // 2))
                latencies(stage, events=WARM_UP_EVENTS)
                rounds.add_waits(latencies(stage, events=arguments.events))
                rounds.peak_rss_mb.append(worker.peak_rss_mb)
            with stage.worker(slow) as worker:
                rounds.add("slow", worker.measure(arguments.slow_jobs))
        talk.print("the recorded session")
        session = asyncio.run(bench_session.measure(stage))
        version = stage.postgres.major_version
    return _report(rounds, session) | {"postgres": version, "cores": os.cpu_count()}


def _bare(stage: Stage, url: str, *, calls: int) -> dict[str, float]:
    options = {"url": url, "calls": calls, "concurrency": CONCURRENCY}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    made: dict[str, float] = json.loads(stage.output(sys.executable, "-m", "hack.bench_calls", *arguments))
    return made


class Rounds:
    """What the rounds brought so far."""

    def __init__(self, talk: Console) -> None:
        self._talk = talk
        self.bare: list[dict[str, float]] = []
        self.drained: dict[str, list[Drained]] = {"quick": [], "slow": []}
        self.waits_ms: list[float] = []
        self.peak_rss_mb: list[float] = []

    def add_bare(self, made: dict[str, float]) -> None:
        """Note a round of bare calls."""
        self.bare.append(made)
        self._say(f"bare calls: {made['rate']:.0f} a second")

    def add(self, name: str, drained: Drained) -> None:
        """Note a queue that was worked off."""
        self.drained[name].append(drained)
        self._say(f"{name} provider: {drained.rate:.1f} jobs a second")

    def add_waits(self, seconds: list[float]) -> None:
        """Note how long events took to become visible."""
        self.waits_ms += [1000 * each for each in seconds]
        self._say(f"wait=true: {1000 * statistics.median(seconds):.1f} ms")

    def _say(self, words: str) -> None:
        self._talk.print(f"  {words}", highlight=False)


def _report(rounds: Rounds, session: dict[str, Any]) -> dict[str, Any]:
    loads = {
        name: {
            field: statistics.median(getattr(drained, field) for drained in results)
            for field in Drained._fields
        }
        for name, results in rounds.drained.items()
    }
    bare = {name: statistics.median(made[name] for made in rounds.bare) for name in rounds.bare[0]}
    of_bare = statistics.median(
        worker.rate / statistics.harmonic_mean([before["rate"], after["rate"]])
        for worker, before, after in zip(
            rounds.drained["quick"], rounds.bare[::2], rounds.bare[1::2], strict=True
        )
    )
    waits = statistics.quantiles(rounds.waits_ms, n=100)
    rate, slow = loads["quick"]["rate"], loads["slow"]["rate"]
    checks = {
        "throughput": (
            f"{rate:.0f} jobs/s, {of_bare:.2f} of bare",
            f"{RATE_TARGET:.0f} jobs/s or {BARE_TARGET} of bare",
            rate >= RATE_TARGET or of_bare >= BARE_TARGET,
        ),
        "slowProvider": (f"{slow:.1f} jobs/s", f"{SLOW_TARGET:.0f} jobs/s", slow >= SLOW_TARGET),
        "wait": (f"{waits[49]:.1f} ms", f"under {WAIT_TARGET_MS:.0f} ms", waits[49] < WAIT_TARGET_MS),
        **_session_checks(session),
    }
    return {
        "bare": bare,
        "loads": loads,
        "ofBare": of_bare,
        "waitMs": {"p50": waits[49], "p90": waits[89], "p99": waits[98]},
        "peakRssMb": max(rounds.peak_rss_mb),
        "session": session,
        "verdicts": {
            name: {"measured": measured, "target": target, "met": met}
            for name, (measured, target, met) in checks.items()
        },
    }


def _session_checks(session: dict[str, Any]) -> dict[str, tuple[str, str, bool]]:
    calls, tokens, missed = session["callShare"], session["tokenShare"], session["missed"]
    return {
        "sessionCalls": (
            f"{calls:.2f}",
            f"at most {bench_session.SHARE_TARGET}",
            calls <= bench_session.SHARE_TARGET,
        ),
        "sessionTokens": (
            f"{tokens:.2f}",
            f"at most {bench_session.SHARE_TARGET}",
            tokens <= bench_session.SHARE_TARGET,
        ),
        "sessionCovered": (f"{session['matter'] - len(missed)} events", f"{session['matter']}", not missed),
    }


_NAMES = {
    "throughput": "Provider answering at once",
    "slowProvider": "Provider taking 1 s",
    "wait": "Event to observation, p50",
    "sessionCalls": "Session: all calls, per event",
    "sessionTokens": "Session: all tokens, of a call an event",
    "sessionCovered": "Session: events that matter, covered",
}


def _print(report: dict[str, Any]) -> None:
    title = f"One worker on PostgreSQL {report['postgres']} and Valkey, {report['cores']} cores"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    table.add_column("Measured", justify="right")
    table.add_column("Target", justify="right")
    table.add_column("", no_wrap=True, min_width=6)
    for name, verdict in report["verdicts"].items():
        said = "met" if verdict["met"] else "MISSED"
        table.add_row(_NAMES[name], verdict["measured"], verdict["target"], said)
    console.print(table)
    quick, bare, session = report["loads"]["quick"], report["bare"], report["session"]
    console.print(
        f"Processor time: {quick['cpu_ms']:.2f} ms a job in the worker and {quick['postgres_cpu_ms']:.2f} ms in "
        f"PostgreSQL; {bare['cpuMs']:.2f} ms a bare call, {bare['rate']:.0f} of them a second. "
        f"Peak memory: {report['peakRssMb']:.0f} MiB.",
        highlight=False,
    )
    console.print(
        f"The recorded session: {session['events']} events in {session['calls']} calls with "
        f"{session['inputTokens']:,} input tokens, {session['inputTokensOfOneCallPerEvent']:,} in calls of their "
        f"own; besides, {session['summaryCalls']} summaries with {session['summaryInputTokens']:,}. Without summaries "
        f"{session['callShareOfEvents']:.2f} of the calls and {session['tokenShareOfEvents']:.2f} of the tokens. "
        f"Missed: {', '.join(session['missed']) or 'none'}.",
        highlight=False,
    )


if __name__ == "__main__":
    sys.exit(main())
