"""The search index over both storages: exact at every moment, whoever writes, folds, merges or purges meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from claude_mem.model.errors import Forbidden, InvalidInput, NotFound
from claude_mem.retrieval.documents import analyse_observation
from claude_mem.retrieval.ranking import BEFORE
from claude_mem.services import folding, merging, search_index, search_notes
from claude_mem.services.memories import MemoryChange, MemoryInput, MemoryService
from claude_mem.services.purging import purge_project
from claude_mem.services.questions import Question, SearchPage
from claude_mem.services.recall import RecallService
from claude_mem.services.search_index import SearchIndex
from claude_mem.storage import observations, search
from claude_mem.storage.database import Database
from claude_mem.storage.search import Filters
from tests.support.databases import Storage
from tests.support.load import World, make_world

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "記憶", "retry_count", "src/a_b.py")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches and segments so small that everything happens often."""
    monkeypatch.setattr(folding, "BATCH", 7)
    monkeypatch.setattr(merging, "FAN_OUT", 3)
    monkeypatch.setattr(folding, "WORTH_SWEEPING", 20)


async def ask(database: Database, world: World, text: str, **wanted: Any) -> SearchPage:
    question = Question(world.project_id, text, wanted.pop("limit", 100), **wanted)
    return await RecallService(database).find(world.caller, question)


async def add(database: Database, world: World, content: str, **members: Any) -> str:
    received = MemoryInput(members.pop("project_id", world.project_id), content, **members)
    return (await MemoryService(database).add(world.caller, received)).memory.id


async def check(storage: Storage, database: Database, world: World) -> None:
    """Compare every statistic that a search uses with one that is counted from the rows."""
    rows = await observations.list_rows(
        database,
        team_id=world.team_id,
        project_id=world.project_id,
        kind=None,
        session_id=None,
        before=None,
        limit=10_000,
    )
    analysed = {row["id"]: analyse_observation(row["content"], {}) for row in rows}
    page = await ask(database, world, " ".join(WORDS), explain=True)
    assert page.statistics is not None
    assert page.statistics.documents == len(analysed)
    lengths = sum(one.length for one in analysed.values())
    if lengths:
        assert page.statistics.average_length == pytest.approx(lengths / len(analysed))
    seen: dict[str, set[str]] = {}
    for hit in page.hits:
        for one in hit.explanation or []:
            if one.term == BEFORE:
                continue
            counted = sum(one.term in found.frequencies for found in analysed.values())
            assert one.document_frequency == counted, one.term
            assert one.frequency == analysed[hit.observation.id].frequencies[one.term] / 2
            seen.setdefault(one.term, set()).add(hit.observation.id)
    for term, having in seen.items():
        assert having == {name for name, found in analysed.items() if term in found.frequencies}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(4))
async def test_statistics_are_those_of_the_rows_after_any_writes(
    storage: Storage, database: Database, world: World, seed: int
) -> None:
    chance = random.Random(seed)
    ids: list[str] = []
    folder = SearchIndex(database).folder
    service = MemoryService(database)
    for _ in range(90):
        text = " ".join(chance.choices(WORDS, k=chance.randint(1, 6)))
        deed = chance.random()
        if deed < 0.5 or not ids:
            ids.append(await add(database, world, text))
        elif deed < 0.65:
            await service.change(world.caller, chance.choice(ids), wanted=MemoryChange(content=text))
        elif deed < 0.85:
            await service.delete(world.caller, ids.pop(chance.randrange(len(ids))))
        elif deed < 0.97:
            await folder.fold(world.project_id)
        else:
            await purge_project(database, world.caller, world.project_id)
            ids.clear()
        if chance.random() < 0.25:
            await check(storage, database, world)
    await folder.fold(world.project_id)
    await check(storage, database, world)
    assert (await search.state(database, world.project_id)).changes == ()


@pytest.mark.usefixtures("small")
async def test_writers_folders_and_searches_at_once_leave_exact_statistics(
    storage: Storage, database: Database, world: World
) -> None:
    others = [await storage.open() for _ in range(2)]
    writing = asyncio.Event()

    async def write(number: int) -> None:
        chance = random.Random(number)
        service = MemoryService(database)
        mine: list[str] = []
        for step in range(40):
            text = " ".join(chance.choices(WORDS, k=4))
            deed = chance.random()
            if number == 0 and step in {13, 27}:
                await purge_project(database, world.caller, world.project_id)
            elif not mine or deed < 0.5:
                mine.append(await add(database, world, text))
            # A purge may have been first.
            elif deed < 0.75:
                with contextlib.suppress(NotFound):
                    await service.change(world.caller, chance.choice(mine), wanted=MemoryChange(content=text))
            else:
                with contextlib.suppress(NotFound):
                    await service.delete(world.caller, mine.pop())

    async def repeat(deed: Callable[[], Awaitable[object]]) -> None:
        while not writing.is_set():
            await deed()
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for other in others:
            folder = SearchIndex(other).folder
            tasks.create_task(repeat(lambda folder=folder: folder.fold(world.project_id)))  # type: ignore[misc]
        tasks.create_task(repeat(lambda: ask(database, world, "alpha beta")))
        async with asyncio.TaskGroup() as writers:
            for number in range(4):
                writers.create_task(write(number))
        writing.set()
    await check(storage, database, world)
    await SearchIndex(database).folder.fold(world.project_id)
    await check(storage, database, world)


async def test_rows_of_other_writers_count_from_their_commit(
    storage: Storage, database: Database, world: World
) -> None:
    recall = RecallService(database)

    async def found(text: str) -> list[str]:
        page = await recall.find(world.caller, Question(world.project_id, text, 10))
        return [hit.observation.id for hit in page.hits]

    columns = "(id, project_id, team_id, content)"
    values = f"'{world.project_id}', '{world.team_id}'"
    await storage.query(
        f"INSERT INTO observations {columns} VALUES ('x', {values}, 'walrus'), ('y', {values}, 'tusk')"
    )
    assert await found("walruses") == ["x"]
    await SearchIndex(database).folder.fold(world.project_id)
    await storage.query("UPDATE observations SET content = 'seal' WHERE id = 'x'")
    assert (await found("walrus"), await found("seal")) == ([], ["x"])
    await storage.query(f"UPDATE observations SET project_id = '{world.sibling_id}' WHERE id = 'x'")
    assert await found("seal") == []
    await storage.query("DELETE FROM observations WHERE id = 'y'")
    assert await found("tusk") == []
    await SearchIndex(database).folder.fold(world.project_id)
    state = await search.state(database, world.project_id)
    assert (state.segments, state.changes) == ((), ()), "nothing is left of what is gone"


async def test_an_emptied_table_has_an_empty_index(postgres_storage: Storage) -> None:
    database = await postgres_storage.open()
    world = await make_world(database)
    await add(database, world, "alpha")
    await SearchIndex(database).folder.fold(world.project_id)
    await add(database, world, "beta")
    await postgres_storage.query("TRUNCATE observations CASCADE")
    state = await search.state(database, world.project_id)
    assert (state.segments, state.changes) == ((), ())
    await postgres_storage.close()


async def test_a_deleted_project_takes_its_index_along(postgres_storage: Storage) -> None:
    database = await postgres_storage.open()
    world = await make_world(database)
    folder = SearchIndex(database).folder
    await add(database, world, "alpha", project_id=world.sibling_id)
    await folder.fold(world.sibling_id)
    await add(database, world, "beta", project_id=world.sibling_id)
    await postgres_storage.query(f"DELETE FROM projects WHERE id = '{world.sibling_id}'")
    await folder.fold_due()
    await folder.fold_due()
    assert (await search.state(database, world.sibling_id)) == search.State(None, (), ())
    await postgres_storage.close()


async def test_more_changes_than_can_be_read_are_folded_or_looked_through(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_notes, "MOST_READ", 5)
    for number in range(20):
        await add(database, world, f"needle{number}x parsers")
    monkeypatch.setattr(search_index, "FOLD_S", 0.0)
    page = await ask(database, world, "needle7x")
    assert [hit.observation.content for hit in page.hits] == ["needle7x parsers"], "found though not indexed"
    assert len((await search.state(database, world.project_id)).changes) == 20
    monkeypatch.setattr(search_index, "FOLD_S", 60.0)
    page = await ask(database, world, "parser")
    assert len(page.hits) == 20
    assert (await search.state(database, world.project_id)).changes == ()


async def test_another_project_weighs_nothing(database: Database, world: World) -> None:
    await add(database, world, "alpha beta")
    await add(database, world, "alpha")
    index = SearchIndex(database)
    await index.folder.fold(world.project_id)
    before = await ask(database, world, "alpha beta", explain=True)
    for number in range(30):
        await add(database, world, f"beta gamma {number}", project_id=world.sibling_id)
    theirs = world.caller_of(world.other_team_id)
    await MemoryService(database).add(theirs, MemoryInput(world.other_project_id, "secret beta alpha"))
    for project in (world.sibling_id, world.other_project_id):
        await index.folder.fold(project)
    assert await ask(database, world, "alpha beta", explain=True) == before
    assert (await ask(database, world, "secret gamma")).hits == []
    with pytest.raises(Forbidden):
        await RecallService(database).find(world.caller, Question(world.other_project_id, "secret", 5))


async def test_filters(storage: Storage, database: Database, world: World) -> None:
    files = {"files_read": ["src/auth/token.py"], "concepts": ["Gotcha"]}
    a = await add(database, world, "alpha", kind="decision", metadata=files)
    b = await add(database, world, "alpha", metadata={"files_modified": ["docs/auth.md"], "concepts": [7]})

    async def found(**narrowed: Any) -> list[str]:
        filters = Filters(**narrowed.pop("filters", {}))
        page = await ask(database, world, "alpha", filters=filters, **narrowed)
        return sorted(hit.observation.id for hit in page.hits)

    assert await found() == sorted([a, b])
    assert await found(filters={"kinds": ["decision"]}) == [a]
    assert await found(filters={"kinds": ["decision", "manual"]}) == sorted([a, b])
    assert await found(files=["token.py"]) == await found(files=["src/auth/"]) == [a]
    assert await found(files=["auth.md", "auth"]) == sorted([a, b])
    assert await found(files=["oken.py"]) == []
    assert await found(concepts=["GOTCHA"]) == [a]
    assert await found(filters={"session_id": "absent"}) == []
    (row,) = await storage.query(f"SELECT created_at FROM observations WHERE id = '{a}'")
    made = row[0] if isinstance(row[0], int) else int(row[0].timestamp() * 1_000_000)
    assert a in await found(filters={"since_us": made - 1000})
    assert await found(filters={"until_us": made - 1000}) == []


async def test_a_rare_filter_reaches_down_the_whole_ranking(database: Database, world: World) -> None:
    last = await add(database, world, "alpha " + "beta " * 200, kind="rare")
    for number in range(60):
        await add(database, world, f"alpha {number}")
    page = await ask(database, world, "alpha", limit=2, filters=Filters(kinds=["rare"]))
    assert [hit.observation.id for hit in page.hits] == [last]
    assert page.next_cursor is None


async def test_pages_are_of_one_ranking_while_others_write(database: Database, world: World) -> None:
    first = [await add(database, world, f"alpha {'beta ' * (n % 3)}") for n in range(12)]
    whole = [hit.observation.id for hit in (await ask(database, world, "alpha beta")).hits]
    assert sorted(whole) == sorted(first)
    paged: list[str] = []
    cursor = None
    while True:
        page = await ask(database, world, "alpha beta", limit=5, cursor=cursor)
        paged += [hit.observation.id for hit in page.hits]
        if (cursor := page.next_cursor) is None:
            break
        await add(database, world, "beta beta beta gamma")
        await SearchIndex(database).folder.fold(world.project_id)
    assert [one for one in paged if one in first] == whole
    assert len(paged) == len(set(paged))


@pytest.mark.parametrize("cursor", ["x", "!!", "bnVsbA", "WzEsMixbMV0sWzFdXQ", "e30"])
async def test_a_foreign_cursor_is_refused(database: Database, world: World, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        await ask(database, world, "alpha", cursor=cursor)


async def test_a_cursor_goes_with_its_question_only(database: Database, world: World) -> None:
    for _ in range(3):
        await add(database, world, "alpha beta")
    cursor = (await ask(database, world, "alpha", limit=1)).next_cursor
    assert cursor is not None
    with pytest.raises(InvalidInput):
        await ask(database, world, "beta", limit=1, cursor=cursor)


async def test_fragments_of_identifiers_prefixes_and_scripts_are_found(
    database: Database, world: World
) -> None:
    texts = (
        "CLAUDE_MEM_QUEUE_ENGINE is read once",
        "retryBackoffPolicy grows",
        "see src/auth/token_store.py",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "Миграция прошла",
        "日本の記憶喪失",
        "Café über größe",
        "The authentication works",
        "to be or not to be",
    )
    ids = {await add(database, world, text): text for text in texts}
    questions = {
        "QUEUE_ENGINE": 0,
        "queueEngine": 0,
        "BackoffPolicy": 1,
        "retryBack": 1,
        "token_store.py": 2,
        "auth": 2,
        "9fceb02": 3,
        "Миграц": 4,
        "миграции": 4,
        "記憶": 5,
        "憶喪": 5,
        "cafe uber": 6,
        "authenticat*": 7,
        "to be": 8,
    }
    for folded in (False, True):
        if folded:
            await SearchIndex(database).folder.fold(world.project_id)
        for question, expected in questions.items():
            page = await ask(database, world, question)
            assert page.hits, question
            assert ids[page.hits[0].observation.id] == texts[expected], question


async def test_a_title_weighs_more_than_the_text(database: Database, world: World) -> None:
    await add(database, world, "walrus then something about the parser")
    titled = await add(database, world, "something then something", metadata={"title": "walrus"})
    assert (await ask(database, world, "walrus")).hits[0].observation.id == titled


async def test_highlights_come_when_asked_for(database: Database, world: World) -> None:
    await add(database, world, "Retries back off")
    plain = await ask(database, world, "retry")
    shown = await ask(database, world, "retry", highlights=True)
    assert plain.hits[0].highlights is None
    assert shown.hits[0].highlights is not None
    assert [tuple(piece) for piece in shown.hits[0].highlights[0]] == [
        ("Retries", True),
        (" back off", False),
    ]
