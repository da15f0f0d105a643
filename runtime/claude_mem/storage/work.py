"""What workers ask of the database: claims, the material of many jobs at once, and how jobs end, in groups.

Each function is one statement for a whole group. The changes that end jobs are made after `hold`, in the same transaction,
so that a worker which lost a claim changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.storage import rows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from claude_mem.model.documents import Document
    from claude_mem.model.records import ApiKey, Event, Job, Observation, ObservationSource, Project
    from claude_mem.storage.database import Executor
    from claude_mem.storage.jobs import Claim


@dataclass(frozen=True, slots=True)
class ClaimTerms:
    """The terms on which jobs are taken.

    Parameters:
        worker: name of the holder.
        lease_us: microseconds for which the jobs are its own.
        mates: jobs of one session that may share a call, at most.
        patience_us: microseconds after which a summary no longer waits for its session's events.
    """

    worker: str
    lease_us: int
    mates: int
    patience_us: int


async def claim(executor: Executor, terms: ClaimTerms, *, limit: int, now_us: int) -> list[Job]:
    """Take up to `limit` due jobs, and with each event the other waiting events of its session."""
    held = {"worker": terms.worker, "lease_expires_at": now_us + terms.lease_us, "now": now_us}
    found = await executor.fetch(
        "work.claim", limit=limit, impatient_before=now_us - terms.patience_us, **held
    )
    taken = [rows.job(row) for row in found]
    sessions = {job.server_session_id for job in taken if job.lane == "event" and job.server_session_id}
    if sessions and terms.mates > 1:
        mates = await executor.fetch(
            "work.claim_mates", sessions=sorted(sessions), each=terms.mates - 1, **held
        )
        taken += [rows.job(row) for row in mates]
    return taken


async def expedite(executor: Executor, job_ids: Collection[str]) -> None:
    """Make waiting jobs due now, because somebody waits for them."""
    if job_ids:
        await executor.execute("work.expedite", ids=sorted(job_ids))


async def expedite_session(executor: Executor, session_id: str) -> None:
    """Make the waiting events of a session due now, because it has ended."""
    await executor.execute("work.expedite_session", server_session_id=session_id)


async def hold(executor: Executor, claims: Collection[Claim]) -> set[str]:
    """Lock the rows of claims that are still current, for the rest of the transaction.

    Returns: their jobs' ids.
    """
    if not claims:
        return set()
    found = await executor.fetch_rows(
        "work.hold",
        [{"id": claim.job_id, "attempt": claim.attempt, "worker": claim.worker} for claim in claims],
    )
    return {row["id"] for row in found}


async def complete(executor: Executor, job_ids: Collection[str], *, now_us: int) -> None:
    """End held jobs as completed."""
    if job_ids:
        await executor.execute("work.complete", ids=sorted(job_ids), now=now_us)


@dataclass(frozen=True, slots=True)
class Setback:
    """How a held job that did not succeed goes on.

    Parameters:
        status: `failed`, or `queued` for another attempt.
        error: its `last_error`; None when nothing was wrong with it.
        next_attempt_us: when it is due again; None for a failed one.
        refund: attempts given back: 1 when the attempt never reached a provider.
    """

    job_id: str
    status: str
    error: Document | None
    next_attempt_us: int | None = None
    refund: int = 0


async def set_back(executor: Executor, setbacks: Sequence[Setback], *, now_us: int) -> None:
    """End held jobs as failed, or queue them again."""
    if setbacks:
        await executor.fetch_rows(
            "work.fail",
            [
                {
                    "id": setback.job_id,
                    "status": setback.status,
                    "last_error": setback.error.text if setback.error else None,
                    "next_attempt_at": setback.next_attempt_us,
                    "refund": setback.refund,
                }
                for setback in setbacks
            ],
            now=now_us,
        )


async def insert_observations(
    executor: Executor, observations: Sequence[Observation], *, now_us: int
) -> dict[str, str]:
    """Store generated observations, once by their generation keys.

    Returns: the id under which each generation key is stored.
    """
    if not observations:
        return {}
    inserted = await executor.fetch_rows(
        "work.insert_observations",
        [
            {
                "id": found.id,
                "project_id": found.project_id,
                "team_id": found.team_id,
                "server_session_id": found.server_session_id,
                "kind": found.kind,
                "content": found.content,
                "generation_key": found.generation_key,
                "metadata": found.metadata.text,
                "created_by_job_id": found.created_by_job_id,
                "created_at": now_us,
            }
            for found in observations
        ],
    )
    new = {row["id"] for row in inserted}
    stored = {found.generation_key or "": found.id for found in observations if found.id in new}
    missing = [found.generation_key for found in observations if found.id not in new]
    if missing:
        known = await executor.fetch("work.observations_by_key", keys=missing)
        stored |= {row["generation_key"]: row["id"] for row in known}
    return stored


async def replace_summaries(executor: Executor, job_ids: Collection[str], *, kept: Collection[str]) -> None:
    """Delete summaries that these jobs made before, but for those kept and those changed by hand."""
    if job_ids and kept:
        await executor.execute("work.replace_summaries", job_ids=sorted(job_ids), kept=sorted(kept))


async def insert_sources(
    executor: Executor, sources: Sequence[tuple[ObservationSource, Document]], *, now_us: int
) -> None:
    """Link observations to what they were made from; links that exist are left as they are."""
    if sources:
        await executor.fetch_rows(
            "work.insert_sources",
            [
                {
                    "id": source.id,
                    "observation_id": source.observation_id,
                    "agent_event_id": source.source_id if source.source_type == "agent_event" else None,
                    "generation_job_id": source.generation_job_id,
                    "source_type": source.source_type,
                    "source_id": source.source_id,
                    "metadata": metadata.text,
                    "created_at": now_us,
                }
                for source, metadata in sources
            ],
        )


@dataclass(frozen=True, slots=True)
class KeptReply:
    """An answer that was paid for, as each job of its call keeps it.

    Parameters:
        call_id: the same for all jobs of the call.
        document: JSON text of the answer.
    """

    job_id: str
    call_id: str
    document: str


async def keep_replies(executor: Executor, replies: Sequence[KeptReply], *, now_us: int) -> None:
    """Store answers; of jobs that are gone, nothing."""
    if replies:
        await executor.fetch_rows(
            "work.keep_replies",
            [
                {
                    "job_id": reply.job_id,
                    "call_id": reply.call_id,
                    "document": reply.document,
                    "created_at": now_us,
                }
                for reply in replies
            ],
        )


async def kept_replies(executor: Executor, job_ids: Collection[str]) -> dict[str, KeptReply]:
    """Answers that earlier attempts left, by job id."""
    found = await executor.fetch("work.kept_replies", ids=sorted(job_ids))
    return {row["job_id"]: KeptReply(row["job_id"], row["call_id"], row["document"]) for row in found}


async def drop_replies(executor: Executor, job_ids: Collection[str]) -> None:
    if job_ids:
        await executor.execute("work.drop_replies", ids=sorted(job_ids))


async def keys(executor: Executor, key_ids: Collection[str]) -> dict[str, ApiKey]:
    """API keys, and those that took their places when they were rotated, by id."""
    found = await executor.fetch("work.keys", ids=sorted(key_ids)) if key_ids else []
    return {row["id"]: rows.api_key(row) for row in found}


async def events(
    executor: Executor, event_ids: Sequence[str], *, most: int
) -> tuple[dict[str, Event], set[str]]:
    """The first of these events, by id, and the ids of those for which there was no room.

    Parameters:
        event_ids: each once.
        most: bytes of their texts, after which no more are brought.
    """
    found = await executor.fetch("work.events", ids=list(event_ids), most=most) if event_ids else []
    brought = {row["id"]: rows.event(row) for row in found if row["id"] is not None}
    return brought, set(event_ids).difference(row["wanted"] for row in found)


async def projects(executor: Executor, project_ids: Collection[str]) -> dict[str, Project]:
    found = await executor.fetch("work.projects", ids=sorted(project_ids)) if project_ids else []
    return {row["id"]: rows.project(row) for row in found}


async def origins(executor: Executor, observation_ids: Collection[str]) -> dict[str, list[str]]:
    """The ids of the events that observations were made from; observations without any are left out."""
    found = await executor.fetch("work.origins", ids=sorted(observation_ids)) if observation_ids else []
    events_of: dict[str, list[str]] = {}
    for row in found:
        events_of.setdefault(row["observation_id"], []).append(row["agent_event_id"])
    return events_of
