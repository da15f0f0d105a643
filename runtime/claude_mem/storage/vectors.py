"""Vectors of memories as rows, on PostgreSQL with pgvector; SQLite has none.

The table is made by `ensure`, not by a migration: its type comes with an extension that most servers lack. Which texts
become vectors, and what is made of the nearest, is the services' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from claude_mem.storage.database import StorageError, run_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.storage.database import Database, Executor
    from claude_mem.storage.search import Filters

_EXTENSION = (
    "have a superuser run CREATE EXTENSION vector in this database, with its schema on the search_path; "
    "search is by words alone until then"
)


@dataclass(frozen=True, slots=True)
class Due:
    """A memory that is to get a vector.

    Parameters:
        text: as much of it as is sent.
        content_hash: of all of it.
        updated_us: when it was last changed, in microseconds since the epoch.
    """

    id: str
    team_id: str
    project_id: str
    text: str
    content_hash: str
    updated_us: int


async def ensure(database: Database, *, passage: int) -> str | None:
    """Make the table where it is missing.

    Parameters:
        passage: characters that share a vector, at most. Memories that have more are embedded anew where the table had one
            vector for each; the others' is the same as before, and nobody pays for it again.

    Returns: why there can be none, and the way out, for people; None when it is there.

    Raises: Unavailable.
    """
    if database.name != "postgres":
        return "semantic search needs PostgreSQL with pgvector; search is by words alone"
    found = (await database.fetch("vectors.support"))[0]
    if not found["created"]:
        missing = "is not created" if found["installed"] else "is not installed on the database's machine"
        return f"the extension pgvector {missing}: {_EXTENSION}"
    if found["stored"]:
        return None
    try:
        await run_transaction(database, partial(_create, passage=passage))
    except StorageError as error:
        return (
            f"the table observation_vectors cannot be {'extended' if found['present'] else 'made'} ({error}): let the "
            "server's role create tables in its schema and own this one, or do it as docs/how-to/semantic-search.md says; "
            "search is by words alone until then"
        )
    return None


async def _create(executor: Executor, *, passage: int) -> None:
    await executor.fetch("vectors.lock")
    found = (await executor.fetch("vectors.support"))[0]
    await executor.execute("vectors.create_table")
    await executor.execute("vectors.create_index")
    if found["present"] and not found["stored"]:
        await executor.execute("vectors.add_further")
        await executor.execute("vectors.renew_long", characters=passage)


@dataclass(frozen=True, slots=True)
class ClaimTerms:
    """How memories are taken.

    Parameters:
        model, dimensions: of the vectors they are to have; a length of None is any.
        limit: memories at most.
        characters: of a text that are read.
    """

    model: str
    dimensions: int | None
    limit: int
    characters: int


async def claim(
    executor: Executor, terms: ClaimTerms, *, holder: str, until_us: int, now_us: int, without: Sequence[str]
) -> list[Due]:
    """Take the newest memories that lack a current vector; those of one project stand together.

    Parameters:
        holder: names this claim, and no other.
        until_us: when others may take them; as `now_us` in microseconds since the epoch.
        without: projects that are left out.
    """
    found = await executor.fetch(
        "vectors.claim",
        model=terms.model,
        dimensions=terms.dimensions,
        limit=terms.limit,
        characters=terms.characters,
        holder=holder,
        until=until_us,
        now=now_us,
        without=list(without),
    )
    names = ("id", "team_id", "project_id", "content", "content_hash", "updated_at")
    return [Due(*(row[name] for name in names)) for row in found]


async def store(
    executor: Executor, made: Sequence[tuple[Due, Sequence[Sequence[float]]]], *, holder: str, now_us: int
) -> int:
    """Store vectors that the holder made, one for each passage of a memory, and count the memories that it still held."""
    new = [
        {
            "id": due.id,
            "embedding": _literal(first),
            "further": "{" + ",".join(f'"{_literal(vector)}"' for vector in further) + "}",
            "content_hash": due.content_hash,
            "updated_at": due.updated_us,
        }
        for due, (first, *further) in made
    ]
    return len(await executor.fetch_rows("vectors.store", new, holder=holder, now=now_us))


def _literal(vector: Sequence[float]) -> str:
    return orjson.dumps(list(vector)).decode()


async def release(executor: Executor, *, holder: str, until_us: int) -> int:
    """Give back what a holder did not finish, from a time on, and count it."""
    return await executor.execute("vectors.release", holder=holder, until=until_us)


async def refuse(executor: Executor, ids: Sequence[str], *, holder: str, now_us: int) -> None:
    """Give back what cannot be embedded: after a minute the first time, then ever later, a day at most."""
    await executor.execute("vectors.refuse", ids=list(ids), holder=holder, now=now_us)


async def nearest(
    executor: Executor,
    question: Sequence[float],
    *,
    model: str,
    team_id: str,
    project_id: str,
    filters: Filters,
    limit: int,
) -> list[tuple[str, float]]:
    """Ids of a project's memories that pass the filters, by cosine similarity to a question's vector, nearest first."""
    narrowing: dict[str, Any] = {
        "platform_source": filters.platform,
        "kinds": None if filters.kinds is None else list(filters.kinds),
        "server_session_id": filters.session_id,
        "since": filters.since_us,
        "until": filters.until_us,
    }
    found = await executor.fetch(
        "vectors.nearest",
        question=_literal(question),
        dimensions=len(question),
        model=model,
        team_id=team_id,
        project_id=project_id,
        limit=limit,
        narrowed=any(value is not None for value in narrowing.values()),
        **narrowing,
    )
    return [(row["id"], row["similarity"]) for row in found]
