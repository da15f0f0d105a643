"""What narrows an answer: filters that the database applies, and those that only a memory's own text can tell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from claude_mem.retrieval.documents import analyse_observation, searched_text
from claude_mem.retrieval.phrases import holds_all, holds_any
from claude_mem.storage import search as stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import Observation
    from claude_mem.retrieval.query import Query
    from claude_mem.retrieval.ranking import Position, Ranking
    from claude_mem.services.questions import Question
    from claude_mem.storage.database import Database

Numbered = tuple[int, "Observation"]

#: Matches that are read at a time, and for one page at most.
_READ: Final = 4096
MOST_LOOKED_AT: Final = 20_000

#: Bytes of memories' texts that a page holds, unless a single memory has more; the next page goes on behind them.
PAGE_BYTES: Final = 32 * 2**20


class Looked(NamedTuple):
    """What was found among the best matches.

    Parameters:
        behind: where a further look begins, where this one ended before the matches did.
    """

    found: list[Numbered]
    behind: Position | None = None


async def ranked(
    database: Database,
    question: Question,
    ranking: Ranking,
    *,
    team_id: str,
    count: int,
    after: Position | None,
) -> Looked:
    """The best matches from behind a position that pass everything, `count` or more if there are; by their numbers.

    Where few pass, at most about `MOST_LOOKED_AT` are looked at, so that no page costs more in a larger project; where
    texts are long, it ends after about `PAGE_BYTES` of them.
    """
    found: list[Numbered] = []
    position = after
    size, looked_at = count, 0
    while True:
        numbers = ranking.best(size, after=position)
        number_of = {ranking.snapshot.id_of(number): number for number in numbers}
        left = list(number_of)
        while left and len(found) < count:
            rows_by_id, left = await stored.found_slice(
                database,
                left,
                team_id=team_id,
                project_id=question.project_id,
                filters=question.filters,
            )
            page = [(number_of[identity], memory) for identity, memory in rows_by_id.items()]
            found += await _passing(page, question, ranking.query)
            more = bool(left) or len(numbers) == size
            if more and len(found) < count and _size(found) >= PAGE_BYTES:
                return Looked(found, ranking.position(found[-1][0]))
        if len(found) >= count or len(numbers) < size:
            return Looked(found)
        position = ranking.position(numbers[-1])
        looked_at += size
        if looked_at >= MOST_LOOKED_AT:
            return Looked(found, position)
        size = max(count, min(size * 4, _READ))


async def named(
    database: Database, question: Question, query: Query, ids: Sequence[str], *, team_id: str
) -> dict[str, Observation]:
    """Of these memories those that pass everything and hold nothing that the question excludes, by their ids."""
    if not ids:
        return {}
    rows_by_id = await stored.found_rows(
        database, ids, team_id=team_id, project_id=question.project_id, filters=question.filters
    )
    found = await _passing(list(enumerate(rows_by_id.values())), question, query)
    kept = [memory for _, memory in found]
    if query.excluded:
        kept = await asyncio.to_thread(_without, kept, frozenset(query.excluded))
    return {memory.id: memory for memory in kept}


def in_texts(question: Question, query: Query) -> bool:
    """Whether memories' own texts and metadata have to be read to know which of them pass."""
    narrowed = question.concepts is not None or question.files is not None
    return narrowed or bool(query.phrases or query.excluded_phrases or query.excluded)


async def _passing(page: list[Numbered], question: Question, query: Query) -> list[Numbered]:
    if query.phrases or query.excluded_phrases:
        # Beside the event loop: phrases are looked for in whole texts.
        return await asyncio.to_thread(_filtered, page, question, query)
    return _filtered(page, question, query)


def _size(found: list[Numbered]) -> int:
    """Characters of texts and of metadata as it is written."""
    return sum(len(memory.content) + len(memory.metadata.text) for _, memory in found)


def _filtered(page: list[Numbered], question: Question, query: Query) -> list[Numbered]:
    return [(number, memory) for number, memory in page if passes(memory, question, query)]


def passes(memory: Observation, question: Question, query: Query) -> bool:
    """What only the text and the metadata themselves can tell."""
    if query.phrases or query.excluded_phrases:
        text = searched_text(memory.content, memory.metadata.members)
        if not holds_all(text, query.phrases) or holds_any(text, query.excluded_phrases):
            return False
    if question.concepts is not None:
        wanted = {concept.casefold() for concept in question.concepts}
        if wanted.isdisjoint(concept.casefold() for concept in _texts(memory, "concepts")):
            return False
    if question.files is not None:
        of_memory = [
            f"/{path.strip('/')}/" for path in _texts(memory, "files_read", "files_modified", "files")
        ]
        return any(f"/{file.strip('/')}/" in path for file in question.files for path in of_memory)
    return True


def _without(memories: list[Observation], excluded: frozenset[str]) -> list[Observation]:
    return [
        memory
        for memory in memories
        if excluded.isdisjoint(analyse_observation(memory.content, memory.metadata.members).frequencies)
    ]


def _texts(memory: Observation, *names: str) -> list[str]:
    found: list[str] = []
    for name in names:
        value = memory.metadata.members.get(name)
        found += [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    return found
