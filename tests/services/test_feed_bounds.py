"""A stream reads no more texts at a look than there is room for; those behind are told by the next, and nothing is lost."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from claude_mem.model.errors import Unavailable
from claude_mem.model.records import Observation
from claude_mem.queue.local import DisabledQueue
from claude_mem.services import live
from claude_mem.services.ingest import IngestService
from claude_mem.services.live import Feed, News, open_feed
from claude_mem.services.memories import MemoryChange, MemoryInput, MemoryService
from claude_mem.storage import observations, search
from claude_mem.storage.database import Database
from tests.support.load import World

#: Bytes of a look, and of a memory's text: two and a half of them fit, and three are told.
ROOM, LENGTH = 100, 40


@pytest.fixture
def memories(database: Database) -> MemoryService:
    return MemoryService(database)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SLICE_BYTES", ROOM)


async def feed(database: Database, world: World, *, since_us: int | None = None) -> Feed:
    return await open_feed(database, world.caller, project_id=None, since_us=since_us)


async def add(memories: MemoryService, world: World, content: str) -> str:
    received = MemoryInput(world.project_id, content.ljust(LENGTH, "."))
    return (await memories.add(world.caller, received)).memory.id


async def looks(reader: Feed) -> list[list[News]]:
    """What each look tells, until one has nothing to tell."""
    found: list[list[News]] = []
    while news := await reader.read():
        found.append(news)
    return found


def flat(news: list[list[News]]) -> list[News]:
    return list(itertools.chain.from_iterable(news))


def sizes(news: list[News]) -> list[int]:
    """Bytes of the texts that are told, in order."""
    memories = (one.found for one in news if isinstance(one.found, Observation))
    return [len(memory.content) + len(memory.metadata.text) for memory in memories]


async def test_a_look_reads_what_there_is_room_for_and_the_next_goes_on(
    database: Database, world: World, memories: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, reader = await feed(database, world), await feed(database, world)
    first = await add(memories, world, "first")
    for number in range(6):
        await add(memories, world, f"walrus {number}")
    gone = await add(memories, world, "gone")
    await memories.delete(world.caller, gone)
    large = await add(memories, world, "large" * ROOM)
    await memories.change(world.caller, first, wanted=MemoryChange(content="first, changed"))
    last = await add(memories, world, "last")
    (whole,) = await looks(at_once)
    assert [one.change for one in whole].count("deleted") == 1
    assert [one.id for one in whole][-3:] == [large, first, last], "told once, where it changed last"

    monkeypatch.setattr(search, "SLICE_BYTES", ROOM)
    told = await looks(reader)
    assert flat(told) == whole
    assert len(told) >= 4
    assert all(sum(sizes(news)[:-1]) < ROOM for news in told), (
        "the last may be longer than the room that is left"
    )
    assert max(sizes(whole)) > 2 * ROOM, "what is longer than all of it is told, too"


@pytest.mark.usefixtures("few")
async def test_what_waits_for_the_next_look_is_told_as_it_is_by_then(
    database: Database, world: World, memories: MemoryService
) -> None:
    reader = await feed(database, world)
    ids = [await add(memories, world, f"walrus {number}") for number in range(8)]
    begun = await reader.read()
    assert 0 < len(begun) < 4
    await memories.change(world.caller, ids[5], wanted=MemoryChange(content="changed"))
    await memories.delete(world.caller, ids[6])
    after = await add(memories, world, "after")
    rest = flat(await looks(reader))
    assert [(one.id, one.change) for one in begun + rest] == [
        *((one, "created") for one in ids if one != ids[6]),
        (ids[5], "updated"),
        (ids[6], "deleted"),
        (after, "created"),
    ]
    changed = [one.found for one in rest if one.id == ids[5]]
    assert [found.content for found in changed if isinstance(found, Observation)] == ["changed", "changed"]


@pytest.mark.usefixtures("few")
async def test_a_look_that_fails_loses_nothing_of_what_waits(
    database: Database, world: World, memories: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = await feed(database, world)
    ids = [await add(memories, world, f"walrus {number}") for number in range(8)]
    real = observations.find_slice
    calls = itertools.count()

    async def every_other(*given: Any, **options: Any) -> Any:
        if next(calls) % 2 == 0:
            raise Unavailable("away", dependency=database.name)
        return await real(*given, **options)

    monkeypatch.setattr(observations, "find_slice", every_other)
    told: list[str] = []
    while len(told) < len(ids):
        with pytest.raises(Unavailable):
            await reader.read()
        told += [one.id for one in await reader.read()]
    assert told == ids
    assert next(calls) > 4
    assert await reader.read() == []


@pytest.mark.usefixtures("few")
async def test_a_stream_that_is_cut_before_the_next_look_is_taken_up_where_it_was(
    database: Database, world: World, memories: MemoryService
) -> None:
    reader = await feed(database, world)
    ids = [await add(memories, world, f"walrus {number}") for number in range(8)]
    begun = await reader.read()
    assert [one.id for one in begun] == ids[: len(begun)]
    again = await feed(database, world, since_us=begun[-1].at_us)
    assert not again.gap
    told = [one.id for one in flat(await looks(again))]
    assert told[-(len(ids) - len(begun)) :] == ids[len(begun) :]


@pytest.mark.usefixtures("few")
async def test_texts_of_others_take_no_room_and_are_not_told(
    database: Database, world: World, memories: MemoryService
) -> None:
    reader = await open_feed(database, world.caller, project_id=world.sibling_id, since_us=None)
    other = world.caller_of(world.other_team_id)
    for _ in range(5):
        await add(memories, world, "of the other project")
        await memories.add(other, MemoryInput(world.other_project_id, "of another team"))
    mine = await memories.add(world.caller, MemoryInput(world.sibling_id, "mine"))
    ((told,),) = await looks(reader)
    assert told.found == mine.memory


async def test_jobs_of_a_large_batch_are_told_a_page_at_a_time(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = await feed(database, world)
    batch = [world.event(number) for number in range(8)]
    stored = await IngestService(database, DisabledQueue()).ingest_batch(world.caller, batch, generate=True)
    monkeypatch.setattr(live, "LINES", 3)
    told = await looks(reader)
    assert [len(news) for news in told] == [3, 3, 2]
    assert {one.id for one in flat(told)} == {one.job.id for one in stored if one.job is not None}
