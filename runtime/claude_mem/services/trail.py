"""What is written down about jobs: lines of their history, audit entries, and usage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from claude_mem.generation.port import Usage
from claude_mem.model.records import AuditEntry
from claude_mem.storage.jobs import NewJobEvent
from claude_mem.storage.usage import UsageRow

if TYPE_CHECKING:
    from claude_mem.generation.content import Rendered
    from claude_mem.model.records import Job

#: Failures that are entries of the audit log as well.
AUDITED_FAILURES = {
    "scope_mismatch": "generation_job.scope_violation",
    "revoked_key": "generation_job.revoked_key",
}


def line(job: Job, event_type: str, status_after: str, details: dict[str, Any], *, at_us: int) -> NewJobEvent:
    """A line of a job's history, about the attempt that the record holds."""
    return NewJobEvent(
        job_id=job.id,
        event_type=event_type,
        status_after=status_after,
        attempt=job.attempts,
        details=details,
        at_us=at_us,
    )


def entry(job: Job, action: str, **details: Any) -> AuditEntry:
    """An audit entry about a job."""
    return _entry(job, action, "observation_generation_job", job.id, details)


def processing_entry(job: Job) -> AuditEntry:
    """The audit entry of a claim."""
    return entry(
        job,
        "generation_job.processing",
        sourceType=job.source_type,
        sourceId=job.source_id,
        sourceAdapter=job.payload.members.get("source_adapter"),
        attempt=job.attempts,
    )


def completed_entry(job: Job, *, provider: str | None, model: str | None, stored: list[str]) -> AuditEntry:
    """The audit entry of a completion.

    Parameters:
        stored: ids of the observations that came of it.
    """
    return entry(
        job,
        "generation_job.completed",
        generationJobId=job.id,
        sourceType=job.source_type,
        sourceId=job.source_id,
        sourceAdapter=job.payload.members.get("source_adapter"),
        attempt=job.attempts,
        provider=provider,
        model=model,
        observationCount=len(stored),
        observationIds=stored,
    )


def created_entry(job: Job, observation_id: str, index: int, item: Rendered) -> AuditEntry:
    """The audit entry of an observation that a job made; `index` is its place in the reply, from 0."""
    details = {
        "generationJobId": job.id,
        "sourceType": job.source_type,
        "sourceId": job.source_id,
        "provider": item.metadata.get("provider"),
        "model": item.metadata.get("model"),
        "sourceAdapter": job.payload.members.get("source_adapter"),
        "parsedObservationIndex": index,
        "kind": item.kind,
    }
    return _entry(job, "observation.created", "observation", observation_id, details)


def _entry(
    job: Job, action: str, resource_type: str, resource_id: str, details: dict[str, Any]
) -> AuditEntry:
    payload = job.payload.members
    about = {"correlationId": f"bullmq:{job.bullmq_job_id}", "requestId": payload.get("request_id")}
    return AuditEntry(
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        team_id=job.team_id,
        project_id=job.project_id,
        actor_id=payload.get("actor_id"),
        api_key_id=None,
        details=about | details,
    )


def usage_rows(  # noqa: PLR0913 - a call has this many sides
    job: Job,
    spent: Usage | None,
    *,
    provider: str | None,
    model: str | None,
    at_us: int,
    call_id: str | None = None,
    observed: int = 0,
    failed: bool = False,
    jobs: int = 1,
) -> list[UsageRow]:
    """What a call cost and brought.

    Parameters:
        job: the first job of the call.
        call_id: what the row of its tokens is known by, so that they are counted once; None for a row of its own.
        observed: observations that came of it.
        jobs: jobs that shared it.
    """
    about: dict[str, Any] = {"jobId": job.id, "provider": provider, "model": model}
    found = []
    if (spent is not None and spent.total) or (failed and provider):
        spent = spent or Usage()
        tokens = about | {
            "inputTokens": spent.input_tokens,
            "outputTokens": spent.output_tokens,
            "lane": job.lane,
            "jobs": jobs,
            "serverSessionId": job.server_session_id,
        }
        row = _usage(job, "tokens", spent.total, at_us, tokens | ({"failed": True} if failed else {}))
        found.append(row if call_id is None else replace(row, id=call_id))
    if observed:
        found.append(_usage(job, "observation", observed, at_us, about))
    return found


def _usage(job: Job, kind: str, quantity: int, at_us: int, metadata: dict[str, Any]) -> UsageRow:
    return UsageRow(
        team_id=job.team_id,
        project_id=job.project_id,
        kind=kind,
        quantity=quantity,
        at_us=at_us,
        metadata=metadata,
    )
