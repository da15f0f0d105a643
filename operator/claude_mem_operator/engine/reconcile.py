"""One reconcile: read the resource, compute its children, bring them there, tell what was seen.

Whatever happened, the same function runs, and nothing that it decides on is remembered between runs. So it may
be ended anywhere, and the next run goes on. Calls block; who runs it where and when is left to `runner`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from claude_mem_operator.admission.cautions import cautions
from claude_mem_operator.admission.judge import guard
from claude_mem_operator.api import ClaudeMemServer, InvalidResource
from claude_mem_operator.desired import Inputs, desired, random_secret, unserved
from claude_mem_operator.engine.apply import ImmutableField, NameConflict
from claude_mem_operator.engine.children import Children
from claude_mem_operator.engine.conditions import EVENTS, transitions
from claude_mem_operator.engine.deletion import FINALIZER, finalize
from claude_mem_operator.engine.events import instant, record
from claude_mem_operator.engine.memory import Memory
from claude_mem_operator.engine.observe import observe, read_children
from claude_mem_operator.engine.status import Facts, begun, compute, invalid
from claude_mem_operator.engine.volumes import storage_of
from claude_mem_operator.kube.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NamespaceTerminating,
    NotFound,
    NotLeading,
    TooManyRequests,
    Unavailable,
)
from claude_mem_operator.kube.kinds import CLAUDE_MEM_SERVER, STATEFUL_SET
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from claude_mem_operator.desired import Defaults, SecretKind
    from claude_mem_operator.engine.conditions import EventType
    from claude_mem_operator.engine.observe import Observation
    from claude_mem_operator.kube.port import KubeApi, Manifest

logger = logging.getLogger(__name__)

#: How often is looked at what no watch tells of: pods that do not start, in seconds.
POLL_S: Final = 10.0
#: How long a lost race for the resource itself waits, in seconds.
RACE_S: Final = 0.5
#: How soon is looked again at a namespace that is being deleted, in seconds.
TERMINATING_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to.

    `result` is `ready`, `progressing`, `problem`, `failed`, `deleting` or `gone`; `phase` is the status'. `requeue_s`
    is after how many seconds to look again although nothing happens; None leaves it to the resync. `failed` means
    that trying again sooner is no use, unless the resource itself changes.
    """

    result: str
    phase: str = ""
    requeue_s: float | None = None
    failed: bool = False


_REASONS: Final[tuple[tuple[type[KubeError], str], ...]] = (
    (NameConflict, "NameConflict"),
    (ImmutableField, "ImmutableField"),
    (Invalid, "Rejected"),
    (Forbidden, "Forbidden"),
    (Unavailable, "ApiUnavailable"),
)


class Engine:
    """Reconciles resources, any number of them at the same time, each one at a time.

    `now` gives the time for conditions; `new_secret` makes generated secrets. `kube` decides who may write.
    """

    def __init__(
        self,
        kube: KubeApi,
        *,
        defaults: Defaults,
        operator_environment: Mapping[str, str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_secret: Callable[[SecretKind], str] = random_secret,
    ) -> None:
        self._kube = kube
        self._defaults = defaults
        self._environment = operator_environment
        self._now = now
        self._new_secret = new_secret
        self._memories: dict[ObjectRef, Memory] = {}

    def reconcile(self, ref: ObjectRef) -> Outcome:
        """Bring one resource a step on.

        Errors are told in its status and come back as a pause. Raises NotLeading where this replica may not
        write any more.
        """
        memory = self._memories.setdefault(ref, Memory())
        generation: int | None = None
        try:
            raw = self._kube.get(ref)
            if raw is None:
                self._memories.pop(ref, None)
                return Outcome(result="gone")
            generation = raw["metadata"]["generation"]
            outcome = _Run(self, raw, memory).run()
        except NamespaceTerminating:
            return Outcome(result="deleting", requeue_s=TERMINATING_S)
        except Conflict:
            return Outcome(result="progressing", requeue_s=RACE_S)
        except NotLeading:
            raise
        except KubeError as error:
            logger.warning("reconcile failed: %s", error, extra={"resource": str(ref)})
            return Outcome(result="failed", requeue_s=_pause(memory, generation, error), failed=True)
        if outcome.result in {"ready", "progressing"}:
            memory.backoff.succeeded()
        return outcome

    # What a run needs of the engine.

    @property
    def kube(self) -> KubeApi:
        """The API server."""
        return self._kube

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the operator gives every component."""
        return self._environment

    def now(self) -> datetime:
        """The time."""
        return self._now()

    def inputs(self, resource: ClaudeMemServer, seen: Observation) -> Inputs:
        """What the builders compute the children from."""
        return Inputs(
            resource=resource,
            defaults=self._defaults,
            new_secret=self._new_secret,
            capabilities=seen.capabilities,
            digests=seen.digests,
            generated=seen.generated,
            operator_environment=self._environment,
            observed_storage={
                ref.name: storage_of(live["spec"]["volumeClaimTemplates"][0])
                for ref, live in seen.children.items()
                if ref.kind == STATEFUL_SET and live["spec"].get("volumeClaimTemplates")
            },
        )


class _Run:
    """One reconcile of one resource that exists."""

    def __init__(self, engine: Engine, raw: Manifest, memory: Memory) -> None:
        self._engine = engine
        self._kube = engine.kube
        self._raw = raw
        self._memory = memory
        self._generation: int = raw["metadata"]["generation"]

    def run(self) -> Outcome:
        if self._raw["metadata"].get("deletionTimestamp"):
            return self._delete()
        self._hold()
        try:
            resource = ClaudeMemServer.parse(self._raw)
        except InvalidResource as error:
            return self._refuse(str(error))
        if self._before().get("observedGeneration") != self._generation:
            self._publish(begun(self._before(), generation=self._generation, now=self._instant()))
        facts = Facts()
        failure = self._bring(resource, facts)
        status = compute(resource, facts, self._before(), now=self._instant())
        self._publish(status)
        return self._outcome(facts, status, failure)

    def _bring(self, resource: ClaudeMemServer, facts: Facts) -> KubeError | None:
        """Do the work; what went wrong is noted in `facts`, and returned if a pause may mend it."""
        try:
            self._work(resource, facts)
        except (Conflict, NamespaceTerminating, NotLeading):
            raise
        except KubeError as error:
            facts.problem = (_reason(error), str(error))
            return error
        except Exception:
            logger.exception("a defect of the operator", extra={"resource": resource.metadata.name})
            facts.problem = ("InternalError", "the operator's log has the details")
            return Unavailable("a defect of the operator")
        return None

    def _work(self, resource: ClaudeMemServer, facts: Facts) -> None:
        broken = guard(resource, operator_environment=self._engine.environment)
        if broken:
            facts.problem = (
                "InvalidSpec",
                f"these fields keep the workload from starting: {', '.join(broken)}",
            )
            facts.children = read_children(self._kube, resource)
            return
        seen = observe(self._kube, resource)
        facts.children = seen.children
        inputs = self._engine.inputs(resource, seen)
        facts.warnings = _warnings(seen, inputs)
        facts.warnings += [("Questionable", words) for words in cautions(resource, self._engine.environment)]
        children = Children(self._kube, resource, facts, memory=self._memory, tell=self._tell)
        stages = desired(inputs)
        if resource.spec.paused:
            facts.pending = children.pending(stages)
        else:
            children.bring(stages, now=self._engine.now())

    def _outcome(self, facts: Facts, status: Manifest, failure: KubeError | None) -> Outcome:
        phase = status["phase"]
        if failure is not None:
            return Outcome(
                result="problem",
                phase=phase,
                requeue_s=_pause(self._memory, self._generation, failure),
                failed=True,
            )
        if facts.problem is not None:
            return Outcome(result="problem", phase=phase)
        if facts.waiting or facts.rolling:
            return Outcome(result="progressing", phase=phase, requeue_s=POLL_S)
        return Outcome(result="ready", phase=phase)

    def _delete(self) -> Outcome:
        status = {**self._before(), "phase": "Deleting"}
        if FINALIZER in self._raw["metadata"].get("finalizers", ()):
            self._publish(status)
            finalize(self._kube, self._raw, now=self._engine.now)
        return Outcome(result="deleting", phase="Deleting")

    def _refuse(self, message: str) -> Outcome:
        status = invalid(self._before(), generation=self._generation, message=message, now=self._instant())
        self._publish(status)
        return Outcome(result="problem", phase=status["phase"])

    def _hold(self) -> None:
        """Put the finalizer on, before anything is made that it is for."""
        metadata = self._raw["metadata"]
        finalizers = metadata.get("finalizers", [])
        if FINALIZER not in finalizers:
            body = {
                "metadata": {
                    "finalizers": [*finalizers, FINALIZER],
                    "resourceVersion": metadata["resourceVersion"],
                }
            }
            self._raw = self._kube.patch(self._ref(), body)

    def _publish(self, status: Manifest) -> None:
        """Write the status if it is another, and tell of what changed in it."""
        before = self._before()
        if status == before:
            return
        body = {**dict.fromkeys(before, None), **status}
        version = self._raw["metadata"]["resourceVersion"]
        try:
            self._raw = self._kube.patch_status(self._ref(), body, resource_version=version)
        except NotFound:
            return
        for reason, message in transitions(before.get("conditions", []), status.get("conditions", [])):
            if reason.event is not None:
                self._event(reason.event, reason.name, message)

    def _tell(self, reason: str, message: str) -> None:
        self._event(EVENTS[reason][0], reason, message)

    def _event(self, event: EventType, reason: str, message: str) -> None:
        record(self._kube, self._raw, event=event, reason=reason, message=message, now=self._instant())

    def _before(self) -> Manifest:
        return self._raw.get("status") or {}

    def _instant(self) -> str:
        return instant(self._engine.now())

    def _ref(self) -> ObjectRef:
        metadata = self._raw["metadata"]
        return ObjectRef(CLAUDE_MEM_SERVER, metadata["namespace"], metadata["name"])


def _reason(error: KubeError) -> str:
    return next((name for kind, name in _REASONS if isinstance(error, kind)), "Rejected")


def _pause(memory: Memory, generation: int | None, error: KubeError) -> float:
    asked = error.retry_after if isinstance(error, TooManyRequests) else 0.0
    return memory.backoff.failed(generation=generation, at_least=asked)


def _warnings(seen: Observation, inputs: Inputs) -> list[tuple[str, str]]:
    missing = [
        ("ReferenceMissing", f"{one.kind} {one.name} with the key {one.key} is not there")
        for one in seen.missing
    ]
    return missing + [
        ("NotSupported", f"{path} has no effect: the cluster does not serve {api}")
        for path, api in unserved(inputs).items()
    ]
