"""Pages of a search: of the words' own ranking, and of one that meaning had a say in.

The first page is fused. Behind it the words' own ranking goes on, without what was shown already, and behind its last comes
what meaning found beside.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from claude_mem.retrieval.fusion import MEANINGS, Placed, fuse
from claude_mem.retrieval.ranking import Position
from claude_mem.services import narrowing
from claude_mem.services.search_cursors import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import Observation
    from claude_mem.retrieval.query import Query
    from claude_mem.retrieval.ranking import Ranking
    from claude_mem.services.narrowing import Named
    from claude_mem.services.questions import Question
    from claude_mem.storage.database import Database

#: Behind every document that matches.
_END = Position(0.0, 0, "")


class Found(NamedTuple):
    """A memory on a page.

    Parameters:
        number: in the ranking by words; None where the index does not have it.
        placed: where fusion put it; None where words alone rank.
    """

    memory: Observation
    number: int | None
    placed: Placed | None = None


class Place(NamedTuple):
    """Where a page ends: in the words' ranking, and in a fused one."""

    position: Position
    window: Window | None = None


class Part(NamedTuple):
    """A page.

    Parameters:
        ends: what the next page begins behind; None at the end.
    """

    shown: list[Found]
    ends: Place | None


async def by_words(
    database: Database, question: Question, ranking: Ranking, *, team_id: str, after: Position | None
) -> Part:
    """The next page of the words' own ranking."""
    found, behind = await narrowing.ranked(
        database, question, ranking, team_id=team_id, count=question.limit + 1, after=after
    )
    shown = [Found(memory, number) for number, memory in found[: question.limit]]
    if len(found) > question.limit:
        behind = ranking.position(found[question.limit - 1][0])
    return Part(shown, None if behind is None else Place(behind))


async def first_fused(
    database: Database,
    question: Question,
    ranking: Ranking,
    nearest: list[tuple[str, float]],
    *,
    team_id: str,
) -> Part:
    """The first page of the words' ranking fused with what is nearest in meaning."""
    found, behind = await narrowing.ranked(
        database, question, ranking, team_id=team_id, count=question.limit + 1, after=None
    )
    best = found[: question.limit]
    known = {memory.id: memory for _, memory in best}
    beside = await _beside(
        database,
        question,
        ranking.query,
        [identity for identity, _ in nearest if identity not in known],
        team_id=team_id,
        shown=[memory for _, memory in best],
    )
    known |= beside.held
    passing = [one for one in nearest if one[0] in known or one[0] in beside.rest][:MEANINGS]
    fused = fuse([memory.id for _, memory in best], passing, size=question.limit)
    page = list(takewhile(lambda one: one.id in known, fused.page))
    shown = [Found(known[one.id], _number_of(ranking, one.id), one) for one in page]
    # What there was no room for comes later, like what there was no place for.
    later = tuple(
        (one.id, one.meaning, one.similarity)
        for one in fused.page[len(page) :] + fused.later
        if one.meaning and one.similarity is not None and not _matches(ranking, one.id)
    )
    brought = tuple(one.id for one in page[len(best) :])
    window = Window(len(best), len(shown), brought, later)
    if len(found) > len(best):
        behind = ranking.position(best[-1][0])
    elif behind is None and not later:
        return Part(shown, None)
    return Part(shown, Place(behind or _END, window))


async def next_fused(
    database: Database,
    question: Question,
    ranking: Ranking,
    *,
    team_id: str,
    position: Position,
    window: Window,
) -> Part:
    """A further page of a fused ranking; what was deleted meanwhile is left out."""
    tail, behind = await narrowing.ranked(
        database,
        question,
        ranking,
        team_id=team_id,
        count=question.limit + 1 + len(window.brought),
        after=position,
    )
    fresh = [
        (rank, number, memory)
        for rank, (number, memory) in enumerate(tail, window.passed + 1)
        if memory.id not in window.brought
    ]
    shown = [
        Found(memory, number, Placed(memory.id, place, rank))
        for place, (rank, number, memory) in enumerate(fresh[: question.limit], window.shown + 1)
    ]
    if len(fresh) > question.limit:
        rank, number, _ = fresh[question.limit - 1]
        on = replace(window, passed=rank, shown=window.shown + len(shown))
        return Part(shown, Place(ranking.position(number), on))
    window = replace(window, passed=window.passed + len(tail), shown=window.shown + len(shown))
    if behind is not None:
        return Part(shown, Place(behind, window))
    return await _behind_words(database, question, ranking, shown, window, team_id=team_id)


async def _behind_words(
    database: Database,
    question: Question,
    ranking: Ranking,
    shown: list[Found],
    window: Window,
    *,
    team_id: str,
) -> Part:
    """A page on which words end, with what meaning found beside."""
    beside = await _beside(
        database,
        question,
        ranking.query,
        [identity for identity, _, _ in window.later],
        team_id=team_id,
        shown=[found.memory for found in shown],
    )
    now = [one for one in window.later if one[0] in beside.held]
    left = tuple(one for one in window.later if one[0] in beside.rest)
    shown = shown + [
        Found(
            beside.held[identity],
            _number_of(ranking, identity),
            Placed(identity, place, None, rank, similarity),
        )
        for place, (identity, rank, similarity) in enumerate(now, window.shown + 1)
    ]
    if not left:
        return Part(shown, None)
    return Part(shown, Place(_END, replace(window, shown=window.shown + len(now), later=left)))


async def _beside(
    database: Database,
    question: Question,
    query: Query,
    ids: Sequence[str],
    *,
    team_id: str,
    shown: Sequence[Observation],
) -> Named:
    """What meaning found, as far as a page has places and room beside what it shows already."""
    return await narrowing.named(
        database,
        question,
        query,
        ids,
        team_id=team_id,
        count=question.limit - len(shown),
        room=narrowing.PAGE_BYTES - narrowing.characters(shown),
    )


def _matches(ranking: Ranking, identity: str) -> bool:
    """Whether the words' ranking has a memory."""
    number = _number_of(ranking, identity)
    return number is not None and bool(ranking.scores[number] > 0)


def _number_of(ranking: Ranking, identity: str) -> int | None:
    """The number of a document that is alive; None where the index has none of this id yet."""
    for base, part in zip(ranking.snapshot.bases, ranking.snapshot.parts, strict=True):
        number = part.columns.numbers.get(identity)
        if number is not None and number not in part.deleted:
            return base + number
    return None
