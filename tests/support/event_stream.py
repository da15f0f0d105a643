"""A client that goes on sending events whatever happens to the service, and the proof that none of them was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import httpx

from tests.support.checklist import Keys, Service, event_body, unfinished
from tests.support.processes import wait_until

#: Seconds between two events: about what one worker with the test's slow model keeps up with.
PAUSE_S = 0.08
#: Seconds for an answer of a busy machine; what died gives none, and is not waited for longer.
ANSWER_S = 10.0
#: Seconds that a busy machine may take to start a killed database again.
PATIENCE_S = 300.0
#: Seconds in which the service has to be idle again, on a busy machine.
IDLE_S = 300.0


class Stream:
    """A client that sends one event after the other, each until it is acknowledged.

    What was sent to a container that died may get no answer at all, so it does not wait for one for long.
    """

    def __init__(self, url: str, keys: Keys, name: str) -> None:
        self.accepted: dict[str, str] = {}
        self._keys, self._name = keys, name
        headers = {"Authorization": f"Bearer {keys.full}"}
        self._client = httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False, headers=headers)
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
        wait_until(lambda: len(self.accepted) >= wanted, what=f"{count} more events", timeout=PATIENCE_S)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join(60)
            self._client.close()


def check_all_observed_once(service: Service, keys: Keys, stream: Stream) -> None:
    """Wait until the service is idle: every acknowledged event is there, with one observation."""
    wait_until(lambda: unfinished(service, keys) == 0, what="an idle service", timeout=IDLE_S)
    assert len(set(stream.accepted.values())) == len(stream.accepted)
    for mark, event in stream.accepted.items():
        assert service.ok("GET", f"/v1/events/{event}", keys.full)["event"]["payload"]["mark"] == mark
        found = service.ok("GET", f"/v1/events/{event}/observations", keys.full)["observations"]
        assert len(found) == 1, mark
