"""Memories get their vectors on a real PostgreSQL: each once, for the text that it has, whatever fails or dies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from claude_mem.generation.prices import PriceList
from claude_mem.model.times import now_us
from claude_mem.services import memory_vectors, question_vectors
from claude_mem.services.budget_changes import BudgetChanges
from claude_mem.services.memories import MemoryInput, MemoryService
from claude_mem.services.memory_vectors import FIRST_PAUSE_S, LONGEST_PAUSE_S
from claude_mem.services.questions import Question
from claude_mem.services.usage import Dimension, UsageService
from claude_mem.storage.budgets import BudgetRow
from claude_mem.storage.database import Database
from claude_mem.storage.vectors import ClaimTerms, claim, ensure
from tests.support.databases import Storage
from tests.support.embeddings import FakeEmbeddings, Reply
from tests.support.growth import Growth
from tests.support.load import World, make_world, until
from tests.support.semantic import MODEL, PASSAGE, Assemble, Semantics

TERMS = ClaimTerms(model=MODEL, dimensions=None, limit=64, characters=8000)


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


async def called(endpoint: FakeEmbeddings) -> None:
    async def asked() -> bool:
        return bool(endpoint.calls)

    await until(asked, what="a call of the endpoint")


async def stored(storage: Storage) -> dict[str, str]:
    """The model of each memory's vector."""
    rows = await storage.query(
        "SELECT observation_id, model FROM observation_vectors WHERE embedding IS NOT NULL"
    )
    return {row[0]: row[1] for row in rows}


async def test_each_memory_is_embedded_once_and_again_when_its_text_changes(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    one, two = await remember(found.database, world, "first text", "second text")
    await found.embed_all()
    assert set(await stored(vector_storage)) == {one, two}
    assert sorted(found.endpoint.texts) == ["first text", "second text"]
    assert await found.memories.step() > 0
    assert len(found.endpoint.calls) == 1
    await vector_storage.query(
        f"UPDATE observations SET content = 'changed text', updated_at = now() WHERE id = '{one}'"
    )
    await found.embed_all()
    assert found.endpoint.texts[2:] == ["changed text"]
    await vector_storage.query(f"DELETE FROM observations WHERE id = '{two}'")
    assert set(await stored(vector_storage)) == {one}


async def test_a_vector_of_an_earlier_text_is_never_compared(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    (memory,) = await remember(found.database, world, "credentials are redacted")
    # Edited while its vector is made, and by somebody who does not keep the time of the change.
    answering = asyncio.Event()
    found.endpoint.script.append(Reply(waits_for=answering))
    step = asyncio.create_task(found.memories.step())
    await called(found.endpoint)
    await vector_storage.query(f"UPDATE observations SET content = 'the parser' WHERE id = '{memory}'")
    answering.set()
    await step
    page = await found.recall.find(world.caller, Question(world.project_id, "masked secrets", 5))
    assert page.hits == []
    # One who keeps it has the memory embedded anew.
    await vector_storage.query(
        f"UPDATE observations SET updated_at = updated_at + interval '1 s' WHERE id = '{memory}'"
    )
    await found.embed_all()
    assert found.endpoint.texts.count("the parser") == 1


async def test_another_model_or_length_has_all_made_anew(
    vector_database: Database,
    endpoint: FakeEmbeddings,
    world: World,
    vector_storage: Storage,
    assemble: Assemble,
) -> None:
    first = assemble(vector_database, endpoint)
    (memory,) = await remember(vector_database, world, "some text")
    await first.embed_all()
    second = assemble(vector_database, endpoint, model="other-model")
    await second.embed_all()
    assert await stored(vector_storage) == {memory: "other-model"}
    third = assemble(vector_database, endpoint, model="other-model", dimensions=16)
    await third.embed_all()
    assert await vector_storage.query(
        "SELECT dimensions, vector_dims(embedding) FROM observation_vectors"
    ) == [(16, 16)]
    assert len(endpoint.calls) == 3
    # Those of the first model are ignored by it, not mistaken.
    page = await first.recall.find(world.caller, Question(world.project_id, "text", 5, explain=True))
    assert page.hits[0].placed is not None
    assert page.hits[0].placed.meaning is None


async def test_two_workers_never_send_the_same_text(
    vector_database: Database, endpoint: FakeEmbeddings, world: World, assemble: Assemble
) -> None:
    await remember(vector_database, world, *(f"text {number}" for number in range(60)))
    workers = [assemble(vector_database, endpoint, batch=7) for _ in range(3)]
    await asyncio.gather(*(worker.embed_all() for worker in workers))
    assert sorted(endpoint.texts) == sorted(f"text {number}" for number in range(60))


async def test_what_a_dead_worker_held_is_taken_when_its_time_is_over(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    (memory,) = await remember(found.database, world, "some text")
    assert await ensure(found.database, passage=PASSAGE) is None
    now = now_us()
    claimed = await claim(found.database, TERMS, holder="dead", until_us=now + 10**9, now_us=now, without=[])
    assert [one.id for one in claimed] == [memory]
    assert await found.memories.step() > 0
    assert found.endpoint.calls == []
    await vector_storage.query("UPDATE observation_vectors SET held_until = now() - interval '1 s'")
    await found.embed_all()
    assert set(await stored(vector_storage)) == {memory}


async def test_a_worker_that_is_stopped_gives_back_what_it_held(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    await remember(found.database, world, "some text")
    never = asyncio.Event()
    found.endpoint.script.append(Reply(waits_for=never))
    running = asyncio.create_task(found.memories.run())
    await called(found.endpoint)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    never.set()
    assert await vector_storage.query("SELECT holder FROM observation_vectors") == [("",)]
    await found.embed_all()
    assert len(await stored(vector_storage)) == 1


async def test_a_memory_that_is_deleted_meanwhile_is_no_failure(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    gone, kept = await remember(found.database, world, "one text", "other text")
    answering = asyncio.Event()
    found.endpoint.script.append(Reply(waits_for=answering))
    step = asyncio.create_task(found.memories.step())
    await called(found.endpoint)
    await vector_storage.query(f"DELETE FROM observations WHERE id = '{gone}'")
    answering.set()
    assert await step == 0
    assert set(await stored(vector_storage)) == {kept}


@pytest.mark.parametrize(
    ("reply", "least"),
    [
        (Reply(status=500), FIRST_PAUSE_S),
        (Reply(status=429, headers={"retry-after": "77"}), 77),
        (Reply(status=401), LONGEST_PAUSE_S),
        (Reply(status=404), LONGEST_PAUSE_S),
        (Reply(raw="<html>"), LONGEST_PAUSE_S),
        (Reply(raw='{"data": [{"embedding": [1]}]}'), LONGEST_PAUSE_S),
        (Reply(status=400), LONGEST_PAUSE_S),
    ],
)
async def test_a_failing_endpoint_is_left_alone_and_then_gets_everything(
    found: Semantics, world: World, vector_storage: Storage, reply: Reply, least: float
) -> None:
    memories = await remember(found.database, world, "one text", "other text")
    found.endpoint.always = reply
    assert await found.memories.step() >= least
    assert await stored(vector_storage) == {}
    found.endpoint.always = None
    await vector_storage.query("UPDATE observation_vectors SET held_until = now() - interval '1 s'")
    await found.embed_all()
    assert set(await stored(vector_storage)) == set(memories)


async def test_pauses_grow_while_an_endpoint_is_down(found: Semantics, world: World) -> None:
    await remember(found.database, world, "some text")
    found.endpoint.always = Reply(status=503)
    pauses = [await found.memories.step() for _ in range(3)]
    assert pauses == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]


async def test_vectors_of_a_wrong_length_are_refused_and_explained(
    vector_database: Database,
    endpoint: FakeEmbeddings,
    world: World,
    vector_storage: Storage,
    assemble: Assemble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = assemble(vector_database, endpoint, dimensions=16)
    await remember(vector_database, world, "some text")
    endpoint.always = Reply(dimensions=8)
    assert await found.memories.step() == LONGEST_PAUSE_S
    assert await stored(vector_storage) == {}
    assert "8 numbers where 16 are due; set CLAUDE_MEM_EMBEDDINGS_DIMENSIONS" in caplog.text


async def test_a_text_that_is_refused_does_not_keep_others_from_their_vectors(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    memories = await remember(
        found.database, world, *(f"text {number}" for number in range(9)), "spoilt text"
    )
    found.endpoint.refused = "spoilt"
    await found.embed_all()
    assert set(await stored(vector_storage)) == set(memories[:-1])
    waiting = await vector_storage.query(
        "SELECT observation_id, attempts, held_until > now() FROM observation_vectors WHERE embedding IS NULL"
    )
    assert waiting == [(memories[-1], 1, True)]


@pytest.mark.usefixtures("one_day")
async def test_a_spent_budget_makes_its_team_wait_and_no_other(
    vector_database: Database,
    endpoint: FakeEmbeddings,
    world: World,
    vector_storage: Storage,
    assemble: Assemble,
) -> None:
    found = assemble(vector_database, endpoint, daily_tokens=2, batch=1)
    await remember(vector_database, world, "one text of ours", "other text of ours")
    theirs = await MemoryService(vector_database).add(
        world.caller_of(world.other_team_id), MemoryInput(world.other_project_id, "their text")
    )
    await found.embed_all()
    # The first fits while nothing was spent, as everywhere; then the day is over for that team.
    assert len(endpoint.calls) == 2
    assert theirs.memory.id in await stored(vector_storage)
    rows = await vector_database.fetch("usage.totals", team_id=world.team_id, since=0)
    assert {row["kind"]: row["quantity"] for row in rows}["tokens"] == 4
    lanes = await vector_storage.query("SELECT DISTINCT lane FROM usage_days")
    assert lanes == [("embedding",)]
    # Raised, and with it the memory that waited.
    again = assemble(vector_database, endpoint, daily_tokens=1000)
    await again.embed_all()
    assert len(await stored(vector_storage)) == 3


async def test_only_what_is_stored_is_sent_and_no_more_than_was_set(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    await remember(found.database, world, "shown <private>never</private> shown", "x " * 9000)
    await vector_storage.query('UPDATE observations SET metadata = \'{"secret": "not sent"}\'')
    await found.embed_all()
    assert "never" not in " ".join(found.endpoint.texts)
    assert "not sent" not in " ".join(found.endpoint.texts)
    assert sum(text.count("x") for text in found.endpoint.texts) == 9000
    assert max(map(len, found.endpoint.texts)) <= 8000


async def test_what_a_long_memory_says_far_down_is_found_by_its_meaning(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    filler = "the parser reads blocks.\n" * 1000
    long, other = await remember(
        found.database, world, f"{filler}credentials are redacted\n{filler}", "parser"
    )
    await found.embed_all()
    further = "SELECT observation_id, cardinality(further) FROM observation_vectors"
    counted = dict(await vector_storage.query(further))
    assert counted[other] == 0
    assert counted[long] > 4
    # The passage with it has much else in it, so nearness is told from what has nothing of it.
    page = await found.recall.find(
        world.caller, Question(world.project_id, "masked blocks parser", 5, explain=True)
    )
    placed = {hit.observation.id: hit.placed for hit in page.hits}
    assert placed[long] is not None
    assert len(page.hits) == 2, "one memory is one result, whatever it has of passages"
    # A shorter text has no more than its own.
    await vector_storage.query(
        f"UPDATE observations SET content = 'short', updated_at = now() WHERE id = '{long}'"
    )
    await found.embed_all()
    assert dict(await vector_storage.query(further)) == {long: 0, other: 0}


async def test_the_nearest_passage_of_a_memory_counts(found: Semantics, world: World) -> None:
    filler = " ".join(f"filler{number}" for number in range(900))
    (long,) = await remember(
        found.database, world, f"{filler}\n\n{'credentials redacted ' * 300}\n\n{filler}"
    )
    await found.embed_all()
    page = await found.recall.find(
        world.caller, Question(world.project_id, "masked secrets", 5, explain=True)
    )
    assert [hit.observation.id for hit in page.hits] == [long]
    assert page.hits[0].placed is not None
    assert page.hits[0].placed.similarity == pytest.approx(1, abs=0.2)


async def test_a_call_has_no_more_texts_than_set(
    vector_database: Database,
    endpoint: FakeEmbeddings,
    world: World,
    vector_storage: Storage,
    assemble: Assemble,
) -> None:
    found = assemble(vector_database, endpoint, batch=10)
    memories = await remember(found.database, world, *(f"{n} " + "word " * 5000 for n in range(6)), "short")
    await found.embed_all()
    assert set(await stored(vector_storage)) == set(memories)
    assert max(map(len, endpoint.calls)) <= 10
    assert len(endpoint.texts) == 6 * 4 + 1


async def test_an_endpoint_that_takes_one_text_a_call_gets_a_memorys_beginning(
    vector_database: Database,
    endpoint: FakeEmbeddings,
    world: World,
    vector_storage: Storage,
    assemble: Assemble,
) -> None:
    found = assemble(vector_database, endpoint, batch=1)
    memories = await remember(found.database, world, "word " * 5000, "short")
    await found.embed_all()
    assert set(await stored(vector_storage)) == set(memories)
    assert set(map(len, endpoint.calls)) == {1}


async def test_a_table_of_one_vector_for_each_memory_is_extended_and_long_memories_made_anew(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    whole = "a" * (PASSAGE - 4) + "word"
    long, short, full = await remember(found.database, world, "word " * 5000, "short", whole)
    await found.embed_all()
    await vector_storage.query("ALTER TABLE observation_vectors DROP COLUMN further")
    found.memories._support.lost()
    found.endpoint.calls.clear()
    await found.embed_all()
    assert len(found.endpoint.texts) == 4
    assert not {"short", whole} & set(found.endpoint.texts), (
        "what is whole in one vector is not paid for again"
    )
    assert dict(
        await vector_storage.query("SELECT observation_id, cardinality(further) FROM observation_vectors")
    ) == {
        long: 3,
        short: 0,
        full: 0,
    }


@pytest.mark.usefixtures("one_day")
async def test_what_vectors_cost_is_told_apart_and_spends_a_budget_in_dollars(
    vector_database: Database, endpoint: FakeEmbeddings, world: World, assemble: Assemble
) -> None:
    growth = Growth()
    found = assemble(vector_database, endpoint, model="text-embedding-3-small")
    await remember(found.database, world, *("credentials are redacted in output " * 100 for _ in range(2)))
    await found.embed_all()
    await found.recall.find(world.caller, Question(world.project_id, "masked secrets", 5))
    await found.semantic.write_usage()
    prices = PriceList.load()
    told = await UsageService(vector_database, prices=prices).breakdown(
        by=Dimension.LANE, team_id=world.team_id, project_id=None, since_us=0, until_us=now_us(), limit=10
    )
    ((lane, usage),) = told.lines
    assert lane == "embedding"
    assert usage.tokens == usage.input_tokens == 1002
    assert (usage.micro_usd, told.unpriced_models) == (20, [])
    counted = {"provider": "embeddings", "model": "text-embedding-3-small"}
    assert growth.of("claude_mem_provider_tokens_total", **counted, kind="input") == usage.tokens
    assert growth.of("claude_mem_provider_tokens_total", **counted, kind="output") == 0
    # A question costs less than a millionth of a dollar, and is counted all the same.
    assert growth.of("claude_mem_provider_cost_usd_total", **counted) == pytest.approx(1002 * 0.02 / 1e6)
    budget = BudgetRow(
        team_id=world.team_id,
        project_id=None,
        period="day",
        token_limit=None,
        micro_usd_limit=20,
        warn_percent=80,
    )
    await BudgetChanges(vector_database, found.budgets).put(world.caller, budget)
    (late,) = await remember(found.database, world, "one more memory")
    calls = len(endpoint.calls)
    await found.embed_all()
    page = await found.recall.find(world.caller, Question(world.project_id, "one more", 5))
    assert [hit.observation.id for hit in page.hits] == [late], "by words"
    assert page.meaning is not None
    assert page.meaning.missing == "budget_spent"
    assert len(endpoint.calls) == calls


async def test_a_text_without_words_is_not_sent(found: Semantics, world: World) -> None:
    await remember(found.database, world, "...", "some text")
    await found.embed_all()
    assert found.endpoint.texts == ["some text"]


async def test_a_database_that_goes_away_is_waited_for(
    found: Semantics, world: World, vector_storage: Storage
) -> None:
    await remember(found.database, world, "some text")
    await found.embed_all()
    await vector_storage.query("DROP TABLE observation_vectors")
    assert await found.memories.step() > 0
    await found.embed_all()
    assert len(await stored(vector_storage)) == 1
