"""Shapes of usage, budgets, and what the server says of itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, WithJsonSchema

from claude_mem.http.responses.base import Epoch, Json, Shape

Usd = Annotated[float | None, Field(description="US dollars; null where no model has a price.")]


class UsageTotals(Shape):
    """This month's sums by kind."""

    since: str
    usage: dict[str, int]


class Sums(Shape):
    """Provider calls, their tokens and cost."""

    calls: int
    failedCalls: int
    tokens: int
    inputTokens: int
    outputTokens: int
    costUsd: Usd
    unpricedTokens: int


class UsageLine(Sums):
    """Sums of one project, session, model, lane or day: the member that is there says which; null is none."""

    teamId: NotRequired[str | None]
    projectId: NotRequired[str | None]
    serverSessionId: NotRequired[str | None]
    model: NotRequired[str | None]
    lane: NotRequired[str | None]
    day: NotRequired[str | None]


class Breakdown(Shape):
    """Usage told apart."""

    by: str
    since: str
    until: str
    lines: list[UsageLine]
    more: int
    total: Sums
    unpricedModels: list[str]


class Budget(Shape):
    """A budget, with what is spent and left of it."""

    id: str | None
    scope: Literal["team", "project"]
    projectId: str | None
    period: str
    isDefault: bool
    tokens: int | None
    spentTokens: int
    remainingTokens: int | None
    usd: Usd
    spentUsd: Usd
    remainingUsd: Usd
    unpricedTokens: int
    warnPercent: int
    state: str
    warning: bool
    resetsAt: str
    resetsAtEpoch: Epoch


class BudgetList(Shape):
    """The budgets that the caller's work counts against."""

    budgets: list[Budget]


class BudgetSet(Shape):
    """A budget as it is now."""

    budget: Budget


class BudgetRemoved(Shape):
    """A budget that is gone."""

    deleted: Literal[True]
    projectId: str | None
    period: str


class AgentLine(Shape):
    """What connects one agent."""

    agent: str
    file: Annotated[str | None, Field(description="Where the line goes; null for a command.")]
    paste: str


class Connection(Shape):
    """How to connect an agent."""

    mcpUrl: str
    connectCommand: str
    hint: str
    agents: list[AgentLine]


class Health(Shape):
    """A process that answers."""

    status: Literal["ok"]
    runtime: NotRequired[str]


class Version(Shape):
    """The release."""

    version: str


class Check(Shape):
    """How a dependency is."""

    status: Literal["ok", "error"]
    latencyMs: float | None
    message: NotRequired[str]


class Readiness(Shape):
    """Whether requests can be served, with each dependency by name."""

    status: Literal["ready", "unready"]
    checks: dict[str, Check]


class CompatReadiness(Shape):
    """The same for older clients."""

    status: Literal["ready", "initializing"]
    mcpReady: NotRequired[bool]
    message: NotRequired[str]


class Lane(Shape):
    """How many jobs of a kind are where."""

    kind: str
    name: str
    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int
    stalled: int
    unavailable: bool
    unavailableReason: NotRequired[str]


class Boundary(Shape):
    """A part of the server that may be off."""

    status: Literal["disabled", "active", "errored"]
    reason: str
    details: NotRequired[Json]


class Boundaries(Shape):
    """The parts that may be off."""

    queueManager: Boundary
    generationWorkerManager: Boundary


class Schema(Shape):
    """The database's schema."""

    initialized: bool
    schemaVersion: int | None


class Info(Shape):
    """What the server says of itself to anybody."""

    name: str
    runtime: str
    authMode: str
    postgres: Schema
    boundaries: Boundaries
    queueLanes: list[Lane]


#: For older clients: many members, of which some are always the same.
CompatHealth = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "title": "CompatHealth",
            "type": "object",
            "properties": {
                "status": {"enum": ["ok", "degraded"]},
                "runtime": {"type": "string"},
                "version": {"type": "string"},
            },
            "required": ["status", "runtime", "version"],
        }
    ),
]

#: What is found at `/api/admin/doctor` and said when the process is asked to stop: for people.
Report = Annotated[dict[str, Any], WithJsonSchema({"title": "Report", "type": "object"})]
