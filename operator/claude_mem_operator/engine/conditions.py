"""Every condition of the resource with every reason it may have: what each means, and which of them is an Event.

docs/reference/operator.md is generated from this table, and no other reason can be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, get_args

from claude_mem_operator.api import ConditionType

if TYPE_CHECKING:
    from claude_mem_operator.kube.port import Manifest

Status = Literal["True", "False", "Unknown"]

#: In the order in which they are written.
TYPES: Final[tuple[ConditionType, ...]] = get_args(ConditionType)


class EventType(StrEnum):
    """The types of Events that Kubernetes has."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a condition has its status. A change to it is told as an Event of type `event`, if that is given."""

    type: ConditionType
    status: Status
    name: str
    meaning: str
    event: EventType | None = None


_N: Final = EventType.NORMAL
_W: Final = EventType.WARNING


def _reason(
    condition: ConditionType, status: Status, name: str, meaning: str, event: EventType | None = None
) -> Reason:
    return Reason(type=condition, status=status, name=name, meaning=meaning, event=event)


_PROBLEMS: Final = {
    "InvalidSpec": "The resource breaks a rule; the message names the fields. What runs for it keeps running.",
    "NameConflict": "An object of a child's name belongs to somebody else. Rename or remove it, or rename the resource.",
    "ImmutableField": "The change asks for what Kubernetes cannot change in place. Take it back, or delete the child.",
    "Rejected": "The API server refuses a child as it is; the message has its words, and those of other refusals.",
    "Forbidden": "The operator's role or an admission rule of the cluster does not allow a call.",
    "MigrationFailed": "The migration Job failed; its log says why. Change the resource, or set the annotation "
    "`claude-mem.dev/retry` to a new value.",
    "ApiUnavailable": "The API server does not answer, or fails. The operator tries again after a growing pause.",
    "InternalError": "A defect of the operator; its log has the details. It tries again after a growing pause.",
}
_FAILING: Final = "Pods cannot start or keep crashing; the message names them and the container's state."

REASONS: Final = (
    _reason("Ready", "True", "Ready", "Everything asked for is in place and available.", _N),
    _reason("Ready", "False", "Progressing", "The resource is being brought to what it asks for."),
    _reason("Ready", "False", "Unavailable", "A component that was available is not.", _W),
    _reason("Ready", "False", "PodsFailing", _FAILING, _W),
    *(_reason("Ready", "False", name, meaning, _W) for name, meaning in _PROBLEMS.items()),
    _reason("Ready", "False", "Deleting", "The resource is being deleted."),
    _reason("Ready", "Unknown", "Pending", "The operator has not looked at it yet."),
    _reason("Progressing", "True", "Reconciling", "A new generation is being applied."),
    _reason("Progressing", "True", "Waiting", "A stage waits for what the message names."),
    _reason("Progressing", "True", "RollingOut", "Pods are being replaced or started."),
    _reason("Progressing", "False", "Complete", "There is nothing left to do."),
    _reason("Progressing", "False", "Stopped", "A problem must be solved first; Degraded says which."),
    _reason("Progressing", "False", "Paused", "`spec.paused` holds everything as it is."),
    _reason("Progressing", "False", "Deleting", "The resource is being deleted."),
    _reason("Progressing", "Unknown", "Pending", "The operator has not looked at it yet."),
    _reason("Degraded", "False", "AsExpected", "Nothing is wrong.", _N),
    _reason("Degraded", "True", "Unavailable", "A component that was available is not.", _W),
    _reason("Degraded", "True", "PodsFailing", _FAILING, _W),
    *(_reason("Degraded", "True", name, meaning) for name, meaning in _PROBLEMS.items()),
    _reason("Degraded", "Unknown", "Pending", "The operator has not looked at it yet."),
    _reason("DatabaseReady", "True", "Available", "The managed PostgreSQL answers.", _N),
    _reason("DatabaseReady", "True", "External", "The external PostgreSQL answered the migration."),
    _reason("DatabaseReady", "False", "NotReady", "The managed PostgreSQL does not answer.", _W),
    _reason("DatabaseReady", "Unknown", "External", "The external PostgreSQL has not answered yet."),
    _reason("DatabaseReady", "Unknown", "Pending", "There is no PostgreSQL yet."),
    _reason("CacheReady", "True", "Available", "The managed Valkey answers.", _N),
    _reason(
        "CacheReady",
        "True",
        "External",
        "The external Valkey is used. Nothing is lost while it is away, so it is not asked.",
    ),
    _reason("CacheReady", "False", "NotReady", "The managed Valkey does not answer.", _W),
    _reason("CacheReady", "Unknown", "Pending", "There is no Valkey yet."),
    _reason("Migrated", "True", "Succeeded", "The schema, the first team and its key are there.", _N),
    _reason("Migrated", "False", "Running", "The migration Job is at work."),
    _reason("Migrated", "False", "MigrationFailed", _PROBLEMS["MigrationFailed"], _W),
    _reason("Migrated", "Unknown", "Pending", "The migration has not begun: the database comes first."),
    _reason("ServerAvailable", "True", "Available", "At least one server answers.", _N),
    _reason("ServerAvailable", "True", "ScaledToZero", "No server is asked for; callers get no answer."),
    _reason("ServerAvailable", "False", "NotAvailable", "No server answers.", _W),
    _reason("ServerAvailable", "Unknown", "Pending", "There is no server yet."),
    _reason("WorkersAvailable", "True", "Available", "At least one worker is ready.", _N),
    _reason("WorkersAvailable", "True", "ScaledToZero", "No worker is asked for; events wait."),
    _reason("WorkersAvailable", "False", "NotAvailable", "No worker is ready; events wait.", _W),
    _reason("WorkersAvailable", "Unknown", "Pending", "There is no worker yet."),
    _reason(
        "AutoscalingActive",
        "True",
        "Active",
        "The autoscaler has its metrics and sets the number of workers.",
    ),
    _reason("AutoscalingActive", "False", "Disabled", "`spec.worker.replicas` sets the number of workers."),
    _reason(
        "AutoscalingActive",
        "False",
        "NoMetrics",
        "The autoscaler gets no metrics; the number stays as it is.",
    ),
    _reason("AutoscalingActive", "Unknown", "Pending", "The autoscaler has not decided anything yet."),
    _reason(
        "Paused",
        "True",
        "Paused",
        "`spec.paused` is set: children are left as they are, the status is kept.",
        _N,
    ),
    _reason("Paused", "False", "NotPaused", "The operator keeps the children as the resource asks."),
    _reason("Paused", "Unknown", "Pending", "The operator has not looked at it yet."),
    _reason(
        "ConfigurationWarning",
        "True",
        "ReferenceMissing",
        "A Secret or ConfigMap, or its key, is not there.",
        _W,
    ),
    _reason(
        "ConfigurationWarning",
        "True",
        "NotSupported",
        "The cluster does not serve a kind that is asked for.",
        _W,
    ),
    _reason(
        "ConfigurationWarning",
        "True",
        "VolumeNotGrown",
        "A volume could not be made as large as asked for; the message has the API server's words. It is asked for again "
        "after a growing pause, at most five minutes.",
        _W,
    ),
    _reason(
        "ConfigurationWarning",
        "True",
        "Questionable",
        "The rules allow the configuration but warn of it.",
        _W,
    ),
    _reason("ConfigurationWarning", "False", "None", "There is nothing to warn of."),
    _reason("ConfigurationWarning", "Unknown", "Pending", "The operator has not looked at it yet."),
)

#: Events that are no change of a condition.
EVENTS: Final = {
    "Healed": (
        _N,
        "A pod of a revision that is no longer wanted was deleted, because it kept the next from starting.",
    ),
    "VolumeGrown": (_N, "A volume was made larger."),
    "Retained": (_N, "The resource was deleted; its volumes and the database's credentials were kept."),
    "Released": (
        _W,
        "The resource was deleted although what deletion had to do could not be done within a minute.",
    ),
}

_KNOWN: Final = {(reason.type, reason.status, reason.name): reason for reason in REASONS}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is seen of one condition, before it has a time."""

    type: ConditionType
    status: Status
    reason: str
    message: str = ""

    def __post_init__(self) -> None:
        if (self.type, self.status, self.reason) not in _KNOWN:
            raise ValueError(f"{self.type}={self.status} has no reason {self.reason}: add it to the table")


def earlier(conditions: list[Manifest]) -> dict[ConditionType, Finding]:
    """What the conditions of a status say, as far as this version knows their reasons."""
    return {
        one["type"]: Finding(one["type"], one["status"], one["reason"], one.get("message", ""))
        for one in conditions
        if (one.get("type"), one.get("status"), one.get("reason")) in _KNOWN
    }


def merged(
    findings: dict[ConditionType, Finding], before: list[Manifest], *, generation: int, now: str
) -> list[Manifest]:
    """The conditions as the status holds them: new findings over those of `before`.

    `lastTransitionTime` is `now` only where the status changes. What was never found is Unknown.
    """
    known = {one.get("type"): one for one in before}
    return [
        _merged_one(findings.get(name), known.get(name), name=name, generation=generation, now=now)
        for name in TYPES
    ]


def _merged_one(
    found: Finding | None, before: Manifest | None, *, name: ConditionType, generation: int, now: str
) -> Manifest:
    if found is None:
        if before is not None:
            return before
        found = Finding(name, "Unknown", "Pending")
    same = before is not None and before.get("status") == found.status
    return {
        "type": found.type,
        "status": found.status,
        "reason": found.reason,
        "message": found.message,
        "lastTransitionTime": before["lastTransitionTime"] if before is not None and same else now,
        "observedGeneration": generation,
    }


def transitions(before: list[Manifest], after: list[Manifest]) -> list[tuple[Reason, str]]:
    """The reasons that are new in `after` and are told as Events, each with its message."""
    known = {one.get("type"): (one.get("status"), one.get("reason")) for one in before}
    told = []
    for one in after:
        reason = _KNOWN.get((one["type"], one["status"], one["reason"]))
        if reason is None or reason.event is None:
            continue
        was = known.get(one["type"], ("Unknown", "Pending"))
        # A beginning in good or in bad order is news only where it ends something.
        beginning = was[0] == "Unknown" and (reason.status == "False" or reason.type == "Degraded")
        if was != (one["status"], one["reason"]) and not (beginning and reason.name in _BEGINNINGS):
            told.append((reason, one["message"] or reason.meaning))
    return told


#: What a resource that was just made has not got yet, and what nobody expects to be otherwise.
_BEGINNINGS: Final = frozenset({"NotReady", "NotAvailable", "AsExpected"})
