"""`status` of the resource: what the operator has seen."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.lists import Unique

Phase = Literal["Pending", "Progressing", "Ready", "Degraded", "Paused", "Failed", "Deleting"]
ConditionType = Literal[
    "Ready",
    "Progressing",
    "Degraded",
    "DatabaseReady",
    "CacheReady",
    "Migrated",
    "ServerAvailable",
    "WorkersAvailable",
    "AutoscalingActive",
    "Paused",
    "ConfigurationWarning",
]

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
# The API server compares limits as floating-point numbers.
Generation = Annotated[int, Field(ge=0, le=2**53)]


class StatusModel(Model):
    """A part of the status. Another version of the operator may have written more: that is passed over."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusModel):
    """One aspect of the state, as Kubernetes' own conditions are."""

    type: Annotated[str, Field(max_length=316)]
    """The aspect."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[
        str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, in words for people, and what to do."""
    last_transition_time: datetime
    """When status last changed."""
    observed_generation: Generation | None = None
    """The generation of the resource that this was seen of."""


class ComponentStatus(StatusModel):
    """The pods of a component."""

    replicas: Count = 0
    """How many there are."""
    ready_replicas: Count = 0
    """How many of them are ready."""


class WorkerStatus(ComponentStatus):
    """The workers' pods."""

    selector: Annotated[str, Field(max_length=1024)] | None = None
    """The label selector of the workers' pods, for autoscalers."""


class PostgresStatus(StatusModel):
    """The database."""

    ready: bool = False
    """Whether it answers."""
    claim: Annotated[str, Field(max_length=253)] | None = None
    """The PersistentVolumeClaim of the managed one."""


class ValkeyStatus(StatusModel):
    """What carries jobs."""

    ready: bool = False
    """Whether it answers."""


class ClaudeMemServerStatus(StatusModel):
    """What the operator has seen."""

    observed_generation: Generation | None = None
    """The generation of the resource that the status tells of."""
    phase: Phase | None = None
    """The state in one word, for people; programs read the conditions."""
    endpoint: Annotated[str, Field(max_length=2048)] | None = None
    """Where the server is reached within the cluster."""
    version: Annotated[str, Field(max_length=512)] | None = None
    """The image that runs."""
    server: ComponentStatus | None = None
    """The server's pods."""
    worker: WorkerStatus | None = None
    """The workers' pods."""
    postgres: PostgresStatus | None = None
    """The database."""
    valkey: ValkeyStatus | None = None
    """What carries jobs."""
    api_key_secret_name: Annotated[str, Field(max_length=253)] | None = None
    """The Secret in which the first key is."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(max_length=32),
        Unique(("type",)),
    ] = ()
    """The aspects of the state; Ready sums them up."""
