"""Jobs for a source: how they are made, named and handed to the transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mem.generation.rules import USER_PROMPT
from claude_mem.model.documents import Document
from claude_mem.model.identity import job_key, new_id, transport_job_id
from claude_mem.model.records import Job, JobStatus, JobType, Lane, SourceType, Transport
from claude_mem.storage.jobs import NewJob, NewJobEvent
from claude_mem.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from claude_mem.model.records import Event, Session
    from claude_mem.queue.port import Queue
    from claude_mem.services.context import RequestContext


#: Microseconds that a user's request waits at most for what the agent does about it.
PROMPT_WAIT_US = 60_000_000


@dataclass(frozen=True, slots=True)
class JobTerms:
    """What new jobs are made with.

    Parameters:
        max_attempts: how often a job is tried before it counts as failed.
        session_window_us: microseconds for which an event of a session waits for others to share its call.
        summary_refresh_us: microseconds of quiet after which a session that went on is summed up again.
    """

    max_attempts: int = 3
    session_window_us: int = 0
    summary_refresh_us: int = 60_000_000

    def wait_us(self, event_type: str) -> int:
        """Microseconds for which an event of a session waits for others, of which some kinds have longer to wait.

        What a user asks for teaches little before the agent has done something about it, and shares the call of that. The
        session's end does not let it wait.
        """
        if event_type == USER_PROMPT and self.session_window_us:
            return max(self.session_window_us, PROMPT_WAIT_US)
        return self.session_window_us


#: Member of a job's payload that says privacy left nothing to generate from.
PRIVATE_MARK = "nothing_left_after_privacy"


def job_for_event(
    event: Event, *, context: RequestContext, private: bool, wait_us: int, max_attempts: int, now_us: int
) -> NewJob:
    """The job that turns an event into observations.

    Parameters:
        private: nothing of the event was left after privacy, so that no provider is to be asked.
        wait_us: microseconds for which an event of a session waits for others to share its call.
    """
    payload = _payload("event", event, source_adapter=event.source_adapter, context=context)
    payload["agent_event_id"] = event.id
    payload["request_id"] = context.request_id
    if private:
        payload[PRIVATE_MARK] = True
    return _new_job(
        payload,
        traceparent=context.traceparent,
        agent_event_id=event.id,
        server_session_id=event.server_session_id,
        job_type=JobType.EVENT,
        max_attempts=max_attempts,
        now_us=now_us,
        next_attempt_us=now_us + wait_us if wait_us and event.server_session_id else None,
    )


def job_for_summary(
    session: Session, *, context: RequestContext, source_adapter: str, max_attempts: int, now_us: int
) -> NewJob:
    """The job that sums a session up."""
    payload = _payload("summary", session, source_adapter=source_adapter, context=context)
    payload["server_session_id"] = session.id
    payload["request_id"] = None
    return _new_job(
        payload,
        traceparent=context.traceparent,
        agent_event_id=None,
        server_session_id=session.id,
        job_type=JobType.SUMMARY,
        max_attempts=max_attempts,
        now_us=now_us,
    )


def _payload(
    kind: Lane, source: Event | Session, *, source_adapter: str, context: RequestContext
) -> dict[str, Any]:
    source_type = SourceType.SESSION_SUMMARY if kind == "summary" else SourceType.AGENT_EVENT
    return {
        "kind": kind,
        "team_id": source.team_id,
        "project_id": source.project_id,
        "source_type": str(source_type),
        "source_id": source.id,
        "generation_job_id": new_id(),
        "api_key_id": context.principal.key_id,
        "actor_id": context.principal.actor_id,
        "source_adapter": source_adapter,
    }


def _new_job(
    payload: dict[str, Any],
    *,
    traceparent: str | None,
    agent_event_id: str | None,
    server_session_id: str | None,
    job_type: JobType,
    max_attempts: int,
    now_us: int,
    next_attempt_us: int | None = None,
) -> NewJob:
    scope = {name: payload[name] for name in ("team_id", "project_id", "source_type", "source_id")}
    return NewJob(
        id=payload["generation_job_id"],
        project_id=payload["project_id"],
        team_id=payload["team_id"],
        agent_event_id=agent_event_id,
        source_type=payload["source_type"],
        source_id=payload["source_id"],
        server_session_id=server_session_id,
        job_type=str(job_type),
        key=job_key(**scope, job_type=str(job_type)),
        bullmq_job_id=transport_job_id(kind=payload["kind"], **scope),
        max_attempts=max_attempts,
        payload=Document.of(payload),
        created_us=now_us,
        next_attempt_us=next_attempt_us,
        traceparent=traceparent,
    )


def queued_event(job: NewJob, source: str) -> NewJobEvent:
    """The first line of a job's history.

    Parameters:
        source: what made the job, such as `http_post_v1_events`.
    """
    return NewJobEvent(
        job_id=job.id,
        event_type="queued",
        status_after="queued",
        attempt=0,
        details={"source": source},
        at_us=job.created_us,
    )


def as_stored(job: NewJob) -> Job:
    """The record of a job that was just inserted, without reading it back."""
    created_ms = job.created_us // 1000
    return Job(
        id=job.id,
        project_id=job.project_id,
        team_id=job.team_id,
        agent_event_id=job.agent_event_id,
        source_type=job.source_type,
        source_id=job.source_id,
        server_session_id=job.server_session_id,
        job_type=job.job_type,
        status=JobStatus.QUEUED,
        bullmq_job_id=job.bullmq_job_id,
        attempts=0,
        max_attempts=job.max_attempts,
        next_attempt_ms=None if job.next_attempt_us is None else job.next_attempt_us // 1000,
        locked_by=None,
        completed_ms=None,
        failed_ms=None,
        cancelled_ms=None,
        last_error=None,
        payload=job.payload,
        created_ms=created_ms,
        updated_ms=created_ms,
        traceparent=job.traceparent,
    )


async def publish(queue: Queue, jobs: Iterable[Job]) -> Transport:
    """Offer queued jobs to the workers, each once, after their rows are committed.

    Returns: `enqueued` when the transport took them all, `queued_only` when workers will find them in the database.
    """
    by_lane: dict[Lane, dict[str, None]] = {}
    for job in jobs:
        if job.status is JobStatus.QUEUED:
            by_lane.setdefault(job.lane, {})[job.id] = None
    if not by_lane:
        return Transport.ENQUEUED if queue.state.status == "active" else Transport.QUEUED_ONLY
    taken = {lane: await queue.publish(lane, list(job_ids)) for lane, job_ids in by_lane.items()}
    for lane, published in taken.items():
        outcome = Transport.ENQUEUED if published else Transport.QUEUED_ONLY
        metrics.PUBLISHED.labels(lane, outcome).inc(len(by_lane[lane]))
    return Transport.ENQUEUED if all(taken.values()) else Transport.QUEUED_ONLY
