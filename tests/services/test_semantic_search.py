"""Search by words and meaning together, on a real PostgreSQL with pgvector; whatever fails, words alone answer."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from claude_mem.model.errors import Forbidden, InvalidInput
from claude_mem.model.times import now_us
from claude_mem.services import memory_vectors, narrowing, question_vectors
from claude_mem.services.memories import MemoryInput, MemoryService
from claude_mem.services.questions import Question, SearchPage
from claude_mem.services.recall import RecallService
from claude_mem.services.search_cursors import SearchCursor, Window
from claude_mem.storage import search
from claude_mem.storage.database import Database
from claude_mem.storage.search import Filters
from tests.support.databases import Storage, postgres_settings
from tests.support.embeddings import FakeEmbeddings, Reply
from tests.support.load import World, make_world
from tests.support.semantic import Assemble, Semantics

HIDDEN = "Credentials are redacted in output"
QUESTION = "masked secrets"


@pytest.fixture
async def world(vector_database: Database) -> World:
    return await make_world(vector_database)


@pytest.fixture
def one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """No day ends while its budget is spent."""
    at = now_us()
    for module in (memory_vectors, question_vectors):
        monkeypatch.setattr(module, "now_us", lambda: at)


@pytest.fixture
def found(vector_database: Database, endpoint: FakeEmbeddings, assemble: Assemble) -> Semantics:
    return assemble(vector_database, endpoint)


async def remember(database: Database, world: World, *contents: str, **more: Any) -> list[str]:
    service = MemoryService(database)
    made = [
        await service.add(world.caller, MemoryInput(world.project_id, content, **more))
        for content in contents
    ]
    return [item.memory.id for item in made]


async def ask(found: Semantics, world: World, text: str, **more: Any) -> SearchPage:
    question = Question(world.project_id, text, more.pop("limit", 10), explain=True, **more)
    return await found.recall.find(world.caller, question)


def ids(page: SearchPage) -> list[str]:
    return [hit.observation.id for hit in page.hits]


async def test_what_no_word_finds_is_found_by_meaning_and_says_so(found: Semantics, world: World) -> None:
    hidden, other = await remember(found.database, world, HIDDEN, "The parser reads blocks")
    assert ids(await ask(found, world, QUESTION)) == []
    await found.embed_all()
    page = await ask(found, world, QUESTION)
    assert ids(page) == [hidden]
    placed = page.hits[0].placed
    assert placed is not None
    assert (placed.words, placed.meaning) == (None, 1)
    assert placed.similarity is not None
    assert placed.similarity > 0.3
    assert page.hits[0].explanation == []
    assert page.meaning is not None
    assert (page.meaning.model, page.meaning.missing) == (found.embedder.model, None)
    both = await ask(found, world, "parser")
    assert ids(both) == [other]
    assert both.hits[0].placed is not None
    assert (both.hits[0].placed.words, both.hits[0].placed.meaning) == (1, 1)
    assert both.hits[0].explanation


async def test_words_keep_their_places_and_meaning_has_what_they_leave(
    found: Semantics, world: World
) -> None:
    await remember(found.database, world, *(f"masked words {'and more ' * n}" for n in range(1, 30)))
    (hidden,) = await remember(found.database, world, HIDDEN)
    lexical = RecallService(found.database)
    alone = ids(await lexical.find(world.caller, Question(world.project_id, QUESTION, 100)))
    assert len(alone) == 29
    await found.embed_all()
    for limit in (30, 100):
        assert ids(await ask(found, world, QUESTION, limit=limit)) == [*alone, hidden]
    for limit in (1, 5, 10, 20, 25, 29):
        assert ids(await ask(found, world, QUESTION, limit=limit)) == alone[:limit]


@pytest.mark.parametrize("limit", [3, 7, 30, 50])
async def test_pages_are_pages_of_one_ranking_whatever_is_written_meanwhile(
    found: Semantics, world: World, limit: int
) -> None:
    words = await remember(found.database, world, *(f"masked number {n} {'filler ' * n}" for n in range(40)))
    meant = await remember(found.database, world, *(f"{HIDDEN} {n}" for n in range(7)))
    await found.embed_all()
    whole = ids(await ask(found, world, QUESTION, limit=100))
    assert set(whole[:40]) == set(words)
    assert set(whole[40:]) == set(meant)
    seen: list[str] = []
    scores: list[float] = []
    cursor = None
    while True:
        page = await ask(found, world, QUESTION, limit=limit, cursor=cursor)
        seen += ids(page)
        scores += [hit.score for hit in page.hits]
        # What is new ranks above all, and is embedded too: it must shift nothing.
        await remember(found.database, world, "masked masked secrets")
        await found.embed_all()
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == whole
    assert scores == sorted(set(scores), reverse=True)


@pytest.mark.parametrize("text", [QUESTION, f"{QUESTION} -walrus"])
async def test_pages_of_long_texts_end_early_and_lose_nothing_of_either_ranking(
    found: Semantics, world: World, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    filler = "filler " * 6
    words = await remember(found.database, world, *(f"masked {filler} {n}" for n in range(6)))
    meant = await remember(found.database, world, *(f"{HIDDEN} {HIDDEN} {n}" for n in range(7)))
    await remember(found.database, world, f"{HIDDEN} walrus")
    await found.embed_all()
    whole = [one for one in ids(await ask(found, world, text, limit=100)) if one in {*words, *meant}]
    assert (set(whole[:6]), set(whole[6:])) == (set(words), set(meant))
    brought: list[int] = []
    real = search.found_slice

    async def spy(*given: Any, **options: Any) -> Any:
        rows_by_id, left = await real(*given, **options)
        brought.append(len(rows_by_id))
        return rows_by_id, left

    monkeypatch.setattr(search, "found_slice", spy)
    monkeypatch.setattr(search, "SLICE_BYTES", 60)
    monkeypatch.setattr(narrowing, "PAGE_BYTES", 150)
    seen: list[str] = []
    cursor, pages = None, 0
    while True:
        page = await ask(found, world, text, limit=10, cursor=cursor)
        assert 0 < len(page.hits) <= 4
        seen += [one for one in ids(page) if one in {*words, *meant}]
        pages += 1
        if (cursor := page.next_cursor) is None:
            break
    assert seen == whole
    assert pages > 3
    assert max(brought) <= 2, "texts that there is no room for are not held at once"


async def test_a_cursor_that_somebody_made_up_is_refused_and_reaches_nobody_elses_memory(
    found: Semantics, world: World
) -> None:
    await remember(found.database, world, *(f"masked {n}" for n in range(4)))
    theirs = await MemoryService(found.database).add(
        world.caller_of(world.other_team_id), MemoryInput(world.other_project_id, HIDDEN)
    )
    await found.embed_all()
    page = await ask(found, world, QUESTION, limit=2)
    assert page.next_cursor is not None
    digest = _digest_of(page.next_cursor)
    cursor = SearchCursor.decode(page.next_cursor, question=digest)
    forged = replace(cursor, window=Window(later=((theirs.memory.id, 1, 0.9),)))
    shown = await ask(found, world, QUESTION, limit=50, cursor=forged.encode())
    assert theirs.memory.id not in ids(shown)
    for window in (
        [0, 2, [], [["x", 0, 0.5]]],
        [0, 2, [], [["x", 1, "near"]]],
        [0, 2, ["y"], [["x", 1, 0.5]] * 50],
        [-1, 2, [], []],
        [0, -1, [], []],
        [0, [], []],
        "no",
    ):
        broken = _with_window(page.next_cursor, window)
        with pytest.raises(InvalidInput):
            await ask(found, world, QUESTION, limit=2, cursor=broken)


def _parts(cursor: str) -> list[Any]:
    found: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return found


def _digest_of(cursor: str) -> str:
    return str(_parts(cursor)[0])


def _with_window(cursor: str, window: Any) -> str:
    parts = [*_parts(cursor)[:4], window]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


async def test_syntax_and_filters_hold_for_what_meaning_finds(found: Semantics, world: World) -> None:
    first, second, third = await remember(
        found.database,
        world,
        f"{HIDDEN} of the deploy job",
        f"{HIDDEN} of the parser",
        "Passwords are hidden in the journal",
    )
    (decision,) = await remember(found.database, world, f"{HIDDEN}, by decision", kind="decision")
    await found.embed_all()
    everything = {first, second, third, decision}
    assert set(ids(await ask(found, world, QUESTION))) == everything
    assert set(ids(await ask(found, world, f"{QUESTION} -parser"))) == everything - {second}
    assert set(ids(await ask(found, world, f'{QUESTION} -"hidden in the journal"'))) == everything - {third}
    assert ids(await ask(found, world, f'{QUESTION} "deploy job"')) == [first]
    assert ids(await ask(found, world, QUESTION, filters=Filters(kinds=["decision"]))) == [decision]
    for narrow in (Filters(session_id="none"), Filters(platform="none"), Filters(until_us=1)):
        assert ids(await ask(found, world, QUESTION, filters=narrow)) == []
    assert ids(await ask(found, world, QUESTION, concepts=["security"])) == []
    # Exclusions alone ask for nothing, and a time alone is no text.
    assert ids(await ask(found, world, "-parser")) == []
    # Whenever it is asked: what was made before midnight was not made today.
    page = await ask(found, world, "last 3 days")
    assert set(ids(page)) == everything
    assert page.meaning is not None
    assert page.meaning.missing == "no_words"


async def test_another_team_is_neither_found_nor_noticed(found: Semantics, world: World) -> None:
    await remember(found.database, world, HIDDEN)
    await found.embed_all()
    calls = len(found.endpoint.calls)
    stranger = world.caller_of(world.other_team_id)
    with pytest.raises(Forbidden):
        await found.recall.find(stranger, Question(world.project_id, QUESTION, 5))
    assert len(found.endpoint.calls) == calls
    page = await found.recall.find(stranger, Question(world.other_project_id, QUESTION, 5))
    assert page.hits == []
    await ask(found, world, QUESTION)
    await ask(found, world, QUESTION)
    # Each team pays for its own question once.
    assert found.endpoint.texts[calls:] == [QUESTION, QUESTION]


async def test_a_question_is_sent_without_its_syntax_and_counted(found: Semantics, world: World) -> None:
    await found.embed_all()
    await ask(found, world, 'masked* OR secrets -parser "in output"')
    assert found.endpoint.texts == ["masked secrets in output"]
    await found.semantic.write_usage()
    rows = await found.database.fetch("usage.totals", team_id=world.team_id, since=0)
    assert {row["kind"]: row["quantity"] for row in rows}["tokens"] == 4


@pytest.mark.parametrize(
    ("reply", "missing"),
    [
        (Reply(status=500), "endpoint_failed"),
        (Reply(status=429, headers={"retry-after": "60"}), "endpoint_failed"),
        (Reply(status=401), "endpoint_failed"),
        (Reply(raw="<html>"), "endpoint_failed"),
        (Reply(raw='{"data": []}'), "endpoint_failed"),
        (Reply(raw='{"data": [{"embedding": [0, 0]}]}'), "endpoint_failed"),
        (Reply(raw='{"data": [{"embedding": [1e999]}]}'), "endpoint_failed"),
    ],
)
async def test_words_alone_answer_where_the_endpoint_fails(
    found: Semantics, world: World, reply: Reply, missing: str
) -> None:
    (parser,) = await remember(found.database, world, "The parser reads blocks")
    await found.embed_all()
    found.endpoint.always = reply
    page = await ask(found, world, "parser")
    assert ids(page) == [parser]
    assert page.meaning is not None
    assert page.meaning.missing == missing
    assert page.hits[0].placed is None


async def test_a_slow_endpoint_is_not_waited_for(
    vector_database: Database, endpoint: FakeEmbeddings, world: World, assemble: Assemble
) -> None:
    found = assemble(vector_database, endpoint, timeout_s=0.2)
    (parser,) = await remember(found.database, world, "The parser reads blocks")
    never = asyncio.Event()
    endpoint.always = Reply(waits_for=never)
    page = await ask(found, world, "parser")
    assert ids(page) == [parser]
    assert page.meaning is not None
    assert page.meaning.missing == "timeout"
    never.set()


async def test_a_slow_comparison_is_not_waited_for(
    vector_database: Database,
    vector_storage: Storage,
    endpoint: FakeEmbeddings,
    world: World,
    assemble: Assemble,
) -> None:
    found = assemble(vector_database, endpoint, compare_s=0.2)
    (parser,) = await remember(found.database, world, "The parser reads blocks")
    await found.embed_all()
    connection = await asyncpg.connect(vector_storage.url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE observation_vectors")
            page = await ask(found, world, "parser")
    finally:
        await connection.close()
    assert ids(page) == [parser]
    assert page.meaning is not None
    assert page.meaning.missing == "timeout"


async def test_an_endpoint_that_keeps_failing_is_left_alone(found: Semantics, world: World) -> None:
    await remember(found.database, world, "The parser reads blocks")
    found.endpoint.always = Reply(status=503)
    seen: list[str | None] = []
    for number in range(40):
        page = await ask(found, world, f"parser {number}")
        assert page.meaning is not None
        seen.append(page.meaning.missing)
        if seen[-1] == "circuit_open":
            break
    assert seen[:10] == ["endpoint_failed"] * 10
    assert seen[-1] == "circuit_open"


@pytest.mark.usefixtures("one_day")
async def test_a_spent_budget_leaves_words(
    vector_database: Database, endpoint: FakeEmbeddings, world: World, assemble: Assemble
) -> None:
    found = assemble(vector_database, endpoint, daily_tokens=1)
    await remember(found.database, world, "The parser reads blocks")
    assert (await ask(found, world, "parser")).meaning.missing is None  # type: ignore[union-attr]
    await found.semantic.write_usage()
    page = await ask(found, world, "parser blocks")
    assert page.meaning is not None
    assert page.meaning.missing == "budget_spent"
    assert len(page.hits) == 1


async def test_a_database_without_the_extension_says_how_to_get_it_and_searches_by_words(
    postgres_storage: Storage,
    endpoint: FakeEmbeddings,
    assemble: Assemble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = await postgres_storage.open()
    world = await make_world(database)
    found = assemble(database, endpoint)
    (parser,) = await remember(database, world, "The parser reads blocks")
    with caplog.at_level(logging.WARNING):
        assert await found.memories.step() > 0
        for _ in range(3):
            page = await ask(found, world, "parser")
            assert ids(page) == [parser]
            assert page.meaning is not None
            assert page.meaning.missing == "not_supported"
    told = [
        record.getMessage() for record in caplog.records if "CREATE EXTENSION vector" in record.getMessage()
    ]
    assert len(told) == 2  # the worker's side and the server's, once each
    assert endpoint.calls == []
    await postgres_storage.close()


async def test_sqlite_searches_by_words(
    sqlite_storage: Storage, endpoint: FakeEmbeddings, assemble: Assemble
) -> None:
    database = await sqlite_storage.open()
    world = await make_world(database)
    found = assemble(database, endpoint)
    (parser,) = await remember(database, world, "The parser reads blocks")
    page = await ask(found, world, "parser")
    assert ids(page) == [parser]
    assert page.meaning is not None
    assert page.meaning.missing == "not_supported"
    await sqlite_storage.close()


async def test_a_role_that_may_not_create_tables_is_told_so(
    vector_storage: Storage, endpoint: FakeEmbeddings, assemble: Assemble, caplog: pytest.LogCaptureFixture
) -> None:
    owner = await vector_storage.open()
    world = await make_world(owner)
    (parser,) = await remember(owner, world, "The parser reads blocks")
    await vector_storage.query("CREATE ROLE modest LOGIN")
    try:
        await vector_storage.query("GRANT ALL ON ALL TABLES IN SCHEMA public TO modest")
        await vector_storage.query("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO modest")
        modest = Storage(
            "postgres", postgres_settings(vector_storage.url.replace("claude_mem@", "modest@", 1))
        )
        found = assemble(await modest.open(), endpoint)
        page = await ask(found, world, "parser")
        assert ids(page) == [parser]
        assert page.meaning is not None
        assert page.meaning.missing == "not_supported"
        assert "create tables" in caplog.text
        await modest.close()
    finally:
        await vector_storage.query("DROP OWNED BY modest")
        await vector_storage.query("DROP ROLE modest")


async def test_a_table_that_went_away_leaves_words_and_comes_back(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    (parser,) = await remember(found.database, world, "The parser reads blocks")
    await found.embed_all()
    await ask(found, world, "parser")
    await vector_storage.query("DROP TABLE observation_vectors")
    page = await ask(found, world, "parser")
    assert ids(page) == [parser]
    assert page.meaning is not None
    assert page.meaning.missing == "database_failed"
    assert await found.memories.step() > 0
    await found.embed_all()
    page = await ask(found, world, "parser")
    assert page.meaning is not None
    assert page.meaning.missing is None
