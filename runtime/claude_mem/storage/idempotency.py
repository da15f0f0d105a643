"""Requests that carry an Idempotency-Key: who is at one, and what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from claude_mem.storage.database import Executor

#: Stands for an answer that a purge deleted, or that a purge came before. What is encrypted is longer.
PURGED: Final = b""


@dataclass(frozen=True, slots=True)
class Kept:
    """A request that was sent before.

    Parameters:
        request_hash: SHA-256 of its query and body, in hex.
        status: of its answer; None while somebody is at it.
        answer: encrypted body; None while somebody is at it, and empty after a purge.
    """

    request_hash: str
    status: int | None
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that is to be carried out.

    Parameters:
        id: SHA-256 of who asks, which route, and the Idempotency-Key, in hex.
        owner: made up for this attempt.
        locked_us: until when nobody else may take it, in microseconds.
        expires_us: when it is forgotten, in microseconds.
    """

    id: str
    team_id: str | None
    request_hash: str
    owner: str
    locked_us: int
    expires_us: int


async def claim(executor: Executor, wanted: Claim, *, now_us: int) -> bool:
    """Whether the request is the caller's to carry out."""
    row = await fetch_one(
        executor,
        "idempotency.claim",
        id=wanted.id,
        team_id=wanted.team_id,
        request_hash=wanted.request_hash,
        owner=wanted.owner,
        locked_until=wanted.locked_us,
        expires_at=wanted.expires_us,
        now=now_us,
    )
    return row is not None


async def find(executor: Executor, request_id: str) -> Kept | None:
    row = await fetch_one(executor, "idempotency.find", id=request_id)
    return Kept(row["request_hash"], row["status"], row["answer"]) if row else None


async def finish(executor: Executor, claimed: Claim, *, status: int, answer: bytes) -> None:
    """Keep the answer, unless somebody else has taken the request over, or a purge came in between."""
    await executor.execute(
        "idempotency.finish", id=claimed.id, owner=claimed.owner, status=status, answer=answer
    )


async def abandon(executor: Executor, claimed: Claim) -> None:
    """Forget a request that came to nothing."""
    await executor.execute("idempotency.abandon", id=claimed.id, owner=claimed.owner)


async def clear(executor: Executor, *, team_id: str) -> int:
    """Delete a team's answers, and have those of requests that are under way not kept.

    That the requests were carried out stays known.

    Returns: of how many requests.
    """
    return await executor.execute("idempotency.clear", team_id=team_id, mark=PURGED)


async def forget(executor: Executor, *, before_us: int) -> int:
    """Delete what expired.

    Returns: how many.
    """
    return await executor.execute("idempotency.forget", now=before_us)
