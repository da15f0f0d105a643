"""Pages of a search: of the words' own ranking, and of one that meaning had a say in.

The fused ranking is short: the best by words and the best by meaning. Behind it the words' own goes on, without what was
shown already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from claude_mem.retrieval.fusion import MEANINGS, WORDS, Placed, fuse
from claude_mem.retrieval.ranking import Position
from claude_mem.services import narrowing
from claude_mem.services.search_cursors import Window

if TYPE_CHECKING:
    from claude_mem.model.records import Observation
    from claude_mem.retrieval.ranking import Ranking
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
    best, behind = await narrowing.ranked(
        database, question, ranking, team_id=team_id, count=WORDS, after=None
    )
    best = best[:WORDS]
    known = {memory.id: memory for _, memory in best}
    brought = [identity for identity, _ in nearest if identity not in known]
    known |= await narrowing.named(database, question, ranking.query, brought, team_id=team_id)
    passing = [one for one in nearest if one[0] in known][:MEANINGS]
    rest = fuse([memory.id for _, memory in best], passing)
    window = Window(
        tuple(rest), len(best), tuple(identity for identity, _ in passing if identity in set(brought))
    )
    start = Place(behind or (ranking.position(best[-1][0]) if best else _END), window)
    return await _page(database, question, ranking, known, start, team_id=team_id)


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
    ids = [one.id for one in window.rest]
    known = await narrowing.named(database, question, ranking.query, ids, team_id=team_id)
    return await _page(database, question, ranking, known, Place(position, window), team_id=team_id)


async def _page(
    database: Database,
    question: Question,
    ranking: Ranking,
    known: dict[str, Observation],
    start: Place,
    *,
    team_id: str,
) -> Part:
    window = start.window or Window()
    rest = [one for one in window.rest if one.id in known]
    shown = [Found(known[one.id], _number_of(ranking, one.id), one) for one in rest[: question.limit]]
    if len(rest) > question.limit:
        left = Window(tuple(rest[question.limit :]), window.passed, window.brought)
        return Part(shown, Place(start.position, left))
    missing = question.limit - len(shown)
    tail, behind = await narrowing.ranked(
        database,
        question,
        ranking,
        team_id=team_id,
        count=missing + 1 + len(window.brought),
        after=start.position,
    )
    fresh = [
        (rank, number, memory)
        for rank, (number, memory) in enumerate(tail, window.passed + 1)
        if memory.id not in window.brought
    ]
    shown += [Found(memory, number, Placed(memory.id, rank)) for rank, number, memory in fresh[:missing]]
    if len(fresh) <= missing:
        on = None if behind is None else Place(behind, Window((), window.passed + len(tail), window.brought))
        return Part(shown, on)
    if not missing:
        return Part(shown, Place(start.position, Window((), window.passed, window.brought)))
    rank, number, _ = fresh[missing - 1]
    return Part(shown, Place(ranking.position(number), Window((), rank, window.brought)))


def _number_of(ranking: Ranking, identity: str) -> int | None:
    """The number of a document that is alive; None where the index has none of this id yet."""
    for base, part in zip(ranking.snapshot.bases, ranking.snapshot.parts, strict=True):
        number = part.columns.numbers.get(identity)
        if number is not None and number not in part.deleted:
            return base + number
    return None
