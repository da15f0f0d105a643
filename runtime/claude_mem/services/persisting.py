"""How jobs end: the writes of one transaction each, guarded by the claim."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from claude_mem.generation.content import Rendered, render_observation, render_summary
from claude_mem.model.documents import Document
from claude_mem.model.identity import generation_key, new_id
from claude_mem.model.records import AuditEntry, Job, Observation, ObservationSource, SourceType
from claude_mem.model.times import now_us
from claude_mem.services.signals import announce
from claude_mem.storage import audit, jobs, observations, sessions, tenancy, usage

if TYPE_CHECKING:
    from claude_mem.generation.errors import GenerationError
    from claude_mem.generation.port import ProviderResult, Usage
    from claude_mem.storage.database import Executor

logger = logging.getLogger(__name__)

_REASONS_WITH_AUDIT = {
    "scope_mismatch": "generation_job.scope_violation",
    "revoked_key": "generation_job.revoked_key",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed.

    Parameters:
        classification: kind of error, as kept in `last_error`.
        reason: for people; names no prompt, key or body.
        retry_after_ms: how long the provider asks to wait.
        usage: tokens that the failed call cost all the same.
    """

    classification: str
    reason: str
    retryable: bool = False
    retry_after_ms: int | None = None
    usage: Usage | None = None
    provider: str = ""
    model: str = ""

    @classmethod
    def of(cls, error: GenerationError) -> Self:
        return cls(
            classification=error.classification,
            reason=error.message,
            retryable=error.retryable,
            retry_after_ms=error.retry_after_ms,
            usage=error.usage,
            provider=error.provider,
            model=error.model,
        )

    @property
    def document(self) -> Document:
        """The job's `last_error`."""
        return Document.of({"reason": self.reason, "classification": self.classification})


async def complete(executor: Executor, job: Job, claimed: jobs.Claim, result: ProviderResult | None) -> None:
    """Store what an answer holds and complete the job; nothing happens once the claim is lost.

    Parameters:
        result: the provider's answer, or None where there was nothing to ask.
    """
    now = now_us()
    # Before the job's own row: a purge takes the two in this order.
    await tenancy.lock_shared(executor, {job.project_id})
    if not await jobs.hold(executor, claimed, now_us=now):
        logger.info("a lost claim leaves nothing", extra={"jobId": job.id})
        return
    rendered = _rendered(job, result)
    stored = [await _store(executor, job, index, item, now) for index, item in rendered]
    await jobs.complete(executor, claimed, now_us=now)
    provider, model = (result.provider, result.model) if result else (None, None)
    details = {
        "provider": provider,
        "model": model,
        "observationCount": len(stored),
        "privateContentDetected": any(item.redactions for _, item in rendered),
        "workerId": claimed.worker,
        "sourceType": job.source_type,
    }
    await _record(executor, job, claimed, "completed", "completed", details, now)
    entries = [
        _created_entry(job, result, found, index, item)
        for found, (index, item) in zip(stored, rendered, strict=True)
    ]
    entries.append(_entry(job, "generation_job.completed", **_completion(job, provider, model, stored)))
    await audit.append(executor, entries, now_us=now)
    await _count(executor, job, now, result.usage if result else None, provider, model, observed=len(stored))
    await _mark_session(executor, job, "completed", now)
    await announce(executor, job.id)


async def fail(executor: Executor, job: Job, claimed: jobs.Claim, failure: Failure) -> None:
    """End a job as failed; nothing happens once the claim is lost."""
    now = now_us()
    if await jobs.fail(executor, claimed, error=failure.document, now_us=now) is None:
        return
    details = {"reason": failure.reason, "classification": failure.classification}
    await _record(executor, job, claimed, "failed", "failed", details, now)
    if failure.classification in _REASONS_WITH_AUDIT:
        entry = _entry(
            job,
            _REASONS_WITH_AUDIT[failure.classification],
            reason=failure.classification,
            message=failure.reason,
        )
        await audit.append(executor, [entry], now_us=now)
    await _count(executor, job, now, failure.usage, failure.provider, failure.model, failed=True)
    await _mark_session(executor, job, "failed", now)
    await announce(executor, job.id)


async def retry(
    executor: Executor, job: Job, claimed: jobs.Claim, failure: Failure, *, next_attempt_us: int
) -> None:
    """Put a job back for its next attempt; nothing happens once the claim is lost."""
    now = now_us()
    changed = await jobs.retry_later(
        executor, claimed, error=failure.document, next_attempt_us=next_attempt_us, now_us=now
    )
    if changed is None:
        return
    details = {
        "reason": failure.reason,
        "classification": failure.classification,
        "nextAttemptAtEpoch": next_attempt_us // 1000,
    }
    await _record(executor, job, claimed, "retry_scheduled", "queued", details, now)
    await _count(executor, job, now, failure.usage, failure.provider, failure.model, failed=True)


def _rendered(job: Job, result: ProviderResult | None) -> list[tuple[int, Rendered]]:
    if result is None or result.reply.skipped:
        return []
    if job.lane == "summary":
        if result.reply.summary is None:
            return []
        summary = render_summary(
            result.reply.summary, provider=result.provider, model=result.model, method=result.method
        )
        return [(0, summary)] if summary.content else []
    drafts = enumerate(result.reply.observations)
    found = [
        (index, render_observation(draft, provider=result.provider, model=result.model, method=result.method))
        for index, draft in drafts
    ]
    return [(index, item) for index, item in found if item.content.strip()]


async def _store(executor: Executor, job: Job, index: int, item: Rendered, now: int) -> str:
    observation = Observation(
        id=new_id(),
        project_id=job.project_id,
        team_id=job.team_id,
        server_session_id=job.server_session_id,
        kind=item.kind,
        content=item.content,
        metadata=Document.of(item.metadata),
        created_ms=now // 1000,
        updated_ms=now // 1000,
        generation_key=generation_key(job_id=job.id, index=index, content=item.content),
        created_by_job_id=job.id,
    )
    observation_id = await observations.insert_generated(executor, observation, now_us=now)
    source = ObservationSource(
        id=new_id(),
        observation_id=observation_id,
        source_type=job.source_type,
        source_id=job.source_id,
        generation_job_id=job.id,
        created_ms=now // 1000,
    )
    payload = job.payload.members
    await observations.add_source(
        executor,
        source,
        agent_event_id=job.source_id if job.source_type == SourceType.AGENT_EVENT else None,
        metadata=Document.of(
            {
                "provider": item.metadata.get("provider"),
                "parsedObservationIndex": index,
                "source_adapter": payload.get("source_adapter"),
                "actor_id": payload.get("actor_id"),
                "api_key_id": payload.get("api_key_id"),
            }
        ),
        now_us=now,
    )
    return observation_id


async def _record(
    executor: Executor,
    job: Job,
    claimed: jobs.Claim,
    event_type: str,
    status_after: str,
    details: dict[str, Any],
    now: int,
) -> None:
    line = jobs.NewJobEvent(
        job_id=job.id,
        event_type=event_type,
        status_after=status_after,
        attempt=claimed.attempt,
        details=details,
        at_us=now,
    )
    await jobs.append_events(executor, [line])


async def _count(
    executor: Executor,
    job: Job,
    now: int,
    spent: Usage | None,
    provider: str | None,
    model: str | None,
    *,
    observed: int = 0,
    failed: bool = False,
) -> None:
    counted = []
    about = {"jobId": job.id, "provider": provider, "model": model}
    if spent is not None and spent.total:
        tokens = about | {
            "inputTokens": spent.input_tokens,
            "outputTokens": spent.output_tokens,
            "lane": job.lane,
        }
        counted.append(_usage(job, "tokens", spent.total, now, tokens | ({"failed": True} if failed else {})))
    if observed:
        counted.append(_usage(job, "observation", observed, now, about))
    await usage.append(executor, counted)


def _usage(job: Job, kind: str, quantity: int, now: int, metadata: dict[str, Any]) -> usage.UsageRow:
    return usage.UsageRow(
        team_id=job.team_id,
        project_id=job.project_id,
        kind=kind,
        quantity=quantity,
        at_us=now,
        metadata=metadata,
    )


async def _mark_session(executor: Executor, job: Job, status: str, now: int) -> None:
    if job.lane == "summary":
        await sessions.mark_generated(
            executor, job.source_id, team_id=job.team_id, project_id=job.project_id, status=status, now_us=now
        )


def _entry(job: Job, action: str, *, resource_id: str | None = None, **details: Any) -> AuditEntry:
    payload = job.payload.members
    return AuditEntry(
        action=action,
        resource_type="observation" if resource_id else "observation_generation_job",
        resource_id=resource_id or job.id,
        team_id=job.team_id,
        project_id=job.project_id,
        actor_id=payload.get("actor_id"),
        api_key_id=None,
        details={"correlationId": f"bullmq:{job.bullmq_job_id}", "requestId": payload.get("request_id")}
        | details,
    )


def processing_entry(job: Job) -> AuditEntry:
    """The audit line of a claim."""
    return _entry(
        job,
        "generation_job.processing",
        sourceType=job.source_type,
        sourceId=job.source_id,
        sourceAdapter=job.payload.members.get("source_adapter"),
        attempt=job.attempts,
    )


def _completion(job: Job, provider: str | None, model: str | None, stored: list[str]) -> dict[str, Any]:
    return {
        "generationJobId": job.id,
        "sourceType": job.source_type,
        "sourceId": job.source_id,
        "sourceAdapter": job.payload.members.get("source_adapter"),
        "attempt": job.attempts,
        "provider": provider,
        "model": model,
        "observationCount": len(stored),
        "observationIds": stored,
    }


def _created_entry(
    job: Job, result: ProviderResult | None, observation_id: str, index: int, item: Rendered
) -> AuditEntry:
    return _entry(
        job,
        "observation.created",
        resource_id=observation_id,
        generationJobId=job.id,
        sourceType=job.source_type,
        sourceId=job.source_id,
        provider=result.provider if result else None,
        model=result.model if result else None,
        sourceAdapter=job.payload.members.get("source_adapter"),
        parsedObservationIndex=index,
        kind=item.kind,
    )
