"""Changes that are not in the search index yet: how many there are, what they are about, and their end.

Triggers note them; what becomes of them is a service's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from claude_mem.storage.search import Change, parted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.storage.database import Executor, Row

#: Characters of a memory's text that are searched. A book has as many; what is behind them is shown, and not found.
MOST_SEARCHED = 2**20


@dataclass(frozen=True, slots=True)
class Waiting:
    """Changes of a project that wait to be folded into its segments."""

    project_id: str
    changes: int
    latest: int


class Taken(NamedTuple):
    """Changes that were taken away, and whether more are left."""

    changes: list[Change]
    more: bool


class Candidate(NamedTuple):
    """An observation among the changes, with the number of its latest."""

    id: str
    number: int


async def waiting(executor: Executor) -> list[Waiting]:
    """All projects with changes, those with most first."""
    found = await executor.fetch("search.due")
    return [Waiting(row["project_id"], row["waiting"], row["latest"]) for row in found]


async def take_changes(executor: Executor, project_id: str, *, limit: int, most_bytes: int) -> Taken:
    """Take away the oldest changes of a project, in their order.

    Parameters:
        most_bytes: of texts and metadata of their observations as they are now; a single change is taken in any case.
    """
    oldest = await executor.fetch("search.oldest_changes", project_id=project_id, limit=limit)
    taken: list[Change] = []
    size = 0
    for row in oldest:
        if size and size + row["size"] > most_bytes:
            break
        size += row["size"]
        taken.append(Change(row["number"], row["observation_id"], row["operation"]))
    if taken:
        numbers = [change.number for change in taken]
        await executor.execute("search.take_changes", project_id=project_id, numbers=numbers)
    return Taken(taken, len(taken) < len(oldest) or len(oldest) == limit)


async def sweep(executor: Executor) -> None:
    """Free the space of changes that were taken away; not within a transaction."""
    await executor.execute("search.sweep")


async def documents(
    executor: Executor, project_id: str, ids: Sequence[str], *, most_bytes: int
) -> tuple[list[Row], list[str]]:
    """What is indexed of observations: id, content, metadata as JSON text, created_at, updated_at.

    Parameters:
        most_bytes: of texts and metadata, after which no further observation is read.

    Returns: the first of them as far as that goes, and the ids of the others; those that are no more are in neither.
    """
    found = await executor.fetch(
        "search.documents", project_id=project_id, ids=list(ids), most=most_bytes, characters=MOST_SEARCHED
    )
    return parted(found)


async def matching_changes(
    executor: Executor,
    project_id: str,
    *,
    words: Sequence[str],
    prefixes: Sequence[str],
    since_us: int | None,
    until_us: int | None,
    limit: int,
) -> list[Candidate]:
    """Observations among the changes that may hold one of the words; each storage uses what it can. The newest first.

    Parameters:
        prefixes: what words begin with.
        since_us, until_us: what was made then is among them too, in microseconds since the epoch.
    """
    found = await executor.fetch(
        "search.matching_changes",
        project_id=project_id,
        words=list(words),
        prefixes=list(prefixes),
        since=since_us,
        until=until_us,
        limit=limit,
    )
    return [Candidate(row["id"], row["number"]) for row in found]


async def rewritten(executor: Executor, project_id: str, *, limit: int) -> set[str]:
    """Ids among the changes that a segment may have, for they were changed or removed; of many the latest."""
    found = await executor.fetch("search.rewritten", project_id=project_id, limit=limit)
    return {row["observation_id"] for row in found}
