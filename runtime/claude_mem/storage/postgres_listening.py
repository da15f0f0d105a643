"""Notifications from PostgreSQL, over a connection outside the pool that is replaced whenever it breaks."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import asyncpg

from claude_mem.storage.postgres_errors import CONNECTION_LOST

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

#: Seconds before a broken listening connection is made anew; waiters look for themselves meanwhile.
RELISTEN_S = 1.0


async def keep_listening(
    options: dict[str, Any], channel: str, *, callback: Callable[[str], None], listening: asyncio.Event
) -> None:
    """Call back with each payload notified on the channel, until cancelled.

    Parameters:
        options: what a connection is made with.
        listening: is set once the first connection listens.
    """
    while True:
        try:
            connection = await asyncpg.connect(**options)
            try:
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener(channel, _listener(callback))
                listening.set()
                await lost.wait()
            finally:
                connection.terminate()
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            logger.info(
                "listening is interrupted", extra={"channel": channel, "reason": type(error).__name__}
            )
        await asyncio.sleep(RELISTEN_S)


def _listener(callback: Callable[[str], None]) -> Callable[..., None]:
    def heard(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
        callback(str(payload))

    return heard
