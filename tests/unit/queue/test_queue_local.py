"""The transports that need no server."""

from __future__ import annotations

from claude_mem.queue.local import DisabledQueue, InProcessQueue


async def test_without_a_transport_jobs_stay_rows() -> None:
    queue = DisabledQueue()
    assert queue.state.status == "disabled"
    assert await queue.publish("event", ["a"]) is False
    await queue.withdraw("event", "a")
    await queue.ping(timeout_s=1)
    await queue.close()


async def test_workers_of_this_process_are_woken_without_a_transport_too() -> None:
    woken: list[int] = []
    assert await DisabledQueue(lambda: woken.append(1)).publish("event", ["a"]) is False
    assert woken == [1]


async def test_in_process_the_workers_are_woken() -> None:
    woken: list[int] = []
    queue = InProcessQueue(lambda: woken.append(1))
    assert (queue.state.status, queue.state.details["engine"]) == ("active", "in-process")
    assert await queue.publish("summary", ["a", "b"]) is True
    assert woken == [1]
