"""Dramatiq on Valkey or Redis: how jobs are announced to workers, and how workers hear of them.

A message is a job's id. It says that there is something to do; what that is, and whether it still is to be done, the
database says. So messages may be lost, repeated, or come in any order, and a batch of jobs needs only some of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from redis import Redis
from redis.exceptions import RedisError

from claude_mem.model.errors import Unavailable
from claude_mem.queue.port import LANE_NAMES, LANES, QueueState

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from claude_mem.model.records import Lane

logger = logging.getLogger(__name__)

#: Seconds to connect to, and to hear from, the server.
TIMEOUT_S = 1.0

#: Seconds between looks for a server that went away.
LOOK_AGAIN_S = 1.0

#: Messages of one group of jobs at most: each wakes a worker, and a worker takes what is due.
WAKE_AT_MOST = 16

#: Groups that wait to be sent at most; workers find the jobs of the others by looking.
WAITING_AT_MOST = 1_000

#: Seconds for which who publishes waits to hear that messages were sent.
PATIENCE_S = 0.25

#: Milliseconds after which an idle consumer looks for messages again.
IDLE_MS = 25

#: Chance in a million that a command also looks after messages of processes that died; the default is a thousand.
MAINTENANCE_CHANCE = 20_000


#: Messages of a group of jobs, and who waits to hear whether they were sent.
_Waiting = tuple["Lane", tuple[str, ...], "asyncio.Future[bool]"]


def make_broker(url: str, *, prefix: str) -> RedisBroker:
    """A broker whose keys all share one hash slot, in every process the same.

    Parameters:
        url: `redis://` or `rediss://`, which may hold a user and a password.
        prefix: of every key.
    """
    client = Redis.from_url(url, socket_timeout=TIMEOUT_S * 5, socket_connect_timeout=TIMEOUT_S)
    return RedisBroker(  # type: ignore[no-untyped-call] # the library's own signature lacks types
        client=client, namespace=f"{{{prefix}}}", middleware=[], maintenance_chance=MAINTENANCE_CHANCE
    )


def _message(lane: Lane, job_id: str) -> dramatiq.Message[Any]:
    name = LANE_NAMES[lane]
    return dramatiq.Message(queue_name=name, actor_name=name, args=(job_id,), kwargs={}, options={})


class DramatiqQueue:
    """Announces jobs; holds up who publishes them for a moment at most, and not at all while nobody answers."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._broker = make_broker(url, prefix=prefix)
        for lane in LANES:
            self._broker.declare_queue(LANE_NAMES[lane])
        self._waiting: deque[_Waiting] = deque()
        self._news = asyncio.Event()
        self._answers = True
        self._sending: asyncio.Task[None] | None = None
        parts = urlsplit(url)
        self.state = QueueState(
            "active",
            "jobs are announced by Valkey; the database keeps them",
            {
                "engine": "dramatiq",
                "mode": "external",
                "host": parts.hostname or "127.0.0.1",
                "port": parts.port or 6379,
                "prefix": prefix,
            },
        )

    async def publish(self, lane: Lane, job_ids: Sequence[str]) -> bool:
        """Send messages; False while the server does not answer, or not soon enough to be waited for."""
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_waiting(), name="announce")
        if not self._answers or len(self._waiting) >= WAITING_AT_MOST:
            return False
        sent: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((lane, tuple(job_ids[:WAKE_AT_MOST]), sent))
        self._news.set()
        done, _ = await asyncio.wait([sent], timeout=PATIENCE_S)
        return bool(done) and sent.result()

    async def _send_waiting(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                await asyncio.to_thread(self._send, batch)
            except (RedisError, OSError) as error:
                logger.warning(
                    "Valkey does not answer; workers look for themselves",
                    extra={"reason": type(error).__name__},
                )
                self._answers = False
            for _, _, sent in [*batch, *([] if self._answers else self._waiting)]:
                if not sent.done():
                    sent.set_result(self._answers)
            if not self._answers:
                self._waiting.clear()
                await self._until_it_answers()

    def _send(self, batch: Sequence[_Waiting]) -> None:
        for lane, job_ids, _ in batch:
            for job_id in job_ids:
                self._broker.enqueue(_message(lane, job_id))

    async def _until_it_answers(self) -> None:
        while not self._answers:
            await asyncio.sleep(LOOK_AGAIN_S)
            with contextlib.suppress(Unavailable):
                await self.ping(timeout_s=TIMEOUT_S)
                self._answers = True

    async def withdraw(self, lane: Lane, job_id: str) -> None:
        """A message of a job that is no longer to be done changes nothing, so it may stay."""

    async def ping(self, *, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.to_thread(self._broker.client.ping)
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable("Valkey does not answer", dependency="valkey") from error

    async def close(self) -> None:
        """Send what waits, unless the server does not answer."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        if self._answers and self._waiting:
            with contextlib.suppress(RedisError, OSError):
                await asyncio.to_thread(self._send, list(self._waiting))
        self._broker.close()
        self._broker.client.close()


class LaneConsumer:
    """Hears of jobs and wakes this process's engine.

    Parameters:
        heard: called in a thread of Dramatiq's with each job's id; must not block.
        room: set while the engine has room; without it messages are left to other workers.
    """

    #: Seconds that a message waits here for room before it is dropped; its job is found in the database.
    PATIENCE_S = 5.0

    def __init__(self, url: str, *, prefix: str, heard: Callable[[str], None], room: threading.Event) -> None:
        self._broker = make_broker(url, prefix=prefix)
        self._heard = heard
        self._room = room
        for lane in LANES:
            name = LANE_NAMES[lane]
            dramatiq.actor(broker=self._broker, actor_name=name, queue_name=name)(self._take)
        self._worker = dramatiq.Worker(self._broker, worker_threads=len(LANES), worker_timeout=IDLE_MS)

    def _take(self, job_id: str) -> None:
        if self._room.wait(self.PATIENCE_S):
            self._heard(job_id)

    def start(self) -> None:
        """Begin to listen, in threads; a server that does not answer is waited for."""
        logging.getLogger("dramatiq").setLevel(logging.CRITICAL)
        self._worker.start()

    def stop(self) -> None:
        """Stop listening; messages that were taken and not heard go back."""
        self._room.set()
        self._worker.stop(timeout=int(self.PATIENCE_S * 1000))
        self._broker.close()
        self._broker.client.close()
