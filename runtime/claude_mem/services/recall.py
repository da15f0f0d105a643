"""Search and context: what is remembered, found again. Every look is in the audit log before its answer leaves."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from claude_mem.model.errors import InvalidInput
from claude_mem.model.times import now_us
from claude_mem.retrieval.highlights import highlight
from claude_mem.retrieval.parser import parse
from claude_mem.services import narrowing, search_pages
from claude_mem.services.cleaning import clean_id, clean_text
from claude_mem.services.questions import Hit, SearchPage
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.scope import require_project
from claude_mem.services.search_cursors import SearchCursor, digest, refusal_of_cursor
from claude_mem.services.search_index import SearchIndex
from claude_mem.storage import audit, observations, rows
from claude_mem.storage import search as stored
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import Observation
    from claude_mem.retrieval.query import Query
    from claude_mem.retrieval.ranking import Contribution, Ranking
    from claude_mem.services.context import RequestContext
    from claude_mem.services.questions import Question
    from claude_mem.services.search_pages import Found, Part
    from claude_mem.services.semantic import Meaning, SemanticSearch
    from claude_mem.storage.database import Database

#: Newest observations that are looked through for those that pass the filters, where there is no text to find.
_LATEST = 500


class RecallService:
    """Finds observations of a project.

    Parameters:
        semantic: what compares meanings; None where words alone rank.
    """

    def __init__(
        self,
        database: Database,
        index: SearchIndex | None = None,
        semantic: SemanticSearch | None = None,
    ) -> None:
        self._database = database
        self._index = index or SearchIndex(database)
        self._semantic = semantic

    async def find(self, context: RequestContext, question: Question, *, mode: str = "search") -> SearchPage:
        """A page of the best matches, best first.

        Parameters:
            mode: what the audit log calls the look: `search` or `context`.

        Raises: Forbidden, InvalidInput, Unavailable.
        """
        question = _cleaned(question)
        page = await self.look(context, question, mode=mode)
        await self.record(context, question, found=[hit.observation for hit in page.hits], mode=mode)
        return page

    async def look(self, context: RequestContext, question: Question, *, mode: str = "search") -> SearchPage:
        """As `find`, without a line in the audit log: who shows some of the page calls `record` with that."""
        question = _cleaned(question)
        with refuse_storage_errors(), metrics.SEARCH_SECONDS.labels(mode).time():
            context.check_project(question.project_id)
            return await self._page(context, question)

    async def record(
        self,
        context: RequestContext,
        question: Question,
        *,
        found: Sequence[Observation],
        mode: str,
        **details: object,
    ) -> None:
        """Write down that a question was asked, and what was shown in answer to it.

        Raises: Unavailable.
        """
        await self._audit(
            context,
            question.project_id,
            found=found,
            platformSource=_cleaned(question).filters.platform,
            mode=mode,
            query=clean_text(question.text)[0],
            limit=question.limit,
            **details,
        )

    async def _page(self, context: RequestContext, question: Question) -> SearchPage:
        cursor = _cursor(question)
        asked_us = cursor.asked_us if cursor else now_us()
        query = parse(question.text, now_us=asked_us)
        loosely = cursor is not None and cursor.question == _asked(question, loosely=True)
        if not loosely:
            asked = _asked(question)
            found = await self._answer(
                context, question, query, cursor=cursor, asked=asked, asked_us=asked_us
            )
            answered = found.hits or cursor or found.next_cursor
            if answered or question.is_narrowed or not (query.phrases and query.in_words):
                return found
        # A title that no memory spells so: its words are better than no answer.
        query, asked = replace(query, phrases=()), _asked(question, loosely=True)
        return await self._answer(context, question, query, cursor=cursor, asked=asked, asked_us=asked_us)

    async def _answer(
        self,
        context: RequestContext,
        question: Question,
        query: Query,
        *,
        cursor: SearchCursor | None,
        asked: str,
        asked_us: int,
    ) -> SearchPage:
        if query.is_empty:
            await require_project(self._database, context, project_id=question.project_id)
            return SearchPage([])
        if cursor and len(cursor.statistics.frequencies) != query.counted:
            raise refusal_of_cursor()
        ranking = await self._index.rank(
            question.project_id,
            query,
            team_id=context.team_id,
            statistics=cursor.statistics if cursor else None,
        )
        meaning = None if cursor else await self._meaning(context, question, query)
        part = await self._part(context, question, ranking, cursor=cursor, meaning=meaning)
        following = None
        if part.ends is not None:
            following = SearchCursor(asked, asked_us, ranking.statistics, *part.ends).encode()
        if question.highlights:
            # Beside the event loop: marking what was found in long texts takes its time.
            hits = await asyncio.to_thread(_hits, part.shown, ranking, question)
        else:
            hits = _hits(part.shown, ranking, question)
        return SearchPage(hits, following, ranking.statistics, meaning)

    async def _meaning(self, context: RequestContext, question: Question, query: Query) -> Meaning | None:
        if self._semantic is None:
            return None
        return await self._semantic.near(
            question.text,
            query,
            team_id=context.team_id,
            project_id=question.project_id,
            filters=question.filters,
            read_in_texts=narrowing.in_texts(question, query),
        )

    async def _part(
        self,
        context: RequestContext,
        question: Question,
        ranking: Ranking,
        *,
        cursor: SearchCursor | None,
        meaning: Meaning | None,
    ) -> Part:
        team_id = context.team_id
        if cursor is not None and cursor.window is not None:
            return await search_pages.next_fused(
                self._database,
                question,
                ranking,
                team_id=team_id,
                position=cursor.position,
                window=cursor.window,
            )
        if meaning is not None and meaning.missing is None:
            return await search_pages.first_fused(
                self._database, question, ranking, meaning.nearest, team_id=team_id
            )
        after = cursor.position if cursor else None
        return await search_pages.by_words(self._database, question, ranking, team_id=team_id, after=after)

    async def recent(self, context: RequestContext, *, project_id: str, limit: int) -> list[Observation]:
        """The newest observations of a project; fewer than `limit` where texts are long.

        Raises: Forbidden, Unavailable.
        """
        with refuse_storage_errors():
            await require_project(self._database, context, project_id=project_id)
            found = await observations.list_rows(
                self._database,
                team_id=context.team_id,
                project_id=project_id,
                kind=None,
                session_id=None,
                before=None,
                limit=limit,
                most=narrowing.PAGE_BYTES,
            )
        recent = [rows.observation(row) for row in stored.parted(found)[0]]
        await self._audit(context, project_id, found=recent, mode="recent", limit=limit)
        return recent

    async def latest(
        self, context: RequestContext, question: Question, *, kind: str | None = None
    ) -> list[Observation]:
        """The newest observations that pass a question's filters, whatever its text; not recorded, as by `look`.

        There are fewer than its limit where texts are long.

        Parameters:
            kind: only of this kind, besides.

        Raises: Forbidden, Unavailable.
        """
        question = _cleaned(question)
        with refuse_storage_errors():
            await require_project(self._database, context, project_id=question.project_id)
            newest = await observations.list_rows(
                self._database,
                team_id=context.team_id,
                project_id=question.project_id,
                kind=kind,
                session_id=question.filters.session_id,
                before=None,
                limit=max(_LATEST, question.limit) if question.is_narrowed else question.limit,
                most=0,
            )
            found = await narrowing.first(
                self._database,
                question,
                parse("", now_us=now_us()),
                [row["id"] for row in newest],
                team_id=context.team_id,
                count=question.limit,
                room=narrowing.PAGE_BYTES,
            )
        return list(found.held.values())

    async def _audit(
        self, context: RequestContext, project_id: str, *, found: Sequence[Observation], **details: object
    ) -> None:
        entry = context.audit(
            "observation.read",
            "observation",
            resource_id=None,
            project_id=project_id,
            **details,
            resultCount=len(found),
            observationIds=[observation.id for observation in found],
        )
        with refuse_storage_errors():
            await audit.append_alone(self._database, entry, now_us=now_us())


def _asked(question: Question, *, loosely: bool = False) -> str:
    """What a cursor belongs to."""
    filters = asdict(question.filters)
    asked = (question.project_id, question.text, filters, question.files, question.concepts)
    return digest(*asked, "loosely") if loosely else digest(*asked)


def _cursor(question: Question) -> SearchCursor | None:
    if not question.cursor:
        return None
    try:
        return SearchCursor.decode(question.cursor, question=_asked(question))
    except InvalidInput:
        return SearchCursor.decode(question.cursor, question=_asked(question, loosely=True))


def _cleaned(question: Question) -> Question:
    platform, _ = clean_id(question.filters.platform)
    return replace(question, filters=replace(question.filters, platform=platform))


def _hits(shown: Sequence[Found], ranking: Ranking, question: Question) -> list[Hit]:
    return [_hit(found, ranking=ranking, question=question) for found in shown]


def _hit(found: Found, *, ranking: Ranking, question: Question) -> Hit:
    memory, number, placed = found
    explanation: list[Contribution] | None = None
    if question.explain:
        explanation = [] if number is None else ranking.explain(number)
    score = 0.0 if number is None else float(ranking.scores[number])
    return Hit(
        memory,
        score if placed is None else placed.score,
        highlight(memory.content, ranking.query) if question.highlights else None,
        explanation,
        placed if question.explain else None,
    )
