"""Runs the fault test and prints what it found; the exit code says whether all was well.

`make chaos` is the full size. A seed repeats what is killed, when, and what is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.chaos import faults
from tests.chaos.verdict import Verdict


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Kill everything in turn while events come in, and judge the rest."
    )
    parser.add_argument("--small", action="store_true", help="the size that fits into CI")
    parser.add_argument("--events", type=int, help="events to send")
    parser.add_argument("--kills", type=int, help="processes to kill")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat it")
    parser.add_argument("--logs", type=Path, default=None, help="where the processes' logs are left")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> Verdict:
    plan = faults.SMALL if arguments.small else faults.FULL
    changes = {"events": arguments.events, "kills": arguments.kills}
    plan = replace(plan, **{name: value for name, value in changes.items() if value is not None})
    seed = random.randrange(1_000_000) if arguments.seed is None else arguments.seed  # noqa: S311 - no secret
    directory = arguments.logs or Path(tempfile.mkdtemp(prefix="claude-mem-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    print(f"seed {seed}, {plan.events} events, {plan.kills} kills, logs in {directory}")
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {line}", flush=True)

    return await faults.run(plan, seed=seed, directory=directory, tell=tell)


def main() -> None:
    """Run one fault test."""
    os.environ.setdefault("CLAUDE_MEM_DOCKER", "0")
    verdict = asyncio.run(_run(_arguments()))
    for name, figure in verdict.figures.items():
        print(f"{name:>16}  {figure}")
    for breach in verdict.breaches:
        print(f"BREACH: {breach}")
    sys.exit(1 if verdict.breaches else 0)


if __name__ == "__main__":
    main()
