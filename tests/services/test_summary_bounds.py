"""What is read for a session's summary is bounded; short events are told whatever the long ones have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claude_mem.generation.port import GenerationRequest
from claude_mem.generation.prompts import build_prompt
from claude_mem.model.documents import EMPTY
from claude_mem.model.records import Job, ObservationSource
from claude_mem.queue.local import DisabledQueue
from claude_mem.services import requests
from claude_mem.services.ingest import IngestService
from claude_mem.services.memories import MemoryInput, MemoryService
from claude_mem.services.requests import summary_request
from claude_mem.services.sessions import SessionInput, SessionService
from claude_mem.storage import observations, work
from claude_mem.storage.database import Database
from tests.support.engines import call_terms
from tests.support.load import SOURCE, World
from tests.support.rows import NOW, new_observation

EVENTS, ROOM, LONG = 10, 5000, 4000


@pytest.fixture
async def session(database: Database, world: World) -> str:
    received = SessionInput(world.project_id, content_session_id="talk")
    return (await SessionService(database, DisabledQueue()).start(world.caller, received)).session.id


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for all that is short, and for two long events."""
    monkeypatch.setattr(requests, "SUMMARY_EVENTS", EVENTS)
    monkeypatch.setattr(requests, "SUMMARY_CHARACTERS", ROOM)


async def happen(ingest: IngestService, world: World, number: int, *, words: str = "") -> str:
    received = world.event(number, content_session_id="talk", payload={"text": f"event {number}. {words}"})
    return (await ingest.ingest(world.caller, received, generate=False, source=SOURCE)).event.id


async def remember(database: Database, world: World, session: str, content: str) -> str:
    received = MemoryInput(world.project_id, content, server_session_id=session)
    return (await MemoryService(database).add(world.caller, received)).memory.id


async def asked(database: Database, world: World, session: str) -> GenerationRequest:
    ended = await SessionService(database, DisabledQueue()).end(
        world.caller, session, source="test", source_adapter="server"
    )
    job: Job = ended.job
    found = await summary_request(database, job, call_terms(), {})
    assert found is not None
    return found[0]


@pytest.mark.usefixtures("narrow")
async def test_long_events_leave_short_ones_their_room_and_the_oldest_give_way(
    database: Database, world: World, ingest: IngestService, session: str
) -> None:
    long = {1, 4, 9}
    ids = [
        await happen(ingest, world, number, words="x" * LONG if number in long else "")
        for number in range(EVENTS)
    ]
    request = await asked(database, world, session)
    assert [event.id for event in request.events] == [one for one in ids if one != ids[1]]
    assert build_prompt(request).omitted == 0


@pytest.mark.usefixtures("narrow")
async def test_an_event_for_which_there_is_no_room_is_told_all_the_same_if_it_is_the_only_one(
    database: Database, world: World, ingest: IngestService, session: str
) -> None:
    only = await happen(ingest, world, 1, words="x" * 2 * ROOM)
    request = await asked(database, world, session)
    assert [event.id for event in request.events] == [only]


async def test_a_session_for_which_there_is_room_is_told_whole(
    database: Database, world: World, ingest: IngestService, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["x" * LONG if number % 3 == 0 else "" for number in range(EVENTS + 2)]
    ids = [await happen(ingest, world, number, words=text) for number, text in enumerate(words)]
    seen = [
        await remember(database, world, session, f"seen {number} {text}") for number, text in enumerate(words)
    ]
    request = await asked(database, world, session)
    assert [event.id for event in request.events] == ids
    assert [event.payload for event in request.events] == [
        {"text": f"event {number}. {text}"} for number, text in enumerate(words)
    ]
    assert {observation.id for observation in request.observations} == set(seen)
    monkeypatch.setattr(requests, "SUMMARY_EVENTS", EVENTS)
    assert [event.id for event in (await asked(database, world, session)).events] == ids[2:]


async def seen_at_once(
    database: Database, world: World, session: str, event_ids: list[str], text: str
) -> list[str]:
    """Observations of one moment, one of each event; the ids ascend with the events."""
    names = [f"memory-{number}" for number in range(len(event_ids))]
    for name, event_id in zip(names, event_ids, strict=True):
        memory = replace(new_observation(world, name, text), server_session_id=session)
        await observations.insert(database, memory)
        source = ObservationSource(f"of-{name}", name, "agent_event", event_id, None, NOW // 1000)
        await work.insert_sources(database, [(source, EMPTY)], now_us=NOW)
    return names


@pytest.mark.usefixtures("narrow")
async def test_observations_stand_in_the_order_of_their_events_also_of_those_that_are_left_out(
    database: Database, world: World, ingest: IngestService, session: str
) -> None:
    ids = [await happen(ingest, world, number, words="x" * LONG) for number in range(4)]
    names = await seen_at_once(database, world, session, ids, "short")
    request = await asked(database, world, session)
    assert [event.id for event in request.events] == ids[2:]
    assert [observation.id for observation in request.observations] == names
    assert request.observed == frozenset(ids)


@pytest.mark.usefixtures("narrow")
async def test_of_long_observations_the_newest_are_told(
    database: Database, world: World, ingest: IngestService, session: str
) -> None:
    ids = [await happen(ingest, world, number) for number in range(5)]
    names = await seen_at_once(database, world, session, ids, "y" * (ROOM // 2))
    request = await asked(database, world, session)
    assert [observation.id for observation in request.observations] == names[-2:]
    assert request.observed == frozenset(ids[-2:]), "the others' events are told as events"
