"""Connections to PostgreSQL break at every moment; what was acknowledged is there once, and nobody is told otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator

import pytest

from claude_mem.model.errors import Unavailable
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.ingest import Ingested, IngestService
from claude_mem.services.sessions import SessionInput, SessionService
from tests.support.databases import Storage, postgres_settings
from tests.support.load import POLL_SECONDS, SOURCE, World, make_world, until
from tests.support.postgres import PostgresServer
from tests.support.processes import halt
from tests.support.proxy import Proxy

CLIENTS = 8
EVENTS = 100
#: More packets than one ingest sends, connection set-up included.
MOST_PACKETS = 24

#: Connections that were cut in the middle of something, and whose ends have not heard of it yet.
BUSY = (
    "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    " and backend_type = 'client backend' and state <> 'idle'"
)

OTHERS = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
)


@pytest.fixture
async def world(postgres_storage: Storage) -> AsyncIterator[World]:
    yield await make_world(await postgres_storage.open())
    await postgres_storage.close()


@pytest.fixture
async def proxy(postgres: PostgresServer) -> AsyncIterator[Proxy]:
    async with Proxy(postgres.port) as running:
        yield running


def behind(proxy: Proxy, storage: Storage) -> Storage:
    """The same database, by way of the proxy."""
    name = storage.url.rpartition("/")[2]
    url = f"postgresql://claude_mem@127.0.0.1:{proxy.port}/{name}"
    return Storage("postgres", postgres_settings(url))


async def settled(storage: Storage) -> None:
    """Wait until what was sent over connections that were cut is done or given up."""

    async def nothing_under_way() -> bool:
        return await storage.query(BUSY) == [(0,)]

    await until(nothing_under_way, what="PostgreSQL to be done with what was sent")


async def rows(storage: Storage) -> list[tuple[object, ...]]:
    """Each stored event by its number, with how many rows and jobs it has."""
    return await storage.query(
        "select (e.payload ->> 'number')::int, count(distinct e.id), count(j.id) from agent_events as e"
        " left join observation_generation_jobs as j on j.agent_event_id = e.id group by 1 order by 1"
    )


@pytest.mark.parametrize("delivered", [False, True], ids=["request lost", "answer lost"])
async def test_a_connection_cut_at_every_packet_of_an_ingest_loses_and_doubles_nothing(
    postgres_storage: Storage, world: World, proxy: Proxy, delivered: bool
) -> None:
    storage = behind(proxy, postgres_storage)
    ingest = IngestService(await storage.open(pool_max=2), DisabledQueue())
    refused = 0
    for number in range(MOST_PACKETS):
        received = world.event(number)
        proxy.cut_after(number, delivered=delivered)
        try:
            async with asyncio.timeout(240):
                first = await ingest.ingest(world.caller, received, generate=True, source=SOURCE)
            assert not first.duplicate
        except Unavailable:
            refused += 1
        proxy.allowed = None
        await settled(postgres_storage)
        stored = [row[0] for row in await rows(postgres_storage)]
        again = await ingest.ingest(world.caller, received, generate=True, source=SOURCE)
        assert again.duplicate == (number in stored)
    assert refused > 3, "the cuts met the transaction"
    assert refused < MOST_PACKETS, "and the loop went past its end"
    assert await rows(postgres_storage) == [(number, 1, 1) for number in range(MOST_PACKETS)]
    await ingest.close()
    await storage.close()


async def test_sessions_start_and_end_over_connections_that_break(
    postgres_storage: Storage, world: World, proxy: Proxy
) -> None:
    storage = behind(proxy, postgres_storage)
    sessions = SessionService(await storage.open(pool_max=2), DisabledQueue())

    async def insist(number: int) -> str:
        received = SessionInput(world.project_id, external_session_id=f"talk-{number}")
        while True:
            try:
                started = await sessions.start(world.caller, received)
                ended = await sessions.end(
                    world.caller, started.session.id, source="test", source_adapter="server"
                )
            except Unavailable:
                continue
            return ended.job.id

    jobs = set()
    for number in range(MOST_PACKETS):
        proxy.cut_after(number, delivered=number % 2 == 0)
        jobs.add(await insist(number))
    counted = (
        "select (select count(*) from server_sessions), (select count(*) from observation_generation_jobs)"
    )
    assert await postgres_storage.query(counted) == [(MOST_PACKETS, MOST_PACKETS)]
    assert len(jobs) == MOST_PACKETS
    await storage.close()


async def test_backends_killed_at_random_under_load_lose_nothing_acknowledged(
    postgres_storage: Storage, world: World
) -> None:
    services = [IngestService(await postgres_storage.open(pool_max=3), DisabledQueue()) for _ in range(2)]
    refused, taken = 0, 0

    async def insist(service: IngestService, number: int) -> list[Ingested]:
        """Send an event until it is taken, as a client does."""
        nonlocal refused
        while True:
            try:
                if number % 10 == 0:
                    batch = [world.event(number)]
                    return await service.ingest_batch(world.caller, batch, generate=True)
                return [await service.ingest(world.caller, world.event(number), generate=True, source=SOURCE)]
            except Unavailable:
                refused += 1
                await asyncio.sleep(POLL_SECONDS)

    async def client(index: int) -> None:
        nonlocal taken
        for n in range(EVENTS):
            (stored,) = await insist(services[index % 2], index * EVENTS + n)
            assert stored.job is not None
            taken += 1

    async def kill(goal: int) -> int:
        """Kill the backends now and then, at the pace of the events: what is killed too often gets nowhere."""
        chance, killed, following = random.Random(3), 0, 0
        while following < goal:
            if taken >= following:
                killed += len(await postgres_storage.query(OTHERS))
                following = taken + chance.randrange(1, 2 * EVENTS // CLIENTS)
            await asyncio.sleep(chance.random() * POLL_SECONDS)
        return killed

    # The last events are left alone, so that there are some to wait for after every killing.
    killing = asyncio.create_task(kill((CLIENTS - 1) * EVENTS))
    async with asyncio.timeout(500):
        await asyncio.gather(*(client(index) for index in range(CLIENTS)))
        assert await killing > 3
    assert refused > 0
    assert await rows(postgres_storage) == [(number, 1, 1) for number in range(CLIENTS * EVENTS)]
    await asyncio.gather(*(service.close() for service in services))


async def test_a_database_that_hangs_is_given_up(postgres_storage: Storage) -> None:
    """Its own time limit for a statement ends nothing there, for it hangs with the statement."""
    # Both long enough for a busy machine to make a connection, and waited for together.
    database = await postgres_storage.open(pool_max=2, statement_timeout_ms=2_000, connect_timeout_ms=6_000)
    async with database.transaction():
        await database.fetch("database.ping")
    asked = "select pid from pg_stat_activity where application_name = 'claude-mem'"
    found = await postgres_storage.query(f"{asked} and datname = current_database()")
    backends = [pid for (pid,) in found]
    assert len(backends) == 2
    for backend in backends:
        halt(backend)
    try:
        async with asyncio.timeout(120):
            with pytest.raises(Unavailable):
                await database.fetch("database.ping")

            async def answered() -> bool:
                with contextlib.suppress(Unavailable):
                    await database.fetch("database.ping")
                    return True
                return False

            await until(answered, what="another connection")
            # Nobody waits for the other one that hangs.
            async with database.transaction():
                await database.fetch("database.ping")
    finally:
        for backend in backends:
            os.kill(backend, signal.SIGCONT)
    await postgres_storage.close()
