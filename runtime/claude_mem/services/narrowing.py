"""What narrows an answer: filters that the database applies, and those that only a memory's own text can tell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from claude_mem.retrieval.documents import analyse_observation, searched_text
from claude_mem.retrieval.phrases import holds_all, holds_any
from claude_mem.storage import search as stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from claude_mem.model.records import Observation
    from claude_mem.retrieval.query import Query
    from claude_mem.retrieval.ranking import Position, Ranking
    from claude_mem.services.questions import Question
    from claude_mem.storage.database import Database

Numbered = tuple[int, "Observation"]

#: Matches that are read at a time, and for one page at most.
_READ: Final = 4096
MOST_LOOKED_AT: Final = 20_000

#: Bytes of memories' texts that a page holds, unless a single memory has more; the next page goes on behind them. And bytes
#: of those that are read for one page at most, whatever passes.
PAGE_BYTES: Final = 32 * 2**20
READ_BYTES: Final = 4 * PAGE_BYTES


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
    texts are long, it ends after about `PAGE_BYTES` of those that pass, and after about `READ_BYTES` of all.
    """
    found: list[Numbered] = []
    position = after
    size, looked_at, read = count, 0, 0
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
            read += characters(rows_by_id.values())
            more = bool(left) or len(numbers) == size
            full = read >= READ_BYTES or characters(memory for _, memory in found) >= PAGE_BYTES
            if page and more and full and len(found) < count:
                return Looked(found, ranking.position(page[-1][0]))
        if len(found) >= count or len(numbers) < size:
            return Looked(found)
        position = ranking.position(numbers[-1])
        looked_at += size
        if looked_at >= MOST_LOOKED_AT:
            return Looked(found, position)
        size = max(count, min(size * 4, _READ))


class Named(NamedTuple):
    """Of memories that were named those that pass.

    Parameters:
        held: the first of them, by their ids.
        rest: ids of the others, in their order, for which there was no room.
    """

    held: dict[str, Observation]
    rest: list[str]


async def first(
    database: Database,
    question: Question,
    query: Query,
    ids: Sequence[str],
    *,
    team_id: str,
    count: int,
    room: int,
) -> Named:
    """The first of these memories that pass everything and hold nothing that the question excludes.

    Parameters:
        count: of them, at most.
        room: bytes of their texts after which no further one is held.

    Returns: them, and the ids behind them, whether those pass or not.
    """
    held: dict[str, Observation] = {}
    left = list(ids)
    while left and len(held) < count and characters(held.values()) < room:
        found, left = await _slice(database, question, query, left, team_id=team_id)
        for place, memory in enumerate(found):
            if len(held) >= count or characters(held.values()) >= room:
                left = [one.id for one in found[place:]] + left
                break
            held[memory.id] = memory
    return Named(held, left)


async def named(
    database: Database,
    question: Question,
    query: Query,
    ids: Sequence[str],
    *,
    team_id: str,
    count: int,
    room: int,
) -> Named:
    """As `first`, but behind them only the ids of memories that pass, as far as texts have to be read to know.

    What the filters alone tell was asked by whoever named the memories; it is asked again when the rest is read.
    """
    found = await first(database, question, query, ids, team_id=team_id, count=count, room=room)
    if not in_texts(question, query):
        return found
    rest: list[str] = []
    left = found.rest
    while left:
        passing, left = await _slice(database, question, query, left, team_id=team_id)
        rest += [memory.id for memory in passing]
    return Named(found.held, rest)


async def _slice(
    database: Database, question: Question, query: Query, ids: Sequence[str], *, team_id: str
) -> tuple[list[Observation], list[str]]:
    """Of the first of these memories those that pass, and the ids that were not read."""
    rows_by_id, left = await stored.found_slice(
        database, ids, team_id=team_id, project_id=question.project_id, filters=question.filters
    )
    found = [memory for _, memory in await _passing(list(enumerate(rows_by_id.values())), question, query)]
    if query.excluded:
        found = await asyncio.to_thread(_without, found, frozenset(query.excluded))
    return found, left


def in_texts(question: Question, query: Query) -> bool:
    """Whether memories' own texts and metadata have to be read to know which of them pass."""
    narrowed = question.concepts is not None or question.files is not None
    return narrowed or bool(query.phrases or query.excluded_phrases or query.excluded)


async def _passing(page: list[Numbered], question: Question, query: Query) -> list[Numbered]:
    if query.phrases or query.excluded_phrases:
        # Beside the event loop: phrases are looked for in whole texts.
        return await asyncio.to_thread(_filtered, page, question, query)
    return _filtered(page, question, query)


def characters(memories: Iterable[Observation]) -> int:
    """Of texts, and of metadata as it is written."""
    return sum(len(memory.content) + len(memory.metadata.text) for memory in memories)


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
