"""Valkey or Redis as the transport. Its state never holds up a request: whatever it does, the rows are in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from claude_mem.model.errors import Unavailable
from claude_mem.queue.port import QueueState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import Lane

#: Seconds to connect to, and to hear from, the server.
TIMEOUT_S = 1.0


class ValkeyQueue:
    """A transport on a server of its own.

    Parameters:
        url: `redis://` or `rediss://`, which may hold a password; only host and port are ever shown.
        prefix: of every key.
    """

    def __init__(self, url: str, *, prefix: str) -> None:
        self._client: Redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        parts = urlsplit(url)
        self.state = QueueState(
            "active",
            "jobs travel by Valkey; the database keeps them",
            {
                "engine": "dramatiq",
                "mode": "external",
                "host": parts.hostname or "127.0.0.1",
                "port": parts.port or 6379,
                "prefix": prefix,
            },
        )

    async def publish(self, lane: Lane, job_ids: Sequence[str]) -> bool:  # noqa: ARG002 - the port's shape
        return False

    async def withdraw(self, lane: Lane, job_id: str) -> None:
        """Nothing is held, so nothing is forgotten."""

    async def ping(self, *, timeout_s: float) -> None:  # noqa: ARG002 - the client's own timeout is shorter
        try:
            await self._client.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable("Valkey does not answer", dependency="valkey") from error

    async def close(self) -> None:
        await self._client.aclose()
