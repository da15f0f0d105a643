"""Merging: how the segments of a project's search index stay few, and are rid of what was deleted.

Segments of a size become one larger one when there are many of them. A merge is one transaction, in which the segments must
still be as they were read.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import TYPE_CHECKING

import numpy as np

from claude_mem.retrieval.segments import MAX_DOCUMENTS, Columns, MergePart, merge
from claude_mem.services.lru import Lru
from claude_mem.storage import search

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_mem.retrieval.segments import Segment
    from claude_mem.storage.database import Database, Executor
    from claude_mem.storage.search import SegmentState, State

#: Segments of a size that become one, and so the base of the sizes.
FAN_OUT = 8

#: A segment is written anew when more than this share of its documents is deleted.
MOST_DELETED = 0.25

#: Bytes of blocks that become one segment. Merging takes about ten times as much memory; usual memories fill a segment
#: of all the documents that it can have with as much.
MOST_MERGED = 24 * 2**20

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


async def merge_some(database: Database, columns: ColumnCache, project_id: str) -> bool:
    """Make one segment of several, or of one with much that is deleted.

    Returns: whether that was done, and more may be to do.
    """
    state = await search.state(database, project_id, most=0)
    for candidates in candidates_of(state):
        sizes = await search.block_bytes(database, [segment.id for segment in candidates])
        chosen = fitting(candidates, sizes)
        if chosen:
            return await _merge(database, columns, project_id, chosen)
    return False


def candidates_of(state: State) -> Iterator[list[SegmentState]]:
    """Segments that are better one: any with much deleted, then those of a size of which there are enough, small first."""
    sizes: dict[int, list[SegmentState]] = {}
    for segment in state.segments:
        if segment.deleted > MOST_DELETED * segment.documents:
            yield [segment]
        sizes.setdefault(int(math.log(max(_alive(segment), 1), FAN_OUT)), []).append(segment)
    for _, segments in sorted(sizes.items()):
        if len(segments) >= FAN_OUT:
            yield sorted(segments, key=lambda one: one.documents)


def fitting(candidates: Sequence[SegmentState], sizes: dict[int, int]) -> list[SegmentState]:
    """Of the segments as many as one segment, and memory, has room for; none where that would change nothing.

    Parameters:
        sizes: bytes of the segments' blocks, by their ids.
    """
    if len(candidates) == 1:
        return list(candidates)
    chosen: list[SegmentState] = []
    documents = size = 0
    for segment in candidates:
        more = sizes.get(segment.id, 0)
        if len(chosen) == FAN_OUT or documents + _alive(segment) > MAX_DOCUMENTS or size + more > MOST_MERGED:
            continue
        chosen.append(segment)
        documents += _alive(segment)
        size += more
    return chosen if len(chosen) > 1 else []


def _alive(segment: SegmentState) -> int:
    return segment.documents - segment.deleted


async def _merge(
    database: Database, columns: ColumnCache, project_id: str, chosen: Sequence[SegmentState]
) -> bool:
    try:
        parts = await _read(database, columns, chosen)
        segment = await asyncio.to_thread(merge, parts)
        async with database.transaction() as transaction:
            if not await search.lock(transaction, project_id):
                return False
            await search.lock_project(transaction, project_id)
            await _drop(transaction, chosen)
            await store_segment(transaction, project_id, segment)
    except ChangedMeanwhile:
        return False
    return True


async def _read(
    database: Database, columns: ColumnCache, segments: Sequence[SegmentState]
) -> list[MergePart]:
    ids = [segment.id for segment in segments]
    known = await columns.of(database, ids)
    packed = await search.deletions(database, ids)
    parts = []
    for segment in segments:
        deleted = packed.get((segment.id, segment.revision))
        blocks = await search.all_blocks(database, segment.id)
        if segment.id not in known or deleted is None or not blocks:
            raise ChangedMeanwhile
        parts.append(MergePart(known[segment.id], np.frombuffer(deleted, "<u2"), blocks))
    return parts


async def _drop(executor: Executor, segments: Sequence[SegmentState]) -> None:
    if not await search.drop_segments(executor, segments):
        raise ChangedMeanwhile


async def store_segment(executor: Executor, project_id: str, segment: Segment) -> None:
    """Store a new segment under an id that no other has."""
    await search.insert_segment(
        executor,
        project_id,
        segment_id=secrets.randbits(63),
        packed=segment.columns.packed(),
        size=segment.documents,
        pieces=segment.blocks,
    )
