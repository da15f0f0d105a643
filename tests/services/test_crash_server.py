"""The real server process: killed at any moment of a load it has kept what it said yes to; twenty start as one."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import pytest

from claude_mem.services.bootstrap import create_first_key
from tests.support import claude_mem_13
from tests.support.databases import Storage, postgres_settings
from tests.support.load import POLL_SECONDS, until
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.processes import Process, ProcessGroup, http_status

#: Seconds that twenty processes may take to import what they need on two busy cores.
STARTED_S = 180

pytestmark = pytest.mark.chaos

KILLS = 10
CLIENTS = 6
STARTERS = 20
SERVER = (sys.executable, "-m", "claude_mem", "server", "--daemon")


def environment(storage: Storage, data_dir: Path, port: int) -> dict[str, str]:
    return {
        "CLAUDE_MEM_DATA_DIR": str(data_dir),
        "CLAUDE_MEM_SERVER_PORT": str(port),
        "CLAUDE_MEM_GENERATION_DISABLED": "true",
        "PYTHONPATH": os.pathsep.join(sys.path),
    } | storage.environment


class Load:
    """Clients that send events until they are told to stop, and remember what was acknowledged.

    Attributes:
        created: numbers of events that were answered with 201, with the ids of event and job.
        unsure: numbers whose request broke: stored or not, but never twice.
    """

    def __init__(self, url: str, key: str, project_id: str) -> None:
        self._url, self._project = url, project_id
        self._headers = {"Authorization": f"Bearer {key}"}
        self.created: dict[int, tuple[str, str]] = {}
        self.unsure: set[int] = set()
        self.stopping = False

    async def reaches(self, goal: int) -> bool:
        """Whether so many events were acknowledged."""
        return len(self.created) >= goal

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for client in range(CLIENTS):
                tasks.create_task(self._send(client))

    async def _send(self, client: int) -> None:
        number = client
        async with httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=10, trust_env=False
        ) as http:
            while not self.stopping:
                many = 5 if client % 3 == 0 else 1
                numbers = [number + CLIENTS * n for n in range(many)]
                number += CLIENTS * many
                try:
                    await self._events(http, numbers)
                except httpx.TransportError:
                    self.unsure |= set(numbers)
                    await asyncio.sleep(POLL_SECONDS)

    async def _events(self, http: httpx.AsyncClient, numbers: list[int]) -> None:
        bodies = [self._body(number) for number in numbers]
        if len(bodies) == 1:
            response = await http.post("/v1/events", json=bodies[0])
        else:
            response = await http.post("/v1/events/batch", json=bodies)
        if response.status_code == 503:
            self.unsure |= set(numbers)
            return
        assert response.status_code == 201, response.text
        answer = response.json()
        for number, entry in zip(numbers, answer.get("events", [answer]), strict=True):
            assert "duplicate" not in entry
            self.created[number] = (entry["event"]["id"], entry["generationJob"]["id"])

    def _body(self, number: int) -> dict[str, object]:
        return {
            "projectId": self._project,
            "sourceType": "hook",
            "eventType": "tool_use",
            "occurredAtEpoch": 1_750_000_000_000 + number,
            "payload": {"number": number},
        }


async def stored(storage: Storage) -> list[tuple[int, str, str, int]]:
    """Number, event id, job id and lines of history of each event with a job."""
    number = "(e.payload ->> 'number')::int" if storage.name == "postgres" else "e.payload ->> 'number'"
    found = await storage.query(
        f"select {number}, e.id, j.id, (select count(*) from observation_generation_job_events h"
        " where h.generation_job_id = j.id) from agent_events e"
        " left join observation_generation_jobs j on j.agent_event_id = e.id"
    )
    return [(row[0], row[1], row[2], row[3]) for row in found]


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave these processes out of the coverage: who is killed tells nothing, and twenty starts are slow as it is."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


async def is_up(process: Process, port: int) -> None:
    url = f"http://127.0.0.1:{port}/healthz"
    await asyncio.to_thread(process.wait_for_http, url, timeout=STARTED_S)


@pytest.mark.timeout(1200)
async def test_every_201_survives_kill_9(storage: Storage, processes: ProcessGroup, tmp_path: Path) -> None:
    database = await storage.open()
    key = await create_first_key(
        database, name="load", scopes=["memories:write"], team_id=None, project_id=None
    )
    await storage.close()
    storage._opened.clear()
    port = free_port()
    load = Load(f"http://127.0.0.1:{port}", key.raw, str(key.key.project_id))
    variables = environment(storage, tmp_path / "state", port)
    running = asyncio.create_task(load.run())
    chance = random.Random(5)
    for _ in range(KILLS):
        process = processes.start(*SERVER, env=variables)
        await is_up(process, port)
        goal = len(load.created) + chance.randrange(1, 120)
        await until(partial(load.reaches, goal), what=f"{goal} events")
        await asyncio.sleep(chance.random() * POLL_SECONDS)
        await asyncio.to_thread(process.kill)
    load.stopping = True
    await running

    rows = await stored(storage)
    numbers = [row[0] for row in rows]
    assert len(numbers) == len(set(numbers)), "no event is stored twice"
    assert all(lines == 1 for *_, lines in rows), "each has its job, with one line"
    kept = {row[0]: (row[1], row[2]) for row in rows}
    assert {number: kept.get(number) for number in load.created} == load.created
    assert set(kept) - set(load.created) <= load.unsure
    assert load.unsure, "some requests were under way"


@pytest.fixture(params=["empty postgres", "claude-mem 13", "empty sqlite"])
async def start_point(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """Where processes find nothing, or an old database."""
    if request.param == "empty sqlite":
        storage = Storage("sqlite", request.getfixturevalue("sqlite_storage").settings)
        storage.settings.sqlite_path.unlink()
        yield storage
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.create_database()
    if request.param == "claude-mem 13":
        await claude_mem_13.create_claude_mem_13(url)
    yield Storage("postgres", postgres_settings(url))
    server.drop_database(url)


async def test_twenty_processes_that_start_at_once_all_come_up(
    start_point: Storage, processes: ProcessGroup, tmp_path: Path
) -> None:
    started: list[tuple[Process, int]] = []
    for number in range(STARTERS):
        port = free_port()
        variables = environment(start_point, tmp_path / f"state-{number}", port)
        variables["CLAUDE_MEM_POSTGRES_POOL_MAX"] = "2"
        started.append((processes.start(*SERVER, env=variables), port))
    await asyncio.gather(*(is_up(process, port) for process, port in started))
    assert all(
        http_status(f"http://127.0.0.1:{port}/healthz", timeout=STARTED_S) == 200 for _, port in started
    )
    versions = await start_point.query(
        "select version, count(*) from server_beta_schema_migrations group by 1"
    )
    assert versions
    assert all(count == 1 for _, count in versions), "one of them migrated"
    codes = await asyncio.gather(*(asyncio.to_thread(process.terminate) for process, _ in started))
    assert set(codes) == {0}


async def test_a_server_that_cannot_generate_as_asked_ends_and_says_so(
    sqlite_storage: Storage, processes: ProcessGroup, tmp_path: Path
) -> None:
    variables = {"CLAUDE_MEM_MODE": "absent", "CLAUDE_MEM_SERVER_PORT": str(free_port())}
    process = processes.start(
        *SERVER, env=sqlite_storage.environment | variables | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    with suppress(AssertionError):
        assert await asyncio.to_thread(process.wait, timeout=STARTED_S) != 0
    assert not process.is_running, "nothing keeps the process"
    assert "absent" in process.stderr
