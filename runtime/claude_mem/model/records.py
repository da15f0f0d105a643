"""The things that the server keeps: teams, projects, keys, events, sessions, observations, jobs and their trail.

Plain values without behaviour of their own. Times are integers of milliseconds since the Unix epoch (`*_ms`); ids
are opaque text. How they are stored is the storage's business, how they are spelled on the wire the HTTP layer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from claude_mem.model.documents import Document


class JobStatus(StrEnum):
    """States of a generation job; the last three are final."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self in {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}


class SourceType(StrEnum):
    """What a job or an observation was made from."""

    AGENT_EVENT = "agent_event"
    SESSION_SUMMARY = "session_summary"
    OBSERVATION_REINDEX = "observation_reindex"
    MANUAL = "manual"


class JobType(StrEnum):
    """The work that a job asks for."""

    EVENT = "observation_generate_for_event"
    SUMMARY = "observation_generate_session_summary"


class Transport(StrEnum):
    """How far a job got on its way to a worker when the request was answered."""

    ENQUEUED = "enqueued"
    QUEUED_ONLY = "queued_only"
    SKIPPED = "skipped"


Lane = Literal["event", "summary"]


@dataclass(frozen=True, slots=True)
class Team:
    """Whose memories they are: nothing is seen across teams."""

    id: str
    name: str
    metadata: Document
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Project:
    """A part of a team's memories, to which a key may be bound."""

    id: str
    team_id: str
    name: str
    metadata: Document
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: never the raw key, only its SHA-256 in the database."""

    id: str
    team_id: str | None
    project_id: str | None
    actor_id: str
    name: str | None
    prefix: str | None
    scopes: tuple[str, ...]
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None
    replaced_by: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that an agent did, as its client reported it.

    Parameters:
        occurred_ms: when it happened, by the client's clock.
        received_ms: when it came in, by the server's.
    """

    id: str
    project_id: str
    team_id: str
    server_session_id: str | None
    source_adapter: str
    source_event_id: str | None
    event_type: str
    platform_source: str | None
    payload: Document
    metadata: Document
    occurred_ms: int
    received_ms: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class Session:
    """A stretch of an agent's work.

    Parameters:
        external_session_id: the client's own id of it; a start with the same one finds it again.
        content_session_id: the id that the agent gives its conversation.
        last_generated_ms: when something was last made from it.
    """

    id: str
    project_id: str
    team_id: str
    external_session_id: str | None
    content_session_id: str | None
    agent_id: str | None
    agent_type: str | None
    platform_source: str | None
    generation_status: str
    metadata: Document
    started_ms: int
    ended_ms: int | None
    last_generated_ms: int | None
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Observation:
    """A memory: made from events by a provider, or written by hand.

    Parameters:
        kind: the type that the mode or its writer gave it.
        generation_key: keeps a job that is run again from storing it twice; None where it was written by hand.
    """

    id: str
    project_id: str
    team_id: str
    server_session_id: str | None
    kind: str
    content: str
    metadata: Document
    created_ms: int
    updated_ms: int
    generation_key: str | None = None
    created_by_job_id: str | None = None


@dataclass(frozen=True, slots=True)
class ObservationSource:
    """What an observation was made from."""

    id: str
    observation_id: str
    source_type: str
    source_id: str
    generation_job_id: str | None
    created_ms: int


@dataclass(frozen=True, slots=True)
class Job:
    """Work for a provider: what to generate from, how often it was tried, who holds it.

    Parameters:
        locked_by: the worker that holds it, None while nobody does.
        traceparent: W3C trace context of the request that asked for it.
    """

    id: str
    project_id: str
    team_id: str
    agent_event_id: str | None
    source_type: str
    source_id: str
    server_session_id: str | None
    job_type: str
    status: JobStatus
    bullmq_job_id: str | None
    attempts: int
    max_attempts: int
    next_attempt_ms: int | None
    locked_by: str | None
    completed_ms: int | None
    failed_ms: int | None
    cancelled_ms: int | None
    last_error: Document | None
    payload: Document
    created_ms: int
    updated_ms: int
    traceparent: str | None = None

    @property
    def lane(self) -> Lane:
        """The queue that carries it."""
        return "summary" if self.source_type == SourceType.SESSION_SUMMARY else "event"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A line of a job's history."""

    id: str
    generation_job_id: str
    event_type: str
    status_after: str
    attempt: int
    details: Document
    created_ms: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log, before or after it is stored.

    Parameters:
        action: what was done, such as `event.received`.
        resource_type: what it was done to, such as `agent_event`.
        details: further facts; never a secret or private text.
    """

    action: str
    resource_type: str
    resource_id: str | None
    team_id: str | None
    project_id: str | None
    actor_id: str | None
    api_key_id: str | None
    details: dict[str, Any]
    id: str = ""
    created_ms: int = 0


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: what a request's credential allows.

    Parameters:
        key_id: id of the API key, or None in local development.
        team_id: the team that the key is bound to, or None.
        project_id: the only project that the key may touch, or None for the whole team.
    """

    key_id: str | None
    actor_id: str | None
    team_id: str | None
    project_id: str | None
    scopes: frozenset[str]
