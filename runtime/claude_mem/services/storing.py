"""Answers as rows: the observations of a group of calls, where they came from, and the completion of their jobs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from claude_mem.model.documents import Document
from claude_mem.model.identity import generation_key, new_id
from claude_mem.model.records import Observation, ObservationSource
from claude_mem.services import trail
from claude_mem.storage import work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import AuditEntry, Job
    from claude_mem.services.outcomes import Answered, Drafted
    from claude_mem.storage.database import Executor
    from claude_mem.storage.jobs import NewJobEvent
    from claude_mem.storage.usage import UsageRow


@dataclass(slots=True)
class Writes:
    """Rows that a group of outcomes adds up to, each kind for one statement."""

    completed: list[str] = field(default_factory=list)
    setbacks: list[work.Setback] = field(default_factory=list)
    lines: list[NewJobEvent] = field(default_factory=list)
    entries: list[AuditEntry] = field(default_factory=list)
    usage: list[UsageRow] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    summaries: list[tuple[Job, str]] = field(default_factory=list)


def still_held(outcome: Answered, held: set[str]) -> Answered:
    """The part of an answer that belongs to jobs which are still held."""
    taken = tuple(each for each in outcome.taken if each.job.id in held)
    if len(taken) == len(outcome.taken):
        return outcome
    kept = {each.job.id for each in taken}
    drafted = tuple(
        replace(draft, job_ids=tuple(job_id for job_id in draft.job_ids if job_id in kept))
        for draft in outcome.drafted
    )
    return replace(outcome, taken=taken, drafted=tuple(draft for draft in drafted if draft.job_ids))


async def store_answers(
    executor: Executor, answered: Sequence[Answered], writes: Writes, *, now: int
) -> None:
    """Store observations and their sources, and note in `writes` what else is to be stored of jobs that are done."""
    jobs_by_id = {taken.job.id: taken.job for outcome in answered for taken in outcome.taken}
    drafts = [(draft, jobs_by_id[draft.job_ids[0]]) for outcome in answered for draft in outcome.drafted]
    calls = [outcome.call_id for outcome in answered for _ in outcome.drafted]
    observations = [_observation(draft, job, now) for draft, job in drafts]
    stored = await work.insert_observations(executor, observations, now_us=now)
    made: dict[str, list[tuple[str, Drafted]]] = {}
    sources = []
    fresh: Counter[str] = Counter()
    for (draft, job), call_id, observation in zip(drafts, calls, observations, strict=True):
        observation_id = stored[observation.generation_key or ""]
        if observation_id == observation.id:
            fresh[job.id] += 1
            writes.entries.append(trail.created_entry(job, observation_id, draft.index, draft.item))
        for job_id in draft.job_ids:
            made.setdefault(job_id, []).append((observation_id, draft))
            sources.append(_source(jobs_by_id[job_id], observation_id, draft, call_id=call_id, now=now))
    await work.insert_sources(executor, sources, now_us=now)
    summaries = [
        (job.id, stored[found.generation_key or ""])
        for (_, job), found in zip(drafts, observations, strict=True)
        if job.lane == "summary"
    ]
    await work.replace_summaries(
        executor, [job_id for job_id, _ in summaries], kept=[kept for _, kept in summaries]
    )
    for outcome in answered:
        observed = sum(fresh[taken.job.id] for taken in outcome.taken)
        _complete(outcome, made, writes, observed=observed, now=now)


def _observation(draft: Drafted, job: Job, now: int) -> Observation:
    return Observation(
        id=new_id(),
        project_id=job.project_id,
        team_id=job.team_id,
        server_session_id=job.server_session_id,
        kind=draft.item.kind,
        content=draft.item.content,
        metadata=Document.of(draft.item.metadata),
        created_ms=now // 1000,
        updated_ms=now // 1000,
        generation_key=generation_key(job_id=draft.owner, index=draft.index, content=draft.item.content),
        created_by_job_id=job.id,
    )


def _source(
    job: Job, observation_id: str, draft: Drafted, *, call_id: str | None, now: int
) -> tuple[ObservationSource, Document]:
    payload = job.payload.members
    metadata = {
        "provider": draft.item.metadata.get("provider"),
        "callId": call_id,
        "parsedObservationIndex": draft.index,
        "source_adapter": payload.get("source_adapter"),
        "actor_id": payload.get("actor_id"),
        "api_key_id": payload.get("api_key_id"),
    }
    source = ObservationSource(
        id=new_id(),
        observation_id=observation_id,
        source_type=job.source_type,
        source_id=job.source_id,
        generation_job_id=job.id,
        created_ms=now // 1000,
    )
    return source, Document.of(metadata)


def _complete(
    outcome: Answered,
    made: dict[str, list[tuple[str, Drafted]]],
    writes: Writes,
    *,
    observed: int,
    now: int,
) -> None:
    for taken in outcome.taken:
        job = taken.job
        brought = made.get(job.id, [])
        details = {
            "provider": outcome.provider,
            "model": outcome.model,
            "observationCount": len(brought),
            "privateContentDetected": any(draft.item.redactions for _, draft in brought),
            "workerId": taken.claim.worker,
            "sourceType": job.source_type,
        }
        writes.completed.append(job.id)
        writes.ended.append(job)
        writes.lines.append(trail.line(job, "completed", "completed", details, at_us=now))
        writes.entries.append(
            trail.completed_entry(
                job,
                provider=outcome.provider,
                model=outcome.model,
                stored=[observation_id for observation_id, _ in brought],
            )
        )
        if job.lane == "summary":
            writes.summaries.append((job, "completed"))
    if outcome.taken:
        writes.usage += trail.usage_rows(
            outcome.taken[0].job,
            outcome.usage,
            provider=outcome.provider,
            model=outcome.model,
            at_us=now,
            call_id=outcome.call_id,
            observed=observed,
            jobs=len(outcome.taken),
        )
