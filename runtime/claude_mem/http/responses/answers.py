"""Shapes of whole answers about events, sessions, memories, jobs, keys, teams and projects."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field

from claude_mem.http.responses import records
from claude_mem.http.responses.base import Epoch, NextCursor, Redactions, Shape
from claude_mem.services.job_counts import HOLDS


class EventEntry(Shape):
    """An event with its job, where it has one. `generationJob` is there, perhaps null, whenever `wait=true`."""

    event: records.Event
    generationJob: NotRequired[records.ShortJob | records.WaitedJob | None]
    waitTimedOut: NotRequired[Literal[True]]
    duplicate: NotRequired[Literal[True]]
    redactions: NotRequired[Redactions]


class EventBatch(Shape):
    """Events in the order of the request."""

    events: list[EventEntry]
    waitTimedOut: NotRequired[Literal[True]]


class EventFound(Shape):
    """One event."""

    event: records.Event


class EventObservations(Shape):
    """What was made from an event."""

    eventId: str
    observations: list[records.SourcedObservation]


class SessionWritten(Shape):
    """A session that was started or found."""

    session: records.Session
    redactions: NotRequired[Redactions]


class SessionFound(Shape):
    """One session."""

    session: records.Session


class SessionEnded(Shape):
    """A session, and the job of its summary."""

    session: records.Session
    generationJob: records.ShortJob


class MemoryWritten(Shape):
    """A memory as it is now."""

    memory: records.Observation
    redactions: NotRequired[Redactions]


class MemoryFound(Shape):
    """One memory."""

    memory: records.Observation


class MemoryPage(Shape):
    """A page of memories."""

    memories: list[records.Observation]
    nextCursor: NextCursor


class MemoryDeleted(Shape):
    """A memory that is gone."""

    deleted: Literal[True]
    id: str


class PurgeCounts(Shape):
    """How many of each were removed."""

    observations: int
    agentEvents: int
    sessions: int
    jobs: int


class ProjectPurged(Shape):
    """A project of which nothing is remembered any more."""

    purged: Literal[True]
    projectId: str
    counts: PurgeCounts


class JobList(Shape):
    """A page of jobs."""

    jobs: list[records.ListedJob]
    total: int
    limit: int
    offset: int


class RequestedJobList(JobList):
    """A page of jobs, with the request's id."""

    requestId: str | None


class JobPage(Shape):
    """A page of jobs behind a cursor, which counts nothing."""

    jobs: list[records.ListedJob]
    limit: int
    nextCursor: NextCursor


class RequestedJobPage(JobPage):
    """A page of jobs behind a cursor, with the request's id."""

    requestId: str | None


class JobStates(Shape):
    """How many jobs are in each state."""

    queued: int
    processing: int
    completed: int
    failed: int
    cancelled: int


class HeldBack(Shape):
    """Queued jobs that wait for their time, and why."""

    reason: Annotated[str, Field(json_schema_extra={"enum": list(HOLDS)})]
    jobs: int
    nextAttemptAtEpoch: Epoch


class WaitingLane(Shape):
    """Queued jobs of a lane: those that are due, and those that wait for their time."""

    lane: Literal["event", "summary"]
    due: int
    oldestDueAtEpoch: Epoch | None
    held: list[HeldBack]


class JobCounts(Shape):
    """How jobs stand. `generating`: this server, or a worker that reported in the last 45 seconds, works on jobs."""

    states: JobStates
    lanes: list[WaitingLane]
    generating: bool


class JobFound(Shape):
    """One job."""

    generationJob: records.Job


class JobHistory(Shape):
    """What happened to a job, oldest first."""

    jobId: str
    events: list[records.JobEvent]


class JobRetried(Shape):
    """A job after somebody asked for another attempt."""

    generationJob: records.Job
    retriedCount: int
    alreadyQueued: bool
    requestId: str | None


class JobCancelled(Shape):
    """A job after somebody cancelled it."""

    generationJob: records.Job
    alreadyCancelled: bool
    requestId: str | None


class Redriven(Shape):
    """What came of a redrive."""

    dryRun: bool
    matched: int
    redriven: int
    remaining: int
    jobIds: list[str]


class RequestedRedriven(Redriven):
    """What came of a redrive, with the request's id."""

    requestId: str | None


class NewKey(Shape):
    """A new key; `apiKey` is shown this once."""

    id: str
    apiKey: str
    scopes: list[str]
    expiresAt: str | None
    mcpUrl: str
    connectCommand: str


class KeyRotated(NewKey):
    """A new key in the place of another."""

    replaces: str


class KeyPage(Shape):
    """A page of keys."""

    keys: list[records.ApiKey]
    nextCursor: NextCursor


class KeyRevoked(Shape):
    """A key that has ended."""

    id: str
    status: Literal["revoked"]
    key: records.ApiKey


class TeamList(Shape):
    """The caller's team."""

    teams: list[records.Team]


class TeamFound(Shape):
    """One team."""

    team: records.Team


class ProjectPage(Shape):
    """A page of projects."""

    projects: list[records.Project]
    nextCursor: NextCursor


class ProjectFound(Shape):
    """One project."""

    project: records.Project


class AuditPage(Shape):
    """A page of the audit log."""

    audit: list[records.AuditEntry]
    nextCursor: NextCursor
