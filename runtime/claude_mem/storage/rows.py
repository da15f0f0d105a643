"""Rows become records: the one place that knows how columns are spelled and times are kept.

Times in rows are integer microseconds; records carry milliseconds, rounded down as claude-mem 13 does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.documents import Document
from claude_mem.model.records import (
    ApiKey,
    AuditEntry,
    Event,
    Job,
    JobEvent,
    JobStatus,
    Observation,
    ObservationSource,
    Project,
    Session,
    Team,
)
from claude_mem.model.times import ms_from_us

if TYPE_CHECKING:
    from claude_mem.storage.database import Row


def _ms(row: Row, column: str) -> int:
    return ms_from_us(row[column])


def _ms_or_none(row: Row, column: str) -> int | None:
    us: int | None = row[column]
    return None if us is None else ms_from_us(us)


def _document(row: Row, column: str) -> Document:
    return Document(row[column])


def _document_or_none(row: Row, column: str) -> Document | None:
    text: str | None = row[column]
    return None if text is None or text == "null" else Document(text)


def team(row: Row) -> Team:
    return Team(
        id=row["id"],
        name=row["name"],
        metadata=_document(row, "metadata"),
        created_ms=_ms(row, "created_at"),
        updated_ms=_ms(row, "updated_at"),
    )


def project(row: Row) -> Project:
    return Project(
        id=row["id"],
        team_id=row["team_id"],
        name=row["name"],
        metadata=_document(row, "metadata"),
        created_ms=_ms(row, "created_at"),
        updated_ms=_ms(row, "updated_at"),
    )


def api_key(row: Row) -> ApiKey:
    """The scopes column may hold any JSON; only the strings of an array count."""
    try:
        scopes = _document(row, "scopes").value
    except ValueError:
        # Deeper than the parser goes. One such key must not keep the others of a look-up out.
        scopes = None
    return ApiKey(
        id=row["id"],
        team_id=row["team_id"],
        project_id=row["project_id"],
        actor_id=row["actor_id"],
        name=row["name"],
        prefix=row["key_prefix"],
        scopes=tuple(item for item in scopes if isinstance(item, str)) if isinstance(scopes, list) else (),
        created_ms=_ms(row, "created_at"),
        expires_ms=_ms_or_none(row, "expires_at"),
        revoked_ms=_ms_or_none(row, "revoked_at"),
        last_used_ms=_ms_or_none(row, "last_used_at"),
        replaced_by=row["replaced_by"],
    )


def event(row: Row) -> Event:
    return Event(
        id=row["id"],
        project_id=row["project_id"],
        team_id=row["team_id"],
        server_session_id=row["server_session_id"],
        source_adapter=row["source_adapter"],
        source_event_id=row["source_event_id"],
        event_type=row["event_type"],
        platform_source=row["platform_source"],
        payload=_document(row, "payload"),
        metadata=_document(row, "metadata"),
        occurred_ms=_ms(row, "occurred_at"),
        received_ms=_ms(row, "received_at"),
        created_ms=_ms(row, "created_at"),
    )


def session(row: Row) -> Session:
    return Session(
        id=row["id"],
        project_id=row["project_id"],
        team_id=row["team_id"],
        external_session_id=row["external_session_id"],
        content_session_id=row["content_session_id"],
        agent_id=row["agent_id"],
        agent_type=row["agent_type"],
        platform_source=row["platform_source"],
        generation_status=row["generation_status"],
        metadata=_document(row, "metadata"),
        started_ms=_ms(row, "started_at"),
        ended_ms=_ms_or_none(row, "ended_at"),
        last_generated_ms=_ms_or_none(row, "last_generated_at"),
        created_ms=_ms(row, "created_at"),
        updated_ms=_ms(row, "updated_at"),
    )


def observation(row: Row) -> Observation:
    return Observation(
        id=row["id"],
        project_id=row["project_id"],
        team_id=row["team_id"],
        server_session_id=row["server_session_id"],
        kind=row["kind"],
        content=row["content"],
        metadata=_document(row, "metadata"),
        created_ms=_ms(row, "created_at"),
        updated_ms=_ms(row, "updated_at"),
        generation_key=row["generation_key"],
        created_by_job_id=row["created_by_job_id"],
    )


def observation_source(row: Row) -> ObservationSource:
    """From a join whose source columns are prefixed; see observations.of_event."""
    return ObservationSource(
        id=row["source_row_id"],
        observation_id=row["id"],
        source_type=row["source_type"],
        source_id=row["source_id"],
        generation_job_id=row["source_job_id"],
        created_ms=_ms(row, "source_created_at"),
    )


def job(row: Row) -> Job:
    return Job(
        id=row["id"],
        project_id=row["project_id"],
        team_id=row["team_id"],
        agent_event_id=row["agent_event_id"],
        source_type=row["source_type"],
        source_id=row["source_id"],
        server_session_id=row["server_session_id"],
        job_type=row["job_type"],
        status=JobStatus(row["status"]),
        bullmq_job_id=row["bullmq_job_id"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        next_attempt_ms=_ms_or_none(row, "next_attempt_at"),
        locked_by=row["locked_by"],
        completed_ms=_ms_or_none(row, "completed_at"),
        failed_ms=_ms_or_none(row, "failed_at"),
        cancelled_ms=_ms_or_none(row, "cancelled_at"),
        last_error=_document_or_none(row, "last_error"),
        payload=_document(row, "payload"),
        created_ms=_ms(row, "created_at"),
        updated_ms=_ms(row, "updated_at"),
        traceparent=row["traceparent"],
    )


def job_event(row: Row) -> JobEvent:
    return JobEvent(
        id=row["id"],
        generation_job_id=row["generation_job_id"],
        event_type=row["event_type"],
        status_after=row["status_after"],
        attempt=row["attempt"],
        details=_document(row, "details"),
        created_ms=_ms(row, "created_at"),
    )


def audit_entry(row: Row) -> AuditEntry:
    return AuditEntry(
        id=row["id"],
        team_id=row["team_id"],
        project_id=row["project_id"],
        actor_id=row["actor_id"],
        api_key_id=row["api_key_id"],
        action=row["action"],
        resource_type=row["resource_type"],
        resource_id=row["resource_id"],
        details=_document(row, "details").members,
        created_ms=_ms(row, "created_at"),
    )
