"""Sends searches or memories over HTTP as fast as they are taken, and prints what that took as JSON.

A process of its own, as `hack.bench_load` is. Words are drawn by Zipf's law from a made-up vocabulary, the same here and in
the memories that `hack.bench_search` stores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import string
import sys
from typing import Any, NamedTuple

import uvloop

from hack.bench_load import LoadError, send

VOCABULARY = 20_000
MEMORY_WORDS = 120


class Outcome(NamedTuple):
    """What one load took. Latencies are of requests, in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float


class Words:
    """Draws words: the n-th most frequent is drawn with a chance in proportion to 1/n."""

    def __init__(self, seed: int) -> None:
        made = random.Random(1)  # noqa: S311 - the same vocabulary everywhere
        letters = string.ascii_lowercase
        self._words = ["".join(made.choices(letters, k=made.randint(3, 9))) for _ in range(VOCABULARY)]
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
        self._chance = random.Random(seed)  # noqa: S311 - filler

    def draw(self, count: int) -> str:
        """So many words, parted by spaces."""
        return " ".join(self._chance.choices(self._words, cum_weights=self._weights, k=count))

    def question(self) -> str:
        """Two to eight words."""
        return self.draw(self._chance.randint(2, 8))


def requests(path: str, bodies: list[dict[str, Any]], *, host: str, key: str) -> list[bytes]:
    """The requests that post these bodies."""
    made = []
    for body in bodies:
        content = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        made.append(head.encode() + content)
    return made


async def run(made: list[bytes], *, port: int, connections: int) -> Outcome:
    """Send the requests over a number of connections to 127.0.0.1."""
    seconds, latencies = await send(made, port=port, connections=connections)
    ordered = sorted(latencies)
    p50, p95 = (1000 * ordered[len(ordered) * percent // 100] for percent in (50, 95))
    return Outcome(len(made), seconds, p50, p95)


def main() -> None:
    """Take the load's measures from the arguments and the key from the environment."""
    parser = argparse.ArgumentParser(prog="python -m hack.bench_search_load")
    parser.add_argument("what", choices=("search", "write"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    words = Words(arguments.seed)
    searching = arguments.what == "search"
    bodies = [
        {"projectId": arguments.project}
        | ({"query": words.question()} if searching else {"content": words.draw(MEMORY_WORDS)})
        for _ in range(arguments.requests)
    ]
    path = "/v1/search" if searching else "/v1/memories"
    host, key = f"127.0.0.1:{arguments.port}", os.environ["CLAUDE_MEM_SERVER_API_KEY"]
    made = requests(path, bodies, host=host, key=key)
    try:
        outcome = uvloop.run(run(made, port=arguments.port, connections=arguments.connections))
    except LoadError as error:
        sys.exit(f"bench_search_load: {error}")
    print(json.dumps(outcome._asdict()))


if __name__ == "__main__":
    main()
