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

from claude_mem.model.errors import Unavailable
from claude_mem.queue.lanes import LaneBroker
from claude_mem.queue.port import LANE_NAMES, LANES, QueueState
from claude_mem.queue.valkey import CONNECT_S, ERRORS, LOOK_AGAIN_S, Outage, explain

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from claude_mem.model.records import Lane

#: Messages of one group of jobs at most: each wakes a worker, and a worker takes what is due.
WAKE_AT_MOST = 16

#: Groups that wait to be sent at most; workers find the jobs of the others by looking.
WAITING_AT_MOST = 1_000

#: Seconds for which who publishes waits to hear that messages were sent.
PATIENCE_S = 0.25

#: Milliseconds after which a thread that hears of jobs looks whether it is to end.
STOP_MS = 200

#: Messages of a group of jobs, and who waits to hear whether they were sent.
_Waiting = tuple["Lane", tuple[str, ...], "asyncio.Future[bool]"]


def _message(lane: Lane, job_id: str) -> dramatiq.Message[Any]:
    name = LANE_NAMES[lane]
    return dramatiq.Message(queue_name=name, actor_name=name, args=(job_id,), kwargs={}, options={})


class DramatiqQueue:
    """Announces jobs; holds up who publishes them for a moment at most, and not at all while nobody answers."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._outage = Outage("workers find jobs in the database, about a second later")
        self._away = False
        self._broker = LaneBroker(url, prefix=prefix, outage=self._outage, retries=1)
        for lane in LANES:
            self._broker.declare_queue(LANE_NAMES[lane])
        self._waiting: deque[_Waiting] = deque()
        self._news = asyncio.Event()
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
        if self._away or len(self._waiting) >= WAITING_AT_MOST:
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
            if not batch:  # news of what was given up meanwhile; sending nothing would look like an answer
                continue
            before = self._outage.failures
            try:
                await asyncio.to_thread(self._send, batch)
            except ERRORS as error:
                self._outage.met(error)
                self._away = True
            else:
                self._outage.over(failures_before=before)
            for _, _, sent in [*batch, *(self._waiting if self._away else [])]:
                if not sent.done():
                    sent.set_result(not self._away)
            if self._away:
                self._waiting.clear()
                await self._until_it_answers()

    def _send(self, batch: Sequence[_Waiting]) -> None:
        for lane, job_ids, _ in batch:
            for job_id in job_ids:
                self._broker.enqueue(_message(lane, job_id))

    async def _until_it_answers(self) -> None:
        while self._away:
            await asyncio.sleep(LOOK_AGAIN_S)
            with contextlib.suppress(Unavailable):
                await self.ping(timeout_s=CONNECT_S)
                self._away = False

    async def withdraw(self, lane: Lane, job_id: str) -> None:
        """A message of a job that is no longer to be done changes nothing, so it may stay."""

    async def ping(self, *, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.to_thread(self._broker.client.ping)
        except (*ERRORS, TimeoutError) as error:
            raise Unavailable(f"Valkey does not answer: {explain(error)}", dependency="valkey") from error

    async def close(self) -> None:
        """Send what waits, unless the server does not answer."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        if self._waiting and not self._away:
            with contextlib.suppress(*ERRORS):
                await asyncio.to_thread(self._send, list(self._waiting))
        self._broker.close()


class LaneConsumer:
    """Hears of jobs and wakes this process's engine.

    Parameters:
        heard: called in a thread of Dramatiq's with each job's id; must not block.
        room: set while the engine has room; without it messages are left to other workers.
    """

    #: Seconds that a message waits here for room before it is dropped; its job is found in the database.
    PATIENCE_S = 5.0

    def __init__(self, url: str, *, prefix: str, heard: Callable[[str], None], room: threading.Event) -> None:
        outage = Outage("this worker looks for jobs in the database, once a second")
        self._broker = LaneBroker(url, prefix=prefix, outage=outage)
        self._heard = heard
        self._room = room
        for lane in LANES:
            name = LANE_NAMES[lane]
            dramatiq.actor(broker=self._broker, actor_name=name, queue_name=name)(self._take)
        self._worker = dramatiq.Worker(self._broker, worker_threads=len(LANES), worker_timeout=STOP_MS)

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
        self._broker.stopping.set()
        self._worker.stop(timeout=int(self.PATIENCE_S * 1000))
        self._broker.close()
