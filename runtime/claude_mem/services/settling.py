"""How jobs end, many in one transaction: observations, sources, usage, history, audit and completion, or none of it.

Every change is guarded by the claims: a job whose claim was lost meanwhile is left as it is, and nothing that only it would
have brought is stored.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from claude_mem.model.documents import Document
from claude_mem.model.identity import generation_key, new_id
from claude_mem.model.records import Observation, ObservationSource
from claude_mem.model.times import now_us
from claude_mem.services import trail
from claude_mem.services.signals import announce
from claude_mem.storage import audit, jobs, sessions, tenancy, usage, work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.generation.content import Rendered
    from claude_mem.generation.port import Usage
    from claude_mem.model.records import AuditEntry, Job
    from claude_mem.services.failures import Failure
    from claude_mem.storage.database import Executor


@dataclass(frozen=True, slots=True)
class Taken:
    """A job with the claim on it."""

    job: Job
    claim: jobs.Claim


@dataclass(frozen=True, slots=True)
class Drafted:
    """An observation that is to be stored.

    Parameters:
        index: its place in the reply, from 0.
        owner: the first of all jobs it came of, taken now or at another time: what it is known by.
        job_ids: those of them that are taken now, whose sources it is linked to.
    """

    item: Rendered
    index: int
    owner: str
    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """Jobs that are done, with what came of them.

    Parameters:
        call_id: the call, whose tokens count once, however many parts its jobs are done in; None where nobody was asked.
        usage: tokens of the call; None where nobody was asked.
        provider, model: who answered, or None.
    """

    taken: tuple[Taken, ...]
    drafted: tuple[Drafted, ...] = ()
    call_id: str | None = None
    usage: Usage | None = None
    provider: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A job whose attempt failed.

    Parameters:
        pause_us: microseconds until it is tried again; None when this was the end.
        counts_usage: whether the tokens of the failure are this job's to count.
    """

    taken: Taken
    failure: Failure
    pause_us: int | None
    counts_usage: bool = True


@dataclass(frozen=True, slots=True)
class Postponed:
    """A job that goes back without having used its attempt.

    Parameters:
        until_us: when it is due again; None at once.
        failure: why, as kept in its `last_error` and its history.
    """

    taken: Taken
    until_us: int | None
    failure: Failure


Outcome = Answered | Failed | Postponed


@dataclass(slots=True)
class _Writes:
    """Rows that a group of outcomes adds up to."""

    completed: list[str] = field(default_factory=list)
    setbacks: list[work.Setback] = field(default_factory=list)
    lines: list[jobs.NewJobEvent] = field(default_factory=list)
    entries: list[AuditEntry] = field(default_factory=list)
    usage: list[usage.UsageRow] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    summaries: list[tuple[Job, str]] = field(default_factory=list)


async def settle(executor: Executor, outcomes: Sequence[Outcome]) -> None:
    """Store what became of jobs."""
    now = now_us()
    group = [taken for outcome in outcomes for taken in taken_of(outcome)]
    # Before the jobs' own rows: a purge takes the two in this order.
    await tenancy.lock_shared(executor, {taken.job.project_id for taken in group})
    held = await work.hold(executor, [taken.claim for taken in group])
    writes = _Writes()
    answered = [_still_held(outcome, held) for outcome in outcomes if isinstance(outcome, Answered)]
    await _store_answers(executor, answered, writes, now)
    for outcome in outcomes:
        if isinstance(outcome, Failed) and outcome.taken.job.id in held:
            _fail(outcome, writes, now)
        elif isinstance(outcome, Postponed) and outcome.taken.job.id in held:
            _postpone(outcome, writes, now)
    await work.complete(executor, writes.completed, now_us=now)
    await work.drop_replies(executor, [job.id for job in writes.ended])
    await work.set_back(executor, writes.setbacks, now_us=now)
    await jobs.append_events(executor, writes.lines)
    await audit.append(executor, writes.entries, now_us=now)
    for job, status in writes.summaries:
        await sessions.mark_generated(
            executor,
            job.source_id,
            team_id=job.team_id,
            project_id=job.project_id,
            status=status,
            now_us=now,
        )
    await announce(executor, [job.id for job in writes.ended])
    # Last, because a trigger holds the team's counters from here to the commit.
    await usage.append(executor, writes.usage)


def taken_of(outcome: Outcome) -> tuple[Taken, ...]:
    """The jobs that an outcome is about."""
    return outcome.taken if isinstance(outcome, Answered) else (outcome.taken,)


def _still_held(outcome: Answered, held: set[str]) -> Answered:
    taken = tuple(each for each in outcome.taken if each.job.id in held)
    if len(taken) == len(outcome.taken):
        return outcome
    kept = {each.job.id for each in taken}
    drafted = tuple(
        replace(draft, job_ids=tuple(job_id for job_id in draft.job_ids if job_id in kept))
        for draft in outcome.drafted
    )
    return replace(outcome, taken=taken, drafted=tuple(draft for draft in drafted if draft.job_ids))


async def _store_answers(executor: Executor, answered: Sequence[Answered], writes: _Writes, now: int) -> None:
    jobs_by_id = {taken.job.id: taken.job for outcome in answered for taken in outcome.taken}
    drafts = [(draft, jobs_by_id[draft.job_ids[0]]) for outcome in answered for draft in outcome.drafted]
    observations = [_observation(draft, job, now) for draft, job in drafts]
    stored = await work.insert_observations(executor, observations, now_us=now)
    made: dict[str, list[tuple[str, Drafted]]] = {}
    sources = []
    fresh: Counter[str] = Counter()
    for (draft, job), observation in zip(drafts, observations, strict=True):
        observation_id = stored[observation.generation_key or ""]
        if observation_id == observation.id:
            fresh[job.id] += 1
            writes.entries.append(trail.created_entry(job, observation_id, draft.index, draft.item))
        for job_id in draft.job_ids:
            made.setdefault(job_id, []).append((observation_id, draft))
            sources.append(_source(jobs_by_id[job_id], observation_id, draft, now))
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


def _source(job: Job, observation_id: str, draft: Drafted, now: int) -> tuple[ObservationSource, Document]:
    payload = job.payload.members
    metadata = {
        "provider": draft.item.metadata.get("provider"),
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
    writes: _Writes,
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


def _fail(outcome: Failed, writes: _Writes, now: int) -> None:
    job, failure = outcome.taken.job, outcome.failure
    details: dict[str, object] = {"reason": failure.reason, "classification": failure.classification}
    if outcome.pause_us is None:
        writes.setbacks.append(work.Setback(job.id, "failed", failure.document))
        writes.lines.append(trail.line(job, "failed", "failed", details, at_us=now))
        writes.ended.append(job)
        if job.lane == "summary":
            writes.summaries.append((job, "failed"))
    else:
        next_attempt_us = now + outcome.pause_us
        details["nextAttemptAtEpoch"] = next_attempt_us // 1000
        writes.setbacks.append(
            work.Setback(job.id, "queued", failure.document, next_attempt_us=next_attempt_us)
        )
        writes.lines.append(trail.line(job, "retry_scheduled", "queued", details, at_us=now))
    if failure.classification in trail.AUDITED_FAILURES:
        action = trail.AUDITED_FAILURES[failure.classification]
        writes.entries.append(trail.entry(job, action, reason=failure.classification, message=failure.reason))
    if outcome.counts_usage:
        writes.usage += trail.usage_rows(
            job, failure.usage, provider=failure.provider, model=failure.model, at_us=now, failed=True
        )


def _postpone(outcome: Postponed, writes: _Writes, now: int) -> None:
    job = outcome.taken.job
    writes.setbacks.append(
        work.Setback(job.id, "queued", outcome.failure.document, next_attempt_us=outcome.until_us, refund=1)
    )
    details: dict[str, object] = {
        "reason": outcome.failure.reason,
        "classification": outcome.failure.classification,
    }
    if outcome.until_us is not None:
        details["nextAttemptAtEpoch"] = outcome.until_us // 1000
    writes.lines.append(trail.line(job, "queued", "queued", details, at_us=now))
