"""How records are spelled on the wire: camelCase keys, epoch milliseconds, the shapes that existing clients know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claude_mem.http.responses import answers
    from claude_mem.http.responses import records as shapes
    from claude_mem.model.records import (
        ApiKey,
        AuditEntry,
        Event,
        Job,
        JobEvent,
        Observation,
        ObservationSource,
        Project,
        Session,
        Team,
        Transport,
    )
    from claude_mem.services.jobs import Redriven


def event(found: Event) -> shapes.Event:
    return {
        "id": found.id,
        "projectId": found.project_id,
        "teamId": found.team_id,
        "serverSessionId": found.server_session_id,
        "sourceAdapter": found.source_adapter,
        "sourceEventId": found.source_event_id,
        "eventType": found.event_type,
        "platformSource": found.platform_source,
        "payload": found.payload,
        "metadata": found.metadata,
        "occurredAtEpoch": found.occurred_ms,
        "receivedAtEpoch": found.received_ms,
        "createdAtEpoch": found.created_ms,
    }


def session(found: Session) -> shapes.Session:
    return {
        "id": found.id,
        "projectId": found.project_id,
        "teamId": found.team_id,
        "externalSessionId": found.external_session_id,
        "contentSessionId": found.content_session_id,
        "agentId": found.agent_id,
        "agentType": found.agent_type,
        "platformSource": found.platform_source,
        "generationStatus": found.generation_status,
        "metadata": found.metadata,
        "startedAtEpoch": found.started_ms,
        "endedAtEpoch": found.ended_ms,
        "lastGeneratedAtEpoch": found.last_generated_ms,
        "createdAtEpoch": found.created_ms,
        "updatedAtEpoch": found.updated_ms,
    }


def observation(found: Observation) -> shapes.Observation:
    return {
        "id": found.id,
        "projectId": found.project_id,
        "teamId": found.team_id,
        "serverSessionId": found.server_session_id,
        "kind": found.kind,
        "content": found.content,
        "metadata": found.metadata,
        "createdAtEpoch": found.created_ms,
        "updatedAtEpoch": found.updated_ms,
    }


def sourced_observation(found: Observation, origin: ObservationSource) -> shapes.SourcedObservation:
    return {
        **observation(found),
        "generationKey": found.generation_key,
        "createdByJobId": found.created_by_job_id,
        "source": source(origin),
    }


def source(found: ObservationSource) -> shapes.ObservationSource:
    return {
        "id": found.id,
        "sourceType": found.source_type,
        "sourceId": found.source_id,
        "generationJobId": found.generation_job_id,
        "createdAtEpoch": found.created_ms,
    }


def job_short(found: Job, transport: Transport) -> shapes.ShortJob:
    """As answered where a job is made."""
    return {
        "id": found.id,
        "status": str(found.status),
        "bullmqJobId": found.bullmq_job_id,
        "sourceType": found.source_type,
        "sourceId": found.source_id,
        "transport": str(transport),
        "createdAtEpoch": found.created_ms,
        "updatedAtEpoch": found.updated_ms,
    }


def job_waited(found: Job, transport: Transport) -> shapes.WaitedJob:
    """As answered to who waited for it."""
    return {
        **job_short(found, transport),
        "attempts": found.attempts,
        "maxAttempts": found.max_attempts,
    }


def job_full(found: Job) -> shapes.Job:
    """As answered to who asks for a job."""
    return {
        "id": found.id,
        "projectId": found.project_id,
        "teamId": found.team_id,
        "sourceType": found.source_type,
        "sourceId": found.source_id,
        "agentEventId": found.agent_event_id,
        "serverSessionId": found.server_session_id,
        "jobType": found.job_type,
        "status": str(found.status),
        "bullmqJobId": found.bullmq_job_id,
        "attempts": found.attempts,
        "maxAttempts": found.max_attempts,
        "nextAttemptAtEpoch": found.next_attempt_ms,
        "completedAtEpoch": found.completed_ms,
        "failedAtEpoch": found.failed_ms,
        "cancelledAtEpoch": found.cancelled_ms,
        "lastError": last_error(found),
        "createdAtEpoch": found.created_ms,
        "updatedAtEpoch": found.updated_ms,
    }


def job_listed(found: Job, *, payload: bool = False) -> shapes.ListedJob:
    """As answered in listings; the payload is for administrators."""
    entry: shapes.ListedJob = {
        "id": found.id,
        "projectId": found.project_id,
        "teamId": found.team_id,
        "sourceType": found.source_type,
        "sourceId": found.source_id,
        "status": str(found.status),
        "attempts": found.attempts,
        "maxAttempts": found.max_attempts,
        "createdAtEpoch": found.created_ms,
        "completedAtEpoch": found.completed_ms,
        "failedAtEpoch": found.failed_ms,
        "lastError": last_error(found),
    }
    if payload:
        entry["payload"] = found.payload
    return entry


def last_error(found: Job) -> shapes.LastError | None:
    """The last error with exactly the members that clients know; adopted rows may hold others."""
    if found.last_error is None:
        return None
    kept = found.last_error.members
    reason = kept.get("reason", kept.get("message"))
    classification = kept.get("classification")
    return {
        "reason": reason if isinstance(reason, str) else "",
        "classification": classification if isinstance(classification, str) else None,
    }


def redriven(done: Redriven) -> answers.Redriven:
    """What came of a redrive, over HTTP and at the command line."""
    return {
        "dryRun": done.dry_run,
        "matched": done.matched,
        "redriven": done.redriven,
        "remaining": done.remaining,
        "jobIds": done.job_ids,
    }


def job_event(found: JobEvent) -> shapes.JobEvent:
    return {
        "id": found.id,
        "eventType": found.event_type,
        "statusAfter": found.status_after,
        "attempt": found.attempt,
        "details": found.details,
        "createdAtEpoch": found.created_ms,
    }


def api_key(found: ApiKey) -> shapes.ApiKey:
    """A key without anything that could be used in its place."""
    return {
        "id": found.id,
        "name": found.name,
        "prefix": found.prefix,
        "teamId": found.team_id,
        "projectId": found.project_id,
        "actorId": found.actor_id,
        "scopes": list(found.scopes),
        "status": "revoked" if found.revoked_ms is not None else "active",
        "createdAtEpoch": found.created_ms,
        "expiresAtEpoch": found.expires_ms,
        "revokedAtEpoch": found.revoked_ms,
        "lastUsedAtEpoch": found.last_used_ms,
        "replacedBy": found.replaced_by,
    }


def team(found: Team) -> shapes.Team:
    return {
        "id": found.id,
        "name": found.name,
        "metadata": found.metadata,
        "createdAtEpoch": found.created_ms,
        "updatedAtEpoch": found.updated_ms,
    }


def project(found: Project) -> shapes.Project:
    return {
        "id": found.id,
        "teamId": found.team_id,
        "name": found.name,
        "metadata": found.metadata,
        "createdAtEpoch": found.created_ms,
        "updatedAtEpoch": found.updated_ms,
    }


def audit_entry(found: AuditEntry) -> shapes.AuditEntry:
    return {
        "id": found.id,
        "action": found.action,
        "resourceType": found.resource_type,
        "resourceId": found.resource_id,
        "teamId": found.team_id,
        "projectId": found.project_id,
        "actorId": found.actor_id,
        "apiKeyId": found.api_key_id,
        "details": found.details,
        "createdAtEpoch": found.created_ms,
    }
