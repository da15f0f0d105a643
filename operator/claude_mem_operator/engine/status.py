"""The status that follows from what a reconcile saw. Computing only: writing it is `reconcile`'s."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from claude_mem_operator.desired.credentials import endpoint
from claude_mem_operator.desired.names import Component, child_name, claim_name, selector
from claude_mem_operator.engine.conditions import Finding, earlier, merged
from claude_mem_operator.engine.words import migration_failure, named
from claude_mem_operator.engine.workloads import NOTHING, Progress, progress
from claude_mem_operator.kube.kinds import AUTOSCALER, DEPLOYMENT, STATEFUL_SET
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from claude_mem_operator.api import ClaudeMemServer, ConditionType
    from claude_mem_operator.engine.conditions import Status
    from claude_mem_operator.kube.port import Kind, Manifest

#: Reasons of ConfigurationWarning, the gravest first.
_WARNINGS: Final = ("ReferenceMissing", "VolumeNotGrown", "NotSupported", "Questionable")


@dataclass(slots=True, kw_only=True)
class Facts:
    """What a reconcile found out; filled while it goes.

    `problem` is what must be solved first: a reason of the condition Degraded, and words. `waiting` is what a
    stage waits for. `rolling` are workloads that are not yet as asked for. `failing` tells of pods that do not
    start. `warnings` are reasons of ConfigurationWarning and words. `pending` is what `paused` holds back. `again_s` is
    in how many seconds something that was refused, and holds nothing up, is asked for again.
    """

    children: dict[ObjectRef, Manifest] = field(default_factory=dict)
    problem: tuple[str, str] | None = None
    waiting: str | None = None
    rolling: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    pending: list[str] | None = None
    migration: Progress | None = None
    migration_name: str = ""
    references: frozenset[tuple[str, str]] | None = None
    again_s: float | None = None


def compute(resource: ClaudeMemServer, facts: Facts, before: Manifest, *, now: str) -> Manifest:
    """The whole status; `before` is the one that the resource has. `now` is RFC 3339."""
    generation = resource.metadata.generation
    reader = _Components(resource, facts)
    findings = {finding.type: finding for finding in reader.findings()}
    known = {**earlier(before.get("conditions", [])), **findings}
    findings |= {one.type: one for one in _summary(facts, known, before, generation)}
    status: Manifest = {
        "observedGeneration": generation,
        "phase": _phase(facts, findings),
        "endpoint": endpoint(resource),
        "apiKeySecretName": resource.api_key_secret_name,
        **reader.parts(),
        "conditions": merged(findings, before.get("conditions", []), generation=generation, now=now),
    }
    if "version" not in status and "version" in before:
        status["version"] = before["version"]
    return status


def invalid(before: Manifest, *, generation: int, message: str, now: str) -> Manifest:
    """The status of a resource that cannot be read: what was known of its children stays."""
    findings = _problem_findings("InvalidSpec", message)
    conditions = merged(findings, before.get("conditions", []), generation=generation, now=now)
    return {**before, "observedGeneration": generation, "phase": "Failed", "conditions": conditions}


def begun(before: Manifest, *, generation: int, now: str) -> Manifest:
    """The status while a new generation is being applied for the first time."""
    found = Finding("Progressing", "True", "Reconciling", f"generation {generation} is being applied")
    conditions = merged({"Progressing": found}, before.get("conditions", []), generation=generation, now=now)
    return {**before, "phase": "Progressing" if before.get("phase") else "Pending", "conditions": conditions}


def deleting(before: Manifest, *, generation: int, now: str) -> Manifest:
    """The status while the resource is being deleted: what was known of its children stays."""
    findings: dict[ConditionType, Finding] = {
        "Ready": Finding("Ready", "False", "Deleting"),
        "Progressing": Finding("Progressing", "False", "Deleting"),
    }
    conditions = merged(findings, before.get("conditions", []), generation=generation, now=now)
    return {**before, "phase": "Deleting", "conditions": conditions}


def _problem_findings(reason: str, message: str) -> dict[ConditionType, Finding]:
    return {
        "Ready": Finding("Ready", "False", reason, message),
        "Degraded": Finding("Degraded", "True", reason, message),
        "Progressing": Finding("Progressing", "False", "Stopped", message),
    }


def _summary(
    facts: Facts, found: Mapping[ConditionType, Finding], before: Manifest, generation: int
) -> Iterator[Finding]:
    if facts.problem is not None:
        yield from _problem_findings(*facts.problem).values()
        return
    lacking = [name for name in _NEEDED if name not in found or found[name].status != "True"]
    settled = _was_ready(before, generation)
    moving = facts.waiting or (f"{named(facts.rolling)} being rolled out" if facts.rolling else "")
    if facts.failing:
        yield Finding("Degraded", "True", "PodsFailing", named(facts.failing))
    elif lacking and settled:
        yield Finding("Degraded", "True", "Unavailable", _messages(found, lacking))
    else:
        yield Finding("Degraded", "False", "AsExpected")
    if lacking and facts.failing:
        yield Finding("Ready", "False", "PodsFailing", named(facts.failing))
    elif lacking and settled:
        yield Finding("Ready", "False", "Unavailable", _messages(found, lacking))
    elif lacking or (moving and not settled):
        yield Finding("Ready", "False", "Progressing", moving or _messages(found, lacking))
    else:
        yield Finding("Ready", "True", "Ready", "everything asked for is in place")
    if facts.pending is not None:
        yield Finding("Progressing", "False", "Paused")
    elif facts.waiting:
        yield Finding("Progressing", "True", "Waiting", facts.waiting)
    elif facts.rolling:
        yield Finding("Progressing", "True", "RollingOut", moving)
    else:
        yield Finding("Progressing", "False", "Complete")


_NEEDED: Final[tuple[ConditionType, ...]] = (
    "DatabaseReady",
    "CacheReady",
    "Migrated",
    "ServerAvailable",
    "WorkersAvailable",
)


def _was_ready(before: Manifest, generation: int) -> bool:
    """Whether this generation was wholly in place once: from then on only a lack of service is bad."""
    for one in before.get("conditions", []):
        if one["type"] == "Ready" and one.get("observedGeneration") == generation:
            return bool(one["status"] == "True" or one["reason"] == "Unavailable")
    return False


def _messages(found: Mapping[ConditionType, Finding], names: Iterable[ConditionType]) -> str:
    return "; ".join(
        (found[name].message if name in found else "") or f"{name} is not true yet" for name in names
    )


def _phase(facts: Facts, findings: Mapping[ConditionType, Finding]) -> str:
    if facts.pending is not None:
        return "Paused"
    available = findings["ServerAvailable"].status == "True"
    if facts.problem is not None:
        return "Degraded" if available else "Failed"
    if findings["Degraded"].status == "True":
        return "Degraded"
    return "Ready" if findings["Ready"].status == "True" else "Progressing"


class _Components:
    """What is seen of each component: conditions and counts."""

    def __init__(self, resource: ClaudeMemServer, facts: Facts) -> None:
        self._resource = resource
        self._facts = facts
        self._postgres = self._progress(STATEFUL_SET, Component.POSTGRES)
        self._valkey = self._progress(STATEFUL_SET, Component.VALKEY)
        self._server = self._progress(DEPLOYMENT, Component.SERVER)
        self._worker = self._progress(DEPLOYMENT, Component.WORKER)

    def findings(self) -> Iterator[Finding]:
        """Every condition but the summaries."""
        yield self._database()
        yield self._cache()
        if self._facts.migration is not None:
            yield self._migrated(self._facts.migration, self._facts.migration_name)
        yield self._deployment("ServerAvailable", Component.SERVER, self._server, "no server is ready")
        yield self._deployment(
            "WorkersAvailable", Component.WORKER, self._worker, "no worker is ready; events wait"
        )
        yield self._autoscaling()
        if self._facts.pending is None:
            yield Finding("Paused", "False", "NotPaused")
        else:
            held = named(self._facts.pending)
            yield Finding(
                "Paused", "True", "Paused", f"held back: {held}" if held else "nothing is held back"
            )
        if self._facts.warnings:
            warnings = sorted(self._facts.warnings, key=lambda one: _WARNINGS.index(one[0]))
            words = named([message for _, message in warnings])
            yield Finding("ConfigurationWarning", "True", warnings[0][0], words)
        else:
            yield Finding("ConfigurationWarning", "False", "None")

    def parts(self) -> Manifest:
        """What the status says beside the conditions."""
        resource = self._resource
        labels = selector(resource, Component.WORKER)
        parts: Manifest = {
            "server": _counts(self._server),
            "worker": {
                **_counts(self._worker),
                "selector": ",".join(f"{name}={value}" for name, value in sorted(labels.items())),
            },
            "valkey": {"ready": self._cache().status == "True"},
        }
        postgres: Manifest = {"ready": self._database().status == "True"}
        if resource.spec.postgres.managed is not None:
            postgres["claim"] = claim_name(resource, Component.POSTGRES)
        parts["postgres"] = postgres
        live = self._live(DEPLOYMENT, Component.SERVER)
        if live is not None and self._server.done:
            parts["version"] = live["spec"]["template"]["spec"]["containers"][0]["image"]
        return parts

    def _database(self) -> Finding:
        if self._resource.spec.postgres.managed is not None:
            return _store("DatabaseReady", self._postgres, "PostgreSQL is not ready")
        migrated = self._facts.migration is not None and self._facts.migration.done
        status: Status = "True" if migrated or self._server.available else "Unknown"
        return Finding("DatabaseReady", status, "External")

    def _cache(self) -> Finding:
        if self._resource.spec.valkey.managed is None:
            return Finding("CacheReady", "True", "External")
        return _store("CacheReady", self._valkey, "Valkey is not ready")

    @staticmethod
    def _migrated(migration: Progress, name: str) -> Finding:
        if migration.failed:
            return Finding("Migrated", "False", "MigrationFailed", migration_failure(name))
        if migration.done:
            return Finding("Migrated", "True", "Succeeded", f"Job {name} succeeded")
        return Finding("Migrated", "False", "Running", f"Job {name} is at work")

    def _autoscaling(self) -> Finding:
        if not self._resource.spec.worker.autoscaling.enabled:
            return Finding("AutoscalingActive", "False", "Disabled")
        live = self._live(AUTOSCALER, Component.WORKER)
        for one in ((live or {}).get("status") or {}).get("conditions", ()):
            if one["type"] == "ScalingActive":
                if one["status"] == "True":
                    return Finding("AutoscalingActive", "True", "Active")
                return Finding("AutoscalingActive", "False", "NoMetrics", one.get("message", ""))
        return Finding("AutoscalingActive", "Unknown", "Pending")

    def _deployment(
        self, condition: ConditionType, component: Component, found: Progress, words: str
    ) -> Finding:
        live = self._live(DEPLOYMENT, component)
        if live is None:
            return Finding(condition, "Unknown", "Pending")
        if live["spec"].get("replicas") == 0:
            return Finding(condition, "True", "ScaledToZero")
        return Finding(
            condition, *(("True", "Available") if found.available else ("False", "NotAvailable", words))
        )

    def _live(self, kind: Kind, component: Component) -> Manifest | None:
        metadata = self._resource.metadata
        return self._facts.children.get(
            ObjectRef(kind, metadata.namespace, child_name(self._resource, component))
        )

    def _progress(self, kind: Kind, component: Component) -> Progress:
        return progress(self._live(kind, component))


def _store(condition: Any, found: Progress, words: str) -> Finding:
    if found is NOTHING:
        return Finding(condition, "Unknown", "Pending")
    return Finding(condition, *(("True", "Available") if found.available else ("False", "NotReady", words)))


def _counts(found: Progress) -> Manifest:
    return {"replicas": found.replicas, "readyReplicas": found.ready}
