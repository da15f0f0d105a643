"""Calls hold a bounded amount of text in memory; what is claimed beyond it waits, and is neither lost nor asked twice."""

from __future__ import annotations

import asyncio

import pytest

from claude_mem.generation.port import GenerationRequest, Provider, ProviderResult
from claude_mem.model.records import JobStatus
from claude_mem.model.times import now_us
from claude_mem.queue.local import DisabledQueue
from claude_mem.services import calls
from claude_mem.services.ingest import IngestService
from claude_mem.services.jobs import JobService
from claude_mem.services.outcomes import Taken
from claude_mem.services.sessions import SessionInput, SessionService
from claude_mem.services.steering import Operator
from claude_mem.storage import jobs, work
from claude_mem.storage.database import Database
from tests.support.engines import asked, asking, call_terms, ended, find, history, job_for, working
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.load import World, until

pytestmark = pytest.mark.usefixtures("impatient")

#: Characters of an event, and room for two of them: behind the second there is none left.
LONG, ROOM = 100_000, 150_000


class Counting:
    """A provider that knows how many calls of it were under way at once at most."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner
        self._under_way = 0
        self.most = 0

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def model(self) -> str:
        return self._inner.model

    async def generate(self, request: GenerationRequest) -> ProviderResult:
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            return await self._inner.generate(request)
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        await self._inner.close()


async def long_job(ingest: IngestService, world: World, number: int, *, session: str | None = None) -> str:
    payload = {"tool_name": "Read", "number": number, "note": "x" * LONG}
    return await job_for(ingest, world, number, payload=payload, content_session_id=session)


async def claimed(database: Database, names: list[str]) -> None:
    """Wait until all of these jobs are somebody's."""

    async def all_are() -> bool:
        return all([(await find(database, name)).status is JobStatus.PROCESSING for name in names])

    await until(all_are, what="claims on all jobs")


async def take(database: Database, names: list[str]) -> list[Taken]:
    """Claim all that is due, in the order of these names."""
    terms = work.ClaimTerms(worker="w", lease_us=600_000_000, mates=1, patience_us=0)
    found = {job.id: job for job in await work.claim(database, terms, limit=100, now_us=now_us())}
    return [Taken(found[name], jobs.Claim(name, found[name].attempts, "w")) for name in names]


async def test_calls_under_way_hold_so_much_and_no_more(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    go = asyncio.Event()
    llm.script.extend([Answer(waits_for=go), Answer(waits_for=go)])
    names = [await long_job(ingest, world, n) for n in range(6)]
    provider = Counting(asking(llm))
    async with working(database, provider, load=ROOM):
        await asked(llm, 2)
        await claimed(database, names)
        later = await job_for(ingest, world, 7)
        go.set()
        finished = [await ended(database, name) for name in (*names, later)]
    assert {(job.status, job.attempts) for job in finished} == {(JobStatus.COMPLETED, 1)}
    assert (provider.most, llm.count) == (2, 7)
    for name in names:
        assert [event for event, _ in await history(database, name)].count("processing") == 1


async def test_an_event_beyond_all_room_is_worked_on_alone(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    names = [await long_job(ingest, world, n) for n in range(3)]
    provider = Counting(asking(llm))
    async with working(database, provider, load=LONG // 10):
        assert {(await ended(database, name)).status for name in names} == {JobStatus.COMPLETED}
    assert (provider.most, llm.count) == (1, 3)


async def test_an_engine_that_stops_gives_back_what_waits_for_room(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    go = asyncio.Event()
    llm.script.extend([Answer(waits_for=go), Answer(waits_for=go)])
    names = [await long_job(ingest, world, n) for n in range(4)]
    async with working(database, asking(llm), load=ROOM, grace_s=120) as engine:
        await asked(llm, 2)
        await claimed(database, names)
        engine.stop()
        go.set()
    found = [await find(database, name) for name in names]
    assert (
        sorted((job.status.value, job.attempts) for job in found)
        == [("completed", 1)] * 2 + [("queued", 0)] * 2
    )
    async with working(database, asking(llm)):
        assert {(await ended(database, name)).attempts for name in names} == {1}
    assert llm.count == 4


async def test_what_is_cancelled_while_it_waits_for_room_is_not_asked(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    go = asyncio.Event()
    llm.script.extend([Answer(waits_for=go), Answer(waits_for=go)])
    names = [await long_job(ingest, world, n) for n in range(3)]
    async with working(database, asking(llm), load=ROOM) as engine:
        await asked(llm, 2)
        await claimed(database, names)
        (waiting,) = engine._load._waiting
        name = waiting.get_name().removeprefix("call:")
        service = JobService(database, DisabledQueue())
        await service.cancel(await find(database, name), Operator("operator", world.caller))

        async def given_up() -> bool:
            return waiting.done()

        await until(given_up, what="the cancelled job to be let go")
        go.set()
        others = {(await ended(database, other)).status for other in names if other != name}
        after = await long_job(ingest, world, 4)
        assert (await ended(database, after)).status is JobStatus.COMPLETED, "the engine goes on"
    assert others == {JobStatus.COMPLETED}
    assert (await find(database, name)).status is JobStatus.CANCELLED
    assert llm.count == 3


async def test_what_is_left_is_whole_sessions(
    database: Database, world: World, ingest: IngestService
) -> None:
    for session in ("even", "odd"):
        received = SessionInput(world.project_id, content_session_id=session)
        await SessionService(database, DisabledQueue()).start(world.caller, received)
    names = [await long_job(ingest, world, n, session="even" if n % 2 == 0 else "odd") for n in range(4)]
    made = await calls.plan(database, await take(database, names), call_terms(tokens=1_000_000), room=ROOM)
    (call,) = made.calls
    assert [taken.job.id for taken in call.taken] == [names[0], names[2]]
    assert call.size >= 2 * LONG
    assert [taken.job.id for taken in made.left] == [names[1], names[3]]
    assert not made.settled


async def test_a_summary_waits_for_room_as_well(
    database: Database, world: World, ingest: IngestService
) -> None:
    sessions = SessionService(database, DisabledQueue())
    ends = []
    for number, name in enumerate(("first", "second")):
        received = SessionInput(world.project_id, content_session_id=name)
        session = (await sessions.start(world.caller, received)).session
        payload = {"note": "y" * LONG}
        event = world.event(number, payload=payload, content_session_id=name)
        await ingest.ingest(world.caller, event, generate=False, source="test")
        ends.append(await sessions.end(world.caller, session.id, source="test", source_adapter="server"))
    group = await take(database, [end.job.id for end in ends])
    made = await calls.plan(database, group, call_terms(tokens=1_000_000), room=LONG)
    assert [call.taken for call in made.calls] == [(group[0],)]
    assert made.calls[0].size >= LONG
    assert made.left == [group[1]]
