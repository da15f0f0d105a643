"""Folding: how changes of observations get into the search index.

Triggers note every change. A fold takes a batch of them away and writes one new segment with what the observations are
now; what was changed or removed is marked as deleted in the segments that had it. All of that is one transaction, so a
search sees a change either as noted or as indexed, never both and never neither. Segments of a size become one larger
one when there are many of them, so that a project of any size has few.

Any number of processes may fold; one at a time does, for each project.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from typing import TYPE_CHECKING

import numpy as np
import orjson

from claude_mem.model.errors import ClaudeMemError
from claude_mem.retrieval.documents import analyse_observation
from claude_mem.retrieval.segments import MAX_DOCUMENTS, Columns, MergePart, NewDocument, build, merge
from claude_mem.services.lru import Lru
from claude_mem.storage import search
from claude_mem.storage.database import StorageError, run_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.retrieval.segments import Segment
    from claude_mem.storage.database import Database, Executor, Row
    from claude_mem.storage.search import Change, SegmentState, State

logger = logging.getLogger(__name__)

#: Seconds between looks for changes.
EVERY_S = 1.0

#: Changes that are folded although more keep coming; fewer wait until none came for a while.
WORTH_FOLDING = 128

#: Changes of one fold at most. Each is a transaction of some tenths of a second.
BATCH = 4096

#: Changes after which the space of those that were folded is freed.
WORTH_SWEEPING = 2000

#: Segments of a size that become one, and so the base of the sizes.
FAN_OUT = 8

#: A segment is written anew when more than this share of its documents is deleted.
MOST_DELETED = 0.25

#: Bytes of segments' columns that a process keeps.
COLUMN_BYTES = 96 * 2**20


class ChangedMeanwhile(Exception):
    """Raised when a segment that was to be merged is no longer as it was read."""


class ColumnCache:
    """Segments' columns, which never change, read once."""

    def __init__(self) -> None:
        self._kept: Lru[int, Columns] = Lru(COLUMN_BYTES)

    async def of(self, executor: Executor, ids: Sequence[int]) -> dict[int, Columns]:
        """The columns of segments; those that are no more are missing."""
        found = {segment: kept for segment in ids if (kept := self._kept.get(segment)) is not None}
        missing = [segment for segment in ids if segment not in found]
        if missing:
            for segment, packed in (await search.columns(executor, missing)).items():
                found[segment] = Columns.unpack(**packed)
                self._kept.put(segment, found[segment], weight=sum(map(len, packed.values())))
        return found


class Folder:
    """Folds the changes of projects."""

    def __init__(self, database: Database, columns: ColumnCache) -> None:
        self._database = database
        self._columns = columns
        self._latest: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._taken = 0

    async def run(self) -> None:
        """Fold what waits, for as long as the process lives; a failure is tried again."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.fold_due()
            except (ClaudeMemError, StorageError) as error:
                logger.info("changes wait to be folded", extra={"reason": type(error).__name__})

    async def fold_due(self) -> None:
        """Fold the projects whose changes are many, or have stopped coming."""
        due = await search.waiting(self._database)
        before, self._latest = self._latest, {waiting.project_id: waiting.latest for waiting in due}
        for waiting in due:
            if waiting.changes >= WORTH_FOLDING or before.get(waiting.project_id) == waiting.latest:
                await self.fold(waiting.project_id)

    async def fold(self, project_id: str, *, seconds: float = math.inf) -> None:
        """Fold a project's changes and merge its segments until there is nothing to do or the time is over."""
        deadline = time.monotonic() + seconds
        async with self._turn:
            taken = BATCH
            while taken == BATCH and time.monotonic() < deadline:
                taken = await run_transaction(self._database, lambda tx: self._fold_batch(tx, project_id))
                self._taken += taken
            if self._taken >= WORTH_SWEEPING:
                self._taken = 0
                await search.sweep(self._database)
            while time.monotonic() < deadline and await self._merge(project_id):
                pass

    async def _fold_batch(self, executor: Executor, project_id: str) -> int:
        """Returns: how many changes were taken; none while another process folds the project."""
        if not await search.lock(executor, project_id):
            return 0
        exists = await search.lock_project(executor, project_id)
        changes = await search.take_changes(executor, project_id, limit=BATCH)
        if not exists or not changes:
            return len(changes)
        first: dict[str, str] = {}
        last: dict[str, str] = {}
        for change in changes:
            first.setdefault(change.observation_id, change.operation)
            last[change.observation_id] = change.operation
        # What was inserted since it was last folded cannot be in a segment.
        await self._forget(
            executor, project_id, {found for found, was in first.items() if was != search.INSERTED}
        )
        present = [found for found, operation in last.items() if operation != search.DELETED]
        rows = await search.documents(executor, project_id, present) if present else []
        if rows:
            segment = await asyncio.to_thread(_index, rows)
            await _store(executor, project_id, segment)
        return len(changes)

    async def _forget(self, executor: Executor, project_id: str, ids: set[str]) -> None:
        """Mark observations as deleted in the segments that have them."""
        if not ids:
            return
        segments = (await search.state(executor, project_id)).segments
        columns = await self._columns.of(executor, [segment.id for segment in segments])
        packed = await search.deletions(executor, [segment.id for segment in segments])
        for segment in segments:
            numbers = columns[segment.id].numbers
            gone = {numbers[found] for found in ids & numbers.keys()}
            known = set(np.frombuffer(packed[segment.id, segment.revision], "<u2").tolist())
            if gone <= known:
                continue
            deleted = sorted(gone | known)
            if len(deleted) == segment.documents:
                done = await search.drop_segments(executor, [segment])
            else:
                done = await search.delete_from_segment(executor, segment, np.array(deleted, "<u2").tobytes())
            if not done:
                raise AssertionError("a segment changed under its lock")

    async def _merge(self, project_id: str) -> bool:
        """Make one segment of several, or of one with much that is deleted.

        Returns: whether that was done, and more may be to do.
        """
        state = await search.state(self._database, project_id)
        chosen = choose(state)
        if not chosen:
            return False
        try:
            parts = await self._read(chosen)
            segment = await asyncio.to_thread(merge, parts)
            async with self._database.transaction() as transaction:
                if not await search.lock(transaction, project_id):
                    return False
                await search.lock_project(transaction, project_id)
                await _drop(transaction, chosen)
                await _store(transaction, project_id, segment)
        except ChangedMeanwhile:
            return False
        return True

    async def _read(self, segments: Sequence[SegmentState]) -> list[MergePart]:
        ids = [segment.id for segment in segments]
        columns = await self._columns.of(self._database, ids)
        packed = await search.deletions(self._database, ids)
        parts = []
        for segment in segments:
            deleted = packed.get((segment.id, segment.revision))
            blocks = await search.all_blocks(self._database, segment.id)
            if segment.id not in columns or deleted is None or not blocks:
                raise ChangedMeanwhile
            parts.append(MergePart(columns[segment.id], np.frombuffer(deleted, "<u2"), blocks))
        return parts


def choose(state: State) -> list[SegmentState]:
    """The segments to be merged next, if any: the smallest size of which there are enough, or one with much deleted."""
    sizes: dict[int, list[SegmentState]] = {}
    for segment in state.segments:
        alive = segment.documents - segment.deleted
        if segment.deleted > MOST_DELETED * segment.documents:
            return [segment]
        sizes.setdefault(int(math.log(max(alive, 1), FAN_OUT)), []).append(segment)
    for _, segments in sorted(sizes.items()):
        chosen: list[SegmentState] = []
        total = 0
        for segment in sorted(segments, key=lambda one: one.documents)[:FAN_OUT]:
            total += segment.documents - segment.deleted
            if total <= MAX_DOCUMENTS:
                chosen.append(segment)
        if len(segments) >= FAN_OUT and len(chosen) > 1:
            return chosen
    return []


def last_operations(changes: Sequence[Change]) -> dict[str, Change]:
    """The latest change of each observation."""
    return {change.observation_id: change for change in changes}


def read_document(row: Row) -> NewDocument:
    """Analyse an observation's row, as `storage.search.documents` gives it."""
    try:
        metadata = orjson.loads(row["metadata"])
    except orjson.JSONDecodeError:
        # Others may have nested it deeper than can be read; the text is found all the same.
        metadata = {}
    analysed = analyse_observation(row["content"], metadata if isinstance(metadata, dict) else {})
    return NewDocument(row["id"], row["created_at"], row["updated_at"], analysed)


def _index(rows: Sequence[Row]) -> Segment:
    return build([read_document(row) for row in rows])


async def _drop(executor: Executor, segments: Sequence[SegmentState]) -> None:
    if not await search.drop_segments(executor, segments):
        raise ChangedMeanwhile


async def _store(executor: Executor, project_id: str, segment: Segment) -> None:
    await search.insert_segment(
        executor,
        project_id,
        segment_id=secrets.randbits(63),
        packed=segment.columns.packed(),
        size=segment.documents,
        pieces=segment.blocks,
    )
