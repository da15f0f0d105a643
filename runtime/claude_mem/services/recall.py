"""Search and context: what is remembered, found again. Every look is in the audit log before its answer leaves."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from claude_mem.model.times import now_us
from claude_mem.retrieval.documents import searched_text
from claude_mem.retrieval.highlights import highlight
from claude_mem.retrieval.phrases import holds_all, holds_any
from claude_mem.retrieval.query import parse
from claude_mem.services.cleaning import clean_id, clean_text
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.scope import require_project
from claude_mem.services.search_cursors import SearchCursor, digest, refusal_of_cursor
from claude_mem.services.search_index import SearchIndex
from claude_mem.storage import audit, observations, rows
from claude_mem.storage import search as stored
from claude_mem.storage.search import Filters
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import Observation
    from claude_mem.retrieval.highlights import Piece
    from claude_mem.retrieval.query import Query
    from claude_mem.retrieval.ranking import Contribution, Ranking, Statistics
    from claude_mem.services.context import RequestContext
    from claude_mem.storage.database import Database

#: Newest observations that are looked through for those that pass the filters, where there is no text to find.
_LATEST = 500


@dataclass(frozen=True, slots=True)
class Question:
    """What a search asks for.

    Parameters:
        text: in the search syntax, see `claude_mem.retrieval.query`.
        files: only what read or modified one of these: paths, or the ends or folders of paths.
        concepts: only what has one of these, whatever their case.
        highlights, explain: whether each hit is to have them.
        cursor: of the page before; it goes with the same question only.
    """

    project_id: str
    text: str
    limit: int
    filters: Filters = field(default_factory=Filters)
    files: Sequence[str] | None = None
    concepts: Sequence[str] | None = None
    highlights: bool = False
    explain: bool = False
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """An observation that was found.

    Parameters:
        score: compares within one search only.
        highlights: fragments of the content as pieces; None unless asked for.
        explanation: what each term adds to the score; None unless asked for.
    """

    observation: Observation
    score: float
    highlights: list[list[Piece]] | None = None
    explanation: list[Contribution] | None = None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A part of a ranking.

    Parameters:
        next_cursor: asks for what follows; None at the end.
        statistics: of the project, as the scores used them; None when nothing was asked for.
    """

    hits: list[Hit]
    next_cursor: str | None = None
    statistics: Statistics | None = None


class RecallService:
    """Finds observations of a project."""

    def __init__(self, database: Database, index: SearchIndex | None = None) -> None:
        self._database = database
        self._index = index or SearchIndex(database)

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
        asked = digest(
            question.project_id,
            question.text,
            asdict(question.filters),
            question.files,
            question.concepts,
        )
        cursor = SearchCursor.decode(question.cursor, question=asked) if question.cursor else None
        asked_us = cursor.asked_us if cursor else now_us()
        query = parse(question.text, now_us=asked_us)
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
        found = await self._passing(context, question, ranking=ranking, cursor=cursor)
        shown = found[: question.limit]
        following = None
        if len(found) > question.limit:
            last = ranking.position(shown[-1][0])
            following = SearchCursor(asked, asked_us, ranking.statistics, last).encode()
        if question.highlights:
            # Beside the event loop: marking what was found in long texts takes its time.
            hits = await asyncio.to_thread(_hits, shown, ranking, question)
        else:
            hits = _hits(shown, ranking, question)
        return SearchPage(hits, following, ranking.statistics)

    async def _passing(
        self, context: RequestContext, question: Question, *, ranking: Ranking, cursor: SearchCursor | None
    ) -> list[tuple[int, Observation]]:
        """The best matches that pass all filters, one more than asked for if there is one; by their numbers."""
        found: list[tuple[int, Observation]] = []
        position = cursor.position if cursor else None
        size = question.limit + 1
        while True:
            numbers = ranking.best(size, after=position)
            ids = {number: ranking.snapshot.id_of(number) for number in numbers}
            rows_by_id = await stored.found_rows(
                self._database,
                list(ids.values()),
                team_id=context.team_id,
                project_id=question.project_id,
                filters=question.filters,
            )
            page = [
                (number, memory)
                for number, identity in ids.items()
                if (memory := rows_by_id.get(identity)) is not None
            ]
            if ranking.query.phrases or ranking.query.excluded_phrases:
                # Phrases are looked for in whole texts.
                found += await asyncio.to_thread(_passing, page, question, ranking.query)
            else:
                found += _passing(page, question, ranking.query)
            if len(found) > question.limit or len(numbers) < size:
                return found
            position = ranking.position(numbers[-1])
            size *= 4

    async def recent(self, context: RequestContext, *, project_id: str, limit: int) -> list[Observation]:
        """The newest observations of a project.

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
            )
        recent = [rows.observation(row) for row in found]
        await self._audit(context, project_id, found=recent, mode="recent", limit=limit)
        return recent

    async def latest(
        self, context: RequestContext, question: Question, *, kind: str | None = None
    ) -> list[Observation]:
        """The newest observations that pass a question's filters, whatever its text; not recorded, as by `look`.

        Parameters:
            kind: only of this kind, besides.

        Raises: Forbidden, Unavailable.
        """
        question = _cleaned(question)
        narrowed = question.filters != Filters() or question.files or question.concepts
        with refuse_storage_errors():
            await require_project(self._database, context, project_id=question.project_id)
            newest = await observations.list_rows(
                self._database,
                team_id=context.team_id,
                project_id=question.project_id,
                kind=kind,
                session_id=question.filters.session_id,
                before=None,
                limit=max(_LATEST, question.limit) if narrowed else question.limit,
            )
            passing = await stored.found_rows(
                self._database,
                [row["id"] for row in newest],
                team_id=context.team_id,
                project_id=question.project_id,
                filters=question.filters,
            )
        anything = parse("", now_us=now_us())
        ordered = (passing[row["id"]] for row in newest if row["id"] in passing)
        return [memory for memory in ordered if _passes(memory, question, anything)][: question.limit]

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


def _cleaned(question: Question) -> Question:
    platform, _ = clean_id(question.filters.platform)
    return replace(question, filters=replace(question.filters, platform=platform))


def _hits(shown: Sequence[tuple[int, Observation]], ranking: Ranking, question: Question) -> list[Hit]:
    return [_hit(number, memory, ranking=ranking, question=question) for number, memory in shown]


def _hit(number: int, memory: Observation, *, ranking: Ranking, question: Question) -> Hit:
    return Hit(
        memory,
        float(ranking.scores[number]),
        highlight(memory.content, ranking.query) if question.highlights else None,
        ranking.explain(number) if question.explain else None,
    )


def _passing(
    page: list[tuple[int, Observation]], question: Question, query: Query
) -> list[tuple[int, Observation]]:
    return [(number, memory) for number, memory in page if _passes(memory, question, query)]


def _passes(memory: Observation, question: Question, query: Query) -> bool:
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
        named = [f"/{path.strip('/')}/" for path in _texts(memory, "files_read", "files_modified", "files")]
        return any(f"/{file.strip('/')}/" in path for file in question.files for path in named)
    return True


def _texts(memory: Observation, *names: str) -> list[str]:
    found: list[str] = []
    for name in names:
        value = memory.metadata.members.get(name)
        found += [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    return found
