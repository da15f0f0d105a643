"""Lanes as Dramatiq sees them: queues of messages that are waited for, not polled, on a server that may go away.

Dramatiq's own consumer looks for messages again and again, on each queue and on a second one for messages that are due
later. Here jobs that are due later are rows, and a consumer waits at the server until there is a message.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker

from claude_mem.queue.valkey import ERRORS, LOOK_AGAIN_S, Outage, make_client

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds for which a consumer waits at the server for a message, before it looks whether it is to end.
WAIT_S = 0.25

#: Seconds between looks whether messages that were taken are done with.
FULL_S = 0.025

#: Chance in a million that a command also looks after messages of processes that died; the default is a thousand.
MAINTENANCE_CHANCE = 20_000


class LaneBroker(RedisBroker):
    """A broker whose keys all share one hash slot, in every process the same.

    Parameters:
        url: see `make_client`.
        prefix: of every key.
        outage: hears of errors of consumers.
        retries: see `make_client`.
    """

    def __init__(self, url: str, *, prefix: str, outage: Outage, retries: int = 0) -> None:
        super().__init__(  # type: ignore[no-untyped-call] # the library's own signature lacks types
            client=make_client(url, retries=retries),
            namespace=f"{{{prefix}}}",
            middleware=[],
            maintenance_chance=MAINTENANCE_CHANCE,
        )
        self.outage = outage
        self.stopping = threading.Event()

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, without a second one for messages that are due later: there are none."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:  # noqa: ARG002 - Dramatiq's shape
        """A consumer of one lane."""
        return LaneMessages(self, queue_name, most=prefetch)

    def wait_for(self, queue_name: str) -> bool:
        """Wait until a queue holds a message, for a while; whether it does."""
        name = f"{self.namespace}:{queue_name}"
        # Moved from its head to its head: a message that is there stays where it is.
        return self.client.blmove(name, name, WAIT_S, "LEFT", "LEFT") is not None  # type: ignore[arg-type] # fractions work

    def close(self) -> None:
        """Close every connection."""
        super().close()
        self.client.close()


class LaneMessages(Consumer):
    """The messages of one lane, as many at a time as there are hands for.

    A message that cannot be acknowledged comes again some day, which changes nothing; so no error leaves this.

    Parameters:
        most: messages that are taken and not done with, at most.
    """

    def __init__(self, broker: LaneBroker, queue_name: str, *, most: int) -> None:
        self._broker = broker
        self._queue_name = queue_name
        self._most = most
        self._fetched: list[bytes | None] = []
        self._taken: set[str] = set()

    def __next__(self) -> MessageProxy | None:
        try:
            return self._next()
        except ERRORS as error:
            if not self._broker.stopping.is_set():
                self._broker.outage.met(error)
            self._broker.stopping.wait(LOOK_AGAIN_S)
            return None

    def _next(self) -> MessageProxy | None:
        if not self._fetched:
            free = self._most - len(self._taken)
            if free <= 0 or self._broker.stopping.is_set():
                self._broker.stopping.wait(FULL_S)
                return None
            self._fetch(free)
            if not self._fetched and self._wait():
                self._fetch(free)
        while self._fetched:
            data = self._fetched.pop(0)
            if data is not None:
                message = dramatiq.Message[Any].decode(data)
                self._taken.add(message.message_id)
                return MessageProxy(message)
        return None

    def _fetch(self, free: int) -> None:
        self._fetched = self._broker.do_fetch(self._queue_name, free)

    def _wait(self) -> bool:
        # Waiting comes after a fetch that was answered, so that both work: a server may refuse either of them alone.
        outage = self._broker.outage
        before = outage.failures
        found = self._broker.wait_for(self._queue_name)
        outage.over(failures_before=before)
        return found

    def ack(self, message: MessageProxy) -> None:
        """Forget a message that somebody was told of."""
        self._taken.discard(message.message_id)
        with suppress(*ERRORS):
            self._broker.do_ack(self._queue_name, message.options["redis_message_id"])

    def nack(self, message: MessageProxy) -> None:
        """Forget one that nobody could be told of: its job is found in the database."""
        self.ack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Leave messages that were taken and not looked at to others."""
        names = [message.options["redis_message_id"] for message in messages]
        if names:
            with suppress(*ERRORS):
                self._broker.do_requeue(self._queue_name, *names)
