"""What a search and a fold read is bounded, whatever was stored; and what fails in one place stays there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from claude_mem.model.records import Observation
from claude_mem.retrieval.documents import analyse_observation
from claude_mem.retrieval.segments import NewDocument
from claude_mem.services import folding, memories, merging, narrowing, search_index, search_notes
from claude_mem.services.memories import MemoryChange, MemoryInput, MemoryService
from claude_mem.services.questions import Question
from claude_mem.services.recall import RecallService
from claude_mem.services.search_index import SearchIndex
from claude_mem.services.timeline import Span, TimelineService
from claude_mem.storage import search, search_changes, timeline
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database, Executor, Row
from tests.support.load import World, until

PATIENCE_S = 120


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search reads five noted memories, and folds none."""
    monkeypatch.setattr(search_notes, "MOST_READ", 5)
    monkeypatch.setattr(search_index, "FOLD_S", 0.0)


async def add(database: Database, world: World, content: str, **members: Any) -> str:
    received = MemoryInput(members.pop("project_id", world.project_id), content, **members)
    return (await MemoryService(database).add(world.caller, received)).memory.id


async def found(
    database: Database, world: World, text: str, *, index: SearchIndex | None = None, **wanted: Any
) -> list[str]:
    """Contents of what is found, best first."""
    question = Question(wanted.pop("project_id", world.project_id), text, wanted.pop("limit", 100), **wanted)
    async with asyncio.timeout(PATIENCE_S):
        page = await RecallService(database, index).find(world.caller, question)
    return [hit.observation.content for hit in page.hits]


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def waiting(database: Database, project_id: str) -> int:
    return len((await search.state(database, project_id)).changes)


async def test_a_search_does_not_wait_for_another_projects_fold(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_notes, "MOST_READ", 5)
    monkeypatch.setattr(search_index, "FOLD_S", 0.05)
    for number in range(20):
        await add(database, world, f"needle{number}x parsers")
    index = SearchIndex(database)
    async with index.folder._turn:
        assert await found(database, world, "needle7x", index=index) == ["needle7x parsers"]
        assert await waiting(database, world.project_id) == 20
    assert not index.folder._turn.locked()


async def test_a_project_with_much_to_fold_gives_its_turn_away(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "BATCH", 2)
    monkeypatch.setattr(search_notes, "MOST_READ", 5)
    monkeypatch.setattr(search_index, "FOLD_S", PATIENCE_S)
    for number in range(60):
        await add(database, world, f"imported {number}")
    for number in range(8):
        await add(database, world, f"sibling {number}", project_id=world.sibling_id)
    index = SearchIndex(database)
    turns: list[str] = []
    under_way, asked_for = asyncio.Event(), asyncio.Event()
    take_turn, lock_project = index.folder._have_turn, search.lock_project

    @contextlib.asynccontextmanager
    async def have_turn(deadline: float) -> AsyncIterator[bool]:
        if under_way.is_set() and asyncio.current_task() is not importing:
            # Nothing comes between this and the wait for the turn.
            asked_for.set()
        async with take_turn(deadline) as mine:
            yield mine

    async def lock(executor: Executor, project_id: str) -> bool:
        turns.append(project_id)
        under_way.set()
        # However slow this machine is, the import is not over before somebody else asks.
        async with asyncio.timeout(PATIENCE_S):
            await asked_for.wait()
        return await lock_project(executor, project_id)

    monkeypatch.setattr(index.folder, "_have_turn", have_turn)
    monkeypatch.setattr(search, "lock_project", lock)
    importing = asyncio.create_task(index.folder.fold(world.project_id))
    async with asyncio.timeout(PATIENCE_S):
        await under_way.wait()
    answered = await found(database, world, "sibling", index=index, project_id=world.sibling_id)
    assert len(answered) == 8
    assert not await importing, "nothing is left to do"
    assert turns[:2] == [world.project_id, world.sibling_id], "the other's turn was the next"
    assert turns.count(world.project_id) >= 30, "and more was to be done than what was under way"
    assert await waiting(database, world.project_id) == 0


@pytest.mark.usefixtures("few")
async def test_a_search_goes_on_when_it_cannot_fold(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(search_index, "FOLD_S", 60.0)
    monkeypatch.setattr(search, "lock", broken)
    for number in range(9):
        await add(database, world, f"needle{number}x")
    assert await found(database, world, "needle3x") == ["needle3x"]


@pytest.mark.usefixtures("few")
async def test_a_backlog_hides_what_was_changed_and_shows_it_once(database: Database, world: World) -> None:
    service = MemoryService(database)
    ids = [await add(database, world, f"walrus {number}") for number in range(4)]
    await SearchIndex(database).folder.fold(world.project_id)
    await service.change(world.caller, ids[0], wanted=MemoryChange(content="seal"))
    await service.change(world.caller, ids[1], wanted=MemoryChange(content="walrus again"))
    await service.delete(world.caller, ids[2])
    for number in range(9):
        await add(database, world, f"otter {number}")
    assert sorted(await found(database, world, "walrus")) == ["walrus 3", "walrus again"]
    assert await found(database, world, "seal") == ["seal"]
    assert len(await found(database, world, "otter")) == 5, "the newest that a search reads"


@pytest.mark.usefixtures("few")
async def test_a_backlog_is_looked_through_for_prefixes_times_and_titles(
    database: Database, world: World
) -> None:
    await add(database, world, "needlework")
    await add(database, world, "authenticated")
    await add(database, world, "another", metadata={"title": "Walrus parade", "facts": ["it's 'quoted' \\"]})
    for number in range(9):
        await add(database, world, f"hay {number}")
    assert await found(database, world, "needl*") == ["needlework"]
    assert await found(database, world, "needlewo") == ["needlework"], "a word that is typed on"
    assert await found(database, world, "authenticat*") == ["authenticated"], "a stem is shorter"
    assert await found(database, world, "walrus") == ["another"]
    assert await found(database, world, "':* | hay & \\ quoted*") != []
    assert len(await found(database, world, "last 3 days")) == 5, "a time alone"
    assert await found(database, world, "2001-02-03") == []


async def test_one_memory_that_cannot_be_read_keeps_none_from_the_index(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = analyse_observation

    def analyse(content: str, metadata: Any) -> Any:
        if "poison" in content:
            raise RecursionError("secret text")
        return real(content, metadata)

    monkeypatch.setattr(folding, "analyse_observation", analyse)
    poison = await add(database, world, "poison walrus")
    await add(database, world, "walrus")
    for _ in ("noted", "folded"):
        assert await found(database, world, "walrus") == ["walrus"]
        await SearchIndex(database).folder.fold(world.project_id)
    assert await waiting(database, world.project_id) == 0
    lines = [record for record in caplog.records if getattr(record, "observationId", None) == poison]
    assert {record.levelno for record in lines} == {logging.WARNING}
    assert "secret text" not in caplog.text


async def test_a_project_that_cannot_be_folded_is_set_back_alone(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = search.lock_project
    tried: list[str] = []

    async def lock(executor: Executor, project_id: str) -> bool:
        tried.append(project_id)
        if project_id == world.project_id:
            raise ZeroDivisionError
        return await real(executor, project_id)

    monkeypatch.setattr(search, "lock_project", lock)
    monkeypatch.setattr(folding, "EVERY_S", 0.001)
    monkeypatch.setattr(folding, "SET_BACK_S", 3600.0)
    monkeypatch.setattr(folding, "MOST_SET_BACK_S", 7200.0)
    folder = SearchIndex(database).folder
    running = asyncio.create_task(folder.run())

    async def folded() -> bool:
        return not running.done() and await waiting(database, world.sibling_id) == 0

    await add(database, world, "waits")
    for number in range(3):
        await add(database, world, f"folded {number}", project_id=world.sibling_id)
        await until(folded, what="the other project's changes to be folded")
    assert not running.done()
    assert tried.count(world.project_id) == 1, "it is left alone for a while"
    assert await waiting(database, world.project_id) == 1
    monkeypatch.setattr(search, "lock_project", real)
    folder._set_back.clear()

    async def mended() -> bool:
        return await waiting(database, world.project_id) == 0

    await until(mended, what="the project to be folded once it can be")
    await end(running)


async def test_a_look_for_changes_that_fails_does_not_end_the_process(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = search_changes.waiting
    failures = iter((RuntimeError, KeyError))

    async def look(executor: Executor) -> list[search_changes.Waiting]:
        for failure in failures:
            raise failure
        return await real(executor)

    monkeypatch.setattr(search_changes, "waiting", look)
    monkeypatch.setattr(folding, "EVERY_S", 0.001)
    await add(database, world, "walrus")
    running = asyncio.create_task(SearchIndex(database).folder.run())

    async def folded() -> bool:
        return await waiting(database, world.project_id) == 0

    await until(folded, what="the change to be folded")
    assert not running.done()
    await end(running)


async def test_a_large_segment_leaves_a_prefix_to_the_others(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count(1)
    ascending = SimpleNamespace(randbits=lambda _: next(numbers))
    monkeypatch.setattr(merging, "secrets", ascending)
    monkeypatch.setattr(search_index, "PREFIX_BLOCKS", 2)
    folder = SearchIndex(database).folder
    await add(database, world, " ".join(f"walrus{number:05}" for number in range(3000)))
    await folder.fold(world.project_id)
    assert len(await search.all_blocks(database, 1)) > 10
    await add(database, world, "walruses")
    await folder.fold(world.project_id)
    assert len(await found(database, world, "walru*")) == 2


async def test_a_fold_takes_no_more_than_it_can_hold(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = folding.read_documents

    def read(rows: list[Row]) -> list[NewDocument]:
        seen.append(len(rows))
        return real(rows)

    monkeypatch.setattr(folding, "BATCH_BYTES", 100)
    monkeypatch.setattr(folding, "read_documents", read)
    for number in range(6):
        await add(database, world, f"walrus {number} " + "x" * 30)
    await add(database, world, "walrus " + "long " * 100)
    await add(database, world, "walrus last")
    assert not await SearchIndex(database).folder.fold(world.project_id)
    assert seen == [2, 2, 2, 1, 1]
    assert len(await found(database, world, "walrus")) == 8
    assert await waiting(database, world.project_id) == 0


async def test_of_a_very_long_memory_the_beginning_is_searched(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_changes, "MOST_SEARCHED", 50)
    title = {"title": "parade"}
    content = "walrus " + "x" * 43 + " tusk"
    await add(database, world, content, metadata=title)
    await add(database, world, "seal", metadata={"title": "otter " + "y" * 60})
    for _ in ("noted", "folded"):
        assert await found(database, world, "walrus") == await found(database, world, "parade") == [content]
        assert await found(database, world, "tusk") == []
        assert await found(database, world, "seal") == ["seal"]
        assert await found(database, world, "otter") == []
        await SearchIndex(database).folder.fold(world.project_id)
    assert await found(database, world, 'walrus "tusk"') == [], "the index does not know of it"


async def test_a_search_reads_no_more_text_than_it_can_wait_for(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_notes, "READ_BYTES", 100)
    monkeypatch.setattr(search_index, "FOLD_S", 0.0)
    for number in range(6):
        await add(database, world, f"walrus {number} " + "x" * 30)
    some = await found(database, world, "walrus")
    assert 2 <= len(some) <= 3, "as far as that goes"
    assert await waiting(database, world.project_id) == 6
    monkeypatch.setattr(search_index, "FOLD_S", 60.0)
    assert len(await found(database, world, "walrus")) == 6
    assert await waiting(database, world.project_id) == 0


async def test_words_that_there_is_no_room_to_keep_are_read_again(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_notes, "KEPT_TERMS", 5)
    index = SearchIndex(database)
    for number in range(3):
        await add(database, world, f"walrus {number} and many more words than there is room for")
        assert len(await found(database, world, "walrus", index=index)) == number + 1
    assert len(index._notes._kept) == 0


async def test_segments_too_large_for_memory_are_not_merged(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "FAN_OUT", 3)
    monkeypatch.setattr(merging, "MOST_MERGED", 50)
    folder = SearchIndex(database).folder
    for number in range(3):
        await add(database, world, f"walrus {number} " + "word " * 5)
        await folder.fold(world.project_id)
    sizes = await search.block_bytes(
        database, [one.id for one in (await search.state(database, world.project_id)).segments]
    )
    assert len(sizes) == 3
    assert 25 < min(sizes.values()) <= max(sizes.values())
    monkeypatch.setattr(merging, "MOST_MERGED", 2 * max(sizes.values()))
    await folder.fold(world.project_id)
    assert len((await search.state(database, world.project_id)).segments) == 2
    assert len(await found(database, world, "walrus")) == 3


async def test_a_phrase_is_looked_for_in_slices(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        await add(database, world, f"walrus {'grey ' if number % 2 else 'tusk '} {number} " + "x" * number)
    whole = await found(database, world, 'walrus "walrus tusk"')
    assert len(whole) == 15
    sizes: list[int] = []
    real = search.found_slice

    async def spy(*given: Any, **options: Any) -> Any:
        brought, left = await real(*given, **options)
        sizes.append(len(brought))
        return brought, left

    monkeypatch.setattr(search, "SLICE_BYTES", 100)
    monkeypatch.setattr(search, "found_slice", spy)
    assert await found(database, world, 'walrus "walrus tusk"') == whole
    assert len(sizes) > 3
    assert max(sizes) <= 6
    sizes.clear()
    assert await found(database, world, 'walrus "walrus tusk"', limit=2) == whole[:2]
    assert sum(sizes) < 30, "not to the end"


async def test_a_page_of_long_texts_ends_early_and_the_next_goes_on(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await add(database, world, f"walrus {number} " + "x" * 40)
    recall = RecallService(database)
    whole = await found(database, world, "walrus")
    monkeypatch.setattr(search, "SLICE_BYTES", 60)
    monkeypatch.setattr(narrowing, "PAGE_BYTES", 150)
    paged: list[str] = []
    cursor, pages = None, 0
    while True:
        page = await recall.find(world.caller, Question(world.project_id, "walrus", 10, cursor=cursor))
        assert 0 < len(page.hits) < 10
        paged += [hit.observation.content for hit in page.hits]
        pages += 1
        if (cursor := page.next_cursor) is None:
            break
    assert paged == whole
    assert pages > 2


async def test_a_page_reads_no_more_texts_than_it_can_wait_for_and_the_next_goes_on(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await add(
            database, world, f"walrus {'grey tusk' if number % 6 else 'tusk grey'} {number} " + "x " * number
        )
    recall = RecallService(database)
    whole = await found(database, world, 'walrus "walrus tusk"')
    assert len(whole) == 2
    monkeypatch.setattr(search, "SLICE_BYTES", 30)
    monkeypatch.setattr(narrowing, "READ_BYTES", 60)
    paged: list[list[str]] = []
    cursor = None
    while True:
        question = Question(world.project_id, 'walrus "walrus tusk"', 10, cursor=cursor)
        page = await recall.find(world.caller, question)
        paged.append([hit.observation.content for hit in page.hits])
        if (cursor := page.next_cursor) is None:
            break
    assert [content for page_of in paged for content in page_of] == whole
    assert len(paged) > 2
    assert [] in paged, "a page on which nothing passes is none that ends the search"


async def test_the_newest_memories_are_no_more_text_than_a_page_holds(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        concepts = {"concepts": ["sea"]} if number % 2 else {}
        await add(database, world, f"walrus {number:02} " + "x" * 40, metadata=concepts)
    recall = RecallService(database)

    async def recent() -> list[str]:
        shown = await recall.recent(world.caller, project_id=world.project_id, limit=10)
        return [memory.content for memory in shown]

    async def latest(limit: int = 10, **narrowed: Any) -> list[str]:
        shown = await recall.latest(world.caller, Question(world.project_id, "", limit, **narrowed))
        return [memory.content for memory in shown]

    newest, of_the_sea = await recent(), await latest(concepts=["sea"])
    assert (len(newest), len(of_the_sea)) == (10, 6)
    assert await latest() == newest
    brought: list[int] = []
    real = search.found_slice

    async def spy(*given: Any, **options: Any) -> Any:
        found_now, left = await real(*given, **options)
        brought.append(len(found_now))
        return found_now, left

    monkeypatch.setattr(search, "found_slice", spy)
    monkeypatch.setattr(search, "SLICE_BYTES", 60)
    monkeypatch.setattr(narrowing, "PAGE_BYTES", 150)
    assert await recent() == await latest() == newest[:3]
    assert await latest(concepts=["sea"]) == of_the_sea[:3]
    assert max(brought) <= 2, "texts that there is no room for are not read at once"
    brought.clear()
    monkeypatch.setattr(narrowing, "PAGE_BYTES", 1_000_000)
    assert await latest(concepts=["sea"]) == of_the_sea
    assert await latest(2, concepts=["sea"]) == of_the_sea[:2]
    assert max(brought) <= 2


async def test_a_list_of_long_texts_ends_early_and_the_next_goes_on(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        await add(database, world, f"walrus {number} " + "x" * 40)
    service = MemoryService(database)
    wanted: dict[str, Any] = {"project_id": world.project_id, "kind": None, "session_id": None}
    whole = (await service.list_page(world.caller, **wanted, cursor=None, limit=100)).items
    assert len(whole) == 8
    monkeypatch.setattr(memories, "PAGE_CHARACTERS", 100)
    listed: list[Observation] = []
    cursor = None
    while True:
        page = await service.list_page(world.caller, **wanted, cursor=cursor, limit=6)
        assert len(page.items) == 2
        listed += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert listed == whole


@pytest.mark.parametrize("direction", ["older", "newer"])
async def test_a_timeline_of_long_texts_ends_early_and_the_next_page_goes_on(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch, direction: str
) -> None:
    older = direction == "older"
    made = [await add(database, world, f"walrus {number} " + "x" * 40) for number in range(9)]
    # Of one millisecond, ids decide which comes first.
    rows = await timeline.observations_after(
        database, timeline.Stretch(world.team_id, world.project_id), Cursor(0, ""), limit=10
    )
    ordered = [row["id"] for row in rows]
    assert set(ordered) == set(made)
    start, *others = reversed(ordered) if older else ordered
    service = TimelineService(database)

    async def span_at(cursor: str | None) -> Span:
        found = await service.around(world.caller, start, before=6, after=6, cursor=cursor)
        return found.before if older else found.after

    monkeypatch.setattr(timeline, "PAGE_CHARACTERS", 100)
    listed: list[str] = []
    cursor = None
    while True:
        span = await span_at(cursor)
        shown = [entry.id for entry in span.entries]
        assert 0 < len(shown) <= 2
        listed += reversed(shown) if older else shown
        if (cursor := span.older if older else span.newer) is None:
            break
    assert listed == others
