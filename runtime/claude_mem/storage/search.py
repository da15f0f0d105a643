"""The search index as rows: segments, their blocks, and the changes that are not in them yet.

What the bytes mean is `claude_mem.retrieval`'s; who writes them, and when, is a service's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mem.storage import rows
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import Observation
    from claude_mem.storage.database import Executor, Row

INSERTED, UPDATED, DELETED = "I", "U", "D"

#: Changes that a state tells of at most: when more wait than a search can read, how many more is nothing to it.
MOST_CHANGES = 2048

#: Bytes of texts and metadata after which an answer of the database brings no further memory.
SLICE_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class SegmentState:
    """A segment as it is at one moment.

    Parameters:
        documents: in all, those that are no more included.
        revision: grows with each deletion.
        deleted: how many of its documents are no more.
    """

    id: int
    documents: int
    revision: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to an observation; numbers ascend for one observation, not across them."""

    number: int
    observation_id: str
    operation: str


@dataclass(frozen=True, slots=True)
class State:
    """What the index of a project consists of at one moment; changes by their numbers.

    Parameters:
        team_id: whose project it is; None when there is none.
        complete: whether these are all the changes; there are more than were asked for otherwise.
    """

    team_id: str | None
    segments: tuple[SegmentState, ...]
    changes: tuple[Change, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Filters:
    """What an answer is narrowed to; None does not narrow.

    Parameters:
        kinds: any of these.
        since_us, until_us: when it was made, in microseconds since the epoch; the second is excluded.
    """

    platform: str | None = None
    kinds: Sequence[str] | None = None
    session_id: str | None = None
    since_us: int | None = None
    until_us: int | None = None


async def state(executor: Executor, project_id: str, *, most: int = MOST_CHANGES) -> State:
    """What the index consists of now, with the oldest changes and at most so many."""
    team_id: str | None = None
    segments: list[SegmentState] = []
    changes: list[Change] = []
    for row in await executor.fetch("search.state", project_id=project_id, limit=most + 1):
        if row["operation"] == "team":
            team_id = row["observation_id"]
        elif row["segment_id"] is None:
            changes.append(Change(row["number"], row["observation_id"], row["operation"]))
        else:
            segments.append(
                SegmentState(row["segment_id"], row["documents"], row["revision"], row["deleted"])
            )
    return State(team_id, tuple(segments), tuple(changes[:most]), len(changes) <= most)


async def lock(executor: Executor, project_id: str) -> bool:
    """Be the one who changes the index of a project until the transaction ends, unless somebody else is."""
    row = await fetch_one(executor, "search.lock", project_id=project_id)
    return row is not None and bool(row["mine"])


async def lock_project(executor: Executor, project_id: str) -> bool:
    """Keep a project from being deleted until the transaction ends.

    Returns: whether it is there.
    """
    return bool(await executor.fetch("search.lock_project", project_id=project_id))


async def columns(executor: Executor, ids: Sequence[int]) -> dict[int, dict[str, bytes]]:
    """The packed columns of segments: ids, lengths, times."""
    found = await executor.fetch("search.columns", ids=list(ids))
    return {row["id"]: {name: row[name] for name in ("ids", "lengths", "times")} for row in found}


async def deletions(executor: Executor, ids: Sequence[int]) -> dict[tuple[int, int], bytes]:
    """The packed numbers of deleted documents, by segment and revision."""
    found = await executor.fetch("search.deletions", ids=list(ids))
    return {(row["id"], row["revision"]): row["deleted"] for row in found}


async def blocks(executor: Executor, wanted: Sequence[tuple[int, str]]) -> dict[tuple[int, str], bytes]:
    """The block in which each term of a segment would stand; a segment that is no more has none."""
    found = await executor.fetch(
        "search.blocks", segment_ids=[segment for segment, _ in wanted], terms=[term for _, term in wanted]
    )
    return {(row["segment_id"], row["term"]): row["data"] for row in found}


async def prefix_blocks(
    executor: Executor, ids: Sequence[int], *, prefix: str, limit: int
) -> list[tuple[int, bytes]]:
    """The blocks in which terms may stand that start with a text, in order; each segment has at least one.

    Parameters:
        limit: blocks of each segment at most.
    """
    found = await executor.fetch(
        "search.prefix_blocks", segment_ids=list(ids), since=prefix, until=prefix + "\U0010ffff", limit=limit
    )
    return [(row["segment_id"], row["data"]) for row in found]


async def all_blocks(executor: Executor, segment_id: int) -> list[bytes]:
    return [row["data"] for row in await executor.fetch("search.all_blocks", segment_id=segment_id)]


async def block_bytes(executor: Executor, ids: Sequence[int]) -> dict[int, int]:
    """How many bytes the blocks of segments have; a segment that is no more is missing."""
    found = await executor.fetch("search.block_bytes", ids=list(ids))
    return {row["segment_id"]: row["size"] for row in found}


async def insert_segment(
    executor: Executor,
    project_id: str,
    *,
    segment_id: int,
    packed: dict[str, bytes],
    size: int,
    pieces: Sequence[tuple[str, bytes]],
) -> None:
    """Store a segment.

    Parameters:
        packed: its columns.
        size: how many documents it has.
        pieces: first term and bytes of each block.
    """
    await executor.execute(
        "search.insert_segment", id=segment_id, project_id=project_id, documents=size, **packed
    )
    new = [{"first_term": first, "data": data} for first, data in pieces]
    await executor.fetch_rows("search.insert_blocks", new, segment_id=segment_id)


async def delete_from_segment(executor: Executor, segment: SegmentState, deleted: bytes) -> bool:
    """Store the packed numbers of its deleted documents.

    Returns: whether the segment was still as the caller knew it.
    """
    changed = await executor.execute(
        "search.delete_from_segment", id=segment.id, revision=segment.revision, deleted=deleted
    )
    return changed == 1


async def drop_segments(executor: Executor, segments: Sequence[SegmentState]) -> bool:
    """Remove segments with their blocks.

    Returns: whether all were still as the caller knew them; if not, roll back.
    """
    dropped = await executor.execute(
        "search.drop_segments",
        ids=[segment.id for segment in segments],
        revisions=[segment.revision for segment in segments],
    )
    return dropped == len(segments)


def parted(found: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Rows that were brought, and the ids of those for which there was no room."""
    brought = [row for row in found if row["content"] is not None]
    return brought, [row["id"] for row in found if row["content"] is None]


async def found_slice(
    executor: Executor,
    ids: Sequence[str],
    *,
    team_id: str,
    project_id: str,
    filters: Filters,
) -> tuple[dict[str, Observation], list[str]]:
    """The first observations of these ids that pass the filters, in this order, as many as `SLICE_BYTES` has room for.

    Returns: them by their ids, and the ids of those behind them that pass too.
    """
    parameters: dict[str, Any] = {
        "platform_source": filters.platform,
        "kinds": None if filters.kinds is None else list(filters.kinds),
        "server_session_id": filters.session_id,
        "since": filters.since_us,
        "until": filters.until_us,
    }
    found = await executor.fetch(
        "search.rows", ids=list(ids), team_id=team_id, project_id=project_id, most=SLICE_BYTES, **parameters
    )
    brought, left = parted(found)
    return {row["id"]: rows.observation(row) for row in brought}, left
