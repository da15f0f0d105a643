"""The search index as a question sees it: the segments of a project and the changes beside them, at one moment.

A process keeps what never changes: columns and postings of segments, and the words of noted changes. Which segments
and changes there are is asked anew for each question, so every statistic is of that moment, whoever wrote.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from claude_mem.model.errors import Unavailable
from claude_mem.retrieval.impacts import Held, gather
from claude_mem.retrieval.ranking import rank
from claude_mem.retrieval.segments import NO_POSTINGS, Block
from claude_mem.retrieval.snapshot import Part, Snapshot
from claude_mem.services.folding import Folder, last_operations
from claude_mem.services.lru import Lru
from claude_mem.services.merging import ColumnCache
from claude_mem.services.scope import require_team
from claude_mem.services.search_notes import NoteReader, TooMuch
from claude_mem.storage import search, search_changes

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from claude_mem.retrieval.query import Query, Term
    from claude_mem.retrieval.ranking import Ranking, Statistics
    from claude_mem.retrieval.segments import Postings
    from claude_mem.services.search_notes import Noted
    from claude_mem.storage.database import Database
    from claude_mem.storage.search import State

logger = logging.getLogger(__name__)

#: Seconds that a search folds for before it goes on with what is left.
FOLD_S = 5.0

#: What a process keeps: bytes of segments' postings, bytes of the same numbered through a view, documents of views.
POSTING_BYTES = 32 * 2**20
HELD_BYTES = 64 * 2**20
VIEW_DOCUMENTS = 500_000

#: Observations that were changed or removed and that a search leaves out of the segments, where too much is noted.
MOST_STALE = 20_000

#: Blocks read for each segment to find the words that begin with a prefix.
PREFIX_BLOCKS = 8

#: How often a question is begun again because segments were merged meanwhile.
ATTEMPTS = 10

#: What an empty list of postings weighs in memory, in bytes.
_OVERHEAD = 200


class _Moved(Exception):
    """Raised when a segment is no more since the question began."""


@dataclass(frozen=True, slots=True)
class _View:
    """A project's documents at one moment.

    Parameters:
        number: no other view has it.
        segments: their ids, in the order of the snapshot's first parts.
        noted: the snapshot's last part, if there is one.
    """

    number: int
    snapshot: Snapshot
    segments: tuple[int, ...]
    noted: Noted | None


class SearchIndex:
    """Answers questions over the index of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._columns = ColumnCache()
        self.folder = Folder(database, self._columns)
        self._views: Lru[str, tuple[Hashable, _View]] = Lru(VIEW_DOCUMENTS)
        self._postings: Lru[tuple[int, str], list[Postings]] = Lru(POSTING_BYTES)
        self._held: Lru[tuple[int, str], Held] = Lru(HELD_BYTES)
        self._numbers = itertools.count()
        self._notes = NoteReader(database)

    async def rank(
        self, project_id: str, query: Query, *, team_id: str, statistics: Statistics | None = None
    ) -> Ranking:
        """Rank a project's observations.

        Parameters:
            team_id: whose project it is to be.
            statistics: see `ranking.rank`.

        Raises: Forbidden when it is not, Unavailable.
        """
        for _ in range(ATTEMPTS):
            try:
                return await self._rank(project_id, query, team_id=team_id, statistics=statistics)
            except _Moved:
                continue
        raise Unavailable("the search index changes too fast to be read", dependency=self._database.name)

    async def _rank(
        self, project_id: str, query: Query, *, team_id: str, statistics: Statistics | None
    ) -> Ranking:
        view = await self._view(project_id, query, team_id=team_id)
        required = [term for phrase in query.phrases for term in phrase.terms]
        exact = await self._exact(view, {*(term.text for term in query.terms), *required, *query.excluded})
        held = [
            await self._standing_in(view, term, exact[term.text])
            if term.starts or (term.unfinished and not len(exact[term.text].documents))
            else exact[term.text]
            for term in query.terms
        ]
        if not any(len(where.documents) for where in held):
            held = [await self._standing_in(view, term, exact[term.text]) for term in query.terms]
        return rank(
            view.snapshot,
            query,
            held,
            required=[exact[term] for term in required],
            excluded=[exact[term] for term in query.excluded],
            statistics=statistics,
        )

    async def _standing_in(self, view: _View, term: Term, exact: Held) -> Held:
        """Where the words are that begin as a term does."""
        if term.prefix is None:
            return exact
        found = await self._prefixed(view, term.prefix)
        if len(found.documents):
            return found
        # `authenticat` is to find `authent`.
        texts = (term.text, *term.cut)
        lengths = await self._exact(view, texts)
        return next((lengths[text] for text in texts if len(lengths[text].documents)), exact)

    async def _exact(self, view: _View, terms: Iterable[str]) -> dict[str, Held]:
        kept = {term: self._held.get((view.number, term)) for term in terms}
        missing = [term for term, held in kept.items() if held is None]
        held_now = {term: held for term, held in kept.items() if held is not None}
        if not missing:
            return held_now
        known = await self._read_postings(view, missing)

        def of(term: str) -> list[Sequence[Postings]]:
            parts: list[Sequence[Postings]] = [known[segment, term] for segment in view.segments]
            return [*parts, view.noted.find(term)] if view.noted else parts

        return held_now | {term: self._hold(view, term, of(term)) for term in missing}

    async def _read_postings(
        self, view: _View, terms: Sequence[str]
    ) -> dict[tuple[int, str], list[Postings]]:
        """The postings of terms in each segment of a view."""
        keys = [(segment, term) for segment in view.segments for term in terms]
        kept = {key: self._postings.get(key) for key in keys}
        missing = [key for key, postings in kept.items() if postings is None]
        known = {key: postings for key, postings in kept.items() if postings is not None}
        blocks = await search.blocks(self._database, missing) if missing else {}
        for key in missing:
            if key not in blocks:
                raise _Moved
            found = Block(blocks[key]).find(key[1])
            known[key] = [found] if len(found.documents) else []
            self._keep(key, known[key])
        return known

    def _hold(self, view: _View, term: str, found: Sequence[Sequence[Postings]]) -> Held:
        held = gather(view.snapshot, found)
        self._held.put((view.number, term), held, weight=held.weight + _OVERHEAD)
        return held

    async def _prefixed(self, view: _View, prefix: str) -> Held:
        # No term has a star, so these share the memory of terms.
        known = {segment: self._postings.get((segment, prefix + "*")) for segment in view.segments}
        missing = [segment for segment, kept in known.items() if kept is None]
        if missing:
            blocks = await search.prefix_blocks(self._database, missing, prefix=prefix, limit=PREFIX_BLOCKS)
            for segment in missing:
                read = [Block(data) for found, data in blocks if found == segment]
                if not read:
                    raise _Moved
                found = [postings for block in read for _, postings in block.starting_with(prefix)]
                known[segment] = found
                self._keep((segment, prefix + "*"), found)
        parts: list[Sequence[Postings]] = [known[segment] or [] for segment in view.segments]
        if view.noted:
            parts.append(view.noted.starting_with(prefix))
        return gather(view.snapshot, parts)

    def _keep(self, key: tuple[int, str], found: list[Postings]) -> None:
        weight = sum(one.documents.nbytes + one.frequencies.nbytes + _OVERHEAD for one in found)
        self._postings.put(key, found, weight=weight + _OVERHEAD)

    async def _view(self, project_id: str, query: Query, *, team_id: str) -> _View:
        state = await search.state(self._database, project_id)
        require_team(state.team_id, team_id)
        try:
            return await self._whole_view(project_id, state)
        except TooMuch:
            await self._fold_first(project_id)
        try:
            return await self._whole_view(project_id, await search.state(self._database, project_id))
        except TooMuch:
            return await self._partial_view(project_id, query)

    async def _fold_first(self, project_id: str) -> None:
        """Fold for some seconds. Whatever becomes of it, the search goes on with what is there."""
        try:
            async with asyncio.timeout(2 * FOLD_S):
                await self.folder.fold(project_id, seconds=FOLD_S)
        except Exception as error:
            logger.info(
                "a search could not fold what is noted",
                extra={"projectId": project_id, "reason": type(error).__name__},
            )

    async def _whole_view(self, project_id: str, state: State) -> _View:
        """Raises: TooMuch."""
        signature = (state.segments, tuple(last_operations(state.changes).values()))
        kept = self._views.get(project_id)
        if state.complete and kept is not None and kept[0] == signature:
            return kept[1]
        noted = await self._notes.all(project_id, state)
        first = {change.observation_id: change.operation for change in reversed(state.changes)}
        stale = {found for found, operation in first.items() if operation != search.INSERTED}
        view = await self._make_view(state, noted, stale)
        self._views.put(project_id, (signature, view), weight=view.snapshot.size + 1)
        return view

    async def _partial_view(self, project_id: str, query: Query) -> _View:
        """The segments with those of the changes that may match."""
        # Before the state: what is folded meanwhile is in both, and not in neither.
        likely = await self._notes.likely(project_id, query)
        state = await search.state(self._database, project_id, most=0)
        stale = await search_changes.rewritten(self._database, project_id, limit=MOST_STALE)
        noted = await self._notes.some(project_id, likely)
        return await self._make_view(state, noted, stale | {change.observation_id for change in likely})

    async def _make_view(self, state: State, noted: Noted | None, stale: set[str]) -> _View:
        """Parameters: stale: ids of documents that count in no segment."""
        ids = [segment.id for segment in state.segments]
        columns = await self._columns.of(self._database, ids)
        revised = [segment.id for segment in state.segments if segment.revision]
        packed = await search.deletions(self._database, revised) if revised else {}
        parts = []
        for segment in state.segments:
            deleted = packed.get((segment.id, segment.revision), b"")
            if segment.id not in columns or (segment.revision and not deleted):
                raise _Moved
            numbers = np.frombuffer(deleted, "<u2")
            if stale:
                known = columns[segment.id].numbers
                also = np.array([known[found] for found in stale & known.keys()], np.uint16)
                numbers = np.union1d(numbers, also).astype(np.uint16)
            parts.append(Part(str(segment.id), columns[segment.id], numbers))
        if noted:
            parts.append(Part("noted", noted.columns, NO_POSTINGS.documents))
        return _View(next(self._numbers), Snapshot(tuple(parts)), tuple(ids), noted)
