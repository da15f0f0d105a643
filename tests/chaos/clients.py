"""Clients that send each event until it is answered 201: single ones, batches, and sessions that begin and end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.provider import mark

#: Seconds after which a request is given up and sent again.
TIMEOUT_S = 20.0

#: Seconds until a refused request is sent again.
AGAIN_S = 0.2

CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Stream:
    """Events that belong together: of one session, of one batch, or a single one."""

    kind: str
    numbers: tuple[int, ...]


@dataclass(slots=True)
class Clients:
    """What sends.

    Parameters:
        urls: of the servers; each request goes to any of them.
        pace: events a second at most.

    Attributes:
        events: ids of event and job by the event's number, as they were answered.
        sessions: ids of the sessions that were ended, with the job of the summary.
        troubles: how often what stood in the way of a request.
        wrong: answers that no fault explains.
    """

    urls: list[str]
    key: str
    project_id: str
    chance: random.Random
    pace: float
    events: dict[int, tuple[str, str]] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    troubles: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _released: int = 0
    _began: float = 0.0

    def plan(self, events: int) -> deque[Stream]:
        """Split so many events into streams: about half of them into sessions."""
        streams: deque[Stream] = deque()
        number = 0
        while number < events:
            kind = self.chance.choices(("single", "batch", "session"), (30, 2, 3))[0]
            many = {"single": 1, "batch": 8, "session": self.chance.randint(3, 24)}[kind]
            numbers = tuple(range(number, min(number + many, events)))
            streams.append(Stream(kind, numbers))
            number += len(numbers)
        return streams

    async def send(self, streams: deque[Stream]) -> None:
        """Send everything, at the pace."""
        self._began = asyncio.get_running_loop().time()
        limits = httpx.Limits(max_connections=2 * CLIENTS)
        headers = {"Authorization": f"Bearer {self.key}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=TIMEOUT_S, limits=limits, trust_env=False) as http,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(CLIENTS):
                tasks.create_task(self._client(http, streams))

    async def _client(self, http: httpx.AsyncClient, streams: deque[Stream]) -> None:
        while streams:
            stream = streams.popleft()
            if stream.kind == "session":
                await self._session(http, stream)
            elif stream.kind == "batch":
                await self._released_for(len(stream.numbers))
                await self._events(http, "/v1/events/batch", stream.numbers)
            else:
                await self._released_for(1)
                await self._events(http, "/v1/events", stream.numbers)

    async def _released_for(self, events: int) -> None:
        self._released += events
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._began + self._released / self.pace - loop.time()))

    async def _session(self, http: httpx.AsyncClient, stream: Stream) -> None:
        name = f"talk-{stream.numbers[0]}"
        body = {"projectId": self.project_id, "externalSessionId": name, "contentSessionId": name}
        answer = await self._ask(http, "/v1/sessions/start", body, accept=(200, 201))
        session = answer["session"]["id"]
        for number in stream.numbers:
            await self._released_for(1)
            linked = {"contentSessionId": name} if number % 2 else {"serverSessionId": session}
            await self._events(http, "/v1/events", (number,), **linked)
        ended = await self._ask(http, f"/v1/sessions/{session}/end", {}, accept=(200,))
        self.sessions[session] = ended["generationJob"]["id"]

    async def _events(
        self, http: httpx.AsyncClient, path: str, numbers: tuple[int, ...], **linked: str
    ) -> None:
        bodies = [self._body(number) | linked for number in numbers]
        answer = await self._ask(http, path, bodies if path.endswith("batch") else bodies[0], accept=(201,))
        for number, entry in zip(numbers, answer.get("events", [answer]), strict=True):
            self.events[number] = (entry["event"]["id"], entry["generationJob"]["id"])

    def _body(self, number: int) -> dict[str, Any]:
        return {
            "projectId": self.project_id,
            "sourceType": "hook",
            "eventType": "tool_use",
            "sourceEventId": f"event-{number}",
            "occurredAtEpoch": 1_750_000_000_000 + number,
            "payload": {"tool_name": "Deploy", "output": f"What {mark(number)} did to the service"},
        }

    async def _ask(self, http: httpx.AsyncClient, path: str, body: Any, *, accept: tuple[int, ...]) -> Any:
        while True:
            try:
                response = await http.post(self.chance.choice(self.urls) + path, json=body)
            except httpx.TransportError as error:
                self.troubles[type(error).__name__] += 1
            else:
                if response.status_code in accept:
                    return response.json()
                self.troubles[str(response.status_code)] += 1
                if response.status_code != 503:
                    self.wrong.append(f"{path}: {response.status_code} {response.text[:300]}")
            await asyncio.sleep(AGAIN_S)
