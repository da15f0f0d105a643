"""What the server's replies about memory look like to a program: one frozen model for each object.

Attributes are snake_case, the wire's names are camelCase. A key this client does not know is ignored and one
the server left out takes its default, so a client and a server of different versions understand each other.
Times are integer milliseconds since the Unix epoch, in attributes that end in `_epoch`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class WireModel(BaseModel):
    """Base of every reply: camelCase on the wire, unknown keys ignored, immutable."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """The model as the JSON object it came from, for printing."""
        return self.model_dump(by_alias=True, mode="json")


class Event(WireModel):
    """One thing a coding agent did."""

    id: str
    project_id: str
    team_id: str | None = None
    server_session_id: str | None = None
    source_adapter: str | None = None
    source_event_id: str | None = None
    event_type: str
    platform_source: str | None = None
    payload: Any = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    occurred_at_epoch: int | None = None
    received_at_epoch: int | None = None
    created_at_epoch: int | None = None


class Session(WireModel):
    """One conversation with a coding agent."""

    id: str
    project_id: str
    team_id: str | None = None
    external_session_id: str | None = None
    content_session_id: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    platform_source: str | None = None
    generation_status: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    started_at_epoch: int | None = None
    ended_at_epoch: int | None = None
    last_generated_at_epoch: int | None = None
    created_at_epoch: int | None = None
    updated_at_epoch: int | None = None


class ObservationSource(WireModel):
    """Which event, session or job an observation came from."""

    id: str
    source_type: str
    source_id: str
    generation_job_id: str | None = None
    created_at_epoch: int | None = None


class Observation(WireModel):
    """One memory, generated or written by hand.

    `score` and `highlights` are present in search results of servers that compute them;
    `generation_key`, `created_by_job_id` and `source` only where an event's observations are listed.
    """

    id: str
    project_id: str
    team_id: str | None = None
    server_session_id: str | None = None
    kind: str
    content: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at_epoch: int | None = None
    updated_at_epoch: int | None = None
    generation_key: str | None = None
    created_by_job_id: str | None = None
    source: ObservationSource | None = None
    score: float | None = None
    highlights: Any = None


class LastError(WireModel):
    """Why a job's latest attempt failed."""

    reason: str = ""
    classification: str | None = None


class Job(WireModel):
    """One generation job. Which fields are filled depends on the route that returned it."""

    id: str
    status: str
    project_id: str | None = None
    team_id: str | None = None
    source_type: str | None = None
    source_id: str | None = None
    agent_event_id: str | None = None
    server_session_id: str | None = None
    job_type: str | None = None
    bullmq_job_id: str | None = None
    transport: str | None = None
    attempts: int | None = None
    max_attempts: int | None = None
    next_attempt_at_epoch: int | None = None
    completed_at_epoch: int | None = None
    failed_at_epoch: int | None = None
    cancelled_at_epoch: int | None = None
    last_error: LastError | None = None
    payload: Any = None
    created_at_epoch: int | None = None
    updated_at_epoch: int | None = None


class EventReceipt(WireModel):
    """The answer to a recorded event.

    `duplicate` is true when the server already had it; `redactions` counts what was private and not kept.
    """

    event: Event
    generation_job: Job | None = None
    wait_timed_out: bool = False
    duplicate: bool = False
    redactions: int = 0


class BatchReceipt(WireModel):
    """The answer to a batch: one receipt for each event, in the order sent."""

    events: list[EventReceipt]
    wait_timed_out: bool = False


class SessionEnd(WireModel):
    """The ended session and the job that writes its summary."""

    session: Session
    generation_job: Job | None = None


class EventObservations(WireModel):
    """The observations generated from one event, oldest first."""

    event_id: str
    observations: list[Observation]


class SearchResult(WireModel):
    """Observations, best first; `next_cursor` continues the list where there is more."""

    observations: list[Observation]
    next_cursor: str | None = None


class ContextResult(WireModel):
    """The best observations and their contents joined into one text."""

    observations: list[Observation]
    context: str = ""


class MemoryPage(WireModel):
    """One page of memories, newest first."""

    memories: list[Observation]
    next_cursor: str | None = None


class Deletion(WireModel):
    """Confirmation that one memory is gone."""

    deleted: bool
    id: str


class PurgeCounts(WireModel):
    """Rows removed by a purge."""

    observations: int = 0
    agent_events: int = 0
    sessions: int = 0
    jobs: int = 0


class Purge(WireModel):
    """Confirmation that a project's memory is gone."""

    purged: bool
    project_id: str
    counts: PurgeCounts


class JobPage(WireModel):
    """One page of jobs, newest first."""

    jobs: list[Job]
    total: int = 0
    limit: int | None = None
    offset: int | None = None
    request_id: str | None = None


class JobRetry(WireModel):
    """A job after a retry; `already_queued` is true when there was nothing to do."""

    generation_job: Job
    retried_count: int = 0
    already_queued: bool = False
    request_id: str | None = None


class JobCancel(WireModel):
    """A job after a cancel; `already_cancelled` is true when there was nothing to do."""

    generation_job: Job
    already_cancelled: bool = False
    request_id: str | None = None
