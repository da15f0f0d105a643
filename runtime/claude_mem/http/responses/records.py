"""Shapes of the things that the server keeps."""

from __future__ import annotations

from typing import Literal

from claude_mem.http.responses.base import Epoch, Json, Metadata, Shape, Status, Travelling


class Event(Shape):
    """Something that an agent did."""

    id: str
    projectId: str
    teamId: str
    serverSessionId: str | None
    sourceAdapter: str
    sourceEventId: str | None
    eventType: str
    platformSource: str | None
    payload: Json
    metadata: Metadata
    occurredAtEpoch: Epoch
    receivedAtEpoch: Epoch
    createdAtEpoch: Epoch


class Session(Shape):
    """A stretch of an agent's work."""

    id: str
    projectId: str
    teamId: str
    externalSessionId: str | None
    contentSessionId: str | None
    agentId: str | None
    agentType: str | None
    platformSource: str | None
    generationStatus: str
    metadata: Metadata
    startedAtEpoch: Epoch
    endedAtEpoch: Epoch | None
    lastGeneratedAtEpoch: Epoch | None
    createdAtEpoch: Epoch
    updatedAtEpoch: Epoch


class Observation(Shape):
    """A memory: made by a job, or written by somebody."""

    id: str
    projectId: str
    teamId: str
    serverSessionId: str | None
    kind: str
    content: str
    metadata: Metadata
    createdAtEpoch: Epoch
    updatedAtEpoch: Epoch


class ObservationSource(Shape):
    """What an observation was made from."""

    id: str
    sourceType: str
    sourceId: str
    generationJobId: str | None
    createdAtEpoch: Epoch


class SourcedObservation(Observation):
    """An observation with what it was made from."""

    generationKey: str | None
    createdByJobId: str | None
    source: ObservationSource


class LastError(Shape):
    """Why a job was set back or failed."""

    reason: str
    classification: str | None


class ShortJob(Shape):
    """A job as it is answered where it is made."""

    id: str
    status: Status
    bullmqJobId: str | None
    sourceType: str
    sourceId: str
    transport: Travelling
    createdAtEpoch: Epoch
    updatedAtEpoch: Epoch


class WaitedJob(ShortJob):
    """A job as it is answered to who waited for it."""

    attempts: int
    maxAttempts: int


class Job(Shape):
    """A job, whole."""

    id: str
    projectId: str
    teamId: str
    sourceType: str
    sourceId: str
    agentEventId: str | None
    serverSessionId: str | None
    jobType: str
    status: Status
    bullmqJobId: str | None
    attempts: int
    maxAttempts: int
    nextAttemptAtEpoch: Epoch | None
    completedAtEpoch: Epoch | None
    failedAtEpoch: Epoch | None
    cancelledAtEpoch: Epoch | None
    lastError: LastError | None
    createdAtEpoch: Epoch
    updatedAtEpoch: Epoch


class _ListedJob(Shape):
    id: str
    projectId: str
    teamId: str
    sourceType: str
    sourceId: str
    status: Status
    attempts: int
    maxAttempts: int
    createdAtEpoch: Epoch
    completedAtEpoch: Epoch | None
    failedAtEpoch: Epoch | None
    lastError: LastError | None


class ListedJob(_ListedJob, total=False):
    """A job in a list; the payload is shown to administrators who ask for it."""

    payload: Json


class JobEvent(Shape):
    """A line of a job's history."""

    id: str
    eventType: str
    statusAfter: Status
    attempt: int
    details: Metadata
    createdAtEpoch: Epoch


class ApiKey(Shape):
    """A key, without anything that could be used in its place."""

    id: str
    name: str | None
    prefix: str | None
    teamId: str | None
    projectId: str | None
    actorId: str
    scopes: list[str]
    status: Literal["active", "revoked"]
    createdAtEpoch: Epoch
    expiresAtEpoch: Epoch | None
    revokedAtEpoch: Epoch | None
    lastUsedAtEpoch: Epoch | None
    replacedBy: str | None


class Team(Shape):
    """The outer tenant."""

    id: str
    name: str
    metadata: Metadata
    createdAtEpoch: Epoch
    updatedAtEpoch: Epoch


class Project(Shape):
    """A part of a team's memories, to which a key may be bound."""

    id: str
    teamId: str
    name: str
    metadata: Metadata
    createdAtEpoch: Epoch
    updatedAtEpoch: Epoch


class AuditEntry(Shape):
    """A line of the audit log."""

    id: str
    action: str
    resourceType: str
    resourceId: str | None
    teamId: str | None
    projectId: str | None
    actorId: str | None
    apiKeyId: str | None
    details: Metadata
    createdAtEpoch: Epoch
