"""Search over both storages: it never fails on a question, and finds what the question means."""

from __future__ import annotations

import random

from claude_mem.services.memories import MemoryInput, MemoryService
from claude_mem.services.questions import Question
from claude_mem.services.recall import RecallService
from claude_mem.storage.database import Database
from claude_mem.storage.search import Filters
from tests.support.load import World

PIECES = [
    *("parser", "it's", "a\\b", '"', "'", "\\", "(", ")", "|", "&", "!", ":*", "<->", "-", "--", "*", "^"),
    *(
        "NEAR(",
        "AND",
        "OR",
        "NOT",
        "content:",
        "_",
        "¡",
        "é",
        "記憶",
        "🦊",
        "%",
        "the",
        "a",
        "\x01",
        "x" * 3000,
    ),
]
QUESTIONS = 300


async def remember(database: Database, world: World, *contents: str) -> list[str]:
    service = MemoryService(database)
    written = [
        await service.add(world.caller, MemoryInput(world.project_id, content)) for content in contents
    ]
    return [item.memory.id for item in written]


async def search(database: Database, world: World, query: str) -> list[str]:
    page = await RecallService(database).find(world.caller, Question(world.project_id, query, 10))
    scores = [hit.score for hit in page.hits]
    assert scores == sorted(scores, reverse=True)
    return [hit.observation.id for hit in page.hits]


async def test_no_question_is_too_strange(database: Database, world: World) -> None:
    await remember(database, world, "the parser's a\\b é 記憶 🦊", "x" * 3000)
    chance = random.Random(1)
    for _ in range(QUESTIONS):
        count = chance.randrange(1, 7)
        separator = chance.choice(["", " "])
        await search(database, world, separator.join(chance.choice(PIECES) for _ in range(count)))


async def test_words_are_an_or_phrases_are_required_and_minus_excludes(
    database: Database, world: World
) -> None:
    parser, deploy, both = await remember(
        database,
        world,
        "The parser rejects empty replies",
        "Deploy with blue green servers",
        "The parser is deployed with servers of green and blue",
    )
    assert set(await search(database, world, "parser deploy")) == {parser, deploy, both}
    assert set(await search(database, world, "parsers")) == {parser, both}
    assert await search(database, world, '"blue green"') == [deploy]
    assert set(await search(database, world, "servers -parser")) == {deploy}
    assert await search(database, world, "absent") == await search(database, world, "-parser") == []
    assert await search(database, world, "") == []


async def test_flags_versions_and_hashes_in_questions_find_what_they_name(
    database: Database, world: World
) -> None:
    # What is noise has the numbers and the other words of the questions, more often and later.
    commit, release, flag, *_ = await remember(
        database,
        world,
        "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d The cache is emptied before it is read",
        "Came with v2.45.0: labels of endpoints",
        "cargo update learns --precise, for one exact version",
        "What did change: the change of 2 in 45 and 0 in 2, which came with the update of cargo",
        "The change changed what came with 45, 2, 0 and 45",
    )
    assert (await search(database, world, "what did 1a2b3c4 change?"))[0] == commit
    for version in ("v2.45.0", "2.45.0", "2.45"):
        assert (await search(database, world, f"what came with {version}?"))[0] == release
    assert (await search(database, world, "since when has cargo update --precise?"))[0] == flag
    pasted = f'error: "unexpected argument" - {"cargo update --precise fails. " * 15}'
    assert (await search(database, world, pasted))[0] == flag


async def test_a_version_that_no_memory_has_is_not_taken_for_a_shorter_one(
    database: Database, world: World
) -> None:
    await remember(database, world, "Released 2.45.1")
    question = Question(world.project_id, "2.45.10", 5, explain=True)
    (shorter,) = (await RecallService(database).find(world.caller, question)).hits
    assert {part.term for part in shorter.explanation or ()} == {"2", "45"}, "its parts alone"
    (longer,) = await remember(database, world, "Released 2.45.10.2")
    assert (await search(database, world, "2.45.10"))[0] == longer, "the beginning of one"


async def test_a_title_in_a_question_that_nobody_spelt_so_leaves_its_words(
    database: Database, world: World
) -> None:
    apart = await remember(
        database, world, *(f"The seasons of the year are four, says {n}" for n in range(3))
    )
    assert await search(database, world, '"four seasons"') == [], "a phrase is required"
    assert await search(database, world, 'seasons "four seasons"') == []
    assert await search(database, world, '"the year" and "four seasons"') == [], "as two are"
    question = 'would you like the song "Four Seasons"?'
    assert set(await search(database, world, question)) == set(apart)
    recall, seen, cursor = RecallService(database), [], None
    for _ in apart:
        asked = Question(world.project_id, question, 1, cursor=cursor)
        page = await recall.find(world.caller, asked)
        seen += [hit.observation.id for hit in page.hits]
        cursor = page.next_cursor
    assert (sorted(seen), cursor) == (sorted(apart), None)
    narrowed = Question(world.project_id, question, 5, Filters(kinds=("decision",)))
    assert (await recall.find(world.caller, narrowed)).hits == [], "required of a part of the memories"
    (spelt,) = await remember(database, world, "The Four Seasons were played")
    assert await search(database, world, question) == [spelt], "required where somebody spelt it so"
    assert set(await search(database, world, f"{question} -played")) == set(apart)


async def test_questions_in_other_languages_find_other_forms_of_their_words(
    database: Database, world: World
) -> None:
    said = {
        "Welche Verbindungen schlie\u00dfen sich nicht?": "Jede Verbindung wird geschlossen",
        "Pourquoi les requ\u00eates sont-elles lentes ?": "Une requ\u00eate lente bloque la file",
        "\u00bfC\u00f3mo se reparten las colas?": "La cola se reparte entre procesos",
        "Quais migra\u00e7\u00f5es n\u00e3o foram feitas?": "A migra\u00e7\u00e3o falhou ontem",
        "Perch\u00e9 i processi non finiscono?": "Il processo finisce dopo il segnale",
        "Hoe worden de sleutels vernieuwd?": "De sleutel is verlopen",
        "Vilka nycklar blev inte kopierade?": "Nyckeln kopieras varje natt; nyckel f\u00f6r nyckel",
    }
    ids = dict(zip(said, await remember(database, world, *said.values()), strict=True))
    await remember(database, world, *(f"Nothing of this is about {n} things" for n in range(5)))
    for question, memory in ids.items():
        assert (await search(database, world, question))[:1] == [memory], question


async def test_better_matches_come_first_and_the_newest_among_equals(
    database: Database, world: World
) -> None:
    older, newer, best = await remember(
        database, world, "retry the queue", "retry the queue", "retry backoff retry"
    )
    assert (await search(database, world, "retry backoff"))[0] == best
    assert await search(database, world, "queue") == [newer, older]


async def test_a_memory_of_any_size_is_kept_and_found(database: Database, world: World) -> None:
    words = " ".join(f"w{number:x}z" for number in range(250_000))
    (large,) = await remember(database, world, f"needle {words}")
    assert await search(database, world, "needle") == [large]
