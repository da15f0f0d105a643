"""Folding: how changes of observations get into the search index.

Triggers note every change. A fold takes a batch of them away and writes one new segment with what the observations are
now; what was changed or removed is marked as deleted in the segments that had it. All of that is one transaction, so a
search sees a change either as noted or as indexed, never both and never neither. `merging` keeps the segments few.

Any number of processes may fold; one at a time does, for each project. Within a process one fold is under way at a time,
and each batch is a turn of its own: a project with much to fold holds nobody else up.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import orjson

from claude_mem.model.errors import Unavailable
from claude_mem.retrieval.analyzer import Analysed
from claude_mem.retrieval.documents import analyse_observation
from claude_mem.retrieval.segments import NewDocument, build
from claude_mem.services.merging import merge_some, store_segment
from claude_mem.storage import search, search_changes
from claude_mem.storage.database import run_transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from claude_mem.services.merging import ColumnCache
    from claude_mem.storage.database import Database, Executor, Row
    from claude_mem.storage.search import Change

logger = logging.getLogger(__name__)

#: Seconds between looks for changes.
EVERY_S = 1.0

#: Changes that are folded although more keep coming; fewer wait until none came for a while.
WORTH_FOLDING = 128

#: Changes of one fold at most, and bytes of the texts and metadata that are read for it, unless a single memory has more.
#: Each fold is a transaction of some tenths of a second. While they are counted, the words of a text in which none occurs
#: twice take about thirty times its memory.
BATCH = 4096
BATCH_BYTES = 4 * 2**20

#: Seconds for which the background folds one project before the next has its turn.
SHARE_S = 5.0

#: Seconds for which a project is left alone after its fold failed, doubled each time up to the second.
SET_BACK_S = 2.0
MOST_SET_BACK_S = 300.0

#: Changes after which the space of those that were folded is freed.
WORTH_SWEEPING = 2000


@dataclass(frozen=True, slots=True)
class _SetBack:
    """A project whose fold failed.

    Parameters:
        until: of the monotonic clock.
        seconds: for which it was set back.
    """

    until: float
    seconds: float


class Folder:
    """Folds the changes of projects."""

    def __init__(self, database: Database, columns: ColumnCache) -> None:
        self._database = database
        self._columns = columns
        self._latest: dict[str, int] = {}
        self._unfinished: set[str] = set()
        self._set_back: dict[str, _SetBack] = {}
        self._turn = asyncio.Lock()
        self._taken = 0

    async def run(self) -> None:
        """Fold what waits, for as long as the process lives; a failure is tried again."""
        more = False
        while True:
            if not more:
                await asyncio.sleep(EVERY_S)
            try:
                more = await self.fold_due()
            except Exception as error:
                # Whatever it is, requests go on, and nothing is lost: what was noted waits.
                more = False
                logger.info("changes wait to be folded", extra={"reason": type(error).__name__})

    async def fold_due(self) -> bool:
        """Fold the projects whose changes are many, or have stopped coming, each for a while.

        A project that cannot be folded is set back alone.

        Returns: whether there is more to do at once.

        Raises: Unavailable.
        """
        due = await search_changes.waiting(self._database)
        before, self._latest = self._latest, {waiting.project_id: waiting.latest for waiting in due}
        wanted = {
            waiting.project_id
            for waiting in due
            if waiting.changes >= WORTH_FOLDING or before.get(waiting.project_id) == waiting.latest
        }
        wanted |= self._unfinished
        self._unfinished = set()
        self._set_back = {name: one for name, one in self._set_back.items() if name in self._latest}
        for project_id in sorted(wanted):
            known = self._set_back.get(project_id)
            if known is not None and time.monotonic() < known.until:
                continue
            try:
                if await self.fold(project_id, seconds=SHARE_S):
                    self._unfinished.add(project_id)
            except Unavailable:
                raise
            except Exception as error:
                seconds = min(2 * known.seconds, MOST_SET_BACK_S) if known else SET_BACK_S
                self._set_back[project_id] = _SetBack(time.monotonic() + seconds, seconds)
                logger.warning(
                    "a project's changes were not folded into the search index and wait",
                    extra={"projectId": project_id, "reason": type(error).__name__, "seconds": seconds},
                )
            else:
                self._set_back.pop(project_id, None)
        return bool(self._unfinished)

    async def fold(self, project_id: str, *, seconds: float = math.inf) -> bool:
        """Fold a project's changes and merge its segments until there is nothing to do or the time is over.

        A batch that was begun in time is finished.

        Returns: whether more may be to do.
        """
        deadline = time.monotonic() + seconds
        folding = merging = True
        while folding or merging:
            async with self._have_turn(deadline) as mine:
                if not mine:
                    break
                if folding:
                    folding = await run_transaction(
                        self._database, lambda tx: self._fold_batch(tx, project_id)
                    )
                merging = await merge_some(self._database, self._columns, project_id)
        if self._taken >= WORTH_SWEEPING:
            self._taken = 0
            await search_changes.sweep(self._database)
        return folding or merging

    @asynccontextmanager
    async def _have_turn(self, deadline: float) -> AsyncIterator[bool]:
        """Be the one of this process who folds.

        Yields: whether that came about before the deadline of the monotonic clock.
        """
        left = deadline - time.monotonic()
        if left <= 0:
            yield False
            return
        try:
            async with asyncio.timeout(None if math.isinf(left) else left):
                await self._turn.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._turn.release()

    async def _fold_batch(self, executor: Executor, project_id: str) -> bool:
        """Returns: whether more is to be folded; not while another process folds the project."""
        if not await search.lock(executor, project_id):
            return False
        exists = await search.lock_project(executor, project_id)
        taken = await search_changes.take_changes(executor, project_id, limit=BATCH, most_bytes=BATCH_BYTES)
        self._taken += len(taken.changes)
        if not exists or not taken.changes:
            return taken.more
        first: dict[str, str] = {}
        last: dict[str, str] = {}
        for change in taken.changes:
            first.setdefault(change.observation_id, change.operation)
            last[change.observation_id] = change.operation
        # What was inserted since it was last folded cannot be in a segment.
        await self._forget(
            executor, project_id, {found for found, was in first.items() if was != search.INSERTED}
        )
        left = [found for found, operation in last.items() if operation != search.DELETED]
        documents: list[NewDocument] = []
        while left:
            rows, left = await search_changes.documents(executor, project_id, left, most_bytes=BATCH_BYTES)
            documents += await asyncio.to_thread(read_documents, rows)
        if documents:
            await store_segment(executor, project_id, await asyncio.to_thread(build, documents))
        return taken.more

    async def _forget(self, executor: Executor, project_id: str, ids: set[str]) -> None:
        """Mark observations as deleted in the segments that have them."""
        if not ids:
            return
        segments = (await search.state(executor, project_id, most=0)).segments
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


def last_operations(changes: Sequence[Change]) -> dict[str, Change]:
    """The latest change of each observation."""
    return {change.observation_id: change for change in changes}


def read_documents(rows: Sequence[Row]) -> list[NewDocument]:
    """Analyse observations' rows, as `storage.search_changes.documents` gives them."""
    return [NewDocument(row["id"], row["created_at"], row["updated_at"], _analysed(row)) for row in rows]


def _analysed(row: Row) -> Analysed:
    try:
        return analyse_observation(row["content"], _metadata(row["metadata"]))
    except MemoryError:
        raise
    except Exception as error:
        # One memory that cannot be read must not keep all later ones out of the index.
        logger.warning(
            "a memory's words cannot be read, so a search will not find it",
            extra={"observationId": row["id"], "reason": type(error).__name__},
        )
        return Analysed({}, 0)


def _metadata(text: str) -> dict[str, object]:
    """A memory's metadata; nothing where there is more of it than is searched of a text."""
    if len(text) > search_changes.MOST_SEARCHED:
        return {}
    try:
        metadata = orjson.loads(text)
    except orjson.JSONDecodeError:
        # Others may have nested it deeper than can be read; the text is found all the same.
        return {}
    return metadata if isinstance(metadata, dict) else {}
