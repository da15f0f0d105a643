"""Noted changes as a search reads them: the words of memories that are in no segment yet.

A search reads no more of them than it can wait for. When there are more, it reads those that may match.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from claude_mem.retrieval.segments import Block, build
from claude_mem.services.folding import last_operations, read_documents
from claude_mem.services.lru import Lru
from claude_mem.storage import search, search_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.retrieval.query import Query
    from claude_mem.retrieval.segments import NewDocument, Postings
    from claude_mem.storage.database import Database
    from claude_mem.storage.search import Change, State

#: Noted changes that a search reads, and bytes of their texts and metadata; when there are more it folds first.
MOST_READ = 512
READ_BYTES = 4 * 2**20

#: Terms of memories that a process keeps beside the index, a hundred bytes or so each.
KEPT_TERMS = 2**18

#: Characters of texts that are read beside the event loop.
LONG = 32_768


class Noted:
    """The index of noted changes, in memory."""

    def __init__(self, documents: Sequence[NewDocument]) -> None:
        segment = build(documents)
        self.columns = segment.columns
        self._blocks = [Block(data) for _, data in segment.blocks]

    def find(self, term: str) -> list[Postings]:
        """The postings of a term."""
        found = [block.find(term) for block in self._blocks]
        return [postings for postings in found if len(postings.documents)]

    def starting_with(self, prefix: str) -> list[Postings]:
        """The postings of the terms that start with a text."""
        return [postings for block in self._blocks for _, postings in block.starting_with(prefix)]


class TooMuch(Exception):
    """Raised when more is noted than a search reads."""


class NoteReader:
    """Reads memories that are noted, each once, as long as there is room to keep its words."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: Lru[int, NewDocument] = Lru(KEPT_TERMS)

    async def all(self, project_id: str, state: State) -> Noted | None:
        """What is noted; None when that is nothing.

        Raises: TooMuch.
        """
        latest = last_operations(state.changes).values()
        changes = [change for change in latest if change.operation != search.DELETED]
        if not state.complete or len(self._missing(changes)) > MOST_READ:
            raise TooMuch
        return await self._read(project_id, changes, whole=True)

    async def some(self, project_id: str, changes: Sequence[Change]) -> Noted | None:
        """These noted memories, the first of them as far as a search reads; None when there are none."""
        return await self._read(project_id, changes, whole=False)

    async def likely(self, project_id: str, query: Query) -> list[Change]:
        """Of too many changes the newest that may match, each observation's latest."""
        words = {text for term in query.terms for text in (term.text, term.prefix) if text}
        typed_on = [term.prefix for term in query.terms if term.prefix and (term.starts or term.unfinished)]
        found = await self._matching(project_id, query, words=words, prefixes=typed_on)
        if found:
            return found
        # As with the segments: where nothing is found, every word may be one that is typed on.
        prefixes = [term.prefix for term in query.terms if term.prefix]
        words |= {text for term in query.terms for text in term.cut}
        return await self._matching(project_id, query, words=words, prefixes=prefixes)

    async def _matching(
        self, project_id: str, query: Query, *, words: set[str], prefixes: Sequence[str]
    ) -> list[Change]:
        period = query.period
        found = await search_changes.matching_changes(
            self._database,
            project_id,
            words=sorted(words),
            prefixes=prefixes,
            since_us=period.since_us if period else None,
            until_us=period.until_us if period else None,
            limit=MOST_READ,
        )
        return [search.Change(one.number, one.id, search.UPDATED) for one in found]

    def _missing(self, changes: Sequence[Change]) -> dict[str, int]:
        """The numbers of changes whose memories are not kept, by the memories' ids."""
        return {
            change.observation_id: change.number
            for change in changes
            if self._kept.get(change.number) is None
        }

    async def _read(self, project_id: str, changes: Sequence[Change], *, whole: bool) -> Noted | None:
        found = [kept for change in changes if (kept := self._kept.get(change.number)) is not None]
        missing = self._missing(changes)
        if missing:
            rows, left = await search_changes.documents(
                self._database, project_id, list(missing), most_bytes=READ_BYTES
            )
            if whole and left:
                raise TooMuch
            # Of much text beside the event loop, for it takes seconds.
            if sum(len(row["content"]) + len(row["metadata"]) for row in rows) > LONG:
                read = await asyncio.to_thread(read_documents, rows)
            else:
                read = read_documents(rows)
            for document in read:
                weight = len(document.analysed.frequencies) + 1
                self._kept.put(missing[document.id], document, weight=weight)
            found += read
        return Noted(found) if found else None
