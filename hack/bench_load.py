"""Sends events over HTTP as fast as they are taken, and prints what that took as JSON.

It runs in a process of its own, makes every request before the first is sent, and speaks HTTP/1.1 on raw
connections, so that as little as possible of the machine goes to the generator of the load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import uvloop

HEADER_END = b"\r\n\r\n"
WORDS = (
    *(
        "attempt",
        "backoff",
        "budget",
        "cache",
        "claim",
        "client",
        "commit",
        "connection",
        "cursor",
        "deadline",
    ),
    *(
        "event",
        "handler",
        "index",
        "job",
        "lease",
        "lock",
        "message",
        "migration",
        "outbox",
        "payload",
        "pool",
    ),
    *(
        "query",
        "queue",
        "relay",
        "reply",
        "retry",
        "row",
        "schema",
        "session",
        "storage",
        "timeout",
        "worker",
    ),
)


class LoadError(Exception):
    """Raised when the server does not take an event; the message holds its answer."""


class Outcome(NamedTuple):
    """What one load took. Latencies are of requests, in milliseconds."""

    events: int
    seconds: float
    p50_ms: float
    p99_ms: float


def tool_payload(number: int) -> dict[str, Any]:
    """The payload of a tool's event as hooks send it, of about 1 KB, its own for each number."""
    chance = random.Random(number)  # noqa: S311 - filler
    lines = [f"    {' '.join(chance.choices(WORDS, k=8))}" for _ in range(12)]
    return {
        "tool_name": "Read",
        "tool_input": {"file_path": f"/home/dev/orders-service/orders/module_{number % 400}.py"},
        "tool_response": {"type": "text", "file": {"content": "\n".join(lines), "startLine": number % 900}},
        "cwd": "/home/dev/orders-service",
        "platformSource": "claude",
    }


def event_body(number: int, *, project_id: str) -> dict[str, Any]:
    """The body of POST /v1/events for one such event."""
    return {
        "projectId": project_id,
        "sourceType": "hook",
        "sourceEventId": f"bench-{os.getpid()}-{number}",
        "eventType": "tool_use",
        "occurredAtEpoch": int(time.time() * 1000),
        "platformSource": "claude",
        "payload": tool_payload(number),
    }


def requests(*, host: str, key: str, project_id: str, events: int, batch: int) -> list[bytes]:
    """The requests that send ``events`` events, one by one or in groups of ``batch``."""
    bodies = [event_body(number, project_id=project_id) for number in range(events)]
    groups: list[Any] = (
        bodies if batch == 1 else [bodies[start : start + batch] for start in range(0, events, batch)]
    )
    path = "/v1/events" if batch == 1 else "/v1/events/batch"
    made = []
    for group in groups:
        content = json.dumps(group, separators=(",", ":")).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        made.append(head.encode() + content)
    return made


class Connection(asyncio.Protocol):
    """Sends one request after the other, taking the next from what all connections share."""

    def __init__(self, waiting: Iterator[bytes], latencies: list[float]) -> None:
        self._waiting = waiting
        self._latencies = latencies
        self._answer = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Send the next request once the answer to the last is complete."""
        self._answer += data
        head, separator, content = self._answer.partition(HEADER_END)
        if not separator or len(content) < _content_length(head):
            return
        self._latencies.append(time.perf_counter() - self._sent_at)
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            self._fail(f"the server answered {self._answer[:500].decode(errors='replace')}")
            return
        self._answer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Say so when the server hung up."""
        self._fail(f"the server closed the connection ({error})")

    def _send(self) -> None:
        request = next(self._waiting, None)
        if request is None:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def _fail(self, message: str) -> None:
        if not self.done.done():
            self.done.set_exception(LoadError(message))
        self._transport.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise LoadError(f"an answer without Content-Length: {head.decode(errors='replace')}")


async def send(made: list[bytes], *, port: int, connections: int) -> tuple[float, list[float]]:
    """Send the requests over a number of connections to 127.0.0.1.

    Returns: the seconds that it took, and each request's latency in seconds.
    """
    waiting = iter(made)
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        await loop.create_connection(lambda: Connection(waiting, latencies), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in opened))
    return time.perf_counter() - started, latencies


async def run(made: list[bytes], *, port: int, connections: int, events: int) -> Outcome:
    """Send the requests and return what it took."""
    seconds, latencies = await send(made, port=port, connections=connections)
    p50, p99 = percentiles(latencies)
    return Outcome(events=events, seconds=seconds, p50_ms=p50, p99_ms=p99)


def percentiles(latencies: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile of latencies in seconds, in milliseconds."""
    ordered = sorted(latencies)
    return (
        1000 * ordered[len(ordered) // 2],
        1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
    )


def main() -> None:
    """Take the load's measures from the arguments and the key from the environment."""
    parser = argparse.ArgumentParser(prog="python -m hack.bench_load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--connections", type=int, required=True)
    arguments = parser.parse_args()
    made = requests(
        host=f"127.0.0.1:{arguments.port}",
        key=os.environ["CLAUDE_MEM_SERVER_API_KEY"],
        project_id=arguments.project,
        events=arguments.events,
        batch=arguments.batch,
    )
    try:
        outcome = uvloop.run(
            run(made, port=arguments.port, connections=arguments.connections, events=arguments.events)
        )
    except LoadError as error:
        sys.exit(f"bench_load: {error}")
    print(json.dumps(outcome._asdict()))


if __name__ == "__main__":
    main()
