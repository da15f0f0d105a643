"""Good environments of both roles, inside and outside containers, and what is made of a change to one."""

from __future__ import annotations

from collections.abc import Collection

from claude_mem.environment import Role, Verdict, check

DATABASE = "postgresql://app:s3cret@db.example.com:5432/memory"
REDIS = "redis://:hunter2@valkey.example.com:6379/0"
KEY = "sk-ant-api03-not-a-real-key"

SERVER_CONTAINER = {
    "CLAUDE_MEM_RUNTIME": "server",
    "CLAUDE_MEM_QUEUE_ENGINE": "dramatiq",
    "CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE,
    "CLAUDE_MEM_REDIS_URL": REDIS,
    "CLAUDE_MEM_GENERATION_DISABLED": "true",
}
WORKER_CONTAINER = {**SERVER_CONTAINER, "CLAUDE_MEM_SERVER_PROVIDER": "claude", "ANTHROPIC_API_KEY": KEY}
HOST = {"CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE}
HOST_WORKER = {**HOST, "CLAUDE_MEM_SERVER_PROVIDER": "claude", "ANTHROPIC_API_KEY": KEY}

BASES = {
    ("server", True): SERVER_CONTAINER,
    ("worker", True): WORKER_CONTAINER,
    ("server", False): HOST,
    ("worker", False): HOST_WORKER,
}
EVERYWHERE = tuple(BASES)
CONTAINERS = (("server", True), ("worker", True))
HOSTS = (("server", False), ("worker", False))
SERVERS = (("server", True), ("server", False))
WORKERS = (("worker", True), ("worker", False))

Place = tuple[str, bool]
Change = dict[str, str | None]


def judge(change: Change, place: Place, *, opaque: Collection[str] = ()) -> Verdict:
    """What is told of the good environment of a place after a change; None takes a variable away."""
    environ = {**BASES[place], **{name: value for name, value in change.items() if value is not None}}
    for name, value in change.items():
        if value is None:
            environ.pop(name, None)
    return check(environ, role=Role(place[0]), container=place[1], opaque=opaque)
