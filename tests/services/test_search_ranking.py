"""How well search finds, on questions of our own: a floor, so that a worse ranking is noticed where it is made."""

from __future__ import annotations

from claude_mem.model.documents import EMPTY
from claude_mem.model.records import Observation
from claude_mem.services.questions import Question
from claude_mem.services.recall import RecallService
from claude_mem.services.search_index import SearchIndex
from claude_mem.storage import work
from claude_mem.storage.database import Database
from tests.support.ferry import MEMORIES, QUESTIONS, notes
from tests.support.load import World, make_world

#: Two hours between two memories, so that none borrows from the one before it.
STEP_MS = 2 * 3600 * 1000
BEGIN_MS = 1_750_000_000_000

#: Share of questions with their answer among the first five, and the mean of 1/rank: 1 and 0.960 are reached. Without
#: stems or stop words, where rarity, occurrences or lengths do not count, one of them is missed.
ANY_AT_5 = 0.99
MRR = 0.955


async def remember(database: Database, world: World) -> None:
    async with database.transaction() as transaction:
        for number, (name, content) in enumerate((notes() | MEMORIES).items()):
            made = BEGIN_MS + number * STEP_MS
            memory = Observation(
                id=name,
                project_id=world.project_id,
                team_id=world.team_id,
                server_session_id=None,
                kind="manual",
                content=content,
                metadata=EMPTY,
                created_ms=made,
                updated_ms=made,
                generation_key=name,
            )
            await work.insert_observations(transaction, [memory], now_us=made * 1000)


async def test_answers_are_found_and_stand_first(database: Database) -> None:
    world = await make_world(database)
    await remember(database, world)
    index = SearchIndex(database)
    await index.folder.fold(world.project_id)
    recall = RecallService(database, index)
    ranks: dict[str, int | None] = {}
    for question, answer in QUESTIONS:
        page = await recall.find(world.caller, Question(world.project_id, question, 10))
        found = [hit.observation.id for hit in page.hits]
        ranks[question] = found.index(answer) + 1 if answer in found else None
    at_5 = sum(rank is not None and rank <= 5 for rank in ranks.values()) / len(ranks)
    mrr = sum(1 / rank for rank in ranks.values() if rank) / len(ranks)
    not_first = {question: rank for question, rank in ranks.items() if rank != 1}
    assert at_5 >= ANY_AT_5, not_first
    assert mrr >= MRR, not_first
