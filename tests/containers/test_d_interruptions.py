"""Events that come in while parts of the stack are restarted or die are neither lost nor observed twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import httpx
import pytest

from tests.containers.stack import SERVER, WORKER, Keys, Stack, event_body
from tests.support.processes import wait_until

#: Seconds between two events: about what one worker with the test's slow model keeps up with.
PAUSE_S = 0.08

#: Seconds in which the stack has to be idle again.
IDLE_S = 90.0


class Stream:
    """A client that sends one event after the other, each until it is acknowledged.

    What was sent to a container that died may get no answer at all, so it does not wait for one for long.
    """

    def __init__(self, stack: Stack, keys: Keys, name: str) -> None:
        self.accepted: dict[str, str] = {}
        self._keys, self._name = keys, name
        headers = {"Authorization": f"Bearer {keys.full}"}
        self._client = httpx.Client(base_url=stack.url, timeout=3, trust_env=False, headers=headers)
        self._ended = Event()
        self._thread = Thread(target=self._send, daemon=True)

    def _send(self) -> None:
        while not self._ended.is_set():
            mark = f"{self._name}-{len(self.accepted)}"
            body = event_body(self._keys.project, mark)
            try:
                answer = self._client.post("/v1/events", json=body)
            except httpx.TransportError:
                self._ended.wait(0.05)
                continue
            if answer.status_code == 201:
                self.accepted[mark] = answer.json()["event"]["id"]
            self._ended.wait(PAUSE_S)

    def more(self, count: int) -> None:
        """Wait until so many more events are acknowledged."""
        wanted = len(self.accepted) + count
        wait_until(lambda: len(self.accepted) >= wanted, what=f"{count} more events", timeout=60)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join(60)
            self._client.close()


def unfinished(stack: Stack, keys: Keys) -> int:
    """Jobs that are waiting or under way."""
    totals = [
        stack.ok("GET", f"/v1/jobs?limit=1&status={status}", keys.full)["total"]
        for status in ("queued", "processing")
    ]
    return sum(totals)


def check_all_observed_once(stack: Stack, keys: Keys, stream: Stream) -> None:
    stack.steer_llm()
    wait_until(lambda: unfinished(stack, keys) == 0, what="an idle stack", timeout=IDLE_S)
    assert len(set(stream.accepted.values())) == len(stream.accepted)
    for mark, event in stream.accepted.items():
        assert stack.ok("GET", f"/v1/events/{event}", keys.full)["event"]["payload"]["mark"] == mark
        found = stack.ok("GET", f"/v1/events/{event}/observations", keys.full)["observations"]
        assert len(found) == 1, mark


def test_restarts_of_every_service_in_mid_stream_lose_nothing(llm: Stack, keys: Keys) -> None:
    llm.steer_llm(delay_ms=300)
    stream = Stream(llm, keys, "restarted")
    with stream.running():
        for service in (WORKER, SERVER, "valkey", "postgres"):
            stream.more(10)
            llm.restart(service)
        stream.more(10)
    check_all_observed_once(llm, keys, stream)


@pytest.mark.parametrize("service", [WORKER, SERVER, "valkey", "postgres"])
def test_a_crash_in_mid_stream_loses_nothing(llm: Stack, keys: Keys, service: str) -> None:
    llm.steer_llm(delay_ms=300)
    stream = Stream(llm, keys, f"crashed-{service}")
    with stream.running():
        stream.more(10)
        llm.crash(service)
        stream.more(10)
    check_all_observed_once(llm, keys, stream)


def test_without_a_worker_the_wait_ends_with_the_job_as_it_stands(llm: Stack, keys: Keys) -> None:
    llm.compose("stop", WORKER)
    try:
        body = event_body(keys.project, "nobody-works")
        answer = llm.ok("POST", "/v1/events?wait=true", keys.full, body, status=201)
    finally:
        llm.compose("start", WORKER)
    assert answer["waitTimedOut"] is True
    assert answer["generationJob"]["status"] == "queued"
    wait_until(lambda: unfinished(llm, keys) == 0, what="the worker's return", timeout=IDLE_S)
    found = llm.ok("GET", f"/v1/events/{answer['event']['id']}/observations", keys.full)["observations"]
    assert len(found) == 1
